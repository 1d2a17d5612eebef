// The handlers, by resource. Each takes its request when method, path, credential, rate, role, the form of the id and the form
// of the body have been judged (routes.c), and answers it.
#pragma once

#include <stdint.h>
#include "request.h"

void api_task_list(struct request *r);
void api_task_create(struct request *r);
void api_task_get(struct request *r);
void api_task_edit(struct request *r);
void api_task_delete(struct request *r);
void api_task_run(struct request *r);
void api_task_cancel(struct request *r);
void api_task_retry(struct request *r);
void api_task_review(struct request *r);
void api_task_output(struct request *r);

void api_session_list(struct request *r);
void api_session_of_task(struct request *r);
void api_session_get(struct request *r);

void api_comment_list(struct request *r);
void api_comment_add(struct request *r);

void api_agent_list(struct request *r);
void api_agent_get(struct request *r);
void api_agent_edit(struct request *r);

void api_approval_list(struct request *r);
void api_approval_get(struct request *r);
// Review and resolve are one operation on one record: one of task and approval is 0. want, answered: what is shown afterwards.
void api_decide(struct request *r, uint64_t task, uint64_t approval, Wire__Answer__BodyCase want, request_answered *answered);
void api_approval_resolve(struct request *r);

void api_desktop_list(struct request *r);
void api_desktop_create(struct request *r);
void api_desktop_get(struct request *r);
void api_desktop_edit(struct request *r);
void api_desktop_delete(struct request *r);
void api_desktop_start(struct request *r);
void api_desktop_stop(struct request *r);
void api_desktop_restart(struct request *r);
void api_desktop_metrics(struct request *r);

void api_auth_login(struct request *r);
void api_auth_logout(struct request *r);
void api_auth_password(struct request *r);

void api_user_list(struct request *r);
void api_user_create(struct request *r);
void api_user_edit(struct request *r);
void api_user_delete(struct request *r);
void api_workspace_list(struct request *r);
void api_workspace_create(struct request *r);

void api_key_me(struct request *r);
void api_key_list(struct request *r);
void api_key_create(struct request *r);
void api_key_delete(struct request *r);

void api_settings_get(struct request *r);
void api_settings_put(struct request *r);

void api_event_list(struct request *r);
void api_activities(struct request *r); // the list and, with stats=true, its statistics

void api_overview(struct request *r);
void api_maintenance(struct request *r);

void api_webhook_list(struct request *r);
void api_webhook_create(struct request *r);
void api_webhook_edit(struct request *r);
void api_webhook_delete(struct request *r);
void api_webhook_test(struct request *r);
void api_webhook_deliveries(struct request *r);

void api_worker_list(struct request *r);
void api_worker_add(struct request *r);
void api_worker_drain(struct request *r);

void api_openapi(struct request *r);
void api_prometheus(struct request *r);

void api_health(struct request *r);
void api_ready(struct request *r);
