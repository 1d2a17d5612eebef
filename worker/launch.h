// Starts a command's process: in a session of its own, standard input empty, all other descriptors closed, no signal blocked
// or ignored, and in its control group from the first instruction on.
#pragma once
#include <stdbool.h>
#include <sys/types.h>
#include "driver.h"

struct spawn {
    const struct driver_cmd *cmd;
    int out, err;    // what becomes 1 and 2; neither is below 3
    int content;     // what becomes 3; -1: none
    const char *group; // path of its control group; "": none
};
// Once, before any other; signals that are ignored by then are not in children. False: no descriptors.
bool spawn_init(void);
// Whether a process can be put into its group at birth here.
bool spawn_knows_groups(void);
// From now on it cannot: for tests of what is done then.
void spawn_plainly(void);
// 0, and it runs (or has ended already: it is the caller's to reap); else an errno. The thread waits until the program is loaded.
int spawn(const struct spawn *s, pid_t *ret_pid, int *ret_pidfd);
