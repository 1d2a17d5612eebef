// Subscribers of the three views. What they are shown lies rendered in blocks (tail.c, block.c); each is a cursor into them
// (cursor.c), so one more costs a few dozen octets and a slow one costs nothing but its own time.
//
// Happy path of a stream: hub_open() finds who it is (cred), counts it (quota), answers the head and the first octets, sets
// the cursor, and from then on the stream is LEVEL. New rows begin a round: all that are level become due, and the idle handle
// serves them, a few milliseconds a loop turn, each with one write of all that is new. What went whole is level again.
//
// Ways off it: the socket is full -> BLOCKED until writable(). More in memory than one write takes -> BEHIND, in line with the
// others of its kind. A block that is not in memory -> WAITING for the tail, which fetches it from the log. An id that may
// not be resumable -> WAITING for the broker's judgement. The broker is away, or the limit reached -> HELD with heartbeats,
// tried again each second; a head that was answered is never taken back, only ended.
//
// An end comes from one of: closed() (client, or 30 s without progress), a revoked key, a lost log, the drain. It falls
// between two frames unless the key is revoked: then the stream is cut off.
#include "hub.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "arena.h"
#include "ask.h"
#include "clock.h"
#include "cred.h"
#include "crypto.h"
#include "cursor.h"
#include "fault.h"
#include "figures.h"
#include "frame.h"
#include "gateway.h"
#include "log.h"
#include "owner.h"
#include "routes.h"
#include "stream_query.h"
#include "tail.h"

enum {
    CACHE_MAX = 8 * 1024 * 1024,  // octets of blocks a view
    LIVE_MAX = 512 * 1024,        // octets of unlogged frames a view and round; what is more stays out
    LIVE_MESSAGE_MAX = 16 * 1024 * 1024, // unpacked
    HEAD_WAIT_MS = 300,           // how long the head waits for the credential
    TURN_US = 2000,               // of work in one loop turn
    PACE_MAX_US = 20000,          // rounds are at most this far apart, and at most 4 times what one costs of the CPU: a gateway
                                  // that has to wait for its CPU is late already
    LOST_SPREAD_MS = 2000,
    ENDING_STEP_MS = 20,
    WHEEL = 32,                   // slots of a second each, for heartbeats
    KEY_MAX = 128,
};
_Static_assert((int)HUB_HEARTBEAT_S < (int)WHEEL, "a heartbeat is due within one turn of the wheel");

enum state { OPENING, HELD, WAITING, LEVEL, BEHIND, BLOCKED };

// What a stream needs until it is let in.
struct opening {
    struct cred_call call;
    struct sub *sub;
    size_t key_n;
    char key[KEY_MAX];
    uint64_t since_ms;
    const char *fault;            // the parameter at fault; NULL: none
    bool looking, known, placed;  // credential asked for; found; the cursor has its place
};

struct sub {
    struct exchange_stream stream;
    struct exchange *x;
    struct hub *hub;
    struct list at;               // of its state: hub->looking, held, level, due, behind; a fetch's waiters
    struct list all;
    struct list beat;
    struct list own;
    struct owner *owner;          // NULL until it is let in
    struct opening *opening;      // NULL from then on
    struct cursor cursor;
    uint32_t last_s;              // when it was last sent anything
    uint8_t state;
    bool begun, ending, resume;   // head answered; to end at the frame's end; go on after an id
};

struct view_state {
    struct list level[2];         // [1]: those that want frames that are not logged
    unsigned wanting;             // subscribers of [1]'s kind
    struct block *pending, *live; // unlogged frames: of the next round, of this one
};

struct hub {
    struct gateway *gw;
    struct tail *tail;
    struct owners owners;
    struct view_state view[VIEW_COUNT];
    struct list all, leaving;     // leaving: to be ended little by little
    struct list looking;          // head not answered, by age
    struct list begun_looking, held;
    struct list due, behind, beats;
    struct list wheel[WHEEL];
    struct list taps;
    struct arena arena;
    struct buf frame;
    uv_idle_t idle;
    uv_timer_t tick, pace, head, ending;
    uint64_t round_began_us, round_used_us, next_round_us, seen_next;
    uint64_t leave_until_ms;
    uint32_t now_s;
    unsigned n, handles;
    bool in_round, idling, draining, was_known;
};

#define LIVE_KINDS (block_bit(BLOCK_KIND_OUTPUT) | block_bit(BLOCK_KIND_METRICS))

static void kick(struct hub *h);
static void sub_end(struct sub *s);

// ---------------------------------------------------------------- the life of a subscriber

