#include "shape_body.h"
#include "json_out.h"
#include "member.h"
#include "names.h"

#define TRY(call)               \
    do {                        \
        enum err e_ = (call);   \
        if (e_ != ERR_OK)       \
            return e_;          \
    } while (0)

// A member of a change: call says in `given` whether it is there.
#define EDIT(bit, call)                         \
    do {                                        \
        given = false;                          \
        TRY(call);                              \
        m->set |= given ? (uint32_t)(bit) : 0u; \
    } while (0)

static unsigned find_type(const char *s) { return task_type_find(s); }
static unsigned find_priority(const char *s) { return priority_find(s); }
static unsigned find_decision(const char *s) { return decision_find(s); }
static unsigned find_role(const char *s) { return role_find(s); }
static unsigned find_driver(const char *s) { return driver_find(s); }

enum err shape_task_create(const json_t *o, Wire__TaskCreate *m, struct fault *f)
{
    bool approval = false, given = false;

    wire__task_create__init(m);
    TRY(member_word(o, "type", find_type, &m->type, NULL, f));
    TRY(member_text(o, "content", &m->content, NULL, f));
    TRY(member_desktop(o, "desktopId", &m->desktop, NULL, f));
    TRY(member_filled(o, "title", &m->title, NULL, f));
    TRY(member_word(o, "priority", find_priority, &m->priority, NULL, f));
    TRY(member_bool(o, "requiresApproval", &approval, &given, f));
    m->requires_approval = given ? (approval ? 2 : 1) : 0;
    TRY(member_u32(o, "timeoutSeconds", 1, &m->timeout_s, NULL, f));
    TRY(member_u32(o, "retries", 0, &m->retries, NULL, f));
    bool run = false;
    TRY(member_bool(o, "run", &run, NULL, f));
    m->run = run;
    return check_task_create(m, f);
}

enum err shape_task_edit(const json_t *o, uint64_t task, Wire__TaskEdit *m, struct fault *f)
{
    bool given = false, approval = false;

    wire__task_edit__init(m);
    m->id = task;
    EDIT(EDIT_TITLE, member_filled(o, "title", &m->title, &given, f));
    EDIT(EDIT_PRIORITY, member_word(o, "priority", find_priority, &m->priority, &given, f));
    EDIT(EDIT_CONTENT, member_filled(o, "content", &m->content, &given, f));
    EDIT(EDIT_DESKTOP, member_desktop(o, "desktopId", &m->desktop, &given, f));
    EDIT(EDIT_APPROVAL, member_bool(o, "requiresApproval", &approval, &given, f));
    m->requires_approval = approval;
    EDIT(EDIT_TIMEOUT, member_u32(o, "timeoutSeconds", 1, &m->timeout_s, &given, f));
    EDIT(EDIT_RETRIES, member_u32(o, "retries", 0, &m->retries, &given, f));
    return check_task_edit(m, f);
}

enum err shape_resolve(const json_t *o, uint64_t task, uint64_t approval, Wire__Resolve *m, struct fault *f)
{
    wire__resolve__init(m);
    m->task = task;
    m->approval = approval;
    TRY(member_word(o, "decision", find_decision, &m->decision, NULL, f));
    TRY(member_text(o, "feedback", &m->feedback, NULL, f));
    return check_resolve(m, f);
}

enum err shape_key_create(const json_t *o, uint64_t now_ms, Wire__KeyCreate *m, struct fault *f)
{
    const char *expires = NULL;

    wire__key_create__init(m);
    TRY(member_text(o, "name", &m->name, NULL, f));
    TRY(member_word(o, "role", find_role, &m->role, NULL, f));
    TRY(member_str(o, "expiresAt", &expires, NULL, f));
    if (expires) {
        m->expires_ms = time_parse(expires);
        if (!m->expires_ms)
            return member_refuse(f, "expiresAt", "It must be a time such as 2026-03-15T10:00:00Z");
        if (m->expires_ms <= now_ms)
            return member_refuse(f, "expiresAt", "It must lie in the future");
    }
    return ERR_OK; // check_key_create wants the hash too: api_key.c calls it once that is there
}

static enum err needed(const char *given, const char *field, const char *why, struct fault *f)
{
    if (given)
        return ERR_OK;
    *f = (struct fault){ field, why };
    return ERR_MISSING_FIELD;
}

