// Happy path: store_open maps dir/store.mdb and opens every database once; a transaction gets, puts and walks; commit syncs.
// No DUPSORT, no WRITEMAP, no NOMETASYNC (platform.md 3): MDB_NOTLS, so that a read transaction belongs to its owner and not to a
// thread, and MDB_NORDAHEAD, since a cold start reads in random places.
#include "store.h"
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "fault.h"
#include "log.h"
#include "store_guard.h"

enum { FULL_DISK_OCTETS = 1024 * 1024 }; // an I/O error with less than this free is a full disk

struct store {
    MDB_env *env;
    MDB_dbi dbi[DB_N];
    char *dir;
    uint64_t map_size;
    bool read_only;
    uint64_t length; // of the file, as last looked at
    bool sync;
};

struct txn {
    struct store *store;
    MDB_txn *mdb;
};

const char *const store_db_names[DB_N] = {
#define D(name, text) text,
    STORE_DBS(D)
#undef D
};

struct record_place store_place(enum store_db db, const void *key, size_t n)
{
    return (struct record_place){ (uint8_t)db, key, db == DB_META ? 0 : n };
}

static uint64_t disk_free(const char *dir)
{
    struct statvfs v;
    if (statvfs(dir, &v) != 0)
        return UINT64_MAX;
    return (uint64_t)v.f_bavail * v.f_frsize;
}

// The one place where LMDB's codes become ours.
static enum err from_mdb(const struct store *s, int rc)
{
    switch (rc) {
    case 0:
        return ERR_OK;
    case MDB_NOTFOUND:
        return ERR_NOT_FOUND;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case ENOSPC:
    case EDQUOT:
        return ERR_STORAGE_FULL;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
        return ERR_CORRUPT;
    case ENOMEM:
        return ERR_NO_MEMORY;
    case EIO: // LMDB reports a short write, which is what a full disk gives, as EIO too
        return s && disk_free(s->dir) < FULL_DISK_OCTETS ? ERR_STORAGE_FULL : ERR_STORAGE_ERROR;
    default:
        return ERR_STORAGE_ERROR;
    }
}

struct key *key_bytes(struct key *k, const void *p, size_t n)
{
    if (n > STORE_KEY_MAX - k->n)
        abort();
    if (n)
        memcpy(k->b + k->n, p, n);
    k->n += n;
    return k;
}

uint64_t key_read_u64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

// A file cut short would end the process with SIGBUS when the lost part is touched: compare with what its meta page says.
static enum err check_length(struct store *s, const char *path)
{
    struct stat st;
    MDB_envinfo info;
    MDB_stat stat0;
    if (stat(path, &st) != 0 || mdb_env_info(s->env, &info) != 0 || mdb_env_stat(s->env, &stat0) != 0)
        return ERR_STORAGE_ERROR;
    uint64_t need = ((uint64_t)info.me_last_pgno + 1) * stat0.ms_psize;
    if ((uint64_t)st.st_size >= need)
        return ERR_OK;
    log_error("%s is damaged: it has %llu octets and must have %llu. Restore a backup.", path, (unsigned long long)st.st_size,
              (unsigned long long)need);
    return ERR_CORRUPT;
}

static enum err open_dbs(struct store *s)
{
    MDB_txn *t;
    int rc = mdb_txn_begin(s->env, NULL, s->read_only ? MDB_RDONLY : 0, &t);
    if (rc)
        return from_mdb(s, rc);
    for (int i = 0; i < DB_N; i++) {
        rc = mdb_dbi_open(t, store_db_names[i], s->read_only ? 0 : MDB_CREATE, &s->dbi[i]);
        if (rc) {
            mdb_txn_abort(t);
            return from_mdb(s, rc);
        }
    }
    return from_mdb(s, mdb_txn_commit(t));
}

static void assert_cb(MDB_env *env, const char *what)
{
    (void)env;
    store_guard_end(what);
}

