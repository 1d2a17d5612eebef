// Desktops, workers and the overview: what is stored, and what the fleet has heard of them.
#include <string.h>
#include "fleet.h"
#include "names.h"
#include "query_parts.h"
#include "store_task.h"

enum { HOURS = 24, HOUR_MS = 3600 * 1000, MINUTE_MS = 60 * 1000 };

static enum err show_desktop(struct query *q, struct view *v, const Rec__Desktop *d, Wire__Desktop **ret)
{
    const struct fleet_desktop *live = fleet_desktop(q->fleet, d->id);
    enum err e = view_desktop(v, d, ret);
    if (e || !live)
        return e;
    MAKE(q, Wire__Metrics, WIRE__METRICS__INIT, m);
    *m = live->metrics;
    (*ret)->metrics = m;
    (*ret)->last_seen_ms = live->seen_ms;
    return ERR_OK;
}

static enum err desktops(struct query *q, Wire__Desktop ***ret, size_t *ret_n)
{
    struct view v = view_of(q);
    struct key prefix;
    struct cursor c;
    size_t n = 0, cap = 64;
    Wire__Desktop **list = arena_alloc(q->arena, cap * sizeof *list);
    kind_key(KIND_DESKTOP, q->workspace, 0, &prefix);
    enum err e = list ? cursor_open(&c, q->txn, DB_DESKTOP, &prefix) : ERR_NO_MEMORY;
    if (e)
        return e;
    for (bool on = cursor_seek_before(&c, NULL); on && !e; on = cursor_prev(&c)) {
        Rec__Desktop *d;
        if (n == cap) {
            Wire__Desktop **more = arena_alloc(q->arena, 2 * cap * sizeof *more);
            if (!more) {
                e = ERR_NO_MEMORY;
                break;
            }
            memcpy(more, list, n * sizeof *list);
            list = more;
            cap *= 2;
        }
        e = kind_unpack(KIND_DESKTOP, q->arena, c.value, &d);
        if (!e)
            e = show_desktop(q, &v, d, &list[n++]);
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    *ret = list;
    *ret_n = n;
    return e;
}

enum err query_desktop_list(struct query *q, Wire__Answer *a)
{
    MAKE(q, Wire__Desktops, WIRE__DESKTOPS__INIT, out);
    a->body_case = WIRE__ANSWER__BODY_DESKTOPS;
    a->desktops = out;
    return desktops(q, &out->desktops, &out->n_desktops);
}

enum err query_desktop_get(struct query *q, uint64_t id, Wire__Answer *a)
{
    struct view v = view_of(q);
    Rec__Desktop *d;
    enum err e = kind_get(q->txn, q->arena, KIND_DESKTOP, q->workspace, id, &d);
    a->body_case = WIRE__ANSWER__BODY_DESKTOP;
    return e ? e : show_desktop(q, &v, d, &a->desktop);
}

// Newest first: an agent is as old as its desktop.
enum err query_agent_list(struct query *q, Wire__Answer *a)
{
    MAKE(q, Wire__Agents, WIRE__AGENTS__INIT, out);
    struct view v = view_of(q);
    struct key prefix;
    struct cursor c;
    size_t cap = 0;
    a->body_case = WIRE__ANSWER__BODY_AGENTS;
    a->agents = out;
    kind_key(KIND_DESKTOP, q->workspace, 0, &prefix);
    enum err e = cursor_open(&c, q->txn, DB_DESKTOP, &prefix);
    if (e)
        return e;
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c))
        cap++;
    out->agents = arena_alloc(q->arena, (cap + 1) * sizeof *out->agents);
    if (!out->agents)
        e = ERR_NO_MEMORY;
    for (bool on = !e && cursor_seek_before(&c, NULL); on && !e; on = cursor_prev(&c)) {
        Rec__Desktop *d;
        e = kind_unpack(KIND_DESKTOP, q->arena, c.value, &d);
        if (!e)
            e = view_agent(&v, d, &out->agents[out->n_agents++]);
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    return e;
}

enum err query_agent_get(struct query *q, uint64_t id, Wire__Answer *a)
{
    struct view v = view_of(q);
    Rec__Desktop *d;
    uint64_t desktop;
    enum err e = kind_agent_desktop(q->txn, q->workspace, id, &desktop);
    if (!e)
        e = kind_get(q->txn, q->arena, KIND_DESKTOP, q->workspace, desktop, &d);
    a->body_case = WIRE__ANSWER__BODY_AGENT;
    return e ? e : view_agent(&v, d, &a->agent);
}

