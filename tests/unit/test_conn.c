// links: gateway common protobuf-c uv sodium systemd ssl crypto
// Connections against exchange.h: real sockets on the loopback, the server's loop turned by the test itself, handlers that do
// what the test says, and a pretended clock (uv_now of ours) for the time-outs.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include "clock.h"
#include "conn.h"
#include "crypto.h"
#include "server.h"

static uint64_t skew_ms; // how far the pretended clock is ahead

uint64_t uv_now(const uv_loop_t *loop)
{
    (void)loop;
    return clock_mono_ms() + skew_ms;
}

static uv_loop_t loop;
static struct gateway gw;
static struct trust trust;
static struct server *server;
static unsigned port;

// ---- what the handlers saw
static struct {
    struct exchange *later;  // waits for the test's answer
    unsigned heads, bodies, gone, closed, writable;
    struct exchange_stream stream;
    struct exchange *streaming;
    char address[46];
    bool tls;
    struct text body;
} saw;

static void gone_cb(struct exchange *x)
{
    assert_ptr_not_equal(x, NULL);
    saw.gone++;
    saw.later = NULL;
}

static void closed_cb(struct exchange_stream *s)
{
    assert_ptr_equal(s, &saw.stream);
    saw.closed++;
    saw.streaming = NULL;
}

static void writable_cb(struct exchange_stream *s)
{
    assert_ptr_equal(s, &saw.stream);
    saw.writable++;
}

static void head(struct exchange *x)
{
    saw.heads++;
    memcpy(saw.address, x->address, sizeof saw.address);
    saw.tls = x->tls;
    x->gone = gone_cb;
    if (text_is(x->path, "/sync")) {
        exchange_reply(x, 200, "text/plain", "hello", 5);
    } else if (text_is(x->path, "/later") || text_is(x->path, "/body-later")) {
        saw.later = x;
    } else if (text_is(x->path, "/body")) {
        exchange_want_body(x, 100000);
    } else if (text_is(x->path, "/stream")) {
        saw.stream = (struct exchange_stream){ .writable = writable_cb, .closed = closed_cb };
        saw.streaming = x;
        exchange_begin(x, 200, "text/event-stream", &saw.stream);
        assert_null(exchange_header(x, "host", NULL).p);
    } else if (text_is(x->path, "/error")) {
        exchange_error(x, ERR_UNAUTHORIZED, "f", NULL);
    } else {
        exchange_error(x, ERR_NOT_FOUND, NULL, NULL);
    }
}

static void body(struct exchange *x)
{
    saw.bodies++;
    exchange_add(x, "X-Echo", "yes");
    exchange_reply(x, 200, "text/plain", x->body.p, x->body.n);
}

static const struct exchange_handlers handlers = { head, body };

// ---- turning the loop
static void turn(void)
{
    uv_run(&loop, UV_RUN_NOWAIT);
}

static bool idle_turns(void) // enough for whatever is on its way on the loopback to arrive
{
    for (unsigned i = 0; i < 20; i++) {
        turn();
        usleep(500);
    }
    return true;
}

#define UNTIL(what)                                        \
    do {                                                   \
        uint64_t end_ = clock_mono_ms() + 10000;           \
        while (!(what)) {                                  \
            if (clock_mono_ms() > end_)                    \
                fail_msg("not in time: %s", #what);        \
            turn();                                        \
        }                                                  \
    } while (0)

static void pass(uint64_t ms)
{
    skew_ms += ms;
    wheel_turn(&server->wheel, uv_now(&loop));
    turn();
}

// ---- a client
struct client {
    int fd;
    char *got;
    size_t n;
    bool eof, reset;
};

static struct client dial_with(int rcvbuf)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct client c = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .got = calloc(1, 1) };

    assert_true(c.fd >= 0);
    if (rcvbuf)
        assert_int_equal(setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf), 0);
    assert_int_equal(connect(c.fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(fcntl(c.fd, F_SETFL, O_NONBLOCK), 0);
    return c;
}

static struct client dial(void)
{
    return dial_with(0);
}

static void say_n(struct client *c, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t w = send(c->fd, text, n, MSG_NOSIGNAL);
        if (w < 0 && errno == EAGAIN) {
            turn();
            continue;
        }
        if (w < 0)
            return; // the server has closed: what it said is still to be read
        text += w;
        n -= (size_t)w;
    }
}

static void say(struct client *c, const char *text)
{
    say_n(c, text, strlen(text));
}

