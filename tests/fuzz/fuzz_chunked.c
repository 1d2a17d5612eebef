// links: gateway common protobuf-c
// fuzz: -max_len=1024
// A chunked body: whole, octet by octet and in pieces it must come to the same; what is taken for a whole body is one, and holds what a
// second reading finds in it.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "chunked.h"
#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BODY_MAX = 700 };

static size_t run(const uint8_t *data, size_t size, size_t piece, struct chunked *c, struct buf *out)
{
    size_t at = 0;
    chunked_init(c);
    buf_init(out, BODY_MAX);
    while (at < size && !c->done && !c->status) {
        size_t n = piece < size - at ? piece : size - at, used = chunked_read(c, data + at, n, out);
        require(used <= n && (used == n || c->done || c->status));
        at += used;
    }
    require(out->len <= BODY_MAX && c->content_n == out->len);
    require(!c->status || (c->why && (c->status == 400 || c->status == 413 || c->status == 431 || c->status == 503)));
    return at;
}

static int hex(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

// Where the line ends that begins at `at`: the place of its CRLF, which must be there.
static size_t line_end(const uint8_t *d, size_t n, size_t at)
{
    while (at + 1 < n && d[at] != '\r') {
        require(d[at] != '\n');
        at++;
    }
    require(at + 1 < n && d[at + 1] == '\n');
    return at;
}

// RFC 9112 7.1 once more, of a body that was taken.
static void again(const uint8_t *d, size_t n, const struct buf *content)
{
    size_t at = 0, have = 0;
    for (;;) {
        uint64_t left = 0;
        size_t end = line_end(d, n, at), digits = 0;
        for (; at < end && hex(d[at]) >= 0; at++, digits++)
            left = left * 16 + (uint64_t)hex(d[at]);
        require(digits > 0 && (at == end || d[at] == ';' || d[at] == ' ' || d[at] == '\t'));
        at = end + 2;
        if (!left)
            break;
        require(left <= n - at && left <= content->len - have && memcmp(content->data + have, d + at, left) == 0);
        have += left;
        at += left;
        require(at + 1 < n && d[at] == '\r' && d[at + 1] == '\n');
        at += 2;
    }
    require(have == content->len);
    for (size_t end; (end = line_end(d, n, at)) != at; at = end + 2)
        require(memchr(d + at, ':', end - at) != NULL);
    require(at + 2 == n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct chunked whole, cut;
    struct buf a, b;
    if (size < 1)
        return 0;
    const size_t pieces[] = { 1, 2 + data[0] % 13 };
    data++;
    size--;
    size_t used = run(data, size, size + 1, &whole, &a);
    for (unsigned i = 0; i < 2; i++) {
        require(run(data, size, pieces[i], &cut, &b) == used);
        require(cut.done == whole.done && cut.status == whole.status && cut.why == whole.why && b.len == a.len);
        require(!a.len || memcmp(a.data, b.data, a.len) == 0);
        buf_fini(&b);
    }
    if (whole.done)
        again(data, used, &a);
    buf_fini(&a);
    return 0;
}
