// A chunked body (RFC 9112 7.1), octets in, content out. Pure. Extensions and trailer fields are checked and dropped; all that is
// outside the grammar fails, bare CR and bare LF included.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"

enum {
    CHUNKED_LINE_MAX = 255,        // a chunk's size and extensions with their CRLF; over it 400
    CHUNKED_TRAILER_MAX = 8 * 1024 // all trailer fields; over it 431
};

struct chunked {
    bool done;              // the body has ended
    unsigned status;        // 0, or the HTTP status to fail with
    const char *why;        // then a sentence; lent for ever
    uint64_t content_n;     // octets of content so far

    // chunked.c's own
    uint8_t at;             // where the reader stands
    uint8_t line_n;         // of `line`
    uint32_t trailer_n;
    uint64_t left;          // of the chunk
    uint64_t framing_n;
    uint8_t line[CHUNKED_LINE_MAX];
};

void chunked_init(struct chunked *p);
// Appends content to out and returns how many octets of d it took: all, unless it is done or has failed. A chunk that does not
// fit below out->max fails with 413 before any of it is read.
size_t chunked_read(struct chunked *p, const uint8_t *d, size_t n, struct buf *out);
