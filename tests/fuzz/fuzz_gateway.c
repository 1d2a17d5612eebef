// links: gateway common protobuf-c sodium jansson uv systemd ssl crypto -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free,--wrap=strdup,--wrap=protobuf_c_message_unpack,--wrap=protobuf_c_message_free_unpacked -Wl,--wrap=crypto_random,--wrap=crypto_password_verify,--wrap=crypto_password_hash -Wl,--wrap=shutdown,--wrap=setsockopt,--wrap=setpriority
// fuzz: -max_len=4096 -entropic=0 -dict=tests/fuzz/http.dict
// A gateway between its clients and its broker, all of it but the sockets: connections, routes, credentials, requests to the broker,
// streams. Frames (mutate_pb.h): octets of one of two clients, in pieces; a reply, or one answer for every item asked; what the bus
// brings; time; a client that closes, resets, or does not take what it is sent; the broker's connection. The greeting, credentials and the
// log are answered as a broker would, unless a frame comes first. What a client gets is HTTP, and its JSON is JSON.
#include "heap.h"
#include "fake_loop.h"
#include "fake_bus.h"
#include "quiet.h"
#include "mutate_pb.h"
#include <jansson.h>
#include <llhttp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include "../../gateway/request.c"
#include "../../gateway/hot.c"
#define done uses_done
#define tick_cb uses_tick_cb
#include "../../gateway/uses.c"
#undef done
#undef tick_cb
#include "../../gateway/api_output.c"
#include "cache.h"
#include "conn.h"
#include "figures.h"
#include "password.h"
#include "peer.h"
#include "quota.h"
#include "server.h"
#include "throttle.h"
#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CLIENTS = 2, ROWS = 64, WORKS = 64, FD0 = 1000000 };
enum { KIND_HTTP, KIND_REPLY, KIND_EVENTS, KIND_LIVE, KIND_ROW, KIND_TIME, KIND_HAPPENS, KIND_ANSWER, KINDS };
static const ProtobufCMessageDescriptor *const kinds[KINDS] = {
    [KIND_REPLY] = &wire__reply__descriptor, [KIND_EVENTS] = &wire__bus_events__descriptor, [KIND_LIVE] = &wire__live__descriptor,
    [KIND_ROW] = &wire__row__descriptor,     [KIND_ANSWER] = &wire__answer__descriptor,
};

struct client {
    uv_tcp_t *tcp;             // NULL: not connected
    uv_read_cb read;
    uv_alloc_cb alloc;
    bool reading, fin, head;   // fin: the gateway has said that it ends; head: HEAD was asked, so that lengths mean nothing
    bool eof, reset;           // the client's end
    uint8_t in[16384];
    size_t in_n, room;         // room: octets the socket still takes
    unsigned piece;
    uv_write_t *write;         // the one under way
    uv_buf_t rest;
    llhttp_t http;
    uint8_t *body;
    size_t body_n;
    bool json;
    char field[32];
    size_t field_n;
};

static struct {
    struct gateway gw;
    struct trust trust;
    struct peer_key key;
    uint64_t chance;
    struct arena arena;
    struct client client[CLIENTS];
    struct client *coming;
    ProtobufCBinaryData rows[ROWS]; // the log: bus.newest of them
    struct { uv_work_t *w; uv_work_cb work; uv_after_work_cb after; } work[WORKS];
    unsigned works;
} on;

// ---------------------------------------------------------------- in place of others

void __wrap_crypto_random(void *out, size_t n);
void __wrap_crypto_random(void *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        on.chance = on.chance * 6364136223846793005u + 1442695040888963407u;
        ((uint8_t *)out)[i] = (uint8_t)(on.chance >> 33);
    }
}
bool __wrap_crypto_password_verify(const char *stored, const char *password);
bool __wrap_crypto_password_verify(const char *stored, const char *password) { return *stored && strlen(password) % 2 == 0; }
enum err __wrap_crypto_password_hash(const char *password, char *out);
enum err __wrap_crypto_password_hash(const char *password, char *out)
{
    (void)password;
    strcpy(out, "$argon2id$v=19$m=65536,t=2,p=1$c2FsdHNhbHQ$aGFzaA");
    return ERR_OK;
}
int __wrap_setpriority(int which, unsigned who, int prio);
int __wrap_setpriority(int which, unsigned who, int prio) { (void)which, (void)who, (void)prio; return 0; }
int uv_queue_work(uv_loop_t *l, uv_work_t *w, uv_work_cb work, uv_after_work_cb after)
{
    (void)l;
    if (on.works == WORKS)
        abort();
    on.work[on.works].w = w;
    on.work[on.works].work = work;
    on.work[on.works++].after = after;
    return 0;
}
const char *uv_strerror(int e) { (void)e; return "an error"; }

