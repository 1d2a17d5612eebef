// A bump allocator for unpacking: everything a message needs, given back at once by arena_reset. Bounded, so that a small
// message cannot be made to unfold into a large one. Pure (memory only).
#pragma once
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena_chunk;
struct arena {
    ProtobufCAllocator allocator;
    struct arena_chunk *chunks; // the newest first; the oldest (64 KiB) stays through resets
    size_t used, cap;           // of the newest chunk
    size_t total, max;          // octets of all chunks; what they may come to
    bool failed;                // an allocation was refused since the last reset: what was made without it may lack something
};

// max: octets it may hold in all (at least one chunk of 64 KiB is always allowed). Allocates nothing yet.
void arena_init(struct arena *a, size_t max);
void arena_fini(struct arena *a);
// All that was allocated is gone. Keeps the first chunk.
void arena_reset(struct arena *a);
// Aligned for anything; not zeroed; NULL at the limit or without memory. Lent until arena_reset.
void *arena_alloc(struct arena *a, size_t n);
// For protobuf-c's unpack; its free does nothing, so free_unpacked need not be called. Lent, valid as long as *a stays put.
ProtobufCAllocator *arena_allocator(struct arena *a);
