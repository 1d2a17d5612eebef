// Happy path: a poll says what a worker has and is held; a commit touches a desktop with waiting tasks; pass() pairs the two and
// proposes Assign; its commit touches the worker; orders() finds a session the worker has not named, and answers the poll.
//
// Assignments are state, not messages: every answer repeats whatever the store says is this worker's and its poll did not name. So
// a lost answer costs nothing, and starting twice is the worker's to refuse.
#include "fleet.h"
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "crypto.h"
#include "kind.h"
#include "list.h"
#include "log.h"
#include "map.h"
#include "names.h"
#include "store_task.h"
#include "turn.h"
#include "work.h"

enum { RENEW_EVERY_MS = 5000, ARENA_MAX = 64 * 1024 * 1024, SESSIONS_MAX = 65536 };

struct desktop {
    uint64_t id, workspace;
    uint32_t status, max_tasks;
    uint64_t held, waiting;       // as committed
    unsigned in_flight;           // assignments proposed and not decided
    uint64_t prober;              // worker; 0: none
    uint64_t lonely_since;        // log time since when nobody probes it
    uint64_t agent;
    bool agent_ready;
    bool stale;                   // an assignment was refused: look again
    char *error, *ip, *name;
    struct fleet_desktop live;
    struct list all, ready;
};

struct worker {
    uint64_t id, incarnation;
    char name[PEER_NAME_MAX + 1];
    bool live;                    // greeted, and the lease has not run out
    bool expired;                 // its end is committed, or on its way
    uint64_t heard, renewed;      // log times
    uint64_t seen_ms;
    uint32_t slots, free, probes;
    bool draining;
    unsigned in_flight;
    uint64_t hold_until;          // log time
    void *poll;                   // NULL: none held
    Wire__Holding *running;       // what the poll named
    size_t n_running;
    bool probes_dirty, dirty;
    uint8_t token[16];
    struct list all;
};

struct fleet {
    struct fleet_conf conf;
    struct map desktops, workers; // by id
    struct list all_desktops, all_workers, ready;
    struct arena arena;           // of one call
    unsigned live;
};

// ---------------------------------------------------------------- proposals of our own

struct own {
    struct proposal p;
    struct fleet *f;
    Wire__Item item;
    Wire__Actor actor;
    uint64_t desktop, worker, task;
    union {
        Wire__Assign assign;
        Wire__Expire expire;
        Wire__Renew renew;
        Wire__Target release;
        Wire__Observe observe;
    } body;
    Wire__Observation seen;
    char *text[2];
    Wire__WorkerLease *leases, **lease_list;
    struct list at;               // of the assignments under way
};

static struct own *own_new(struct fleet *f, Wire__Item__BodyCase body)
{
    struct own *o = calloc(1, sizeof *o);
    if (!o) {
        log_error("out of memory: a proposal is put off");
        return NULL;
    }
    o->f = f;
    o->item = (Wire__Item)WIRE__ITEM__INIT;
    o->item.body_case = body;
    o->p.cmd.item = &o->item;
    o->p.cmd.sender = SENDER_BROKER;
    return o;
}

static void own_free(struct own *o)
{
    free(o->text[0]);
    free(o->text[1]);
    free(o->leases);
    free(o->lease_list);
    free(o);
}

static void own_done(struct proposal *p, enum outcome st, const struct batch *b)
{
    (void)st;
    (void)b;
    own_free(container_of(p, struct own, p));
}

// ---------------------------------------------------------------- desktops

static bool is_ready(const struct desktop *d)
{
    return d->status == DESKTOP_RUNNING && d->waiting > d->in_flight && d->held + d->in_flight < d->max_tasks;
}

static void place(struct fleet *f, struct desktop *d)
{
    bool listed = !list_empty(&d->ready);
    if (is_ready(d) && !listed)
        list_push_back(&f->ready, &d->ready);
    else if (!is_ready(d) && listed)
        list_remove(&d->ready);
}

static void probes_changed(struct fleet *f, uint64_t worker)
{
    struct worker *w = map_get(&f->workers, worker);
    if (w)
        w->probes_dirty = w->dirty = true;
}

static void unprobe(struct fleet *f, struct desktop *d)
{
    struct worker *w = map_get(&f->workers, d->prober);
    if (w) {
        w->probes--;
        w->probes_dirty = w->dirty = true;
    }
    d->prober = 0;
    d->lonely_since = turn_log_ms(f->conf.turns);
}

