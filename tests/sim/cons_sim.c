// broker/consensus.h over an array of decided batches. Deciding appends to the array and applies to the leader's store; the other
// replicas apply from the array, later. Faults: NOT_LEADER, BUSY, FULL and DAMAGED (taken apart by turn.c), UNKNOWN though applied and
// not applied - after which this engine answers nothing else, as a database does that has failed - and answers that come late. What was
// applied once must give the same answers, rows, numbers and hash chain wherever and whenever it is applied again.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "apply.h"
#include "arena.h"
#include "clock.h"
#include "crypto.h"
#include "sim.h"
#include "store.h"

enum { REPLICAS = BROKERS, MAP = 64 << 20, PATH_SIZE = 256 };

struct kept_cmd {
    uint8_t *item;
    size_t n;
    struct cmd cmd;              // but for the item and the answer
    uint8_t client_id[CLIENT_ID];
};
struct entry {
    uint32_t n;
    int full;
    uint64_t now_ms, log_ms;
    uint8_t hash[HASH_SIZE], result[HASH_SIZE];
    bool applied, answered;      // applied: somewhere, result holds
    struct kept_cmd *c;
};
static struct entry *array;      // index i is array[i - 1]
static uint64_t n_array, cap_array;

static struct replica {
    char dir[PATH_SIZE];
    struct store *store;
    uint64_t applied, copied;    // copied: what `store.old` holds; 0: there is none
} replicas[REPLICAS];
static struct arena arena;       // of what is applied from the array
static struct buf rows;
static bool no_room;

// ---------------------------------------------------------------- the array

static struct entry *append(void)
{
    if (n_array == cap_array) {
        cap_array = cap_array ? cap_array * 2 : 512;
        array = realloc(array, cap_array * sizeof *array);
        if (!array)
            abort();
    }
    struct entry *e = &array[n_array++];
    *e = (struct entry){ 0 };
    return e;
}

static struct entry *keep(const struct batch *b)
{
    struct entry *e = append();
    e->n = b->n;
    e->full = b->full;
    e->now_ms = b->now_ms;
    e->log_ms = b->log_ms;
    memcpy(e->hash, b->hash, sizeof e->hash);
    e->c = sim_alloc(b->n * sizeof *e->c);
    for (uint32_t i = 0; i < b->n; i++) {
        struct kept_cmd *k = &e->c[i];
        k->n = wire__item__get_packed_size(b->cmds[i]->item);
        k->item = sim_alloc(k->n + 1);
        wire__item__pack(b->cmds[i]->item, k->item);
        k->cmd = *b->cmds[i];
        if (k->cmd.client_id)
            memcpy(k->client_id, k->cmd.client_id, CLIENT_ID);
    }
    return e;
}

// ---------------------------------------------------------------- applying

static void result(struct txn *t, const struct batch *b, uint8_t out[HASH_SIZE])
{
    struct buf all;
    Rec__Meta *m;
    buf_init(&all, 256 << 20);
    for (uint32_t i = 0; i < b->n; i++) {
        const Wire__Answer *a = &b->cmds[i]->answer;
        size_t n = wire__answer__get_packed_size(a);
        uint8_t *p = buf_reserve(&all, n);
        if (!p)
            abort();
        all.len += wire__answer__pack(a, p);
    }
    if (meta_read(t, b->arena, &m))
        sim_fail("the meta record cannot be read");
    buf_put(&all, b->rows.data, b->rows.len);
    buf_put(&all, &b->first, sizeof b->first);
    buf_put(&all, &b->newest, sizeof b->newest);
    buf_put(&all, &b->index, sizeof b->index);
    buf_put(&all, m->hash.data, m->hash.len);
    if (all.err)
        abort();
    crypto_hash(out, all.data, all.len);
    buf_fini(&all);
}

// BREAK_DEDUPE: what tells a repeat is gone.
static void forget_one(struct txn *t, const struct batch *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        struct key k = { .n = 0 };
        if (!b->cmds[i]->client_id)
            continue;
        key_u64(key_bytes(&k, b->cmds[i]->client_id, CLIENT_ID), b->cmds[i]->item->number);
        if (store_del(t, DB_DEDUPE, &k) == ERR_STORAGE_ERROR)
            abort();
    }
}

