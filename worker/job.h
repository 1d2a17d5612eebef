// One session: from its assignment to an end that the broker has confirmed. job_fsm.h is its life, this does it.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>
#include "driver.h"
#include "job_fsm.h"
#include "list.h"
#include "output.h"
#include "spool.h"
#include "wire.pb-c.h"

struct job;
struct job_conf {
    uv_loop_t *loop;
    struct spool *spool;
    struct driver_user user;
    unsigned stall_s;                                          // a chat endpoint may be silent for so long
    void (*recorded)(void *u, struct job *j);                  // job_go may be called
    bool (*leased)(void *u);                                   // what we were given is certainly ours still: it may be started
    void (*output)(void *u, struct job *j, enum stream stream, uint64_t offset, const uint8_t *p, size_t n); // lent
    void (*ended)(void *u, struct job *j);                     // its result is on disk, or tried again; not for dropped ones
    void (*gone)(void *u, struct job *j);                      // a dropped one is about to be freed: take it out of lists
    void *u;
};

struct job {
    struct list at;               // the owner's
    const struct job_conf *conf;
    Wire__Assignment *a;          // NULL for one from the spool
    uint64_t session, task;
    uint32_t attempt;
    enum job_state state;
    struct output out;
    uint64_t written;             // from the spool: octets the run had written, also those that are not there any more
    struct job_result result;     // once ended
    uint64_t duration_ms, prompt_tokens, completion_tokens;
    // job.c's
    struct spool_entry entry;
    struct job_facts facts;
    char text[JOB_TEXT_MAX];      // facts.text
    struct proc *proc;
    struct chat *chat;
    uv_timer_t timer, deadline;
    unsigned open;                // handles
    uint64_t started_ms, since_ms; // monotonic; since: in this state
    bool is_recorded, recording, spooled, dropped;
};

// A new session; it is being recorded from now on. ERR_NO_MEMORY.
MUST_USE enum err job_new(const struct job_conf *c, const Wire__Assignment *a, struct job **ret);
// One that ended in a former life. r is lent.
MUST_USE enum err job_restore(const struct job_conf *c, const Wire__SessionReport *r, struct job **ret);
static inline bool job_waits(const struct job *j)
{
    return j->state == JOB_QUEUED && j->is_recorded;
}
// Starts one that waits.
void job_go(struct job *j);
// Ends it: asks, then forces. `now`: forces at once.
void job_stop(struct job *j, enum job_stop why, bool now);
// Nobody wants it any more, or the broker has confirmed its end: ends it if need be, deletes its traces, then calls gone and frees it.
// May do so before it returns.
void job_drop(struct job *j);
// What the broker must know of its end. pieces and report are the caller's, and lend from the job. More than max pieces of
// unconfirmed output are left out. Returns how many there are.
size_t job_report(const struct job *j, Wire__SessionReport *r, Wire__OutputPiece *pieces, Wire__OutputPiece **list, size_t max);
