// The rules for what the messages may hold: unpacking is not validating. Gateways check what they build from a body, the
// broker checks everything it receives; both with these. Pure. Limits are contract.md section 3's.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "err.h"
#include "wire.pb-c.h"

enum {
    TITLE_MAX = 200, NAME_MAX_CHARS = 200, FEEDBACK_MAX = 4096, COMMENT_MAX = 65536, // characters
    CONTENT_MAX = 1024 * 1024,                                                       // octets
    TITLE_DEFAULT_CHARS = 80, COMMENTS_MAX = 10000,                                  // comments of one task
    TIMEOUT_MAX_S = 7 * 24 * 3600, MAINTENANCE_MAX_MINUTES = 365 * 24 * 60, RETRIES_MAX = 100, MAX_TASKS_MAX = 1000, LABELS_MAX = 32,
    WEBHOOK_EVENTS_MAX = 64, WEBHOOK_SECRET_MAX = 256, DELIVERIES_KEPT = 200, // of one webhook
    WEBHOOKS_MAX = 100, HOOK_SLOTS_MAX = 256, HOOK_ERROR_MAX = 300,          // of one workspace; of one worker; of one report
    OUTPUT_PIECE_MAX = 64 * 1024, OUTPUT_HEAD = 256 * 1024, OUTPUT_TAIL = 768 * 1024,
    ITEMS_MAX = 64, POLL_HOLD_MAX_MS = 10000, IDEMPOTENCY_KEY_MAX = 255, LIST_MAX = 500,
    USER_NAME_MAX = 64, PASSWORD_MIN = 12, PASSWORD_MAX = 256,                       // characters
    PASSWORD_STRING_MAX = 128,                                                       // octets, of what argon2id makes of one, with its NUL
    KEYS_A_USER_MAX = 1000, SIGNINS_A_USER_MAX = 50, USERS_MAX = 1000, WORKSPACES_MAX = 1000, USES_MAX = 1000,
    SIGNIN_MAX_S = 7 * 24 * 3600, SIGNIN_IDLE_S = 24 * 3600,
    LEASE_MS = 30000,                  // a worker that has not been heard of for so long is lost, and what it was given with it
    REQUEST_MSG_MAX = 2 * 1024 * 1024, // what the broker's listener accepts
};

enum task_edit_bit { EDIT_TITLE = 1, EDIT_PRIORITY = 2, EDIT_CONTENT = 4, EDIT_DESKTOP = 8, EDIT_APPROVAL = 16, EDIT_TIMEOUT = 32, EDIT_RETRIES = 64 };
enum desktop_edit_bit { DEDIT_NAME = 1, DEDIT_ADDRESS = 2, DEDIT_POOL = 4, DEDIT_LABELS = 8, DEDIT_MAX_TASKS = 16, DEDIT_CHAT = 32,
                        DEDIT_START = 64, DEDIT_STOP = 128, DEDIT_HOST_KEY = 256, DEDIT_CHAT_KEY = 512 };
enum agent_edit_bit { AEDIT_NAME = 1, AEDIT_ROLE = 2 };
enum user_edit_bit { UEDIT_ROLE = 1, UEDIT_PASSWORD = 2, UEDIT_DISABLED = 4 };
enum webhook_edit_bit { WEDIT_NAME = 1, WEDIT_URL = 2, WEDIT_EVENTS = 4, WEDIT_ENABLED = 8, WEDIT_SECRET = 16 };
enum settings_bit { SET_REQUIRE_APPROVAL = 1, SET_CPU = 2, SET_MEMORY = 4, SET_DISK = 8, SET_RETENTION = 16, SET_TIMEOUT = 32 };

// What is wrong: the field as the API names it ("" if none) and a sentence. Both lent, for ever.
struct fault {
    const char *field, *text;
};

// ERR_OK, ERR_MISSING_FIELD or ERR_INVALID_FIELD.
MUST_USE enum err check_task_create(const Wire__TaskCreate *m, struct fault *f);
MUST_USE enum err check_task_edit(const Wire__TaskEdit *m, struct fault *f);
MUST_USE enum err check_resolve(const Wire__Resolve *m, struct fault *f);
MUST_USE enum err check_desktop_create(const Wire__DesktopPut *m, struct fault *f);
MUST_USE enum err check_desktop_edit(const Wire__DesktopPut *m, struct fault *f);
MUST_USE enum err check_desktop_act(const Wire__DesktopAct *m, struct fault *f);
MUST_USE enum err check_comment_add(const Wire__CommentAdd *m, struct fault *f);
MUST_USE enum err check_agent_edit(const Wire__AgentEdit *m, struct fault *f);
MUST_USE enum err check_key_create(const Wire__KeyCreate *m, struct fault *f);
MUST_USE enum err check_settings_put(const Wire__SettingsPut *m, struct fault *f);
MUST_USE enum err check_maintenance(const Wire__Maintenance *m, struct fault *f);
MUST_USE enum err check_worker_add(const Wire__WorkerAdd *m, struct fault *f);
MUST_USE enum err check_user_create(const Wire__UserPut *m, struct fault *f);
MUST_USE enum err check_user_edit(const Wire__UserPut *m, struct fault *f);
MUST_USE enum err check_workspace_create(const Wire__WorkspaceCreate *m, struct fault *f);
MUST_USE enum err check_sign_in(const Wire__SignIn *m, struct fault *f);
MUST_USE enum err check_password_set(const Wire__PasswordSet *m, struct fault *f);
MUST_USE enum err check_keys_used(const Wire__KeysUsed *m, struct fault *f);
MUST_USE enum err check_webhook_create(const Wire__WebhookPut *m, struct fault *f);
MUST_USE enum err check_webhook_edit(const Wire__WebhookPut *m, struct fault *f);
MUST_USE enum err check_hook_report(const Wire__HookReport *m, struct fault *f);
MUST_USE enum err check_work_poll(const Wire__WorkPoll *m, struct fault *f);
MUST_USE enum err check_work_report(const Wire__WorkReport *m, struct fault *f);

// Valid UTF-8 of at most max characters without control characters (tab and newline are let through where `lines`).
bool check_text(const char *s, size_t max, bool lines);
// [A-Za-z0-9][A-Za-z0-9._@+-]{0,63}
bool check_user_name(const char *s);
// http or https, a host, no user information, no fragment, at most 2,048 octets.
bool check_url(const char *s);
