// A broker's store with some life in it, for the targets that work on one: two workspaces, users, desktops, a worker, tasks in each
// state, output, comments, webhooks with something to deliver. It is made once. Every input works inside one write transaction that is
// given up: whatever begins, commits or aborts a transaction meanwhile uses that one. Links with --wrap of the three functions of LMDB.
#pragma once
#pragma GCC diagnostic ignored "-Wunused-function"
#include <lmdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "apply.h"
#include "arena.h"
#include "check.h"
#include "crypto.h"
#include "names.h"
#include "store.h"

enum { STORE_DIR_MAX = 64 };
#define STORE_NOW0 1767225600000u

static char store_dir[STORE_DIR_MAX];
static uint8_t store_seal_key[SEAL_KEY_SIZE];
static uint64_t store_epoch, store_newest, store_log_ms;
static struct store *store_made;
static MDB_txn *store_outer, *store_begun;

int __real_mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **ret);
int __real_mdb_txn_commit(MDB_txn *t);
void __real_mdb_txn_abort(MDB_txn *t);
int __wrap_mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **ret);
int __wrap_mdb_txn_commit(MDB_txn *t);
void __wrap_mdb_txn_abort(MDB_txn *t);

int __wrap_mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **ret)
{
    if (store_outer) {
        *ret = store_outer;
        return 0;
    }
    int rc = __real_mdb_txn_begin(env, parent, flags, ret);
    store_begun = rc ? NULL : *ret;
    return rc;
}
int __wrap_mdb_txn_commit(MDB_txn *t) { return store_outer ? 0 : __real_mdb_txn_commit(t); }
void __wrap_mdb_txn_abort(MDB_txn *t)
{
    if (!store_outer)
        __real_mdb_txn_abort(t);
}

static void store_enter(struct store *s)
{
    struct txn *t;
    if (store_begin(s, true, &t))
        abort();
    store_outer = store_begun;
    free(t);
}
static void store_leave(void)
{
    MDB_txn *t = store_outer;
    store_outer = NULL;
    __real_mdb_txn_abort(t);
}

