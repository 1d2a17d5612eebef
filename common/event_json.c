// feed_envelope() writes what the feed adds to every event, then the writer of the row's kind adds the payload. Which view shows a
// row, and under what type, is event.h's to say; what the payload holds is said here, once.
#include "event_json.h"
#include <stdarg.h>
#include <stdio.h>
#include "json_put.h"
#include "names.h"

typedef void payload_writer(struct json *j, const Wire__Row *r);

// ---- small pieces

static void text(struct json *j, const char *key, const char *s) // "" is null
{
    if (s && *s)
        json_put_cut(j, key, s, EVENT_TEXT_MAX);
    else
        json_put_nil(j, key);
}

static void whole_text(struct json *j, const char *key, const char *s) // "" stays ""
{
    json_put_cut(j, key, s, EVENT_TEXT_MAX);
}

// The feed's words for a task's states.
const char *event_status_word(uint32_t status)
{
    switch (status) {
    case TASK_PENDING: return "assigned";
    case TASK_RUNNING: return "in_progress";
    default: return task_status_name(status);
    }
}

// The state a row leaves its object in. The row's kind says it; `status` only where the kind leaves it open.
uint32_t event_task_status(const Wire__Row *r)
{
    switch (r->row) {
    case ROW_TASK_STARTED: return TASK_RUNNING;
    case ROW_TASK_COMPLETED: return TASK_DONE;
    case ROW_TASK_REVIEW: return TASK_REVIEW;
    case ROW_TASK_FAILED: return TASK_FAILED;
    case ROW_TASK_CANCELLED: return TASK_CANCELLED;
    case ROW_TASK_CREATED:
    case ROW_TASK_RESET: return TASK_PENDING;
    default: return r->status;
    }
}

static const char *desktop_status_of(const Wire__Row *r)
{
    switch (r->row) {
    case ROW_DESKTOP_RUNNING: return desktop_status_name(DESKTOP_RUNNING);
    case ROW_DESKTOP_STOPPED: return desktop_status_name(DESKTOP_STOPPED);
    case ROW_DESKTOP_ERROR: return desktop_status_name(DESKTOP_ERROR);
    default: return desktop_status_name(DESKTOP_BOOTING);
    }
}

static const char *approval_status_of(const Wire__Row *r)
{
    if (r->row == ROW_APPROVAL_CREATED)
        return approval_status_name(APPROVAL_PENDING);
    switch (r->decision) {
    case DECISION_APPROVE: return approval_status_name(APPROVAL_APPROVED);
    case DECISION_REJECT: return approval_status_name(APPROVAL_REJECTED);
    default: return approval_status_name(APPROVAL_CANCELLED);
    }
}

// ---- activity stream

static void activity_task(struct json *j, const Wire__Row *r)
{
    json_put_id(j, "taskId", ENTITY_TASK, r->task ? r->task : r->entity);
    json_put_id(j, "desktopId", ENTITY_DESKTOP, r->desktop);
    json_put_id(j, "agentId", ENTITY_AGENT, r->agent);
    whole_text(j, "title", r->title);
    json_put_str(j, "status", task_status_name(event_task_status(r)));
    json_put_time(j, "createdAt", r->created_ms);
    json_put_time(j, "startedAt", r->started_ms);
    json_put_time(j, "completedAt", r->completed_ms);
    json_key(j, "error");
    if (r->failure) {
        json_open(j, '{');
        json_put_str(j, "code", failure_name(r->failure));
        whole_text(j, "message", r->failure_text);
        json_close(j, '}');
    } else {
        json_nil(j);
    }
}

static void activity_approval(struct json *j, const Wire__Row *r)
{
    json_put_id(j, "approvalId", ENTITY_APPROVAL, r->approval);
    json_put_id(j, "taskId", ENTITY_TASK, r->task ? r->task : r->entity);
    json_put_id(j, "desktopId", ENTITY_DESKTOP, r->desktop);
    json_put_str(j, "status", approval_status_of(r));
    json_put_str(j, "decision", decision_name(r->decision));
    text(j, "resolvedBy", r->resolved_by);
}

static uint64_t desktop_of(const Wire__Row *r)
{
    return r->desktop ? r->desktop : r->entity;
}

static void activity_desktop(struct json *j, const Wire__Row *r)
{
    json_put_id(j, "desktopId", ENTITY_DESKTOP, desktop_of(r));
    whole_text(j, "name", r->name);
    json_put_str(j, "status", desktop_status_of(r));
    text(j, "error", r->error);
}

// ---- desktop stream

