// links: gateway common protobuf-c
// fuzz: -max_len=256
// Whom a gateway believes. Input: lines: a list of proxies, a list of host names, an address, a host. An address that is read is written so
// that it reads the same, and as inet_pton reads it; a proxy is believed just when a network of the list holds it, bit by bit.
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "trust.h"
#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *line(const uint8_t **data, size_t *size)
{
    const uint8_t *end = *size ? memchr(*data, '\n', *size) : NULL;
    size_t n = end ? (size_t)(end - *data) : *size, used = n + (end != NULL);
    char *p = malloc(n + 1);
    require(p != NULL);
    if (n)
        memcpy(p, *data, n);
    p[n] = 0;
    *data += used;
    *size -= used;
    return p;
}

static bool inside(const struct trust_net *net, const uint8_t a[ADDRESS_SIZE])
{
    require(net->bits <= 128);
    for (unsigned i = 0; i < net->bits; i++)
        if ((net->address[i / 8] ^ a[i / 8]) & 0x80 >> i % 8)
            return false;
    return true;
}

static void address(const struct trust *t, const char *s)
{
    uint8_t a[ADDRESS_SIZE], b[ADDRESS_SIZE];
    char text[ADDRESS_TEXT];
    struct in_addr four;
    struct in6_addr six;
    bool any = false;
    if (inet_pton(AF_INET, s, &four) == 1 || inet_pton(AF_INET6, s, &six) == 1)
        require(trust_address((struct text){ s, strlen(s) }, a));
    if (!trust_address((struct text){ s, strlen(s) }, a))
        return;
    trust_address_text(a, text);
    require(inet_pton(AF_INET, text, &four) == 1 || inet_pton(AF_INET6, text, &six) == 1);
    require(trust_address((struct text){ text, strlen(text) }, b) && memcmp(a, b, sizeof a) == 0);
    for (unsigned i = 0; i < t->n_nets; i++)
        any |= inside(&t->nets[i], a);
    require(trust_proxy(t, a) == any);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct trust t = { .n_names = 0 };
    char *proxies = line(&data, &size), *names = line(&data, &size), *one = line(&data, &size), *host = line(&data, &size);
    bool ok = trust_add_proxies(&t, proxies) == ERR_OK;
    require(t.n_nets <= TRUST_NETS_MAX);
    require(trust_add_hosts(&t, names) == ERR_OK || t.n_names <= TRUST_NAMES_MAX);
    if (ok)
        address(&t, one);
    (void)trust_host(&t, (struct text){ host, strlen(host) });
    for (unsigned i = 0; i < t.n_names; i++) // a name of the list is ours, with any port
        if (t.names[i].n < 200 && t.names[i].n) {
            char with[256];
            snprintf(with, sizeof with, "%.*s:8080", (int)t.names[i].n, t.names[i].p);
            require(trust_host(&t, (struct text){ with, strlen(with) }));
        }
    free(proxies);
    free(names);
    free(one);
    free(host);
    return 0;
}
