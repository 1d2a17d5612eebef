// The form of every stored value: 8 octets (schema 1, flags 1, zero 2, checksum 4) and the body. The checksum is verified on every
// read: LMDB does not notice damage. Pure.
//
//   schema 1   the low half of XXH3-64 over the body
//   schema 2   the same over the body, and over its database and key: a record that is whole but in another's place is damage too
//
// Both are read; what is written is of schema 2, but for records without a key (the one of DB_META: an older version must be able to read
// in it that the store is too new).
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "err.h"

enum { RECORD_HEADER = 8 };

// Where a record lies. db is part of the checksum: numbers of databases are never given anew.
struct record_place {
    uint8_t db;
    const void *key;
    size_t key_n; // 0: schema 1
};
void record_header(uint8_t out[RECORD_HEADER], const struct record_place *at, const void *body, size_t n);
// ERR_CORRUPT when it is too short, of an unknown schema, or the checksum differs.
MUST_USE enum err record_check(const struct record_place *at, const uint8_t *p, size_t n);