static void store_done(void)
{
    char path[STORE_DIR_MAX + 16];
    store_close(store_made);
    snprintf(path, sizeof path, "%s/store.mdb", store_dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/store.mdb-lock", store_dir);
    unlink(path);
    rmdir(store_dir);
}

// ---------------------------------------------------------------- what is in it

static struct {
    struct batch batch;
    struct arena arena;
    uint64_t now_ms, log_ms;
} store_play;

static void store_do(Wire__Item__BodyCase body, void *m, enum sender who)
{
    Wire__Item item = WIRE__ITEM__INIT;
    Wire__Actor actor = WIRE__ACTOR__INIT;
    struct cmd cmd = { .item = &item, .sender = who, .worker = 1, .incarnation = 1 };
    struct batch *b = &store_play.batch;
    struct txn *t;
    item.body_case = body;
    item.init = m;
    actor.workspace = actor.key = 1;
    item.actor = body == WIRE__ITEM__BODY_INIT || body == WIRE__ITEM__BODY_WORKER_HELLO ? NULL : &actor;
    arena_reset(&store_play.arena);
    b->n = 1;
    b->cmds[0] = &cmd;
    b->now_ms = store_play.now_ms += 1000;
    b->log_ms = store_play.log_ms += 1000;
    b->arena = &store_play.arena;
    b->touched = NULL;
    b->n_touched = b->touched_cap = 0;
    if (store_begin(store_made, true, &t) || fsm_apply(t, b) || store_commit(t) || cmd.answer.err) {
        fprintf(stderr, "item %d: %s (%s) %s\n", (int)body, err_name(err_from_wire(cmd.answer.err)), cmd.answer.field, cmd.answer.text);
        abort();
    }
    store_epoch = b->epoch;
    store_newest = b->newest;
    store_log_ms = store_play.log_ms;
}

static void store_task(const char *content, uint64_t desktop, bool run, bool ask)
{
    Wire__TaskCreate m = WIRE__TASK_CREATE__INIT;
    char text[32];
    snprintf(text, sizeof text, "%s", content);
    m.type = TYPE_COMMAND;
    m.content = text;
    m.desktop = desktop;
    m.run = run;
    m.retries = 1;
    m.requires_approval = ask ? 2 : 1;
    store_do(WIRE__ITEM__BODY_TASK_CREATE, &m, SENDER_GATEWAY);
}

static void store_assign(uint64_t task)
{
    Wire__Assign m = WIRE__ASSIGN__INIT;
    m.task = task;
    m.worker = m.incarnation = m.attempt = 1;
    store_do(WIRE__ITEM__BODY_ASSIGN, &m, SENDER_BROKER);
}

static void store_report(uint64_t session, bool ended)
{
    Wire__WorkReport m = WIRE__WORK_REPORT__INIT;
    Wire__SessionReport r = WIRE__SESSION_REPORT__INIT, *list[1] = { &r };
    Wire__OutputPiece p = WIRE__OUTPUT_PIECE__INIT, *pieces[1] = { &p };
    static uint8_t out[] = "Linux\nline two \xc3\xa9\n";
    m.sessions = list;
    m.n_sessions = 1;
    r.session = session;
    r.attempt = 1;
    p.stream = STREAM_STDOUT;
    p.data = (ProtobufCBinaryData){ sizeof out - 1, out };
    r.pieces = pieces;
    r.n_pieces = 1;
    r.output_total = sizeof out - 1;
    r.ended = r.has_exit = ended;
    store_do(WIRE__ITEM__BODY_WORK_REPORT, &m, SENDER_WORKER);
}

static void store_people(void)
{
    static uint8_t hash[HASH_SIZE];
    static char name[] = "eve", word[] = "$argon2id$v=19$m=65536,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g", other[] = "second", key[] = "build", four[] = "abcd",
                admin[] = "root2";
    Wire__UserPut user = WIRE__USER_PUT__INIT;
    Wire__KeyCreate k = WIRE__KEY_CREATE__INIT;
    Wire__WorkspaceCreate ws = WIRE__WORKSPACE_CREATE__INIT;
    user.name = name;
    user.role = ROLE_OPERATOR;
    user.password = word;
    store_do(WIRE__ITEM__BODY_USER_CREATE, &user, SENDER_GATEWAY);
    memset(hash, 2, sizeof hash);
    k.name = key;
    k.role = ROLE_VIEWER;
    k.hash = (ProtobufCBinaryData){ HASH_SIZE, hash };
    k.last4 = four;
    store_do(WIRE__ITEM__BODY_KEY_CREATE, &k, SENDER_GATEWAY);
    memset(hash, 3, sizeof hash);
    ws.name = other;
    ws.admin_name = admin;
    ws.admin_password = word;
    ws.key_hash = k.hash;
    ws.key_last4 = four;
    store_do(WIRE__ITEM__BODY_WORKSPACE_CREATE, &ws, SENDER_GATEWAY);
}

static void store_places(void)
{
    static uint8_t hash[HASH_SIZE];
    static char worker[] = "w1", gateway[] = "g1", desktop[] = "second", url[] = "http://127.0.0.1:9/v1/chat", model[] = "m";
    Wire__Init init = WIRE__INIT__INIT;
    Wire__WorkerAdd add = WIRE__WORKER_ADD__INIT;
    Wire__WorkerHello hello = WIRE__WORKER_HELLO__INIT;
    Wire__Observe observe = WIRE__OBSERVE__INIT;
    Wire__Observation seen = WIRE__OBSERVATION__INIT;
    Wire__DesktopPut d = WIRE__DESKTOP_PUT__INIT;
    Wire__Chat chat = WIRE__CHAT__INIT;
    memset(hash, 1, sizeof hash);
    init.admin_key_hash = (ProtobufCBinaryData){ HASH_SIZE, hash };
    init.local_desktop = 1;
    init.epoch_seed = 3;
    store_do(WIRE__ITEM__BODY_INIT, &init, SENDER_BROKER);
    add.name = worker;
    add.peer = 2;
    add.public_key = (ProtobufCBinaryData){ PEER_PUBLIC_SIZE, hash };
    store_do(WIRE__ITEM__BODY_WORKER_ADD, &add, SENDER_BROKER);
    add.name = gateway;
    add.peer = 1;
    store_do(WIRE__ITEM__BODY_WORKER_ADD, &add, SENDER_BROKER);
    hello.worker = hello.incarnation = 1;
    store_do(WIRE__ITEM__BODY_WORKER_HELLO, &hello, SENDER_BROKER);
    d.name = desktop;
    d.driver = DRIVER_LOCAL;
    d.max_tasks = 2;
    d.chat = &chat;
    chat.url = url;
    chat.model = model;
    chat.mode = CHAT_MODEL;
    store_do(WIRE__ITEM__BODY_DESKTOP_CREATE, &d, SENDER_GATEWAY);
    observe.workspace = seen.desktop = seen.reachable = 1;
    observe.seen = &seen;
    store_do(WIRE__ITEM__BODY_OBSERVE, &observe, SENDER_BROKER);
    seen.desktop = 2;
    seen.agent_answers = 1;
    store_do(WIRE__ITEM__BODY_OBSERVE, &observe, SENDER_BROKER);
}

static void store_hooks(void)
{
    static char url[] = "http://x/", all[] = "*", *events[] = { all };
    static uint8_t sealed[8 + SEAL_OVERHEAD];
    Wire__WebhookPut hook = WIRE__WEBHOOK_PUT__INIT;
    Wire__HookNext next = WIRE__HOOK_NEXT__INIT;
    Wire__Target test = WIRE__TARGET__INIT;
    crypto_seal(store_seal_key, "whsecret", 8, sealed);
    hook.url = url;
    hook.events = events;
    hook.n_events = 1;
    hook.enabled = 1;
    hook.secret_sealed = (ProtobufCBinaryData){ sizeof sealed, sealed };
    store_do(WIRE__ITEM__BODY_WEBHOOK_CREATE, &hook, SENDER_GATEWAY);
    store_task("true", 1, true, false);
    next.workspace = next.webhook = 1;
    store_do(WIRE__ITEM__BODY_HOOK_NEXT, &next, SENDER_BROKER);
    test.id = 1;
    store_do(WIRE__ITEM__BODY_WEBHOOK_TEST, &test, SENDER_GATEWAY);
}

static void store_work(void)
{
    static char text[] = "looks fine", what[] = "a new disk";
    Wire__CommentAdd comment = WIRE__COMMENT_ADD__INIT;
    Wire__Target cancel = WIRE__TARGET__INIT;
    Wire__Sample sample = WIRE__SAMPLE__INIT;
    Wire__DesktopSample s = WIRE__DESKTOP_SAMPLE__INIT, *list[1] = { &s };
    Wire__Maintenance down = WIRE__MAINTENANCE__INIT;
    uint64_t sum[3] = { 100, 200, 300 };
    uint32_t max[3] = { 100, 200, 300 };
    store_task("echo two", 1, true, true);     // 2: runs, and will be reviewed
    store_task("echo three", 1, true, true);   // 3: in review
    store_task("echo four", 1, true, false);   // 4: done
    store_task("echo five", 2, false, false);  // 5: pending
    store_task("echo six", 2, true, false);    // 6: waits
    store_task("echo seven", 1, false, false); // 7: cancelled
    store_assign(2);
    store_assign(3);
    store_assign(4);
    store_report(1, false);
    store_report(2, true);
    store_report(3, true);
    cancel.id = 7;
    store_do(WIRE__ITEM__BODY_TASK_CANCEL, &cancel, SENDER_GATEWAY);
    comment.task = 4;
    comment.content = text;
    store_do(WIRE__ITEM__BODY_COMMENT_ADD, &comment, SENDER_GATEWAY);
    sample.desktops = list;
    sample.n_desktops = 1;
    s.workspace = s.desktop = s.count = 1;
    s.minute = STORE_NOW0 / 60000 - 5;
    s.sum = sum;
    s.max = max;
    s.n_sum = s.n_max = 3;
    store_do(WIRE__ITEM__BODY_SAMPLE, &sample, SENDER_BROKER);
    down.description = what;
    down.minutes = 5;
    store_do(WIRE__ITEM__BODY_MAINTENANCE, &down, SENDER_GATEWAY);
}

// The store, made and filled once; gone with the process.
static struct store *broker_store(void)
{
    struct stat st;
    snprintf(store_dir, sizeof store_dir, "%s/mc-fuzz-XXXXXX", stat("/dev/shm", &st) == 0 && S_ISDIR(st.st_mode) ? "/dev/shm" : "/tmp");
    if (crypto_init() || !mkdtemp(store_dir) || store_open(store_dir, 256 << 20, false, &store_made))
        abort();
    atexit(store_done);
    memset(store_seal_key, 7, sizeof store_seal_key);
    arena_init(&store_play.arena, 64 << 20);
    buf_init(&store_play.batch.rows, 16 << 20);
    store_play.now_ms = STORE_NOW0 - 3600000;
    store_play.log_ms = 5000;
    store_places();
    store_people();
    store_hooks();
    store_work();
    return store_made;
}
