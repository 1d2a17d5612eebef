#include "sweep.h"
#include "fault.h"
#include "store.h"
#include "store_comment.h"

enum { LOOK_EVERY = 20, QUIET_LOOKS = 60, AT_LEAST = 128, AT_MOST = 4096 };

void sweeps_init(struct sweeps *s, struct store *store, struct turns *turns)
{
    *s = (struct sweeps){ .store = store, .turns = turns };
}

static void done_cb(struct proposal *p, enum outcome st, const struct batch *b)
{
    (void)st;
    (void)b;
    container_of(p, struct sweeps, p)->under_way = false;
}

static void propose(struct sweeps *s, uint64_t newest)
{
    uint64_t came = s->swept ? newest - s->swept : 0;
    if (s->under_way)
        return;
    s->swept = newest;
    s->item = (Wire__Item)WIRE__ITEM__INIT;
    s->body = (Wire__Tick)WIRE__TICK__INIT;
    // more than came, or the log would grow for ever
    s->body.at_most = came * 2 > AT_MOST ? AT_MOST : came * 2 > AT_LEAST ? (uint32_t)came * 2 : AT_LEAST;
    s->item.body_case = WIRE__ITEM__BODY_TICK;
    s->item.tick = &s->body;
    s->p = (struct proposal){ .cmd = { .item = &s->item, .sender = SENDER_BROKER }, .done = done_cb };
    s->under_way = true;
    turn_submit(s->turns, &s->p);
    fault_point("tick_asked");
}

// Retention and sweeps, a few records at a time, while events come; in quiet times every ten minutes, for what grows old.
static void look(struct sweeps *s, uint64_t newest)
{
    s->quiet = newest == s->seen ? s->quiet + 1 : 0;
    s->seen = newest;
    if (s->quiet <= 1 || s->quiet % QUIET_LOOKS == 0)
        propose(s, newest);
}

// What deleted tasks left goes step by step, without waiting for the next look.
static void look_for_gone(struct sweeps *s, uint64_t newest)
{
    struct txn *t;
    bool any = false;
    if (s->under_way || store_begin(s->store, false, &t))
        return;
    enum err e = gone_any(t, &any);
    store_abort(t);
    if (!e && any)
        propose(s, newest);
}

void sweeps_tick(struct sweeps *s, uint64_t newest)
{
    if (++s->ticks % LOOK_EVERY == 0)
        look(s, newest);
    else
        look_for_gone(s, newest);
}
