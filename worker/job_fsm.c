/*  QUEUED -> RUNNING -> (exit) -> DRAINING -> SWEEPING -> ENDED        the pipes came to their end first: no DRAINING
 *     |         |                    ^           ^
 *  CLEARING     +- (stop) -> ENDING -+- KILLING -+                     ENDING: 10 s, then KILLING
 */
#include "job_fsm.h"
#include <stdio.h>

static const struct {
    uint8_t to, fx;
    uint16_t timer_ms;
} step[JOB_NSTATES][JEV_N] = {
    [JOB_QUEUED]   = { [JEV_GO]       = { JOB_RUNNING,  JFX_START, 0 },
                       [JEV_GO_CLEAR] = { JOB_CLEARING, JFX_CLEAR, JOB_LOOK_MS },
                       [JEV_FAIL]     = { JOB_ENDED,    JFX_FINISH, 0 },
                       [JEV_STOP]     = { JOB_ENDED,    JFX_FINISH, 0 },
                       [JEV_KILL]     = { JOB_ENDED,    JFX_FINISH, 0 } },
    [JOB_CLEARING] = { [JEV_TIMER]    = { JOB_CLEARING, JFX_CLEAR, JOB_LOOK_MS },
                       [JEV_CLEAN]    = { JOB_RUNNING,  JFX_START, 0 },
                       [JEV_GIVE_UP]  = { JOB_ENDED,    JFX_FINISH, 0 },
                       [JEV_FAIL]     = { JOB_ENDED,    JFX_FINISH, 0 },
                       [JEV_STOP]     = { JOB_ENDED,    JFX_FINISH, 0 },
                       [JEV_KILL]     = { JOB_ENDED,    JFX_FINISH, 0 } },
    [JOB_RUNNING]  = { [JEV_FAIL]     = { JOB_ENDED,    JFX_FINISH, 0 },
                       [JEV_EXIT]     = { JOB_DRAINING, 0, JOB_HELD_PIPES_MS },
                       [JEV_EXIT_EOF] = { JOB_SWEEPING, JFX_SWEEP, JOB_LOOK_MS },
                       [JEV_EOF]      = { JOB_RUNNING,  0, 0 },
                       [JEV_STOP]     = { JOB_ENDING,   JFX_TERM, JOB_GRACE_MS },
                       [JEV_KILL]     = { JOB_KILLING,  JFX_KILL, JOB_LOOK_MS } },
    [JOB_ENDING]   = { [JEV_EXIT]     = { JOB_DRAINING, 0, JOB_HELD_PIPES_MS },
                       [JEV_EXIT_EOF] = { JOB_SWEEPING, JFX_SWEEP, JOB_LOOK_MS },
                       [JEV_EOF]      = { JOB_ENDING,   0, 0 },
                       [JEV_STOP]     = { JOB_ENDING,   0, 0 },
                       [JEV_TIMER]    = { JOB_KILLING,  JFX_KILL, JOB_LOOK_MS },
                       [JEV_KILL]     = { JOB_KILLING,  JFX_KILL, JOB_LOOK_MS } },
    [JOB_KILLING]  = { [JEV_EXIT]     = { JOB_SWEEPING, JFX_SWEEP, JOB_LOOK_MS },
                       [JEV_EXIT_EOF] = { JOB_SWEEPING, JFX_SWEEP, JOB_LOOK_MS },
                       [JEV_EOF]      = { JOB_KILLING,  0, 0 },
                       [JEV_STOP]     = { JOB_KILLING,  0, 0 },
                       [JEV_KILL]     = { JOB_KILLING,  0, 0 },
                       [JEV_TIMER]    = { JOB_KILLING,  JFX_KILL, JOB_LOOK_MS },
                       [JEV_GIVE_UP]  = { JOB_ENDED,    JFX_FINISH, 0 } },
    [JOB_DRAINING] = { [JEV_EOF]      = { JOB_SWEEPING, JFX_SWEEP, JOB_LOOK_MS },
                       [JEV_TIMER]    = { JOB_SWEEPING, JFX_SWEEP, JOB_LOOK_MS },
                       [JEV_STOP]     = { JOB_SWEEPING, JFX_SWEEP, JOB_LOOK_MS },
                       [JEV_KILL]     = { JOB_SWEEPING, JFX_SWEEP, JOB_LOOK_MS } },
    [JOB_SWEEPING] = { [JEV_EOF]      = { JOB_SWEEPING, 0, 0 },
                       [JEV_STOP]     = { JOB_SWEEPING, 0, 0 },
                       [JEV_KILL]     = { JOB_SWEEPING, 0, 0 },
                       [JEV_TIMER]    = { JOB_SWEEPING, JFX_SWEEP, JOB_LOOK_MS },
                       [JEV_CLEAN]    = { JOB_ENDED,    JFX_FINISH, 0 },
                       [JEV_GIVE_UP]  = { JOB_ENDED,    JFX_FINISH, 0 } },
};

enum err job_fsm_step(enum job_state from, enum job_event ev, enum job_state *ret_to, unsigned *ret_fx, unsigned *ret_timer_ms)
{
    if (from >= JOB_NSTATES || ev >= JEV_N || step[from][ev].to == JOB_NONE)
        return ERR_BAD_STATE;
    *ret_to = step[from][ev].to;
    *ret_fx = step[from][ev].fx;
    *ret_timer_ms = step[from][ev].timer_ms;
    return ERR_OK;
}

const char *job_state_name(enum job_state s)
{
    static const char *const names[JOB_NSTATES] = { "none",    "queued",  "clearing", "running", "ending",
                                                    "killing", "draining", "sweeping", "ended" };
    return s < JOB_NSTATES ? names[s] : "none";
}

// A signal's number stands for it: names differ between systems, 128+n does not.
static void from_exit(const struct job_facts *f, struct job_result *r)
{
    r->has_exit = true;
    r->exit_code = f->signal ? 128 + f->signal : f->exit_code;
    if (r->exit_code == 0)
        return;
    r->failure = FAILURE_EXIT_NONZERO;
    if (f->signal)
        snprintf(r->text, sizeof r->text, "The command was ended by signal %d", f->signal);
    else
        snprintf(r->text, sizeof r->text, "The command exited with code %d", r->exit_code);
}

void job_verdict(const struct job_facts *f, struct job_result *ret)
{
    *ret = (struct job_result){ 0 };
    if (f->exited)
        from_exit(f, ret);
    if (f->failure != FAILURE_NONE) {
        ret->failure = f->failure;
        snprintf(ret->text, sizeof ret->text, "%s", f->text ? f->text : "");
    }
    switch (f->stop) {
    case STOP_NONE:
        break;
    case STOP_TIMEOUT: // also when it answered the TERM with exit 0: it was not done in time
        ret->failure = FAILURE_TIMEOUT;
        snprintf(ret->text, sizeof ret->text, "It was not done within %u s", f->timeout_s);
        break;
    case STOP_DRAIN:
        ret->failure = FAILURE_WORKER_LOST;
        snprintf(ret->text, sizeof ret->text, f->started ? "The worker was stopped while it ran" : "The worker was stopping and did not start it");
        break;
    case STOP_CANCEL:
    case STOP_FORGET:
        ret->failure = FAILURE_NONE;
        ret->text[0] = 0;
        break;
    }
}
