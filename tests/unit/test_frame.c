// links: gateway common protobuf-c jansson
// Frames of every row in every view: the exact octets of some, and rules that hold for all.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "event_json.h"
#include "frame.h"
#include "json_in.h"
#include "json_put.h"

static const enum event_view streams[] = { VIEW_ACTIVITY, VIEW_FEED, VIEW_DESKTOPS };

static char *chars(const char *s) // lent text in a message that is never written to
{
    return (char *)(uintptr_t)s;
}

static Wire__Row plain_row(unsigned kind)
{
    Wire__Row r = WIRE__ROW__INIT;
    r.number = 1523;
    r.time_ms = 1773568800000; // 2026-03-15T10:00:00Z
    r.row = kind;
    r.workspace = 1;
    r.actor = chars("ada");
    r.entity = 42;
    r.severity = SEVERITY_INFO;
    r.task = 42;
    r.desktop = 1;
    r.agent = 2;
    r.session = 9;
    r.approval = 7;
    r.title = chars("uname");
    r.created_ms = 1773568800000;
    r.comment = 3;
    return r;
}

static const char *text_of(struct buf *b, const Wire__Row *r, enum event_view view)
{
    buf_reset(b);
    assert_true(frame_row(b, r, view));
    assert_int_equal(b->err, ERR_OK);
    return buf_cstr(b);
}

static void golden_activity(void **u)
{
    struct buf b;
    (void)u;
    buf_init(&b, FRAME_MAX);

    Wire__Row r = plain_row(ROW_TASK_FAILED);
    r.started_ms = 1773568801000;
    r.completed_ms = 1773568802500;
    r.failure = FAILURE_EXIT_NONZERO;
    r.failure_text = chars("exit status 3");
    assert_string_equal(text_of(&b, &r, VIEW_ACTIVITY),
        "id: 1523\n"
        "data: {\"id\":\"evt_1523\",\"type\":\"task.failed\",\"timestamp\":\"2026-03-15T10:00:00.000Z\",\"payload\":{"
        "\"taskId\":\"task_42\",\"desktopId\":\"desktop_1\",\"agentId\":\"agent_2\",\"title\":\"uname\",\"status\":\"failed\","
        "\"createdAt\":\"2026-03-15T10:00:00.000Z\",\"startedAt\":\"2026-03-15T10:00:01.000Z\","
        "\"completedAt\":\"2026-03-15T10:00:02.500Z\",\"error\":{\"code\":\"exit_nonzero\",\"message\":\"exit status 3\"}}}\n\n");

    r = plain_row(ROW_TASK_CREATED);
    r.agent = 0;
    assert_string_equal(text_of(&b, &r, VIEW_ACTIVITY),
        "id: 1523\n"
        "data: {\"id\":\"evt_1523\",\"type\":\"task.created\",\"timestamp\":\"2026-03-15T10:00:00.000Z\",\"payload\":{"
        "\"taskId\":\"task_42\",\"desktopId\":\"desktop_1\",\"agentId\":null,\"title\":\"uname\",\"status\":\"pending\","
        "\"createdAt\":\"2026-03-15T10:00:00.000Z\",\"startedAt\":null,\"completedAt\":null,\"error\":null}}\n\n");

    r = plain_row(ROW_APPROVAL_RESOLVED);
    r.decision = DECISION_REJECT;
    r.resolved_by = chars("ada");
    assert_string_equal(text_of(&b, &r, VIEW_ACTIVITY),
        "id: 1523\n"
        "data: {\"id\":\"evt_1523\",\"type\":\"approval.resolved\",\"timestamp\":\"2026-03-15T10:00:00.000Z\",\"payload\":{"
        "\"approvalId\":\"approval_7\",\"taskId\":\"task_42\",\"desktopId\":\"desktop_1\",\"status\":\"rejected\","
        "\"decision\":\"reject\",\"resolvedBy\":\"ada\"}}\n\n");

    r = plain_row(ROW_DESKTOP_ERROR);
    r.name = chars("local");
    r.error = chars("no worker reaches it");
    assert_string_equal(text_of(&b, &r, VIEW_ACTIVITY),
        "id: 1523\n"
        "data: {\"id\":\"evt_1523\",\"type\":\"desktop.error\",\"timestamp\":\"2026-03-15T10:00:00.000Z\",\"payload\":{"
        "\"desktopId\":\"desktop_1\",\"name\":\"local\",\"status\":\"error\",\"error\":\"no worker reaches it\"}}\n\n");
    buf_fini(&b);
}

