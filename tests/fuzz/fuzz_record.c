// links: broker common lmdb xxhash protobuf-c sodium
// What stands in the database: octet 0 names the kind. The checksum is made right for half of the inputs, so that the decoder behind
// it is reached too; then the index entries of what came out are made.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "arena.h"
#include "kind.h"
#include "record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena a;
    if (size < 1 + RECORD_HEADER)
        return 0;
    if (!a.max)
        arena_init(&a, 16 << 20);
    arena_reset(&a);
    size_t n = size - 1;
    static const char key[] = "a key";
    struct record_place at = { 1, key, sizeof key }; // one of schema 1 needs none, and is read all the same
    uint8_t *copy = malloc(n);
    if (!copy)
        return 0;
    memcpy(copy, data + 1, n);
    if (data[0] & 0x80)
        record_header(copy, &at, copy + RECORD_HEADER, n - RECORD_HEADER);
    void *rec;
    struct index_entries es;
    enum kind kind = (enum kind)((data[0] & 0x7f) % KIND_N);
    if (record_check(&at, copy, n) == ERR_OK && kind_unpack(kind, &a, (struct slice){ copy + RECORD_HEADER, n - RECORD_HEADER }, &rec) == ERR_OK) {
        Rec__Key *k = rec;
        if (kind != KIND_KEY || k->hash.len == 32) // a key's hash is checked before it is stored
            kind_entries(kind, rec, &es);
    }
    free(copy);
    return 0;
}
