// JSON out: an append-only writer, the hot path of every answer and frame. It never fails half-way: errors stay in the
// buffer (buf.h). Text is made valid on the way: broken UTF-8 becomes U+FFFD; '<', U+2028 and U+2029 are escaped so that
// an answer is harmless wherever it is pasted.
//
//     struct json j = json_to(&b);
//     json_open(&j, '{'); json_key(&j, "id"); json_str(&j, "task_1"); json_close(&j, '}');
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"

struct json {
    struct buf *out;
    bool comma; // a comma is due before the next key or element
};

static inline struct json json_to(struct buf *b)
{
    return (struct json){ .out = b };
}
void json_open(struct json *j, char bracket);  // '{' or '['
void json_close(struct json *j, char bracket); // '}' or ']'
void json_key(struct json *j, const char *key); // key: plain ASCII that needs no escape
void json_str(struct json *j, const char *s);   // NULL: null
void json_strn(struct json *j, const char *s, size_t n);
void json_str_cut(struct json *j, const char *s, size_t max); // at most max characters; cut text ends in U+2026
void json_u64(struct json *j, uint64_t n);
void json_i64(struct json *j, int64_t n);
void json_bool(struct json *j, bool b);
void json_nil(struct json *j);              // null (jansson exports a json_null of its own, which ours would replace)
void json_fixed(struct json *j, int64_t n, unsigned decimals); // 2350, 2 -> 23.5; no float on the way
void json_time(struct json *j, uint64_t ms);                   // ISO 8601 UTC with milliseconds; 0: null
void json_id(struct json *j, unsigned entity, uint64_t n);     // "task_42"; n 0: null
void json_raw(struct json *j, const void *text, size_t n);     // already JSON

// "2026-03-15T10:00:00.000Z" into out[25]; years 1970 to 9999.
void time_format(char out[25], uint64_t ms);
// Strict reading of what time_format writes (seconds with or without fraction, 'Z'); 0 if it is not that.
uint64_t time_parse(const char *text);