static void golden_desktops(void **u)
{
    struct buf b;
    (void)u;
    buf_init(&b, FRAME_MAX);

    Wire__Metrics m = WIRE__METRICS__INIT;
    m.probed_ms = 1773568800000;
    m.cpu = 2350;
    m.memory = 4520;
    m.disk = 700;
    Wire__Row r = plain_row(ROW_DESKTOP_RUNNING);
    r.name = chars("my-agent");
    r.ip_address = chars("10.0.3.42");
    r.metrics = &m;
    assert_string_equal(text_of(&b, &r, VIEW_DESKTOPS),
        "id: 1523\n"
        "data: {\"id\":\"evt_1523\",\"type\":\"desktop.status\",\"timestamp\":\"2026-03-15T10:00:00.000Z\",\"payload\":{"
        "\"id\":\"desktop_1\",\"name\":\"my-agent\",\"status\":\"running\",\"ipAddress\":\"10.0.3.42\","
        "\"cpu\":23.5,\"memory\":45.2,\"disk\":7}}\n\n");

    r = plain_row(ROW_DESKTOP_BOOTING);
    r.name = chars("my-agent");
    assert_string_equal(text_of(&b, &r, VIEW_DESKTOPS),
        "id: 1523\n"
        "data: {\"id\":\"evt_1523\",\"type\":\"desktop.status\",\"timestamp\":\"2026-03-15T10:00:00.000Z\",\"payload\":{"
        "\"id\":\"desktop_1\",\"name\":\"my-agent\",\"status\":\"booting\",\"ipAddress\":null,"
        "\"cpu\":null,\"memory\":null,\"disk\":null}}\n\n");

    r = plain_row(ROW_AGENT_READY);
    r.name = chars("my-agent");
    assert_string_equal(text_of(&b, &r, VIEW_DESKTOPS),
        "id: 1523\n"
        "data: {\"id\":\"evt_1523\",\"type\":\"desktop.agentReady\",\"timestamp\":\"2026-03-15T10:00:00.000Z\",\"payload\":{"
        "\"id\":\"desktop_1\",\"name\":\"my-agent\"}}\n\n");

    Wire__LiveMetrics live = WIRE__LIVE_METRICS__INIT;
    live.desktop = 1;
    live.name = chars("my-agent");
    live.metrics = &m;
    buf_reset(&b);
    frame_metrics(&b, &live);
    assert_string_equal(buf_cstr(&b),
        "data: {\"type\":\"desktop.metrics\",\"timestamp\":\"2026-03-15T10:00:00.000Z\",\"payload\":{"
        "\"id\":\"desktop_1\",\"name\":\"my-agent\",\"cpu\":23.5,\"memory\":45.2,\"disk\":7}}\n\n");
    buf_fini(&b);
}

