// Happy path of a write: work_row -> postings_row gathers the number under each list it belongs to -> at the turn's end, one
// last chunk a list is read, grown, written. Of a query: ranks at both ends give the total, a few more find the place of an offset,
// and a heap over the lists gives the numbers newest first.
#include "posting.h"
#include <string.h>
#include "arena.h"
#include "crypto.h"
#include "event.h"

enum { HEAD_MAX = 20, BODY_MAX = POSTING_OCTETS - HEAD_MAX, VARINT_MAX = 10 };

// ---------------------------------------------------------------- lists and their keys

struct posting_list posting_by_kind(uint64_t workspace, unsigned kind)
{
    return (struct posting_list){ .workspace = workspace, .family = POSTING_KIND, .kind = (uint8_t)kind };
}

struct posting_list posting_by_actor(uint64_t workspace, const char *actor, unsigned kind)
{
    struct posting_list l = { .workspace = workspace, .family = POSTING_ACTOR, .kind = (uint8_t)kind };
    uint8_t hash[HASH_SIZE];
    crypto_hash(hash, actor, strlen(actor));
    l.a = key_read_u64(hash);
    l.b = key_read_u64(hash + 8);
    return l;
}

struct posting_list posting_by_id(enum posting_family family, uint64_t workspace, uint64_t id, unsigned kind)
{
    return (struct posting_list){ .workspace = workspace, .a = id, .family = (uint8_t)family, .kind = (uint8_t)kind };
}

void posting_key(const struct posting_list *l, struct key *ret)
{
    ret->n = 0;
    key_u8(key_u64(ret, l->workspace), l->family);
    if (l->family == POSTING_ENTITY) {
        key_u64(key_u8(ret, l->kind), l->a);
        return;
    }
    if (l->family != POSTING_KIND)
        key_u64(ret, l->a);
    if (l->family == POSTING_ACTOR)
        key_u64(ret, l->b);
    key_u8(ret, l->kind);
}

bool posting_key_read(const struct key *k, struct posting_list *ret)
{
    struct key again;
    *ret = (struct posting_list){ 0 };
    if (k->n < 9)
        return false;
    ret->workspace = key_read_u64(k->b);
    ret->family = k->b[8];
    const uint8_t *p = k->b + 9;
    switch (ret->family) {
    case POSTING_KIND:
        if (k->n == 9 + 1 + 8)
            ret->kind = p[0];
        break;
    case POSTING_ENTITY:
        if (k->n == 9 + 9 + 8) {
            ret->kind = p[0];
            ret->a = key_read_u64(p + 1);
        }
        break;
    case POSTING_ACTOR:
        if (k->n == 9 + 17 + 8) {
            ret->a = key_read_u64(p);
            ret->b = key_read_u64(p + 8);
            ret->kind = p[16];
        }
        break;
    case POSTING_DESKTOP:
    case POSTING_AGENT:
        if (k->n == 9 + 9 + 8) {
            ret->a = key_read_u64(p);
            ret->kind = p[8];
        }
        break;
    default:
        return false;
    }
    posting_key(ret, &again);
    return again.n + 8 == k->n && memcmp(again.b, k->b, again.n) == 0;
}

static uint64_t agent_of(const Wire__Row *row)
{
    return row->agent ? row->agent : event_entity(row->row) == ENTITY_AGENT ? row->entity : 0;
}

// actor: the list of the row's actor and kind.
static unsigned lists_of(const Wire__Row *row, const struct posting_list *actor, struct posting_list ret[POSTING_PER_ROW])
{
    bool feed = event_type(row->row, VIEW_FEED) != NULL, activities = event_type(row->row, VIEW_ACTIVITIES) != NULL;
    enum entity about = event_entity(row->row);
    unsigned n = 0;
    if (feed || activities)
        ret[n++] = posting_by_kind(row->workspace, row->row);
    if (activities)
        ret[n++] = *actor;
    if (!feed)
        return n;
    if (row->desktop)
        ret[n++] = posting_by_id(POSTING_DESKTOP, row->workspace, row->desktop, row->row);
    if (agent_of(row))
        ret[n++] = posting_by_id(POSTING_AGENT, row->workspace, agent_of(row), row->row);
    if (about == ENTITY_TASK || about == ENTITY_SESSION || about == ENTITY_AGENT)
        ret[n++] = posting_by_id(POSTING_ENTITY, row->workspace, row->entity, about);
    return n;
}

