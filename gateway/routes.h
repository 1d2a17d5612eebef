// The public surface on one page, and what every request goes through before its handler.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "exchange.h"

struct figures;

#define MC "/api/mission-control/"
// Paths, methods, roles and bodies as contract.md section 3 has them. Role NONE: open to everybody. Body OPTIONAL: a POST that
// needs none. The three stream handlers only mark their rows: the hub serves those (routes.c).
#define ROUTES(R) \
    /* method, least role, body, cost, what :id names, path, handler */ \
    R(GET,    NONE,     NONE,     0, NONE,     "/healthz",                         api_health) \
    R(GET,    NONE,     NONE,     0, NONE,     "/readyz",                          api_ready) \
    R(GET,    NONE,     NONE,     1, NONE,     "/api/openapi.json",                api_openapi) \
    R(GET,    VIEWER,   NONE,     1, NONE,     "/metrics",                         api_prometheus) \
    R(GET,    VIEWER,   NONE,     1, NONE,     MC "tasks",                         api_task_list) \
    R(POST,   OPERATOR, JSON,     1, NONE,     MC "tasks",                         api_task_create) \
    R(GET,    VIEWER,   NONE,     1, TASK,     MC "tasks/:id",                     api_task_get) \
    R(PATCH,  OPERATOR, JSON,     1, TASK,     MC "tasks/:id",                     api_task_edit) \
    R(DELETE, OPERATOR, NONE,     1, TASK,     MC "tasks/:id",                     api_task_delete) \
    R(POST,   OPERATOR, OPTIONAL, 1, TASK,     MC "tasks/:id/run",                 api_task_run) \
    R(POST,   OPERATOR, JSON,     1, TASK,     MC "tasks/:id/review",              api_task_review) \
    R(POST,   OPERATOR, OPTIONAL, 1, TASK,     MC "tasks/:id/cancel",              api_task_cancel) \
    R(POST,   OPERATOR, OPTIONAL, 1, TASK,     MC "tasks/:id/retry",               api_task_retry) \
    R(GET,    VIEWER,   NONE,     1, TASK,     MC "tasks/:id/output",              api_task_output) \
    R(GET,    VIEWER,   NONE,     1, TASK,     MC "tasks/:id/sessions",            api_session_of_task) \
    R(GET,    VIEWER,   NONE,     1, TASK,     MC "tasks/:id/comments",            api_comment_list) \
    R(POST,   OPERATOR, JSON,     1, TASK,     MC "tasks/:id/comments",            api_comment_add) \
    R(GET,    VIEWER,   NONE,     1, NONE,     MC "sessions",                      api_session_list) \
    R(GET,    VIEWER,   NONE,     1, SESSION,  MC "sessions/:id",                  api_session_get) \
    R(GET,    VIEWER,   NONE,     1, NONE,     MC "approvals",                     api_approval_list) \
    R(GET,    VIEWER,   NONE,     1, APPROVAL, MC "approvals/:id",                 api_approval_get) \
    R(POST,   OPERATOR, JSON,     1, APPROVAL, MC "approvals/:id/resolve",         api_approval_resolve) \
    R(GET,    VIEWER,   NONE,     1, NONE,     MC "overview",                      api_overview) \
    R(GET,    VIEWER,   NONE,     1, NONE,     MC "settings",                      api_settings_get) \
    R(PUT,    ADMIN,    JSON,     1, NONE,     MC "settings",                      api_settings_put) \
    R(POST,   ADMIN,    JSON,     1, NONE,     MC "maintenance",                   api_maintenance) \
    R(GET,    VIEWER,   NONE,     1, NONE,     MC "events",                        api_event_list) \
    R(GET,    VIEWER,   NONE,     1, NONE,     "/api/activities",                  api_activities) \
    R(GET,    VIEWER,   NONE,     1, NONE,     MC "activity/stream",               stream_activity) \
    R(GET,    VIEWER,   NONE,     1, NONE,     MC "stream",                        stream_feed) \
    R(GET,    VIEWER,   NONE,     1, NONE,     "/api/desktops",                    api_desktop_list) \
    R(POST,   ADMIN,    JSON,     1, NONE,     "/api/desktops",                    api_desktop_create) \
    R(GET,    VIEWER,   NONE,     1, NONE,     "/api/desktops/stream",             stream_desktops) \
    R(GET,    VIEWER,   NONE,     1, DESKTOP,  "/api/desktops/:id",                api_desktop_get) \
    R(PATCH,  ADMIN,    JSON,     1, DESKTOP,  "/api/desktops/:id",                api_desktop_edit) \
    R(DELETE, ADMIN,    NONE,     1, DESKTOP,  "/api/desktops/:id",                api_desktop_delete) \
    R(POST,   OPERATOR, OPTIONAL, 1, DESKTOP,  "/api/desktops/:id/start",          api_desktop_start) \
    R(POST,   OPERATOR, OPTIONAL, 1, DESKTOP,  "/api/desktops/:id/stop",           api_desktop_stop) \
    R(POST,   OPERATOR, OPTIONAL, 1, DESKTOP,  "/api/desktops/:id/restart",        api_desktop_restart) \
    R(GET,    VIEWER,   NONE,     1, DESKTOP,  "/api/desktops/:id/metrics",        api_desktop_metrics) \
    R(GET,    VIEWER,   NONE,     1, NONE,     "/api/agents",                      api_agent_list) \
    R(GET,    VIEWER,   NONE,     1, AGENT,    "/api/agents/:id",                  api_agent_get) \
    R(PATCH,  ADMIN,    JSON,     1, AGENT,    "/api/agents/:id",                  api_agent_edit) \
    R(POST,   NONE,     JSON,     10, NONE,    "/api/auth/login",                  api_auth_login) \
    R(POST,   VIEWER,   OPTIONAL, 1, NONE,     "/api/auth/logout",                 api_auth_logout) \
    R(POST,   VIEWER,   JSON,     1, NONE,     "/api/auth/password",               api_auth_password) \
    R(GET,    VIEWER,   NONE,     1, NONE,     "/api/auth/me",                     api_key_me) \
    R(GET,    VIEWER,   NONE,     1, NONE,     "/api/auth/api-keys",               api_key_list) \
    R(POST,   VIEWER,   JSON,     1, NONE,     "/api/auth/api-keys",               api_key_create) \
    R(DELETE, VIEWER,   NONE,     1, KEY,      "/api/auth/api-keys/:id",           api_key_delete) \
    R(POST,   ADMIN,    OPTIONAL, 1, WORKER,   "/api/workers/:id/drain",           api_worker_drain) \
    R(GET,    ADMIN,    NONE,     1, NONE,     "/api/users",                       api_user_list) \
    R(POST,   ADMIN,    JSON,     1, NONE,     "/api/users",                       api_user_create) \
    R(PATCH,  ADMIN,    JSON,     1, USER,     "/api/users/:id",                   api_user_edit) \
    R(DELETE, ADMIN,    NONE,     1, USER,     "/api/users/:id",                   api_user_delete) \
    R(GET,    ADMIN,    NONE,     1, NONE,     "/api/workspaces",                  api_workspace_list) \
    R(POST,   ADMIN,    JSON,     1, NONE,     "/api/workspaces",                  api_workspace_create) \
    R(GET,    ADMIN,    NONE,     1, NONE,     "/api/webhooks",                    api_webhook_list) \
    R(POST,   ADMIN,    JSON,     1, NONE,     "/api/webhooks",                    api_webhook_create) \
    R(PATCH,  ADMIN,    JSON,     1, WEBHOOK,  "/api/webhooks/:id",                api_webhook_edit) \
    R(DELETE, ADMIN,    NONE,     1, WEBHOOK,  "/api/webhooks/:id",                api_webhook_delete) \
    R(GET,    ADMIN,    NONE,     1, WEBHOOK,  "/api/webhooks/:id/deliveries",     api_webhook_deliveries) \
    R(POST,   ADMIN,    OPTIONAL, 1, WEBHOOK,  "/api/webhooks/:id/test",           api_webhook_test) \
    R(GET,    VIEWER,   NONE,     1, NONE,     "/api/workers",                     api_worker_list) \
    R(POST,   ADMIN,    JSON,     1, NONE,     "/api/workers",                     api_worker_add)

const struct exchange_handlers *routes_handlers(void);
// The figures of this table's routes.
MUST_USE enum err routes_figures(struct figures **ret);
// Charges `cost` requests to who asks (x->actor's key, else the address) and says whether they may pass now. Adds no headers:
// for the streams, which hold instead of refusing.
bool routes_quota(struct exchange *x, uint32_t cost);
// The same where the answer has not begun: what is left stands in its head.
bool routes_quota_told(struct exchange *x, uint32_t cost);
// A hash of the client's address: an IPv6 customer has a /64 at least, so that is who is counted.
uint64_t routes_address(const struct exchange *x);
