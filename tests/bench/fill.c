// links: broker common lmdb xxhash protobuf-c sodium jansson uv systemd nng
// Makes a store with a long history for tests/bench/scale: the broker's own commands under a pretended clock, in batches, without
// waiting for the disk.
//
//     fill DIR EVENTS TASKS DAYS
//
// DIR must be empty or absent. TASKS tasks on 20 desktops, asked for by ten users, each created, edited, run and ended, until there are
// EVENTS events, evenly over the last DAYS days. The admin's key is written to DIR/admin-api-key, as a first start would.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "apply.h"
#include "arena.h"
#include "check.h"
#include "clock.h"
#include "crypto.h"
#include "names.h"
#include "store.h"

enum { DESKTOPS = 20, USERS = 10, ROUND = 64, BATCHES_A_COMMIT = 64, DAY_MS = 24 * 3600 * 1000, MAP_GIB = 64 };

static struct {
    struct store *store;
    struct txn *txn;
    struct arena arena;
    struct batch batch;
    struct cmd cmds[BATCH_MAX];
    Wire__Item items[BATCH_MAX];
    Wire__Actor actors[BATCH_MAX];
    uint64_t begin_ms, span_ms, events, newest, tasks, sessions;
    unsigned batches;
} fill;

_Noreturn static void die(const char *what, enum err e)
{
    fprintf(stderr, "fill: %s: %s\n", what, err_name(e));
    exit(1);
}

// Room for one more command in the batch.
static Wire__Item *next(enum sender sender, uint64_t key)
{
    struct batch *b = &fill.batch;
    Wire__Item *i = &fill.items[b->n];
    Wire__Actor *a = &fill.actors[b->n];
    *i = (Wire__Item)WIRE__ITEM__INIT;
    *a = (Wire__Actor)WIRE__ACTOR__INIT;
    a->workspace = 1;
    a->key = key;
    i->actor = sender == SENDER_WORKER ? NULL : a;
    i->number = 1;
    fill.cmds[b->n] = (struct cmd){ .item = i, .sender = sender, .worker = 1, .incarnation = 1 };
    b->cmds[b->n] = &fill.cmds[b->n];
    b->n++;
    return i;
}

static void begin(void)
{
    enum err e = store_begin(fill.store, true, &fill.txn);
    if (e)
        die("a transaction cannot be begun", e);
}

static void commit(void)
{
    enum err e = store_commit(fill.txn);
    if (e)
        die("the store cannot be written", e);
}

// Applies what has gathered, at the time that belongs to the events so far.
static void apply(void)
{
    struct batch *b = &fill.batch;
    b->now_ms = fill.begin_ms + (uint64_t)((double)fill.span_ms * (double)fill.newest / (double)fill.events);
    b->log_ms = b->now_ms - fill.begin_ms + 1000;
    b->arena = &fill.arena;
    b->touched = NULL;
    b->n_touched = b->touched_cap = 0;
    enum err e = fsm_apply(fill.txn, b);
    for (uint32_t i = 0; !e && i < b->n; i++)
        e = err_from_wire(b->cmds[i]->answer.err);
    if (e)
        die("a command was refused", e);
    fill.newest = b->newest;
    b->n = 0;
    arena_reset(&fill.arena);
    if (++fill.batches % BATCHES_A_COMMIT == 0) {
        commit();
        begin();
    }
}

// ---------------------------------------------------------------- the people and the machines

static void admin(const char *dir)
{
    static Wire__Init init = WIRE__INIT__INIT;
    static uint8_t hash[HASH_SIZE];
    static char last4[5];
    char key[API_KEY_MAX], line[API_KEY_MAX + 1], path[4096];
    crypto_api_key(key);
    crypto_hash(hash, key, strlen(key));
    memcpy(last4, key + strlen(key) - 4, 5);
    snprintf(line, sizeof line, "%s\n", key);
    snprintf(path, sizeof path, "%s/admin-api-key", dir);
    enum err e = secret_write(path, line, strlen(line));
    if (e)
        die(path, e);
    init.admin_key_hash = (ProtobufCBinaryData){ HASH_SIZE, hash };
    init.admin_key_last4 = last4;
    init.epoch_seed = 1;
    Wire__Item *i = next(SENDER_BROKER, 0);
    i->actor = NULL;
    i->body_case = WIRE__ITEM__BODY_INIT;
    i->init = &init;
    apply();
}