unsigned posting_lists(const Wire__Row *row, struct posting_list ret[POSTING_PER_ROW])
{
    struct posting_list actor = posting_by_actor(row->workspace, row->actor, row->row);
    return lists_of(row, &actor, ret);
}

// ---------------------------------------------------------------- chunks

static size_t put_varint(uint8_t *p, uint64_t v)
{
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        p[n++] = (uint8_t)(v | 0x80);
    p[n++] = (uint8_t)v;
    return n;
}

// Takes one off s. False: it is cut short, or longer than 64 bits.
static bool take_varint(struct slice *s, uint64_t *ret)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && s->n; shift += 7) {
        uint8_t b = *s->p++;
        s->n--;
        if (shift == 63 && b > 1)
            return false;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) {
            *ret = v;
            return true;
        }
    }
    return false;
}

enum err posting_head(uint64_t first, struct slice value, struct posting_head *ret)
{
    uint64_t n, span;
    ret->first = first;
    if (!take_varint(&value, &ret->rank) || !take_varint(&value, &n) || !take_varint(&value, &span))
        return ERR_CORRUPT;
    if (n == 0 || n > POSTING_ENTRIES || span > UINT32_MAX || span > UINT64_MAX - first || ret->rank > UINT64_MAX - n)
        return ERR_CORRUPT;
    ret->n = (uint32_t)n;
    ret->span = (uint32_t)span;
    ret->body = value;
    return ERR_OK;
}

// The next entry of a body: *off goes up to it (the first stays at 0), *kind is its row kind.
static bool take_entry(struct slice *body, bool first, bool kinds, uint64_t *off, uint8_t *kind)
{
    uint64_t delta;
    if (!first) {
        if (!take_varint(body, &delta) || delta == 0 || delta > UINT32_MAX - *off)
            return false;
        *off += delta;
    }
    if (kinds) {
        if (!body->n)
            return false;
        *kind = *body->p++;
        body->n--;
    }
    return true;
}

enum err posting_unpack(const struct posting_head *h, bool kinds, struct posting_chunk *ret)
{
    struct slice body = h->body;
    uint64_t off = 0;
    ret->first = h->first;
    ret->rank = h->rank;
    ret->n = h->n;
    for (uint32_t i = 0; i < h->n; i++) {
        if (!take_entry(&body, i == 0, kinds, &off, &ret->kind[i]))
            return ERR_CORRUPT;
        ret->off[i] = (uint32_t)off;
    }
    return off == h->span && body.n == 0 ? ERR_OK : ERR_CORRUPT;
}

// How many entries of the chunk are below `number`.
static enum err below(const struct posting_head *h, bool kinds, uint64_t number, uint32_t *ret)
{
    struct slice body = h->body;
    uint64_t off = 0;
    uint8_t kind;
    *ret = h->n;
    if (number > h->first + h->span)
        return ERR_OK;
    for (*ret = 0; *ret < h->n; ++*ret) {
        if (!take_entry(&body, *ret == 0, kinds, &off, &kind))
            return ERR_CORRUPT;
        if (h->first + off >= number)
            break;
    }
    return ERR_OK;
}

// What the cursor stands on.
static enum err head_at(const struct cursor *c, struct posting_head *ret)
{
    return c->key.n < 8 ? ERR_CORRUPT : posting_head(key_read_u64(c->key.b + c->key.n - 8), c->value, ret);
}

// ---------------------------------------------------------------- gathered during a turn

struct entry {
    uint64_t number;
    uint8_t kind;
};
struct gathered {
    struct posting_list list;
    struct gathered *chain, *next;
    struct entry *entries;
    uint32_t n, cap;
};

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static size_t place(const struct postings *p, const struct posting_list *l)
{
    uint64_t h = mix(mix(mix(l->workspace, l->a), l->b), (uint64_t)l->family << 8 | l->kind);
    return (size_t)h & (p->cap - 1);
}

