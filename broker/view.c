#include "view.h"
#include "life.h"
#include "names.h"
#include "store_task.h"

// A new message in the arena, set to its initial value.
#define MAKE(v, type, INIT, ret)                          \
    type *ret = arena_alloc((v)->arena, sizeof(type));    \
    if (!ret)                                             \
        return ERR_NO_MEMORY;                             \
    *ret = (type)INIT

enum err view_workspace(struct view *v, uint64_t workspace, const Rec__Workspace **ret)
{
    if (!v->workspace || v->workspace->id != workspace) {
        enum err e = kind_get(v->txn, v->arena, KIND_WORKSPACE, workspace, workspace, &v->workspace);
        if (e)
            return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
    }
    *ret = v->workspace;
    return ERR_OK;
}

enum err view_needs_approval(struct view *v, const Rec__Task *t, bool *ret)
{
    const Rec__Workspace *ws;
    if (t->approval_frozen) {
        *ret = t->approval_frozen == 2;
        return ERR_OK;
    }
    enum err e = view_workspace(v, t->workspace, &ws);
    if (!e)
        *ret = t->wants_approval || ws->require_approval;
    return e;
}

static enum err waiting_for(struct view *v, const Rec__Task *t, uint32_t *ret)
{
    *ret = WAITING_NONE;
    if (!t->queued)
        return ERR_OK;
    if (!v->workers) {
        *ret = WAITING_WORKER;
        return ERR_OK;
    }
    if (!v->desktop || v->desktop->id != t->desktop) {
        enum err e = kind_get(v->txn, v->arena, KIND_DESKTOP, t->workspace, t->desktop, &v->desktop);
        if (e)
            return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
    }
    *ret = v->desktop->status == DESKTOP_RUNNING ? WAITING_SLOT : WAITING_DESKTOP;
    return ERR_OK;
}

enum err view_task(struct view *v, const Rec__Task *t, Wire__Task **ret)
{
    MAKE(v, Wire__Task, WIRE__TASK__INIT, o);
    bool needs;
    enum err e = task_content(v->txn, v->arena, t, &o->content);
    if (!e)
        e = view_needs_approval(v, t, &needs);
    if (!e)
        e = waiting_for(v, t, &o->waiting_for);
    if (e)
        return e;
    o->id = t->id;
    o->workspace = t->workspace;
    o->type = t->type;
    o->title = t->title;
    o->status = t->status;
    o->desktop = t->desktop;
    o->agent = t->agent;
    o->priority = t->priority;
    o->requires_approval = needs;
    o->timeout_s = t->timeout_s;
    o->retries = t->retries;
    o->attempt = t->attempt;
    o->created_by = t->created_by;
    o->created_ms = t->created_ms;
    o->started_ms = t->started_ms;
    o->completed_ms = t->completed_ms;
    o->has_exit = t->has_exit;
    o->exit_code = t->exit_code;
    o->failure = t->failure;
    o->failure_text = t->failure_text;
    o->output_bytes = t->output_bytes;
    o->output_truncated = t->output_truncated;
    o->session = t->session;
    o->approval = t->approval;
    if (t->session && t->status == TASK_RUNNING) { // it grows while it runs: the session knows
        Rec__Session *s;
        e = kind_get(v->txn, v->arena, KIND_SESSION, t->workspace, t->session, &s);
        if (e)
            return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
        o->output_bytes = s->output_total;
        o->output_truncated = s->output_truncated;
    }
    *ret = o;
    return ERR_OK;
}

enum err view_session(struct view *v, const Rec__Session *s, Wire__Session **ret)
{
    MAKE(v, Wire__Session, WIRE__SESSION__INIT, o);
    o->id = s->id;
    o->workspace = s->workspace;
    o->task = s->task;
    o->agent = s->agent;
    o->desktop = s->desktop;
    o->worker = s->worker;
    o->attempt = s->attempt;
    o->trigger = s->trigger;
    o->status = s->status;
    o->started_ms = s->started_ms;
    o->completed_ms = s->completed_ms;
    o->has_exit = s->has_exit;
    o->exit_code = s->exit_code;
    o->failure = s->failure;
    o->failure_text = s->failure_text;
    o->output_bytes = s->output_total;
    o->output_truncated = s->output_truncated;
    o->prompt_tokens = s->prompt_tokens;
    o->completion_tokens = s->completion_tokens;
    *ret = o;
    return ERR_OK;
}

