// The audit trail: a list, and its statistics.
//
// Happy path of a list: one question, one page, kept by event number like the other hot reads. With `since` the answer depends on the
// clock too and is asked for each time. A page that the broker ended before its limit (its rows are large) is not shared: the rest is
// asked for page by page and all of it sent at once.
#include "api.h"
#include <stdlib.h>
#include <string.h>
#include "arena.h"
#include "event.h"
#include "gateway.h"
#include "hot.h"
#include "params.h"
#include "query.h"
#include "shape_activity.h"

enum { ACTOR_MAX = 1024, LIMIT_DEFAULT = 50, LIMIT_MAX = 500, HOURS_MAX = 8760, HOURS_DEFAULT = 24, ROW_ARENA_MAX = 1024 * 1024,
       GATHER_MAX = REQUEST_JSON_MAX };

struct activity_params {
    bool type[ROW_COUNT], entity[ENTITY_COUNT];
    bool types, entities;       // given
    uint32_t kinds[ROW_COUNT];
    char actor[ACTOR_MAX];
    Wire__ActivityList m;
    bool nothing;               // asks for what cannot be
};

static void add_type(void *u, const char *word)
{
    struct activity_params *p = u;

    for (unsigned k = 1; k < ROW_COUNT; k++) {
        const char *type = event_type(k, VIEW_ACTIVITIES);
        if (type && strcmp(type, word) == 0)
            p->type[k] = true;
    }
}

static void add_entity(void *u, const char *word)
{
    struct activity_params *p = u;

    p->entity[entity_find(word)] = true; // NONE for a word that is none: no row is about it
}

static void choose_kinds(struct activity_params *p)
{
    if (!p->types && !p->entities)
        return;
    for (unsigned k = 1; k < ROW_COUNT; k++)
        if (event_type(k, VIEW_ACTIVITIES) && (!p->types || p->type[k]) && (!p->entities || p->entity[event_audit_entity(k)]))
            p->kinds[p->m.n_kinds++] = k;
    p->nothing = p->m.n_kinds == 0;
}

// After p has been copied or filled: what its message points to is in p itself.
static void point(struct activity_params *p)
{
    p->m.kinds = p->kinds;
    p->m.actor = p->actor;
}

static bool read_params(struct request *r, struct activity_params *p)
{
    uint64_t limit = LIMIT_DEFAULT;

    memset(p, 0, sizeof *p);
    wire__activity_list__init(&p->m);
    if (!params_list(r, "type", add_type, p, &p->types) || !params_list(r, "entity_type", add_entity, p, &p->entities) ||
        !params_text(r, "actor", p->actor, sizeof p->actor) || !params_number(r, "since", 0, INT64_MAX / 1000, &p->m.since) ||
        !params_number(r, "limit", 1, LIMIT_MAX, &limit) || !params_number(r, "offset", 0, INT64_MAX, &p->m.offset) ||
        !params_number(r, "after_id", 0, INT64_MAX, &p->m.after) || !params_number(r, "before_id", 1, INT64_MAX, &p->m.before))
        return false;
    p->m.has_since = query_raw(r->x->query, "since").p != NULL;
    p->m.limit = (uint32_t)limit;
    choose_kinds(p);
    point(p);
    return true;
}

// ---------------------------------------------------------------- pages as JSON

// Returns the number of the last.
static uint64_t write_rows(struct json *j, const Wire__Activities *page)
{
    struct arena a;
    uint64_t last = 0;

    arena_init(&a, ROW_ARENA_MAX);
    for (size_t i = 0; i < page->n_activities; i++) {
        const Wire__Activity *x = page->activities[i];
        arena_reset(&a);
        Wire__Row *row = wire__row__unpack(arena_allocator(&a), x->row.len, x->row.data);
        if (row && shape_activity(j, row, x->entity))
            last = row->number;
    }
    arena_fini(&a);
    return last;
}

static void write_start(struct json *j)
{
    json_open(j, '{');
    json_key(j, "activities");
    json_open(j, '[');
}

static void write_end(struct json *j, uint64_t total, bool more)
{
    json_close(j, ']');
    json_key(j, "total");
    json_u64(j, total);
    json_key(j, "hasMore");
    json_bool(j, more);
    json_close(j, '}');
}

// ---------------------------------------------------------------- page by page

struct gather {
    struct ask_call ask;
    struct exchange *x;
    struct activity_params p;
    struct buf out;
    struct json j;
    uint64_t total, newest, offset, shown; // of the first page: what the answer says
    bool begun;
};

static void gather_free(struct gather *g)
{
    ask_cancel(&g->ask);
    buf_fini(&g->out);
    free(g);
}

static void gone(struct exchange *x)
{
    gather_free(x->u);
}

static struct exchange *let_go(struct gather *g)
{
    struct exchange *x = g->x;

