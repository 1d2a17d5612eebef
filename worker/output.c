#include "output.h"
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAP = 4096 };

void output_init(struct output *o, uint64_t start)
{
    *o = (struct output){ .total = start, .acked = start, .tail_from = start > OUTPUT_HEAD ? start : OUTPUT_HEAD };
}

void output_fini(struct output *o)
{
    free(o->head);
    free(o->tail);
    free(o->head_err);
    free(o->tail_err);
    *o = (struct output){ .total = o->total, .acked = o->total, .tail_from = o->tail_from };
}

// Room for `need` octets and their bits, doubling up to max. The new bits need no value: output_put sets each.
static enum err grow(uint8_t **data, uint8_t **bits, size_t *cap, size_t need, size_t max)
{
    if (need > max)
        need = max;
    if (need <= *cap)
        return ERR_OK;
    size_t want = *cap ? *cap : FIRST_CAP;
    while (want < need)
        want *= 2;
    if (want > max)
        want = max;
    uint8_t *d = realloc(*data, want);
    if (!d)
        return ERR_NO_MEMORY;
    *data = d;
    uint8_t *b = realloc(*bits, (want + 7) / 8);
    if (!b)
        return ERR_NO_MEMORY;
    memset(b + (*cap + 7) / 8, 0, (want + 7) / 8 - (*cap + 7) / 8);
    *bits = b;
    *cap = want;
    return ERR_OK;
}

// What the ring must have room for when `total` octets have come: it starts at OUTPUT_HEAD, also for a run read back.
static size_t tail_need(uint64_t total)
{
    uint64_t n = total > OUTPUT_HEAD ? total - OUTPUT_HEAD : 0;
    return n > OUTPUT_TAIL ? OUTPUT_TAIL : (size_t)n;
}

enum err output_reserve(struct output *o, size_t n)
{
    uint64_t end = o->total + n;
    enum err e = ERR_OK;
    if (o->total < OUTPUT_HEAD)
        e = grow(&o->head, &o->head_err, &o->head_cap, end > OUTPUT_HEAD ? OUTPUT_HEAD : (size_t)end, OUTPUT_HEAD);
    if (!e && end > OUTPUT_HEAD)
        e = grow(&o->tail, &o->tail_err, &o->tail_cap, tail_need(end), OUTPUT_TAIL);
    return e;
}

static void set_bits(uint8_t *bits, size_t at, size_t n, bool on)
{
    for (; n && at % 8; at++, n--)
        bits[at / 8] = (uint8_t)(on ? bits[at / 8] | 1U << at % 8 : bits[at / 8] & ~(1U << at % 8));
    memset(bits + at / 8, on ? 0xff : 0, n / 8);
    at += n / 8 * 8;
    for (n %= 8; n; at++, n--)
        bits[at / 8] = (uint8_t)(on ? bits[at / 8] | 1U << at % 8 : bits[at / 8] & ~(1U << at % 8));
}

// How many of the n bits from `at` equal the first.
static size_t same_bits(const uint8_t *bits, size_t at, size_t n)
{
    bool first = bits[at / 8] >> at % 8 & 1;
    size_t i = 0;
    while (i < n) {
        if ((at + i) % 8 == 0 && n - i >= 8 && bits[(at + i) / 8] == (first ? 0xff : 0)) {
            i += 8;
            continue;
        }
        if ((bits[(at + i) / 8] >> (at + i) % 8 & 1) != first)
            break;
        i++;
    }
    return i;
}

void output_put(struct output *o, enum stream stream, const uint8_t *p, size_t n)
{
    bool err = stream == STREAM_STDERR;
    while (n) {
        size_t at, room, step;
        if (o->total < OUTPUT_HEAD) {
            at = (size_t)o->total;
            room = o->head_cap - at;
            step = n < room ? n : room;
            memcpy(o->head + at, p, step);
            set_bits(o->head_err, at, step, err);
        } else {
            // The ring only wraps once it has its full size.
            at = (size_t)((o->total - OUTPUT_HEAD) % OUTPUT_TAIL);
            room = o->tail_cap - at;
            step = n < room ? n : room;
            memcpy(o->tail + at, p, step);
            set_bits(o->tail_err, at, step, err);
        }
        o->total += step;
        p += step;
        n -= step;
    }
    if (o->total > o->tail_from && o->total - o->tail_from > OUTPUT_TAIL)
        o->tail_from = o->total - OUTPUT_TAIL;
}

enum err output_skip(struct output *o, uint64_t to)
{
    if (to == o->total)
        return ERR_OK;
    if (to < o->total || o->total < OUTPUT_HEAD)
        return ERR_INVALID_FIELD;
    o->total = o->tail_from = to;
    return ERR_OK;
}

bool output_next(const struct output *o, uint64_t from, size_t max, struct piece *ret)
{
    const uint8_t *data, *bits;
    size_t at, n;
    if (from < o->acked)
        from = o->acked;
    if (from < OUTPUT_HEAD && from < o->total) {
        uint64_t end = o->total < OUTPUT_HEAD ? o->total : OUTPUT_HEAD;
        data = o->head;
        bits = o->head_err;
        at = (size_t)from;
        n = (size_t)(end - from);
    } else {
        if (from < o->tail_from)
            from = o->tail_from;
        if (from >= o->total)
            return false;
        data = o->tail;
        bits = o->tail_err;
        at = (size_t)((from - OUTPUT_HEAD) % OUTPUT_TAIL);
        n = (size_t)(o->total - from);
        if (n > OUTPUT_TAIL - at)
            n = OUTPUT_TAIL - at;
    }
    if (n > max)
        n = max;
    if (n == 0)
        return false;
    bool err = bits[at / 8] >> at % 8 & 1;
    *ret = (struct piece){ .offset = from, .stream = err ? STREAM_STDERR : STREAM_STDOUT, .data = data + at,
                           .n = same_bits(bits, at, n) };
    return true;
}

void output_ack(struct output *o, uint64_t upto)
{
    if (upto > o->total)
        upto = o->total;
    if (upto > o->acked)
        o->acked = upto;
}
