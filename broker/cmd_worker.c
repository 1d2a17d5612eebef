// Commands that come from workers, or are made by the broker about them: greeting, assignment, leases, results.
#include "commands.h"
#include "life.h"

static const struct ending worker_lost = {
    .status = SESSION_FAILED, .failure = FAILURE_WORKER_LOST, .text = "The worker that ran it was lost", .let_go = true,
};

static enum err get_worker(struct work *w, uint64_t id, Rec__Peer **ret, struct index_entries *old)
{
    enum err e = work_get(w, KIND_PEER, 0, id, ret, old);
    return !e && (*ret)->role != 2 ? ERR_NOT_FOUND : e;
}

// Sessions of a worker whose end it has not told, and now never will: they are closed for good.
static enum err forget_late(struct work *w, uint64_t worker, const uint64_t *keep, size_t n_keep)
{
    struct key prefix = { .n = 0 }, from;
    key_u64(key_u8(&prefix, INDEX_SESSION_LATE), worker);
    from = prefix;
    for (;;) {
        struct cursor c;
        enum err e = cursor_open(&c, w->txn, DB_INDEX, &prefix);
        if (e)
            return e;
        bool on = cursor_seek(&c, &from);
        uint64_t id = on ? key_read_u64(c.key.b + 9) : 0, workspace = on ? key_read_u64(c.value.p) : 0;
        e = c.err;
        cursor_close(&c);
        if (e || !on)
            return e;
        from = prefix;
        key_u64(&from, id + 1);
        bool kept = false;
        for (size_t i = 0; i < n_keep; i++)
            kept = kept || keep[i] == id;
        if (kept)
            continue;
        struct session_ref s;
        e = session_open(w, workspace, id, &s);
        if (e)
            return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
        s.s->reported = true;
        e = session_save(w, &s);
        if (e)
            return e;
    }
}

enum err cmd_worker_hello(struct work *w)
{
    const Wire__WorkerHello *m = w->cmd->item->worker_hello;
    struct index_entries old;
    Rec__Peer *p;
    enum err e = get_worker(w, m->worker, &p, &old);
    if (e)
        return e;
    if (!p->connected)
        w->turn->meta->workers++;
    if (p->incarnation != m->incarnation) { // a new start under the old name: what it does not name is gone
        e = life_end_held(w, p->id, m->holds, m->n_holds, &worker_lost);
        if (!e)
            e = forget_late(w, p->id, m->holds, m->n_holds);
    }
    if (p->incarnation != m->incarnation)
        p->draining = false;
    p->incarnation = m->incarnation;
    p->connected = true;
    p->lease_until_log_ms = w->log_ms + LEASE_MS;
    p->seen_ms = w->now_ms;
    p->version = m->version;
    work_touch_worker(w, p->id);
    return e ? e : work_put(w, KIND_PEER, &old, p);
}

// A drain lasts until the worker starts anew: it takes no more work, ends what it has, and ends itself.
enum err cmd_worker_drain(struct work *w)
{
    struct index_entries old;
    Wire__Row row = WIRE__ROW__INIT;
    Rec__Peer *p;
    enum err e = get_worker(w, w->cmd->item->worker_drain->id, &p, &old);
    if (e)
        return e;
    if (!p->connected)
        return work_refuse(w, ERR_BAD_STATE, NULL, "The worker is not connected");
    if (p->draining)
        return answer_worker(w, p);
    p->draining = true;
    row.entity = p->id;
    row.name = p->name;
    work_touch_worker(w, p->id);
    e = work_put(w, KIND_PEER, &old, p);
    if (!e)
        e = work_row(w, &row, ROW_WORKER_DRAINED);
    return e ? e : answer_worker(w, p);
}

// Proposed by the scheduler; everything it assumed is looked at again.
enum err cmd_assign(struct work *w)
{
    const Wire__Assign *m = w->cmd->item->assign;
    struct task_ref ref;
    Rec__Peer *p;
    Rec__Desktop *d;
    struct counts *c;
    enum err e = task_open(w, w->workspace, m->task, &ref);
    if (!e)
        e = get_worker(w, m->worker, &p, NULL);
    if (!e)
        e = work_get(w, KIND_DESKTOP, w->workspace, ref.t->desktop, &d, NULL);
    if (!e)
        e = work_counts(w, w->workspace, ref.t->desktop, &c);
    if (e)
        return e;
    Rec__Task *t = ref.t;
    if (t->status != TASK_RUNNING || !t->queued || t->attempt != m->attempt || !p->connected || p->draining ||
        p->incarnation != m->incarnation || d->status != DESKTOP_RUNNING || c->held >= d->max_tasks)
        return ERR_BAD_STATE;

