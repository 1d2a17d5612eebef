// links: broker common lmdb xxhash protobuf-c sodium jansson systemd -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free,--wrap=strdup,--wrap=protobuf_c_message_unpack,--wrap=protobuf_c_message_free_unpacked -Wl,--wrap=mdb_txn_begin,--wrap=mdb_txn_commit,--wrap=mdb_txn_abort -Wl,--wrap=peer_verify,--wrap=crypto_random
// fuzz: -max_len=4096 -entropic=0
// The broker as its peers meet it: intake, turns, fleet, webhooks and the store behind them, under a pretended clock. Frames (mutate_pb.h):
// a request by one of four connections, live output, time that passes, a connection that goes. Connection 0 has greeted as a gateway, 1
// as a worker. Each request is answered exactly once, with an answer to each of its items; no input ends the broker. A proof counts
// when it begins with the nonce, and what a peer could only have been told (nonces, tokens) is put into messages unless bit 7 of
// the frame's octet is set. Everything happens inside one write transaction, which is given up at the end.
#include "heap.h"
#include "fake_loop.h"
#include "quiet.h"
#include "mutate_pb.h"
#include "../../broker/own.c"
#include "broker_store.h"
#include "bus.h"
#include "hook.h"
#include "intake.h"
#include "outbox.h"
#include "query.h"
#include "turn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PIPES = 4, REQUESTS_MAX = 96, NONCE = 32, TOKEN = 16 };

static const ProtobufCMessageDescriptor *const kinds[] = {
    &wire__request__descriptor, &wire__request__descriptor, &wire__request__descriptor, &wire__request__descriptor, &wire__request__descriptor,
    &wire__live__descriptor, NULL, NULL,
};
enum { KIND_LIVE = 5, KIND_TIME = 6, KIND_GONE = 7, KINDS = 8 };

static struct {
    struct store *store;
    struct turns *turns;
    struct fleet *fleet;
    struct hooks *hooks;
    struct intake *intake;
    struct outbox *outbox;
    uint64_t epoch, newest, log_ms;
    struct arena arena;
    // the engine: one batch at a time, decided when the target says so
    struct cons cons;
    struct batch *batch;
    cons_done_cb *done;
    void *u;
    bool full, sweeping, over; // over: out of memory, which ends an input
    uint64_t chance;
    // what peers were told
    uint8_t nonce[PIPES][NONCE], token[TOKEN];
    Wire__HookOrder order;
    uint8_t order_token[64];
    struct req {
        struct bus_request r;
        size_t items;
        bool sound, answered;
        uint8_t *copy;
    } req[REQUESTS_MAX];
    unsigned n_req, open;
} on;

// ---------------------------------------------------------------- in place of others

bool __wrap_peer_verify(const uint8_t public_key[32], unsigned role, const char *name, const uint8_t *nonce, size_t n, const uint8_t *sig, size_t len);
bool __wrap_peer_verify(const uint8_t public_key[32], unsigned role, const char *name, const uint8_t *nonce, size_t n, const uint8_t *sig, size_t len)
{
    (void)public_key, (void)role, (void)name;
    return n == NONCE && len >= 8 && memcmp(nonce, sig, 8) == 0;
}
void __wrap_crypto_random(void *out, size_t n);
void __wrap_crypto_random(void *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        on.chance = on.chance * 6364136223846793005u + 1442695040888963407u;
        ((uint8_t *)out)[i] = (uint8_t)(on.chance >> 33);
    }
}
void bus_publish(struct bus_pub *p, char topic, const void *data, size_t len)
{
    (void)p;
    if (topic != 'E' && topic != 'L')
        abort();
    arena_reset(&on.arena);
    const ProtobufCMessageDescriptor *d = topic == 'E' ? &wire__bus_events__descriptor : &wire__live__descriptor;
    if (!protobuf_c_message_unpack(d, arena_allocator(&on.arena), len, data))
        abort();
}