// Maps the file at path, and opens its databases.
static enum err open_at(const char *dir, const char *path, uint64_t map_size, unsigned flags, struct store **ret)
{
    struct store *s = calloc(1, sizeof *s);
    if (!s || !(s->dir = strdup(dir))) {
        free(s);
        return ERR_NO_MEMORY;
    }
    s->map_size = map_size;
    s->read_only = (flags & MDB_RDONLY) != 0;
    s->sync = !(flags & (MDB_NOSYNC | MDB_RDONLY));
    int rc = mdb_env_create(&s->env);
    if (!rc)
        rc = mdb_env_set_mapsize(s->env, (size_t)map_size);
    if (!rc)
        rc = mdb_env_set_maxdbs(s->env, DB_N);
    if (!rc)
        rc = mdb_env_set_maxreaders(s->env, 32);
    if (!rc)
        rc = mdb_env_set_assert(s->env, assert_cb);
    if (!rc)
        rc = mdb_env_open(s->env, path, MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD | flags, 0600);
    enum err e = from_mdb(s, rc);
    if (e)
        log_error("%s cannot be opened: %s", path, mdb_strerror(rc));
    if (!e)
        e = check_length(s, path);
    if (!e) {
        store_reader_check(s);
        e = open_dbs(s);
        if (e && !(s->read_only && e == ERR_NOT_FOUND))
            log_error("%s cannot be opened: %s", path, err_text(e));
    }
    if (e) {
        store_close(s);
        return e;
    }
    *ret = s;
    return ERR_OK;
}

// A new store is made whole under another name: one that was cut off while it was made never stands at `path`.
static enum err make(const char *dir, const char *path, uint64_t map_size, unsigned flags)
{
    char fresh[4096 + 8], lock[4096 + 16];
    struct store *s;
    snprintf(fresh, sizeof fresh, "%s.new", path);
    snprintf(lock, sizeof lock, "%s-lock", fresh);
    if (unlink(fresh) != 0 && errno != ENOENT) {
        log_error("%s cannot be taken away: %s", fresh, strerror(errno));
        return ERR_IO;
    }
    enum err e = open_at(dir, fresh, map_size, flags, &s);
    if (e)
        return e;
    store_close(s); // its first transaction was synced
    (void)unlink(lock);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || rename(fresh, path) != 0 || fsync(fd) != 0) {
        log_error("%s cannot be made: %s", path, strerror(errno));
        e = ERR_IO;
    }
    if (fd >= 0)
        (void)close(fd);
    return e;
}

enum err store_open(const char *dir, uint64_t map_size, bool sync, struct store **ret)
{
    char path[4096];
    struct stat st;
    unsigned flags = sync ? 0u : MDB_NOSYNC;
    if (snprintf(path, sizeof path, "%s/store.mdb", dir) >= (int)sizeof path)
        return ERR_BAD_REQUEST;
    if (stat(path, &st) != 0 || st.st_size == 0) {
        enum err e = make(dir, path, map_size, flags);
        if (e)
            return e;
    }
    enum err e = open_at(dir, path, map_size, flags, ret);
    if (!e)
        store_guard_arm(path);
    return e;
}

enum err store_open_to_read(const char *dir, struct store **ret)
{
    char path[4096];
    struct stat st;
    if (snprintf(path, sizeof path, "%s/store.mdb", dir) >= (int)sizeof path)
        return ERR_BAD_REQUEST;
    if (stat(path, &st) != 0)
        return errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    enum err e = open_at(dir, path, (uint64_t)st.st_size, MDB_RDONLY | MDB_NOLOCK, ret);
    if (!e)
        store_guard_arm(path);
    return e;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    if (s->env)
        mdb_env_close(s->env);
    free(s->dir);
    free(s);
}

enum err store_begin(struct store *s, bool write, struct txn **ret)
{
    struct txn *t = malloc(sizeof *t);
    if (!t)
        return ERR_NO_MEMORY;
    t->store = s;
    int rc = mdb_txn_begin(s->env, NULL, write ? 0 : MDB_RDONLY, &t->mdb);
    if (rc) {
        free(t);
        return from_mdb(s, rc);
    }
    *ret = t;
    return ERR_OK;
}

// Keeps some octets written beyond those in use, so that a commit mostly writes where the file is already: else each sync has the
// file's new length to write as well, and to wait for. Done by whoever has just committed, when nobody can be writing; what LMDB has
// written lies before the end of the file, and this only adds to that. Of no weight when it fails.
static void write_ahead(struct store *s)
{
    enum { AHEAD = 512 * 1024, STEP = 64 * 1024, ROOM = 64 * 1024 * 1024 };
    static const uint8_t zeros[STEP];
    MDB_envinfo info;
    MDB_stat st;
    struct stat file;
    int fd;
    if (mdb_env_info(s->env, &info) || mdb_env_stat(s->env, &st))
        return;
    uint64_t used = ((uint64_t)info.me_last_pgno + 1) * st.ms_psize;
    if (used + AHEAD / 4 < s->length || mdb_env_get_fd(s->env, &fd) || fstat(fd, &file) != 0)
        return;
    s->length = used > (uint64_t)file.st_size ? used : (uint64_t)file.st_size;
    if (disk_free(s->dir) < ROOM)
        return;
    while (s->length < used + AHEAD && s->length + STEP <= s->map_size) {
        ssize_t n = pwrite(fd, zeros, STEP, (off_t)s->length);
        if (n <= 0)
            break;
        s->length += (uint64_t)n;
    }
}

