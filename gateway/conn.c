// One connection. Happy path:
//   conn_accept -> read_cb -> go: a head (http_in) -> handlers->head -> [the body -> handlers->body] -> exchange_reply (exchange.c)
//   -> conn_answered -> when all of it is with the kernel: the next request, or our FIN, their FIN, uv_close -> closed_cb.
// Off it:
//   a head or body that is wrong or too slow: fail() answers and closes.
//   the client goes away, or does not take what waits for it: conn_lost() tells the handler, closes.
// go() steps through the states for as long as there is something to do with the octets at hand. What is read before it is wanted
// (pipelining) waits in `in` while reading pauses. Handlers may answer inside go() or later; either way the next request is never
// begun on their stack: conn_wake() has the loop call conn_ready().
//
// Memory: reads go to the server's one buffer. A request's state (struct incoming) is taken at its first octet and given back at
// its answer's end, for a stream at its beginning.
#include "conn.h"
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "access.h"
#include "clock.h"
#include "fault.h"
#include "figures.h"
#include "out.h"

enum {
    HEAD_MS = 10000,      // from the connection's start, or the first octet of a later head
    IDLE_MS = 60000,      // between requests
    BODY_GRACE_MS = 10000, BODY_RATE = 1024, BODY_LOOK_MS = 1000, // octets a second on average, after the grace
    LINGER_MS = 2000,
    IN_MAX = 2 * SERVER_READ_MAX,
    OUT_MAX = 64 * 1024 * 1024,
    BODY_KEEP = 16 * 1024, // a body's memory that is kept for the next request
};

_Static_assert(sizeof(struct conn) <= 728, "an idle stream, with its part of the hub and two malloc headers, must stay well below 1,000 octets");

// ---- the request's state
static struct incoming *incoming_new(struct server *s)
{
    struct list *n = list_pop_front(&s->spare);
    struct incoming *rq;

    if (n) {
        s->n_spare--;
        return container_of(n, struct incoming, at);
    }
    rq = calloc(1, sizeof *rq);
    if (!rq)
        return NULL;
    list_init(&rq->at);
    http_in_init(&rq->in);
    buf_init(&rq->body, 0);
    buf_init(&rq->fields, 16 * 1024);
    return rq;
}

void conn_free_spare(struct list *n)
{
    struct incoming *rq = container_of(n, struct incoming, at);

    http_in_fini(&rq->in);
    buf_fini(&rq->body);
    buf_fini(&rq->fields);
    free(rq);
}

static void incoming_free(struct server *s, struct incoming *rq)
{
    if (s->n_spare == SERVER_SPARE_MAX) {
        conn_free_spare(&rq->at);
        return;
    }
    http_in_reset(&rq->in);
    if (rq->body.cap > BODY_KEEP)
        buf_fini(&rq->body);
    buf_reset(&rq->body);
    buf_reset(&rq->fields);
    rq->added_cache = rq->added_retry = rq->added_auth = rq->wants_body = false;
    rq->asked_us = rq->began_ms = 0;
    list_push_front(&s->spare, &rq->at);
    s->n_spare++;
}

// What this connection holds on the heap, as part of the sum of all. False when that is more than we allow.
static bool account(struct conn *c)
{
    size_t now = c->in.cap + (c->rq ? http_in_memory(&c->rq->in) + c->rq->body.cap : 0), before = c->held;

    c->server->held += now - before;
    c->held = now;
    return now <= before || c->server->held <= SERVER_HELD_MAX;
}

void conn_drop_request(struct conn *c)
{
    if (c->rq)
        incoming_free(c->server, c->rq);
    c->rq = NULL;
    c->x.path = c->x.query = c->x.body = c->x.host = (struct text){ NULL, 0 };
    account(c);
}

// ---- going on outside of the caller's stack
void conn_wake(struct conn *c)
{
    struct server *s = c->server;

    if (c->state == CONN_CLOSED || !list_empty(&c->ready))
        return;
    list_push_back(&s->ready, &c->ready);
    server_wake(s);
}

void conn_broke(struct conn *c)
{
    c->broken = true;
    conn_wake(c);
}

// ---- the end of it
static void closed_cb(uv_handle_t *h)
{
    struct conn *c = h->data;
    struct server *s = c->server;

    list_remove(&c->at);
    list_remove(&c->ready);
    conn_drop_request(c);
    buf_fini(&c->in);
    account(c);
    buf_fini(&c->out);
    tls_conn_free(c->tls);
    free(c->log_target);
    free(c);
    server_left(s);
}

