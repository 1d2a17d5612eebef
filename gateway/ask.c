// What one loop turn asks goes out together. Happy path: ask_send packs the item behind the others of its kind; the idle
// handle it starts makes the loop come round without waiting, and there the batch leaves as one request of the peer; the
// reply's answers are handed to their askers by number.
//
// Three kinds, never in one batch: commands (durable, one commit for many), queries, and waits (WaitSequence), which the
// broker holds for up to a second and which would hold their neighbours too. While several requests are on their way already
// a further batch is kept for up to HOLD_MS so that more gather in it: a request costs both sides 15 to 20 us, an item in it
// less than one. When nothing is on its way nothing is kept.
//
// An answer may be as large as the object it shows, and the peer takes no reply above BUS_MSG_MAX: each item is weighed by
// the largest answer it can bring.
#include "ask.h"
#include <stdlib.h>
#include <string.h>
#include <uv.h>
#include "check.h"
#include "fault.h"
#include "figures.h"
#include "gateway.h"
#include "peer.h"

enum {
    TIMEOUT_MS = 1900,             // of the 2 s a client waits at most
    HOLD_MS = 10,
    UNDER_WAY = 3,                 // requests of a kind on their way before the next is kept for company
    BYTES_GOOD = 256 * 1024,       // a batch of this size leaves at once
    BYTES_MAX = REQUEST_MSG_MAX - 64 * 1024,
    REPLY_GOOD = 3 * 1024 * 1024,  // of BUS_MSG_MAX, 4 MiB
    OBJECT_MAX = CONTENT_MAX + 64 * 1024, // a task or approval at its largest
    PAGE_MAX = 512 * 1024,
    POOL_MAX = 8,
    BUF_KEEP = 512 * 1024,
};

enum kind { COMMAND, QUERY, WAIT, KINDS };

struct slot {
    struct ask_call *call;         // NULL: cancelled, or answered
    size_t actor, actor_n, body, body_n; // in bytes: each a length and the packed message
    unsigned tag;
};

struct batch {
    struct peer_call peer;
    struct ask *ask;
    struct list at;                // ask.pool
    enum kind kind;
    unsigned n;
    uint64_t first;                // number of item 0
    size_t reply;                  // the answers at their largest
    struct buf bytes;
    struct slot slot[ITEMS_MAX];
};

struct ask {
    struct gateway *gw;
    uv_idle_t idle;
    uv_timer_t timer;
    bool idling, timing;
    struct batch *open[KINDS];
    unsigned under_way[KINDS];
    struct list failed;            // calls that could not be packed: told on the next turn
    struct list pool;
    unsigned pooled;
    uint64_t epoch, newest;
};

static struct batch failed_mark;   // ask_call.impl of those in ask.failed

static enum kind kind_of(Wire__Item__BodyCase c)
{
    if (c == WIRE__ITEM__BODY_WAIT_SEQUENCE)
        return WAIT;
    return c >= WIRE__ITEM__BODY_CREDENTIAL_LOOKUP ? QUERY : COMMAND;
}

// A page ends with the object that passes its limit, and the broker has a limit of its own.
static size_t page(uint32_t bytes_max)
{
    return (bytes_max && bytes_max < PAGE_MAX ? bytes_max : PAGE_MAX) + (size_t)OBJECT_MAX;
}

