// Commands on tasks and approvals.
#include <string.h>
#include "change.h"
#include "commands.h"
#include "crypto.h"
#include "life.h"

static char nothing[1];

// ---------------------------------------------------------------- helpers

// A refusal with the state in words.
static enum err wrong_state(struct work *w, const Rec__Task *t, enum err e)
{
    static const char *const text[TASK_STATUS_COUNT] = {
        [TASK_PENDING] = "The task is pending: it has not been run",
        [TASK_RUNNING] = "The task is running",
        [TASK_REVIEW] = "The task is in review: approve or reject it",
        [TASK_DONE] = "The task is done",
        [TASK_FAILED] = "The task has failed",
        [TASK_CANCELLED] = "The task is cancelled",
    };
    return work_refuse(w, e, NULL, e == ERR_BAD_STATE && t->status < TASK_STATUS_COUNT ? text[t->status] : NULL);
}

static enum err runnable(struct work *w, const Rec__Desktop *d, uint32_t type)
{
    if (d->status == DESKTOP_STOPPED)
        return work_refuse(w, ERR_DESKTOP_STOPPED, NULL, NULL);
    if (type == TYPE_PROMPT && !*d->chat_url)
        return work_refuse(w, ERR_NO_AGENT, NULL, NULL);
    return ERR_OK;
}

static enum err find_desktop(struct work *w, uint64_t id, Rec__Desktop **ret)
{
    enum err e = work_get(w, KIND_DESKTOP, w->workspace, id, ret, NULL);
    return e == ERR_NOT_FOUND ? work_refuse(w, ERR_UNKNOWN_DESKTOP, "desktopId", NULL) : e;
}

// The first line with anything on it, without control characters, at most TITLE_DEFAULT_CHARS characters.
static char *default_title(struct work *w, const char *content)
{
    const uint8_t *s = (const uint8_t *)content;
    while (*s && *s <= ' ')
        s++;
    char *out = arena_alloc(w->arena, TITLE_DEFAULT_CHARS * 4 + 8);
    size_t n = 0, chars = 0;
    if (!out)
        return nothing;
    while (*s && *s != '\n' && *s != '\r' && chars < TITLE_DEFAULT_CHARS) {
        bool c1 = *s == 0xc2 && s[1] < 0xa0;
        if (*s < 0x20 || *s == 0x7f || c1) {
            out[n++] = ' ';
            s += c1 ? 2 : 1;
        } else {
            do
                out[n++] = (char)*s++;
            while ((*s & 0xc0) == 0x80);
        }
        chars++;
    }
    while (n && out[n - 1] == ' ')
        n--;
    out[n] = 0;
    if (!n)
        memcpy(out, "(blank)", 8);
    return out;
}

// ---------------------------------------------------------------- create

static struct key idem_key(const struct work *w, const char *text)
{
    struct key k = { .n = 0 };
    uint8_t hash[HASH_SIZE];
    crypto_hash(hash, text, strlen(text));
    return *key_bytes(key_u64(&k, w->user), hash, HASH_SIZE);
}

// *ret_done: the key was used before, and this is the answer.
static enum err repeated(struct work *w, const Wire__TaskCreate *m, bool *ret_done)
{
    Rec__Outcome *o;
    struct key k = idem_key(w, m->idempotency_key);
    enum err e = rec_get(w->txn, w->arena, DB_IDEM, &k, &rec__outcome__descriptor, &o);
    *ret_done = false;
    if (e == ERR_NOT_FOUND || (!e && o->expires_log_ms <= w->log_ms))
        return ERR_OK;
    if (e)
        return e;
    *ret_done = true;
    if (o->body_hash.len != m->body_hash.len || memcmp(o->body_hash.data, m->body_hash.data, o->body_hash.len) != 0)
        return work_refuse(w, ERR_IDEMPOTENCY_MISMATCH, "Idempotency-Key", NULL);
    return cmd_answer_again(w, o);
}

static enum err remember(struct work *w, const Wire__TaskCreate *m, const Rec__Task *t)
{
    Rec__Outcome o = REC__OUTCOME__INIT;
    struct key k = idem_key(w, m->idempotency_key);
    o.answer = WIRE__ANSWER__BODY_TASK;
    o.id = t->id;
    o.workspace = t->workspace;
    o.body_hash = m->body_hash;
    o.expires_log_ms = w->log_ms + IDEM_KEPT_MS;
    return rec_put(w->txn, w->arena, DB_IDEM, &k, &o);
}