static bool same(const struct posting_list *x, const struct posting_list *y)
{
    return x->a == y->a && x->b == y->b && x->family == y->family && x->kind == y->kind && x->workspace == y->workspace;
}

static enum err grow(struct postings *p, struct arena *a)
{
    size_t cap = p->cap ? p->cap * 2 : 64;
    struct gathered **slot = arena_alloc(a, cap * sizeof(struct gathered *));
    if (!slot)
        return ERR_NO_MEMORY;
    memset(slot, 0, cap * sizeof(struct gathered *));
    p->slot = slot;
    p->cap = cap;
    for (struct gathered *g = p->first; g; g = g->next) {
        struct gathered **at = &slot[place(p, &g->list)];
        g->chain = *at;
        *at = g;
    }
    return ERR_OK;
}

static enum err find(struct postings *p, struct arena *a, const struct posting_list *l, struct gathered **ret)
{
    enum err e = p->n == p->cap ? grow(p, a) : ERR_OK;
    if (e)
        return e;
    struct gathered **at = &p->slot[place(p, l)];
    for (struct gathered *g = *at; g; g = g->chain)
        if (same(&g->list, l)) {
            *ret = g;
            return ERR_OK;
        }
    struct gathered *g = arena_alloc(a, sizeof *g);
    if (!g)
        return ERR_NO_MEMORY;
    *g = (struct gathered){ .list = *l, .chain = *at };
    *at = g;
    if (p->n++)
        *p->last = g;
    else
        p->first = g;
    p->last = &g->next;
    *ret = g;
    return ERR_OK;
}

static enum err add(struct postings *p, struct arena *a, const struct posting_list *l, struct entry entry)
{
    struct gathered *g;
    enum err e = find(p, a, l, &g);
    if (e)
        return e;
    if (g->n == g->cap) {
        uint32_t cap = g->cap ? g->cap * 2 : 2;
        struct entry *entries = arena_alloc(a, cap * sizeof *entries);
        if (!entries)
            return ERR_NO_MEMORY;
        if (g->n)
            memcpy(entries, g->entries, g->n * sizeof *entries);
        g->entries = entries;
        g->cap = cap;
    }
    g->entries[g->n++] = entry;
    return ERR_OK;
}

enum err postings_row(struct postings *p, struct arena *a, const Wire__Row *row)
{
    struct posting_list lists[POSTING_PER_ROW], actor = posting_by_id(POSTING_ACTOR, row->workspace, p->actor_a, row->row);
    if (p->actor && strcmp(p->actor, row->actor) == 0) {
        actor.b = p->actor_b;
    } else {
        actor = posting_by_actor(row->workspace, row->actor, row->row);
        p->actor = row->actor;
        p->actor_a = actor.a;
        p->actor_b = actor.b;
    }
    unsigned n = lists_of(row, &actor, lists);
    enum err e = ERR_OK;
    for (unsigned i = 0; i < n && !e; i++)
        e = add(p, a, &lists[i], (struct entry){ row->number, (uint8_t)row->row });
    return e;
}

// The chunk that grows.
struct growing {
    struct key prefix;
    bool kinds;
    bool stored;     // it is the chunk the cursor stands on
    uint64_t first, last, rank;
    uint32_t n;
    size_t body_n;
    uint8_t body[BODY_MAX];
};

// A list that begins with these rows: the object they are about was made by them.
static bool begins(const struct gathered *g)
{
    return g->list.family == POSTING_ENTITY && (g->entries[0].kind == ROW_TASK_CREATED || g->entries[0].kind == ROW_SESSION_STARTED);
}

static enum err growing_load(struct growing *w, struct cursor *c, const struct gathered *g)
{
    struct posting_head h;
    posting_key(&g->list, &w->prefix);
    w->kinds = g->list.family == POSTING_ENTITY;
    w->stored = false;
    w->n = 0;
    w->rank = 0;
    c->prefix = w->prefix;
    if (begins(g))
        return ERR_OK;
    if (!cursor_seek_before(c, NULL))
        return c->err;
    enum err e = head_at(c, &h);
    if (e || h.body.n > BODY_MAX)
        return ERR_CORRUPT;
    w->stored = true;
    w->first = h.first;
    w->last = h.first + h.span;
    w->rank = h.rank;
    w->n = h.n;
    w->body_n = h.body.n;
    if (h.body.n)
        memcpy(w->body, h.body.p, h.body.n);
    return ERR_OK;
}

