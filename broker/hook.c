/* Happy path: a commit brings a row that a webhook asked for; HookNext is proposed and takes it up; its commit touches the webhook,
 * which then is due; pass() gives it to a worker, whose poll is answered; its HookReport moves the webhook on, and finds the next.
 *
 *   OFF                     disabled
 *   WATCH                   has seen the whole log: told by commits
 *   BEHIND                  the log goes on behind what it has seen: scan() reads on, some rows a turn
 *   ASKING                  HookNext is on its way
 *   WAITING                 a delivery failed, and its time has not come
 *   DUE                     to be given to a worker
 *   OUT                     a worker has it
 *
 * As with sessions (fleet.c), what a worker was given is state, not a message: every answer repeats what its poll did not name. What
 * it was given is not stored: a broker that starts anew believes the workers' polls, and else gives the delivery out again.
 */
#include "hook.h"
#include <stdlib.h>
#include <string.h>
#include "check.h"
#include "crypto.h"
#include "hook_rule.h"
#include "kind.h"
#include "list.h"
#include "log.h"
#include "map.h"
#include "turn.h"

enum {
    SCAN_ROWS = 2000,        // looked at in one turn of the loop: about a millisecond
    LAZY_ROWS = 4096,        // a webhook that so many rows passed by stores that it has seen them
    LEASE_OUT_MS = 60 * 1000, // a delivery takes 10 s: who has not told its end by then never will
    TELL_EVERY_MS = 1000,    // a worker that does not take what it is told is not told without end
    ADOPT_MS = 1500,         // after a start workers have so long to say what they have
    ORDER_OCTETS_MAX = 1024 * 1024, ARENA_MAX = 16 * 1024 * 1024,
};

enum state { OFF, WATCH, BEHIND, ASKING, WAITING, DUE, OUT, GONE };

struct taker {                // a worker that takes deliveries
    uint64_t worker;
    uint32_t slots, n_out;
    struct list at, out;
};

struct space {                // a workspace
    uint64_t id, mask;        // kinds of rows that any of its watching webhooks may want: never too few
    struct list watching, at;
};

struct hook {
    uint64_t id;
    struct space *space;
    struct hooks *of;
    enum state state;
    struct hook_match match;
    bool enabled;
    uint64_t stored, seen;    // position; rows up to here have been looked at (WATCH: all there are)
    uint64_t event, delivery; // delivery: of the event, or of a test (event 0); 0: nothing
    uint32_t attempt;         // the one to be made
    uint64_t due;             // log time
    struct taker *taker;      // OUT
    bool named;               // its taker's last poll named it
    uint64_t since, told;     // OUT: log times of being given, and of the last order
    struct list at;           // of its state
    struct proposal p;        // ASKING
    Wire__Item item;
    Wire__Actor actor;
    Wire__HookNext body;
};

struct hooks {
    struct hooks_conf conf;
    struct map by_id, spaces, takers;
    struct list off, behind, asking, waiting, due, all_takers, all_spaces;
    uint64_t newest;          // the last we were told of
    uint8_t token_key[HMAC_SIZE];
    uv_timer_t timer;         // the first of `waiting`; or at once, while any is behind
    struct arena arena;
};

// ---------------------------------------------------------------- states

static uint64_t now(const struct hooks *h)
{
    return turn_log_ms(h->conf.turns);
}

static void wake_in(struct hooks *h, uint64_t ms);

static enum state state_of(const struct hook *k)
{
    if (k->state == ASKING || k->state == GONE)
        return k->state;
    if (!k->enabled)
        return OFF;
    if (!k->delivery)
        return k->seen < k->of->newest ? BEHIND : WATCH;
    if (k->taker)
        return OUT;
    return k->due > now(k->of) ? WAITING : DUE;
}

static void leave_taker(struct hook *k)
{
    if (k->taker)
        k->taker->n_out--;
    k->taker = NULL;
}