static void golden_feed(void **u)
{
    struct buf b;
    (void)u;
    buf_init(&b, FRAME_MAX);

    Wire__Row r = plain_row(ROW_TASK_REVIEW);
    r.old_status = TASK_RUNNING;
    r.status = TASK_REVIEW;
    assert_string_equal(text_of(&b, &r, VIEW_FEED),
        "id: 1523\n"
        "data: {\"id\":\"evt_1523\",\"type\":\"task.updated\",\"timestamp\":\"2026-03-15T10:00:00.000Z\","
        "\"entity_id\":\"task_42\",\"entity_type\":\"task\",\"agent_id\":\"agent_2\",\"severity\":\"info\","
        "\"summary\":\"Task \\\"uname\\\" waits for review\","
        "\"payload\":{\"task_id\":\"task_42\",\"field\":\"status\",\"old_value\":\"in_progress\",\"new_value\":\"review\"}}\n\n");

    r = plain_row(ROW_TASK_EDITED);
    r.field = chars("timeoutSeconds");
    r.old_value = chars("60");
    r.new_value = chars("90");
    r.agent = 0;
    assert_string_equal(text_of(&b, &r, VIEW_FEED),
        "id: 1523\n"
        "data: {\"id\":\"evt_1523\",\"type\":\"task.updated\",\"timestamp\":\"2026-03-15T10:00:00.000Z\","
        "\"entity_id\":\"task_42\",\"entity_type\":\"task\",\"agent_id\":null,\"severity\":\"info\","
        "\"summary\":\"Task \\\"uname\\\": timeout seconds changed\","
        "\"payload\":{\"task_id\":\"task_42\",\"field\":\"timeout_seconds\",\"old_value\":\"60\",\"new_value\":\"90\"}}\n\n");

    r = plain_row(ROW_SESSION_FAILED);
    r.entity = 9;
    r.severity = SEVERITY_CRITICAL;
    r.failure = FAILURE_TIMEOUT;
    r.failure_text = chars("ran longer than 60 s");
    assert_string_equal(text_of(&b, &r, VIEW_FEED),
        "id: 1523\n"
        "data: {\"id\":\"evt_1523\",\"type\":\"session.failed\",\"timestamp\":\"2026-03-15T10:00:00.000Z\","
        "\"entity_id\":\"session_9\",\"entity_type\":\"session\",\"agent_id\":\"agent_2\",\"severity\":\"critical\","
        "\"summary\":\"Session of task \\\"uname\\\" failed: ran longer than 60 s\","
        "\"payload\":{\"session_id\":\"session_9\",\"task_id\":\"task_42\",\"agent_id\":\"agent_2\","
        "\"error_code\":\"timeout\",\"error_message\":\"ran longer than 60 s\"}}\n\n");

    r = plain_row(ROW_ALERT);
    r.severity = SEVERITY_WARNING;
    r.alert_type = chars("cpu");
    r.name = chars("local");
    r.value = 9310;
    r.threshold = 9000;
    r.agent = 0;
    assert_string_equal(text_of(&b, &r, VIEW_FEED),
        "id: 1523\n"
        "data: {\"id\":\"evt_1523\",\"type\":\"system.alert\",\"timestamp\":\"2026-03-15T10:00:00.000Z\","
        "\"entity_id\":null,\"entity_type\":\"system\",\"agent_id\":null,\"severity\":\"warning\","
        "\"summary\":\"Alert: cpu on local\","
        "\"payload\":{\"alert_type\":\"cpu\",\"severity\":\"warning\",\"value\":93.1,\"threshold\":90,\"desktop_id\":\"desktop_1\"}}\n\n");
    buf_fini(&b);
}

// The JSON of a frame that must have the form of the rules: [id line,] one data line, an empty line, and nothing else.
static json_t *data_of(const struct buf *b, bool with_id)
{
    const char *p = (const char *)b->data;
    size_t n = b->len;
    char why[120];
    json_t *j;

    assert_true(n <= FRAME_MAX);
    if (with_id) {
        assert_memory_equal(p, "id: 1523\n", 9);
        p += 9;
        n -= 9;
    }
    assert_memory_equal(p, "data: ", 6);
    assert_memory_equal(p + n - 2, "\n\n", 2);
    assert_null(memchr(p, '\r', n));
    assert_ptr_equal(memchr(p, '\n', n), p + n - 2);
    assert_int_equal(json_in_parse(p + 6, n - 8, &j, why, sizeof why), ERR_OK);
    return j;
}