// ---------------------------------------------------------------- what a client sees

static int http_field(llhttp_t *p, const char *at, size_t n)
{
    struct client *c = p->data;
    for (size_t i = 0; i < n && c->field_n < sizeof c->field - 1; i++)
        c->field[c->field_n++] = at[i];
    c->field[c->field_n] = 0;
    return 0;
}
static int http_value(llhttp_t *p, const char *at, size_t n)
{
    struct client *c = p->data;
    for (size_t i = 0; i < n; i++)
        if ((uint8_t)at[i] < ' ' && at[i] != '\t')
            abort();
    if (strcasecmp(c->field, "content-type") == 0 && memmem(at, n, "application/json", 16))
        c->json = true;
    return 0;
}
static int http_value_end(llhttp_t *p) { ((struct client *)p->data)->field_n = 0; return 0; }
static int http_begin(llhttp_t *p)
{
    struct client *c = p->data;
    c->json = false;
    c->body_n = c->field_n = 0;
    return 0;
}
static int http_body(llhttp_t *p, const char *at, size_t n)
{
    struct client *c = p->data;
    uint8_t *more = realloc(c->body, c->body_n + n + 1);
    if (!more)
        abort();
    memcpy(more + c->body_n, at, n);
    c->body = more;
    c->body_n += n;
    return 0;
}
static int http_end(llhttp_t *p)
{
    struct client *c = p->data;
    if (!c->json || c->head)
        return 0;
    // numbers above 2^63 are a broker's fault, and still JSON
    json_error_t why;
    json_t *o = json_loadb(c->body ? (const char *)c->body : "", c->body_n, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, &why);
    if (!o) {
        fprintf(stderr, "an answer is no JSON: %s at %d: %.*s\n", why.text, why.position, (int)c->body_n, (const char *)c->body);
        abort();
    }
    json_decref(o);
    return 0;
}
static const llhttp_settings_t http_settings = {
    .on_message_begin = http_begin, .on_header_field = http_field, .on_header_value = http_value,
    .on_header_value_complete = http_value_end, .on_body = http_body, .on_message_complete = http_end,
};

static void (*sent)(unsigned client, const void *p, size_t n); // what another target does with it

static void gets(struct client *c, const void *p, size_t n)
{
    if (sent)
        sent((unsigned)(c - on.client), p, n);
    if (c->head || !n)
        return;
    if (llhttp_execute(&c->http, p, n) != HPE_OK)
        abort();
}

// ---------------------------------------------------------------- sockets

static struct client *client_of(const void *h)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        if (on.client[i].tcp == h)
            return &on.client[i];
    return NULL;
}
int uv_tcp_init(uv_loop_t *l, uv_tcp_t *t) { t->loop = l; return loop_add(t); }
int uv_tcp_open(uv_tcp_t *t, uv_os_sock_t fd) { (void)t, (void)fd; return UV_EINVAL; }
int uv_listen(uv_stream_t *s, int backlog, uv_connection_cb cb) { (void)s, (void)backlog, (void)cb; return UV_EINVAL; }
int uv_accept(uv_stream_t *listener, uv_stream_t *s)
{
    (void)listener;
    struct client *c = on.coming;
    memset(c, 0, sizeof *c);
    c->tcp = (uv_tcp_t *)s;
    c->room = SIZE_MAX / 2;
    llhttp_init(&c->http, HTTP_RESPONSE, &http_settings);
    c->http.data = c;
    return 0;
}
int uv_tcp_getpeername(const uv_tcp_t *t, struct sockaddr *to, int *n)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + (client_of(t) == &on.client[1])) };
    memcpy(to, &a, sizeof a);
    *n = sizeof a;
    return 0;
}
int uv_read_start(uv_stream_t *s, uv_alloc_cb alloc, uv_read_cb cb)
{
    struct client *c = client_of(s);
    c->alloc = alloc;
    c->read = cb;
    c->reading = true;
    return 0;
}
int uv_read_stop(uv_stream_t *s)
{
    struct client *c = client_of(s);
    if (c)
        c->reading = false;
    return 0;
}
size_t uv_stream_get_write_queue_size(const uv_stream_t *s)
{
    const struct client *c = client_of(s);
    return c && c->write ? c->rest.len : 0;
}
int uv_try_write(uv_stream_t *s, const uv_buf_t *v, unsigned n)
{
    struct client *c = client_of(s);
    size_t took = 0;
    if (!c || c->reset)
        return UV_EPIPE;
    for (unsigned i = 0; i < n && c->room; i++) {
        size_t k = v[i].len < c->room ? v[i].len : c->room;
        gets(c, v[i].base, k);
        c->room -= k;
        took += k;
    }
    return took ? (int)took : UV_EAGAIN;
}
int uv_write(uv_write_t *w, uv_stream_t *s, const uv_buf_t *v, unsigned n, uv_write_cb cb)
{
    struct client *c = client_of(s);
    if (!c || c->write || n != 1)
        abort(); // one at a time: out.c's promise
    w->handle = s;
    w->cb = cb;
    c->write = w;
    c->rest = v[0];
    return 0;
}
int uv_fileno(const uv_handle_t *h, uv_os_fd_t *fd)
{
    const struct client *c = client_of(h);
    if (!c)
        return UV_EBADF;
    *fd = FD0 + (int)(c - on.client);
    return 0;
}
int __wrap_shutdown(int fd, int how);
int __wrap_shutdown(int fd, int how)
{
    (void)how;
    on.client[fd - FD0].fin = true;
    return 0;
}
int __wrap_setsockopt(int fd, int level, int name, const void *v, socklen_t n);
int __wrap_setsockopt(int fd, int level, int name, const void *v, socklen_t n) { (void)fd, (void)level, (void)name, (void)v, (void)n; return 0; }

