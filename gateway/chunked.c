// One octet after another but for the content, which is taken in runs; the place is held in `at`, so that pieces of any size are
// alike. A chunk's line is gathered and looked at when it is whole.
#include "chunked.h"
#include "octet.h"

enum { FRAMING_FREE = 16 * 1024, FRAMING_RATIO = 16 }; // octets of framing: so many, and so many for each of the content

enum at { AT_CHUNK, AT_DATA, AT_DATA_CR, AT_DATA_LF, AT_TRAILER, AT_TRAILER_NAME, AT_TRAILER_VALUE, AT_TRAILER_LF, AT_LAST_LF };

static bool fail(struct chunked *p, unsigned status, const char *why)
{
    p->status = status;
    p->why = why;
    return false;
}

static bool bad(struct chunked *p, const char *why)
{
    return fail(p, 400, why);
}

static size_t blanks(const uint8_t *d, size_t i, size_t n)
{
    while (i < n && (d[i] == ' ' || d[i] == '\t'))
        i++;
    return i;
}

// *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] ), of which nothing is used.
static bool extensions_ok(const uint8_t *d, size_t i, size_t n)
{
    while (i < n) {
        i = blanks(d, i, n);
        if (i == n || d[i] != ';')
            return false;
        size_t from = blanks(d, i + 1, n);
        i = octet_run(d, from, n, TCHAR);
        if (i == from)
            return false;
        from = blanks(d, i, n);
        if (from == n || d[from] != '=')
            continue;
        i = blanks(d, from + 1, n);
        if (i == n || d[i] != '"') {
            from = i;
            i = octet_run(d, i, n, TCHAR);
            if (i == from)
                return false;
            continue;
        }
        for (i++; i < n && d[i] != '"'; i++)
            if (d[i] == '\\' && i + 1 < n)
                i++;
        if (i++ >= n)
            return false;
    }
    return true;
}

// 1*HEXDIG and extensions, the line's CR and LF at its end. The last chunk is followed by the trailer section.
static bool chunk_line(struct chunked *p)
{
    size_t n = p->line_n, digits = octet_run(p->line, 0, n, HEX);

    p->line_n = 0;
    if (n < 2 || p->line[n - 2] != '\r' || octet_run(p->line, 0, n - 2, VALUE) != n - 2)
        return bad(p, "A chunk's line holds an octet that is not allowed");
    n -= 2;
    if (digits == 0 || digits > 16 || !extensions_ok(p->line, digits, n))
        return bad(p, "A chunk's size is malformed");
    p->left = 0;
    for (size_t i = 0; i < digits; i++)
        p->left = p->left << 4 | (unsigned)(p->line[i] <= '9' ? p->line[i] - '0' : (p->line[i] | 32) - 'a' + 10);
    p->at = p->left ? AT_DATA : AT_TRAILER;
    return true;
}

static bool trailer_octet(struct chunked *p, uint8_t c)
{
    static const char malformed[] = "A trailer field is malformed", lone[] = "A CR stands without its LF";

    if (p->trailer_n++ == CHUNKED_TRAILER_MAX)
        return fail(p, 431, "The trailer is too large");
    switch (p->at) {
    case AT_TRAILER:
        p->at = c == '\r' ? AT_LAST_LF : AT_TRAILER_NAME;
        return c == '\r' || octet_is(c, TCHAR) || bad(p, malformed);
    case AT_TRAILER_NAME:
        if (c == ':')
            p->at = AT_TRAILER_VALUE;
        return c == ':' || octet_is(c, TCHAR) || bad(p, malformed);
    case AT_TRAILER_VALUE:
        if (c == '\r')
            p->at = AT_TRAILER_LF;
        return c == '\r' || octet_is(c, VALUE) || bad(p, malformed);
    case AT_TRAILER_LF:
        p->at = AT_TRAILER;
        return c == '\n' || bad(p, lone);
    default: // AT_LAST_LF
        p->done = c == '\n';
        return c == '\n' || bad(p, lone);
    }
}

// Chunk framing, one octet.
static bool framing_octet(struct chunked *p, uint8_t c)
{
    static const char off[] = "A chunk does not end where it said";

    if (++p->framing_n > FRAMING_FREE + FRAMING_RATIO * p->content_n)
        return bad(p, "The chunks are more framing than content");
    switch (p->at) {
    case AT_CHUNK:
        if (p->line_n == CHUNKED_LINE_MAX)
            return bad(p, "A chunk's line is too long");
        p->line[p->line_n++] = c;
        return c != '\n' || chunk_line(p);
    case AT_DATA_CR:
        p->at = AT_DATA_LF;
        return c == '\r' || bad(p, off);
    case AT_DATA_LF:
        p->at = AT_CHUNK;
        return c == '\n' || bad(p, off);
    default:
        return trailer_octet(p, c);
    }
}

void chunked_init(struct chunked *p)
{
    p->done = false;
    p->status = 0;
    p->why = NULL;
    p->content_n = p->left = p->framing_n = 0;
    p->at = AT_CHUNK;
    p->line_n = 0;
    p->trailer_n = 0;
}

size_t chunked_read(struct chunked *p, const uint8_t *d, size_t n, struct buf *out)
{
    size_t used = 0;

    while (used < n && !p->done && !p->status) {
        if (p->at != AT_DATA) {
            if (framing_octet(p, d[used++]) && p->at == AT_DATA && p->left > out->max - out->len)
                fail(p, 413, "The body is too large");
            continue;
        }
        size_t take = n - used < p->left ? n - used : (size_t)p->left;
        buf_put(out, d + used, take);
        used += take;
        p->left -= take;
        p->content_n += take;
        if (out->err)
            fail(p, 503, "Out of memory");
        else if (p->left == 0)
            p->at = AT_DATA_CR;
    }
    return used;
}