// The one place that changes a state: it and the list go together.
static void place(struct hook *k)
{
    struct hooks *h = k->of;
    enum state s = state_of(k);
    struct list *to[] = { [OFF] = &h->off, [WATCH] = &k->space->watching, [BEHIND] = &h->behind, [ASKING] = &h->asking,
                          [WAITING] = &h->waiting, [DUE] = &h->due, [OUT] = k->taker ? &k->taker->out : &h->off, [GONE] = &h->asking };
    k->state = s;
    list_remove(&k->at);
    list_push_back(to[s], &k->at);
    if (s == WATCH)
        k->space->mask |= k->match.activity | k->match.feed;
    else if (s == BEHIND)
        wake_in(h, 0);
    else if (s == WAITING)
        wake_in(h, k->due - now(h));
}

static void stop_watching(struct hook *k)
{
    if (k->state == WATCH)
        k->seen = k->of->newest;
}

// ---------------------------------------------------------------- the store's side

static struct space *space_of(struct hooks *h, uint64_t workspace)
{
    struct space *s = map_get(&h->spaces, workspace);
    if (s)
        return s;
    s = calloc(1, sizeof *s);
    if (!s || map_put(&h->spaces, workspace, s)) {
        free(s);
        return NULL;
    }
    s->id = workspace;
    list_init(&s->watching);
    list_push_back(&h->all_spaces, &s->at);
    return s;
}

static struct hook *hook_new(struct hooks *h, uint64_t workspace, uint64_t id)
{
    struct hook *k = calloc(1, sizeof *k);
    struct space *s = space_of(h, workspace);
    if (!k || !s || map_put(&h->by_id, id, k)) {
        free(k);
        log_error("out of memory: webhook_%llu delivers nothing", (unsigned long long)id);
        return NULL;
    }
    k->id = id;
    k->of = h;
    k->space = s;
    list_init(&k->at);
    return k;
}

static void hook_gone(struct hooks *h, struct hook *k)
{
    map_del(&h->by_id, k->id);
    leave_taker(k);
    if (k->state == ASKING) { // its proposal is in it: freed when that is done
        k->state = GONE;
        return;
    }
    list_remove(&k->at);
    free(k);
}

// A test goes before the event that waits, but not beside one that a worker has.
static bool still_out(const struct hook *k, const Rec__Webhook *r)
{
    return k->taker && k->event && r->enabled && r->event == k->event && r->delivery == k->delivery && r->attempt + 1 == k->attempt;
}

static void take_over(struct hook *k, const Rec__Webhook *r)
{
    bool test = r->n_tests && !still_out(k, r);
    uint64_t delivery = test ? r->tests[0] : r->delivery;
    uint32_t attempt = test ? 1 : r->attempt + 1;
    struct hook_match match = hook_match(r->events, r->n_events);
    stop_watching(k);
    if (k->delivery != delivery || k->attempt != attempt || !r->enabled)
        leave_taker(k);
    k->enabled = r->enabled;
    if (r->position > k->seen || match.activity != k->match.activity || match.feed != k->match.feed)
        k->seen = r->position;
    k->match = match;
    k->stored = r->position;
    k->event = test ? 0 : r->event;
    k->delivery = delivery;
    k->attempt = attempt;
    k->due = test ? 0 : r->next_log_ms;
}

static void refresh(struct hooks *h, struct txn *t, uint64_t workspace, uint64_t id)
{
    struct hook *k = map_get(&h->by_id, id);
    Rec__Webhook *r;
    enum err e = kind_get(t, &h->arena, KIND_WEBHOOK, workspace, id, &r);
    if (e == ERR_NOT_FOUND) {
        if (k)
            hook_gone(h, k);
        return;
    }
    if (e) {
        log_error("webhook_%llu cannot be read: %s", (unsigned long long)id, err_text(e));
        return;
    }
    if (!k && !(k = hook_new(h, workspace, id)))
        return;
    take_over(k, r);
    place(k);
}

// ---------------------------------------------------------------- what comes next

// Until the next tick.
static void park(struct hook *k)
{
    k->state = OFF;
    list_remove(&k->at);
    list_push_back(&k->of->off, &k->at);
}

static void asked_cb(struct proposal *p, enum outcome st, const struct batch *b)
{
    struct hook *k = container_of(p, struct hook, p);
    (void)b;
    if (k->state == GONE) {
        list_remove(&k->at);
        free(k);
        return;
    }
    park(k); // the commit's touch says what it is now, and else the next tick
    if (st != OUTCOME_APPLIED || p->cmd.answer.err)
        log_debug("webhook_%llu cannot go on now", (unsigned long long)k->id);
}

