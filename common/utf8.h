// Well-formed UTF-8: RFC 3629, no surrogates, no overlong forms. Pure.
#pragma once
#include <stddef.h>
#include <stdint.h>

// Length of the sequence at s, 0 if it is broken or longer than the n octets there are. n > 0. In NUL-terminated text n may be 4: a NUL
// is no continuation, so nothing behind it is read.
size_t utf8_len(const uint8_t *s, size_t n);
