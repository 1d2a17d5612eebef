// The live side of scheduling: which workers are heard, what their polls wait for, which desktop has room and work, who probes it.
// A cache of the store, told only after a commit and rebuilt at start. It decides nothing for good: what it wants (assignments,
// expiries, observations) it proposes, and the command looks at everything again.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "arena.h"
#include "consensus.h"
#include "err.h"
#include "metric.h"
#include "wire.pb-c.h"

struct fleet;
struct hooks;
struct store;
struct turns;

struct fleet_conf {
    struct store *store;
    struct turns *turns;
    struct hooks *hooks;                                     // deliveries to webhooks go to the workers with the rest
    // A held poll is answered: takes the poll (the handle given to fleet_poll). a is lent.
    void (*answer)(void *poll, Wire__Answer *a);
    void (*publish)(void *u, const Wire__Live *live);        // to the gateways, topic L
    enum err (*open_key)(void *u, const uint8_t *sealed, size_t n, struct arena *a, char **ret); // a desktop's chat key, in clear
    void *u;
};
MUST_USE enum err fleet_new(const struct fleet_conf *conf, struct fleet **ret);
// Reads every desktop and worker; proposes a full term for every lease.
MUST_USE enum err fleet_load(struct fleet *f);
void fleet_touched(struct fleet *f, const struct touched *t, size_t n); // after a commit
void fleet_given(struct fleet *f, uint64_t worker);                     // there is something new for it: told with the next of these
void fleet_settle(struct fleet *f);
void fleet_tick(struct fleet *f);                                       // once a second: leases, renewals, lonely desktops

// A worker greeted us: proof and command (WorkerHello) are through. token: what its live messages will carry.
MUST_USE enum err fleet_greeted(struct fleet *f, uint64_t worker, const char *name, uint64_t incarnation, uint8_t token[16]);
bool fleet_current(const struct fleet *f, uint64_t worker, uint64_t incarnation); // no newer one has taken the name over
// Takes the poll: answered now or when there is something to say, within its hold_ms.
void fleet_poll(struct fleet *f, uint64_t worker, const Wire__WorkPoll *m, void *poll);
// It reports: what it says has ended, and the last poll named as running, is a free slot from now on. To be called when the report is
// submitted, so that what is assigned to the slot is decided with it.
void fleet_reported(struct fleet *f, uint64_t worker, const Wire__WorkReport *m);
void fleet_poll_gone(struct fleet *f, void *poll);                      // its connection is gone: not to be answered
void fleet_live(struct fleet *f, const Wire__Live *live);               // heard from a worker

// What queries show beyond the store.
struct fleet_desktop {
    Wire__Metrics metrics;
    uint64_t seen_ms;
};
// The part of a desktop's history that is kept in memory, since when, and the first minute that is not stored yet.
struct fleet_history {
    struct metric_rings *rings; // NULL: not probed since the broker started
    uint64_t since_ms, unsaved;
};
const struct fleet_history *fleet_history(const struct fleet *f, uint64_t desktop);  // NULL: unknown
const struct fleet_desktop *fleet_desktop(const struct fleet *f, uint64_t desktop); // NULL: unknown
// What a worker that is heard has last said of itself, by enum worker_figure; known: which of them. NULL: not heard.
const uint64_t *fleet_figures(const struct fleet *f, uint64_t worker, const uint8_t **ret_known);
bool fleet_worker(const struct fleet *f, uint64_t worker, Wire__Worker *ret);       // fills slots, draining, lastSeen; false: not heard
