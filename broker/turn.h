// Turns: commands gather here while the batch before them is decided; then up to 256 of them, or 1 MiB, are proposed as one. After
// it is decided: the commit is told first to whom it concerns (done, in order), then to the caches and the bus.
#pragma once
#include <uv.h>
#include "consensus.h"
#include "list.h"
#include "prom.h"

struct turns;
struct proposal {              // embedded in its owner; the command's item must stay until done
    struct cmd cmd;
    struct list at;            // turn.c's
    // cmd.answer is valid during the call when st is OUTCOME_APPLIED. newest: the event number it reflects.
    void (*done)(struct proposal *p, enum outcome st, const struct batch *b);
};
struct turns_cbs {
    void (*committed)(void *u, const struct batch *b); // after every proposal's done
    void (*fatal)(void *u);                            // the store failed: answer what is open and end the program
    void *u;
};
// log_ms0: the log time stored last; it goes on from there by the monotonic clock.
MUST_USE enum err turns_new(uv_loop_t *loop, struct cons *cons, uint64_t log_ms0, const struct turns_cbs *cbs, struct turns **ret);
void turn_submit(struct turns *t, struct proposal *p);
uint64_t turn_log_ms(const struct turns *t); // log time now
// No row that is not committed yet will have an earlier time than this: what is said of the time before it stays true.
uint64_t turns_settled_ms(struct turns *t);
int turns_idle(const struct turns *t);       // nothing gathered, nothing under way
// What was applied since the start.
struct turns_counts {
    uint64_t commands, turns, events;
    struct prom_hist took_us, size; // of turns: until they were durable; their commands
};
const struct turns_counts *turns_counts(const struct turns *t);
enum err turn_err(enum outcome st);          // what a proposer answers when its command was not applied