static enum err create(struct work *w, const Wire__TaskCreate *m, Rec__Desktop *d, uint32_t timeout_s, Rec__Task **ret)
{
    Rec__Task *t = arena_alloc(w->arena, sizeof *t);
    struct task_ref ref;
    Wire__Row row = WIRE__ROW__INIT;
    if (!t)
        return ERR_NO_MEMORY;
    *t = (Rec__Task)REC__TASK__INIT;
    t->type = m->type;
    t->title = *m->title ? m->title : default_title(w, m->content);
    t->status = TASK_PENDING;
    t->desktop = d->id;
    t->agent = d->agent;
    t->priority = m->priority ? m->priority : PRIORITY_MEDIUM;
    t->wants_approval = m->requires_approval == 2;
    t->timeout_s = m->timeout_s ? m->timeout_s : timeout_s;
    t->retries = m->retries;
    t->created_by = work_copy(w, w->actor, ROW_TEXT_MAX);
    enum err e = task_add(w, t, m->content);
    if (e)
        return e;
    ref.t = t;
    ref.old_status = 0;
    life_task_row(&ref, &row);
    row.assignee = d->agent_name;
    row.task_type = t->type;
    e = work_row(w, &row, ROW_TASK_CREATED);
    if (!e && *m->idempotency_key)
        e = remember(w, m, t);
    *ret = t;
    return e;
}

enum err cmd_task_create(struct work *w)
{
    const Wire__TaskCreate *m = w->cmd->item->task_create;
    const Rec__Workspace *ws;
    Rec__Desktop *d;
    Rec__Task *t;
    struct fault f;
    enum err e = check_task_create(m, &f);
    if (e)
        return work_fault(w, e, &f);
    if (*m->idempotency_key) {
        bool done;
        e = repeated(w, m, &done);
        if (e || done)
            return e;
    }
    e = find_desktop(w, m->desktop, &d);
    if (!e && m->run)
        e = runnable(w, d, m->type);
    if (!e)
        e = work_get(w, KIND_WORKSPACE, w->workspace, w->workspace, &ws, NULL);
    if (e)
        return e;
    e = create(w, m, d, ws->default_timeout_s, &t);
    if (!e && m->run) {
        struct task_ref ref;
        e = task_open(w, w->workspace, t->id, &ref);
        if (!e)
            e = life_step(w, &ref, EV_RUN, TRIGGER_MANUAL);
        t = ref.t;
    }
    return e ? e : answer_task(w, t);
}

// ---------------------------------------------------------------- edit

static void change_plain(struct changes *c, Rec__Task *t, const Wire__TaskEdit *m)
{
    if (m->set & EDIT_TITLE) {
        change_text(c, "title", t->title, m->title);
        c->row.title = t->title = m->title;
    }
    if (m->set & EDIT_PRIORITY) {
        change_word(c, "priority", priority_name(t->priority), priority_name(m->priority));
        c->row.priority = t->priority = m->priority;
    }
    if (m->set & EDIT_APPROVAL) {
        change_flag(c, "requiresApproval", t->wants_approval, m->requires_approval);
        t->wants_approval = m->requires_approval;
    }
    if (m->set & EDIT_TIMEOUT) {
        change_number(c, "timeoutSeconds", t->timeout_s, m->timeout_s);
        t->timeout_s = m->timeout_s;
    }
    if (m->set & EDIT_RETRIES) {
        change_number(c, "retries", t->retries, m->retries);
        t->retries = m->retries;
    }
}

// The row belongs to the agent the task goes to, and names both; two agents may have one name.
static void assign(struct changes *c, Rec__Task *t, const char *from, const Rec__Desktop *to)
{
    c->kind = ROW_TASK_ASSIGNED;
    c->row.desktop = t->desktop = to->id;
    c->row.agent = t->agent = to->agent;
    change_always(c, "assignee", from, to->agent_name);
    c->kind = ROW_TASK_EDITED;
}

enum err cmd_task_edit(struct work *w)
{
    const Wire__TaskEdit *m = w->cmd->item->task_edit;
    struct task_ref ref;
    struct fault f;
    Rec__Desktop *d = NULL, *from = NULL;
    char *content = NULL;
    enum err e = check_task_edit(m, &f);
    if (e)
        return work_fault(w, e, &f);
    e = task_open(w, w->workspace, m->id, &ref);
    if (e)
        return e;
    if (ref.t->status != TASK_PENDING && (m->set & ~(unsigned)(EDIT_TITLE | EDIT_PRIORITY)))
        return wrong_state(w, ref.t, ERR_BAD_STATE);
    if (m->set & EDIT_DESKTOP)
        e = find_desktop(w, m->desktop, &d);
    if (!e && d)
        e = find_desktop(w, ref.t->desktop, &from);
    if (!e && (m->set & EDIT_CONTENT))
        e = task_content(w->txn, w->arena, ref.t, &content);
    if (e)
        return e;

    struct changes c = change_begin(w, ROW_TASK_EDITED);
    life_task_row(&ref, &c.row);
    change_plain(&c, ref.t, m);
    if (d && d->id != ref.t->desktop)
        assign(&c, ref.t, from->agent_name, d);
    if (content && !c.err) {
        change_text(&c, "content", content, m->content);
        if (!c.err)
            c.err = task_set_content(w, &ref, m->content);
    }
    e = c.err ? c.err : task_save(w, &ref);
    return e ? e : answer_task(w, ref.t);
}

// ---------------------------------------------------------------- run, cancel, retry, delete

