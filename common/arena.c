#include "arena.h"
#include <stdlib.h>

enum { CHUNK = 64 * 1024 };

struct arena_chunk {
    struct arena_chunk *older;
    size_t cap;
    _Alignas(max_align_t) unsigned char data[];
};

static void *alloc_cb(void *u, size_t n)
{
    return arena_alloc(u, n);
}

static void free_cb(void *u, void *p)
{
    (void)u;
    (void)p;
}

void arena_init(struct arena *a, size_t max)
{
    *a = (struct arena){ .max = max > CHUNK ? max : CHUNK };
}

static void drop_newest(struct arena *a)
{
    struct arena_chunk *c = a->chunks;
    a->chunks = c->older;
    a->total -= c->cap;
    free(c);
}

void arena_fini(struct arena *a)
{
    while (a->chunks)
        drop_newest(a);
    a->used = a->cap = 0;
}

void arena_reset(struct arena *a)
{
    while (a->chunks && (a->chunks->older || a->chunks->cap != CHUNK))
        drop_newest(a);
    a->failed = false;
    a->used = 0;
    a->cap = a->chunks ? a->chunks->cap : 0;
}

static void *none(struct arena *a)
{
    a->failed = true;
    return NULL;
}

void *arena_alloc(struct arena *a, size_t n)
{
    const size_t unit = _Alignof(max_align_t);

    if (n > a->max)
        return none(a);
    n = n ? (n + unit - 1) / unit * unit : unit;
    if (a->cap - a->used < n) {
        size_t cap = n > CHUNK ? n : CHUNK;
        if (cap > a->max - a->total)
            return none(a);
        struct arena_chunk *c = malloc(sizeof *c + cap);
        if (!c)
            return none(a);
        c->older = a->chunks;
        c->cap = cap;
        a->chunks = c;
        a->total += cap;
        a->used = 0;
        a->cap = cap;
    }
    void *p = a->chunks->data + a->used;
    a->used += n;
    return p;
}

ProtobufCAllocator *arena_allocator(struct arena *a)
{
    a->allocator = (ProtobufCAllocator){ .alloc = alloc_cb, .free = free_cb, .allocator_data = a };
    return &a->allocator;
}
