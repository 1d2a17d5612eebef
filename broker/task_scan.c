#include "task_scan.h"
#include <string.h>
#include "record.pb-c.h"

static uint32_t number(const char *field)
{
    const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(&rec__task__descriptor, field);
    return f ? f->id : 0;
}

struct task_scan task_scan_for(const char *q)
{
    return (struct task_scan){ .q = q, .n = strlen(q), .title = number("title"), .content = number("content"),
                               .content_apart = number("content_apart") };
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static bool same(const uint8_t *p, const char *q, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (lower(p[i]) != lower((uint8_t)q[i]))
            return false;
    return true;
}

// Where c is at or after p; NULL: nowhere before end.
static const uint8_t *find(const uint8_t *p, const uint8_t *end, uint8_t c)
{
    return p < end ? memchr(p, c, (size_t)(end - p)) : NULL;
}

bool task_scan_text(const struct task_scan *s, struct slice text)
{
    if (s->n == 0)
        return true;
    if (text.n < s->n)
        return false;
    const uint8_t *p = text.p, *end = text.p + (text.n - s->n) + 1; // beyond the last place where it may begin
    uint8_t small = lower((uint8_t)s->q[0]), big = small >= 'a' && small <= 'z' ? small & 0xdf : small;
    const uint8_t *a = find(p, end, small), *b = big == small ? NULL : find(p, end, big);
    while (a || b) { // the first octet in either case, whichever comes first
        bool first = a && (!b || a < b);
        p = first ? a : b;
        if (same(p, s->q, s->n))
            return true;
        if (first)
            a = find(p + 1, end, small);
        else
            b = find(p + 1, end, big);
    }
    return false;
}

// A number of the protobuf encoding; false at the end of the octets.
static bool varint(struct slice *s, uint64_t *ret)
{
    *ret = 0;
    for (unsigned shift = 0; s->n && shift < 64; shift += 7) {
        uint8_t c = *s->p++;
        s->n--;
        *ret |= (uint64_t)(c & 127) << shift;
        if (c < 128)
            return true;
    }
    return false;
}

static bool skip(struct slice *s, uint64_t n)
{
    if (n > s->n)
        return false;
    s->p += n;
    s->n -= (size_t)n;
    return true;
}

enum err task_scan_record(const struct task_scan *s, struct slice packed, enum scan *ret)
{
    *ret = SCAN_NO;
    while (packed.n) {
        uint64_t tag, value;
        if (!varint(&packed, &tag))
            return ERR_CORRUPT;
        uint64_t field = tag >> 3;
        switch (tag & 7) {
        case 0:
            if (!varint(&packed, &value))
                return ERR_CORRUPT;
            if (field == s->content_apart && value)
                *ret = SCAN_APART;
            break;
        case 1:
        case 5:
            if (!skip(&packed, (tag & 7) == 1 ? 8 : 4))
                return ERR_CORRUPT;
            break;
        case 2: {
            const uint8_t *text = NULL;
            if (varint(&packed, &value))
                text = packed.p;
            if (!text || !skip(&packed, value))
                return ERR_CORRUPT;
            if ((field == s->title || field == s->content) && task_scan_text(s, (struct slice){ text, (size_t)value })) {
                *ret = SCAN_YES;
                return ERR_OK;
            }
            break;
        }
        default:
            return ERR_CORRUPT;
        }
    }
    return ERR_OK;
}
