// Whom we believe: the host names we answer to (against DNS rebinding: another site's name that was made to point here) and
// the proxies whose X-Forwarded-* we take for true. Pure.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "err.h"
#include "exchange.h"

enum { TRUST_NAMES_MAX = 64, TRUST_NETS_MAX = 64, ADDRESS_SIZE = 16, ADDRESS_TEXT = 46 };

struct trust_net {
    uint8_t address[ADDRESS_SIZE]; // IPv4 as ::ffff:a.b.c.d
    unsigned bits;
};

struct trust {
    struct text names[TRUST_NAMES_MAX];
    struct trust_net nets[TRUST_NETS_MAX];
    unsigned n_names, n_nets;
};

// A comma list of host names, without ports; lent for ever. ERR_BAD_REQUEST for one that is none, ERR_TOO_BIG for too many.
MUST_USE enum err trust_add_hosts(struct trust *t, const char *list);
// A comma list of addresses and address/bits.
MUST_USE enum err trust_add_proxies(struct trust *t, const char *list);

// host: a well-formed host[:port]. IP literals are always ours: no name was looked up for them.
bool trust_host(const struct trust *t, struct text host);
bool trust_proxy(const struct trust *t, const uint8_t address[ADDRESS_SIZE]);
// "1.2.3.4", "1.2.3.4:80", "::1", "[::1]", "[::1]:80".
bool trust_address(struct text text, uint8_t ret[ADDRESS_SIZE]);
// IPv4 in its own form.
void trust_address_text(const uint8_t address[ADDRESS_SIZE], char out[ADDRESS_TEXT]);
