// links: gateway common protobuf-c jansson sodium
// Golden JSON for each object; bodies that are taken and bodies that are refused, each with the field at fault.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include "lent.h"
#include "names.h"
#include "shape.h"
#include "shape_body.h"

static struct buf out;

static struct json begin(void)
{
    buf_reset(&out);
    return json_to(&out);
}

#define GIVES(text)                                                 \
    do {                                                            \
        assert_int_equal(out.err, ERR_OK);                          \
        assert_string_equal(buf_cstr(&out), text);                  \
        json_error_t e_;                                            \
        json_t *back_ = json_loads(text, JSON_REJECT_DUPLICATES, &e_); \
        assert_non_null(back_);                                     \
        json_decref(back_);                                         \
    } while (0)

static const uint64_t T = 1773568800000; // 2026-03-15T10:00:00Z

static void task(void **state)
{
    Wire__Task t = WIRE__TASK__INIT;
    (void)state;
    t.id = 42;
    t.type = TYPE_COMMAND;
    t.title = z("uname <b>");
    t.content = z("uname -a\n\"x\"");
    t.status = TASK_PENDING;
    t.desktop = 1;
    t.agent = 2;
    t.priority = PRIORITY_MEDIUM;
    t.timeout_s = 3600;
    t.created_by = z("admin");
    t.created_ms = T;
    struct json j = begin();
    shape_task(&j, &t);
    GIVES("{\"id\":\"task_42\",\"type\":\"command\",\"title\":\"uname \\u003cb>\",\"content\":\"uname -a\\n\\\"x\\\"\",\"status\":\"pending\","
          "\"desktopId\":\"desktop_1\",\"agentId\":\"agent_2\",\"priority\":\"medium\",\"requiresApproval\":false,\"timeoutSeconds\":3600,"
          "\"retries\":0,\"attempt\":0,\"createdBy\":\"admin\",\"createdAt\":\"2026-03-15T10:00:00.000Z\",\"startedAt\":null,"
          "\"completedAt\":null,\"exitCode\":null,\"error\":null,\"outputBytes\":0,\"outputTruncated\":false,\"sessionId\":null,"
          "\"approvalId\":null,\"waitingFor\":null}");
    t.status = TASK_FAILED;
    t.requires_approval = true;
    t.retries = 3;
    t.attempt = 4;
    t.started_ms = T + 1500;
    t.completed_ms = T + 2000;
    t.has_exit = true;
    t.exit_code = -1;
    t.failure = FAILURE_EXIT_NONZERO;
    t.failure_text = z("It ended with status 1");
    t.output_bytes = 5000000000;
    t.output_truncated = true;
    t.session = 9;
    t.approval = 7;
    t.waiting_for = WAITING_SLOT;
    j = begin();
    shape_task(&j, &t);
    GIVES("{\"id\":\"task_42\",\"type\":\"command\",\"title\":\"uname \\u003cb>\",\"content\":\"uname -a\\n\\\"x\\\"\",\"status\":\"failed\","
          "\"desktopId\":\"desktop_1\",\"agentId\":\"agent_2\",\"priority\":\"medium\",\"requiresApproval\":true,\"timeoutSeconds\":3600,"
          "\"retries\":3,\"attempt\":4,\"createdBy\":\"admin\",\"createdAt\":\"2026-03-15T10:00:00.000Z\","
          "\"startedAt\":\"2026-03-15T10:00:01.500Z\",\"completedAt\":\"2026-03-15T10:00:02.000Z\",\"exitCode\":-1,"
          "\"error\":{\"code\":\"exit_nonzero\",\"message\":\"It ended with status 1\"},\"outputBytes\":5000000000,\"outputTruncated\":true,"
          "\"sessionId\":\"session_9\",\"approvalId\":\"approval_7\",\"waitingFor\":\"slot\"}");
}

static void session(void **state)
{
    Wire__Session s = WIRE__SESSION__INIT;
    (void)state;
    s.id = 9;
    s.task = 42;
    s.agent = 2;
    s.desktop = 1;
    s.worker = 3;
    s.attempt = 1;
    s.trigger = TRIGGER_MANUAL;
    s.status = SESSION_RUNNING;
    s.started_ms = T;
    struct json j = begin();
    shape_session(&j, &s);
    GIVES("{\"id\":\"session_9\",\"taskId\":\"task_42\",\"agentId\":\"agent_2\",\"desktopId\":\"desktop_1\",\"workerId\":\"worker_3\",\"attempt\":1,"
          "\"trigger\":\"manual\",\"status\":\"running\",\"startedAt\":\"2026-03-15T10:00:00.000Z\",\"completedAt\":null,\"durationMs\":null,"
          "\"exitCode\":null,\"error\":null}");
    s.status = SESSION_FAILED;
    s.trigger = TRIGGER_RETRY;
    s.completed_ms = T + 1234;
    s.has_exit = true;
    s.exit_code = 137;
    s.failure = FAILURE_TIMEOUT;
    s.failure_text = z("late");
    j = begin();
    shape_session(&j, &s);
    GIVES("{\"id\":\"session_9\",\"taskId\":\"task_42\",\"agentId\":\"agent_2\",\"desktopId\":\"desktop_1\",\"workerId\":\"worker_3\",\"attempt\":1,"
          "\"trigger\":\"retry\",\"status\":\"failed\",\"startedAt\":\"2026-03-15T10:00:00.000Z\",\"completedAt\":\"2026-03-15T10:00:01.234Z\","
          "\"durationMs\":1234,\"exitCode\":137,\"error\":{\"code\":\"timeout\",\"message\":\"late\"}}");
    s.completed_ms = T - 1; // a clock that was set back
    j = begin();
    shape_session(&j, &s);
    assert_non_null(strstr(buf_cstr(&out), "\"durationMs\":0,"));
}

