#include "tree.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PROCS_MAX = 1 << 20, ENVIRON_MAX = 128 * 1024, PASSES = 4 };

bool tree_stat_parse(const char *text, size_t n, struct tree_proc *ret)
{
    char line[1024];
    struct tree_proc p = { 0 };
    int pid, ppid, pgrp, sid;
    unsigned long long start;
    if (n == 0 || n >= sizeof line)
        return false;
    memcpy(line, text, n);
    line[n] = 0;
    const char *after = strrchr(line, ')'); // the name may hold anything, also blanks and brackets
    if (!after || sscanf(line, "%d (", &pid) != 1)
        return false;
    if (sscanf(after + 1, " %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &p.state, &ppid, &pgrp,
               &sid, &start) != 5)
        return false;
    p.pid = pid;
    p.ppid = ppid;
    p.pgrp = pgrp;
    p.sid = sid;
    p.start = start;
    *ret = p;
    return true;
}

static bool read_stat(pid_t pid, struct tree_proc *ret)
{
    char name[32], text[1024];
    snprintf(name, sizeof name, "/proc/%d/stat", pid);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    return n > 0 && tree_stat_parse(text, (size_t)n, ret) && ret->pid == pid;
}

uint64_t tree_start_time(pid_t pid)
{
    struct tree_proc p;
    return read_stat(pid, &p) ? p.start : 0;
}

void tree_boot_id(char out[BOOT_ID_MAX])
{
    static char boot[BOOT_ID_MAX]; // it does not change while we live
    if (!boot[0]) {
        int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            ssize_t n = read(fd, boot, sizeof boot - 1);
            close(fd);
            boot[n > 0 ? n : 0] = 0;
            boot[strcspn(boot, "\n")] = 0;
        }
    }
    memcpy(out, boot, BOOT_ID_MAX);
}

static bool number(const char *s, pid_t *ret)
{
    long v = 0;
    if (!*s)
        return false;
    for (; *s; s++) {
        if (*s < '0' || *s > '9' || v > 100000000)
            return false;
        v = v * 10 + (*s - '0');
    }
    *ret = (pid_t)v;
    return v > 0;
}

static int by_pid(const void *a, const void *b)
{
    const struct tree_proc *x = a, *y = b;
    return (x->pid > y->pid) - (x->pid < y->pid);
}

enum err tree_scan(struct tree *t)
{
    *t = (struct tree){ 0 };
    DIR *d = opendir("/proc");
    if (!d)
        return ERR_IO;
    enum err e = ERR_OK;
    for (struct dirent *f; !e && (f = readdir(d));) {
        struct tree_proc p;
        pid_t pid;
        if (!number(f->d_name, &pid) || !read_stat(pid, &p))
            continue;
        if (t->n == t->cap) {
            size_t cap = t->cap ? t->cap * 2 : 256;
            struct tree_proc *more = cap <= PROCS_MAX ? realloc(t->p, cap * sizeof *more) : NULL;
            if (!more) {
                e = ERR_NO_MEMORY; // what was found is still good to act upon
                break;
            }
            t->p = more;
            t->cap = cap;
        }
        t->p[t->n++] = p;
    }
    closedir(d);
    if (t->n)
        qsort(t->p, t->n, sizeof *t->p, by_pid);
    return e;
}

void tree_fini(struct tree *t)
{
    free(t->p);
    *t = (struct tree){ 0 };
}

static bool is_run_id(const char *s, size_t n)
{
    if (n != RUN_ID_MAX - 1)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
            return false;
    return true;
}

bool tree_run_of(pid_t pid, char run[RUN_ID_MAX])
{
    static const char key[] = "MC_RUN=";
    static char env[ENVIRON_MAX]; // one at a time: the loop's thread alone looks
    char name[40];
    size_t have = 0;
    snprintf(name, sizeof name, "/proc/%d/environ", pid);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    for (ssize_t n; have < sizeof env && (n = read(fd, env + have, sizeof env - have)) > 0;)
        have += (size_t)n;
    close(fd);
    for (size_t at = 0; at < have;) {
        const char *end = memchr(env + at, 0, have - at);
        size_t n = end ? (size_t)(end - (env + at)) : have - at;
        if (end && n >= sizeof key && memcmp(env + at, key, sizeof key - 1) == 0 &&
            is_run_id(env + at + sizeof key - 1, n - (sizeof key - 1))) {
            memcpy(run, env + at + sizeof key - 1, RUN_ID_MAX);
            return true;
        }
        at += n + 1;
    }
    return false;
}

