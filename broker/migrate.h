// A store that an older version wrote is brought to today's layout when the broker starts, in small transactions: it may be cut off
// anywhere and goes on from there.
#pragma once
#include <stdbool.h>
#include "err.h"
#include "store.h"

struct arena;

// What the versions of the layout (Rec.Meta.schema) added:
//   1  the first
//   2  posting lists and hours of the activities, made from the log; indexes of agents and of users' names
//   3  records of schema 2 (record.h), which older versions cannot read: there is nothing to do but to say so
enum { STORE_SCHEMA = 3, MIGRATE_ROWS = 4096 };

// Does the next `rows` rows' worth of what there is to do, in a write transaction of the caller's. *ret_done: there was nothing left,
// or is not any more. ERR_BAD_STATE: the store was written by a version newer than this one.
MUST_USE enum err migrate_step(struct txn *t, struct arena *a, unsigned rows, bool *ret_done);
// All of it, with lines logged on the way and about what is wrong.
MUST_USE enum err migrate_store(struct store *s);