static void approval(void **state)
{
    Wire__Approval a = WIRE__APPROVAL__INIT;
    (void)state;
    a.id = 7;
    a.task = 42;
    a.status = APPROVAL_PENDING;
    a.created_ms = T;
    a.task_type = TYPE_PROMPT;
    a.task_content = z("Install PostgreSQL...");
    a.task_desktop = 1;
    struct json j = begin();
    shape_approval(&j, &a);
    GIVES("{\"id\":\"approval_7\",\"taskId\":\"task_42\",\"status\":\"pending\",\"createdAt\":\"2026-03-15T10:00:00.000Z\",\"resolvedAt\":null,"
          "\"decision\":null,\"feedback\":null,\"resolvedBy\":null,\"task\":{\"id\":\"task_42\",\"type\":\"prompt\","
          "\"content\":\"Install PostgreSQL...\",\"desktopId\":\"desktop_1\"}}");
    a.status = APPROVAL_REJECTED;
    a.resolved_ms = T + 1;
    a.decision = DECISION_REJECT;
    a.feedback = z("no");
    a.resolved_by = z("admin");
    j = begin();
    shape_approval(&j, &a);
    GIVES("{\"id\":\"approval_7\",\"taskId\":\"task_42\",\"status\":\"rejected\",\"createdAt\":\"2026-03-15T10:00:00.000Z\","
          "\"resolvedAt\":\"2026-03-15T10:00:00.001Z\",\"decision\":\"reject\",\"feedback\":\"no\",\"resolvedBy\":\"admin\","
          "\"task\":{\"id\":\"task_42\",\"type\":\"prompt\",\"content\":\"Install PostgreSQL...\",\"desktopId\":\"desktop_1\"}}");
}

static void desktop(void **state)
{
    Wire__Desktop d = WIRE__DESKTOP__INIT;
    Wire__Metrics m = WIRE__METRICS__INIT;
    Wire__Chat c = WIRE__CHAT__INIT;
    char *labels[] = { z("a"), z("b") };
    (void)state;
    d.id = 1;
    d.name = z("local");
    d.driver = DRIVER_LOCAL;
    d.status = DESKTOP_BOOTING;
    d.max_tasks = 8;
    d.agent = 2;
    d.created_ms = T;
    d.metrics = &m; // never probed
    struct json j = begin();
    shape_desktop(&j, &d);
    GIVES("{\"id\":\"desktop_1\",\"name\":\"local\",\"driver\":\"local\",\"address\":null,\"status\":\"booting\",\"agentReady\":false,"
          "\"ipAddress\":null,\"cpu\":null,\"memory\":null,\"disk\":null,\"pool\":null,\"labels\":[],\"maxTasks\":8,\"agentId\":\"agent_2\","
          "\"chat\":null,\"startCommand\":null,\"stopCommand\":null,\"hostKey\":null,\"lastSeenAt\":null,"
          "\"createdAt\":\"2026-03-15T10:00:00.000Z\",\"error\":null}");
    d.status = DESKTOP_ERROR;
    d.agent_ready = true;
    d.address = z("me@host:22");
    d.ip_address = z("10.0.3.42");
    d.pool = z("p");
    d.labels = labels;
    d.n_labels = 2;
    d.start_command = z("up");
    d.stop_command = z("down");
    d.host_key = z("ssh-ed25519 A");
    d.last_seen_ms = T;
    d.error = z("unreachable");
    m.probed_ms = T;
    m.cpu = 2350;
    m.memory = 4520;
    m.disk = 0;
    c.url = z("http://h/v1");
    c.mode = CHAT_MODEL;
    c.has_key = true;
    d.chat = &c;
    j = begin();
    shape_desktop(&j, &d);
    GIVES("{\"id\":\"desktop_1\",\"name\":\"local\",\"driver\":\"local\",\"address\":\"me@host:22\",\"status\":\"error\",\"agentReady\":true,"
          "\"ipAddress\":\"10.0.3.42\",\"cpu\":23.5,\"memory\":45.2,\"disk\":0,\"pool\":\"p\",\"labels\":[\"a\",\"b\"],\"maxTasks\":8,"
          "\"agentId\":\"agent_2\",\"chat\":{\"url\":\"http://h/v1\",\"model\":null,\"mode\":\"model\",\"systemPrompt\":null,\"hasKey\":true},"
          "\"startCommand\":\"up\",\"stopCommand\":\"down\",\"hostKey\":\"ssh-ed25519 A\",\"lastSeenAt\":\"2026-03-15T10:00:00.000Z\","
          "\"createdAt\":\"2026-03-15T10:00:00.000Z\",\"error\":\"unreachable\"}");
}