static void add_resources(Wire__Overview *o)
{
    uint64_t cpu = 0;
    unsigned probed = 0;
    for (size_t i = 0; i < o->n_desktops; i++) {
        const Wire__Metrics *m = o->desktops[i]->metrics;
        if (o->desktops[i]->status != DESKTOP_RUNNING)
            continue;
        o->active_desktops++;
        if (!m || !m->probed_ms)
            continue;
        probed++;
        cpu += m->cpu;
        o->memory_used_mib += m->memory_used_mib;
        o->memory_total_mib += m->memory_total_mib;
        o->disk_used_mib += m->disk_used_mib;
        o->disk_total_mib += m->disk_total_mib;
    }
    o->cpu = probed ? (uint32_t)(cpu / probed) : 0;
}

// The hour that began 24 hours ago counts from its minute that did so.
static void add_hour(Wire__Overview *o, const Rec__Hour *h, unsigned from_minute)
{
    if (!from_minute || !hour_has_minutes(h)) {
        o->done_24h += h->done;
        o->finished_24h += h->done + h->failed;
        o->duration_sum_ms_24h += h->duration_ms;
        return;
    }
    for (unsigned i = from_minute; i < HOUR_MINUTES; i++) {
        o->done_24h += h->minute_done[i];
        o->finished_24h += h->minute_done[i] + h->minute_failed[i];
        o->duration_sum_ms_24h += h->minute_duration_ms[i];
    }
}

// The last 24 hours, to the minute.
static enum err add_hours(const struct query *q, Wire__Overview *o)
{
    uint64_t this_hour = q->now_ms / HOUR_MS;
    unsigned minute = (unsigned)(q->now_ms / MINUTE_MS % HOUR_MINUTES);
    for (uint64_t i = 0; i <= HOURS; i++) {
        struct key k = { .n = 0 };
        Rec__Hour *h;
        enum err e = rec_get(q->txn, q->arena, DB_HOUR, key_u64(key_u64(&k, q->workspace), this_hour - i), &rec__hour__descriptor, &h);
        if (e == ERR_NOT_FOUND)
            continue;
        if (e)
            return e;
        add_hour(o, h, i == HOURS ? minute + 1 : 0);
    }
    return ERR_OK;
}

enum err query_overview(struct query *q, Wire__Answer *a)
{
    MAKE(q, Wire__Overview, WIRE__OVERVIEW__INIT, o);
    struct counts c;
    a->body_case = WIRE__ANSWER__BODY_OVERVIEW;
    a->overview = o;
    o->by_status = arena_alloc(q->arena, TASK_STATUS_COUNT * sizeof *o->by_status);
    enum err e = o->by_status ? counts_read(q->txn, q->arena, q->workspace, 0, &c) : ERR_NO_MEMORY;
    if (e)
        return e;
    o->n_by_status = TASK_STATUS_COUNT;
    for (unsigned s = 0; s < TASK_STATUS_COUNT; s++)
        o->by_status[s] = c.task[s][TYPE_PROMPT] + c.task[s][TYPE_COMMAND];
    o->pending_approvals = c.pending_approvals;
    o->workers = (uint32_t)q->workers;
    e = desktops(q, &o->desktops, &o->n_desktops);
    if (!e)
        add_resources(o);
    return e ? e : add_hours(q, o);
}

enum err query_worker_list(struct query *q, Wire__Answer *a)
{
    MAKE(q, Wire__Workers, WIRE__WORKERS__INIT, out);
    struct view v = view_of(q);
    struct cursor c;
    size_t cap = 0;
    a->body_case = WIRE__ANSWER__BODY_WORKERS;
    a->workers = out;
    enum err e = cursor_open(&c, q->txn, DB_PEER, NULL);
    if (e)
        return e;
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c))
        cap++;
    out->workers = arena_alloc(q->arena, (cap + 1) * sizeof *out->workers);
    if (!out->workers)
        e = ERR_NO_MEMORY;
    for (bool on = !e && cursor_seek(&c, NULL); on && !e; on = cursor_next(&c)) {
        Rec__Peer *p;
        e = kind_unpack(KIND_PEER, q->arena, c.value, &p);
        if (e || p->role != 2)
            continue;
        Wire__Worker *w;
        e = view_worker(&v, p, &w);
        if (e)
            break;
        w->connected = false; // the fleet knows who is heard
        fleet_worker(q->fleet, p->id, w);
        out->workers[out->n_workers++] = w;
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    return e;
}