static void desktop_status(struct json *j, const Wire__Row *r)
{
    json_put_id(j, "id", ENTITY_DESKTOP, desktop_of(r));
    whole_text(j, "name", r->name);
    json_put_str(j, "status", desktop_status_of(r));
    text(j, "ipAddress", r->ip_address);
    event_json_metrics(j, r->metrics);
}

static void desktop_agent_ready(struct json *j, const Wire__Row *r)
{
    json_put_id(j, "id", ENTITY_DESKTOP, desktop_of(r));
    whole_text(j, "name", r->name);
}

// ---- feed

static uint64_t task_of(const Wire__Row *r)
{
    return r->task ? r->task : event_entity(r->row) == ENTITY_TASK ? r->entity : 0;
}

static uint64_t session_of(const Wire__Row *r)
{
    return r->session ? r->session : event_entity(r->row) == ENTITY_SESSION ? r->entity : 0;
}

static uint64_t agent_of(const Wire__Row *r)
{
    return r->agent ? r->agent : event_entity(r->row) == ENTITY_AGENT ? r->entity : 0;
}

static void feed_task_created(struct json *j, const Wire__Row *r)
{
    json_put_id(j, "task_id", ENTITY_TASK, task_of(r));
    whole_text(j, "title", r->title);
    text(j, "assignee", r->assignee);
    json_put_str(j, "priority", priority_name(r->priority));
}

static void feed_task_deleted(struct json *j, const Wire__Row *r)
{
    json_put_id(j, "task_id", ENTITY_TASK, task_of(r));
    whole_text(j, "title", r->title);
}

static void feed_task_status(struct json *j, const Wire__Row *r)
{
    json_put_id(j, "task_id", ENTITY_TASK, task_of(r));
    json_put_str(j, "field", "status");
    json_put_str(j, "old_value", event_status_word(r->old_status));
    json_put_str(j, "new_value", event_status_word(event_task_status(r)));
}

// The feed speaks snake_case, in values that are names of fields too: timeoutSeconds is timeout_seconds here.
void event_field_word(const char *name, char *out, size_t size)
{
    size_t n = 0;

    for (; *name && n + 2 < size; name++) {
        if (*name >= 'A' && *name <= 'Z') {
            out[n++] = '_';
            out[n++] = (char)(*name | 0x20);
        } else {
            out[n++] = *name;
        }
    }
    out[n] = 0;
}

static const char *or_empty(const char *s)
{
    return s ? s : "";
}

static void feed_task_edited(struct json *j, const Wire__Row *r)
{
    char field[64];

    event_field_word(or_empty(r->field), field, sizeof field);
    json_put_id(j, "task_id", ENTITY_TASK, task_of(r));
    text(j, "field", field);
    whole_text(j, "old_value", r->old_value);
    whole_text(j, "new_value", r->new_value);
}

static void feed_task_assigned(struct json *j, const Wire__Row *r)
{
    json_put_id(j, "task_id", ENTITY_TASK, task_of(r));
    json_put_str(j, "field", "assignee");
    text(j, "old_value", r->old_value);
    text(j, "new_value", r->new_value && *r->new_value ? r->new_value : r->assignee);
}

static void feed_task_commented(struct json *j, const Wire__Row *r)
{
    json_put_id(j, "task_id", ENTITY_TASK, task_of(r));
    json_put_id(j, "comment_id", ENTITY_COMMENT, r->comment);
    whole_text(j, "comment_preview", r->text);
    whole_text(j, "author", r->actor);
}

static void feed_task_reviewed(struct json *j, const Wire__Row *r)
{
    json_put_id(j, "task_id", ENTITY_TASK, task_of(r));
    json_put_str(j, "verdict", approval_status_of(r));
    text(j, "reviewer", r->resolved_by && *r->resolved_by ? r->resolved_by : r->actor);
    text(j, "feedback", r->feedback);
}

static void feed_session_ids(struct json *j, const Wire__Row *r)
{
    json_put_id(j, "session_id", ENTITY_SESSION, session_of(r));
    json_put_id(j, "task_id", ENTITY_TASK, task_of(r));
    json_put_id(j, "agent_id", ENTITY_AGENT, r->agent);
}

static void feed_session_started(struct json *j, const Wire__Row *r)
{
    feed_session_ids(j, r);
    json_put_str(j, "trigger", trigger_name(r->trigger));
}

static void feed_session_completed(struct json *j, const Wire__Row *r)
{
    feed_session_ids(j, r);
    json_put_str(j, "status", session_status_name(r->status));
    json_put_u64(j, "duration_ms", r->duration_ms);
}

