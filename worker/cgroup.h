// A control group (v2) for each run, where the system lets us make one below our own: a run is born into it (or, where spawn.h
// cannot do that, moved into it soon after), nothing the run starts there can leave it, and one write ends it all. Where it
// does not, tree.h finds what belongs to a run.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>
#include "list.h"

enum { CGROUP_PATH_MAX = 256, CGROUP_OWNER_MAX = 32 };

// Finds our own group and tries whether groups can be made in it. owner: a word that no other worker of this machine has, and
// that the next life of this one will have: what this life leaves unused is removed by that. False: not here.
bool cgroup_init(uv_loop_t *loop, const char *owner);
// A fresh group. False, and an empty path: there is none to be had.
bool cgroup_take(char path[CGROUP_PATH_MAX]);
// Puts a process into its group, for where it is not born into it: the kernel can take 20 ms for that, so it is done off the loop.
struct cgroup_move {
    struct list at;                   // cgroup.c's until done
    const char *path;                 // must stay until done
    int pid;                          // must stay its own until done
    void (*done)(struct cgroup_move *m); // on the loop, never before cgroup_move has returned
};
void cgroup_move(struct cgroup_move *m);
// Nothing is in it any more. It is removed soon after, off the loop.
void cgroup_drop(const char *path);
// Makes none from now on, and removes those that were dropped, and the stock: at the end of the program, and for tests of what
// finds the processes of a run where there are none.
void cgroup_off(void);

// These take an empty path for "none", and a group that is gone for an empty one.
bool cgroup_populated(const char *path);
void cgroup_kill(const char *path);
void cgroup_remove(const char *path); // once it is empty; groups made inside it too

// Whether path can be the group of a run: what is read back from a file is looked at before it is used.
bool cgroup_path_ok(const char *path);
