// links: common protobuf-c sodium uv curl pthread
// Where requests go, with a resolver of our own: each address a name has is judged, whoever asked for it before; and a name that
// nobody answers for keeps neither the loop nor who breaks off.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "fetch.h"
#include "netrule.h"

// ---------------------------------------------------------------- the resolver: instead of the C library's

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool let_go;        // of those who ask for hangs.test
static unsigned asking;    // for it
static const char *answer; // for every other name: addresses, a blank between them

static struct addrinfo *address(const char *text, const char *service, struct addrinfo *next)
{
    struct {
        struct addrinfo a;
        struct sockaddr_in6 in6;
    } *one = calloc(1, sizeof *one);
    assert_non_null(one);
    struct sockaddr_in in = { .sin_family = AF_INET };
    uint16_t port = htons((uint16_t)strtoul(service, NULL, 10));
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
        in.sin_port = port;
        memcpy(&one->in6, &in, sizeof in);
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &one->in6.sin6_addr), 1);
        one->in6.sin6_family = AF_INET6;
        one->in6.sin6_port = port;
    }
    bool v4 = one->in6.sin6_family == AF_INET;
    one->a = (struct addrinfo){ .ai_family = v4 ? AF_INET : AF_INET6, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP,
                                .ai_next = next, .ai_addrlen = v4 ? sizeof in : sizeof one->in6,
                                .ai_addr = (struct sockaddr *)(void *)&one->in6 };
    return &one->a;
}

int getaddrinfo(const char *restrict name, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict ret)
{
    char text[256], *at[8], *save = NULL;
    int n = 0;
    (void)hints;
    pthread_mutex_lock(&lock);
    if (strcmp(name, "hangs.test") == 0) {
        asking++;
        pthread_cond_broadcast(&changed);
        while (!let_go)
            pthread_cond_wait(&changed, &lock);
        asking--;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
        return EAI_NONAME;
    }
    snprintf(text, sizeof text, "%s", answer);
    pthread_mutex_unlock(&lock);
    for (char *p = strtok_r(text, " ", &save); p && n < 8; p = strtok_r(NULL, " ", &save))
        at[n++] = p;
    *ret = NULL;
    while (n > 0)
        *ret = address(at[--n], service, *ret);
    return 0;
}

void freeaddrinfo(struct addrinfo *a)
{
    while (a) {
        struct addrinfo *next = a->ai_next;
        free(a);
        a = next;
    }
}

// ---------------------------------------------------------------- a server that counts

static int listener = -1;
static unsigned port, connections;

static void *serve(void *u)
{
    (void)u;
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0; close(fd)) {
        static const char reply[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        char in[4096];
        pthread_mutex_lock(&lock);
        connections++;
        pthread_mutex_unlock(&lock);
        if (recv(fd, in, sizeof in, 0) > 0 && send(fd, reply, sizeof reply - 1, MSG_NOSIGNAL) > 0)
            (void)!shutdown(fd, SHUT_WR);
    }
    return NULL;
}

static unsigned count(void)
{
    pthread_mutex_lock(&lock);
    unsigned n = connections;
    pthread_mutex_unlock(&lock);
    return n;
}

static uv_timer_t alive; // a request alone does not keep the loop going

static void alive_cb(uv_timer_t *t)
{
    (void)t;
}

static int setup(void **state)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY) };
    socklen_t n = sizeof in;
    pthread_t t;
    (void)state;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)(void *)&in, sizeof in) || listen(listener, 64) ||
        getsockname(listener, (struct sockaddr *)(void *)&in, &n) || pthread_create(&t, NULL, serve, NULL) || pthread_detach(t))
        return -1;
    port = ntohs(in.sin_port);
    if (uv_timer_init(uv_default_loop(), &alive) || uv_timer_start(&alive, alive_cb, 60000, 60000))
        return -1;
    return fetch_init(uv_default_loop()) == ERR_OK ? 0 : -1;
}

// ---------------------------------------------------------------- one request

static struct fetch_result result;
static bool is_done;

static bool data_cb(void *u, unsigned status, const uint8_t *p, size_t n)
{
    (void)u;
    (void)status;
    (void)p;
    (void)n;
    return true;
}

static void done_cb(void *u, const struct fetch_result *r)
{
    (void)u;
    result = *r;
    is_done = true;
    uv_stop(uv_default_loop());
}