static enum err growing_put(struct growing *w, struct cursor *c)
{
    uint8_t value[POSTING_OCTETS + VARINT_MAX];
    struct key k = w->prefix;
    size_t n = put_varint(value, w->rank);
    n += put_varint(value + n, w->n);
    n += put_varint(value + n, w->last - w->first);
    memcpy(value + n, w->body, w->body_n);
    n += w->body_n;
    return w->stored ? cursor_put(c, value, n) : store_put(c->txn, DB_POSTING, key_u64(&k, w->first), value, n);
}

static enum err growing_add(struct growing *w, struct cursor *c, const struct entry *x)
{
    uint8_t one[VARINT_MAX + 1];
    size_t n = w->n ? put_varint(one, x->number - w->last) : 0;
    if (w->kinds)
        one[n++] = x->kind;
    if (w->n && (w->n == POSTING_ENTRIES || w->body_n + n > BODY_MAX || x->number - w->first > UINT32_MAX)) {
        enum err e = growing_put(w, c);
        if (e)
            return e;
        w->stored = false;
        w->rank += w->n;
        w->n = 0;
        one[0] = x->kind;
        n = w->kinds ? 1 : 0;
    }
    if (w->n == 0) {
        w->first = x->number;
        w->body_n = 0;
    }
    memcpy(w->body + w->body_n, one, n);
    w->body_n += n;
    w->last = x->number;
    w->n++;
    return ERR_OK;
}

enum err postings_flush(struct postings *p, struct txn *t)
{
    struct growing w;
    struct cursor c;
    if (!p->n)
        return ERR_OK;
    enum err e = cursor_open(&c, t, DB_POSTING, NULL);
    if (e)
        return e;
    for (const struct gathered *g = p->first; g && !e; g = g->next) {
        e = growing_load(&w, &c, g);
        for (uint32_t i = 0; i < g->n && !e; i++)
            e = growing_add(&w, &c, &g->entries[i]);
        if (!e)
            e = growing_put(&w, &c);
    }
    cursor_close(&c);
    *p = (struct postings){ 0 };
    return e;
}

enum err postings_trim(struct postings *p, struct txn *t, uint64_t oldest)
{
    struct cursor c;
    if (!p->n)
        return ERR_OK;
    enum err e = cursor_open(&c, t, DB_POSTING, NULL);
    if (e)
        return e;
    for (const struct gathered *g = p->first; g && !e; g = g->next) {
        posting_key(&g->list, &c.prefix);
        for (bool on = cursor_seek(&c, NULL); on && !e; on = cursor_next(&c)) {
            struct posting_head h;
            e = head_at(&c, &h);
            if (e || h.first + h.span >= oldest)
                break;
            e = cursor_del(&c);
        }
        if (!e)
            e = c.err;
    }
    cursor_close(&c);
    *p = (struct postings){ 0 };
    return e;
}

// ---------------------------------------------------------------- looked up

// How many entries the list had before `number`, counted from some point that is the same for every number.
static enum err rank(struct cursor *c, const struct posting_list *l, uint64_t number, uint64_t *ret)
{
    struct posting_head h;
    uint32_t n;
    *ret = 0;
    posting_key(l, &c->prefix);
    struct key k = c->prefix;
    if (cursor_seek_before(c, key_u64(&k, number))) {
        enum err e = head_at(c, &h);
        if (!e)
            e = below(&h, l->family == POSTING_ENTITY, number, &n);
        if (!e)
            *ret = h.rank + n;
        return e;
    }
    if (c->err || !cursor_seek(c, NULL)) // nothing before it: the first chunk there is says how many have gone
        return c->err;
    enum err e = head_at(c, &h);
    if (!e)
        *ret = h.rank;
    return e;
}

