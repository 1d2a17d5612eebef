#include "netrule.h"
#include <arpa/inet.h>
#include <string.h>

struct range {
    uint8_t ip[16];
    unsigned bits;
};

// The special-purpose registries of IANA (RFC 6890 and its updates), and what carries a v4 address inside a v6 one.
static const struct range never4[] = {
    { { 0 }, 8 },            // "this network": reaches this machine
    { { 169, 254 }, 16 },    // link-local
    { { 224 }, 4 },          // multicast
    { { 255, 255, 255, 255 }, 32 },
};
static const struct range special4[] = {
    { { 10 }, 8 },            { { 100, 64 }, 10 },      { { 127 }, 8 },          { { 172, 16 }, 12 },   { { 192, 0, 0 }, 24 },
    { { 192, 0, 2 }, 24 },    { { 192, 31, 196 }, 24 }, { { 192, 52, 193 }, 24 }, { { 192, 88, 99 }, 24 }, { { 192, 168 }, 16 },
    { { 192, 175, 48 }, 24 }, { { 198, 18 }, 15 },      { { 198, 51, 100 }, 24 }, { { 203, 0, 113 }, 24 }, { { 240 }, 4 },
};
static const struct range never6[] = {
    { { 0xfe, 0x80 }, 10 },  // link-local
    { { 0xff }, 8 },         // multicast
    { { 0 }, 127 },          // unspecified; the machine itself (::1) is taken out of it below
    { { 0 }, 96 },           // v4-compatible
    { { [10] = 0xff, [11] = 0xff }, 96 }, // v4-mapped
};
// Outside 2000::/3 nothing is public; inside it these are not.
static const struct range special6[] = {
    { { 0x20, 0x01, 0x00 }, 23 },       // protocol assignments, Teredo among them
    { { 0x20, 0x01, 0x0d, 0xb8 }, 32 }, // documentation
    { { 0x20, 0x02 }, 16 },             // 6to4
    { { 0x26, 0x20, 0x00, 0x4f, 0x80, 0x00 }, 48 }, // AS112
    { { 0x3f, 0xff, 0x00 }, 20 },       // documentation
};

static bool within(const uint8_t *ip, const uint8_t *net, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    uint8_t mask = (uint8_t)(0xff << (8 - rest));
    return memcmp(ip, net, whole) == 0 && (rest == 0 || ((ip[whole] ^ net[whole]) & mask) == 0);
}

static bool any(const uint8_t *ip, const struct range *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (within(ip, r[i].ip, r[i].bits))
            return true;
    return false;
}
#define ANY(ip, table) any(ip, table, sizeof table / sizeof *table)

enum net_kind net_kind(const struct net_addr *a)
{
    static const uint8_t itself6[16] = { [15] = 1 }, global6[16] = { 0x20 };
    if (!a->v6)
        return ANY(a->ip, never4) ? NET_NEVER : ANY(a->ip, special4) ? NET_SPECIAL : NET_PUBLIC;
    if (memcmp(a->ip, itself6, sizeof itself6) == 0)
        return NET_SPECIAL;
    if (ANY(a->ip, never6))
        return NET_NEVER;
    return !within(a->ip, global6, 3) || ANY(a->ip, special6) ? NET_SPECIAL : NET_PUBLIC;
}

bool net_allowed(const struct net_allow *allow, const struct net_addr *a)
{
    enum net_kind kind = net_kind(a);
    for (unsigned i = 0; kind == NET_SPECIAL && allow && i < allow->n; i++) {
        const struct net_rule *r = &allow->rule[i];
        if (r->net.v6 == a->v6 && within(a->ip, r->net.ip, r->bits) && (!r->net.port || r->net.port == a->port))
            return true;
    }
    return kind == NET_PUBLIC;
}

// ---------------------------------------------------------------- the list's text

// A decimal number from 0 to max at *at, without sign or leading zero; moves on behind it.
static bool number(const char **at, const char *end, unsigned max, unsigned *ret)
{
    const char *p = *at;
    unsigned v = 0;
    if (p == end || *p < '0' || *p > '9' || (*p == '0' && p + 1 < end && p[1] >= '0' && p[1] <= '9'))
        return false;
    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        v = v * 10 + (unsigned)(*p - '0');
        if (v > max)
            return false;
    }
    *at = p;
    *ret = v;
    return true;
}

// The address at *at: in brackets, or up to '/' or, if it is no v6, ':'.
static bool address(const char **at, const char *end, struct net_addr *ret)
{
    char text[INET6_ADDRSTRLEN];
    const char *p = *at, *stop;
    bool bracket = p < end && *p == '[';
    if (bracket) {
        p++;
        stop = memchr(p, ']', (size_t)(end - p));
    } else {
        stop = memchr(p, '/', (size_t)(end - p));
        const char *colon = memchr(p, ':', (size_t)(end - p));
        if (colon && !memchr(colon + 1, ':', (size_t)(end - colon - 1)) && (!stop || colon < stop))
            stop = colon; // one colon alone: before a port
        if (!stop)
            stop = end;
    }
    if (!stop || (size_t)(stop - p) >= sizeof text)
        return false;
    memcpy(text, p, (size_t)(stop - p));
    text[stop - p] = 0;
    *at = bracket ? stop + 1 : stop;
    ret->v6 = inet_pton(AF_INET6, text, ret->ip) == 1;
    return ret->v6 || (!bracket && inet_pton(AF_INET, text, ret->ip) == 1);
}

static bool rule(const char *at, const char *end, struct net_rule *r)
{
    unsigned port = 0;
    *r = (struct net_rule){ 0 };
    if (!address(&at, end, &r->net))
        return false;
    unsigned most = r->net.v6 ? 128 : 32;
    r->bits = most;
    if (at < end && *at == '/') {
        at++;
        if (!number(&at, end, most, &r->bits))
            return false;
    }
    if (at < end && *at == ':') {
        at++;
        if (!number(&at, end, 65535, &port) || !port)
            return false;
    }
    r->net.port = (uint16_t)port;
    for (unsigned b = r->bits; b < most; b++) // 10.1.2.3/8 is more likely a slip than meant
        if (r->net.ip[b / 8] & (0x80 >> b % 8))
            return false;
    return at == end;
}

bool net_allow_parse(const char *text, struct net_allow *ret, const char **ret_bad, size_t *ret_n)
{
    ret->n = 0;
    if (!text || !*text)
        return true;
    for (const char *at = text;;) {
        const char *comma = at + strcspn(at, ","), *end = comma;
        while (at < end && *at == ' ')
            at++;
        while (end > at && end[-1] == ' ')
            end--;
        *ret_bad = at;
        *ret_n = (size_t)(end - at);
        if (ret->n == NET_RULES_MAX || !rule(at, end, &ret->rule[ret->n]))
            return false;
        ret->n++;
        if (!*comma)
            return true;
        at = comma + 1;
    }
}