static void told(const struct req *r, const Wire__Answer *a)
{
    uint8_t *nonce = on.nonce[r->r.pipe % PIPES];
    if (a->body_case == WIRE__ANSWER__BODY_HELLO_NONCE && a->hello_nonce->nonce.len == NONCE)
        memcpy(nonce, a->hello_nonce->nonce.data, NONCE);
    if (a->body_case == WIRE__ANSWER__BODY_WELCOME && a->welcome->live_token.len == TOKEN)
        memcpy(on.token, a->welcome->live_token.data, TOKEN);
    if (a->body_case == WIRE__ANSWER__BODY_WORK_ORDERS && a->work_orders->n_hooks) {
        const Wire__HookOrder *o = a->work_orders->hooks[0];
        on.order = *o;
        if (o->token.len <= sizeof on.order_token)
            memcpy(on.order_token, o->token.data, o->token.len);
        on.order.token = (ProtobufCBinaryData){ o->token.len, on.order_token };
    }
}

void bus_reply(struct bus_request *b, const void *data, size_t len)
{
    struct req *r = (struct req *)b;
    if (r->answered || !on.open)
        abort();
    r->answered = true;
    on.open--;
    arena_reset(&on.arena);
    Wire__Reply *m = wire__reply__unpack(arena_allocator(&on.arena), len, data);
    if (!m || m->n_answers != (r->sound ? r->items : 1))
        abort();
    for (size_t i = 0; i < m->n_answers; i++) {
        if (m->answers[i]->err >= ERR_N)
            abort();
        told(r, m->answers[i]);
    }
    free(r->copy);
}

// ---------------------------------------------------------------- the broker, as main.c puts it together

static void committed_cb(void *u, const struct batch *b)
{
    (void)u;
    on.epoch = b->epoch;
    on.newest = b->newest;
    intake_committed(on.intake, b->epoch, b->newest);
    outbox_committed(on.outbox, b);
    hooks_committed(on.hooks, b);
    fleet_touched(on.fleet, b->touched, b->n_touched);
}
static void fatal_cb(void *u) { (void)u, abort(); }
static void publish_cb(void *u, const Wire__Live *live) { (void)u, outbox_live(on.outbox, live); }
static void given_cb(void *u, uint64_t worker) { (void)u, fleet_given(on.fleet, worker); }
static void settled_cb(void *u) { (void)u, fleet_settle(on.fleet); }
static enum err open_key_cb(void *u, const uint8_t *sealed, size_t n, struct arena *a, char **ret)
{
    char *p = n >= SEAL_OVERHEAD ? arena_alloc(a, n - SEAL_OVERHEAD + 1) : NULL;
    (void)u;
    if (!p)
        return n < SEAL_OVERHEAD ? ERR_CORRUPT : ERR_NO_MEMORY;
    if (crypto_open(store_seal_key, sealed, n, p))
        *p = 0;
    else
        p[n - SEAL_OVERHEAD] = 0;
    *ret = p;
    return ERR_OK;
}
static void figures_cb(void *u, struct program_figures *ret)
{
    const struct turns_counts *t = turns_counts(on.turns);
    (void)u;
    memset(ret->value, 0, sizeof ret->value);
    ret->took_us = &t->took_us;
    ret->size = &t->size;
}

static void propose(struct cons *c, struct batch *b, cons_done_cb *done, void *u)
{
    (void)c;
    if (on.batch)
        abort(); // one at a time: turn.c's promise
    on.batch = b;
    on.done = done;
    on.u = u;
}
static int role(const struct cons *c, const char **ret_url) { (void)c, *ret_url = ""; return 1; }
static void stop(struct cons *c) { (void)c; }

static void decide(void)
{
    struct batch *b = on.batch;
    struct txn *t;
    on.batch = NULL;
    b->full = on.full;
    b->took_us = 10;
    if (store_begin(on.store, true, &t))
        abort();
    enum err e = fsm_apply(t, b);
    if (e && e != ERR_NO_MEMORY)
        abort();
    on.over = on.over || e;
    if (store_commit(t))
        abort();
    on.done(on.u, e ? OUTCOME_BUSY : OUTCOME_APPLIED, b);
}

static void settle(void)
{
    for (unsigned i = 0; !on.over; i++) {
        if (i > 4000)
            abort(); // it proposes for ever
        loop_settle();
        if (!on.batch)
            break;
        decide();
    }
}

