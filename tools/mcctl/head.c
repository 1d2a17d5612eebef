#include "head.h"
#include <stdbool.h>
#include <string.h>
#include <strings.h>

enum { DIGITS_MAX = 15 };
#define SESSION "mc-session" // also after a prefix: __Host-mc-session

struct text {
    const char *p;
    size_t n;
};

void head_init(struct head *h)
{
    h->retry_after_s = 0;
    h->total = UINT64_MAX;
    h->link[0] = h->cookie[0] = 0;
}

static bool named(const char *line, size_t n, const char *name, struct text *ret)
{
    size_t at = strlen(name);

    if (n <= at || line[at] != ':' || strncasecmp(line, name, at) != 0)
        return false;
    at++;
    while (at < n && (line[at] == ' ' || line[at] == '\t'))
        at++;
    *ret = (struct text){ line + at, n - at };
    return true;
}

// false: not a number, such as a date.
static bool number(struct text v, uint64_t *ret)
{
    uint64_t x = 0;

    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] < '0' || v.p[i] > '9')
            return false;
        x = x * 10 + (uint64_t)(v.p[i] - '0');
    }
    if (v.n == 0 || v.n > DIGITS_MAX)
        return false;
    *ret = x;
    return true;
}

// What is printable and no blank: it goes into a request.
static bool copy(char *out, size_t size, const char *p, size_t n)
{
    if (n >= size)
        return false;
    for (size_t i = 0; i < n; i++)
        if (p[i] <= ' ' || p[i] > '~')
            return false;
    memcpy(out, p, n);
    out[n] = 0;
    return true;
}

// </api/...?before=7>; rel="next"
static void take_link(struct head *h, struct text v)
{
    static const char next[] = "rel=\"next\"";
    const char *end = v.n ? memchr(v.p, '>', v.n) : NULL;

    if (!end || v.n < 4 || v.p[0] != '<' || v.p[1] != '/' || v.p[2] == '/' || v.p[2] == '\\')
        return;
    if (memmem(end, (size_t)(v.p + v.n - end), next, sizeof next - 1) && !copy(h->link, sizeof h->link, v.p + 1, (size_t)(end - v.p) - 1))
        h->link[0] = 0;
}

static void take_cookie(struct head *h, struct text v)
{
    const char *end = v.n ? memchr(v.p, ';', v.n) : NULL;
    size_t n = end ? (size_t)(end - v.p) : v.n, session = sizeof SESSION - 1;
    const char *equal = n ? memchr(v.p, '=', n) : NULL;
    size_t name = equal ? (size_t)(equal - v.p) : 0;

    if (name >= session && memcmp(equal - session, SESSION, session) == 0 && !copy(h->cookie, sizeof h->cookie, v.p, n))
        h->cookie[0] = 0;
}

void head_line(struct head *h, const char *line, size_t n)
{
    struct text v;

    if (named(line, n, "Retry-After", &v))
        (void)number(v, &h->retry_after_s);
    else if (named(line, n, "X-Total-Count", &v))
        (void)number(v, &h->total);
    else if (named(line, n, "Link", &v))
        take_link(h, v);
    else if (named(line, n, "Set-Cookie", &v))
        take_cookie(h, v);
}
