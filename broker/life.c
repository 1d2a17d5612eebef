#include "life.h"
#include <string.h>
#include "view.h"

static char nothing[1];

static const unsigned status_row[TASK_STATUS_COUNT] = {
    [TASK_PENDING] = ROW_TASK_RESET,  [TASK_RUNNING] = ROW_TASK_STARTED, [TASK_REVIEW] = ROW_TASK_REVIEW,
    [TASK_DONE] = ROW_TASK_COMPLETED, [TASK_FAILED] = ROW_TASK_FAILED,   [TASK_CANCELLED] = ROW_TASK_CANCELLED,
};

void life_task_row(const struct task_ref *ref, Wire__Row *row)
{
    const Rec__Task *t = ref->t;
    row->workspace = t->workspace;
    row->task = t->id;
    row->desktop = t->desktop;
    row->agent = t->agent;
    row->title = t->title;
    row->status = t->status;
    row->old_status = ref->old_status;
    row->priority = t->priority;
    row->created_ms = t->created_ms;
    row->started_ms = t->started_ms;
    row->completed_ms = t->completed_ms;
    row->failure = t->failure;
    row->failure_text = t->failure_text;
}

static enum err task_row(struct work *w, const struct task_ref *ref, unsigned kind)
{
    Wire__Row row = WIRE__ROW__INIT;
    life_task_row(ref, &row);
    return work_row(w, &row, kind);
}

static void enqueue(struct work *w, Rec__Task *t, enum trigger trigger)
{
    if (trigger != TRIGGER_RETRY || t->attempt == 0)
        t->retries_left = t->retries;
    t->attempt++;
    t->trigger = trigger;
    t->queued = ++w->turn->meta->queued;
    t->session = 0;
}

static void reset(Rec__Task *t)
{
    t->started_ms = t->completed_ms = 0;
    t->has_exit = false;
    t->exit_code = 0;
    t->failure = 0;
    t->failure_text = nothing;
    t->output_bytes = 0;
    t->output_truncated = false;
    t->session = t->approval = 0;
    t->approval_frozen = 0;
}

static enum err open_approval(struct work *w, struct task_ref *ref, Rec__Approval **ret)
{
    Rec__Approval *a = arena_alloc(w->arena, sizeof *a);
    if (!a)
        return ERR_NO_MEMORY;
    *a = (Rec__Approval)REC__APPROVAL__INIT;
    a->id = work_id(w, ENTITY_APPROVAL);
    a->workspace = ref->t->workspace;
    a->task = ref->t->id;
    a->status = APPROVAL_PENDING;
    a->created_ms = w->now_ms;
    ref->t->approval = a->id;
    *ret = a;
    enum err e = approval_count(w, a->workspace, 1);
    return e ? e : work_put(w, KIND_APPROVAL, NULL, a);
}

enum err life_close_approval(struct work *w, const Rec__Task *t)
{
    Rec__Approval *a;
    struct index_entries old;
    enum err e = work_get(w, KIND_APPROVAL, t->workspace, t->approval, &a, &old);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
    a->status = APPROVAL_CANCELLED;
    a->resolved_ms = w->now_ms;
    a->resolved_by = work_copy(w, w->actor, ROW_TEXT_MAX);
    e = approval_count(w, a->workspace, -1);
    return e ? e : work_put(w, KIND_APPROVAL, &old, a);
}

static enum err approval_row(struct work *w, const struct task_ref *ref, const Rec__Approval *a)
{
    Wire__Row row = WIRE__ROW__INIT;
    life_task_row(ref, &row);
    row.approval = a->id;
    row.status = a->status;
    return work_row(w, &row, ROW_APPROVAL_CREATED);
}