// Of passwords only the form: any octets but NUL. Whether one is good enough is password_rule.h's matter.
enum err shape_sign_in(const json_t *o, const char **ret_name, const char **ret_password, struct fault *f)
{
    *ret_name = *ret_password = NULL;
    TRY(member_str(o, "username", ret_name, NULL, f));
    TRY(member_str(o, "password", ret_password, NULL, f));
    TRY(needed(*ret_name, "username", "username is needed", f));
    return needed(*ret_password, "password", "password is needed", f);
}

enum err shape_new_password(const json_t *o, const char **ret_current, const char **ret_fresh, struct fault *f)
{
    *ret_current = *ret_fresh = NULL;
    TRY(member_str(o, "currentPassword", ret_current, NULL, f));
    TRY(member_str(o, "newPassword", ret_fresh, NULL, f));
    return needed(*ret_fresh, "newPassword", "newPassword is needed", f);
}

enum err shape_user_create(const json_t *o, Wire__UserPut *m, const char **ret_password, struct fault *f)
{
    wire__user_put__init(m);
    *ret_password = NULL;
    TRY(member_text(o, "username", &m->name, NULL, f));
    TRY(member_word(o, "role", find_role, &m->role, NULL, f));
    TRY(member_str(o, "password", ret_password, NULL, f));
    return check_user_create(m, f);
}

enum err shape_user_edit(const json_t *o, uint64_t user, Wire__UserPut *m, const char **ret_password, struct fault *f)
{
    bool given = false, disabled = false;

    wire__user_put__init(m);
    *ret_password = NULL;
    m->id = user;
    EDIT(UEDIT_ROLE, member_word(o, "role", find_role, &m->role, &given, f));
    EDIT(UEDIT_DISABLED, member_bool(o, "disabled", &disabled, &given, f));
    m->disabled = disabled;
    TRY(member_str(o, "password", ret_password, NULL, f));
    return check_user_edit(m, f);
}

enum err shape_workspace_create(const json_t *o, Wire__WorkspaceCreate *m, const char **ret_password, struct fault *f)
{
    const json_t *admin = NULL;

    wire__workspace_create__init(m);
    *ret_password = NULL;
    TRY(member_text(o, "name", &m->name, NULL, f));
    TRY(member_object(o, "admin", &admin, f));
    if (!admin)
        return ERR_OK;
    TRY(member_text(admin, "admin.username", &m->admin_name, NULL, f));
    return member_str(admin, "admin.password", ret_password, NULL, f);
}

enum err shape_settings_put(const json_t *o, struct shape_settings_put *s, struct fault *f)
{
    Wire__SettingsPut *m = &s->m;
    const json_t *t = NULL;
    bool given = false, approval = false;

    wire__settings_put__init(m);
    wire__settings__init(&s->settings);
    m->settings = &s->settings;
    EDIT(SET_REQUIRE_APPROVAL, member_bool(o, "requireApproval", &approval, &given, f));
    s->settings.require_approval = approval;
    TRY(member_object(o, "alertThresholds", &t, f));
    if (t) {
        EDIT(SET_CPU, member_percent(t, "alertThresholds.cpu", &s->settings.cpu, &given, f));
        EDIT(SET_MEMORY, member_percent(t, "alertThresholds.memory", &s->settings.memory, &given, f));
        EDIT(SET_DISK, member_percent(t, "alertThresholds.disk", &s->settings.disk, &given, f));
    }
    EDIT(SET_RETENTION, member_u32(o, "retentionDays", 1, &s->settings.retention_days, &given, f));
    EDIT(SET_TIMEOUT, member_u32(o, "defaultTimeoutSeconds", 1, &s->settings.default_timeout_s, &given, f));
    return check_settings_put(m, f);
}

// null takes the endpoint away. An object replaces it, and its key only where the key is given (null: takes it away).
static enum err get_chat(const json_t *o, struct shape_desktop_put *d, struct fault *f)
{
    const json_t *c = json_object_get(o, "chat"), *key;
    const char *s = NULL;
    bool url, model, prompt, mode = false;