static void feed_session_failed(struct json *j, const Wire__Row *r)
{
    feed_session_ids(j, r);
    json_put_str(j, "error_code", failure_name(r->failure));
    whole_text(j, "error_message", r->failure_text);
}

static void feed_agent_status(struct json *j, const Wire__Row *r)
{
    json_put_id(j, "agent_id", ENTITY_AGENT, agent_of(r));
    whole_text(j, "name", r->name);
    json_put_str(j, "previous_status", agent_status_name(r->old_status));
    json_put_str(j, "new_status", agent_status_name(r->status));
}

static void feed_alert(struct json *j, const Wire__Row *r)
{
    text(j, "alert_type", r->alert_type);
    json_put_str(j, "severity", severity_name(r->severity ? r->severity : event_severity(r->row)));
    json_put_percent(j, "value", r->value);
    json_put_percent(j, "threshold", r->threshold);
    json_put_id(j, "desktop_id", ENTITY_DESKTOP, r->desktop);
}

static void feed_maintenance(struct json *j, const Wire__Row *r)
{
    whole_text(j, "description", r->text);
    json_put_u64(j, "expected_duration_minutes", r->minutes);
}

// ---- what each row says in each view

static const struct {
    payload_writer *activity, *feed, *desktops;
} payloads[ROW_COUNT] = {
    [ROW_TASK_CREATED] = { activity_task, feed_task_created, NULL },
    [ROW_TASK_EDITED] = { NULL, feed_task_edited, NULL },
    [ROW_TASK_STARTED] = { activity_task, feed_task_status, NULL },
    [ROW_TASK_COMPLETED] = { activity_task, feed_task_status, NULL },
    [ROW_TASK_REVIEW] = { activity_task, feed_task_status, NULL },
    [ROW_TASK_FAILED] = { activity_task, feed_task_status, NULL },
    [ROW_TASK_CANCELLED] = { activity_task, feed_task_status, NULL },
    [ROW_TASK_RESET] = { NULL, feed_task_status, NULL },
    [ROW_TASK_ASSIGNED] = { NULL, feed_task_assigned, NULL },
    [ROW_TASK_DELETED] = { NULL, feed_task_deleted, NULL },
    [ROW_COMMENT_ADDED] = { NULL, feed_task_commented, NULL },
    [ROW_APPROVAL_CREATED] = { activity_approval, NULL, NULL },
    [ROW_APPROVAL_RESOLVED] = { activity_approval, feed_task_reviewed, NULL },
    [ROW_SESSION_STARTED] = { NULL, feed_session_started, NULL },
    [ROW_SESSION_COMPLETED] = { NULL, feed_session_completed, NULL },
    [ROW_SESSION_FAILED] = { NULL, feed_session_failed, NULL },
    [ROW_DESKTOP_RUNNING] = { activity_desktop, NULL, desktop_status },
    [ROW_DESKTOP_STOPPED] = { activity_desktop, NULL, desktop_status },
    [ROW_DESKTOP_ERROR] = { activity_desktop, NULL, desktop_status },
    [ROW_DESKTOP_BOOTING] = { NULL, NULL, desktop_status },
    [ROW_AGENT_READY] = { NULL, NULL, desktop_agent_ready },
    [ROW_AGENT_STATUS] = { NULL, feed_agent_status, NULL },
    [ROW_ALERT] = { NULL, feed_alert, NULL },
    [ROW_ALERT_NEAR] = { NULL, feed_alert, NULL },
    [ROW_MAINTENANCE] = { NULL, feed_maintenance, NULL },
};

static payload_writer *writer(unsigned row, enum event_view view)
{
    if (!event_type(row, view)) // also for numbers outside the table
        return NULL;
    switch (view) {
    case VIEW_ACTIVITY: return payloads[row].activity;
    case VIEW_FEED: return payloads[row].feed;
    case VIEW_DESKTOPS: return payloads[row].desktops;
    default: return NULL;
    }
}

// ---- the feed's summary: one sentence for people

// Long enough that a cut at EVENT_TEXT_MAX characters (4 octets each) always comes before the end of the room.
enum { SUMMARY_MAX = 4 * EVENT_TEXT_MAX + 256 };

__attribute__((format(printf, 2, 3))) static void say(char out[SUMMARY_MAX], const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(out, SUMMARY_MAX, fmt, ap);
    va_end(ap);
    if (n < 0)
        out[0] = 0;
}

static const char *or_unknown(const char *s)
{
    return s && *s ? s : "unknown";
}

