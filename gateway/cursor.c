// Happy path: cursor_plan gathers pieces of the shared blocks from where the cursor stands, the caller gives them to the socket,
// cursor_wrote moves the cursor behind what went out: by comparing ends when all of it went, by going through the same frames
// again when the socket took less.
#include "cursor.h"
#include <stdlib.h>
#include <string.h>

struct cursor_ids {
    unsigned n_desktops, n_agents;
    uint64_t id[]; // desktops, then agents
};

struct cursor_rest {
    size_t at, n;
    uint8_t data[];
};

enum err cursor_init(struct cursor *c, enum event_view view, const struct stream_query *q, bool bare)
{
    *c = (struct cursor){ .kinds = q->kinds, .view = (uint8_t)view, .bare = bare };
    unsigned n = q->n_desktops + q->n_agents;
    if (!n)
        return ERR_OK;
    struct cursor_ids *ids = malloc(sizeof *ids + n * sizeof *ids->id);
    if (!ids)
        return ERR_NO_MEMORY;
    ids->n_desktops = q->n_desktops;
    ids->n_agents = q->n_agents;
    memcpy(ids->id, q->desktops, q->n_desktops * sizeof *ids->id);
    memcpy(ids->id + q->n_desktops, q->agents, q->n_agents * sizeof *ids->id);
    c->ids = ids;
    return ERR_OK;
}

void cursor_fini(struct cursor *c)
{
    free(c->ids);
    free(c->rest);
    c->ids = NULL;
    c->rest = NULL;
}

static bool among(const uint64_t *ids, unsigned n, uint64_t id)
{
    for (unsigned i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return n == 0;
}

static bool matches(const struct cursor *c, const struct block_entry *e)
{
    if (e->workspace != c->workspace || !(c->kinds & block_bit(e->kind)))
        return false;
    const struct cursor_ids *ids = c->ids;
    return !ids || (among(ids->id, ids->n_desktops, e->desktop) && among(ids->id + ids->n_desktops, ids->n_agents, e->agent));
}

static size_t length(const struct cursor *c, const struct block_entry *e)
{
    return c->bare ? (size_t)(e->len - e->head - 2) : e->len;
}

static uint8_t *octets(const struct cursor *c, const struct block *b, const struct block_entry *e)
{
    return b->text + e->at + (c->bare ? e->head : 0);
}

static bool add(struct cursor_plan *p, uint8_t *data, size_t n)
{
    struct iovec *last = p->n ? &p->v[p->n - 1] : NULL;

    if (last && (uint8_t *)last->iov_base + last->iov_len == data) {
        last->iov_len += n;
    } else {
        if (p->n == CURSOR_PIECES)
            return false;
        p->v[p->n++] = (struct iovec){ data, n };
    }
    p->octets += n;
    return true;
}

static void plan_rows(const struct cursor *c, struct tail *t, bool finish, struct cursor_plan *p)
{
    size_t skip = c->sent;
    uint64_t at = c->number;
    const struct block *b;

    while ((b = tail_find(t, c->view, &at))) {
        for (unsigned i = block_from(b, at); i < b->n; i++) {
            const struct block_entry *e = &b->entries[i];
            if (!matches(c, e))
                continue;
            if ((finish && !skip) || p->octets >= CURSOR_OCTETS || !add(p, octets(c, b, e) + skip, length(c, e) - skip)) {
                p->to = b->first + e->slot;
                p->end = CURSOR_MORE;
                return;
            }
            p->rows = true;
            skip = 0;
        }
        at = b->next;
    }
    p->to = at;
    p->end = at < tail_next(t) ? CURSOR_MISSING : CURSOR_LEVEL;
}

static void plan_live(const struct cursor *c, const struct block *live, struct cursor_plan *p)
{
    p->live = true;
    for (unsigned i = 0; i < live->n; i++) {
        const struct block_entry *e = &live->entries[i];
        if (matches(c, e) && (p->octets >= CURSOR_OCTETS || !add(p, octets(c, live, e), length(c, e))))
            return; // the others stay out
    }
}

void cursor_plan(const struct cursor *c, struct tail *t, const struct block *live, bool finish, struct cursor_plan *p)
{
    p->n = 0;
    p->octets = 0;
    p->rows = p->live = false;
    p->to = c->number;
    p->end = CURSOR_MORE;
    if (c->rest)
        (void)add(p, c->rest->data + c->rest->at, c->rest->n - c->rest->at);
    if (!finish || c->sent)
        plan_rows(c, t, finish, p);
    if (live && !finish && p->end == CURSOR_LEVEL)
        plan_live(c, live, p);
}

// Goes through the plan's rows again until w octets are used up. Returns what is left of w.
static size_t advance(struct cursor *c, struct tail *t, const struct cursor_plan *p, size_t w)
{
    size_t skip = c->sent;
    uint64_t at = c->number;
    const struct block *b;

    while (at < p->to && (b = tail_find(t, c->view, &at))) {
        for (unsigned i = block_from(b, at); i < b->n && b->first + b->entries[i].slot < p->to; i++) {
            const struct block_entry *e = &b->entries[i];
            if (!matches(c, e))
                continue;
            size_t left = length(c, e) - skip;
            if (w < left) {
                c->number = b->first + e->slot;
                c->sent = (uint16_t)(skip + w);
                return 0;
            }
            w -= left;
            skip = 0;
        }
        at = b->next;
    }
    c->number = p->to;
    c->sent = 0;
    return w;
}

static enum err keep(struct cursor *c, const void *data, size_t n)
{
    size_t old = c->rest ? c->rest->n - c->rest->at : 0;
    struct cursor_rest *r = malloc(sizeof *r + old + n);
    if (!r)
        return ERR_NO_MEMORY;
    r->at = 0;
    r->n = old + n;
    if (old)
        memcpy(r->data, c->rest->data + c->rest->at, old);
    memcpy(r->data + old, data, n);
    free(c->rest);
    c->rest = r;
    return ERR_OK;
}

// Of the live frames only the one that is cut is gone on with; a slow reader misses those behind it.
static enum err wrote_live(struct cursor *c, const struct block *live, size_t w)
{
    for (unsigned i = 0; w && i < live->n; i++) {
        const struct block_entry *e = &live->entries[i];
        if (!matches(c, e))
            continue;
        size_t n = length(c, e);
        if (w < n)
            return keep(c, octets(c, live, e) + w, n - w);
        w -= n;
    }
    return ERR_OK;
}

enum err cursor_wrote(struct cursor *c, struct tail *t, const struct block *live, const struct cursor_plan *p, size_t w)
{
    bool all = w >= p->octets;

    if (c->rest) {
        size_t left = c->rest->n - c->rest->at;
        if (w < left) {
            c->rest->at += w;
            return ERR_OK;
        }
        w -= left;
        free(c->rest);
        c->rest = NULL;
    }
    if (all) {
        if (!c->sent || p->rows) { // else the block of the frame it is inside of is missing: it stays inside
            c->number = p->to;
            c->sent = 0;
        }
        return ERR_OK;
    }
    w = advance(c, t, p, w);
    return p->live ? wrote_live(c, live, w) : ERR_OK;
}

enum err cursor_say(struct cursor *c, const void *frame, size_t n)
{
    struct block one = { .first = 0 };
    struct block_what what = { .number = 0 };
    enum err e = block_put(&one, &what, frame, n);

    list_init(&one.lru);
    list_init(&one.bucket);
    if (!e)
        e = keep(c, octets(c, &one, one.entries), length(c, one.entries));
    free(one.text);
    free(one.entries);
    return e;
}