    Rec__Session *s = arena_alloc(w->arena, sizeof *s);
    if (!s)
        return ERR_NO_MEMORY;
    *s = (Rec__Session)REC__SESSION__INIT;
    s->workspace = t->workspace;
    s->task = t->id;
    s->agent = t->agent;
    s->desktop = t->desktop;
    s->worker = p->id;
    s->incarnation = p->incarnation;
    s->attempt = t->attempt;
    s->trigger = t->trigger;
    s->status = SESSION_RUNNING;
    s->held = true;
    s->started_ms = w->now_ms;
    e = session_add(w, s);
    if (e)
        return e;
    t->session = s->id;
    t->queued = 0;
    e = task_save(w, &ref);
    Wire__Row row = WIRE__ROW__INIT;
    row.session = s->id;
    row.task = s->task;
    row.title = t->title;
    row.desktop = s->desktop;
    row.agent = s->agent;
    row.status = s->status;
    row.trigger = s->trigger;
    row.started_ms = s->started_ms;
    work_touch_worker(w, p->id);
    return e ? e : work_row(w, &row, ROW_SESSION_STARTED);
}

static enum err renew(struct work *w, uint64_t worker, uint64_t until, const Wire__WorkerLease *l)
{
    struct index_entries old;
    Rec__Peer *p;
    enum err e = get_worker(w, worker, &p, &old);
    if (e == ERR_NOT_FOUND || (!e && !p->connected))
        return ERR_OK;
    if (e)
        return e;
    if (until > p->lease_until_log_ms)
        p->lease_until_log_ms = until;
    if (l) {
        p->slots = l->slots;
        p->draining = p->draining || l->draining; // it may have been told so since this was proposed
        p->seen_ms = w->now_ms;
    }
    return work_put(w, KIND_PEER, &old, p);
}

enum err cmd_renew(struct work *w)
{
    const Wire__Renew *m = w->cmd->item->renew;
    enum err e = ERR_OK;
    for (size_t i = 0; i < m->n_leases && !e; i++)
        e = renew(w, m->leases[i]->worker, m->leases[i]->until_log_ms, m->leases[i]);
    for (uint64_t id = 1; m->full_term && id <= w->turn->meta->last_id[ENTITY_WORKER] && !e; id++)
        e = renew(w, id, w->log_ms + LEASE_MS, NULL);
    return e;
}

enum err cmd_expire(struct work *w)
{
    const Wire__Expire *m = w->cmd->item->expire;
    struct index_entries old;
    Rec__Peer *p;
    enum err e = get_worker(w, m->worker, &p, &old);
    if (e)
        return e;
    if (!p->connected || p->lease_until_log_ms > w->log_ms)
        return p->connected ? ERR_BAD_STATE : ERR_OK; // renewed meanwhile; or ended already
    p->connected = false;
    w->turn->meta->workers--;
    work_touch_worker(w, p->id);
    e = work_put(w, KIND_PEER, &old, p);
    return e ? e : life_end_held(w, p->id, NULL, 0, &worker_lost);
}

// Where a session of this worker is: held or late. ERR_NOT_FOUND: neither.
static enum err locate(struct work *w, uint64_t worker, uint64_t session, uint64_t *ret_workspace)
{
    static const enum index where[] = { INDEX_SESSION_HELD, INDEX_SESSION_LATE };
    for (int i = 0; i < 2; i++) {
        struct key k = { .n = 0 };
        struct slice s;
        enum err e = store_get(w->txn, DB_INDEX, key_u64(key_u64(key_u8(&k, (uint8_t)where[i]), worker), session), &s);
        if (!e)
            *ret_workspace = key_read_u64(s.p);
        if (e != ERR_NOT_FOUND)
            return e;
    }
    return ERR_NOT_FOUND;
}

// A session that was ended before its worker ever heard of it.
enum err cmd_release(struct work *w)
{
    uint64_t id = w->cmd->item->release->id, workspace;
    struct session_ref s;
    enum err e = locate(w, w->cmd->worker, id, &workspace);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    e = session_open(w, workspace, id, &s);
    if (e)
        return e;
    if (s.s->status == SESSION_RUNNING)
        return ERR_OK;
    s.s->held = false;
    s.s->reported = true;
    work_touch_worker(w, s.s->worker);
    return session_save(w, &s);
}

