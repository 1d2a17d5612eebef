// Queries: read-only answers from one read transaction, never across loop turns. O(limit) for lists, O(1) for the overview but for
// its list of desktops.
#pragma once
#include "arena.h"
#include "figure.h"
#include "fleet.h"
#include "record.pb-c.h"
#include "store.h"
#include "wire.pb-c.h"

// What the running program knows of itself, for the query of figures: filled by main.c.
struct program_figures {
    uint64_t value[BROKER_FIGURE_N];
    const struct prom_hist *took_us, *size; // of turns
};
typedef void program_figures_cb(void *u, struct program_figures *ret);

struct query {
    struct store *store;
    struct fleet *fleet;
    program_figures_cb *figures;
    void *figures_u;
    struct txn *txn;          // set by query_begin
    struct arena *arena;      // of the answer
    uint64_t newest, epoch, oldest, workers, now_ms;
    uint64_t newest_ms;       // wall time of the last batch: never goes back, whatever the clock does
    uint64_t settled_ms;      // no row to come will have an earlier time; given before query_begin
    uint64_t workspace;       // of the actor
    uint64_t user;
    uint32_t role;
};

// Opens the read transaction and reads the counters. On success query_end must follow.
MUST_USE enum err query_begin(struct query *q);
void query_end(struct query *q);
// True for items that are queries.
int query_is(Wire__Item__BodyCase body);
// Fills a: answers and refusals alike. Everything lent by the arena, until it is reset.
void query_run(struct query *q, const Wire__Item *item, Wire__Answer *a);

// For the greeting: a peer by role and name. ERR_NOT_FOUND.
MUST_USE enum err query_peer(struct query *q, unsigned role, const char *name, Rec__Peer **ret);
