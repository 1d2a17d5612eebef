// fsm_apply (consensus.h): one batch against one transaction. Here: who may send what, with which role; repeats; the meta record.
#pragma once
#include "arena.h"
#include "consensus.h"
#include "kind.h"

// The newest state of the installation's counters; a fresh one for an empty store.
MUST_USE enum err meta_read(struct txn *t, struct arena *a, Rec__Meta **ret);
// True for items that change state: they are proposed. Others are queries, or no message of ours.
int apply_is_command(Wire__Item__BodyCase body);