    x->u = NULL;
    x->gone = NULL;
    return x;
}

static void fail(struct gather *g, enum err e, const Wire__Answer *a)
{
    exchange_error(let_go(g), e, a && *a->field ? a->field : NULL, a && *a->text ? a->text : NULL);
    gather_free(g);
}

static void finish(struct gather *g)
{
    write_end(&g->j, g->total, g->offset + g->shown < g->total);
    if (g->out.err) {
        fail(g, ERR_INTERNAL, NULL);
        return;
    }
    struct exchange *x = let_go(g);
    x->sequence = g->newest;
    exchange_reply(x, 200, "application/json", g->out.data, g->out.len);
    gather_free(g);
}

static void next_page(struct gather *g);

static void page_cb(struct ask_call *c, enum err e, const Wire__Answer *a, uint64_t newest)
{
    struct gather *g = container_of(c, struct gather, ask);

    if (e == ERR_OK && a->body_case != WIRE__ANSWER__BODY_ACTIVITIES)
        e = ERR_INTERNAL;
    if (e != ERR_OK) {
        fail(g, e, a);
        return;
    }
    const Wire__Activities *page = a->activities;
    if (!g->begun) {
        g->begun = true;
        g->total = page->total;
        g->newest = newest;
        g->offset = g->p.m.offset;
        write_start(&g->j);
    }
    uint64_t last = write_rows(&g->j, page);
    g->shown += page->n_activities;
    if (!page->cut || !last || page->n_activities >= g->p.m.limit || g->out.err) {
        finish(g);
        return;
    }
    g->p.m.limit -= (uint32_t)page->n_activities;
    g->p.m.before = last;
    g->p.m.offset = 0;
    next_page(g);
}

static void next_page(struct gather *g)
{
    Wire__Item item = WIRE__ITEM__INIT;

    item.body_case = WIRE__ITEM__BODY_ACTIVITY_LIST;
    item.activity_list = &g->p.m;
    g->ask.cb = page_cb;
    ask_send(g->x->gw->ask, &g->ask, &g->x->actor, &item);
}

static void gather(struct request *r, const struct activity_params *p)
{
    struct exchange *x = r->x;
    struct gather *g = calloc(1, sizeof *g);

    if (!g) {
        request_fail(r, ERR_NO_MEMORY, NULL, NULL);
        return;
    }
    g->x = x;
    g->p = *p;
    point(&g->p);
    buf_init(&g->out, GATHER_MAX);
    g->j = json_to(&g->out);
    list_init(&g->ask.at);
    request_let_go(r);
    x->u = g;
    x->gone = gone;
    next_page(g);
}

static void list_in_pages(struct request *r)
{
    struct activity_params p;

    if (read_params(r, &p))
        gather(r, &p);
}

// ---------------------------------------------------------------- in one

static bool render_list(struct hot_page *p, const Wire__Answer *a)
{
    if (a->activities->cut)
        return false;
    write_start(p->j);
    (void)write_rows(p->j, a->activities);
    write_end(p->j, a->activities->total, a->activities->more);
    return true;
}

static void list(struct request *r)
{
    Wire__Item item = WIRE__ITEM__INIT;
    struct activity_params p;

    if (!read_params(r, &p))
        return;
    if (p.nothing) {
        struct json *j = request_json();
        r->x->sequence = ask_newest(r->x->gw->ask);
        write_start(j);
        write_end(j, 0, false);
        request_send(r, 200);
    } else if (p.m.has_since) {
        gather(r, &p);
    } else {
        item.body_case = WIRE__ITEM__BODY_ACTIVITY_LIST;
        item.activity_list = &p.m;
        hot_ask(r, &item, WIRE__ANSWER__BODY_ACTIVITIES, render_list, list_in_pages);
    }
}

static bool render_counts(struct hot_page *p, const Wire__Answer *a)
{
    shape_activity_counts(p->j, a->activity_counts);
    return true;
}

static void statistics(struct request *r)
{
    Wire__Item item = WIRE__ITEM__INIT;
    Wire__ActivityStats m = WIRE__ACTIVITY_STATS__INIT;
    uint64_t hours = HOURS_DEFAULT;

    if (!params_number(r, "hours", 1, HOURS_MAX, &hours))
        return;
    m.hours = (uint32_t)hours;
    item.body_case = WIRE__ITEM__BODY_ACTIVITY_STATS;
    item.activity_stats = &m;
    hot_ask(r, &item, WIRE__ANSWER__BODY_ACTIVITY_COUNTS, render_counts, NULL);
}

// What stands in the cache never has `since`: the key of an entry is the query.
void api_activities(struct request *r)
{
    bool stats = false;

    if (hot_serve(r) || !params_flag(r, "stats", &stats))
        return;
    if (stats)
        statistics(r);
    else
        list(r);
}
