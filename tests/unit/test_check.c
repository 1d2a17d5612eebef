// links: common protobuf-c sodium
// Each rule of check.c, from both sides of its limit: a message that is good, and the same with one member changed.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "check.h"
#include "crypto.h"
#include "event.h"
#include "lent.h"
#include "names.h"

static char *lots(size_t n) // n letters; lent until the test ends
{
    static char *kept[64];
    static unsigned at;

    free(kept[at % 64]);
    char *s = malloc(n + 1);
    assert_non_null(s);
    memset(s, 'x', n);
    s[n] = 0;
    return kept[at++ % 64] = s;
}

// A good message called m, changed by what stands in CHANGE; check(&m) must say ERR, about FIELD.
#define SAYS(TYPE, GOOD, CHANGE, CHECK, ERR, FIELD)               \
    do {                                                          \
        struct fault f = { NULL, NULL };                          \
        TYPE m = GOOD();                                          \
        CHANGE;                                                   \
        assert_int_equal(CHECK(&m, &f), ERR);                     \
        if (ERR != ERR_OK) {                                      \
            assert_string_equal(f.field, FIELD);                  \
            assert_true(f.text && *f.text);                       \
        }                                                         \
    } while (0)

static void texts(void **state)
{
    static const struct { const char *s; size_t max; bool lines, ok; } rows[] = {
        { "", 0, false, true }, { "a", 1, false, true }, { "ab", 1, false, false }, { "\xc3\xa9", 1, false, true },
        { "\xf0\x9f\x98\x80", 1, false, true }, { "\xf0\x9f\x98", 9, false, false }, { "\xff", 9, true, false }, { "a\tb", 9, false, false },
        { "a\tb", 9, true, true }, { "a\nb", 9, false, false }, { "a\nb", 9, true, true }, { "a\rb", 9, true, true }, { "a\x01", 9, true, false },
        { "a\x7f", 9, true, false }, { "a\x7f", 9, false, false }, { "\xc2\x85", 9, true, false }, { "\xc2\x85", 9, false, false },
        { "\xc2\xa0", 9, false, true }, { "\xc3\x85", 9, false, true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(check_text(rows[i].s, rows[i].max, rows[i].lines), rows[i].ok);
}

static void urls(void **state)
{
    static const char *const good[] = {
        "http://h", "https://h", "http://h:1/", "http://h/p?q", "http://h?q", "http://h/@", "https://h.example:8443/v1/chat%20x?a=b&c=d", "http://[::1]:1/",
    };
    static const char *const bad[] = {
        "", "h", "ftp://h", "HTTP://h", "http:/h", "http://", "https://", "http:///p", "http://:80/", "http://?q", "http://u@h/", "http://u:p@h",
        "http://h/ ", "http://h/\x01", "http://h/\x7f", "http://h/\xc3\xa9", "http://h/#f", "http://h/\"", "http://h/<", "http://h/>", "http://h/\\",
        "http://h/^", "http://h/`", "http://h/{", "http://h/|", "http://h/}",
    };
    char *s = lots(2049);

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(check_url(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(check_url(bad[i]));
    memcpy(s, "http://", 7);
    assert_false(check_url(s));
    s[2048] = 0;
    assert_true(check_url(s));
}

static Wire__TaskCreate a_task(void)
{
    Wire__TaskCreate m = WIRE__TASK_CREATE__INIT;
    m.type = TYPE_COMMAND;
    m.content = z("echo hi");
    m.desktop = 1;
    return m;
}
#define TASK(CHANGE, ERR, FIELD) SAYS(Wire__TaskCreate, a_task, CHANGE, check_task_create, ERR, FIELD)

static void task_create(void **state)
{
    (void)state;
    TASK((void)m, ERR_OK, "");
    TASK(m.type = 0, ERR_MISSING_FIELD, "type");
    TASK(m.type = TASK_TYPE_COUNT, ERR_INVALID_FIELD, "type");
    TASK(m.content = z(""), ERR_MISSING_FIELD, "content");
    TASK(m.content = z("a\xff"), ERR_INVALID_FIELD, "content");
    TASK(m.content = z("\x01\x7f any control character"), ERR_OK, "");
    TASK(m.content = lots(CONTENT_MAX), ERR_OK, "");
    TASK(m.content = lots(CONTENT_MAX + 1), ERR_INVALID_FIELD, "content");
    TASK(m.desktop = 0, ERR_MISSING_FIELD, "desktopId");
    TASK(m.title = lots(TITLE_MAX), ERR_OK, "");
    TASK(m.title = lots(TITLE_MAX + 1), ERR_INVALID_FIELD, "title");
    TASK(m.title = z("two\nlines"), ERR_INVALID_FIELD, "title");
    TASK(m.priority = PRIORITY_COUNT - 1, ERR_OK, "");
    TASK(m.priority = PRIORITY_COUNT, ERR_INVALID_FIELD, "priority");
    TASK(m.requires_approval = 2, ERR_OK, "");
    TASK(m.requires_approval = 3, ERR_INVALID_FIELD, "requiresApproval");
    TASK(m.timeout_s = TIMEOUT_MAX_S, ERR_OK, "");
    TASK(m.timeout_s = TIMEOUT_MAX_S + 1, ERR_INVALID_FIELD, "timeoutSeconds");
    TASK(m.retries = RETRIES_MAX, ERR_OK, "");
    TASK(m.retries = RETRIES_MAX + 1, ERR_INVALID_FIELD, "retries");
    uint8_t hash[HASH_SIZE] = { 0 };
    TASK((m.idempotency_key = z("k"), m.body_hash = (ProtobufCBinaryData){ sizeof hash, hash }), ERR_OK, "");
    TASK((m.idempotency_key = z("k"), m.body_hash = (ProtobufCBinaryData){ sizeof hash - 1, hash }), ERR_INVALID_FIELD, "Idempotency-Key");
    TASK((m.idempotency_key = lots(IDEMPOTENCY_KEY_MAX + 1), m.body_hash = (ProtobufCBinaryData){ sizeof hash, hash }), ERR_INVALID_FIELD,
         "Idempotency-Key");
}

static Wire__TaskEdit a_task_edit(void)
{
    Wire__TaskEdit m = WIRE__TASK_EDIT__INIT;
    return m;
}
#define EDIT(CHANGE, ERR, FIELD) SAYS(Wire__TaskEdit, a_task_edit, CHANGE, check_task_edit, ERR, FIELD)

static void task_edit(void **state)
{
    (void)state;
    EDIT((void)m, ERR_OK, "");
    EDIT((m.set = EDIT_TITLE, m.title = z("t")), ERR_OK, "");
    EDIT(m.set = EDIT_TITLE, ERR_INVALID_FIELD, "title");
    EDIT((m.set = EDIT_TITLE, m.title = lots(TITLE_MAX + 1)), ERR_INVALID_FIELD, "title");
    EDIT((m.set = EDIT_PRIORITY, m.priority = 1), ERR_OK, "");
    EDIT(m.set = EDIT_PRIORITY, ERR_INVALID_FIELD, "priority");
    EDIT((m.set = EDIT_PRIORITY, m.priority = PRIORITY_COUNT), ERR_INVALID_FIELD, "priority");
    EDIT((m.set = EDIT_CONTENT, m.content = z("c")), ERR_OK, "");
    EDIT(m.set = EDIT_CONTENT, ERR_INVALID_FIELD, "content");
    EDIT((m.set = EDIT_CONTENT, m.content = z("\xc0")), ERR_INVALID_FIELD, "content");
    EDIT((m.set = EDIT_DESKTOP, m.desktop = 1), ERR_OK, "");
    EDIT(m.set = EDIT_DESKTOP, ERR_INVALID_FIELD, "desktopId");
    EDIT((m.set = EDIT_TIMEOUT, m.timeout_s = TIMEOUT_MAX_S), ERR_OK, "");
    EDIT(m.set = EDIT_TIMEOUT, ERR_INVALID_FIELD, "timeoutSeconds");
    EDIT((m.set = EDIT_TIMEOUT, m.timeout_s = TIMEOUT_MAX_S + 1), ERR_INVALID_FIELD, "timeoutSeconds");
    EDIT(m.set = EDIT_RETRIES, ERR_OK, "");
    EDIT((m.set = EDIT_RETRIES, m.retries = RETRIES_MAX + 1), ERR_INVALID_FIELD, "retries");
    EDIT(m.retries = RETRIES_MAX + 1, ERR_OK, ""); // not among what is set
}

static Wire__Resolve a_decision(void)
{
    Wire__Resolve m = WIRE__RESOLVE__INIT;
    m.decision = DECISION_APPROVE;
    return m;
}
#define RESOLVE(CHANGE, ERR, FIELD) SAYS(Wire__Resolve, a_decision, CHANGE, check_resolve, ERR, FIELD)

static Wire__DesktopAct an_act(void)
{
    Wire__DesktopAct m = WIRE__DESKTOP_ACT__INIT;
    m.act = 1;
    return m;
}
#define ACT(CHANGE, ERR, FIELD) SAYS(Wire__DesktopAct, an_act, CHANGE, check_desktop_act, ERR, FIELD)

static Wire__CommentAdd a_comment(void)
{
    Wire__CommentAdd m = WIRE__COMMENT_ADD__INIT;
    m.content = z("a\nb");
    return m;
}
#define COMMENT(CHANGE, ERR, FIELD) SAYS(Wire__CommentAdd, a_comment, CHANGE, check_comment_add, ERR, FIELD)

static Wire__AgentEdit an_agent(void)
{
    Wire__AgentEdit m = WIRE__AGENT_EDIT__INIT;
    return m;
}
#define AGENT(CHANGE, ERR, FIELD) SAYS(Wire__AgentEdit, an_agent, CHANGE, check_agent_edit, ERR, FIELD)

static void small_ones(void **state)
{
    (void)state;
    RESOLVE((void)m, ERR_OK, "");
    RESOLVE(m.decision = 0, ERR_MISSING_FIELD, "decision");
    RESOLVE(m.decision = DECISION_COUNT, ERR_INVALID_FIELD, "decision");
    RESOLVE(m.feedback = lots(FEEDBACK_MAX), ERR_OK, "");
    RESOLVE(m.feedback = lots(FEEDBACK_MAX + 1), ERR_INVALID_FIELD, "feedback");

    ACT((void)m, ERR_OK, "");
    ACT(m.act = 0, ERR_INVALID_FIELD, "act");
    ACT(m.act = DESKTOP_ACT_COUNT, ERR_INVALID_FIELD, "act");

    COMMENT((void)m, ERR_OK, "");
    COMMENT(m.content = z(""), ERR_MISSING_FIELD, "content");
    COMMENT(m.content = lots(COMMENT_MAX), ERR_OK, "");
    COMMENT(m.content = lots(COMMENT_MAX + 1), ERR_INVALID_FIELD, "content");

    AGENT((void)m, ERR_OK, "");
    AGENT((m.set = AEDIT_NAME | AEDIT_ROLE, m.name = z("n"), m.role = z("r")), ERR_OK, "");
    AGENT(m.set = AEDIT_NAME, ERR_INVALID_FIELD, "name");
    AGENT((m.set = AEDIT_NAME, m.name = lots(NAME_MAX_CHARS + 1)), ERR_INVALID_FIELD, "name");
    AGENT(m.set = AEDIT_ROLE, ERR_INVALID_FIELD, "role");
    AGENT((m.set = AEDIT_ROLE, m.role = lots(NAME_MAX_CHARS + 1)), ERR_INVALID_FIELD, "role");
}

static char *labels[LABELS_MAX + 1];
static Wire__Chat a_chat;

static Wire__DesktopPut a_desktop(void)
{
    Wire__DesktopPut m = WIRE__DESKTOP_PUT__INIT;

    for (unsigned i = 0; i <= LABELS_MAX; i++)
        labels[i] = z("l");
    a_chat = (Wire__Chat)WIRE__CHAT__INIT;
    a_chat.url = z("http://h/v1");
    m.name = z("n");
    m.driver = DRIVER_LOCAL;
    m.labels = labels;
    m.chat = &a_chat;
    return m;
}
#define DESKTOP(CHANGE, ERR, FIELD)                                                                       \
    do {                                                                                                  \
        SAYS(Wire__DesktopPut, a_desktop, CHANGE, check_desktop_create, ERR, FIELD);                      \
        SAYS(Wire__DesktopPut, a_desktop, (m.set = ~(unsigned)DEDIT_MAX_TASKS, CHANGE), check_desktop_edit, ERR, FIELD); \
    } while (0)
#define NEW(CHANGE, ERR, FIELD) SAYS(Wire__DesktopPut, a_desktop, CHANGE, check_desktop_create, ERR, FIELD)
#define CHANGED(CHANGE, ERR, FIELD) SAYS(Wire__DesktopPut, a_desktop, CHANGE, check_desktop_edit, ERR, FIELD)

static void desktops(void **state)
{
    (void)state;
    DESKTOP((void)m, ERR_OK, "");
    DESKTOP(m.name = lots(NAME_MAX_CHARS), ERR_OK, "");
    DESKTOP(m.name = lots(NAME_MAX_CHARS + 1), ERR_INVALID_FIELD, "name");
    DESKTOP(m.pool = lots(NAME_MAX_CHARS + 1), ERR_INVALID_FIELD, "pool");
    DESKTOP(m.n_labels = LABELS_MAX, ERR_OK, "");
    DESKTOP(m.n_labels = LABELS_MAX + 1, ERR_INVALID_FIELD, "labels");
    DESKTOP((m.n_labels = 2, labels[1] = z("")), ERR_INVALID_FIELD, "labels");
    DESKTOP((m.n_labels = 2, labels[1] = lots(NAME_MAX_CHARS + 1)), ERR_INVALID_FIELD, "labels");
    DESKTOP(m.start_command = lots(FEEDBACK_MAX + 1), ERR_INVALID_FIELD, "startCommand");
    DESKTOP(m.stop_command = lots(FEEDBACK_MAX + 1), ERR_INVALID_FIELD, "stopCommand");
    DESKTOP(m.host_key = lots(FEEDBACK_MAX + 1), ERR_INVALID_FIELD, "hostKey");
    DESKTOP(m.chat = NULL, ERR_OK, "");
    DESKTOP(m.chat_key = lots(4096), ERR_OK, "");
    DESKTOP(m.chat_key = lots(4097), ERR_INVALID_FIELD, "chat.key");
    DESKTOP(m.chat_key = z("a b"), ERR_INVALID_FIELD, "chat.key");
    DESKTOP(m.chat_key = z("a\x7f"), ERR_INVALID_FIELD, "chat.key");
    DESKTOP(a_chat.url = z(""), ERR_MISSING_FIELD, "chat.url");
    DESKTOP(a_chat.url = z("ftp://h"), ERR_INVALID_FIELD, "chat.url");
    DESKTOP(a_chat.model = lots(NAME_MAX_CHARS + 1), ERR_INVALID_FIELD, "chat.model");
    DESKTOP(a_chat.mode = CHAT_MODE_COUNT - 1, ERR_OK, "");
    DESKTOP(a_chat.mode = CHAT_MODE_COUNT, ERR_INVALID_FIELD, "chat.mode");
    DESKTOP(a_chat.system_prompt = lots(COMMENT_MAX), ERR_OK, "");
    DESKTOP(a_chat.system_prompt = lots(COMMENT_MAX + 1), ERR_INVALID_FIELD, "chat.systemPrompt");

    NEW(m.name = z(""), ERR_MISSING_FIELD, "name");
    NEW(m.driver = 0, ERR_MISSING_FIELD, "driver");
    NEW(m.driver = DRIVER_COUNT, ERR_INVALID_FIELD, "driver");
    NEW(m.driver = DRIVER_SSH, ERR_INVALID_FIELD, "driver");
    NEW(m.address = z("h"), ERR_INVALID_FIELD, "address");
    NEW(m.max_tasks = MAX_TASKS_MAX, ERR_OK, "");
    NEW(m.max_tasks = MAX_TASKS_MAX + 1, ERR_INVALID_FIELD, "maxTasks");

    CHANGED((m.set = DEDIT_NAME, m.name = z("")), ERR_INVALID_FIELD, "name");
    CHANGED((m.set = DEDIT_ADDRESS, m.address = lots(NAME_MAX_CHARS)), ERR_OK, "");
    CHANGED((m.set = DEDIT_ADDRESS, m.address = lots(NAME_MAX_CHARS + 1)), ERR_INVALID_FIELD, "address");
    CHANGED(m.set = DEDIT_MAX_TASKS, ERR_INVALID_FIELD, "maxTasks");
    CHANGED((m.set = DEDIT_MAX_TASKS, m.max_tasks = MAX_TASKS_MAX), ERR_OK, "");
    CHANGED((m.set = DEDIT_MAX_TASKS, m.max_tasks = MAX_TASKS_MAX + 1), ERR_INVALID_FIELD, "maxTasks");
    CHANGED((m.set = 0, m.name = z(""), m.n_labels = LABELS_MAX + 1), ERR_OK, "");
}

static uint8_t octets[HASH_SIZE > PEER_PUBLIC_SIZE ? HASH_SIZE : PEER_PUBLIC_SIZE];

static Wire__KeyCreate a_key(void)
{
    Wire__KeyCreate m = WIRE__KEY_CREATE__INIT;
    m.name = z("n");
    m.role = ROLE_VIEWER;
    m.hash = (ProtobufCBinaryData){ HASH_SIZE, octets };
    m.last4 = z("abcd");
    return m;
}
#define KEY(CHANGE, ERR, FIELD) SAYS(Wire__KeyCreate, a_key, CHANGE, check_key_create, ERR, FIELD)

static Wire__Settings settings;

static Wire__SettingsPut some_settings(void)
{
    Wire__SettingsPut m = WIRE__SETTINGS_PUT__INIT;
    settings = (Wire__Settings)WIRE__SETTINGS__INIT;
    m.settings = &settings;
    return m;
}
#define SET(CHANGE, ERR, FIELD) SAYS(Wire__SettingsPut, some_settings, CHANGE, check_settings_put, ERR, FIELD)

static Wire__Maintenance a_maintenance(void)
{
    Wire__Maintenance m = WIRE__MAINTENANCE__INIT;
    m.description = z("d");
    m.minutes = 1;
    return m;
}
#define MAINTENANCE(CHANGE, ERR, FIELD) SAYS(Wire__Maintenance, a_maintenance, CHANGE, check_maintenance, ERR, FIELD)

static Wire__WorkerAdd a_worker(void)
{
    Wire__WorkerAdd m = WIRE__WORKER_ADD__INIT;
    m.name = z("w-1");
    m.peer = 2;
    m.public_key = (ProtobufCBinaryData){ PEER_PUBLIC_SIZE, octets };
    return m;
}
#define WORKER(CHANGE, ERR, FIELD) SAYS(Wire__WorkerAdd, a_worker, CHANGE, check_worker_add, ERR, FIELD)

static void of_admins(void **state)
{
    (void)state;
    KEY((void)m, ERR_OK, "");
    KEY(m.name = z(""), ERR_MISSING_FIELD, "name");
    KEY(m.name = lots(NAME_MAX_CHARS + 1), ERR_INVALID_FIELD, "name");
    KEY(m.role = ROLE_COUNT, ERR_INVALID_FIELD, "role");
    KEY(m.hash.len--, ERR_INVALID_FIELD, "");
    KEY(m.last4 = z("abcde"), ERR_INVALID_FIELD, "");

    SET((void)m, ERR_OK, "");
    SET(m.settings = NULL, ERR_INVALID_FIELD, "");
    SET((m.set = SET_CPU | SET_MEMORY | SET_DISK, settings.cpu = settings.memory = settings.disk = 10000), ERR_OK, "");
    SET(m.set = SET_CPU, ERR_INVALID_FIELD, "alertThresholds.cpu");
    SET((m.set = SET_CPU, settings.cpu = 10001), ERR_INVALID_FIELD, "alertThresholds.cpu");
    SET((m.set = SET_MEMORY, settings.memory = 10001), ERR_INVALID_FIELD, "alertThresholds.memory");
    SET(m.set = SET_DISK, ERR_INVALID_FIELD, "alertThresholds.disk");
    SET((m.set = SET_RETENTION, settings.retention_days = 3650), ERR_OK, "");
    SET(m.set = SET_RETENTION, ERR_INVALID_FIELD, "retentionDays");
    SET((m.set = SET_RETENTION, settings.retention_days = 3651), ERR_INVALID_FIELD, "retentionDays");
    SET((m.set = SET_TIMEOUT, settings.default_timeout_s = TIMEOUT_MAX_S), ERR_OK, "");
    SET(m.set = SET_TIMEOUT, ERR_INVALID_FIELD, "defaultTimeoutSeconds");
    SET((m.set = SET_TIMEOUT, settings.default_timeout_s = TIMEOUT_MAX_S + 1), ERR_INVALID_FIELD, "defaultTimeoutSeconds");

    MAINTENANCE((void)m, ERR_OK, "");
    MAINTENANCE(m.description = z(""), ERR_MISSING_FIELD, "description");
    MAINTENANCE(m.description = lots(FEEDBACK_MAX + 1), ERR_INVALID_FIELD, "description");
    MAINTENANCE(m.minutes = 0, ERR_MISSING_FIELD, "expectedDurationMinutes");
    MAINTENANCE(m.minutes = MAINTENANCE_MAX_MINUTES + 1, ERR_INVALID_FIELD, "expectedDurationMinutes");

    WORKER((void)m, ERR_OK, "");
    WORKER(m.peer = 1, ERR_OK, "");
    WORKER(m.name = z(""), ERR_MISSING_FIELD, "name");
    WORKER(m.name = z("a b"), ERR_INVALID_FIELD, "name");
    WORKER(m.peer = 0, ERR_INVALID_FIELD, "");
    WORKER(m.peer = 3, ERR_INVALID_FIELD, "");
    WORKER(m.public_key.len++, ERR_INVALID_FIELD, "");
}

static char argon2[] = "$argon2id$v=19$m=65536,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g";

static Wire__UserPut a_user(void)
{
    Wire__UserPut m = WIRE__USER_PUT__INIT;
    m.name = z("ann");
    m.role = ROLE_OPERATOR;
    return m;
}
#define USER(CHANGE, ERR, FIELD) SAYS(Wire__UserPut, a_user, CHANGE, check_user_create, ERR, FIELD)
#define USER_EDIT(CHANGE, ERR, FIELD) SAYS(Wire__UserPut, a_user, CHANGE, check_user_edit, ERR, FIELD)

static Wire__WorkspaceCreate a_workspace(void)
{
    Wire__WorkspaceCreate m = WIRE__WORKSPACE_CREATE__INIT;
    m.name = z("w");
    m.admin_name = z("ann");
    m.key_hash = (ProtobufCBinaryData){ HASH_SIZE, octets };
    return m;
}
#define WORKSPACE(CHANGE, ERR, FIELD) SAYS(Wire__WorkspaceCreate, a_workspace, CHANGE, check_workspace_create, ERR, FIELD)

static Wire__SignIn a_sign_in(void)
{
    Wire__SignIn m = WIRE__SIGN_IN__INIT;
    m.workspace = m.user = 1;
    m.address = z("127.0.0.1");
    m.method = z("password");
    m.hash = (ProtobufCBinaryData){ HASH_SIZE, octets };
    m.verified = argon2;
    return m;
}
#define SIGN_IN(CHANGE, ERR, FIELD) SAYS(Wire__SignIn, a_sign_in, CHANGE, check_sign_in, ERR, FIELD)

static Wire__PasswordSet a_password(void)
{
    Wire__PasswordSet m = WIRE__PASSWORD_SET__INIT;
    m.password = argon2;
    return m;
}
#define PASSWORD(CHANGE, ERR, FIELD) SAYS(Wire__PasswordSet, a_password, CHANGE, check_password_set, ERR, FIELD)

static void names_of_users(void **state)
{
    static const char *const good[] = { "a", "Z", "0", "a.b_c@d+e-f", "9zZ" };
    static const char *const bad[] = { "", ".a", "_a", "@a", "+a", "-a", "a b", "a/b", "a:", "a[", "a`", "a{", "\xc3\xa9", "a\x7f" };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(check_user_name(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(check_user_name(bad[i]));
    assert_true(check_user_name(lots(USER_NAME_MAX)));
    assert_false(check_user_name(lots(USER_NAME_MAX + 1)));
}

static void people(void **state)
{
    char *without_end = lots(PASSWORD_STRING_MAX - 1), *too_long = lots(PASSWORD_STRING_MAX);

    (void)state;
    memcpy(without_end, "$argon2id$", 10);
    memcpy(too_long, "$argon2id$", 10);
    USER((void)m, ERR_OK, "");
    USER(m.password = argon2, ERR_OK, "");
    USER(m.password = without_end, ERR_OK, "");
    USER(m.password = too_long, ERR_INVALID_FIELD, "password");
    USER(m.password = z("$argon2i$x"), ERR_INVALID_FIELD, "password");
    USER(m.password = z("$argon2id$a b"), ERR_INVALID_FIELD, "password");
    USER(m.password = z("$argon2id$\x7f"), ERR_INVALID_FIELD, "password");
    USER(m.name = z(""), ERR_MISSING_FIELD, "username");
    USER(m.name = z("a b"), ERR_INVALID_FIELD, "username");
    USER(m.name = z("SyStem"), ERR_INVALID_FIELD, "username");
    USER(m.role = 0, ERR_MISSING_FIELD, "role");
    USER(m.role = ROLE_COUNT, ERR_INVALID_FIELD, "role");

    USER_EDIT((void)m, ERR_OK, "");
    USER_EDIT((m.set = UEDIT_ROLE | UEDIT_PASSWORD, m.password = argon2), ERR_OK, "");
    USER_EDIT((m.set = UEDIT_ROLE, m.role = 0), ERR_INVALID_FIELD, "role");
    USER_EDIT((m.set = UEDIT_ROLE, m.role = ROLE_COUNT), ERR_INVALID_FIELD, "role");
    USER_EDIT(m.set = UEDIT_PASSWORD, ERR_INVALID_FIELD, "password");

    WORKSPACE((void)m, ERR_OK, "");
    WORKSPACE(m.admin_password = argon2, ERR_OK, "");
    WORKSPACE(m.name = z(""), ERR_MISSING_FIELD, "name");
    WORKSPACE(m.name = lots(NAME_MAX_CHARS + 1), ERR_INVALID_FIELD, "name");
    WORKSPACE(m.admin_name = z(""), ERR_MISSING_FIELD, "admin.username");
    WORKSPACE(m.admin_name = z("system"), ERR_INVALID_FIELD, "admin.username");
    WORKSPACE(m.admin_password = z("plain"), ERR_INVALID_FIELD, "admin.password");
    WORKSPACE(m.key_hash.len = 0, ERR_INVALID_FIELD, "");
    WORKSPACE(m.key_last4 = z("abcde"), ERR_INVALID_FIELD, "");

    SIGN_IN((void)m, ERR_OK, "");
    SIGN_IN((m.rehashed = argon2, m.replaces = m.hash), ERR_OK, "");
    SIGN_IN(m.workspace = 0, ERR_MISSING_FIELD, "");
    SIGN_IN(m.user = 0, ERR_MISSING_FIELD, "");
    SIGN_IN(m.address = lots(65), ERR_INVALID_FIELD, "");
    SIGN_IN(m.method = lots(33), ERR_INVALID_FIELD, "");
    SIGN_IN((m.failed = true, m.hash.len = 0, m.verified = z("")), ERR_OK, "");
    SIGN_IN(m.hash.len = 1, ERR_INVALID_FIELD, "");
    SIGN_IN(m.replaces = ((ProtobufCBinaryData){ 1, octets }), ERR_INVALID_FIELD, "");
    SIGN_IN(m.verified = z(""), ERR_INVALID_FIELD, "");
    SIGN_IN(m.rehashed = z("plain"), ERR_INVALID_FIELD, "");

    PASSWORD((void)m, ERR_OK, "");
    PASSWORD(m.password = z(""), ERR_INVALID_FIELD, "");
    PASSWORD(m.verified = argon2, ERR_OK, "");
    PASSWORD(m.verified = z("plain"), ERR_INVALID_FIELD, "");
}

static char *types[WEBHOOK_EVENTS_MAX + 1];

static Wire__WebhookPut a_webhook(void)
{
    Wire__WebhookPut m = WIRE__WEBHOOK_PUT__INIT;

    for (unsigned i = 0; i <= WEBHOOK_EVENTS_MAX; i++)
        types[i] = z("task.created");
    m.name = z("n");
    m.url = z("https://h/hook");
    m.events = types;
    m.n_events = 1;
    return m;
}
#define WEBHOOK(CHANGE, ERR, FIELD)                                                                          \
    do {                                                                                                     \
        SAYS(Wire__WebhookPut, a_webhook, CHANGE, check_webhook_create, ERR, FIELD);                         \
        SAYS(Wire__WebhookPut, a_webhook, (m.set = ~0u, CHANGE), check_webhook_edit, ERR, FIELD);            \
    } while (0)

static void webhooks(void **state)
{
    (void)state;
    WEBHOOK((void)m, ERR_OK, "");
    WEBHOOK(m.name = lots(NAME_MAX_CHARS + 1), ERR_INVALID_FIELD, "name");
    WEBHOOK(m.url = z("h"), ERR_INVALID_FIELD, "url");
    WEBHOOK(m.n_events = 0, ERR_INVALID_FIELD, "events");
    WEBHOOK(m.n_events = WEBHOOK_EVENTS_MAX, ERR_OK, "");
    WEBHOOK(m.n_events = WEBHOOK_EVENTS_MAX + 1, ERR_INVALID_FIELD, "events");
    WEBHOOK(types[0] = z("*"), ERR_OK, "");
    WEBHOOK(types[0] = z("task.updated"), ERR_OK, ""); // of the feed alone
    WEBHOOK(types[0] = z("no.such"), ERR_INVALID_FIELD, "events");
    WEBHOOK(m.secret = lots(WEBHOOK_SECRET_MAX), ERR_OK, "");
    WEBHOOK(m.secret = lots(WEBHOOK_SECRET_MAX + 1), ERR_INVALID_FIELD, "secret");
    WEBHOOK(m.secret = z("a b"), ERR_INVALID_FIELD, "secret");
    WEBHOOK(m.secret = z("a\x7f"), ERR_INVALID_FIELD, "secret");
    SAYS(Wire__WebhookPut, a_webhook, m.url = z(""), check_webhook_create, ERR_MISSING_FIELD, "url");
    SAYS(Wire__WebhookPut, a_webhook, m.name = z(""), check_webhook_create, ERR_OK, "");
    SAYS(Wire__WebhookPut, a_webhook, (m.set = WEDIT_NAME, m.name = z("")), check_webhook_edit, ERR_INVALID_FIELD, "name");
    SAYS(Wire__WebhookPut, a_webhook, (m.set = 0, m.name = m.url = z(""), m.n_events = 0), check_webhook_edit, ERR_OK, "");
    SAYS(Wire__WebhookPut, a_webhook, (m.set = WEDIT_URL, m.url = z("")), check_webhook_edit, ERR_INVALID_FIELD, "url");
}

static Wire__HookReport a_delivery(void)
{
    Wire__HookReport m = WIRE__HOOK_REPORT__INIT;
    return m;
}
#define DELIVERY(CHANGE, ERR) SAYS(Wire__HookReport, a_delivery, CHANGE, check_hook_report, ERR, "")

static Wire__KeysUsed some_keys(void)
{
    Wire__KeysUsed m = WIRE__KEYS_USED__INIT;
    return m;
}

static Wire__Observation seen[2];
static Wire__Observation *observed[] = { &seen[0], &seen[1] };

static Wire__WorkPoll a_poll(void)
{
    Wire__WorkPoll m = WIRE__WORK_POLL__INIT;

    seen[0] = seen[1] = (Wire__Observation)WIRE__OBSERVATION__INIT;
    m.slots = m.free = 4;
    m.observed = observed;
    return m;
}
#define POLL(CHANGE, ERR, FIELD) SAYS(Wire__WorkPoll, a_poll, CHANGE, check_work_poll, ERR, FIELD)

static Wire__OutputPiece cut[2];
static Wire__OutputPiece *pieces[] = { &cut[0], &cut[1] };
static Wire__SessionReport said[2];
static Wire__SessionReport *reports[] = { &said[0], &said[1] };

static Wire__WorkReport a_report(void)
{
    static uint8_t data[OUTPUT_PIECE_MAX + 1];
    Wire__WorkReport m = WIRE__WORK_REPORT__INIT;

    said[0] = said[1] = (Wire__SessionReport)WIRE__SESSION_REPORT__INIT;
    cut[0] = cut[1] = (Wire__OutputPiece)WIRE__OUTPUT_PIECE__INIT;
    for (unsigned i = 0; i < 2; i++) {
        cut[i].data = (ProtobufCBinaryData){ 10, data };
        cut[i].stream = STREAM_STDOUT;
        cut[i].offset = 10 * i;
    }
    said[1].pieces = pieces;
    said[1].n_pieces = 2;
    said[1].output_total = 20;
    m.sessions = reports;
    m.n_sessions = 2;
    return m;
}
#define REPORT(CHANGE, ERR, FIELD) SAYS(Wire__WorkReport, a_report, CHANGE, check_work_report, ERR, FIELD)

static void of_workers(void **state)
{
    (void)state;
    DELIVERY((void)m, ERR_OK);
    DELIVERY((m.http_status = 999, m.duration_ms = 86400000, m.error = lots(HOOK_ERROR_MAX)), ERR_OK);
    DELIVERY(m.http_status = 1000, ERR_INVALID_FIELD);
    DELIVERY(m.duration_ms = 86400001, ERR_INVALID_FIELD);
    DELIVERY(m.error = lots(HOOK_ERROR_MAX + 1), ERR_INVALID_FIELD);

    SAYS(Wire__KeysUsed, some_keys, m.n_keys = USES_MAX, check_keys_used, ERR_OK, "");
    SAYS(Wire__KeysUsed, some_keys, m.n_keys = USES_MAX + 1, check_keys_used, ERR_INVALID_FIELD, "");

    POLL((void)m, ERR_OK, "");
    POLL(m.slots = 4096, ERR_OK, "");
    POLL(m.slots = 4097, ERR_INVALID_FIELD, "slots");
    POLL(m.free = 5, ERR_INVALID_FIELD, "slots");
    POLL(m.n_running = 65536, ERR_OK, "");
    POLL(m.n_running = 65537, ERR_INVALID_FIELD, "running");
    POLL(m.n_observed = 65537, ERR_INVALID_FIELD, "running");
    POLL(m.n_figures = 256, ERR_OK, "");
    POLL(m.n_figures = 257, ERR_INVALID_FIELD, "figures");
    POLL(m.hook_slots = HOOK_SLOTS_MAX, ERR_OK, "");
    POLL(m.hook_slots = HOOK_SLOTS_MAX + 1, ERR_INVALID_FIELD, "hooks");
    POLL(m.n_hooks = 4 * HOOK_SLOTS_MAX, ERR_OK, "");
    POLL(m.n_hooks = 4 * HOOK_SLOTS_MAX + 1, ERR_INVALID_FIELD, "hooks");
    POLL((m.n_observed = 2, seen[1].error = lots(4096), seen[1].ip_address = lots(64)), ERR_OK, "");
    POLL((m.n_observed = 2, seen[1].error = lots(4097)), ERR_INVALID_FIELD, "observed");
    POLL((m.n_observed = 2, seen[1].ip_address = lots(65)), ERR_INVALID_FIELD, "observed");

    REPORT((void)m, ERR_OK, "");
    REPORT(m.n_sessions = 0, ERR_OK, "");
    REPORT(m.n_sessions = 4097, ERR_INVALID_FIELD, "sessions");
    REPORT(said[0].failure = FAILURE_COUNT, ERR_INVALID_FIELD, "failure");
    REPORT(said[1].failure = FAILURE_REJECTED, ERR_INVALID_FIELD, "failure");
    REPORT(said[0].failure_text = lots(4096), ERR_OK, "");
    REPORT(said[0].failure_text = lots(4097), ERR_INVALID_FIELD, "failure");
    REPORT(said[1].output_total = (uint64_t)INT64_MAX, ERR_OK, "");
    REPORT(said[1].output_total = (uint64_t)INT64_MAX + 1, ERR_INVALID_FIELD, "output_total");
    REPORT(said[1].output_total = 19, ERR_INVALID_FIELD, "pieces");
    REPORT(cut[0].data.len = 0, ERR_INVALID_FIELD, "pieces");
    REPORT((cut[1].data.len = OUTPUT_PIECE_MAX, said[1].output_total = 10 + OUTPUT_PIECE_MAX), ERR_OK, "");
    REPORT((cut[1].data.len = OUTPUT_PIECE_MAX + 1, said[1].output_total = 11 + OUTPUT_PIECE_MAX), ERR_INVALID_FIELD, "pieces");
    REPORT(cut[1].offset = 9, ERR_INVALID_FIELD, "pieces");
    REPORT((cut[1].offset = (uint64_t)INT64_MAX / 2 + 1, said[1].output_total = (uint64_t)INT64_MAX), ERR_INVALID_FIELD, "pieces");
    REPORT(cut[1].offset = UINT64_MAX - 5, ERR_INVALID_FIELD, "pieces");
    REPORT(cut[0].stream = 0, ERR_INVALID_FIELD, "pieces");
    REPORT(cut[0].stream = STREAM_COUNT, ERR_INVALID_FIELD, "pieces");
}

static int give_back(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 64; i++)
        lots(0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),
        cmocka_unit_test(urls),
        cmocka_unit_test(task_create),
        cmocka_unit_test(task_edit),
        cmocka_unit_test(small_ones),
        cmocka_unit_test(desktops),
        cmocka_unit_test(of_admins),
        cmocka_unit_test(names_of_users),
        cmocka_unit_test(people),
        cmocka_unit_test(webhooks),
        cmocka_unit_test(of_workers),
    };
    return cmocka_run_group_tests(tests, NULL, give_back);
}
