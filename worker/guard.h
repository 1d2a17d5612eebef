// The guards of a task: what earlier attempts, of whichever worker of this machine, may have left running. Each worker has one file of
// them in a directory the workers of a user share, a slot for each run, and writes to no other. It is for the time after a
// kill, not after a power cut, so nothing is synced.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "err.h"
#include "spool_line.h"

struct guard;
// name: of this worker's file. keep is told what a former life left, and says whether it still counts. ERR_IO, ERR_NO_MEMORY.
MUST_USE enum err guard_open(const char *dir, const char *name, bool (*keep)(void *u, const struct spool_line *l), void *u,
                             struct guard **ret);
void guard_free(struct guard *g);
// Of l->session, over what was there. ERR_IO: it is not written.
MUST_USE enum err guard_set(struct guard *g, const struct spool_line *l);
// Nothing of that session is left.
void guard_drop(struct guard *g, uint64_t session);
// Calls cb for each guard of another session of that task, of an attempt before this one. How many there are for which it
// said false; without cb, how many there are.
size_t guard_each(const struct guard *g, uint64_t task, uint64_t session, uint32_t attempt, bool (*cb)(void *u, const struct spool_line *l),
                  void *u);