    if (!c)
        return ERR_OK;
    if (json_is_null(c)) {
        d->m.clear_chat = true;
        d->m.set |= DEDIT_CHAT;
        return ERR_OK;
    }
    if (!json_is_object(c))
        return member_refuse(f, "chat", "It must be an object or null");
    wire__chat__init(&d->chat);
    TRY(member_text(c, "chat.url", &d->chat.url, &url, f));
    TRY(member_text(c, "chat.model", &d->chat.model, &model, f));
    TRY(member_text(c, "chat.systemPrompt", &d->chat.system_prompt, &prompt, f));
    if (json_in_str(c, "mode", &s, &mode) != ERR_OK || (mode && (d->chat.mode = chat_mode_find(s)) == CHAT_MODE_NONE))
        return member_refuse(f, "chat.mode", "It must be agent or model");
    if (!mode)
        d->chat.mode = CHAT_AGENT;
    key = json_object_get(c, "key");
    if (json_is_null(key)) {
        d->m.clear_chat_key = true;
        d->m.set |= DEDIT_CHAT_KEY;
    } else if (key) {
        if (!json_is_string(key) || !*json_string_value(key))
            return member_refuse(f, "chat.key", "It must be a string that is not empty, or null");
        d->m.chat_key = member_lent(json_string_value(key));
        d->m.set |= DEDIT_CHAT_KEY;
    }
    if (url || model || prompt || mode || !key) {
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
    EDIT(DEDIT_NAME, member_filled(o, "name", &m->name, &given, f));
    EDIT(DEDIT_ADDRESS, member_text(o, "address", &m->address, &given, f));
    EDIT(DEDIT_POOL, member_text(o, "pool", &m->pool, &given, f));
    EDIT(DEDIT_LABELS, member_texts(o, "labels", d->labels, LABELS_MAX, &m->n_labels, &given, f));
    m->labels = d->labels;
    EDIT(DEDIT_MAX_TASKS, member_u32(o, "maxTasks", 1, &m->max_tasks, &given, f));
    EDIT(DEDIT_START, member_text(o, "startCommand", &m->start_command, &given, f));
    EDIT(DEDIT_STOP, member_text(o, "stopCommand", &m->stop_command, &given, f));
    EDIT(DEDIT_HOST_KEY, member_text(o, "hostKey", &m->host_key, &given, f));
    return get_chat(o, d, f);
}

static enum err webhook_put(const json_t *o, struct shape_webhook_put *s, struct fault *f)
{
    Wire__WebhookPut *m = &s->m;
    bool given = false, enabled = true;

    wire__webhook_put__init(m);
    EDIT(WEDIT_NAME, member_filled(o, "name", &m->name, &given, f));
    EDIT(WEDIT_URL, member_filled(o, "url", &m->url, &given, f));
    EDIT(WEDIT_EVENTS, member_texts(o, "events", s->events, WEBHOOK_EVENTS_MAX, &m->n_events, &given, f));
    m->events = s->events;
    EDIT(WEDIT_ENABLED, member_bool(o, "enabled", &enabled, &given, f));
    EDIT(WEDIT_SECRET, member_filled(o, "secret", &m->secret, &given, f));
    m->enabled = enabled;
    return ERR_OK;
}

enum err shape_webhook_create(const json_t *o, struct shape_webhook_put *s, struct fault *f)
{
    static const char all[] = "*";

    TRY(webhook_put(o, s, f));
    if (!(s->m.set & WEDIT_EVENTS)) {
        s->events[0] = member_lent(all);
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
    TRY(member_word(o, "driver", find_driver, &d->m.driver, NULL, f));
    if (d->m.chat_key[0] && !d->m.chat)
        return member_refuse(f, "chat.url", "A key needs an endpoint");
    d->m.set = 0;
    d->m.clear_chat = d->m.clear_chat_key = false;
    return check_desktop_create(&d->m, f);
}

enum err shape_desktop_edit(const json_t *o, uint64_t desktop, struct shape_desktop_put *d, struct fault *f)
{
    bool given = false;
    uint32_t driver = 0;

    TRY(desktop_put(o, d, f));
    TRY(member_word(o, "driver", find_driver, &driver, &given, f));
    if (given)
        return member_refuse(f, "driver", "It cannot be changed: make another desktop");
    d->m.id = desktop;
    return check_desktop_edit(&d->m, f);
}

enum err shape_worker_add(const json_t *o, Wire__WorkerAdd *m, struct fault *f)
{
    wire__worker_add__init(m);
    m->peer = 2;
    return member_text(o, "name", &m->name, NULL, f); // check_worker_add wants the public key too: api_worker.c calls it
}