static void overview(void **state)
{
    uint64_t by_status[] = { 0, 3, 1, 2, 45, 3, 1 };
    Wire__Overview o = WIRE__OVERVIEW__INIT;
    Wire__Desktop d = WIRE__DESKTOP__INIT, *desktops[] = { &d };
    (void)state;
    struct json j = begin();
    shape_overview(&j, &o);
    GIVES("{\"tasks\":{\"pending\":0,\"running\":0,\"review\":0,\"done\":0,\"failed\":0,\"cancelled\":0},\"activeDesktops\":0,"
          "\"resources\":{\"cpu\":0,\"memory\":{\"used\":0,\"total\":0,\"percent\":0},\"disk\":{\"used\":0,\"total\":0,\"percent\":0}},"
          "\"metrics\":{\"completionRate24h\":0,\"averageDurationSeconds\":0},\"desktops\":[],\"pendingApprovals\":0,\"workers\":0}");
    o.by_status = by_status;
    o.n_by_status = 7;
    o.active_desktops = 4;
    o.cpu = 3420;
    o.memory_used_mib = 8192;
    o.memory_total_mib = 16384;
    o.disk_used_mib = 1;
    o.disk_total_mib = 3;
    o.pending_approvals = 2;
    o.workers = 1;
    o.finished_24h = 48;
    o.done_24h = 45;
    o.duration_sum_ms_24h = 48 * 1250;
    d.id = 1;
    d.name = z("local");
    d.status = DESKTOP_RUNNING;
    o.desktops = desktops;
    o.n_desktops = 1;
    j = begin();
    shape_overview(&j, &o);
    GIVES("{\"tasks\":{\"pending\":3,\"running\":1,\"review\":2,\"done\":45,\"failed\":3,\"cancelled\":1},\"activeDesktops\":4,"
          "\"resources\":{\"cpu\":34.2,\"memory\":{\"used\":8192,\"total\":16384,\"percent\":50},\"disk\":{\"used\":1,\"total\":3,\"percent\":33.33}},"
          "\"metrics\":{\"completionRate24h\":93.75,\"averageDurationSeconds\":1.25},\"desktops\":[{\"id\":\"desktop_1\",\"name\":\"local\","
          "\"status\":\"running\",\"cpu\":null,\"memory\":null,\"disk\":null}],\"pendingApprovals\":2,\"workers\":1}");
}

static void accounts(void **state)
{
    Wire__Settings s = WIRE__SETTINGS__INIT;
    Wire__Key k = WIRE__KEY__INIT;
    Wire__Worker w = WIRE__WORKER__INIT;
    Wire__Credential c = WIRE__CREDENTIAL__INIT;
    (void)state;
    s.require_approval = true;
    s.cpu = 9000;
    s.memory = 9050;
    s.disk = 10000;
    s.retention_days = 30;
    s.default_timeout_s = 3600;
    struct json j = begin();
    shape_settings(&j, &s);
    GIVES("{\"requireApproval\":true,\"alertThresholds\":{\"cpu\":90,\"memory\":90.5,\"disk\":100},\"retentionDays\":30,"
          "\"defaultTimeoutSeconds\":3600}");
    k.id = 2;
    k.name = z("ci");
    k.role = ROLE_VIEWER;
    k.user = 1;
    k.user_name = z("admin");
    k.last4 = z("abcd");
    k.created_ms = T;
    j = begin();
    shape_key(&j, &k, NULL);
    GIVES("{\"id\":\"key_2\",\"name\":\"ci\",\"role\":\"viewer\",\"userId\":\"user_1\",\"username\":\"admin\",\"last4\":\"abcd\","
          "\"createdAt\":\"2026-03-15T10:00:00.000Z\",\"expiresAt\":null,\"lastUsedAt\":null}");
    j = begin();
    shape_key(&j, &k, "mc_k_x");
    assert_non_null(strstr(buf_cstr(&out), ",\"key\":\"mc_k_x\"}"));
    w.id = 3;
    w.name = z("w1");
    w.connected = true;
    w.slots = 4;
    w.running = 1;
    j = begin();
    shape_worker(&j, &w, "mc-peer worker w1 x\n");
    GIVES("{\"id\":\"worker_3\",\"name\":\"w1\",\"connected\":true,\"slots\":4,\"running\":1,\"draining\":false,\"lastSeenAt\":null,"
          "\"version\":null,\"key\":\"mc-peer worker w1 x\\n\"}");
    c.user = 1;
    c.user_name = z("admin");
    c.role = ROLE_ADMIN;
    c.workspace = 1;
    j = begin();
    shape_user(&j, &c);
    GIVES("{\"id\":\"user_1\",\"username\":\"admin\",\"role\":\"admin\",\"workspaceId\":\"workspace_1\"}");
}

// ---------------------------------------------------------------- bodies

enum body {
    TASK_CREATE, TASK_EDIT, RESOLVE, KEY, SETTINGS, DESKTOP, DESKTOP_CHANGE, SIGN_IN, NEW_PASSWORD, USER, USER_EDIT, WORKSPACE,
    WEBHOOK, WEBHOOK_EDIT, WORKER
};

