// The broker's own commands that take away what is old: it proposes a Tick (cmd_tick.c), one at a time.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "turn.h"

struct store;
struct sweeps {            // the owner's; stays until its turns end
    struct store *store;
    struct turns *turns;
    struct proposal p;
    Wire__Item item;
    Wire__Tick body;
    bool under_way;
    unsigned ticks, quiet; // quiet: looks in a row that saw nothing new
    uint64_t seen, swept;  // the newest event at the last look, and when it last proposed
};
void sweeps_init(struct sweeps *s, struct store *store, struct turns *turns);
// Twice a second. newest: the newest event.
void sweeps_tick(struct sweeps *s, uint64_t newest);
