// links: common nng uv protobuf-c
// The bus over real nng and a real loop, on ipc addresses in a directory of its own.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <nng/nng.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>
#include "bus.h"
#include "clock.h"
#include "log.h"

enum { PATIENCE_MS = 60000 }; // far above what a slow machine needs; reaching it fails the test

static uv_loop_t loop; // never closed: nng's threads may ring it until the process ends
static struct bus *bus;
static char dir[64], url[128];
static unsigned url_number;

static bool patience_over;
static void patience_cb(uv_timer_t *t)
{
    (void)t;
    patience_over = true;
}

// Runs the loop until *done or failure.
#define RUN_UNTIL(condition)                                                              \
    do {                                                                                  \
        uv_timer_t patience;                                                              \
        patience_over = false;                                                            \
        uv_timer_init(&loop, &patience);                                                  \
        uv_timer_start(&patience, patience_cb, PATIENCE_MS, 0);                           \
        while (!(condition) && !patience_over)                                            \
            uv_run(&loop, UV_RUN_ONCE);                                                   \
        uv_close((uv_handle_t *)&patience, NULL);                                         \
        uv_run(&loop, UV_RUN_NOWAIT);                                                     \
        assert_true(condition);                                                           \
    } while (0)

static const char *fresh_url(void)
{
    snprintf(url, sizeof url, "ipc://%s/s%u", dir, url_number++);
    return url;
}

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/test_bus.XXXXXX");
    if (!mkdtemp(dir) || uv_loop_init(&loop) < 0)
        return -1;
    log_init("test_bus", LOG_ERROR);
    return bus_new(&loop, &bus) == ERR_OK ? 0 : -1;
}

static int teardown(void **state)
{
    char path[160];
    (void)state;
    for (unsigned i = 0; i < url_number; i++) {
        snprintf(path, sizeof path, "%s/s%u", dir, i);
        (void)unlink(path);
    }
    return rmdir(dir);
}

// ---- a server that answers what it was asked, at once or when told to

struct echo {
    struct bus_server *server;
    bool hold;
    struct list held;
    unsigned requests, nheld, gone;
};

static void request_cb(void *u, struct bus_request *r)
{
    struct echo *e = u;
    e->requests++;
    if (e->hold) {
        list_push_back(&e->held, &r->at);
        e->nheld++;
    } else {
        bus_reply(r, r->data, r->len);
    }
}

static void gone_cb(void *u, uint32_t pipe)
{
    struct echo *e = u;
    assert_true(pipe != 0);
    e->gone++;
}

static void serve(struct echo *e, const char *at, unsigned max_held)
{
    struct bus_server_cbs cbs = { .request = request_cb, .pipe_gone = gone_cb, .u = e };
    memset(e, 0, sizeof *e);
    list_init(&e->held);
    assert_int_equal(bus_serve(bus, at, 1024 * 1024, max_held, &cbs, &e->server), ERR_OK);
}

static void release(struct echo *e)
{
    for (struct list *at; (at = list_pop_front(&e->held));) {
        struct bus_request *r = container_of(at, struct bus_request, at);
        bus_reply(r, r->data, r->len);
    }
    e->nheld = 0;
}

// ---- a client

struct client {
    struct bus_client *client;
    int up;
    unsigned ups, downs;
};

static void connected_cb(void *u, int up)
{
    struct client *c = u;
    assert_int_not_equal(c->up, up);
    c->up = up;
    if (up)
        c->ups++;
    else
        c->downs++;
}

static void dial(struct client *c, const char *at)
{
    memset(c, 0, sizeof *c);
    assert_int_equal(bus_dial(bus, at, connected_cb, c, &c->client), ERR_OK);
}

struct asked {
    struct bus_call call;
    unsigned *done;
    enum err e;
    size_t len;
    uint8_t head[16];
    bool in_call, ended;
};