static void opening_free(struct opening *o)
{
    if (!o)
        return;
    if (o->looking)
        cred_cancel(&o->call);
    crypto_wipe(o->key, sizeof o->key);
    free(o);
}

static bool wants_live(const struct sub *s)
{
    return s->cursor.kinds & LIVE_KINDS;
}

static void sub_free(struct sub *s)
{
    struct hub *h = s->hub;

    list_remove(&s->at);
    list_remove(&s->all);
    list_remove(&s->beat);
    if (s->owner)
        owner_leave(s->owner, &s->own);
    if (wants_live(s))
        h->view[s->cursor.view].wanting--;
    opening_free(s->opening);
    cursor_fini(&s->cursor);
    h->n--;
    free(s);
}

static void closed_cb(struct exchange_stream *stream)
{
    sub_free(container_of(stream, struct sub, stream));
}

static void gone_cb(struct exchange *x)
{
    sub_free(x->u);
}

static void move(struct sub *s, enum state state, struct list *to)
{
    list_remove(&s->at);
    s->state = (uint8_t)state;
    if (to)
        list_push_back(to, &s->at);
}

// Cuts it off: what it has may be half a frame.
static void sub_cut(struct sub *s)
{
    struct exchange *x = s->x;

    figure_count(s->hub->gw, FIGURE_GATEWAY_CUTS);
    sub_free(s);
    exchange_abort(x);
}

static void sub_refuse(struct sub *s, enum err e, const char *field)
{
    struct exchange *x = s->x;

    x->gone = NULL;
    sub_free(s);
    if (e == ERR_UNAUTHORIZED) {
        exchange_add(x, "WWW-Authenticate", "Bearer realm=\"mission-control\"");
        (void)routes_quota_told(x, 1); // counted, and no 429: that would end an EventSource for good, as the 401 does anyway
    }
    exchange_error(x, e, field, stream_query_text(field));
}

// ---------------------------------------------------------------- writing

// For the tests: the client has got a part of its last frame, another part in each run, when we are gone.
static void die_inside(struct sub *s, const struct cursor_plan *p)
{
    struct iovec part = p->v[p->n - 1];

    part.iov_len = fault_number() * 7 % part.iov_len;
    if (p->n > 1)
        (void)exchange_writev(s->x, p->v, p->n - 1);
    (void)exchange_writev(s->x, &part, 1);
    fault_kill();
}

// Gives the socket what waits for it: false when the subscriber is no more.
static bool sub_write(struct sub *s, const struct block *live, bool own_only, struct cursor_plan *p, bool *whole)
{
    struct hub *h = s->hub;
    size_t w = 0;

    cursor_plan(&s->cursor, h->tail, live, own_only || s->ending, p);
    if (p->n && fault_due("gateway_mid_frame"))
        die_inside(s, p);
    if (p->n)
        w = exchange_writev(s->x, p->v, p->n);
    if (w)
        fault_point("gateway_frame");
    if (cursor_wrote(&s->cursor, h->tail, live, p, w)) {
        sub_cut(s);
        return false;
    }
    if (w)
        s->last_s = h->now_s;
    *whole = w == p->octets;
    return true;
}

// s->at is in no list. Leaves it in the one its new state asks for.
static void serve(struct sub *s, const struct block *live)
{
    struct hub *h = s->hub;
    struct cursor_plan p;
    bool whole;

    if (!sub_write(s, live, false, &p, &whole))
        return;
    if (s->ending && !cursor_inside(&s->cursor)) {
        sub_end(s);
    } else if (!whole) {
        move(s, BLOCKED, NULL);
    } else if (s->ending) {
        sub_cut(s); // the frame it is inside of is no longer in memory: not worth a fetch
    } else if (p.end == CURSOR_LEVEL) {
        move(s, LEVEL, &h->view[s->cursor.view].level[wants_live(s)]);
    } else if (p.end == CURSOR_MORE) {
        move(s, BEHIND, &h->behind);
    } else {
        figure_count(h->gw, FIGURE_GATEWAY_BEHIND);
        move(s, WAITING, NULL);
        tail_want(h->tail, (enum event_view)s->cursor.view, s->cursor.number, &s->at);
    }
}

// A frame of its own, at once. Left out when it is in the middle of another. False when the subscriber is no more.
static bool say(struct sub *s, const char *frame, size_t n)
{
    struct cursor_plan p;
    bool whole;

    if (cursor_inside(&s->cursor))
        return true;
    if (cursor_say(&s->cursor, frame, n)) {
        sub_cut(s);
        return false;
    }
    // Only this frame: rows and their order are serve()'s.
    if (!sub_write(s, NULL, true, &p, &whole))
        return false;
    if (!whole && s->state == LEVEL)
        move(s, BLOCKED, NULL);
    return true;
}

