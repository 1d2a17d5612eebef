// The rows of the event log and what each of the four views calls them (contract.md section 4). A row gives at most one
// frame in a view; NULL: that view does not show it. The order is stored: add at the end, never reuse.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "names.h"

//    row, entity it is about, severity, activity stream, feed, activities, desktop stream
#define EVENT_ROWS(E) \
    E(TASK_CREATED,      TASK,     INFO,     "task.created",      "task.created",         "task.created",        NULL) \
    E(TASK_EDITED,       TASK,     INFO,     NULL,                "task.updated",         "task.updated",        NULL) \
    E(TASK_STARTED,      TASK,     INFO,     "task.started",      "task.updated",         "task.status_changed", NULL) \
    E(TASK_COMPLETED,    TASK,     INFO,     "task.completed",    "task.updated",         "task.status_changed", NULL) \
    E(TASK_REVIEW,       TASK,     INFO,     "task.review",       "task.updated",         "task.status_changed", NULL) \
    E(TASK_FAILED,       TASK,     INFO,     "task.failed",       "task.updated",         "task.status_changed", NULL) \
    E(TASK_CANCELLED,    TASK,     INFO,     "task.cancelled",    "task.updated",         "task.status_changed", NULL) \
    E(TASK_RESET,        TASK,     INFO,     NULL,                "task.updated",         "task.status_changed", NULL) \
    E(TASK_ASSIGNED,     TASK,     INFO,     NULL,                "task.updated",         "task.assigned",       NULL) \
    E(TASK_DELETED,      TASK,     INFO,     NULL,                "task.deleted",         "task.deleted",        NULL) \
    E(COMMENT_ADDED,     TASK,     INFO,     NULL,                "task.commented",       "comment.added",       NULL) \
    E(APPROVAL_CREATED,  TASK,     INFO,     "approval.created",  NULL,                   NULL,                  NULL) \
    E(APPROVAL_RESOLVED, TASK,     INFO,     "approval.resolved", "task.reviewed",        NULL,                  NULL) \
    E(SESSION_STARTED,   SESSION,  INFO,     NULL,                "session.started",      NULL,                  NULL) \
    E(SESSION_COMPLETED, SESSION,  INFO,     NULL,                "session.completed",    NULL,                  NULL) \
    E(SESSION_FAILED,    SESSION,  CRITICAL, NULL,                "session.failed",       NULL,                  NULL) \
    E(DESKTOP_RUNNING,   DESKTOP,  INFO,     "desktop.started",   NULL,                   NULL,                  "desktop.status") \
    E(DESKTOP_STOPPED,   DESKTOP,  INFO,     "desktop.stopped",   NULL,                   NULL,                  "desktop.status") \
    E(DESKTOP_ERROR,     DESKTOP,  CRITICAL, "desktop.error",     NULL,                   NULL,                  "desktop.status") \
    E(DESKTOP_BOOTING,   DESKTOP,  INFO,     NULL,                NULL,                   NULL,                  "desktop.status") \
    E(AGENT_READY,       DESKTOP,  INFO,     NULL,                NULL,                   NULL,                  "desktop.agentReady") \
    E(AGENT_CREATED,     AGENT,    INFO,     NULL,                NULL,                   "agent.created",       NULL) \
    E(AGENT_EDITED,      AGENT,    INFO,     NULL,                NULL,                   "agent.updated",       NULL) \
    E(AGENT_STATUS,      AGENT,    WARNING,  NULL,                "agent.status_changed", "agent.status_changed", NULL) \
    E(ALERT,             SYSTEM,   CRITICAL, NULL,                "system.alert",         NULL,                  NULL) \
    E(MAINTENANCE,       SYSTEM,   INFO,     NULL,                "system.maintenance",   NULL,                  NULL) \
    E(USER_LOGIN,        USER,     INFO,     NULL,                NULL,                   "user.login",          NULL) \
    E(WEBHOOK_FIRED,     WEBHOOK,  INFO,     NULL,                NULL,                   "webhook.triggered",   NULL) \
    E(SETTINGS_UPDATED,  SYSTEM,   INFO,     NULL,                NULL,                   "settings.updated",    NULL) \
    E(KEY_CREATED,       KEY,      INFO,     NULL,                NULL,                   "key.created",         NULL) \
    E(KEY_REVOKED,       KEY,      INFO,     NULL,                NULL,                   "key.revoked",         NULL) \
    E(USER_CREATED,      USER,     INFO,     NULL,                NULL,                   "user.created",        NULL) \
    E(USER_UPDATED,      USER,     INFO,     NULL,                NULL,                   "user.updated",        NULL) \
    E(USER_DELETED,      USER,     INFO,     NULL,                NULL,                   "user.deleted",        NULL) \
    E(DESKTOP_CREATED,   DESKTOP,  INFO,     NULL,                NULL,                   "desktop.created",     NULL) \
    E(DESKTOP_UPDATED,   DESKTOP,  INFO,     NULL,                NULL,                   "desktop.updated",     NULL) \
    E(DESKTOP_DELETED,   DESKTOP,  INFO,     NULL,                NULL,                   "desktop.deleted",     NULL) \
    E(WEBHOOK_CREATED,   WEBHOOK,  INFO,     NULL,                NULL,                   "webhook.created",     NULL) \
    E(WEBHOOK_UPDATED,   WEBHOOK,  INFO,     NULL,                NULL,                   "webhook.updated",     NULL) \
    E(WEBHOOK_DELETED,   WEBHOOK,  INFO,     NULL,                NULL,                   "webhook.deleted",     NULL) \
    E(ALERT_NEAR,        SYSTEM,   WARNING,   NULL,                "system.alert",         NULL,                   NULL) \
    E(USER_LOGIN_FAILED, USER,     INFO,      NULL,                NULL,                   "user.login_failed",    NULL) \
    E(USER_LOGOUT,       USER,     INFO,      NULL,                NULL,                   "user.logout",          NULL) \
    E(WORKSPACE_CREATED, WORKSPACE, INFO,      NULL,                NULL,                   "workspace.created",    NULL) \
    E(WORKER_CREATED,    WORKER,   INFO,      NULL,                NULL,                   "worker.created",       NULL) \
    E(WORKER_DRAINED,    WORKER,   INFO,      NULL,                NULL,                   "worker.drained",       NULL)

enum event_row {
    ROW_NONE,
#define E(row, entity, severity, activity, feed, activities, desktops) ROW_##row,
    EVENT_ROWS(E)
#undef E
    ROW_COUNT
};

enum event_view { VIEW_ACTIVITY, VIEW_FEED, VIEW_ACTIVITIES, VIEW_DESKTOPS, VIEW_COUNT };

// The row's type in that view, or NULL: not shown (also for numbers outside the tables). Lent, for ever.
const char *event_type(unsigned row, enum event_view view);
// The kind of object a row is about.
enum entity event_entity(unsigned row);
// What a row is about in the audit trail: a comment where the streams say its task; otherwise event_entity().
enum entity event_audit_entity(unsigned row);
// How grave a row is: its kind says it (info: blue, warning: amber, critical: red; seeds/001). NONE for numbers outside the table.
enum severity event_severity(unsigned row);
// True where any row has this type in the view, so that "?types=" can tell a word it does not know (it matches nothing).
bool event_type_known(enum event_view view, const char *type);
