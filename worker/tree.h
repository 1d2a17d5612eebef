// Which processes belong to a run, and ending them: whatever a command has started, detached, renamed or forked twice. A
// process belongs to a run when it is its main process, carries the run's mark (MC_RUN) in the environment it was started
// with, is in its control group, in the process group or session of its main process, or descends from one that does.
// A process is never taken for another that had its number before: number and start time go together, and signals go by pidfd.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "cgroup.h"
#include "driver.h"
#include "err.h"

enum { BOOT_ID_MAX = 40 };
struct tree_id {
    char run[RUN_ID_MAX];
    char boot[BOOT_ID_MAX];       // of the machine's start: numbers of an earlier one mean nothing
    pid_t pid;                    // 0: not known
    uint64_t start;               // its start time in ticks
    char cgroup[CGROUP_PATH_MAX]; // "": none
};

struct tree_proc {
    pid_t pid, ppid, pgrp, sid;
    uint64_t start;
    char state;
    uint8_t mark;
};
struct tree {
    struct tree_proc *p;
    size_t n, cap;
};

// The line of /proc/N/stat. Pure.
bool tree_stat_parse(const char *text, size_t n, struct tree_proc *ret);
// 0 when there is no such process.
uint64_t tree_start_time(pid_t pid);
// This start of the machine; "" when it cannot be told.
void tree_boot_id(char out[BOOT_ID_MAX]);

// All processes. Free with tree_fini, also after an error.
MUST_USE enum err tree_scan(struct tree *t);
void tree_fini(struct tree *t);
// Marks what belongs to the run and is not marked yet; never ourselves. held: its main process is a child of ours that was
// not reaped, so its number is certainly still its own.
void tree_mark(struct tree *t, const struct tree_id *id, bool held, uint8_t mark);
// Marks one process and its descendants.
void tree_mark_below(struct tree *t, pid_t pid, uint8_t mark);
// The run whose mark the process carries; false: none.
bool tree_run_of(pid_t pid, char run[RUN_ID_MAX]);
// Sends the signal to all with that mark; how many of them live (zombies do not).
unsigned tree_signal(const struct tree *t, uint8_t mark, int sig);

// Ends what is left of a run that is not (or no longer) a child of ours. How many were still seen: call it again until 0.
unsigned tree_end(const struct tree_id *id);
