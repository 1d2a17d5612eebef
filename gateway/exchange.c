// What handlers do with an exchange: exchange.h over a connection. One answer, one write.
#include "exchange.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include "clock.h"
#include "conn.h"
#include "fault.h"
#include "figures.h"
#include "http_out.h"
#include "out.h"

static struct conn *of(struct exchange *x)
{
    return container_of(x, struct conn, x);
}

struct text exchange_header(const struct exchange *x, const char *name, unsigned *count)
{
    const struct conn *c = (const struct conn *)(const void *)((const char *)x - offsetof(struct conn, x));

    if (c->rq)
        return http_in_field(&c->rq->in, name, count);
    if (count)
        *count = 0;
    return (struct text){ NULL, 0 };
}

// ---- conditions
enum named { NOT_ASKED, OTHERS, THIS, ANY };

// Whether a list of entity-tags has this one. What is none ends the list.
static bool lists(struct text list, const char *etag, bool weak_too)
{
    size_t n = strlen(etag);

    for (;;) {
        while (list.n && (*list.p == ',' || *list.p == ' ' || *list.p == '\t'))
            list.p++, list.n--;
        size_t weak = list.n > 2 && memcmp(list.p, "W/", 2) == 0 ? 2 : 0;
        struct text tag = { list.p + weak, list.n - weak };
        const char *end = tag.n > 1 && *tag.p == '"' ? memchr(tag.p + 1, '"', tag.n - 1) : NULL;
        if (!end)
            return false;
        tag.n = (size_t)(end - tag.p) + 1;
        if (tag.n == n && memcmp(tag.p, etag, n) == 0 && (weak_too || !weak))
            return true;
        list.n -= (size_t)(end - list.p) + 1;
        list.p = end + 1;
    }
}

// What the fields of that name, taken together, say of a representation with this tag.
static enum named named(const struct exchange *x, const char *field, const char *etag, bool weak_too)
{
    const struct conn *c = (const struct conn *)(const void *)((const char *)x - offsetof(struct conn, x));
    enum named n = NOT_ASKED;

    for (unsigned i = 0; c->rq && i < c->rq->in.n_fields; i++) {
        struct text value = http_in_value(&c->rq->in, i);
        if (!text_is_nocase(http_in_name(&c->rq->in, i), field))
            continue;
        enum named here = text_is(value, "*") ? ANY : etag && lists(value, etag, weak_too) ? THIS : OTHERS;
        n = here > n ? here : n;
    }
    return n;
}

unsigned exchange_condition(const struct exchange *x, const char *etag)
{
    bool reads = x->method == METHOD_GET || x->method == METHOD_HEAD;

    if (named(x, "if-match", etag, false) == OTHERS)
        return 412;
    enum named n = named(x, "if-none-match", etag, true);
    if (n < THIS || (reads && !etag))
        return 0;
    return reads ? 304 : 412;
}

void exchange_want_body(struct exchange *x, size_t max)
{
    struct conn *c = of(x);

    assert(c->state == CONN_ASKED && !c->rq->wants_body);
    c->rq->wants_body = true;
    c->rq->body_max = max;
    if (!c->going)
        conn_wake(c);
}

void exchange_add(struct exchange *x, const char *name, const char *value)
{
    struct incoming *rq = of(x)->rq;
    size_t before;

    if (!rq)
        return;
    before = rq->fields.len;
    http_out_field(&rq->fields, name, (struct text){ value, strlen(value) });
    if (rq->fields.err) { // a field that finds no room is left out whole
        rq->fields.err = ERR_OK;
        rq->fields.len = before;
        return;
    }
    rq->added_cache |= strcmp(name, "Cache-Control") == 0;
    rq->added_retry |= strcmp(name, "Retry-After") == 0;
    rq->added_auth |= strcmp(name, "WWW-Authenticate") == 0;
}

// The head, into the server's buffer. From here on it is settled whether the connection goes on.
static struct iovec head(struct conn *c, unsigned status, const char *content_type, bool counted, size_t n)
{
    struct incoming *rq = c->rq;
    struct buf *b = &c->server->head;
    char id[REQUEST_ID_SIZE];

    server_request_id(c->server, c->x.request_no, id);
    c->close_after |= rq->in.close || c->x.gw->draining || (c->x.has_body && rq->in.state != HTTP_IN_DONE);
    c->status = status;
    figures_answer(c->x.gw->figures, c->x.route, status, rq->asked_us ? clock_mono_us() - rq->asked_us + 1 : 0);
    buf_reset(b);
    http_out_head(b, &(struct http_answer){ .status = status, .content_type = content_type, .date = server_date(c->server),
                                            .request_id = id, .fields = &rq->fields, .sequence = c->x.sequence,
                                            .length = n, .counted = counted, .chunked = !counted && !c->x.http10,
                                            .close = c->close_after, .cached = rq->added_cache });
    return (struct iovec){ .iov_base = b->data, .iov_len = b->len };
}

