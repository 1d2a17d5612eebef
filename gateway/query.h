// What stands behind the '?': parameters found by name, percent-decoding, numbers. Pure.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "err.h"
#include "exchange.h"

enum { QUERY_VALUE_MAX = 8192 }; // longer than a request line may be: a buffer of this size holds any decoded value

// %XX becomes its octet, and '+' a blank when `plus`. False for a broken escape, a NUL, or what does not fit `size` with
// the NUL that is put behind it. ret lies in out.
bool query_decode(struct text t, bool plus, char *out, size_t size, struct text *ret);
// The value of `name`, decoded into out and NUL-terminated; ret->p is NULL when it is absent, and ret->n 0 when it is empty.
// ERR_INVALID_FIELD: it stands there twice, or cannot be decoded into `size`.
MUST_USE enum err query_get(struct text query, const char *name, char *out, size_t size, struct text *ret);
// The value of `name` as it stands there, still encoded; {NULL, 0} when absent.
struct text query_raw(struct text query, const char *name);
// A decimal number, perhaps with '-': what is out of range, however large, becomes min or max. False: not a number.
bool query_number(struct text t, uint64_t min, uint64_t max, uint64_t *ret);
