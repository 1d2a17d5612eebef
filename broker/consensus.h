// The seam: the only way to change state. A batch of commands is given its time and proposed; the engine decides it, every
// broker applies it to its own store and gets the same answers, rows and numbers. Today's engine is local: one durable LMDB
// transaction (consensus_local.c); a replicated log of batches fits behind the same four outcomes.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "err.h"
#include "wire.pb-c.h"

struct arena;
enum { BATCH_MAX = 256, BATCH_OCTETS_MAX = 1024 * 1024 };

// Who sent a command: decides which are allowed at all (apply.c's table).
enum sender { SENDER_BROKER, SENDER_GATEWAY, SENDER_WORKER };

struct cmd {
    Wire__Item *item;             // lent until done
    enum sender sender;
    uint64_t worker, incarnation; // SENDER_WORKER: who, as proved in the greeting
    const uint8_t *client_id;     // SENDER_GATEWAY: 16 octets; NULL: the answer need not be kept
    uint64_t answered_up_to;
    Wire__Answer answer;          // out: in the batch's arena
};

// Something a live cache may have to look at again after the commit: a desktop, a worker, or a webhook.
struct touched {
    uint64_t workspace, desktop, worker, webhook;
};

struct batch {
    uint32_t n;
    struct cmd *cmds[BATCH_MAX];
    uint64_t now_ms;              // wall clock, shown; apply never lets it go back
    uint64_t log_ms;              // log time: runs on by the monotonic clock; deadlines and leases
    uint8_t hash[32];             // over the packed commands: the chain's next link
    // out
    struct arena *arena;          // of the answers
    uint64_t index, epoch, first, newest; // rows first..newest; none if first > newest
    struct buf rows;              // each: length 4 (host order), packed Row
    uint32_t n_rows;
    struct touched *touched;
    size_t n_touched, touched_cap;
    uint64_t took_us;             // applying it and making it durable, as the engine measured; for figures only
    int full;                     // in: no room is left but for what makes room: new work is refused
};

// NOT_LEADER, BUSY: nothing happened. UNKNOWN: it may or may not have been applied: ask again with the same request ids.
// FULL: the store has no room, nothing changed. DAMAGED: a stored record is damaged, nothing changed.
enum outcome { OUTCOME_APPLIED, OUTCOME_NOT_LEADER, OUTCOME_UNKNOWN, OUTCOME_BUSY, OUTCOME_FULL, OUTCOME_DAMAGED };

struct cons;
typedef void cons_done_cb(void *u, enum outcome st, struct batch *b);
struct cons_ops {
    // Takes b until done is called, on the thread that proposed (never before propose has returned).
    void (*propose)(struct cons *c, struct batch *b, cons_done_cb *done, void *u);
    // LEADER 1, FOLLOWER 0; *ret_url lent.
    int (*role)(const struct cons *c, const char **ret_url);
    void (*stop)(struct cons *c); // after the batch under way; blocks until it is done
};
struct cons {
    const struct cons_ops *ops;
};

// What every engine calls, and the broker implements once (apply.c): pure - no clock, no randomness, no I/O but the
// transaction. Refusals are answers. An error means that the transaction must be aborted: nothing happened.
struct txn;
MUST_USE enum err fsm_apply(struct txn *t, struct batch *b);
