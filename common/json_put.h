// One member of an object at a time, on top of json_out.h: what every place that writes our objects needs. The key first, then
// what the value is made of. Pure.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "json_out.h"
#include "names.h"

void json_put_str(struct json *j, const char *key, const char *s);      // NULL: null
void json_put_opt(struct json *j, const char *key, const char *s);      // NULL or "": null
void json_put_cut(struct json *j, const char *key, const char *s, size_t max_chars); // NULL: ""; cut with an ellipsis
void json_put_u64(struct json *j, const char *key, uint64_t n);
void json_put_bool(struct json *j, const char *key, bool b);
void json_put_id(struct json *j, const char *key, enum entity kind, uint64_t n);     // 0: null
void json_put_time(struct json *j, const char *key, uint64_t ms);       // 0: null
void json_put_percent(struct json *j, const char *key, uint64_t hundredths);
void json_put_nil(struct json *j, const char *key);
