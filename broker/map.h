// A map from non-zero 64-bit numbers to pointers: open addressing, grows as needed. For look-up by id in live caches; nothing
// iterates it where the order could matter.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "err.h"

struct map_slot {
    uint64_t key;
    void *value;
};
struct map {
    struct map_slot *slots;
    size_t n, cap;
};

void *map_get(const struct map *m, uint64_t key); // NULL: none
MUST_USE enum err map_put(struct map *m, uint64_t key, void *value);
void *map_del(struct map *m, uint64_t key);       // what it held, or NULL
void map_fini(struct map *m);
