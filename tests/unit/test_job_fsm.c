// links: worker common protobuf-c
// The table of a run's states: every cell, the promises that hold for all of it, and what an end means.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include "job_fsm.h"

static bool step(enum job_state s, enum job_event ev, enum job_state *to, unsigned *fx, unsigned *ms)
{
    return job_fsm_step(s, ev, to, fx, ms) == ERR_OK;
}

static void test_bounds(void **state)
{
    (void)state;
    enum job_state to = JOB_NONE;
    unsigned fx = 0, ms = 0;
    assert_int_equal(job_fsm_step(JOB_NSTATES, JEV_GO, &to, &fx, &ms), ERR_BAD_STATE);
    assert_int_equal(job_fsm_step(JOB_QUEUED, JEV_N, &to, &fx, &ms), ERR_BAD_STATE);
    for (unsigned ev = 0; ev < JEV_N; ev++) {
        assert_int_equal(job_fsm_step(JOB_NONE, (enum job_event)ev, &to, &fx, &ms), ERR_BAD_STATE);
        assert_int_equal(job_fsm_step(JOB_ENDED, (enum job_event)ev, &to, &fx, &ms), ERR_BAD_STATE); // an end is an end
    }
}

// What must hold of every cell.
static void test_every_cell(void **state)
{
    (void)state;
    for (unsigned s = JOB_QUEUED; s < JOB_ENDED; s++)
        for (unsigned ev = 0; ev < JEV_N; ev++) {
            enum job_state to;
            unsigned fx, ms;
            if (!step((enum job_state)s, (enum job_event)ev, &to, &fx, &ms))
                continue;
            assert_true(job_state_name(to)[0]);
            assert_int_equal(to == JOB_ENDED, (fx & JFX_FINISH) != 0);       // finished exactly when it ends
            assert_int_equal((fx & (fx - 1)), 0);                            // one effect at a time
            if (fx & JFX_START)
                assert_true(s == JOB_QUEUED || s == JOB_CLEARING);           // started at most once
            if (to == JOB_ENDING || to == JOB_KILLING || to == JOB_DRAINING || to == JOB_SWEEPING || to == JOB_CLEARING)
                assert_true(ms > 0 || to == s);                              // these never wait for ever
        }
}

// From each state, KILL leads to an end whatever comes after, once the process is gone and nothing is left.
static void test_kill_always_ends(void **state)
{
    (void)state;
    for (unsigned s = JOB_QUEUED; s < JOB_ENDED; s++) {
        static const enum job_event then[] = { JEV_TIMER, JEV_EXIT, JEV_EOF, JEV_TIMER, JEV_CLEAN };
        enum job_state at = (enum job_state)s, to;
        unsigned fx, ms, finished = 0;
        assert_true(step(at, JEV_KILL, &to, &fx, &ms));
        at = to;
        finished += (fx & JFX_FINISH) != 0;
        for (size_t i = 0; i < sizeof then / sizeof *then; i++)
            if (step(at, then[i], &to, &fx, &ms)) {
                at = to;
                finished += (fx & JFX_FINISH) != 0;
            }
        assert_int_equal(at, JOB_ENDED);
        assert_int_equal(finished, 1);
    }
}