static const struct {
    enum body body;
    const char *text;
    enum err e;
    const char *field; // at fault
} bodies[] = {
#define L11 "\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\""
#define TASK(extra) "{\"type\":\"command\",\"content\":\"ls\",\"desktopId\":\"desktop_1\"" extra "}"
    { TASK_CREATE, TASK(""), ERR_OK, NULL },
    { TASK_CREATE, TASK(",\"run\":true,\"priority\":\"high\",\"title\":\"t\",\"retries\":2,\"timeoutSeconds\":5,\"requiresApproval\":false,\"new\":[]"), ERR_OK, NULL },
    { TASK_CREATE, TASK(",\"title\":null,\"priority\":null"), ERR_OK, NULL },
    { TASK_CREATE, "{}", ERR_MISSING_FIELD, "type" },
    { TASK_CREATE, "{\"type\":\"command\",\"desktopId\":\"desktop_1\"}", ERR_MISSING_FIELD, "content" },
    { TASK_CREATE, "{\"type\":\"command\",\"content\":\"\",\"desktopId\":\"desktop_1\"}", ERR_MISSING_FIELD, "content" },
    { TASK_CREATE, "{\"type\":\"command\",\"content\":\"ls\"}", ERR_MISSING_FIELD, "desktopId" },
    { TASK_CREATE, "{\"type\":\"shell\",\"content\":\"ls\",\"desktopId\":\"desktop_1\"}", ERR_INVALID_FIELD, "type" },
    { TASK_CREATE, "{\"type\":1,\"content\":\"ls\",\"desktopId\":\"desktop_1\"}", ERR_INVALID_FIELD, "type" },
    { TASK_CREATE, "{\"type\":\"command\",\"content\":7,\"desktopId\":\"desktop_1\"}", ERR_INVALID_FIELD, "content" },
    { TASK_CREATE, "{\"type\":\"command\",\"content\":\"ls\",\"desktopId\":1}", ERR_INVALID_FIELD, "desktopId" },
    { TASK_CREATE, "{\"type\":\"command\",\"content\":\"ls\",\"desktopId\":\"clx\"}", ERR_UNKNOWN_DESKTOP, "desktopId" },
    { TASK_CREATE, "{\"type\":\"command\",\"content\":\"ls\",\"desktopId\":\"\"}", ERR_UNKNOWN_DESKTOP, "desktopId" },
    { TASK_CREATE, TASK(",\"priority\":\"urgent\""), ERR_INVALID_FIELD, "priority" },
    { TASK_CREATE, TASK(",\"title\":\"\""), ERR_INVALID_FIELD, "title" },
    { TASK_CREATE, TASK(",\"title\":\"a\\nb\""), ERR_INVALID_FIELD, "title" },
    { TASK_CREATE, TASK(",\"requiresApproval\":\"yes\""), ERR_INVALID_FIELD, "requiresApproval" },
    { TASK_CREATE, TASK(",\"timeoutSeconds\":0"), ERR_INVALID_FIELD, "timeoutSeconds" },
    { TASK_CREATE, TASK(",\"timeoutSeconds\":1.5"), ERR_INVALID_FIELD, "timeoutSeconds" },
    { TASK_CREATE, TASK(",\"timeoutSeconds\":99999999"), ERR_INVALID_FIELD, "timeoutSeconds" },
    { TASK_CREATE, TASK(",\"retries\":-1"), ERR_INVALID_FIELD, "retries" },
    { TASK_CREATE, TASK(",\"retries\":101"), ERR_INVALID_FIELD, "retries" },
    { TASK_CREATE, TASK(",\"run\":1"), ERR_INVALID_FIELD, "run" },
    { TASK_CREATE, TASK(",\"priority\":7"), ERR_INVALID_FIELD, "priority" },
    { TASK_CREATE, TASK(",\"title\":7"), ERR_INVALID_FIELD, "title" },
    { TASK_CREATE, TASK(",\"retries\":\"7\""), ERR_INVALID_FIELD, "retries" },
    { TASK_CREATE, TASK(",\"requiresApproval\":true"), ERR_OK, NULL },
    { TASK_EDIT, "{\"priority\":7}", ERR_INVALID_FIELD, "priority" },
    { TASK_EDIT, "{\"requiresApproval\":7}", ERR_INVALID_FIELD, "requiresApproval" },
    { TASK_EDIT, "{\"timeoutSeconds\":\"7\"}", ERR_INVALID_FIELD, "timeoutSeconds" },
    { TASK_EDIT, "{}", ERR_OK, NULL },
    { TASK_EDIT, "{\"title\":\"t\",\"priority\":\"low\",\"content\":\"c\",\"desktopId\":\"desktop_2\",\"requiresApproval\":true,\"timeoutSeconds\":1,\"retries\":0}", ERR_OK, NULL },
    { TASK_EDIT, "{\"title\":\"\"}", ERR_INVALID_FIELD, "title" },
    { TASK_EDIT, "{\"content\":\"\"}", ERR_INVALID_FIELD, "content" },
    { TASK_EDIT, "{\"priority\":\"\"}", ERR_INVALID_FIELD, "priority" },
    { TASK_EDIT, "{\"desktopId\":\"x\"}", ERR_UNKNOWN_DESKTOP, "desktopId" },
    { TASK_EDIT, "{\"retries\":\"1\"}", ERR_INVALID_FIELD, "retries" },
    { RESOLVE, "{\"decision\":\"approve\"}", ERR_OK, NULL },
    { RESOLVE, "{\"decision\":\"reject\",\"feedback\":\"no\\nreally\"}", ERR_OK, NULL },
    { RESOLVE, "{}", ERR_MISSING_FIELD, "decision" },
    { RESOLVE, "{\"decision\":\"approved\"}", ERR_INVALID_FIELD, "decision" },
    { RESOLVE, "{\"decision\":true}", ERR_INVALID_FIELD, "decision" },
    { RESOLVE, "{\"decision\":\"approve\",\"feedback\":1}", ERR_INVALID_FIELD, "feedback" },
    { KEY, "{\"name\":\"ci\"}", ERR_OK, NULL },
    { KEY, "{\"name\":\"ci\",\"role\":\"viewer\",\"expiresAt\":\"2026-03-15T10:00:01Z\"}", ERR_OK, NULL },
    { KEY, "{\"name\":1}", ERR_INVALID_FIELD, "name" },
    { KEY, "{\"name\":\"ci\",\"role\":1}", ERR_INVALID_FIELD, "role" },
    { KEY, "{\"name\":\"ci\",\"expiresAt\":\"2026-03-15T10:00:00Z\"}", ERR_INVALID_FIELD, "expiresAt" },
    { KEY, "{\"name\":\"ci\",\"expiresAt\":\"tomorrow\"}", ERR_INVALID_FIELD, "expiresAt" },
    { KEY, "{\"name\":\"ci\",\"expiresAt\":1773568801}", ERR_INVALID_FIELD, "expiresAt" },
    { SETTINGS, "{}", ERR_OK, NULL },
    { SETTINGS, "{\"requireApproval\":true,\"alertThresholds\":{\"cpu\":90,\"memory\":0.5,\"disk\":100.0},\"retentionDays\":1,\"defaultTimeoutSeconds\":60}", ERR_OK, NULL },
    { SETTINGS, "{\"requireApproval\":1}", ERR_INVALID_FIELD, "requireApproval" },
    { SETTINGS, "{\"alertThresholds\":{\"cpu\":null}}", ERR_OK, NULL },
    { SETTINGS, "{\"alertThresholds\":[]}", ERR_INVALID_FIELD, "alertThresholds" },
    { SETTINGS, "{\"alertThresholds\":{\"cpu\":0}}", ERR_INVALID_FIELD, "alertThresholds.cpu" },
    { SETTINGS, "{\"alertThresholds\":{\"memory\":100.01}}", ERR_INVALID_FIELD, "alertThresholds.memory" },
    { SETTINGS, "{\"alertThresholds\":{\"disk\":\"90\"}}", ERR_INVALID_FIELD, "alertThresholds.disk" },
    { SETTINGS, "{\"alertThresholds\":{\"disk\":0.001}}", ERR_INVALID_FIELD, "alertThresholds.disk" },
    { SETTINGS, "{\"retentionDays\":\"1\"}", ERR_INVALID_FIELD, "retentionDays" },
    { SETTINGS, "{\"defaultTimeoutSeconds\":\"1\"}", ERR_INVALID_FIELD, "defaultTimeoutSeconds" },
    { SETTINGS, "{\"retentionDays\":0}", ERR_INVALID_FIELD, "retentionDays" },
    { SETTINGS, "{\"defaultTimeoutSeconds\":-5}", ERR_INVALID_FIELD, "defaultTimeoutSeconds" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\"}", ERR_OK, NULL },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"labels\":[\"a\"],\"maxTasks\":2,\"pool\":\"p\",\"startCommand\":\"x\",\"stopCommand\":\"y\","
               "\"chat\":{\"url\":\"http://127.0.0.1:1/v1\",\"model\":\"m\",\"mode\":\"model\",\"systemPrompt\":\"s\",\"key\":\"k\"}}", ERR_OK, NULL },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"chat\":null}", ERR_OK, NULL },
    { DESKTOP, "{\"driver\":\"local\"}", ERR_MISSING_FIELD, "name" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"ssh\",\"address\":\"a@b\"}", ERR_INVALID_FIELD, "driver" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"vm\"}", ERR_INVALID_FIELD, "driver" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"labels\":\"a\"}", ERR_INVALID_FIELD, "labels" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"labels\":[1]}", ERR_INVALID_FIELD, "labels" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"labels\":[\"\"]}", ERR_INVALID_FIELD, "labels" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"maxTasks\":0}", ERR_INVALID_FIELD, "maxTasks" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"chat\":{}}", ERR_MISSING_FIELD, "chat.url" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"chat\":{\"url\":\"ftp://x\"}}", ERR_INVALID_FIELD, "chat.url" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"chat\":{\"key\":\"k\"}}", ERR_INVALID_FIELD, "chat.url" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"chat\":{\"url\":\"http://x\",\"mode\":\"x\"}}", ERR_INVALID_FIELD, "chat.mode" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"chat\":{\"url\":\"http://x\",\"key\":1}}", ERR_INVALID_FIELD, "chat.key" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"chat\":\"http://x\"}", ERR_INVALID_FIELD, "chat" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":1}", ERR_INVALID_FIELD, "driver" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"chat\":{\"url\":1}}", ERR_INVALID_FIELD, "chat.url" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"chat\":{\"url\":\"http://x\",\"model\":1}}", ERR_INVALID_FIELD, "chat.model" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"chat\":{\"url\":\"http://x\",\"systemPrompt\":1}}", ERR_INVALID_FIELD, "chat.systemPrompt" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"chat\":{\"url\":\"http://x\",\"mode\":1}}", ERR_INVALID_FIELD, "chat.mode" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"chat\":{\"url\":\"http://x\",\"key\":\"\"}}", ERR_INVALID_FIELD, "chat.key" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"address\":1}", ERR_INVALID_FIELD, "address" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"address\":\"a\"}", ERR_INVALID_FIELD, "address" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"pool\":1}", ERR_INVALID_FIELD, "pool" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"labels\":[" L11 "," L11 "," L11 "]}", ERR_INVALID_FIELD, "labels" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"maxTasks\":\"1\"}", ERR_INVALID_FIELD, "maxTasks" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"startCommand\":1}", ERR_INVALID_FIELD, "startCommand" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"stopCommand\":1}", ERR_INVALID_FIELD, "stopCommand" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"hostKey\":1}", ERR_INVALID_FIELD, "hostKey" },
    { DESKTOP, "{\"name\":\"d\",\"driver\":\"local\",\"hostKey\":\"h\"}", ERR_OK, NULL },
    { DESKTOP_CHANGE, "{}", ERR_OK, NULL },
    { DESKTOP_CHANGE, "{\"driver\":1}", ERR_INVALID_FIELD, "driver" },
    { DESKTOP_CHANGE, "{\"chat\":{\"key\":\"k\",\"mode\":\"agent\"}}", ERR_MISSING_FIELD, "chat.url" },
    { DESKTOP_CHANGE, "{\"chat\":{\"key\":\"k\",\"systemPrompt\":\"s\"}}", ERR_MISSING_FIELD, "chat.url" },
    { DESKTOP_CHANGE, "{\"chat\":{}}", ERR_MISSING_FIELD, "chat.url" },
    { SIGN_IN, "{\"username\":\"a\",\"password\":\"p\"}", ERR_OK, NULL },
    { SIGN_IN, "{\"username\":1,\"password\":\"p\"}", ERR_INVALID_FIELD, "username" },
    { SIGN_IN, "{\"username\":\"a\",\"password\":1}", ERR_INVALID_FIELD, "password" },
    { SIGN_IN, "{\"password\":\"p\"}", ERR_MISSING_FIELD, "username" },
    { SIGN_IN, "{\"username\":\"a\"}", ERR_MISSING_FIELD, "password" },
    { NEW_PASSWORD, "{\"currentPassword\":\"a\",\"newPassword\":\"p\"}", ERR_OK, NULL },
    { NEW_PASSWORD, "{\"newPassword\":\"p\"}", ERR_OK, NULL },
    { NEW_PASSWORD, "{\"currentPassword\":1,\"newPassword\":\"p\"}", ERR_INVALID_FIELD, "currentPassword" },
    { NEW_PASSWORD, "{\"newPassword\":1}", ERR_INVALID_FIELD, "newPassword" },
    { NEW_PASSWORD, "{}", ERR_MISSING_FIELD, "newPassword" },
    { USER, "{\"username\":\"a\",\"role\":\"viewer\"}", ERR_OK, NULL },
    { USER, "{\"username\":\"a\",\"role\":\"viewer\",\"password\":\"p\"}", ERR_OK, NULL },
    { USER, "{\"username\":1,\"role\":\"viewer\"}", ERR_INVALID_FIELD, "username" },
    { USER, "{\"role\":\"viewer\"}", ERR_MISSING_FIELD, "username" },
    { USER, "{\"username\":\"a\"}", ERR_MISSING_FIELD, "role" },
    { USER, "{\"username\":\"a\",\"role\":1}", ERR_INVALID_FIELD, "role" },
    { USER, "{\"username\":\"a\",\"role\":\"king\"}", ERR_INVALID_FIELD, "role" },
    { USER, "{\"username\":\"a\",\"role\":\"viewer\",\"password\":1}", ERR_INVALID_FIELD, "password" },
    { USER_EDIT, "{}", ERR_OK, NULL },
    { USER_EDIT, "{\"role\":\"admin\",\"disabled\":true,\"password\":\"p\"}", ERR_OK, NULL },
    { USER_EDIT, "{\"role\":1}", ERR_INVALID_FIELD, "role" },
    { USER_EDIT, "{\"role\":\"king\"}", ERR_INVALID_FIELD, "role" },
    { USER_EDIT, "{\"disabled\":1}", ERR_INVALID_FIELD, "disabled" },
    { USER_EDIT, "{\"password\":1}", ERR_INVALID_FIELD, "password" },
    { WORKSPACE, "{\"name\":\"w\",\"admin\":{\"username\":\"a\",\"password\":\"p\"}}", ERR_OK, NULL },
    { WORKSPACE, "{\"name\":\"w\"}", ERR_OK, NULL }, // what is missing is said once all is there
    { WORKSPACE, "{\"name\":1}", ERR_INVALID_FIELD, "name" },
    { WORKSPACE, "{\"name\":\"w\",\"admin\":1}", ERR_INVALID_FIELD, "admin" },
    { WORKSPACE, "{\"name\":\"w\",\"admin\":{\"username\":1}}", ERR_INVALID_FIELD, "admin.username" },
    { WORKSPACE, "{\"name\":\"w\",\"admin\":{\"username\":\"a\",\"password\":1}}", ERR_INVALID_FIELD, "admin.password" },
    { WEBHOOK, "{\"url\":\"http://h\"}", ERR_OK, NULL },
    { WEBHOOK, "{\"url\":\"http://h\",\"name\":\"n\",\"events\":[\"task.created\"],\"enabled\":false,\"secret\":\"s\"}", ERR_OK, NULL },
    { WEBHOOK, "{}", ERR_MISSING_FIELD, "url" },
    { WEBHOOK, "{\"url\":\"\"}", ERR_INVALID_FIELD, "url" },
    { WEBHOOK, "{\"url\":1}", ERR_INVALID_FIELD, "url" },
    { WEBHOOK, "{\"url\":\"http://h\",\"name\":\"\"}", ERR_INVALID_FIELD, "name" },
    { WEBHOOK, "{\"url\":\"http://h\",\"events\":\"*\"}", ERR_INVALID_FIELD, "events" },
    { WEBHOOK, "{\"url\":\"http://h\",\"events\":[]}", ERR_INVALID_FIELD, "events" },
    { WEBHOOK, "{\"url\":\"http://h\",\"enabled\":1}", ERR_INVALID_FIELD, "enabled" },
    { WEBHOOK, "{\"url\":\"http://h\",\"secret\":\"\"}", ERR_INVALID_FIELD, "secret" },
    { WEBHOOK_EDIT, "{}", ERR_OK, NULL },
    { WEBHOOK_EDIT, "{\"enabled\":true}", ERR_OK, NULL },
    { WEBHOOK_EDIT, "{\"events\":[\"nothing\"]}", ERR_INVALID_FIELD, "events" },
    { WEBHOOK_EDIT, "{\"url\":1}", ERR_INVALID_FIELD, "url" },
    { WORKER, "{\"name\":\"w\"}", ERR_OK, NULL },
    { WORKER, "{}", ERR_OK, NULL }, // likewise
    { WORKER, "{\"name\":1}", ERR_INVALID_FIELD, "name" },
    { DESKTOP_CHANGE, "{\"name\":\"e\",\"chat\":null,\"labels\":[]}", ERR_OK, NULL },
    { DESKTOP_CHANGE, "{\"chat\":{\"key\":\"k\"}}", ERR_OK, NULL },
    { DESKTOP_CHANGE, "{\"chat\":{\"key\":null}}", ERR_OK, NULL },
    { DESKTOP_CHANGE, "{\"name\":\"\"}", ERR_INVALID_FIELD, "name" },
    { DESKTOP_CHANGE, "{\"driver\":\"local\"}", ERR_INVALID_FIELD, "driver" },
    { DESKTOP_CHANGE, "{\"chat\":{\"model\":\"m\"}}", ERR_MISSING_FIELD, "chat.url" },
};

