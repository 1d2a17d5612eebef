// One activity: what every row has, then `data` by the writer of the row's kind, then the object as it stands now. Which rows there are
// and what they are called is event.h's to say.
#include "shape_activity.h"
#include <string.h>
#include "event.h"
#include "event_json.h"
#include "json_put.h"
#include "names.h"

typedef void data_writer(struct json *j, const Wire__Row *r);

enum { FIELD_MAX = 128 };

// ---------------------------------------------------------------- data

static void text(struct json *j, const char *key, const char *s) // left out where there is none
{
    if (s && *s)
        json_put_cut(j, key, s, EVENT_TEXT_MAX);
}

static void number(struct json *j, const char *key, uint64_t n)
{
    if (n)
        json_put_u64(j, key, n);
}

static void task_created(struct json *j, const Wire__Row *r)
{
    json_put_cut(j, "title", r->title, EVENT_TEXT_MAX);
    if (r->task_type)
        json_put_str(j, "type", task_type_name(r->task_type));
    json_put_str(j, "priority", priority_name(r->priority));
    number(j, "desktop_id", r->desktop);
    number(j, "agent_id", r->agent);
    text(j, "assignee", r->assignee);
}

static void task_deleted(struct json *j, const Wire__Row *r)
{
    json_put_cut(j, "title", r->title, EVENT_TEXT_MAX);
    json_put_str(j, "status", event_status_word(r->status));
}

static void task_status(struct json *j, const Wire__Row *r)
{
    json_put_str(j, "from", event_status_word(r->old_status));
    json_put_str(j, "to", event_status_word(event_task_status(r)));
    if (r->failure) {
        json_put_str(j, "error_code", failure_name(r->failure));
        text(j, "error_message", r->failure_text);
    }
}

static void change(struct json *j, const char *field, const Wire__Row *r)
{
    json_put_str(j, "field", field);
    json_put_cut(j, "old_value", r->old_value, EVENT_TEXT_MAX);
    json_put_cut(j, "new_value", r->new_value, EVENT_TEXT_MAX);
}

static void edited(struct json *j, const Wire__Row *r)
{
    char field[FIELD_MAX];

    if (!*r->field)
        return;
    event_field_word(r->field, field, sizeof field);
    change(j, field, r);
}

static void task_assigned(struct json *j, const Wire__Row *r)
{
    change(j, "assignee", r);
    number(j, "desktop_id", r->desktop);
    number(j, "agent_id", r->agent);
}

static void comment(struct json *j, const Wire__Row *r)
{
    json_put_u64(j, "task_id", r->task);
    json_put_cut(j, "preview", r->text, EVENT_TEXT_MAX);
}

static void agent_created(struct json *j, const Wire__Row *r)
{
    json_put_cut(j, "name", r->name, EVENT_TEXT_MAX);
    text(j, "role", r->agent_role);
    number(j, "desktop_id", r->desktop);
}

static void agent_status(struct json *j, const Wire__Row *r)
{
    json_put_opt(j, "from", *r->old_value ? r->old_value : agent_status_name(r->old_status));
    json_put_opt(j, "to", *r->new_value ? r->new_value : agent_status_name(r->status));
    text(j, "error", r->error);
}

static void named(struct json *j, const Wire__Row *r)
{
    text(j, "name", r->name);
}

// From where, and how: also of one that failed.
static void login(struct json *j, const Wire__Row *r)
{
    named(j, r);
    text(j, "address", r->ip_address);
    text(j, "method", r->text);
}

// Keys, and users when they are made.
static void with_role(struct json *j, const Wire__Row *r)
{
    named(j, r);
    if (r->key_role)
        json_put_str(j, "role", role_name(r->key_role));
}

// What was delivered, or, with an error, given up.
static void webhook_fired(struct json *j, const Wire__Row *r)
{
    named(j, r);
    number(j, "delivery_id", r->delivery);
    number(j, "event_id", r->event);
    text(j, "event_type", r->event_type);
    json_put_str(j, "status", delivery_status_name(*r->error ? DELIVERY_FAILED : DELIVERY_DELIVERED));
    text(j, "error", r->error);
}

// One field; its values, unless they are secret.
static void named_edit(struct json *j, const Wire__Row *r)
{
    char field[FIELD_MAX];

    named(j, r);
    if (!*r->field)
        return;
    event_field_word(r->field, field, sizeof field);
    if (*r->old_value || *r->new_value)
        change(j, field, r);
    else
        json_put_str(j, "field", field);
}

static data_writer *const writers[ROW_COUNT] = {
    [ROW_TASK_CREATED] = task_created,
    [ROW_TASK_EDITED] = edited,
    [ROW_TASK_STARTED] = task_status,
    [ROW_TASK_COMPLETED] = task_status,
    [ROW_TASK_REVIEW] = task_status,
    [ROW_TASK_FAILED] = task_status,
    [ROW_TASK_CANCELLED] = task_status,
    [ROW_TASK_RESET] = task_status,
    [ROW_TASK_ASSIGNED] = task_assigned,
    [ROW_TASK_DELETED] = task_deleted,
    [ROW_COMMENT_ADDED] = comment,
    [ROW_AGENT_CREATED] = agent_created,
    [ROW_AGENT_EDITED] = named_edit,
    [ROW_AGENT_STATUS] = agent_status,
    [ROW_USER_LOGIN] = login,
    [ROW_USER_LOGIN_FAILED] = login,
    [ROW_USER_LOGOUT] = named,
    [ROW_WEBHOOK_FIRED] = webhook_fired,
    [ROW_SETTINGS_UPDATED] = edited,
    [ROW_KEY_CREATED] = with_role,
    [ROW_KEY_REVOKED] = with_role,
    [ROW_USER_CREATED] = with_role,
    [ROW_USER_UPDATED] = named_edit,
    [ROW_USER_DELETED] = named,
    [ROW_DESKTOP_CREATED] = named,
    [ROW_DESKTOP_UPDATED] = named_edit,
    [ROW_DESKTOP_DELETED] = named,
    [ROW_WEBHOOK_CREATED] = named,
    [ROW_WEBHOOK_UPDATED] = named_edit,
    [ROW_WEBHOOK_DELETED] = named,
    [ROW_WORKSPACE_CREATED] = named,
    [ROW_WORKER_CREATED] = named,
    [ROW_WORKER_DRAINED] = named,
};

