// Names are few and compared one by one; addresses are 16 octets, IPv4 mapped, so that one comparison serves both families.
#include "trust.h"
#include <arpa/inet.h>
#include <string.h>
#include "octet.h"

static struct text without_dot(struct text name) // "example.org." is the same name
{
    if (name.n > 1 && name.p[name.n - 1] == '.')
        name.n--;
    return name;
}

static bool same_name(struct text a, struct text b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        char x = a.p[i], y = b.p[i];
        if (x != y && ((x | 32) != (y | 32) || (x | 32) < 'a' || (x | 32) > 'z'))
            return false;
    }
    return true;
}

static bool name_ok(struct text name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (!((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '-' || c == '.' || c == '_'))
            return false;
        if (c == '.' && (i == 0 || name.p[i - 1] == '.')) // no client could ask for it: better told than never matched
            return false;
    }
    return name.n > 0 && name.n < 256;
}

enum err trust_add_hosts(struct trust *t, const char *list)
{
    struct text rest = { list, strlen(list) }, name;

    while (text_next(&rest, &name)) {
        if (!name_ok(name))
            return ERR_BAD_REQUEST;
        if (t->n_names == TRUST_NAMES_MAX)
            return ERR_TOO_BIG;
        t->names[t->n_names++] = without_dot(name);
    }
    return ERR_OK;
}

static bool number(struct text t, unsigned max, unsigned *ret)
{
    unsigned v = 0;

    if (t.n == 0 || t.n > 5)
        return false;
    for (size_t i = 0; i < t.n; i++) {
        if (t.p[i] < '0' || t.p[i] > '9')
            return false;
        v = v * 10 + (unsigned)(t.p[i] - '0');
    }
    *ret = v;
    return v <= max;
}

enum err trust_add_proxies(struct trust *t, const char *list)
{
    struct text rest = { list, strlen(list) }, one;

    while (text_next(&rest, &one)) {
        const char *slash = memchr(one.p, '/', one.n);
        struct text address = { one.p, slash ? (size_t)(slash - one.p) : one.n };
        bool v6 = memchr(address.p, ':', address.n) != NULL;
        struct trust_net net = { .bits = 128 };
        unsigned bits = v6 ? 128 : 32;

        if (t->n_nets == TRUST_NETS_MAX)
            return ERR_TOO_BIG;
        if (slash && !number((struct text){ slash + 1, one.n - address.n - 1 }, bits, &bits))
            return ERR_BAD_REQUEST;
        if (!trust_address(address, net.address))
            return ERR_BAD_REQUEST;
        net.bits = v6 ? bits : bits + 96;
        t->nets[t->n_nets++] = net;
    }
    return ERR_OK;
}

bool trust_address(struct text text, uint8_t ret[ADDRESS_SIZE])
{
    char copy[ADDRESS_TEXT];
    struct in_addr v4;

    if (text.n && text.p[0] == '[') {
        const char *end = memchr(text.p, ']', text.n);
        if (!end)
            return false;
        text = (struct text){ text.p + 1, (size_t)(end - text.p - 1) };
    } else if (text.n && memchr(text.p, '.', text.n)) {
        const char *colon = memchr(text.p, ':', text.n);
        if (colon && !memchr(colon + 1, ':', text.n - (size_t)(colon + 1 - text.p)))
            text.n = (size_t)(colon - text.p);
    }
    if (text.n >= sizeof copy)
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    if (inet_pton(AF_INET, copy, &v4) == 1) {
        memset(ret, 0, 10);
        memset(ret + 10, 0xff, 2);
        memcpy(ret + 12, &v4, 4);
        return true;
    }
    return inet_pton(AF_INET6, copy, ret) == 1;
}

void trust_address_text(const uint8_t address[ADDRESS_SIZE], char out[ADDRESS_TEXT])
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    bool v4 = memcmp(address, mapped, sizeof mapped) == 0;

    if (!inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? address + 12 : address, out, ADDRESS_TEXT))
        out[0] = 0;
}

bool trust_host(const struct trust *t, struct text host)
{
    uint8_t address[ADDRESS_SIZE];
    struct text name = host;
    const char *colon;

    if (host.n && host.p[0] == '[')
        return true; // http_in.c found a good IPv6 address in the brackets
    if ((colon = memchr(host.p, ':', host.n)))
        name.n = (size_t)(colon - host.p);
    if (trust_address(name, address))
        return true;
    name = without_dot(name);
    for (unsigned i = 0; i < t->n_names; i++)
        if (same_name(t->names[i], name))
            return true;
    return false;
}

bool trust_proxy(const struct trust *t, const uint8_t address[ADDRESS_SIZE])
{
    for (unsigned i = 0; i < t->n_nets; i++) {
        unsigned whole = t->nets[i].bits / 8, rest = t->nets[i].bits % 8;
        unsigned mask = (0xff00u >> rest) & 0xff;
        if (memcmp(address, t->nets[i].address, whole) == 0 &&
            (!rest || ((address[whole] ^ t->nets[i].address[whole]) & mask) == 0))
            return true;
    }
    return false;
}
