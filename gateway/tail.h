// What this gateway knows of the log: follows its end by the bus, fetches from the broker what the bus lost and what somebody
// wants to read again, and keeps it rendered in blocks, a cache for each view. Knows no subscriber: who waits for something
// is a list node.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "block.h"
#include "err.h"
#include "event.h"
#include "gateway.h"
#include "list.h"
#include "wire.pb-c.h"

struct tail;

enum tail_answer {
    TAIL_LOOK,   // look again: the block is there now, or its beginning
    TAIL_OLDER,  // `number` is the oldest that is kept: what lies before is gone
    TAIL_GOES_ON, // (check) a client that has seen the number misses nothing
    TAIL_RESYNC, // (check) it does: `number` is the oldest that is kept
};

struct tail_cbs {
    // Every row of the log once, in order, before any view shows it. Lent.
    void (*row)(void *u, const Wire__Row *row);
    void (*grown)(void *u);              // tail_next() moved, or became known
    // Numbers we have shown may not be the log's any more (a backup was restored), or rows can no longer be fetched.
    void (*lost)(void *u);
    void (*answer)(void *u, struct list *waiter, enum tail_answer a, uint64_t number); // the waiter is in no list any more
    void *u;
};

// cache_max: octets of blocks a view may keep.
MUST_USE enum err tail_new(struct gateway *gw, size_t cache_max, const struct tail_cbs *cbs, struct tail **ret);
void tail_free(struct tail *t);      // waiters are left to their owners
void tail_heard(struct tail *t, const uint8_t *data, size_t len); // a BusEvents message
void tail_up(struct tail *t);        // the broker can be asked (again)
void tail_down(struct tail *t);
void tail_tick(struct tail *t);      // once a second: what failed is tried again

bool tail_known(const struct tail *t);    // false until the broker was heard for the first time
bool tail_unheard(const struct tail *t);  // connected, but for seconds neither the bus nor an answer has come
uint64_t tail_epoch(const struct tail *t);
uint64_t tail_next(const struct tail *t); // the number the next row will have

// The block that shows `*number` (moved over a hole of the log first, where there is one). NULL: not in memory, or not
// below tail_next(). Lent until the loop turns, or the tail is called.
const struct block *tail_find(struct tail *t, enum event_view view, uint64_t *number);
// True when the client can go on after `after` by what is in memory alone.
bool tail_certain(const struct tail *t, uint64_t after);
// Ends in answer(), later; leave by list_remove(waiter).
void tail_want(struct tail *t, enum event_view view, uint64_t number, struct list *waiter); // number < tail_next()
void tail_check(struct tail *t, uint64_t after, struct list *waiter);