static void ask_next(struct hook *k, uint64_t passed)
{
    k->seen = passed;
    k->item = (Wire__Item)WIRE__ITEM__INIT;
    k->actor = (Wire__Actor)WIRE__ACTOR__INIT;
    k->body = (Wire__HookNext)WIRE__HOOK_NEXT__INIT;
    k->body.workspace = k->actor.workspace = k->space->id;
    k->body.webhook = k->id;
    k->body.passed = passed;
    k->item.body_case = WIRE__ITEM__BODY_HOOK_NEXT;
    k->item.hook_next = &k->body;
    k->item.actor = &k->actor;
    k->p = (struct proposal){ .cmd = { .item = &k->item, .sender = SENDER_BROKER }, .done = asked_cb };
    k->state = ASKING;
    list_remove(&k->at);
    list_push_back(&k->of->asking, &k->at);
    turn_submit(k->of->conf.turns, &k->p);
}

// Where a webhook is behind: reads on, to the next row it wants (0: there is none yet) or until *left is used up.
static enum err read_on(struct hook *k, struct txn *t, unsigned *left, uint64_t *ret_found)
{
    struct key from = { .n = 0 };
    struct cursor c;
    enum err e = cursor_open(&c, t, DB_LOG, NULL);
    if (e)
        return e;
    bool on = cursor_seek(&c, key_u64(&from, k->seen + 1)), end = false;
    for (; on && *left && !*ret_found; on = cursor_next(&c), --*left) {
        struct hook_row r = hook_peek(c.value.p, c.value.n);
        uint64_t number = key_read_u64(c.key.b);
        end = number > k->of->newest; // committed, and we have not been told yet
        if (end)
            break;
        if (r.workspace == k->space->id && hook_wants(&k->match, r.row))
            *ret_found = number;
        else
            k->seen = number;
    }
    e = c.err;
    if (!e && (!on || end) && !*ret_found)
        k->seen = k->of->newest; // also over a hole that a restore has left
    cursor_close(&c);
    return e;
}

static void scan_one(struct hook *k, struct txn *t, unsigned *left)
{
    uint64_t found = 0;
    enum err e = read_on(k, t, left, &found);
    if (e)
        log_error("webhook_%llu cannot read the log: %s", (unsigned long long)k->id, err_text(e));
    if (e)
        park(k);
    else if (found)
        ask_next(k, found - 1);
    else
        place(k); // who is not done goes to the end
}

static void scan(struct hooks *h)
{
    unsigned left = SCAN_ROWS;
    struct txn *t;
    if (list_empty(&h->behind) || store_begin(h->conf.store, false, &t))
        return;
    while (left && !list_empty(&h->behind))
        scan_one(container_of(h->behind.next, struct hook, at), t, &left);
    store_abort(t);
    if (!list_empty(&h->behind))
        wake_in(h, 0);
}

static void wake_watching(struct space *s, uint32_t row, uint64_t number)
{
    uint64_t mask = 0;
    if (row >= 64 || !(s->mask >> row & 1))
        return;
    list_each(n, next, &s->watching) {
        struct hook *k = container_of(n, struct hook, at);
        if (hook_wants(&k->match, row))
            ask_next(k, number - 1);
        else
            mask |= k->match.activity | k->match.feed;
    }
    s->mask = mask;
}

static void rows_committed(struct hooks *h, const struct batch *b)
{
    const struct space *last = NULL;
    struct space *s = NULL;
    uint64_t number = b->first;
    for (size_t at = 0; at < b->rows.len; number++) {
        uint32_t n;
        memcpy(&n, b->rows.data + at, sizeof n);
        struct hook_row r = hook_peek(b->rows.data + at + sizeof n, n);
        if (!last || last->id != r.workspace)
            last = s = map_get(&h->spaces, r.workspace);
        if (s)
            wake_watching(s, r.row, number);
        at += sizeof n + n;
    }
}

// ---------------------------------------------------------------- workers

