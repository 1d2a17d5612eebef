#include "json_in.h"
#include <stdio.h>
#include <string.h>

// jansson stops at 2048; we want 64, so the depth is counted before it sees the text. Brackets inside strings do not count.
static bool too_deep(const char *s, size_t n)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < n; i++) {
        if (in_string) {
            if (s[i] == '\\')
                i++;
            else if (s[i] == '"')
                in_string = false;
        } else if (s[i] == '"') {
            in_string = true;
        } else if (s[i] == '{' || s[i] == '[') {
            if (++depth > JSON_IN_DEPTH)
                return true;
        } else if (s[i] == '}' || s[i] == ']') {
            depth--;
        }
    }
    return false;
}

// What is wrong with it, where the place alone does not say it.
static const char *fault_text(const json_error_t *e)
{
    switch (json_error_code(e)) {
    case json_error_duplicate_key: return "a member stands there twice";
    case json_error_null_character:
    case json_error_null_byte_in_key: return "there is a NUL in a text";
    case json_error_numeric_overflow: return "a number is too large";
    case json_error_invalid_utf8: return "it is not UTF-8";
    case json_error_premature_end_of_input: return "it ends too early";
    case json_error_end_of_input_expected: return "something follows its end";
    default: return NULL;
    }
}

enum err json_in_parse(const void *text, size_t n, json_t **ret, char *why, size_t size)
{
    json_error_t e;

    if (too_deep(text, n)) {
        snprintf(why, size, "The body nests deeper than %d levels", JSON_IN_DEPTH);
        return ERR_BAD_JSON;
    }
    json_t *o = json_loadb(text, n, JSON_REJECT_DUPLICATES, &e);
    if (!o) {
        const char *what = fault_text(&e);
        snprintf(why, size, "The body is not valid JSON: line %d, column %d%s%s", e.line, e.column, what ? ": " : "", what ? what : "");
        return ERR_BAD_JSON;
    }
    if (!json_is_object(o)) {
        json_decref(o);
        snprintf(why, size, "The body must be a JSON object");
        return ERR_BAD_JSON;
    }
    *ret = o;
    return ERR_OK;
}

static const json_t *member(const json_t *o, const char *key, bool *given)
{
    const json_t *m = json_object_get(o, key);
    if (json_is_null(m))
        m = NULL;
    if (given)
        *given = m != NULL;
    return m;
}

enum err json_in_str(const json_t *o, const char *key, const char **ret, bool *given)
{
    const json_t *m = member(o, key, given);
    if (!m)
        return ERR_OK;
    if (!json_is_string(m))
        return ERR_INVALID_FIELD;
    *ret = json_string_value(m);
    return ERR_OK;
}

void json_in_wipe(json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    if (s)
        memset((void *)(uintptr_t)s, 0, strlen(s)); // jansson's own memory; it frees it by its address alone
}

enum err json_in_bool(const json_t *o, const char *key, bool *ret, bool *given)
{
    const json_t *m = member(o, key, given);
    if (!m)
        return ERR_OK;
    if (!json_is_boolean(m))
        return ERR_INVALID_FIELD;
    *ret = json_is_true(m);
    return ERR_OK;
}

enum err json_in_uint(const json_t *o, const char *key, uint64_t min, uint64_t max, uint64_t *ret, bool *given)
{
    const json_t *m = member(o, key, given);
    if (!m)
        return ERR_OK;
    json_int_t v = json_integer_value(m);
    if (!json_is_integer(m) || v < 0 || (uint64_t)v < min || (uint64_t)v > max)
        return ERR_INVALID_FIELD;
    *ret = (uint64_t)v;
    return ERR_OK;
}
