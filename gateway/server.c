// Happy path: server_listen() -> connected_cb() -> conn_accept(). At the limit of connections nothing is accepted: libuv stops
// watching the listener until server_left() accepts the one that waits.
#include "server.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "clock.h"
#include "conf.h"
#include "conn.h"
#include "crypto.h"
#include "log.h"

enum { BACKLOG = 4096, TURN_MAX = 1024, // connections made to go on in one turn of the loop
       DRAIN_IDLE_MS = 1000,
       UNSENT_MS = 60000 };             // a peer that acknowledges nothing for so long is gone

// ---- time
uint64_t server_now(const struct server *s)
{
    return uv_now(s->conf.gw->loop);
}

const char *server_date(struct server *s)
{
    uint64_t now = clock_wall_ms() / 1000;

    if (now != s->date_s) {
        s->date_s = now;
        http_out_date(s->date, now);
    }
    return s->date;
}

static void tick_cb(uv_timer_t *t)
{
    struct server *s = t->data;

    wheel_turn(&s->wheel, server_now(s));
    if (s->wheel.armed == 0) {
        uv_timer_stop(t);
        s->ticking = false;
    }
}

void server_arm(struct server *s, struct wheel_timer *t, uint64_t in_ms)
{
    wheel_set(&s->wheel, t, server_now(s), in_ms);
    if (!s->ticking)
        s->ticking = uv_timer_start(&s->tick, tick_cb, WHEEL_TICK_MS, WHEEL_TICK_MS) == 0;
}

void server_disarm(struct server *s, struct wheel_timer *t)
{
    wheel_clear(&s->wheel, t);
}

uint64_t server_request_no(struct server *s)
{
    return ++s->id_next;
}

// The number, mixed (splitmix64) with a key of this process: no two alike, and nobody can count our requests by it.
void server_request_id(const struct server *s, uint64_t request_no, char out[REQUEST_ID_SIZE])
{
    static const char hex[] = "0123456789abcdef";
    uint64_t n = request_no, z = n * 0x9e3779b97f4a7c15u + s->id_key;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    n = s->id_key ^ (z << 1 | z >> 63);
    for (unsigned i = 0; i < 16; i++) {
        out[i] = hex[n >> (60 - 4 * i) & 15];
        out[16 + i] = hex[z >> (60 - 4 * i) & 15];
    }
    out[32] = 0;
}

// ---- connections that must go on
static void idle_cb(uv_idle_t *h)
{
    struct server *s = h->data;
    struct list *n;

    for (unsigned i = 0; i < TURN_MAX && (n = list_pop_front(&s->ready)); i++)
        conn_ready(container_of(n, struct conn, ready));
    if (list_empty(&s->ready))
        uv_idle_stop(h);
}

void server_wake(struct server *s)
{
    uv_idle_start(&s->idle, idle_cb); // harmless when it runs; only a missing callback fails it
}

// ---- accepting
static void accept_one(struct server *s, unsigned i)
{
    if (s->n_conns >= s->conf.max_connections || s->draining) {
        s->waiting[i] = true;
        return;
    }
    enum err e = conn_accept(s, (uv_stream_t *)&s->listeners[i]);
    s->waiting[i] = e != ERR_OK; // tried again when another has left
    if (e)
        log_warn("a connection could not be accepted: %s", err_name(e));
}

static void connected_cb(uv_stream_t *h, int status)
{
    struct server *s = h->data;

    if (status < 0) {
        log_warn("accept: %s", uv_strerror(status));
        return;
    }
    accept_one(s, (unsigned)((uv_tcp_t *)h - s->listeners));
}

void server_left(struct server *s)
{
    s->n_conns--;
    for (unsigned i = 0; i < s->n_listeners; i++)
        if (s->waiting[i])
            accept_one(s, i);
}

static void set(int fd, int level, int option, int value)
{
    if (setsockopt(fd, level, option, &value, sizeof value) != 0)
        log_warn("setsockopt %d %d: %s", level, option, strerror(errno));
}

static void describe(const struct sockaddr_storage *a, char ret_at[64], unsigned *ret_port)
{
    char text[48] = "";

    if (a->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)a;
        uv_ip6_name(in6, text, sizeof text);
        *ret_port = ntohs(in6->sin6_port);
        snprintf(ret_at, 64, "[%s]:%u", text, *ret_port);
    } else {
        const struct sockaddr_in *in = (const void *)a;
        uv_ip4_name(in, text, sizeof text);
        *ret_port = ntohs(in->sin_port);
        snprintf(ret_at, 64, "%s:%u", text, *ret_port);
    }
}

enum err server_listen_fd(struct server *s, int fd, char ret_at[64], unsigned *ret_port)
{
    struct sockaddr_storage a = { 0 };
    socklen_t n = sizeof a;
    uv_tcp_t *h = &s->listeners[s->n_listeners];

