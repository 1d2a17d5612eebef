// Happy path: hot_serve finds an entry whose number is the newest -> 200 or 304 from its memory. Else the first to miss asks
// (a fill), the others hang on to it, and the answer is rendered once, kept, and sent to all.
//
// Who came after a newer event was seen than the answer turns out to reflect may not get it (it could miss their own change):
// such a request goes through its handler again.
#include "hot.h"
#include <stdlib.h>
#include <string.h>
#include "cache.h"
#include "clock.h"
#include "figures.h"
#include "gateway.h"
#include "peer.h"

enum { TABLE = 256 };

struct waiter {          // request.own of those who wait
    uint64_t since;      // the newest event number when it came
    uint64_t epoch;
};

struct fill {
    struct ask_call ask;
    struct gateway *gw;
    struct list at;      // table
    struct list waiting; // request.at
    uint64_t hash;
    struct cache_key key; // its query lies behind the struct
    Wire__Answer__BodyCase want;
    hot_render *render;
    void (*instead)(struct request *r);
};

static struct list table[TABLE];

static struct cache_key key_of(const struct request *r)
{
    return (struct cache_key){ .workspace = r->x->actor.workspace, .route = r->row, .query = r->x->query };
}

static struct list *chain(uint64_t hash)
{
    struct list *l = &table[hash % TABLE];

    if (!l->next)
        list_init(l);
    return l;
}

static struct fill *find(uint64_t hash, const struct cache_key *k)
{
    list_each (n, tmp, chain(hash)) {
        struct fill *f = container_of(n, struct fill, at);
        if (f->hash == hash && f->key.workspace == k->workspace && f->key.route == k->route && f->key.query.n == k->query.n &&
            (k->query.n == 0 || memcmp(f->key.query.p, k->query.p, k->query.n) == 0))
            return f;
    }
    return NULL;
}