// The largest answer this item can bring.
static size_t answer_max(const Wire__Item *i)
{
    switch (i->body_case) {
    case WIRE__ITEM__BODY_TASK_LIST: return page(i->task_list->bytes_max);
    case WIRE__ITEM__BODY_COMMENT_LIST: return page(i->comment_list->bytes_max);
    case WIRE__ITEM__BODY_APPROVAL_LIST: return page(i->approval_list->bytes_max);
    case WIRE__ITEM__BODY_OUTPUT_READ: return PAGE_MAX + OUTPUT_PIECE_MAX;
    case WIRE__ITEM__BODY_LOG_READ: return PAGE_MAX + 64 * 1024;
    case WIRE__ITEM__BODY_SESSION_LIST:
    case WIRE__ITEM__BODY_DESKTOP_LIST:
    case WIRE__ITEM__BODY_AGENT_LIST:
    case WIRE__ITEM__BODY_KEY_LIST:
    case WIRE__ITEM__BODY_STATS:
    case WIRE__ITEM__BODY_USER_LIST:
    case WIRE__ITEM__BODY_WORKSPACE_LIST:
    case WIRE__ITEM__BODY_WORKER_LIST: return REPLY_GOOD;
    case WIRE__ITEM__BODY_OVERVIEW:
    case WIRE__ITEM__BODY_DESKTOP_CREATE:
    case WIRE__ITEM__BODY_DESKTOP_EDIT:
    case WIRE__ITEM__BODY_DESKTOP_ACT:
    case WIRE__ITEM__BODY_DESKTOP_GET: return 256 * 1024;
    case WIRE__ITEM__BODY_COMMENT_ADD: return strlen(i->comment_add->content) + 2048;
    case WIRE__ITEM__BODY_TASK_CREATE: return strlen(i->task_create->content) + 2048;
    case WIRE__ITEM__BODY_TASK_DELETE:
    case WIRE__ITEM__BODY_DESKTOP_DELETE:
    case WIRE__ITEM__BODY_KEY_CREATE:
    case WIRE__ITEM__BODY_KEY_REVOKE:
    case WIRE__ITEM__BODY_SETTINGS_PUT:
    case WIRE__ITEM__BODY_SETTINGS_GET:
    case WIRE__ITEM__BODY_AGENT_GET:
    case WIRE__ITEM__BODY_AGENT_EDIT:
    case WIRE__ITEM__BODY_WORKER_DRAIN:
    case WIRE__ITEM__BODY_WORKER_ADD:
    case WIRE__ITEM__BODY_USER_CREATE:
    case WIRE__ITEM__BODY_USER_EDIT:
    case WIRE__ITEM__BODY_USER_DELETE:
    case WIRE__ITEM__BODY_USER_LOOKUP:
    case WIRE__ITEM__BODY_WORKSPACE_CREATE:
    case WIRE__ITEM__BODY_SIGN_IN:
    case WIRE__ITEM__BODY_SIGN_OUT:
    case WIRE__ITEM__BODY_PASSWORD_SET:
    case WIRE__ITEM__BODY_KEYS_USED:
    case WIRE__ITEM__BODY_CREDENTIAL_LOOKUP:
    case WIRE__ITEM__BODY_WAIT_SEQUENCE: return 4096;
    case WIRE__ITEM__BODY_SESSION_GET: return 32 * 1024;
    default: return OBJECT_MAX;
    }
}

// ---------------------------------------------------------------- batches

static struct batch *batch_new(struct ask *a, enum kind kind)
{
    struct list *n = list_pop_front(&a->pool);
    struct batch *b;

    if (n) {
        a->pooled--;
        b = container_of(n, struct batch, at);
    } else {
        b = malloc(sizeof *b);
        if (!b)
            return NULL;
        buf_init(&b->bytes, BYTES_MAX);
        list_init(&b->at);
        b->ask = a;
    }
    b->kind = kind;
    b->n = 0;
    b->reply = 0;
    buf_reset(&b->bytes);
    return b;
}

static void batch_free(struct batch *b)
{
    struct ask *a = b->ask;

    if (b->bytes.cap > BUF_KEEP)
        buf_fini(&b->bytes);
    if (a->pooled < POOL_MAX) {
        a->pooled++;
        list_push_back(&a->pool, &b->at);
    } else {
        buf_fini(&b->bytes);
        free(b);
    }
}

static void finish(struct slot *s, enum err e, const Wire__Answer *answer, uint64_t newest)
{
    struct ask_call *c = s->call;

    if (!c)
        return;
    s->call = NULL;
    c->impl = NULL;
    c->cb(c, e, answer, newest);
}

// The broker looks for what a repeat was answered before when it applies it. These errors say that it did not come to that: not what
// became of what was sent first.
static enum err of_repeat(enum err e)
{
    switch (e) {
    case ERR_UNAUTHORIZED:
    case ERR_FORBIDDEN:
    case ERR_OVERLOADED:
    case ERR_STORAGE_FULL:
    case ERR_CORRUPT:
    case ERR_NO_MEMORY:
        return ERR_OUTCOME_UNKNOWN;
    default:
        return e;
    }
}

static void wake(struct ask *a);

