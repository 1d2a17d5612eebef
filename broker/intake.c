// Happy path: a request is unpacked into an arena of its own; each item is answered at once (queries, ping), by a turn (commands), or
// by the fleet (polls); the answers gather packed, and with the last one the reply goes out.
#include "intake.h"
#include <stdlib.h>
#include <string.h>
#include "arena.h"
#include "apply.h"
#include "buf.h"
#include "bus.h"
#include "check.h"
#include "clock.h"
#include "crypto.h"
#include "fault.h"
#include "fleet.h"
#include "hook.h"
#include "list.h"
#include "log.h"
#include "map.h"
#include "query.h"
#include "turn.h"

enum {
    POOL_MAX = 64,                        // requests whose memory is kept for the next
    REPLY_MAX = BUS_MSG_MAX - 4096,
    UNPACKED_MAX = 16 * 1024 * 1024, ANSWER_MAX = 128 * 1024 * 1024,
    GREET_MS = 5000,                      // a connection that has not proved itself by then is forgotten
    WAIT_MS = 1000, NONCE_SIZE = 32, PIPES_MAX = 4096,
};

enum peer_role { PEER_NONE, PEER_GATEWAY, PEER_WORKER };

struct pipe {
    uint32_t id;
    enum peer_role role;                  // as proved; NONE before
    enum peer_role claimed;
    char name[PEER_NAME_MAX + 1];
    uint8_t nonce[NONCE_SIZE];
    uint64_t peer, incarnation;
    uint64_t since;                       // monotonic
    struct list at;
};

struct pending;
struct slot {                             // one item of a request
    struct proposal p;
    struct pending *of;
    uint64_t number;
    Wire__Item hello;                     // the command a worker's proof becomes
    Wire__WorkerHello hello_body;
    char name[PEER_NAME_MAX + 1];
    uint64_t wait_for, wait_until;
    struct list at;                       // of those who wait for a number
};
struct pending {
    struct intake *in;
    struct bus_request *r;
    Wire__Request *m;
    struct arena arena;
    struct buf out;                       // packed answers, each as an entry of Reply.answers
    size_t n, open;                       // items; not answered yet
    bool polling;                         // its one item is a poll, and the fleet holds it
    uint64_t epoch, newest;
    enum peer_role role;
    uint64_t peer, incarnation;           // of the pipe, as it was when this came
    struct slot *slots, one;              // in the arena, unless there is one only
    struct list at;                       // of all that are open, or the pool
};

struct intake {
    struct intake_conf conf;
    struct map pipes;                     // by pipe id + 1
    struct list all_pipes, pool, open, waits;
    unsigned n_pool, n_open, n_polls;
    uint64_t n_requests, n_queries;       // since the start
    struct arena answers;                 // of the query at hand
    struct buf reply;
    uint64_t epoch, newest;
};

// ---------------------------------------------------------------- the reply

static void put_varint(struct buf *b, uint64_t v)
{
    while (v > 127) {
        buf_putc(b, (char)(uint8_t)(v | 128));
        v >>= 7;
    }
    buf_putc(b, (char)v);
}

// Reply.answers, field 3, length-delimited (protobuf encoding: concatenated fields make one message).
static void put_answer(struct buf *b, const Wire__Answer *a)
{
    size_t n = wire__answer__get_packed_size(a);
    buf_putc(b, (3 << 3) | 2);
    put_varint(b, n);
    uint8_t *p = buf_reserve(b, n);
    if (!p)
        return;
    wire__answer__pack(a, p);
    b->len += n;
}

static void release(struct pending *p)
{
    struct intake *in = p->in;
    list_remove(&p->at);
    in->n_open--;
    if (in->n_pool < POOL_MAX) {
        arena_reset(&p->arena);
        if (p->out.cap > 64 * 1024)
            buf_fini(&p->out);
        list_push_back(&in->pool, &p->at);
        in->n_pool++;
        return;
    }
    arena_fini(&p->arena);
    buf_fini(&p->out);
    free(p);
}