static void apply(struct replica *r, uint64_t index, struct batch *b)
{
    struct entry *e = &array[index - 1];
    uint8_t seen[HASH_SIZE];
    struct txn *t;
    if (store_begin(r->store, true, &t))
        sim_fail("no transaction");
    enum err err = fsm_apply(t, b);
    if (err)
        sim_fail("batch %llu cannot be applied: %s", (unsigned long long)index, err_name(err));
    if (b->index != index)
        sim_fail("batch %llu was applied as number %llu", (unsigned long long)index, (unsigned long long)b->index);
    result(t, b, seen);
    if (sim.broken == BREAK_DEDUPE && index % 3 == 0)
        forget_one(t, b);
    if (store_commit(t))
        sim_fail("no commit");
    r->applied = index;
    if (e->applied && memcmp(seen, e->result, sizeof seen) != 0)
        sim_fail("replica %u: batch %llu gave another result than before", (unsigned)(r - replicas), (unsigned long long)index);
    if (e->applied)
        return;
    e->applied = true;
    memcpy(e->result, seen, sizeof seen);
    sim.n.batches++;
    sim.n.commands += b->n;
    model_applied(index, b);
}

static void apply_kept(struct replica *r, uint64_t index)
{
    static struct cmd cmds[BATCH_MAX];
    struct entry *e = &array[index - 1];
    struct batch b = { .n = e->n, .full = e->full, .now_ms = e->now_ms, .log_ms = e->log_ms, .arena = &arena, .rows = rows };
    if (sim.broken == BREAK_CLOCK && e->applied)
        b.now_ms = clock_wall_ms();
    memcpy(b.hash, e->hash, sizeof b.hash);
    arena_reset(&arena);
    for (uint32_t i = 0; i < e->n; i++) {
        cmds[i] = e->c[i].cmd;
        cmds[i].client_id = cmds[i].client_id ? e->c[i].client_id : NULL;
        cmds[i].item = wire__item__unpack(arena_allocator(&arena), e->c[i].n, e->c[i].item);
        if (!cmds[i].item)
            abort();
        b.cmds[i] = &cmds[i];
    }
    apply(r, index, &b);
    rows = b.rows;
}

// ---------------------------------------------------------------- replicas

static void path_of(const struct replica *r, const char *name, char out[PATH_SIZE])
{
    if (snprintf(out, PATH_SIZE, "%s/%s", r->dir, name) >= PATH_SIZE)
        abort();
}

static void open_store(struct replica *r)
{
    Rec__Meta *m;
    struct txn *t;
    if (store_open(r->dir, MAP, false, &r->store) || store_begin(r->store, false, &t))
        sim_fail("the store in %s cannot be opened", r->dir);
    arena_reset(&arena);
    if (meta_read(t, &arena, &m))
        sim_fail("the meta record cannot be read");
    r->applied = m->applied;
    store_abort(t);
}

void replicas_open(const char *dir)
{
    arena_init(&arena, 256 << 20);
    buf_init(&rows, 64 << 20);
    for (unsigned i = 0; i < REPLICAS; i++) {
        struct replica *r = &replicas[i];
        if (snprintf(r->dir, sizeof r->dir, "%s-%u", dir, i) >= (int)sizeof r->dir)
            sim_fail("the path %s is too long", dir);
    }
    replicas_close(); // what a seed left that was killed
    for (unsigned i = 0; i < REPLICAS; i++) {
        struct replica *r = &replicas[i];
        if (mkdir(r->dir, 0700))
            sim_fail("%s cannot be made", r->dir);
        open_store(r);
    }
}

void replicas_close(void)
{
    static const char *const files[] = { "store.mdb", "store.mdb-lock", "store.old" };
    char path[PATH_SIZE];
    for (unsigned i = 0; i < REPLICAS; i++) {
        for (unsigned k = 0; k < sizeof files / sizeof *files && *replicas[i].dir; k++) {
            path_of(&replicas[i], files[k], path);
            (void)unlink(path);
        }
        (void)rmdir(replicas[i].dir);
    }
}

void replicas_remove(const char *dir)
{
    for (unsigned i = 0; i < REPLICAS; i++)
        (void)snprintf(replicas[i].dir, sizeof replicas[i].dir, "%s-%u", dir, i);
    replicas_close();
}

static void copy_file(const struct replica *r, const char *from, const char *to)
{
    char a[PATH_SIZE], b[PATH_SIZE];
    static uint8_t block[64 * 1024];
    path_of(r, from, a);
    path_of(r, to, b);
    FILE *in = fopen(a, "rb"), *out = fopen(b, "wb");
    size_t n = 0;
    while (in && out && (n = fread(block, 1, sizeof block, in)) > 0)
        if (fwrite(block, 1, n, out) != n)
            abort();
    if (!in || !out || ferror(in) || fclose(in) || fclose(out))
        sim_fail("%s cannot be copied", a);
}