static void writable_cb(struct exchange_stream *stream)
{
    struct sub *s = container_of(stream, struct sub, stream);
    struct cursor_plan p;
    bool whole;

    if (s->state == BLOCKED) {
        move(s, BEHIND, &s->hub->behind);
        kick(s->hub);
    } else if (s->cursor.rest && sub_write(s, NULL, true, &p, &whole) && s->ending && !cursor_inside(&s->cursor)) {
        sub_end(s);
    }
}

size_t hub_hello(char out[HUB_HELLO_MAX], const uint64_t *id)
{
    uint16_t r;
    int n;

    crypto_random(&r, sizeof r);
    unsigned retry = 700 + r % 601u;
    if (id)
        n = snprintf(out, HUB_HELLO_MAX, "retry: %u\nid: %llu\n: connected\n\n", retry, (unsigned long long)*id);
    else
        n = snprintf(out, HUB_HELLO_MAX, "retry: %u\n: connected\n\n", retry);
    return n > 0 ? (size_t)n : 0;
}

size_t hub_heartbeat(char out[HUB_HELLO_MAX], const uint64_t *id)
{
    int n = id ? snprintf(out, HUB_HELLO_MAX, "id: %llu\n: heartbeat\n\n", (unsigned long long)*id)
               : snprintf(out, HUB_HELLO_MAX, ": heartbeat\n\n");
    return n > 0 ? (size_t)n : 0;
}

// The number up to which the stream has been shown everything; NULL while that has not been judged.
static const uint64_t *seen(const struct sub *s, uint64_t *number)
{
    if (!s->owner || s->cursor.number == 0 || (s->state == WAITING && s->resume))
        return NULL;
    *number = s->cursor.number - 1;
    return number;
}

static void beat_in(struct sub *s, uint32_t due_s)
{
    list_remove(&s->beat);
    list_push_back(&s->hub->wheel[due_s % WHEEL], &s->beat);
}

static void beat(struct sub *s)
{
    struct hub *h = s->hub;
    char text[HUB_HELLO_MAX];
    uint64_t number;

    if (h->now_s - s->last_s < HUB_HEARTBEAT_S) {
        beat_in(s, s->last_s + HUB_HEARTBEAT_S);
        return;
    }
    beat_in(s, h->now_s + HUB_HEARTBEAT_S);
    (void)say(s, text, hub_heartbeat(text, seen(s, &number)));
}

// ---------------------------------------------------------------- ending

// Ends it between two frames with the last chunk. One whose head was not answered gets it first.
static void sub_end(struct sub *s)
{
    struct exchange *x = s->x;

    if (!s->begun) {
        x->gone = NULL;
        exchange_begin(x, 200, "text/event-stream", &s->stream);
        s->begun = true;
    }
    if (cursor_inside(&s->cursor)) {
        s->ending = true;
        list_remove(&s->beat);
        if (s->state == WAITING && s->cursor.sent)
            sub_cut(s); // waits for the rest of its frame, from the log
        return;         // else the frame's end is its end: serve(), writable_cb()
    }
    sub_free(s);
    exchange_end(x);
}

static void revoked_cb(void *u, struct list *n)
{
    struct sub *s = container_of(n, struct sub, own);
    (void)u;

    if (cursor_inside(&s->cursor))
        sub_cut(s);
    else
        sub_end(s);
}

static void leave_some(struct hub *h)
{
    uint64_t now = clock_mono_ms();
    unsigned waiting = 0, n;

    list_each(i, tmp, &h->leaving)
        waiting++;
    uint64_t left = h->leave_until_ms > now ? h->leave_until_ms - now : 0;
    n = waiting / (unsigned)(left / ENDING_STEP_MS + 1) + 1;
    for (struct list *l; n > 0 && (l = list_pop_front(&h->leaving)); n--) {
        struct sub *s = container_of(l, struct sub, all);
        list_push_back(&h->all, &s->all);
        sub_end(s);
    }
    if (list_empty(&h->leaving))
        uv_timer_stop(&h->ending);
}

static void leave_cb(uv_timer_t *t)
{
    leave_some(t->data);
}

// Those not let in yet have been shown nothing: they may stay, unless `everybody`.
static void leave_all(struct hub *h, unsigned spread_ms, bool everybody)
{
    h->leave_until_ms = clock_mono_ms() + spread_ms;
    list_each(n, tmp, &h->all) {
        struct sub *s = container_of(n, struct sub, all);
        if (!everybody && s->opening) {
            s->opening->placed = false;
            continue;
        }
        list_remove(n);
        list_push_back(&h->leaving, n);
    }
    if (!list_empty(&h->leaving))
        uv_timer_start(&h->ending, leave_cb, 0, ENDING_STEP_MS);
}

