#include "turn.h"
#include <stdlib.h>
#include "arena.h"
#include "clock.h"
#include "crypto.h"
#include "fault.h"
#include "figure.h"

enum { ARENA_MAX = 256 * 1024 * 1024, ROWS_MAX = 64 * 1024 * 1024, PACKED_MAX = 8 * 1024 * 1024 };

struct turns {
    struct cons *cons;
    struct turns_cbs cbs;
    struct list waiting;
    struct proposal *under_way[BATCH_MAX];
    struct batch batch;
    struct arena arena;
    struct buf packed;      // the commands as octets: what a replicated engine would ship, and what the hash chain covers
    uv_idle_t again;        // more waits: the next batch is begun from the loop, not from inside done
    uint64_t log_ms0, mono0;
    uint64_t settled_ms;    // promised by turns_settled_ms
    int busy;
    int failed;             // it is unknown what is on the disk: nothing is decided any more, also not what comes later
    uint32_t alone;         // this many are taken one by one
    struct turns_counts counts;
};

uint64_t turn_log_ms(const struct turns *t)
{
    return t->log_ms0 + (clock_mono_ms() - t->mono0);
}

uint64_t turns_settled_ms(struct turns *t)
{
    uint64_t now_ms = t->busy ? t->batch.now_ms : clock_wall_ms();
    if (now_ms > t->settled_ms)
        t->settled_ms = now_ms;
    return t->settled_ms;
}

enum err turn_err(enum outcome st)
{
    switch (st) {
    case OUTCOME_APPLIED: return ERR_OK;
    case OUTCOME_NOT_LEADER: return ERR_NOT_LEADER;
    case OUTCOME_UNKNOWN: return ERR_OUTCOME_UNKNOWN;
    case OUTCOME_FULL: return ERR_STORAGE_FULL;
    case OUTCOME_DAMAGED: return ERR_CORRUPT;
    case OUTCOME_BUSY: break;
    }
    return ERR_OVERLOADED;
}

static void begin(struct turns *t);

// A damaged record, or too little room, may be one command's fault alone: the batch is tried again one by one.
static void split(struct turns *t, uint32_t n)
{
    for (uint32_t i = n; i-- > 0;)
        list_push_front(&t->waiting, &t->under_way[i]->at);
    t->alone = n;
}

static void decided_cb(void *u, enum outcome st, struct batch *b)
{
    struct turns *t = u;
    uint32_t n = b->n;
    t->busy = 0;
    if ((st == OUTCOME_FULL || st == OUTCOME_DAMAGED) && n > 1) {
        split(t, n);
        begin(t);
        return;
    }
    fault_point("turn_decided");
    for (uint32_t i = 0; i < n; i++) {
        t->under_way[i]->done(t->under_way[i], st, b);
        fault_point("turn_answered");
    }
    if (st == OUTCOME_APPLIED) {
        t->counts.commands += n;
        t->counts.turns++;
        t->counts.events += b->n_rows;
        prom_observe(&t->counts.took_us, b->took_us);
        prom_observe(&t->counts.size, n);
        t->cbs.committed(t->cbs.u, b);
    } else if (st == OUTCOME_UNKNOWN) {
        t->failed = 1;
        t->cbs.fatal(t->cbs.u);
    }
    if (!t->busy)
        begin(t);
}

// Room for one more in the batch; its octets go into `packed`.
static int take(struct turns *t, struct proposal *p)
{
    size_t n = wire__item__get_packed_size(p->cmd.item);
    if (t->batch.n && t->packed.len + n > BATCH_OCTETS_MAX)
        return 0;
    uint8_t *to = buf_reserve(&t->packed, n);
    if (to) {
        wire__item__pack(p->cmd.item, to);
        t->packed.len += n;
    }
    list_remove(&p->at);
    t->under_way[t->batch.n] = p;
    t->batch.cmds[t->batch.n++] = &p->cmd;
    return 1;
}

static void begin(struct turns *t)
{
    struct batch *b = &t->batch;
    uint32_t most = t->alone ? 1 : BATCH_MAX;
    if (t->busy || t->failed || list_empty(&t->waiting))
        return;
    if (t->alone)
        t->alone--;
    arena_reset(&t->arena);
    buf_reset(&t->packed);
    b->n = 0;
    b->touched = NULL;
    b->n_touched = b->touched_cap = 0;
    while (b->n < most && !list_empty(&t->waiting))
        if (!take(t, container_of(t->waiting.next, struct proposal, at)))
            break;
    crypto_hash(b->hash, t->packed.data, t->packed.len);
    b->now_ms = clock_wall_ms();
    if (b->now_ms < t->settled_ms)
        b->now_ms = t->settled_ms; // the clock was set back
    b->log_ms = turn_log_ms(t);
    t->busy = 1;
    t->cons->ops->propose(t->cons, b, decided_cb, t);
}

static void again_cb(uv_idle_t *i)
{
    struct turns *t = i->data;
    uv_idle_stop(i);
    begin(t);
}

void turn_submit(struct turns *t, struct proposal *p)
{
    list_push_back(&t->waiting, &p->at);
    if (!t->busy) // begun once the loop has handled everything that came with this one
        uv_idle_start(&t->again, again_cb);
}

const struct turns_counts *turns_counts(const struct turns *t)
{
    return &t->counts;
}

int turns_idle(const struct turns *t)
{
    return !t->busy && (t->failed || list_empty(&t->waiting));
}

enum err turns_new(uv_loop_t *loop, struct cons *cons, uint64_t log_ms0, const struct turns_cbs *cbs, struct turns **ret)
{
    struct turns *t = calloc(1, sizeof *t);
    if (!t)
        return ERR_NO_MEMORY;
    t->cons = cons;
    t->cbs = *cbs;
    t->log_ms0 = log_ms0;
    t->mono0 = clock_mono_ms();
    prom_hist_init(&t->counts.took_us, figure_time_bounds, sizeof figure_time_bounds / sizeof *figure_time_bounds);
    prom_hist_init(&t->counts.size, figure_turn_bounds, sizeof figure_turn_bounds / sizeof *figure_turn_bounds);
    list_init(&t->waiting);
    arena_init(&t->arena, ARENA_MAX);
    buf_init(&t->packed, PACKED_MAX);
    buf_init(&t->batch.rows, ROWS_MAX);
    t->batch.arena = &t->arena;
    t->again.data = t;
    if (uv_idle_init(loop, &t->again)) {
        free(t);
        return ERR_INTERNAL;
    }
    uv_unref((uv_handle_t *)&t->again);
    *ret = t;
    return ERR_OK;
}