static void summary(char out[SUMMARY_MAX], const Wire__Row *r)
{
    const char *title = or_empty(r->title);
    char field[64];

    switch (r->row) {
    case ROW_TASK_CREATED: say(out, "Task \"%s\" created", title); break;
    case ROW_TASK_EDITED:
        event_field_word(or_empty(r->field), field, sizeof field);
        for (char *c = field; *c; c++)
            *c = *c == '_' ? ' ' : *c;
        say(out, "Task \"%s\": %s changed", title, field);
        break;
    case ROW_TASK_STARTED: say(out, "Task \"%s\" started", title); break;
    case ROW_TASK_COMPLETED: say(out, "Task \"%s\" completed", title); break;
    case ROW_TASK_REVIEW: say(out, "Task \"%s\" waits for review", title); break;
    case ROW_TASK_FAILED: say(out, "Task \"%s\" failed", title); break;
    case ROW_TASK_CANCELLED: say(out, "Task \"%s\" cancelled", title); break;
    case ROW_TASK_RESET: say(out, "Task \"%s\" put back to be run again", title); break;
    case ROW_TASK_ASSIGNED:
        say(out, "Task \"%s\" assigned to %s", title,
            or_unknown(r->new_value && *r->new_value ? r->new_value : r->assignee));
        break;
    case ROW_TASK_DELETED: say(out, "Task \"%s\" deleted", title); break;
    case ROW_COMMENT_ADDED: say(out, "%s commented on task \"%s\"", or_unknown(r->actor), title); break;
    case ROW_APPROVAL_RESOLVED: say(out, "Task \"%s\" %s", title, approval_status_of(r)); break;
    case ROW_SESSION_STARTED: say(out, "Session started for task \"%s\"", title); break;
    case ROW_SESSION_COMPLETED:
        say(out, "Session of task \"%s\" %s", title, or_unknown(session_status_name(r->status)));
        break;
    case ROW_SESSION_FAILED: say(out, "Session of task \"%s\" failed: %s", title, or_empty(r->failure_text)); break;
    case ROW_AGENT_STATUS: say(out, "Agent %s is %s", or_empty(r->name), or_unknown(agent_status_name(r->status))); break;
    case ROW_ALERT_NEAR: say(out, "Warning: %s on %s is near its threshold", or_unknown(r->alert_type), or_unknown(r->name)); break;
    case ROW_ALERT: say(out, "Alert: %s on %s", or_unknown(r->alert_type), or_unknown(r->name)); break;
    case ROW_MAINTENANCE: say(out, "Maintenance: %s", or_empty(r->text)); break;
    default: say(out, "%s", or_unknown(event_type(r->row, VIEW_FEED))); break;
    }
}

static void feed_envelope(struct json *j, const Wire__Row *r)
{
    enum entity kind = event_entity(r->row);
    uint64_t n = kind == ENTITY_TASK ? task_of(r) : kind == ENTITY_SESSION ? session_of(r) : kind == ENTITY_AGENT ? agent_of(r) : 0;
    char sentence[SUMMARY_MAX];

    json_put_id(j, "entity_id", kind, n);
    json_put_str(j, "entity_type", entity_name(kind));
    json_put_id(j, "agent_id", ENTITY_AGENT, agent_of(r));
    json_put_str(j, "severity", severity_name(r->severity ? r->severity : event_severity(r->row)));
    summary(sentence, r);
    whole_text(j, "summary", sentence);
}

void event_json_metrics(struct json *j, const Wire__Metrics *m)
{
    bool known = m && m->probed_ms;
    const uint32_t value[] = { known ? m->cpu : 0, known ? m->memory : 0, known ? m->disk : 0 };
    static const char *const key[] = { "cpu", "memory", "disk" };

    for (unsigned i = 0; i < 3; i++) {
        if (known)
            json_put_percent(j, key[i], value[i]);
        else
            json_put_nil(j, key[i]);
    }
}

bool event_json(struct json *j, const Wire__Row *row, enum event_view view)
{
    payload_writer *write = writer(row->row, view);
    if (!write)
        return false;
    json_open(j, '{');
    json_put_id(j, "id", ENTITY_EVENT, row->number);
    json_put_str(j, "type", event_type(row->row, view));
    json_put_time(j, "timestamp", row->time_ms);
    if (view == VIEW_FEED)
        feed_envelope(j, row);
    json_key(j, "payload");
    json_open(j, '{');
    write(j, row);
    json_close(j, '}');
    json_close(j, '}');
    return true;
}