// Retention and sweeps, which main.c proposes while events come.
static void swept(struct proposal *p, enum outcome st, const struct batch *b)
{
    (void)st, (void)b;
    on.sweeping = false;
    free(p);
}
static void sweep(void)
{
    static Wire__Item item;
    static Wire__Tick body;
    struct proposal *p = on.sweeping ? NULL : malloc(sizeof *p);
    if (!p)
        return;
    on.sweeping = true;
    item = (Wire__Item)WIRE__ITEM__INIT;
    body = (Wire__Tick)WIRE__TICK__INIT;
    body.at_most = 128;
    item.body_case = WIRE__ITEM__BODY_TICK;
    item.tick = &body;
    *p = (struct proposal){ .cmd = { .item = &item, .sender = SENDER_BROKER }, .done = swept };
    turn_submit(on.turns, p);
}

static void pass(uint64_t ms)
{
    loop.mono_ms += ms;
    settle();
    if (ms >= 60000)
        sweep();
    outbox_tick(on.outbox, on.epoch, on.newest);
    intake_tick(on.intake);
    hooks_tick(on.hooks);
    fleet_tick(on.fleet);
    settle();
}

static void start(void)
{
    static const struct cons_ops ops = { propose, role, stop };
    static uv_loop_t *l;
    struct turns_cbs cbs = { committed_cb, fatal_cb, NULL };
    arena_init(&on.arena, 64 << 20); // what it had is gone with the last input
    on.cons.ops = &ops;
    on.batch = NULL;
    on.chance = 1;
    on.n_req = on.open = 0;
    on.over = on.full = on.sweeping = false;
    on.epoch = store_epoch;
    on.newest = store_newest;
    memset(on.nonce, 0, sizeof on.nonce);
    memset(on.token, 0, sizeof on.token);
    on.order = (Wire__HookOrder)WIRE__HOOK_ORDER__INIT;
    struct hooks_conf hc = { .loop = (uv_loop_t *)&l, .store = on.store, .seal_key = store_seal_key, .retry_base_ms = 1000,
                             .given = given_cb, .settled = settled_cb, .open_key = open_key_cb };
    if (turns_new(hc.loop, &on.cons, store_log_ms, &cbs, &on.turns))
        abort();
    hc.turns = on.turns;
    if (outbox_new(NULL, &on.outbox) || hooks_new(&hc, &on.hooks))
        abort();
    struct fleet_conf fc = { on.store, on.turns, on.hooks, intake_answer_poll, publish_cb, open_key_cb, NULL };
    if (fleet_new(&fc, &on.fleet))
        abort();
    struct intake_conf ic = { hc.loop, on.store, on.turns, on.fleet, on.hooks, "ipc:///b", "ipc:///l", store_seal_key, figures_cb, NULL };
    if (intake_new(&ic, &on.intake))
        abort();
    intake_committed(on.intake, on.epoch, on.newest);
    if (hooks_load(on.hooks, on.newest) || fleet_load(on.fleet))
        abort();
    settle();
}

// ---------------------------------------------------------------- requests

// What this peer could know: its proof, its tokens.
static void know(Wire__Request *m, unsigned pipe)
{
    for (size_t i = 0; i < m->n_items; i++) {
        Wire__Item *it = m->items[i];
        if (it->body_case == WIRE__ITEM__BODY_HELLO_PROOF)
            it->hello_proof->signature = (ProtobufCBinaryData){ NONCE, on.nonce[pipe] };
        if (it->body_case == WIRE__ITEM__BODY_HOOK_REPORT && on.order.delivery) {
            Wire__HookReport *r = it->hook_report;
            r->token = on.order.token;
            r->webhook = on.order.webhook;
            r->workspace = on.order.workspace;
            r->delivery = on.order.delivery;
            r->attempt = on.order.attempt;
        }
        if (it->body_case == WIRE__ITEM__BODY_WORK_POLL)
            for (size_t k = 0; k < it->work_poll->n_hooks; k++)
                it->work_poll->hooks[k]->token = on.order.token;
    }
}

