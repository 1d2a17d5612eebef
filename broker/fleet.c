// Happy path: a poll says what a worker has and is held; a commit touches a desktop with waiting tasks; pass() pairs the two and
// proposes Assign; its commit touches the worker; orders() finds a session the worker has not named, and answers the poll.
//
// Assignments are state, not messages: every answer repeats whatever the store says is this worker's and its poll did not name. So
// a lost answer costs nothing, and starting twice is the worker's to refuse.
#include "fleet.h"
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "fleet_state.h"
#include "hook.h"
#include "kind.h"
#include "log.h"
#include "names.h"
#include "orders.h"
#include "own.h"
#include "store_task.h"
#include "turn.h"

enum { RENEW_EVERY_MS = 5000, ARENA_MAX = 64 * 1024 * 1024 };

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
    free(d->history.rings);
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

static void refresh_limits(struct fleet *f, struct txn *t, uint64_t workspace)
{
    struct limits *l = map_get(&f->limits, workspace);
    Rec__Workspace *ws;
    enum err e = kind_get(t, &f->arena, KIND_WORKSPACE, workspace, workspace, &ws);
    if (!e && !l) {
        l = calloc(1, sizeof *l);
        e = l ? map_put(&f->limits, workspace, l) : ERR_NO_MEMORY;
        if (e)
            free(l);
    }
    if (e) {
        log_error("the thresholds of workspace_%llu cannot be read: %s", (unsigned long long)workspace, err_text(e));
        return;
    }
    l->threshold[METRIC_CPU] = ws->cpu;
    l->threshold[METRIC_MEMORY] = ws->memory;
    l->threshold[METRIC_DISK] = ws->disk;
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
    uint8_t chat[HASH_SIZE];
    crypto_hash2(chat, r->chat_url, strlen(r->chat_url) + 1, r->chat_key.data, r->chat_key.len);
    if (d->status != r->status || d->agent_ready != r->agent_ready || memcmp(d->chat, chat, sizeof chat) != 0)
        probes_changed(f, d->prober);
    memcpy(d->chat, chat, sizeof chat);
    d->status = r->status;
    d->agent_ready = r->agent_ready;
    d->max_tasks = r->max_tasks;
    d->held = c.held;
    d->waiting = c.waiting;
    d->agent = r->agent;
    d->alert[METRIC_CPU] = r->alert_cpu;
    d->alert[METRIC_MEMORY] = r->alert_memory;
    d->alert[METRIC_DISK] = r->alert_disk;
    if (!map_get(&f->limits, workspace))
        refresh_limits(f, t, workspace);
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

void fleet_assigned(struct fleet *f, uint64_t desktop, uint64_t worker, bool ok)
{
    struct desktop *d = map_get(&f->desktops, desktop);
    struct worker *w = map_get(&f->workers, worker);
    if (d) {
        d->in_flight--;
        d->stale = d->stale || !ok;
    }
    if (w)
        w->in_flight--;
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
        if (own_assigning(f, id))
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
            own_assign(f, d, w, task->id, task->attempt);
            place(f, d); // to the end of the line, if more waits
            w = next_worker(f);
        }
    }
    store_abort(t);
}

// ---------------------------------------------------------------- what a worker is told

