// Answers as octets: heads, error bodies, the Date; and the one table from our errors to HTTP. Pure.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "err.h"
#include "exchange.h"

enum { HTTP_DATE_SIZE = 30 };

struct http_answer {
    unsigned status;
    const char *content_type;     // NULL: none
    const char *date;             // of http_out_date
    const char *request_id;
    const struct buf *fields;     // further field lines, each with its CRLF; may be NULL
    uint64_t sequence;            // X-Mc-Sequence; 0: none
    uint64_t length;              // Content-Length when `counted`
    bool counted, chunked, close;
    bool cached;                  // `fields` has a Cache-Control: no-store is left out
};

// The HTTP status of an error.
unsigned http_out_status(enum err e);
// "Not Found"; "Unknown" for a status we never send.
const char *http_out_reason(unsigned status);
// The code an error body shows for a status that HTTP itself asks for: "URI_TOO_LONG" for 414.
const char *http_out_code(unsigned status);
// IMF-fixdate (RFC 9110 5.6.7) with its NUL; years up to 9999.
void http_out_date(char out[HTTP_DATE_SIZE], uint64_t unix_s);
// 204 and 304 get neither length nor type of a body.
void http_out_head(struct buf *b, const struct http_answer *a);
// A field line; octets that may not stand in a value become blanks, so that no text can start a line of its own.
void http_out_field(struct buf *b, const char *name, struct text value);
// {"error","code","status","requestId"[,"field"]}; field may be NULL.
void http_out_error(struct buf *b, unsigned status, const char *code, const char *text, const char *field, const char *request_id);
// path?query for a log: at most 1,024 octets of each, the values of apiKey (however it is spelt) and whatever looks like a
// key replaced by "***".
void http_out_redacted(struct buf *b, struct text path, struct text query);
