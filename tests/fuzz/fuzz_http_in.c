// links: gateway common protobuf-c
// fuzz: -max_len=4096 -dict=tests/fuzz/http.dict
// A stream of requests: all at once, octet by octet and in pieces of pseudo-random size must come to the same; and what is
// taken for a good head must hold what the guard promises.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "http_in.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BODY_MAX = 4096, REQUESTS_MAX = 32 };

struct summary { // of one request
    enum http_in_state state;
    unsigned status, n_fields;
    enum method method;
    bool http10, close, chunked, expect, asterisk;
    uint64_t length, path_hash, body_hash;
    size_t end; // where it ends in the input
};

static uint64_t hash(const void *p, size_t n)
{
    const uint8_t *d = p;
    uint64_t h = 14695981039346656037u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ d[i]) * 1099511628211u;
    return h;
}

static void require(bool what)
{
    if (!what)
        abort();
}

// No octet that may not be there has come through.
static void check_head(const struct http_in *p)
{
    require(p->path.n > 0 && p->head.len <= HTTP_HEAD_MAX && p->n_fields <= HTTP_FIELDS_MAX);
    require(!p->chunked || (p->length == 0 && !p->http10));
    require(p->host.p != NULL || p->http10);
    for (size_t i = 0; i < p->path.n; i++)
        require((uint8_t)p->path.p[i] > ' ' && (uint8_t)p->path.p[i] < 0x7f);
    for (unsigned i = 0; i < p->n_fields; i++) {
        struct text name = http_in_name(p, i), value = http_in_value(p, i);
        require(name.n > 0 && memchr(name.p, ' ', name.n) == NULL && memchr(name.p, ':', name.n) == NULL);
        for (size_t k = 0; k < value.n; k++)
            require((uint8_t)value.p[k] == '\t' || ((uint8_t)value.p[k] >= ' ' && (uint8_t)value.p[k] != 0x7f));
        require(value.n == 0 || (value.p[0] != ' ' && value.p[value.n - 1] != ' '));
    }
}

// One piece, in an allocation of exactly its size.
static size_t feed(struct http_in *p, struct buf *body, const uint8_t *d, size_t n)
{
    static uint8_t *one; // of one octet: most pieces are that
    if (!one)
        one = malloc(1);
    uint8_t *exact = n == 1 ? one : malloc(n ? n : 1);
    size_t used;

    require(exact != NULL);
    memcpy(exact, d, n);
    used = http_in_head(p, exact, n);
    require(p->method_text.n == 0 || p->method_text.p == (const char *)p->head.data); // wherever that has moved
    if (p->state == HTTP_IN_READY) {
        check_head(p);
        http_in_begin_body(p);
    }
    if (p->state == HTTP_IN_BODY)
        used += http_in_body(p, exact + used, n - used, body);
    if (exact != one)
        free(exact);
    require(used <= n && body->len <= BODY_MAX);
    require(used == n || p->state == HTTP_IN_DONE || p->state == HTTP_IN_FAILED);
    return used;
}

static size_t piece(unsigned how, uint64_t *seed, size_t left)
{
    size_t n = left;

    if (how == 1)
        n = 1;
    if (how == 2) {
        *seed = *seed * 6364136223846793005u + 1442695040888963407u;
        n = (*seed >> 33) % 40 + 1;
    }
    return n < left ? n : left;
}

static unsigned run(unsigned how, const uint8_t *data, size_t size, struct summary *out)
{
    struct http_in p;
    struct buf body;
    size_t at = 0;
    uint64_t seed = hash(data, size);
    unsigned n = 0;

    http_in_init(&p);
    buf_init(&body, BODY_MAX);
    for (bool on = true; on && n < REQUESTS_MAX; n++) {
        http_in_reset(&p);
        buf_reset(&body);
        while (at < size && p.state != HTTP_IN_DONE && p.state != HTTP_IN_FAILED)
            at += feed(&p, &body, data + at, piece(how, &seed, size - at));
        on = p.state == HTTP_IN_DONE && at < size;
        memset(&out[n], 0, sizeof out[n]);
        out[n].state = p.state;
        out[n].end = at;
        if (p.state == HTTP_IN_FAILED) {
            require(p.status >= 400 && p.status < 600 && p.why != NULL);
            out[n].status = p.status;
            continue;
        }
        out[n].n_fields = p.n_fields;
        out[n].method = p.method;
        out[n].http10 = p.http10, out[n].close = p.close, out[n].chunked = p.chunked, out[n].expect = p.expect;
        out[n].asterisk = p.asterisk;
        out[n].length = p.length;
        out[n].path_hash = p.state == HTTP_IN_DONE ? hash(p.path.p, p.path.n) : 0;
        out[n].body_hash = hash(body.data, body.len);
    }
    http_in_fini(&p);
    buf_fini(&body);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct summary whole[REQUESTS_MAX], cut[REQUESTS_MAX];
    unsigned n = run(0, data, size, whole);

    for (unsigned how = 1; how <= 2; how++) {
        require(run(how, data, size, cut) == n);
        require(memcmp(whole, cut, n * sizeof *whole) == 0);
    }
    return 0;
}