static union {
    Wire__TaskCreate create;
    Wire__TaskEdit edit;
    Wire__Resolve resolve;
    Wire__KeyCreate key;
    struct shape_settings_put settings;
    struct shape_desktop_put desktop;
    struct shape_webhook_put webhook;
    Wire__UserPut user;
    Wire__WorkspaceCreate workspace;
    Wire__WorkerAdd worker;
} got;
static const char *got_text[2]; // the passwords, and the name

static json_t *parse(const char *text)
{
    char why[160];
    json_t *o = NULL;
    assert_int_equal(json_in_parse(text, strlen(text), &o, why, sizeof why), ERR_OK);
    return o;
}

static enum err read_body(enum body b, const json_t *o, struct fault *f)
{
    switch (b) {
    case TASK_CREATE: return shape_task_create(o, &got.create, f);
    case TASK_EDIT: return shape_task_edit(o, 5, &got.edit, f);
    case RESOLVE: return shape_resolve(o, 5, 0, &got.resolve, f);
    case KEY: return shape_key_create(o, T, &got.key, f);
    case SETTINGS: return shape_settings_put(o, &got.settings, f);
    case DESKTOP: return shape_desktop_create(o, &got.desktop, f);
    case DESKTOP_CHANGE: return shape_desktop_edit(o, 5, &got.desktop, f);
    case SIGN_IN: return shape_sign_in(o, &got_text[0], &got_text[1], f);
    case NEW_PASSWORD: return shape_new_password(o, &got_text[0], &got_text[1], f);
    case USER: return shape_user_create(o, &got.user, &got_text[0], f);
    case USER_EDIT: return shape_user_edit(o, 5, &got.user, &got_text[0], f);
    case WORKSPACE: return shape_workspace_create(o, &got.workspace, &got_text[0], f);
    case WEBHOOK: return shape_webhook_create(o, &got.webhook, f);
    case WEBHOOK_EDIT: return shape_webhook_edit(o, 5, &got.webhook, f);
    case WORKER: return shape_worker_add(o, &got.worker, f);
    }
    return ERR_INTERNAL;
}

