// The streams: rows from the bus become frames once a view, and go to every subscriber (contract.md section 4).
// See hub.c for how blocks, cursors and catching up work.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "err.h"
#include "event.h"
#include "exchange.h"
#include "list.h"
#include "wire.pb-c.h"

struct hub;

enum err hub_new(struct gateway *gw, struct hub **ret);
// From the peer: a message of the bus (topic 'E' or 'L').
void hub_heard(struct hub *h, char topic, const uint8_t *data, size_t len);
// The peer greeted the broker (again): look for what was missed.
void hub_up(struct hub *h);
void hub_down(struct hub *h);
// The handler of a stream route, after routing. The credential is looked up by it (a stream holds while the broker is away).
void hub_open(struct hub *h, struct exchange *x, enum event_view view);
// SIGTERM: ends every stream with its last chunk, spread over `spread_ms`.
void hub_drain(struct hub *h, unsigned spread_ms);
unsigned hub_subscribers(const struct hub *h);

// Live output of one session, for GET .../output as text/event-stream (api_output.c): called for every LiveOutput heard.
struct hub_tap {
    uint64_t session;
    void (*output)(struct hub_tap *t, const Wire__LiveOutput *o);
    struct list at;
};
void hub_tap_open(struct hub *h, struct hub_tap *t);
void hub_tap_close(struct hub_tap *t);
