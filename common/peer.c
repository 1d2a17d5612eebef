// One connection to the broker. Happy path: a link (one address of the list) connects, HELLO brings a nonce for this very
// connection, HELLO_PROOF signs it, WELCOME tells where the bus is; then requests go out as they come.
//
// A request (struct ask) is packed once and kept until it is answered. Each sending of it is an attempt of its own, which the
// request leaves behind when the connection is lost: whatever nng may still do with that one, it goes out anew after the next
// greeting, with the same numbers. A new connection knows nobody, so that an attempt left behind is refused, never applied late.
//
// Ways off it: no greeting within a second, NOT_LEADER, a lost connection: the next address of the list. A refused proof: the
// same after 5 seconds. NOT_GREETED in any answer: the greeting again. The deadline of a request: see finish_late().
#include "peer.h"
#include <stdlib.h>
#include <string.h>
#include "arena.h"
#include "buf.h"
#include "bus.h"
#include "check.h"
#include "clock.h"
#include "log.h"

enum {
    LINKS_MAX = 8, CHANNELS_MAX = 8, ADDRESS_SIZE = 256,
    CALLS_MAX = 4096,                // outstanding
    BYTES_MAX = 64 * 1024 * 1024,    // all they hold
    REPLY_MAX = 64 * 1024 * 1024,    // a reply of BUS_MSG_MAX, unpacked
    LIVE_MAX = 1024 * 1024, TOKEN_MAX = 64, CLIENT_ID_SIZE = 16,
    GREETING_MS = 1000, AGAIN_MS = 250, REFUSED_MS = 5000, TICK_MS = 50,
};

struct link {
    struct peer *peer;
    char url[ADDRESS_SIZE];
    struct bus_client *client;
    struct bus_call greeting;      // one step of it; on its way while peer->greeting is this link
    unsigned connection, greeting_connection; // counts connections: a step belongs to the one it was begun on
    bool connected, proving;
    uint64_t not_before_ms;        // no greeting before that time
};

struct channel { // a SUB or PUB that was dialled once; one that is not the current one any more is not listened to
    struct peer *peer;
    char url[ADDRESS_SIZE];
    struct bus_sub *sub;
    struct bus_pub *pub;
};

struct attempt {
    struct bus_call call;
    struct link *link;
    struct ask *ask;               // NULL: left behind
    unsigned connection;
};

struct ask {
    struct list at;                // of peer->asks, in the order of numbers
    struct peer_call *call;
    struct attempt *attempt;       // NULL: waits for a greeting
    uint64_t first, deadline_ms;
    size_t n, len;
    bool maybe, maybe_before;      // may have been taken by the broker; the same before the latest attempt
    uint8_t data[];
};

struct peer {
    struct peer_conf conf;
    struct bus *bus;
    struct link links[LINKS_MAX];
    unsigned nlinks, next;         // next: the one to try first
    struct link *up, *greeting;    // at most one of them is set
    uint64_t up_since_ms;
    bool stopped;
    uv_timer_t timer;
    uint8_t client_id[CLIENT_ID_SIZE];
    uint64_t last_number;
    struct list asks, failed;      // failed: calls (peer_call.at) that end before they began; their error is in impl
    size_t nasks, nwaiting, bytes;
    struct arena arena;            // of the reply being given out
    struct channel subs[CHANNELS_MAX], pubs[CHANNELS_MAX];
    struct channel *sub, *pub;     // the current ones
    uint8_t token[TOKEN_MAX];
    size_t token_len;
    struct buf scratch;
};

static void schedule(struct peer *p);
static void greet_someone(struct peer *p);

// ---- ending requests

static void finish(struct peer *p, struct ask *a, enum err e, const Wire__Reply *reply)
{
    struct peer_call *call = a->call;

    list_remove(&a->at);
    p->nasks--;
    p->bytes -= a->len;
    if (!a->attempt)
        p->nwaiting--;
    free(a);
    call->impl = NULL;
    call->cb(call, e, reply);
}

static void finish_late(struct peer *p, struct ask *a)
{
    finish(p, a, a->maybe ? ERR_OUTCOME_UNKNOWN : ERR_UNAVAILABLE, NULL);
}

// ---- sending them

static void attempt_cb(struct bus_call *call, enum err e, const uint8_t *data, size_t len);

