// links: common nng uv protobuf-c sodium
// The connection to the broker, against a small broker in the same process and loop: it greets, answers, forgets, breaks off.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>
#include "bus.h"
#include "clock.h"
#include "log.h"
#include "peer.h"

enum { PATIENCE_MS = 60000, FAKES_MAX = 64, SEEN_MAX = 8192 };

static uv_loop_t loop; // never closed: nng's threads may ring it until the process ends
static struct bus *broker_bus;
static char dir[64];
static unsigned url_number;
static char urls[FAKES_MAX][128];
static struct peer_key worker_key, gateway_key;
static bool patience_over;

static void patience_cb(uv_timer_t *t)
{
    (void)t;
    patience_over = true;
}

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
    assert_true(url_number < FAKES_MAX);
    snprintf(urls[url_number], sizeof urls[0], "ipc://%s/s%u", dir, url_number);
    return urls[url_number++];
}

// ---- the fake broker

static struct fake {
    struct fake *older;            // they all live on, as their endpoints do
    struct bus_server *server;
    struct bus_pub *pub;
    struct bus_sub *sub;
    const char *url, *bus_url, *live_url;
    const struct peer_key *knows;
    uint8_t nonce[32];
    uint32_t greeted_pipe;         // one peer is enough here
    // what to do
    bool silent_greeting, hold, refuse_item_count, follower, forget_once, shuffle;
    // what was seen
    unsigned hellos, proofs, greetings, gone, refused, nheld;
    uint32_t last_pipe;
    uint64_t numbers[SEEN_MAX], answered_up_to[SEEN_MAX], holds[4];
    size_t nnumbers, nholds;
    uint8_t client_id[16];
    uint64_t incarnation;
    struct list held;
    char live_token[17];
    unsigned live;
} *newest_fake;

static void reply_with(struct bus_request *r, Wire__Answer **answers, size_t n)
{
    Wire__Reply reply = WIRE__REPLY__INIT;
    static uint8_t out[64 * 1024];
    reply.answers = answers;
    reply.n_answers = n;
    reply.newest = 7;
    assert_true(wire__reply__get_packed_size(&reply) <= sizeof out);
    bus_reply(r, out, wire__reply__pack(&reply, out));
}

static void reply_error(struct bus_request *r, uint64_t number, enum err e)
{
    Wire__Answer a = WIRE__ANSWER__INIT, *one = &a;
    a.number = number;
    a.err = e;
    reply_with(r, &one, 1);
}

static void say_hello(struct fake *f, struct bus_request *r, const Wire__Item *item)
{
    Wire__Answer a = WIRE__ANSWER__INIT, *one = &a;
    Wire__HelloNonce nonce = WIRE__HELLO_NONCE__INIT;

    f->hellos++;
    if (f->silent_greeting) { // held for ever
        list_push_back(&f->held, &r->at);
        return;
    }
    if (f->follower) {
        reply_error(r, item->number, ERR_NOT_LEADER);
        return;
    }
    assert_int_equal(item->hello->peer, f->knows->role);
    crypto_random(f->nonce, sizeof f->nonce);
    nonce.nonce = (ProtobufCBinaryData){ .len = sizeof f->nonce, .data = f->nonce };
    a.number = item->number;
    a.body_case = WIRE__ANSWER__BODY_HELLO_NONCE;
    a.hello_nonce = &nonce;
    reply_with(r, &one, 1);
}

static void check_proof(struct fake *f, struct bus_request *r, const Wire__Item *item)
{
    Wire__Answer a = WIRE__ANSWER__INIT, *one = &a;
    Wire__Welcome w = WIRE__WELCOME__INIT;
    const Wire__HelloProof *p = item->hello_proof;
    char bus_url[128], live_url[128];

    f->proofs++;
    if (!peer_verify(f->knows->public, f->knows->role, f->knows->name, f->nonce, sizeof f->nonce, p->signature.data, p->signature.len)) {
        f->refused++;
        reply_error(r, item->number, ERR_UNAUTHORIZED);
        return;
    }
    f->greetings++;
    f->greeted_pipe = r->pipe;
    f->incarnation = p->incarnation;
    f->nholds = p->n_holds < 4 ? p->n_holds : 4;
    for (size_t i = 0; i < f->nholds; i++)
        f->holds[i] = p->holds[i];
    snprintf(bus_url, sizeof bus_url, "%s", f->bus_url ? f->bus_url : "");
    snprintf(live_url, sizeof live_url, "%s", f->live_url ? f->live_url : "");
    snprintf(f->live_token, sizeof f->live_token, "token-%010u", f->greetings);
    w.bus = bus_url;
    w.live = live_url;
    w.live_token = (ProtobufCBinaryData){ .len = 16, .data = (uint8_t *)f->live_token };
    w.worker = 5;
    a.number = item->number;
    a.body_case = WIRE__ANSWER__BODY_WELCOME;
    a.welcome = &w;
    reply_with(r, &one, 1);
}

