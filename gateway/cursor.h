// Where one subscriber stands in a view of the log, and what goes out to it next. A cursor is a number and how many octets of
// that row's frame the socket has: everything else is shared. Only a frame of its own (heartbeat, resync, the rest of a live
// one that was cut) is kept here, until it is gone.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include "block.h"
#include "err.h"
#include "stream_query.h"
#include "tail.h"

struct cursor_ids;  // the desktops and agents of a filter
struct cursor_rest; // octets of its own that wait for the socket

struct cursor {
    uint64_t number;          // of the next row to look at
    uint64_t kinds;           // block_bit of each kind it wants
    uint64_t workspace;
    struct cursor_ids *ids;   // NULL: all
    struct cursor_rest *rest; // NULL: none. Goes out before `number`
    uint16_t sent;            // octets of the frame of `number` that are gone already
    uint8_t view;
    bool bare;                // HTTP/1.0: frames without their chunk
};

enum cursor_end {
    CURSOR_LEVEL,   // with it everything there is has been looked at
    CURSOR_MORE,    // there is more in memory
    CURSOR_MISSING, // the block of `to` is not in memory
};
enum { CURSOR_PIECES = 64, CURSOR_OCTETS = 256 * 1024 };
struct cursor_plan {
    struct iovec v[CURSOR_PIECES];
    unsigned n;
    size_t octets;
    uint64_t to;              // where the cursor stands once all of it is written
    enum cursor_end end;
    bool rows;                // of rows there is at least one piece in it: the frame begun before, if there was one
    bool live;                // frames of the live block are in it
};

// Takes the kinds and ids of the query; the numbers are the caller's to set.
MUST_USE enum err cursor_init(struct cursor *c, enum event_view view, const struct stream_query *q, bool bare);
void cursor_fini(struct cursor *c);
// What goes out next: the rest, then rows, then (when level, and live is not NULL) frames that are not logged. At least one
// frame when there is one; otherwise bounded. finish: no more than what was begun already.
void cursor_plan(const struct cursor *c, struct tail *t, const struct block *live, bool finish, struct cursor_plan *p);
// The first w octets of the plan are gone; tail and live must be as they were. ERR_NO_MEMORY: the stream cannot go on.
MUST_USE enum err cursor_wrote(struct cursor *c, struct tail *t, const struct block *live, const struct cursor_plan *p, size_t w);
// In the middle of a frame: nothing else may be put in between.
static inline bool cursor_inside(const struct cursor *c)
{
    return c->sent || c->rest;
}
// Adds a frame of its own, behind others of its own. Not in the middle of a row's frame.
MUST_USE enum err cursor_say(struct cursor *c, const void *frame, size_t n);