// Round robin: the one that was served goes to the end.
static struct taker *next_taker(struct hooks *h)
{
    list_each(n, next, &h->all_takers) {
        struct taker *w = container_of(n, struct taker, at);
        if (w->n_out >= w->slots)
            continue;
        list_remove(&w->at);
        list_push_back(&h->all_takers, &w->at);
        return w;
    }
    return NULL;
}

static void give(struct hook *k, struct taker *w, bool named)
{
    k->taker = w;
    w->n_out++;
    k->named = named;
    k->since = now(k->of);
    k->told = 0;
    place(k);
}

static void pass(struct hooks *h)
{
    struct taker *w;
    while (!list_empty(&h->due) && (w = next_taker(h))) {
        give(container_of(h->due.next, struct hook, at), w, false);
        h->conf.given(h->conf.u, w->worker);
    }
}

static void take_back(struct hook *k)
{
    leave_taker(k);
    place(k);
}

static void token_of(const struct hooks *h, uint64_t worker, uint64_t webhook, uint64_t delivery, uint32_t attempt, uint8_t out[HMAC_SIZE])
{
    struct key k = { .n = 0 };
    key_u64(key_u64(key_u64(key_u64(&k, worker), webhook), delivery), attempt);
    crypto_hmac(out, h->token_key, sizeof h->token_key, k.b, k.n, NULL, 0);
}

static bool was_given(const struct hooks *h, uint64_t worker, uint64_t webhook, uint64_t delivery, uint32_t attempt,
                      ProtobufCBinaryData token)
{
    uint8_t want[HMAC_SIZE];
    token_of(h, worker, webhook, delivery, attempt, want);
    return token.len == sizeof want && crypto_same(token.data, want, sizeof want);
}

// One delivery a worker names: of one we do not remember giving, its token tells that we did before we began anew.
static void named(struct hooks *h, struct taker *w, const Wire__HookHolding *m)
{
    struct hook *k = map_get(&h->by_id, m->webhook);
    if (!k || k->delivery != m->delivery || k->attempt != m->attempt)
        return;
    if (k->taker == w)
        k->named = true;
    else if (!k->taker && (k->state == DUE || k->state == WAITING) &&
             was_given(h, w->worker, m->webhook, m->delivery, m->attempt, m->token))
        give(k, w, true);
}

void hooks_polled(struct hooks *h, uint64_t worker, const Wire__WorkPoll *m)
{
    struct taker *w = map_get(&h->takers, worker);
    if (!w && !m->hook_slots && !m->n_hooks)
        return;
    if (!w) {
        w = calloc(1, sizeof *w);
        if (!w || map_put(&h->takers, worker, w)) {
            free(w);
            return; // with the next poll
        }
        w->worker = worker;
        list_init(&w->out);
        list_push_back(&h->all_takers, &w->at);
    }
    w->slots = m->hook_slots;
    list_each(n, next, &w->out)
        container_of(n, struct hook, at)->named = false;
    for (size_t i = 0; i < m->n_hooks; i++)
        named(h, w, m->hooks[i]);
    pass(h);
}

void hooks_worker_gone(struct hooks *h, uint64_t worker)
{
    struct taker *w = map_del(&h->takers, worker);
    if (!w)
        return;
    list_remove(&w->at);
    while (!list_empty(&w->out))
        take_back(container_of(w->out.next, struct hook, at));
    free(w);
    pass(h);
}

enum err hooks_report(struct hooks *h, uint64_t worker, Wire__HookReport *m)
{
    m->retry_base_ms = h->conf.retry_base_ms; // only ours is believed
    if (was_given(h, worker, m->webhook, m->delivery, m->attempt, m->token))
        return ERR_OK;
    log_warn("worker_%llu reports on delivery_%llu, which it was not given", (unsigned long long)worker, (unsigned long long)m->delivery);
    return ERR_STALE_ATTEMPT;
}

uint64_t hooks_passed(const struct hooks *h, uint64_t webhook)
{
    const struct hook *k = map_get(&h->by_id, webhook);
    return !k ? 0 : k->state == WATCH ? h->newest : k->seen;
}

// ---------------------------------------------------------------- orders

