// A timer wheel: arming, moving and dropping a time-out is a few list operations, whatever their number. Pure: the time is
// passed in. A time-out never fires early, and late by at most one tick of WHEEL_TICK_MS (and the caller's own delay).
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "list.h"

enum { WHEEL_TICK_MS = 250, WHEEL_SLOTS = 256 };

struct wheel_timer { // embedded in its owner
    struct list at;
    uint64_t due;    // tick; 0: not armed
    void (*fire)(struct wheel_timer *t); // may arm and clear any timer, this one too
};

struct wheel {
    struct list slots[WHEEL_SLOTS];
    uint64_t tick;   // all up to this one have fired
    unsigned armed;
};

void wheel_init(struct wheel *w, uint64_t now_ms);
void wheel_timer_init(struct wheel_timer *t, void (*fire)(struct wheel_timer *t));
// Arms t, or moves it.
void wheel_set(struct wheel *w, struct wheel_timer *t, uint64_t now_ms, uint64_t in_ms);
void wheel_clear(struct wheel *w, struct wheel_timer *t);
void wheel_turn(struct wheel *w, uint64_t now_ms);
