// Objects out first, bodies in after. What is empty on the wire and optional in the API is null in JSON.
#include "shape.h"
#include <string.h>
#include "json_put.h"
#include "names.h"

// ---------------------------------------------------------------- objects out

static void exit_code(struct json *j, bool has, int32_t code)
{
    json_key(j, "exitCode");
    if (has)
        json_i64(j, code);
    else
        json_nil(j);
}

static void failure(struct json *j, unsigned code, const char *message)
{
    json_key(j, "error");
    if (!code) {
        json_nil(j);
        return;
    }
    json_open(j, '{');
    json_put_str(j, "code", failure_name(code));
    json_put_str(j, "message", message);
    json_close(j, '}');
}

void shape_task(struct json *j, const Wire__Task *t)
{
    json_open(j, '{');
    json_put_id(j, "id", ENTITY_TASK, t->id);
    json_put_str(j, "type", task_type_name(t->type));
    json_put_str(j, "title", t->title);
    json_put_str(j, "content", t->content);
    json_put_str(j, "status", task_status_name(t->status));
    json_put_id(j, "desktopId", ENTITY_DESKTOP, t->desktop);
    json_put_id(j, "agentId", ENTITY_AGENT, t->agent);
    json_put_str(j, "priority", priority_name(t->priority));
    json_put_bool(j, "requiresApproval", t->requires_approval);
    json_put_u64(j, "timeoutSeconds", t->timeout_s);
    json_put_u64(j, "retries", t->retries);
    json_put_u64(j, "attempt", t->attempt);
    json_put_opt(j, "createdBy", t->created_by);
    json_put_time(j, "createdAt", t->created_ms);
    json_put_time(j, "startedAt", t->started_ms);
    json_put_time(j, "completedAt", t->completed_ms);
    exit_code(j, t->has_exit, t->exit_code);
    failure(j, t->failure, t->failure_text);
    json_put_u64(j, "outputBytes", t->output_bytes);
    json_put_bool(j, "outputTruncated", t->output_truncated);
    json_put_id(j, "sessionId", ENTITY_SESSION, t->session);
    json_put_id(j, "approvalId", ENTITY_APPROVAL, t->approval);
    json_put_str(j, "waitingFor", waiting_name(t->waiting_for));
    json_close(j, '}');
}

void shape_session(struct json *j, const Wire__Session *s)
{
    json_open(j, '{');
    json_put_id(j, "id", ENTITY_SESSION, s->id);
    json_put_id(j, "taskId", ENTITY_TASK, s->task);
    json_put_id(j, "agentId", ENTITY_AGENT, s->agent);
    json_put_id(j, "desktopId", ENTITY_DESKTOP, s->desktop);
    json_put_id(j, "workerId", ENTITY_WORKER, s->worker);
    json_put_u64(j, "attempt", s->attempt);
    json_put_str(j, "trigger", trigger_name(s->trigger));
    json_put_str(j, "status", session_status_name(s->status));
    json_put_time(j, "startedAt", s->started_ms);
    json_put_time(j, "completedAt", s->completed_ms);
    json_key(j, "durationMs");
    if (s->completed_ms)
        json_u64(j, s->completed_ms > s->started_ms ? s->completed_ms - s->started_ms : 0);
    else
        json_nil(j);
    exit_code(j, s->has_exit, s->exit_code);
    failure(j, s->failure, s->failure_text);
    json_close(j, '}');
}

void shape_approval(struct json *j, const Wire__Approval *a)
{
    json_open(j, '{');
    json_put_id(j, "id", ENTITY_APPROVAL, a->id);
    json_put_id(j, "taskId", ENTITY_TASK, a->task);
    json_put_str(j, "status", approval_status_name(a->status));
    json_put_time(j, "createdAt", a->created_ms);
    json_put_time(j, "resolvedAt", a->resolved_ms);
    json_put_str(j, "decision", decision_name(a->decision));
    json_put_opt(j, "feedback", a->feedback);
    json_put_opt(j, "resolvedBy", a->resolved_by);
    json_key(j, "task");
    json_open(j, '{');
    json_put_id(j, "id", ENTITY_TASK, a->task);
    json_put_str(j, "type", task_type_name(a->task_type));
    json_put_str(j, "content", a->task_content);
    json_put_id(j, "desktopId", ENTITY_DESKTOP, a->task_desktop);
    json_close(j, '}');
    json_close(j, '}');
}

