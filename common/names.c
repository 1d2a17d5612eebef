#include "names.h"
#include <string.h>

static unsigned find(const char *const *names, unsigned count, const char *name)
{
    for (unsigned i = 1; name && i < count; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return 0;
}

#define N(value, name) name,
#define W(value, name) ", " name
#define S(set, TABLE, PREFIX)                                                   \
    static const char *const set##_names[] = { NULL, TABLE(N) };                \
    const char *set##_name(unsigned value)                                      \
    {                                                                           \
        return value < PREFIX##_COUNT ? set##_names[value] : NULL;              \
    }                                                                           \
    const char *set##_words(void)                                               \
    {                                                                           \
        static const char words[] = TABLE(W);                                   \
        return words + sizeof ", " - 1;                                         \
    }                                                                           \
    enum set set##_find(const char *name)                                       \
    {                                                                           \
        return (enum set)find(set##_names, PREFIX##_COUNT, name);               \
    }
NAME_SETS(S)
#undef S
#undef W
#undef N

size_t id_format(char out[ID_TEXT_MAX], enum entity kind, uint64_t n)
{
    const char *prefix = entity_name(kind);
    size_t at = prefix ? strlen(prefix) : 0, i = 20;
    char digits[20];

    if (at)
        memcpy(out, prefix, at);
    out[at++] = '_';
    do {
        digits[--i] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    memcpy(out + at, digits + i, 20 - i);
    at += 20 - i;
    out[at] = 0;
    return at;
}

uint64_t id_parse(enum entity kind, const char *text)
{
    const char *prefix = entity_name(kind);
    size_t n = prefix ? strlen(prefix) : 0;
    uint64_t v = 0;

    if (!n || strncmp(text, prefix, n) != 0 || text[n] != '_' || text[n + 1] == '0' || text[n + 1] == 0)
        return 0;
    for (const char *p = text + n + 1; *p; p++) {
        if (*p < '0' || *p > '9' || v > (uint64_t)INT64_MAX / 10)
            return 0;
        v = v * 10 + (uint64_t)(*p - '0');
    }
    return v <= (uint64_t)INT64_MAX ? v : 0;
}
