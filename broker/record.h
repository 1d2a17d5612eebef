// The form of every stored value: 8 octets (schema version 1, flags 1, zero 2, checksum 4) and the body. The checksum is the
// low half of XXH3-64 over the body and is verified on every read: LMDB does not notice damage. Pure.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "err.h"

enum { RECORD_HEADER = 8, RECORD_SCHEMA = 1 };

void record_header(uint8_t out[RECORD_HEADER], const void *body, size_t n);
// ERR_CORRUPT when it is too short, of an unknown schema, or the checksum differs.
MUST_USE enum err record_check(const uint8_t *p, size_t n);