static void metrics(struct json *j, const Wire__Metrics *m)
{
    static const char *const keys[] = { "cpu", "memory", "disk" };
    const uint32_t values[] = { m ? m->cpu : 0, m ? m->memory : 0, m ? m->disk : 0 };

    for (unsigned i = 0; i < 3; i++) {
        if (m && m->probed_ms) {
            json_put_percent(j, keys[i], values[i]);
        } else {
            json_key(j, keys[i]);
            json_nil(j);
        }
    }
}

void shape_desktop(struct json *j, const Wire__Desktop *d)
{
    json_open(j, '{');
    json_put_id(j, "id", ENTITY_DESKTOP, d->id);
    json_put_str(j, "name", d->name);
    json_put_str(j, "driver", driver_name(d->driver));
    json_put_opt(j, "address", d->address);
    json_put_str(j, "status", desktop_status_name(d->status));
    json_put_bool(j, "agentReady", d->agent_ready);
    json_put_opt(j, "ipAddress", d->ip_address);
    metrics(j, d->metrics);
    json_put_opt(j, "pool", d->pool);
    json_key(j, "labels");
    json_open(j, '[');
    for (size_t i = 0; i < d->n_labels; i++)
        json_str(j, d->labels[i]);
    json_close(j, ']');
    json_put_u64(j, "maxTasks", d->max_tasks);
    json_put_id(j, "agentId", ENTITY_AGENT, d->agent);
    json_key(j, "chat");
    if (d->chat) {
        json_open(j, '{');
        json_put_str(j, "url", d->chat->url);
        json_put_opt(j, "model", d->chat->model);
        json_put_str(j, "mode", chat_mode_name(d->chat->mode));
        json_put_opt(j, "systemPrompt", d->chat->system_prompt);
        json_put_bool(j, "hasKey", d->chat->has_key);
        json_close(j, '}');
    } else {
        json_nil(j);
    }
    json_put_opt(j, "startCommand", d->start_command);
    json_put_opt(j, "stopCommand", d->stop_command);
    json_put_opt(j, "hostKey", d->host_key);
    json_put_time(j, "lastSeenAt", d->last_seen_ms);
    json_put_time(j, "createdAt", d->created_ms);
    json_put_opt(j, "error", d->error);
    json_close(j, '}');
}

void shape_settings(struct json *j, const Wire__Settings *s)
{
    json_open(j, '{');
    json_put_bool(j, "requireApproval", s->require_approval);
    json_key(j, "alertThresholds");
    json_open(j, '{');
    json_put_percent(j, "cpu", s->cpu);
    json_put_percent(j, "memory", s->memory);
    json_put_percent(j, "disk", s->disk);
    json_close(j, '}');
    json_put_u64(j, "retentionDays", s->retention_days);
    json_put_u64(j, "defaultTimeoutSeconds", s->default_timeout_s);
    json_close(j, '}');
}

static void usage(struct json *j, const char *key, uint64_t used, uint64_t total)
{
    json_key(j, key);
    json_open(j, '{');
    json_put_u64(j, "used", used);
    json_put_u64(j, "total", total);
    json_put_percent(j, "percent", total ? (used * 10000 + total / 2) / total : 0);
    json_close(j, '}');
}