static void every_body(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct fault f = { NULL, NULL };
        json_t *o = parse(bodies[i].text);
        enum err e = read_body(bodies[i].body, o, &f);
        if (e != bodies[i].e)
            print_error("%s: %s, not %s\n", bodies[i].text, err_name(e), err_name(bodies[i].e));
        assert_int_equal(e, bodies[i].e);
        if (e != ERR_OK) {
            assert_string_equal(f.field, bodies[i].field);
            assert_true(f.text && *f.text);
        }
        json_decref(o);
    }
}

static void messages(void **state)
{
    struct fault f;
    (void)state;
    json_t *o = parse(bodies[1].text);
    assert_int_equal(shape_task_create(o, &got.create, &f), ERR_OK);
    assert_int_equal(got.create.type, TYPE_COMMAND);
    assert_string_equal(got.create.content, "ls");
    assert_int_equal(got.create.desktop, 1);
    assert_string_equal(got.create.title, "t");
    assert_int_equal(got.create.priority, PRIORITY_HIGH);
    assert_int_equal(got.create.requires_approval, 1);
    assert_int_equal(got.create.timeout_s, 5);
    assert_int_equal(got.create.retries, 2);
    assert_true(got.create.run);
    json_decref(o);
    o = parse("{\"title\":\"t\",\"retries\":0}");
    assert_int_equal(shape_task_edit(o, 5, &got.edit, &f), ERR_OK);
    assert_int_equal(got.edit.id, 5);
    assert_int_equal(got.edit.set, EDIT_TITLE | EDIT_RETRIES);
    json_decref(o);
    o = parse("{\"alertThresholds\":{\"cpu\":90.55}}");
    assert_int_equal(shape_settings_put(o, &got.settings, &f), ERR_OK);
    assert_int_equal(got.settings.m.set, SET_CPU);
    assert_int_equal(got.settings.settings.cpu, 9055);
    json_decref(o);
    o = parse("{\"chat\":{\"url\":\"http://x/v1\"}}");
    assert_int_equal(shape_desktop_edit(o, 5, &got.desktop, &f), ERR_OK);
    assert_int_equal(got.desktop.m.set, DEDIT_CHAT);
    assert_ptr_equal(got.desktop.m.chat, &got.desktop.chat);
    json_decref(o);
    o = parse("{\"chat\":{\"key\":null}}");
    assert_int_equal(shape_desktop_edit(o, 5, &got.desktop, &f), ERR_OK);
    assert_int_equal(got.desktop.m.set, DEDIT_CHAT_KEY);
    assert_true(got.desktop.m.clear_chat_key);
    assert_null(got.desktop.m.chat);
    json_decref(o);
    o = parse("{\"chat\":null}");
    assert_int_equal(shape_desktop_edit(o, 5, &got.desktop, &f), ERR_OK);
    assert_int_equal(got.desktop.m.set, DEDIT_CHAT);
    assert_true(got.desktop.m.clear_chat);
    json_decref(o);
}