static void request(unsigned pipe, const uint8_t *data, size_t n, bool knows)
{
    if (on.n_req == REQUESTS_MAX)
        return;
    struct req *r = &on.req[on.n_req++];
    arena_reset(&on.arena);
    Wire__Request *m = wire__request__unpack(arena_allocator(&on.arena), n, data);
    *r = (struct req){ .r.pipe = pipe };
    r->sound = m && m->client_id.len == 16 && m->n_items >= 1 && m->n_items <= ITEMS_MAX;
    r->items = m ? m->n_items : 0;
    if (m && knows) {
        know(m, pipe);
        n = wire__request__get_packed_size(m);
        r->copy = malloc(n ? n : 1);
        if (!r->copy || wire__request__pack(m, r->copy) != n)
            abort();
    } else {
        r->copy = malloc(n ? n : 1);
        if (!r->copy)
            abort();
        if (n)
            memcpy(r->copy, data, n);
    }
    r->r.data = r->copy;
    r->r.len = n;
    on.open++;
    intake_request(on.intake, &r->r);
    settle();
}

static void say(unsigned pipe, Wire__Item *item)
{
    static uint8_t id[16], packed[256];
    Wire__Request m = WIRE__REQUEST__INIT;
    m.client_id = (ProtobufCBinaryData){ sizeof id, id };
    item->number = 1;
    m.items = &item;
    m.n_items = 1;
    request(pipe, packed, wire__request__pack(&m, packed), true);
}

static void greet(unsigned pipe, unsigned peer, char *name)
{
    Wire__Hello hello = WIRE__HELLO__INIT;
    Wire__HelloProof proof = WIRE__HELLO_PROOF__INIT;
    Wire__Item one = WIRE__ITEM__INIT, two = WIRE__ITEM__INIT;
    hello.peer = peer;
    hello.name = name;
    one.body_case = WIRE__ITEM__BODY_HELLO;
    one.hello = &hello;
    say(pipe, &one);
    proof.incarnation = 1;
    two.body_case = WIRE__ITEM__BODY_HELLO_PROOF;
    two.hello_proof = &proof;
    say(pipe, &two);
}

static void live(const uint8_t *data, size_t n, bool knows)
{
    struct arena a;
    arena_init(&a, 4 * 1024 * 1024);
    Wire__Live *m = wire__live__unpack(arena_allocator(&a), n, data);
    if (m && knows)
        m->token = (ProtobufCBinaryData){ TOKEN, on.token };
    if (m)
        fleet_live(on.fleet, m);
    arena_fini(&a);
    settle();
}

static void frame(const struct pb_frame *f)
{
    static const uint64_t steps[] = { 1, 100, 500, 1000, 5000, 11000, 31000, 60000, 61 * 60000, 24 * 3600000ull, 8 * 24 * 3600000ull };
    bool knows = !(f->kind & 0x80);
    switch (f->kind % KINDS) {
    case KIND_LIVE:
        live(f->p, f->n, knows);
        return;
    case KIND_TIME:
        for (size_t i = 0; i < f->n && i < 8 && !on.over; i++)
            pass(steps[f->p[i] % (sizeof steps / sizeof *steps)]);
        on.full = f->n && f->p[0] & 0x80;
        return;
    case KIND_GONE:
        intake_pipe_gone(on.intake, f->n ? f->p[0] % PIPES : 0);
        settle();
        return;
    default:
        request((f->kind & 0x40 ? 2 : 0) + f->kind % 2, f->p, f->n, knows);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char gateway[] = "g1", worker[] = "w1";
    struct pb_frame f;
    if (!on.store) {
        on.store = broker_store();
    }
    store_enter(on.store);
    loop_begin();
    heap_begin();
    start();
    greet(0, 1, gateway);
    greet(1, 2, worker);
    while (!on.over && frame_next(&data, &size, &f))
        frame(&f);
    for (unsigned i = 0; i < 25 && on.open && !on.over; i++) // polls are held for ten seconds, waits for one
        pass(1000);
    if (on.open && !on.over)
        abort();
    heap_end();
    store_leave();
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
