// A hash table with chains, and one list in the order of use; an entry is one block of memory.
#include "cache.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "crypto.h"

enum { BUCKETS = 4096 };

struct cache {
    struct cache_entry *bucket[BUCKETS];
    struct list lru; // the one used last is first
    size_t bytes, max;
    uint64_t seed;   // so that nobody can choose keys that share a chain
};

struct cache *cache_new(size_t bytes_max)
{
    struct cache *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    list_init(&c->lru);
    c->max = bytes_max;
    crypto_random(&c->seed, sizeof c->seed);
    return c;
}

void cache_free(struct cache *c)
{
    if (!c)
        return;
    list_each (n, tmp, &c->lru)
        free(container_of(n, struct cache_entry, lru));
    free(c);
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
}

uint64_t cache_hash(const struct cache *c, const struct cache_key *k)
{
    uint64_t h = mix(mix(c->seed, k->workspace), (uint64_t)(uintptr_t)k->route), v;
    size_t i = 0;

    for (; i + 8 <= k->query.n; i += 8) {
        memcpy(&v, k->query.p + i, 8);
        h = mix(h, v);
    }
    v = 0;
    if (i < k->query.n)
        memcpy(&v, k->query.p + i, k->query.n - i);
    return mix(mix(h, v), k->query.n);
}

static bool same(const struct cache_entry *e, uint64_t hash, const struct cache_key *k)
{
    return e->hash == hash && e->workspace == k->workspace && e->route == k->route && e->query.n == k->query.n &&
           (k->query.n == 0 || memcmp(e->query.p, k->query.p, k->query.n) == 0);
}

static struct cache_entry **place(struct cache *c, uint64_t hash, const struct cache_key *k)
{
    struct cache_entry **at = &c->bucket[hash % BUCKETS];

    while (*at && !same(*at, hash, k))
        at = &(*at)->chain;
    return at;
}

const struct cache_entry *cache_find(struct cache *c, const struct cache_key *k)
{
    struct cache_entry *e = *place(c, cache_hash(c, k), k);

    if (e) {
        list_remove(&e->lru);
        list_push_front(&c->lru, &e->lru);
    }
    return e;
}

static size_t weight(const struct cache_entry *e)
{
    return sizeof *e + e->query.n + e->link.n + e->body.n;
}

static void drop(struct cache *c, struct cache_entry **at)
{
    struct cache_entry *e = *at;

    *at = e->chain;
    list_remove(&e->lru);
    c->bytes -= weight(e);
    free(e);
}

void cache_etag(char out[CACHE_ETAG_SIZE], struct text body)
{
    uint8_t hash[HASH_SIZE];

    crypto_hash(hash, body.p, body.n);
    snprintf(out, CACHE_ETAG_SIZE, "\"%02x%02x%02x%02x%02x%02x%02x%02x\"", hash[0], hash[1], hash[2], hash[3], hash[4], hash[5],
             hash[6], hash[7]);
}

struct cache_entry *cache_make(const struct cache_key *k, struct text body, struct text link)
{
    struct cache_entry *e = malloc(sizeof *e + k->query.n + link.n + body.n);

    if (!e)
        return NULL;
    *e = (struct cache_entry){ .workspace = k->workspace, .route = k->route };
    list_init(&e->lru);
    char *to = (char *)(e + 1);
    const struct text *from[] = { &k->query, &link, &body };
    struct text *into[] = { &e->query, &e->link, &e->body };
    for (unsigned i = 0; i < 3; i++) {
        if (from[i]->n)
            memcpy(to, from[i]->p, from[i]->n);
        *into[i] = (struct text){ to, from[i]->n };
        to += from[i]->n;
    }
    cache_etag(e->etag, body);
    return e;
}

bool cache_put(struct cache *c, struct cache_entry *e)
{
    struct cache_key k = { e->workspace, e->route, e->query };

    e->hash = cache_hash(c, &k);
    struct cache_entry **at = place(c, e->hash, &k);
    if (*at)
        drop(c, at);
    if (weight(e) > CACHE_ENTRY_MAX || weight(e) > c->max)
        return false;
    while (c->bytes + weight(e) > c->max) {
        struct cache_entry *old = container_of(c->lru.prev, struct cache_entry, lru);
        struct cache_key old_key = { old->workspace, old->route, old->query };
        drop(c, place(c, old->hash, &old_key));
    }
    e->chain = c->bucket[e->hash % BUCKETS];
    c->bucket[e->hash % BUCKETS] = e;
    list_push_front(&c->lru, &e->lru);
    c->bytes += weight(e);
    return true;
}

size_t cache_bytes(const struct cache *c)
{
    return c->bytes;
}
