/* Happy path of a session: spool_start queues it; at the end of the turn one job on the thread pool writes and syncs all that
 * gathered (while it does, the next gather); done; spool_process; spool_end writes N.end, which sync_timer has synced if it is
 * still there 100 ms later; spool_forget notes that it is over, and has it removed. Only one job of the thread pool runs at a time, and the
 * journal is written by it or, while none runs, by the loop.
 * The journal is written anew, with what still counts, when it has grown past JOURNAL_MAX.
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
#include "crypto.h"
#include "log.h"

enum { SUM_CHARS = 16, END_HEAD = 8, SYNC_MS = 100, FLUSH_MS = 2000, JOURNAL_MAX = 4 * 1024 * 1024, NAMES_MAX = 64, PATH_MAX_OCTETS = 4096 + 64 };
static const char end_magic[END_HEAD] = "mc-end-1"; // no NUL: eight octets

// ---------------------------------------------------------------- lines and records (pure)

static void sum(char out[SUM_CHARS + 1], const void *p, size_t n)
{
    uint8_t h[HASH_SIZE];
    crypto_hash(h, p, n);
    for (int i = 0; i < SUM_CHARS / 2; i++)
        snprintf(out + 2 * i, 3, "%02x", h[i]);
}

// An empty word would be read as its neighbour.
static const char *word(const char *s)
{
    return *s ? s : "-";
}

void spool_line_put(struct buf *b, const struct spool_line *l)
{
    char check[SUM_CHARS + 1];
    size_t from = b->len;
    buf_printf(b, "%c %" PRIu64 " %" PRIu64 " %" PRIu32 " %s %s %d %" PRIu64 " %s", (char)l->kind, l->session, l->task, l->attempt,
               word(l->id.run), word(l->id.boot), (int)l->id.pid, l->id.start, word(l->id.cgroup));
    if (b->err)
        return;
    sum(check, b->data + from, b->len - from);
    buf_printf(b, " %s\n", check);
}

static bool take_word(char *out, size_t size, const char *w)
{
    return (size_t)snprintf(out, size, "%s", strcmp(w, "-") == 0 ? "" : w) < size;
}

static bool take_number(const char *w, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;
    if (!*w)
        return false;
    for (; *w; w++) {
        if (*w < '0' || *w > '9' || v > (UINT64_MAX - 9) / 10)
            return false;
        v = v * 10 + (uint64_t)(*w - '0');
    }
    *ret = v;
    return v <= max;
}

bool spool_line_parse(const char *text, size_t n, struct spool_line *ret)
{
    char line[SPOOL_LINE_MAX], check[SUM_CHARS + 1], *w[9], *save = NULL;
    struct spool_line l = { 0 };
    uint64_t attempt, pid;
    if (n < SUM_CHARS + 2 || n >= sizeof line || memchr(text, 0, n))
        return false;
    memcpy(line, text, n);
    line[n] = 0;
    sum(check, line, n - SUM_CHARS - 1);
    if (strcmp(line + n - SUM_CHARS, check) != 0 || line[n - SUM_CHARS - 1] != ' ')
        return false;
    line[n - SUM_CHARS - 1] = 0;
    for (int i = 0; i < 9; i++)
        if (!(w[i] = strtok_r(i ? NULL : line, " ", &save)))
            return false;
    if (strtok_r(NULL, " ", &save) || w[0][1] || !strchr("SPF", w[0][0]))
        return false;
    l.kind = (enum spool_kind)w[0][0];
    if (!take_number(w[1], INT64_MAX, &l.session) || l.session == 0 || !take_number(w[2], INT64_MAX, &l.task) ||
        !take_number(w[3], UINT32_MAX, &attempt) || !take_word(l.id.run, sizeof l.id.run, w[4]) ||
        !take_word(l.id.boot, sizeof l.id.boot, w[5]) || !take_number(w[6], INT32_MAX, &pid) ||
        !take_number(w[7], UINT64_MAX, &l.id.start) || !take_word(l.id.cgroup, sizeof l.id.cgroup, w[8]))
        return false;
    if (l.id.cgroup[0] && !cgroup_path_ok(l.id.cgroup, l.id.run))
        return false;
    l.attempt = (uint32_t)attempt;
    l.id.pid = (pid_t)pid;
    *ret = l;
    return true;
}

void spool_end_put(struct buf *b, const Wire__SessionReport *r)
{
    size_t n = wire__session_report__get_packed_size(r);
    buf_put(b, end_magic, END_HEAD);
    size_t hash_at = b->len;
    if (!buf_reserve(b, HASH_SIZE + n))
        return;
    b->len += HASH_SIZE;
    b->len += wire__session_report__pack(r, b->data + b->len);
    crypto_hash(b->data + hash_at, b->data + hash_at + HASH_SIZE, n);
}

Wire__SessionReport *spool_end_parse(const uint8_t *p, size_t n)
{
    uint8_t h[HASH_SIZE];
    if (n < END_HEAD + HASH_SIZE || memcmp(p, end_magic, END_HEAD) != 0)
        return NULL;
    crypto_hash(h, p + END_HEAD + HASH_SIZE, n - END_HEAD - HASH_SIZE);
    if (memcmp(h, p + END_HEAD, HASH_SIZE) != 0)
        return NULL;
    Wire__SessionReport *r = wire__session_report__unpack(NULL, n - END_HEAD - HASH_SIZE, p + END_HEAD + HASH_SIZE);
    if (r && (r->session == 0 || !r->ended)) {
        wire__session_report__free_unpacked(r, NULL);
        r = NULL;
    }
    return r;
}

// ---------------------------------------------------------------- files

struct live { // a session the journal must still name
    struct list at;
    struct spool_line line;
};

struct gone { // task 0: N.end of the session, else its guard
    uint64_t task, session;
};

struct end {
    uint64_t session;
    size_t n;
};

struct spool {
    uv_loop_t *loop;
    char *dir, *guard;
    int dir_fd, journal, lock;
    size_t journal_size;
    struct list waiting, in_work; // of spool_entry
    struct list live;
    struct buf pending;           // lines to be written when the job on the pool is done
    struct buf batch;             // lines the job writes
    uint64_t *unsynced, *syncing; // sessions whose N.end is not synced; those the job syncs
    size_t n_unsynced, cap_unsynced, n_syncing, cap_syncing;
    bool sync_due;                // sync_timer rang
    struct end *ends;             // what lies in the directory, for spool_octets() alone
    size_t n_ends, cap_ends;
    uint64_t ends_octets;
    struct gone *gone, *going;    // files to be removed; those the job removes
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
    struct live *l = malloc(sizeof *l);
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
    free(l);
}

// A journal with nothing but what still counts, in the place of the old one. The old one stays in use while it is not there; but once
// it is, the old one has no name any more: what would be written to it nobody could read.
static enum err journal_fresh(struct spool *s)
{
    struct buf b;
    buf_init(&b, JOURNAL_MAX);
    list_each(n, tmp, &s->live) {
        struct spool_line l = container_of(n, struct live, at)->line;
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
            s->journal_size = b.len;
        }
    }
    buf_fini(&b);
    return e == ERR_AGAIN ? ERR_IO : e;
}

// ---------------------------------------------------------------- the job on the thread pool

static bool guard_name(const struct spool *s, uint64_t task, uint64_t session, char *out, size_t size)
{
    return (size_t)snprintf(out, size, "%s/%" PRIu64 ".%" PRIu64, s->guard, task, session) < size;
}

static void remove_file(const struct spool *s, const struct gone *g)
{
    char name[PATH_MAX_OCTETS];
    if (!g->task) {
        end_name(name, g->session);
        (void)unlinkat(s->dir_fd, name, 0); // most have none that anyone waits for
    } else if (guard_name(s, g->task, g->session, name, sizeof name)) {
        (void)unlink(name);
    }
}

static void work_cb(uv_work_t *w)
{
    struct spool *s = w->data;
    s->batch_err = ERR_OK;
    if (s->batch.len) {
        bool written = write_all(s->journal, s->batch.data, s->batch.len);
        s->torn = !written;
        s->batch_err = written && fdatasync(s->journal) == 0 ? ERR_OK : ERR_IO;
    }
    bool any = false;
    for (size_t i = 0; i < s->n_going; i++)
        remove_file(s, &s->going[i]);
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

static void append(struct spool *s, const struct buf *b)
{
    s->torn = b->err || !write_all(s->journal, b->data, b->len);
    if (s->torn)
        log_error("the spool's journal cannot be written");
    else
        s->journal_size += b->len;
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
    if (!e)
        s->journal_size += s->batch.len;
    else
        log_error("the spool's journal cannot be written");
    for (struct list *n; (n = list_pop_front(&done));) {
        struct spool_entry *en = container_of(n, struct spool_entry, at);
        if (!e && !live_add(s, &en->line))
            e = ERR_NO_MEMORY;
        en->done(en, e);
    }
    if (s->pending.len && !s->working) { // what the loop had to say meanwhile; not synced
        append(s, &s->pending);
        buf_reset(&s->pending);
    }
    if (s->journal_size > JOURNAL_MAX / 2 && journal_fresh(s) != ERR_OK && !s->size_warned) {
        s->size_warned = true;
        log_error("the spool's journal cannot be written anew: %s", strerror(errno));
    }
    next_work(s);
}

static void next_work(struct spool *s)
{
    if (s->working)
        return;
    buf_reset(&s->batch);
    if (s->torn && !list_empty(&s->waiting))
        buf_putc(&s->batch, '\n');
    for (struct list *n; (n = list_pop_front(&s->waiting));) {
        struct spool_entry *e = container_of(n, struct spool_entry, at);
        list_push_back(&s->in_work, n);
        spool_line_put(&s->batch, &e->line);
    }
    s->n_syncing = 0;
    if (s->sync_due) {
        uint64_t *swap = s->syncing;
        size_t cap = s->cap_syncing;
        s->syncing = s->unsynced;
        s->n_syncing = s->n_unsynced;
        s->cap_syncing = s->cap_unsynced;
        s->unsynced = swap;
        s->n_unsynced = 0;
        s->cap_unsynced = cap;
        s->sync_due = false;
    }
    struct gone *swap_gone = s->going;
    size_t cap_gone = s->cap_going;
    s->going = s->gone;
    s->n_going = s->n_gone;
    s->cap_going = s->cap_gone;
    s->gone = swap_gone;
    s->n_gone = 0;
    s->cap_gone = cap_gone;
    if (list_empty(&s->in_work) && s->n_syncing == 0 && s->n_going == 0)
        return;
    s->working = true;
    if (s->batch.err || uv_queue_work(s->loop, &s->work, work_cb, worked_cb)) {
        s->batch_err = ERR_NO_MEMORY;
        worked_cb(&s->work, 0);
    }
}

static void turn_cb(uv_timer_t *t)
{
    next_work(t->data);
}

static void work_soon(struct spool *s)
{
    if (!uv_is_active((uv_handle_t *)&s->turn_timer))
        uv_timer_start(&s->turn_timer, turn_cb, 0, 0);
}

// Removes a file off the loop: a busy file system can take its time.
static void remove_soon(struct spool *s, uint64_t task, uint64_t session)
{
    struct gone g = { task, session };
    if (s->n_gone == s->cap_gone) {
        size_t cap = s->cap_gone ? s->cap_gone * 2 : 64;
        struct gone *more = realloc(s->gone, cap * sizeof *more);
        if (!more) {
            remove_file(s, &g);
            return;
        }
        s->gone = more;
        s->cap_gone = cap;
    }
    s->gone[s->n_gone++] = g;
    work_soon(s);
}

static void sync_cb(uv_timer_t *t)
{
    struct spool *s = t->data;
    s->sync_due = s->n_unsynced > 0;
    next_work(s);
}

// A line that needs no sync.
static void note(struct spool *s, const struct spool_line *l)
{
    if (s->working) {
        spool_line_put(&s->pending, l);
        return;
    }
    struct buf b;
    buf_init(&b, SPOOL_LINE_MAX);
    if (s->torn)
        buf_putc(&b, '\n');
    spool_line_put(&b, l);
    append(s, &b);
    buf_fini(&b);
}

// ---------------------------------------------------------------- how much it holds

static void end_gone(struct spool *s, uint64_t session)
{
    for (size_t i = 0; i < s->n_ends; i++)
        if (s->ends[i].session == session) {
            s->ends_octets -= s->ends[i].n;
            s->ends[i] = s->ends[--s->n_ends];
            return;
        }
}

// Written, perhaps over an earlier one of the same session.
static void end_there(struct spool *s, uint64_t session, size_t n)
{
    end_gone(s, session);
    if (s->n_ends == s->cap_ends) {
        size_t cap = s->cap_ends ? s->cap_ends * 2 : 64;
        struct end *more = realloc(s->ends, cap * sizeof *more);
        if (!more)
            return; // a figure is a little too small
        s->ends = more;
        s->cap_ends = cap;
    }
    s->ends[s->n_ends++] = (struct end){ session, n };
    s->ends_octets += n;
}

uint64_t spool_octets(const struct spool *s)
{
    return s->ends_octets + s->journal_size;
}

// ---------------------------------------------------------------- opening

// So that the name of what is in a directory outlasts a power cut. One we may not read is not one we made anything in.
static bool sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES || errno == EPERM;
    bool ok = fsync(fd) == 0 || errno == EINVAL || errno == EROFS;
    close(fd);
    return ok;
}

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
        if ((mkdir(path, c ? 0755 : 0700) != 0 && errno != EEXIST) || !sync_dir(above)) {
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

static void read_journal(struct spool *s, const struct buf *b)
{
    for (size_t at = 0; at < b->len;) {
        const uint8_t *end = memchr(b->data + at, '\n', b->len - at);
        size_t n = end ? (size_t)(end - (b->data + at)) : b->len - at;
        struct spool_line l;
        // A line cut by a power cut is one that was not synced: nothing was started by it.
        if (spool_line_parse((const char *)b->data + at, n, &l)) {
            struct live *have = live_find(s, l.session);
            if (l.kind == SPOOL_START && !have)
                (void)!live_add(s, &l);
            else if (l.kind == SPOOL_PROCESS && have) {
                have->line.id.pid = l.id.pid;
                have->line.id.start = l.id.start;
                memcpy(have->line.id.cgroup, l.id.cgroup, sizeof l.id.cgroup);
            } else if (l.kind == SPOOL_FORGET)
                live_drop(s, l.session);
        }
        at += n + 1;
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
        if (take_number(digits, INT64_MAX, &session) && get_file(s->dir_fd, f->d_name, &b) == ERR_OK)
            r = spool_end_parse(b.data, b.len);
        size_t octets = b.len;
        buf_fini(&b);
        if (r && r->session == session) {
            const struct live *l = live_find(s, session);
            if (l) // it was swept before its end was written
                spool_guard_remove(s, l->line.task, session);
            live_drop(s, session);
            end_there(s, session, octets);
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
    buf_init(&s->pending, JOURNAL_MAX);
    buf_init(&s->batch, JOURNAL_MAX);
    buf_init(&b, (size_t)JOURNAL_MAX * 4);
    s->dir = strdup(dir);
    s->guard = strdup(guard_dir);
    if (!s->dir || !s->guard) {
        snprintf(why, why_size, "out of memory");
        goto fail;
    }
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
    read_journal(s, &b);
    read_ends(s, found);
    list_each(n, tmp, &s->live)
        found->lost(found->u, &container_of(n, struct live, at)->line);
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
    free(s->dir);
    free(s->guard);
    list_each(n, tmp, &s->live)
        free(container_of(n, struct live, at));
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

enum err spool_end(struct spool *s, const Wire__SessionReport *r)
{
    char name[NAMES_MAX];
    struct buf b;
    buf_init(&b, SPOOL_END_MAX);
    spool_end_put(&b, r);
    end_name(name, r->session);
    enum err e = b.err ? b.err : put_file(s, name, b.data, b.len, false);
    if (!e)
        end_there(s, r->session, b.len);
    buf_fini(&b);
    if (e)
        return e;
    if (s->n_unsynced == s->cap_unsynced) {
        size_t cap = s->cap_unsynced ? s->cap_unsynced * 2 : 64;
        uint64_t *more = realloc(s->unsynced, cap * sizeof *more);
        if (!more)
            return ERR_OK; // written, only not synced: as good as we can do now
        s->unsynced = more;
        s->cap_unsynced = cap;
    }
    s->unsynced[s->n_unsynced++] = r->session;
    if (!uv_is_active((uv_handle_t *)&s->sync_timer))
        uv_timer_start(&s->sync_timer, sync_cb, SYNC_MS, 0);
    return ERR_OK;
}

void spool_forget(struct spool *s, uint64_t session)
{
    struct spool_line l = { .kind = SPOOL_FORGET, .session = session };
    live_drop(s, session);
    end_gone(s, session);
    note(s, &l);
    remove_soon(s, 0, session);
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
        remove_file(s, &s->gone[i]);
    s->n_gone = 0;
}

// ---------------------------------------------------------------- guards

static bool guard_read(const struct spool *s, const char *file, struct spool_line *ret)
{
    char name[PATH_MAX_OCTETS];
    struct buf b;
    bool found = false;
    buf_init(&b, 32768);
    if ((size_t)snprintf(name, sizeof name, "%s/%s", s->guard, file) < sizeof name && get_file(AT_FDCWD, name, &b) == ERR_OK && b.len > 1)
        // One that is being written at this moment reads as none: the broker never has two attempts begin at once.
        found = b.data[b.len - 1] == '\n' && spool_line_parse((const char *)b.data, b.len - 1, ret);
    buf_fini(&b);
    return found;
}

bool spool_guard_find(const struct spool *s, uint64_t task, uint64_t session, uint32_t attempt, struct spool_line *ret)
{
    char prefix[NAMES_MAX];
    bool found = false;
    size_t n = (size_t)snprintf(prefix, sizeof prefix, "%" PRIu64 ".", task);
    DIR *d = opendir(s->guard);
    if (!d)
        return false;
    for (struct dirent *f; !found && (f = readdir(d));) {
        struct spool_line l;
        if (strncmp(f->d_name, prefix, n) != 0 || !guard_read(s, f->d_name, &l) || l.task != task || l.session == session ||
            l.attempt >= attempt)
            continue;
        *ret = l;
        found = true;
    }
    closedir(d);
    return found;
}

void spool_guard_set(struct spool *s, const struct spool_line *l)
{
    char name[PATH_MAX_OCTETS];
    struct buf b;
    buf_init(&b, SPOOL_LINE_MAX);
    spool_line_put(&b, l);
    bool ok = !b.err && guard_name(s, l->task, l->session, name, sizeof name);
    int fd = ok ? open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    ok = fd >= 0 && write_all(fd, b.data, b.len);
    if (fd >= 0)
        close(fd);
    if (!ok)
        log_warn("the guard of task_%" PRIu64 " cannot be written: %s", l->task, strerror(errno));
    buf_fini(&b);
}

void spool_guard_drop(struct spool *s, uint64_t task, uint64_t session)
{
    if (task)
        remove_soon(s, task, session);
}

void spool_guard_remove(const struct spool *s, uint64_t task, uint64_t session)
{
    if (task)
        remove_file(s, &(struct gone){ task, session });
}