static void answered_cb(struct bus_call *call, enum err e, const uint8_t *data, size_t len)
{
    struct asked *a = container_of(call, struct asked, call);
    assert_false(a->in_call); // never before bus_call has returned
    assert_false(a->ended);   // never twice
    a->ended = true;
    a->e = e;
    a->len = len;
    if (data && len)
        memcpy(a->head, data, len < sizeof a->head ? len : sizeof a->head);
    (*a->done)++;
}

static void ask(struct client *c, struct asked *a, unsigned *done, const void *data, size_t len, unsigned timeout_ms)
{
    memset(a, 0, sizeof *a);
    a->call.cb = answered_cb;
    a->done = done;
    a->in_call = true;
    bus_call(c->client, &a->call, data, len, timeout_ms);
    a->in_call = false;
}

// ---- tests. What an endpoint was given is static: endpoints live to the end of the process.

static void request_and_reply(void **state)
{
    static struct echo e;
    static struct client c;
    struct asked a;
    unsigned done = 0;
    static uint8_t big[512 * 1024];
    (void)state;

    serve(&e, fresh_url(), 64);
    dial(&c, url);
    assert_int_equal(c.up, 0); // not before bus_dial has returned
    RUN_UNTIL(c.up);
    ask(&c, &a, &done, "hello", 5, 5000);
    RUN_UNTIL(done == 1);
    assert_int_equal(a.e, ERR_OK);
    assert_int_equal(a.len, 5);
    assert_memory_equal(a.head, "hello", 5);
    ask(&c, &a, &done, NULL, 0, 5000);
    RUN_UNTIL(done == 2);
    assert_int_equal(a.e, ERR_OK);
    assert_int_equal(a.len, 0);
    memset(big, 'x', sizeof big);
    ask(&c, &a, &done, big, sizeof big, 5000);
    RUN_UNTIL(done == 3);
    assert_int_equal(a.e, ERR_OK);
    assert_int_equal(a.len, sizeof big);
}

static void a_thousand_outstanding(void **state)
{
    static struct echo e;
    static struct client c;
    static struct asked a[1000];
    unsigned done = 0;
    (void)state;

    serve(&e, fresh_url(), 64);
    dial(&c, url);
    RUN_UNTIL(c.up);
    for (uint32_t round = 0; round < 3; round++) {
        done = 0;
        for (uint32_t i = 0; i < 1000; i++)
            ask(&c, &a[i], &done, &i, sizeof i, PATIENCE_MS);
        RUN_UNTIL(done == 1000);
        for (uint32_t i = 0; i < 1000; i++) {
            assert_int_equal(a[i].e, ERR_OK);
            assert_int_equal(a[i].len, sizeof i);
            assert_memory_equal(a[i].head, &i, sizeof i);
        }
    }
    assert_int_equal(e.requests, 3000);
}

// Held requests take contexts; new ones are opened for those who come after, up to the limit, and not beyond.
static void held_replies(void **state)
{
    static struct echo e;
    static struct client c;
    static struct asked a[200], late[8];
    unsigned done = 0, late_done = 0;
    (void)state;

    serve(&e, fresh_url(), 200);
    e.hold = true;
    dial(&c, url);
    RUN_UNTIL(c.up);
    for (uint32_t i = 0; i < 200; i++)
        ask(&c, &a[i], &done, &i, sizeof i, PATIENCE_MS);
    RUN_UNTIL(e.nheld == 200);
    assert_int_equal(done, 0);
    for (uint32_t i = 0; i < 8; i++)
        ask(&c, &late[i], &late_done, &i, sizeof i, PATIENCE_MS);
    for (uint64_t until = clock_mono_ms() + 100; clock_mono_ms() < until;)
        uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(e.nheld, 200); // all contexts are taken: nng holds the rest back
    e.hold = false;
    release(&e);
    RUN_UNTIL(done == 200 && late_done == 8);
    for (uint32_t i = 0; i < 200; i++) {
        assert_int_equal(a[i].e, ERR_OK);
        assert_memory_equal(a[i].head, &i, sizeof i);
    }
}