static void send_reply(struct pending *p)
{
    struct intake *in = p->in;
    Wire__Reply head = WIRE__REPLY__INIT;
    head.epoch = p->epoch > in->epoch ? p->epoch : in->epoch;
    head.newest = p->newest;
    buf_reset(&in->reply);
    uint8_t *to = buf_reserve(&in->reply, wire__reply__get_packed_size(&head));
    if (to)
        in->reply.len += wire__reply__pack(&head, to);
    if (!p->out.err)
        buf_put(&in->reply, p->out.data, p->out.len);
    if (in->reply.err || p->out.err) { // larger than a reply may be: each item is told so
        p->out.err = ERR_OK;
        buf_reset(&in->reply);
        for (size_t i = 0; i < p->n; i++) {
            Wire__Answer a = WIRE__ANSWER__INIT;
            a.number = p->slots[i].number;
            a.err = ERR_OVERLOADED;
            put_answer(&in->reply, &a);
        }
    }
    bus_reply(p->r, in->reply.data, in->reply.len);
    release(p);
}

static void answered(struct slot *s, Wire__Answer *a, uint64_t newest)
{
    struct pending *p = s->of;
    a->number = s->number;
    put_answer(&p->out, a);
    if (newest > p->newest)
        p->newest = newest;
    if (--p->open == 0)
        send_reply(p);
}

static void refused(struct slot *s, enum err e)
{
    Wire__Answer a = WIRE__ANSWER__INIT;
    a.err = e;
    answered(s, &a, s->of->in->newest);
}

// ---------------------------------------------------------------- greeting

static struct pipe *pipe_of(struct intake *in, uint32_t id)
{
    struct pipe *p = map_get(&in->pipes, (uint64_t)id + 1);
    if (p || in->pipes.n >= PIPES_MAX)
        return p;
    p = calloc(1, sizeof *p);
    if (!p || map_put(&in->pipes, (uint64_t)id + 1, p)) {
        free(p);
        return NULL;
    }
    p->id = id;
    p->since = clock_mono_ms();
    list_push_back(&in->all_pipes, &p->at);
    return p;
}

static void forget_pipe(struct intake *in, struct pipe *p)
{
    map_del(&in->pipes, (uint64_t)p->id + 1);
    list_remove(&p->at);
    free(p);
}

static void hello(struct slot *s, struct pipe *pipe, const Wire__Hello *m)
{
    Wire__Answer a = WIRE__ANSWER__INIT;
    Wire__HelloNonce n = WIRE__HELLO_NONCE__INIT;
    if ((m->peer != PEER_GATEWAY && m->peer != PEER_WORKER) || !peer_name_ok(m->name)) {
        refused(s, ERR_BAD_REQUEST);
        return;
    }
    pipe->claimed = (enum peer_role)m->peer;
    strncpy(pipe->name, m->name, sizeof pipe->name - 1);
    crypto_random(pipe->nonce, sizeof pipe->nonce);
    n.nonce = (ProtobufCBinaryData){ sizeof pipe->nonce, pipe->nonce };
    a.body_case = WIRE__ANSWER__BODY_HELLO_NONCE;
    a.hello_nonce = &n;
    answered(s, &a, s->of->in->newest);
}

// role and peer are what was proved: the pipe may have claimed something else meanwhile.
static void welcome(struct slot *s, struct pipe *pipe, enum peer_role role, uint64_t peer, const uint8_t *token)
{
    union { const char *in; char *out; } bus = { s->of->in->conf.bus_url }, live = { s->of->in->conf.live_url };
    union { const uint8_t *in; uint8_t *out; } tok = { token };
    static char version[] = MC_VERSION;
    Wire__Answer a = WIRE__ANSWER__INIT;
    Wire__Welcome w = WIRE__WELCOME__INIT;
    pipe->role = role;
    pipe->peer = peer;
    w.bus = bus.out;
    w.version = version;
    w.time_ms = clock_wall_ms();
    if (token) {
        w.live = live.out;
        w.live_token = (ProtobufCBinaryData){ 16, tok.out };
        w.worker = peer;
    }
    a.body_case = WIRE__ANSWER__BODY_WELCOME;
    a.welcome = &w;
    answered(s, &a, s->of->in->newest);
}