static void replied_cb(struct peer_call *call, enum err e, const Wire__Reply *reply)
{
    struct batch *b = container_of(call, struct batch, peer);
    struct ask *a = b->ask;

    fault_point("gateway_answered");
    a->under_way[b->kind]--;
    if (a->open[b->kind])
        wake(a);
    if (e != ERR_OK)
        figure_count(a->gw, FIGURE_GATEWAY_UNANSWERED);
    if (e == ERR_OK) {
        ask_saw(a, reply->epoch, reply->newest);
        for (size_t i = 0; i < reply->n_answers; i++) {
            const Wire__Answer *w = reply->answers[i];
            enum err each = err_from_wire(w->err);
            if (b->kind == COMMAND && call->repeated)
                each = of_repeat(each);
            if (w->number >= b->first && w->number - b->first < b->n)
                finish(&b->slot[w->number - b->first], each, each == err_from_wire(w->err) ? w : NULL, reply->newest);
        }
        e = ERR_INTERNAL; // for whom the reply had nothing
    } else if (e == ERR_OUTCOME_UNKNOWN && b->kind != COMMAND) {
        e = ERR_UNAVAILABLE; // a question changes nothing
    } else if (e != ERR_OUTCOME_UNKNOWN && e != ERR_OVERLOADED) {
        e = ERR_UNAVAILABLE;
    }
    for (unsigned i = 0; i < b->n; i++)
        finish(&b->slot[i], e, NULL, a->newest);
    batch_free(b);
}

static ProtobufCMessageUnknownField packed(unsigned tag, size_t n, uint8_t *data)
{
    return (ProtobufCMessageUnknownField){ tag, PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, n, data };
}

// The items are given to the peer as messages whose fields 2 (actor) and body stand, already packed, among the fields "it
// does not know": it numbers them, and protobuf-c writes such fields out as they are.
static void send_batch(struct ask *a, enum kind kind)
{
    static Wire__Item item[ITEMS_MAX];
    static ProtobufCMessageUnknownField field[ITEMS_MAX][2];
    static Wire__Item *items[ITEMS_MAX];
    struct batch *b = a->open[kind];

    a->open[kind] = NULL;
    for (unsigned i = 0; i < b->n; i++) {
        const struct slot *s = &b->slot[i];
        unsigned k = 0;
        wire__item__init(&item[i]);
        if (s->actor_n)
            field[i][k++] = packed(2, s->actor_n, b->bytes.data + s->actor);
        field[i][k++] = packed(s->tag, s->body_n, b->bytes.data + s->body);
        item[i].base.n_unknown_fields = k;
        item[i].base.unknown_fields = field[i];
        items[i] = &item[i];
    }
    b->peer = (struct peer_call){ .cb = replied_cb };
    a->under_way[kind]++;
    figure_count(a->gw, FIGURE_GATEWAY_ASKS);
    peer_ask(a->gw->peer, &b->peer, items, b->n, TIMEOUT_MS);
    fault_point("gateway_asked");
    b->first = item[0].number;
}

static void held_cb(uv_timer_t *t)
{
    struct ask *a = t->data;

    a->timing = false;
    for (unsigned k = 0; k < KINDS; k++)
        if (a->open[k])
            send_batch(a, k);
}

static void turn_cb(uv_idle_t *h)
{
    struct ask *a = h->data;
    struct list failed, *n;

    uv_idle_stop(h);
    a->idling = false;
    for (unsigned k = 0; k < KINDS; k++) {
        if (!a->open[k])
            continue;
        if (k == WAIT || a->under_way[k] < UNDER_WAY || !peer_is_up(a->gw->peer)) {
            send_batch(a, k);
        } else if (!a->timing) {
            a->timing = true;
            uv_timer_start(&a->timer, held_cb, HOLD_MS, 0);
        }
    }
    list_init(&failed);
    list_take(&failed, &a->failed);
    while ((n = list_pop_front(&failed))) {
        struct ask_call *c = container_of(n, struct ask_call, at);
        c->impl = NULL;
        c->cb(c, ERR_OVERLOADED, NULL, a->newest);
    }
}

static void wake(struct ask *a)
{
    if (a->idling)
        return;
    a->idling = true;
    uv_idle_start(&a->idle, turn_cb);
}

// ---------------------------------------------------------------- the public part

enum err ask_new(struct gateway *gw, struct ask **ret)
{
    struct ask *a = calloc(1, sizeof *a);

    if (!a)
        return ERR_NO_MEMORY;
    a->gw = gw;
    list_init(&a->failed);
    list_init(&a->pool);
    if (uv_idle_init(gw->loop, &a->idle) != 0 || uv_timer_init(gw->loop, &a->timer) != 0) {
        free(a);
        return ERR_INTERNAL;
    }
    a->idle.data = a->timer.data = a;
    *ret = a;
    return ERR_OK;
}