static void each_row_and_view(void **u)
{
    struct buf b;
    (void)u;
    buf_init(&b, FRAME_MAX);

    for (unsigned kind = 0; kind < ROW_COUNT + 3; kind++) {
        for (unsigned v = 0; v < 3; v++) {
            Wire__Row r = plain_row(kind);
            const char *type = event_type(kind, streams[v]);
            buf_reset(&b);
            bool shown = frame_row(&b, &r, streams[v]);
            assert_int_equal(shown, type != NULL);
            if (!shown) {
                assert_int_equal(b.len, 0);
                continue;
            }
            json_t *j = data_of(&b, true);
            assert_string_equal(json_string_value(json_object_get(j, "id")), "evt_1523");
            assert_string_equal(json_string_value(json_object_get(j, "type")), type);
            assert_string_equal(json_string_value(json_object_get(j, "timestamp")), "2026-03-15T10:00:00.000Z");
            assert_true(json_object_size(json_object_get(j, "payload")) >= 2);
            assert_int_equal(json_object_size(j), streams[v] == VIEW_FEED ? 9 : 4);
            if (streams[v] == VIEW_FEED) {
                const char *kinds = "task session agent system", *t = json_string_value(json_object_get(j, "entity_type"));
                assert_non_null(strstr(kinds, t));
                assert_true(strlen(json_string_value(json_object_get(j, "summary"))) > 5);
            }
            json_decref(j);
        }
        Wire__Row r = plain_row(kind);
        buf_reset(&b);
        assert_false(frame_row(&b, &r, VIEW_ACTIVITIES));
        assert_int_equal(b.len, 0);
    }
    buf_fini(&b);
}

// Every text hostile and as long as can be: the frame stays below its limit, in one line, valid, and cut with an ellipsis.
static void hostile_text(void **u)
{
    static const char *const units[] = { "\x01", "<", "\"", "\xff", "\xf0\x9f\x98\x80", "\xe2\x80\xa8", "\n", "data: x\n\nid: 1\n", "\x7f" };
    struct buf b;
    (void)u;
    buf_init(&b, FRAME_MAX);

    for (unsigned i = 0; i < sizeof units / sizeof *units; i++) {
        size_t unit = strlen(units[i]), n = 20000 / unit * unit;
        char *long_text = malloc(n + 1);
        assert_non_null(long_text);
        for (size_t at = 0; at < n; at += unit)
            memcpy(long_text + at, units[i], unit);
        long_text[n] = 0;
        for (unsigned kind = 1; kind < ROW_COUNT; kind++) {
            for (unsigned v = 0; v < 3; v++) {
                Wire__Row r = plain_row(kind);
                char **texts[] = { &r.actor, &r.title, &r.failure_text, &r.field, &r.old_value, &r.new_value, &r.feedback,
                                   &r.resolved_by, &r.name, &r.ip_address, &r.text, &r.assignee, &r.alert_type, &r.error };
                for (unsigned k = 0; k < sizeof texts / sizeof *texts; k++)
                    *texts[k] = long_text;
                r.failure = FAILURE_AGENT_ERROR;
                buf_reset(&b);
                if (!frame_row(&b, &r, streams[v]))
                    continue;
                assert_int_equal(b.err, ERR_OK);
                json_decref(data_of(&b, true));
                assert_non_null(memmem(b.data, b.len, "\xe2\x80\xa6\"", 4));
            }
        }
        free(long_text);
    }
    buf_fini(&b);
}

static void numbers_nobody_knows(void **u)
{
    struct buf b;
    (void)u;
    buf_init(&b, FRAME_MAX);

    for (unsigned kind = 1; kind < ROW_COUNT; kind++) {
        for (unsigned v = 0; v < 3; v++) {
            Wire__Row r = WIRE__ROW__INIT;
            r.row = kind;
            r.number = 1523;
            r.status = r.old_status = r.priority = r.failure = r.decision = r.trigger = r.severity = 4000000000;
            buf_reset(&b);
            if (frame_row(&b, &r, streams[v]))
                json_decref(data_of(&b, true));
        }
    }
    buf_fini(&b);
}

