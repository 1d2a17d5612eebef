// The simulator: broker, gateways and workers - the product's own objects - in one process, on virtual time and an in-memory bus, all
// chance from one seed. world.c: the queue of events, clocks, chance. loop.c: libuv's timers on it. net.c: common/bus.h on it.
// cons_sim.c: broker/consensus.h over an array of decided batches, and its replicas. broker.c, gateway.c, worker.c: the programs.
// model.c: what must be true. main.c: seeds, faults in time, the summary. There is one leader at a time: a second broker that believes it
// leads has no place in today's product, whose engine is local.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>
#include "consensus.h"

#define COMMAND_OUTPUT "some output\nand a second line of it\n" // of every command
enum { BROKERS = 2, GATEWAYS = 2, WORKERS = 3, US = 1000, SECOND = 1000 * 1000, URL_MAX = 32, CLIENT_ID = 16 };

// One life of a program. A life that has ended stays allocated: what still points to it finds it dead.
struct node {
    uv_loop_t loop;           // only its address and data (the node) mean something
    char name[24];
    unsigned id;              // its number among those of its kind, from 1
    bool dead, lease_clock_broken;
    uint64_t mono0_ms;        // of its machine
    int64_t skew_ms;          // of its wall clock
    uint64_t paused_until_us; // SIGSTOP
    uint8_t client_id[CLIENT_ID]; // as seen in its first request
    void *u;
};

// Deliberate defects, by name: the simulator must find each.
#define BREAKS(B) \
    B(DEDUPE,  "dedupe",  "the row that tells a repeat is forgotten now and then") \
    B(ACK,     "ack",     "a batch is answered before it is committed") \
    B(FENCE,   "fence",   "a late result counts for the attempt that runs now") \
    B(LEASE,   "lease",   "leases run on the wall clock") \
    B(CLOCK,   "clock",   "a replica reads its own clock while it applies") \
    B(RESUME,  "resume",  "a subscriber resumes with >= where > is meant")
enum broken { BREAK_NONE,
#define B(id, name, text) BREAK_##id,
    BREAKS(B)
#undef B
    BREAK_N };

struct sim_counts {
    uint64_t us, events, commands, batches, rows, messages, faults, started, passed, failed;
    uint64_t crashes, restored, repeats, late, lost, delivered; // repeats: of requests that had succeeded
};

struct world {
    uint64_t now_us, seed;
    int64_t wall_jump_ms;
    struct node *node;        // whose event is run; NULL: the world's own
    enum broken broken;
    bool verbose, healed;
    bool aged;                // the wall clock has jumped over what is kept: events may have gone before anybody was sent them
    uint64_t trace;           // over all events: two runs of a seed must agree
    struct sim_counts n;
};
extern struct world sim;

// ---- world.c
void sim_begin(uint64_t seed);
uint64_t sim_rnd(uint64_t n);              // below n
bool sim_chance(unsigned in_ten_thousand); // a fault: false once healed; counted
uint64_t sim_delay_us(void);               // of a message: mostly short
// Runs fn(u) on that node after so long, unless it is dead by then. node NULL: the world's own.
void sim_in(struct node *n, uint64_t us, void (*fn)(void *u), void *u);
void sim_run(uint64_t until_us, void (*after_each)(void));
// The program whose event is run ends here and now, in the middle of what it does: its node must have died.
_Noreturn void sim_die(void);
struct node *node_new(const char *kind, unsigned id, void *u);
_Noreturn void sim_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void sim_trace(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void *sim_alloc(size_t n);                 // zeroed; never NULL

// ---- net.c
void net_node_died(struct node *n);
void net_break_some(struct node *n);       // connections of that node

// ---- cons_sim.c
struct store;
void replicas_open(const char *dir);       // below dir-0, dir-1; what is there goes
void replicas_remove(const char *dir);
void replicas_close(void);                 // and deletes their files
void replicas_begin(Wire__Item *first[], size_t n); // the commands of an empty installation
void replica_keep_copy(unsigned r);        // for replica_restore
void replica_restore(unsigned r);          // its store is what it was then
struct store *replica_catch_up(unsigned r); // replays the array
struct store *replica_store(unsigned r);
void replicas_follow(unsigned leader);     // the others come along, some behind
void replicas_compare(void);               // all level, and equal in every key
void cons_repeat_last(void);               // the engine, not knowing, decides its last batch again
enum err cons_sim_new(struct node *n, unsigned r, struct cons **ret);
void cons_room(bool full);
void cons_crashed(void);

// ---- broker.c
void broker_start(unsigned r);
void broker_crash(void);
void broker_may_die(void);                 // a place where a kill may meet it
struct node *broker_node(void);            // NULL: down
unsigned broker_replica(void);

// ---- gateway.c
void gateway_start(unsigned g);
void gateway_crash(unsigned g);
struct node *gateway_node(unsigned g);
void gateway_settle(void);                 // healed: approvals are resolved, desktops started, no new work
bool gateway_level(uint64_t newest);       // every subscriber has seen all
void gateway_last_words(void);             // one more command, which must work
bool gateway_heard(void);                  // ... and did
bool desktop_reachable(uint64_t desktop);

// ---- worker.c
void worker_start(unsigned n);             // with what its former life left on its disk
void worker_crash(unsigned n);
void worker_replace(unsigned n);           // another machine comes up with its key while it still lives
struct node *worker_node(unsigned n);
struct peer_key;
const struct peer_key *worker_key(unsigned n), *gateway_key(unsigned g);
void keys_make(void);

// ---- model.c
void model_applied(uint64_t index, const struct batch *b); // the first time it is applied anywhere
void model_acked(const struct node *n, uint64_t number, uint64_t newest); // a command of that client succeeded, says its answer
void model_counts(uint64_t at, const uint64_t *by_status, size_t n, uint64_t pending, int status, uint64_t total); // at event `at`
void model_row_seen(uint64_t number, const uint8_t *p, size_t n);
enum tried { TRIED_MADE = 1, TRIED_REFUSED = 2, TRIED_TWICE = 4 };
void model_tried(uint64_t number, enum tried what); // a task that was asked for once: was made, was refused, was sent twice
void model_output(const Wire__OutputPage *p);
void model_polled(uint64_t worker, uint64_t came_us);      // a poll of that worker was taken
void model_started(uint64_t session, uint32_t attempt);
void model_exited(uint64_t session, int code);
void model_delivered(unsigned receiver, uint64_t delivery);
void model_check_store(struct store *s);   // counts, lists, the log
uint64_t model_newest(void), model_told(void); // decided; reflected by some answer
uint64_t model_pick_task(void), model_pick_approval(void), model_desktops(void), model_webhooks(void), model_keys(void); // ids, mostly of what is there
uint64_t model_pending(uint64_t after);    // the next pending approval; 0: none
bool model_desktop_is(uint64_t id, uint32_t status);
uint64_t model_unfinished(void);           // tasks that run or are in review
bool model_delivered_all(void);
void model_say_unfinished(void);           // fails with one of them