static void messages_of_people_and_webhooks(void **state)
{
    struct fault f;
    (void)state;
    json_t *o = parse("{\"username\":\"ann\",\"password\":\"secret\"}");
    assert_int_equal(read_body(SIGN_IN, o, &f), ERR_OK);
    assert_string_equal(got_text[0], "ann");
    assert_string_equal(got_text[1], "secret");
    json_decref(o);
    o = parse("{\"newPassword\":\"fresh\"}");
    assert_int_equal(read_body(NEW_PASSWORD, o, &f), ERR_OK);
    assert_null(got_text[0]);
    assert_string_equal(got_text[1], "fresh");
    json_decref(o);
    o = parse("{\"disabled\":true,\"password\":\"secret\"}");
    assert_int_equal(read_body(USER_EDIT, o, &f), ERR_OK);
    assert_int_equal(got.user.id, 5);
    assert_int_equal(got.user.set, UEDIT_DISABLED);
    assert_true(got.user.disabled);
    assert_string_equal(got.user.password, ""); // never the text
    assert_string_equal(got_text[0], "secret");
    json_decref(o);
    o = parse("{\"name\":\"w\",\"admin\":{\"username\":\"ann\"}}");
    assert_int_equal(read_body(WORKSPACE, o, &f), ERR_OK);
    assert_string_equal(got.workspace.name, "w");
    assert_string_equal(got.workspace.admin_name, "ann");
    assert_null(got_text[0]);
    json_decref(o);
    o = parse("{\"url\":\"http://h\"}");
    assert_int_equal(read_body(WEBHOOK, o, &f), ERR_OK);
    assert_true(got.webhook.m.enabled && got.webhook.m.n_events == 1 && got.webhook.m.set == 0);
    assert_string_equal(got.webhook.m.events[0], "*");
    json_decref(o);
    o = parse("{\"enabled\":false}");
    assert_int_equal(read_body(WEBHOOK_EDIT, o, &f), ERR_OK);
    assert_true(!got.webhook.m.enabled && got.webhook.m.set == WEDIT_ENABLED && got.webhook.m.id == 5);
    json_decref(o);
}

