// Rate limits: GCRA, one number a key, exact, no window edge. Pure: the time is passed in.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct quota;
struct quota_verdict {
    bool ok;
    uint32_t limit, remaining;      // requests a minute; that could be made at once now
    uint32_t reset_s, retry_after_s; // until `remaining` is full again; until this one would pass (0 when ok)
};

// per_minute 0: off (always ok). burst is per_minute / 6, at least 1. At most 65,536 keys; the oldest give way.
struct quota *quota_new(uint32_t per_minute);
void quota_free(struct quota *q);
// key: a hash of the key's id or of the address. cost: in requests.
struct quota_verdict quota_take(struct quota *q, uint64_t key, uint32_t cost, uint64_t mono_us);