static void worker_greeted_done(struct proposal *pr, enum outcome st, const struct batch *b)
{
    struct slot *s = container_of(pr, struct slot, p);
    struct pending *p = s->of;
    struct pipe *pipe = map_get(&p->in->pipes, (uint64_t)p->r->pipe + 1);
    uint8_t token[16];
    enum err e = turn_err(st);
    (void)b;
    if (!e)
        e = err_from_wire(pr->cmd.answer.err);
    if (!e && !pipe)
        e = ERR_CLOSED;
    if (!e)
        e = fleet_greeted(p->in->conf.fleet, s->hello_body.worker, s->name, s->hello_body.incarnation, token);
    if (e) {
        refused(s, e);
        return;
    }
    pipe->incarnation = s->hello_body.incarnation;
    welcome(s, pipe, PEER_WORKER, s->hello_body.worker, token);
}

static void greet_worker(struct slot *s, const struct pipe *pipe, uint64_t peer, const Wire__HelloProof *m)
{
    struct intake *in = s->of->in;
    memcpy(s->name, pipe->name, sizeof s->name);
    s->hello_body = (Wire__WorkerHello)WIRE__WORKER_HELLO__INIT;
    s->hello_body.worker = peer;
    s->hello_body.incarnation = m->incarnation;
    s->hello_body.holds = m->holds;
    s->hello_body.n_holds = m->n_holds;
    s->hello_body.version = m->version;
    s->hello = (Wire__Item)WIRE__ITEM__INIT;
    s->hello.number = s->number;
    s->hello.body_case = WIRE__ITEM__BODY_WORKER_HELLO;
    s->hello.worker_hello = &s->hello_body;
    s->p.cmd.item = &s->hello;
    s->p.cmd.sender = SENDER_BROKER;
    s->p.cmd.client_id = NULL;
    s->p.done = worker_greeted_done;
    turn_submit(in->conf.turns, &s->p);
}

static void proof(struct slot *s, struct pipe *pipe, const Wire__HelloProof *m)
{
    struct intake *in = s->of->in;
    struct query q = { .store = in->conf.store, .fleet = in->conf.fleet, .arena = &in->answers };
    Rec__Peer *peer = NULL;
    bool known = false;
    arena_reset(&in->answers);
    enum err e = pipe->claimed ? query_begin(&q) : ERR_NOT_GREETED;
    if (!e) {
        e = query_peer(&q, pipe->claimed, pipe->name, &peer);
        known = !e && peer->public_key.len == PEER_PUBLIC_SIZE &&
                peer_verify(peer->public_key.data, pipe->claimed, pipe->name, pipe->nonce, sizeof pipe->nonce, m->signature.data, m->signature.len);
        query_end(&q);
    }
    crypto_random(pipe->nonce, sizeof pipe->nonce); // a nonce serves once
    if (e == ERR_NOT_FOUND || (!e && !known)) {
        log_warn("a %s that calls itself %s could not prove it", pipe->claimed == PEER_WORKER ? "worker" : "gateway", pipe->name);
        e = ERR_UNAUTHORIZED;
    }
    if (e) {
        refused(s, e);
        return;
    }
    if (pipe->claimed == PEER_WORKER)
        greet_worker(s, pipe, peer->id, m);
    else
        welcome(s, pipe, PEER_GATEWAY, peer->id, NULL);
}

// ---------------------------------------------------------------- items

static void command_done(struct proposal *pr, enum outcome st, const struct batch *b)
{
    struct slot *s = container_of(pr, struct slot, p);
    Wire__Answer *a = &pr->cmd.answer;
    if (s->of->role == PEER_GATEWAY) // a client waits for it
        fault_point("command_decided");
    if (st == OUTCOME_APPLIED && !a->err && a->body_case == WIRE__ANSWER__BODY_REPORT_ACK)
        a->report_ack->freed = true;
    if (st == OUTCOME_APPLIED)
        answered(s, &pr->cmd.answer, b->newest);
    else
        refused(s, turn_err(st));
}

