#include "check.h"
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include "crypto.h"
#include "event.h"
#include "names.h"
#include "utf8.h"

static enum err missing(struct fault *f, const char *field, const char *text)
{
    *f = (struct fault){ field, text };
    return ERR_MISSING_FIELD;
}

static enum err invalid(struct fault *f, const char *field, const char *text)
{
    *f = (struct fault){ field, text };
    return ERR_INVALID_FIELD;
}

bool check_text(const char *text, size_t max, bool lines)
{
    const uint8_t *s = (const uint8_t *)text;
    size_t count = 0;
    while (*s) {
        size_t n = utf8_len(s, 4);
        bool control = *s < 0x20 || *s == 0x7f || (*s == 0xc2 && s[1] < 0xa0);
        if (!n || ++count > max || (control && !(lines && (*s == '\n' || *s == '\t' || *s == '\r'))))
            return false;
        s += n;
    }
    return true;
}

// Content is a command or a prompt: any text, control characters too.
static bool content_ok(const char *text)
{
    const uint8_t *s = (const uint8_t *)text;
    while (*s) {
        size_t n = utf8_len(s, 4);
        if (!n)
            return false;
        s += n;
    }
    return (size_t)(s - (const uint8_t *)text) <= CONTENT_MAX;
}

bool check_url(const char *s)
{
    size_t scheme = strncmp(s, "http://", 7) == 0 ? 7 : strncmp(s, "https://", 8) == 0 ? 8 : 0;
    if (!scheme || strlen(s) > 2048)
        return false;
    const char *host = s + scheme, *end = host + strcspn(host, "/?");
    if (end == host || *host == ':')
        return false;
    for (const char *p = s; *p; p++)
        if (*p <= ' ' || *p >= 0x7f || strchr("\"<>\\^`{|}#", *p) || (*p == '@' && p < end))
            return false;
    return true;
}

static const char title_text[] = "At most 200 characters, on one line";
static const char content_text[] = "Text that is not empty, at most 1 MiB";
static const char timeout_text[] = "A whole number of seconds from 1 to 604800";
static const char retries_text[] = "A whole number from 0 to 100";
static const char role_text[] = "One of viewer, operator, admin";
static const char priority_text[] = "One of low, medium, high, critical";

enum err check_task_create(const Wire__TaskCreate *m, struct fault *f)
{
    if (m->type == TASK_TYPE_NONE)
        return missing(f, "type", "type is needed: \"prompt\" or \"command\"");
    if (m->type >= TASK_TYPE_COUNT)
        return invalid(f, "type", "type must be \"prompt\" or \"command\"");
    if (!*m->content)
        return missing(f, "content", "content is needed: the prompt or the shell command");
    if (!content_ok(m->content))
        return invalid(f, "content", content_text);
    if (!m->desktop)
        return missing(f, "desktopId", "desktopId is needed: the desktop to run on");
    if (!check_text(m->title, TITLE_MAX, false))
        return invalid(f, "title", title_text);
    if (m->priority >= PRIORITY_COUNT)
        return invalid(f, "priority", priority_text);
    if (m->requires_approval > 2)
        return invalid(f, "requiresApproval", "true or false");
    if (m->timeout_s > TIMEOUT_MAX_S)
        return invalid(f, "timeoutSeconds", timeout_text);
    if (m->retries > RETRIES_MAX)
        return invalid(f, "retries", retries_text);
    if (strlen(m->idempotency_key) > IDEMPOTENCY_KEY_MAX || (*m->idempotency_key && m->body_hash.len != HASH_SIZE))
        return invalid(f, "Idempotency-Key", "1 to 255 visible characters");
    return ERR_OK;
}

enum err check_task_edit(const Wire__TaskEdit *m, struct fault *f)
{
    if ((m->set & EDIT_TITLE) && (!*m->title || !check_text(m->title, TITLE_MAX, false)))
        return invalid(f, "title", title_text);
    if ((m->set & EDIT_PRIORITY) && (!m->priority || m->priority >= PRIORITY_COUNT))
        return invalid(f, "priority", priority_text);
    if ((m->set & EDIT_CONTENT) && (!*m->content || !content_ok(m->content)))
        return invalid(f, "content", content_text);
    if ((m->set & EDIT_DESKTOP) && !m->desktop)
        return invalid(f, "desktopId", "The id of a desktop");
    if ((m->set & EDIT_TIMEOUT) && (!m->timeout_s || m->timeout_s > TIMEOUT_MAX_S))
        return invalid(f, "timeoutSeconds", timeout_text);
    if ((m->set & EDIT_RETRIES) && m->retries > RETRIES_MAX)
        return invalid(f, "retries", retries_text);
    return ERR_OK;
}

