// The live side of webhooks: which of them wait for the log to bring something, which have something to deliver and when, and which
// worker has been given it. A cache of the store, told only after a commit and rebuilt at start: what comes next (HookNext) is
// proposed, and what came of an attempt (HookReport) is a worker's to say; the commands look at everything again.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>
#include "arena.h"
#include "consensus.h"
#include "err.h"
#include "wire.pb-c.h"

struct hooks;
struct store;
struct turns;
struct txn;

struct hooks_conf {
    uv_loop_t *loop;
    struct store *store;
    struct turns *turns;
    const uint8_t *seal_key;                                 // SEAL_KEY_SIZE octets; needed by hooks_new alone
    uint64_t retry_base_ms;
    void (*given)(void *u, uint64_t worker);                 // it has been given a delivery: it is to be told, at the latest in `settled`
    void (*settled)(void *u);
    enum err (*open_key)(void *u, const uint8_t *sealed, size_t n, struct arena *a, char **ret); // a webhook's secret, in clear
    void *u;
};
MUST_USE enum err hooks_new(const struct hooks_conf *conf, struct hooks **ret);
MUST_USE enum err hooks_load(struct hooks *h, uint64_t newest);
void hooks_committed(struct hooks *h, const struct batch *b);
void hooks_tick(struct hooks *h);                            // once a second: leases, what was refused for want of room

// A worker polls: how many it takes, and which it has. Those it was given and does not name are in the next hooks_orders.
void hooks_polled(struct hooks *h, uint64_t worker, const Wire__WorkPoll *m);
// It is lost, or has begun anew: what it had is given to others.
void hooks_worker_gone(struct hooks *h, uint64_t worker);
// What the worker is to be told, lent by the arena: for WorkOrders.hooks.
MUST_USE enum err hooks_orders(struct hooks *h, struct txn *t, struct arena *a, uint64_t worker, Wire__HookOrder ***ret, size_t *ret_n);

// A worker's report, before it becomes a command: ERR_STALE_ATTEMPT unless the attempt was that worker's to make. Fills in what the
// command needs besides.
MUST_USE enum err hooks_report(struct hooks *h, uint64_t worker, Wire__HookReport *m);
// Up to here the log holds nothing for the webhook, but for what it is delivering. 0: not known.
uint64_t hooks_passed(const struct hooks *h, uint64_t webhook);
