// One program's connection to the broker: dialling, the greeting with its proof, requests that survive a reconnect, the bus.
// Used by gateways and workers alike. All on the loop's thread.
//
// A request is sent again with the same numbers (so the broker answers a repeat, it does not repeat the work) when the
// connection broke or the broker did not know us yet, until its deadline. Then: ERR_UNAVAILABLE when it was certainly never
// taken, ERR_OUTCOME_UNKNOWN when it may have been.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>
#include "crypto.h"
#include "err.h"
#include "list.h"
#include "wire.pb-c.h"

struct peer;
struct peer_conf {
    uv_loop_t *loop;
    const char *urls;              // comma list; the first that greets us is used, the next tried when it does not answer for 1 s
    const struct peer_key *key;
    const char *topics;            // of the bus to hear: "EL"; "" for none
    uint64_t incarnation;          // workers
    // Fills the sessions to name in the greeting (workers); may be NULL. *ret lent until the next call. False: no memory, the greeting is
    // tried again (to a broker, what a worker that started anew does not name is lost).
    bool (*holds)(void *u, const uint64_t **ret, size_t *ret_n);
    void (*up)(void *u, const Wire__Welcome *w);   // greeted (again)
    void (*down)(void *u);                         // connection lost, or the broker refused us (the log says why)
    void (*heard)(void *u, char topic, const uint8_t *data, size_t len);
    void *u;
};
MUST_USE enum err peer_new(const struct peer_conf *conf, struct peer **ret);
bool peer_is_up(const struct peer *p);

struct peer_call {                 // embedded in the asker's own struct; must stay until cb
    // reply: lent; NULL unless e is ERR_OK. Errors of single items are in its answers.
    void (*cb)(struct peer_call *c, enum err e, const Wire__Reply *reply);
    bool repeated;                 // peer.c's, in cb: this is the reply to a repeat, and the broker may have taken what was sent before it
    struct list at;                // peer.c's from here on
    void *impl;
};
// Packs the items (their `number`s are given here, in order; lent, unpacked fields untouched) into one request. At most 64.
// Always ends in one cb, never before peer_ask has returned.
void peer_ask(struct peer *p, struct peer_call *call, Wire__Item **items, size_t n, unsigned timeout_ms);
// Workers: publishes one Live message (token filled in by peer.c). Lossy.
void peer_publish_live(struct peer *p, Wire__Live *live);
// No callback comes after it, whatever is still outstanding; the rest as bus_stop.
void peer_stop(struct peer *p);