enum err store_commit(struct txn *t)
{
    struct store *s = t->store;
    enum err e = from_mdb(s, mdb_txn_commit(t->mdb));
    MDB_txn *probe;
    free(t);
    if (e == ERR_STORAGE_FULL) { // it failed at the head page, not before: the environment is of no use any more
        int rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &probe);
        if (rc)
            return ERR_STORAGE_ERROR;
        mdb_txn_abort(probe);
    }
    if (!e && s->sync)
        write_ahead(s);
    return e;
}

void store_abort(struct txn *t)
{
    if (!t)
        return;
    mdb_txn_abort(t->mdb);
    free(t);
}

static MDB_val key_val(const struct key *k)
{
    union { const void *in; void *out; } u = { k->b }; // LMDB's interface is not const, but it does not write here
    return (MDB_val){ k->n, u.out };
}

static enum err body(enum store_db db, const MDB_val *k, const MDB_val *v, struct slice *ret)
{
    struct record_place at = store_place(db, k->mv_data, k->mv_size);
    enum err e = record_check(&at, v->mv_data, v->mv_size);
    if (e)
        return e;
    *ret = (struct slice){ (const uint8_t *)v->mv_data + RECORD_HEADER, v->mv_size - RECORD_HEADER };
    return ERR_OK;
}

enum err store_get(struct txn *t, enum store_db db, const struct key *k, struct slice *ret)
{
    MDB_val key = key_val(k), v;
    enum err e = from_mdb(t->store, mdb_get(t->mdb, t->store->dbi[db], &key, &v));
    return e ? e : body(db, &key, &v, ret);
}

static enum err put(struct txn *t, enum store_db db, const struct key *k, const void *p, size_t n, unsigned flags)
{
    fault_point("store_put");
    MDB_val key = key_val(k), v = { n + RECORD_HEADER, NULL };
    enum err e = from_mdb(t->store, mdb_put(t->mdb, t->store->dbi[db], &key, &v, MDB_RESERVE | flags));
    if (e)
        return e == ERR_NOT_FOUND ? ERR_STORAGE_ERROR : e;
    struct record_place at = store_place(db, k->b, k->n);
    record_header(v.mv_data, &at, p, n);
    if (n)
        memcpy((uint8_t *)v.mv_data + RECORD_HEADER, p, n);
    return ERR_OK;
}

enum err store_put(struct txn *t, enum store_db db, const struct key *k, const void *p, size_t n)
{
    return put(t, db, k, p, n, 0);
}

enum err store_append(struct txn *t, enum store_db db, const struct key *k, const void *p, size_t n)
{
    return put(t, db, k, p, n, MDB_APPEND);
}

enum err store_del(struct txn *t, enum store_db db, const struct key *k)
{
    fault_point("store_delete");
    MDB_val key = key_val(k);
    return from_mdb(t->store, mdb_del(t->mdb, t->store->dbi[db], &key, NULL));
}

enum err cursor_open(struct cursor *c, struct txn *t, enum store_db db, const struct key *prefix)
{
    MDB_cursor *m;
    *c = (struct cursor){ .txn = t, .db = db };
    if (prefix)
        c->prefix = *prefix;
    enum err e = from_mdb(t->store, mdb_cursor_open(t->mdb, t->store->dbi[db], &m));
    if (!e)
        c->impl = m;
    return e;
}

void cursor_close(struct cursor *c)
{
    if (c->impl)
        mdb_cursor_close(c->impl);
    c->impl = NULL;
}

// Takes over what LMDB found; false at the end, on an error, and outside the prefix.
static bool found(struct cursor *c, int rc, const MDB_val *k, const MDB_val *v)
{
    c->err = rc == MDB_NOTFOUND ? ERR_OK : from_mdb(c->txn->store, rc);
    if (rc)
        return false;
    if (k->mv_size > STORE_KEY_MAX) {
        c->err = ERR_CORRUPT;
        return false;
    }
    if (k->mv_size < c->prefix.n || memcmp(k->mv_data, c->prefix.b, c->prefix.n) != 0)
        return false;
    memcpy(c->key.b, k->mv_data, k->mv_size);
    c->key.n = k->mv_size;
    c->err = body(c->db, k, v, &c->value);
    return c->err == ERR_OK;
}

static bool step(struct cursor *c, MDB_cursor_op op)
{
    MDB_val k, v;
    int rc = mdb_cursor_get(c->impl, &k, &v, op);
    return found(c, rc, &k, &v);
}