enum err cmd_task_run(struct work *w)
{
    struct task_ref ref;
    Rec__Desktop *d;
    enum err e = task_open(w, w->workspace, w->cmd->item->task_run->id, &ref);
    if (e)
        return e;
    if (ref.t->status != TASK_PENDING)
        return wrong_state(w, ref.t, ERR_BAD_STATE);
    e = find_desktop(w, ref.t->desktop, &d);
    if (!e)
        e = runnable(w, d, ref.t->type);
    if (!e)
        e = life_step(w, &ref, EV_RUN, TRIGGER_MANUAL);
    return e ? e : answer_task(w, ref.t);
}

static enum err simple_step(struct work *w, uint64_t id, enum task_event ev)
{
    struct task_ref ref;
    enum err e = task_open(w, w->workspace, id, &ref);
    if (e)
        return e;
    e = life_step(w, &ref, ev, TRIGGER_NONE);
    if (e)
        return wrong_state(w, ref.t, e);
    return answer_task(w, ref.t);
}

enum err cmd_task_cancel(struct work *w)
{
    return simple_step(w, w->cmd->item->task_cancel->id, EV_CANCEL);
}

enum err cmd_task_retry(struct work *w)
{
    struct task_ref ref = { .t = NULL };
    Rec__Desktop *d;
    enum err e = task_open(w, w->workspace, w->cmd->item->task_retry->id, &ref);
    if (!e && ref.t->status >= TASK_DONE)
        e = work_get(w, KIND_DESKTOP, w->workspace, ref.t->desktop, &d, NULL);
    if (e == ERR_NOT_FOUND && ref.t)
        return work_refuse(w, ERR_BAD_STATE, NULL, "The task's desktop was deleted: create the task anew for another one");
    return e ? e : simple_step(w, ref.t->id, EV_RETRY);
}

enum err cmd_task_delete(struct work *w)
{
    struct task_ref ref;
    Wire__Row row = WIRE__ROW__INIT;
    enum err e = task_open(w, w->workspace, w->cmd->item->task_delete->id, &ref);
    if (e)
        return e;
    if (ref.t->status == TASK_RUNNING)
        return wrong_state(w, ref.t, ERR_BAD_STATE);
    life_task_row(&ref, &row);
    if (ref.t->status == TASK_REVIEW)
        e = life_close_approval(w, ref.t);
    if (!e)
        e = task_remove(w, &ref);
    return e ? e : work_row(w, &row, ROW_TASK_DELETED);
}

// ---------------------------------------------------------------- review, resolve: one operation

static enum err decide(struct work *w, const Wire__Resolve *m, struct task_ref *ref, Rec__Approval *a, const struct index_entries *old)
{
    bool yes = m->decision == DECISION_APPROVE;
    Wire__Row row = WIRE__ROW__INIT;
    a->status = yes ? APPROVAL_APPROVED : APPROVAL_REJECTED;
    a->decision = m->decision;
    a->feedback = m->feedback;
    a->resolved_ms = w->now_ms;
    a->resolved_by = work_copy(w, w->actor, ROW_TEXT_MAX);
    life_task_row(ref, &row);
    row.approval = a->id;
    row.status = a->status;
    row.decision = a->decision;
    row.resolved_by = a->resolved_by;
    row.feedback = work_copy(w, m->feedback, ROW_TEXT_MAX);
    enum err e = work_row(w, &row, ROW_APPROVAL_RESOLVED);
    if (!e)
        e = work_put(w, KIND_APPROVAL, old, a);
    if (!e)
        e = approval_count(w, w->workspace, -1);
    if (!yes) {
        ref->t->failure = FAILURE_REJECTED;
        ref->t->failure_text = row.feedback;
    }
    return e ? e : life_step(w, ref, yes ? EV_APPROVE : EV_REJECT, TRIGGER_NONE);
}

enum err cmd_resolve(struct work *w)
{
    const Wire__Resolve *m = w->cmd->item->resolve;
    struct task_ref ref;
    Rec__Approval *a = NULL;
    struct index_entries old;
    struct fault f;
    enum err e;
    uint64_t task = m->task;
    if (!task) {
        e = work_get(w, KIND_APPROVAL, w->workspace, m->approval, &a, &old);
        if (e)
            return e;
        task = a->task;
    }
    e = task_open(w, w->workspace, task, &ref);
    if (e && !(a && e == ERR_NOT_FOUND))
        return e;
    enum err bad = check_resolve(m, &f);
    if (bad)
        return work_fault(w, bad, &f);
    if (e || (a && (a->status != APPROVAL_PENDING || ref.t->approval != a->id)))
        return work_refuse(w, ERR_BAD_STATE, NULL, "The approval is not pending any more");
    if (ref.t->status != TASK_REVIEW)
        return wrong_state(w, ref.t, ERR_BAD_STATE);
    if (!a) {
        e = work_get(w, KIND_APPROVAL, w->workspace, ref.t->approval, &a, &old);
        if (e)
            return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
    }
    e = decide(w, m, &ref, a, &old);
    if (e)
        return e;
    return m->task ? answer_task(w, ref.t) : answer_approval(w, a);
}
