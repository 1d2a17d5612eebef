// A sequence that is not whole waits in `part` for the next piece; what cannot become one is shown as U+FFFD, an octet at a time.
#include "escape.h"
#include <string.h>
#include "utf8.h"

// Beyond C0, DEL and C1: what hides, or turns, the text beside it.
static const struct { uint32_t from, to; } hidden[] = {
    { 0x00ad, 0x00ad }, { 0x034f, 0x034f }, { 0x061c, 0x061c }, { 0x115f, 0x1160 }, { 0x17b4, 0x17b5 },
    { 0x180e, 0x180e }, { 0x200b, 0x200f }, { 0x2028, 0x202e }, { 0x2060, 0x206f }, { 0x3164, 0x3164 },
    { 0xfeff, 0xfeff }, { 0xffa0, 0xffa0 }, { 0xfff9, 0xfffb }, { 0xe0000, 0xe0fff },
};

bool escape_needed(uint32_t c)
{
    if (c < 0x20 || (c >= 0x7f && c < 0xa0))
        return true;
    if (c < 0xad)
        return false;
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        if (c >= hidden[i].from && c <= hidden[i].to)
            return true;
    return false;
}

static uint32_t decode(const uint8_t *s, size_t n)
{
    uint32_t c = n == 1 ? s[0] : s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++)
        c = c << 6 | (s[i] & 0x3fu);
    return c;
}

static void shown(struct buf *out, uint32_t c)
{
    if (c == '\n')
        buf_puts(out, "\\n");
    else if (c == '\t')
        buf_puts(out, "\\t");
    else if (c == '\r')
        buf_puts(out, "\\r");
    else if (c < 0x80)
        buf_printf(out, "\\x%02x", c);
    else
        buf_printf(out, c > 0xffff ? "\\U%08x" : "\\u%04x", c);
}

static void character(struct escape *e, struct buf *out, const uint8_t *s, size_t n)
{
    uint32_t c = decode(s, n);

    if (e->cr) {
        e->cr = false;
        if (c != '\n')
            buf_puts(out, "\\r");
    }
    if (e->lines && c == '\r')
        e->cr = true;
    else if (escape_needed(c) && !(e->lines && (c == '\n' || c == '\t')))
        shown(out, c);
    else
        buf_put(out, s, n);
}

static void broken(struct escape *e, struct buf *out)
{
    static const uint8_t replacement[] = { 0xef, 0xbf, 0xbd };
    character(e, out, replacement, sizeof replacement);
}

// Whether the n octets, which are no character, begin one.
static bool unfinished(const uint8_t *s, size_t n)
{
    static const uint8_t tails[][3] = { { 0x80, 0x80, 0x80 }, { 0xbf, 0xbf, 0xbf }, { 0xa0, 0x80, 0x80 }, { 0x90, 0x80, 0x80 } };
    uint8_t whole[4];

    for (size_t i = 0; n < sizeof whole && i < sizeof tails / sizeof *tails; i++) {
        memcpy(whole, s, n);
        memcpy(whole + n, tails[i], sizeof whole - n);
        if (utf8_len(whole, sizeof whole) > n)
            return true;
    }
    return false;
}

static void octet(struct escape *e, struct buf *out, uint8_t c)
{
    e->part[e->part_n++] = c;
    while (e->part_n) {
        size_t n = utf8_len(e->part, e->part_n);
        if (n == 0 && unfinished(e->part, e->part_n))
            return;
        if (n)
            character(e, out, e->part, n);
        else
            broken(e, out);
        n = n ? n : 1;
        e->part_n -= n;
        memmove(e->part, e->part + n, e->part_n);
    }
}

void escape_feed(struct escape *e, struct buf *out, const void *text, size_t n)
{
    const uint8_t *s = text;

    for (size_t i = 0; i < n;) {
        size_t from = i;
        if (!e->part_n && !e->cr)
            while (i < n && s[i] >= 0x20 && s[i] < 0x7f) // most of it, in runs
                i++;
        if (i > from)
            buf_put(out, s + from, i - from);
        else
            octet(e, out, s[i++]);
    }
}

void escape_end(struct escape *e, struct buf *out)
{
    for (; e->part_n; e->part_n--)
        broken(e, out);
    if (e->cr)
        buf_puts(out, "\\r");
    e->cr = false;
}

void escape_text(struct buf *out, const char *text, size_t n, bool lines)
{
    struct escape e = { .lines = lines };

    escape_feed(&e, out, text, n);
    escape_end(&e, out);
}

static void json_character(struct buf *out, uint32_t c)
{
    if (c > 0xffff)
        buf_printf(out, "\\u%04x\\u%04x", 0xd7c0 + (c >> 10), 0xdc00 + (c & 0x3ff));
    else
        buf_printf(out, "\\u%04x", c);
}

// Between JSON's strings.
static bool white(uint8_t c)
{
    return c == '\n' || c == '\t' || c == '\r';
}

void escape_json(struct buf *out, const char *json, size_t n)
{
    const uint8_t *s = (const uint8_t *)json;

    for (size_t i = 0, k; i < n; i += k) {
        for (k = 0; i + k < n && s[i + k] < 0x7f && (s[i + k] >= 0x20 || white(s[i + k]));)
            k++;
        size_t len = k ? 0 : utf8_len(s + i, n - i);
        uint32_t c = len ? decode(s + i, len) : 0xfffd;
        if (k)
            buf_put(out, s + i, k);
        else if (len && !escape_needed(c))
            buf_put(out, s + i, len);
        else
            json_character(out, c);
        k = k ? k : len ? len : 1;
    }
}