static void find_prober(struct fleet *f, struct desktop *d)
{
    struct worker *best = NULL;
    if (d->prober || d->status == DESKTOP_STOPPED)
        return;
    list_each(n, next, &f->all_workers) {
        struct worker *w = container_of(n, struct worker, all);
        if (w->live && !w->draining && (!best || w->probes < best->probes))
            best = w;
    }
    if (!best)
        return;
    d->prober = best->id;
    best->probes++;
    best->probes_dirty = best->dirty = true;
}

static void desktop_free(struct fleet *f, struct desktop *d)
{
    unprobe(f, d);
    map_del(&f->desktops, d->id);
    list_remove(&d->all);
    list_remove(&d->ready);
    free(d->error);
    free(d->ip);
    free(d->name);
    free(d);
}

static void set_text(char **at, const char *text)
{
    if (*at && strcmp(*at, text) == 0)
        return;
    char *copy = strdup(text);
    if (!copy)
        return; // the old text stays: it is only compared and shown
    free(*at);
    *at = copy;
}

static struct desktop *desktop_new(struct fleet *f, uint64_t id)
{
    struct desktop *d = calloc(1, sizeof *d);
    if (!d || map_put(&f->desktops, id, d)) {
        free(d);
        log_error("out of memory: desktop_%llu is not scheduled", (unsigned long long)id);
        return NULL;
    }
    d->id = id;
    d->live.metrics = (Wire__Metrics)WIRE__METRICS__INIT;
    d->lonely_since = turn_log_ms(f->conf.turns);
    list_init(&d->ready);
    list_push_back(&f->all_desktops, &d->all);
    set_text(&d->error, "");
    set_text(&d->ip, "");
    set_text(&d->name, "");
    return d;
}

// Takes over what is committed now.
static void refresh_desktop(struct fleet *f, struct txn *t, uint64_t workspace, uint64_t id)
{
    struct desktop *d = map_get(&f->desktops, id);
    Rec__Desktop *r;
    struct counts c;
    enum err e = kind_get(t, &f->arena, KIND_DESKTOP, workspace, id, &r);
    if (e == ERR_NOT_FOUND) {
        if (d)
            desktop_free(f, d);
        return;
    }
    if (!e)
        e = counts_read(t, &f->arena, workspace, id, &c);
    if (e) {
        log_error("desktop_%llu cannot be read: %s", (unsigned long long)id, err_text(e));
        return;
    }
    if (!d && !(d = desktop_new(f, id)))
        return;
    d->workspace = workspace;
    if (d->status != r->status || d->agent_ready != r->agent_ready)
        probes_changed(f, d->prober);
    d->status = r->status;
    d->agent_ready = r->agent_ready;
    d->max_tasks = r->max_tasks;
    d->held = c.held;
    d->waiting = c.waiting;
    d->agent = r->agent;
    set_text(&d->error, r->error);
    set_text(&d->ip, r->ip_address);
    set_text(&d->name, r->name);
    if (d->status == DESKTOP_STOPPED) {
        if (d->prober)
            unprobe(f, d);
        d->live.metrics = (Wire__Metrics)WIRE__METRICS__INIT;
    }
    find_prober(f, d);
    place(f, d);
}

// ---------------------------------------------------------------- pairing desktops and workers

static void assign_done(struct proposal *p, enum outcome st, const struct batch *b)
{
    struct own *o = container_of(p, struct own, p);
    struct desktop *d = map_get(&o->f->desktops, o->desktop);
    struct worker *w = map_get(&o->f->workers, o->worker);
    (void)b;
    if (d) {
        d->in_flight--;
        d->stale = d->stale || st != OUTCOME_APPLIED || o->p.cmd.answer.err;
    }
    if (w)
        w->in_flight--;
    list_remove(&o->at);
    own_free(o);
}

static struct list assigning = { &assigning, &assigning }; // under way, so that no task is proposed twice

static bool is_assigning(uint64_t task)
{
    list_each(n, next, &assigning)
        if (container_of(n, struct own, at)->task == task)
            return true;
    return false;
}

