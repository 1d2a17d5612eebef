// One connection: from accept to the last handle closed. What handlers see of it is its exchange (exchange.h).
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <uv.h>
#include "exchange.h"
#include "http_in.h"
#include "server.h"

enum conn_state {
    CONN_HEAD,   // between requests, or inside a head
    CONN_ASKED,  // handlers->head() was called; neither body nor answer yet
    CONN_BODY,   // the body is being read
    CONN_ANSWER, // handlers->body() was called
    CONN_STREAM, // exchange_begin() was called
    CONN_FLUSH,  // the answer has ended, but not all of it is with the kernel yet
    CONN_LINGER, // our FIN is out; what still comes is dropped until theirs, at most 2 s
    CONN_CLOSED
};

struct incoming {              // one request while it is being read and answered; kept in server->spare between requests
    struct list at;
    struct http_in in;
    struct buf body, fields;   // fields: of the answer, added by the handler
    bool added_cache, added_retry, added_auth, wants_body;
    size_t body_max;
    uint64_t asked_us;         // the end of the head, exactly; 0: none
    uint64_t began_ms;         // of the body
};

struct conn {                  // with an idle stream this, its malloc header and nothing else of ours: keep it below 1 KiB
    struct exchange x;
    uv_tcp_t tcp;
    struct server *server;
    struct list at, ready;
    struct wheel_timer timer;
    struct incoming *rq;       // NULL between requests, and once a stream has begun
    struct exchange_stream *stream;
    struct flight *flight;     // the write that libuv is working on
    struct buf out;            // what waits behind it
    struct buf in;             // octets read before they were wanted; reading pauses meanwhile
    const uint8_t *cur;        // inside conn_go(): the octets at hand
    size_t cur_n;
    struct tls_conn *tls;
    char *log_target;          // for the access log, of a stream
    uint64_t asked_ms;         // the request's first octet, then the end of its head
    uint64_t answered_n;       // octets of the answer's body
    uint64_t queued_n, seen_n; // octets ever given to the socket; of these gone when last looked (no progress: cut off)
    size_t held;               // its part of server->held
    unsigned status;
    uint8_t peer[ADDRESS_SIZE];
    enum conn_state state;
    bool reading, eof, going, close_after, broken, bodyless, used, trusted_peer;
};

// Accepts from the listener. The connection takes care of itself from here on.
MUST_USE enum err conn_accept(struct server *s, uv_stream_t *listener);
// For the drain: closes one that stands between two requests.
void conn_close_idle(struct conn *c);
// The work of server->ready.
void conn_ready(struct conn *c);

// One of server->spare, taken out of it.
void conn_free_spare(struct list *n);

// ---- for out.c and exchange.c
void conn_lost(struct conn *c);              // the client is gone: tells the handler, closes
void conn_resume(struct conn *c);            // from a callback of the loop: what waits can go on
void conn_broke(struct conn *c);             // as conn_lost(), but from the loop
void conn_wake(struct conn *c);              // conn_ready() will be called, from the loop
void conn_drop_request(struct conn *c);      // rq goes back to the spare ones
void conn_keep_target(struct conn *c);       // for the access log, before conn_drop_request
void conn_answered(struct conn *c);          // the answer has ended: log, then the next request or the end
