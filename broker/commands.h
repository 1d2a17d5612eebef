// The commands: one function each, dispatched by apply.c's table. A command checks first (any return before the first write is
// a refusal that leaves no trace), then writes. The item's body is its argument; the answer goes to w->answer.
#pragma once
#include "work.h"

#define COMMAND_FUNCTIONS(F) \
    F(task_create) F(task_edit) F(task_delete) F(task_run) F(task_cancel) F(task_retry) F(resolve) F(comment_add) \
    F(desktop_create) F(desktop_edit) F(desktop_delete) F(desktop_act) F(observe) F(sample) F(alert) F(agent_edit) \
    F(key_create) F(key_revoke) F(init) F(user_create) F(user_edit) F(user_delete) F(sign_in) F(sign_out) F(keys_used) \
    F(workspace_create) \
    F(settings_put) F(maintenance) F(webhook_create) F(webhook_edit) F(webhook_delete) F(webhook_test) F(hook_report) F(hook_next) \
    F(worker_add) F(worker_hello) F(assign) F(renew) F(expire) F(release) F(work_report) F(tick) F(worker_drain) F(password_set)

#define F(name) enum err cmd_##name(struct work *w);
COMMAND_FUNCTIONS(F)
#undef F

// What is stored of a deleted desktop's figures goes with it.
MUST_USE enum err metric_forget(struct work *w, uint64_t workspace, uint64_t desktop);
// The answer to a repeat of a command whose Outcome was kept: the object as it is now.
enum err cmd_answer_again(struct work *w, const Rec__Outcome *o);
// Fills w->answer with the object. Used by the commands and by cmd_answer_again.
MUST_USE enum err answer_task(struct work *w, const Rec__Task *t);
MUST_USE enum err answer_approval(struct work *w, const Rec__Approval *a);
MUST_USE enum err answer_desktop(struct work *w, const Rec__Desktop *d);
void answer_event(struct work *w, Wire__Row *row); // lent as long as the answer
MUST_USE enum err answer_worker(struct work *w, const Rec__Peer *p);
MUST_USE enum err answer_comment_again(struct work *w, uint64_t workspace, uint64_t id);
MUST_USE enum err answer_agent_again(struct work *w, uint64_t workspace, uint64_t id);
MUST_USE enum err answer_user(struct work *w, const Rec__User *u);
MUST_USE enum err answer_credential(struct work *w, const Rec__Key *k, const Rec__User *u);
MUST_USE enum err answer_workspace_made(struct work *w, uint64_t workspace);
MUST_USE enum err answer_webhook(struct work *w, const Rec__Webhook *h);
MUST_USE enum err answer_delivery(struct work *w, const Rec__Delivery *d);
// Any of a workspace's deliveries. ERR_NOT_FOUND
MUST_USE enum err webhook_delivery(struct work *w, uint64_t workspace, uint64_t id, Rec__Delivery **ret);
// A step of taking away what deleted webhooks left.
MUST_USE enum err webhook_sweep(struct work *w);