void shape_overview(struct json *j, const Wire__Overview *o)
{
    json_open(j, '{');
    json_key(j, "tasks");
    json_open(j, '{');
    for (unsigned s = TASK_STATUS_NONE + 1; s < TASK_STATUS_COUNT; s++)
        json_put_u64(j, task_status_name(s), s < o->n_by_status ? o->by_status[s] : 0);
    json_close(j, '}');
    json_put_u64(j, "activeDesktops", o->active_desktops);
    json_key(j, "resources");
    json_open(j, '{');
    json_put_percent(j, "cpu", o->cpu);
    usage(j, "memory", o->memory_used_mib, o->memory_total_mib);
    usage(j, "disk", o->disk_used_mib, o->disk_total_mib);
    json_close(j, '}');
    json_key(j, "metrics");
    json_open(j, '{');
    json_put_percent(j, "completionRate24h", o->finished_24h ? (o->done_24h * 10000 + o->finished_24h / 2) / o->finished_24h : 0);
    json_key(j, "averageDurationSeconds");
    json_fixed(j, o->finished_24h ? (int64_t)(o->duration_sum_ms_24h / o->finished_24h) : 0, 3);
    json_close(j, '}');
    json_key(j, "desktops");
    json_open(j, '[');
    for (size_t i = 0; i < o->n_desktops; i++) {
        const Wire__Desktop *d = o->desktops[i];
        json_open(j, '{');
        json_put_id(j, "id", ENTITY_DESKTOP, d->id);
        json_put_str(j, "name", d->name);
        json_put_str(j, "status", desktop_status_name(d->status));
        metrics(j, d->metrics);
        json_close(j, '}');
    }
    json_close(j, ']');
    json_put_u64(j, "pendingApprovals", o->pending_approvals);
    json_put_u64(j, "workers", o->workers);
    json_close(j, '}');
}

void shape_key(struct json *j, const Wire__Key *k, const char *secret)
{
    json_open(j, '{');
    json_put_id(j, "id", ENTITY_KEY, k->id);
    json_put_str(j, "name", k->name);
    json_put_str(j, "role", role_name(k->role));
    json_put_id(j, "userId", ENTITY_USER, k->user);
    json_put_opt(j, "username", k->user_name);
    json_put_str(j, "last4", k->last4);
    json_put_time(j, "createdAt", k->created_ms);
    json_put_time(j, "expiresAt", k->expires_ms);
    json_put_time(j, "lastUsedAt", k->last_used_ms);
    if (secret)
        json_put_str(j, "key", secret);
    json_close(j, '}');
}

void shape_worker(struct json *j, const Wire__Worker *w, const char *key_file)
{
    json_open(j, '{');
    json_put_id(j, "id", ENTITY_WORKER, w->id);
    json_put_str(j, "name", w->name);
    json_put_bool(j, "connected", w->connected);
    json_put_u64(j, "slots", w->slots);
    json_put_u64(j, "running", w->running);
    json_put_bool(j, "draining", w->draining);
    json_put_time(j, "lastSeenAt", w->last_seen_ms);
    json_put_opt(j, "version", w->version);
    if (key_file)
        json_put_str(j, "key", key_file);
    json_close(j, '}');
}

void shape_webhook(struct json *j, const Wire__Webhook *h, const char *secret)
{
    json_open(j, '{');
    json_put_id(j, "id", ENTITY_WEBHOOK, h->id);
    json_put_str(j, "name", h->name);
    json_put_str(j, "url", h->url);
    json_key(j, "events");
    json_open(j, '[');
    for (size_t i = 0; i < h->n_events; i++)
        json_str(j, h->events[i]);
    json_close(j, ']');
    json_put_bool(j, "enabled", h->enabled);
    json_put_str(j, "status", webhook_status_name(h->status));
    json_put_u64(j, "failures", h->failures);
    json_put_time(j, "createdAt", h->created_ms);
    json_put_time(j, "lastDeliveryAt", h->last_ms);
    json_put_opt(j, "lastError", h->last_error);
    json_put_time(j, "nextAttemptAt", h->next_ms);
    if (secret)
        json_put_str(j, "secret", secret);
    json_close(j, '}');
}

void shape_delivery(struct json *j, const Wire__Delivery *d)
{
    json_open(j, '{');
    json_put_id(j, "id", ENTITY_DELIVERY, d->id);
    json_put_id(j, "eventId", ENTITY_EVENT, d->event);
    json_put_str(j, "type", d->type);
    json_put_u64(j, "attempt", d->attempt);
    json_put_str(j, "status", delivery_status_name(d->status));
    json_key(j, "httpStatus");
    if (d->http_status)
        json_u64(j, d->http_status);
    else
        json_nil(j);
    json_put_opt(j, "error", d->error);
    json_put_u64(j, "durationMs", d->duration_ms);
    json_put_time(j, "createdAt", d->created_ms);
    json_close(j, '}');
}

void shape_user(struct json *j, const Wire__Credential *c)
{
    json_open(j, '{');
    json_put_id(j, "id", ENTITY_USER, c->user);
    json_put_str(j, "username", c->user_name);
    json_put_str(j, "role", role_name(c->role));
    json_put_id(j, "workspaceId", ENTITY_WORKSPACE, c->workspace);
    json_close(j, '}');
}

