#include "cgroup.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NESTED_MAX = 8 };

static char base[CGROUP_PATH_MAX - 64]; // "" while there is none

// The mount point of the v2 hierarchy, and which part of it is mounted there.
static bool find_mount(char *point, size_t point_size, char *root, size_t root_size)
{
    char line[4096];
    bool found = false;
    FILE *f = fopen("/proc/self/mountinfo", "re");
    if (!f)
        return false;
    while (!found && fgets(line, sizeof line, f)) {
        char *dash = strstr(line, " - cgroup2 "), r[1024], p[1024];
        if (!dash || sscanf(line, "%*s %*s %*s %1023s %1023s", r, p) != 2)
            continue;
        found = (size_t)snprintf(point, point_size, "%s", p) < point_size && (size_t)snprintf(root, root_size, "%s", r) < root_size;
    }
    fclose(f);
    return found;
}

static bool find_own(char *path, size_t size)
{
    char line[4096];
    bool found = false;
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f)
        return false;
    while (!found && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "0::", 3) == 0)
            found = (size_t)snprintf(path, size, "%s", line + 3) < size;
    }
    fclose(f);
    return found;
}

static bool put(const char *path, const char *file, const char *text)
{
    char name[CGROUP_PATH_MAX + 32];
    if ((size_t)snprintf(name, sizeof name, "%s/%s", path, file) >= sizeof name)
        return false;
    int fd = open(name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = write(fd, text, strlen(text));
    close(fd);
    return n == (ssize_t)strlen(text);
}

bool cgroup_init(void)
{
    char point[128], root[256], own[256], probe[CGROUP_PATH_MAX], name[CGROUP_PATH_MAX + 32];
    base[0] = 0;
    if (!find_mount(point, sizeof point, root, sizeof root) || !find_own(own, sizeof own))
        return false;
    const char *below = own;
    size_t n = strlen(root);
    if (strcmp(root, "/") != 0 && strncmp(own, root, n) == 0)
        below = own + n;
    if (strcmp(below, "/") == 0)
        below = "";
    if (strstr(below, "/..") || (size_t)snprintf(base, sizeof base, "%s%s", point, below) >= sizeof base) {
        base[0] = 0;
        return false;
    }
    snprintf(probe, sizeof probe, "%s/mc-probe-%d", base, getpid());
    bool ok = mkdir(probe, 0755) == 0;
    if (ok) {
        snprintf(name, sizeof name, "%s/cgroup.kill", probe); // Linux 5.14
        ok = access(name, W_OK) == 0;
        snprintf(name, sizeof name, "%s/cgroup.procs", probe);
        ok = ok && access(name, W_OK) == 0;
        ok = rmdir(probe) == 0 && ok;
    }
    if (!ok)
        base[0] = 0;
    return ok;
}

void cgroup_off(void)
{
    base[0] = 0;
}

void cgroup_path(const char *run, char path[CGROUP_PATH_MAX])
{
    path[0] = 0;
    if (base[0])
        snprintf(path, CGROUP_PATH_MAX, "%s/mc-%s", base, run);
}

bool cgroup_make(const char *run, char path[CGROUP_PATH_MAX])
{
    cgroup_path(run, path);
    if (path[0] && (mkdir(path, 0755) == 0 || errno == EEXIST))
        return true;
    path[0] = 0;
    return false;
}

static void add(const char *path, int pid)
{
    char text[16];
    snprintf(text, sizeof text, "%d", pid);
    if (!put(path, "cgroup.procs", text))
        return; // it has ended, most likely; were it not so, the sweep of the tree finds it
}

bool cgroup_populated(const char *path)
{
    char name[CGROUP_PATH_MAX + 32], text[256];
    if (!*path)
        return false;
    snprintf(name, sizeof name, "%s/cgroup.events", path);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return false;
    text[n] = 0;
    return strstr(text, "populated 1") != NULL;
}

void cgroup_kill(const char *path)
{
    if (*path && !put(path, "cgroup.kill", "1"))
        return; // gone, or the kernel is older: the sweep of the tree does it
}

static void remove_below(int dir, unsigned depth)
{
    DIR *d = fdopendir(dir);
    if (!d) {
        close(dir);
        return;
    }
    for (struct dirent *e; depth < NESTED_MAX && (e = readdir(d));) {
        if (e->d_type != DT_DIR || strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        int sub = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (sub >= 0)
            remove_below(sub, depth + 1);
        (void)unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
    }
    closedir(d);
}

void cgroup_remove(const char *path)
{
    if (!*path || rmdir(path) == 0 || errno == ENOENT)
        return;
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir >= 0)
        remove_below(dir, 0);
    (void)rmdir(path); // still busy: an empty directory stays, and does no harm
}

bool cgroup_path_ok(const char *path, const char *run)
{
    size_t n = strlen(path), r = strlen(run);
    return n < CGROUP_PATH_MAX && path[0] == '/' && n > r + 4 && strcmp(path + n - r, run) == 0 &&
           memcmp(path + n - r - 4, "/mc-", 4) == 0 && !strstr(path, "/../");
}

// ---------------------------------------------------------------- off the loop

static struct list waiting = { &waiting, &waiting }, in_work = { &in_work, &in_work };
static uv_work_t work;
static bool working;

static void work_cb(uv_work_t *w)
{
    (void)w;
    list_each(n, tmp, &in_work) {
        const struct cgroup_task *t = container_of(n, struct cgroup_task, at);
        if (t->pid)
            add(t->path, t->pid);
        else
            cgroup_remove(t->path);
    }
}

static void next(uv_loop_t *loop);

static void worked_cb(uv_work_t *w, int status)
{
    struct list done;
    (void)status;
    working = false;
    list_init(&done);
    list_take(&done, &in_work);
    for (struct list *n; (n = list_pop_front(&done));) {
        struct cgroup_task *t = container_of(n, struct cgroup_task, at);
        t->done(t);
    }
    next(w->loop);
}

static void next(uv_loop_t *loop)
{
    if (working || list_empty(&waiting))
        return;
    list_take(&in_work, &waiting);
    working = true;
    if (uv_queue_work(loop, &work, work_cb, worked_cb)) // only without memory for its threads, at the very first
        abort();
}

void cgroup_queue(uv_loop_t *loop, struct cgroup_task *t)
{
    list_push_back(&waiting, &t->at);
    next(loop);
}
