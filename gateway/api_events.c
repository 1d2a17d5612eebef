// The stored side of the feed.
#include "api.h"
#include <string.h>
#include "arena.h"
#include "event.h"
#include "event_json.h"
#include "gateway.h"
#include "hot.h"
#include "params.h"

enum { Q_MAX = 1024, IDS_MAX = 100, LIMIT_DEFAULT = 100, LIMIT_MAX = 500, ROW_ARENA_MAX = 1024 * 1024 };

struct event_params {
    bool kind[ROW_COUNT];       // of rows
    bool severity[SEVERITY_COUNT];
    bool types, severities;     // given
    uint32_t kinds[ROW_COUNT];
    uint64_t desktops[IDS_MAX], agents[IDS_MAX];
    char q[Q_MAX];
    Wire__EventList m;
    bool nothing;               // asks for what cannot be
};

static void add_type(void *u, const char *word)
{
    struct event_params *p = u;

    for (unsigned k = 1; k < ROW_COUNT; k++) {
        const char *type = event_type(k, VIEW_FEED);
        if (type && strcmp(type, word) == 0)
            p->kind[k] = true;
    }
}

static void add_severity(void *u, const char *word)
{
    struct event_params *p = u;

    p->severity[severity_find(word)] = true; // NONE for a word that is none: no row has it
}

// The kinds of row that types and severities leave; none of them is listed when both leave all.
static void choose_kinds(struct event_params *p)
{
    if (!p->types && !p->severities)
        return;
    for (unsigned k = 1; k < ROW_COUNT; k++)
        if (event_type(k, VIEW_FEED) && (!p->types || p->kind[k]) && (!p->severities || p->severity[event_severity(k)]))
            p->kinds[p->m.n_kinds++] = k;
    p->m.kinds = p->kinds;
    p->nothing = p->nothing || p->m.n_kinds == 0;
}

// The feed's envelope names tasks, sessions and agents.
static bool read_entity(struct request *r, struct event_params *p)
{
    static const enum entity kinds[] = { ENTITY_TASK, ENTITY_SESSION, ENTITY_AGENT };
    bool given = false;

    for (unsigned i = 0; i < 3; i++) {
        uint64_t id = 0;
        bool other = false;
        if (!params_id(r, "entity", kinds[i], &id, &other))
            return false;
        given = given || id || other;
        if (id) {
            p->m.entity = id;
            p->m.entity_kind = kinds[i];
        }
    }
    p->nothing = p->nothing || (given && !p->m.entity);
    return true;
}

static bool read_ids(struct request *r, struct event_params *p)
{
    struct params_ids desktops = { p->desktops, 0, IDS_MAX, false }, agents = { p->agents, 0, IDS_MAX, false };

    if (!params_ids(r, "desktop", ENTITY_DESKTOP, &desktops) || !params_ids(r, "agent", ENTITY_AGENT, &agents))
        return false;
    p->m.desktops = p->desktops;
    p->m.n_desktops = desktops.n;
    p->m.agents = p->agents;
    p->m.n_agents = agents.n;
    p->nothing = p->nothing || (desktops.given && !desktops.n) || (agents.given && !agents.n);
    return true;
}

static bool read_params(struct request *r, struct event_params *p)
{
    uint64_t limit = LIMIT_DEFAULT;

    memset(p, 0, sizeof *p);
    wire__event_list__init(&p->m);
    if (!params_list(r, "type", add_type, p, &p->types) || !params_list(r, "severity", add_severity, p, &p->severities) ||
        !read_ids(r, p) || !read_entity(r, p) || !params_time(r, "from", &p->m.from_ms) || !params_time(r, "to", &p->m.to_ms) ||
        !params_text(r, "q", p->q, sizeof p->q) || !params_number(r, "limit", 1, LIMIT_MAX, &limit) ||
        !params_before(r, ENTITY_EVENT, &p->m.before))
        return false;
    p->m.q = p->q;
    p->m.limit = (uint32_t)limit;
    choose_kinds(p);
    return true;
}

static void write_page(struct json *j, const Wire__EventPage *page)
{
    struct arena a;

    arena_init(&a, ROW_ARENA_MAX);
    json_open(j, '{');
    json_key(j, "events");
    json_open(j, '[');
    for (size_t i = 0; page && i < page->n_rows; i++) {
        arena_reset(&a);
        Wire__Row *row = wire__row__unpack(arena_allocator(&a), page->rows[i].len, page->rows[i].data);
        if (row)
            (void)event_json(j, row, VIEW_FEED);
    }
    json_close(j, ']');
    json_key(j, "nextBefore");
    json_id(j, ENTITY_EVENT, page ? page->next_before : 0);
    json_close(j, '}');
    arena_fini(&a);
}

static bool render(struct hot_page *p, const Wire__Answer *a)
{
    write_page(p->j, a->event_page);
    return true;
}

void api_event_list(struct request *r)
{
    Wire__Item item = WIRE__ITEM__INIT;
    struct event_params p;

    if (hot_serve(r) || !read_params(r, &p))
        return;
    if (p.nothing) {
        r->x->sequence = ask_newest(r->x->gw->ask);
        write_page(request_json(), NULL);
        request_send(r, 200);
        return;
    }
    item.body_case = WIRE__ITEM__BODY_EVENT_LIST;
    item.event_list = &p.m;
    hot_ask(r, &item, WIRE__ANSWER__BODY_EVENT_PAGE, render, NULL);
}
