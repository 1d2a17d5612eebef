// JSON in: jansson's home. Strict: UTF-8 only, duplicate keys, NUL and depth over 64 refused.
// Members nobody asks for are ignored.
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "err.h"

enum { JSON_IN_DEPTH = 64 };

// Parses text (n octets) whose top is an object. On ERR_BAD_JSON says why in `why` (a sentence, at most `size` octets).
// *ret: free with json_decref.
MUST_USE enum err json_in_parse(const void *text, size_t n, json_t **ret, char *why, size_t size);

// Members. *given (may be NULL) tells whether it was there and not null. Absent: ERR_OK and *ret untouched.
// Wrong type or out of range: ERR_INVALID_FIELD.
MUST_USE enum err json_in_str(const json_t *o, const char *key, const char **ret, bool *given); // lent by o
// Overwrites a string member with zeros, as long as it was: what was lent from it was a secret.
void json_in_wipe(json_t *o, const char *key);
MUST_USE enum err json_in_bool(const json_t *o, const char *key, bool *ret, bool *given);
MUST_USE enum err json_in_uint(const json_t *o, const char *key, uint64_t min, uint64_t max, uint64_t *ret, bool *given);
