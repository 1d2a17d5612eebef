// links: gateway common protobuf-c fail_alloc
// One request, octets in: each row of the table with the status it must give, whole, octet by octet, and cut in two at every place.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include "fail_alloc.h"
#include "http_in.h"

enum { BODY_MAX = 64, OK = 0 };

struct result {
    unsigned status; // 0: a whole request
    enum http_in_state state;
    size_t used;
    unsigned n_fields;
    bool http10, close, chunked, expect, asterisk;
    enum method method;
    uint64_t length;
    char path[256], query[256], host[256], body[BODY_MAX + 1];
};

static void keep(char *to, size_t size, struct text t)
{
    size_t n = t.n < size - 1 ? t.n : size - 1;
    memset(to, 0, size);
    if (n)
        memcpy(to, t.p, n);
}

// Feeds one piece (an exact allocation, so that the sanitizer sees each octet too far) and returns how much was taken.
static size_t feed(struct http_in *p, struct buf *body, const char *d, size_t n)
{
    uint8_t *exact = malloc(n ? n : 1);
    size_t used;

    assert_non_null(exact);
    memcpy(exact, d, n);
    used = http_in_head(p, exact, n);
    if (p->state == HTTP_IN_READY)
        http_in_begin_body(p);
    if (p->state == HTTP_IN_BODY)
        used += http_in_body(p, exact + used, n - used, body);
    free(exact);
    return used;
}

// Pieces end at cut1 and cut2, then at every `step` octets.
static struct result parse(struct http_in *p, const char *d, size_t n, size_t cut1, size_t cut2, size_t step)
{
    struct result r = { 0 };
    struct buf body;
    size_t at = 0;

    buf_init(&body, BODY_MAX);
    http_in_reset(p);
    while (at < n && p->state != HTTP_IN_DONE && p->state != HTTP_IN_FAILED) {
        size_t end = at < cut1 ? cut1 : at < cut2 ? cut2 : step && at + step < n ? at + step : n;
        size_t used = feed(p, &body, d + at, end - at);
        assert_true(used <= end - at);
        assert_true(used == end - at || p->state == HTTP_IN_DONE || p->state == HTTP_IN_FAILED);
        at += used;
    }
    r.state = p->state;
    r.used = at;
    if (p->state == HTTP_IN_FAILED) {
        r.status = p->status;
        assert_non_null(p->why);
    } else {
        r.n_fields = p->n_fields;
        r.http10 = p->http10, r.close = p->close, r.chunked = p->chunked, r.expect = p->expect, r.asterisk = p->asterisk;
        r.method = p->method;
        r.length = p->length;
        if (p->state == HTTP_IN_DONE) {
            keep(r.path, sizeof r.path, p->path);
            keep(r.query, sizeof r.query, p->query);
            keep(r.host, sizeof r.host, p->host);
        }
        keep(r.body, sizeof r.body, (struct text){ (const char *)body.data, body.len });
    }
    buf_fini(&body);
    return r;
}