static void conn_close(struct conn *c)
{
    if (c->state == CONN_CLOSED)
        return;
    c->state = CONN_CLOSED;
    server_disarm(c->server, &c->timer);
    list_remove(&c->ready);
    uv_close((uv_handle_t *)&c->tcp, closed_cb);
}

// "GET /path?query" without keys.
static void render_target(const struct conn *c, struct buf *b)
{
    struct text method = c->rq->in.method_text;

    buf_put(b, method.n ? method.p : "-", method.n && method.n < 32 ? method.n : 1);
    buf_putc(b, ' ');
    http_out_redacted(b, c->x.path, c->x.query);
}

void conn_keep_target(struct conn *c)
{
    struct buf b;
    size_t n;

    buf_init(&b, 4096);
    render_target(c, &b);
    buf_cstr(&b);
    c->log_target = (char *)buf_take(&b, &n);
}

static void log_access(struct conn *c)
{
    char id[REQUEST_ID_SIZE];
    struct buf b;

    if (!c->server->conf.access_log)
        return;
    server_request_id(c->server, c->x.request_no, id);
    buf_init(&b, 4096);
    if (c->rq)
        render_target(c, &b);
    access_line(&(struct access){ .request = c->log_target ? c->log_target : buf_cstr(&b), .address = c->x.address,
                                  .request_id = id, .status = c->status, .bytes = c->answered_n,
                                  .ms = server_now(c->server) - c->asked_ms, .key = c->x.actor.key });
    buf_fini(&b);
}

// The handler must not use the exchange any more.
static void tell_gone(struct conn *c)
{
    void (*gone)(struct exchange *x) = c->x.gone;
    struct exchange_stream *stream = c->stream;

    c->x.gone = NULL;
    c->stream = NULL;
    if (c->state == CONN_STREAM && stream)
        stream->closed(stream);
    else if ((c->state == CONN_ASKED || c->state == CONN_BODY || c->state == CONN_ANSWER) && gone)
        gone(&c->x);
}

void conn_lost(struct conn *c)
{
    bool asked = c->state == CONN_ASKED || c->state == CONN_BODY || c->state == CONN_ANSWER || c->state == CONN_STREAM;

    if (c->state == CONN_CLOSED)
        return;
    c->broken = true;
    tell_gone(c);
    if (asked)
        log_access(c);
    conn_close(c);
}

// Our FIN, then theirs: a close with unread octets would be a reset, which can take the answer from the client.
static void linger(struct conn *c)
{
    uv_os_fd_t fd;

    if (c->eof || uv_fileno((uv_handle_t *)&c->tcp, &fd) != 0 || shutdown(fd, SHUT_WR) != 0) {
        conn_close(c);
        return;
    }
    c->state = CONN_LINGER;
    buf_fini(&c->in);
    account(c);
    server_arm(c->server, &c->timer, LINGER_MS);
}

// The answer is out; on to the next request, or the end.
static void next(struct conn *c)
{
    if (c->close_after || (c->eof && c->cur_n == 0)) {
        linger(c);
        return;
    }
    c->state = CONN_HEAD;
    server_arm(c->server, &c->timer, IDLE_MS);
}

static void settle(struct conn *c);

void conn_answered(struct conn *c)
{
    struct gateway *gw = c->x.gw;
    bool tls = c->x.tls;
    char address[sizeof c->x.address];

    log_access(c);
    free(c->log_target);
    c->log_target = NULL;
    conn_drop_request(c);
    memcpy(address, c->x.address, sizeof address);
    c->x = (struct exchange){ .gw = gw, .tls = tls };
    memcpy(c->x.address, address, sizeof address);
    c->stream = NULL;
    c->answered_n = 0;
    c->status = 0;
    c->bodyless = false;
    c->state = CONN_FLUSH;
    if (c->close_after && c->tls && !c->broken) {
        tls_bye(c->tls);
        out_tls(c);
    }
    server_disarm(c->server, &c->timer);
    if (c->broken)
        return; // conn_ready() is due
    if (out_waiting(c)) {
        out_arm_stall(c);
        return;
    }
    if (!c->going)
        c->in.len || c->close_after || c->eof || c->tls ? conn_wake(c) : next(c);
}

// ---- reading a request
static void fail(struct conn *c, unsigned status, const char *why)
{
    c->close_after = true;
    if (!c->x.request_no)
        c->x.request_no = server_request_no(c->server);
    tell_gone(c);
    exchange_fail(&c->x, status, http_out_code(status), why);
}

