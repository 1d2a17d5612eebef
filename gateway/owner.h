// Whose streams are open: from a key, or its user, to them, so that a revocation finds them without looking at all.
#pragma once
#include <stdint.h>
#include "exchange.h"
#include "list.h"

enum { OWNER_BUCKETS = 1024 };

struct owner {                // one key that has streams open
    struct list bucket;
    struct list expiring;     // alone when the key never expires
    struct list streams;      // the nodes given to owner_join
    uint64_t key, user, workspace, expires_ms;
};
struct owners {
    struct list bucket[OWNER_BUCKETS], expiring;
};

void owners_init(struct owners *o);
// Adds a stream's node to the actor's key; NULL without memory. Leave with owner_leave.
struct owner *owner_join(struct owners *o, const struct actor *actor, struct list *stream);
void owner_leave(struct owner *own, struct list *stream); // frees own with its last stream
// gone(u, stream) is called for each stream of that key, of that user's keys, of keys that have expired at wall_ms. It must
// make the stream leave.
void owner_each_key(struct owners *o, uint64_t key, void (*gone)(void *u, struct list *stream), void *u);
void owner_each_user(struct owners *o, uint64_t user, void (*gone)(void *u, struct list *stream), void *u);
void owner_each(struct owners *o, void (*seen)(void *u, const struct owner *own), void *u);
void owner_each_expired(struct owners *o, uint64_t wall_ms, void (*gone)(void *u, struct list *stream), void *u);
