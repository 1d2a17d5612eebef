// links: gateway common protobuf-c jansson sodium
// The audit trail's JSON: the page's samples member for member, each kind of row, objects as they stand and gone, the statistics.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <jansson.h>
#include <string.h>
#include "event.h"
#include "lent.h"
#include "names.h"
#include "shape_activity.h"

static struct buf out;

static struct json begin(void)
{
    if (!out.max)
        buf_init(&out, 1 << 20);
    buf_reset(&out);
    return json_to(&out);
}

static Wire__Row row(unsigned kind, uint64_t entity)
{
    Wire__Row r = WIRE__ROW__INIT;
    r.number = 1523;
    r.row = kind;
    r.actor = z("CodeReviewer");
    r.entity = entity;
    r.time_ms = 1709823456789;
    return r;
}

static void gives(const Wire__Row *r, const Wire__AuditEntity *e, const char *want)
{
    struct json j = begin();
    assert_true(shape_activity(&j, r, e));
    assert_string_equal(buf_cstr(&out), want);
}

static void the_printed_samples(void **state)
{
    Wire__AuditEntity e = WIRE__AUDIT_ENTITY__INIT;
    Wire__Row r = row(ROW_TASK_COMPLETED, 42);
    (void)state;
    r.old_status = TASK_RUNNING;
    r.status = TASK_DONE;
    e.title = z("Implement authentication");
    e.status = TASK_DONE;
    gives(&r, &e, "{\"id\":1523,\"type\":\"task.status_changed\",\"actor\":\"CodeReviewer\",\"entity_type\":\"task\",\"entity_id\":42,"
                  "\"data\":{\"from\":\"in_progress\",\"to\":\"done\"},\"entity\":{\"type\":\"task\",\"id\":42,"
                  "\"title\":\"Implement authentication\",\"status\":\"done\"},\"created_at\":1709823456}");
    r = row(ROW_AGENT_CREATED, 8);
    r.name = z("DataAnalyst");
    r.agent_role = z("analyst");
    r.desktop = 3;
    e = (Wire__AuditEntity)WIRE__AUDIT_ENTITY__INIT;
    e.name = z("DataAnalyst");
    e.role = z("analyst");
    e.status = AGENT_ONLINE;
    gives(&r, &e, "{\"id\":1523,\"type\":\"agent.created\",\"actor\":\"CodeReviewer\",\"entity_type\":\"agent\",\"entity_id\":8,"
                  "\"data\":{\"name\":\"DataAnalyst\",\"role\":\"analyst\",\"desktop_id\":3},\"entity\":{\"type\":\"agent\",\"id\":8,\"name\":\"DataAnalyst\","
                  "\"role\":\"analyst\",\"status\":\"online\"},\"created_at\":1709823456}");
}

static void comments_are_about_themselves(void **state)
{
    Wire__AuditEntity e = WIRE__AUDIT_ENTITY__INIT;
    Wire__Row r = row(ROW_COMMENT_ADDED, 42);
    (void)state;
    r.task = 42;
    r.comment = 7;
    r.text = z("Looks <good>");
    e.title = z("T");
    e.task = 42;
    gives(&r, &e, "{\"id\":1523,\"type\":\"comment.added\",\"actor\":\"CodeReviewer\",\"entity_type\":\"comment\",\"entity_id\":7,"
                  "\"data\":{\"task_id\":42,\"preview\":\"Looks \\u003cgood>\"},\"entity\":{\"type\":\"comment\",\"id\":7,\"title\":\"T\","
                  "\"task_id\":42},\"created_at\":1709823456}");
}

