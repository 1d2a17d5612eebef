// What is empty on the wire and optional in the API is null in JSON.
#include "shape.h"
#include "json_put.h"
#include "names.h"

static void exit_code(struct json *j, bool has, int32_t code)
{
    json_key(j, "exitCode");
    if (has)
        json_i64(j, code);
    else
        json_nil(j);
}

static void texts(struct json *j, const char *key, char *const *at, size_t n)
{
    json_key(j, key);
    json_open(j, '[');
    for (size_t i = 0; i < n; i++)
        json_str(j, at[i]);
    json_close(j, ']');
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

static void chat(struct json *j, const Wire__Chat *c)
{
    json_key(j, "chat");
    if (!c) {
        json_nil(j);
        return;
    }
    json_open(j, '{');
    json_put_str(j, "url", c->url);
    json_put_opt(j, "model", c->model);
    json_put_str(j, "mode", chat_mode_name(c->mode));
    json_put_opt(j, "systemPrompt", c->system_prompt);
    json_put_bool(j, "hasKey", c->has_key);
    json_close(j, '}');
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
    texts(j, "labels", d->labels, d->n_labels);
    json_put_u64(j, "maxTasks", d->max_tasks);
    json_put_id(j, "agentId", ENTITY_AGENT, d->agent);
    chat(j, d->chat);
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

static void resources(struct json *j, const Wire__Overview *o)
{
    json_key(j, "resources");
    json_open(j, '{');
    json_put_percent(j, "cpu", o->cpu);
    usage(j, "memory", o->memory_used_mib, o->memory_total_mib);
    usage(j, "disk", o->disk_used_mib, o->disk_total_mib);
    json_close(j, '}');
}

static void last_day(struct json *j, const Wire__Overview *o)
{
    json_key(j, "metrics");
    json_open(j, '{');
    json_put_percent(j, "completionRate24h", o->finished_24h ? (o->done_24h * 10000 + o->finished_24h / 2) / o->finished_24h : 0);
    json_key(j, "averageDurationSeconds");
    json_fixed(j, o->finished_24h ? (int64_t)(o->duration_sum_ms_24h / o->finished_24h) : 0, 3);
    json_close(j, '}');
}

static void desktop_of_overview(struct json *j, const Wire__Desktop *d)
{
    json_open(j, '{');
    json_put_id(j, "id", ENTITY_DESKTOP, d->id);
    json_put_str(j, "name", d->name);
    json_put_str(j, "status", desktop_status_name(d->status));
    metrics(j, d->metrics);
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
    resources(j, o);
    last_day(j, o);
    json_key(j, "desktops");
    json_open(j, '[');
    for (size_t i = 0; i < o->n_desktops; i++)
        desktop_of_overview(j, o->desktops[i]);
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
    texts(j, "events", h->events, h->n_events);
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