static void answer_items(struct fake *f, struct bus_request *r, const Wire__Request *q)
{
    Wire__Answer a[64], *all[64];
    size_t n = f->refuse_item_count ? q->n_items - 1 : q->n_items;

    for (size_t i = 0; i < n; i++) {
        wire__answer__init(&a[i]);
        a[i].number = q->items[i]->number;
        all[f->shuffle ? n - 1 - i : i] = &a[i];
    }
    reply_with(r, all, n);
}

static void request_cb(void *u, struct bus_request *r)
{
    struct fake *f = u;
    Wire__Request *q = wire__request__unpack(NULL, r->len, r->data);
    assert_non_null(q);
    assert_int_equal(q->client_id.len, 16);
    memcpy(f->client_id, q->client_id.data, 16);
    assert_true(q->n_items >= 1);
    f->last_pipe = r->pipe;
    const Wire__Item *item = q->items[0];
    if (item->body_case == WIRE__ITEM__BODY_HELLO) {
        say_hello(f, r, item);
    } else if (item->body_case == WIRE__ITEM__BODY_HELLO_PROOF) {
        check_proof(f, r, item);
    } else if (r->pipe != f->greeted_pipe || f->forget_once) {
        f->forget_once = false;
        f->greeted_pipe = 0;
        reply_error(r, item->number, ERR_NOT_GREETED);
    } else if (f->follower) {
        reply_error(r, item->number, ERR_NOT_LEADER);
    } else {
        assert_true(f->nnumbers < SEEN_MAX);
        f->answered_up_to[f->nnumbers] = q->answered_up_to;
        f->numbers[f->nnumbers++] = item->number;
        assert_true(q->answered_up_to < item->number);
        if (f->hold) {
            f->nheld++;
            list_push_back(&f->held, &r->at);
        } else {
            answer_items(f, r, q);
        }
    }
    wire__request__free_unpacked(q, NULL);
}

static void gone_cb(void *u, uint32_t pipe)
{
    struct fake *f = u;
    (void)pipe;
    f->gone++;
}

static void live_cb(void *u, char topic, const uint8_t *data, size_t len)
{
    struct fake *f = u;
    Wire__Live *l = wire__live__unpack(NULL, len, data);
    assert_int_equal(topic, 'L');
    assert_non_null(l);
    assert_int_equal(l->token.len, 16);
    assert_memory_equal(l->token.data, f->live_token, 16);
    wire__live__free_unpacked(l, NULL);
    f->live++;
}

static void answer_held(struct fake *f)
{
    for (struct list *at; (at = list_pop_front(&f->held));) {
        struct bus_request *r = container_of(at, struct bus_request, at);
        Wire__Request *q = wire__request__unpack(NULL, r->len, r->data);
        assert_non_null(q);
        answer_items(f, r, q);
        wire__request__free_unpacked(q, NULL);
    }
    f->nheld = 0;
}

// Ends the peer's connection: it hangs up on a reply beyond what it accepts.
static void break_connection(struct fake *f)
{
    static uint8_t monster[BUS_MSG_MAX + 1];
    struct list *at = list_pop_front(&f->held);
    assert_non_null(at);
    f->nheld--;
    bus_reply(container_of(at, struct bus_request, at), monster, sizeof monster);
}

static struct fake *fake_prepare(const struct peer_key *knows)
{
    struct fake *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->older = newest_fake;
    newest_fake = f;
    list_init(&f->held);
    f->knows = knows;
    f->url = fresh_url();
    return f;
}

static void fake_start(struct fake *f)
{
    struct bus_server_cbs cbs = { .request = request_cb, .pipe_gone = gone_cb, .u = f };
    assert_int_equal(bus_serve(broker_bus, f->url, 2 * 1024 * 1024, 128, &cbs, &f->server), ERR_OK);
}

