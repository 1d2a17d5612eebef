// A hash table of keys, each with the list of its streams; it holds only keys that have one.
#include "owner.h"
#include <stdlib.h>

void owners_init(struct owners *o)
{
    for (unsigned i = 0; i < OWNER_BUCKETS; i++)
        list_init(&o->bucket[i]);
    list_init(&o->expiring);
}

static struct list *bucket(struct owners *o, uint64_t key)
{
    return &o->bucket[key % OWNER_BUCKETS];
}

static struct owner *find(struct owners *o, uint64_t key)
{
    list_each(n, tmp, bucket(o, key)) {
        struct owner *own = container_of(n, struct owner, bucket);
        if (own->key == key)
            return own;
    }
    return NULL;
}

struct owner *owner_join(struct owners *o, const struct actor *actor, struct list *stream)
{
    struct owner *own = find(o, actor->key);

    if (!own) {
        own = calloc(1, sizeof *own);
        if (!own)
            return NULL;
        own->key = actor->key;
        own->user = actor->user;
        own->workspace = actor->workspace;
        own->expires_ms = actor->expires_ms;
        list_init(&own->streams);
        list_init(&own->expiring);
        list_push_back(bucket(o, own->key), &own->bucket);
        if (own->expires_ms)
            list_push_back(&o->expiring, &own->expiring);
    }
    list_push_back(&own->streams, stream);
    return own;
}

void owner_leave(struct owner *own, struct list *stream)
{
    list_remove(stream);
    if (!list_empty(&own->streams))
        return;
    list_remove(&own->bucket);
    list_remove(&own->expiring);
    free(own);
}

// own is freed by the last of its streams, so its list must not be looked at again after it.
static void each(struct owner *own, void (*gone)(void *u, struct list *stream), void *u)
{
    for (struct list *n = own->streams.next, *next; n; n = next) {
        next = n->next == &own->streams ? NULL : n->next;
        gone(u, n);
    }
}

void owner_each_key(struct owners *o, uint64_t key, void (*gone)(void *u, struct list *stream), void *u)
{
    struct owner *own = find(o, key);
    if (own)
        each(own, gone, u);
}

void owner_each_user(struct owners *o, uint64_t user, void (*gone)(void *u, struct list *stream), void *u)
{
    for (unsigned i = 0; i < OWNER_BUCKETS; i++) {
        list_each(n, tmp, &o->bucket[i]) {
            struct owner *own = container_of(n, struct owner, bucket);
            if (own->user == user)
                each(own, gone, u);
        }
    }
}

void owner_each(struct owners *o, void (*seen)(void *u, const struct owner *own), void *u)
{
    for (unsigned i = 0; i < OWNER_BUCKETS; i++)
        list_each(n, tmp, &o->bucket[i])
            seen(u, container_of(n, struct owner, bucket));
}

void owner_each_expired(struct owners *o, uint64_t wall_ms, void (*gone)(void *u, struct list *stream), void *u)
{
    list_each(n, tmp, &o->expiring) {
        struct owner *own = container_of(n, struct owner, expiring);
        if (own->expires_ms <= wall_ms)
            each(own, gone, u);
    }
}