static void send_ask(struct peer *p, struct ask *a)
{
    uint64_t now = clock_mono_ms();
    struct attempt *t = now < a->deadline_ms ? calloc(1, sizeof *t) : NULL;
    if (!t)
        return; // it goes on waiting: the next tick sends it or ends it
    t->call.cb = attempt_cb;
    t->link = p->up;
    t->connection = p->up->connection;
    t->ask = a;
    a->attempt = t;
    a->maybe_before = a->maybe;
    a->maybe = true;
    p->nwaiting--;
    bus_call(p->up->client, &t->call, a->data, a->len, (unsigned)(a->deadline_ms - now));
}

static void send_waiting(struct peer *p)
{
    if (p->up && p->nwaiting)
        list_each(at, tmp, &p->asks) {
            struct ask *a = container_of(at, struct ask, at);
            if (!a->attempt)
                send_ask(p, a);
        }
}

static void leave_attempt(struct peer *p, struct ask *a)
{
    a->attempt->ask = NULL;
    a->attempt = NULL;
    p->nwaiting++;
}

// The link is of no use any more, or not before it has greeted us anew.
static void went_down(struct peer *p)
{
    p->up = NULL;
    list_each(at, tmp, &p->asks) {
        struct ask *a = container_of(at, struct ask, at);
        if (a->attempt)
            leave_attempt(p, a);
    }
    if (p->conf.down)
        p->conf.down(p->conf.u);
    if (!p->stopped)
        greet_someone(p);
}

// Each item has its answer: as many, with our numbers. Puts them into the order of the items.
static bool order_answers(const struct ask *a, Wire__Reply *reply)
{
    Wire__Answer *in_order[ITEMS_MAX] = { NULL };

    if (reply->n_answers != a->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        uint64_t at = reply->answers[i]->number - a->first;
        if (at >= a->n || in_order[at])
            return false;
        in_order[at] = reply->answers[i];
    }
    memcpy(reply->answers, in_order, a->n * sizeof *in_order);
    return true;
}

static bool any(const Wire__Reply *reply, enum err e)
{
    for (size_t i = 0; i < reply->n_answers; i++)
        if (reply->answers[i]->err == e)
            return true;
    return false;
}

static Wire__Reply *unpack(struct peer *p, const uint8_t *data, size_t len)
{
    arena_reset(&p->arena);
    return wire__reply__unpack(arena_allocator(&p->arena), len, data);
}

static void answered(struct peer *p, struct link *l, unsigned connection, struct ask *a, const uint8_t *data, size_t len)
{
    Wire__Reply *reply = unpack(p, data, len);
    bool stranger = reply && any(reply, ERR_NOT_GREETED), follower = reply && any(reply, ERR_NOT_LEADER);

    if (!stranger && !follower) {
        if (reply && order_answers(a, reply)) {
            a->call->repeated = a->maybe_before;
            finish(p, a, ERR_OK, reply);
        } else {
            log_warn("a reply of the broker at %s makes no sense", l->url);
            finish(p, a, ERR_OUTCOME_UNKNOWN, NULL);
        }
        return;
    }
    a->maybe = a->maybe_before; // refused whole
    if (p->up != l || l->connection != connection) { // the connection of an earlier greeting
        send_waiting(p);
        return;
    }
    uint64_t now = clock_mono_ms();
    log_info("the broker at %s %s", l->url, follower ? "does not lead" : "does not know us any more: greeting it again");
    if (follower || now < p->up_since_ms + GREETING_MS) // not in a circle without a pause
        l->not_before_ms = now + AGAIN_MS;
    if (follower)
        p->next = (unsigned)(l - p->links + 1) % p->nlinks;
    went_down(p);
}

static void attempt_cb(struct bus_call *call, enum err e, const uint8_t *data, size_t len)
{
    struct attempt *t = container_of(call, struct attempt, call);
    struct link *l = t->link;
    struct peer *p = l->peer;
    struct ask *a = t->ask;
    unsigned connection = t->connection;

    free(t);
    if (!a || p->stopped)
        return;
    a->attempt = NULL;
    p->nwaiting++;
    if (e == ERR_OK) {
        answered(p, l, connection, a, data, len);
    } else if (e != ERR_CLOSED) {
        finish_late(p, a);
    } else if (p->up == l && l->connection == connection) { // the news of it may still be on its way
        log_warn("lost the connection to the broker at %s", l->url);
        l->not_before_ms = clock_mono_ms() + TICK_MS;
        went_down(p);
    } else {
        send_waiting(p);
    }
    schedule(p);
}

// ---- the greeting

static void greeting_failed(struct peer *p, struct link *l, unsigned pause_ms)
{
    p->greeting = NULL;
    l->not_before_ms = clock_mono_ms() + pause_ms;
    p->next = (unsigned)(l - p->links + 1) % p->nlinks;
    greet_someone(p);
}

