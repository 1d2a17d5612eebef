// One HTTP/1.1 request, octets in. llhttp's home. Pure: no socket, no clock; the caller owns the octets.
//
// A head is judged twice and both must agree: by our guard, octet by octet as it comes (bare CR or LF, obs-fold, a blank before
// the colon, control octets, limits), and, once it is whole, by llhttp and our own look at the framing, the Host and the target.
// Nothing is repaired: what is outside the grammar of RFC 9112, or ambiguous about where the message ends, fails with the status
// to answer, and the connection must then be closed. However the octets are cut into pieces, the result is the same.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "chunked.h"
#include "exchange.h"
#include "octet.h"

enum {
    HTTP_LINE_MAX = 16 * 1024,  // the request line without its CRLF; over it 414
    HTTP_HEAD_MAX = 32 * 1024,  // the whole head; over it 431
    HTTP_FIELDS_MAX = 100       // over it 431
};

enum http_in_state {
    HTTP_IN_HEAD,   // the head is not whole yet
    HTTP_IN_READY,  // the head is whole and good; the members below are set
    HTTP_IN_BODY,   // body octets are due
    HTTP_IN_DONE,   // the message has ended
    HTTP_IN_FAILED  // answer `status`, then close
};

struct http_field { // offsets into the head: its memory moves while it grows
    uint16_t name, name_n, value, value_n;
};

struct http_in {
    enum http_in_state state;
    unsigned status;        // when FAILED: the HTTP status
    const char *why;        // when FAILED: a sentence; lent for ever
    bool started;           // an octet of the request has come

    // Set at READY (after a failure: only what was known by then). Texts are lent from `head`.
    enum method method;     // METHOD_N: a token that is none of ours
    struct text method_text, path, query, host; // host: of the absolute target, else of the Host field; {NULL,0}: none
    bool http10, asterisk;  // asterisk: OPTIONS *
    bool close;             // the client wants the connection closed, or is HTTP/1.0
    bool expect;            // Expect: 100-continue
    bool chunked;
    uint64_t length;        // Content-Length, 0 if none
    unsigned n_fields;
    struct http_field fields[HTTP_FIELDS_MAX];
    struct buf head;

    // http_in.c's own
    uint8_t at;             // where the guard stands
    bool blank;             // the one empty line that may come before a request was there
    uint32_t name_at, colon_at;
    uint64_t left;          // of a counted body
    uint64_t body_n;        // octets of content so far
    struct chunked chunks;
};

void http_in_init(struct http_in *p);
void http_in_fini(struct http_in *p);
// Ready for the next request; keeps the head's memory when it is small.
void http_in_reset(struct http_in *p);
size_t http_in_memory(const struct http_in *p); // octets on the heap

// Takes octets of the head and returns how many; the rest belongs to the body or the next request.
size_t http_in_head(struct http_in *p, const uint8_t *d, size_t n);
// READY -> BODY or, without a body, DONE.
void http_in_begin_body(struct http_in *p);
// Takes octets of the body, appends its content to out, and returns how many it took. Over out->max it fails with 413.
size_t http_in_body(struct http_in *p, const uint8_t *d, size_t n, struct buf *out);

struct text http_in_field(const struct http_in *p, const char *name, unsigned *count); // exchange_header
// The field of that number, from 0.
struct text http_in_name(const struct http_in *p, unsigned i);
struct text http_in_value(const struct http_in *p, unsigned i);