static void people(void **state)
{
    Wire__User u = WIRE__USER__INIT;
    Wire__Workspace w = WIRE__WORKSPACE__INIT;
    Wire__WorkspaceMade made = WIRE__WORKSPACE_MADE__INIT;
    (void)state;
    u.id = 3;
    u.name = z("ann");
    u.role = ROLE_OPERATOR;
    u.has_password = true;
    u.created_ms = T;
    struct json j = begin();
    shape_person(&j, &u);
#define ANN "{\"id\":\"user_3\",\"username\":\"ann\",\"role\":\"operator\",\"disabled\":false,\"hasPassword\":true," \
            "\"createdAt\":\"2026-03-15T10:00:00.000Z\",\"lastLoginAt\":null}"
    GIVES(ANN);
    w.id = 2;
    w.name = z("w");
    w.created_ms = T;
    j = begin();
    shape_workspace(&j, &w);
    GIVES("{\"id\":\"workspace_2\",\"name\":\"w\",\"createdAt\":\"2026-03-15T10:00:00.000Z\"}");
    made.workspace = &w;
    made.admin = &u;
    j = begin();
    shape_workspace_made(&j, &made, "mc_k_x");
    GIVES("{\"id\":\"workspace_2\",\"name\":\"w\",\"createdAt\":\"2026-03-15T10:00:00.000Z\",\"admin\":" ANN ",\"key\":\"mc_k_x\"}");
}

static void webhooks(void **state)
{
    Wire__Webhook h = WIRE__WEBHOOK__INIT;
    Wire__Delivery d = WIRE__DELIVERY__INIT;
    char *types[] = { z("task.created"), z("task.failed") };
    (void)state;
    h.id = 4;
    h.name = z("n");
    h.url = z("http://h/");
    h.events = types;
    h.n_events = 2;
    h.enabled = true;
    h.status = WEBHOOK_OK;
    h.created_ms = T;
    struct json j = begin();
    shape_webhook(&j, &h, NULL);
#define HOOK "{\"id\":\"webhook_4\",\"name\":\"n\",\"url\":\"http://h/\",\"events\":[\"task.created\",\"task.failed\"],\"enabled\":true," \
             "\"status\":\"ok\",\"failures\":0,\"createdAt\":\"2026-03-15T10:00:00.000Z\",\"lastDeliveryAt\":null,\"lastError\":null," \
             "\"nextAttemptAt\":null"
    GIVES(HOOK "}");
    j = begin();
    shape_webhook(&j, &h, "s");
    GIVES(HOOK ",\"secret\":\"s\"}");
    d.id = 9;
    d.event = 1523;
    d.type = z("task.created");
    d.attempt = 2;
    d.status = DELIVERY_FAILED;
    d.error = z("refused");
    d.duration_ms = 12;
    d.created_ms = T;
    j = begin();
    shape_delivery(&j, &d);
    GIVES("{\"id\":\"delivery_9\",\"eventId\":\"evt_1523\",\"type\":\"task.created\",\"attempt\":2,\"status\":\"failed\",\"httpStatus\":null,"
          "\"error\":\"refused\",\"durationMs\":12,\"createdAt\":\"2026-03-15T10:00:00.000Z\"}");
    d.http_status = 500;
    j = begin();
    shape_delivery(&j, &d);
    assert_non_null(strstr(buf_cstr(&out), "\"httpStatus\":500,"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(task), cmocka_unit_test(session), cmocka_unit_test(approval), cmocka_unit_test(desktop), cmocka_unit_test(overview),
        cmocka_unit_test(accounts), cmocka_unit_test(every_body), cmocka_unit_test(messages), cmocka_unit_test(messages_of_people_and_webhooks),
        cmocka_unit_test(people), cmocka_unit_test(webhooks),
    };
    buf_init(&out, 1 << 20);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_fini(&out);
    return failed;
}