// The running session of a cancelled task: its tree is to be ended, and its slot stays taken until the worker says so.
static enum err kill_session(struct work *w, struct task_ref *ref)
{
    struct session_ref s;
    if (!ref->t->session)
        return ERR_OK;
    enum err e = session_open(w, ref->t->workspace, ref->t->session, &s);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
    if (s.s->status != SESSION_RUNNING)
        return ERR_OK;
    ref->t->output_bytes = s.s->output_total;
    ref->t->output_truncated = s.s->output_truncated;
    return life_end_session(w, &s, &(struct ending){ .status = SESSION_CANCELLED, .text = "" }, true);
}

// A run has ended: whether it needed approval stays as it was then, whatever the setting becomes.
static enum err freeze(struct work *w, Rec__Task *t)
{
    struct view v = { .txn = w->txn, .arena = w->arena };
    bool needs;
    enum err e = view_needs_approval(&v, t, &needs);
    if (!e)
        t->approval_frozen = needs ? 2 : 1;
    return e;
}

enum err life_step(struct work *w, struct task_ref *ref, enum task_event ev, enum trigger trigger)
{
    enum task_status to;
    unsigned fx;
    Rec__Approval *approval = NULL;
    Rec__Task *t = ref->t;
    uint32_t from = t->status;
    enum err e = task_fsm_step((enum task_status)from, ev, &to, &fx);
    if (e)
        return e;
    t->status = to;
    if (from == TASK_RUNNING && to != TASK_RUNNING)
        e = freeze(w, t);
    if (e)
        return e;
    if (fx & FX_RESET)
        reset(t);
    if (ev == EV_RUN)
        t->started_ms = w->now_ms;
    if (fx & FX_ENQUEUE)
        enqueue(w, t, trigger);
    else
        t->queued = 0;
    if (fx & FX_END)
        t->completed_ms = w->now_ms;
    if (fx & FX_OPEN_APPROVAL)
        e = open_approval(w, ref, &approval);
    if (!e && (fx & FX_CLOSE_APPROVAL))
        e = life_close_approval(w, t);
    if (!e && (to == TASK_DONE || to == TASK_FAILED))
        e = hour_add(w, t->workspace, to == TASK_DONE, t->completed_ms - t->started_ms);
    if (!e && from != to)
        e = task_row(w, ref, status_row[to]);
    if (!e && (fx & FX_KILL))
        e = kill_session(w, ref);
    if (!e && approval)
        e = approval_row(w, ref, approval);
    return e ? e : task_save(w, ref);
}

static enum err session_row(struct work *w, const Rec__Session *s, unsigned kind)
{
    Wire__Row row = WIRE__ROW__INIT;
    Rec__Task *t;
    enum err e = work_get(w, KIND_TASK, s->workspace, s->task, &t, NULL);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
    row.title = t->title;
    row.workspace = s->workspace;
    row.session = s->id;
    row.task = s->task;
    row.desktop = s->desktop;
    row.agent = s->agent;
    row.status = s->status;
    row.trigger = s->trigger;
    row.duration_ms = s->completed_ms > s->started_ms ? s->completed_ms - s->started_ms : 0; // as the session is shown
    row.started_ms = s->started_ms;
    row.completed_ms = s->completed_ms;
    row.failure = s->failure;
    row.failure_text = s->failure_text;
    return work_row(w, &row, kind);
}

// The result goes to the task, and the task where that leads.
static enum err settle(struct work *w, const Rec__Session *s)
{
    struct task_ref ref;
    bool needs = false;
    enum err e = task_open(w, s->workspace, s->task, &ref);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
    Rec__Task *t = ref.t;
    if (t->status != TASK_RUNNING || t->session != s->id)
        return ERR_CORRUPT; // a running session is always its running task's current one
    t->has_exit = s->has_exit;
    t->exit_code = s->exit_code;
    t->output_bytes = s->output_total;
    t->output_truncated = s->output_truncated;
    if (s->status == SESSION_FAILED && t->retries_left > 0) {
        t->retries_left--;
        return life_step(w, &ref, EV_TRY_AGAIN, TRIGGER_RETRY);
    }
    if (s->status == SESSION_FAILED) {
        t->failure = s->failure;
        t->failure_text = s->failure_text;
        return life_step(w, &ref, EV_FAIL, TRIGGER_NONE);
    }
    struct view v = { .txn = w->txn, .arena = w->arena };
    e = view_needs_approval(&v, t, &needs);
    return e ? e : life_step(w, &ref, needs ? EV_ASK : EV_SUCCEED, TRIGGER_NONE);
}