    if (s->n_listeners == SERVER_LISTENERS_MAX || getsockname(fd, (struct sockaddr *)&a, &n) != 0 ||
        (a.ss_family != AF_INET && a.ss_family != AF_INET6)) {
        close(fd);
        return ERR_BAD_REQUEST;
    }
    // Connections inherit these from their listener.
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, UNSENT_MS);
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 15);
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
    if (uv_tcp_init(s->conf.gw->loop, h) != 0) {
        close(fd);
        return ERR_IO;
    }
    h->data = s;
    s->n_listeners++; // from here on it is closed with the others
    if (uv_tcp_open(h, fd) != 0) {
        close(fd);
        return ERR_IO;
    }
    if (uv_listen((uv_stream_t *)h, BACKLOG, connected_cb) != 0)
        return ERR_IO;
    describe(&a, ret_at, ret_port);
    return ERR_OK;
}

// "host:port" or "[v6]:port".
static bool split(const char *address, char host[64], char port[8])
{
    const char *colon = strrchr(address, ':');
    size_t n = colon ? (size_t)(colon - address) : 0;
    uint64_t number;

    if (!n || n >= 64 || !conf_number(colon + 1, 0, 65535, &number))
        return false;
    if (address[0] == '[') {
        if (address[n - 1] != ']' || n < 3)
            return false;
        address++;
        n -= 2;
    } else if (memchr(address, ':', n)) {
        return false;
    }
    memcpy(host, address, n);
    host[n] = 0;
    snprintf(port, 8, "%u", (unsigned)number);
    return true;
}

enum err server_listen(struct server *s, const char *address, char ret_at[64], unsigned *ret_port, char why[160])
{
    struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM }, *found = NULL;
    char host[64], port[8];
    enum err e = ERR_IO;

    if (!split(address, host, port)) {
        snprintf(why, 160, "'%.64s' is no address:port", address);
        return ERR_BAD_REQUEST;
    }
    if (strcmp(host, "localhost") == 0)
        hints.ai_family = AF_INET;
    else
        hints.ai_flags |= AI_NUMERICHOST;
    if (getaddrinfo(host, port, &hints, &found) != 0 || !found) {
        snprintf(why, 160, "'%.64s' is no address of this machine", host);
        return ERR_BAD_REQUEST;
    }
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 || bind(fd, found->ai_addr, found->ai_addrlen) != 0) {
        snprintf(why, 160, "%.64s: %s", address, strerror(errno));
        if (fd >= 0)
            close(fd);
    } else if ((e = server_listen_fd(s, fd, ret_at, ret_port))) {
        snprintf(why, 160, "%.64s: cannot listen", address);
    }
    freeaddrinfo(found);
    return e;
}

// ---- life
enum err server_new(const struct server_conf *conf, struct server **ret)
{
    struct server *s = calloc(1, sizeof *s);

    if (!s)
        return ERR_NO_MEMORY;
    s->conf = *conf;
    list_init(&s->conns);
    list_init(&s->ready);
    list_init(&s->spare);
    buf_init(&s->head, 64 * 1024);
    buf_init(&s->body, 64 * 1024);
    wheel_init(&s->wheel, uv_now(conf->gw->loop));
    crypto_random(&s->id_key, sizeof s->id_key);
    s->read = malloc(SERVER_READ_MAX);
    s->plain = malloc(SERVER_READ_MAX);
    if (!s->read || !s->plain || uv_timer_init(conf->gw->loop, &s->tick) != 0 ||
        uv_timer_init(conf->gw->loop, &s->drain) != 0 || uv_idle_init(conf->gw->loop, &s->idle) != 0) {
        free(s->read);
        free(s->plain);
        free(s);
        return ERR_NO_MEMORY;
    }
    s->tick.data = s->idle.data = s->drain.data = s;
    *ret = s;
    return ERR_OK;
}


void server_free(struct server *s)
{
    struct list *n;

    if (!s)
        return;
    while ((n = list_pop_front(&s->spare)))
        conn_free_spare(n);
    buf_fini(&s->head);
    buf_fini(&s->body);
    free(s->read);
    free(s->plain);
    free(s);
}

static void drain_cb(uv_timer_t *t)
{
    struct server *s = t->data;

    if (server_now(s) - s->drain_since_ms >= DRAIN_IDLE_MS)
        list_each (n, tmp, &s->conns)
            conn_close_idle(container_of(n, struct conn, at));
    if (s->n_conns == 0) {
        uv_timer_stop(t);
        s->drained(s->drained_u);
    }
}

void server_drain(struct server *s, void (*drained)(void *u), void *u)
{
    if (s->draining)
        return;
    s->draining = true;
    s->drain_since_ms = server_now(s);
    s->drained = drained;
    s->drained_u = u;
    for (unsigned i = 0; i < s->n_listeners; i++)
        uv_close((uv_handle_t *)&s->listeners[i], NULL);
    s->n_listeners = 0;
    if (uv_timer_start(&s->drain, drain_cb, 0, 50) != 0)
        drained(u);
}