static void ending_of(const Wire__SessionReport *r, struct ending *end)
{
    *end = (struct ending){ .status = SESSION_COMPLETED, .text = r->failure_text, .has_exit = r->has_exit, .exit_code = r->exit_code,
                            .duration_ms = r->duration_ms, .let_go = true };
    if (r->failure) {
        end->failure = (enum failure)r->failure;
        end->status = SESSION_FAILED;
    } else if (r->has_exit && r->exit_code != 0) {
        end->failure = FAILURE_EXIT_NONZERO;
        end->status = SESSION_FAILED;
    }
    if (end->failure == FAILURE_EXIT_NONZERO && !*end->text)
        end->text = r->exit_code > 128 ? "The command was ended by a signal" : "The command ended with a non-zero exit status";
}

// The end of a session that was closed here before: kept on it, and nothing else changes, but for the octets its task shows.
static enum err late_end(struct work *w, struct session_ref *s, const Wire__SessionReport *r)
{
    struct task_ref t;
    s->s->held = false;
    s->s->reported = true;
    if (r->has_exit) {
        s->s->has_exit = true;
        s->s->exit_code = r->exit_code;
    }
    work_touch_worker(w, s->s->worker);
    enum err e = session_save(w, s);
    if (!e)
        e = task_open(w, s->s->workspace, s->s->task, &t);
    if (e || t.t->session != s->s->id)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    t.t->output_bytes = s->s->output_total;
    t.t->output_truncated = s->s->output_truncated;
    return task_save(w, &t);
}

static enum err report(struct work *w, const Wire__SessionReport *r, Wire__SessionAck *ack)
{
    struct session_ref s;
    Rec__Desktop *d;
    uint64_t workspace;
    ack->session = r->session;
    enum err e = locate(w, w->cmd->worker, r->session, &workspace);
    if (!e)
        e = session_open(w, workspace, r->session, &s);
    if (e == ERR_NOT_FOUND || (!e && s.s->attempt != r->attempt)) {
        ack->forget = true;
        return ERR_OK;
    }
    if (!e)
        e = session_output(w, &s, r->pieces, r->n_pieces, r->output_total);
    if (e)
        return e;
    ack->output_upto = s.s->output_upto;
    ack->ended = r->ended;
    if (!r->ended)
        return session_save(w, &s);
    s.s->prompt_tokens = r->prompt_tokens;
    s.s->completion_tokens = r->completion_tokens;
    if (s.s->output_total > s.s->output_upto)
        s.s->output_truncated = true;
    if (s.s->status != SESSION_RUNNING)
        return late_end(w, &s, r);
    struct ending end;
    ending_of(r, &end);
    s.s->reported = true;
    w->workspace = workspace;
    e = work_get(w, KIND_DESKTOP, workspace, s.s->desktop, &d, NULL);
    if (!e)
        w->actor = d->agent_name;
    else if (e != ERR_NOT_FOUND)
        return e;
    return life_end_session(w, &s, &end, false);
}

enum err cmd_work_report(struct work *w)
{
    const Wire__WorkReport *m = w->cmd->item->work_report;
    struct fault f;
    enum err e = check_work_report(m, &f);
    if (e)
        return work_fault(w, e, &f);
    Wire__ReportAck *ack = arena_alloc(w->arena, sizeof *ack);
    Wire__SessionAck *acks = arena_alloc(w->arena, (m->n_sessions + 1) * sizeof *acks);
    Wire__SessionAck **list = arena_alloc(w->arena, (m->n_sessions + 1) * sizeof *list);
    if (!ack || !acks || !list)
        return ERR_NO_MEMORY;
    *ack = (Wire__ReportAck)WIRE__REPORT_ACK__INIT;
    ack->sessions = list;
    for (size_t i = 0; i < m->n_sessions && !e; i++) {
        acks[i] = (Wire__SessionAck)WIRE__SESSION_ACK__INIT;
        list[ack->n_sessions++] = &acks[i];
        w->actor = "system";
        e = report(w, m->sessions[i], &acks[i]);
    }
    w->answer->body_case = WIRE__ANSWER__BODY_REPORT_ACK;
    w->answer->report_ack = ack;
    return e;
}