static enum err token_for(const struct hook *k, struct arena *a, ProtobufCBinaryData *ret)
{
    uint8_t *p = arena_alloc(a, HMAC_SIZE);
    if (!p)
        return ERR_NO_MEMORY;
    token_of(k->of, k->taker->worker, k->id, k->delivery, k->attempt, p);
    *ret = (ProtobufCBinaryData){ HMAC_SIZE, p };
    return ERR_OK;
}

static enum err copy(struct arena *a, struct slice s, ProtobufCBinaryData *ret)
{
    uint8_t *p = arena_alloc(a, s.n ? s.n : 1);
    if (!p)
        return ERR_NO_MEMORY;
    memcpy(p, s.p, s.n);
    *ret = (ProtobufCBinaryData){ s.n, p };
    return ERR_OK;
}

static enum err test_time(const struct hook *k, struct txn *t, struct arena *a, uint64_t *ret_ms)
{
    struct key at = { .n = 0 };
    Rec__Delivery *d;
    key_u64(key_u64(key_u64(&at, k->space->id), k->id), k->delivery);
    enum err e = rec_get(t, a, DB_DELIVERY, &at, &rec__delivery__descriptor, &d);
    if (!e)
        *ret_ms = d->created_ms;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

// ERR_AGAIN: what is stored has moved on, which we are about to be told. ERR_NOT_FOUND: the event is kept no more.
static enum err order(struct hook *k, struct txn *t, struct arena *a, Wire__HookOrder **ret)
{
    Wire__HookOrder *o = arena_alloc(a, sizeof *o);
    struct key at = { .n = 0 };
    Rec__Webhook *r;
    struct slice s;
    if (!o)
        return ERR_NO_MEMORY;
    *o = (Wire__HookOrder)WIRE__HOOK_ORDER__INIT;
    enum err e = kind_get(t, a, KIND_WEBHOOK, k->space->id, k->id, &r);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_AGAIN : e;
    bool test = r->n_tests && r->tests[0] == k->delivery;
    o->created_ms = r->begun_ms;
    if (!test && (r->delivery != k->delivery || r->event != k->event || r->attempt + 1 != k->attempt))
        return ERR_AGAIN;
    e = test ? test_time(k, t, a, &o->created_ms) : store_get(t, DB_LOG, key_u64(&at, k->event), &s);
    if (!e && !test)
        e = copy(a, s, &o->row);
    if (!e)
        e = token_for(k, a, &o->token);
    if (!e)
        e = k->of->conf.open_key(k->of->conf.u, r->secret.data, r->secret.len, a, &o->secret);
    o->webhook = k->id;
    o->workspace = k->space->id;
    o->delivery = k->delivery;
    o->attempt = k->attempt;
    o->url = r->url;
    o->feed = r->feed;
    *ret = o;
    return e;
}

enum err hooks_orders(struct hooks *h, struct txn *t, struct arena *a, uint64_t worker, Wire__HookOrder ***ret, size_t *ret_n)
{
    struct taker *w = map_get(&h->takers, worker);
    size_t n = 0, octets = 0;
    *ret_n = 0;
    if (!w || list_empty(&w->out))
        return ERR_OK;
    Wire__HookOrder **list = arena_alloc(a, w->n_out * sizeof *list);
    if (!list)
        return ERR_NO_MEMORY;
    list_each(at, next, &w->out) {
        struct hook *k = container_of(at, struct hook, at);
        if (k->named || (k->told && now(h) < k->told + TELL_EVERY_MS) || octets > ORDER_OCTETS_MAX) // the rest with the next poll
            continue;
        enum err e = order(k, t, a, &list[n]);
        if (e == ERR_NOT_FOUND) {
            leave_taker(k);
            ask_next(k, k->seen);
        } else if (!e) {
            octets += list[n++]->row.len;
            k->told = now(h);
        } else if (e == ERR_CORRUPT) { // it alone: the worker has other things to do
            log_error("webhook_%llu, delivery_%llu: %s", (unsigned long long)k->id, (unsigned long long)k->delivery, err_text(e));
            leave_taker(k);
            park(k);
        } else if (e != ERR_AGAIN) {
            return e;
        }
    }
    *ret = list;
    *ret_n = n;
    return ERR_OK;
}

// ---------------------------------------------------------------- time

static void end_waits(struct hooks *h)
{
    uint64_t at = now(h);
    list_each(n, next, &h->waiting) {
        struct hook *k = container_of(n, struct hook, at);
        if (k->due <= at)
            place(k);
        else
            wake_in(h, k->due - at);
    }
}

static void woken_cb(uv_timer_t *t)
{
    struct hooks *h = t->data;
    end_waits(h);
    scan(h);
    pass(h);
    h->conf.settled(h->conf.u);
}

static void wake_in(struct hooks *h, uint64_t ms)
{
    if (uv_is_active((uv_handle_t *)&h->timer) && uv_timer_get_due_in(&h->timer) <= ms)
        return;
    uv_timer_start(&h->timer, woken_cb, ms, 0);
}

void hooks_committed(struct hooks *h, const struct batch *b)
{
    struct txn *t = NULL;
    rows_committed(h, b);
    h->newest = b->newest;
    arena_reset(&h->arena);
    for (size_t i = 0; i < b->n_touched; i++) {
        if (!b->touched[i].webhook)
            continue;
        if (!t && store_begin(h->conf.store, false, &t)) {
            log_error("webhooks cannot be read: they wait for the next second");
            break;
        }
        refresh(h, t, b->touched[i].workspace, b->touched[i].webhook);
    }
    store_abort(t);
    scan(h);
    pass(h);
}

static void store_position(struct hooks *h)
{
    list_each(n, next, &h->all_spaces) {
        struct space *s = container_of(n, struct space, at);
        list_each(at, after, &s->watching) {
            struct hook *k = container_of(at, struct hook, at);
            if (h->newest - k->stored > LAZY_ROWS)
                ask_next(k, h->newest);
        }
    }
}

void hooks_tick(struct hooks *h)
{
    uint64_t at = now(h);
    list_each(n, next, &h->off) {
        struct hook *k = container_of(n, struct hook, at);
        if (k->enabled) // what it asked was refused
            place(k);
    }
    list_each(n, next, &h->all_takers) {
        struct taker *w = container_of(n, struct taker, at);
        list_each(o, after, &w->out) {
            struct hook *k = container_of(o, struct hook, at);
            if (at > k->since + LEASE_OUT_MS)
                take_back(k);
        }
    }
    store_position(h);
    end_waits(h);
    scan(h);
    pass(h);
}

// ---------------------------------------------------------------- start

enum err hooks_new(const struct hooks_conf *conf, struct hooks **ret)
{
    static const char purpose[] = "mc-hook-token-1";
    struct hooks *h = calloc(1, sizeof *h);
    if (!h || uv_timer_init(conf->loop, &h->timer)) {
        free(h);
        return ERR_NO_MEMORY;
    }
    h->conf = *conf;
    h->timer.data = h;
    crypto_hmac(h->token_key, conf->seal_key, SEAL_KEY_SIZE, purpose, sizeof purpose, NULL, 0);
    struct list *all[] = { &h->off, &h->behind, &h->asking, &h->waiting, &h->due, &h->all_takers, &h->all_spaces };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        list_init(all[i]);
    arena_init(&h->arena, ARENA_MAX);
    *ret = h;
    return ERR_OK;
}

// What was under way when we stopped may still be: workers have a moment to say so.
static void wait_for_workers(struct hooks *h)
{
    uint64_t until = now(h) + ADOPT_MS;
    list_each(n, next, &h->due) {
        struct hook *k = container_of(n, struct hook, at);
        k->due = until;
        place(k);
    }
}

enum err hooks_load(struct hooks *h, uint64_t newest)
{
    struct txn *t;
    struct cursor c;
    enum err e = store_begin(h->conf.store, false, &t);
    if (e)
        return e;
    h->newest = newest;
    e = cursor_open(&c, t, DB_WEBHOOK, NULL);
    for (bool on = !e && cursor_seek(&c, NULL); on; on = cursor_next(&c)) {
        arena_reset(&h->arena);
        refresh(h, t, key_read_u64(c.key.b), key_read_u64(c.key.b + 8));
    }
    if (!e) {
        e = c.err;
        cursor_close(&c);
    }
    store_abort(t);
    wait_for_workers(h);
    return e;
}