// As libuv does before it calls back.
static void socket_closed(uv_handle_t *h)
{
    struct client *c = client_of(h);
    if (!c)
        return;
    uv_write_t *w = c->write;
    if (!c->head && !c->reset && c->http.finish == HTTP_FINISH_SAFE_WITH_CB)
        (void)llhttp_finish(&c->http);
    free(c->body);
    memset(c, 0, sizeof *c);
    if (w)
        w->cb(w, UV_ECANCELED);
}

static bool socket_step(struct client *c)
{
    if (!c->tcp)
        return false;
    if (loop_find(c->tcp)->closing)
        return false;
    if (c->write && (c->reset || c->room)) {
        size_t k = c->rest.len < c->room ? c->rest.len : c->room;
        uv_write_t *w = c->write;
        if (!c->reset) {
            gets(c, c->rest.base, k);
            c->rest.base += k;
            c->rest.len -= k;
            c->room -= k;
        }
        if (c->reset || !c->rest.len) {
            c->write = NULL;
            w->cb(w, c->reset ? UV_ECONNRESET : 0);
        }
        return true;
    }
    if (c->reading && (c->in_n || c->eof || c->reset)) {
        uv_buf_t b = { NULL, 0 };
        size_t n = c->piece && c->piece < c->in_n ? c->piece : c->in_n;
        c->alloc((uv_handle_t *)c->tcp, 65536, &b);
        if (c->reset || !c->in_n) {
            c->read((uv_stream_t *)c->tcp, c->reset ? UV_ECONNRESET : UV_EOF, &b);
            return true;
        }
        n = n < b.len ? n : b.len;
        memcpy(b.base, c->in, n);
        memmove(c->in, c->in + n, c->in_n - n);
        c->in_n -= n;
        c->read((uv_stream_t *)c->tcp, (ssize_t)n, &b);
        return true;
    }
    return false;
}

static void connect_client(unsigned i)
{
    if (on.client[i].tcp)
        return;
    on.coming = &on.client[i];
    if (conn_accept(on.gw.server, NULL))
        abort();
}

// ---------------------------------------------------------------- the broker

static void log_page(const Wire__LogRead *q, Wire__LogPage *p, ProtobufCBinaryData *rows)
{
    p->oldest = 1;
    p->newest = bus.newest;
    p->rows = rows;
    for (uint64_t n = q->first ? q->first : 1; n <= q->last && n <= bus.newest && p->n_rows < ROWS; n++)
        rows[p->n_rows++] = on.rows[n - 1];
    p->next = (q->last < bus.newest ? q->last : bus.newest) + 1;
    p->resync = q->check && q->after > bus.newest;
}

