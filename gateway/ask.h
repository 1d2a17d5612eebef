// Requests to the broker: what one loop turn asks goes out as one message (commands and queries apart, 64 items at most), and
// each answer finds its asker. Knows the newest event number this gateway has seen, from answers and the bus alike.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "err.h"
#include "exchange.h"
#include "list.h"
#include "wire.pb-c.h"

struct ask;
struct peer;

struct ask_call {          // embedded in the asker's struct, until cb or ask_cancel
    // a: lent; NULL when e is an error of the way (ERR_UNAVAILABLE, ERR_OUTCOME_UNKNOWN, ERR_OVERLOADED) - an error the broker
    // answered is in e too, with a->field and a->text. newest: the event number the answer reflects.
    void (*cb)(struct ask_call *c, enum err e, const Wire__Answer *a, uint64_t newest);
    struct list at;
    void *impl;
};

enum err ask_new(struct gateway *gw, struct ask **ret);
// For tests: a gateway's lives as long as its process. Nothing may be on its way; the loop must run once more after it.
void ask_free(struct ask *a);
// The item is packed before this returns. body_case and the body pointer must be set; actor is filled from `actor` (may be
// NULL). Always ends in one cb within 2 s, never before it has returned, unless cancelled.
void ask_send(struct ask *a, struct ask_call *c, const struct actor *actor, Wire__Item *item);
// The answer is dropped when it comes; c may be freed at once. Harmless after cb.
void ask_cancel(struct ask_call *c);

uint64_t ask_newest(const struct ask *a);
uint64_t ask_epoch(const struct ask *a);
void ask_saw(struct ask *a, uint64_t epoch, uint64_t newest); // the hub, from the bus
