/* Happy path of a session: spool_start queues it; at the end of the turn what gathered is written to the journal, and one job on the
 * thread pool syncs it (while it does, the next gather); done; spool_process; spool_end, whose line sync_timer has synced
 * within 100 ms, unless the next start was quicker; spool_forget. What needs no hurry is put into `lines`, which go with the
 * next write, at the latest at the end of the turn. Only the loop writes the journal.
 * An end that is too long for a line is a file of its own, N.end.
 * The journal is written anew, with what still counts, when it has grown well past that.
 */
#include "spool.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "conf.h"
#include "crypto.h"
#include "dir_sync.h"
#include "guard.h"
#include "log.h"

enum { SYNC_MS = 100, FLUSH_MS = 2000, JOURNAL_MIN = 2 * 1024 * 1024, LINES_MAX = 64 * 1024 * 1024, NAMES_MAX = 64 };

// ---------------------------------------------------------------- files

struct live { // a session the journal must still name
    struct list at;
    struct spool_line line;
    uint8_t *end;  // once it has ended: its line
    size_t n_end;
};

struct end { // a file
    uint64_t session;
    size_t n;
};

struct spool {
    uv_loop_t *loop;
    int dir_fd, journal, lock;
    char word[SPOOL_WORD_MAX];
    struct guard *guard;
    size_t journal_size, journal_least; // least: with nothing but what still counted when it was last written anew
    struct list waiting, in_work; // of spool_entry
    struct list live;
    struct buf lines;             // to be written
    uint64_t *unsynced, *syncing; // sessions whose N.end is not synced; those the job syncs
    size_t n_unsynced, cap_unsynced, n_syncing, cap_syncing;
    bool journal_unsynced;        // there are ends in it that are not synced
    bool sync_journal;            // the job does
    bool sync_due;                // sync_timer rang
    struct end *ends;             // files that lie in the directory
    size_t n_ends, cap_ends;
    uint64_t ends_octets;
    uint64_t *gone, *going;       // sessions whose N.end is to be removed; those the job removes
    size_t n_gone, cap_gone, n_going, cap_going;
    enum err batch_err;
    uv_work_t work;
    uv_timer_t sync_timer, turn_timer;
    bool working, size_warned, torn; // torn: the journal may end in half a line
};

static bool write_all(int fd, const uint8_t *p, size_t n)
{
    while (n) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return false;
        p += w;
        n -= (size_t)w;
    }
    return true;
}

// A file written whole under another name, then put in its place. ERR_AGAIN: it is there, but its name may not outlast a power cut.
static enum err put_file(const struct spool *s, const char *name, const uint8_t *p, size_t n, bool sync)
{
    char tmp[NAMES_MAX + 8];
    snprintf(tmp, sizeof tmp, "%s.tmp", name);
    int fd = openat(s->dir_fd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return ERR_IO;
    bool ok = write_all(fd, p, n) && (!sync || fsync(fd) == 0);
    ok = close(fd) == 0 && ok;
    if (!ok || renameat(s->dir_fd, tmp, s->dir_fd, name) != 0) {
        (void)unlinkat(s->dir_fd, tmp, 0);
        return ERR_IO;
    }
    return sync && fsync(s->dir_fd) != 0 ? ERR_AGAIN : ERR_OK;
}

static enum err get_file(int dir, const char *name, struct buf *b)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    enum err e = ERR_OK;
    for (;;) {
        uint8_t *to = buf_reserve(b, 16384);
        if (!to) {
            e = b->err;
            break;
        }
        ssize_t n = read(fd, to, 16384);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            e = n < 0 ? ERR_IO : ERR_OK;
            break;
        }
        b->len += (size_t)n;
    }
    close(fd);
    return e;
}

static void end_name(char out[NAMES_MAX], uint64_t session)
{
    snprintf(out, NAMES_MAX, "%" PRIu64 ".end", session);
}

static struct live *live_find(struct spool *s, uint64_t session)
{
    list_each(n, tmp, &s->live) {
        struct live *l = container_of(n, struct live, at);
        if (l->line.session == session)
            return l;
    }
    return NULL;
}

static bool live_add(struct spool *s, const struct spool_line *line)
{
    struct live *l = calloc(1, sizeof *l);
    if (!l)
        return false;
    l->line = *line;
    list_push_back(&s->live, &l->at);
    return true;
}

