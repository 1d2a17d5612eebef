// The rules of webhooks: which rows of the log one is told of and in which view, and when a delivery that failed is tried again. Pure.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HOOK_ATTEMPTS_MAX = 20,    // then the event is given up: over about an hour
    HOOK_BREAKER = 10,         // failures in a row that open the breaker
    HOOK_STEPS_MAX = 300,      // the longest pause in units of the first: 5 minutes to 1 s
    HOOK_RETRY_BASE_MS = 1000,
};

// Bits by enum event_row. A row is sent as the activity stream shows it where its type there is asked for, else as the feed does.
struct hook_match {
    uint64_t activity, feed;
};
struct hook_match hook_match(char *const *events, size_t n); // "*": every type of both
static inline bool hook_wants(const struct hook_match *m, unsigned row)
{
    return row < 64 && ((m->activity | m->feed) >> row & 1);
}
static inline bool hook_as_feed(const struct hook_match *m, unsigned row)
{
    return row < 64 && !(m->activity >> row & 1);
}
// What the delivery of such a row is called.
const char *hook_type(unsigned row, bool feed);

// The kind and workspace of a packed Row, without unpacking it. 0 where it has none.
struct hook_row {
    uint32_t row;
    uint64_t workspace;
};
struct hook_row hook_peek(const uint8_t *p, size_t n);

// How long to wait after that many failures in a row: base, doubling up to base * HOOK_STEPS_MAX, a fifth more or less. salt: the same
// gives the same.
uint64_t hook_delay_ms(uint64_t base_ms, uint64_t failures, uint64_t salt);
