// Happy path: propose hands the batch to the writer thread; that begins a write transaction, applies, commits, and wakes the loop;
// the loop calls done. While it syncs, the next batch gathers in turn.c: group commit without a timer.
#include "consensus_local.h"
#include <stdlib.h>
#include "clock.h"
#include "fault.h"
#include "log.h"
#include "store.h"

enum { LOOK_EVERY = 8 };

struct local {
    struct cons base;
    struct store *store;
    uint64_t min_free, min_map;
    unsigned batches;
    int full, near;        // as last looked at; near the limit each batch looks again, since one may write a mebibyte and more
    uv_thread_t thread;
    uv_mutex_t lock;
    uv_cond_t wake;
    uv_async_t ready;
    struct batch *batch;   // handed to the writer; NULL: idle
    struct batch *decided; // handed back
    enum outcome outcome;
    cons_done_cb *done;
    void *u;
    int stop;
};

static int no_room(struct local *l)
{
    struct store_room r;
    if (l->batches++ % LOOK_EVERY != 0 && !l->near)
        return 0;
    if (store_room(l->store, 2 * l->min_free, &r))
        return 0; // the commit will tell
    l->full = r.disk < l->min_free || r.map < l->min_map;
    l->near = l->full || r.disk < 2 * l->min_free || r.map < 2 * l->min_map;
    return l->full;
}

static enum outcome from_err(enum err e)
{
    switch (e) {
    case ERR_OK: return OUTCOME_APPLIED;
    case ERR_STORAGE_FULL: return OUTCOME_FULL;
    case ERR_STORAGE_ERROR: return OUTCOME_UNKNOWN;
    case ERR_NO_MEMORY: return OUTCOME_BUSY;
    default: return OUTCOME_DAMAGED;
    }
}

static enum outcome decide(struct local *l, struct batch *b)
{
    struct txn *t;
    b->full = no_room(l);
    fault_point("broker_begin");
    enum err e = store_begin(l->store, true, &t);
    if (e)
        return from_err(e);
    e = fsm_apply(t, b);
    if (e) {
        store_abort(t);
        return from_err(e);
    }
    fault_point("broker_applied");
    e = store_commit(t);
    fault_point("broker_committed");
    return from_err(e);
}

static void writer(void *u)
{
    struct local *l = u;
    uv_mutex_lock(&l->lock);
    for (;;) {
        while (!l->batch && !l->stop)
            uv_cond_wait(&l->wake, &l->lock);
        struct batch *b = l->batch;
        if (!b)
            break;
        uv_mutex_unlock(&l->lock);
        uint64_t began_us = clock_mono_us();
        enum outcome st = decide(l, b);
        b->took_us = clock_mono_us() - began_us;
        uv_mutex_lock(&l->lock);
        l->batch = NULL;
        l->decided = b;
        l->outcome = st;
        uv_async_send(&l->ready);
    }
    uv_mutex_unlock(&l->lock);
}

static void ready_cb(uv_async_t *a)
{
    struct local *l = a->data;
    uv_mutex_lock(&l->lock);
    struct batch *b = l->decided;
    enum outcome st = l->outcome;
    l->decided = NULL;
    uv_mutex_unlock(&l->lock);
    if (b)
        l->done(l->u, st, b);
}

static void propose(struct cons *c, struct batch *b, cons_done_cb *done, void *u)
{
    struct local *l = (struct local *)c;
    uv_mutex_lock(&l->lock);
    if (l->batch || l->decided)
        abort(); // one at a time: turn.c's promise
    l->batch = b;
    l->done = done;
    l->u = u;
    uv_cond_signal(&l->wake);
    uv_mutex_unlock(&l->lock);
}

static int role(const struct cons *c, const char **ret_url)
{
    (void)c;
    *ret_url = "";
    return 1;
}

static void stop(struct cons *c)
{
    struct local *l = (struct local *)c;
    uv_mutex_lock(&l->lock);
    l->stop = 1;
    uv_cond_signal(&l->wake);
    uv_mutex_unlock(&l->lock);
    uv_thread_join(&l->thread);
}

enum err cons_local_new(uv_loop_t *loop, struct store *s, uint64_t min_free, uint64_t min_map, struct cons **ret)
{
    static const struct cons_ops ops = { propose, role, stop };
    struct local *l = calloc(1, sizeof *l);
    if (!l)
        return ERR_NO_MEMORY;
    l->base.ops = &ops;
    l->store = s;
    l->min_free = min_free;
    l->min_map = min_map;
    l->ready.data = l;
    if (uv_mutex_init(&l->lock) || uv_cond_init(&l->wake) || uv_async_init(loop, &l->ready, ready_cb) ||
        uv_thread_create(&l->thread, writer, l)) {
        log_error("the writer thread cannot be started");
        return ERR_INTERNAL; // only at start, and the program ends
    }
    uv_unref((uv_handle_t *)&l->ready);
    *ret = &l->base;
    return ERR_OK;
}
