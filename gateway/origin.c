#include "origin.h"
#include <string.h>
#include "octet.h"

// host[:port] in two; the port of the scheme when there is none. False: that is none.
static bool split(struct text t, unsigned port, struct text *ret_name, unsigned *ret_port)
{
    const char *from = t.n && *t.p == '[' ? memchr(t.p, ']', t.n) : t.p;
    const char *colon = t.n && from ? memchr(from, ':', t.n - (size_t)(from - t.p)) : NULL;
    struct text digits = { NULL, 0 };

    if (!t.n || !from)
        return false;
    if (colon)
        digits = (struct text){ colon + 1, t.n - (size_t)(colon + 1 - t.p) };
    if (digits.n > 5)
        return false;
    *ret_port = digits.n ? 0 : port;
    for (size_t i = 0; i < digits.n; i++) {
        if (digits.p[i] < '0' || digits.p[i] > '9')
            return false;
        *ret_port = *ret_port * 10 + (unsigned)(digits.p[i] - '0');
    }
    *ret_name = (struct text){ t.p, colon ? (size_t)(colon - t.p) : t.n };
    return ret_name->n > 0;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool same(struct text a, struct text b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

static bool own(struct text origin, bool tls, struct text host)
{
    const char *scheme = tls ? "https://" : "http://";
    size_t n = strlen(scheme);
    unsigned port = tls ? 443 : 80, theirs, ours;
    struct text their_name, our_name;

    if (origin.n <= n || !same((struct text){ origin.p, n }, (struct text){ scheme, n }))
        return false;
    origin = (struct text){ origin.p + n, origin.n - n };
    return split(origin, port, &their_name, &theirs) && split(host, port, &our_name, &ours) && theirs == ours &&
           same(their_name, our_name);
}

enum origin origin_judge(struct text origin, struct text site, bool tls, struct text host)
{
    if (origin.p)
        return own(origin, tls, host) ? ORIGIN_OWN : ORIGIN_OTHER;
    if (site.p)
        return text_is(site, "same-origin") ? ORIGIN_OWN : ORIGIN_OTHER;
    return ORIGIN_NONE;
}

enum origin origin_of(const struct exchange *x)
{
    unsigned origins = 0, sites = 0;
    struct text origin = exchange_header(x, "origin", &origins), site = exchange_header(x, "sec-fetch-site", &sites);

    return origins > 1 || sites > 1 ? ORIGIN_OTHER : origin_judge(origin, site, x->tls, x->host);
}
