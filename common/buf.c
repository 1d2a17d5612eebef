#include "buf.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){ .max = max };
}

void buf_fini(struct buf *b)
{
    free(b->data);
    *b = (struct buf){ .max = b->max };
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->err = ERR_OK;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
    if (b->err)
        return NULL;
    if (n > b->max || b->len > b->max - n) {
        b->err = ERR_TOO_BIG;
        return NULL;
    }
    if (b->cap - b->len < n || !b->data) {
        size_t cap = b->cap ? b->cap : 256;
        while (cap < b->len + n)
            cap *= 2;
        if (cap > b->max && b->max >= b->len + n)
            cap = b->max;
        if (cap == 0)
            cap = 1;
        uint8_t *p = realloc(b->data, cap);
        if (!p) {
            b->err = ERR_NO_MEMORY;
            return NULL;
        }
        b->data = p;
        b->cap = cap;
    }
    return b->data + b->len;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
    if (n == 0)
        return;
    uint8_t *to = buf_reserve(b, n);
    if (!to)
        return;
    memcpy(to, p, n);
    b->len += n;
}

void buf_puts(struct buf *b, const char *s)
{
    buf_put(b, s, strlen(s));
}

void buf_putc(struct buf *b, char c)
{
    buf_put(b, &c, 1);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->err = ERR_INTERNAL;
        return;
    }
    uint8_t *to = buf_reserve(b, (size_t)n + 1);
    if (!to)
        return;
    va_start(ap, fmt);
    vsnprintf((char *)to, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
}

void buf_u64(struct buf *b, uint64_t n)
{
    char t[20];
    size_t i = sizeof t;
    do {
        t[--i] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    buf_put(b, t + i, sizeof t - i);
}

void buf_consume(struct buf *b, size_t n)
{
    if (n == 0) // an empty buffer may have no memory yet
        return;
    memmove(b->data, b->data + n, b->len - n);
    b->len -= n;
}

const char *buf_cstr(struct buf *b)
{
    uint8_t *p = buf_reserve(b, 1);
    if (!p)
        return "";
    *p = 0;
    return (const char *)b->data;
}

uint8_t *buf_take(struct buf *b, size_t *ret_len)
{
    uint8_t *p = b->data;
    *ret_len = b->len;
    *b = (struct buf){ .max = b->max };
    return p;
}
