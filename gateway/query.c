// Happy path: a query of few and short parameters is walked once for each name a route knows; nothing is allocated.
#include "query.h"
#include <string.h>

enum { NAME_MAX_OCTETS = 64 };

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool query_decode(struct text t, bool plus, char *out, size_t size, struct text *ret)
{
    size_t at = 0;

    for (size_t i = 0; i < t.n; i++) {
        char c = t.p[i];
        if (c == '%') {
            int hi = i + 2 < t.n ? hex(t.p[i + 1]) : -1, lo = i + 2 < t.n ? hex(t.p[i + 2]) : -1;
            if (hi < 0 || lo < 0)
                return false;
            c = (char)(hi * 16 + lo);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (c == 0 || at + 1 >= size)
            return false;
        out[at++] = c;
    }
    if (size == 0)
        return false;
    out[at] = 0;
    *ret = (struct text){ out, at };
    return true;
}

// Takes the next name=value off the front of q.
static bool next(struct text *q, struct text *name, struct text *value)
{
    while (q->n && *q->p == '&') {
        q->p++;
        q->n--;
    }
    if (!q->n)
        return false;
    const char *end = memchr(q->p, '&', q->n);
    size_t n = end ? (size_t)(end - q->p) : q->n;
    const char *eq = memchr(q->p, '=', n);
    *name = (struct text){ q->p, eq ? (size_t)(eq - q->p) : n };
    *value = eq ? (struct text){ eq + 1, n - name->n - 1 } : (struct text){ q->p + n, 0 };
    q->p += n;
    q->n -= n;
    return true;
}

static bool is_name(struct text t, const char *name, size_t n)
{
    char decoded[NAME_MAX_OCTETS];
    struct text d = t;

    if ((memchr(t.p, '%', t.n) || memchr(t.p, '+', t.n)) && !query_decode(t, true, decoded, sizeof decoded, &d))
        return false;
    return d.n == n && memcmp(d.p, name, n) == 0;
}

static unsigned find(struct text query, const char *name, struct text *ret)
{
    struct text n, v;
    size_t len = strlen(name);
    unsigned found = 0;

    while (next(&query, &n, &v))
        if (is_name(n, name, len) && found++ == 0)
            *ret = v;
    return found;
}

enum err query_get(struct text query, const char *name, char *out, size_t size, struct text *ret)
{
    struct text v = { NULL, 0 };
    unsigned found = query.n ? find(query, name, &v) : 0;

    if (found > 1)
        return ERR_INVALID_FIELD;
    if (found == 0) {
        *ret = v;
        return ERR_OK;
    }
    return query_decode(v, true, out, size, ret) ? ERR_OK : ERR_INVALID_FIELD;
}

struct text query_raw(struct text query, const char *name)
{
    struct text v = { NULL, 0 };

    if (query.n)
        (void)find(query, name, &v);
    return v;
}

bool query_number(struct text t, uint64_t min, uint64_t max, uint64_t *ret)
{
    bool negative = t.n && *t.p == '-';
    uint64_t v = 0;
    bool huge = false;

    if (t.n == (negative ? 1u : 0u))
        return false;
    for (size_t i = negative; i < t.n; i++) {
        if (t.p[i] < '0' || t.p[i] > '9')
            return false;
        huge = huge || v > (UINT64_MAX - 9) / 10;
        if (!huge)
            v = v * 10 + (uint64_t)(t.p[i] - '0');
    }
    if (negative)
        v = min;
    else if (huge || v > max)
        v = max;
    *ret = v < min ? min : v;
    return true;
}