enum err check_resolve(const Wire__Resolve *m, struct fault *f)
{
    if (!m->decision)
        return missing(f, "decision", "decision is needed: \"approve\" or \"reject\"");
    if (m->decision >= DECISION_COUNT)
        return invalid(f, "decision", "decision must be \"approve\" or \"reject\"");
    if (!check_text(m->feedback, FEEDBACK_MAX, true))
        return invalid(f, "feedback", "At most 4096 characters");
    return ERR_OK;
}

static enum err chat(const Wire__DesktopPut *m, struct fault *f)
{
    const Wire__Chat *c = m->chat;
    if (strlen(m->chat_key) > 4096)
        return invalid(f, "chat.key", "At most 4096 characters");
    for (const char *p = m->chat_key; *p; p++)
        if (*p <= ' ' || *p >= 0x7f)
            return invalid(f, "chat.key", "Visible ASCII characters only");
    if (!c)
        return ERR_OK;
    if (!*c->url)
        return missing(f, "chat.url", "chat.url is needed: the base of an OpenAI-compatible endpoint, such as http://host:port/v1");
    if (!check_url(c->url))
        return invalid(f, "chat.url", "An http or https address without user name and fragment");
    if (!check_text(c->model, NAME_MAX_CHARS, false))
        return invalid(f, "chat.model", "At most 200 characters, on one line");
    if (c->mode >= CHAT_MODE_COUNT)
        return invalid(f, "chat.mode", "agent or model");
    if (!check_text(c->system_prompt, COMMENT_MAX, true))
        return invalid(f, "chat.systemPrompt", "At most 65536 characters");
    return ERR_OK;
}

static enum err desktop(const Wire__DesktopPut *m, unsigned set, struct fault *f)
{
    if ((set & DEDIT_NAME) && (!*m->name || !check_text(m->name, NAME_MAX_CHARS, false)))
        return invalid(f, "name", "1 to 200 characters, on one line");
    if ((set & DEDIT_ADDRESS) && !check_text(m->address, NAME_MAX_CHARS, false))
        return invalid(f, "address", "At most 200 characters, on one line");
    if ((set & DEDIT_POOL) && !check_text(m->pool, NAME_MAX_CHARS, false))
        return invalid(f, "pool", "At most 200 characters, on one line");
    if ((set & DEDIT_MAX_TASKS) && m->max_tasks > MAX_TASKS_MAX)
        return invalid(f, "maxTasks", "A whole number from 1 to 1000");
    if (set & DEDIT_LABELS) {
        if (m->n_labels > LABELS_MAX)
            return invalid(f, "labels", "At most 32 labels");
        for (size_t i = 0; i < m->n_labels; i++)
            if (!*m->labels[i] || !check_text(m->labels[i], NAME_MAX_CHARS, false))
                return invalid(f, "labels", "Labels of 1 to 200 characters, each on one line");
    }
    if ((set & DEDIT_START) && !check_text(m->start_command, FEEDBACK_MAX, true))
        return invalid(f, "startCommand", "At most 4096 characters");
    if ((set & DEDIT_STOP) && !check_text(m->stop_command, FEEDBACK_MAX, true))
        return invalid(f, "stopCommand", "At most 4096 characters");
    if ((set & DEDIT_HOST_KEY) && !check_text(m->host_key, FEEDBACK_MAX, true))
        return invalid(f, "hostKey", "At most 4096 characters");
    return chat(m, f);
}

enum err check_desktop_create(const Wire__DesktopPut *m, struct fault *f)
{
    if (!*m->name)
        return missing(f, "name", "name is needed");
    if (!m->driver)
        return missing(f, "driver", "driver is needed: local");
    if (m->driver >= DRIVER_COUNT)
        return invalid(f, "driver", "One of local, sandbox, ssh, container");
    if (m->driver != DRIVER_LOCAL)
        return invalid(f, "driver", "This version runs tasks on desktops of driver local only");
    if (*m->address)
        return invalid(f, "address", "A local desktop has no address");
    return desktop(m, ~0u, f);
}

