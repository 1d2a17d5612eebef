// What leaves the broker unasked: after each commit its rows on the bus, and when it is quiet twice a second where the log stands.
#pragma once
#include <stdint.h>
#include "consensus.h"
#include "err.h"
#include "wire.pb-c.h"

struct outbox;
struct bus_pub;

// Messages and octets published since the start.
void outbox_counts(const struct outbox *o, uint64_t *ret_messages, uint64_t *ret_octets);
MUST_USE enum err outbox_new(struct bus_pub *pub, struct outbox **ret);
void outbox_committed(struct outbox *o, const struct batch *b);
// Every 500 ms: says the newest number if nothing was said since the last call.
void outbox_tick(struct outbox *o, uint64_t epoch, uint64_t newest);
void outbox_live(struct outbox *o, const Wire__Live *live);