// The client behind our trusted proxies: of all the hops named, the last that is not one of them (RFC 7239 has the reasoning).
static void forwarded(struct conn *c)
{
    const struct http_in *in = &c->rq->in;
    const struct trust *trust = c->server->conf.trust;
    uint8_t client[ADDRESS_SIZE], hop[ADDRESS_SIZE];
    struct text proto = http_in_field(in, "x-forwarded-proto", NULL);
    unsigned hosts = 0;
    struct text host = http_in_field(in, "x-forwarded-host", &hosts);
    bool found = false;

    memcpy(client, c->peer, sizeof client);
    for (unsigned i = in->n_fields; i-- > 0 && !found;) {
        struct text list = http_in_value(in, i);
        if (!text_is_nocase(http_in_name(in, i), "x-forwarded-for"))
            continue;
        while (list.n && !found) { // from its right end
            size_t from = list.n;
            while (from > 0 && list.p[from - 1] != ',')
                from--;
            struct text rest = { list.p + from, list.n - from }, one;
            list.n = from ? from - 1 : 0;
            if (!text_next(&rest, &one))
                continue; // an empty element names nobody
            found = !trust_address(one, hop);
            if (!found) {
                memcpy(client, hop, sizeof client);
                found = !trust_proxy(trust, hop);
            }
        }
    }
    trust_address_text(client, c->x.address);
    c->x.tls = c->tls || text_is_nocase(proto, "https");
    if (hosts == 1 && host.n && trust_host(trust, host))
        c->x.host = host;
}

static void take_head(struct conn *c)
{
    struct exchange *x = &c->x;
    struct incoming *rq = c->rq;

    server_disarm(c->server, &c->timer);
    x->request_no = server_request_no(c->server);
    c->asked_ms = server_now(c->server);
    rq->asked_us = clock_mono_us();
    c->used = true;
    x->method = rq->in.method;
    x->path = rq->in.path;
    x->query = rq->in.query;
    x->host = rq->in.host;
    x->http10 = rq->in.http10;
    x->has_body = rq->in.chunked || rq->in.length > 0;
    c->bodyless = x->method == METHOD_HEAD;
    if (rq->in.state == HTTP_IN_FAILED) {
        fail(c, rq->in.status, rq->in.why);
        return;
    }
    if (c->trusted_peer)
        forwarded(c);
    if (!x->has_body)
        http_in_begin_body(&rq->in);
    c->state = CONN_ASKED;
    fault_point("gateway_head");
    if (rq->in.host.p && !trust_host(c->server->conf.trust, rq->in.host)) {
        exchange_fail(x, 421, http_out_code(421), "This host name is not one of ours");
        return;
    }
    if (rq->in.asterisk) {
        exchange_add(x, "Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        exchange_reply(x, 204, NULL, NULL, 0);
        return;
    }
    c->server->conf.handlers->head(x);
}

static void advance(struct conn *c, size_t n)
{
    c->cur += n;
    c->cur_n -= n;
}

// Each step tells whether there may be another.
static bool step_head(struct conn *c)
{
    if (c->cur_n == 0)
        return false;
    if (!c->rq) {
        c->rq = incoming_new(c->server);
        if (!c->rq)
            return conn_lost(c), false;
        if (c->used) // the first head has its time from the connection's start
            server_arm(c->server, &c->timer, HEAD_MS);
        c->asked_ms = server_now(c->server);
    }
    advance(c, http_in_head(&c->rq->in, c->cur, c->cur_n));
    if (c->rq->in.state == HTTP_IN_HEAD) {
        if (!account(c))
            fail(c, 503, "Too much at once: try again");
        return c->cur_n > 0;
    }
    take_head(c);
    return true;
}

static void call_body(struct conn *c)
{
    server_disarm(c->server, &c->timer);
    c->x.body = (struct text){ (const char *)c->rq->body.data, c->rq->body.len };
    c->state = CONN_ANSWER;
    fault_point("gateway_body");
    c->server->conf.handlers->body(&c->x);
}

static bool step_asked(struct conn *c)
{
    struct incoming *rq = c->rq;

    if (!rq->wants_body)
        return false;
    if (!c->x.has_body)
        return call_body(c), true;
    if (rq->in.length > rq->body_max)
        return fail(c, 413, "The body is larger than the limit"), true;
    rq->body.max = rq->body_max;
    http_in_begin_body(&rq->in);
    c->state = CONN_BODY;
    rq->began_ms = server_now(c->server);
    server_arm(c->server, &c->timer, BODY_GRACE_MS);
    if (rq->in.expect && c->cur_n == 0) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        out_put(c, &(struct iovec){ .iov_base = (void *)(uintptr_t)go_on, .iov_len = sizeof go_on - 1 }, 1);
    }
    return true;
}