enum err check_desktop_edit(const Wire__DesktopPut *m, struct fault *f)
{
    if ((m->set & DEDIT_MAX_TASKS) && !m->max_tasks)
        return invalid(f, "maxTasks", "A whole number from 1 to 1000");
    return desktop(m, m->set, f);
}

enum err check_desktop_act(const Wire__DesktopAct *m, struct fault *f)
{
    if (!m->act || m->act >= DESKTOP_ACT_COUNT)
        return invalid(f, "act", "start, stop or restart");
    return ERR_OK;
}

enum err check_comment_add(const Wire__CommentAdd *m, struct fault *f)
{
    if (!*m->content)
        return missing(f, "content", "content is needed: what there is to say");
    if (!check_text(m->content, COMMENT_MAX, true))
        return invalid(f, "content", "1 to 65536 characters of text");
    return ERR_OK;
}

enum err check_agent_edit(const Wire__AgentEdit *m, struct fault *f)
{
    static const char text[] = "1 to 200 characters, on one line";
    if ((m->set & AEDIT_NAME) && (!*m->name || !check_text(m->name, NAME_MAX_CHARS, false)))
        return invalid(f, "name", text);
    if ((m->set & AEDIT_ROLE) && (!*m->role || !check_text(m->role, NAME_MAX_CHARS, false)))
        return invalid(f, "role", text);
    return ERR_OK;
}

enum err check_key_create(const Wire__KeyCreate *m, struct fault *f)
{
    if (!*m->name)
        return missing(f, "name", "name is needed: what the key is for");
    if (!check_text(m->name, NAME_MAX_CHARS, false))
        return invalid(f, "name", "At most 200 characters, on one line");
    if (m->role >= ROLE_COUNT)
        return invalid(f, "role", role_text);
    if (m->hash.len != HASH_SIZE || strlen(m->last4) > 4)
        return invalid(f, "", "The key's hash is malformed");
    return ERR_OK;
}

enum err check_settings_put(const Wire__SettingsPut *m, struct fault *f)
{
    const Wire__Settings *s = m->settings;
    if (!s)
        return invalid(f, "", "Nothing to set");
    const struct { unsigned bit; uint32_t value; const char *field; } percent[] = {
        { SET_CPU, s->cpu, "alertThresholds.cpu" }, { SET_MEMORY, s->memory, "alertThresholds.memory" }, { SET_DISK, s->disk, "alertThresholds.disk" },
    };
    for (size_t i = 0; i < 3; i++)
        if ((m->set & percent[i].bit) && (percent[i].value == 0 || percent[i].value > 10000))
            return invalid(f, percent[i].field, "A percentage above 0, up to 100");
    if ((m->set & SET_RETENTION) && (s->retention_days == 0 || s->retention_days > 3650))
        return invalid(f, "retentionDays", "A whole number of days from 1 to 3650");
    if ((m->set & SET_TIMEOUT) && (s->default_timeout_s == 0 || s->default_timeout_s > TIMEOUT_MAX_S))
        return invalid(f, "defaultTimeoutSeconds", timeout_text);
    return ERR_OK;
}

enum err check_maintenance(const Wire__Maintenance *m, struct fault *f)
{
    if (!*m->description)
        return missing(f, "description", "description is needed: what will be done");
    if (!check_text(m->description, FEEDBACK_MAX, true))
        return invalid(f, "description", "At most 4096 characters");
    if (!m->minutes)
        return missing(f, "expectedDurationMinutes", "expectedDurationMinutes is needed");
    if (m->minutes > MAINTENANCE_MAX_MINUTES)
        return invalid(f, "expectedDurationMinutes", "A whole number of minutes from 1 to 525600");
    return ERR_OK;
}

enum err check_worker_add(const Wire__WorkerAdd *m, struct fault *f)
{
    if (!*m->name)
        return missing(f, "name", "name is needed");
    if (!peer_name_ok(m->name))
        return invalid(f, "name", "1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit");
    if ((m->peer != 1 && m->peer != 2) || m->public_key.len != PEER_PUBLIC_SIZE)
        return invalid(f, "", "The peer's public key is malformed");
    return ERR_OK;
}