// Reads what there is, at most max octets.
static size_t take(struct client *c, size_t max)
{
    char piece[65536];
    ssize_t r = recv(c->fd, piece, max < sizeof piece ? max : sizeof piece, 0);

    if (r == 0)
        c->eof = true;
    if (r < 0 && errno != EAGAIN)
        c->eof = c->reset = true;
    if (r <= 0)
        return 0;
    c->got = realloc(c->got, c->n + (size_t)r + 1);
    assert_non_null(c->got);
    memcpy(c->got + c->n, piece, (size_t)r);
    c->n += (size_t)r;
    c->got[c->n] = 0;
    return (size_t)r;
}

static unsigned count(struct client *c, const char *what)
{
    unsigned n = 0;

    while (take(c, SIZE_MAX) > 0) {
    }
    for (const char *p = c->got; (p = strstr(p, what)); p += strlen(what))
        n++;
    return n;
}

static bool has(struct client *c, const char *what)
{
    return count(c, what) > 0;
}

static bool ended(struct client *c)
{
    while (take(c, SIZE_MAX) > 0) {
    }
    return c->eof;
}

static void hang_up(struct client *c)
{
    close(c->fd);
    free(c->got);
    UNTIL(server->n_conns == 0);
}

#define HOST "Host: 127.0.0.1\r\n\r\n"

// ---- set-up
static void begin(unsigned max_connections)
{
    char at[64], why[160] = "";
    int fd, sndbuf = 32768; // inherited by the connections: writes are short soon

    memset(&saw, 0, sizeof saw);
    memset(&gw, 0, sizeof gw);
    memset(&trust, 0, sizeof trust);
    assert_int_equal(uv_loop_init(&loop), 0);
    gw.loop = &loop;
    assert_int_equal(server_new(&(struct server_conf){ .gw = &gw, .handlers = &handlers, .trust = &trust,
                                                       .max_connections = max_connections }, &server), ERR_OK);
    assert_int_equal(server_listen(server, "127.0.0.1:0", at, &port, why), ERR_OK);
    assert_int_equal(uv_fileno((uv_handle_t *)&server->listeners[0], &fd), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof sndbuf), 0);
}

