// links: common protobuf-c
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include "event.h"

// Which row each view shows under which type, as the contract's table has it, in the order that is stored.
static const struct { unsigned row; enum entity entity; const char *type[VIEW_COUNT]; } table[] = {
#define E(row, entity, severity, activity, feed, activities, desktops) { ROW_##row, ENTITY_##entity, { activity, feed, activities, desktops } },
    EVENT_ROWS(E)
#undef E
};

static void every_row(void **state)
{
    (void)state;
    assert_int_equal(sizeof table / sizeof *table, ROW_COUNT - 1);
    for (unsigned i = 0; i < ROW_COUNT - 1; i++) {
        unsigned shown = 0;
        assert_int_equal(table[i].row, i + 1);
        assert_int_equal(event_entity(i + 1), table[i].entity);
        assert_non_null(entity_name(event_entity(i + 1)));
        for (enum event_view v = 0; v < VIEW_COUNT; v++) {
            const char *t = event_type(i + 1, v);
            assert_true((t == NULL) == (table[i].type[v] == NULL));
            if (t) {
                shown++;
                assert_string_equal(t, table[i].type[v]);
                assert_true(event_type_known(v, t));
            }
        }
        assert_true(shown > 0); // a row nobody can see would be none
    }
}

static void some_by_hand(void **state)
{
    (void)state;
    assert_string_equal(event_type(ROW_TASK_STARTED, VIEW_ACTIVITY), "task.started");
    assert_string_equal(event_type(ROW_TASK_STARTED, VIEW_FEED), "task.updated");
    assert_string_equal(event_type(ROW_TASK_STARTED, VIEW_ACTIVITIES), "task.status_changed");
    assert_null(event_type(ROW_TASK_STARTED, VIEW_DESKTOPS));
    assert_string_equal(event_type(ROW_APPROVAL_RESOLVED, VIEW_FEED), "task.reviewed");
    assert_string_equal(event_type(ROW_DESKTOP_BOOTING, VIEW_DESKTOPS), "desktop.status");
    assert_string_equal(event_type(ROW_AGENT_READY, VIEW_DESKTOPS), "desktop.agentReady");
    assert_int_equal(ROW_TASK_CREATED, 1); // stored: never reordered
    assert_int_equal(ROW_SESSION_FAILED, 16);
    assert_int_equal(ROW_WEBHOOK_DELETED, 40);
}

static void outside(void **state)
{
    (void)state;
    assert_null(event_type(0, VIEW_FEED));
    assert_null(event_type(ROW_COUNT, VIEW_FEED));
    assert_null(event_type(UINT32_MAX, VIEW_FEED));
    assert_null(event_type(1, VIEW_COUNT));
    assert_int_equal(event_severity(ROW_COUNT), SEVERITY_NONE);
    assert_int_equal(event_entity(ROW_COUNT), ENTITY_NONE);
    assert_int_equal(event_entity(0), ENTITY_NONE);
    assert_int_equal(event_entity(ROW_COUNT), ENTITY_NONE);
    assert_false(event_type_known(VIEW_FEED, ""));
    assert_false(event_type_known(VIEW_FEED, "task.started")); // another view's word
    assert_false(event_type_known(VIEW_COUNT, "task.created"));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_row), cmocka_unit_test(some_by_hand), cmocka_unit_test(outside) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
