// What a worker must not forget when it is killed, in a directory of its own (0700):
//   journal        a line for each session that is about to be started (synced before it is), one once its process runs, one
//                  with its end and the output that is not confirmed, and one when the broker has confirmed that
//   N.end          an end that is too long for a line: a hash and a packed SessionReport
//   lock           held while a worker uses the directory
// and, in a directory shared by the workers of a machine, its guards (guard.h).
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>
#include "err.h"
#include "list.h"
#include "spool_line.h"

enum { SPOOL_WORD_MAX = 17 };
struct spool;
struct spool_found {
    // a session of a former life that had ended (gives report, free it as above)
    void (*ended)(void *u, Wire__SessionReport *report);
    // one that had been started and has no end: its processes are to be ended
    void (*lost)(void *u, const struct spool_line *l);
    void *u;
};
// Opens it (made if need be), locks it, tells what a former life left, and starts a fresh journal.
// ERR_AGAIN: another worker has it. ERR_IO: `why` says what.
MUST_USE enum err spool_open(uv_loop_t *loop, const char *dir, const char *guard_dir, const struct spool_found *found,
                             struct spool **ret, char *why, size_t why_size);

// A word for its path, by which what belongs to this worker is told from what belongs to others of the machine.
const char *spool_word(const struct spool *s);

// Records sessions before they are started, all that come in one turn of the loop with one sync; done is called on the loop
// (never before spool_start has returned): ERR_OK, and the record is on disk; ERR_IO: do not start it.
struct spool_entry {
    struct list at;        // spool.c's from spool_start to done
    struct spool_line line;
    void (*done)(struct spool_entry *e, enum err err);
};
void spool_start(struct spool *s, struct spool_entry *e);
// Its process runs. Not synced: this is for our successor after a kill, not after a power cut.
void spool_process(struct spool *s, uint64_t session, const struct tree_id *id);
// Its end is written at once (a kill of the worker cannot lose it) and synced soon after off the loop (nor a power cut).
// ERR_IO when it cannot be written: try again later.
MUST_USE enum err spool_end(struct spool *s, const Wire__SessionReport *r);
// The broker has it, or does not want it.
void spool_forget(struct spool *s, uint64_t session);
// Octets in it: ends that are not confirmed, and the journal.
uint64_t spool_octets(const struct spool *s);
// Waits for what spool_end left to be synced. For the end of the program.
void spool_flush(struct spool *s);

// Guards, as guard.h has them.
size_t spool_guard_each(const struct spool *s, uint64_t task, uint64_t session, uint32_t attempt,
                        bool (*cb)(void *u, const struct spool_line *l), void *u);
void spool_guard_set(struct spool *s, const struct spool_line *l);
void spool_guard_drop(struct spool *s, uint64_t session);