static void close_cb(uv_handle_t *h, void *u)
{
    (void)u;
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

static int setup(void **state)
{
    (void)state;
    begin(1000);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(server->n_conns, 0);
    assert_int_equal(server->held, 0);
    uv_walk(&loop, close_cb, NULL);
    while (uv_run(&loop, UV_RUN_DEFAULT) != 0) {
    }
    assert_int_equal(uv_loop_close(&loop), 0);
    server_free(server);
    return 0;
}

// ---- answers
static void test_keep_alive(void **state)
{
    struct client c = dial();

    (void)state;
    say(&c, "GET /sync HTTP/1.1\r\n" HOST);
    UNTIL(count(&c, "hello") == 1);
    assert_true(has(&c, "HTTP/1.1 200 OK\r\nDate: ") && has(&c, "\r\nContent-Length: 5\r\n") && has(&c, "X-Request-Id: "));
    assert_true(has(&c, "Cache-Control: no-store\r\n") && !has(&c, "Connection: close"));
    say(&c, "GET /error HTTP/1.1\r\n" HOST);
    UNTIL(has(&c, "\"code\":\"UNAUTHORIZED\""));
    assert_true(has(&c, "WWW-Authenticate: Bearer realm=\"mission-control\"\r\n") && has(&c, "\"field\":\"f\""));
    say(&c, "GET /sync HTTP/1.1\r\nConnection: close\r\n" HOST);
    UNTIL(ended(&c));
    assert_int_equal(count(&c, "hello"), 2);
    assert_int_equal(count(&c, "Connection: close"), 1);
    assert_false(c.reset);
    hang_up(&c);
}

static void test_head_method(void **state)
{
    struct client c = dial(), d = dial();
    char *a, *b;

    (void)state;
    say(&c, "GET /sync HTTP/1.1\r\nConnection: close\r\n" HOST);
    say(&d, "HEAD /sync HTTP/1.1\r\nConnection: close\r\n" HOST);
    UNTIL(ended(&c) && ended(&d));
    a = strstr(c.got, "X-Content"), b = strstr(d.got, "X-Content");
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal(strncmp(a, b, strlen(b)), 0); // the same from here on, but for the body
    assert_string_equal(a + strlen(b), "hello");
    close(d.fd);
    free(d.got);
    hang_up(&c);
}

static void test_pipelining(void **state)
{
    struct client c = dial();

    (void)state;
    say(&c, "GET /sync HTTP/1.1\r\n" HOST "GET /nowhere HTTP/1.1\r\n" HOST "GET /sync HTTP/1.1\r\n" HOST);
    UNTIL(count(&c, "hello") == 2);
    assert_true(strstr(c.got, "hello") < strstr(c.got, " 404"));
    // A slow one holds the next back; it is not even begun.
    say(&c, "GET /later HTTP/1.1\r\n" HOST "GET /sync HTTP/1.1\r\n" HOST);
    UNTIL(saw.later);
    idle_turns();
    assert_int_equal(saw.heads, 4);
    exchange_reply(saw.later, 200, NULL, "slow", 4);
    assert_int_equal(saw.heads, 4); // and not on the stack of who answers
    UNTIL(count(&c, "hello") == 3);
    assert_true(strstr(c.got, "slow") < strrchr(c.got, 'h'));
    hang_up(&c);
}

// However much a client sends ahead, what we keep of it is bounded.
static void test_pipelining_is_bounded(void **state)
{
    static char flood[4 * 1024 * 1024];
    struct client c = dial();
    size_t sent = 0;

    (void)state;
    memset(flood, 'x', sizeof flood);
    say(&c, "GET /later HTTP/1.1\r\n" HOST);
    UNTIL(saw.later);
    for (unsigned i = 0; i < 200; i++) {
        ssize_t w = send(c.fd, flood + sent, sizeof flood - sent, MSG_NOSIGNAL);
        if (w > 0)
            sent += (size_t)w;
        turn();
    }
    assert_true(server->held <= 3 * SERVER_READ_MAX);
    exchange_reply(saw.later, 204, NULL, NULL, 0);
    UNTIL(has(&c, "204 No Content") && has(&c, "HTTP/1.1 414"));
    UNTIL(ended(&c) || send(c.fd, flood, 1, MSG_NOSIGNAL) < 0 || (pass(2500), false));
    hang_up(&c);
}

static void test_http10(void **state)
{
    struct client c = dial();

    (void)state;
    say(&c, "GET /sync HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    UNTIL(ended(&c));
    assert_true(has(&c, "HTTP/1.1 200 OK") && has(&c, "Connection: close") && has(&c, "hello"));
    hang_up(&c);
}

// ---- bodies
static void test_bodies(void **state)
{
    struct client c = dial();

    (void)state;
    say(&c, "POST /body HTTP/1.1\r\nContent-Length: 3\r\n" HOST "abc");
    UNTIL(has(&c, "\r\n\r\nabc"));
    say(&c, "POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" HOST "2\r\nde\r\n1\r\nf\r\n0\r\n\r\n");
    UNTIL(has(&c, "\r\n\r\ndef"));
    say(&c, "POST /body HTTP/1.1\r\n" HOST); // none: body() all the same
    UNTIL(count(&c, "X-Echo: yes") == 3);
    say(&c, "POST /body-later HTTP/1.1\r\nContent-Length: 3\r\n" HOST "ghi");
    UNTIL(saw.later);
    exchange_want_body(saw.later, 3);
    assert_int_equal(saw.bodies, 3); // not before it has returned
    UNTIL(has(&c, "\r\n\r\nghi"));
    assert_int_equal(saw.gone, 0);
    hang_up(&c);
}

static void test_expect(void **state)
{
    struct client c = dial();

    (void)state;
    say(&c, "POST /body HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n" HOST);
    UNTIL(has(&c, "HTTP/1.1 100 Continue\r\n\r\n"));
    say(&c, "abc");
    UNTIL(has(&c, "\r\n\r\nabc"));
    // A body that is not wanted is not asked for, and ends the connection.
    say(&c, "POST /sync HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n" HOST);
    UNTIL(ended(&c));
    assert_int_equal(count(&c, "100 Continue"), 1);
    assert_int_equal(count(&c, "Connection: close"), 1);
    hang_up(&c);
}

static void test_too_big(void **state)
{
    static char big[200000];
    struct client c = dial(), d = dial();

    (void)state;
    say(&c, "POST /body HTTP/1.1\r\nContent-Length: 100001\r\n" HOST); // judged before it is read
    UNTIL(has(&c, "HTTP/1.1 413") && ended(&c));
    assert_int_equal(saw.gone, 1);
    say(&d, "POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" HOST "30d40\r\n");
    say_n(&d, big, sizeof big);
    UNTIL(has(&d, "HTTP/1.1 413") && has(&d, "TOO_BIG") && ended(&d));
    assert_int_equal(saw.gone, 2);
    assert_int_equal(saw.bodies, 0);
    close(d.fd);
    free(d.got);
    hang_up(&c);
}

static void test_bad_body(void **state)
{
    struct client c = dial();

    (void)state;
    say(&c, "POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" HOST "x\r\n");
    UNTIL(has(&c, "HTTP/1.1 400") && ended(&c));
    assert_int_equal(saw.gone, 1);
    assert_false(c.reset);
    hang_up(&c);
}

// ---- clients that go
static void test_gone(void **state)
{
    struct client c = dial();

    (void)state;
    say(&c, "GET /later HTTP/1.1\r\n" HOST);
    UNTIL(saw.later);
    assert_int_equal(setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger)), 0);
    hang_up(&c);
    assert_int_equal(saw.gone, 1);
}