enum err life_end_session(struct work *w, struct session_ref *ref, const struct ending *end, bool task_stepped)
{
    Rec__Session *s = ref->s;
    s->status = end->status;
    s->completed_ms = w->now_ms;
    s->duration_ms = end->duration_ms ? end->duration_ms : w->now_ms - s->started_ms;
    s->failure = end->failure;
    s->failure_text = work_copy(w, end->text, ROW_TEXT_MAX);
    s->has_exit = end->has_exit;
    s->exit_code = end->exit_code;
    if (end->let_go)
        s->held = false;
    work_touch_worker(w, s->worker);
    enum err e = s->status == SESSION_FAILED ? session_row(w, s, ROW_SESSION_FAILED) : ERR_OK;
    if (!e)
        e = session_row(w, s, ROW_SESSION_COMPLETED);
    if (!e)
        e = session_save(w, ref);
    if (!e && !task_stepped)
        e = settle(w, s);
    return e;
}

static bool in(const uint64_t *ids, size_t n, uint64_t id)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

static enum err end_one(struct work *w, uint64_t workspace, uint64_t id, const struct ending *end)
{
    struct session_ref s;
    enum err e = session_open(w, workspace, id, &s);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
    if (s.s->status == SESSION_RUNNING)
        return life_end_session(w, &s, end, false);
    s.s->held = false;
    work_touch_worker(w, s.s->worker);
    return session_save(w, &s);
}

// The held sessions of a worker, read before any is changed, since each change moves the index.
struct held {
    uint64_t workspace, session;
};
static enum err held_of(struct work *w, uint64_t worker, struct held **ret, size_t *ret_n)
{
    struct key prefix = { .n = 0 };
    struct cursor c;
    size_t n = 0, cap = 64;
    struct held *list = arena_alloc(w->arena, cap * sizeof *list);
    enum err e = list ? cursor_open(&c, w->txn, DB_INDEX, key_u64(key_u8(&prefix, INDEX_SESSION_HELD), worker)) : ERR_NO_MEMORY;
    if (e)
        return e;
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c)) {
        if (n == cap) {
            struct held *more = arena_alloc(w->arena, 2 * cap * sizeof *list);
            if (!more) {
                cursor_close(&c);
                return ERR_NO_MEMORY;
            }
            memcpy(more, list, n * sizeof *list);
            list = more;
            cap *= 2;
        }
        list[n++] = (struct held){ key_read_u64(c.value.p), key_read_u64(c.key.b + 9) };
    }
    e = c.err;
    cursor_close(&c);
    *ret = list;
    *ret_n = n;
    return e;
}

enum err life_end_held(struct work *w, uint64_t worker, const uint64_t *keep, size_t n_keep, const struct ending *end)
{
    struct held *held;
    size_t n;
    enum err e = held_of(w, worker, &held, &n);
    for (size_t i = 0; !e && i < n; i++)
        if (!in(keep, n_keep, held[i].session))
            e = end_one(w, held[i].workspace, held[i].session, end);
    return e;
}