// ---- people

bool check_user_name(const char *s)
{
    size_t n = strlen(s);
    if (n == 0 || n > USER_NAME_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        bool word = (s[i] >= '0' && s[i] <= '9') || (s[i] >= 'A' && s[i] <= 'Z') || (s[i] >= 'a' && s[i] <= 'z');
        if (!word && (i == 0 || !strchr("._@+-", s[i])))
            return false;
    }
    return true;
}

static enum err new_user_name(const char *name, const char *field, struct fault *f)
{
    static const char form[] = "1 to 64 letters, digits or any of . _ @ + -, the first a letter or digit";
    if (!check_user_name(name))
        return invalid(f, field, form);
    if (strcasecmp(name, "system") == 0) // the actor of what no user did: the audit trail must be able to tell
        return invalid(f, field, "This name is the product's own");
    return ERR_OK;
}

static const char string_text[] = "The password's string is malformed";

// What libsodium's crypto_pwhash_str gives; empty where there may be none.
static bool password_string(const char *s, bool may_be_none)
{
    static const char kind[] = "$argon2id$";
    if (!*s)
        return may_be_none;
    if (strlen(s) >= PASSWORD_STRING_MAX || strncmp(s, kind, sizeof kind - 1) != 0)
        return false;
    for (const char *p = s; *p; p++)
        if (*p <= ' ' || *p >= 0x7f)
            return false;
    return true;
}

enum err check_user_create(const Wire__UserPut *m, struct fault *f)
{
    if (!*m->name)
        return missing(f, "username", "username is needed");
    enum err e = new_user_name(m->name, "username", f);
    if (e)
        return e;
    if (!m->role)
        return missing(f, "role", "role is needed: viewer, operator or admin");
    if (m->role >= ROLE_COUNT)
        return invalid(f, "role", role_text);
    if (!password_string(m->password, true))
        return invalid(f, "password", string_text);
    return ERR_OK;
}

enum err check_user_edit(const Wire__UserPut *m, struct fault *f)
{
    if ((m->set & UEDIT_ROLE) && (!m->role || m->role >= ROLE_COUNT))
        return invalid(f, "role", role_text);
    if ((m->set & UEDIT_PASSWORD) && !password_string(m->password, false))
        return invalid(f, "password", string_text);
    return ERR_OK;
}

enum err check_workspace_create(const Wire__WorkspaceCreate *m, struct fault *f)
{
    if (!*m->name)
        return missing(f, "name", "name is needed");
    if (!check_text(m->name, NAME_MAX_CHARS, false))
        return invalid(f, "name", "At most 200 characters, on one line");
    if (!*m->admin_name)
        return missing(f, "admin.username", "admin.username is needed: the workspace's first user");
    enum err e = new_user_name(m->admin_name, "admin.username", f);
    if (e)
        return e;
    if (!password_string(m->admin_password, true))
        return invalid(f, "admin.password", string_text);
    if (m->key_hash.len != HASH_SIZE || strlen(m->key_last4) > 4)
        return invalid(f, "", "The key's hash is malformed");
    return ERR_OK;
}

enum err check_sign_in(const Wire__SignIn *m, struct fault *f)
{
    if (!m->workspace || !m->user)
        return missing(f, "", "Nobody to sign in");
    if (!check_text(m->address, 64, false) || !check_text(m->method, 32, false))
        return invalid(f, "", "The address or the method is malformed");
    if (m->failed)
        return ERR_OK;
    if (m->hash.len != HASH_SIZE || (m->replaces.len && m->replaces.len != HASH_SIZE))
        return invalid(f, "", "The token's hash is malformed");
    if (!password_string(m->verified, false) || !password_string(m->rehashed, true))
        return invalid(f, "", string_text);
    return ERR_OK;
}

enum err check_password_set(const Wire__PasswordSet *m, struct fault *f)
{
    if (!password_string(m->password, false) || !password_string(m->verified, true))
        return invalid(f, "", string_text);
    return ERR_OK;
}

enum err check_keys_used(const Wire__KeysUsed *m, struct fault *f)
{
    return m->n_keys <= USES_MAX ? ERR_OK : invalid(f, "", "Too many keys in one message");
}

// ---- workers