enum err view_approval(struct view *v, const Rec__Approval *a, Wire__Approval **ret)
{
    MAKE(v, Wire__Approval, WIRE__APPROVAL__INIT, o);
    Rec__Task *t;
    o->id = a->id;
    o->workspace = a->workspace;
    o->task = a->task;
    o->status = a->status;
    o->created_ms = a->created_ms;
    o->resolved_ms = a->resolved_ms;
    o->decision = a->decision;
    o->feedback = a->feedback;
    o->resolved_by = a->resolved_by;
    *ret = o;
    enum err e = kind_get(v->txn, v->arena, KIND_TASK, a->workspace, a->task, &t);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e; // the task was deleted: the record of the decision stays
    o->task_type = t->type;
    o->task_desktop = t->desktop;
    return task_content(v->txn, v->arena, t, &o->task_content);
}

enum err view_desktop(struct view *v, const Rec__Desktop *d, Wire__Desktop **ret)
{
    MAKE(v, Wire__Desktop, WIRE__DESKTOP__INIT, o);
    struct counts c;
    enum err e = counts_read(v->txn, v->arena, d->workspace, d->id, &c);
    if (e)
        return e;
    o->id = d->id;
    o->workspace = d->workspace;
    o->name = d->name;
    o->driver = d->driver;
    o->address = d->address;
    o->status = d->status;
    o->agent_ready = d->agent_ready;
    o->ip_address = d->ip_address;
    o->pool = d->pool;
    o->labels = d->labels;
    o->n_labels = d->n_labels;
    o->max_tasks = d->max_tasks;
    o->agent = d->agent;
    o->agent_name = d->agent_name;
    o->agent_role = d->agent_role;
    o->start_command = d->start_command;
    o->stop_command = d->stop_command;
    o->host_key = d->host_key;
    o->created_ms = d->created_ms;
    o->error = d->error;
    o->active_tasks = (uint32_t)c.held;
    if (*d->chat_url) {
        MAKE(v, Wire__Chat, WIRE__CHAT__INIT, chat);
        chat->url = d->chat_url;
        chat->model = d->chat_model;
        chat->mode = d->chat_mode;
        chat->system_prompt = d->chat_prompt;
        chat->has_key = d->chat_key.len > 0;
        o->chat = chat;
    }
    *ret = o;
    return ERR_OK;
}

enum err view_key(struct view *v, const Rec__Key *k, Wire__Key **ret)
{
    MAKE(v, Wire__Key, WIRE__KEY__INIT, o);
    Rec__User *u;
    enum err e = kind_get(v->txn, v->arena, KIND_USER, k->workspace, k->user, &u);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
    o->id = k->id;
    o->name = k->name;
    o->role = k->role < u->role ? k->role : u->role;
    o->user = k->user;
    o->user_name = u->name;
    o->created_ms = k->created_ms;
    o->expires_ms = k->expires_ms;
    o->last4 = k->last4;
    o->last_used_ms = k->last_used_ms;
    *ret = o;
    return ERR_OK;
}

enum err view_credential(struct view *v, const Rec__Key *k, const Rec__User *u, Wire__Credential **ret)
{
    MAKE(v, Wire__Credential, WIRE__CREDENTIAL__INIT, o);
    o->key = k->id;
    o->workspace = k->workspace;
    o->user = u->id;
    o->user_name = u->name;
    o->role = k->role < u->role ? k->role : u->role;
    o->expires_ms = k->expires_ms;
    *ret = o;
    return ERR_OK;
}

enum err view_workspace_of(struct view *v, const Rec__Workspace *w, Wire__Workspace **ret)
{
    MAKE(v, Wire__Workspace, WIRE__WORKSPACE__INIT, o);
    o->id = w->id;
    o->name = w->name;
    o->created_ms = w->created_ms;
    *ret = o;
    return ERR_OK;
}

enum err view_user(struct view *v, const Rec__User *u, Wire__User **ret)
{
    MAKE(v, Wire__User, WIRE__USER__INIT, o);
    o->id = u->id;
    o->workspace = u->workspace;
    o->name = u->name;
    o->role = u->role;
    o->disabled = u->disabled;
    o->has_password = *u->password != 0;
    o->created_ms = u->created_ms;
    o->last_login_ms = u->last_login_ms;
    *ret = o;
    return ERR_OK;
}