static void decimal(char out[21], uint64_t n)
{
    char t[20];
    size_t i = sizeof t;

    do {
        t[--i] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    memcpy(out, t + i, sizeof t - i);
    out[sizeof t - i] = 0;
}

static void answer(struct request *r, const struct cache_entry *e)
{
    struct exchange *x = r->x;
    char total[21];

    x->sequence = e->sequence;
    if (e->has_total) {
        decimal(total, e->total);
        exchange_add(x, "X-Total-Count", total);
    }
    if (e->link.n)
        exchange_add(x, "Link", e->link.p); // NUL-terminated: see keep
    request_let_go(r);
    exchange_reply_tagged(x, e->etag, e->body);
}

static bool wait_for(struct fill *f, struct request *r)
{
    struct waiter *w = malloc(sizeof *w);

    if (!w) {
        request_fail(r, ERR_NO_MEMORY, NULL, NULL);
        return false;
    }
    *w = (struct waiter){ .since = ask_newest(f->gw->ask), .epoch = ask_epoch(f->gw->ask) };
    free(r->own);
    r->own = w;
    list_push_back(&f->waiting, &r->at);
    return true;
}

bool hot_serve(struct request *r)
{
    struct gateway *gw = r->x->gw;
    struct cache_key k = key_of(r);

    if (k.query.n > CACHE_QUERY_MAX)
        return false;
    const struct cache_entry *e = cache_find(gw->cache, &k);
    if (e && e->sequence == ask_newest(gw->ask) && e->epoch == ask_epoch(gw->ask) &&
        clock_mono_ms() - e->made_ms <= HOT_AGE_MS && peer_is_up(gw->peer)) {
        figure_count(gw, FIGURE_GATEWAY_HITS);
        answer(r, e);
        return true;
    }
    struct fill *f = find(cache_hash(gw->cache, &k), &k);
    if (!f)
        return false;
    figure_count(gw, FIGURE_GATEWAY_SHARED);
    (void)wait_for(f, r);
    return true;
}

static struct cache_entry *keep(struct fill *f, const struct hot_page *p, const struct buf *body, uint64_t newest)
{
    struct text link = { NULL, 0 };

    if (p->link->len) {
        link.p = buf_cstr(p->link);
        link.n = p->link->len + 1; // with its NUL, for exchange_add
    }
    struct cache_entry *e = cache_make(&f->key, (struct text){ (const char *)body->data, body->len }, link);
    if (!e)
        return NULL;
    e->sequence = newest;
    e->epoch = ask_epoch(f->gw->ask);
    e->made_ms = clock_mono_ms();
    e->total = p->total;
    e->has_total = p->has_total;
    return e;
}

// Splits off those who came too late for an answer that reflects `newest`.
static void take_late(struct fill *f, uint64_t newest, struct list *late)
{
    list_each (n, tmp, &f->waiting) {
        struct request *r = container_of(n, struct request, at);
        const struct waiter *w = r->own;
        if (w->epoch != ask_epoch(f->gw->ask) || w->since > newest) {
            list_remove(n);
            list_push_back(late, n);
        }
    }
}

static struct request *pop(struct list *l)
{
    struct list *n = list_pop_front(l);

    return n ? container_of(n, struct request, at) : NULL;
}

static void filled_cb(struct ask_call *c, enum err e, const Wire__Answer *a, uint64_t newest)
{
    struct fill *f = container_of(c, struct fill, ask);
    struct list late;
    struct request *r;
    struct cache_entry *entry = NULL;
    struct buf link;
    bool kept = false, shared = true;

    list_remove(&f->at);
    list_init(&late);
    if (e == ERR_OK && a->body_case != f->want)
        e = ERR_INTERNAL;
    buf_init(&link, 16 * 1024);
    if (e == ERR_OK) {
        struct hot_page p = { .j = request_json(), .link = &link, .query = f->key.query };
        shared = f->render(&p, a);
        if (shared) {
            e = p.j->out->err;
            entry = e == ERR_OK ? keep(f, &p, p.j->out, newest) : NULL;
            e = entry ? ERR_OK : ERR_NO_MEMORY;
        }
    }
    if (entry) {
        take_late(f, newest, &late);
        kept = f->key.query.n <= CACHE_QUERY_MAX && cache_put(f->gw->cache, entry);
    }
    while ((r = pop(&f->waiting))) {
        if (entry)
            answer(r, entry);
        else if (e == ERR_OK && !shared)
            f->instead(r);
        else
            request_fail(r, e, a ? a->field : NULL, a ? a->text : NULL);
    }
    if (!kept)
        free(entry);
    while ((r = pop(&late)))
        r->row->handler(r);
    buf_fini(&link);
    free(f);
}

void hot_ask(struct request *r, Wire__Item *item, Wire__Answer__BodyCase want, hot_render *render,
             void (*instead)(struct request *r))
{
    struct gateway *gw = r->x->gw;
    struct cache_key k = key_of(r);
    struct fill *f = malloc(sizeof *f + k.query.n);

    if (!f) {
        request_fail(r, ERR_NO_MEMORY, NULL, NULL);
        return;
    }
    *f = (struct fill){ .gw = gw, .want = want, .render = render, .instead = instead };
    f->ask.cb = filled_cb;
    f->key = k;
    f->key.query.p = (char *)(f + 1);
    if (k.query.n)
        memcpy((char *)(f + 1), k.query.p, k.query.n);
    f->hash = cache_hash(gw->cache, &k);
    list_init(&f->waiting);
    list_init(&f->at);
    struct actor actor = r->x->actor;
    figure_count(gw, FIGURE_GATEWAY_MISSES);
    if (!wait_for(f, r)) {
        free(f);
        return;
    }
    if (k.query.n <= CACHE_QUERY_MAX)
        list_push_back(chain(f->hash), &f->at);
    ask_send(gw->ask, &f->ask, &actor, item);
}

void hot_answer(struct request *r, Wire__Item__BodyCase what, Wire__Answer__BodyCase want, hot_render *render)
{
    Wire__Target t = WIRE__TARGET__INIT;
    Wire__Item item = WIRE__ITEM__INIT;

    if (hot_serve(r))
        return;
    item.body_case = what;
    item.task_get = &t; // the members of the union are pointers; what says which
    hot_ask(r, &item, want, render, NULL);
}