static void test_stories(void **state)
{
    (void)state;
    static const struct {
        enum job_event ev[10];
        enum job_state at[10];
    } story[] = {
        { { JEV_GO, JEV_EOF, JEV_EXIT_EOF, JEV_CLEAN }, { JOB_RUNNING, JOB_RUNNING, JOB_SWEEPING, JOB_ENDED } },
        { { JEV_GO, JEV_EXIT, JEV_EOF, JEV_TIMER, JEV_CLEAN }, { JOB_RUNNING, JOB_DRAINING, JOB_SWEEPING, JOB_SWEEPING, JOB_ENDED } },
        { { JEV_GO, JEV_EXIT, JEV_TIMER, JEV_CLEAN }, { JOB_RUNNING, JOB_DRAINING, JOB_SWEEPING, JOB_ENDED } },
        { { JEV_GO, JEV_STOP, JEV_STOP, JEV_TIMER, JEV_TIMER, JEV_EXIT, JEV_CLEAN },
          { JOB_RUNNING, JOB_ENDING, JOB_ENDING, JOB_KILLING, JOB_KILLING, JOB_SWEEPING, JOB_ENDED } },
        { { JEV_GO_CLEAR, JEV_TIMER, JEV_CLEAN, JEV_EXIT_EOF, JEV_CLEAN },
          { JOB_CLEARING, JOB_CLEARING, JOB_RUNNING, JOB_SWEEPING, JOB_ENDED } },
        { { JEV_GO_CLEAR, JEV_GIVE_UP }, { JOB_CLEARING, JOB_ENDED } },
        { { JEV_STOP }, { JOB_ENDED } },
    };
    for (size_t i = 0; i < sizeof story / sizeof *story; i++) {
        enum job_state at = JOB_QUEUED;
        for (int k = 0; k < 10 && story[i].at[k]; k++) {
            unsigned fx, ms;
            assert_int_equal(job_fsm_step(at, story[i].ev[k], &at, &fx, &ms), ERR_OK);
            assert_int_equal(at, story[i].at[k]);
            if (at == JOB_ENDING && story[i].ev[k] == JEV_STOP && fx)
                assert_int_equal(ms, JOB_GRACE_MS);
        }
        assert_int_equal(at, JOB_ENDED);
    }
}

static void test_verdicts(void **state)
{
    (void)state;
    static const struct {
        struct job_facts f;
        bool has_exit;
        int code;
        enum failure failure;
        const char *text; // its beginning
    } row[] = {
        { { .started = true, .exited = true }, true, 0, FAILURE_NONE, "" },
        { { .started = true, .exited = true, .exit_code = 3 }, true, 3, FAILURE_EXIT_NONZERO, "The command exited with code 3" },
        { { .started = true, .exited = true, .signal = 9 }, true, 137, FAILURE_EXIT_NONZERO, "The command was ended by signal 9" },
        { { .started = true, .exited = true, .signal = 15, .stop = STOP_TIMEOUT, .timeout_s = 7 }, true, 143, FAILURE_TIMEOUT, "It was not done within 7 s" },
        { { .started = true, .exited = true, .exit_code = 0, .stop = STOP_TIMEOUT, .timeout_s = 7 }, true, 0, FAILURE_TIMEOUT, "It was" },
        { { .started = true, .exited = true, .signal = 15, .stop = STOP_CANCEL }, true, 143, FAILURE_NONE, "" },
        { { .started = true, .exited = true, .signal = 15, .stop = STOP_DRAIN }, true, 143, FAILURE_WORKER_LOST, "The worker was stopped while" },
        { { .stop = STOP_DRAIN }, false, 0, FAILURE_WORKER_LOST, "The worker was stopping" },
        { { .stop = STOP_CANCEL }, false, 0, FAILURE_NONE, "" },
        { { .failure = FAILURE_DESKTOP_LOST, .text = "why" }, false, 0, FAILURE_DESKTOP_LOST, "why" },
        { { .started = true, .failure = FAILURE_AGENT_ERROR, .text = "401" }, false, 0, FAILURE_AGENT_ERROR, "401" },
        { { .started = true, .stop = STOP_FORGET, .failure = FAILURE_AGENT_ERROR, .text = "x" }, false, 0, FAILURE_NONE, "" },
        { { .started = true, .stop = STOP_CANCEL, .failure = FAILURE_AGENT_ERROR, .text = "x" }, false, 0, FAILURE_NONE, "" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct job_result r;
        job_verdict(&row[i].f, &r);
        assert_int_equal(r.has_exit, row[i].has_exit);
        assert_int_equal(r.exit_code, row[i].code);
        assert_int_equal(r.failure, row[i].failure);
        assert_int_equal(strncmp(r.text, row[i].text, strlen(row[i].text)), 0);
        assert_int_equal(r.text[0] != 0, r.failure != FAILURE_NONE);
    }
    struct job_result r;
    job_verdict(&(struct job_facts){ .failure = FAILURE_DESKTOP_LOST }, &r); // nobody said why
    assert_true(r.failure == FAILURE_DESKTOP_LOST && r.text[0] == 0);
    assert_string_equal(job_state_name(JOB_NSTATES), "none");
    assert_string_equal(job_state_name(JOB_ENDED), "ended");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),  cmocka_unit_test(test_every_cell), cmocka_unit_test(test_kill_always_ends),
        cmocka_unit_test(test_stories), cmocka_unit_test(test_verdicts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