void shape_person(struct json *j, const Wire__User *u)
{
    json_open(j, '{');
    json_put_id(j, "id", ENTITY_USER, u->id);
    json_put_str(j, "username", u->name);
    json_put_str(j, "role", role_name(u->role));
    json_put_bool(j, "disabled", u->disabled);
    json_put_bool(j, "hasPassword", u->has_password);
    json_put_time(j, "createdAt", u->created_ms);
    json_put_time(j, "lastLoginAt", u->last_login_ms);
    json_close(j, '}');
}

static void workspace(struct json *j, const Wire__Workspace *w)
{
    json_put_id(j, "id", ENTITY_WORKSPACE, w->id);
    json_put_str(j, "name", w->name);
    json_put_time(j, "createdAt", w->created_ms);
}

void shape_workspace(struct json *j, const Wire__Workspace *w)
{
    json_open(j, '{');
    workspace(j, w);
    json_close(j, '}');
}

void shape_workspace_made(struct json *j, const Wire__WorkspaceMade *w, const char *secret)
{
    json_open(j, '{');
    workspace(j, w->workspace);
    json_key(j, "admin");
    shape_person(j, w->admin);
    json_put_str(j, "key", secret);
    json_close(j, '}');
}

// ---------------------------------------------------------------- bodies in

#define TRY(call)               \
    do {                        \
        enum err e_ = (call);   \
        if (e_ != ERR_OK)       \
            return e_;          \
    } while (0)

static enum err refuse(struct fault *f, const char *field, const char *why)
{
    *f = (struct fault){ field, why };
    return ERR_INVALID_FIELD;
}

// protobuf-c has no const in its structs; what is packed is only read.
static char *lent(const char *s)
{
    char *p;
    memcpy(&p, &s, sizeof p);
    return p;
}

static enum err get_text(const json_t *o, const char *key, char **ret, bool *given, struct fault *f)
{
    const char *s = NULL;
    if (json_in_str(o, key, &s, given) != ERR_OK)
        return refuse(f, key, "It must be a string");
    if (s)
        *ret = lent(s);
    return ERR_OK;
}

// The empty string says "not given" on the wire, so it is refused here.
static enum err get_filled(const json_t *o, const char *key, char **ret, bool *given, struct fault *f)
{
    bool there = false;
    TRY(get_text(o, key, ret, &there, f));
    if (there && !**ret)
        return refuse(f, key, "It must not be empty");
    if (given)
        *given = there;
    return ERR_OK;
}

// A word that is none and a number that is out of range are handed on as UINT32_MAX: the check of the whole, which knows what is
// allowed, refuses that and says so.
static enum err get_word(const json_t *o, const char *key, unsigned (*find)(const char *), uint32_t *ret, bool *given,
                         struct fault *f)
{
    const char *s = NULL;
    if (json_in_str(o, key, &s, given) != ERR_OK)
        return refuse(f, key, "It must be a string");
    if (s && (*ret = find(s)) == 0)
        *ret = UINT32_MAX;
    return ERR_OK;
}

static enum err get_u32(const json_t *o, const char *key, uint32_t min, uint32_t *ret, bool *given, struct fault *f)
{
    uint64_t n = 0;
    bool there = false;
    if (json_in_uint(o, key, min, UINT32_MAX, &n, &there) != ERR_OK) {
        if (!json_is_integer(json_object_get(o, key)))
            return refuse(f, key, "It must be a whole number");
        n = UINT32_MAX;
    }
    if (there)
        *ret = (uint32_t)n;
    if (given)
        *given = there;
    return ERR_OK;
}

static enum err get_bool(const json_t *o, const char *key, bool *ret, bool *given, struct fault *f)
{
    return json_in_bool(o, key, ret, given) == ERR_OK ? ERR_OK : refuse(f, key, "It must be true or false");
}