// ---------------------------------------------------------------- opening

// Where a stream without an id begins: behind all we know to be committed, by the bus or by any answer of the broker. What is
// committed from now on is behind that.
static uint64_t from_now_on(const struct hub *h)
{
    uint64_t next = tail_next(h->tail), asked = ask_newest(h->gw->ask) + 1;
    return ask_epoch(h->gw->ask) == tail_epoch(h->tail) && asked > next ? asked : next;
}

// Answers the head and the first octets. False when the subscriber is no more.
static bool begin(struct sub *s)
{
    struct hub *h = s->hub;
    struct exchange *x = s->x;
    char hello[HUB_HELLO_MAX];
    uint64_t number;

    exchange_add(x, "Cache-Control", "no-store");
    exchange_add(x, "X-Accel-Buffering", "no");
    x->gone = NULL;
    x->u = NULL;
    s->stream = (struct exchange_stream){ .writable = writable_cb, .closed = closed_cb };
    exchange_begin(x, 200, "text/event-stream", &s->stream);
    s->begun = true;
    figure_count(h->gw, FIGURE_GATEWAY_OPENED);
    if (!s->resume && tail_known(h->tail)) {
        s->cursor.number = from_now_on(h);
        s->opening->placed = true;
    }
    s->last_s = h->now_s;
    beat_in(s, h->now_s + HUB_HEARTBEAT_S);
    number = s->cursor.number - 1;
    bool known = s->owner && (s->resume ? tail_certain(h->tail, number) : s->cursor.number > 0);
    return say(s, hello, hub_hello(hello, known ? &number : NULL));
}

static void hold(struct sub *s)
{
    if (!s->begun && !begin(s))
        return;
    move(s, HELD, &s->hub->held);
}

// The credential is good: count it, set the cursor, let it in.
static void let_in(struct sub *s)
{
    struct hub *h = s->hub;
    struct opening *o = s->opening;

    if (!s->owner) {
        if (s->begun ? !routes_quota(s->x, 1) : !routes_quota_told(s->x, 1)) {
            hold(s);
            return;
        }
        s->cursor.workspace = s->x->actor.workspace;
        s->owner = owner_join(&h->owners, &s->x->actor, &s->own);
        if (!s->owner) { // no memory: as if the client had gone away
            if (s->begun)
                sub_cut(s);
            else
                sub_refuse(s, ERR_NO_MEMORY, NULL);
            return;
        }
    }
    o->known = true; // from here on its owner hears when it is revoked; until then it is looked up anew
    if (!s->begun && !begin(s))
        return;
    if (h->draining) {
        sub_end(s);
        return;
    }
    if (!s->resume && !o->placed) {
        if (!tail_known(h->tail)) { // a gateway that has never heard its broker: nothing to go on from yet
            hold(s);
            return;
        }
        s->cursor.number = from_now_on(h);
    }
    opening_free(o);
    s->opening = NULL;
    if (s->resume && !tail_certain(h->tail, s->cursor.number - 1)) {
        move(s, WAITING, NULL);
        tail_check(h->tail, s->cursor.number - 1, &s->at);
        return;
    }
    s->resume = false;
    move(s, BEHIND, &h->behind);
    kick(h);
}

static void found_cb(struct cred_call *call, enum err e, const struct actor *actor)
{
    struct opening *o = container_of(call, struct opening, call);
    struct sub *s = o->sub;

    o->looking = false;
    list_remove(&s->at);
    if (e == ERR_OK && actor->role >= ROLE_VIEWER) {
        s->x->actor = *actor;
        if (o->fault)
            sub_refuse(s, ERR_INVALID_FIELD, o->fault);
        else
            let_in(s);
    } else if (e == ERR_OK || e == ERR_UNAUTHORIZED) {
        if (s->begun)
            sub_end(s); // the next try gets the 401
        else
            sub_refuse(s, e ? ERR_UNAUTHORIZED : ERR_FORBIDDEN, NULL);
    } else if (o->fault) {
        sub_refuse(s, ERR_INVALID_FIELD, o->fault);
    } else {
        hold(s);
    }
}

// s->at is in the list of those who are being looked up. s may be gone when this returns.
static void look(struct sub *s)
{
    struct opening *o = s->opening;

    o->looking = true;
    o->call = (struct cred_call){ .cb = found_cb };
    list_init(&o->call.at);
    cred_find(s->hub->gw->cred, &o->call, (struct text){ o->key, o->key_n });
}

