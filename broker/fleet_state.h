// The fleet's state, shared by its parts: fleet.c keeps it, fleet_live.c adds what is heard live, orders.c reads it, own.c makes the
// proposals. Nobody else includes this.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "arena.h"
#include "crypto.h"
#include "figure.h"
#include "fleet.h"
#include "list.h"
#include "map.h"
#include "metric.h"

struct desktop {
    uint64_t id, workspace;
    uint32_t status, max_tasks;
    uint64_t held, waiting;       // as committed
    unsigned in_flight;           // assignments proposed and not decided
    uint64_t prober;              // worker; 0: none
    uint64_t lonely_since;        // log time since when nobody probes it
    uint64_t agent;
    bool agent_ready;
    bool stale;                   // an assignment was refused: look again
    char *error, *ip, *name;
    uint8_t chat[HASH_SIZE];      // of the endpoint's address and sealed key: whoever probes it is told when they change
    struct fleet_desktop live;
    struct fleet_history history; // 51 kB once it is probed; begins anew with the broker
    uint32_t alert[METRIC_N];     // enum metric_alert, as committed
    bool alerting;                // a crossing is proposed and not decided
    uint64_t alerted;             // log time of the last that was proposed
    struct list all, ready;
};

// A workspace's thresholds, as committed.
struct limits {
    uint32_t threshold[METRIC_N];
};

struct worker {
    uint64_t id, incarnation;
    char name[PEER_NAME_MAX + 1];
    bool live;                    // greeted, and the lease has not run out
    bool expired;                 // its end is committed, or on its way
    uint64_t heard, renewed;      // log times
    uint64_t seen_ms;
    uint32_t slots, free, probes;
    bool draining;
    unsigned in_flight;
    uint64_t hold_until;          // log time
    void *poll;                   // NULL: none held
    Wire__Holding *running;       // what the poll named
    size_t n_running;
    uint64_t probes_number;       // of the list of desktops it was last given; above 1
    bool probes_dirty, dirty;
    uint64_t figures[WORKER_FIGURE_N]; // as last told
    uint8_t figured[WORKER_FIGURE_N];  // which it told
    uint8_t token[16];
    struct list all;
};

struct fleet {
    struct fleet_conf conf;
    struct map desktops, workers; // by id
    struct map limits;            // by workspace
    struct map assigning;         // by task: an assignment is under way
    bool sampling;                // a Sample is under way
    uint64_t sampled;             // the minute in which all before it was stored, or given up until the next
    struct list all_desktops, all_workers, ready;
    struct arena arena;           // of one call
    unsigned live;
};

// The worker's last poll named this session.
bool worker_named(const struct worker *w, uint64_t session);
// Once a minute, all of the history that is over goes to the store: some desktops at a time, the next when those are there.
void fleet_sample(struct fleet *f);