void replica_keep_copy(unsigned i)
{
    struct replica *r = &replicas[i];
    copy_file(r, "store.mdb", "store.old"); // no transaction is open between events
    r->copied = r->applied;
}

void replica_restore(unsigned i)
{
    struct replica *r = &replicas[i];
    char lock[PATH_SIZE];
    if (!r->copied)
        return;
    store_close(r->store);
    copy_file(r, "store.old", "store.mdb");
    path_of(r, "store.mdb-lock", lock);
    (void)unlink(lock);
    open_store(r);
    if (r->applied != r->copied)
        sim_fail("an older copy of the store holds batch %llu, not %llu", (unsigned long long)r->applied, (unsigned long long)r->copied);
    sim.n.restored++;
    sim_trace("replica %u goes back to batch %llu of %llu", i, (unsigned long long)r->applied, (unsigned long long)n_array);
}

// A start: the store is opened anew, and what the array has beyond it is applied; what it has already is passed over.
struct store *replica_catch_up(unsigned i)
{
    struct replica *r = &replicas[i];
    store_close(r->store);
    open_store(r);
    for (uint64_t index = 1; index <= n_array; index++)
        if (index > r->applied)
            apply_kept(r, index);
    return r->store;
}

struct store *replica_store(unsigned i) { return replicas[i].store; }

void replicas_follow(unsigned leader)
{
    for (unsigned i = 0; i < REPLICAS; i++)
        for (uint64_t n = sim_rnd(40); i != leader && n && replicas[i].applied < n_array; n--)
            if (array[replicas[i].applied].applied)
                apply_kept(&replicas[i], replicas[i].applied + 1);
}

static void hash_store(struct replica *r, uint8_t out[HASH_SIZE])
{
    struct txn *t;
    uint8_t sum[HASH_SIZE] = { 0 };
    if (store_begin(r->store, false, &t))
        sim_fail("no transaction");
    for (int db = 0; db < DB_N; db++) {
        struct cursor c;
        struct key all = { .n = 0 };
        if (cursor_open(&c, t, (enum store_db)db, &all))
            sim_fail("no cursor");
        for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c)) {
            uint8_t two[2 * HASH_SIZE];
            memcpy(two, sum, HASH_SIZE);
            crypto_hash2(two + HASH_SIZE, c.key.b, c.key.n, c.value.p, c.value.n);
            crypto_hash(sum, two, sizeof two);
        }
        cursor_close(&c);
    }
    store_abort(t);
    memcpy(out, sum, HASH_SIZE);
}

void replicas_compare(void)
{
    uint8_t first[HASH_SIZE], other[HASH_SIZE];
    for (unsigned i = 0; i < REPLICAS; i++) {
        while (replicas[i].applied < n_array)
            apply_kept(&replicas[i], replicas[i].applied + 1);
        hash_store(&replicas[i], i ? other : first);
        if (i && memcmp(first, other, HASH_SIZE) != 0)
            sim_fail("replicas differ after batch %llu", (unsigned long long)n_array);
    }
}

void cons_repeat_last(void)
{
    if (!n_array || array[n_array - 1].answered)
        return; // it does know
    struct entry e = array[n_array - 1];
    e.applied = false;
    *append() = e;
    sim_trace("the engine decides batch %llu again as %llu", (unsigned long long)n_array - 1, (unsigned long long)n_array);
}

// What was answered and not committed (BREAK_ACK) is lost.
void cons_crashed(void)
{
    while (n_array && !array[n_array - 1].applied)
        n_array--;
}

void replicas_begin(Wire__Item *first[], size_t n)
{
    struct cmd cmd = { .sender = SENDER_BROKER };
    struct batch b = { .n = 1, .cmds = { &cmd }, .now_ms = clock_wall_ms(), .log_ms = 1 };
    for (size_t i = 0; i < n; i++) {
        cmd.item = first[i];
        (void)keep(&b);
        for (unsigned r = 0; r < REPLICAS; r++)
            apply_kept(&replicas[r], n_array);
    }
}

// ---------------------------------------------------------------- the engine

struct engine {
    struct cons base;
    struct node *node;
    struct replica *replica;
    struct batch *batch;
    cons_done_cb *done;
    void *u;
    enum outcome outcome;
    bool failed;                 // an UNKNOWN was answered
    uint64_t to_apply;           // BREAK_ACK: decided and answered, and not there yet
};

void cons_room(bool full) { no_room = full; }