// The first waiting task of the desktop that is not under way: priority first, then age.
static bool next_waiting(struct fleet *f, struct txn *t, const struct desktop *d, Rec__Task **ret)
{
    struct key prefix = { .n = 0 };
    struct cursor c;
    bool found = false;
    if (cursor_open(&c, t, DB_INDEX, key_u64(key_u8(&prefix, INDEX_TASK_WAITING), d->id)))
        return false;
    for (bool on = cursor_seek(&c, NULL); on && !found; on = !found && cursor_next(&c)) {
        uint64_t id = key_read_u64(c.value.p + 8);
        if (is_assigning(id))
            continue;
        enum err e = kind_get(t, &f->arena, KIND_TASK, d->workspace, id, ret);
        found = e == ERR_OK;
        if (e) {
            log_error("task_%llu cannot be read: %s", (unsigned long long)id, err_text(e));
            break;
        }
    }
    cursor_close(&c);
    return found;
}

static bool has_capacity(const struct worker *w)
{
    return w->live && !w->draining && w->poll && w->free > w->in_flight;
}

// Round robin: the one that was served goes to the end.
static struct worker *next_worker(struct fleet *f)
{
    list_each(n, next, &f->all_workers) {
        struct worker *w = container_of(n, struct worker, all);
        if (!has_capacity(w))
            continue;
        list_remove(&w->all);
        list_push_back(&f->all_workers, &w->all);
        return w;
    }
    return NULL;
}

static void propose_assign(struct fleet *f, struct desktop *d, struct worker *w, const Rec__Task *t)
{
    struct own *o = own_new(f, WIRE__ITEM__BODY_ASSIGN);
    if (!o)
        return;
    o->body.assign = (Wire__Assign)WIRE__ASSIGN__INIT;
    o->body.assign.task = o->task = t->id;
    o->body.assign.attempt = t->attempt;
    o->body.assign.worker = o->worker = w->id;
    o->body.assign.incarnation = w->incarnation;
    o->item.assign = &o->body.assign;
    o->actor = (Wire__Actor)WIRE__ACTOR__INIT;
    o->actor.workspace = d->workspace;
    o->item.actor = &o->actor;
    o->desktop = d->id;
    o->p.done = assign_done;
    list_push_back(&assigning, &o->at);
    d->in_flight++;
    w->in_flight++;
    turn_submit(f->conf.turns, &o->p);
}

static void pass(struct fleet *f)
{
    struct txn *t;
    struct worker *w;
    if (list_empty(&f->ready) || !(w = next_worker(f)) || store_begin(f->conf.store, false, &t))
        return;
    arena_reset(&f->arena);
    while (w && !list_empty(&f->ready)) {
        struct desktop *d = container_of(list_pop_front(&f->ready), struct desktop, ready);
        Rec__Task *task;
        if (next_waiting(f, t, d, &task)) {
            propose_assign(f, d, w, task);
            place(f, d); // to the end of the line, if more waits
            w = next_worker(f);
        }
    }
    store_abort(t);
}

// ---------------------------------------------------------------- what a worker is told

static bool named(const struct worker *w, uint64_t session)
{
    for (size_t i = 0; i < w->n_running; i++)
        if (w->running[i].session == session)
            return true;
    return false;
}

static void propose_release(struct fleet *f, const struct worker *w, uint64_t session)
{
    struct own *o = own_new(f, WIRE__ITEM__BODY_RELEASE);
    if (!o)
        return;
    o->body.release = (Wire__Target)WIRE__TARGET__INIT;
    o->body.release.id = session;
    o->item.release = &o->body.release;
    o->p.cmd.worker = w->id;
    o->p.done = own_done;
    turn_submit(f->conf.turns, &o->p);
}

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

struct orders {
    Wire__WorkOrders o;
    size_t cap;
};

