// links: broker common lmdb xxhash protobuf-c sodium
// fuzz: -max_len=4096
// A chunk of a posting list: eight octets of its first number, an octet whose lowest bit says whether entries carry kinds, the value.
// What is taken holds rising numbers that end where the head says; the same octets after another first number hold the same distances.
// All of it is then read as a key, too.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "posting.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool what)
{
    if (!what)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct posting_chunk c, again;
    struct posting_head h, other;
    struct posting_list l;
    struct key k = { .n = 0 };
    if (size < 9)
        return 0;
    uint64_t first = key_read_u64(data);
    bool kinds = data[8] & 1;
    uint8_t *copy = malloc(size - 9 + 1);
    if (!copy)
        return 0;
    memcpy(copy, data + 9, size - 9);
    struct slice s = { copy, size - 9 };
    if (posting_head(first, s, &h) == ERR_OK && posting_unpack(&h, kinds, &c) == ERR_OK) {
        require(c.n >= 1 && c.n <= POSTING_ENTRIES && c.first == first && c.off[0] == 0 && c.off[c.n - 1] == h.span);
        for (uint32_t i = 1; i < c.n; i++)
            require(c.off[i] > c.off[i - 1]);
        require(first + h.span >= first && h.rank + h.n > h.rank);
        require(posting_head(1, s, &other) == ERR_OK && posting_unpack(&other, kinds, &again) == ERR_OK);
        require(memcmp(c.off, again.off, c.n * sizeof *c.off) == 0);
    }
    free(copy);
    if (size <= STORE_KEY_MAX && posting_key_read(key_bytes(&k, data, size), &l)) {
        struct key prefix;
        posting_key(&l, &prefix);
        require(prefix.n + 8 == k.n && memcmp(prefix.b, k.b, prefix.n) == 0);
    }
    return 0;
}