// What any broker would answer; the rest is the input's to say, or comes to its time-out.
static bool answer_plain(unsigned i)
{
    static char name[] = "admin";
    static ProtobufCBinaryData rows[ROWS];
    const Wire__Item *item = bus.call[i].m->items[0];
    Wire__Answer a = WIRE__ANSWER__INIT;
    Wire__Credential c = WIRE__CREDENTIAL__INIT;
    Wire__LogPage p = WIRE__LOG_PAGE__INIT;
    if (bus_greet(i))
        return true;
    switch (item->body_case) {
    case WIRE__ITEM__BODY_CREDENTIAL_LOOKUP:
        c.key = c.workspace = c.user = 1;
        c.role = 3;
        c.user_name = name;
        a.body_case = WIRE__ANSWER__BODY_CREDENTIAL;
        a.credential = &c;
        break;
    case WIRE__ITEM__BODY_KEYS_USED: break;
    case WIRE__ITEM__BODY_LOG_READ:
        log_page(item->log_read, &p, rows);
        a.body_case = WIRE__ANSWER__BODY_LOG_PAGE;
        a.log_page = &p;
        break;
    default: return false;
    }
    bus_answer(i, &a);
    return true;
}

static bool bus_step(void)
{
    if (bus_time())
        return true;
    for (unsigned i = 0; bus.up && i < bus.calls; i++)
        if (answer_plain(i))
            return true;
    return false;
}

static void settle(void)
{
    for (unsigned i = 0;; i++) {
        bool any = loop_once();
        for (unsigned k = 0; k < CLIENTS; k++)
            any |= socket_step(&on.client[k]);
        while (on.works) {
            on.works--;
            on.work[on.works].work(on.work[on.works].w);
            on.work[on.works].after(on.work[on.works].w, 0);
            any = true;
        }
        any |= bus_step();
        if (!any)
            return;
        if (i > 60000)
            abort(); // it turns for ever
    }
}

// ---------------------------------------------------------------- the gateway, as main.c puts it together

static void up_cb(void *u, const Wire__Welcome *w) { (void)u, (void)w, hub_up(on.gw.hub); }
static void down_cb(void *u) { (void)u, hub_down(on.gw.hub); }
static void heard_cb(void *u, char topic, const uint8_t *data, size_t n) { (void)u, hub_heard(on.gw.hub, topic, data, n); }

static void start(void)
{
    static uv_loop_t *l;
    struct gateway *gw = &on.gw;
    struct peer_key key = on.key;
    memset(&on, 0, sizeof on);
    memset(&bus, 0, sizeof bus);
    on.key = key;
    on.chance = 1;
    arena_init(&on.arena, 64 << 20);
    memset(&uses, 0, sizeof uses);
    memset(&scratch, 0, sizeof scratch);
    memset(table, 0, sizeof table);
    list_init(&pool);
    pooled = 0;
    memset(&out, 0, sizeof out);
    memset(&writer, 0, sizeof writer);
    gw->loop = (uv_loop_t *)&l;
    require((gw->quota = quota_new(100000)) && (gw->cache = cache_new(CACHE_BYTES)) && (gw->throttle = throttle_new()));
    require(!routes_figures(&gw->figures) && !ask_new(gw, &gw->ask) && !cred_new(gw, &gw->cred) && !hub_new(gw, &gw->hub));
    require(!passwords_new(gw, &gw->passwords) && !uses_start(gw));
    require(!peer_new(&(struct peer_conf){ .loop = gw->loop, .key = &on.key, .topics = "EL", .up = up_cb, .down = down_cb, .heard = heard_cb,
                                        .urls = "ipc:///b" }, &gw->peer));
    require(!trust_add_hosts(&on.trust, "localhost,a") && !trust_add_proxies(&on.trust, "127.0.0.1"));
    require(!server_new(&(struct server_conf){ .gw = gw, .handlers = routes_handlers(), .trust = &on.trust, .max_connections = 8, .access_log = true },
                     &gw->server));
    loop.closing = socket_closed;
    bus_connect(true);
    settle();
    connect_client(0);
    connect_client(1);
    settle();
}

// ---------------------------------------------------------------- frames

static void hear(char topic, const uint8_t *p, size_t n)
{
    uint8_t *exact = malloc(n ? n : 1);
    require(exact);
    if (n)
        memcpy(exact, p, n);
    if (bus.heard)
        bus.heard(bus.heard_u, topic, exact, n);
    free(exact);
}