// Those whose credential takes longer get their head now and are held.
static void head_cb(uv_timer_t *timer)
{
    struct hub *h = timer->data;
    uint64_t now = clock_mono_ms();
    struct list *n;

    while ((n = h->looking.next) != &h->looking) {
        struct sub *s = container_of(n, struct sub, at);
        uint64_t due = s->opening->since_ms + HEAD_WAIT_MS;
        if (due > now) {
            uv_timer_start(&h->head, head_cb, due - now, 0);
            return;
        }
        if (s->opening->fault) {
            sub_refuse(s, ERR_INVALID_FIELD, s->opening->fault);
            continue;
        }
        move(s, OPENING, &h->begun_looking);
        (void)begin(s);
    }
}

void hub_open(struct hub *h, struct exchange *x, enum event_view view)
{
    char scratch[KEY_MAX];
    struct text key;
    struct stream_query q;
    const char *fault;
    unsigned ids = 0;

    if (cred_of(x, true, scratch, &key)) {
        exchange_error(x, ERR_BAD_REQUEST, NULL, "There is more than one credential of a kind");
        return;
    }
    if (x->cookie)
        exchange_add(x, "Vary", "Cookie");
    if (!key.p || key.n > KEY_MAX) {
        exchange_add(x, "WWW-Authenticate", "Bearer realm=\"mission-control\"");
        (void)routes_quota_told(x, 1);
        exchange_error(x, ERR_UNAUTHORIZED, NULL, NULL);
        return;
    }
    struct sub *s = calloc(1, sizeof *s);
    struct opening *o = s ? calloc(1, sizeof *o) : NULL;
    struct text last = exchange_header(x, "last-event-id", &ids);
    enum err e = stream_query_read(&q, view, x->query, last, &fault); // its own fault is told once we know who asks
    if (!o || cursor_init(&s->cursor, view, &q, x->http10)) {
        free(o);
        free(s);
        exchange_error(x, ERR_NO_MEMORY, NULL, NULL);
        return;
    }
    o->sub = s;
    o->fault = e ? fault : ids > 1 ? "Last-Event-ID" : NULL;
    memcpy(o->key, key.p, key.n);
    o->key_n = key.n;
    o->since_ms = clock_mono_ms();
    s->opening = o;
    s->x = x;
    s->hub = h;
    s->resume = q.has_last;
    s->cursor.number = q.has_last ? q.last + 1 : 0;
    s->last_s = h->now_s;
    list_init(&s->at);
    list_init(&s->beat);
    list_init(&s->own);
    list_push_back(&h->all, &s->all);
    h->n++;
    if (wants_live(s))
        h->view[view].wanting++;
    x->u = s;
    x->gone = gone_cb;
    move(s, OPENING, &h->looking);
    if (!uv_is_active((uv_handle_t *)&h->head))
        uv_timer_start(&h->head, head_cb, HEAD_WAIT_MS, 0);
    look(s);
}

// What could not be served: once a second, and when the broker is back.
static void try_held(struct hub *h)
{
    struct list held;

    list_init(&held);
    list_take(&held, &h->held);
    for (struct list *n; (n = list_pop_front(&held));) {
        struct sub *s = container_of(n, struct sub, at);
        if (s->opening->known) {
            let_in(s);
        } else {
            move(s, OPENING, &h->begun_looking);
            look(s);
        }
    }
}

// ---------------------------------------------------------------- rounds

static bool pending(const struct hub *h)
{
    for (unsigned v = 0; v < VIEW_COUNT; v++)
        if (h->view[v].pending->n)
            return true;
    return false;
}

