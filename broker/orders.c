#include "orders.h"
#include <string.h>
#include "hook.h"
#include "kind.h"
#include "names.h"
#include "own.h"
#include "store_task.h"

static enum err assignment(struct fleet *f, struct txn *t, const Rec__Session *s, Wire__Assignment **ret)
{
    Wire__Assignment *a = arena_alloc(&f->arena, sizeof *a);
    Wire__Chat *chat = arena_alloc(&f->arena, sizeof *chat);
    Rec__Task *task;
    Rec__Desktop *d;
    if (!a || !chat)
        return ERR_NO_MEMORY;
    enum err e = kind_get(t, &f->arena, KIND_TASK, s->workspace, s->task, &task);
    if (!e)
        e = kind_get(t, &f->arena, KIND_DESKTOP, s->workspace, s->desktop, &d);
    if (e)
        return e;
    *a = (Wire__Assignment)WIRE__ASSIGNMENT__INIT;
    e = task_content(t, &f->arena, task, &a->content);
    if (!e && d->chat_key.len)
        e = f->conf.open_key(f->conf.u, d->chat_key.data, d->chat_key.len, &f->arena, &a->chat_key);
    a->session = s->id;
    a->workspace = s->workspace;
    a->task = s->task;
    a->attempt = s->attempt;
    a->type = task->type;
    a->timeout_s = task->timeout_s;
    a->desktop = s->desktop;
    a->agent = s->agent;
    a->driver = d->driver;
    a->address = d->address;
    a->desktop_name = d->name;
    if (*d->chat_url) {
        *chat = (Wire__Chat)WIRE__CHAT__INIT;
        chat->url = d->chat_url;
        chat->model = d->chat_model;
        chat->mode = d->chat_mode;
        chat->system_prompt = d->chat_prompt;
        chat->has_key = d->chat_key.len > 0;
        a->chat = chat;
    }
    *ret = a;
    return e;
}

// One session the store says is this worker's.
static enum err order(struct fleet *f, struct txn *t, const struct worker *w, const Rec__Session *s, struct orders *os)
{
    bool has = worker_named(w, s->id);
    if (s->status == SESSION_RUNNING && has)
        return ERR_OK;
    if (s->status == SESSION_RUNNING)
        return assignment(f, t, s, &os->o.assignments[os->o.n_assignments++]);
    if (has)
        os->o.cancels[os->o.n_cancels++] = s->id;
    else
        own_release(f, w, s->id);
    return ERR_OK;
}

static enum err held_orders(struct fleet *f, struct txn *t, const struct worker *w, struct orders *os)
{
    enum { ASSIGN_OCTETS_MAX = 2 * 1024 * 1024 };
    struct key prefix = { .n = 0 };
    struct cursor c;
    size_t octets = 0;
    enum err e = cursor_open(&c, t, DB_INDEX, key_u64(key_u8(&prefix, INDEX_SESSION_HELD), w->id));
    if (e)
        return e;
    for (bool on = cursor_seek(&c, NULL); on && !e && octets < ASSIGN_OCTETS_MAX; on = cursor_next(&c)) {
        uint64_t id = key_read_u64(c.key.b + 9);
        Rec__Session *s;
        if (os->o.n_assignments == os->cap || os->o.n_cancels == os->cap)
            break; // the rest with the next poll
        e = kind_get(t, &f->arena, KIND_SESSION, key_read_u64(c.value.p), id, &s);
        size_t before = os->o.n_assignments;
        if (!e)
            e = order(f, t, w, s, os);
        if (!e && os->o.n_assignments > before)
            octets += strlen(os->o.assignments[before]->content);
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    return e;
}

// Sessions the worker names and the store does not count as held: late ones are to end, others are none of its business.
static enum err other_orders(struct txn *t, const struct worker *w, struct orders *os)
{
    for (size_t i = 0; i < w->n_running; i++) {
        uint64_t id = w->running[i].session;
        struct key k = { .n = 0 };
        struct slice s;
        enum err e = store_get(t, DB_INDEX, key_u64(key_u64(key_u8(&k, INDEX_SESSION_HELD), w->id), id), &s);
        if (!e)
            continue;
        k.n = 0;
        if (e == ERR_NOT_FOUND)
            e = store_get(t, DB_INDEX, key_u64(key_u64(key_u8(&k, INDEX_SESSION_LATE), w->id), id), &s);
        if (e && e != ERR_NOT_FOUND)
            return e;
        if (os->o.n_cancels == os->cap || os->o.n_forget == os->cap)
            return ERR_OK;
        if (e)
            os->o.forget[os->o.n_forget++] = id;
        else
            os->o.cancels[os->o.n_cancels++] = id;
    }
    return ERR_OK;
}

static enum err probe_orders(struct fleet *f, struct txn *t, const struct worker *w, struct orders *os)
{
    size_t n = 0;
    os->o.probes_given = true;
    os->o.probes_number = w->probes_number + 1;
    os->o.probes = arena_alloc(&f->arena, (w->probes + 1) * sizeof *os->o.probes);
    if (!os->o.probes)
        return ERR_NO_MEMORY;
    list_each(at, next, &f->all_desktops) {
        struct desktop *d = container_of(at, struct desktop, all);
        Rec__Desktop *r;
        if (d->prober != w->id || n >= w->probes)
            continue;
        Wire__ProbeTarget *p = arena_alloc(&f->arena, sizeof *p);
        if (!p)
            return ERR_NO_MEMORY;
        enum err e = kind_get(t, &f->arena, KIND_DESKTOP, d->workspace, d->id, &r);
        *p = (Wire__ProbeTarget)WIRE__PROBE_TARGET__INIT;
        if (!e && r->chat_key.len)
            e = f->conf.open_key(f->conf.u, r->chat_key.data, r->chat_key.len, &f->arena, &p->chat_key);
        if (e)
            return e;
        p->desktop = r->id;
        p->workspace = r->workspace;
        p->driver = r->driver;
        p->address = r->address;
        p->name = r->name;
        p->chat_url = r->chat_url;
        p->status = r->status;
        p->agent_ready = r->agent_ready;
        p->agent = r->agent;
        p->error = r->error;
        p->ip_address = r->ip_address;
        os->o.probes[n++] = p;
    }
    os->o.n_probes = n;
    return ERR_OK;
}

enum err orders_make(struct fleet *f, const struct worker *w, struct orders *os)
{
    struct txn *t;
    os->o = (Wire__WorkOrders)WIRE__WORK_ORDERS__INIT;
    os->cap = 256 + w->n_running;
    os->o.assignments = arena_alloc(&f->arena, os->cap * sizeof *os->o.assignments);
    os->o.cancels = arena_alloc(&f->arena, os->cap * sizeof *os->o.cancels);
    os->o.forget = arena_alloc(&f->arena, os->cap * sizeof *os->o.forget);
    if (!os->o.assignments || !os->o.cancels || !os->o.forget)
        return ERR_NO_MEMORY;
    // Said only once nothing decided before can still be on its way: the worker leaves when it hears this.
    os->o.drain = w->draining && !w->in_flight;
    enum err e = store_begin(f->conf.store, false, &t);
    if (e)
        return e;
    e = held_orders(f, t, w, os);
    if (!e)
        e = other_orders(t, w, os);
    if (!e && w->probes_dirty)
        e = probe_orders(f, t, w, os);
    if (!e)
        e = hooks_orders(f->conf.hooks, t, &f->arena, w->id, &os->o.hooks, &os->o.n_hooks);
    store_abort(t);
    return e;
}
