/* Happy path: a group of the stock, or one made on the spot; its run is born into it; what is left of it is dropped; a tick later
 * one job on the thread pool removes all that were dropped, and makes as many for the stock as were taken meanwhile. A name is never
 * used twice, since a guard or a journal may still name it.
 */
#include "cgroup.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "crypto.h"

enum { NESTED_MAX = 8, TICK_MS = 10, STOCK_MAX = 16, LIFE_OCTETS = 4 };

static char base[CGROUP_PATH_MAX - 80]; // "" while there is none
static char prefix[CGROUP_OWNER_MAX + 16]; // of names: mc-OWNER-LIFE-
static uint64_t last_name;

struct stock {
    struct list at;
    char path[CGROUP_PATH_MAX];
};
static struct list ready = { &ready, &ready };     // made
static struct list dropped = { &dropped, &dropped };
static struct list moves = { &moves, &moves };     // of cgroup_move, to be done
static struct list making = { &making, &making }, removing = { &removing, &removing }, moving = { &moving, &moving }; // the job's
static unsigned taken, n_ready;                    // taken: since the last job
static uv_loop_t *the_loop;
static uv_timer_t tick;
static uv_work_t work;
static bool working;

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

// What a former life of the same owner left empty. What it left running is ended by those who know whose it is.
static void remove_former(const char *owner)
{
    char begin[CGROUP_OWNER_MAX + 8], path[CGROUP_PATH_MAX];
    DIR *d = opendir(base);
    if (!d)
        return;
    size_t n = (size_t)snprintf(begin, sizeof begin, "mc-%s-", owner);
    for (struct dirent *e; (e = readdir(d));)
        if (strncmp(e->d_name, begin, n) == 0 && (size_t)snprintf(path, sizeof path, "%s/%s", base, e->d_name) < sizeof path)
            (void)rmdir(path);
    closedir(d);
}

static bool can_make(void)
{
    char probe[CGROUP_PATH_MAX], name[CGROUP_PATH_MAX + 32];
    snprintf(probe, sizeof probe, "%s/mc-probe-%d", base, getpid());
    if (mkdir(probe, 0755) != 0)
        return false;
    snprintf(name, sizeof name, "%s/cgroup.kill", probe); // Linux 5.14
    bool ok = access(name, W_OK) == 0;
    snprintf(name, sizeof name, "%s/cgroup.procs", probe);
    ok = ok && access(name, W_OK) == 0;
    return rmdir(probe) == 0 && ok;
}