// What the same row says with and without the member that the kind leaves open.
static void open_members(void **u)
{
    static const struct { uint32_t decision; const char *verdict; } verdicts[] = {
        { DECISION_APPROVE, "\"verdict\":\"approved\"" }, { DECISION_REJECT, "\"verdict\":\"rejected\"" }, { 0, "\"verdict\":\"cancelled\"" },
    };
    struct buf b;
    Wire__Row r = plain_row(ROW_APPROVAL_RESOLVED);
    (void)u;
    buf_init(&b, FRAME_MAX);

    for (unsigned i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
        r.decision = verdicts[i].decision;
        assert_non_null(strstr(text_of(&b, &r, VIEW_FEED), verdicts[i].verdict));
    }
    assert_non_null(strstr(text_of(&b, &r, VIEW_FEED), "\"reviewer\":\"ada\""));
    r.resolved_by = chars("bob");
    assert_non_null(strstr(text_of(&b, &r, VIEW_FEED), "\"reviewer\":\"bob\""));
    r.resolved_by = r.feedback = NULL;
    assert_non_null(strstr(text_of(&b, &r, VIEW_FEED), "\"reviewer\":\"ada\",\"feedback\":null"));

    r = plain_row(ROW_TASK_ASSIGNED);
    r.assignee = chars("agent_2");
    assert_non_null(strstr(text_of(&b, &r, VIEW_FEED), "\"new_value\":\"agent_2\""));
    r.new_value = chars("desktop_1");
    assert_non_null(strstr(text_of(&b, &r, VIEW_FEED), "assigned to desktop_1"));
    r.new_value = r.title = NULL;
    assert_non_null(strstr(text_of(&b, &r, VIEW_FEED), "\"new_value\":\"agent_2\""));

    r = plain_row(ROW_SESSION_STARTED);
    r.session = 0;
    assert_non_null(strstr(text_of(&b, &r, VIEW_FEED), "session_42"));
    r = plain_row(ROW_TASK_STARTED);
    r.session = 0;
    assert_null(strstr(text_of(&b, &r, VIEW_FEED), "session_42"));

    r = plain_row(ROW_TASK_EDITED);
    r.status = TASK_FAILED;
    assert_int_equal(event_task_status(&r), TASK_FAILED);
    r.row = ROW_TASK_RESET;
    assert_int_equal(event_task_status(&r), TASK_PENDING);
    assert_false(event_json(&(struct json){ .out = &b }, &r, VIEW_ACTIVITIES));
    buf_fini(&b);
}

