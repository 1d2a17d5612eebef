// The classes of octets in HTTP's grammar (RFC 9110, 9112, 3986), and small things done with lent text. Pure.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "exchange.h"

enum { // sets, for `set` below
    TCHAR = 1,     // of a token
    VALUE = 2,     // of a field's value: visible, blank, HTAB, obs-text
    LINE = 4,      // of a request line: visible ASCII and the blank
    TARGET = 8,    // of a path or query; the two digits behind a '%' are looked at apart
    REG_NAME = 16, // of a host name; likewise
    HEX = 32
};
extern const uint8_t octet_class[256];

static inline bool octet_is(uint8_t c, unsigned set)
{
    return (octet_class[c] & set) != 0;
}
// The index from i on, up to n, of the first octet that is not in the set.
size_t octet_run(const uint8_t *d, size_t i, size_t n, unsigned set);
bool octet_all(struct text t, unsigned set);

bool text_is(struct text t, const char *s);          // equal
bool text_is_nocase(struct text t, const char *s);   // equal but for the case of ASCII letters; s in lower case
// The next element of a comma list, trimmed; false at its end. Empty elements are skipped.
bool text_next(struct text *list, struct text *ret);