bool cgroup_init(uv_loop_t *loop, const char *owner)
{
    char point[128], root[256], own[256];
    uint8_t life[LIFE_OCTETS];
    base[0] = 0;
    the_loop = loop;
    if (strlen(owner) >= CGROUP_OWNER_MAX || uv_timer_init(loop, &tick) || !find_mount(point, sizeof point, root, sizeof root) ||
        !find_own(own, sizeof own))
        return false;
    uv_unref((uv_handle_t *)&tick);
    const char *below = own;
    size_t n = strlen(root);
    if (strcmp(root, "/") != 0 && strncmp(own, root, n) == 0)
        below = own + n;
    if (strcmp(below, "/") == 0)
        below = "";
    if (strstr(below, "/..") || (size_t)snprintf(base, sizeof base, "%s%s", point, below) >= sizeof base || !can_make()) {
        base[0] = 0;
        return false;
    }
    remove_former(owner);
    crypto_random(life, sizeof life);
    snprintf(prefix, sizeof prefix, "mc-%s-%02x%02x%02x%02x-", owner, life[0], life[1], life[2], life[3]);
    return true;
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

bool cgroup_path_ok(const char *path)
{
    const char *name = strrchr(path, '/');
    return strlen(path) < CGROUP_PATH_MAX && path[0] == '/' && name && strncmp(name, "/mc-", 4) == 0 && !strstr(path, "/../");
}

// ---------------------------------------------------------------- the stock

static void add(const struct cgroup_move *m)
{
    char text[16];
    snprintf(text, sizeof text, "%d", m->pid);
    if (!put(m->path, "cgroup.procs", text))
        return; // it has ended, most likely; were it not so, the sweep of the tree finds it
}

static void work_cb(uv_work_t *w)
{
    (void)w;
    list_each(n, tmp, &moving)
        add(container_of(n, struct cgroup_move, at));
    list_each(n, tmp, &removing)
        cgroup_remove(container_of(n, struct stock, at)->path);
    list_each(n, tmp, &making) {
        struct stock *s = container_of(n, struct stock, at);
        if (mkdir(s->path, 0755) != 0)
            s->path[0] = 0; // one that is needed is made on the spot, or there is none
    }
}

static void tick_cb(uv_timer_t *t);

static void tick_soon(void)
{
    if (!working && !uv_is_active((uv_handle_t *)&tick))
        uv_timer_start(&tick, tick_cb, TICK_MS, 0);
}

static void free_all(struct list *l)
{
    for (struct list *n; (n = list_pop_front(l));)
        free(container_of(n, struct stock, at));
}

static void worked_cb(uv_work_t *w, int status)
{
    struct list moved;
    (void)w;
    (void)status;
    working = false;
    list_init(&moved);
    list_take(&moved, &moving);
    for (struct list *n; (n = list_pop_front(&moved));) {
        struct cgroup_move *m = container_of(n, struct cgroup_move, at);
        m->done(m);
    }
    free_all(&removing);
    for (struct list *n; (n = list_pop_front(&making));) {
        struct stock *s = container_of(n, struct stock, at);
        if (s->path[0] && base[0] && n_ready < STOCK_MAX) {
            list_push_back(&ready, &s->at);
            n_ready++;
        } else if (s->path[0]) {
            list_push_back(&dropped, &s->at);
        } else {
            free(s);
        }
    }
    if (!list_empty(&moves))
        tick_cb(&tick);
    else if (!list_empty(&dropped))
        tick_soon();
}

static bool new_path(char path[CGROUP_PATH_MAX])
{
    return base[0] && (size_t)snprintf(path, CGROUP_PATH_MAX, "%s/%s%llu", base, prefix, (unsigned long long)++last_name) < CGROUP_PATH_MAX;
}

static void tick_cb(uv_timer_t *t)
{
    uv_timer_stop(t);
    if (working)
        return; // worked_cb looks again
    list_take(&moving, &moves);
    list_take(&removing, &dropped);
    for (unsigned want = n_ready + taken < STOCK_MAX ? taken : STOCK_MAX - n_ready; want; want--) {
        struct stock *s = malloc(sizeof *s);
        if (!s || !new_path(s->path)) {
            free(s);
            break;
        }
        list_push_back(&making, &s->at);
    }
    taken = 0;
    working = true;
    if (uv_queue_work(the_loop, &work, work_cb, worked_cb)) // only without memory for its threads, at the very first
        abort();
}

bool cgroup_take(char path[CGROUP_PATH_MAX])
{
    struct list *n = list_pop_front(&ready);
    path[0] = 0;
    if (n) {
        struct stock *s = container_of(n, struct stock, at);
        memcpy(path, s->path, CGROUP_PATH_MAX);
        free(s);
        n_ready--;
    } else if (!new_path(path) || mkdir(path, 0755) != 0) {
        path[0] = 0;
        return false;
    }
    taken++;
    tick_soon();
    return true;
}

void cgroup_move(struct cgroup_move *m)
{
    list_push_back(&moves, &m->at);
    tick_cb(&tick);
}

void cgroup_drop(const char *path)
{
    struct stock *s = *path ? malloc(sizeof *s) : NULL;
    if (!s) {
        cgroup_remove(path);
        return;
    }
    snprintf(s->path, sizeof s->path, "%s", path);
    list_push_back(&dropped, &s->at);
    tick_soon();
}

void cgroup_off(void)
{
    base[0] = 0;
    for (struct list *n; (n = list_pop_front(&ready));)
        list_push_back(&dropped, n);
    n_ready = 0;
    list_each(n, tmp, &dropped)
        cgroup_remove(container_of(n, struct stock, at)->path);
    free_all(&dropped);
}
