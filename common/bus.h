// nng's home: requests and replies, publish and subscribe, on a libuv loop. nng's own threads only push onto a lock-free
// list and wake the loop; every callback here runs on the loop's thread, and every function must be called
// there. Endpoints live as long as the process: nothing here is closed but by the canary, which looks twice a second. It connects
// to our own listeners, and listens anew when two tries in a row bring no pipe; and it gives a dialling socket that stands alone for
// four seconds a new dialer.
//
// Addresses: ipc:///path (0660; peers of another uid are refused unless they are root or share the socket's group),
// tcp://127.0.0.1:PORT (loopback only).
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <uv.h>
#include "err.h"
#include "list.h"

struct bus;
enum { BUS_MSG_MAX = 4 * 1024 * 1024 }; // what a gateway or worker accepts from the broker; listeners take their own limit

MUST_USE enum err bus_new(uv_loop_t *loop, struct bus **ret);

// ---- serving requests (REP contexts: 16 at start, more as they are taken by held requests, at most max_held)
struct bus_server;
struct bus_request {
    struct list at;       // the holder's to use
    uint32_t pipe;        // the connection it came by
    const uint8_t *data;  // lent until bus_reply
    size_t len;
    void *u;              // the holder's to use
};
struct bus_server_cbs {
    void (*request)(void *u, struct bus_request *r); // gives r: answer it with bus_reply, soon or much later, exactly once
    void (*pipe_gone)(void *u, uint32_t pipe);       // requests of that pipe still have to be replied to; also told of pipes that
                                                     // never asked (the canary's); may be NULL
    void *u;
};
MUST_USE enum err bus_serve(struct bus *b, const char *url, size_t msg_max, unsigned max_held, const struct bus_server_cbs *cbs,
                            struct bus_server **ret);
// Takes r. data is copied. A peer that is gone is no error.
void bus_reply(struct bus_request *r, const void *data, size_t len);

// ---- asking (REQ contexts over one connection; resend is off)
struct bus_client;
struct bus_call {         // embedded in the asker's own struct; must stay until cb
    // ERR_OK and the reply (lent), ERR_TIMEOUT, ERR_CLOSED (the connection broke: outcome unknown), ERR_NO_MEMORY
    void (*cb)(struct bus_call *c, enum err e, const uint8_t *data, size_t len);
    struct list at;       // bus.c's
    void *impl;           // bus.c's
};
// connected(u, 1 or 0): as connections come and go. Dials without blocking, for ever, 50 ms to 2 s apart.
MUST_USE enum err bus_dial(struct bus *b, const char *url, void (*connected)(void *u, int up), void *u, struct bus_client **ret);
// Always ends in one cb, never before it has returned. data is copied.
void bus_call(struct bus_client *c, struct bus_call *call, const void *data, size_t len, unsigned timeout_ms);

// ---- publish and subscribe. A message is one topic octet and the data. Lossy by nature: the oldest go first.
struct bus_pub;
struct bus_sub;
MUST_USE enum err bus_pub_listen(struct bus *b, const char *url, struct bus_pub **ret);
MUST_USE enum err bus_pub_dial(struct bus *b, const char *url, struct bus_pub **ret);
void bus_publish(struct bus_pub *p, char topic, const void *data, size_t len);
typedef void bus_event_cb(void *u, char topic, const uint8_t *data, size_t len);
// topics: each character is one to subscribe to.
MUST_USE enum err bus_sub_listen(struct bus *b, const char *url, const char *topics, size_t msg_max, bus_event_cb *cb, void *u,
                                 struct bus_sub **ret);
MUST_USE enum err bus_sub_dial(struct bus *b, const char *url, const char *topics, bus_event_cb *cb, void *u, struct bus_sub **ret);

// Stops accepting and lets go of what the loop waits for, so that uv_run returns; nng itself is left to the end of the process
// (nng_close can deadlock in 1.5.2). No callback comes after it; replies may still be sent. The loop must not be closed: nng's
// threads may still ring it. Leave main with _exit after flushing.
void bus_stop(struct bus *b);