static enum err ranks(const struct posting_set *s, struct cursor *c, uint64_t number, uint64_t *ret)
{
    enum err e = ERR_OK;
    *ret = 0;
    for (unsigned i = 0; i < s->n && !e; i++) {
        uint64_t one;
        e = rank(c, &s->lists[i], number, &one);
        *ret += one;
    }
    return e;
}

enum err posting_total(const struct posting_set *s, uint64_t *ret)
{
    struct cursor c;
    uint64_t from, to = 0;
    *ret = 0;
    if (s->lo >= s->hi)
        return ERR_OK;
    enum err e = cursor_open(&c, s->txn, DB_POSTING, NULL);
    if (e)
        return e;
    e = ranks(s, &c, s->lo, &from);
    if (!e)
        e = ranks(s, &c, s->hi, &to);
    if (!e && to < from)
        e = ERR_CORRUPT;
    if (!e)
        *ret = to - from;
    cursor_close(&c);
    return e;
}

enum err posting_since(struct cursor *c, const struct posting_list *l, uint64_t lo, uint64_t *ret_n, uint64_t *ret_newest)
{
    struct posting_head h;
    uint64_t before;
    *ret_n = *ret_newest = 0;
    posting_key(l, &c->prefix);
    if (!cursor_seek_before(c, NULL))
        return c->err;
    enum err e = head_at(c, &h);
    if (e || h.first + h.span < lo)
        return e;
    e = rank(c, l, lo, &before);
    if (!e && before > h.rank + h.n)
        e = ERR_CORRUPT;
    if (e)
        return e;
    *ret_n = h.rank + h.n - before;
    *ret_newest = h.first + h.span;
    return ERR_OK;
}

__extension__ typedef unsigned __int128 wide;

// Rows of a kind lie about evenly, so that a guess in proportion mostly lands within a few hundred rows of the place; each second
// guess halves what is left, so that it never takes more than twice the steps of a binary search.
enum err posting_skip(struct posting_set *s, uint64_t total, uint64_t skip, uint64_t *ret_left)
{
    enum { WALK = 512 }; // entries that a walk passes as quickly as one more guess
    uint64_t top = s->hi, bottom = s->lo, above_top = 0, above_bottom = total, all, at;
    struct cursor c;
    *ret_left = skip;
    if (skip <= WALK || s->lo >= s->hi)
        return ERR_OK;
    enum err e = cursor_open(&c, s->txn, DB_POSTING, NULL);
    if (e)
        return e;
    e = ranks(s, &c, s->hi, &all);
    for (unsigned step = 0; !e && skip - above_top > WALK && top - bottom > 1; step++) {
        uint64_t guess = bottom + (top - bottom) / 2;
        if (step % 2 == 0 && above_bottom > above_top) {
            uint64_t want = skip - WALK / 2 - above_top, there = above_bottom - above_top;
            uint64_t down = want < there ? (uint64_t)((wide)(top - bottom) * want / there) : top - bottom;
            guess = down == 0 ? top - 1 : down >= top - bottom ? bottom + 1 : top - down;
        }
        e = ranks(s, &c, guess, &at);
        if (!e && at > all)
            e = ERR_CORRUPT;
        if (!e && all - at <= skip) {
            top = guess;
            above_top = all - at;
        } else if (!e) {
            bottom = guess;
            above_bottom = all - at;
        }
    }
    cursor_close(&c);
    s->hi = top;
    *ret_left = skip - above_top;
    return e;
}

// ---------------------------------------------------------------- walked

struct walked {
    struct cursor c;
    const struct posting_list *list;
    struct posting_chunk *chunk;
    uint32_t at;     // the entry that is next
    uint64_t number; // its number
};

// Unpacks the chunk under the cursor and stands on its last entry below `hi`. *ret_on false: there is none.
static enum err walked_chunk(struct walked *x, struct arena *a, uint64_t hi, bool *ret_on)
{
    struct posting_head h;
    *ret_on = false;
    enum err e = head_at(&x->c, &h);
    if (e)
        return e;
    if (!x->chunk && !(x->chunk = arena_alloc(a, sizeof *x->chunk)))
        return ERR_NO_MEMORY;
    e = posting_unpack(&h, x->list->family == POSTING_ENTITY, x->chunk);
    if (e)
        return e;
    for (x->at = x->chunk->n; x->at > 0; x->at--) {
        x->number = x->chunk->first + x->chunk->off[x->at - 1];
        if (x->number < hi)
            break;
    }
    *ret_on = x->at-- > 0;
    return ERR_OK;
}