static struct fake *fake_new(const struct peer_key *knows)
{
    struct fake *f = fake_prepare(knows);
    fake_start(f);
    return f;
}

// ---- the peer's side

struct side {
    struct peer *peer;
    unsigned ups, downs, heard;
    uint64_t last_heard, worker;
    size_t nholds;
    uint64_t holds[2];
    unsigned holds_fail;           // so many times yet
};

static void up_cb(void *u, const Wire__Welcome *w)
{
    struct side *s = u;
    assert_true(peer_is_up(s->peer));
    s->worker = w->worker;
    s->ups++;
}

static void down_cb(void *u)
{
    struct side *s = u;
    assert_false(peer_is_up(s->peer));
    s->downs++;
}

static void heard_cb(void *u, char topic, const uint8_t *data, size_t len)
{
    struct side *s = u;
    assert_int_equal(topic, 'E');
    assert_int_equal(len, sizeof s->last_heard);
    memcpy(&s->last_heard, data, len);
    s->heard++;
}

static bool holds_cb(void *u, const uint64_t **ret, size_t *ret_n)
{
    struct side *s = u;
    if (s->holds_fail > 0) {
        s->holds_fail--;
        return false;
    }
    *ret = s->holds;
    *ret_n = s->nholds;
    return true;
}

static struct side *side_new(const char *at, const struct peer_key *key)
{
    struct side *s = calloc(1, sizeof *s);
    assert_non_null(s);
    struct peer_conf conf = { .loop = &loop, .urls = at, .key = key, .topics = "E", .incarnation = 77, .holds = holds_cb,
                              .up = up_cb, .down = down_cb, .heard = heard_cb, .u = s };
    assert_int_equal(peer_new(&conf, &s->peer), ERR_OK);
    return s;
}

struct asked {
    struct peer_call call;
    unsigned *done;
    enum err e;
    size_t nanswers;
    uint64_t first, newest;
    bool in_call, ended;
};

static void answered_cb(struct peer_call *call, enum err e, const Wire__Reply *reply)
{
    struct asked *a = container_of(call, struct asked, call);
    assert_false(a->in_call);
    assert_false(a->ended);
    a->ended = true;
    a->e = e;
    if (e == ERR_OK) {
        assert_non_null(reply);
        a->nanswers = reply->n_answers;
        a->newest = reply->newest;
        for (size_t i = 0; i < reply->n_answers; i++)
            assert_int_equal(reply->answers[i]->number, a->first + i); // in the order of the items
    } else {
        assert_null(reply);
    }
    (*a->done)++;
}

static void ask(struct side *s, struct asked *a, unsigned *done, size_t n, unsigned timeout_ms)
{
    Wire__Item items[65], *all[65];
    Wire__Ping ping = WIRE__PING__INIT;

    memset(a, 0, sizeof *a);
    for (size_t i = 0; i < n; i++) {
        wire__item__init(&items[i]);
        items[i].body_case = WIRE__ITEM__BODY_PING;
        items[i].ping = &ping;
        all[i] = &items[i];
    }
    a->call.cb = answered_cb;
    a->done = done;
    a->in_call = true;
    peer_ask(s->peer, &a->call, all, n, timeout_ms);
    a->in_call = false;
    if (n)
        a->first = items[0].number;
}

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/test_peer.XXXXXX");
    if (crypto_init() || !mkdtemp(dir) || uv_loop_init(&loop) < 0)
        return -1;
    log_init("test_peer", getenv("TEST_LOG") ? LOG_DEBUG : LOG_ERROR);
    peer_key_make(&worker_key, 2, "worker-1");
    peer_key_make(&gateway_key, 1, "gateway-1");
    return bus_new(&loop, &broker_bus) == ERR_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < url_number; i++)
        (void)unlink(urls[i] + 6);
    return rmdir(dir);
}

// ---- tests