static void test_half_closed(void **state)
{
    struct client c = dial();

    (void)state;
    say(&c, "GET /later HTTP/1.1\r\n" HOST "GET /sync HTTP/1.1\r\n" HOST);
    assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
    UNTIL(saw.later);
    idle_turns();
    exchange_reply(saw.later, 200, NULL, "slow", 4);
    UNTIL(ended(&c));
    assert_true(has(&c, "slow") && has(&c, "hello"));
    assert_int_equal(saw.gone, 0);
    hang_up(&c);
}

static void test_gone_in_body(void **state)
{
    struct client c = dial();

    (void)state;
    say(&c, "POST /body HTTP/1.1\r\nContent-Length: 3\r\n" HOST "a");
    UNTIL(saw.heads == 1);
    idle_turns();
    hang_up(&c);
    assert_int_equal(saw.gone, 1);
    assert_int_equal(saw.bodies, 0);
}

// ---- streams
static void test_stream(void **state)
{
    struct client c = dial();

    (void)state;
    say(&c, "GET /stream HTTP/1.1\r\n" HOST "GET /sync HTTP/1.1\r\n" HOST);
    UNTIL(has(&c, "\r\n\r\n"));
    assert_true(has(&c, "Transfer-Encoding: chunked") && !has(&c, "Content-Length"));
    assert_int_equal(exchange_send(saw.streaming, "one", 3), 0);
    assert_int_equal(exchange_send(saw.streaming, "", 0), 0);
    struct iovec v[2] = { { (void *)(uintptr_t)"2\r\ntw", 5 }, { (void *)(uintptr_t)"\r\n", 2 } };
    assert_int_equal(exchange_writev(saw.streaming, v, 2), 7);
    exchange_end(saw.streaming);
    UNTIL(has(&c, "hello")); // the connection goes on
    assert_non_null(strstr(c.got, "\r\n\r\n3\r\none\r\n2\r\ntw\r\n0\r\n\r\nHTTP/1.1 200"));
    assert_int_equal(saw.closed, 0);
    hang_up(&c);
}

static void test_stream_http10(void **state)
{
    struct client c = dial();

    (void)state;
    say(&c, "GET /stream HTTP/1.0\r\n\r\n");
    UNTIL(saw.streaming);
    exchange_send(saw.streaming, "one", 3);
    exchange_end(saw.streaming);
    UNTIL(ended(&c));
    assert_false(has(&c, "chunked"));
    assert_non_null(strstr(c.got, "\r\n\r\none"));
    assert_string_equal(strstr(c.got, "\r\n\r\n"), "\r\n\r\none");
    hang_up(&c);
}

static void test_stream_head(void **state)
{
    struct client c = dial();

    (void)state;
    say(&c, "HEAD /stream HTTP/1.1\r\n" HOST);
    UNTIL(saw.closed == 1);
    say(&c, "GET /sync HTTP/1.1\r\n" HOST);
    UNTIL(has(&c, "hello"));
    assert_true(has(&c, "Transfer-Encoding: chunked\r\n"));
    assert_null(strstr(c.got, "\r\n\r\n0"));
    hang_up(&c);
}

static void test_stream_closed(void **state)
{
    struct client c = dial();

    (void)state;
    say(&c, "GET /stream HTTP/1.1\r\n" HOST);
    UNTIL(saw.streaming);
    hang_up(&c);
    assert_int_equal(saw.closed, 1);
}

static void test_stream_aborted(void **state)
{
    struct client c = dial();

    (void)state;
    say(&c, "GET /stream HTTP/1.1\r\n" HOST);
    UNTIL(saw.streaming);
    exchange_send(saw.streaming, "one", 3);
    exchange_abort(saw.streaming);
    UNTIL(ended(&c));
    assert_true(has(&c, "one") && !strstr(c.got, "0\r\n\r\n"));
    assert_int_equal(saw.closed, 0);
    hang_up(&c);
}