static void live_drop(struct spool *s, uint64_t session)
{
    struct live *l = live_find(s, session);
    if (!l)
        return;
    list_remove(&l->at);
    free(l->end);
    free(l);
}

// What an ended session is remembered by: its line. False: no memory.
static bool live_end(struct spool *s, uint64_t session, const void *line, size_t n)
{
    struct spool_line none = { .kind = SPOOL_START, .session = session }; // it could not even be recorded
    struct live *l = live_find(s, session);
    uint8_t *copy = malloc(n);
    if (!copy || (!l && !live_add(s, &none))) {
        free(copy);
        return false;
    }
    l = live_find(s, session);
    free(l->end);
    memcpy(copy, line, n);
    l->end = copy;
    l->n_end = n;
    return true;
}

// A journal with nothing but what still counts, in the place of the old one. The old one stays in use while it is not there; but once
// it is, the old one has no name any more: what would be written to it nobody could read.
static enum err journal_fresh(struct spool *s)
{
    struct buf b;
    buf_init(&b, LINES_MAX);
    list_each(n, tmp, &s->live) {
        const struct live *v = container_of(n, struct live, at);
        struct spool_line l = v->line;
        if (v->end) {
            buf_put(&b, v->end, v->n_end);
            continue;
        }
        l.kind = SPOOL_START;
        spool_line_put(&b, &l);
        l.kind = SPOOL_PROCESS;
        if (l.id.pid)
            spool_line_put(&b, &l);
    }
    enum err e = b.err ? b.err : put_file(s, "journal", b.data, b.len, true);
    if (!e || e == ERR_AGAIN) {
        int fd = openat(s->dir_fd, "journal", O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0) {
            e = ERR_IO;
        } else {
            if (s->journal >= 0)
                close(s->journal);
            s->journal = fd;
            s->journal_size = s->journal_least = b.len;
            s->torn = s->journal_unsynced = false;
        }
    }
    buf_fini(&b);
    return e == ERR_AGAIN ? ERR_IO : e;
}

// Writes what gathered. False: it is not all there, and none of it will be tried again.
static bool flush(struct spool *s)
{
    bool ok = !s->lines.err;
    if (ok && s->lines.len) {
        ok = (!s->torn || write_all(s->journal, (const uint8_t *)"\n", 1)) && write_all(s->journal, s->lines.data, s->lines.len);
        s->torn = !ok;
        s->journal_size += s->lines.len;
    }
    if (!ok)
        log_error("the spool's journal cannot be written");
    buf_reset(&s->lines);
    return ok;
}

// ---------------------------------------------------------------- the job on the thread pool

static void remove_end(const struct spool *s, uint64_t session)
{
    char name[NAMES_MAX];
    end_name(name, session);
    (void)unlinkat(s->dir_fd, name, 0);
}