static void greets_and_asks(void **state)
{
    struct fake *f = fake_new(&worker_key);
    struct side *s = side_new(f->url, &worker_key);
    static struct asked a[2];
    unsigned done = 0;
    (void)state;

    s->nholds = 2;
    s->holds[0] = 11;
    s->holds[1] = 12;
    ask(s, &a[0], &done, 3, PATIENCE_MS); // before there is any connection: it waits
    RUN_UNTIL(done == 1);
    assert_int_equal(s->ups, 1);
    assert_int_equal(s->worker, 5);
    assert_int_equal(f->incarnation, 77);
    assert_int_equal(f->nholds, 2);
    assert_int_equal(f->holds[1], 12);
    assert_int_equal(a[0].e, ERR_OK);
    assert_int_equal(a[0].nanswers, 3);
    assert_int_equal(a[0].newest, 7);
    f->shuffle = true; // whatever the order of the answers
    ask(s, &a[1], &done, 64, PATIENCE_MS);
    RUN_UNTIL(done == 2);
    assert_int_equal(a[1].e, ERR_OK);
    assert_int_equal(a[1].nanswers, 64);
    assert_true(f->answered_up_to[1] >= a[0].first + 2); // what was answered may be forgotten
    peer_stop(s->peer);
}

// A worker that cannot say what it holds must not say that it holds nothing.
static void no_memory_for_what_it_holds(void **state)
{
    struct fake *f = fake_new(&worker_key);
    struct side *s = side_new(f->url, &worker_key);
    (void)state;

    s->nholds = 1;
    s->holds[0] = 11;
    s->holds_fail = 2;
    RUN_UNTIL(s->ups == 1);
    assert_int_equal(s->holds_fail, 0);
    assert_int_equal(f->hellos, 3);
    assert_int_equal(f->proofs, 1);
    assert_int_equal(f->nholds, 1);
    assert_int_equal(f->holds[0], 11);
    peer_stop(s->peer);
}

static void many_at_once(void **state)
{
    struct fake *f = fake_new(&gateway_key);
    struct side *s = side_new(f->url, &gateway_key);
    static struct asked a[4200];
    unsigned done = 0;
    (void)state;

    for (unsigned i = 0; i < 4200; i++)
        ask(s, &a[i], &done, 1, PATIENCE_MS);
    RUN_UNTIL(done == 4200);
    for (unsigned i = 0; i < 4200; i++)
        assert_int_equal(a[i].e, i < 4096 ? ERR_OK : ERR_OVERLOADED);
    assert_int_equal(s->ups, 1);
    peer_stop(s->peer);
}

static void bad_asks(void **state)
{
    struct fake *f = fake_new(&gateway_key);
    struct side *s = side_new(f->url, &gateway_key);
    static struct asked a[2], big;
    unsigned done = 0;
    static char content[3 * 1024 * 1024];
    Wire__Item item = WIRE__ITEM__INIT, *one = &item;
    Wire__TaskCreate create = WIRE__TASK_CREATE__INIT;
    (void)state;

    ask(s, &a[0], &done, 0, 1000);
    ask(s, &a[1], &done, 65, 1000);
    memset(content, 'x', sizeof content - 1);
    create.content = content;
    item.body_case = WIRE__ITEM__BODY_TASK_CREATE;
    item.task_create = &create;
    big.call.cb = answered_cb;
    big.done = &done;
    peer_ask(s->peer, &big.call, &one, 1, 1000);
    RUN_UNTIL(done == 3);
    assert_int_equal(a[0].e, ERR_BAD_REQUEST);
    assert_int_equal(a[1].e, ERR_BAD_REQUEST);
    assert_int_equal(big.e, ERR_TOO_BIG);
    peer_stop(s->peer);
}

// The connection breaks while requests are under way: they go out again, with the same numbers, after the next greeting.
static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void sent_again_with_the_same_numbers(void **state)
{
    struct fake *f = fake_new(&gateway_key);
    struct side *s = side_new(f->url, &gateway_key);
    static struct asked a[10];
    uint64_t seen[10];
    unsigned done = 0;
    (void)state;

    f->hold = true;
    for (unsigned i = 0; i < 10; i++)
        ask(s, &a[i], &done, 1, PATIENCE_MS);
    RUN_UNTIL(f->nheld == 10);
    assert_int_equal(f->nnumbers, 10);
    memcpy(seen, f->numbers, sizeof seen);
    break_connection(f);
    RUN_UNTIL(f->nnumbers == 20);
    // in whatever order: they come in by several of nng's threads
    qsort(seen, 10, sizeof *seen, by_number);
    qsort(f->numbers + 10, 10, sizeof *f->numbers, by_number);
    assert_memory_equal(seen, f->numbers + 10, sizeof seen);
    assert_int_equal(s->downs, 1);
    assert_int_equal(s->ups, 2);
    assert_int_equal(f->greetings, 2);
    assert_int_equal(done, 0);
    for (unsigned i = 10; i < 20; i++)
        assert_true(f->answered_up_to[i] < a[0].first);
    f->hold = false;
    answer_held(f);
    RUN_UNTIL(done == 10);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(a[i].e, ERR_OK);
        assert_true(a[i].call.repeated); // the first may have been taken
    }
    static struct asked once;
    ask(s, &once, &done, 1, PATIENCE_MS);
    RUN_UNTIL(done == 11);
    assert_false(once.call.repeated);
    peer_stop(s->peer);
}

