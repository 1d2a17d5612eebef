// Answers kept by the event number they reflect: an answer computed at number n is what anybody of that workspace would get
// as long as n is the newest. Who asks for it judges that; this file only keeps, finds and gives way. Pure (memory only).
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "err.h"
#include "exchange.h"
#include "list.h"

enum { CACHE_BYTES = 4 * 1024 * 1024, CACHE_ENTRY_MAX = 1024 * 1024, CACHE_QUERY_MAX = 512, CACHE_ETAG_SIZE = 19 };

struct cache;
struct cache_key {
    uint64_t workspace;
    const void *route;         // its row: the address is the name
    struct text query;         // raw
};

struct cache_entry {
    struct list lru;           // cache.c's, like the next two
    struct cache_entry *chain;
    uint64_t hash;
    uint64_t workspace;
    const void *route;
    uint64_t epoch, sequence;  // what it reflects
    uint64_t made_ms;          // monotonic
    uint64_t total;            // X-Total-Count, when has_total
    bool has_total;
    char etag[CACHE_ETAG_SIZE]; // with its quotes
    struct text query, link, body; // behind the struct; link empty: none
};

// NULL without memory. bytes_max: of all entries with their overhead.
struct cache *cache_new(size_t bytes_max);
void cache_free(struct cache *c);
uint64_t cache_hash(const struct cache *c, const struct cache_key *k);
// Lent until the next cache_put. NULL: not kept.
const struct cache_entry *cache_find(struct cache *c, const struct cache_key *k);
// The ETag of a body, with its quotes.
void cache_etag(char out[CACHE_ETAG_SIZE], struct text body);
// Gives a copy of it all (free with free() unless cache_put took it); NULL without memory. The ETag is made from the body.
struct cache_entry *cache_make(const struct cache_key *k, struct text body, struct text link);
// Takes e, and true, unless it is too large to keep: then e stays the caller's. Replaces an entry of the same key.
bool cache_put(struct cache *c, struct cache_entry *e);
size_t cache_bytes(const struct cache *c);