// Running tasks of the desktop that a worker has taken; those that still wait go on waiting.
enum err life_end_desktop(struct work *w, const Rec__Desktop *d, const struct ending *end)
{
    for (unsigned type = 1; type < TASK_TYPE_COUNT; type++) {
        struct key prefix = { .n = 0 }, from;
        struct cursor c;
        key_u8(key_u8(key_u64(key_u64(key_u8(&prefix, INDEX_TASK_DESKTOP), d->workspace), d->id), TASK_RUNNING), (uint8_t)type);
        from = prefix;
        for (;;) {
            enum err e = cursor_open(&c, w->txn, DB_INDEX, &prefix);
            if (e)
                return e;
            bool on = cursor_seek(&c, &from);
            struct key at = c.key;
            e = c.err;
            cursor_close(&c);
            if (e)
                return e;
            if (!on)
                break;
            Rec__Task *t;
            uint64_t id = key_read_u64(at.b + at.n - 8);
            e = kind_get(w->txn, w->arena, KIND_TASK, d->workspace, id, &t);
            if (!e && t->session)
                e = end_one(w, d->workspace, t->session, end);
            if (e)
                return e;
            from = prefix;
            key_u64(&from, id + 1);
        }
    }
    return ERR_OK;
}

enum agent_status life_agent_status(enum desktop_status s, bool agent_ready)
{
    switch (s) {
    case DESKTOP_RUNNING: return agent_ready ? AGENT_IDLE : AGENT_ONLINE;
    case DESKTOP_ERROR: return AGENT_ERROR;
    default: return AGENT_OFFLINE;
    }
}

static void desktop_row(const Rec__Desktop *d, Wire__Row *row)
{
    row->workspace = d->workspace;
    row->desktop = d->id;
    row->agent = d->agent;
    row->name = d->name;
    row->status = d->status;
    row->ip_address = d->ip_address;
    row->error = d->error;
}

static enum err agent_row(struct work *w, const Rec__Desktop *d, enum agent_status from, enum agent_status to)
{
    union { const char *in; char *out; } was = { agent_status_name(from) }, is = { agent_status_name(to) };
    Wire__Row row = WIRE__ROW__INIT;
    if (from == to || (from > AGENT_ERROR && to > AGENT_ERROR))
        return ERR_OK;
    desktop_row(d, &row);
    row.name = d->agent_name;
    row.field = nothing;
    row.old_status = from;
    row.status = to;
    row.old_value = was.out;
    row.new_value = is.out;
    return work_row(w, &row, ROW_AGENT_STATUS);
}

enum err life_desktop(struct work *w, Rec__Desktop *d, enum desktop_status to, const char *error)
{
    static const unsigned rows[DESKTOP_STATUS_COUNT] = {
        [DESKTOP_BOOTING] = ROW_DESKTOP_BOOTING, [DESKTOP_RUNNING] = ROW_DESKTOP_RUNNING,
        [DESKTOP_STOPPED] = ROW_DESKTOP_STOPPED, [DESKTOP_ERROR] = ROW_DESKTOP_ERROR,
    };
    enum agent_status before = life_agent_status((enum desktop_status)d->status, d->agent_ready);
    Wire__Row row = WIRE__ROW__INIT;

    if (to != DESKTOP_RUNNING)
        d->agent_ready = false;
    if (to == DESKTOP_STOPPED) // what is told when it runs again is told anew
        d->alert_cpu = d->alert_memory = d->alert_disk = 0;
    d->status = to;
    d->error = work_copy(w, error, ROW_TEXT_MAX);
    desktop_row(d, &row);
    enum err e = work_row(w, &row, rows[to]);
    if (!e)
        e = agent_row(w, d, before, life_agent_status(to, d->agent_ready));
    work_touch_desktop(w, d->workspace, d->id);
    return e ? e : work_put(w, KIND_DESKTOP, NULL, d);
}

enum err life_agent_ready(struct work *w, Rec__Desktop *d, bool ready)
{
    Wire__Row row = WIRE__ROW__INIT;
    d->agent_ready = ready;
    work_touch_desktop(w, d->workspace, d->id);
    desktop_row(d, &row);
    enum err e = ready ? work_row(w, &row, ROW_AGENT_READY) : ERR_OK;
    return e ? e : work_put(w, KIND_DESKTOP, NULL, d);
}
