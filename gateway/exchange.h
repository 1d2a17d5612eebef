// One HTTP request and its answer, as the handlers see it: nothing here knows sockets, and conn.c, which implements it, knows
// no route. Everything on the loop's thread.
//
// Life: conn.c has read a whole head -> handlers->head(x). The handler answers at once, or asks for the body
// (exchange_want_body) -> handlers->body(x) when it is complete -> answers then, or later. If the client goes away first,
// x->gone(x) is called (when set) and x must not be used after it returns. After the answer's end x is gone too.
// Until head() has asked for the body or answered, nothing more is read from the socket: 401, 404, 405, 413 and 415 are judged
// before the body. A handler that answers with the body unread closes the connection (drained up to 2 s).
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include "buf.h"
#include "err.h"
#include "list.h"

struct gateway;
struct exchange;

enum method { METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_PUT, METHOD_PATCH, METHOD_DELETE, METHOD_OPTIONS, METHOD_N };

struct text { // lent octets, not NUL-terminated
    const char *p;
    size_t n;
};

// Who asks, once the credential is known (cred.h).
struct actor {
    uint64_t key, user, workspace;
    uint32_t role;             // enum role
    uint64_t expires_ms;       // of the key, wall clock; 0: never
};

struct exchange {
    struct gateway *gw;
    enum method method;        // HEAD is handled as GET by handlers; conn.c leaves the body out
    bool has_body;             // a Content-Length above 0 or chunked
    bool http10;
    bool tls;
    bool cookie;               // its credential is a cookie (cred_of)
    struct text path;          // still percent-encoded, without the query
    struct text query;         // without '?'; empty if none
    struct text host;          // host[:port] the client asked; behind a trusted proxy what that says, if it is one of ours
    struct text body;          // complete when body() is called; valid until the answer's end
    char address[46];          // the client's, after MC_TRUSTED_PROXIES; for limits and logs
    uint16_t route;            // 1 + the row of routes.c that it found, for the figures; 0: none
    struct actor actor;        // all 0 until the credential is known
    uint64_t request_no;       // makes its X-Request-Id (server_request_id); 0: not yet
    uint64_t sequence;         // X-Mc-Sequence of the answer; 0: none
    void (*gone)(struct exchange *x); // handler's; the client went away before the answer's end
    void *u;                   // handler's
};

struct exchange_handlers {
    void (*head)(struct exchange *x);
    void (*body)(struct exchange *x);
};

// A request field by lower-case name; {NULL, 0} if absent. Several fields of one name: the first; *count (may be NULL) tells.
struct text exchange_header(const struct exchange *x, const char *name, unsigned *count);
// What If-Match and If-None-Match (RFC 9110 13.2.2) come to for a representation with this tag (with its quotes; NULL: it has none):
// 0 go on, 304, 412. Nothing here has a date, so the conditions on dates say nothing.
unsigned exchange_condition(const struct exchange *x, const char *etag);
// Over max conn.c answers 413, too slow a one 408; x->gone(x) is called then, as when the client goes away. Without a body
// body() is called all the same. Neither happens before exchange_want_body has returned.
void exchange_want_body(struct exchange *x, size_t max);

// ---- the whole answer at once. Date, X-Request-Id, X-Content-Type-Options, Cache-Control: no-store (unless added) and
// X-Mc-Sequence are added; HEAD, 204 and 304 send no body. body is copied or sent before return; NULL, 0 for none.
void exchange_add(struct exchange *x, const char *name, const char *value); // a header field for the answer; value is copied
void exchange_reply(struct exchange *x, unsigned status, const char *content_type, const void *body, size_t n);
// JSON that has a tag (with its quotes) and may be kept: with ETag and Cache-Control: no-cache, as 200, 304 or 412.
void exchange_reply_tagged(struct exchange *x, const char *etag, struct text body);
// The error body of contract.md section 3; field and text may be NULL. 503 and 429 get Retry-After: 1 unless added.
void exchange_error(struct exchange *x, enum err e, const char *field, const char *text);
// For the errors that are HTTP's own: status and code given ("METHOD_NOT_ALLOWED").
void exchange_fail(struct exchange *x, unsigned status, const char *code, const char *text);

// ---- a streamed answer: begin, send..., end. Chunked to HTTP/1.1, until close to HTTP/1.0. Each send is one chunk.
struct exchange_stream {       // embedded in the handler's struct
    void (*writable)(struct exchange_stream *s);  // after a short write: the socket takes more now
    void (*closed)(struct exchange_stream *s);    // the client went away, or stood still for 30 s with octets waiting, or we
                                                  // stop: x is gone when this returns. Not called after exchange_end.
};
// exchange_begin frees what the request held: path, query, body and header fields are empty from then on (an idle stream costs
// only its connection). closed() and writable() are never called before the function that made them due has returned. HEAD:
// the head is sent, everything else dropped, and closed() follows.
void exchange_begin(struct exchange *x, unsigned status, const char *content_type, struct exchange_stream *s);
// Copies; returns the octets now waiting in the queue (stop sending above 256 KiB until writable() is called).
size_t exchange_send(struct exchange *x, const void *data, size_t n);
void exchange_end(struct exchange *x);            // last chunk; x is gone when this returns
void exchange_abort(struct exchange *x);          // cuts it off without the last chunk; x is gone when this returns

// For the hub: pieces that already hold their chunk framing (HTTP/1.0: bare). Gives the socket what it takes now, in one
// write, and returns how many octets that was; when fewer than given, writable() follows. Nothing is copied or kept.
size_t exchange_writev(struct exchange *x, const struct iovec *v, unsigned n);