static enum err get_desktop(const json_t *o, const char *key, uint64_t *ret, bool *given, struct fault *f)
{
    const char *s = NULL;
    if (json_in_str(o, key, &s, given) != ERR_OK)
        return refuse(f, key, "It must be a string");
    if (s && (*ret = id_parse(ENTITY_DESKTOP, s)) == 0) {
        *f = (struct fault){ key, "There is no such desktop" };
        return ERR_UNKNOWN_DESKTOP;
    }
    return ERR_OK;
}

// Percent with decimals, to hundredths.
static enum err get_percent(const json_t *o, const char *key, const char *field, uint32_t *ret, bool *given, struct fault *f)
{
    const json_t *m = json_object_get(o, key);

    *given = m && !json_is_null(m);
    if (!*given)
        return ERR_OK;
    double v = json_is_number(m) ? json_number_value(m) : 0;
    if (!(v > 0 && v <= 100))
        return refuse(f, field, "It must be a number above 0, up to 100");
    *ret = (uint32_t)(v * 100 + 0.5);
    return *ret ? ERR_OK : refuse(f, field, "It must be at least 0.01");
}

static unsigned find_type(const char *s) { return task_type_find(s); }
static unsigned find_priority(const char *s) { return priority_find(s); }
static unsigned find_decision(const char *s) { return decision_find(s); }
static unsigned find_role(const char *s) { return role_find(s); }
static unsigned find_driver(const char *s) { return driver_find(s); }

enum err shape_task_create(const json_t *o, Wire__TaskCreate *m, struct fault *f)
{
    bool approval = false, given = false;

    wire__task_create__init(m);
    TRY(get_word(o, "type", find_type, &m->type, NULL, f));
    TRY(get_text(o, "content", &m->content, NULL, f));
    TRY(get_desktop(o, "desktopId", &m->desktop, NULL, f));
    TRY(get_filled(o, "title", &m->title, NULL, f));
    TRY(get_word(o, "priority", find_priority, &m->priority, NULL, f));
    TRY(get_bool(o, "requiresApproval", &approval, &given, f));
    m->requires_approval = given ? (approval ? 2 : 1) : 0;
    TRY(get_u32(o, "timeoutSeconds", 1, &m->timeout_s, NULL, f));
    TRY(get_u32(o, "retries", 0, &m->retries, NULL, f));
    bool run = false;
    TRY(get_bool(o, "run", &run, NULL, f));
    m->run = run;
    return check_task_create(m, f);
}

enum err shape_task_edit(const json_t *o, uint64_t task, Wire__TaskEdit *m, struct fault *f)
{
    bool given = false, approval = false;

    wire__task_edit__init(m);
    m->id = task;
#define EDIT(bit, call)                 \
    do {                                \
        given = false;                  \
        TRY(call);                      \
        m->set |= given ? (uint32_t)(bit) : 0u; \
    } while (0)
    EDIT(EDIT_TITLE, get_filled(o, "title", &m->title, &given, f));
    EDIT(EDIT_PRIORITY, get_word(o, "priority", find_priority, &m->priority, &given, f));
    EDIT(EDIT_CONTENT, get_filled(o, "content", &m->content, &given, f));
    EDIT(EDIT_DESKTOP, get_desktop(o, "desktopId", &m->desktop, &given, f));
    EDIT(EDIT_APPROVAL, get_bool(o, "requiresApproval", &approval, &given, f));
    m->requires_approval = approval;
    EDIT(EDIT_TIMEOUT, get_u32(o, "timeoutSeconds", 1, &m->timeout_s, &given, f));
    EDIT(EDIT_RETRIES, get_u32(o, "retries", 0, &m->retries, &given, f));
    return check_task_edit(m, f);
}

enum err shape_resolve(const json_t *o, uint64_t task, uint64_t approval, Wire__Resolve *m, struct fault *f)
{
    wire__resolve__init(m);
    m->task = task;
    m->approval = approval;
    TRY(get_word(o, "decision", find_decision, &m->decision, NULL, f));
    TRY(get_text(o, "feedback", &m->feedback, NULL, f));
    return check_resolve(m, f);
}

enum err shape_key_create(const json_t *o, uint64_t now_ms, Wire__KeyCreate *m, struct fault *f)
{
    const char *expires = NULL;