bool worker_named(const struct worker *w, uint64_t session)
{
    for (size_t i = 0; i < w->n_running; i++)
        if (w->running[i].session == session)
            return true;
    return false;
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
    enum err e = orders_make(f, w, &os);
    if (e) {
        log_error("orders for worker %s cannot be made: %s", w->name, err_text(e));
        answer(f, w, e, NULL);
        return;
    }
    if (!orders_any(&os))
        return;
    if (os.o.probes_given) {
        w->probes_dirty = false;
        w->probes_number = os.o.probes_number;
    }
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

void fleet_given(struct fleet *f, uint64_t worker)
{
    struct worker *w = map_get(&f->workers, worker);
    if (w)
        w->dirty = true;
}

void fleet_settle(struct fleet *f)
{
    tell_dirty(f);
    pass(f);
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

// Others probe its desktops.
static void hand_over(struct fleet *f, const struct worker *w)
{
    list_each(n, next, &f->all_desktops) {
        struct desktop *d = container_of(n, struct desktop, all);
        if (d->prober == w->id) {
            unprobe(f, d);
            find_prober(f, d);
        }
    }
}

static void worker_down(struct fleet *f, struct worker *w)
{
    if (!w->live)
        return;
    w->live = false;
    f->live--;
    log_warn("worker %s is lost", w->name);
    hooks_worker_gone(f->conf.hooks, w->id);
    if (w->poll)
        answer(f, w, ERR_NOT_GREETED, NULL);
    hand_over(f, w);
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
    w->draining = w->draining && w->incarnation == incarnation;
    if (w->incarnation != incarnation)
        hooks_worker_gone(f->conf.hooks, worker);
    w->incarnation = incarnation;
    w->heard = turn_log_ms(f->conf.turns);
    w->seen_ms = clock_wall_ms();
    w->free = 0;
    w->n_running = 0;
    memset(w->figured, 0, sizeof w->figured);
    w->probes_dirty = true;
    crypto_random(&w->probes_number, sizeof w->probes_number);
    w->probes_number = w->probes_number >> 2 | 2; // none that an earlier broker gave, not 1, and room above it
    crypto_random(w->token, sizeof w->token);
    memcpy(token, w->token, sizeof w->token);
    log_info("worker %s is here", w->name);
    list_each(n, next, &f->all_desktops) {
        struct desktop *d = container_of(n, struct desktop, all);
        const struct worker *by = map_get(&f->workers, d->prober);
        if (by && by->draining && !w->draining)
            unprobe(f, d); // kept only while there was nobody else
        find_prober(f, d);
    }
    return ERR_OK;
}

bool fleet_current(const struct fleet *f, uint64_t worker, uint64_t incarnation)
{
    const struct worker *w = map_get(&f->workers, worker);
    return w && w->live && w->incarnation == incarnation;
}

static void observe(struct fleet *f, const struct worker *w, const Wire__Observation *seen)
{
    const struct desktop *d = map_get(&f->desktops, seen->desktop);
    if (d && d->prober == w->id && d->status != DESKTOP_STOPPED)
        own_observe(f, d, seen);
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

// It gets no more work, and others probe its desktops. For good: only a new start of the worker ends it.
static void drain(struct fleet *f, struct worker *w)
{
    if (w->draining)
        return;
    w->draining = w->dirty = true;
    if (f->live > 1)
        hand_over(f, w);
}

static void take_figures(struct worker *w, const Wire__WorkPoll *m)
{
    for (size_t i = 0; i < m->n_figures; i++) {
        unsigned at = figure_place(FIGURES_WORKER, m->figures[i]->what);
        if (at >= WORKER_FIGURE_N)
            continue; // of a later version
        w->figures[at] = m->figures[i]->value;
        w->figured[at] = 1;
    }
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
    take_figures(w, m);
    if (m->probes_number && m->probes_number != w->probes_number)
        w->probes_dirty = true; // the answer that brought the list was lost, or came too late
    if (m->draining)
        drain(f, w);
    for (size_t i = 0; i < m->n_observed; i++)
        observe(f, w, m->observed[i]);
    hooks_polled(f->conf.hooks, worker, m);
    tell(f, w);
    fleet_settle(f);
}

void fleet_poll_gone(struct fleet *f, void *poll)
{
    list_each(n, next, &f->all_workers) {
        struct worker *w = container_of(n, struct worker, all);
        if (w->poll == poll)
            w->poll = NULL;
    }
}

// ---------------------------------------------------------------- what is shown of workers

bool fleet_worker(const struct fleet *f, uint64_t worker, Wire__Worker *ret)
{
    const struct worker *w = map_get(&f->workers, worker);
    if (!w || !w->live)
        return false;
    ret->connected = true;
    ret->slots = w->slots;
    ret->draining = w->draining;
    ret->last_seen_ms = w->seen_ms;
    return true;
}

const uint64_t *fleet_figures(const struct fleet *f, uint64_t worker, const uint8_t **ret_known)
{
    const struct worker *w = map_get(&f->workers, worker);
    if (!w || !w->live)
        return NULL;
    *ret_known = w->figured;
    return w->figures;
}

// ---------------------------------------------------------------- time

// Refused when the lease was renewed meanwhile, or not applied: tried again in a second.
void fleet_expired(struct fleet *f, uint64_t worker, bool ok)
{
    struct worker *w = map_get(&f->workers, worker);
    if (ok || !w || w->live)
        return;
    w->expired = false;
    w->heard = turn_log_ms(f->conf.turns) + 1000 - LEASE_MS;
}

// All that were heard since the last renewal, in one command.
static void renew(struct fleet *f, uint64_t now)
{
    size_t n = 0, cap = f->workers.n;
    arena_reset(&f->arena);
    Wire__WorkerLease *leases = arena_alloc(&f->arena, (cap + 1) * sizeof *leases);
    if (!leases)
        return;
    list_each(at, next, &f->all_workers) {
        struct worker *w = container_of(at, struct worker, all);
        if (!w->live || w->heard == w->renewed || n == cap || now - w->renewed < RENEW_EVERY_MS)
            continue;
        w->renewed = w->heard;
        leases[n] = (Wire__WorkerLease)WIRE__WORKER_LEASE__INIT;
        leases[n].worker = w->id;
        leases[n].until_log_ms = w->heard + LEASE_MS;
        leases[n].slots = w->slots;
        leases[n++].draining = w->draining;
    }
    if (n)
        own_renew(f, leases, n, false);
}

static void lonely(struct fleet *f, const struct desktop *d)
{
    static char error[] = "No worker reaches it";
    Wire__Observation seen = WIRE__OBSERVATION__INIT;
    seen.desktop = d->id;
    seen.error = error;
    seen.ip_address = d->ip;
    own_observe(f, d, &seen);
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
        own_expire(f, w);
        worker_down(f, w);
    }
    renew(f, now);
    fleet_sample(f);
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
    fleet_settle(f);
}

// An admin may have told it to drain.
static void refresh_worker(struct fleet *f, struct txn *t, struct worker *w)
{
    Rec__Peer *p;
    enum err e = kind_get(t, &f->arena, KIND_PEER, 0, w->id, &p);
    w->dirty = true;
    if (e)
        log_error("worker_%llu cannot be read: %s", (unsigned long long)w->id, err_text(e));
    else if (p->draining && p->incarnation == w->incarnation)
        drain(f, w);
}

void fleet_touched(struct fleet *f, const struct touched *t, size_t n)
{
    struct txn *txn = NULL;
    arena_reset(&f->arena);
    for (size_t i = 0; i < n; i++) {
        struct worker *w = t[i].worker ? map_get(&f->workers, t[i].worker) : NULL;
        if (t[i].worker && !w)
            continue;
        if (!txn && store_begin(f->conf.store, false, &txn))
            return;
        if (w)
            refresh_worker(f, txn, w);
        else if (t[i].desktop)
            refresh_desktop(f, txn, t[i].workspace, t[i].desktop);
        else
            refresh_limits(f, txn, t[i].workspace);
    }
    store_abort(txn);
    fleet_settle(f);
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
        w->draining = p->draining;
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
    own_renew(f, NULL, 0, true);
    return e;
}