// A reader that takes little at a time: short writes, writable() after each, and every octet once and in its order.
static void test_writev_short(void **state)
{
    enum { SIZE = 3 * 1024 * 1024, PART = 1000 };
    struct client c = dial_with(8192);
    char *all = malloc(SIZE), *from;
    size_t at = 0, shorts = 0;

    (void)state;
    assert_non_null(all);
    for (size_t i = 0; i < SIZE; i++)
        all[i] = (char)('a' + i / 7 % 26);
    say(&c, "GET /stream HTTP/1.0\r\n\r\n");
    UNTIL(has(&c, "\r\n\r\n"));
    UNTIL(saw.streaming);
    while (at < SIZE) {
        struct iovec v[300];
        unsigned n = 0;
        size_t given = 0, taken;
        unsigned before = saw.writable;
        for (; n < 300 && at + given < SIZE; n++) {
            size_t part = SIZE - at - given < PART ? SIZE - at - given : PART;
            v[n] = (struct iovec){ all + at + given, part };
            given += part;
        }
        taken = exchange_writev(saw.streaming, v, n);
        assert_true(taken <= given);
        at += taken;
        if (taken < given) {
            shorts++;
            assert_int_equal(saw.writable, before);
            UNTIL((take(&c, 20000), saw.writable > before));
        }
    }
    exchange_end(saw.streaming);
    UNTIL(ended(&c));
    from = strstr(c.got, "\r\n\r\n");
    assert_non_null(from);
    assert_int_equal(c.n - (size_t)(from + 4 - c.got), SIZE);
    assert_memory_equal(from + 4, all, SIZE);
    assert_true(shorts > 3);
    free(all);
    hang_up(&c);
}

static void fill(struct exchange *x)
{
    static char much[1024 * 1024];
    struct iovec v = { much, sizeof much };
    unsigned before = saw.writable;

    for (unsigned i = 0; i < 100; i++) {
        memset(much, '.', sizeof much);
        while (exchange_writev(x, &v, 1) == sizeof much) {
        }
        idle_turns();
        if (saw.writable == before)
            return;
        before = saw.writable;
    }
    fail_msg("the socket never fills");
}

// 30 s without progress: cut off; a little progress in time: not.
static void test_stall(void **state)
{
    struct client c = dial_with(4096);

    (void)state;
    say(&c, "GET /stream HTTP/1.0\r\n\r\n");
    UNTIL(saw.streaming);
    pass(100000); // an idle stream has no time-out
    assert_int_equal(saw.closed, 0);
    fill(saw.streaming);
    pass(25000);
    assert_int_equal(saw.closed, 0);
    unsigned before = saw.writable;
    UNTIL((take(&c, 65536), saw.writable > before));
    fill(saw.streaming);
    pass(25000);
    assert_int_equal(saw.closed, 0);
    pass(6000);
    UNTIL(saw.closed == 1);
    hang_up(&c);
}

// An answer that is not taken is not kept for ever either.
static void test_answer_stall(void **state)
{
    struct client c = dial_with(4096);
    char *much = calloc(1, 30 * 1024 * 1024);

    (void)state;
    assert_non_null(much);
    say(&c, "GET /later HTTP/1.1\r\n" HOST);
    UNTIL(saw.later);
    exchange_reply(saw.later, 200, NULL, much, 30 * 1024 * 1024);
    free(much);
    idle_turns();
    pass(25000);
    assert_int_equal(server->n_conns, 1);
    pass(31000);
    UNTIL(server->n_conns == 0);
    hang_up(&c);
}

// A large answer to a reader that does take it.
static void test_large_answer(void **state)
{
    enum { SIZE = 8 * 1024 * 1024 };
    struct client c = dial();
    char *much = malloc(SIZE), *from;

    (void)state;
    assert_non_null(much);
    for (size_t i = 0; i < SIZE; i++)
        much[i] = (char)(i * 31 >> 3 | 1);
    say(&c, "GET /later HTTP/1.1\r\nConnection: close\r\n" HOST);
    UNTIL(saw.later);
    exchange_reply(saw.later, 200, NULL, much, SIZE);
    UNTIL((take(&c, 65536), c.eof));
    from = strstr(c.got, "\r\n\r\n");
    assert_non_null(from);
    assert_int_equal(c.n - (size_t)(from + 4 - c.got), SIZE);
    assert_memory_equal(from + 4, much, SIZE);
    free(much);
    hang_up(&c);
}

// ---- time-outs
static void test_silent(void **state)
{
    struct client c = dial();

    (void)state;
    UNTIL(server->n_conns == 1);
    pass(9500);
    assert_int_equal(server->n_conns, 1);
    pass(1000);
    UNTIL(ended(&c));
    assert_int_equal(c.n, 0);
    hang_up(&c);
}