// A secret in clear never becomes part of a command: it is sealed here, where randomness is allowed.
static enum err seal(struct pending *p, char **secret, ProtobufCBinaryData *sealed)
{
    static char nothing[1];
    size_t n = strlen(*secret);
    *sealed = (ProtobufCBinaryData){ 0, NULL }; // only ours is believed
    if (!n)
        return ERR_OK;
    uint8_t *out = arena_alloc(&p->arena, n + SEAL_OVERHEAD);
    if (!out)
        return ERR_NO_MEMORY;
    crypto_seal(p->in->conf.seal_key, *secret, n, out);
    crypto_wipe(*secret, n);
    *secret = nothing;
    *sealed = (ProtobufCBinaryData){ n + SEAL_OVERHEAD, out };
    return ERR_OK;
}

// What a command needs beside what its sender says: from chance, from the live side.
static enum err add_ours(struct pending *p, Wire__Item *i)
{
    Wire__DesktopPut *d;
    Wire__WebhookPut *h;
    switch (i->body_case) {
    case WIRE__ITEM__BODY_DESKTOP_CREATE:
    case WIRE__ITEM__BODY_DESKTOP_EDIT:
        d = i->body_case == WIRE__ITEM__BODY_DESKTOP_CREATE ? i->desktop_create : i->desktop_edit;
        return seal(p, &d->chat_key, &d->chat_key_sealed);
    case WIRE__ITEM__BODY_WEBHOOK_CREATE:
    case WIRE__ITEM__BODY_WEBHOOK_EDIT:
        h = i->body_case == WIRE__ITEM__BODY_WEBHOOK_CREATE ? i->webhook_create : i->webhook_edit;
        h->passed = hooks_passed(p->in->conf.hooks, h->id);
        return seal(p, &h->secret, &h->secret_sealed);
    case WIRE__ITEM__BODY_HOOK_REPORT:
        return hooks_report(p->in->conf.hooks, p->peer, i->hook_report);
    default:
        return ERR_OK;
    }
}

static void command(struct slot *s)
{
    struct pending *p = s->of;
    Wire__Item *i = s->p.cmd.item;
    enum err e = add_ours(p, i);
    if (e) {
        refused(s, e);
        return;
    }
    s->p.cmd.sender = p->role == PEER_WORKER ? SENDER_WORKER : SENDER_GATEWAY;
    s->p.cmd.worker = p->peer;
    s->p.cmd.incarnation = p->incarnation;
    s->p.cmd.client_id = p->role == PEER_GATEWAY ? p->m->client_id.data : NULL;
    s->p.cmd.answered_up_to = p->m->answered_up_to;
    s->p.done = command_done;
    turn_submit(p->in->conf.turns, &s->p);
    struct fault f;
    if (i->body_case == WIRE__ITEM__BODY_WORK_REPORT && p->role == PEER_WORKER && check_work_report(i->work_report, &f) == ERR_OK)
        fleet_reported(p->in->conf.fleet, p->peer, i->work_report);
}

static void wait_sequence(struct slot *s, uint64_t number)
{
    struct intake *in = s->of->in;
    Wire__Answer a = WIRE__ANSWER__INIT;
    if (number <= in->newest) {
        answered(s, &a, in->newest);
        return;
    }
    s->wait_for = number;
    s->wait_until = clock_mono_ms() + WAIT_MS;
    list_push_back(&in->waits, &s->at);
}

static bool stale_worker(const struct pending *p)
{
    return p->role == PEER_WORKER && !fleet_current(p->in->conf.fleet, p->peer, p->incarnation);
}

