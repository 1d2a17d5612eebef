// Processes of commands: their exit by a pidfd on the loop, their two pipes, and the end of all they started.
// The main process is reaped last, so that its number cannot become another's while we still send signals by it. We are the
// subreaper: whatever a command leaves behind becomes our child, and is reaped here.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>
#include "driver.h"
#include "err.h"
#include "list.h"
#include "tree.h"

struct proc;
// None of these is called before proc_spawn has returned, nor after proc_close.
struct proc_cbs {
    bool (*room)(void *u, size_t n);  // may n octets be read now? If not it is asked again in 100 ms
    void (*data)(void *u, enum stream stream, const uint8_t *p, size_t n); // lent
    void (*eof)(void *u);             // both pipes came to their end
    void (*exited)(void *u, int code, int signal); // the main process; signal 0: by itself
};

// Once, before any other: makes us the subreaper, takes descriptors 0 to 2 and finds out about control groups (owner: as
// cgroup_init has it).
MUST_USE enum err proc_init(uv_loop_t *loop, const char *owner);

// Starts it: in a session of its own, standard input empty, all other descriptors closed, no signal blocked or ignored.
// id: its mark (run), the machine's start, and the control group it is born into, which is taken whatever comes of it. content:
// for commands that take it from descriptor 3. On an error `why` says so.
MUST_USE enum err proc_spawn(const struct driver_cmd *cmd, const char *content, const struct tree_id *id, const struct proc_cbs *cbs,
                             void *u, struct proc **ret, char *why, size_t why_size);
const struct tree_id *proc_id(const struct proc *p); // lent until proc_close
bool proc_eof(const struct proc *p);
// TERM to the process group.
void proc_term(struct proc *p);
// KILL to the main process and all of its tree; how many of them were still alive.
unsigned proc_kill(struct proc *p);
// After the main process ended: KILLs what it left behind; how many still live. 0: nothing is left.
unsigned proc_sweep(struct proc *p);
// Reads what is still in the pipes (bounded), closes them, reaps the main process and lets go. Takes p.
void proc_close(struct proc *p);

// At the end of the program: turns the loop until what proc_close let go of is gone, at most ms; then there are no groups any more.
void proc_flush(unsigned ms);
// At the end of the program: KILLs all trees and waits for them, at most ms.
void proc_kill_all(unsigned ms);