static void test_slow_head(void **state)
{
    struct client c = dial();

    (void)state;
    UNTIL(server->n_conns == 1);
    pass(8000);
    say(&c, "GET /sync HT"); // the time runs from the connection's start
    idle_turns();
    pass(3000);
    UNTIL(has(&c, "HTTP/1.1 408") && ended(&c));
    assert_false(c.reset);
    hang_up(&c);
}

static void test_kept(void **state)
{
    struct client c = dial();

    (void)state;
    say(&c, "GET /sync HTTP/1.1\r\n" HOST);
    UNTIL(has(&c, "hello"));
    pass(59000);
    say(&c, "G"); // from its first octet
    idle_turns();
    pass(9000);
    assert_false(ended(&c));
    say(&c, "ET /sync HTTP/1.1\r\n" HOST);
    UNTIL(count(&c, "hello") == 2);
    pass(59000);
    assert_false(ended(&c));
    pass(2000);
    UNTIL(ended(&c));
    assert_int_equal(count(&c, "HTTP/1.1"), 2);
    hang_up(&c);
}

static void test_slow_body(void **state)
{
    char piece[12000];
    struct client c = dial();

    (void)state;
    memset(piece, 'a', sizeof piece);
    say(&c, "POST /body HTTP/1.1\r\nContent-Length: 90000\r\n" HOST);
    UNTIL(saw.heads == 1);
    say_n(&c, piece, sizeof piece);
    idle_turns();
    pass(10500);
    assert_false(has(&c, "HTTP/1.1"));
    pass(2000);
    UNTIL(has(&c, "HTTP/1.1 408") && ended(&c));
    assert_int_equal(saw.gone, 1);
    hang_up(&c);
}

// After a failure: FIN, what still comes is dropped, and 2 s later that ends too.
static void test_linger(void **state)
{
    struct client c = dial();

    (void)state;
    say(&c, "nonsense\r\n");
    UNTIL(has(&c, "HTTP/1.1 400") && ended(&c));
    for (unsigned i = 0; i < 100; i++) {
        say(&c, "GET /sync HTTP/1.1\r\n" HOST);
        turn();
    }
    assert_int_equal(saw.heads, 0);
    assert_int_equal(server->n_conns, 1);
    pass(2500);
    UNTIL(server->n_conns == 0);
    hang_up(&c);
}

// ---- limits and the rest
static void test_max_connections(void **state)
{
    struct client a = dial(), b = dial(), c = dial();

    (void)state;
    say(&c, "GET /sync HTTP/1.1\r\n" HOST);
    UNTIL(server->n_conns == 2);
    idle_turns();
    assert_false(has(&c, "hello"));
    close(a.fd);
    free(a.got);
    UNTIL(has(&c, "hello"));
    close(b.fd);
    free(b.got);
    hang_up(&c);
}

static int setup_small(void **state)
{
    (void)state;
    begin(2);
    return 0;
}