static void time_out(void **state)
{
    static struct echo e;
    static struct client c;
    struct asked a;
    unsigned done = 0;
    (void)state;

    serve(&e, fresh_url(), 64);
    e.hold = true;
    dial(&c, url);
    RUN_UNTIL(c.up);
    ask(&c, &a, &done, "x", 1, 100);
    RUN_UNTIL(done == 1);
    assert_int_equal(a.e, ERR_TIMEOUT);
    e.hold = false;
    release(&e); // the late reply reaches nobody
    ask(&c, &a, &done, "y", 1, 5000);
    RUN_UNTIL(done == 2);
    assert_int_equal(a.e, ERR_OK);
    assert_memory_equal(a.head, "y", 1);
}

static void nobody_there(void **state)
{
    static struct client c;
    struct asked a;
    unsigned done = 0;
    static struct echo e;
    (void)state;

    dial(&c, fresh_url());
    ask(&c, &a, &done, "x", 1, 100);
    RUN_UNTIL(done == 1);
    assert_int_equal(a.e, ERR_TIMEOUT);
    assert_int_equal(c.up, 0);
    serve(&e, url, 64); // and then somebody is
    RUN_UNTIL(c.up);
    ask(&c, &a, &done, "x", 1, 5000);
    RUN_UNTIL(done == 2);
    assert_int_equal(a.e, ERR_OK);
}

// A message above the server's limit breaks the connection; the asker is told, and connects again.
static void too_big_a_request(void **state)
{
    static struct echo e;
    static struct client c;
    struct asked a;
    unsigned done = 0;
    static uint8_t big[1024 * 1024 + 1];
    (void)state;

    serve(&e, fresh_url(), 64);
    dial(&c, url);
    RUN_UNTIL(c.up);
    ask(&c, &a, &done, big, sizeof big, PATIENCE_MS);
    RUN_UNTIL(done == 1 && c.ups == 2);
    assert_int_equal(a.e, ERR_CLOSED);
    assert_int_equal(c.downs, 1);
    RUN_UNTIL(e.gone >= 1);
    assert_int_equal(e.requests, 0);
    ask(&c, &a, &done, "small", 5, 5000);
    RUN_UNTIL(done == 2);
    assert_int_equal(a.e, ERR_OK);
}

// Connections that break while much is under way: each is given up and dialled again. (Without our own nng_stream_send and
// nng_stream_recv, nng's reaper hangs within some hundred of these, and nothing connects any more.)
static void breaks_under_load(void **state)
{
    static struct echo e;
    static struct client c;
    static struct asked small[20], big;
    static uint8_t monster[1024 * 1024 + 1];
    unsigned done = 0;
    (void)state;

    serve(&e, fresh_url(), 64);
    dial(&c, url);
    for (unsigned round = 0; round < 300; round++) {
        RUN_UNTIL(c.up && c.ups == round + 1);
        done = 0;
        for (unsigned i = 0; i < 20; i++)
            ask(&c, &small[i], &done, "x", 1, PATIENCE_MS);
        ask(&c, &big, &done, monster, sizeof monster, PATIENCE_MS);
        RUN_UNTIL(done == 21 && c.downs == round + 1);
        assert_int_equal(big.e, ERR_CLOSED);
        for (unsigned i = 0; i < 20; i++)
            assert_true(small[i].e == ERR_OK || small[i].e == ERR_CLOSED);
    }
    RUN_UNTIL(e.gone >= 300);
}

struct heard {
    unsigned n;
    uint32_t last;
    bool in_order, gaps; // rising; some are missing, as a full queue may have it
    char topic;
};

static void heard_cb(void *u, char topic, const uint8_t *data, size_t len)
{
    struct heard *h = u;
    uint32_t i;
    assert_int_equal(len, sizeof i);
    memcpy(&i, data, sizeof i);
    if (h->n && i <= h->last)
        h->in_order = false;
    if (h->n && i > h->last + 1)
        h->gaps = true;
    h->topic = topic;
    h->last = i;
    h->n++;
}