// Users by their records alone, each with a key of the same number.
static void users(void)
{
    for (uint64_t n = 2; n <= USERS; n++) {
        Rec__User u = REC__USER__INIT;
        Rec__Key k = REC__KEY__INIT;
        char name[32];
        uint8_t hash[HASH_SIZE];
        snprintf(name, sizeof name, "user-%llu", (unsigned long long)n);
        crypto_hash(hash, name, strlen(name));
        u.id = k.id = k.user = n;
        u.workspace = k.workspace = 1;
        u.name = k.name = name;
        u.role = k.role = ROLE_ADMIN;
        k.hash = (ProtobufCBinaryData){ HASH_SIZE, hash };
        enum err e = kind_put(fill.txn, &fill.arena, KIND_USER, NULL, &u);
        if (!e)
            e = kind_put(fill.txn, &fill.arena, KIND_KEY, NULL, &k);
        if (e)
            die("a user cannot be made", e);
    }
}

static void settings(void)
{
    static Wire__SettingsPut m = WIRE__SETTINGS_PUT__INIT;
    static Wire__Settings s = WIRE__SETTINGS__INIT;
    s.retention_days = 365;
    m.set = SET_RETENTION;
    m.settings = &s;
    Wire__Item *i = next(SENDER_GATEWAY, 1);
    i->body_case = WIRE__ITEM__BODY_SETTINGS_PUT;
    i->settings_put = &m;
    apply();
}

static void machines(void)
{
    static Wire__DesktopPut put[DESKTOPS];
    static Wire__Observe observe[DESKTOPS];
    static Wire__Observation seen[DESKTOPS];
    static char names[DESKTOPS][32];
    static Wire__WorkerAdd worker = WIRE__WORKER_ADD__INIT;
    static Wire__WorkerHello hello = WIRE__WORKER_HELLO__INIT;
    static char worker_name[] = "of-the-past";
    static uint8_t public[PEER_PUBLIC_SIZE];
    worker.name = worker_name;
    worker.peer = 2;
    worker.public_key = (ProtobufCBinaryData){ sizeof public, public };
    Wire__Item *i = next(SENDER_BROKER, 0);
    i->body_case = WIRE__ITEM__BODY_WORKER_ADD;
    i->worker_add = &worker;
    hello.worker = hello.incarnation = 1;
    i = next(SENDER_BROKER, 0);
    i->body_case = WIRE__ITEM__BODY_WORKER_HELLO;
    i->worker_hello = &hello;
    for (unsigned n = 0; n < DESKTOPS; n++) {
        snprintf(names[n], sizeof names[n], "desktop-%u", n + 1);
        put[n] = (Wire__DesktopPut)WIRE__DESKTOP_PUT__INIT;
        put[n].name = names[n];
        put[n].driver = DRIVER_LOCAL;
        put[n].max_tasks = MAX_TASKS_MAX;
        i = next(SENDER_GATEWAY, 1);
        i->body_case = WIRE__ITEM__BODY_DESKTOP_CREATE;
        i->desktop_create = &put[n];
    }
    apply();
    for (unsigned n = 0; n < DESKTOPS; n++) {
        observe[n] = (Wire__Observe)WIRE__OBSERVE__INIT;
        seen[n] = (Wire__Observation)WIRE__OBSERVATION__INIT;
        observe[n].workspace = 1;
        observe[n].seen = &seen[n];
        seen[n].desktop = n + 1;
        seen[n].reachable = true;
        i = next(SENDER_BROKER, 0);
        i->body_case = WIRE__ITEM__BODY_OBSERVE;
        i->observe = &observe[n];
    }
    apply();
}

// ---------------------------------------------------------------- a round of tasks, each command of all of them in one batch

static uint64_t key_of(uint64_t task) { return 1 + task % USERS; }
static bool fails(uint64_t task) { return task % 50 == 7; }
static bool waits(uint64_t task) { return task % 10 == 3; } // stays pending

static void create(uint64_t first, unsigned n)
{
    static Wire__TaskCreate m[ROUND];
    static char title[ROUND][64], content[] = "uname -a && uptime";
    for (unsigned k = 0; k < n; k++) {
        m[k] = (Wire__TaskCreate)WIRE__TASK_CREATE__INIT;
        snprintf(title[k], sizeof title[k], "Look after machine %llu", (unsigned long long)(first + k));
        m[k].type = TYPE_COMMAND;
        m[k].title = title[k];
        m[k].content = content;
        m[k].desktop = 1 + (first + k) % DESKTOPS;
        m[k].priority = PRIORITY_MEDIUM;
        Wire__Item *i = next(SENDER_GATEWAY, key_of(first + k));
        i->body_case = WIRE__ITEM__BODY_TASK_CREATE;
        i->task_create = &m[k];
    }
    apply();
}