static void send_greeting(struct peer *p, struct link *l, Wire__Item *item)
{
    Wire__Request request = WIRE__REQUEST__INIT;
    struct list *first = p->asks.next;

    item->number = ++p->last_number;
    request.client_id = (ProtobufCBinaryData){ .len = sizeof p->client_id, .data = p->client_id };
    request.answered_up_to = list_empty(&p->asks) ? item->number - 1 : container_of(first, struct ask, at)->first - 1;
    request.items = &item;
    request.n_items = 1;
    size_t n = wire__request__get_packed_size(&request);
    uint8_t *data = n <= REQUEST_MSG_MAX ? malloc(n) : NULL;
    if (!data) {
        greeting_failed(p, l, AGAIN_MS);
        return;
    }
    wire__request__pack(&request, data);
    bus_call(l->client, &l->greeting, data, n, GREETING_MS);
    free(data);
}

static void greet(struct peer *p, struct link *l)
{
    Wire__Item item = WIRE__ITEM__INIT;
    Wire__Hello hello = WIRE__HELLO__INIT;
    char name[PEER_NAME_MAX + 1];

    p->greeting = l;
    l->greeting_connection = l->connection;
    l->proving = false;
    memcpy(name, p->conf.key->name, sizeof name);
    hello.peer = p->conf.key->role;
    hello.name = name;
    item.body_case = WIRE__ITEM__BODY_HELLO;
    item.hello = &hello;
    send_greeting(p, l, &item);
}

// Nobody is greeted or being greeted: begins with the first link that is connected and due.
static void greet_someone(struct peer *p)
{
    uint64_t now = clock_mono_ms();

    for (unsigned i = 0; i < p->nlinks && !p->up && !p->greeting; i++) {
        struct link *l = &p->links[(p->next + i) % p->nlinks];
        if (l->connected && l->not_before_ms <= now)
            greet(p, l);
    }
    schedule(p);
}

static void prove(struct peer *p, struct link *l, const Wire__HelloNonce *nonce)
{
    Wire__Item item = WIRE__ITEM__INIT;
    Wire__HelloProof proof = WIRE__HELLO_PROOF__INIT;
    uint8_t signature[PEER_SIGNATURE_SIZE];
    const uint64_t *holds = NULL;
    char version[] = MC_VERSION;

    peer_sign(p->conf.key, nonce->nonce.data, nonce->nonce.len, signature);
    proof.signature = (ProtobufCBinaryData){ .len = sizeof signature, .data = signature };
    proof.incarnation = p->conf.incarnation;
    proof.version = version;
    size_t n = 0;
    bool told = !p->conf.holds || p->conf.holds(p->conf.u, &holds, &n);
    uint64_t *copy = told && n ? malloc(n * sizeof *copy) : NULL;
    if (!told || (n && !copy)) {
        log_error("cannot greet the broker at %s: %s", l->url, err_name(ERR_NO_MEMORY));
        greeting_failed(p, l, AGAIN_MS);
        return;
    }
    if (n)
        memcpy(copy, holds, n * sizeof *copy);
    proof.holds = copy;
    proof.n_holds = n;
    item.body_case = WIRE__ITEM__BODY_HELLO_PROOF;
    item.hello_proof = &proof;
    l->proving = true;
    send_greeting(p, l, &item);
    free(copy);
}

static void heard_cb(void *u, char topic, const uint8_t *data, size_t len)
{
    struct channel *c = u;
    struct peer *p = c->peer;

    if (!p->stopped && p->sub == c && p->conf.heard)
        p->conf.heard(p->conf.u, topic, data, len);
}

// The channel to that address, dialled if it is a new one. NULL, with a line in the log, when that cannot be.
static struct channel *channel(struct peer *p, struct channel *all, const char *url, bool publish)
{
    enum err e = ERR_TOO_BIG;
    struct channel *c = NULL;

    for (unsigned i = 0; i < CHANNELS_MAX && !c; i++)
        if (!*all[i].url || strcmp(all[i].url, url) == 0)
            c = &all[i];
    if (c && *c->url)
        return c;
    if (c && strlen(url) < sizeof c->url) {
        c->peer = p;
        e = publish ? bus_pub_dial(p->bus, url, &c->pub) : bus_sub_dial(p->bus, url, p->conf.topics, heard_cb, c, &c->sub);
        if (!e) {
            memcpy(c->url, url, strlen(url) + 1);
            return c;
        }
    }
    log_error("cannot use the bus at %s: %s", url, err_name(e));
    return NULL;
}