// "data" of a row alone.
static void data_is(const Wire__Row *r, const char *want)
{
    char whole[4096];
    struct json j = begin();
    assert_true(shape_activity(&j, r, NULL));
    json_t *o = json_loads(buf_cstr(&out), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(o);
    assert_true(json_is_null(json_object_get(o, "entity")));
    char *text = json_dumps(json_object_get(o, "data"), JSON_COMPACT);
    snprintf(whole, sizeof whole, "%s", text);
    free(text);
    json_decref(o);
    assert_string_equal(whole, want);
}

static void data(void **state)
{
    Wire__Row r = row(ROW_TASK_EDITED, 1);
    (void)state;
    r.field = z("timeoutSeconds");
    r.old_value = z("3600");
    r.new_value = z("60");
    data_is(&r, "{\"field\":\"timeout_seconds\",\"old_value\":\"3600\",\"new_value\":\"60\"}");
    r.row = ROW_SETTINGS_UPDATED;
    r.field = z("alertThresholds.cpu");
    data_is(&r, "{\"field\":\"alert_thresholds.cpu\",\"old_value\":\"3600\",\"new_value\":\"60\"}");
    r.row = ROW_TASK_ASSIGNED;
    r.agent = 4;
    data_is(&r, "{\"field\":\"assignee\",\"old_value\":\"3600\",\"new_value\":\"60\",\"agent_id\":4}");
    r = row(ROW_TASK_FAILED, 1);
    r.old_status = TASK_RUNNING;
    r.failure = FAILURE_TIMEOUT;
    r.failure_text = z("too long");
    data_is(&r, "{\"from\":\"in_progress\",\"to\":\"failed\",\"error_code\":\"timeout\",\"error_message\":\"too long\"}");
    r = row(ROW_TASK_RESET, 1);
    r.old_status = TASK_CANCELLED;
    data_is(&r, "{\"from\":\"cancelled\",\"to\":\"assigned\"}");
    r = row(ROW_AGENT_STATUS, 1);
    r.old_value = z("offline");
    r.new_value = z("online");
    data_is(&r, "{\"from\":\"offline\",\"to\":\"online\"}");
    r = row(ROW_DESKTOP_UPDATED, 1);
    r.name = z("d");
    r.field = z("maxTasks");
    r.old_value = z("8");
    data_is(&r, "{\"name\":\"d\",\"field\":\"max_tasks\",\"old_value\":\"8\",\"new_value\":\"\"}");
    r.field = z("chat.key"); // what is secret has no values
    r.old_value = r.new_value;
    data_is(&r, "{\"name\":\"d\",\"field\":\"chat.key\"}");
    r = row(ROW_USER_UPDATED, 1);
    r.name = z("u");
    r.field = z("role");
    r.old_value = z("viewer");
    r.new_value = z("admin");
    data_is(&r, "{\"name\":\"u\",\"field\":\"role\",\"old_value\":\"viewer\",\"new_value\":\"admin\"}");
    r = row(ROW_KEY_CREATED, 1);
    r.name = z("k");
    r.key_role = ROLE_VIEWER;
    data_is(&r, "{\"name\":\"k\",\"role\":\"viewer\"}");
    r = row(ROW_WEBHOOK_FIRED, 1);
    r.name = z("hook");
    r.delivery = 9;
    r.event = 1523;
    r.event_type = z("task.failed");
    r.error = z("HTTP 500");
    data_is(&r, "{\"name\":\"hook\",\"delivery_id\":9,\"event_id\":1523,\"event_type\":\"task.failed\",\"status\":\"failed\",\"error\":\"HTTP 500\"}");
}

// Rows of every kind, empty and with long texts: those that the view shows are written, as JSON, under their type.
static void every_kind(void **state)
{
    static char huge[5000];
    Wire__AuditEntity e = WIRE__AUDIT_ENTITY__INIT;
    (void)state;
    memset(huge, 'x', sizeof huge - 1);
    for (unsigned k = 0; k < ROW_COUNT + 3; k++)
        for (int full = 0; full < 2; full++) {
            const char *type = event_type(k, VIEW_ACTIVITIES);
            Wire__Row r = row(k, 9);
            if (full)
                r.title = r.name = r.text = r.old_value = r.new_value = r.failure_text = r.error = r.field = huge;
            struct json j = begin();
            assert_int_equal(shape_activity(&j, &r, full ? &e : NULL), type != NULL);
            assert_int_equal(out.len != 0, type != NULL);
            if (!type)
                continue;
            json_t *o = json_loads(buf_cstr(&out), JSON_REJECT_DUPLICATES, NULL);
            assert_non_null(o);
            assert_string_equal(json_string_value(json_object_get(o, "type")), type);
            assert_true(json_is_object(json_object_get(o, "data")));
            assert_int_equal(json_is_null(json_object_get(o, "entity")), !full);
            assert_true(out.len < 32 * 1024);
            json_decref(o);
        }
}

// What is left out when the row does not have it.
static void rows_that_say_little(void **state)
{
    Wire__Row r = WIRE__ROW__INIT;
    (void)state;
    r.row = ROW_TASK_CREATED;
    r.title = z("t");
    r.assignee = NULL;
    struct json j = begin();
    assert_true(shape_activity(&j, &r, NULL));
    assert_null(strstr(buf_cstr(&out), "assignee"));
    r.task_type = TYPE_PROMPT;
    j = begin();
    assert_true(shape_activity(&j, &r, NULL));
    assert_non_null(strstr(buf_cstr(&out), "\"title\":\"t\",\"type\":\"prompt\""));

    r = (Wire__Row)WIRE__ROW__INIT;
    r.row = ROW_USER_UPDATED;
    r.field = z("role");
    r.new_value = z("admin");
    j = begin();
    assert_true(shape_activity(&j, &r, NULL));
    assert_non_null(strstr(buf_cstr(&out), "admin"));
}

static void statistics(void **state)
{
    Wire__ActivityCounts c = WIRE__ACTIVITY_COUNTS__INIT;
    static const struct { unsigned kind; uint64_t n; } given[] = {
        { ROW_TASK_CREATED, 4 }, { ROW_TASK_EDITED, 5 }, { ROW_TASK_STARTED, 2 }, { ROW_TASK_FAILED, 3 }, { ROW_KEY_CREATED, 4 }, { ROW_TASK_DELETED, 4 },
        { ROW_ALERT, 99 }, { ROW_COUNT + 7, 99 } };
    enum { N = sizeof given / sizeof *given };
    Wire__KindCount kinds[N], *kind_list[N];
    Wire__ActorCount actor = WIRE__ACTOR_COUNT__INIT, *actors[] = { &actor };
    Wire__HourCount hour = WIRE__HOUR_COUNT__INIT, *hours[] = { &hour };
    (void)state;
    struct json j = begin();
    c.window = 1;
    shape_activity_counts(&j, &c);
    assert_string_equal(buf_cstr(&out), "{\"timeframe\":\"1 hours\",\"activityByType\":[],\"topActors\":[],\"timeline\":[]}");
    for (unsigned i = 0; i < N; i++) {
        kinds[i] = (Wire__KindCount)WIRE__KIND_COUNT__INIT;
        kinds[i].kind = given[i].kind;
        kinds[i].count = given[i].n;
        kind_list[i] = &kinds[i];
    }
    c.kinds = kind_list;
    c.n_kinds = N;
    actor.name = z("CodeReviewer");
    actor.count = 67;
    c.actors = actors;
    c.hours = hours;
    c.n_actors = c.n_hours = 1;
    hour.hour = 1709820000 / 3600;
    hour.count = 23;
    c.window = 48;
    j = begin();
    shape_activity_counts(&j, &c);
    assert_string_equal(buf_cstr(&out),
                        "{\"timeframe\":\"48 hours\",\"activityByType\":[{\"type\":\"task.status_changed\",\"count\":5},"
                        "{\"type\":\"task.updated\",\"count\":5},{\"type\":\"key.created\",\"count\":4},{\"type\":\"task.created\",\"count\":4},{\"type\":\"task.deleted\",\"count\":4}],"
                        "\"topActors\":[{\"actor\":\"CodeReviewer\",\"activity_count\":67}],"
                        "\"timeline\":[{\"timestamp\":1709820000,\"count\":23,\"hour\":\"2024-03-07T14:00:00.000Z\"}]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_printed_samples), cmocka_unit_test(comments_are_about_themselves),
                                        cmocka_unit_test(data), cmocka_unit_test(every_kind), cmocka_unit_test(statistics),
                                        cmocka_unit_test(rows_that_say_little) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_fini(&out);
    return failed;
}