    wire__key_create__init(m);
    TRY(get_text(o, "name", &m->name, NULL, f));
    TRY(get_word(o, "role", find_role, &m->role, NULL, f));
    if (json_in_str(o, "expiresAt", &expires, NULL) != ERR_OK)
        return refuse(f, "expiresAt", "It must be a string");
    if (expires) {
        m->expires_ms = time_parse(expires);
        if (!m->expires_ms)
            return refuse(f, "expiresAt", "It must be a time such as 2026-03-15T10:00:00Z");
        if (m->expires_ms <= now_ms)
            return refuse(f, "expiresAt", "It must lie in the future");
    }
    return ERR_OK; // check_key_create wants the hash too: api_key.c calls it once that is there
}

// Only its form: any octets but NUL. Whether it is good enough is password_rule.h's matter.
static enum err get_password(const json_t *o, const char *key, const char *field, const char **ret, struct fault *f)
{
    *ret = NULL;
    return json_in_str(o, key, ret, NULL) == ERR_OK ? ERR_OK : refuse(f, field, "It must be a string");
}

static enum err needed(const char *given, const char *field, const char *why, struct fault *f)
{
    if (given)
        return ERR_OK;
    *f = (struct fault){ field, why };
    return ERR_MISSING_FIELD;
}

enum err shape_sign_in(const json_t *o, const char **ret_name, const char **ret_password, struct fault *f)
{
    *ret_name = NULL;
    if (json_in_str(o, "username", ret_name, NULL) != ERR_OK)
        return refuse(f, "username", "It must be a string");
    TRY(get_password(o, "password", "password", ret_password, f));
    TRY(needed(*ret_name, "username", "username is needed", f));
    return needed(*ret_password, "password", "password is needed", f);
}

enum err shape_new_password(const json_t *o, const char **ret_current, const char **ret_fresh, struct fault *f)
{
    TRY(get_password(o, "currentPassword", "currentPassword", ret_current, f));
    TRY(get_password(o, "newPassword", "newPassword", ret_fresh, f));
    return needed(*ret_fresh, "newPassword", "newPassword is needed", f);
}

enum err shape_user_create(const json_t *o, Wire__UserPut *m, const char **ret_password, struct fault *f)
{
    wire__user_put__init(m);
    TRY(get_text(o, "username", &m->name, NULL, f));
    TRY(get_word(o, "role", find_role, &m->role, NULL, f));
    TRY(get_password(o, "password", "password", ret_password, f));
    return check_user_create(m, f);
}

enum err shape_user_edit(const json_t *o, uint64_t user, Wire__UserPut *m, const char **ret_password, struct fault *f)
{
    bool given = false, disabled = false;

    wire__user_put__init(m);
    m->id = user;
    EDIT(UEDIT_ROLE, get_word(o, "role", find_role, &m->role, &given, f));
    EDIT(UEDIT_DISABLED, get_bool(o, "disabled", &disabled, &given, f));
    m->disabled = disabled;
    TRY(get_password(o, "password", "password", ret_password, f));
    return check_user_edit(m, f);
}

enum err shape_workspace_create(const json_t *o, Wire__WorkspaceCreate *m, const char **ret_password, struct fault *f)
{
    const json_t *admin = json_object_get(o, "admin");
    const char *name = NULL;

    wire__workspace_create__init(m);
    *ret_password = NULL;
    TRY(get_text(o, "name", &m->name, NULL, f));
    if (admin && !json_is_null(admin) && !json_is_object(admin))
        return refuse(f, "admin", "It must be an object");
    if (admin && json_in_str(admin, "username", &name, NULL) != ERR_OK)
        return refuse(f, "admin.username", "It must be a string");
    if (name)
        m->admin_name = lent(name);
    return admin ? get_password(admin, "password", "admin.password", ret_password, f) : ERR_OK;
}

enum err shape_settings_put(const json_t *o, struct shape_settings_put *s, struct fault *f)
{
    Wire__SettingsPut *m = &s->m;
    const json_t *t = json_object_get(o, "alertThresholds");
    bool given = false, approval = false;

