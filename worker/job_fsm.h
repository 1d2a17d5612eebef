// The life of one run, and what its end means. Pure: the table says what follows from an event, job.c does it.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "err.h"
#include "names.h"

enum job_state {
    JOB_NONE,
    JOB_QUEUED,   // assigned; its record is being written, or it waits for a slot
    JOB_CLEARING, // ending what a former attempt left running
    JOB_RUNNING,
    JOB_ENDING,   // TERM was sent
    JOB_KILLING,  // KILL was sent, the main process is not gone yet
    JOB_DRAINING, // the main process is gone, something still holds its pipes
    JOB_SWEEPING, // ending what it left behind
    JOB_ENDED,
    JOB_NSTATES
};

enum job_event {
    JEV_GO,         // recorded, and there is a slot: nothing is in the way
    JEV_GO_CLEAR,   // the same, but a former attempt of this task may still run
    JEV_FAIL,       // could not be recorded or started
    JEV_EXIT,       // the main process ended, its pipes are still open
    JEV_EXIT_EOF,   // it ended and the pipes are at their end
    JEV_EOF,        // the pipes came to their end
    JEV_STOP,       // cancel, time-out, end of the drain: ask, then force
    JEV_KILL,       // at once
    JEV_TIMER,      // the time the last effect set is over
    JEV_CLEAN,      // nothing of the tree is left
    JEV_GIVE_UP,    // it cannot be ended
    JEV_N
};

enum job_effect {
    JFX_START = 1,  // start the command or the conversation
    JFX_TERM = 2,   // TERM to the group (a conversation: break it off)
    JFX_KILL = 4,   // KILL to the whole tree (a conversation: break it off)
    JFX_CLEAR = 8,  // KILL what the former attempt left, and look again after the timer
    JFX_SWEEP = 16, // KILL what is left of the tree, and look again after the timer
    JFX_FINISH = 32
};

enum { JOB_GRACE_MS = 10000, JOB_HELD_PIPES_MS = 2000, JOB_LOOK_MS = 20, JOB_SWEEP_MAX_MS = 5000 };

// ERR_BAD_STATE when nothing follows from the event in that state. *ret_timer_ms: 0 for none.
MUST_USE enum err job_fsm_step(enum job_state from, enum job_event ev, enum job_state *ret_to, unsigned *ret_fx,
                               unsigned *ret_timer_ms);
const char *job_state_name(enum job_state s);

// Why we ended a run before it ended by itself.
enum job_stop { STOP_NONE, STOP_CANCEL, STOP_TIMEOUT, STOP_DRAIN, STOP_FORGET };

struct job_facts {
    enum job_stop stop;
    bool started;             // a command: its process ran
    bool exited;              // exit_code or signal is known
    int exit_code, signal;    // signal: 0, or the one that ended it
    unsigned timeout_s;
    enum failure failure;     // of what could not be started, or of a conversation
    const char *text;         // its sentence; may be NULL
};

enum { JOB_TEXT_MAX = 600 };
struct job_result {
    bool has_exit;
    int exit_code;
    enum failure failure;
    char text[JOB_TEXT_MAX];  // valid UTF-8
};

void job_verdict(const struct job_facts *f, struct job_result *ret);