static enum err walked_open(struct walked *x, const struct posting_set *s, const struct posting_list *l, bool *ret_on)
{
    struct key k;
    *ret_on = false;
    x->list = l;
    x->chunk = NULL;
    posting_key(l, &k);
    enum err e = cursor_open(&x->c, s->txn, DB_POSTING, &k);
    if (e)
        return e;
    e = cursor_seek_before(&x->c, key_u64(&k, s->hi)) ? walked_chunk(x, s->arena, s->hi, ret_on) : x->c.err;
    if (!*ret_on)
        cursor_close(&x->c);
    return e;
}

static enum err walked_step(struct walked *x, struct arena *a, bool *ret_on)
{
    *ret_on = true;
    if (x->at > 0) {
        x->number = x->chunk->first + x->chunk->off[--x->at];
        return ERR_OK;
    }
    if (cursor_prev(&x->c))
        return walked_chunk(x, a, UINT64_MAX, ret_on);
    *ret_on = false;
    return x->c.err;
}

static void sift(struct posting_walk *w, unsigned i)
{
    for (;;) {
        unsigned big = i, l = 2 * i + 1, r = l + 1;
        if (l < w->n && w->heap[l]->number > w->heap[big]->number)
            big = l;
        if (r < w->n && w->heap[r]->number > w->heap[big]->number)
            big = r;
        if (big == i)
            return;
        struct walked *x = w->heap[i];
        w->heap[i] = w->heap[big];
        w->heap[big] = x;
        i = big;
    }
}

enum err posting_walk_open(struct posting_walk *w, const struct posting_set *s)
{
    *w = (struct posting_walk){ .s = *s };
    if (s->lo >= s->hi || !s->n)
        return ERR_OK;
    w->heap = arena_alloc(s->arena, s->n * sizeof(struct walked *));
    if (!w->heap)
        return ERR_NO_MEMORY;
    for (unsigned i = 0; i < s->n; i++) {
        struct walked *x = arena_alloc(s->arena, sizeof *x);
        bool on;
        enum err e = x ? walked_open(x, s, &s->lists[i], &on) : ERR_NO_MEMORY;
        if (e) {
            posting_walk_close(w);
            return e;
        }
        if (on)
            w->heap[w->n++] = x;
    }
    for (unsigned i = w->n / 2; i-- > 0;)
        sift(w, i);
    return ERR_OK;
}

bool posting_walk_next(struct posting_walk *w, uint64_t *ret_number, unsigned *ret_kind)
{
    bool on;
    if (w->err || !w->n || w->heap[0]->number < w->s.lo)
        return false;
    struct walked *x = w->heap[0];
    *ret_number = x->number;
    *ret_kind = x->list->family == POSTING_ENTITY ? x->chunk->kind[x->at] : x->list->kind;
    w->err = walked_step(x, w->s.arena, &on);
    if (!on) {
        cursor_close(&x->c);
        w->heap[0] = w->heap[--w->n];
    }
    sift(w, 0);
    return true;
}

void posting_walk_close(struct posting_walk *w)
{
    for (unsigned i = 0; i < w->n; i++)
        cursor_close(&w->heap[i]->c);
    w->n = 0;
}

bool posting_next_list(struct cursor *c, struct posting_list *l)
{
    struct key k = { .n = 0 };
    c->prefix.n = 0;
    key_u8(key_u64(&c->prefix, l->workspace), l->family);
    posting_key(l, &k);
    key_u64(&k, UINT64_MAX); // no chunk begins there: the next key is another list's
    if (!cursor_seek(c, l->kind ? &k : NULL))
        return false;
    if (!posting_key_read(&c->key, l))
        c->err = ERR_CORRUPT;
    return c->err == ERR_OK;
}