static struct tree_proc *find(struct tree *t, pid_t pid)
{
    struct tree_proc key = { .pid = pid };
    return t->n ? bsearch(&key, t->p, t->n, sizeof *t->p, by_pid) : NULL;
}

// Descendants of whatever carries the mark; ourselves never.
static void close_over(struct tree *t, uint8_t mark)
{
    pid_t self = getpid();
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < t->n; i++) {
            struct tree_proc *p = &t->p[i], *parent;
            if (p->mark || p->pid == self || p->ppid == self || p->ppid <= 1)
                continue;
            parent = find(t, p->ppid);
            if (parent && parent->mark == mark) {
                p->mark = mark;
                again = true;
            }
        }
    }
}

static void mark_cgroup(struct tree *t, const char *path, uint8_t mark)
{
    char name[CGROUP_PATH_MAX + 32];
    int pid;
    if (!*path)
        return;
    snprintf(name, sizeof name, "%s/cgroup.procs", path);
    FILE *f = fopen(name, "re");
    if (!f)
        return;
    while (fscanf(f, "%d", &pid) == 1) {
        struct tree_proc *p = pid > 1 && pid != getpid() ? find(t, pid) : NULL;
        if (p && !p->mark)
            p->mark = mark;
    }
    fclose(f);
}

void tree_mark(struct tree *t, const struct tree_id *id, bool held, uint8_t mark)
{
    pid_t self = getpid();
    char run[RUN_ID_MAX];
    const struct tree_proc *main = id->pid > 1 ? find(t, id->pid) : NULL;
    bool own_number = held || (main && id->start && main->start == id->start);
    mark_cgroup(t, id->cgroup, mark);
    for (size_t i = 0; i < t->n; i++) {
        struct tree_proc *p = &t->p[i];
        if (p->mark || p->pid == self || p->pid <= 1)
            continue;
        if (own_number && id->pid > 1 && (p->pid == id->pid || p->pgrp == id->pid || p->sid == id->pid))
            p->mark = mark;
        else if (p->state != 'Z' && tree_run_of(p->pid, run) && strcmp(run, id->run) == 0)
            p->mark = mark;
    }
    close_over(t, mark);
}

void tree_mark_below(struct tree *t, pid_t pid, uint8_t mark)
{
    struct tree_proc *p = pid > 1 && pid != getpid() ? find(t, pid) : NULL;
    if (!p)
        return;
    p->mark = mark;
    close_over(t, mark);
}

unsigned tree_signal(const struct tree *t, uint8_t mark, int sig)
{
    unsigned living = 0;
    for (size_t i = 0; i < t->n; i++) {
        const struct tree_proc *p = &t->p[i];
        if (p->mark != mark || p->state == 'Z' || p->state == 'X')
            continue;
        int fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
        if (fd < 0) {
            living += errno != ESRCH; // gone meanwhile, or out of descriptors: then it is tried again
            continue;
        }
        if (tree_start_time(p->pid) == p->start) {
            if (syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0) == 0 || errno != ESRCH)
                living++;
        }
        close(fd);
    }
    return living;
}

unsigned tree_end(const struct tree_id *id)
{
    unsigned living = 0;
    char boot[BOOT_ID_MAX];
    tree_boot_id(boot);
    if (!boot[0] || strcmp(boot, id->boot) != 0)
        return 0; // the machine was started since: nothing of it can be left
    for (int i = 0; i < PASSES; i++) {
        struct tree t;
        cgroup_kill(id->cgroup);
        if (tree_scan(&t) != ERR_OK && t.n == 0) {
            tree_fini(&t);
            return 1;
        }
        tree_mark(&t, id, false, 1);
        living = tree_signal(&t, 1, SIGKILL);
        tree_fini(&t);
        if (!living)
            break;
    }
    if (!living && cgroup_populated(id->cgroup))
        living = 1;
    if (!living)
        cgroup_remove(id->cgroup);
    return living;
}
