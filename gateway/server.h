// The listeners and what all connections share: one read buffer, one timer wheel, the limits, the drain.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>
#include "buf.h"
#include "err.h"
#include "exchange.h"
#include "gateway.h"
#include "http_out.h"
#include "list.h"
#include "tls.h"
#include "trust.h"
#include "wheel.h"

enum {
    SERVER_READ_MAX = 64 * 1024,           // of one read
    SERVER_HELD_MAX = 128 * 1024 * 1024,   // heads, bodies and unread octets of all connections together; over it 503
    SERVER_LISTENERS_MAX = 8,
    SERVER_SPARE_MAX = 256,                // request states kept for the next requests
};

struct server_conf {
    struct gateway *gw;
    const struct exchange_handlers *handlers;
    const struct trust *trust;
    struct tls *tls;                       // NULL: plain
    unsigned max_connections;
    bool access_log;
};

struct server {
    struct server_conf conf;
    uv_tcp_t listeners[SERVER_LISTENERS_MAX];
    bool waiting[SERVER_LISTENERS_MAX];    // a connection that could not be accepted yet
    unsigned n_listeners;
    struct list conns;                     // of struct conn
    unsigned n_conns;
    struct list ready;                     // connections that must go on outside the stack of whoever made them ready
    uv_idle_t idle;                        // runs while `ready` has some
    struct wheel wheel;
    uv_timer_t tick;
    bool ticking;
    struct list spare;                     // of struct incoming
    unsigned n_spare;
    size_t held;
    uint8_t *read, *plain;                 // SERVER_READ_MAX each: what was read; what TLS made of it
    struct buf head, body;                 // for writing an answer
    char date[HTTP_DATE_SIZE];
    uint64_t date_s;
    uint64_t id_key, id_next;              // X-Request-Id
    bool draining;
    uint64_t drain_since_ms;
    uv_timer_t drain;
    void (*drained)(void *u);
    void *drained_u;
};

MUST_USE enum err server_new(const struct server_conf *conf, struct server **ret);
// For tests, once the loop has closed all its handles: a gateway's server lives as long as its process.
void server_free(struct server *s);
// "127.0.0.1:8080", "[::1]:0", "localhost:8080". ret_at: where it listens now ("127.0.0.1:40123"); why: a line for people.
MUST_USE enum err server_listen(struct server *s, const char *address, char ret_at[64], unsigned *ret_port, char why[160]);
// A listening or bound TCP socket from elsewhere (systemd); taken.
MUST_USE enum err server_listen_fd(struct server *s, int fd, char ret_at[64], unsigned *ret_port);
// Stops accepting; connections that stand idle are closed after a second (so that a balancer can still hear the 503 of /readyz),
// the others when their answer has been sent. drained() once there is none left.
void server_drain(struct server *s, void (*drained)(void *u), void *u);

// ---- for conn.c and exchange.c
uint64_t server_now(const struct server *s);
const char *server_date(struct server *s);
uint64_t server_request_no(struct server *s);  // of the next request; never 0
enum { REQUEST_ID_SIZE = 33 };
void server_request_id(const struct server *s, uint64_t request_no, char out[REQUEST_ID_SIZE]);
void server_arm(struct server *s, struct wheel_timer *t, uint64_t in_ms);
void server_disarm(struct server *s, struct wheel_timer *t);
// conn_ready() will be called for those in `ready`.
void server_wake(struct server *s);
// A connection is gone: room for another.
void server_left(struct server *s);