static struct fetch *start(const char *host, const struct net_allow *allow, uint64_t total_ms)
{
    char url[128];
    struct fetch *f = NULL;
    snprintf(url, sizeof url, "http://%s:%u/", host, port);
    is_done = false;
    struct fetch_req r = { .url = url, .body = "{}", .body_n = 2, .accept = "*/*", .allow = allow, .connect_ms = 10000, .total_ms = total_ms,
                           .data = data_cb, .done = done_cb };
    assert_int_equal(fetch_start(&r, &f), ERR_OK);
    return f;
}

static void get(const char *host, const struct net_allow *allow)
{
    (void)start(host, allow, 10000);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    assert_true(is_done);
}

static void parse(struct net_allow *allow, const char *text)
{
    const char *bad;
    size_t n;
    assert_true(net_allow_parse(text, allow, &bad, &n));
}

static void refused(const char *addresses, const struct net_allow *allow)
{
    static unsigned names;
    char host[32];
    unsigned before = count();
    answer = addresses;
    snprintf(host, sizeof host, "n%u.test", names++); // answers are remembered for a minute
    get(host, allow);
    assert_int_equal(result.err, ERR_IO);
    assert_int_equal(result.status, 0);
    assert_string_equal(result.text, "this address is not allowed");
    assert_int_equal(count(), before);
}

static void each_address_is_judged(void **state)
{
    static struct net_allow none, named, elsewhere;
    char text[64];
    (void)state;
    snprintf(text, sizeof text, "127.0.0.0/8:%u", port);
    parse(&named, text);
    snprintf(text, sizeof text, "127.0.0.0/8:%u", port == 1 ? 2 : 1);
    parse(&elsewhere, text);
    static const char *const never[] = { "169.254.169.254", "0.0.0.0", "224.0.0.1", "::ffff:127.0.0.1", "::", "::127.0.0.1", "fe80::1" };
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
        refused(never[i], &none);
        refused(never[i], &named);
        refused(never[i], NULL);
    }
    static const char *const special[] = { "127.0.0.1", "::1", "10.0.0.1", "127.0.0.1 127.0.0.2", "::1 127.0.0.1" };
    for (size_t i = 0; i < sizeof special / sizeof *special; i++) {
        refused(special[i], &none);
        refused(special[i], &elsewhere);
    }
}

static void who_is_named_gets_through_and_nobody_after_it(void **state)
{
    static struct net_allow none, named;
    char text[64];
    (void)state;
    snprintf(text, sizeof text, "127.0.0.0/8:%u", port);
    parse(&named, text);
    answer = "169.254.169.254 127.0.0.1"; // the second of a name's addresses
    get("mixed.test", &named);
    assert_int_equal(result.status, 200);
    get("mixed.test", NULL); // chat endpoints may be on this machine
    assert_int_equal(result.status, 200);
    unsigned before = count();
    get("mixed.test", &none); // the name is known and a connection has been made: judged all the same
    assert_string_equal(result.text, "this address is not allowed");
    assert_int_equal(count(), before);
}

// Were breaking off to wait for the thread that asks, this test would never end: it is let go only afterwards.
static void a_name_that_hangs(void **state)
{
    static struct net_allow none;
    (void)state;
    struct fetch *f = start("hangs.test", &none, 60000);
    for (bool on = false; !on;) {
        uv_run(uv_default_loop(), UV_RUN_NOWAIT);
        pthread_mutex_lock(&lock);
        on = asking > 0;
        pthread_mutex_unlock(&lock);
    }
    fetch_cancel(f);
    assert_false(is_done);
    (void)start("hangs.test", &none, 50); // its time is over while it hangs
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    assert_true(is_done && result.status == 0 && result.err != ERR_OK);
    pthread_mutex_lock(&lock);
    let_go = true;
    pthread_cond_broadcast(&changed);
    while (asking)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void header_lines(void **state)
{
    static struct net_allow none;
    static const char *const bad[] = { "X-A: b\r\nX-C: d", NULL };
    struct fetch *f = NULL;
    (void)state;
    assert_int_not_equal(fetch_start(&(struct fetch_req){ .url = "http://x.test/", .body = "", .accept = "*/*", .headers = bad,
                                                          .allow = &none, .total_ms = 1, .data = data_cb, .done = done_cb }, &f), ERR_OK);
    assert_null(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_address_is_judged), cmocka_unit_test(who_is_named_gets_through_and_nobody_after_it),
        cmocka_unit_test(a_name_that_hangs), cmocka_unit_test(header_lines),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
