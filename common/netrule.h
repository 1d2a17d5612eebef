// Which addresses our outgoing requests may go to. Pure: what a name resolves to is judged where its socket is opened (fetch.c).
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NET_RULES_MAX = 64 };

struct net_addr {
    bool v6;
    uint8_t ip[16]; // network order; the first 4 where it is no v6
    uint16_t port;
};
enum net_kind {
    NET_PUBLIC,  // the internet's
    NET_SPECIAL, // this machine, private networks, and every other range that is not the internet's: by the allow-list alone
    NET_NEVER,   // link-local (where clouds keep their credentials), multicast, unspecified, v4 dressed up as v6: whatever a list says
};
struct net_rule {
    struct net_addr net; // port 0: any
    unsigned bits;
};
struct net_allow {
    struct net_rule rule[NET_RULES_MAX];
    unsigned n;
};

enum net_kind net_kind(const struct net_addr *a);
// The allow-list's text: "NETWORK[:PORT],...", a network as 10.0.0.0/8, fd00::/8 or a plain address; a v6 network with a port as
// fd00::/8:443 or [fd00::1]:443. NULL or "": none. False: *ret_bad, *ret_n are the entry that is none (lent by text).
bool net_allow_parse(const char *text, struct net_allow *ret, const char **ret_bad, size_t *ret_n);
// Public, or special and named by the list.
bool net_allowed(const struct net_allow *allow, const struct net_addr *a);
