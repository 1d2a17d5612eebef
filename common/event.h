// The rows of the event log and what each of the four views calls them (contract.md section 4). A row gives at most one
// frame in a view; NULL: that view does not show it. The order is stored: add at the end, never reuse.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "names.h"

//    row, entity it is about, activity stream, feed, activities, desktop stream
#define EVENT_ROWS(E) \
    E(TASK_CREATED,      TASK,     "task.created",      "task.created",         "task.created",        NULL) \
    E(TASK_EDITED,       TASK,     NULL,                "task.updated",         "task.updated",        NULL) \
    E(TASK_STARTED,      TASK,     "task.started",      "task.updated",         "task.status_changed", NULL) \
    E(TASK_COMPLETED,    TASK,     "task.completed",    "task.updated",         "task.status_changed", NULL) \
    E(TASK_REVIEW,       TASK,     "task.review",       "task.updated",         "task.status_changed", NULL) \
    E(TASK_FAILED,       TASK,     "task.failed",       "task.updated",         "task.status_changed", NULL) \
    E(TASK_CANCELLED,    TASK,     "task.cancelled",    "task.updated",         "task.status_changed", NULL) \
    E(TASK_RESET,        TASK,     NULL,                "task.updated",         "task.status_changed", NULL) \
    E(TASK_ASSIGNED,     TASK,     NULL,                "task.updated",         "task.assigned",       NULL) \
    E(TASK_DELETED,      TASK,     NULL,                "task.deleted",         "task.deleted",        NULL) \
    E(COMMENT_ADDED,     TASK,     NULL,                "task.commented",       "comment.added",       NULL) \
    E(APPROVAL_CREATED,  TASK,     "approval.created",  NULL,                   NULL,                  NULL) \
    E(APPROVAL_RESOLVED, TASK,     "approval.resolved", "task.reviewed",        NULL,                  NULL) \
    E(SESSION_STARTED,   SESSION,  NULL,                "session.started",      NULL,                  NULL) \
    E(SESSION_COMPLETED, SESSION,  NULL,                "session.completed",    NULL,                  NULL) \
    E(SESSION_FAILED,    SESSION,  NULL,                "session.failed",       NULL,                  NULL) \
    E(DESKTOP_RUNNING,   DESKTOP,  "desktop.started",   NULL,                   NULL,                  "desktop.status") \
    E(DESKTOP_STOPPED,   DESKTOP,  "desktop.stopped",   NULL,                   NULL,                  "desktop.status") \
    E(DESKTOP_ERROR,     DESKTOP,  "desktop.error",     NULL,                   NULL,                  "desktop.status") \
    E(DESKTOP_BOOTING,   DESKTOP,  NULL,                NULL,                   NULL,                  "desktop.status") \
    E(AGENT_READY,       DESKTOP,  NULL,                NULL,                   NULL,                  "desktop.agentReady") \
    E(AGENT_CREATED,     AGENT,    NULL,                NULL,                   "agent.created",       NULL) \
    E(AGENT_EDITED,      AGENT,    NULL,                NULL,                   "agent.updated",       NULL) \
    E(AGENT_STATUS,      AGENT,    NULL,                "agent.status_changed", "agent.status_changed", NULL) \
    E(ALERT,             SYSTEM,   NULL,                "system.alert",         NULL,                  NULL) \
    E(MAINTENANCE,       SYSTEM,   NULL,                "system.maintenance",   NULL,                  NULL) \
    E(USER_LOGIN,        USER,     NULL,                NULL,                   "user.login",          NULL) \
    E(WEBHOOK_FIRED,     WEBHOOK,  NULL,                NULL,                   "webhook.triggered",   NULL) \
    E(SETTINGS_UPDATED,  SYSTEM,   NULL,                NULL,                   "settings.updated",    NULL) \
    E(KEY_CREATED,       KEY,      NULL,                NULL,                   "key.created",         NULL) \
    E(KEY_REVOKED,       KEY,      NULL,                NULL,                   "key.revoked",         NULL) \
    E(USER_CREATED,      USER,     NULL,                NULL,                   "user.created",        NULL) \
    E(USER_UPDATED,      USER,     NULL,                NULL,                   "user.updated",        NULL) \
    E(USER_DELETED,      USER,     NULL,                NULL,                   "user.deleted",        NULL) \
    E(DESKTOP_CREATED,   DESKTOP,  NULL,                NULL,                   "desktop.created",     NULL) \
    E(DESKTOP_UPDATED,   DESKTOP,  NULL,                NULL,                   "desktop.updated",     NULL) \
    E(DESKTOP_DELETED,   DESKTOP,  NULL,                NULL,                   "desktop.deleted",     NULL) \
    E(WEBHOOK_CREATED,   WEBHOOK,  NULL,                NULL,                   "webhook.created",     NULL) \
    E(WEBHOOK_UPDATED,   WEBHOOK,  NULL,                NULL,                   "webhook.updated",     NULL) \
    E(WEBHOOK_DELETED,   WEBHOOK,  NULL,                NULL,                   "webhook.deleted",     NULL)

enum event_row {
    ROW_NONE,
#define E(row, entity, activity, feed, activities, desktops) ROW_##row,
    EVENT_ROWS(E)
#undef E
    ROW_COUNT
};

enum event_view { VIEW_ACTIVITY, VIEW_FEED, VIEW_ACTIVITIES, VIEW_DESKTOPS, VIEW_COUNT };

// The row's type in that view, or NULL: not shown (also for numbers outside the tables). Lent, for ever.
const char *event_type(unsigned row, enum event_view view);
// The kind of object a row is about.
enum entity event_entity(unsigned row);
// True where any row has this type in the view, so that "?types=" can tell a word it does not know (it matches nothing).
bool event_type_known(enum event_view view, const char *type);
