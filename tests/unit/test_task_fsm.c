// links: broker common protobuf-c
// Every cell of the table: a second writing of contract.md section 2's life cycle, compared with broker/task_fsm.c.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdbool.h>
#include <cmocka.h>
#include "task_fsm.h"

static enum task_status expected(enum task_status from, enum task_event ev)
{
    bool ended = from == TASK_DONE || from == TASK_FAILED || from == TASK_CANCELLED;
    if (ev == EV_RETRY)
        return ended ? TASK_PENDING : TASK_STATUS_NONE;
    if (ev == EV_RUN)
        return from == TASK_PENDING ? TASK_RUNNING : TASK_STATUS_NONE;
    if (ev == EV_CANCEL)
        return from == TASK_PENDING || from == TASK_RUNNING || from == TASK_REVIEW ? TASK_CANCELLED : TASK_STATUS_NONE;
    if (ev == EV_APPROVE || ev == EV_REJECT)
        return from != TASK_REVIEW ? TASK_STATUS_NONE : ev == EV_APPROVE ? TASK_DONE : TASK_FAILED;
    if (from != TASK_RUNNING)
        return TASK_STATUS_NONE;
    return ev == EV_SUCCEED ? TASK_DONE : ev == EV_ASK ? TASK_REVIEW : ev == EV_FAIL ? TASK_FAILED : TASK_RUNNING;
}

static void every_cell(void **state)
{
    (void)state;
    for (unsigned from = 0; from <= TASK_STATUS_COUNT; from++)
        for (unsigned ev = 0; ev <= EV_N; ev++) {
            enum task_status to = TASK_STATUS_NONE;
            unsigned fx = 0;
            enum err e = task_fsm_step((enum task_status)from, (enum task_event)ev, &to, &fx);
            enum task_status want = from && from < TASK_STATUS_COUNT && ev < EV_N ? expected((enum task_status)from, (enum task_event)ev) : TASK_STATUS_NONE;
            assert_int_equal(e, want ? ERR_OK : ERR_BAD_STATE);
            assert_int_equal(to, want);
        }
}

// What follows from a step belongs to it: an approval only with review, an end only with an ended state, a reset only with pending.
static void effects(void **state)
{
    (void)state;
    for (unsigned from = 1; from < TASK_STATUS_COUNT; from++)
        for (unsigned ev = 0; ev < EV_N; ev++) {
            enum task_status to;
            unsigned fx;
            if (task_fsm_step((enum task_status)from, (enum task_event)ev, &to, &fx))
                continue;
            bool ended = to == TASK_DONE || to == TASK_FAILED || to == TASK_CANCELLED;
            assert_int_equal((fx & FX_END) != 0, ended);
            assert_int_equal((fx & FX_OPEN_APPROVAL) != 0, to == TASK_REVIEW);
            assert_int_equal((fx & FX_ENQUEUE) != 0, to == TASK_RUNNING);
            assert_int_equal((fx & FX_RESET) != 0, to == TASK_PENDING);
            assert_int_equal((fx & FX_KILL) != 0, from == TASK_RUNNING && ev == EV_CANCEL);
            assert_int_equal((fx & FX_CLOSE_APPROVAL) != 0, from == TASK_REVIEW && ev == EV_CANCEL);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_cell), cmocka_unit_test(effects) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