static void welcomed(struct peer *p, struct link *l, const Wire__Welcome *w)
{
    p->greeting = NULL;
    p->up = l;
    p->up_since_ms = clock_mono_ms();
    p->next = (unsigned)(l - p->links);
    log_info("greeted by the broker at %s", l->url);
    if (*p->conf.topics && *w->bus)
        p->sub = channel(p, p->subs, w->bus, false);
    if (p->conf.key->role == 2 && *w->live)
        p->pub = channel(p, p->pubs, w->live, true);
    p->token_len = w->live_token.len <= sizeof p->token ? w->live_token.len : 0;
    if (p->token_len)
        memcpy(p->token, w->live_token.data, p->token_len);
    if (p->conf.up)
        p->conf.up(p->conf.u, w);
    send_waiting(p);
    schedule(p);
}

static void greeting_answered(struct peer *p, struct link *l, const Wire__Answer *a)
{
    enum err e = err_from_wire(a->err);

    if (e == ERR_OK && !l->proving && a->body_case == WIRE__ANSWER__BODY_HELLO_NONCE) {
        prove(p, l, a->hello_nonce);
    } else if (e == ERR_OK && l->proving && a->body_case == WIRE__ANSWER__BODY_WELCOME) {
        welcomed(p, l, a->welcome);
    } else if (e == ERR_UNAUTHORIZED || e == ERR_FORBIDDEN) {
        log_error("the broker at %s refuses %s '%s': %s", l->url, p->conf.key->role == 1 ? "gateway" : "worker", p->conf.key->name,
                  *a->text ? a->text : "it does not know this name with this key");
        greeting_failed(p, l, REFUSED_MS);
    } else {
        log_warn("no greeting by the broker at %s: %s", l->url, e == ERR_OK ? "an answer that makes no sense" : err_name(e));
        greeting_failed(p, l, AGAIN_MS);
    }
}

static void greeting_cb(struct bus_call *call, enum err e, const uint8_t *data, size_t len)
{
    struct link *l = container_of(call, struct link, greeting);
    struct peer *p = l->peer;

    if (p->stopped)
        return;
    if (e || !l->connected || l->greeting_connection != l->connection) { // a new connection is a new greeting
        if (e == ERR_TIMEOUT)
            log_warn("no greeting by the broker at %s within %d ms", l->url, GREETING_MS);
        greeting_failed(p, l, e && l->greeting_connection == l->connection ? TICK_MS : 0);
        return;
    }
    Wire__Reply *reply = unpack(p, data, len);
    if (reply && reply->n_answers == 1) {
        greeting_answered(p, l, reply->answers[0]);
    } else {
        log_warn("no greeting by the broker at %s: a reply that makes no sense", l->url);
        greeting_failed(p, l, AGAIN_MS);
    }
}

static void connected_cb(void *u, int up)
{
    struct link *l = u;
    struct peer *p = l->peer;

    if (p->stopped)
        return;
    l->connected = up;
    if (up) {
        l->connection++;
        greet_someone(p);
    } else if (p->up == l) {
        log_warn("lost the connection to the broker at %s", l->url);
        went_down(p);
    }
}

// ---- time

static void timer_cb(uv_timer_t *t)
{
    struct peer *p = t->data;
    uint64_t now = clock_mono_ms();
    struct list failed, late;

    list_init(&failed);
    list_take(&failed, &p->failed);
    for (struct list *at; (at = list_pop_front(&failed));) {
        struct peer_call *call = container_of(at, struct peer_call, at);
        enum err e = (enum err)(uintptr_t)call->impl;
        call->impl = NULL;
        call->cb(call, e, NULL);
    }
    send_waiting(p);
    list_init(&late);
    list_each(at, tmp, &p->asks) {
        struct ask *a = container_of(at, struct ask, at);
        if (!a->attempt && a->deadline_ms <= now) { // those under way are ended by the bus
            list_remove(at);
            list_push_back(&late, at);
        }
    }
    while (!list_empty(&late))
        finish_late(p, container_of(late.next, struct ask, at));
    greet_someone(p);
}

// One timer: at once for calls that failed, at the next greeting that is due, and a coarse tick while requests wait.
static void schedule(struct peer *p)
{
    uint64_t now = clock_mono_ms(), due = UINT64_MAX;

    if (p->nwaiting)
        due = now + TICK_MS;
    for (unsigned i = 0; i < p->nlinks && !p->up && !p->greeting; i++)
        if (p->links[i].connected && p->links[i].not_before_ms < due)
            due = p->links[i].not_before_ms;
    if (!list_empty(&p->failed))
        due = now;
    if (due == UINT64_MAX || p->stopped)
        (void)uv_timer_stop(&p->timer);
    else
        (void)uv_timer_start(&p->timer, timer_cb, due > now ? due - now : 0, 0);
}

