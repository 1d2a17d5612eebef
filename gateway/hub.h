// The streams: rows from the bus become frames once a view, and go to every subscriber (contract.md section 4).
// See hub.c for how blocks, cursors and catching up work.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "cred.h"
#include "err.h"
#include "event.h"
#include "exchange.h"
#include "list.h"
#include "wire.pb-c.h"

struct hub;

enum err hub_new(struct gateway *gw, struct hub **ret);
// For tests: a gateway's hub lives as long as its process. Streams must be gone, the loop must run once more after it.
void hub_free(struct hub *h);
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
// The broker is connected, but stands still.
bool hub_unheard(const struct hub *h);

// The beginning of every stream: "retry: ..." with jitter and a comment, and an id line when id is not NULL, so that a client
// that is cut off before its first frame goes on from here. Returns the length.
enum { HUB_HELLO_MAX = 96 };
size_t hub_hello(char out[HUB_HELLO_MAX], const uint64_t *id);
enum { HUB_HEARTBEAT_S = 30 };
// The comment that keeps a quiet stream alive; the id line moves the client's Last-Event-ID on without dispatching anything.
size_t hub_heartbeat(char out[HUB_HELLO_MAX], const uint64_t *id);

// Live output of one session, for GET .../output as text/event-stream (api_output.c).
struct hub_tap {
    uint64_t task, session;    // 0: not known yet
    void (*output)(struct hub_tap *t, const Wire__LiveOutput *o); // each LiveOutput heard of the session; may close the tap
    void (*row)(struct hub_tap *t);  // a session of the task began or ended, or the broker is back; may close the tap
    void (*tick)(struct hub_tap *t); // once a second; may close the tap
    void (*drain)(struct hub_tap *t); // we stop, or the key is no longer good: end the answer; closes the tap
    const struct actor *actor; // whose it is; its key is 0 while that is not known
    struct list at;
};
void hub_tap_open(struct hub *h, struct hub_tap *t);
// Each key or session that has streams open: it is in use.
void hub_each_owner(struct hub *h, uint64_t now_ms, cred_seen *told, void *u);
void hub_tap_close(struct hub_tap *t);