static void test_hosts(void **state)
{
    struct client c = dial();

    (void)state;
    assert_int_equal(trust_add_hosts(&trust, "localhost, Box.example"), ERR_OK);
    say(&c, "GET /sync HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    UNTIL(has(&c, "HTTP/1.1 421"));
    assert_int_equal(saw.heads, 0);
    say(&c, "GET /sync HTTP/1.1\r\nHost: bOx.example.:99\r\n\r\n");
    UNTIL(count(&c, "hello") == 1);
    say(&c, "GET http://evil.example/sync HTTP/1.1\r\n" HOST);
    UNTIL(count(&c, "HTTP/1.1 421") == 2);
    say(&c, "GET http://LOCALHOST/sync HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    UNTIL(count(&c, "hello") == 2);
    say(&c, "GET /sync HTTP/1.1\r\nHost: [::1]\r\n\r\n");
    UNTIL(count(&c, "hello") == 3);
    say(&c, "OPTIONS * HTTP/1.1\r\n" HOST);
    UNTIL(has(&c, "HTTP/1.1 204") && has(&c, "\r\nAllow: GET, HEAD, POST"));
    hang_up(&c);
}

static void test_forwarded(void **state)
{
    static const struct { const char *fields, *want; bool tls; } rows[] = {
        { "X-Forwarded-For: 9.9.9.9\r\n", "9.9.9.9", false },
        { "X-Forwarded-For: 6.6.6.6, 9.9.9.9, 10.1.2.3\r\n", "9.9.9.9", false },
        { "X-Forwarded-For: 6.6.6.6, 9.9.9.9\r\nX-Forwarded-For: 10.1.2.3\r\nX-Forwarded-Proto: https\r\n", "9.9.9.9", true },
        { "X-Forwarded-For: 10.9.9.9, 10.1.2.3\r\n", "10.9.9.9", false },
        { "X-Forwarded-For: rubbish, 10.1.2.3\r\n", "10.1.2.3", false },
        { "X-Forwarded-For: [2001:db8::1]:1234\r\n", "2001:db8::1", false },
        { "X-Forwarded-For: , ,\r\n", "127.0.0.1", false },
        { "", "127.0.0.1", false },
    };

    (void)state;
    for (unsigned trusted = 0; trusted < 2; trusted++) {
        if (trusted)
            assert_int_equal(trust_add_proxies(&trust, "127.0.0.1, 10.0.0.0/8"), ERR_OK);
        struct client c = dial();
        for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
            char text[300];
            snprintf(text, sizeof text, "GET /sync HTTP/1.1\r\n%s" HOST, rows[i].fields);
            say(&c, text);
            UNTIL(count(&c, "hello") == i + 1);
            assert_string_equal(saw.address, trusted ? rows[i].want : "127.0.0.1");
            assert_true(saw.tls == (trusted && rows[i].tls));
        }
        hang_up(&c);
    }
}

// ---- TLS: a client by OpenSSL, a certificate of the moment
static char tls_dir[] = "/tmp/mc-conn-XXXXXX";

static void write_pem(const char *name, EVP_PKEY *key, X509 *cert, char path[64])
{
    FILE *f;

    snprintf(path, 64, "%s/%s", tls_dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(cert ? PEM_write_X509(f, cert) : PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
}

static struct tls *make_tls(void)
{
    char cert_path[64], key_path[64], why[256] = "";
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    struct tls *tls = NULL;

    assert_non_null(mkdtemp(tls_dir));
    assert_true(key && cert);
    assert_int_equal(X509_set_version(cert, 2), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), -60));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), 3600));
    assert_int_equal(X509_set_pubkey(cert, key), 1);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    write_pem("cert", NULL, cert, cert_path);
    write_pem("key", key, NULL, key_path);
    assert_int_equal(tls_new(key_path, key_path, &tls, why), ERR_BAD_REQUEST);
    assert_non_null(strstr(why, "certificate"));
    assert_int_equal(tls_new(cert_path, cert_path, &tls, why), ERR_BAD_REQUEST);
    assert_non_null(strstr(why, "key"));
    assert_int_equal(tls_new(cert_path, key_path, &tls, why), ERR_OK);
    unlink(cert_path);
    unlink(key_path);
    rmdir(tls_dir);
    memcpy(strrchr(tls_dir, '-') + 1, "XXXXXX", 6);
    X509_free(cert);
    EVP_PKEY_free(key);
    return tls;
}

static struct tls *tls_in_use;

static int setup_tls(void **state)
{
    setup(state);
    tls_in_use = server->conf.tls = make_tls();
    return 0;
}

static int teardown_tls(void **state)
{
    teardown(state);
    tls_free(tls_in_use);
    return 0;
}

struct tls_client {
    struct client c;
    SSL_CTX *ctx;
    SSL *ssl;
    bool bye;
};

static struct tls_client tls_dial(int rcvbuf)
{
    struct tls_client t = { .c = dial_with(rcvbuf), .ctx = SSL_CTX_new(TLS_client_method()) };

    assert_non_null(t.ctx);
    t.ssl = SSL_new(t.ctx);
    assert_non_null(t.ssl);
    assert_int_equal(SSL_set_fd(t.ssl, t.c.fd), 1);
    UNTIL(SSL_connect(t.ssl) == 1);
    return t;
}

static void tls_say(struct tls_client *t, const char *text)
{
    UNTIL(SSL_write(t->ssl, text, (int)strlen(text)) == (int)strlen(text));
}

static size_t tls_take(struct tls_client *t, int max)
{
    char piece[16384];
    int r = SSL_read(t->ssl, piece, max < (int)sizeof piece ? max : (int)sizeof piece);

    if (r <= 0) {
        t->bye |= SSL_get_error(t->ssl, r) == SSL_ERROR_ZERO_RETURN;
        return 0;
    }
    t->c.got = realloc(t->c.got, t->c.n + (size_t)r + 1);
    assert_non_null(t->c.got);
    memcpy(t->c.got + t->c.n, piece, (size_t)r);
    t->c.n += (size_t)r;
    t->c.got[t->c.n] = 0;
    return (size_t)r;
}

static bool tls_has(struct tls_client *t, const char *what)
{
    while (tls_take(t, 16384) > 0) {
    }
    return strstr(t->c.got, what) != NULL;
}

static void tls_hang_up(struct tls_client *t)
{
    SSL_free(t->ssl);
    SSL_CTX_free(t->ctx);
    hang_up(&t->c);
}

