// The worker's side of its connection to the broker: what it asks for and is told (poll), what it tells (reports, live output),
// and the sessions that come of it.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>
#include "crypto.h"
#include "err.h"
#include "job.h"
#include "netrule.h"

struct link;
struct link_conf {
    uv_loop_t *loop;
    const char *broker;            // addresses, comma list
    const struct peer_key *key;
    unsigned slots;
    unsigned drain_ms;             // how long commands may run on once we drain
    struct spool *spool;
    struct driver_user user;
    unsigned stall_s;
    const struct net_allow *webhook_allow; // lent for ever
    void (*drained)(void *u);      // nothing runs any more, and what the broker would take it has
    void *u;
};
MUST_USE enum err link_new(const struct link_conf *c, struct link **ret);
// One that ended in a former life (from the spool). Before the loop runs. r is lent.
MUST_USE enum err link_restore(struct link *l, const Wire__SessionReport *r);
// Begins to connect.
MUST_USE enum err link_start(struct link *l);
// No new work; what runs may go on for drain_ms. A second call does nothing.
void link_drain(struct link *l);
// Ends everything that runs, now, and spools how it ended. The program is about to end.
void link_stop(struct link *l);