static void work_cb(uv_work_t *w)
{
    struct spool *s = w->data;
    bool any = false;
    if (s->sync_journal && !s->batch_err && fdatasync(s->journal) != 0)
        s->batch_err = ERR_IO;
    for (size_t i = 0; i < s->n_going; i++)
        remove_end(s, s->going[i]);
    for (size_t i = 0; i < s->n_syncing; i++) {
        char name[NAMES_MAX];
        end_name(name, s->syncing[i]);
        int fd = openat(s->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
            continue; // confirmed meanwhile
        if (fsync(fd) != 0)
            log_error("the spool cannot be synced: %s", strerror(errno));
        close(fd);
        any = true;
    }
    if (any && fsync(s->dir_fd) != 0)
        log_error("the spool cannot be synced: %s", strerror(errno));
}

static void next_work(struct spool *s);

static void worked_cb(uv_work_t *w, int status)
{
    struct spool *s = w->data;
    struct list done;
    enum err e = status ? ERR_IO : s->batch_err;
    s->working = false;
    list_init(&done);
    list_take(&done, &s->in_work);
    if (e)
        log_error("the spool's journal cannot be synced");
    for (struct list *n; (n = list_pop_front(&done));) {
        struct spool_entry *en = container_of(n, struct spool_entry, at);
        if (!e && !live_add(s, &en->line))
            e = ERR_NO_MEMORY;
        en->done(en, e);
    }
    if (s->journal_size > JOURNAL_MIN && s->journal_size > 2 * s->journal_least && flush(s) && journal_fresh(s) != ERR_OK &&
        !s->size_warned) {
        s->size_warned = true;
        log_error("the spool's journal cannot be written anew: %s", strerror(errno));
    }
    next_work(s);
}

static void swap(uint64_t **a, size_t *n_a, size_t *cap_a, uint64_t **b, size_t *n_b, size_t *cap_b)
{
    uint64_t *list = *a;
    size_t cap = *cap_a;
    *a = *b;
    *n_a = *n_b;
    *cap_a = *cap_b;
    *b = list;
    *n_b = 0;
    *cap_b = cap;
}

static void next_work(struct spool *s)
{
    if (s->working)
        return;
    for (struct list *n; (n = list_pop_front(&s->waiting));) {
        list_push_back(&s->in_work, n);
        spool_line_put(&s->lines, &container_of(n, struct spool_entry, at)->line);
    }
    bool sync = !list_empty(&s->in_work) || (s->sync_due && s->journal_unsynced);
    s->batch_err = flush(s) ? ERR_OK : ERR_IO;
    s->n_syncing = 0;
    if (s->sync_due)
        swap(&s->syncing, &s->n_syncing, &s->cap_syncing, &s->unsynced, &s->n_unsynced, &s->cap_unsynced);
    swap(&s->going, &s->n_going, &s->cap_going, &s->gone, &s->n_gone, &s->cap_gone);
    s->sync_due = false;
    if (!sync && s->n_syncing == 0 && s->n_going == 0)
        return;
    s->sync_journal = sync;
    if (sync)
        s->journal_unsynced = false;
    s->working = true;
    if (uv_queue_work(s->loop, &s->work, work_cb, worked_cb)) {
        s->batch_err = ERR_NO_MEMORY;
        worked_cb(&s->work, 0);
    }
}

static void turn_cb(uv_timer_t *t)
{
    struct spool *s = t->data;
    (void)flush(s);
    next_work(s);
}

static void work_soon(struct spool *s)
{
    if (!uv_is_active((uv_handle_t *)&s->turn_timer))
        uv_timer_start(&s->turn_timer, turn_cb, 0, 0);
}

// Removes a file off the loop: a busy file system can take its time.
static void remove_soon(struct spool *s, uint64_t session)
{
    if (s->n_gone == s->cap_gone) {
        size_t cap = s->cap_gone ? s->cap_gone * 2 : 64;
        uint64_t *more = realloc(s->gone, cap * sizeof *more);
        if (!more) {
            remove_end(s, session);
            return;
        }
        s->gone = more;
        s->cap_gone = cap;
    }
    s->gone[s->n_gone++] = session;
    work_soon(s);
}

static void sync_cb(uv_timer_t *t)
{
    struct spool *s = t->data;
    s->sync_due = s->n_unsynced > 0 || s->journal_unsynced;
    next_work(s);
}

static void sync_soon(struct spool *s)
{
    if (!uv_is_active((uv_handle_t *)&s->sync_timer))
        uv_timer_start(&s->sync_timer, sync_cb, SYNC_MS, 0);
}

// A line that needs no hurry.
static void note(struct spool *s, const struct spool_line *l)
{
    spool_line_put(&s->lines, l);
    work_soon(s);
}

// ---------------------------------------------------------------- how much it holds

static bool end_gone(struct spool *s, uint64_t session)
{
    for (size_t i = 0; i < s->n_ends; i++)
        if (s->ends[i].session == session) {
            s->ends_octets -= s->ends[i].n;
            s->ends[i] = s->ends[--s->n_ends];
            return true;
        }
    return false;
}

// Written, perhaps over an earlier one of the same session. False: no memory to remember it.
static bool end_there(struct spool *s, uint64_t session, size_t n)
{
    (void)end_gone(s, session);
    if (s->n_ends == s->cap_ends) {
        size_t cap = s->cap_ends ? s->cap_ends * 2 : 64;
        struct end *more = realloc(s->ends, cap * sizeof *more);
        if (!more)
            return false;
        s->ends = more;
        s->cap_ends = cap;
    }
    s->ends[s->n_ends++] = (struct end){ session, n };
    s->ends_octets += n;
    return true;
}

const char *spool_word(const struct spool *s)
{
    return s->word;
}

uint64_t spool_octets(const struct spool *s)
{
    return s->ends_octets + s->journal_size;
}

// ---------------------------------------------------------------- opening

// Every name on the way is synced, also one that is there: a former start may have been ended before it came to that.
static enum err make_dir(const char *dir, char *why, size_t why_size)
{
    char path[4096], above[4096];
    if ((size_t)snprintf(path, sizeof path, "%s", dir) >= sizeof path) {
        snprintf(why, why_size, "%s: the name is too long", dir);
        return ERR_IO;
    }
    snprintf(above, sizeof above, "%s", *path == '/' ? "/" : ".");
    for (char *p = path + 1;; p++) {
        if (*p && *p != '/')
            continue;
        char c = *p;
        *p = 0;
        if ((mkdir(path, c ? 0755 : 0700) != 0 && errno != EEXIST) || !dir_sync(above)) {
            snprintf(why, why_size, "%s: %s", path, strerror(errno));
            return ERR_IO;
        }
        if (!c)
            return ERR_OK;
        memcpy(above, path, sizeof above);
        *p = c;
    }
}

// A directory that is ours alone.
static enum err own_dir(const char *dir, char *why, size_t why_size)
{
    struct stat st;
    if (make_dir(dir, why, why_size) != ERR_OK)
        return ERR_IO;
    if (lstat(dir, &st) != 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid()) {
        snprintf(why, why_size, "%s is not a directory of ours", dir);
        return ERR_IO;
    }
    if ((st.st_mode & 077) && chmod(dir, 0700) != 0) {
        snprintf(why, why_size, "%s: %s", dir, strerror(errno));
        return ERR_IO;
    }
    return ERR_OK;
}

static bool take_line(struct spool *s, const struct spool_line *l)
{
    struct live *have = live_find(s, l->session);
    if (l->kind == SPOOL_START && !have)
        return live_add(s, l);
    if (l->kind == SPOOL_PROCESS && have) {
        have->line.id.pid = l->id.pid;
        have->line.id.start = l->id.start;
        memcpy(have->line.id.cgroup, l->id.cgroup, sizeof l->id.cgroup);
    } else if (l->kind == SPOOL_FORGET) {
        live_drop(s, l->session);
    }
    return true;
}

static enum err read_journal(struct spool *s, const struct buf *b)
{
    for (size_t at = 0; at < b->len;) {
        const uint8_t *end = memchr(b->data + at, '\n', b->len - at);
        size_t n = end ? (size_t)(end - (b->data + at)) : b->len - at;
        const char *text = (const char *)b->data + at;
        struct spool_line l;
        Wire__SessionReport *r;
        bool ok = true;
        // A line cut by a power cut is one that was not synced: nothing was started by it.
        if (spool_line_parse(text, n, &l)) {
            ok = take_line(s, &l);
        } else if (end && (r = spool_report_parse(text, n))) {
            ok = live_end(s, r->session, text, n + 1);
            wire__session_report__free_unpacked(r, NULL);
        }
        if (!ok)
            return ERR_NO_MEMORY;
        at += n + 1;
    }
    return ERR_OK;
}

// What the guards of a former life say of sessions it has not ended is the latest that is known of their processes.
static bool keep_guard_cb(void *u, const struct spool_line *l)
{
    struct live *have = live_find(u, l->session);
    if (!have || have->end)
        return false;
    have->line.id = l->id;
    return true;
}

static void tell_found(struct spool *s, const struct spool_found *found)
{
    list_each(n, tmp, &s->live) {
        const struct live *l = container_of(n, struct live, at);
        if (l->end)
            found->ended(found->u, spool_report_parse((const char *)l->end, l->n_end - 1));
        else
            found->lost(found->u, &l->line);
    }
}

static void read_ends(struct spool *s, const struct spool_found *found)
{
    int fd = openat(s->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *f; (f = readdir(d));) {
        uint64_t session;
        char digits[NAMES_MAX];
        size_t n = strlen(f->d_name);
        if (n > 4 && strcmp(f->d_name + n - 4, ".tmp") == 0) {
            (void)unlinkat(s->dir_fd, f->d_name, 0);
            continue;
        }
        if (n <= 4 || n - 4 >= sizeof digits || strcmp(f->d_name + n - 4, ".end") != 0)
            continue;
        memcpy(digits, f->d_name, n - 4);
        digits[n - 4] = 0;
        struct buf b;
        buf_init(&b, SPOOL_END_MAX);
        Wire__SessionReport *r = NULL;
        if (conf_number(digits, 1, INT64_MAX, &session) && get_file(s->dir_fd, f->d_name, &b) == ERR_OK)
            r = spool_end_parse(b.data, b.len);
        size_t octets = b.len;
        buf_fini(&b);
        if (r && r->session == session) {
            live_drop(s, session);
            (void)!end_there(s, session, octets); // a figure is a little too small, and a file stays
            found->ended(found->u, r);
            continue;
        }
        if (r)
            wire__session_report__free_unpacked(r, NULL);
        log_warn("the spool's file %s is damaged: set aside", f->d_name);
        char bad[NAMES_MAX * 5];
        snprintf(bad, sizeof bad, "%s.bad", f->d_name);
        (void)renameat(s->dir_fd, f->d_name, s->dir_fd, bad);
    }
    closedir(d);
}

static void make_word(const char *dir, char word[SPOOL_WORD_MAX])
{
    uint8_t h[HASH_SIZE];
    char *real = realpath(dir, NULL);
    const char *path = real ? real : dir;
    crypto_hash(h, path, strlen(path));
    free(real);
    for (size_t i = 0; i < (SPOOL_WORD_MAX - 1) / 2; i++)
        snprintf(word + 2 * i, 3, "%02x", h[i]);
}

enum err spool_open(uv_loop_t *loop, const char *dir, const char *guard_dir, const struct spool_found *found, struct spool **ret,
                    char *why, size_t why_size)
{
    struct buf b;
    enum err e = ERR_IO;
    struct spool *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NO_MEMORY;
    s->loop = loop;
    s->dir_fd = s->journal = s->lock = -1;
    s->work.data = s;
    list_init(&s->waiting);
    list_init(&s->in_work);
    list_init(&s->live);
    buf_init(&s->lines, LINES_MAX);
    buf_init(&b, LINES_MAX);
    if (own_dir(dir, why, why_size) != ERR_OK || own_dir(guard_dir, why, why_size) != ERR_OK)
        goto fail;
    s->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    s->lock = s->dir_fd < 0 ? -1 : openat(s->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock < 0) {
        snprintf(why, why_size, "%s: %s", dir, strerror(errno));
        goto fail;
    }
    if (flock(s->lock, LOCK_EX | LOCK_NB) != 0) {
        snprintf(why, why_size, "another worker uses the spool %s", dir);
        e = ERR_AGAIN;
        goto fail;
    }
    e = get_file(s->dir_fd, "journal", &b);
    if (e && e != ERR_NOT_FOUND) {
        snprintf(why, why_size, "the journal in %s cannot be read", dir);
        goto fail;
    }
    e = read_journal(s, &b);
    if (e) {
        snprintf(why, why_size, "out of memory for the journal in %s", dir);
        goto fail;
    }
    read_ends(s, found);
    make_word(dir, s->word);
    e = guard_open(guard_dir, s->word, keep_guard_cb, s, &s->guard);
    if (e) {
        snprintf(why, why_size, "the guards in %s cannot be kept: %s", guard_dir, strerror(errno));
        goto fail;
    }
    tell_found(s, found);
    // They stay in the journal until their owner has seen to them and forgets them.
    e = journal_fresh(s);
    if (e || uv_timer_init(loop, &s->sync_timer) || uv_timer_init(loop, &s->turn_timer)) {
        snprintf(why, why_size, "the journal in %s cannot be written: %s", dir, strerror(errno));
        e = ERR_IO;
        goto fail;
    }
    s->sync_timer.data = s->turn_timer.data = s;
    buf_fini(&b);
    *ret = s;
    return ERR_OK;

fail: // the program ends on this: what the kernel takes back is left to it
    buf_fini(&b);
    guard_free(s->guard);
    list_each(n, tmp, &s->live)
        live_drop(s, container_of(n, struct live, at)->line.session);
    if (s->dir_fd >= 0)
        close(s->dir_fd);
    if (s->journal >= 0)
        close(s->journal);
    if (s->lock >= 0)
        close(s->lock);
    free(s);
    return e;
}

// ---------------------------------------------------------------- what happens to sessions

void spool_start(struct spool *s, struct spool_entry *e)
{
    list_push_back(&s->waiting, &e->at);
    work_soon(s);
}

void spool_process(struct spool *s, uint64_t session, const struct tree_id *id)
{
    struct spool_line l = { .kind = SPOOL_PROCESS, .session = session, .id = *id };
    struct live *have = live_find(s, session);
    if (have)
        have->line.id = *id;
    note(s, &l);
}

static enum err end_as_line(struct spool *s, uint64_t session, size_t from)
{
    if (s->lines.err || !live_end(s, session, s->lines.data + from, s->lines.len - from)) {
        s->lines.len = from;
        return ERR_NO_MEMORY;
    }
    if (!flush(s))
        return ERR_IO;
    s->journal_unsynced = true;
    sync_soon(s);
    return ERR_OK;
}

static enum err end_as_file(struct spool *s, const Wire__SessionReport *r)
{
    char name[NAMES_MAX];
    struct buf b;
    if (s->n_unsynced == s->cap_unsynced) {
        size_t cap = s->cap_unsynced ? s->cap_unsynced * 2 : 64;
        uint64_t *more = realloc(s->unsynced, cap * sizeof *more);
        if (!more)
            return ERR_NO_MEMORY;
        s->unsynced = more;
        s->cap_unsynced = cap;
    }
    if (!end_there(s, r->session, 0)) // before it is there: what cannot be remembered would never be removed
        return ERR_NO_MEMORY;
    buf_init(&b, SPOOL_END_MAX);
    spool_end_put(&b, r);
    end_name(name, r->session);
    enum err e = b.err ? b.err : put_file(s, name, b.data, b.len, false);
    if (!e)
        (void)end_there(s, r->session, b.len);
    buf_fini(&b);
    if (e)
        return e;
    s->unsynced[s->n_unsynced++] = r->session;
    sync_soon(s);
    return ERR_OK;
}

enum err spool_end(struct spool *s, const Wire__SessionReport *r)
{
    size_t from = s->lines.len;
    return spool_report_put(&s->lines, r) ? end_as_line(s, r->session, from) : end_as_file(s, r);
}

void spool_forget(struct spool *s, uint64_t session)
{
    struct spool_line l = { .kind = SPOOL_FORGET, .session = session };
    live_drop(s, session);
    note(s, &l);
    if (!end_gone(s, session))
        return;
    remove_soon(s, session);
    for (size_t i = 0; i < s->n_unsynced; i++)
        if (s->unsynced[i] == session) {
            s->unsynced[i] = s->unsynced[--s->n_unsynced];
            break;
        }
}

void spool_flush(struct spool *s)
{
    for (int i = 0; s->working && i < FLUSH_MS; i++) {
        uv_run(s->loop, UV_RUN_NOWAIT);
        usleep(1000); // the program ends: there is nothing else to do
    }
    if (flush(s) && s->journal_unsynced)
        (void)!fdatasync(s->journal);
    s->journal_unsynced = false;
    for (size_t i = 0; i < s->n_unsynced; i++) {
        char name[NAMES_MAX];
        end_name(name, s->unsynced[i]);
        int fd = openat(s->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
            continue;
        (void)!fsync(fd);
        close(fd);
    }
    (void)!fsync(s->dir_fd);
    s->n_unsynced = 0;
    for (size_t i = 0; i < s->n_gone; i++)
        remove_end(s, s->gone[i]);
    s->n_gone = 0;
}

// ---------------------------------------------------------------- guards

size_t spool_guard_each(const struct spool *s, uint64_t task, uint64_t session, uint32_t attempt,
                        bool (*cb)(void *u, const struct spool_line *l), void *u)
{
    return guard_each(s->guard, task, session, attempt, cb, u);
}

void spool_guard_set(struct spool *s, const struct spool_line *l)
{
    if (guard_set(s->guard, l) != ERR_OK)
        log_warn("the guard of task_%" PRIu64 " cannot be written: %s", l->task, strerror(errno));
}

void spool_guard_drop(struct spool *s, uint64_t session)
{
    guard_drop(s->guard, session);
}