#define H "Host: a\r\n"
#define GET "GET / HTTP/1.1\r\n"
#define CHUNKED "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
#define ROW(status, what, text) { status, what, text, sizeof(text) - 1 },
static const struct row {
    unsigned status;
    const char *what;
    const char *text;
    size_t n;
} rows[] = {
    // ---- request line (RFC 9112 3)
    ROW(OK, "plain", GET H "\r\n")
    ROW(OK, "one empty line before it (2.2)", "\r\n" GET H "\r\n")
    ROW(400, "two empty lines before it", "\r\n\r\n" GET H "\r\n")
    ROW(400, "bare LF before it", "\n" GET H "\r\n")
    ROW(400, "CR and no LF before it", "\rGET / HTTP/1.1\r\n" H "\r\n")
    ROW(400, "HTTP/0.9", "GET /\r\n\r\n")
    ROW(400, "two blanks", "GET  / HTTP/1.1\r\n" H "\r\n")
    ROW(400, "two blanks before the version", "GET /  HTTP/1.1\r\n" H "\r\n")
    ROW(400, "blank at the end", "GET / HTTP/1.1 \r\n" H "\r\n")
    ROW(400, "blank in front", " GET / HTTP/1.1\r\n" H "\r\n")
    ROW(400, "tab instead of blank", "GET\t/\tHTTP/1.1\r\n" H "\r\n")
    ROW(400, "bare LF", "GET / HTTP/1.1\n" H "\r\n")
    ROW(400, "bare CR", "GET /\r HTTP/1.1\r\n" H "\r\n")
    ROW(400, "NUL", "GET /\0 HTTP/1.1\r\n" H "\r\n")
    ROW(400, "obs-text in the target", "GET /\xc3\xa9 HTTP/1.1\r\n" H "\r\n")
    ROW(400, "no token as method", "G(T / HTTP/1.1\r\n" H "\r\n")
    ROW(400, "empty method", " / HTTP/1.1\r\n" H "\r\n")
    ROW(400, "lower-case protocol", "GET / http/1.1\r\n" H "\r\n")
    ROW(400, "no protocol", "GET / FTP/1.1\r\n" H "\r\n")
    ROW(400, "version with two digits", "GET / HTTP/1.10\r\n" H "\r\n")
    ROW(400, "version with one digit", "GET / HTTP/1\r\n" H "\r\n")
    ROW(400, "version with letters", "GET / HTTP/A.B\r\n" H "\r\n")
    ROW(400, "version with a letter behind the dot", "GET / HTTP/1.B\r\n" H "\r\n")
    ROW(400, "version with a sign behind the dot", "GET / HTTP/1.+\r\n" H "\r\n")
    ROW(400, "version with a comma", "GET / HTTP/1,1\r\n" H "\r\n")
    ROW(400, "version with a sign", "GET / HTTP/+1.1\r\n" H "\r\n")
    ROW(505, "HTTP/2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    ROW(505, "HTTP/1.2", "GET / HTTP/1.2\r\n" H "\r\n")
    ROW(505, "HTTP/0.9 named", "GET / HTTP/0.9\r\n" H "\r\n")
    ROW(505, "HTTP/3.1", "GET / HTTP/3.1\r\n" H "\r\n")
    ROW(501, "TRACE", "TRACE / HTTP/1.1\r\n" H "\r\n")
    ROW(501, "unknown method", "BREW / HTTP/1.1\r\n" H "\r\n")
    ROW(501, "lower-case method", "get / HTTP/1.1\r\n" H "\r\n")
    ROW(501, "CONNECT", "CONNECT a:80 HTTP/1.1\r\n" H "\r\n")
    ROW(400, "unknown method and bad framing", "BREW / HTTP/1.1\r\n" H "Content-Length: x\r\n\r\n")
    // ---- target (3.2)
    ROW(OK, "query", "GET /a/b?x=1&y=%41 HTTP/1.1\r\n" H "\r\n")
    ROW(OK, "absolute", "GET http://b:80/p?q HTTP/1.1\r\n" H "\r\n")
    ROW(OK, "absolute without a path", "GET http://b HTTP/1.1\r\n" H "\r\n")
    ROW(OK, "absolute without a path, with a query", "GET HTTP://b?q HTTP/1.1\r\n" H "\r\n")
    ROW(OK, "absolute, https", "GET https://b/ HTTP/1.1\r\n" H "\r\n")
    ROW(400, "absolute with half an escape", "GET http://b/%4 HTTP/1.1\r\n" H "\r\n")
    ROW(400, "absolute, a long word for a scheme", "GET httpx://b/ HTTP/1.1\r\n" H "\r\n")
    ROW(400, "absolute with a user", "GET http://u@b/ HTTP/1.1\r\n" H "\r\n")
    ROW(400, "absolute without a host", "GET http:///p HTTP/1.1\r\n" H "\r\n")
    ROW(400, "absolute, other scheme", "GET ftp://b/ HTTP/1.1\r\n" H "\r\n")
    ROW(400, "absolute without Host", "GET http://b/ HTTP/1.1\r\n\r\n")
    ROW(400, "authority form", "GET a:80 HTTP/1.1\r\n" H "\r\n")
    ROW(400, "asterisk for GET", "GET * HTTP/1.1\r\n" H "\r\n")
    ROW(OK, "asterisk for OPTIONS", "OPTIONS * HTTP/1.1\r\n" H "\r\n")
    ROW(400, "relative", "GET a HTTP/1.1\r\n" H "\r\n")
    ROW(400, "fragment", "GET /a#b HTTP/1.1\r\n" H "\r\n")
    ROW(400, "escape whose second digit is none", "GET /a%4g HTTP/1.1\r\n" H "\r\n")
    ROW(400, "half an escape", "GET /a%4 HTTP/1.1\r\n" H "\r\n")
    ROW(400, "no escape", "GET /a%zz HTTP/1.1\r\n" H "\r\n")
    ROW(400, "brace", "GET /{ HTTP/1.1\r\n" H "\r\n")
    ROW(400, "quote in the query", "GET /?\" HTTP/1.1\r\n" H "\r\n")
    // ---- Host (3.2)
    ROW(400, "no Host", "GET / HTTP/1.1\r\n\r\n")
    ROW(OK, "no Host in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n")
    ROW(400, "two Hosts", GET H H "\r\n")
    ROW(400, "two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\n" H H "\r\n")
    ROW(400, "two Hosts, differently spelt", GET H "hOST: b\r\n\r\n")
    ROW(400, "empty Host", GET "Host:\r\n\r\n")
    ROW(400, "blank in Host", GET "Host: a b\r\n\r\n")
    ROW(400, "list in Host", GET "Host: a, b@c\r\n\r\n")
    ROW(400, "slash in Host", GET "Host: a/b\r\n\r\n")
    ROW(400, "user in Host", GET "Host: u@a\r\n\r\n")
    ROW(OK, "port", GET "Host: a:8080\r\n\r\n")
    ROW(OK, "empty port", GET "Host: a:\r\n\r\n")
    ROW(400, "port too large", GET "Host: a:65536\r\n\r\n")
    ROW(400, "port no number", GET "Host: a:b\r\n\r\n")
    ROW(400, "port with a sign", GET "Host: a:+1\r\n\r\n")
    ROW(OK, "escape in Host", GET "Host: a%41\r\n\r\n")
    ROW(400, "half an escape in Host", GET "Host: a%4\r\n\r\n")
    ROW(400, "no escape in Host", GET "Host: a%zz:80\r\n\r\n")
    ROW(400, "more in the brackets than an address has", GET "Host: [0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]\r\n\r\n")
    ROW(400, "only a port", GET "Host: :80\r\n\r\n")
    ROW(OK, "IPv6", GET "Host: [::1]:80\r\n\r\n")
    ROW(400, "no IPv6", GET "Host: [::g]\r\n\r\n")
    ROW(400, "IPv6 without its end", GET "Host: [::1\r\n\r\n")
    ROW(400, "text behind IPv6", GET "Host: [::1]x\r\n\r\n")
    ROW(400, "quote in Host", GET "Host: \"a\"\r\n\r\n")
    // ---- fields (5)
    ROW(OK, "no blank behind the colon", GET "Host:a\r\n\r\n")
    ROW(OK, "tabs and blanks around the value (OWS)", GET "Host: \t a \t \r\n\r\n")
    ROW(OK, "empty value", GET H "X:\r\n\r\n")
    ROW(OK, "obs-text in a value", GET H "X: \xff\x80\r\n\r\n")
    ROW(400, "blank before the colon", GET "Host : a\r\n\r\n")
    ROW(400, "tab before the colon", GET H "X\t: a\r\n\r\n")
    ROW(400, "obs-fold", GET H "X: a\r\n b\r\n\r\n")
    ROW(400, "obs-fold by a tab", GET H "X: a\r\n\tb\r\n\r\n")
    ROW(400, "blank before the first field", GET " " H "\r\n")
    ROW(400, "no colon", GET H "X\r\n\r\n")
    ROW(400, "no name", GET H ": a\r\n\r\n")
    ROW(400, "no token as name", GET H "X(: a\r\n\r\n")
    ROW(400, "obs-text in a name", GET H "X\xff: a\r\n\r\n")
    ROW(400, "bare LF behind a value", GET H "X: a\nY: b\r\n\r\n")
    ROW(400, "bare CR in a value", GET H "X: a\rb\r\n\r\n")
    ROW(400, "NUL in a value", GET H "X: a\0" "b\r\n\r\n")
    ROW(400, "NUL in a name", GET H "X\0: a\r\n\r\n")
    ROW(400, "control octet in a value", GET H "X: \x01\r\n\r\n")
    ROW(400, "DEL in a value", GET H "X: \x7f\r\n\r\n")
    ROW(400, "head ends in a bare LF", GET H "\n")
    ROW(400, "CR at the end and no LF", GET H "\rX")
    // ---- Content-Length (6.2, 6.3)
    ROW(OK, "length 0", "POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n")
    ROW(OK, "length 3", "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc")
    ROW(OK, "length with zeros", "POST / HTTP/1.1\r\n" H "Content-Length: 003\r\n\r\nabc")
    ROW(400, "plus", "POST / HTTP/1.1\r\n" H "Content-Length: +3\r\n\r\nabc")
    ROW(400, "minus", "POST / HTTP/1.1\r\n" H "Content-Length: -3\r\n\r\nabc")
    ROW(400, "list", "POST / HTTP/1.1\r\n" H "Content-Length: 3, 3\r\n\r\nabc")
    ROW(400, "hex", "POST / HTTP/1.1\r\n" H "Content-Length: 0x3\r\n\r\nabc")
    ROW(400, "empty", "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n")
    ROW(400, "blank inside", "POST / HTTP/1.1\r\n" H "Content-Length: 1 0\r\n\r\n")
    ROW(400, "overflow", "POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551616\r\n\r\n")
    ROW(400, "two, equal", "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc")
    ROW(400, "two, different", "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\ncontent-length: 4\r\n\r\nabc")
    ROW(413, "over the limit", "POST / HTTP/1.1\r\n" H "Content-Length: 65\r\n\r\n"
        "0123456789012345678901234567890123456789012345678901234567890123456789")
    // ---- Transfer-Encoding (6.1)
    ROW(OK, "chunked", CHUNKED "3\r\nabc\r\n0\r\n\r\n")
    ROW(OK, "chunked, other case", "POST / HTTP/1.1\r\n" H "transfer-encoding: ChunkeD\r\n\r\n0\r\n\r\n")
    ROW(400, "with a length", "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    ROW(400, "with a length behind it", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n")
    ROW(400, "in HTTP/1.0", "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    ROW(400, "twice chunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n")
    ROW(400, "twice chunked, two fields", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    ROW(400, "chunked not last", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n")
    ROW(501, "gzip first", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
    ROW(501, "gzip first, two fields", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    ROW(501, "identity", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n")
    ROW(501, "xchunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n")
    ROW(400, "parameter", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n")
    ROW(400, "quoted", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n")
    ROW(400, "empty", "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n")
    ROW(400, "only a comma", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: ,\r\n\r\n")
    ROW(400, "vertical tab", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \x0b" "chunked\r\n\r\n")
    ROW(400, "obfuscated name", "POST / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n")
    // ---- chunks (7.1)
    ROW(OK, "two chunks", CHUNKED "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n")
    ROW(OK, "zeros in front", CHUNKED "0003\r\nabc\r\n000\r\n\r\n")
    ROW(OK, "hex digits", CHUNKED "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n")
    ROW(OK, "extensions", CHUNKED "3;a;b=c;d=\"e;\\\"f\"\r\nabc\r\n0;x\r\n\r\n")
    ROW(OK, "extension with BWS of tabs", CHUNKED "3\t;\ta\t=\t\"b\"\t;c\r\nabc\r\n0\r\n\r\n")
    ROW(400, "extension that ends behind a backslash", CHUNKED "3;a=\"b\\\r\nabc\r\n0\r\n\r\n")
    ROW(OK, "extension with BWS", CHUNKED "3 ; a = b\r\nabc\r\n0\r\n\r\n")
    ROW(OK, "trailers", CHUNKED "0\r\nX: a\r\nY: b\r\n\r\n")
    ROW(400, "size with a sign", CHUNKED "+3\r\nabc\r\n0\r\n\r\n")
    ROW(400, "size with 0x", CHUNKED "0x3\r\nabc\r\n0\r\n\r\n")
    ROW(400, "no size", CHUNKED "\r\nabc\r\n0\r\n\r\n")
    ROW(400, "blank before the size", CHUNKED " 3\r\nabc\r\n0\r\n\r\n")
    ROW(400, "blank behind the size", CHUNKED "3 \r\nabc\r\n0\r\n\r\n")
    ROW(400, "too many digits", CHUNKED "00000000000000003\r\nabc\r\n0\r\n\r\n")
    ROW(413, "huge size", CHUNKED "FFFFFFFFFFFFFFFF\r\nabc")
    ROW(413, "over the limit in sum", CHUNKED "3e\r\n01234567890123456789012345678901234567890123456789012345678901\r\n3\r\n")
    ROW(400, "bare LF behind the size", CHUNKED "3\nabc\r\n0\r\n\r\n")
    ROW(400, "bare CR in the extension", CHUNKED "3;a\rb\r\nabc\r\n0\r\n\r\n")
    ROW(400, "empty extension", CHUNKED "3;\r\nabc\r\n0\r\n\r\n")
    ROW(400, "extension with an open quote", CHUNKED "3;a=\"b\r\nabc\r\n0\r\n\r\n")
    ROW(400, "extension with an empty value", CHUNKED "3;a=\r\nabc\r\n0\r\n\r\n")
    ROW(400, "NUL in the extension", CHUNKED "3;a\0\r\nabc\r\n0\r\n\r\n")
    ROW(400, "data longer than said", CHUNKED "3\r\nabcd\r\n0\r\n\r\n")
    ROW(400, "data ends in a bare LF", CHUNKED "3\r\nabc\n0\r\n\r\n")
    ROW(400, "data ends in CR CR", CHUNKED "3\r\nabc\r\r0\r\n\r\n")
    ROW(400, "trailer with a blank before the colon", CHUNKED "0\r\nX : a\r\n\r\n")
    ROW(400, "trailer folded", CHUNKED "0\r\nX: a\r\n b\r\n\r\n")
    ROW(400, "trailer with a bare LF", CHUNKED "0\r\nX: a\n\r\n")
    ROW(400, "trailer with a bare CR", CHUNKED "0\r\nX: a\rb\r\n\r\n")
    ROW(400, "trailer without a colon", CHUNKED "0\r\nX\r\n\r\n")
    ROW(400, "trailer with a name that is none", CHUNKED "0\r\nX(: a\r\n\r\n")
    ROW(400, "trailer without a name", CHUNKED "0\r\n: a\r\n\r\n")
    ROW(400, "trailer with a control octet", CHUNKED "0\r\nX: \x01\r\n\r\n")
    ROW(400, "chunk's line of LF alone", CHUNKED "\n")
    ROW(400, "last line ends in a bare LF", CHUNKED "0\r\n\n")
    ROW(400, "last line: CR and no LF", CHUNKED "0\r\n\rX")
    // ---- Expect, Upgrade, Connection
    ROW(OK, "100-continue", "POST / HTTP/1.1\r\n" H "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\na")
    ROW(417, "two expectations", "POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na")
    ROW(417, "another expectation", "POST / HTTP/1.1\r\n" H "Expect: 200-ok\r\nContent-Length: 1\r\n\r\na")
    ROW(OK, "another expectation in HTTP/1.0", "POST / HTTP/1.0\r\nExpect: x\r\nContent-Length: 1\r\n\r\na")
    ROW(OK, "Upgrade passed over", GET H "Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n\r\n")
    ROW(OK, "Upgrade with a body", "POST / HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nab")
};

static void assert_same(const struct result *a, const struct result *b, const char *what, size_t cut)
{
    if (memcmp(a, b, sizeof *a) != 0)
        fail_msg("%s: cut at %zu gives status %u state %d used %zu, whole it is %u %d %zu", what, cut, b->status, b->state, b->used,
                 a->status, a->state, a->used);
}

static void test_table(void **state)
{
    struct http_in p;

    (void)state;
    http_in_init(&p);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n = rows[i].n;
        struct result whole = parse(&p, rows[i].text, n, 0, 0, 0), other;

        if (whole.status != rows[i].status || (!whole.status && (whole.state != HTTP_IN_DONE || whole.used != n)))
            fail_msg("row %zu, %s: status %u instead of %u (state %d, used %zu of %zu: %s)", i, rows[i].what, whole.status,
                     rows[i].status, whole.state, whole.used, n, p.why ? p.why : "");
        other = parse(&p, rows[i].text, n, 0, 0, 1);
        assert_same(&whole, &other, rows[i].what, 1);
        for (size_t cut = 1; cut < n; cut++) {
            other = parse(&p, rows[i].text, n, cut, 0, 0);
            assert_same(&whole, &other, rows[i].what, cut);
        }
    }
    http_in_fini(&p);
}

// A longer request cut at every pair of places; and each prefix of a good request is unfinished, never wrong.
static void test_cuts(void **state)
{
    static const char text[] = "\r\nPATCH /api/x%20y?a=b HTTP/1.1\r\nHost: a.example:80\r\nX-A:  v \r\nTransfer-Encoding: chunked\r\n"
                               "Connection: x, CLOSE\r\n\r\n5;e=\"q\"\r\nhello\r\n1\r\n!\r\n0\r\nT: t\r\n\r\n";
    struct http_in p;
    size_t n = sizeof text - 1;

    (void)state;
    http_in_init(&p);
    struct result whole = parse(&p, text, n, 0, 0, 0);
    assert_int_equal(whole.state, HTTP_IN_DONE);
    assert_string_equal(whole.path, "/api/x%20y");
    assert_string_equal(whole.query, "a=b");
    assert_string_equal(whole.host, "a.example:80");
    assert_string_equal(whole.body, "hello!");
    assert_true(whole.close && whole.chunked && whole.method == METHOD_PATCH && whole.n_fields == 4);
    assert_true(text_is(http_in_field(&p, "x-a", NULL), "v"));
    for (size_t a = 1; a < n; a++) {
        for (size_t b = a + 1; b < n; b++) {
            struct result cut = parse(&p, text, n, a, b, 0);
            assert_same(&whole, &cut, "long request", a);
        }
        struct result prefix = parse(&p, text, a, 0, 0, 0);
        assert_true(prefix.state == HTTP_IN_HEAD || prefix.state == HTTP_IN_BODY);
    }
    http_in_fini(&p);
}

static void test_pipelined(void **state)
{
    static const char two[] = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: a\r\n\r\n";
    struct http_in p;

    (void)state;
    http_in_init(&p);
    struct result first = parse(&p, two, sizeof two - 1, 0, 0, 0);
    assert_int_equal(first.state, HTTP_IN_DONE);
    assert_string_equal(first.path, "/a");
    struct result second = parse(&p, two + first.used, sizeof two - 1 - first.used, 0, 0, 0);
    assert_int_equal(second.state, HTTP_IN_DONE);
    assert_string_equal(second.path, "/b");
    assert_int_equal(first.used + second.used, sizeof two - 1);
    http_in_fini(&p);
}

static void test_forms(void **state)
{
    struct http_in p;
    struct result r;

    (void)state;
    http_in_init(&p);
    r = parse(&p, "GET http://B.example:81?x=1 HTTP/1.1\r\nHost: other\r\n\r\n", 54, 0, 0, 0);
    assert_string_equal(r.host, "B.example:81");
    assert_string_equal(r.path, "/");
    assert_string_equal(r.query, "x=1");
    r = parse(&p, "OPTIONS * HTTP/1.0\r\n\r\n", 22, 0, 0, 0);
    assert_true(r.asterisk && r.http10 && r.close);
    assert_string_equal(r.host, "");
    http_in_fini(&p);
}

static char *repeat(const char *before, char c, size_t n, const char *after)
{
    size_t nb = strlen(before), na = strlen(after);
    char *s = malloc(nb + n + na + 1);

    assert_non_null(s);
    memcpy(s, before, nb);
    memset(s + nb, c, n);
    memcpy(s + nb + n, after, na + 1);
    return s;
}

static unsigned status_of(char *text)
{
    struct http_in p;
    struct result whole, single;

    http_in_init(&p);
    whole = parse(&p, text, strlen(text), 0, 0, 0);
    single = parse(&p, text, strlen(text), 0, 0, 1);
    assert_same(&whole, &single, "limit", 1);
    http_in_fini(&p);
    free(text);
    assert_true(whole.status || whole.state == HTTP_IN_DONE);
    return whole.status;
}

static void test_limits(void **state)
{
    static const char end[] = " HTTP/1.1\r\nHost: a\r\n\r\n";

    (void)state;
    assert_int_equal(status_of(repeat("GET /", 'a', 8000, end)), OK);
    assert_int_equal(status_of(repeat("GET /", 'a', HTTP_LINE_MAX - 14, end)), OK);
    assert_int_equal(status_of(repeat("GET /", 'a', HTTP_LINE_MAX - 13, end)), 414);
    assert_int_equal(status_of(repeat("GET /", 'a', 100000, end)), 414);
    assert_int_equal(status_of(repeat("", 'a', 100000, end)), 414);
    assert_int_equal(status_of(repeat(GET H "X: ", 'a', HTTP_HEAD_MAX - 32, "\r\n\r\n")), OK);
    assert_int_equal(status_of(repeat(GET H "X: ", 'a', HTTP_HEAD_MAX - 31, "\r\n\r\n")), 431);
    assert_int_equal(status_of(repeat(GET H, 'a', 100000, ": b\r\n\r\n")), 431);
    assert_int_equal(status_of(repeat(CHUNKED "3;", 'a', CHUNKED_LINE_MAX - 4, "\r\nabc\r\n0\r\n\r\n")), OK);
    assert_int_equal(status_of(repeat(CHUNKED "3;", 'a', CHUNKED_LINE_MAX - 3, "\r\nabc\r\n0\r\n\r\n")), 400);
    assert_int_equal(status_of(repeat(CHUNKED "0\r\nX: ", 'a', CHUNKED_TRAILER_MAX - 7, "\r\n\r\n")), OK);
    assert_int_equal(status_of(repeat(CHUNKED "0\r\nX: ", 'a', CHUNKED_TRAILER_MAX - 6, "\r\n\r\n")), 431);
}

// A host name of 255 characters is the longest, with a port or without.
static void test_long_hosts(void **state)
{
    (void)state;
    assert_int_equal(status_of(repeat(GET "Host: ", 'a', 255, "\r\n\r\n")), OK);
    assert_int_equal(status_of(repeat(GET "Host: ", 'a', 256, "\r\n\r\n")), 400);
    assert_int_equal(status_of(repeat(GET "Host: ", 'a', 255, ":80\r\n\r\n")), OK);
    assert_int_equal(status_of(repeat(GET "Host: ", 'a', 256, ":80\r\n\r\n")), 400);
}

// What is not asked for is not taken; without memory a request is refused, whichever allocation it was that failed.
static void test_out_of_turn(void **state)
{
    static const uint8_t text[] = GET H "\r\n";
    struct http_in p;
    struct buf body;

    (void)state;
    http_in_init(&p);
    buf_init(&body, BODY_MAX);
    assert_int_equal(http_in_head(&p, text, 0), 0);
    assert_false(p.started);
    assert_int_equal(http_in_body(&p, text, 5, &body), 0); // a head is due
    assert_int_equal(http_in_head(&p, text, sizeof text - 1), sizeof text - 1);
    assert_int_equal(p.state, HTTP_IN_READY);
    assert_int_equal(http_in_head(&p, text, sizeof text - 1), 0);
    http_in_fini(&p);
    buf_fini(&body);
}

static void test_no_memory(void **state)
{
    static const char *const texts[] = {
        "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc", CHUNKED "3\r\nabc\r\n0\r\n\r\n", GET H "\r\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        for (unsigned n = 1; n == 1 || fail_alloc_done(); n++) {
            struct http_in p;
            struct buf body;
            size_t len = strlen(texts[i]), used;

            buf_init(&body, BODY_MAX);
            http_in_init(&p);
            fail_alloc(n);
            used = http_in_head(&p, (const uint8_t *)texts[i], len);
            if (p.state == HTTP_IN_READY)
                http_in_begin_body(&p);
            if (p.state == HTTP_IN_BODY)
                http_in_body(&p, (const uint8_t *)texts[i] + used, len - used, &body);
            if (fail_alloc_failed) {
                assert_int_equal(p.state, HTTP_IN_FAILED);
                assert_int_equal(p.status, 503);
            } else {
                assert_int_equal(p.state, HTTP_IN_DONE);
            }
            http_in_fini(&p);
            buf_fini(&body);
        }
    }
}

static void test_field_count(void **state)
{
    (void)state;
    for (unsigned n = HTTP_FIELDS_MAX; n <= HTTP_FIELDS_MAX + 1; n++) {
        struct buf b;
        buf_init(&b, 65536);
        buf_puts(&b, GET H);
        for (unsigned i = 1; i < n; i++)
            buf_puts(&b, "X: a\r\n");
        buf_puts(&b, "\r\n");
        assert_int_equal(status_of(strdup(buf_cstr(&b))), n > HTTP_FIELDS_MAX ? 431 : OK);
        buf_fini(&b);
    }
}

// Much framing for little content is not read for ever: here chunks of one octet, each with a long extension.
static void test_framing_ratio(void **state)
{
    struct http_in p;
    struct buf text, body;
    char *ext = repeat("1;", 'x', 200, "\r\na\r\n");

    (void)state;
    buf_init(&text, 1 << 20);
    buf_puts(&text, CHUNKED);
    for (unsigned i = 0; i < 500; i++)
        buf_puts(&text, ext);
    buf_init(&body, 1 << 20);
    http_in_init(&p);
    feed(&p, &body, (const char *)text.data, text.len);
    assert_int_equal(p.state, HTTP_IN_FAILED);
    assert_int_equal(p.status, 400);
    http_in_fini(&p);
    buf_fini(&text);
    buf_fini(&body);
    free(ext);
}

// Whoever asks by HEAD takes no body, also when the line is refused before its end.
static void test_unread_head(void **state)
{
    static const struct { const char *text; bool head; } cases[] = {
        { "HEAD /\x01", true }, { "HEAD\x01 /", false }, { "GET /abc\x01", false }, { "\x01", false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_in p;
        struct buf body;
        http_in_init(&p);
        buf_init(&body, BODY_MAX);
        http_in_reset(&p);
        (void)feed(&p, &body, cases[i].text, strlen(cases[i].text));
        (void)feed(&p, &body, "\r\n\r\n", 4);
        assert_int_equal(p.state, HTTP_IN_FAILED);
        assert_true((p.method == METHOD_HEAD) == cases[i].head);
        http_in_fini(&p);
        buf_fini(&body);
    }
}

// The method is known once the line has ended, and stays so wherever the head moves as it grows: a head that fails, or never ends,
// is logged with it.
static void test_method_of_a_growing_head(void **state)
{
    static const char line[] = "PATCH / HTTP/1.1\r\nX: ";
    struct http_in p;
    struct buf body;

    (void)state;
    http_in_init(&p);
    buf_init(&body, BODY_MAX);
    http_in_reset(&p);
    assert_int_equal(feed(&p, &body, line, sizeof line - 1), sizeof line - 1);
    for (unsigned i = 0; i < 5000; i++) {
        assert_int_equal(feed(&p, &body, "v", 1), 1);
        assert_int_equal(p.method_text.n, 5);
        assert_memory_equal(p.method_text.p, "PATCH", 5);
    }
    assert_int_equal(feed(&p, &body, "\n", 1), 1);
    assert_int_equal(p.state, HTTP_IN_FAILED);
    assert_memory_equal(p.method_text.p, "PATCH", 5);
    http_in_fini(&p);
    buf_fini(&body);
}

static void test_lists(void **state)
{
    struct text list = { " a ,, b,\tc ", 11 }, one;

    (void)state;
    assert_true(text_next(&list, &one) && text_is(one, "a"));
    assert_true(text_next(&list, &one) && text_is(one, "b"));
    assert_true(text_next(&list, &one) && text_is_nocase(one, "c"));
    assert_false(text_next(&list, &one));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table), cmocka_unit_test(test_cuts), cmocka_unit_test(test_pipelined), cmocka_unit_test(test_forms),
        cmocka_unit_test(test_limits), cmocka_unit_test(test_field_count), cmocka_unit_test(test_framing_ratio),
        cmocka_unit_test(test_lists), cmocka_unit_test(test_method_of_a_growing_head), cmocka_unit_test(test_unread_head),
        cmocka_unit_test(test_long_hosts), cmocka_unit_test(test_out_of_turn), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
