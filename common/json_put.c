#include "json_put.h"

void json_put_str(struct json *j, const char *key, const char *s)
{
    json_key(j, key);
    json_str(j, s);
}

void json_put_opt(struct json *j, const char *key, const char *s)
{
    json_put_str(j, key, s && *s ? s : NULL);
}

void json_put_cut(struct json *j, const char *key, const char *s, size_t max_chars)
{
    json_key(j, key);
    json_str_cut(j, s ? s : "", max_chars);
}

void json_put_u64(struct json *j, const char *key, uint64_t n)
{
    json_key(j, key);
    json_u64(j, n);
}

void json_put_bool(struct json *j, const char *key, bool b)
{
    json_key(j, key);
    json_bool(j, b);
}

void json_put_id(struct json *j, const char *key, enum entity kind, uint64_t n)
{
    json_key(j, key);
    json_id(j, kind, n);
}

void json_put_time(struct json *j, const char *key, uint64_t ms)
{
    json_key(j, key);
    json_time(j, ms);
}

void json_put_percent(struct json *j, const char *key, uint64_t hundredths)
{
    json_key(j, key);
    json_fixed(j, (int64_t)hundredths, 2);
}

void json_put_nil(struct json *j, const char *key)
{
    json_key(j, key);
    json_nil(j);
}
