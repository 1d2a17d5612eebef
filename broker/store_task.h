// Tasks, sessions and approvals as stored: reading and writing them keeps the counters true.
#pragma once
#include "work.h"

struct task_ref {
    Rec__Task *t;
    struct index_entries old;
    uint32_t old_status, old_type;
    uint64_t old_desktop;
    bool old_waiting;
};
struct session_ref {
    Rec__Session *s;
    struct index_entries old;
    bool old_held;
};

MUST_USE enum err task_open(struct work *w, uint64_t workspace, uint64_t id, struct task_ref *ret);
MUST_USE enum err task_save(struct work *w, struct task_ref *ref);
// A new one: id, workspace, createdAt are given here; content above CONTENT_INLINE is put apart.
MUST_USE enum err task_add(struct work *w, Rec__Task *t, const char *content);
MUST_USE enum err task_set_content(struct work *w, struct task_ref *ref, const char *content);
// Its sessions, their output and its comments are only marked, to be swept in small steps (store_comment.h); approvals stay.
MUST_USE enum err task_remove(struct work *w, struct task_ref *ref);
// The content, from wherever it is kept. Lent by the arena.
MUST_USE enum err task_content(struct txn *t, struct arena *a, const Rec__Task *task, char **ret);

MUST_USE enum err session_open(struct work *w, uint64_t workspace, uint64_t id, struct session_ref *ret);
MUST_USE enum err session_save(struct work *w, struct session_ref *ref);
MUST_USE enum err session_add(struct work *w, Rec__Session *s);
// Output pieces are idempotent: what is stored already is passed over. Keeps the head and the last OUTPUT_TAIL octets.
MUST_USE enum err session_output(struct work *w, struct session_ref *ref, Wire__OutputPiece **pieces, size_t n, uint64_t total);

MUST_USE enum err approval_count(struct work *w, uint64_t workspace, int by); // pending ones
// One task ended: the hour's roll-up for the overview.
enum { HOUR_MINUTES = 60 };
bool hour_has_minutes(const Rec__Hour *h); // else it was written by an older version
MUST_USE enum err hour_add(struct work *w, uint64_t workspace, bool done, uint64_t duration_ms);
