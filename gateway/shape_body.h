// Bodies of requests, as messages of the wire: each fills the message from the parsed body and judges it by common/check.h; text
// in the message is lent by the body. ERR_MISSING_FIELD, ERR_INVALID_FIELD or ERR_UNKNOWN_DESKTOP with *f filled. Members nobody
// knows are ignored; null counts as not given. Pure.
#pragma once
#include <stdint.h>
#include "check.h"
#include "err.h"
#include "json_in.h"
#include "wire.pb-c.h"

MUST_USE enum err shape_task_create(const json_t *o, Wire__TaskCreate *m, struct fault *f);
MUST_USE enum err shape_task_edit(const json_t *o, uint64_t id, Wire__TaskEdit *m, struct fault *f);
// Give one of task and approval; the other is 0.
MUST_USE enum err shape_resolve(const json_t *o, uint64_t task, uint64_t approval, Wire__Resolve *m, struct fault *f);
// These two are judged by the caller, once what it adds (hash and last4; the public key) is there.
MUST_USE enum err shape_key_create(const json_t *o, uint64_t now_ms, Wire__KeyCreate *m, struct fault *f);
MUST_USE enum err shape_worker_add(const json_t *o, Wire__WorkerAdd *m, struct fault *f);
// Passwords stay text here, NULL when not given: what is made of them comes later, and with it the judgement of the whole.
MUST_USE enum err shape_sign_in(const json_t *o, const char **ret_name, const char **ret_password, struct fault *f);
MUST_USE enum err shape_new_password(const json_t *o, const char **ret_current, const char **ret_fresh, struct fault *f);
MUST_USE enum err shape_user_create(const json_t *o, Wire__UserPut *m, const char **ret_password, struct fault *f);
MUST_USE enum err shape_user_edit(const json_t *o, uint64_t id, Wire__UserPut *m, const char **ret_password, struct fault *f);
MUST_USE enum err shape_workspace_create(const json_t *o, Wire__WorkspaceCreate *m, const char **ret_password, struct fault *f);
struct shape_webhook_put {
    Wire__WebhookPut m;
    char *events[WEBHOOK_EVENTS_MAX];
};
MUST_USE enum err shape_webhook_create(const json_t *o, struct shape_webhook_put *s, struct fault *f);
MUST_USE enum err shape_webhook_edit(const json_t *o, uint64_t id, struct shape_webhook_put *s, struct fault *f);
struct shape_settings_put {
    Wire__SettingsPut m;
    Wire__Settings settings;
};
MUST_USE enum err shape_settings_put(const json_t *o, struct shape_settings_put *s, struct fault *f);
struct shape_desktop_put {
    Wire__DesktopPut m;
    Wire__Chat chat;
    char *labels[LABELS_MAX];
};
MUST_USE enum err shape_desktop_create(const json_t *o, struct shape_desktop_put *d, struct fault *f);
MUST_USE enum err shape_desktop_edit(const json_t *o, uint64_t id, struct shape_desktop_put *d, struct fault *f);