static void live_frames(void **u)
{
    struct buf b;
    uint64_t next = 105;
    int32_t code = -1;
    (void)u;
    buf_init(&b, FRAME_MAX);

    struct frame_output o = { .task = 1, .session = 2, .offset = 100, .stream = STREAM_STDERR, .data = (const uint8_t *)"a\n\"\xff<", .n = 5 };
    frame_output(&b, &o, NULL);
    assert_string_equal(buf_cstr(&b),
        "data: {\"type\":\"task.output\",\"payload\":{\"taskId\":\"task_1\",\"sessionId\":\"session_2\",\"stream\":\"stderr\","
        "\"offset\":100,\"data\":\"a\\n\\\"\xef\xbf\xbd\\u003c\"}}\n\n");
    buf_reset(&b);
    frame_output(&b, &o, &next);
    assert_memory_equal(b.data, "id: 105\ndata: ", 14);

    buf_reset(&b);
    frame_resync(&b, 77);
    assert_string_equal(buf_cstr(&b), "data: {\"type\":\"stream.resync\",\"payload\":{\"oldest\":77}}\n\n");

    buf_reset(&b);
    frame_output_end(&b, 1, 2, SESSION_FAILED, &code);
    assert_string_equal(buf_cstr(&b),
        "data: {\"type\":\"task.output.end\",\"payload\":{\"taskId\":\"task_1\",\"sessionId\":\"session_2\","
        "\"status\":\"failed\",\"exitCode\":-1}}\n\n");
    buf_reset(&b);
    frame_output_end(&b, 1, 2, SESSION_COMPLETED, NULL);
    assert_non_null(strstr(buf_cstr(&b), "\"exitCode\":null}}\n\n"));

    Wire__LiveMetrics m = WIRE__LIVE_METRICS__INIT; // of a desktop that nobody has looked at
    m.desktop = 3;
    m.name = chars("n");
    buf_reset(&b);
    frame_metrics(&b, &m);
    assert_string_equal(buf_cstr(&b),
        "data: {\"type\":\"desktop.metrics\",\"payload\":{\"id\":\"desktop_3\",\"name\":\"n\",\"cpu\":null,\"memory\":null,\"disk\":null}}\n\n");
    Wire__Metrics at_nought = WIRE__METRICS__INIT;
    m.metrics = &at_nought;
    buf_reset(&b);
    frame_metrics(&b, &m);
    assert_non_null(strstr(buf_cstr(&b), "\"cpu\":null"));
    buf_fini(&b);
}

// Output of any octets comes in frames that all fit, lose nothing, and cut no character that is whole.
static void output_in_pieces(void **u)
{
    static const char *const units[] = { "a", "\x01", "\xff", "\xf0\x9f\x98\x80", "\xe2\x82\xac", "\xc3\xa9", "x\xf0\x9f\x98\x80", "\xe2\x80\xa8", "<\"\\" };
    struct buf b;
    (void)u;
    buf_init(&b, FRAME_MAX);

    for (unsigned i = 0; i < sizeof units / sizeof *units; i++) {
        size_t unit = strlen(units[i]), n = 100000 / unit * unit;
        uint8_t *data = malloc(n);
        assert_non_null(data);
        for (size_t at = 0; at < n; at += unit)
            memcpy(data + at, units[i], unit);
        for (size_t at = 0; at < n;) {
            size_t k = frame_output_fit(data + at, n - at);
            assert_in_range(k, 1, FRAME_OUTPUT_MAX);
            at += k;
            if (at < n && unit > 1 && (uint8_t)units[i][0] >= 0x80)
                assert_int_equal(at % unit, 0);
            struct frame_output o = { .task = UINT32_MAX, .session = UINT32_MAX, .offset = at - k, .stream = STREAM_STDOUT,
                                      .data = data + at - k, .n = k };
            uint64_t next = at;
            buf_reset(&b);
            frame_output(&b, &o, &next);
            assert_int_equal(b.err, ERR_OK);
        }
        free(data);
    }
    assert_int_equal(frame_output_rest((const uint8_t *)"ab\xe2\x82", 4), 2);
    assert_int_equal(frame_output_rest((const uint8_t *)"ab\xe2\x82\xac", 5), 0);
    assert_int_equal(frame_output_rest((const uint8_t *)"\xf0\x9f\x98", 3), 3);
    assert_int_equal(frame_output_rest((const uint8_t *)"\x80\x80\x80\x80", 4), 0);
    assert_int_equal(frame_output_rest((const uint8_t *)"\xff", 1), 0);
    assert_int_equal(frame_output_rest((const uint8_t *)"", 0), 0);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_activity),   cmocka_unit_test(golden_desktops), cmocka_unit_test(golden_feed),
        cmocka_unit_test(each_row_and_view), cmocka_unit_test(hostile_text),    cmocka_unit_test(numbers_nobody_knows),
        cmocka_unit_test(live_frames),       cmocka_unit_test(output_in_pieces), cmocka_unit_test(open_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