    wire__settings_put__init(m);
    wire__settings__init(&s->settings);
    m->settings = &s->settings;
    EDIT(SET_REQUIRE_APPROVAL, get_bool(o, "requireApproval", &approval, &given, f));
    s->settings.require_approval = approval;
    if (t && !json_is_null(t)) {
        if (!json_is_object(t))
            return refuse(f, "alertThresholds", "It must be an object");
        EDIT(SET_CPU, get_percent(t, "cpu", "alertThresholds.cpu", &s->settings.cpu, &given, f));
        EDIT(SET_MEMORY, get_percent(t, "memory", "alertThresholds.memory", &s->settings.memory, &given, f));
        EDIT(SET_DISK, get_percent(t, "disk", "alertThresholds.disk", &s->settings.disk, &given, f));
    }
    EDIT(SET_RETENTION, get_u32(o, "retentionDays", 1, &s->settings.retention_days, &given, f));
    EDIT(SET_TIMEOUT, get_u32(o, "defaultTimeoutSeconds", 1, &s->settings.default_timeout_s, &given, f));
    return check_settings_put(m, f);
}

static enum err get_labels(const json_t *o, struct shape_desktop_put *d, bool *given, struct fault *f)
{
    const json_t *a = json_object_get(o, "labels");

    *given = a && !json_is_null(a);
    if (!*given)
        return ERR_OK;
    if (!json_is_array(a))
        return refuse(f, "labels", "It must be an array of strings");
    if (json_array_size(a) > LABELS_MAX)
        return refuse(f, "labels", "There are too many");
    for (size_t i = 0; i < json_array_size(a); i++) {
        const json_t *s = json_array_get(a, i);
        if (!json_is_string(s))
            return refuse(f, "labels", "It must be an array of strings");
        d->labels[i] = lent(json_string_value(s));
    }
    d->m.n_labels = json_array_size(a);
    d->m.labels = d->labels;
    return ERR_OK;
}

static enum err chat_text(const json_t *c, const char *key, const char *field, char **ret, bool *given, struct fault *f)
{
    const char *s = NULL;
    bool there = false;
    if (json_in_str(c, key, &s, &there) != ERR_OK)
        return refuse(f, field, "It must be a string");
    if (s)
        *ret = lent(s);
    *given = *given || there;
    return ERR_OK;
}

// null takes the endpoint away. An object replaces it, and its key only where the key is given (null: takes it away).
static enum err get_chat(const json_t *o, struct shape_desktop_put *d, struct fault *f)
{
    const json_t *c = json_object_get(o, "chat"), *key;
    const char *s = NULL;
    bool endpoint = false;

    if (!c)
        return ERR_OK;
    if (json_is_null(c)) {
        d->m.clear_chat = true;
        d->m.set |= DEDIT_CHAT;
        return ERR_OK;
    }
    if (!json_is_object(c))
        return refuse(f, "chat", "It must be an object or null");
    wire__chat__init(&d->chat);
    TRY(chat_text(c, "url", "chat.url", &d->chat.url, &endpoint, f));
    TRY(chat_text(c, "model", "chat.model", &d->chat.model, &endpoint, f));
    TRY(chat_text(c, "systemPrompt", "chat.systemPrompt", &d->chat.system_prompt, &endpoint, f));
    bool mode = false;
    if (json_in_str(c, "mode", &s, &mode) != ERR_OK || (mode && (d->chat.mode = chat_mode_find(s)) == CHAT_MODE_NONE))
        return refuse(f, "chat.mode", "It must be agent or model");
    if (!mode)
        d->chat.mode = CHAT_AGENT;
    endpoint = endpoint || mode;
    key = json_object_get(c, "key");
    if (json_is_null(key)) {
        d->m.clear_chat_key = true;
        d->m.set |= DEDIT_CHAT_KEY;
    } else if (key) {
        if (!json_is_string(key) || !*json_string_value(key))
            return refuse(f, "chat.key", "It must be a string that is not empty, or null");
        d->m.chat_key = lent(json_string_value(key));
        d->m.set |= DEDIT_CHAT_KEY;
    }
    if (endpoint || !key) {
        d->m.chat = &d->chat;
        d->m.set |= DEDIT_CHAT;
    }
    return ERR_OK;
}

static enum err desktop_put(const json_t *o, struct shape_desktop_put *d, struct fault *f)
{
    Wire__DesktopPut *m = &d->m;
    bool given = false;