enum err view_comment(struct view *v, const Rec__Comment *c, Wire__Comment **ret)
{
    MAKE(v, Wire__Comment, WIRE__COMMENT__INIT, o);
    o->id = c->id;
    o->workspace = c->workspace;
    o->task = c->task;
    o->author = c->author;
    o->content = c->content;
    o->created_ms = c->created_ms;
    *ret = o;
    return ERR_OK;
}

// Busy is ready with something to do; all the rest follows from the desktop.
static enum err agent_status(struct view *v, const Rec__Desktop *d, uint32_t *ret)
{
    struct counts c;
    *ret = life_agent_status((enum desktop_status)d->status, d->agent_ready);
    if (*ret != AGENT_IDLE)
        return ERR_OK;
    enum err e = counts_read(v->txn, v->arena, d->workspace, d->id, &c);
    if (!e && c.held)
        *ret = AGENT_BUSY;
    return e;
}

enum err view_agent(struct view *v, const Rec__Desktop *d, Wire__Agent **ret)
{
    MAKE(v, Wire__Agent, WIRE__AGENT__INIT, o);
    o->id = d->agent;
    o->workspace = d->workspace;
    o->name = d->agent_name;
    o->role = d->agent_role;
    o->desktop = d->id;
    o->created_ms = d->created_ms;
    *ret = o;
    return agent_status(v, d, &o->status);
}

// The sessions it holds: as many as it has slots, or a few more that are being ended.
static enum err held_by(struct view *v, uint64_t worker, uint32_t *ret)
{
    struct key prefix = { .n = 0 };
    struct cursor c;
    enum err e = cursor_open(&c, v->txn, DB_INDEX, key_u64(key_u8(&prefix, INDEX_SESSION_HELD), worker));
    if (e)
        return e;
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c))
        (*ret)++;
    e = c.err;
    cursor_close(&c);
    return e;
}

enum err view_worker(struct view *v, const Rec__Peer *p, Wire__Worker **ret)
{
    MAKE(v, Wire__Worker, WIRE__WORKER__INIT, o);
    o->id = p->id;
    o->name = p->name;
    o->connected = p->connected;
    o->slots = p->slots;
    o->draining = p->draining;
    o->last_seen_ms = p->seen_ms;
    o->version = p->version;
    *ret = o;
    return held_by(v, p->id, &o->running);
}

enum err view_webhook(struct view *v, const Rec__Webhook *h, Wire__Webhook **ret)
{
    MAKE(v, Wire__Webhook, WIRE__WEBHOOK__INIT, o);
    o->id = h->id;
    o->workspace = h->workspace;
    o->name = h->name;
    o->url = h->url;
    o->events = h->events;
    o->n_events = h->n_events;
    o->enabled = h->enabled;
    o->status = h->open ? WEBHOOK_OPEN : h->failures ? WEBHOOK_FAILING : WEBHOOK_OK;
    o->failures = h->failures;
    o->created_ms = h->created_ms;
    o->last_ms = h->last_ms;
    o->last_error = h->last_error;
    o->next_ms = h->event ? h->next_ms : 0;
    *ret = o;
    return ERR_OK;
}

enum err view_delivery(struct view *v, const Rec__Delivery *d, Wire__Delivery **ret)
{
    MAKE(v, Wire__Delivery, WIRE__DELIVERY__INIT, o);
    o->id = d->id;
    o->webhook = d->webhook;
    o->event = d->event;
    o->type = d->type;
    o->attempt = d->attempt;
    o->status = d->status;
    o->http_status = d->http_status;
    o->error = d->error;
    o->duration_ms = d->duration_ms;
    o->created_ms = d->created_ms;
    *ret = o;
    return ERR_OK;
}

enum err view_settings(struct view *v, const Rec__Workspace *w, Wire__Settings **ret)
{
    MAKE(v, Wire__Settings, WIRE__SETTINGS__INIT, o);
    o->require_approval = w->require_approval;
    o->cpu = w->cpu;
    o->memory = w->memory;
    o->disk = w->disk;
    o->retention_days = w->retention_days;
    o->default_timeout_s = w->default_timeout_s;
    *ret = o;
    return ERR_OK;
}
