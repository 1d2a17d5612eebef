// Rows of the activities by hour, so that a timeline need not count them. DB_STATS, key: workspace 8, hour since 1970 8; value:
// Rec.HourRows. Counts by type and by actor need no roll-up: the posting lists have them for any window (posting.h). Gathered during a
// turn, one write an hour; rows that retention takes away are taken off again, and an hour without rows has no record. Pure but for
// the transaction.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "err.h"
#include "store.h"
#include "wire.pb-c.h"

struct arena;
enum { STATS_HOUR_MS = 3600 * 1000 };

struct stats_hour {
    uint64_t workspace, hour;
    int64_t by;
};
struct stats { // all zero at the start; what it holds lives in the arena
    struct stats_hour *hours;
    size_t n, cap;
};
// by: 1 for a new row, -1 for one that has gone.
MUST_USE enum err stats_row(struct stats *s, struct arena *a, const Wire__Row *row, int by);
MUST_USE enum err stats_flush(struct stats *s, struct txn *t, struct arena *a); // s is empty after
// The hours from <= hour that have rows, oldest first; *ret lives in the arena.
MUST_USE enum err stats_read(struct txn *t, struct arena *a, uint64_t workspace, uint64_t from, Wire__HourCount ***ret, size_t *ret_n);
