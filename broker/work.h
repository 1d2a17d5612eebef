// One command at work inside a turn: its transaction, time and actor, the rows it writes, what it touches. Pure: everything it
// sees is the store and the batch. Commands check first and write after; a refusal leaves no trace.
//
// Errors: ERR_STORAGE_FULL, ERR_STORAGE_ERROR, ERR_NO_MEMORY abort the whole turn; any other is this command's answer.
#pragma once
#include <stdbool.h>
#include "arena.h"
#include "check.h"
#include "consensus.h"
#include "err.h"
#include "event.h"
#include "kind.h"
#include "posting.h"
#include "stats.h"

enum { CONTENT_INLINE = 2048, ROW_TEXT_MAX = 4400, OUTCOME_KEPT_MS = 10 * 60 * 1000, IDEM_KEPT_MS = 24 * 3600 * 1000 };

// Tasks of a desktop or a workspace: the counters' copy of this turn.
struct counts {
    uint64_t workspace, desktop, task[TASK_STATUS_COUNT][TASK_TYPE_COUNT], waiting, held, pending_approvals;
    bool dirty;
};
struct turn {
    struct txn *txn;
    struct arena *arena;
    struct batch *batch;
    Rec__Meta *meta;
    struct counts *counts[64];
    unsigned n_counts;
    struct postings postings; // of the rows written so far, like the next: they go out once a turn
    struct stats stats;
};
struct work {
    struct turn *turn;
    struct txn *txn;
    struct arena *arena;
    uint64_t now_ms, log_ms;
    struct cmd *cmd;
    Wire__Answer *answer;
    bool wrote;
    // the actor: the user of the key, an agent, or the system
    uint64_t workspace, user, key;
    uint32_t role;
    const char *actor;
};

MUST_USE enum err work_refuse(struct work *w, enum err e, const char *field, const char *text); // text lent for ever; NULL: default
MUST_USE enum err work_fault(struct work *w, enum err e, const struct fault *f);               // from a check_x
uint64_t work_id(struct work *w, enum entity kind);                                             // the next of that kind
// Number, time, workspace and actor are filled in here, and the entity from the row's own ids when it is 0.
MUST_USE enum err work_row(struct work *w, Wire__Row *row, unsigned kind);
void work_touch_desktop(struct work *w, uint64_t workspace, uint64_t desktop);
void work_touch_worker(struct work *w, uint64_t worker);
void work_touch_webhook(struct work *w, uint64_t workspace, uint64_t webhook);
bool work_fatal(enum err e);                                                                    // aborts the turn
char *work_number(struct work *w, uint64_t n);                     // in decimal, in the arena
char *work_copy(struct work *w, const char *s, size_t max_octets); // into the arena, cut at a character; "" without memory (the turn fails)
// Any kind: read (ret_old for the put), write, remove.
MUST_USE enum err work_get(struct work *w, enum kind kind, uint64_t workspace, uint64_t id, void *ret_rec, struct index_entries *ret_old);
MUST_USE enum err work_put(struct work *w, enum kind kind, const struct index_entries *old, const void *rec);
MUST_USE enum err work_del(struct work *w, enum kind kind, const struct index_entries *old, const void *rec);

// A sweep takes some of a database in each turn. *at, in the turn's meta record, is where it goes on; empty: at the front.
// ret_on: c stands on an entry; on: the same, in the end. When open fails there is nothing to close.
MUST_USE enum err work_sweep_open(struct work *w, struct cursor *c, enum store_db db, const ProtobufCBinaryData *at, bool *ret_on);
MUST_USE enum err work_sweep_close(struct work *w, struct cursor *c, ProtobufCBinaryData *at, bool on, enum err e);

// Counters. Lent until the next call; set dirty after a change.
MUST_USE enum err work_counts(struct work *w, uint64_t workspace, uint64_t desktop, struct counts **ret);
MUST_USE enum err counts_read(struct txn *t, struct arena *a, uint64_t workspace, uint64_t desktop, struct counts *ret); // queries
MUST_USE enum err turn_flush(struct turn *t);
uint64_t counts_unfinished(const struct counts *c);