static void put_varint(uint8_t **p, size_t n)
{
    for (; n >= 0x80; n >>= 7)
        *(*p)++ = (uint8_t)(n | 0x80);
    *(*p)++ = (uint8_t)n;
}

// A length and the message; *ret_at and *ret_n tell where. False: no room.
static bool put_message(struct buf *b, const ProtobufCMessage *m, size_t *ret_at, size_t *ret_n)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *start = buf_reserve(b, n + 10), *p = start;

    if (!p)
        return false;
    put_varint(&p, n);
    p += protobuf_c_message_pack(m, p);
    *ret_at = b->len;
    *ret_n = (size_t)(p - start);
    b->len += *ret_n;
    return true;
}

static bool put_item(struct batch *b, struct slot *s, const struct actor *who, const Wire__Item *item)
{
    size_t before = b->bytes.len;

    *s = (struct slot){ .tag = (unsigned)item->body_case };
    if (who) {
        Wire__Actor m = WIRE__ACTOR__INIT;
        m.key = who->key;
        m.workspace = who->workspace;
        m.user = who->user;
        m.role = who->role;
        if (!put_message(&b->bytes, &m.base, &s->actor, &s->actor_n))
            goto no_room;
    }
    if (put_message(&b->bytes, &item->ping->base, &s->body, &s->body_n)) // every member of the union is a message
        return true;
no_room:
    b->bytes.len = before;
    b->bytes.err = ERR_OK;
    return false;
}

void ask_send(struct ask *a, struct ask_call *c, const struct actor *actor, Wire__Item *item)
{
    enum kind kind = kind_of(item->body_case);
    size_t reply = answer_max(item);

    wake(a);
    list_init(&c->at);
    // Where it does not fit behind the others they leave first; alone it must fit.
    for (unsigned tries = 0; tries < 2; tries++) {
        struct batch *b = a->open[kind];
        if (b && (b->n == ITEMS_MAX || b->bytes.len >= BYTES_GOOD || b->reply + reply > REPLY_GOOD)) {
            send_batch(a, kind);
            b = NULL;
        }
        if (!b)
            b = a->open[kind] = batch_new(a, kind);
        if (!b)
            break;
        if (put_item(b, &b->slot[b->n], actor, item)) {
            b->slot[b->n++].call = c;
            figure_count(a->gw, kind == COMMAND ? FIGURE_GATEWAY_COMMANDS : kind == QUERY ? FIGURE_GATEWAY_QUERIES : FIGURE_GATEWAY_WAITS);
            b->reply += reply;
            c->impl = b;
            if (kind == WAIT)
                send_batch(a, kind);
            return;
        }
        if (b->n == 0) {
            a->open[kind] = NULL;
            batch_free(b);
            break;
        }
        send_batch(a, kind);
    }
    c->impl = &failed_mark;
    list_push_back(&a->failed, &c->at);
}

void ask_cancel(struct ask_call *c)
{
    struct batch *b = c->impl;

    if (!b)
        return;
    c->impl = NULL;
    if (b == &failed_mark) {
        list_remove(&c->at);
        return;
    }
    for (unsigned i = 0; i < b->n; i++)
        if (b->slot[i].call == c)
            b->slot[i].call = NULL;
}

uint64_t ask_newest(const struct ask *a)
{
    return a->newest;
}

uint64_t ask_epoch(const struct ask *a)
{
    return a->epoch;
}

void ask_saw(struct ask *a, uint64_t epoch, uint64_t newest)
{
    if (a->epoch != epoch) {
        a->epoch = epoch;
        a->newest = newest;
    } else if (newest > a->newest) {
        a->newest = newest;
    }
}

static void batch_end(struct batch *b)
{
    if (!b)
        return;
    buf_fini(&b->bytes);
    free(b);
}

static void timer_closed_cb(uv_handle_t *h)
{
    free(h->data);
}

static void idle_closed_cb(uv_handle_t *h)
{
    struct ask *a = h->data;

    uv_close((uv_handle_t *)&a->timer, timer_closed_cb);
}

void ask_free(struct ask *a)
{
    for (unsigned k = 0; k < KINDS; k++)
        batch_end(a->open[k]);
    for (struct list *n; (n = list_pop_front(&a->pool));)
        batch_end(container_of(n, struct batch, at));
    uv_close((uv_handle_t *)&a->idle, idle_closed_cb);
}