static void append(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

static void round_begin(struct hub *h, uint64_t now_us)
{
    bool fresh = h->seen_next != tail_next(h->tail);

    h->in_round = true;
    h->round_began_us = now_us;
    h->round_used_us = 0;
    h->seen_next = tail_next(h->tail);
    for (unsigned i = 0; i < VIEW_COUNT; i++) {
        struct view_state *v = &h->view[i];
        struct block *live = v->live;
        v->live = v->pending;
        v->pending = live;
        if (fresh)
            append(&h->due, &v->level[0]);
        if (fresh || v->live->n)
            append(&h->due, &v->level[1]);
    }
}

static void round_end(struct hub *h)
{
    uint64_t pause = 4 * h->round_used_us;

    h->in_round = false;
    h->next_round_us = h->round_began_us + (pause < PACE_MAX_US ? pause : PACE_MAX_US);
    for (unsigned i = 0; i < VIEW_COUNT; i++)
        block_clear(h->view[i].live);
}

static void turn_cb(uv_idle_t *idle)
{
    struct hub *h = idle->data;
    uint64_t began = clock_mono_us(), used = clock_cpu_us();

    for (unsigned i = 1;; i++) {
        struct list *due = list_pop_front(&h->due), *behind, *beats;
        if (due) {
            struct sub *s = container_of(due, struct sub, at);
            const struct block *live = h->view[s->cursor.view].live;
            serve(s, live->n && wants_live(s) ? live : NULL);
        }
        behind = list_pop_front(&h->behind);
        if (behind)
            serve(container_of(behind, struct sub, at), NULL);
        beats = list_pop_front(&h->beats);
        if (beats)
            beat(container_of(beats, struct sub, beat));
        if (!due && !behind && !beats)
            break;
        if (i % 4 == 0 && clock_mono_us() - began >= TURN_US)
            break;
    }
    h->round_used_us += clock_cpu_us() - used;
    if (h->in_round && list_empty(&h->due))
        round_end(h);
    kick(h);
}

static void pace_cb(uv_timer_t *t)
{
    kick(t->data);
}

static void kick(struct hub *h)
{
    if (!h->in_round && (h->seen_next != tail_next(h->tail) || pending(h))) {
        uint64_t now = clock_mono_us();
        if (now >= h->next_round_us)
            round_begin(h, now);
        else if (!uv_is_active((uv_handle_t *)&h->pace))
            uv_timer_start(&h->pace, pace_cb, (h->next_round_us - now + 999) / 1000, 0);
    }
    bool work = h->in_round || !list_empty(&h->due) || !list_empty(&h->behind) || !list_empty(&h->beats);
    if (work && !h->idling)
        uv_idle_start(&h->idle, turn_cb);
    else if (!work && h->idling)
        uv_idle_stop(&h->idle);
    h->idling = work;
}

// ---------------------------------------------------------------- frames that are not logged

static void live_put(struct hub *h, enum event_view view, const struct block_what *what)
{
    struct block *b = h->view[view].pending;

    if (h->view[view].wanting && !h->frame.err && b->len + h->frame.len <= LIVE_MAX &&
        block_put(b, what, h->frame.data, h->frame.len))
        log_debug("live frames left out: no memory");
}

static void live_output(struct hub *h, const Wire__LiveOutput *o)
{
    if (!h->view[VIEW_ACTIVITY].wanting)
        return;
    struct block_what what = { .workspace = o->workspace, .desktop = o->desktop, .agent = o->agent, .kind = BLOCK_KIND_OUTPUT };
    for (size_t at = 0, n; at < o->data.len; at += n) {
        n = frame_output_fit(o->data.data + at, o->data.len - at);
        struct frame_output f = { .task = o->task, .session = o->session, .offset = o->offset + at, .stream = o->stream,
                                  .data = o->data.data + at, .n = n };
        buf_reset(&h->frame);
        frame_output(&h->frame, &f, NULL);
        live_put(h, VIEW_ACTIVITY, &what);
    }
}

static void live_metrics(struct hub *h, const Wire__LiveMetrics *m)
{
    if (!h->view[VIEW_ACTIVITY].wanting && !h->view[VIEW_DESKTOPS].wanting)
        return;
    struct block_what what = { .workspace = m->workspace, .desktop = m->desktop, .agent = m->agent, .kind = BLOCK_KIND_METRICS };
    buf_reset(&h->frame);
    frame_metrics(&h->frame, m);
    live_put(h, VIEW_ACTIVITY, &what);
    live_put(h, VIEW_DESKTOPS, &what);
}

// Each tap once, whatever a callback does to the list.
static void taps(struct hub *h, void (*call)(struct hub_tap *t, const void *u), const void *u)
{
    struct list waiting;

    list_init(&waiting);
    list_take(&waiting, &h->taps);
    for (struct list *n; (n = list_pop_front(&waiting));) {
        list_push_back(&h->taps, n);
        call(container_of(n, struct hub_tap, at), u);
    }
}

static void tap_output(struct hub_tap *t, const void *u)
{
    const Wire__LiveOutput *o = u;
    if (t->session && t->session == o->session)
        t->output(t, o);
}

static void tap_row(struct hub_tap *t, const void *u)
{
    const Wire__Row *r = u;
    if ((r->task && r->task == t->task) || (r->session && r->session == t->session))
        t->row(t);
}

static void tap_wake(struct hub_tap *t, const void *u)
{
    (void)u;
    t->row(t);
}

static void tap_tick(struct hub_tap *t, const void *u)
{
    const uint64_t *now_ms = u;
    if (t->actor->expires_ms && t->actor->expires_ms <= *now_ms)
        t->drain(t);
    else
        t->tick(t);
}

static void tap_revoked(struct hub_tap *t, const void *u)
{
    const Wire__Row *r = u;
    uint64_t key = r->row == ROW_KEY_REVOKED ? r->entity : r->row == ROW_USER_LOGOUT ? r->actor_key : 0;
    if (key ? t->actor->key == key : t->actor->user == r->entity)
        t->drain(t);
}

static void heard_live(struct hub *h, const uint8_t *data, size_t len)
{
    arena_reset(&h->arena);
    Wire__Live *m = wire__live__unpack(arena_allocator(&h->arena), len, data);
    if (!m) {
        log_warn("a live message cannot be read");
        return;
    }
    for (size_t i = 0; i < m->n_output; i++) {
        live_output(h, m->output[i]);
        if (!list_empty(&h->taps))
            taps(h, tap_output, m->output[i]);
    }
    for (size_t i = 0; i < m->n_metrics; i++)
        live_metrics(h, m->metrics[i]);
    kick(h);
}

void hub_tap_open(struct hub *h, struct hub_tap *t)
{
    list_push_back(&h->taps, &t->at);
}

static void tap_drain(struct hub_tap *t, const void *u)
{
    (void)u;
    t->drain(t);
}

void hub_drain(struct hub *h, unsigned spread_ms)
{
    h->draining = true;
    leave_all(h, spread_ms, true);
    taps(h, tap_drain, NULL);
}

struct use_seen {
    cred_seen *told;
    void *u;
    uint64_t now_ms;
};

static void in_use(void *u, const struct owner *own)
{
    const struct use_seen *s = u;
    struct actor actor = { .key = own->key, .user = own->user, .workspace = own->workspace };

    s->told(s->u, &actor, s->now_ms);
}

void hub_each_owner(struct hub *h, uint64_t now_ms, cred_seen *told, void *u)
{
    struct use_seen s = { told, u, now_ms };

    owner_each(&h->owners, in_use, &s);
}

void hub_tap_close(struct hub_tap *t)
{
    list_remove(&t->at);
}

// ---------------------------------------------------------------- what the tail tells

static void row_cb(void *u, const Wire__Row *row)
{
    struct hub *h = u;

    cred_row(h->gw->cred, row);
    switch (row->row) {
    case ROW_KEY_REVOKED:
        owner_each_key(&h->owners, row->entity, revoked_cb, h);
        taps(h, tap_revoked, row);
        break;
    case ROW_USER_LOGOUT: // the session that ended is the actor's
        owner_each_key(&h->owners, row->actor_key, revoked_cb, h);
        taps(h, tap_revoked, row);
        break;
    case ROW_USER_UPDATED:
    case ROW_USER_DELETED:
        owner_each_user(&h->owners, row->entity, revoked_cb, h);
        taps(h, tap_revoked, row);
        break;
    case ROW_SESSION_STARTED:
    case ROW_SESSION_COMPLETED:
    case ROW_TASK_DELETED:
        if (!list_empty(&h->taps))
            taps(h, tap_row, row);
        break;
    default:
        break;
    }
}

static void grown_cb(void *u)
{
    struct hub *h = u;

    if (!h->was_known && tail_known(h->tail)) {
        h->was_known = true;
        h->seen_next = tail_next(h->tail);
        cred_forget_all(h->gw->cred); // rows between a look-up and now were not heard
        try_held(h);
    }
    kick(h);
}

// A restored backup may know other keys and other rows: everybody comes back, is looked up anew, and resumes by id.
static void lost_cb(void *u)
{
    struct hub *h = u;

    h->seen_next = tail_next(h->tail);
    cred_forget_all(h->gw->cred);
    leave_all(h, LOST_SPREAD_MS, false);
}

static void resync(struct sub *s, uint64_t oldest)
{
    struct hub *h = s->hub;

    figure_count(h->gw, FIGURE_GATEWAY_RESYNCS);
    buf_reset(&h->frame);
    frame_resync(&h->frame, oldest);
    if (s->cursor.sent || h->frame.err || cursor_say(&s->cursor, h->frame.data, h->frame.len)) {
        sub_cut(s); // the rest of the frame it is inside of is no longer kept
        return;
    }
    s->cursor.number = oldest;
    s->resume = false;
    s->state = BEHIND;
    list_push_front(&h->behind, &s->at);
}

static void answer_cb(void *u, struct list *waiter, enum tail_answer a, uint64_t number)
{
    struct hub *h = u;
    struct sub *s = container_of(waiter, struct sub, at);

    if (a == TAIL_RESYNC || (a == TAIL_OLDER && s->cursor.number < number)) {
        resync(s, number);
    } else { // to the front: the block it waited for must not have to give way before it is read
        s->resume = false;
        s->state = BEHIND;
        list_push_front(&h->behind, &s->at);
    }
    kick(h);
}

// ---------------------------------------------------------------- time, life

static void tick_cb(uv_timer_t *t)
{
    struct hub *h = t->data;
    uint32_t now = (uint32_t)(clock_mono_ms() / 1000);

    for (unsigned i = 0; i < WHEEL && h->now_s < now; i++)
        append(&h->beats, &h->wheel[++h->now_s % WHEEL]);
    h->now_s = now;
    uint64_t now_ms = clock_wall_ms();
    owner_each_expired(&h->owners, now_ms, revoked_cb, h);
    try_held(h);
    tail_tick(h->tail);
    if (!list_empty(&h->taps))
        taps(h, tap_tick, &now_ms);
    kick(h);
}

enum err hub_new(struct gateway *gw, struct hub **ret)
{
    struct hub *h = calloc(1, sizeof *h);
    if (!h)
        return ERR_NO_MEMORY;
    const struct tail_cbs cbs = { .row = row_cb, .grown = grown_cb, .lost = lost_cb, .answer = answer_cb, .u = h };
    enum err e = tail_new(gw, CACHE_MAX, &cbs, &h->tail);

    for (unsigned i = 0; i < VIEW_COUNT && !e; i++) {
        list_init(&h->view[i].level[0]);
        list_init(&h->view[i].level[1]);
        h->view[i].pending = block_new(0);
        h->view[i].live = block_new(0);
        if (!h->view[i].pending || !h->view[i].live)
            e = ERR_NO_MEMORY;
    }
    if (e) {
        for (unsigned i = 0; i < VIEW_COUNT; i++) {
            block_free(h->view[i].pending);
            block_free(h->view[i].live);
        }
        tail_free(h->tail);
        free(h);
        return e;
    }
    h->gw = gw;
    owners_init(&h->owners);
    for (unsigned i = 0; i < WHEEL; i++)
        list_init(&h->wheel[i]);
    struct list *lists[] = { &h->all, &h->leaving, &h->looking, &h->begun_looking, &h->held, &h->due, &h->behind, &h->beats, &h->taps };
    for (unsigned i = 0; i < sizeof lists / sizeof *lists; i++)
        list_init(lists[i]);
    arena_init(&h->arena, LIVE_MESSAGE_MAX);
    buf_init(&h->frame, FRAME_MAX);
    h->now_s = (uint32_t)(clock_mono_ms() / 1000);
    uv_idle_init(gw->loop, &h->idle);
    h->idle.data = h;
    uv_timer_t *timers[] = { &h->tick, &h->pace, &h->head, &h->ending };
    for (unsigned i = 0; i < sizeof timers / sizeof *timers; i++) {
        uv_timer_init(gw->loop, timers[i]);
        timers[i]->data = h;
        uv_unref((uv_handle_t *)timers[i]); // nothing here keeps a loop alive that has no connection left
    }
    uv_timer_start(&h->tick, tick_cb, 1000, 1000);
    *ret = h;
    return ERR_OK;
}

static void freed_cb(uv_handle_t *handle)
{
    struct hub *h = handle->data;

    if (--h->handles == 0)
        free(h);
}

void hub_free(struct hub *h)
{
    if (!h)
        return;
    tail_free(h->tail);
    for (unsigned i = 0; i < VIEW_COUNT; i++) {
        block_free(h->view[i].pending);
        block_free(h->view[i].live);
    }
    arena_fini(&h->arena);
    buf_fini(&h->frame);
    uv_handle_t *handles[] = { (uv_handle_t *)&h->idle, (uv_handle_t *)&h->tick, (uv_handle_t *)&h->pace,
                               (uv_handle_t *)&h->head, (uv_handle_t *)&h->ending };
    h->handles = sizeof handles / sizeof *handles;
    for (unsigned i = 0; i < sizeof handles / sizeof *handles; i++)
        uv_close(handles[i], freed_cb);
}

void hub_heard(struct hub *h, char topic, const uint8_t *data, size_t len)
{
    if (topic == 'E')
        tail_heard(h->tail, data, len);
    else if (topic == 'L')
        heard_live(h, data, len);
}

void hub_up(struct hub *h)
{
    tail_up(h->tail);
    try_held(h);
    if (!list_empty(&h->taps))
        taps(h, tap_wake, NULL);
    kick(h);
}

void hub_down(struct hub *h)
{
    tail_down(h->tail);
}

unsigned hub_subscribers(const struct hub *h)
{
    return h->n;
}

bool hub_unheard(const struct hub *h)
{
    return tail_unheard(h->tail);
}