    wire__desktop_put__init(m);
    EDIT(DEDIT_NAME, get_filled(o, "name", &m->name, &given, f));
    EDIT(DEDIT_ADDRESS, get_text(o, "address", &m->address, &given, f));
    EDIT(DEDIT_POOL, get_text(o, "pool", &m->pool, &given, f));
    EDIT(DEDIT_LABELS, get_labels(o, d, &given, f));
    EDIT(DEDIT_MAX_TASKS, get_u32(o, "maxTasks", 1, &m->max_tasks, &given, f));
    EDIT(DEDIT_START, get_text(o, "startCommand", &m->start_command, &given, f));
    EDIT(DEDIT_STOP, get_text(o, "stopCommand", &m->stop_command, &given, f));
    EDIT(DEDIT_HOST_KEY, get_text(o, "hostKey", &m->host_key, &given, f));
    return get_chat(o, d, f);
}

static enum err get_events(const json_t *o, struct shape_webhook_put *s, bool *given, struct fault *f)
{
    const json_t *a = json_object_get(o, "events");

    *given = a && !json_is_null(a);
    if (!*given)
        return ERR_OK;
    if (!json_is_array(a))
        return refuse(f, "events", "It must be an array of strings");
    if (json_array_size(a) > WEBHOOK_EVENTS_MAX)
        return refuse(f, "events", "There are too many");
    for (size_t i = 0; i < json_array_size(a); i++) {
        const json_t *t = json_array_get(a, i);
        if (!json_is_string(t))
            return refuse(f, "events", "It must be an array of strings");
        s->events[i] = lent(json_string_value(t));
    }
    s->m.n_events = json_array_size(a);
    s->m.events = s->events;
    return ERR_OK;
}

static enum err webhook_put(const json_t *o, struct shape_webhook_put *s, struct fault *f)
{
    Wire__WebhookPut *m = &s->m;
    bool given = false, enabled = true;

    wire__webhook_put__init(m);
    EDIT(WEDIT_NAME, get_filled(o, "name", &m->name, &given, f));
    EDIT(WEDIT_URL, get_filled(o, "url", &m->url, &given, f));
    EDIT(WEDIT_EVENTS, get_events(o, s, &given, f));
    EDIT(WEDIT_ENABLED, get_bool(o, "enabled", &enabled, &given, f));
    EDIT(WEDIT_SECRET, get_filled(o, "secret", &m->secret, &given, f));
    m->enabled = enabled;
    return ERR_OK;
}
#undef EDIT

enum err shape_webhook_create(const json_t *o, struct shape_webhook_put *s, struct fault *f)
{
    static const char all[] = "*";

    TRY(webhook_put(o, s, f));
    if (!(s->m.set & WEDIT_EVENTS)) {
        s->events[0] = lent(all);
        s->m.events = s->events;
        s->m.n_events = 1;
    }
    s->m.set = 0;
    return check_webhook_create(&s->m, f);
}

enum err shape_webhook_edit(const json_t *o, uint64_t webhook, struct shape_webhook_put *s, struct fault *f)
{
    TRY(webhook_put(o, s, f));
    s->m.id = webhook;
    return check_webhook_edit(&s->m, f);
}

enum err shape_desktop_create(const json_t *o, struct shape_desktop_put *d, struct fault *f)
{
    TRY(desktop_put(o, d, f));
    TRY(get_word(o, "driver", find_driver, &d->m.driver, NULL, f));
    if (d->m.chat_key[0] && !d->m.chat)
        return refuse(f, "chat.url", "A key needs an endpoint");
    d->m.set = 0;
    d->m.clear_chat = d->m.clear_chat_key = false;
    return check_desktop_create(&d->m, f);
}

enum err shape_desktop_edit(const json_t *o, uint64_t desktop, struct shape_desktop_put *d, struct fault *f)
{
    bool given = false;
    uint32_t driver = 0;

    TRY(desktop_put(o, d, f));
    TRY(get_word(o, "driver", find_driver, &driver, &given, f));
    if (given)
        return refuse(f, "driver", "It cannot be changed: make another desktop");
    d->m.id = desktop;
    return check_desktop_edit(&d->m, f);
}

enum err shape_worker_add(const json_t *o, Wire__WorkerAdd *m, struct fault *f)
{
    wire__worker_add__init(m);
    m->peer = 2;
    return get_text(o, "name", &m->name, NULL, f); // check_worker_add wants the public key too: api_worker.c calls it
}