bool cursor_seek(struct cursor *c, const struct key *k)
{
    const struct key *from = k ? k : c->prefix.n ? &c->prefix : NULL;
    if (!from)
        return step(c, MDB_FIRST);
    MDB_val key = key_val(from), v;
    int rc = mdb_cursor_get(c->impl, &key, &v, MDB_SET_RANGE);
    return found(c, rc, &key, &v);
}

// The key after every key with this prefix; false where there is none (all 0xff).
static bool after_prefix(const struct key *prefix, struct key *ret)
{
    *ret = *prefix;
    while (ret->n && ret->b[ret->n - 1] == 0xff)
        ret->n--;
    if (!ret->n)
        return false;
    ret->b[ret->n - 1]++;
    return true;
}

bool cursor_seek_before(struct cursor *c, const struct key *k)
{
    struct key end;
    MDB_val key, v;
    if (!k && !after_prefix(&c->prefix, &end))
        return step(c, MDB_LAST);
    key = key_val(k ? k : &end);
    int rc = mdb_cursor_get(c->impl, &key, &v, MDB_SET_RANGE);
    if (rc && rc != MDB_NOTFOUND)
        return found(c, rc, &key, &v);
    return step(c, rc ? MDB_LAST : MDB_PREV);
}

bool cursor_seek_newest(struct cursor *c, uint64_t before)
{
    struct key end = c->prefix;
    return cursor_seek_before(c, before ? key_u64(&end, before) : NULL);
}

bool cursor_next(struct cursor *c)
{
    return step(c, MDB_NEXT);
}

bool cursor_prev(struct cursor *c)
{
    return step(c, MDB_PREV);
}

enum err cursor_put(struct cursor *c, const void *p, size_t n)
{
    MDB_val key = key_val(&c->key), v = { n + RECORD_HEADER, NULL };
    enum err e = from_mdb(c->txn->store, mdb_cursor_put(c->impl, &key, &v, MDB_CURRENT | MDB_RESERVE));
    if (e)
        return e == ERR_NOT_FOUND ? ERR_STORAGE_ERROR : e;
    struct record_place at = store_place(c->db, c->key.b, c->key.n);
    record_header(v.mv_data, &at, p, n);
    memcpy((uint8_t *)v.mv_data + RECORD_HEADER, p, n);
    return ERR_OK;
}

enum err cursor_del(struct cursor *c)
{
    fault_point("store_delete");
    return from_mdb(c->txn->store, mdb_cursor_del(c->impl, 0));
}

// Pages that were freed and may be used again: LMDB keeps their lists in database 0, each headed by its length.
static uint64_t free_pages(struct store *s)
{
    MDB_txn *t;
    MDB_cursor *c;
    MDB_val k, v;
    uint64_t n = 0;
    if (mdb_txn_begin(s->env, NULL, MDB_RDONLY, &t))
        return 0;
    if (mdb_cursor_open(t, 0, &c) == 0) {
        while (mdb_cursor_get(c, &k, &v, MDB_NEXT) == 0) {
            size_t len;
            memcpy(&len, v.mv_data, sizeof len);
            n += len;
        }
        mdb_cursor_close(c);
    }
    mdb_txn_abort(t);
    return n;
}

enum err store_room(struct store *s, uint64_t disk_low, struct store_room *ret)
{
    MDB_envinfo info;
    MDB_stat st;
    *ret = (struct store_room){ .disk = disk_free(s->dir) };
    if (mdb_env_info(s->env, &info) || mdb_env_stat(s->env, &st))
        return ERR_STORAGE_ERROR;
    uint64_t used = ((uint64_t)info.me_last_pgno + 1) * st.ms_psize;
    ret->map = s->map_size > used ? s->map_size - used : 0;
    if (ret->disk < disk_low || ret->map < s->map_size / 4) { // the file never shrinks, but what was freed in it is used first
        uint64_t freed = free_pages(s) * st.ms_psize;
        ret->disk += freed;
        ret->map += freed;
    }
    return ERR_OK;
}

enum err store_size(struct store *s, uint64_t *ret_used, uint64_t *ret_max)
{
    MDB_envinfo info;
    MDB_stat st;
    if (mdb_env_info(s->env, &info) || mdb_env_stat(s->env, &st))
        return ERR_STORAGE_ERROR;
    *ret_used = ((uint64_t)info.me_last_pgno + 1) * st.ms_psize;
    *ret_max = s->map_size;
    return ERR_OK;
}

void store_reader_check(struct store *s)
{
    int dead = 0;
    if (mdb_reader_check(s->env, &dead) == 0 && dead)
        log_warn("%d dead readers of the database were cleared", dead);
}