// One session the store says is this worker's.
static enum err order(struct fleet *f, struct txn *t, const struct worker *w, const Rec__Session *s, struct orders *os)
{
    bool has = named(w, s->id);
    if (s->status == SESSION_RUNNING && has)
        return ERR_OK;
    if (s->status == SESSION_RUNNING)
        return assignment(f, t, s, &os->o.assignments[os->o.n_assignments++]);
    if (has)
        os->o.cancels[os->o.n_cancels++] = s->id;
    else
        propose_release(f, w, s->id);
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

static enum err make_orders(struct fleet *f, const struct worker *w, struct orders *os)
{
    struct txn *t;
    os->o = (Wire__WorkOrders)WIRE__WORK_ORDERS__INIT;
    os->cap = 256 + w->n_running;
    os->o.assignments = arena_alloc(&f->arena, os->cap * sizeof *os->o.assignments);
    os->o.cancels = arena_alloc(&f->arena, os->cap * sizeof *os->o.cancels);
    os->o.forget = arena_alloc(&f->arena, os->cap * sizeof *os->o.forget);
    if (!os->o.assignments || !os->o.cancels || !os->o.forget)
        return ERR_NO_MEMORY;
    os->o.drain = w->draining;
    enum err e = store_begin(f->conf.store, false, &t);
    if (e)
        return e;
    e = held_orders(f, t, w, os);
    if (!e)
        e = other_orders(t, w, os);
    if (!e && w->probes_dirty)
        e = probe_orders(f, t, w, os);
    store_abort(t);
    return e;
}

static void answer(struct fleet *f, struct worker *w, enum err e, Wire__WorkOrders *o)
{
    Wire__Answer a = WIRE__ANSWER__INIT;
    void *poll = w->poll;
    a.err = e;
    if (!e) {
        a.body_case = WIRE__ANSWER__BODY_WORK_ORDERS;
        a.work_orders = o;
    }
    w->poll = NULL;
    f->conf.answer(poll, &a);
}

static void answer_empty(struct fleet *f, struct worker *w)
{
    Wire__WorkOrders none = WIRE__WORK_ORDERS__INIT;
    answer(f, w, ERR_OK, &none);
}

// Answers the held poll if there is anything to say.
static void tell(struct fleet *f, struct worker *w)
{
    struct orders os;
    w->dirty = false;
    if (!w->poll || !w->live)
        return;
    arena_reset(&f->arena);
    enum err e = make_orders(f, w, &os);
    if (e) {
        log_error("orders for worker %s cannot be made: %s", w->name, err_text(e));
        answer(f, w, e, NULL);
        return;
    }
    if (!os.o.n_assignments && !os.o.n_cancels && !os.o.n_forget && !os.o.probes_given)
        return;
    if (os.o.probes_given)
        w->probes_dirty = false;
    if (os.o.n_assignments > w->free)
        log_debug("worker %s is told of %zu sessions with %u slots free", w->name, os.o.n_assignments, w->free);
    w->free -= os.o.n_assignments < w->free ? (uint32_t)os.o.n_assignments : w->free;
    answer(f, w, ERR_OK, &os.o);
}

static void tell_dirty(struct fleet *f)
{
    for (bool again = true; again;) {
        again = false;
        list_each(n, next, &f->all_workers) {
            struct worker *w = container_of(n, struct worker, all);
            if (w->dirty) {
                tell(f, w);
                again = true;
                break; // the list may have changed
            }
        }
    }
}

// ---------------------------------------------------------------- workers

static struct worker *worker_new(struct fleet *f, uint64_t id)
{
    struct worker *w = calloc(1, sizeof *w);
    if (!w || map_put(&f->workers, id, w)) {
        free(w);
        return NULL;
    }
    w->id = id;
    w->heard = turn_log_ms(f->conf.turns);
    list_push_back(&f->all_workers, &w->all);
    return w;
}

static void worker_down(struct fleet *f, struct worker *w)
{
    if (!w->live)
        return;
    w->live = false;
    f->live--;
    log_warn("worker %s is lost", w->name);
    if (w->poll)
        answer(f, w, ERR_NOT_GREETED, NULL);
    list_each(n, next, &f->all_desktops) {
        struct desktop *d = container_of(n, struct desktop, all);
        if (d->prober == w->id) {
            unprobe(f, d);
            find_prober(f, d);
        }
    }
}

enum err fleet_greeted(struct fleet *f, uint64_t worker, const char *name, uint64_t incarnation, uint8_t token[16])
{
    struct worker *w = map_get(&f->workers, worker);
    if (!w && !(w = worker_new(f, worker)))
        return ERR_NO_MEMORY;
    if (w->poll)
        answer_empty(f, w);
    if (!w->live) {
        w->live = true;
        f->live++;
    }
    w->expired = false;
    strncpy(w->name, name, sizeof w->name - 1);
    w->incarnation = incarnation;
    w->heard = turn_log_ms(f->conf.turns);
    w->seen_ms = clock_wall_ms();
    w->draining = false;
    w->free = 0;
    w->n_running = 0;
    w->probes_dirty = true;
    crypto_random(w->token, sizeof w->token);
    memcpy(token, w->token, sizeof w->token);
    log_info("worker %s is here", w->name);
    list_each(n, next, &f->all_desktops)
        find_prober(f, container_of(n, struct desktop, all));
    return ERR_OK;
}

bool fleet_current(const struct fleet *f, uint64_t worker, uint64_t incarnation)
{
    const struct worker *w = map_get(&f->workers, worker);
    return w && w->live && w->incarnation == incarnation;
}

static void observe(struct fleet *f, const struct worker *w, const Wire__Observation *seen)
{
    struct desktop *d = map_get(&f->desktops, seen->desktop);
    if (!d || d->prober != w->id || d->status == DESKTOP_STOPPED)
        return;
    struct own *o = own_new(f, WIRE__ITEM__BODY_OBSERVE);
    if (!o)
        return;
    o->text[0] = strdup(seen->error);
    o->text[1] = strdup(seen->ip_address);
    if (!o->text[0] || !o->text[1]) {
        own_free(o);
        return; // the worker says it again
    }
    o->seen = *seen;
    o->seen.error = o->text[0];
    o->seen.ip_address = o->text[1];
    o->body.observe = (Wire__Observe)WIRE__OBSERVE__INIT;
    o->body.observe.workspace = d->workspace;
    o->body.observe.seen = &o->seen;
    o->item.observe = &o->body.observe;
    o->p.done = own_done;
    turn_submit(f->conf.turns, &o->p);
}

static bool take_running(struct worker *w, const Wire__WorkPoll *m)
{
    Wire__Holding *list = realloc(w->running, (m->n_running + 1) * sizeof *list);
    if (!list)
        return false;
    w->running = list;
    w->n_running = m->n_running;
    for (size_t i = 0; i < m->n_running; i++)
        list[i] = *m->running[i];
    return true;
}

void fleet_poll(struct fleet *f, uint64_t worker, const Wire__WorkPoll *m, void *poll)
{
    struct worker *w = map_get(&f->workers, worker);
    Wire__Answer a = WIRE__ANSWER__INIT;
    if (!w || !w->live || !take_running(w, m)) {
        a.err = w && w->live ? ERR_NO_MEMORY : ERR_NOT_GREETED;
        f->conf.answer(poll, &a);
        return;
    }
    if (w->poll)
        answer_empty(f, w);
    w->poll = poll;
    w->heard = turn_log_ms(f->conf.turns);
    w->seen_ms = clock_wall_ms();
    w->hold_until = w->heard + (m->hold_ms < POLL_HOLD_MAX_MS ? m->hold_ms : POLL_HOLD_MAX_MS);
    w->slots = m->slots;
    w->free = m->free;
    if (m->draining && !w->draining) {
        w->draining = true;
        list_each(n, next, &f->all_desktops) {
            struct desktop *d = container_of(n, struct desktop, all);
            if (d->prober == w->id && f->live > 1) {
                unprobe(f, d);
                find_prober(f, d);
            }
        }
    }
    w->draining = m->draining;
    for (size_t i = 0; i < m->n_observed; i++)
        observe(f, w, m->observed[i]);
    tell(f, w);
    pass(f);
}

void fleet_poll_gone(struct fleet *f, void *poll)
{
    list_each(n, next, &f->all_workers) {
        struct worker *w = container_of(n, struct worker, all);
        if (w->poll == poll)
            w->poll = NULL;
    }
}

// ---------------------------------------------------------------- live output and metrics

static struct worker *by_token(const struct fleet *f, ProtobufCBinaryData token)
{
    list_each(n, next, &f->all_workers) {
        struct worker *w = container_of(n, struct worker, all);
        if (w->live && token.len == sizeof w->token && memcmp(token.data, w->token, sizeof w->token) == 0)
            return w;
    }
    return NULL;
}

// Only what this worker may speak of is passed on: output of sessions it holds, metrics of desktops it probes.
void fleet_live(struct fleet *f, const Wire__Live *live)
{
    Wire__Live out = WIRE__LIVE__INIT;
    struct worker *w = by_token(f, live->token);
    if (!w)
        return;
    arena_reset(&f->arena);
    out.output = arena_alloc(&f->arena, (live->n_output + 1) * sizeof *out.output);
    out.metrics = arena_alloc(&f->arena, (live->n_metrics + 1) * sizeof *out.metrics);
    if (!out.output || !out.metrics)
        return;
    for (size_t i = 0; i < live->n_output; i++) {
        const Wire__LiveOutput *o = live->output[i];
        struct desktop *d = map_get(&f->desktops, o->desktop);
        if (d && d->workspace == o->workspace && named(w, o->session))
            out.output[out.n_output++] = live->output[i];
    }
    for (size_t i = 0; i < live->n_metrics; i++) {
        Wire__LiveMetrics *m = live->metrics[i];
        struct desktop *d = map_get(&f->desktops, m->desktop);
        if (!d || d->prober != w->id || !m->metrics || d->status == DESKTOP_STOPPED)
            continue;
        d->live.metrics = *m->metrics;
        d->live.metrics.base.unknown_fields = NULL;
        d->live.metrics.base.n_unknown_fields = 0;
        d->live.seen_ms = d->live.metrics.probed_ms = clock_wall_ms();
        m->workspace = d->workspace;
        m->name = d->name;
        m->agent = d->agent;
        out.metrics[out.n_metrics++] = m;
    }
    if (out.n_output || out.n_metrics)
        f->conf.publish(f->conf.u, &out);
}

const struct fleet_desktop *fleet_desktop(const struct fleet *f, uint64_t desktop)
{
    const struct desktop *d = map_get(&f->desktops, desktop);
    return d ? &d->live : NULL;
}

bool fleet_worker(const struct fleet *f, uint64_t worker, Wire__Worker *ret)
{
    const struct worker *w = map_get(&f->workers, worker);
    if (!w || !w->live)
        return false;
    ret->connected = true;
    ret->slots = w->slots;
    ret->running = (uint32_t)w->n_running;
    ret->draining = w->draining;
    ret->last_seen_ms = w->seen_ms;
    return true;
}

// ---------------------------------------------------------------- time

// Refused when the lease was renewed meanwhile, or not applied: tried again in a second.
static void expire_done(struct proposal *p, enum outcome st, const struct batch *b)
{
    struct own *o = container_of(p, struct own, p);
    struct worker *w = map_get(&o->f->workers, o->worker);
    (void)b;
    if (w && !w->live && (st != OUTCOME_APPLIED || p->cmd.answer.err)) {
        w->expired = false;
        w->heard = turn_log_ms(o->f->conf.turns) + 1000 - LEASE_MS;
    }
    own_free(o);
}

static void propose_expire(struct fleet *f, struct worker *w)
{
    struct own *o = own_new(f, WIRE__ITEM__BODY_EXPIRE);
    if (!o)
        return;
    o->body.expire = (Wire__Expire)WIRE__EXPIRE__INIT;
    o->body.expire.worker = o->worker = w->id;
    o->body.expire.until_log_ms = w->heard + LEASE_MS;
    o->item.expire = &o->body.expire;
    o->p.done = expire_done;
    w->expired = true;
    turn_submit(f->conf.turns, &o->p);
}

// All that were heard since the last renewal, in one command.
static void propose_renew(struct fleet *f, uint64_t now, bool full_term)
{
    size_t n = 0, cap = f->workers.n;
    struct own *o = own_new(f, WIRE__ITEM__BODY_RENEW);
    if (!o)
        return;
    o->body.renew = (Wire__Renew)WIRE__RENEW__INIT;
    o->body.renew.full_term = full_term;
    o->leases = calloc(cap + 1, sizeof *o->leases);
    o->lease_list = calloc(cap + 1, sizeof *o->lease_list);
    if (!o->leases || !o->lease_list) {
        own_free(o);
        return;
    }
    list_each(at, next, &f->all_workers) {
        struct worker *w = container_of(at, struct worker, all);
        if (!w->live || w->heard == w->renewed || n == cap || now - w->renewed < RENEW_EVERY_MS)
            continue;
        w->renewed = w->heard;
        Wire__WorkerLease *l = &o->leases[n];
        *l = (Wire__WorkerLease)WIRE__WORKER_LEASE__INIT;
        l->worker = w->id;
        l->until_log_ms = w->heard + LEASE_MS;
        l->slots = w->slots;
        l->draining = w->draining;
        o->lease_list[n++] = l;
    }
    o->body.renew.leases = o->lease_list;
    o->body.renew.n_leases = n;
    o->item.renew = &o->body.renew;
    o->p.done = own_done;
    if (n || full_term)
        turn_submit(f->conf.turns, &o->p);
    else
        own_free(o);
}

static void lonely(struct fleet *f, struct desktop *d)
{
    struct own *o = own_new(f, WIRE__ITEM__BODY_OBSERVE);
    if (!o || !(o->text[0] = strdup("No worker reaches it")) || !(o->text[1] = strdup(d->ip))) {
        if (o)
            own_free(o);
        return;
    }
    o->seen = (Wire__Observation)WIRE__OBSERVATION__INIT;
    o->seen.desktop = d->id;
    o->seen.error = o->text[0];
    o->seen.ip_address = o->text[1];
    o->body.observe = (Wire__Observe)WIRE__OBSERVE__INIT;
    o->body.observe.workspace = d->workspace;
    o->body.observe.seen = &o->seen;
    o->item.observe = &o->body.observe;
    o->p.done = own_done;
    turn_submit(f->conf.turns, &o->p);
}

void fleet_tick(struct fleet *f)
{
    uint64_t now = turn_log_ms(f->conf.turns);
    list_each(n, next, &f->all_workers) {
        struct worker *w = container_of(n, struct worker, all);
        if (w->poll && now >= w->hold_until)
            answer_empty(f, w);
        if (w->expired || now < w->heard + LEASE_MS)
            continue;
        propose_expire(f, w);
        worker_down(f, w);
    }
    propose_renew(f, now, false);
    list_each(at, after, &f->all_desktops) {
        struct desktop *d = container_of(at, struct desktop, all);
        if (d->stale) {
            d->stale = false;
            fleet_touched(f, &(struct touched){ .workspace = d->workspace, .desktop = d->id }, 1);
            break; // it may be gone, and the list with it: the others in a second
        }
        find_prober(f, d);
        bool on = d->status == DESKTOP_RUNNING || d->status == DESKTOP_BOOTING;
        if (on && !d->prober && now >= d->lonely_since + LEASE_MS) {
            d->lonely_since = now;
            lonely(f, d);
        }
    }
    tell_dirty(f);
    pass(f);
}

void fleet_touched(struct fleet *f, const struct touched *t, size_t n)
{
    struct txn *txn = NULL;
    arena_reset(&f->arena);
    for (size_t i = 0; i < n; i++) {
        if (t[i].worker) {
            struct worker *w = map_get(&f->workers, t[i].worker);
            if (w)
                w->dirty = true;
            continue;
        }
        if (!txn && store_begin(f->conf.store, false, &txn))
            return;
        refresh_desktop(f, txn, t[i].workspace, t[i].desktop);
    }
    store_abort(txn);
    tell_dirty(f);
    pass(f);
}

// ---------------------------------------------------------------- start

enum err fleet_new(const struct fleet_conf *conf, struct fleet **ret)
{
    struct fleet *f = calloc(1, sizeof *f);
    if (!f)
        return ERR_NO_MEMORY;
    f->conf = *conf;
    list_init(&f->all_desktops);
    list_init(&f->all_workers);
    list_init(&f->ready);
    arena_init(&f->arena, ARENA_MAX);
    *ret = f;
    return ERR_OK;
}

static enum err load_desktops(struct fleet *f, struct txn *t)
{
    struct cursor c;
    enum err e = cursor_open(&c, t, DB_DESKTOP, NULL);
    if (e)
        return e;
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c))
        refresh_desktop(f, t, key_read_u64(c.key.b), key_read_u64(c.key.b + 8));
    e = c.err;
    cursor_close(&c);
    return e;
}

// Workers that were connected when we stopped are waited for, a full term long.
static enum err load_workers(struct fleet *f, struct txn *t)
{
    struct cursor c;
    enum err e = cursor_open(&c, t, DB_PEER, NULL);
    if (e)
        return e;
    for (bool on = cursor_seek(&c, NULL); on && !e; on = cursor_next(&c)) {
        Rec__Peer *p;
        e = kind_unpack(KIND_PEER, &f->arena, c.value, &p);
        if (e || !p->connected)
            continue;
        struct worker *w = worker_new(f, p->id);
        if (!w) {
            e = ERR_NO_MEMORY;
            break;
        }
        strncpy(w->name, p->name, sizeof w->name - 1);
        w->incarnation = p->incarnation;
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    return e;
}

enum err fleet_load(struct fleet *f)
{
    struct txn *t;
    enum err e = store_begin(f->conf.store, false, &t);
    if (e)
        return e;
    arena_reset(&f->arena);
    e = load_workers(f, t);
    if (!e)
        e = load_desktops(f, t);
    store_abort(t);
    propose_renew(f, turn_log_ms(f->conf.turns), true);
    return e;
}