static bool step_body(struct conn *c)
{
    struct http_in *in = &c->rq->in;

    if (c->cur_n == 0)
        return false;
    advance(c, http_in_body(in, c->cur, c->cur_n, &c->rq->body));
    if (!account(c) && in->state == HTTP_IN_BODY)
        fail(c, 503, "Too much at once: try again");
    else if (in->state == HTTP_IN_FAILED)
        fail(c, in->status, in->why);
    else if (in->state == HTTP_IN_DONE)
        call_body(c);
    return true;
}

static bool step(struct conn *c)
{
    if (c->broken)
        return false;
    switch (c->state) {
    case CONN_HEAD:
        return step_head(c);
    case CONN_ASKED:
        return step_asked(c);
    case CONN_BODY:
        return step_body(c);
    case CONN_FLUSH:
        if (out_waiting(c))
            return false;
        next(c);
        return true;
    case CONN_LINGER:
        c->cur_n = 0;
        return false;
    default:
        return false;
    }
}

// own: the octets are c->in's.
static void go(struct conn *c, const uint8_t *p, size_t n, bool own)
{
    size_t left;

    c->cur = p;
    c->cur_n = n;
    c->going = true;
    while (step(c)) {
    }
    c->going = false;
    left = c->cur_n;
    c->cur_n = 0;
    if (c->state == CONN_CLOSED || c->state == CONN_LINGER)
        return;
    if (!own && left) {
        buf_put(&c->in, c->cur, left);
        if (c->in.err) {
            conn_broke(c);
            return;
        }
    } else if (own && left == 0) {
        buf_fini(&c->in);
    } else if (own) {
        buf_consume(&c->in, n - left);
    }
    account(c);
}

static void ended(struct conn *c);

static void pump(struct conn *c)
{
    size_t n;
    enum err e = ERR_OK;

    while (e == ERR_OK && c->in.len == 0 && c->state != CONN_CLOSED && c->state != CONN_LINGER && !c->broken) {
        e = tls_read(c->tls, c->server->plain, SERVER_READ_MAX, &n);
        out_tls(c);
        if (e == ERR_OK)
            go(c, c->server->plain, n, false);
        else if (e == ERR_CLOSED)
            ended(c);
        else if (e != ERR_AGAIN)
            conn_lost(c);
    }
}

static void alloc_cb(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
    struct conn *c = h->data;

    (void)suggested;
    *b = (uv_buf_t){ .base = (char *)c->server->read, .len = SERVER_READ_MAX };
}

// Nothing more will come.
static void ended(struct conn *c)
{
    c->eof = true;
    switch (c->state) {
    case CONN_HEAD:
        if (c->in.len == 0)
            conn_close(c); // also in the middle of a head: nobody is left to be told
        return;
    case CONN_BODY:
    case CONN_STREAM: // whoever closes, reads no more of it
        conn_lost(c);
        return;
    case CONN_LINGER:
        conn_close(c);
        return;
    default: // a client may say that it has said all, and still wait for its answer
        return;
    }
}

static void read_cb(uv_stream_t *h, ssize_t n, const uv_buf_t *b)
{
    struct conn *c = h->data;

    if (n == 0 || c->state == CONN_CLOSED)
        return;
    if (n < 0) {
        c->reading = false;
        uv_read_stop(h);
        n == UV_EOF ? ended(c) : conn_lost(c);
    } else if (c->state == CONN_LINGER) {
        return;
    } else if (c->tls) {
        tls_feed(c->tls, b->base, (size_t)n) == ERR_OK ? pump(c) : conn_lost(c);
    } else if (c->in.len) {
        buf_put(&c->in, b->base, (size_t)n);
        c->in.err ? conn_lost(c) : conn_resume(c);
    } else {
        go(c, (const uint8_t *)b->base, (size_t)n, false);
    }
    settle(c);
}

