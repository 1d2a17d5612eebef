// links: broker common protobuf-c
// What a webhook is told of, and in which view; what a look into a packed row finds, at every cut; when a failure is tried again.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "event.h"
#include "hook_rule.h"
#include "wire.pb-c.h"

static struct hook_match match_of(const char *a, const char *b)
{
    char text[2][64];
    char *events[2] = { text[0], text[1] };
    strncpy(text[0], a, sizeof text[0] - 1);
    strncpy(text[1], b ? b : "", sizeof text[1] - 1);
    return hook_match(events, b ? 2 : 1);
}

// Every kind of row with every type there is: told exactly if one of its two views has it, as the activity stream first.
static void each_row_with_each_type(void **state)
{
    (void)state;
    for (unsigned t = 1; t < ROW_COUNT; t++) {
        for (int v = VIEW_ACTIVITY; v <= VIEW_FEED; v++) {
            const char *type = event_type(t, (enum event_view)v);
            if (!type)
                continue;
            struct hook_match m = match_of(type, NULL);
            for (unsigned row = 1; row < ROW_COUNT; row++) {
                const char *a = event_type(row, VIEW_ACTIVITY), *f = event_type(row, VIEW_FEED);
                bool as_activity = a && strcmp(a, type) == 0, as_feed = f && strcmp(f, type) == 0;
                assert_int_equal(hook_wants(&m, row), as_activity || as_feed);
                if (!hook_wants(&m, row))
                    continue;
                assert_int_equal(hook_as_feed(&m, row), !as_activity);
                assert_string_equal(hook_type(row, hook_as_feed(&m, row)), type);
            }
        }
    }
}

static void all_of_them(void **state)
{
    struct hook_match all = match_of("*", NULL), both = match_of("task.started", "task.updated"),
                      none = match_of("webhook.triggered", "user.login");
    (void)state;
    for (unsigned row = 0; row < 80; row++) {
        bool shown = event_type(row, VIEW_ACTIVITY) || event_type(row, VIEW_FEED);
        assert_int_equal(hook_wants(&all, row), shown);
        assert_false(hook_wants(&none, row));
        if (shown)
            assert_int_equal(hook_as_feed(&all, row), event_type(row, VIEW_ACTIVITY) == NULL);
    }
    assert_false(hook_wants(&all, ROW_WEBHOOK_FIRED)); // or each would bring the next
    assert_true(hook_wants(&both, ROW_TASK_STARTED) && !hook_as_feed(&both, ROW_TASK_STARTED));
    assert_true(hook_wants(&both, ROW_TASK_EDITED) && hook_as_feed(&both, ROW_TASK_EDITED));
    assert_false(hook_wants(&both, ROW_TASK_CREATED));
}

static void peek(void **state)
{
    static char title[] = "some title";
    Wire__Row r = WIRE__ROW__INIT;
    uint8_t packed[256];
    (void)state;
    r.number = (uint64_t)1 << 40;
    r.time_ms = 1767225600000;
    r.row = ROW_TASK_FAILED;
    r.workspace = 300;
    r.title = title;
    size_t n = wire__row__pack(&r, packed);
    struct hook_row got = hook_peek(packed, n);
    assert_int_equal(got.row, ROW_TASK_FAILED);
    assert_int_equal(got.workspace, 300);
    for (size_t cut = 0; cut < n; cut++) {
        uint8_t *exact = malloc(cut + 1); // so that a read beyond it is seen
        assert_non_null(exact);
        memcpy(exact, packed, cut);
        got = hook_peek(exact, cut);
        assert_true(got.row == 0 || got.row == ROW_TASK_FAILED);
        assert_true(got.workspace == 0 || got.workspace == 300);
        free(exact);
    }
    memset(packed, 0xff, sizeof packed); // a number without an end
    got = hook_peek(packed, sizeof packed);
    assert_int_equal(got.row, 0);
}

static void schedule(void **state)
{
    uint64_t sum = 0, spread = 0, last = 0;
    (void)state;
    assert_int_equal(hook_delay_ms(1000, 0, 7), 0);
    for (unsigned failures = 1; failures < HOOK_ATTEMPTS_MAX; failures++) {
        uint64_t whole = 1000 * (failures < 10 ? (uint64_t)1 << (failures - 1) : HOOK_STEPS_MAX);
        for (uint64_t salt = 1; salt < 200; salt++) {
            uint64_t ms = hook_delay_ms(1000, failures, salt);
            assert_in_range(ms, whole - whole / 5, whole + whole / 5);
            assert_int_equal(ms, hook_delay_ms(1000, failures, salt));
            spread += ms != last;
            last = ms;
        }
        sum += whole;
    }
    assert_true(spread > 3000);                       // not all at once
    assert_in_range(sum, 50 * 60 * 1000, 70 * 60 * 1000); // given up after about an hour
    for (uint64_t base = 1; base < 5; base++)         // too little to spread
        assert_in_range(hook_delay_ms(base, 1, 3), base, base);
    assert_in_range(hook_delay_ms(3600 * 1000, UINT64_MAX, UINT64_MAX), 1, (uint64_t)3600 * 1000 * 360);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(each_row_with_each_type), cmocka_unit_test(all_of_them), cmocka_unit_test(peek),
                                        cmocka_unit_test(schedule) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