// A row of the log: the next one, told by the bus as a broker tells it.
static void row(const uint8_t *p, size_t n)
{
    static uint8_t packed[1 << 17];
    arena_reset(&on.arena);
    Wire__Row *r = wire__row__unpack(arena_allocator(&on.arena), n, p);
    Wire__BusEvents m = WIRE__BUS_EVENTS__INIT;
    if (!r || bus.newest == ROWS || n > 60000)
        return;
    r->number = ++bus.newest;
    ProtobufCBinaryData *to = &on.rows[bus.newest - 1];
    to->len = wire__row__get_packed_size(r);
    require((to->data = malloc(to->len)) && wire__row__pack(r, to->data) == to->len);
    m.epoch = 1;
    m.first = m.last = bus.newest;
    m.rows = to;
    m.n_rows = 1;
    if (wire__bus_events__get_packed_size(&m) <= sizeof packed)
        hear('E', packed, wire__bus_events__pack(&m, packed));
}

static void happens(uint8_t what, uint8_t about)
{
    struct client *c = &on.client[about % CLIENTS];
    switch (what % 8) {
    case 0: bus_connect(!bus.up); break;
    case 1: c->eof = true; break;
    case 2: c->reset = c->tcp != NULL; break;
    case 3: c->room = about; break;
    case 4: c->room = SIZE_MAX / 2; break;
    case 5: connect_client(about % CLIENTS); break;
    case 6:
        while (bus.calls && !bus.up)
            bus_end(0, ERR_CLOSED, NULL, 0);
        break;
    default: on.gw.draining = about & 1; break;
    }
}

static void take(const struct pb_frame *f)
{
    static const uint64_t steps[] = { 1, 10, 50, 250, 1000, 2000, 10000, 15000, 31000, 61000, 3600000, 24 * 3600000ull };
    static const unsigned pieces[] = { 0, 1, 7, 0 };
    bool fix = !(f->kind & 0x80);
    struct client *c = &on.client[f->kind >> 4 & 1];
    switch (f->kind % KINDS) {
    case KIND_HTTP:
        connect_client((unsigned)(c - on.client));
        if (!c->tcp || c->in_n + f->n > sizeof c->in)
            break;
        memcpy(c->in + c->in_n, f->p, f->n);
        c->in_n += f->n;
        c->piece = pieces[f->kind >> 5 & 3];
        c->head |= memmem(f->p, f->n, "HEAD", 4) != NULL;
        break;
    case KIND_REPLY:
        arena_reset(&on.arena);
        Wire__Reply *m = bus.calls ? wire__reply__unpack(arena_allocator(&on.arena), f->n, f->p) : NULL;
        if (!m)
            break;
        fix ? bus_reply_fixed(0, m) : bus_reply_with(0, m);
        break;
    case KIND_ANSWER:
        arena_reset(&on.arena);
        Wire__Answer *a = bus.calls ? wire__answer__unpack(arena_allocator(&on.arena), f->n, f->p) : NULL;
        if (a)
            bus_answer(fix ? 0 : bus.calls - 1, a);
        break;
    case KIND_EVENTS: hear('E', f->p, f->n); break;
    case KIND_LIVE: hear('L', f->p, f->n); break;
    case KIND_ROW: row(f->p, f->n); break;
    case KIND_TIME:
        for (size_t i = 0; i < f->n && i < 8; i++) {
            loop.mono_ms += steps[f->p[i] % (sizeof steps / sizeof *steps)];
            settle();
        }
        break;
    default:
        if (f->n >= 2)
            happens(f->p[0], f->p[1]);
    }
    settle();
}

static void open_gateway(void)
{
    if (!*on.key.name) {
        require(!crypto_init());
        peer_key_make(&on.key, 1, "g1");
    }
    loop_begin();
    heap_begin();
    start();
}

static void close_gateway(void)
{
    for (unsigned i = 0; i < 6; i++) { // whatever is asked is answered, or given up, within two seconds
        loop.mono_ms += 500;
        settle();
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        on.client[i].reset = on.client[i].tcp != NULL;
    settle();
    for (unsigned i = 0; i < 12; i++) { // a stream that has unread octets hears of it when it writes
        loop.mono_ms += 10000;
        settle();
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        require(!on.client[i].tcp); // no connection outlives its client
    bus_end_all();
    settle();
    heap_end();
}

#ifndef GATEWAY_ONLY
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pb_frame f;
    open_gateway();
    while (frame_next(&data, &size, &f))
        take(&f);
    close_gateway();
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    return frames_mutate(kinds, KINDS, data, size, max, seed);
}
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t an, const uint8_t *b, size_t bn, uint8_t *out, size_t max, unsigned seed)
{
    return frames_cross(kinds, KINDS, a, an, b, bn, out, max, seed);
}
#endif
