#include "cookie.h"
#include <string.h>

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct text trim(struct text t)
{
    while (t.n && blank(*t.p)) {
        t.p++;
        t.n--;
    }
    while (t.n && blank(t.p[t.n - 1]))
        t.n--;
    return t;
}

// How often the name stands there, and the first value.
static unsigned find(struct text field, const char *name, struct text *ret)
{
    size_t name_n = strlen(name);
    unsigned many = 0;

    while (field.n) {
        const char *end = memchr(field.p, ';', field.n);
        size_t n = end ? (size_t)(end - field.p) : field.n;
        struct text pair = trim((struct text){ field.p, n });
        const char *eq = pair.n ? memchr(pair.p, '=', pair.n) : NULL;
        struct text key = trim((struct text){ pair.p, eq ? (size_t)(eq - pair.p) : 0 });
        if (eq && key.n == name_n && memcmp(key.p, name, name_n) == 0 && many++ == 0)
            *ret = trim((struct text){ eq + 1, pair.n - (size_t)(eq + 1 - pair.p) });
        n += end != NULL;
        field.p += n;
        field.n -= n;
    }
    return many;
}

struct text cookie_session(struct text field)
{
    struct text value = { NULL, 0 };
    unsigned many = find(field, COOKIE_HOST, &value);

    if (!many)
        many = find(field, COOKIE_PLAIN, &value);
    return many > 1 ? (struct text){ "", 0 } : value;
}