// Two rows each: title and priority.
static void edit(uint64_t first, unsigned n, unsigned round)
{
    static Wire__TaskEdit m[ROUND];
    static char title[ROUND][64];
    for (unsigned k = 0; k < n; k++) {
        m[k] = (Wire__TaskEdit)WIRE__TASK_EDIT__INIT;
        snprintf(title[k], sizeof title[k], "Look after machine %llu, %u", (unsigned long long)(first + k), round);
        m[k].id = first + k;
        m[k].set = EDIT_TITLE | EDIT_PRIORITY;
        m[k].title = title[k];
        m[k].priority = round % 2 ? PRIORITY_HIGH : PRIORITY_LOW;
        Wire__Item *i = next(SENDER_GATEWAY, key_of(first + k + round));
        i->body_case = WIRE__ITEM__BODY_TASK_EDIT;
        i->task_edit = &m[k];
    }
    apply();
}

static void run(uint64_t first, unsigned n)
{
    static Wire__Target m[ROUND];
    for (unsigned k = 0; k < n; k++) {
        if (waits(first + k))
            continue;
        m[k] = (Wire__Target)WIRE__TARGET__INIT;
        m[k].id = first + k;
        Wire__Item *i = next(SENDER_GATEWAY, key_of(first + k));
        i->body_case = WIRE__ITEM__BODY_TASK_RUN;
        i->task_run = &m[k];
    }
    apply();
}

static void assign(uint64_t first, unsigned n)
{
    static Wire__Assign m[ROUND];
    for (unsigned k = 0; k < n; k++) {
        if (waits(first + k))
            continue;
        m[k] = (Wire__Assign)WIRE__ASSIGN__INIT;
        m[k].task = first + k;
        m[k].attempt = 1;
        m[k].worker = m[k].incarnation = 1;
        Wire__Item *i = next(SENDER_BROKER, 0);
        i->body_case = WIRE__ITEM__BODY_ASSIGN;
        i->assign = &m[k];
    }
    apply();
}

static void report(uint64_t first, unsigned n)
{
    static Wire__WorkReport m[ROUND];
    static Wire__SessionReport r[ROUND], *list[ROUND];
    for (unsigned k = 0; k < n; k++) {
        if (waits(first + k))
            continue;
        m[k] = (Wire__WorkReport)WIRE__WORK_REPORT__INIT;
        r[k] = (Wire__SessionReport)WIRE__SESSION_REPORT__INIT;
        r[k].session = ++fill.sessions;
        r[k].attempt = 1;
        r[k].ended = r[k].has_exit = true;
        r[k].exit_code = fails(first + k);
        r[k].duration_ms = 1200;
        list[k] = &r[k];
        m[k].sessions = &list[k];
        m[k].n_sessions = 1;
        Wire__Item *i = next(SENDER_WORKER, 0);
        i->body_case = WIRE__ITEM__BODY_WORK_REPORT;
        i->work_report = &m[k];
    }
    apply();
}

static void round_of_tasks(unsigned n, uint64_t tasks_max)
{
    uint64_t first = fill.tasks + 1;
    unsigned edits = 0;
    fill.tasks += n;
    create(first, n);
    run(first, n);
    assign(first, n);
    report(first, n);
    while (fill.newest < fill.events && fill.newest * tasks_max < fill.tasks * fill.events)
        edit(first, n, edits++);
}

static uint64_t number(const char *text)
{
    char *end;
    errno = 0;
    uint64_t n = strtoull(text, &end, 10);
    if (errno || *end || !n) {
        fprintf(stderr, "fill: '%s' is not a number above 0\n", text);
        exit(2);
    }
    return n;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: fill DIR EVENTS TASKS DAYS\n");
        return 2;
    }
    fill.events = number(argv[2]);
    uint64_t tasks = number(argv[3]);
    fill.span_ms = number(argv[4]) * DAY_MS;
    fill.begin_ms = clock_wall_ms() - fill.span_ms;
    if (crypto_init() || (mkdir(argv[1], 0700) != 0 && errno != EEXIST))
        die("the start", ERR_IO);
    enum err e = store_open(argv[1], (uint64_t)MAP_GIB << 30, false, &fill.store);
    if (e)
        die("the store cannot be opened", e);
    arena_init(&fill.arena, 256 << 20);
    buf_init(&fill.batch.rows, 64 << 20);
    begin();
    admin(argv[1]);
    users();
    settings();
    machines();
    uint64_t round = tasks < 1000 * ROUND ? tasks / 1000 + 1 : ROUND; // small enough that every hour has its share
    while (fill.tasks < tasks) {
        round_of_tasks((unsigned)(tasks - fill.tasks < round ? tasks - fill.tasks : round), tasks);
        if (fill.tasks % (round * 1000) == 0)
            fprintf(stderr, "fill: %llu events\n", (unsigned long long)fill.newest);
    }
    commit();
    store_close(fill.store);
    printf("%llu events, %llu tasks\n", (unsigned long long)fill.newest, (unsigned long long)fill.tasks);
    return 0;
}
