// The life of a task: which event leads from which state to which, and what its caller then owes. Nothing else assigns
// task.status. Pure.
#pragma once
#include "err.h"
#include "names.h"

enum task_event {
    EV_RUN,       // somebody says run
    EV_SUCCEED,   // the run ended well and nobody has to approve
    EV_ASK,       // it ended well and somebody has to
    EV_FAIL,      // it ended badly and no automatic attempt is left
    EV_TRY_AGAIN, // it ended badly and one is left
    EV_APPROVE,
    EV_REJECT,
    EV_CANCEL,
    EV_RETRY,     // somebody says retry
    EV_N
};

enum task_effect {
    FX_ENQUEUE = 1,        // a new attempt waits for a worker
    FX_OPEN_APPROVAL = 2,
    FX_CLOSE_APPROVAL = 4, // a pending one closes as cancelled
    FX_KILL = 8,           // the session's process tree is ended, or the place in the queue given up
    FX_END = 16,           // the task is over: completedAt is set
    FX_RESET = 32,         // everything of the last run is cleared
};

// ERR_BAD_STATE when the table has no such step. ret_fx: bits of enum task_effect.
MUST_USE enum err task_fsm_step(enum task_status from, enum task_event ev, enum task_status *ret_to, unsigned *ret_fx);
