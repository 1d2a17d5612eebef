#include "member.h"
#include <string.h>
#include "names.h"

static const char *key_of(const char *field)
{
    const char *dot = strrchr(field, '.');
    return dot ? dot + 1 : field;
}

static const json_t *given_member(const json_t *o, const char *field, bool *given)
{
    const json_t *m = json_object_get(o, key_of(field));
    if (json_is_null(m))
        m = NULL;
    if (given)
        *given = m != NULL;
    return m;
}

enum err member_refuse(struct fault *f, const char *field, const char *why)
{
    *f = (struct fault){ field, why };
    return ERR_INVALID_FIELD;
}

char *member_lent(const char *s)
{
    char *p;
    memcpy(&p, &s, sizeof p);
    return p;
}

enum err member_str(const json_t *o, const char *field, const char **ret, bool *given, struct fault *f)
{
    return json_in_str(o, key_of(field), ret, given) == ERR_OK ? ERR_OK : member_refuse(f, field, "It must be a string");
}

enum err member_text(const json_t *o, const char *field, char **ret, bool *given, struct fault *f)
{
    const char *s = NULL;
    enum err e = member_str(o, field, &s, given, f);
    if (s)
        *ret = member_lent(s);
    return e;
}

enum err member_filled(const json_t *o, const char *field, char **ret, bool *given, struct fault *f)
{
    bool there = false;
    enum err e = member_text(o, field, ret, &there, f);
    if (e)
        return e;
    if (there && !**ret)
        return member_refuse(f, field, "It must not be empty");
    if (given)
        *given = there;
    return ERR_OK;
}

enum err member_texts(const json_t *o, const char *field, char **at, size_t max, size_t *ret_n, bool *given, struct fault *f)
{
    const json_t *a = given_member(o, field, given);
    size_t n = json_array_size(a);

    if (!a)
        return ERR_OK;
    if (!json_is_array(a))
        return member_refuse(f, field, "It must be an array of strings");
    if (n > max)
        return member_refuse(f, field, "There are too many");
    for (size_t i = 0; i < n; i++) {
        const json_t *s = json_array_get(a, i);
        if (!json_is_string(s))
            return member_refuse(f, field, "It must be an array of strings");
        at[i] = member_lent(json_string_value(s));
    }
    *ret_n = n;
    return ERR_OK;
}

// A word that is none and a number that is out of range are handed on as UINT32_MAX: the check of the whole, which knows what is
// allowed, refuses that and says so.
enum err member_word(const json_t *o, const char *field, unsigned (*find)(const char *), uint32_t *ret, bool *given,
                     struct fault *f)
{
    const char *s = NULL;
    enum err e = member_str(o, field, &s, given, f);
    if (s && (*ret = find(s)) == 0)
        *ret = UINT32_MAX;
    return e;
}

enum err member_u32(const json_t *o, const char *field, uint32_t min, uint32_t *ret, bool *given, struct fault *f)
{
    uint64_t n = 0;
    bool there = false;
    if (json_in_uint(o, key_of(field), min, UINT32_MAX, &n, &there) != ERR_OK) {
        if (!json_is_integer(json_object_get(o, key_of(field))))
            return member_refuse(f, field, "It must be a whole number");
        n = UINT32_MAX;
        there = true;
    }
    if (there)
        *ret = (uint32_t)n;
    if (given)
        *given = there;
    return ERR_OK;
}

enum err member_bool(const json_t *o, const char *field, bool *ret, bool *given, struct fault *f)
{
    return json_in_bool(o, key_of(field), ret, given) == ERR_OK ? ERR_OK : member_refuse(f, field, "It must be true or false");
}

enum err member_percent(const json_t *o, const char *field, uint32_t *ret, bool *given, struct fault *f)
{
    const json_t *m = given_member(o, field, given);

    if (!m)
        return ERR_OK;
    double v = json_is_number(m) ? json_number_value(m) : 0;
    if (!(v > 0 && v <= 100))
        return member_refuse(f, field, "It must be a number above 0, up to 100");
    *ret = (uint32_t)(v * 100 + 0.5);
    return *ret ? ERR_OK : member_refuse(f, field, "It must be at least 0.01");
}

enum err member_desktop(const json_t *o, const char *field, uint64_t *ret, bool *given, struct fault *f)
{
    const char *s = NULL;
    enum err e = member_str(o, field, &s, given, f);
    if (s && (*ret = id_parse(ENTITY_DESKTOP, s)) == 0) {
        *f = (struct fault){ field, "There is no such desktop" };
        return ERR_UNKNOWN_DESKTOP;
    }
    return e;
}

enum err member_object(const json_t *o, const char *field, const json_t **ret, struct fault *f)
{
    const json_t *m = given_member(o, field, NULL);

    if (m && !json_is_object(m))
        return member_refuse(f, field, "It must be an object");
    if (m)
        *ret = m;
    return ERR_OK;
}