static void greets_again_when_it_is_forgotten(void **state)
{
    struct fake *f = fake_new(&gateway_key);
    struct side *s = side_new(f->url, &gateway_key);
    static struct asked a[3];
    unsigned done = 0;
    (void)state;

    ask(s, &a[0], &done, 1, PATIENCE_MS);
    RUN_UNTIL(done == 1);
    f->forget_once = true;
    ask(s, &a[1], &done, 1, PATIENCE_MS);
    ask(s, &a[2], &done, 1, PATIENCE_MS);
    RUN_UNTIL(done == 3);
    assert_int_equal(a[1].e, ERR_OK);
    assert_int_equal(a[2].e, ERR_OK);
    assert_int_equal(f->greetings, 2);
    assert_int_equal(s->ups, 2);
    assert_int_equal(s->downs, 1);
    peer_stop(s->peer);
}

static void deadlines(void **state)
{
    struct fake *absent = fake_prepare(&gateway_key), *f = fake_new(&gateway_key);
    struct side *s = side_new(absent->url, &gateway_key), *t = side_new(f->url, &gateway_key);
    static struct asked never, unknown, again;
    unsigned done = 0;
    (void)state;

    uint64_t from = clock_mono_ms();
    ask(s, &never, &done, 1, 200); // nobody is there: it was certainly not taken
    RUN_UNTIL(done == 1);
    assert_int_equal(never.e, ERR_UNAVAILABLE);
    assert_true(clock_mono_ms() - from >= 200);
    f->hold = true;
    RUN_UNTIL(peer_is_up(t->peer));
    ask(t, &unknown, &done, 1, 200); // taken, and never answered
    RUN_UNTIL(done == 2);
    assert_int_equal(unknown.e, ERR_OUTCOME_UNKNOWN);
    assert_true(peer_is_up(t->peer));
    f->hold = false;
    ask(t, &again, &done, 1, PATIENCE_MS);
    RUN_UNTIL(done == 3);
    assert_int_equal(again.e, ERR_OK);
    fake_start(absent); // and then somebody is there
    RUN_UNTIL(peer_is_up(s->peer));
    peer_stop(s->peer);
    peer_stop(t->peer);
}

static void nonsense_for_an_answer(void **state)
{
    struct fake *f = fake_new(&gateway_key);
    struct side *s = side_new(f->url, &gateway_key);
    static struct asked a;
    unsigned done = 0;
    (void)state;

    f->refuse_item_count = true;
    ask(s, &a, &done, 2, PATIENCE_MS);
    RUN_UNTIL(done == 1);
    assert_int_equal(a.e, ERR_OUTCOME_UNKNOWN);
    peer_stop(s->peer);
}

static void list_of_addresses(void **state)
{
    struct fake *absent = fake_prepare(&gateway_key), *mute = fake_new(&gateway_key), *follower = fake_new(&gateway_key),
                *leader = fake_new(&gateway_key);
    static struct asked a[3];
    unsigned done = 0;
    static char list[512];
    (void)state;

    mute->silent_greeting = true;
    follower->follower = true;
    snprintf(list, sizeof list, "%s,%s,%s,%s", absent->url, mute->url, follower->url, leader->url);
    struct side *s = side_new(list, &gateway_key);
    ask(s, &a[0], &done, 1, PATIENCE_MS);
    RUN_UNTIL(done == 1);
    assert_int_equal(a[0].e, ERR_OK);
    assert_int_equal(leader->greetings, 1);
    assert_int_equal(leader->nnumbers, 1);
    // the leader steps down, the follower takes over
    leader->follower = true;
    follower->follower = false;
    ask(s, &a[1], &done, 1, PATIENCE_MS);
    RUN_UNTIL(done == 2);
    assert_int_equal(a[1].e, ERR_OK);
    assert_int_equal(follower->greetings, 1);
    assert_int_equal(follower->numbers[0], a[1].first);
    peer_stop(s->peer);
}

