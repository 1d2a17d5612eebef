// nng's home. Happy path of a request: a REP context receives on one of nng's threads, whose callback pushes it onto
// `arrived` and wakes the loop; the loop takes everything that arrived at once, gives each request to its holder, and
// bus_reply sends on the same context, which then receives again. Asking is the mirror of it: a REQ context of the pool
// sends, and receives only once that send has completed (nng #1702). A SUB has one receive, never cancelled (nng #1523).
//
// The canary does by hand what a peer does: it connects to our own address and sends its 8 octets of SP header. A listener
// killed by nng #1518 still answers them (its transport lives on), so that no dialing side can tell; what it does not do any
// more is to add a pipe to our socket, and that is the proof the canary waits for. A hand-made probe needs no nng socket to be
// opened and closed every second, and it is left open while unanswered: to drop it would be the very thing that kills a
// listener that is merely slow.
#include "bus.h"
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <nng/nng.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "clock.h"
#include "log.h"

enum {
    RECEIVING_MIN = 16,       // contexts kept receiving while requests are held
    PIPES_MAX = 8192,         // connections a listener takes
    REPLY_SEND_MS = 5000,     // a peer that does not take its reply for so long is dropped
    RECONNECT_MIN_MS = 50, RECONNECT_MAX_MS = 2000,
    QUEUE_FANOUT = 8192,      // messages: nng's maximum, for the event bus of one broker to many
    QUEUE_FANIN = 1024,       // what workers publish is small, repeated by their reports, and comes from many at once
    SUB_BATCH = 256,          // messages taken from a SUB in one turn of the loop
    CANARY_TICK_MS = 500,
    CANARY_TICKS = 3,         // unanswered for so many ticks (two probes) means dead
    REDIAL_TICKS = 8,         // a dialling socket without a connection for so long is dialled anew: twice RECONNECT_MAX_MS
    SP_HEADER = 8,
    SP_PUB = 0x20, SP_SUB = 0x21, SP_REQ = 0x30, // protocol numbers of the SP header
    URL_SIZE = 256,
};

// Something nng's threads have to tell the loop. Whoever pushes it does not touch it again until the loop has run it.
struct node {
    struct node *next;
    void (*run)(struct node *n);
};

struct bus {
    uv_loop_t *loop;
    uv_async_t wake;
    uv_timer_t canary;
    _Atomic(struct node *) arrived; // Treiber list, the newest first
    struct list listeners;
    struct list dialled;
    struct list failed;             // calls that could not even be sent
    struct list sick;               // struct rearm: receives that failed for want of memory; tried again at the next tick
    atomic_bool stopped;
};

struct rearm {
    struct list at;
    void (*arm)(struct rearm *r);
};

static void push(struct bus *b, struct node *n)
{
    struct node *head = atomic_load_explicit(&b->arrived, memory_order_relaxed);
    do
        n->next = head;
    while (!atomic_compare_exchange_weak_explicit(&b->arrived, &head, n, memory_order_release, memory_order_relaxed));
    if (!head) // else whoever pushed that one wakes the loop
        uv_async_send(&b->wake);
}

static enum err from_nng(int rv)
{
    switch (rv) {
    case 0: return ERR_OK;
    case NNG_ENOMEM: return ERR_NO_MEMORY;
    case NNG_ETIMEDOUT: return ERR_TIMEOUT;
    case NNG_ECLOSED: case NNG_ECONNRESET: case NNG_ECONNABORTED: case NNG_ECONNSHUT: case NNG_ECONNREFUSED: case NNG_ECANCELED:
        return ERR_CLOSED;
    case NNG_EADDRINUSE: case NNG_EPERM: return ERR_BAD_STATE;
    case NNG_EMSGSIZE: return ERR_TOO_BIG;
    case NNG_EINVAL: case NNG_EADDRINVAL: case NNG_ENOTSUP: return ERR_BAD_REQUEST;
    default: return ERR_IO;
    }
}

// ---------------------------------------------------------------- a cure for nng

// nng 1.5.2 takes long transfers in steps: a message's length, then its body, then whatever is left. A step that begins after
// the connection was closed is dropped without a word (nni_aio_begin refuses, and nobody calls back), so that the message it
// belongs to never ends; nng's one reaper thread then waits for it for ever, and no connection of the process is given up or
// dialled again. Killing a busy peer does that once in about a hundred times. nng's transports call these two by way of the
// linker, so that ours stand before nng's: a step that was refused (and only that leaves NNG_ECANCELED behind here) is ended.
typedef void stream_step(nng_stream *s, nng_aio *aio);
static stream_step *real_send, *real_recv;