static void test_tls(void **state)
{
    struct tls_client t = tls_dial(0);

    (void)state;
    tls_say(&t, "GET /later HTTP/1.1\r\n" HOST "POST /body HTTP/1.1\r\nContent-Length: 3\r\n" HOST "abc");
    UNTIL(saw.later);
    assert_true(saw.tls);
    exchange_reply(saw.later, 200, NULL, "slow", 4);
    UNTIL(tls_has(&t, "\r\n\r\nabc"));
    assert_true(strstr(t.c.got, "\r\n\r\nslow") < strstr(t.c.got, "\r\n\r\nabc"));
    tls_say(&t, "nonsense\r\n\r\n");
    UNTIL(tls_has(&t, "HTTP/1.1 400") && t.bye); // our good-bye, then the FIN
    tls_hang_up(&t);
}

static void test_tls_stream(void **state)
{
    enum { SIZE = 2 * 1024 * 1024 };
    struct tls_client t = tls_dial(8192);
    char *all = malloc(SIZE), *from;
    size_t at = 0, shorts = 0;

    (void)state;
    assert_non_null(all);
    for (size_t i = 0; i < SIZE; i++)
        all[i] = (char)('a' + i / 11 % 26);
    tls_say(&t, "GET /stream HTTP/1.0\r\n\r\n");
    UNTIL(saw.streaming);
    while (at < SIZE) {
        struct iovec v[2] = { { all + at, (SIZE - at) / 3 }, { all + at + (SIZE - at) / 3, SIZE - at - (SIZE - at) / 3 } };
        unsigned before = saw.writable;
        size_t taken = exchange_writev(saw.streaming, v, 2);
        assert_true(taken <= SIZE - at);
        at += taken;
        if (at < SIZE) {
            shorts++;
            UNTIL((tls_take(&t, 4096), saw.writable > before));
        }
    }
    exchange_end(saw.streaming);
    UNTIL((tls_take(&t, 16384), t.bye));
    from = strstr(t.c.got, "\r\n\r\n");
    assert_non_null(from);
    assert_int_equal(t.c.n - (size_t)(from + 4 - t.c.got), SIZE);
    assert_memory_equal(from + 4, all, SIZE);
    assert_true(shorts > 3);
    free(all);
    tls_hang_up(&t);
}

static void test_tls_rubbish(void **state)
{
    struct client c = dial();

    (void)state;
    say(&c, "GET /sync HTTP/1.1\r\n" HOST);
    UNTIL(ended(&c));
    assert_false(has(&c, "HTTP"));
    assert_int_equal(saw.heads, 0);
    hang_up(&c);
}

static void drained_cb(void *u)
{
    *(bool *)u = true;
}

static void test_drain(void **state)
{
    struct client busy = dial(), idle = dial();
    bool drained = false;

    (void)state;
    say(&busy, "GET /later HTTP/1.1\r\n" HOST);
    say(&idle, "GET /sync HTTP/1.1\r\n" HOST);
    UNTIL(saw.later && has(&idle, "hello"));
    gw.draining = true;
    server_drain(server, drained_cb, &drained);
    turn();
    assert_false(ended(&idle));
    skew_ms += 1500;
    UNTIL(ended(&idle));
    assert_false(drained);
    exchange_reply(saw.later, 200, NULL, "slow", 4);
    UNTIL(ended(&busy));
    assert_true(has(&busy, "slow") && has(&busy, "Connection: close"));
    close(busy.fd);
    UNTIL(drained);
    free(busy.got);
    hang_up(&idle);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define S(f) cmocka_unit_test_setup_teardown(f, setup_tls, teardown_tls)
    const struct CMUnitTest tests[] = {
        T(test_keep_alive), T(test_head_method), T(test_pipelining), T(test_pipelining_is_bounded), T(test_http10), T(test_bodies),
        T(test_expect), T(test_too_big), T(test_bad_body), T(test_gone), T(test_half_closed), T(test_gone_in_body), T(test_stream),
        T(test_stream_http10), T(test_stream_head), T(test_stream_closed), T(test_stream_aborted), T(test_writev_short), T(test_stall),
        T(test_answer_stall), T(test_large_answer), T(test_silent), T(test_slow_head), T(test_kept), T(test_slow_body), T(test_linger),
        cmocka_unit_test_setup_teardown(test_max_connections, setup_small, teardown), T(test_hosts), T(test_forwarded), T(test_drain),
        S(test_tls), S(test_tls_stream), S(test_tls_rubbish),
    };

    if (crypto_init() != ERR_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
