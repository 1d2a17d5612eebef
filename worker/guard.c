/* A slot is a line (spool_line.h) at a multiple of SPOOL_LINE_MAX; one that begins with a zero is free. It is written over in
 * place: nothing is created, truncated or removed for a run, since that is what file systems are slow at.
 * Who reads another's file may act upon it when its owner has dropped that guard already: what a guard names is never another's.
 */
#include "guard.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_MAX_OCTETS = 4096 + 64, SLOTS_MAX = 65536 };

struct guard {
    char *dir;
    int fd;
    uint64_t *slot; // the session whose it is, or 0
    size_t n, cap;
};

// The line at the beginning of a slot; one that is being written at this moment reads as none.
static bool parse(const char *slot, size_t n, struct spool_line *ret)
{
    const char *end = memchr(slot, '\n', n);
    return end && spool_line_parse(slot, (size_t)(end - slot), ret) && ret->task;
}

static bool read_slot(int fd, size_t i, struct spool_line *ret, bool *ret_end)
{
    char text[SPOOL_LINE_MAX];
    ssize_t n;
    do
        n = pread(fd, text, sizeof text, (off_t)(i * SPOOL_LINE_MAX));
    while (n < 0 && errno == EINTR);
    *ret_end = n <= 0;
    return n > 0 && text[0] && parse(text, (size_t)n, ret);
}

static bool write_slot(const struct guard *g, size_t i, const void *p, size_t n)
{
    ssize_t w;
    do
        w = pwrite(g->fd, p, n, (off_t)(i * SPOOL_LINE_MAX));
    while (w < 0 && errno == EINTR);
    return w == (ssize_t)n;
}

// A slot for the session: its own, or a free one. False: no memory.
static bool slot_for(struct guard *g, uint64_t session, size_t *ret)
{
    size_t place = g->n;
    for (size_t i = 0; i < g->n; i++) {
        if (g->slot[i] == session) {
            *ret = i;
            return true;
        }
        if (!g->slot[i] && place == g->n)
            place = i;
    }
    if (place == g->cap) {
        size_t cap = g->cap ? g->cap * 2 : 64;
        uint64_t *more = cap <= SLOTS_MAX ? realloc(g->slot, cap * sizeof *more) : NULL;
        if (!more)
            return false;
        g->slot = more;
        g->cap = cap;
    }
    if (place == g->n)
        g->n++;
    g->slot[place] = session;
    *ret = place;
    return true;
}

static enum err take_over(struct guard *g, bool (*keep)(void *u, const struct spool_line *l), void *u)
{
    bool end = false;
    for (size_t i = 0, at; !end; i++) {
        struct spool_line l;
        if (!read_slot(g->fd, i, &l, &end) || !keep(u, &l)) {
            if (!end && !write_slot(g, i, "", 1))
                return ERR_IO;
            continue;
        }
        // Slots are filled from the first on: this one moves down, and is written there before it goes here.
        if (!slot_for(g, l.session, &at))
            return ERR_NO_MEMORY;
        if (at != i && (guard_set(g, &l) != ERR_OK || !write_slot(g, i, "", 1)))
            return ERR_IO;
    }
    return ERR_OK;
}

enum err guard_open(const char *dir, const char *name, bool (*keep)(void *u, const struct spool_line *l), void *u, struct guard **ret)
{
    char path[PATH_MAX_OCTETS];
    struct guard *g = calloc(1, sizeof *g);
    if (!g)
        return ERR_NO_MEMORY;
    g->fd = -1;
    g->dir = strdup(dir);
    enum err e = g->dir ? ERR_OK : ERR_NO_MEMORY;
    if (!e && (size_t)snprintf(path, sizeof path, "%s/%s", dir, name) >= sizeof path)
        e = ERR_IO;
    if (!e)
        g->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (!e)
        e = g->fd < 0 ? ERR_IO : take_over(g, keep, u);
    if (e) {
        guard_free(g);
        return e;
    }
    *ret = g;
    return ERR_OK;
}

void guard_free(struct guard *g)
{
    if (!g)
        return;
    if (g->fd >= 0)
        close(g->fd);
    free(g->slot);
    free(g->dir);
    free(g);
}

enum err guard_set(struct guard *g, const struct spool_line *l)
{
    struct buf b;
    size_t at;
    buf_init(&b, SPOOL_LINE_MAX);
    spool_line_put(&b, l);
    bool ok = !b.err && slot_for(g, l->session, &at) && write_slot(g, at, b.data, b.len);
    buf_fini(&b);
    return ok ? ERR_OK : ERR_IO;
}

void guard_drop(struct guard *g, uint64_t session)
{
    for (size_t i = 0; i < g->n; i++) {
        if (g->slot[i] != session)
            continue;
        (void)!write_slot(g, i, "", 1); // one that stays names nothing that lives
        g->slot[i] = 0;
        return;
    }
}

static size_t each_in(int fd, uint64_t task, uint64_t session, uint32_t attempt, bool (*cb)(void *u, const struct spool_line *l), void *u)
{
    size_t left = 0;
    bool end = false;
    for (size_t i = 0; !end; i++) {
        struct spool_line l;
        if (read_slot(fd, i, &l, &end) && l.task == task && l.session != session && l.attempt < attempt && (!cb || !cb(u, &l)))
            left++;
    }
    return left;
}

size_t guard_each(const struct guard *g, uint64_t task, uint64_t session, uint32_t attempt, bool (*cb)(void *u, const struct spool_line *l),
                  void *u)
{
    size_t left = 0;
    DIR *d = opendir(g->dir);
    if (!d)
        return 0;
    for (struct dirent *f; (f = readdir(d));) {
        if (f->d_name[0] == '.')
            continue;
        int fd = openat(dirfd(d), f->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
            continue;
        left += each_in(fd, task, session, attempt, cb, u);
        close(fd);
    }
    closedir(d);
    return left;
}