static void look_for_real_steps(void)
{
    void *send_step = dlsym(RTLD_NEXT, "nng_stream_send"), *recv_step = dlsym(RTLD_NEXT, "nng_stream_recv");
    memcpy(&real_send, &send_step, sizeof real_send); // POSIX has it that they are of one size
    memcpy(&real_recv, &recv_step, sizeof real_recv);
}

static enum err find_real_steps(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT; // nng's threads of an earlier bus read what this writes
    pthread_once(&once, look_for_real_steps);
    return real_send && real_recv ? ERR_OK : ERR_INTERNAL;
}

void nng_stream_send(nng_stream *s, nng_aio *aio)
{
    real_send(s, aio);
    if (nng_aio_result(aio) == NNG_ECANCELED)
        nng_aio_finish(aio, NNG_ECANCELED);
}

void nng_stream_recv(nng_stream *s, nng_aio *aio)
{
    real_recv(s, aio);
    if (nng_aio_result(aio) == NNG_ECANCELED)
        nng_aio_finish(aio, NNG_ECANCELED);
}

// ---------------------------------------------------------------- listeners and their canary

struct listener {
    struct list at;
    struct bus *bus;
    nng_socket sock;
    nng_listener id;
    bool listening, ipc;
    uint16_t peer_protocol;
    char url[URL_SIZE];
    struct sockaddr_storage addr; // the same address for the probe
    socklen_t addr_len;
    int probe[2];                 // -1 or a connection whose answer is awaited
    unsigned ticks;               // without a new pipe since the first probe
    unsigned seen;                // pipes added when the canary last looked
    gid_t gid;                    // of the directory of an ipc path
    atomic_uint pipes, added;     // pipes now; all so far
    void (*removed)(struct listener *l, uint32_t pipe); // on nng's thread; may be NULL
};

// ipc:///path, tcp://127.0.0.1:PORT or tcp://[::1]:PORT: nothing else may be listened on, for there is no TLS here.
static bool parse_url(struct listener *l, const char *url)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&l->addr;
    struct sockaddr_in *in = (struct sockaddr_in *)&l->addr;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&l->addr;
    const char *port = NULL;

    if (strlen(url) >= sizeof l->url)
        return false;
    memcpy(l->url, url, strlen(url) + 1);
    if (strncmp(url, "ipc:///", 7) == 0 && strlen(url + 6) < sizeof un->sun_path) {
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path, url + 6, strlen(url + 6) + 1);
        l->addr_len = sizeof *un;
        return l->ipc = true;
    }
    if (strncmp(url, "tcp://127.0.0.1:", 16) == 0) {
        *in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        l->addr_len = sizeof *in;
        port = url + 16;
    } else if (strncmp(url, "tcp://[::1]:", 12) == 0) {
        *in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
        l->addr_len = sizeof *in6;
        port = url + 12;
    }
    char *end = NULL;
    unsigned long n = port && *port >= '1' && *port <= '9' ? strtoul(port, &end, 10) : 0;
    if (n < 1 || n > 65535 || *end)
        return false;
    if (l->addr_len == sizeof *in)
        in->sin_port = htons((uint16_t)n);
    else
        in6->sin6_port = htons((uint16_t)n);
    return true;
}

// Who may come in by an ipc path: root, our own user, and users whose group is that of the path's directory.
static bool may_enter(const struct listener *l, nng_pipe pipe)
{
    uint64_t uid, gid;

    if (!l->ipc)
        return true;
    if (nng_pipe_get_uint64(pipe, NNG_OPT_IPC_PEER_UID, &uid) || nng_pipe_get_uint64(pipe, NNG_OPT_IPC_PEER_GID, &gid))
        return false;
    return uid == 0 || uid == geteuid() || gid == l->gid;
}

// Under nng's lock: looks, counts and pushes, no more.
static void listener_pipe_cb(nng_pipe pipe, nng_pipe_ev ev, void *u)
{
    struct listener *l = u;

    if (ev == NNG_PIPE_EV_ADD_PRE) {
        atomic_fetch_add(&l->added, 1);
        if (atomic_fetch_add(&l->pipes, 1) >= PIPES_MAX || atomic_load(&l->bus->stopped) || !may_enter(l, pipe))
            (void)nng_pipe_close(pipe);
    } else if (ev == NNG_PIPE_EV_REM_POST) {
        atomic_fetch_sub(&l->pipes, 1);
        if (l->removed)
            l->removed(l, (uint32_t)nng_pipe_id(pipe));
    }
}