void exchange_reply(struct exchange *x, unsigned status, const char *content_type, const void *body, size_t n)
{
    struct conn *c = of(x);
    struct iovec v[2];

    assert(c->rq && c->state <= CONN_ANSWER);
    v[0] = head(c, status, content_type, true, n);
    v[1] = (struct iovec){ .iov_base = (void *)(uintptr_t)body, .iov_len = n };
    c->answered_n = c->bodyless || status == 204 || status == 304 ? 0 : n;
    out_put(c, v, c->answered_n ? 2 : 1);
    fault_point("gateway_replied");
    conn_answered(c);
}

static void refuse(struct exchange *x, unsigned status, const char *code, const char *text, const char *field)
{
    struct conn *c = of(x);
    struct buf *b = &c->server->body;
    char id[REQUEST_ID_SIZE];

    assert(c->rq);
    server_request_id(c->server, c->x.request_no, id);
    if (status == 401 && !c->rq->added_auth)
        exchange_add(x, "WWW-Authenticate", "Bearer realm=\"mission-control\"");
    if ((status == 503 || status == 429) && !c->rq->added_retry)
        exchange_add(x, "Retry-After", "1");
    buf_reset(b);
    http_out_error(b, status, code, text, field, id);
    exchange_reply(x, status, "application/json", b->data, b->err ? 0 : b->len);
}

void exchange_fail(struct exchange *x, unsigned status, const char *code, const char *text)
{
    refuse(x, status, code, text ? text : http_out_reason(status), NULL);
}

void exchange_error(struct exchange *x, enum err e, const char *field, const char *text)
{
    refuse(x, http_out_status(e), err_name(e), text ? text : err_text(e), field);
}

void exchange_reply_tagged(struct exchange *x, const char *etag, struct text body)
{
    unsigned status = exchange_condition(x, etag);

    exchange_add(x, "ETag", etag);
    exchange_add(x, "Cache-Control", "no-cache");
    if (status == 412)
        exchange_fail(x, 412, http_out_code(412), "If-Match does not name what is here now: ETag does");
    else if (status == 304)
        exchange_reply(x, 304, NULL, NULL, 0);
    else
        exchange_reply(x, 200, "application/json", body.p, body.n);
}

// ---- streams
void exchange_begin(struct exchange *x, unsigned status, const char *content_type, struct exchange_stream *s)
{
    struct conn *c = of(x);
    struct iovec v;

    assert(c->rq && (c->state == CONN_ASKED || c->state == CONN_ANSWER));
    c->close_after |= x->http10;
    v = head(c, status, content_type, false, 0);
    c->state = CONN_STREAM;
    c->stream = s;
    if (c->server->conf.access_log)
        conn_keep_target(c);
    conn_drop_request(c);
    out_put(c, &v, 1);
    if (c->bodyless)
        conn_wake(c);
}

static bool chunked(const struct conn *c)
{
    return !c->x.http10;
}

size_t exchange_send(struct exchange *x, const void *data, size_t n)
{
    struct conn *c = of(x);
    char size[20];
    struct iovec v[3] = { { size, 0 }, { (void *)(uintptr_t)data, n }, { (void *)(uintptr_t)"\r\n", 2 } };

    assert(c->state == CONN_STREAM);
    if (n == 0 || c->bodyless)
        return out_waiting(c);
    c->answered_n += n;
    v[0].iov_len = (size_t)snprintf(size, sizeof size, "%zx\r\n", n);
    if (chunked(c))
        out_put(c, v, 3);
    else
        out_put(c, v + 1, 1);
    return out_waiting(c);
}

size_t exchange_writev(struct exchange *x, const struct iovec *v, unsigned n)
{
    struct conn *c = of(x);
    size_t taken = 0;

    assert(c->state == CONN_STREAM);
    if (c->bodyless) {
        for (unsigned i = 0; i < n; i++)
            taken += v[i].iov_len;
        return taken;
    }
    taken = out_try_put(c, v, n);
    c->answered_n += taken;
    return taken;
}

void exchange_end(struct exchange *x)
{
    struct conn *c = of(x);

    assert(c->state == CONN_STREAM);
    if (chunked(c) && !c->bodyless)
        out_put(c, &(struct iovec){ .iov_base = (void *)(uintptr_t)"0\r\n\r\n", .iov_len = 5 }, 1);
    conn_answered(c);
}

void exchange_abort(struct exchange *x)
{
    struct conn *c = of(x);

    assert(c->state == CONN_STREAM);
    c->close_after = true;
    conn_answered(c);
}