static void item(struct slot *s, struct pipe *pipe)
{
    struct pending *p = s->of;
    const Wire__Item *i = s->p.cmd.item;
    switch (i->body_case) {
    case WIRE__ITEM__BODY_PING: {
        Wire__Answer a = WIRE__ANSWER__INIT;
        answered(s, &a, p->in->newest);
        return;
    }
    case WIRE__ITEM__BODY_HELLO:
        hello(s, pipe, i->hello);
        return;
    case WIRE__ITEM__BODY_HELLO_PROOF:
        proof(s, pipe, i->hello_proof);
        return;
    default:
        break;
    }
    if (p->role == PEER_NONE || stale_worker(p)) {
        refused(s, ERR_NOT_GREETED);
    } else if (i->body_case == WIRE__ITEM__BODY_WAIT_SEQUENCE && p->role == PEER_GATEWAY) {
        wait_sequence(s, i->wait_sequence->sequence);
    } else if (i->body_case == WIRE__ITEM__BODY_WORK_POLL && p->role == PEER_WORKER) {
        struct fault f;
        enum err e = check_work_poll(i->work_poll, &f);
        if (e) {
            refused(s, e);
            return;
        }
        p->in->n_polls++;
        if (p->n == 1) { // it may be held for long: its memory is not. The fleet has copied what it needs.
            struct arena unpacked = p->arena;
            Wire__WorkPoll *m = i->work_poll;
            arena_init(&p->arena, UNPACKED_MAX);
            s->p.cmd.item = NULL;
            p->polling = true;
            fleet_poll(p->in->conf.fleet, p->peer, m, s);
            arena_fini(&unpacked);
        } else {
            fleet_poll(p->in->conf.fleet, p->peer, i->work_poll, s);
        }
    } else if (apply_is_command(i->body_case)) {
        command(s);
    } else {
        refused(s, ERR_BAD_REQUEST);
    }
}

// ---------------------------------------------------------------- requests

static struct pending *pending_new(struct intake *in)
{
    struct list *l = list_pop_front(&in->pool);
    struct pending *p = l ? container_of(l, struct pending, at) : calloc(1, sizeof *p);
    if (!p)
        return NULL;
    if (l) {
        in->n_pool--;
        buf_reset(&p->out);
    } else {
        arena_init(&p->arena, UNPACKED_MAX);
        buf_init(&p->out, REPLY_MAX);
    }
    p->in = in;
    p->newest = 0;
    p->polling = false;
    p->epoch = in->epoch;
    list_push_back(&in->open, &p->at);
    in->n_open++;
    return p;
}

static void reply_error(struct bus_request *r, enum err e)
{
    uint8_t packed[64];
    Wire__Reply m = WIRE__REPLY__INIT;
    Wire__Answer a = WIRE__ANSWER__INIT, *list[1] = { &a };
    a.err = e;
    m.answers = list;
    m.n_answers = 1;
    bus_reply(r, packed, wire__reply__pack(&m, packed));
}

// Every query of a request reads the same snapshot. It ends before the last is answered, which may send the reply and free p;
// answers hold nothing of it.
static void run_queries(struct pending *p, uint64_t queries)
{
    struct query q = { .store = p->in->conf.store, .fleet = p->in->conf.fleet, .arena = &p->in->answers,
                       .figures = p->in->conf.figures, .figures_u = p->in->conf.figures_u };
    arena_reset(q.arena);
    q.settled_ms = turns_settled_ms(p->in->conf.turns);
    enum err e = query_begin(&q);
    for (size_t i = 0; queries; i++) {
        Wire__Answer a = WIRE__ANSWER__INIT;
        if (!(queries & (uint64_t)1 << i))
            continue;
        queries &= ~((uint64_t)1 << i);
        p->in->n_queries++;
        arena_reset(q.arena);
        a.err = e;
        if (!e)
            query_run(&q, p->slots[i].p.cmd.item, &a);
        if (!e && !queries)
            query_end(&q);
        answered(&p->slots[i], &a, q.newest);
    }
}

static void handle(struct pending *p)
{
    struct intake *in = p->in;
    size_t n = p->m->n_items;
    uint64_t queries = 0;
    struct pipe *pipe = pipe_of(in, p->r->pipe);
    p->role = pipe ? pipe->role : PEER_NONE;
    p->peer = pipe ? pipe->peer : 0;
    p->incarnation = pipe ? pipe->incarnation : 0;
    p->n = p->open = n;
    for (size_t i = 0; i < n; i++) {
        struct slot *s = &p->slots[i];
        *s = (struct slot){ .of = p, .number = p->m->items[i]->number, .p.cmd.item = p->m->items[i] };
        list_init(&s->at);
        list_init(&s->p.at);
        if (query_is(p->m->items[i]->body_case) && p->role == PEER_GATEWAY)
            queries |= (uint64_t)1 << i;
    }
    for (size_t i = 0; i < n; i++) {
        bool last = i + 1 == n;
        if (queries & (uint64_t)1 << i)
            continue;
        if (!pipe) {
            refused(&p->slots[i], ERR_OVERLOADED);
        } else {
            item(&p->slots[i], pipe);
        }
        if (last && !queries)
            return; // p may be gone
    }
    if (queries)
        run_queries(p, queries);
}

