// Comments as stored, and what a deleted task leaves behind: the command that deletes it writes one mark (INDEX_TASK_GONE), whatever
// hangs on the task, and the sweep takes its comments, sessions and output away in small steps. What is marked is never served.
#pragma once
#include "work.h"

struct key *comment_key(struct key *k, uint64_t workspace, uint64_t task, uint64_t id); // id 0: the prefix of all of the task
MUST_USE enum err comment_put(struct work *w, const Rec__Comment *c);
MUST_USE enum err comment_get(struct txn *t, struct arena *a, uint64_t workspace, uint64_t task, uint64_t id, Rec__Comment **ret);

MUST_USE enum err gone_mark(struct work *w, uint64_t workspace, uint64_t task);
MUST_USE enum err gone_is(struct txn *t, uint64_t workspace, uint64_t task, bool *ret); // deleted, and not swept yet
MUST_USE enum err gone_any(struct txn *t, bool *ret);
// Takes away at most so many records of deleted tasks.
MUST_USE enum err gone_sweep(struct work *w, unsigned at_most);