static void answer(void *u)
{
    struct engine *e = u;
    struct batch *b = e->batch;
    e->batch = NULL;
    if (e->outcome == OUTCOME_APPLIED && n_array)
        array[n_array - 1].answered = true;
    e->done(e->u, e->outcome, b);
}

// BREAK_FENCE: a result of a session that is over is given to the attempt that runs now.
static void mistake_attempt(struct engine *e, const struct batch *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        const Wire__Item *item = b->cmds[i]->item;
        for (size_t k = 0; item->body_case == WIRE__ITEM__BODY_WORK_REPORT && k < item->work_report->n_sessions; k++) {
            Wire__SessionReport *r = item->work_report->sessions[k];
            Rec__Session *s;
            Rec__Task *task;
            Rec__Session *now;
            struct txn *t;
            arena_reset(&arena);
            if (store_begin(e->replica->store, false, &t))
                abort();
            if (!kind_get(t, &arena, KIND_SESSION, 1, r->session, &s) && s->status != 1 && !kind_get(t, &arena, KIND_TASK, 1, s->task, &task) &&
                task->session && !kind_get(t, &arena, KIND_SESSION, 1, task->session, &now) && now->status == 1) {
                r->session = now->id;
                r->attempt = now->attempt;
                r->n_pieces = 0;
                b->cmds[i]->worker = now->worker;
            }
            store_abort(t);
        }
    }
}

static void apply_late(void *u)
{
    struct engine *e = u;
    uint64_t index = e->to_apply;
    e->to_apply = 0;
    if (index)
        apply_kept(e->replica, index);
}

// BREAK_ACK: the answers are those of a transaction that is given up; it is made again later, if we live.
static void answer_early(struct engine *e)
{
    struct txn *t;
    if (store_begin(e->replica->store, true, &t) || fsm_apply(t, e->batch))
        abort();
    store_abort(t);
    (void)keep(e->batch);
    e->to_apply = n_array;
    sim_in(e->node, 15 * US, apply_late, e);
    answer(e);
}

static void decide(void *u)
{
    struct engine *e = u;
    if (e->to_apply)
        apply_late(e);
    if (sim.broken == BREAK_FENCE)
        mistake_attempt(e, e->batch);
    if (sim.broken == BREAK_ACK) {
        answer_early(e);
        return;
    }
    broker_may_die();
    (void)keep(e->batch);
    apply(e->replica, n_array, e->batch);
    broker_may_die();
    sim_in(e->node, sim_chance(150) ? sim_rnd(1500 * US) : 20 + sim_rnd(200), answer, e);
}

static enum outcome draw(const struct batch *b)
{
    if (sim_chance(60))
        return OUTCOME_NOT_LEADER;
    if (sim_chance(60))
        return OUTCOME_BUSY;
    if (sim_chance(60) && b->n > 1)
        return sim_rnd(2) ? OUTCOME_FULL : OUTCOME_DAMAGED;
    return sim_chance(12) ? OUTCOME_UNKNOWN : OUTCOME_APPLIED;
}

static void propose(struct cons *c, struct batch *b, cons_done_cb *done, void *u)
{
    struct engine *e = (struct engine *)c;
    if (e->batch)
        sim_fail("a second batch was proposed while one is being decided");
    b->full = no_room;
    b->took_us = 1000;
    e->batch = b;
    e->done = done;
    e->u = u;
    e->outcome = e->failed ? OUTCOME_UNKNOWN : draw(b);
    bool apply_it = e->outcome == OUTCOME_APPLIED || (e->outcome == OUTCOME_UNKNOWN && !e->failed && sim_rnd(2));
    e->failed = e->failed || e->outcome == OUTCOME_UNKNOWN;
    if (e->outcome != OUTCOME_APPLIED)
        sim_trace("engine: %s%s", err_name(e->outcome == OUTCOME_UNKNOWN ? ERR_OUTCOME_UNKNOWN : ERR_OVERLOADED), apply_it ? ", though applied" : "");
    sim_in(e->node, sim_chance(200) ? sim_rnd(300 * US) : 100 + sim_rnd(2 * US), apply_it ? decide : answer, e);
}

static int role(const struct cons *c, const char **ret_url)
{
    (void)c;
    *ret_url = "";
    return 1;
}

static void stop(struct cons *c) { (void)c; }

enum err cons_sim_new(struct node *n, unsigned r, struct cons **ret)
{
    static const struct cons_ops ops = { propose, role, stop };
    struct engine *e = sim_alloc(sizeof *e);
    e->base.ops = &ops;
    e->node = n;
    e->replica = &replicas[r];
    *ret = &e->base;
    return ERR_OK;
}