void intake_request(void *u, struct bus_request *r)
{
    struct intake *in = u;
    struct pending *p = pending_new(in);
    in->n_requests++;
    if (!p) {
        reply_error(r, ERR_NO_MEMORY);
        return;
    }
    p->r = r;
    r->u = p;
    fault_point("intake_request");
    p->m = wire__request__unpack(arena_allocator(&p->arena), r->len, r->data);
    bool ok = p->m && p->m->n_items >= 1 && p->m->n_items <= ITEMS_MAX && p->m->client_id.len == 16;
    p->slots = &p->one;
    if (ok && p->m->n_items > 1)
        p->slots = arena_alloc(&p->arena, p->m->n_items * sizeof *p->slots);
    ok = ok && p->slots;
    if (!ok) {
        log_warn("a malformed request of %zu octets was refused", r->len);
        reply_error(r, ERR_BAD_REQUEST);
        release(p);
        return;
    }
    handle(p);
}

void intake_pipe_gone(void *u, uint32_t id)
{
    struct intake *in = u;
    struct pipe *pipe = map_get(&in->pipes, (uint64_t)id + 1);
    if (pipe)
        forget_pipe(in, pipe);
    list_each(n, next, &in->open) { // no work for a worker that is not there to take it
        struct pending *p = container_of(n, struct pending, at);
        if (!p->polling || p->r->pipe != id)
            continue;
        fleet_poll_gone(in->conf.fleet, &p->slots[0]);
        in->n_polls--;
        p->polling = false;
        refused(&p->slots[0], ERR_CLOSED);
    }
}

void intake_answer_poll(void *poll, struct Wire__Answer *a)
{
    struct slot *s = poll;
    s->of->in->n_polls--;
    s->of->polling = false;
    answered(s, a, s->of->in->newest);
}

void intake_committed(struct intake *in, uint64_t epoch, uint64_t newest)
{
    in->epoch = epoch;
    in->newest = newest;
    list_each(n, next, &in->waits) {
        struct slot *s = container_of(n, struct slot, at);
        Wire__Answer a = WIRE__ANSWER__INIT;
        if (s->wait_for > newest)
            continue;
        list_remove(&s->at);
        answered(s, &a, newest);
    }
}

void intake_tick(struct intake *in)
{
    uint64_t now = clock_mono_ms();
    list_each(n, next, &in->waits) {
        struct slot *s = container_of(n, struct slot, at);
        if (now < s->wait_until)
            continue;
        list_remove(&s->at);
        refused(s, ERR_TIMEOUT);
    }
    list_each(at, after, &in->all_pipes) {
        struct pipe *p = container_of(at, struct pipe, at);
        if (p->role == PEER_NONE && now > p->since + GREET_MS)
            forget_pipe(in, p);
    }
}

struct intake_counts intake_counts(const struct intake *in)
{
    return (struct intake_counts){ .requests = in->n_requests, .queries = in->n_queries, .pipes = (unsigned)in->pipes.n, .polls = in->n_polls };
}

unsigned intake_open(const struct intake *in)
{
    return in->n_open - in->n_polls;
}

enum err intake_new(const struct intake_conf *conf, struct intake **ret)
{
    struct intake *in = calloc(1, sizeof *in);
    if (!in)
        return ERR_NO_MEMORY;
    in->conf = *conf;
    list_init(&in->all_pipes);
    list_init(&in->pool);
    list_init(&in->open);
    list_init(&in->waits);
    arena_init(&in->answers, ANSWER_MAX);
    buf_init(&in->reply, BUS_MSG_MAX);
    *ret = in;
    return ERR_OK;
}
