// A growing octet buffer that is born with its limit. Once an append fails the buffer remembers the error, so that a
// writer may append many pieces and look once at the end.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "err.h"

struct buf {
    uint8_t *data;
    size_t len, cap, max;
    enum err err;
};

// max: octets it may ever hold.
void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);
// Empties it and clears the error; the memory stays.
void buf_reset(struct buf *b);
// Room for n more octets, contiguous; NULL (and b->err) when that passes max or memory. Add what was used to b->len.
uint8_t *buf_reserve(struct buf *b, size_t n);
void buf_put(struct buf *b, const void *p, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// Decimal, without printf.
void buf_u64(struct buf *b, uint64_t n);
// Drops the first n octets (n <= len).
void buf_consume(struct buf *b, size_t n);
// Makes the content a C string (a NUL after it, not counted). "" on error.
const char *buf_cstr(struct buf *b);
// Gives the memory to the caller (free it); the buffer is empty after.
uint8_t *buf_take(struct buf *b, size_t *ret_len);