static void wrong_key(void **state)
{
    static struct peer_key other;
    struct fake *f = fake_new(&gateway_key);
    static struct asked a;
    unsigned done = 0;
    (void)state;

    peer_key_make(&other, 1, gateway_key.name);
    struct side *s = side_new(f->url, &other);
    ask(s, &a, &done, 1, 1000);
    RUN_UNTIL(done == 1);
    assert_int_equal(a.e, ERR_UNAVAILABLE);
    assert_int_equal(f->refused, 1); // not again before 5 s are over
    assert_int_equal(s->ups, 0);
    f->knows = &other; // it is made known meanwhile
    RUN_UNTIL(peer_is_up(s->peer));
    peer_stop(s->peer);
}

static void bus_and_live(void **state)
{
    struct fake *f = fake_prepare(&worker_key);
    Wire__Live live = WIRE__LIVE__INIT;
    Wire__LiveOutput output = WIRE__LIVE_OUTPUT__INIT, *one = &output;
    uint64_t i = 0;
    (void)state;

    f->bus_url = fresh_url();
    f->live_url = fresh_url();
    assert_int_equal(bus_pub_listen(broker_bus, f->bus_url, &f->pub), ERR_OK);
    assert_int_equal(bus_sub_listen(broker_bus, f->live_url, "L", 64 * 1024, live_cb, f, &f->sub), ERR_OK);
    fake_start(f);
    struct side *s = side_new(f->url, &worker_key);
    RUN_UNTIL(peer_is_up(s->peer));
    live.output = &one;
    live.n_output = 1;
    uint64_t until = clock_mono_ms() + PATIENCE_MS;
    while ((!s->heard || !f->live) && clock_mono_ms() < until) {
        bus_publish(f->pub, 'E', &i, sizeof i);
        bus_publish(f->pub, 'L', &i, sizeof i); // not subscribed
        peer_publish_live(s->peer, &live);
        i++;
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    assert_true(s->heard > 0);
    assert_true(f->live > 0);
    assert_int_equal(live.token.len, 0); // the caller's message is as it was
    // The broker's bus moves: the new address is heard, the old one is not.
    struct bus_pub *old = f->pub;
    f->bus_url = fresh_url();
    assert_int_equal(bus_pub_listen(broker_bus, f->bus_url, &f->pub), ERR_OK);
    f->forget_once = true;
    static struct asked a;
    unsigned done = 0, before = s->heard;
    ask(s, &a, &done, 1, PATIENCE_MS);
    RUN_UNTIL(done == 1 && s->ups == 2);
    uint64_t mark = 1000000000;
    until = clock_mono_ms() + PATIENCE_MS;
    while (s->last_heard < mark && clock_mono_ms() < until) {
        bus_publish(old, 'E', &i, sizeof i);
        bus_publish(f->pub, 'E', &mark, sizeof mark);
        mark++;
        uv_run(&loop, UV_RUN_NOWAIT);
        if (s->last_heard >= 1000000000)
            break;
    }
    assert_true(s->last_heard >= 1000000000);
    assert_true(s->heard > before);
    peer_stop(s->peer);
}

static void bad_lists(void **state)
{
    static const char *const bad[] = { "", ",", "ipc:///a,,ipc:///b", "nothing://x",
                                       "ipc:///1,ipc:///2,ipc:///3,ipc:///4,ipc:///5,ipc:///6,ipc:///7,ipc:///8,ipc:///9" };
    (void)state;
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct peer_conf conf = { .loop = &loop, .urls = bad[i], .key = &gateway_key, .topics = "" };
        struct peer *p;
        assert_int_equal(peer_new(&conf, &p), ERR_BAD_REQUEST);
    }
}

static void stop(void **state)
{
    (void)state;
    bus_stop(broker_bus);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greets_and_asks),
        cmocka_unit_test(no_memory_for_what_it_holds),
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(bad_asks),
        cmocka_unit_test(sent_again_with_the_same_numbers),
        cmocka_unit_test(greets_again_when_it_is_forgotten),
        cmocka_unit_test(deadlines),
        cmocka_unit_test(nonsense_for_an_answer),
        cmocka_unit_test(list_of_addresses),
        cmocka_unit_test(wrong_key),
        cmocka_unit_test(bus_and_live),
        cmocka_unit_test(bad_lists),
        cmocka_unit_test(stop),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
