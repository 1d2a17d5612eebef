// Three kinds of entry in one table: the address, the name, and the pair of both, which remembers what the other two owe it.
// An entry is locked when its failures have reached THROTTLE_FREE and its time is not over.
#include "throttle.h"
#include <stdlib.h>
#include "list.h"

enum { BUCKETS = 8192 };

struct entry {
    struct list use;        // throttle.use, the least used last
    struct entry *chain;
    uint64_t key;
    uint64_t window_ms, last_ms, until_ms;
    uint64_t before_ms;     // last_ms before the latest attempt
    uint32_t failed;
    uint8_t gave;           // of a pair: failures that were counted against the name
    bool known;             // of a pair: it has signed in
};

struct throttle {
    struct entry *bucket[BUCKETS];
    struct list use;
    unsigned n;
};

struct three {
    struct entry *address, *name, *pair;
};

struct throttle *throttle_new(void)
{
    struct throttle *t = calloc(1, sizeof *t);

    if (t)
        list_init(&t->use);
    return t;
}

static struct entry **place(struct throttle *t, uint64_t key)
{
    struct entry **at = &t->bucket[key % BUCKETS];

    while (*at && (*at)->key != key)
        at = &(*at)->chain;
    return at;
}

static void drop(struct throttle *t, struct entry *e)
{
    *place(t, e->key) = e->chain;
    list_remove(&e->use);
    free(e);
    t->n--;
}

void throttle_free(struct throttle *t)
{
    if (!t)
        return;
    while (!list_empty(&t->use))
        drop(t, container_of(t->use.next, struct entry, use));
    free(t);
}

// The keys are hashes already: they only have to be told apart by kind.
static uint64_t key_of(unsigned kind, uint64_t a, uint64_t b)
{
    uint64_t k = (a ^ (b << 21 | b >> 43)) * 0x9e3779b97f4a7c15u;

    return (k ^ k >> 29) * 4 + kind;
}

static struct entry *get(struct throttle *t, uint64_t key)
{
    struct entry **at = place(t, key), *e = *at;

    if (!e) {
        e = calloc(1, sizeof *e);
        if (!e)
            return NULL;
        e->key = key;
        *at = e;
        t->n++;
        list_init(&e->use);
    }
    list_remove(&e->use);
    list_push_front(&t->use, &e->use);
    return e;
}

static bool get_three(struct throttle *t, struct throttle_pair p, struct three *ret)
{
    *ret = (struct three){ get(t, key_of(1, p.address, 0)), get(t, key_of(2, p.name, 0)), get(t, key_of(3, p.address, p.name)) };
    while (t->n > THROTTLE_ENTRIES)
        drop(t, container_of(t->use.prev, struct entry, use));
    return ret->address && ret->name && ret->pair;
}

static void age(struct entry *e, uint64_t now_ms)
{
    if (e->failed && now_ms - e->last_ms >= THROTTLE_QUIET_MS) {
        e->failed = 0;
        e->gave = 0;
    }
    if (e->failed < THROTTLE_FREE && now_ms - e->window_ms >= THROTTLE_WINDOW_MS)
        e->failed = 0;
    if (!e->failed)
        e->window_ms = now_ms;
}

static void fail(struct entry *e, uint64_t now_ms)
{
    uint64_t wait_ms = THROTTLE_FIRST_MS;

    e->failed++;
    e->before_ms = e->last_ms;
    e->last_ms = now_ms;
    for (uint32_t i = THROTTLE_FREE; i < e->failed && wait_ms < THROTTLE_MOST_MS; i++)
        wait_ms *= 2;
    if (e->failed >= THROTTLE_FREE)
        e->until_ms = now_ms + (wait_ms < THROTTLE_MOST_MS ? wait_ms : THROTTLE_MOST_MS);
}

// attempt_ms: when it began that now turns out not to have failed. The wait that it had begun is over, as one before it was: else
// those who sign in as they should would keep the lock of their address, or of a name, alive for one another.
static void forgive(struct entry *e, uint32_t n, uint64_t attempt_ms)
{
    e->failed -= n < e->failed ? n : e->failed;
    bool latest = n && e->last_ms == attempt_ms;
    if (e->failed < THROTTLE_FREE || latest)
        e->until_ms = 0;
    if (latest)
        e->last_ms = e->before_ms;
}

static uint64_t left_ms(const struct entry *e, uint64_t now_ms)
{
    return e->until_ms > now_ms ? e->until_ms - now_ms : 0;
}

uint32_t throttle_take(struct throttle *t, struct throttle_pair p, uint64_t now_ms)
{
    struct three x;

    if (!get_three(t, p, &x))
        return 1; // no memory: as good a reason to wait as any
    age(x.address, now_ms);
    age(x.name, now_ms);
    // A pair's share of the name's failures lasts longer than its own: it is given back only after a quiet time.
    if (x.pair->last_ms && now_ms - x.pair->last_ms >= THROTTLE_QUIET_MS)
        x.pair->gave = 0;
    age(x.pair, now_ms);
    uint64_t address = left_ms(x.address, now_ms), name = left_ms(x.pair->known ? x.pair : x.name, now_ms);
    uint64_t wait_ms = address > name ? address : name;
    if (wait_ms)
        return (uint32_t)((wait_ms + 999) / 1000);
    fail(x.address, now_ms);
    fail(x.pair, now_ms);
    if (x.pair->gave < THROTTLE_SHARE) {
        x.pair->gave++;
        fail(x.name, now_ms);
    }
    return 0;
}

void throttle_won(struct throttle *t, struct throttle_pair p, uint64_t now_ms)
{
    struct three x;

    if (!get_three(t, p, &x))
        return;
    age(x.address, now_ms);
    uint64_t attempt_ms = x.pair->last_ms;
    forgive(x.address, x.pair->failed, attempt_ms);
    forgive(x.name, x.pair->gave, attempt_ms);
    forgive(x.pair, x.pair->failed, attempt_ms);
    x.pair->gave = 0;
    x.pair->known = true;
}

void throttle_void(struct throttle *t, struct throttle_pair p)
{
    struct three x;

    if (!get_three(t, p, &x))
        return;
    uint64_t attempt_ms = x.pair->last_ms;
    forgive(x.address, 1, attempt_ms);
    forgive(x.pair, 1, attempt_ms);
    if (x.pair->gave) {
        x.pair->gave--;
        forgive(x.name, 1, attempt_ms);
    }
}