static bool webhook_event_ok(const char *type)
{
    return strcmp(type, "*") == 0 || event_type_known(VIEW_ACTIVITY, type) || event_type_known(VIEW_FEED, type);
}

static enum err webhook(const Wire__WebhookPut *m, unsigned set, struct fault *f)
{
    if ((set & WEDIT_NAME) && !check_text(m->name, NAME_MAX_CHARS, false))
        return invalid(f, "name", "At most 200 characters, on one line");
    if ((set & WEDIT_URL) && !check_url(m->url))
        return invalid(f, "url", "An http or https address without user name and fragment");
    if (set & WEDIT_EVENTS) {
        if (m->n_events == 0 || m->n_events > WEBHOOK_EVENTS_MAX)
            return invalid(f, "events", "1 to 64 types of events, or \"*\" for all");
        for (size_t i = 0; i < m->n_events; i++)
            if (!webhook_event_ok(m->events[i]))
                return invalid(f, "events", "Types of the activity stream or of the feed, or \"*\" for all");
    }
    for (const char *p = m->secret; *p; p++)
        if (*p <= ' ' || *p >= 0x7f || p - m->secret >= WEBHOOK_SECRET_MAX)
            return invalid(f, "secret", "1 to 256 visible ASCII characters");
    return ERR_OK;
}

enum err check_webhook_create(const Wire__WebhookPut *m, struct fault *f)
{
    if (!*m->url)
        return missing(f, "url", "url is needed: where the events are sent");
    return webhook(m, WEDIT_NAME | WEDIT_URL | WEDIT_EVENTS, f);
}

enum err check_webhook_edit(const Wire__WebhookPut *m, struct fault *f)
{
    if ((m->set & WEDIT_NAME) && !*m->name)
        return invalid(f, "name", "1 to 200 characters, on one line");
    return webhook(m, m->set, f);
}

enum err check_hook_report(const Wire__HookReport *m, struct fault *f)
{
    if (m->http_status > 999 || m->duration_ms > 86400000 || !check_text(m->error, HOOK_ERROR_MAX, false))
        return invalid(f, "", "Not the end of a delivery");
    return ERR_OK;
}

enum err check_work_poll(const Wire__WorkPoll *m, struct fault *f)
{
    if (m->slots > 4096 || m->free > m->slots)
        return invalid(f, "slots", "free must not be above slots, nor slots above 4096");
    if (m->n_running > 65536 || m->n_observed > 65536)
        return invalid(f, "running", "Too many sessions or observations");
    if (m->n_figures > 256)
        return invalid(f, "figures", "Too many figures");
    if (m->hook_slots > HOOK_SLOTS_MAX || m->n_hooks > 4 * HOOK_SLOTS_MAX)
        return invalid(f, "hooks", "Too many deliveries");
    for (size_t i = 0; i < m->n_observed; i++)
        if (strlen(m->observed[i]->error) > 4096 || strlen(m->observed[i]->ip_address) > 64)
            return invalid(f, "observed", "Text too long");
    return ERR_OK;
}

enum err check_work_report(const Wire__WorkReport *m, struct fault *f)
{
    if (m->n_sessions > 4096)
        return invalid(f, "sessions", "Too many sessions in one report");
    for (size_t i = 0; i < m->n_sessions; i++) {
        const Wire__SessionReport *s = m->sessions[i];
        if (s->failure >= FAILURE_COUNT || s->failure == FAILURE_REJECTED || strlen(s->failure_text) > 4096)
            return invalid(f, "failure", "Not a failure a worker can report");
        if (s->output_total > (uint64_t)INT64_MAX)
            return invalid(f, "output_total", "Out of range");
        uint64_t end = 0;
        for (size_t k = 0; k < s->n_pieces; k++) {
            const Wire__OutputPiece *p = s->pieces[k];
            if (p->data.len == 0 || p->data.len > OUTPUT_PIECE_MAX || p->offset < end || p->offset > (uint64_t)INT64_MAX / 2 ||
                !p->stream || p->stream >= STREAM_COUNT || p->offset + p->data.len > s->output_total)
                return invalid(f, "pieces", "Output pieces must rise, be of 1 octet to 64 KiB and end within the total");
            end = p->offset + p->data.len;
        }
    }
    return ERR_OK;
}