// Reading goes on exactly when nothing read is waiting.
static void settle(struct conn *c)
{
    bool want = c->in.len == 0 && !c->eof && !c->broken;

    if (c->state == CONN_CLOSED || want == c->reading)
        return;
    if (!want)
        uv_read_stop((uv_stream_t *)&c->tcp);
    else if (uv_read_start((uv_stream_t *)&c->tcp, alloc_cb, read_cb) != 0) {
        conn_lost(c);
        return;
    }
    c->reading = want;
}

void conn_resume(struct conn *c)
{
    go(c, c->in.data, c->in.len, true);
    if (c->tls && c->state != CONN_CLOSED)
        pump(c);
    if (c->eof && c->state == CONN_HEAD && c->in.len == 0)
        conn_close(c);
    settle(c);
}

void conn_ready(struct conn *c)
{
    if (c->state == CONN_CLOSED)
        return;
    if (c->broken) {
        conn_lost(c);
        return;
    }
    if (c->state == CONN_STREAM && c->bodyless) { // HEAD: the head was the answer
        tell_gone(c);
        conn_answered(c);
    }
    conn_resume(c);
}

void conn_close_idle(struct conn *c)
{
    if (c->state == CONN_HEAD && !c->rq && c->in.len == 0)
        conn_close(c);
}

// ---- time-outs
static void cut_off(struct conn *c)
{
    static const struct linger none = { .l_onoff = 1 }; // a reset: else the kernel would keep for a minute what nobody takes
    uv_os_fd_t fd;

    if (c->queued_n - out_waiting(c) != c->seen_n) {
        out_arm_stall(c);
        return;
    }
    if (uv_fileno((uv_handle_t *)&c->tcp, &fd) == 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    conn_lost(c);
}

static void fire_cb(struct wheel_timer *t)
{
    struct conn *c = container_of(t, struct conn, timer);
    uint64_t elapsed_ms = c->rq ? server_now(c->server) - c->rq->began_ms : 0; // of a body

    switch (c->state) {
    case CONN_HEAD:
        if (!c->rq) {
            conn_close(c);
            return;
        }
        fail(c, 408, "The head of the request did not come in time");
        settle(c);
        return;
    case CONN_BODY:
        if (c->rq->in.body_n >= elapsed_ms * BODY_RATE / 1000) {
            server_arm(c->server, &c->timer, BODY_LOOK_MS);
            return;
        }
        fail(c, 408, "The body of the request came too slowly");
        settle(c);
        return;
    case CONN_FLUSH:
    case CONN_STREAM:
        cut_off(c);
        return;
    default:
        conn_close(c);
    }
}

// ---- accepting
static void learn_peer(struct conn *c)
{
    struct sockaddr_storage a = { 0 };
    int n = sizeof a;

    if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&a, &n) != 0)
        return;
    if (a.ss_family == AF_INET6) {
        memcpy(c->peer, &((const struct sockaddr_in6 *)(const void *)&a)->sin6_addr, ADDRESS_SIZE);
    } else {
        memset(c->peer + 10, 0xff, 2);
        memcpy(c->peer + 12, &((const struct sockaddr_in *)(const void *)&a)->sin_addr, 4);
    }
    trust_address_text(c->peer, c->x.address);
    c->trusted_peer = trust_proxy(c->server->conf.trust, c->peer);
}

enum err conn_accept(struct server *s, uv_stream_t *listener)
{
    struct conn *c = calloc(1, sizeof *c);

    if (!c)
        return ERR_NO_MEMORY;
    if (s->conf.tls && tls_conn_new(s->conf.tls, &c->tls) != ERR_OK) {
        free(c);
        return ERR_NO_MEMORY;
    }
    c->server = s;
    c->x.gw = s->conf.gw;
    c->x.tls = s->conf.tls != NULL;
    list_init(&c->ready);
    list_init(&c->at);
    wheel_timer_init(&c->timer, fire_cb);
    buf_init(&c->in, IN_MAX);
    buf_init(&c->out, OUT_MAX);
    if (uv_tcp_init(s->conf.gw->loop, &c->tcp) != 0) {
        tls_conn_free(c->tls);
        free(c);
        return ERR_IO;
    }
    c->tcp.data = c;
    s->n_conns++;
    list_push_back(&s->conns, &c->at);
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) != 0) {
        conn_close(c);
        return ERR_OK; // it went away
    }
    figure_count(s->conf.gw, FIGURE_GATEWAY_ACCEPTED);
    learn_peer(c);
    server_arm(s, &c->timer, HEAD_MS);
    settle(c);
    return ERR_OK;
}