static void publish_and_subscribe(void **state)
{
    struct bus_pub *p;
    struct bus_sub *s, *other;
    static struct heard h = { .in_order = true }, nothing = { .in_order = true };
    uint32_t i = 0;
    (void)state;

    assert_int_equal(bus_pub_listen(bus, fresh_url(), &p), ERR_OK);
    assert_int_equal(bus_sub_dial(bus, url, "EL", heard_cb, &h, &s), ERR_OK);
    assert_int_equal(bus_sub_dial(bus, url, "Q", heard_cb, &nothing, &other), ERR_OK);
    uint64_t until = clock_mono_ms() + PATIENCE_MS;
    while (h.n == 0 && clock_mono_ms() < until) { // until the subscription has reached it
        bus_publish(p, 'E', &i, sizeof i);
        i++;
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    RUN_UNTIL(h.n && h.last == i - 1);
    h = (struct heard){ .in_order = true };
    for (uint32_t n = 0; n < 8000; n++, i++)
        bus_publish(p, 'L', &i, sizeof i);
    RUN_UNTIL(h.n && h.last == i - 1);
    assert_int_equal(h.n, 8000); // as many as the queues hold: none is lost
    assert_true(h.in_order && !h.gaps);
    assert_int_equal(h.topic, 'L');
    assert_int_equal(nothing.n, 0);
}

static void publishers_dial(void **state)
{
    struct bus_pub *p;
    struct bus_sub *s;
    static struct heard h = { .in_order = true };
    uint32_t i = 0;
    (void)state;

    assert_int_equal(bus_sub_listen(bus, fresh_url(), "L", 64 * 1024, heard_cb, &h, &s), ERR_OK);
    assert_int_equal(bus_pub_dial(bus, url, &p), ERR_OK);
    uint64_t until = clock_mono_ms() + PATIENCE_MS;
    while (h.n == 0 && clock_mono_ms() < until) {
        bus_publish(p, 'L', &i, sizeof i);
        i++;
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    assert_true(h.n > 0);
    assert_true(h.in_order);
}

static void bad_addresses(void **state)
{
    static const char *const bad[] = { "ipc://", "ipc://relative", "tcp://0.0.0.0:9999", "tcp://127.0.0.1:0", "tcp://127.0.0.1:70000",
                                       "tcp://127.0.0.1:99x", "tcp://[::]:99", "inproc://x", "", "ws://127.0.0.1:99/" };
    struct bus_server_cbs cbs = { .request = request_cb };
    struct bus_server *s;
    char missing[160];
    (void)state;

    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(bus_serve(bus, bad[i], 1024, 16, &cbs, &s), ERR_BAD_REQUEST);
    snprintf(missing, sizeof missing, "ipc://%s/no/such/directory", dir);
    assert_int_equal(bus_serve(bus, missing, 1024, 16, &cbs, &s), ERR_NOT_FOUND);
}

static void mode_of_the_socket(void **state)
{
    static struct echo e;
    struct stat st;
    (void)state;
    serve(&e, fresh_url(), 16);
    assert_int_equal(stat(url + 6, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
}

static void over_tcp(void **state)
{
    static struct echo e;
    static struct client c;
    struct asked a;
    unsigned done = 0;
    static struct bus_server_cbs cbs = { .request = request_cb, .u = &e };
    char at[64];
    (void)state;

    memset(&e, 0, sizeof e);
    enum err err = ERR_BAD_STATE;
    for (unsigned port = 20000 + (unsigned)getpid() % 20000, i = 0; err == ERR_BAD_STATE && i < 100; i++, port++) {
        snprintf(at, sizeof at, "tcp://127.0.0.1:%u", port);
        err = bus_serve(bus, at, 1024, 16, &cbs, &e.server);
    }
    assert_int_equal(err, ERR_OK);
    dial(&c, at);
    RUN_UNTIL(c.up);
    ask(&c, &a, &done, "x", 1, 5000);
    RUN_UNTIL(done == 1);
    assert_int_equal(a.e, ERR_OK);
}

// ---- the canary

static int connect_raw(const char *path)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    if (connect(fd, (struct sockaddr *)&un, sizeof un) < 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

// Does the listener still make pipes of those who come? (The greeting alone is answered by a dead one too.) An announced
// message beyond any limit is then answered by hanging up. The loop does not run meanwhile, nor does the canary.
static bool accepts(const char *path, uint8_t protocol)
{
    const uint8_t header[8] = { 0, 'S', 'P', 0, 0, protocol, 0, 0 }, huge[9] = { 1, 0x10 };
    uint8_t answer[8];
    struct timeval second = { .tv_sec = 1 };
    int fd = connect_raw(path);
    if (fd < 0)
        return false;
    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second), 0);
    assert_int_equal(send(fd, header, sizeof header, MSG_NOSIGNAL), sizeof header);
    assert_int_equal(recv(fd, answer, sizeof answer, MSG_WAITALL), sizeof answer);
    assert_int_equal(send(fd, huge, sizeof huge, MSG_NOSIGNAL), sizeof huge);
    ssize_t n = recv(fd, answer, sizeof answer, 0);
    bool hung_up = n == 0 || (n < 0 && errno != EAGAIN);
    (void)close(fd);
    return hung_up;
}

// Connects and leaves at once until nng's accept loop has taken that for its own end (nng #1518).
static bool kill_listener(const char *path, uint8_t protocol)
{
    assert_true(accepts(path, protocol));
    for (unsigned i = 0; i < 200; i++) {
        int fd = connect_raw(path);
        if (fd >= 0)
            (void)close(fd);
        if (!accepts(path, protocol))
            return true;
    }
    return false;
}

static void canary_heals_requests(void **state)
{
    static struct echo e;
    static struct client c;
    struct asked a;
    unsigned done = 0;
    (void)state;

    serve(&e, fresh_url(), 64);
    assert_true(kill_listener(url + 6, 0x30));
    uint64_t from = clock_mono_ms();
    dial(&c, url);
    for (unsigned tries = 1;; tries++) { // a dead listener still greets: what is asked before the cure is lost with it
        RUN_UNTIL(c.up);
        ask(&c, &a, &done, "alive", 5, 5000);
        RUN_UNTIL(done == tries);
        if (a.e == ERR_OK)
            break;
        assert_int_equal(a.e, ERR_CLOSED);
        assert_true(clock_mono_ms() < from + PATIENCE_MS);
    }
    print_message("healed and served after %llu ms\n", (unsigned long long)(clock_mono_ms() - from));
}

static void canary_heals_the_bus(void **state)
{
    struct bus_pub *p, *from_worker;
    struct bus_sub *s, *broker;
    static struct heard h = { .in_order = true }, live = { .in_order = true };
    char bus_url[128], live_url[128];
    uint32_t i = 0;
    (void)state;

    assert_int_equal(bus_pub_listen(bus, fresh_url(), &p), ERR_OK);
    memcpy(bus_url, url, sizeof url);
    assert_int_equal(bus_sub_listen(bus, fresh_url(), "L", 1024, heard_cb, &live, &broker), ERR_OK);
    memcpy(live_url, url, sizeof url);
    assert_true(kill_listener(bus_url + 6, 0x21));
    assert_true(kill_listener(live_url + 6, 0x20));
    assert_int_equal(bus_sub_dial(bus, bus_url, "E", heard_cb, &h, &s), ERR_OK);
    assert_int_equal(bus_pub_dial(bus, live_url, &from_worker), ERR_OK);
    uint64_t until = clock_mono_ms() + PATIENCE_MS;
    while ((h.n == 0 || live.n == 0) && clock_mono_ms() < until) {
        bus_publish(p, 'E', &i, sizeof i);
        bus_publish(from_worker, 'L', &i, sizeof i);
        i++;
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    assert_true(h.n > 0);
    assert_true(live.n > 0);
}

// Somebody else's process finds the door closed, even where the file's mode would let it in.
static void strangers_are_refused(void **state)
{
    static struct echo e;
    const uint8_t header[8] = { 0, 'S', 'P', 0, 0, 0x30, 0, 0 };
    uint8_t answer[8];
    int status;
    (void)state;

    if (geteuid() != 0) // only root can become somebody else
        skip();
    serve(&e, fresh_url(), 16);
    assert_int_equal(chmod(dir, 0711), 0);
    assert_int_equal(chmod(url + 6, 0666), 0);
    assert_true(accepts(url + 6, 0x30)); // root
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (setgroups(0, NULL) || setgid(65534) || setuid(65534))
            _exit(9);
        struct sockaddr_un un = { .sun_family = AF_UNIX };
        struct timeval patience = { .tv_sec = 20 };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        memcpy(un.sun_path, url + 6, strnlen(url + 6, sizeof un.sun_path - 1));
        if (fd < 0 || connect(fd, (struct sockaddr *)&un, sizeof un) < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience))
            _exit(8);
        if (send(fd, header, sizeof header, MSG_NOSIGNAL) != 8 || recv(fd, answer, sizeof answer, MSG_WAITALL) != 8)
            _exit(7);
        ssize_t n = recv(fd, answer, sizeof answer, 0); // it hangs up by itself
        _exit(n == 0 || (n < 0 && errno != EAGAIN) ? 0 : 6);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(chmod(dir, 0700), 0);
}

// A healthy listener is left alone: its connections stay.
// A dialer that will never dial again (nng 1.5.2 can lose its timer when the peer is killed) is played by taking it away.
static void a_lost_dialer_is_replaced(void **state)
{
    static struct echo e;
    static struct client c;
    struct asked a;
    unsigned done = 0;
    (void)state;

    serve(&e, fresh_url(), 64);
    dial(&c, url);
    RUN_UNTIL(c.up);
    for (uint32_t id = 1; id < 4096; id++) // nng numbers them from 1; of those that are not there it says so
        (void)nng_dialer_close((nng_dialer){ .id = id });
    RUN_UNTIL(!c.up);
    RUN_UNTIL(c.up);
    ask(&c, &a, &done, "again", 5, 5000);
    RUN_UNTIL(done == 1);
    assert_int_equal(a.e, ERR_OK);
}

static void canary_leaves_the_healthy_alone(void **state)
{
    static struct echo e;
    static struct client c;
    uint64_t until = clock_mono_ms() + 4000;
    (void)state;

    serve(&e, fresh_url(), 64);
    dial(&c, url);
    RUN_UNTIL(c.up);
    RUN_UNTIL(e.gone >= 2 || clock_mono_ms() > until); // the canary itself comes and goes
    assert_true(e.gone >= 2);
    assert_int_equal(c.downs, 0);
    assert_int_equal(c.ups, 1);
}

static void stop(void **state)
{
    (void)state;
    bus_stop(bus);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0); // nothing of the bus holds it any more
}

// nng 1.5.2 never frees a listener that died and was closed (about 10 KB for each cure), nor some of the messages that were
// on their way when a connection broke (nng #1713).
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:nng_listener_create\nleak:nng_listener_start\nleak:bus_reply\nleak:bus_call\nleak:bus_publish\n";
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_and_reply),
        cmocka_unit_test(a_thousand_outstanding),
        cmocka_unit_test(held_replies),
        cmocka_unit_test(time_out),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(too_big_a_request),
        cmocka_unit_test(breaks_under_load),
        cmocka_unit_test(publish_and_subscribe),
        cmocka_unit_test(publishers_dial),
        cmocka_unit_test(bad_addresses),
        cmocka_unit_test(mode_of_the_socket),
        cmocka_unit_test(over_tcp),
        cmocka_unit_test(strangers_are_refused),
        cmocka_unit_test(canary_heals_requests),
        cmocka_unit_test(canary_heals_the_bus),
        cmocka_unit_test(a_lost_dialer_is_replaced),
        cmocka_unit_test(canary_leaves_the_healthy_alone),
        cmocka_unit_test(stop),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