// ---------------------------------------------------------------- the object

static void object(struct json *j, enum entity kind, uint64_t id, const Wire__AuditEntity *e)
{
    if (!e) {
        json_nil(j);
        return;
    }
    json_open(j, '{');
    json_put_str(j, "type", entity_name(kind));
    json_put_u64(j, "id", id);
    if (kind == ENTITY_TASK || kind == ENTITY_COMMENT)
        json_put_str(j, "title", e->title);
    else
        json_put_str(j, "name", e->name);
    if (kind == ENTITY_COMMENT)
        json_put_u64(j, "task_id", e->task);
    if (*e->role)
        json_put_str(j, "role", e->role);
    if (kind == ENTITY_TASK)
        json_put_str(j, "status", event_status_word(e->status));
    else if (kind == ENTITY_AGENT)
        json_put_str(j, "status", agent_status_name(e->status));
    else if (kind == ENTITY_DESKTOP)
        json_put_str(j, "status", desktop_status_name(e->status));
    json_close(j, '}');
}

bool shape_activity(struct json *j, const Wire__Row *r, const Wire__AuditEntity *e)
{
    const char *type = event_type(r->row, VIEW_ACTIVITIES);
    enum entity kind = event_audit_entity(r->row);
    uint64_t id = kind == ENTITY_COMMENT ? r->comment : r->entity;

    if (!type)
        return false;
    json_open(j, '{');
    json_put_u64(j, "id", r->number);
    json_put_str(j, "type", type);
    json_put_str(j, "actor", r->actor);
    json_put_str(j, "entity_type", entity_name(kind));
    json_put_u64(j, "entity_id", id);
    json_key(j, "data");
    json_open(j, '{');
    if (writers[r->row])
        writers[r->row](j, r);
    json_close(j, '}');
    json_key(j, "entity");
    object(j, kind, id, e);
    json_put_u64(j, "created_at", r->time_ms / 1000);
    json_close(j, '}');
    return true;
}

// ---------------------------------------------------------------- statistics

struct type_count {
    const char *type;
    uint64_t count;
};

// Several kinds of row are one type. Most first; of as many, by name.
static size_t count_types(const Wire__ActivityCounts *c, struct type_count out[ROW_COUNT])
{
    size_t n = 0;

    for (size_t i = 0; i < c->n_kinds; i++) {
        const char *type = event_type(c->kinds[i]->kind, VIEW_ACTIVITIES);
        size_t at = 0;
        if (!type)
            continue;
        while (at < n && strcmp(out[at].type, type) != 0)
            at++;
        if (at == n)
            out[n++] = (struct type_count){ type, 0 };
        out[at].count += c->kinds[i]->count;
    }
    for (size_t i = 1; i < n; i++) {
        struct type_count x = out[i];
        size_t at = i;
        for (; at > 0 && (out[at - 1].count < x.count || (out[at - 1].count == x.count && strcmp(out[at - 1].type, x.type) > 0)); at--)
            out[at] = out[at - 1];
        out[at] = x;
    }
    return n;
}

static void timeline(struct json *j, const Wire__ActivityCounts *c)
{
    enum { HOUR_S = 3600 };

    json_key(j, "timeline");
    json_open(j, '[');
    for (size_t i = 0; i < c->n_hours; i++) {
        uint64_t hour = c->hours[i]->hour;
        json_open(j, '{');
        json_put_u64(j, "timestamp", hour * HOUR_S);
        json_put_u64(j, "count", c->hours[i]->count);
        json_key(j, "hour");
        json_time(j, hour * HOUR_S * 1000);
        json_close(j, '}');
    }
    json_close(j, ']');
}

void shape_activity_counts(struct json *j, const Wire__ActivityCounts *c)
{
    struct type_count types[ROW_COUNT];
    size_t n = count_types(c, types);
    char window[32];
    struct buf b = { .data = (uint8_t *)window, .cap = sizeof window - 1, .max = sizeof window - 1 };

    buf_u64(&b, c->window);
    buf_puts(&b, " hours");
    window[b.len] = 0;
    json_open(j, '{');
    json_put_str(j, "timeframe", window);
    json_key(j, "activityByType");
    json_open(j, '[');
    for (size_t i = 0; i < n; i++) {
        json_open(j, '{');
        json_put_str(j, "type", types[i].type);
        json_put_u64(j, "count", types[i].count);
        json_close(j, '}');
    }
    json_close(j, ']');
    json_key(j, "topActors");
    json_open(j, '[');
    for (size_t i = 0; i < c->n_actors; i++) {
        json_open(j, '{');
        json_put_str(j, "actor", c->actors[i]->name);
        json_put_u64(j, "activity_count", c->actors[i]->count);
        json_close(j, '}');
    }
    json_close(j, ']');
    timeline(j, c);
    json_close(j, '}');
}
