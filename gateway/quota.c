// GCRA: for each key the time at which its requests so far would have been made at the even rate. A request may come when that
// time is at most a burst ahead of now. Times are nanoseconds.
//
// The table is made of entries in one array, found by a hash index and kept in the order of their last use; both grow to their
// limit and then the least recently used entry gives way. (Its key starts afresh: with more active keys than entries the limit
// is milder, never harsher.)
#include "quota.h"
#include <stdlib.h>

enum { KEYS_FIRST = 256, KEYS_MAX = 65536 };

static const uint32_t NONE = UINT32_MAX; // no entry

struct entry {
    uint64_t key, tat_ns;
    uint32_t chain;        // next of the same bucket
    uint32_t newer, older; // by last use
};

struct quota {
    uint64_t interval_ns;  // between two requests at the even rate; 0: off
    uint32_t per_minute, burst;
    struct entry *entries;
    uint32_t *buckets;     // as many as entries
    uint32_t n, cap, newest, oldest;
};

static uint32_t bucket(const struct quota *q, uint64_t key)
{
    return (uint32_t)((key * 0x9e3779b97f4a7c15u) >> 40) & (q->cap - 1);
}

static void link_newest(struct quota *q, uint32_t i)
{
    q->entries[i].older = q->newest;
    q->entries[i].newer = NONE;
    if (q->newest != NONE)
        q->entries[q->newest].newer = i;
    else
        q->oldest = i;
    q->newest = i;
}

static void unlink_used(struct quota *q, uint32_t i)
{
    const struct entry *e = &q->entries[i];

    if (e->newer != NONE)
        q->entries[e->newer].older = e->older;
    else
        q->newest = e->older;
    if (e->older != NONE)
        q->entries[e->older].newer = e->newer;
    else
        q->oldest = e->newer;
}

static void hash_in(struct quota *q, uint32_t i)
{
    uint32_t *b = &q->buckets[bucket(q, q->entries[i].key)];

    q->entries[i].chain = *b;
    *b = i;
}

static void hash_out(struct quota *q, uint32_t i)
{
    uint32_t *at = &q->buckets[bucket(q, q->entries[i].key)];

    while (*at != i)
        at = &q->entries[*at].chain;
    *at = q->entries[i].chain;
}

static bool grow(struct quota *q)
{
    uint32_t cap = q->cap ? q->cap * 2 : KEYS_FIRST;
    struct entry *entries = realloc(q->entries, cap * sizeof *entries);
    uint32_t *buckets = entries ? malloc(cap * sizeof *buckets) : NULL;

    if (entries)
        q->entries = entries;
    if (!buckets)
        return false;
    free(q->buckets);
    q->buckets = buckets;
    q->cap = cap;
    for (uint32_t i = 0; i < cap; i++)
        buckets[i] = NONE;
    for (uint32_t i = 0; i < q->n; i++)
        hash_in(q, i);
    return true;
}

struct quota *quota_new(uint32_t per_minute)
{
    struct quota *q = calloc(1, sizeof *q);

    if (!q)
        return NULL;
    q->newest = q->oldest = NONE;
    q->per_minute = per_minute;
    q->burst = per_minute >= 6 ? per_minute / 6 : 1;
    q->interval_ns = per_minute ? 60000000000u / per_minute : 0;
    if (per_minute && !grow(q)) {
        quota_free(q);
        return NULL;
    }
    return q;
}

void quota_free(struct quota *q)
{
    if (!q)
        return;
    free(q->entries);
    free(q->buckets);
    free(q);
}

// The entry of the key, made if need be, and now the newest.
static struct entry *entry(struct quota *q, uint64_t key)
{
    uint32_t i = q->buckets[bucket(q, key)];

    while (i != NONE && q->entries[i].key != key)
        i = q->entries[i].chain;
    if (i != NONE) {
        unlink_used(q, i);
    } else {
        if (q->n < q->cap || (q->cap < KEYS_MAX && grow(q))) {
            i = q->n++;
        } else {
            i = q->oldest;
            unlink_used(q, i);
            hash_out(q, i);
        }
        q->entries[i].key = key;
        q->entries[i].tat_ns = 0;
        hash_in(q, i);
    }
    link_newest(q, i);
    return &q->entries[i];
}

static uint32_t seconds_up(uint64_t ns)
{
    return (uint32_t)((ns + 999999999u) / 1000000000u);
}

struct quota_verdict quota_take(struct quota *q, uint64_t key, uint32_t cost, uint64_t mono_us)
{
    struct quota_verdict v = { .ok = true, .limit = q->per_minute, .remaining = q->burst };
    uint64_t now = mono_us * 1000, room = q->interval_ns * q->burst, ahead;

    if (!q->interval_ns)
        return (struct quota_verdict){ .ok = true };
    struct entry *e = entry(q, key);
    if (e->tat_ns < now)
        e->tat_ns = now;
    if (cost > q->burst)
        cost = q->burst; // else it could never pass
    ahead = e->tat_ns - now;
    v.ok = ahead + cost * q->interval_ns <= room;
    if (v.ok)
        ahead += cost * q->interval_ns;
    else
        v.retry_after_s = seconds_up(ahead + cost * q->interval_ns - room);
    e->tat_ns = now + ahead;
    v.remaining = (uint32_t)((room - ahead) / q->interval_ns);
    v.reset_s = seconds_up(ahead);
    return v;
}
