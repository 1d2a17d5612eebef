#include "store_comment.h"
#include "store_task.h"

struct key *comment_key(struct key *k, uint64_t workspace, uint64_t task, uint64_t id)
{
    k->n = 0;
    key_u64(key_u64(k, workspace), task);
    return id ? key_u64(k, id) : k;
}

enum err comment_put(struct work *w, const Rec__Comment *c)
{
    struct key k;
    w->wrote = true;
    return rec_put(w->txn, w->arena, DB_COMMENT, comment_key(&k, c->workspace, c->task, c->id), c);
}

enum err comment_get(struct txn *t, struct arena *a, uint64_t workspace, uint64_t task, uint64_t id, Rec__Comment **ret)
{
    struct key k;
    return id ? rec_get(t, a, DB_COMMENT, comment_key(&k, workspace, task, id), &rec__comment__descriptor, ret) : ERR_NOT_FOUND;
}

// ---------------------------------------------------------------- deleted tasks

static struct key *gone_key(struct key *k, uint64_t workspace, uint64_t task)
{
    k->n = 0;
    return key_u64(key_u64(key_u8(k, INDEX_TASK_GONE), workspace), task);
}

enum err gone_mark(struct work *w, uint64_t workspace, uint64_t task)
{
    struct key k;
    w->wrote = true;
    return store_put(w->txn, DB_INDEX, gone_key(&k, workspace, task), "", 0);
}

enum err gone_is(struct txn *t, uint64_t workspace, uint64_t task, bool *ret)
{
    struct key k;
    struct slice s;
    enum err e = store_get(t, DB_INDEX, gone_key(&k, workspace, task), &s);
    *ret = e == ERR_OK;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

// The first key with this prefix; ret->n is 0 where there is none.
static enum err first_key(struct txn *t, enum store_db db, const struct key *prefix, struct key *ret)
{
    struct cursor c;
    enum err e = cursor_open(&c, t, db, prefix);
    ret->n = 0;
    if (e)
        return e;
    if (cursor_seek(&c, NULL))
        *ret = c.key;
    e = c.err;
    cursor_close(&c);
    return e;
}

static enum err first_gone(struct txn *t, struct key *ret)
{
    struct key prefix = { .n = 0 };
    return first_key(t, DB_INDEX, key_u8(&prefix, INDEX_TASK_GONE), ret);
}

enum err gone_any(struct txn *t, bool *ret)
{
    struct key k;
    enum err e = first_gone(t, &k);
    *ret = k.n != 0;
    return e;
}

// Everything below the prefix, while *left lasts.
static enum err drop_all(struct work *w, enum store_db db, const struct key *prefix, unsigned *left)
{
    struct cursor c;
    enum err e = cursor_open(&c, w->txn, db, prefix);
    if (e)
        return e;
    for (bool on = *left && cursor_seek(&c, NULL); on && !e; on = *left && cursor_next(&c)) {
        w->wrote = true;
        e = cursor_del(&c);
        (*left)--;
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    return e;
}

static enum err drop_session(struct work *w, uint64_t workspace, uint64_t id, unsigned *left)
{
    struct key prefix = { .n = 0 };
    struct session_ref s;
    enum err e = drop_all(w, DB_OUTPUT, key_u64(key_u64(&prefix, workspace), id), left);
    if (e || !*left)
        return e;
    e = session_open(w, workspace, id, &s);
    if (!e && s.s->held) { // cancelled, and its worker has not let go yet
        s.s->held = false;
        work_touch_worker(w, s.s->worker);
        e = session_save(w, &s);
    }
    (*left)--;
    return e ? e : work_del(w, KIND_SESSION, &s.old, s.s);
}

static enum err drop_sessions(struct work *w, uint64_t workspace, uint64_t task, unsigned *left)
{
    struct key prefix = { .n = 0 }, at;
    key_u64(key_u64(key_u8(&prefix, INDEX_SESSION_TASK), workspace), task);
    while (*left) { // each removal changes the index: look anew
        enum err e = first_key(w->txn, DB_INDEX, &prefix, &at);
        if (e || !at.n)
            return e;
        e = drop_session(w, workspace, key_read_u64(at.b + at.n - 8), left);
        if (e)
            return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
    }
    return ERR_OK;
}

enum err gone_sweep(struct work *w, unsigned at_most)
{
    unsigned left = at_most;
    while (left) {
        struct key mark, comments;
        enum err e = first_gone(w->txn, &mark);
        if (e || !mark.n)
            return e;
        uint64_t workspace = key_read_u64(mark.b + 1), task = key_read_u64(mark.b + 9);
        e = drop_all(w, DB_COMMENT, comment_key(&comments, workspace, task, 0), &left);
        if (!e)
            e = drop_sessions(w, workspace, task, &left);
        if (e || !left)
            return e; // the rest another time
        left--;
        e = store_del(w->txn, DB_INDEX, &mark);
        if (e)
            return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
    }
    return ERR_OK;
}
