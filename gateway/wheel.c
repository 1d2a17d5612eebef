// A time-out lies in the slot of its tick modulo the number of slots; one that is further away than a round stays in its slot
// until the round in which it is due.
#include "wheel.h"
#include <stddef.h>

void wheel_init(struct wheel *w, uint64_t now_ms)
{
    for (unsigned i = 0; i < WHEEL_SLOTS; i++)
        list_init(&w->slots[i]);
    w->tick = now_ms / WHEEL_TICK_MS;
    w->armed = 0;
}

void wheel_timer_init(struct wheel_timer *t, void (*fire)(struct wheel_timer *t))
{
    list_init(&t->at);
    t->due = 0;
    t->fire = fire;
}

void wheel_clear(struct wheel *w, struct wheel_timer *t)
{
    if (!t->due)
        return;
    list_remove(&t->at);
    t->due = 0;
    w->armed--;
}

void wheel_set(struct wheel *w, struct wheel_timer *t, uint64_t now_ms, uint64_t in_ms)
{
    if (t->due)
        list_remove(&t->at);
    else if (w->armed++ == 0 && w->tick < now_ms / WHEEL_TICK_MS)
        w->tick = now_ms / WHEEL_TICK_MS; // nobody turned it while it was empty
    t->due = (now_ms + in_ms + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS;
    if (t->due <= w->tick)
        t->due = w->tick + 1;
    list_push_back(&w->slots[t->due % WHEEL_SLOTS], &t->at);
}

static void turn_slot(struct wheel *w, struct list *slot, uint64_t now)
{
    struct list due, *n;

    list_init(&due);
    list_take(&due, slot);
    while ((n = list_pop_front(&due))) {
        struct wheel_timer *t = container_of(n, struct wheel_timer, at);
        if (t->due > now) {
            list_push_back(slot, n);
            continue;
        }
        t->due = 0;
        w->armed--;
        t->fire(t);
    }
}

void wheel_turn(struct wheel *w, uint64_t now_ms)
{
    uint64_t now = now_ms / WHEEL_TICK_MS, from = w->tick + 1;

    if (now < from)
        return;
    if (now - from >= WHEEL_SLOTS) // after a long pause each slot once is enough
        from = now - WHEEL_SLOTS + 1;
    w->tick = now;
    for (uint64_t tick = from; tick <= now; tick++)
        turn_slot(w, &w->slots[tick % WHEEL_SLOTS], now);
}