static enum err listen_again(struct listener *l)
{
    int rv = nng_listener_create(&l->id, l->sock, l->url);
    if (rv)
        return from_nng(rv);
    if (l->ipc)
        rv = nng_listener_set_int(l->id, NNG_OPT_IPC_PERMISSIONS, 0660);
    if (!rv)
        rv = nng_listener_start(l->id, 0);
    if (rv)
        (void)nng_listener_close(l->id);
    l->listening = !rv;
    return from_nng(rv);
}

// Connects and says who we are; -1 when even that is refused.
static int probe(const struct listener *l)
{
    const uint8_t header[SP_HEADER] = { 0, 'S', 'P', 0, (uint8_t)(l->peer_protocol >> 8), (uint8_t)l->peer_protocol, 0, 0 };
    int fd = socket(l->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    // Loopback and local sockets connect at once or not at all; a full queue (EAGAIN, EINPROGRESS) is no answer either.
    if (connect(fd, (const struct sockaddr *)&l->addr, l->addr_len) < 0 || send(fd, header, sizeof header, MSG_NOSIGNAL) != SP_HEADER) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static bool waits(int fd)
{
    uint8_t header[SP_HEADER];
    return recv(fd, header, sizeof header, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

// Closes the probes; where the listener lives, only those that have got its header and so are past their handshake.
static void drop_probes(struct listener *l, bool all)
{
    for (unsigned i = 0; i < 2; i++)
        if (l->probe[i] >= 0 && (all || !waits(l->probe[i]))) {
            (void)close(l->probe[i]);
            l->probe[i] = -1;
        }
    l->ticks = 0;
}

static void check_listener(struct listener *l)
{
    if (!l->listening) {
        enum err e = listen_again(l);
        if (e)
            log_error("cannot listen on %s: %s", l->url, err_name(e));
        return;
    }
    unsigned added = atomic_load(&l->added);
    if (added != l->seen) { // it lives, whoever it was that came; the next tick probes again
        l->seen = added;
        drop_probes(l, false);
    } else if (l->ticks == CANARY_TICKS) {
        log_warn("the listener on %s no longer accepts: listening anew", l->url);
        (void)nng_listener_close(l->id);
        l->listening = false;
        drop_probes(l, true);
        check_listener(l);
    } else if (l->ticks++ != 1) { // the second probe a second after the first, which stays open beside it
        int *free_one = l->probe[0] < 0 ? &l->probe[0] : l->probe[1] < 0 ? &l->probe[1] : NULL;
        if (free_one)
            *free_one = probe(l);
    }
}

// ---------------------------------------------------------------- dialling sides

// nng 1.5.2's dialer can forget to dial again: after about one in 500 kills of the peer the socket stays alone for ever, although
// its timer should try every RECONNECT_MAX_MS at the latest. So who stands alone for twice as long gets a new dialer.
struct dialled {
    struct list at;
    nng_socket sock;
    nng_dialer id;
    bool dialling;
    char url[URL_SIZE];
    unsigned ticks;            // alone, when last looked
    atomic_uint up, removed;   // the pipe that is up, or 0; the last one that went
    atomic_uint ups;           // how many came up so far
    void (*news)(struct dialled *d); // on nng's thread, after a change; may be NULL
};

// nng may tell of a pipe's end before it has told of its beginning, hence `removed`.
static void dialled_pipe_cb(nng_pipe pipe, nng_pipe_ev ev, void *u)
{
    struct dialled *d = u;
    unsigned id = (unsigned)nng_pipe_id(pipe), same = id;

    if (ev == NNG_PIPE_EV_ADD_POST) {
        atomic_store(&d->up, id);
        atomic_fetch_add(&d->ups, 1);
        if (atomic_load(&d->removed) == id)
            atomic_compare_exchange_strong(&d->up, &same, 0);
    } else {
        atomic_store(&d->removed, id);
        atomic_compare_exchange_strong(&d->up, &same, 0);
    }
    if (d->news)
        d->news(d);
}

static enum err dial_again(struct dialled *d)
{
    int rv = nng_dialer_create(&d->id, d->sock, d->url);
    if (rv)
        return from_nng(rv);
    rv = nng_dialer_set_ms(d->id, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS);
    if (!rv)
        rv = nng_dialer_set_ms(d->id, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS);
    if (!rv)
        rv = nng_dialer_start(d->id, NNG_FLAG_NONBLOCK);
    if (rv)
        (void)nng_dialer_close(d->id);
    d->dialling = !rv;
    return from_nng(rv);
}

static void check_dialled(struct dialled *d)
{
    if (atomic_load(&d->up)) {
        d->ticks = 0;
        return;
    }
    if (++d->ticks < REDIAL_TICKS)
        return;
    d->ticks = 0;
    if (d->dialling)
        (void)nng_dialer_close(d->id);
    enum err e = dial_again(d);
    if (e)
        log_error("cannot dial %s: %s", d->url, err_name(e));
}

// ---------------------------------------------------------------- what is looked at twice a second

static void canary_cb(uv_timer_t *t)
{
    struct bus *b = t->data;
    struct list again;

    list_each(at, tmp, &b->listeners)
        check_listener(container_of(at, struct listener, at));
    list_each(at, tmp, &b->dialled)
        check_dialled(container_of(at, struct dialled, at));
    list_init(&again);
    list_take(&again, &b->sick);
    for (struct list *at; (at = list_pop_front(&again));) {
        struct rearm *r = container_of(at, struct rearm, at);
        r->arm(r);
    }
}

static void canary_start(struct bus *b)
{
    if (!list_empty(&b->listeners) || !list_empty(&b->dialled))
        return;
    (void)uv_timer_start(&b->canary, canary_cb, CANARY_TICK_MS, CANARY_TICK_MS); // fails only without a callback
    uv_unref((uv_handle_t *)&b->canary);
}

// Makes the socket listen. l is embedded in its owner, zeroed.
static enum err listener_start(struct listener *l, struct bus *b, nng_socket sock, const char *url, uint16_t peer_protocol)
{
    struct stat st;
    char dir[URL_SIZE];

    l->bus = b;
    l->sock = sock;
    l->peer_protocol = peer_protocol;
    l->probe[0] = l->probe[1] = -1;
    list_init(&l->at);
    if (!parse_url(l, url))
        return ERR_BAD_REQUEST;
    if (l->ipc) {
        snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(url, '/') - (url + 6)), url + 6);
        if (stat(*dir ? dir : "/", &st) < 0)
            return ERR_NOT_FOUND;
        l->gid = st.st_gid;
    }
    int rv = nng_pipe_notify(sock, NNG_PIPE_EV_ADD_PRE, listener_pipe_cb, l);
    if (!rv)
        rv = nng_pipe_notify(sock, NNG_PIPE_EV_REM_POST, listener_pipe_cb, l);
    if (rv)
        return from_nng(rv);
    enum err e = listen_again(l);
    if (e)
        return e;
    canary_start(b);
    list_push_back(&b->listeners, &l->at);
    return ERR_OK;
}

// Makes the socket dial, for ever. d is embedded in its owner, zeroed but for news.
static enum err dial(struct dialled *d, struct bus *b, nng_socket sock, const char *url)
{
    list_init(&d->at);
    d->sock = sock;
    if (strlen(url) >= sizeof d->url)
        return ERR_BAD_REQUEST;
    memcpy(d->url, url, strlen(url) + 1);
    int rv = nng_pipe_notify(sock, NNG_PIPE_EV_ADD_POST, dialled_pipe_cb, d);
    if (!rv)
        rv = nng_pipe_notify(sock, NNG_PIPE_EV_REM_POST, dialled_pipe_cb, d);
    enum err e = rv ? from_nng(rv) : dial_again(d);
    if (e)
        return e;
    canary_start(b);
    list_push_back(&b->dialled, &d->at);
    return ERR_OK;
}

// ---------------------------------------------------------------- serving

struct bus_server {
    struct listener listener;
    struct bus_server_cbs cbs;
    unsigned receiving, count, max;
};

struct serve { // a REP context and the request it holds
    struct node node;
    struct rearm rearm;
    struct bus_request request;
    struct bus_server *server;
    nng_ctx ctx;
    nng_aio *aio;
    nng_msg *msg; // the request, while it is held
    bool sending;
};

struct gone {
    struct node node;
    struct bus_server *server;
    uint32_t pipe;
};

static void serve_arm(struct serve *s)
{
    if (atomic_load(&s->server->listener.bus->stopped))
        return;
    s->server->receiving++;
    nng_aio_set_timeout(s->aio, NNG_DURATION_INFINITE);
    nng_ctx_recv(s->ctx, s->aio);
}

static void serve_rearm(struct rearm *r)
{
    serve_arm(container_of(r, struct serve, rearm));
}

static void serve_aio_cb(void *u)
{
    struct serve *s = u;
    push(s->server->listener.bus, &s->node);
}

static void drop_pipe(uint32_t id)
{
    (void)nng_pipe_close((nng_pipe){ .id = id });
}

static void free_unsent(nng_aio *aio)
{
    nng_msg *m = nng_aio_get_msg(aio);
    nng_aio_set_msg(aio, NULL);
    if (m)
        nng_msg_free(m);
}

static enum err serve_new(struct bus_server *server);

static void serve_sent(struct serve *s)
{
    s->sending = false;
    if (nng_aio_result(s->aio)) { // it takes no replies: whatever else it has asked would wait for it too
        free_unsent(s->aio);
        drop_pipe(s->request.pipe);
    }
    serve_arm(s);
}

static void serve_run(struct node *n)
{
    struct serve *s = container_of(n, struct serve, node);
    struct bus_server *server = s->server;

    if (s->sending) {
        serve_sent(s);
        return;
    }
    server->receiving--;
    if (nng_aio_result(s->aio)) {
        list_push_back(&server->listener.bus->sick, &s->rearm.at);
        return;
    }
    if (server->receiving < RECEIVING_MIN && server->count < server->max)
        (void)serve_new(server); // without memory the others go on, and nng holds back the peers
    s->msg = nng_aio_get_msg(s->aio);
    nng_aio_set_msg(s->aio, NULL);
    s->request.pipe = (uint32_t)nng_pipe_id(nng_msg_get_pipe(s->msg));
    s->request.data = nng_msg_body(s->msg);
    s->request.len = nng_msg_len(s->msg);
    server->cbs.request(server->cbs.u, &s->request);
}

static enum err serve_new(struct bus_server *server)
{
    struct serve *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NO_MEMORY;
    s->server = server;
    s->node.run = serve_run;
    s->rearm.arm = serve_rearm;
    list_init(&s->rearm.at);
    list_init(&s->request.at);
    int rv = nng_aio_alloc(&s->aio, serve_aio_cb, s);
    if (!rv) {
        rv = nng_ctx_open(&s->ctx, server->listener.sock);
        if (rv)
            nng_aio_free(s->aio);
    }
    if (rv) {
        free(s);
        return from_nng(rv);
    }
    server->count++;
    serve_arm(s);
    return ERR_OK;
}

void bus_reply(struct bus_request *r, const void *data, size_t len)
{
    struct serve *s = container_of(r, struct serve, request);
    nng_msg *m = NULL;
    int rv = nng_msg_alloc(&m, len);

    if (!rv && len)
        memcpy(nng_msg_body(m), data, len);
    nng_msg_free(s->msg);
    s->msg = NULL;
    if (rv) { // the asker must not wait for ever: its connection breaks, and it asks again
        drop_pipe(r->pipe);
        serve_arm(s);
        return;
    }
    s->sending = true;
    nng_aio_set_msg(s->aio, m);
    nng_aio_set_timeout(s->aio, REPLY_SEND_MS);
    nng_ctx_send(s->ctx, s->aio);
}

static void gone_run(struct node *n)
{
    struct gone *g = container_of(n, struct gone, node);
    g->server->cbs.pipe_gone(g->server->cbs.u, g->pipe);
    free(g);
}

static void server_removed(struct listener *l, uint32_t pipe)
{
    struct bus_server *server = container_of(l, struct bus_server, listener);
    struct gone *g = server->cbs.pipe_gone ? calloc(1, sizeof *g) : NULL;
    if (!g) // a hint is lost, no more: what the holder knows of that pipe ends by its own deadline
        return;
    g->node.run = gone_run;
    g->server = server;
    g->pipe = pipe;
    push(l->bus, &g->node);
}

enum err bus_serve(struct bus *b, const char *url, size_t msg_max, unsigned max_held, const struct bus_server_cbs *cbs,
                   struct bus_server **ret)
{
    nng_socket sock;
    struct bus_server *server = calloc(1, sizeof *server);
    if (!server)
        return ERR_NO_MEMORY;
    server->cbs = *cbs;
    server->max = max_held > RECEIVING_MIN ? max_held : RECEIVING_MIN;
    server->listener.removed = server_removed;
    int rv = nng_rep0_open(&sock);
    if (rv) {
        free(server);
        return from_nng(rv);
    }
    server->listener.bus = b;
    server->listener.sock = sock;
    enum err e = from_nng(nng_socket_set_size(sock, NNG_OPT_RECVMAXSZ, msg_max));
    for (unsigned i = 0; !e && i < RECEIVING_MIN; i++)
        e = serve_new(server);
    if (!e)
        e = listener_start(&server->listener, b, sock, url, SP_REQ);
    if (!e)
        *ret = server;
    // On failure the socket and its contexts stay: contexts are receiving, and the program is about to end.
    return e;
}

// ---------------------------------------------------------------- asking

struct bus_client {
    struct dialled dialled;
    struct node node;          // the connection's news
    struct bus *bus;
    nng_socket sock;
    struct list idle;          // contexts to use again, the last used first
    void (*connected)(void *u, int up);
    void *u;
    atomic_bool told;          // node is pushed
    unsigned seen_ups;         // the loop's
    bool seen_up;
};

struct ask { // a REQ context
    struct node node;
    struct list at;
    struct bus_client *client;
    struct bus_call *call;
    nng_ctx ctx;
    nng_aio *aio;
    uint64_t deadline_ms;
    bool receiving;
};

static void ask_aio_cb(void *u)
{
    struct ask *a = u;

    if (!a->receiving && nng_aio_result(a->aio) == 0) { // sent: only now may the receive start
        uint64_t now = clock_mono_ms();
        a->receiving = true;
        nng_aio_set_timeout(a->aio, now < a->deadline_ms ? (nng_duration)(a->deadline_ms - now) : 1);
        nng_ctx_recv(a->ctx, a->aio);
        return;
    }
    push(a->client->bus, &a->node);
}

static void ask_run(struct node *n)
{
    struct ask *a = container_of(n, struct ask, node);
    struct bus_call *call = a->call;
    nng_msg *m = NULL;
    int rv = nng_aio_result(a->aio);

    a->call = NULL;
    if (rv == 0) {
        m = nng_aio_get_msg(a->aio);
        nng_aio_set_msg(a->aio, NULL);
    } else if (!a->receiving) {
        free_unsent(a->aio);
    }
    list_push_front(&a->client->idle, &a->at);
    call->cb(call, from_nng(rv), m ? nng_msg_body(m) : NULL, m ? nng_msg_len(m) : 0);
    if (m)
        nng_msg_free(m);
}

static struct ask *ask_new(struct bus_client *c)
{
    struct ask *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->node.run = ask_run;
    a->client = c;
    list_init(&a->at);
    if (nng_aio_alloc(&a->aio, ask_aio_cb, a)) {
        free(a);
        return NULL;
    }
    if (nng_ctx_open(&a->ctx, c->sock)) {
        nng_aio_free(a->aio);
        free(a);
        return NULL;
    }
    return a;
}

void bus_call(struct bus_client *c, struct bus_call *call, const void *data, size_t len, unsigned timeout_ms)
{
    struct list *at = list_pop_front(&c->idle);
    struct ask *a = at ? container_of(at, struct ask, at) : ask_new(c);
    nng_msg *m = NULL;

    list_init(&call->at);
    call->impl = c;
    if (!a || nng_msg_alloc(&m, len)) {
        if (a)
            list_push_front(&c->idle, &a->at);
        list_push_back(&c->bus->failed, &call->at);
        uv_async_send(&c->bus->wake);
        return;
    }
    if (len)
        memcpy(nng_msg_body(m), data, len);
    a->call = call;
    a->receiving = false;
    a->deadline_ms = clock_mono_ms() + timeout_ms;
    nng_aio_set_msg(a->aio, m);
    nng_aio_set_timeout(a->aio, timeout_ms < INT32_MAX ? (nng_duration)timeout_ms : INT32_MAX);
    nng_ctx_send(a->ctx, a->aio);
}

static void client_run(struct node *n)
{
    struct bus_client *c = container_of(n, struct bus_client, node);

    atomic_store(&c->told, false); // from here on news push the node again
    unsigned ups = atomic_load(&c->dialled.ups);
    bool up = atomic_load(&c->dialled.up) != 0;
    if (c->seen_up && (!up || ups != c->seen_ups)) {
        c->seen_up = false;
        c->connected(c->u, 0);
    }
    c->seen_ups = ups;
    if (up && !c->seen_up) {
        c->seen_up = true;
        c->connected(c->u, 1);
    }
}

static void client_news(struct dialled *d)
{
    struct bus_client *c = container_of(d, struct bus_client, dialled);

    if (!atomic_exchange(&c->told, true))
        push(c->bus, &c->node);
}

enum err bus_dial(struct bus *b, const char *url, void (*connected)(void *u, int up), void *u, struct bus_client **ret)
{
    struct bus_client *c = calloc(1, sizeof *c);
    if (!c)
        return ERR_NO_MEMORY;
    c->node.run = client_run;
    c->bus = b;
    c->connected = connected;
    c->u = u;
    list_init(&c->idle);
    int rv = nng_req0_open(&c->sock);
    if (rv) {
        free(c);
        return from_nng(rv);
    }
    rv = nng_socket_set_ms(c->sock, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE);
    if (!rv)
        rv = nng_socket_set_size(c->sock, NNG_OPT_RECVMAXSZ, BUS_MSG_MAX);
    c->dialled.news = client_news;
    enum err e = rv ? from_nng(rv) : dial(&c->dialled, b, c->sock, url);
    if (e) { // never dialled: nothing of nng's knows c
        (void)nng_close(c->sock);
        free(c);
        return e;
    }
    *ret = c;
    return ERR_OK;
}

// ---------------------------------------------------------------- publishing

struct bus_pub {
    struct listener listener; // one of the two
    struct dialled dialled;
    nng_socket sock;
    nng_aio *aio; // has no callback: PUB never waits, so that a send has ended when nng_send_aio returns
};

static enum err pub_new(struct bus_pub **ret, int queue)
{
    struct bus_pub *p = calloc(1, sizeof *p);
    if (!p)
        return ERR_NO_MEMORY;
    int rv = nng_pub0_open(&p->sock);
    if (rv) {
        free(p);
        return from_nng(rv);
    }
    rv = nng_socket_set_int(p->sock, NNG_OPT_SENDBUF, queue);
    if (!rv) // a PUB hears nothing, but its pipes read all the same
        rv = nng_socket_set_size(p->sock, NNG_OPT_RECVMAXSZ, 1);
    if (!rv)
        rv = nng_aio_alloc(&p->aio, NULL, NULL);
    if (rv) {
        (void)nng_close(p->sock);
        free(p);
        return from_nng(rv);
    }
    *ret = p;
    return ERR_OK;
}

enum err bus_pub_listen(struct bus *b, const char *url, struct bus_pub **ret)
{
    struct bus_pub *p;
    enum err e = pub_new(&p, QUEUE_FANOUT);
    if (!e)
        e = listener_start(&p->listener, b, p->sock, url, SP_SUB);
    if (!e)
        *ret = p;
    return e; // on failure the socket stays, as above
}

enum err bus_pub_dial(struct bus *b, const char *url, struct bus_pub **ret)
{
    struct bus_pub *p;
    enum err e = pub_new(&p, QUEUE_FANIN);
    if (e)
        return e;
    e = dial(&p->dialled, b, p->sock, url);
    if (e) { // never dialled: nothing of nng's is on its way in it
        nng_aio_free(p->aio);
        (void)nng_close(p->sock);
        free(p);
        return e;
    }
    *ret = p;
    return ERR_OK;
}

void bus_publish(struct bus_pub *p, char topic, const void *data, size_t len)
{
    nng_msg *m;

    if (nng_msg_alloc(&m, len + 1))
        return; // lossy by nature
    char *body = nng_msg_body(m);
    body[0] = topic;
    if (len)
        memcpy(body + 1, data, len);
    nng_aio_set_msg(p->aio, m);
    nng_send_aio(p->sock, p->aio);
    nng_aio_wait(p->aio);
    if (nng_aio_result(p->aio))
        free_unsent(p->aio);
}

// ---------------------------------------------------------------- subscribing

struct bus_sub {
    struct listener listener; // one of the two
    struct dialled dialled;
    struct node node;
    struct rearm rearm;
    struct bus *bus;
    nng_socket sock;
    nng_aio *aio;   // the one receive that waits
    nng_aio *ready; // takes what is already there: times out at once, never waits, so there is nothing to cancel
    bus_event_cb *cb;
    void *u;
};

static void sub_aio_cb(void *u)
{
    struct bus_sub *s = u;
    push(s->bus, &s->node);
}

static void sub_give(struct bus_sub *s, nng_aio *aio)
{
    nng_msg *m = nng_aio_get_msg(aio);

    nng_aio_set_msg(aio, NULL);
    const uint8_t *body = nng_msg_body(m);
    size_t len = nng_msg_len(m);
    if (len)
        s->cb(s->u, (char)body[0], body + 1, len - 1);
    nng_msg_free(m);
}

static void sub_arm(struct bus_sub *s)
{
    if (!atomic_load(&s->bus->stopped))
        nng_recv_aio(s->sock, s->aio);
}

static void sub_rearm(struct rearm *r)
{
    sub_arm(container_of(r, struct bus_sub, rearm));
}

static void sub_run(struct node *n)
{
    struct bus_sub *s = container_of(n, struct bus_sub, node);

    if (nng_aio_result(s->aio)) {
        list_push_back(&s->bus->sick, &s->rearm.at);
        return;
    }
    sub_give(s, s->aio);
    for (unsigned i = 0; i < SUB_BATCH && !atomic_load(&s->bus->stopped); i++) {
        nng_recv_aio(s->sock, s->ready);
        nng_aio_wait(s->ready);
        if (nng_aio_result(s->ready))
            break;
        sub_give(s, s->ready);
    }
    sub_arm(s);
}

static enum err sub_new(struct bus *b, const char *topics, size_t msg_max, int queue, bus_event_cb *cb, void *u, struct bus_sub **ret)
{
    struct bus_sub *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NO_MEMORY;
    s->node.run = sub_run;
    s->rearm.arm = sub_rearm;
    list_init(&s->rearm.at);
    s->bus = b;
    s->cb = cb;
    s->u = u;
    int rv = nng_sub0_open(&s->sock);
    if (rv) {
        free(s);
        return from_nng(rv);
    }
    rv = nng_socket_set_int(s->sock, NNG_OPT_RECVBUF, queue);
    if (!rv)
        rv = nng_socket_set_size(s->sock, NNG_OPT_RECVMAXSZ, msg_max);
    for (const char *t = topics; !rv && *t; t++)
        rv = nng_socket_set(s->sock, NNG_OPT_SUB_SUBSCRIBE, t, 1);
    if (!rv)
        rv = nng_aio_alloc(&s->ready, NULL, NULL);
    if (!rv)
        rv = nng_aio_alloc(&s->aio, sub_aio_cb, s);
    if (rv) {
        (void)nng_close(s->sock);
        free(s);
        return from_nng(rv);
    }
    nng_aio_set_timeout(s->aio, NNG_DURATION_INFINITE);
    nng_aio_set_timeout(s->ready, NNG_DURATION_ZERO);
    *ret = s;
    return ERR_OK;
}

enum err bus_sub_listen(struct bus *b, const char *url, const char *topics, size_t msg_max, bus_event_cb *cb, void *u,
                        struct bus_sub **ret)
{
    struct bus_sub *s;
    enum err e = sub_new(b, topics, msg_max, QUEUE_FANIN, cb, u, &s);
    if (!e)
        e = listener_start(&s->listener, b, s->sock, url, SP_PUB);
    if (e)
        return e;
    sub_arm(s);
    *ret = s;
    return ERR_OK;
}

enum err bus_sub_dial(struct bus *b, const char *url, const char *topics, bus_event_cb *cb, void *u, struct bus_sub **ret)
{
    struct bus_sub *s;
    enum err e = sub_new(b, topics, BUS_MSG_MAX, QUEUE_FANOUT, cb, u, &s);
    if (!e)
        e = dial(&s->dialled, b, s->sock, url);
    if (e)
        return e;
    sub_arm(s);
    *ret = s;
    return ERR_OK;
}

// ---------------------------------------------------------------- the loop's side

static void wake_cb(uv_async_t *h)
{
    struct bus *b = h->data;
    struct node *newest, *oldest = NULL;
    struct list failed;

    if (atomic_load(&b->stopped))
        return;
    newest = atomic_exchange_explicit(&b->arrived, NULL, memory_order_acquire);
    while (newest) { // in the order of arrival
        struct node *n = newest;
        newest = n->next;
        n->next = oldest;
        oldest = n;
    }
    while (oldest) {
        struct node *n = oldest;
        oldest = n->next;
        if (atomic_load(&b->stopped)) // one of them has stopped the bus: the rest is left as if it had come later
            push(b, n);
        else
            n->run(n);
    }
    list_init(&failed);
    list_take(&failed, &b->failed);
    for (struct list *at; !atomic_load(&b->stopped) && (at = list_pop_front(&failed));) {
        struct bus_call *call = container_of(at, struct bus_call, at);
        call->cb(call, ERR_NO_MEMORY, NULL, 0);
    }
}

enum err bus_new(uv_loop_t *loop, struct bus **ret)
{
    if (find_real_steps())
        return ERR_INTERNAL;
    struct bus *b = calloc(1, sizeof *b);
    if (!b)
        return ERR_NO_MEMORY;
    b->loop = loop;
    list_init(&b->listeners);
    list_init(&b->dialled);
    list_init(&b->failed);
    list_init(&b->sick);
    if (uv_async_init(loop, &b->wake, wake_cb) < 0) {
        free(b);
        return ERR_IO;
    }
    b->wake.data = b;
    (void)uv_timer_init(loop, &b->canary); // cannot fail
    b->canary.data = b;
    *ret = b;
    return ERR_OK;
}

void bus_stop(struct bus *b)
{
    atomic_store(&b->stopped, true);
    (void)uv_timer_stop(&b->canary);
    list_each(at, tmp, &b->listeners)
        drop_probes(container_of(at, struct listener, at), true);
    uv_unref((uv_handle_t *)&b->wake); // not closed: nng's threads may still ring it until the process ends
}
