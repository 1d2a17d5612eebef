// A control group (v2) for each run, where the system lets us make one below our own: then nothing the run starts can leave
// it, and one write ends it all. Where it does not, tree.h finds what belongs to a run.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>
#include "list.h"

enum { CGROUP_PATH_MAX = 256 };

// Finds our own group and tries whether groups can be made in it. False: not here.
bool cgroup_init(void);
// Makes none from now on: what then finds the processes of a run must do so everywhere.
void cgroup_off(void);
// Makes the group of a run and says where. False (and an empty path): none was made.
bool cgroup_make(const char *run, char path[CGROUP_PATH_MAX]);
// Where it would be made; "" when none are made here. For a run whose worker was killed before it could note it.
void cgroup_path(const char *run, char path[CGROUP_PATH_MAX]);
// These take an empty path for "none", and a group that is gone for an empty one.
bool cgroup_populated(const char *path);
void cgroup_kill(const char *path);
void cgroup_remove(const char *path); // once it is empty; groups made inside it too

// Putting a process into a group can take the kernel 20 ms: it is done off the loop, one after the other, and so is removing.
struct cgroup_task {
    struct list at;                  // cgroup.c's from cgroup_queue to done
    const char *path;                // must stay until done
    int pid;                         // to put into it; 0: remove it. Its number must stay its own until done
    void (*done)(struct cgroup_task *t); // on the loop, never before cgroup_queue has returned
};
void cgroup_queue(uv_loop_t *loop, struct cgroup_task *t);

// Whether path can be the group of that run: what is read back from a file is looked at before it is used.
bool cgroup_path_ok(const char *path, const char *run);
