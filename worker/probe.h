// Looks after the desktops the broker gave us to watch: their cpu, memory and disk every 5 s, and whether their agents answer.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <uv.h>
#include "err.h"
#include "wire.pb-c.h"

struct probe;
struct probe_conf {
    uv_loop_t *loop;
    const char *home; // the disk is the one this directory is on
    void (*changed)(void *u);                                            // an observation differs from before: poll soon
    void (*measured)(void *u, Wire__LiveMetrics **m, size_t n);          // to be published; lent
    void *u;
};
MUST_USE enum err probe_new(const struct probe_conf *c, struct probe **ret);
// The whole list of desktops from now on; copied.
void probe_targets(struct probe *p, Wire__ProbeTarget *const *targets, size_t n);
// How many there are, and how often one of them was measured since the start.
void probe_counts(const struct probe *p, uint64_t *ret_targets, uint64_t *ret_measured);
// Those whose state differs from what the broker believes. Lent until the next call or turn.
size_t probe_observations(struct probe *p, Wire__Observation ***ret);