// ---- public

static enum err add_links(struct peer *p, const char *urls)
{
    while (*urls) {
        size_t n = strcspn(urls, ",");
        struct link *l = &p->links[p->nlinks];
        if (p->nlinks == LINKS_MAX || n == 0 || n >= sizeof l->url)
            return ERR_BAD_REQUEST;
        l->peer = p;
        l->greeting.cb = greeting_cb;
        memcpy(l->url, urls, n);
        p->nlinks++;
        urls += n + (urls[n] == ',');
    }
    return p->nlinks ? ERR_OK : ERR_BAD_REQUEST;
}

enum err peer_new(const struct peer_conf *conf, struct peer **ret)
{
    struct peer *p = calloc(1, sizeof *p);
    if (!p)
        return ERR_NO_MEMORY;
    p->conf = *conf;
    list_init(&p->asks);
    list_init(&p->failed);
    arena_init(&p->arena, REPLY_MAX);
    buf_init(&p->scratch, LIVE_MAX);
    crypto_random(p->client_id, sizeof p->client_id);
    enum err e = add_links(p, conf->urls);
    if (!e)
        e = bus_new(conf->loop, &p->bus);
    if (e) {
        free(p);
        return e;
    }
    (void)uv_timer_init(conf->loop, &p->timer); // cannot fail
    p->timer.data = p;
    for (unsigned i = 0; !e && i < p->nlinks; i++)
        e = bus_dial(p->bus, p->links[i].url, connected_cb, &p->links[i], &p->links[i].client);
    if (e) { // links that were dialled already know p: it stays, silent
        peer_stop(p);
        return e;
    }
    *ret = p;
    return ERR_OK;
}

bool peer_is_up(const struct peer *p)
{
    return p->up;
}

static void fail(struct peer *p, struct peer_call *call, enum err e)
{
    call->impl = (void *)(uintptr_t)e;
    list_push_back(&p->failed, &call->at);
    schedule(p);
}

void peer_ask(struct peer *p, struct peer_call *call, Wire__Item **items, size_t n, unsigned timeout_ms)
{
    Wire__Request request = WIRE__REQUEST__INIT;

    list_init(&call->at);
    call->repeated = false;
    if (n == 0 || n > ITEMS_MAX) {
        fail(p, call, ERR_BAD_REQUEST);
        return;
    }
    uint64_t first = p->last_number + 1;
    for (size_t i = 0; i < n; i++)
        items[i]->number = first + i;
    request.client_id = (ProtobufCBinaryData){ .len = sizeof p->client_id, .data = p->client_id };
    request.answered_up_to = list_empty(&p->asks) ? first - 1 : container_of(p->asks.next, struct ask, at)->first - 1;
    request.items = items;
    request.n_items = n;
    size_t len = wire__request__get_packed_size(&request);
    bool full = p->nasks >= CALLS_MAX || len > BYTES_MAX - p->bytes;
    struct ask *a = len > REQUEST_MSG_MAX || full ? NULL : malloc(sizeof *a + len);
    if (!a) {
        fail(p, call, len > REQUEST_MSG_MAX ? ERR_TOO_BIG : full ? ERR_OVERLOADED : ERR_NO_MEMORY);
        return;
    }
    *a = (struct ask){ .call = call, .first = first, .n = n, .len = len, .deadline_ms = clock_mono_ms() + timeout_ms };
    wire__request__pack(&request, a->data);
    call->impl = a;
    p->last_number += n;
    p->nasks++;
    p->nwaiting++;
    p->bytes += len;
    list_push_back(&p->asks, &a->at);
    if (p->up)
        send_ask(p, a);
    if (p->nwaiting && !uv_is_active((uv_handle_t *)&p->timer))
        schedule(p);
}

void peer_publish_live(struct peer *p, Wire__Live *live)
{
    ProtobufCBinaryData given = live->token;

    if (!p->up || !p->pub)
        return;
    live->token = (ProtobufCBinaryData){ .len = p->token_len, .data = p->token };
    size_t n = wire__live__get_packed_size(live);
    buf_reset(&p->scratch);
    uint8_t *out = buf_reserve(&p->scratch, n);
    if (out)
        bus_publish(p->pub->pub, 'L', out, wire__live__pack(live, out));
    live->token = given;
}

void peer_stop(struct peer *p)
{
    p->stopped = true;
    (void)uv_timer_stop(&p->timer);
    bus_stop(p->bus);
}
