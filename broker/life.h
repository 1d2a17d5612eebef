// What follows from what in the life of tasks and sessions: the one place where a step of task_fsm.c becomes records and rows.
#pragma once
#include "store_task.h"
#include "task_fsm.h"

// Steps the task and saves it: state, times, queue, approval, rows. actor and time are the work's. trigger: of the attempt that
// EV_RUN or EV_TRY_AGAIN begins. ERR_BAD_STATE before anything was written.
MUST_USE enum err life_step(struct work *w, struct task_ref *ref, enum task_event ev, enum trigger trigger);

// How a session ended.
struct ending {
    enum session_status status; // COMPLETED, FAILED, CANCELLED
    enum failure failure;
    const char *text;
    bool has_exit;
    int32_t exit_code;
    uint64_t duration_ms;       // 0: from its start to now
    bool let_go;                // the worker holds nothing of it any more
};
// Ends a running session and takes the task where that leads: done, review, failed, or another attempt. `cancel`: the task was
// stepped already by its caller (cancelled), only the session is closed.
MUST_USE enum err life_end_session(struct work *w, struct session_ref *ref, const struct ending *end, bool task_stepped);
// Everything a worker holds, or all that runs on a desktop, ends this way (worker lost, desktop stopped). keep: sessions left out.
MUST_USE enum err life_end_held(struct work *w, uint64_t worker, const uint64_t *keep, size_t n_keep, const struct ending *end);
MUST_USE enum err life_end_desktop(struct work *w, const Rec__Desktop *d, const struct ending *end);
// The desktop turns to a new state: record, rows of desktop and agent.
MUST_USE enum err life_desktop(struct work *w, Rec__Desktop *d, enum desktop_status to, const char *error);
MUST_USE enum err life_agent_ready(struct work *w, Rec__Desktop *d, bool ready);
// The agent's state as the API shows it, but for busy, which follows from the sessions.
enum agent_status life_agent_status(enum desktop_status s, bool agent_ready);
// The pending approval of a task in review closes as cancelled.
MUST_USE enum err life_close_approval(struct work *w, const Rec__Task *t);
void life_task_row(const struct task_ref *ref, Wire__Row *row);
