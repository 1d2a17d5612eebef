// links: broker common lmdb xxhash protobuf-c sodium jansson uv systemd nng
// The inner protocol on the broker's side: octet 0 says who speaks, the rest is a Request as it comes off the wire. Commands are
// applied to a store with some life in it, queries answered from it, answers packed; then the transaction is given up, so
// that each input meets the same state. No input may end the turn: refusals are answers.
#include <stdint.h>
#include <stdlib.h>
#include "apply.h"
#include "arena.h"
#include "check.h"
#include "crypto.h"
#include "fleet.h"
#include "names.h"
#include "query.h"
#include "temp_dir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
    char dir[TEMP_DIR_MAX];
    struct store *store;
    struct fleet *fleet;
    struct arena in, out;
    struct batch batch;
} on;

static void leave(void)
{
    store_close(on.store);
    (void)temp_dir_drop(on.dir);
}

static void apply(struct cmd *cmds, uint32_t n, int keep)
{
    struct batch *b = &on.batch;
    struct txn *t;
    b->n = n;
    for (uint32_t i = 0; i < n; i++)
        b->cmds[i] = &cmds[i];
    b->now_ms = 1767225600000;
    b->log_ms = 5000;
    b->arena = &on.out;
    b->touched = NULL;
    b->n_touched = b->touched_cap = 0;
    if (store_begin(on.store, true, &t))
        abort();
    enum err e = fsm_apply(t, b);
    if (e && e != ERR_NO_MEMORY)
        abort();
    for (uint32_t i = 0; i < n && !e; i++) {
        size_t len = wire__answer__get_packed_size(&cmds[i].answer);
        uint8_t *p = malloc(len + 1);
        if (!p || wire__answer__pack(&cmds[i].answer, p) != len)
            abort();
        free(p);
    }
    if (!keep)
        store_abort(t);
    else if (e || store_commit(t) || cmds[0].answer.err)
        abort();
}

// A store with a desktop, a worker, a running session, a waiting task, one in review, and a webhook with something to deliver.
static void prepare(void)
{
    static uint8_t hash[HASH_SIZE];
    static char name[] = "w1", content[] = "true";
    Wire__Init init = WIRE__INIT__INIT;
    Wire__WorkerAdd add = WIRE__WORKER_ADD__INIT;
    Wire__WorkerHello hello = WIRE__WORKER_HELLO__INIT;
    Wire__Observe observe = WIRE__OBSERVE__INIT;
    Wire__Observation seen = WIRE__OBSERVATION__INIT;
    Wire__TaskCreate create = WIRE__TASK_CREATE__INIT;
    Wire__Assign assign = WIRE__ASSIGN__INIT;
    Wire__WebhookPut hook = WIRE__WEBHOOK_PUT__INIT;
    Wire__HookNext next = WIRE__HOOK_NEXT__INIT;
    static char url[] = "http://x/", all[] = "*", *events[] = { all };
    Wire__Actor actor = WIRE__ACTOR__INIT;
    struct { Wire__Item__BodyCase body; void *m; enum sender who; } steps[] = {
        { WIRE__ITEM__BODY_INIT, &init, SENDER_BROKER },         { WIRE__ITEM__BODY_WORKER_ADD, &add, SENDER_BROKER },
        { WIRE__ITEM__BODY_WORKER_HELLO, &hello, SENDER_BROKER }, { WIRE__ITEM__BODY_OBSERVE, &observe, SENDER_BROKER },
        { WIRE__ITEM__BODY_WEBHOOK_CREATE, &hook, SENDER_GATEWAY },
        { WIRE__ITEM__BODY_TASK_CREATE, &create, SENDER_GATEWAY }, { WIRE__ITEM__BODY_TASK_CREATE, &create, SENDER_GATEWAY },
        { WIRE__ITEM__BODY_ASSIGN, &assign, SENDER_BROKER },     { WIRE__ITEM__BODY_HOOK_NEXT, &next, SENDER_BROKER },
    };
    init.admin_key_hash = (ProtobufCBinaryData){ HASH_SIZE, hash };
    init.local_desktop = 1;
    init.epoch_seed = 3;
    add.name = name;
    add.peer = 2;
    add.public_key = (ProtobufCBinaryData){ PEER_PUBLIC_SIZE, hash };
    hello.worker = seen.desktop = hello.incarnation = observe.workspace = 1;
    seen.reachable = 1;
    observe.seen = &seen;
    create.type = TYPE_COMMAND;
    create.content = content;
    create.desktop = 1;
    create.run = 1;
    assign.task = assign.worker = assign.incarnation = actor.key = actor.workspace = 1;
    assign.attempt = 1;
    hook.url = url;
    hook.events = events;
    hook.n_events = 1;
    hook.enabled = 1;
    hook.secret_sealed = init.admin_key_hash;
    next.workspace = next.webhook = 1;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        Wire__Item item = WIRE__ITEM__INIT;
        struct cmd cmd = { .item = &item, .sender = steps[i].who };
        item.body_case = steps[i].body;
        item.init = steps[i].m;
        item.actor = i < 4 ? NULL : &actor;
        arena_reset(&on.out);
        apply(&cmd, 1, 1);
    }
}

static void open_once(void)
{
    struct fleet_conf none = { 0 };
    if (on.store)
        return;
    if (crypto_init() || !temp_dir_make(on.dir, "fuzz") || store_open(on.dir, 256 << 20, false, &on.store) || fleet_new(&none, &on.fleet))
        abort();
    atexit(leave);
    arena_init(&on.in, 16 << 20);
    arena_init(&on.out, 64 << 20);
    buf_init(&on.batch.rows, 16 << 20);
    prepare();
}

static void ask(const Wire__Request *m)
{
    struct query q = { .store = on.store, .fleet = on.fleet, .arena = &on.out };
    if (query_begin(&q))
        abort();
    for (size_t i = 0; i < m->n_items; i++) {
        Wire__Answer a = WIRE__ANSWER__INIT;
        if (!query_is(m->items[i]->body_case))
            continue;
        query_run(&q, m->items[i], &a);
        size_t len = wire__answer__get_packed_size(&a);
        uint8_t *p = malloc(len + 1);
        if (!p || wire__answer__pack(&a, p) != len)
            abort();
        free(p);
    }
    query_end(&q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cmd cmds[ITEMS_MAX];
    uint32_t n = 0;
    if (size < 1)
        return 0;
    open_once();
    arena_reset(&on.in);
    arena_reset(&on.out);
    Wire__Request *m = wire__request__unpack(arena_allocator(&on.in), size - 1, data + 1);
    if (!m || m->n_items > ITEMS_MAX)
        return 0;
    enum sender who = data[0] & 1 ? SENDER_WORKER : SENDER_GATEWAY;
    for (size_t i = 0; i < m->n_items; i++)
        if (apply_is_command(m->items[i]->body_case))
            cmds[n++] = (struct cmd){ .item = m->items[i], .sender = who, .worker = 1, .incarnation = 1, .answered_up_to = m->answered_up_to,
                                      .client_id = who == SENDER_GATEWAY && m->client_id.len == 16 ? m->client_id.data : NULL };
    on.batch.full = (data[0] & 2) != 0;
    if (n)
        apply(cmds, n, 0);
    ask(m);
    return 0;
}
