// links: broker common lmdb xxhash protobuf-c sodium jansson uv systemd nng
// Workers that are told to drain, as the fleet sees it, under a pretended clock, on a real store with real turns: no more work, their
// desktops go to others, the order is repeated with each poll, and it lasts until they start anew. And what a worker may say of output.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include "consensus_local.h"
#include "crypto.h"
#include "fleet.h"
#include "fleet_state.h"
#include "hook.h"
#include "log.h"
#include "names.h"
#include "pretended_clock.h"
#include "temp_dir.h"
#include "turn.h"

// One, kept to the end: what a broker has for its whole life has no way to be freed.
static struct {
    char dir[TEMP_DIR_MAX];
    uv_loop_t loop;
    uv_timer_t awake;
    struct store *store;
    struct cons *cons;
    struct turns *turns;
    struct fleet *fleet, *fleets[4];
    struct hooks *hooks[4];
    unsigned n_fleets;
    struct told { unsigned answers, assignments, lists; uint64_t list; bool drain; } told[3]; // of each worker's polls
    uint8_t token[3][16];
    Wire__LiveOutput heard;       // the last output that was passed on
    unsigned n_heard;
} on;

static void committed_cb(void *u, const struct batch *b)
{
    (void)u;
    if (on.fleet)
        fleet_touched(on.fleet, b->touched, b->n_touched);
}

static void fatal_cb(void *u)
{
    (void)u;
    fail();
}

static void answer_cb(void *poll, Wire__Answer *a)
{
    struct told *t = poll;
    t->answers++;
    if (a->body_case != WIRE__ANSWER__BODY_WORK_ORDERS)
        return;
    t->assignments += (unsigned)a->work_orders->n_assignments;
    t->drain = a->work_orders->drain;
    t->lists += a->work_orders->probes_given ? 1 : 0;
    if (a->work_orders->probes_given)
        t->list = a->work_orders->probes_number;
}

static void publish_cb(void *u, const Wire__Live *live)
{
    (void)u;
    for (size_t i = 0; i < live->n_output; i++, on.n_heard++)
        on.heard = *live->output[i];
}

static void awake_cb(uv_timer_t *t)
{
    (void)t;
}

static void settle(void)
{
    do
        uv_run(&on.loop, UV_RUN_ONCE);
    while (!turns_idle(on.turns));
}

static enum err proposed;
static void proposed_cb(struct proposal *p, enum outcome st, const struct batch *b)
{
    (void)b;
    proposed = st == OUTCOME_APPLIED ? err_from_wire(p->cmd.answer.err) : turn_err(st);
}

static enum err propose(Wire__Item__BodyCase body, void *m, enum sender sender)
{
    Wire__Item item = WIRE__ITEM__INIT;
    Wire__Actor actor = WIRE__ACTOR__INIT;
    struct proposal p = { .cmd = { .item = &item, .sender = sender }, .done = proposed_cb };
    list_init(&p.at);
    actor.key = actor.workspace = 1;
    item.body_case = body;
    item.init = m; // the members of the union are pointers
    item.actor = sender == SENDER_GATEWAY ? &actor : NULL;
    turn_submit(on.turns, &p);
    settle();
    return proposed;
}

static void greet(uint64_t worker, uint64_t incarnation)
{
    static char names[3][4] = { "", "w1", "w2" };
    Wire__WorkerHello hello = WIRE__WORKER_HELLO__INIT;
    hello.worker = worker;
    hello.incarnation = incarnation;
    assert_int_equal(propose(WIRE__ITEM__BODY_WORKER_HELLO, &hello, SENDER_BROKER), ERR_OK);
    assert_int_equal(fleet_greeted(on.fleet, worker, names[worker], incarnation, on.token[worker]), ERR_OK);
    settle();
}

// What the worker is told at once, or with the next thing that happens.
static struct told *poll(uint64_t worker)
{
    Wire__WorkPoll m = WIRE__WORK_POLL__INIT;
    struct told *t = &on.told[worker];
    *t = (struct told){ 0 };
    m.slots = m.free = 4;
    m.hold_ms = 5000;
    fleet_poll(on.fleet, worker, &m, t);
    settle();
    return t;
}

static uint64_t prober(void)
{
    const struct desktop *d = map_get(&on.fleet->desktops, 1);
    return d->prober;
}

static void start_fleet(void)
{
    static const uint8_t seal_key[SEAL_KEY_SIZE];
    struct hooks_conf hooks = { .loop = &on.loop, .store = on.store, .turns = on.turns, .seal_key = seal_key };
    struct fleet_conf conf = { .store = on.store, .turns = on.turns, .answer = answer_cb, .publish = publish_cb };
    on.fleet = NULL;
    assert_int_equal(hooks_new(&hooks, &on.hooks[on.n_fleets]), ERR_OK); // there is no webhook
    conf.hooks = on.hooks[on.n_fleets];
    assert_int_equal(fleet_new(&conf, &on.fleets[on.n_fleets]), ERR_OK);
    on.fleet = on.fleets[on.n_fleets++];
    assert_int_equal(fleet_load(on.fleet), ERR_OK);
    settle();
}

static enum err drain(uint64_t worker)
{
    Wire__Target t = WIRE__TARGET__INIT;
    t.id = worker;
    return propose(WIRE__ITEM__BODY_WORKER_DRAIN, &t, SENDER_GATEWAY);
}

static void run_task(void)
{
    static char content[] = "true";
    Wire__TaskCreate m = WIRE__TASK_CREATE__INIT;
    m.type = TYPE_COMMAND;
    m.content = content;
    m.desktop = 1;
    m.run = true;
    assert_int_equal(propose(WIRE__ITEM__BODY_TASK_CREATE, &m, SENDER_GATEWAY), ERR_OK);
    settle();
}

static void observe(void)
{
    Wire__Observe m = WIRE__OBSERVE__INIT;
    Wire__Observation seen = WIRE__OBSERVATION__INIT;
    m.workspace = 1;
    m.seen = &seen;
    seen.desktop = 1;
    seen.reachable = true;
    assert_int_equal(propose(WIRE__ITEM__BODY_OBSERVE, &m, SENDER_BROKER), ERR_OK);
}

static int set_up(void **state)
{
    static uint8_t hash[HASH_SIZE];
    static char names[2][4] = { "w1", "w2" };
    struct turns_cbs cbs = { committed_cb, fatal_cb, NULL };
    Wire__Init init = WIRE__INIT__INIT;
    (void)state;
    assert_true(temp_dir_make(on.dir, "drain"));
    assert_int_equal(uv_loop_init(&on.loop), 0);
    uv_timer_init(&on.loop, &on.awake);
    uv_timer_start(&on.awake, awake_cb, 1, 1);
    assert_int_equal(store_open(on.dir, 64 << 20, false, &on.store), ERR_OK);
    assert_int_equal(cons_local_new(&on.loop, on.store, 0, 0, &on.cons), ERR_OK);
    assert_int_equal(turns_new(&on.loop, on.cons, mono, &cbs, &on.turns), ERR_OK);
    init.admin_key_hash = (ProtobufCBinaryData){ HASH_SIZE, hash };
    init.local_desktop = true;
    assert_int_equal(propose(WIRE__ITEM__BODY_INIT, &init, SENDER_BROKER), ERR_OK);
    for (unsigned i = 0; i < 2; i++) {
        Wire__WorkerAdd add = WIRE__WORKER_ADD__INIT;
        add.name = names[i];
        add.peer = 2;
        add.public_key = (ProtobufCBinaryData){ PEER_PUBLIC_SIZE, hash };
        assert_int_equal(propose(WIRE__ITEM__BODY_WORKER_ADD, &add, SENDER_BROKER), ERR_OK);
    }
    start_fleet();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    on.cons->ops->stop(on.cons);
    store_close(on.store);
    (void)temp_dir_drop(on.dir);
    return 0;
}

static void told_to_drain(void **state)
{
    (void)state;
    assert_int_equal(drain(1), ERR_BAD_STATE); // it has not been here
    greet(1, 1);
    observe();
    assert_int_equal(prober(), 1);
    assert_false(poll(1)->drain);
    struct told *held = poll(1); // waits: there is nothing to say
    assert_int_equal(held->answers, 0);
    assert_int_equal(drain(1), ERR_OK);
    assert_true(held->answers == 1 && held->drain); // the order does not wait for the next poll
    assert_int_equal(prober(), 1);                  // there is nobody else
    run_task();
    assert_int_equal(poll(1)->assignments, 0);
    assert_true(on.told[1].drain);                  // repeated, as all orders are

    greet(2, 1); // who comes takes the desktops, and the work
    assert_int_equal(prober(), 2);
    (void)poll(2);
    settle();
    (void)poll(2);
    assert_int_equal(on.told[2].assignments, 1);
    assert_false(on.told[2].drain);

    greet(1, 1); // the same life once more, after a broken connection
    assert_true(poll(1)->drain);
    start_fleet(); // the broker begins anew
    greet(1, 1);
    assert_true(poll(1)->drain);
    assert_int_equal(prober(), 0); // not to one that drains
    greet(2, 1);
    assert_int_equal(prober(), 2);

    greet(1, 2); // it started anew
    assert_false(poll(1)->drain);
    assert_int_equal(drain(2), ERR_OK);
    assert_int_equal(prober(), 1);
    run_task();
    (void)poll(1);
    settle();
    assert_int_equal(poll(1)->assignments, 1);
}

// It names the list of desktops it has.
static struct told *poll_with(uint64_t worker, uint64_t list)
{
    Wire__WorkPoll m = WIRE__WORK_POLL__INIT;
    struct told *t = &on.told[worker];
    *t = (struct told){ 0 };
    m.slots = m.free = 4;
    m.hold_ms = 5000;
    m.probes_number = list;
    fleet_poll(on.fleet, worker, &m, t);
    settle();
    return t;
}

// An answer may be lost, or come when its worker has given it up: the list of desktops comes with the next one again.
static void list_given_until_named(void **state)
{
    (void)state;
    greet(1, 3);
    uint64_t first = poll_with(1, 1)->list; // it has none
    assert_true(on.told[1].lists == 1 && first > 1);
    uint64_t second = poll_with(1, 1)->list; // the answer did not come
    assert_true(on.told[1].lists == 1 && second != first);
    assert_int_equal(poll_with(1, first)->lists, 1); // nor did the other
    assert_int_equal(poll_with(1, second + 1)->answers, 0); // this one did: there is nothing to say
    (void)poll(1);
    assert_int_equal(poll(1)->lists, 0); // an older worker does not say what it has
    greet(1, 3);
    assert_int_equal(poll_with(1, second + 1)->lists, 1);
}

// How much of it is passed on.
static unsigned says(uint64_t worker, uint64_t workspace, uint64_t session)
{
    Wire__Live live = WIRE__LIVE__INIT;
    Wire__LiveOutput one = WIRE__LIVE_OUTPUT__INIT, *list[1] = { &one };
    one.workspace = workspace;
    one.session = session;
    one.task = one.agent = 77;
    one.desktop = 1;
    live.output = list;
    live.n_output = 1;
    live.token = (ProtobufCBinaryData){ sizeof on.token[worker], on.token[worker] };
    on.n_heard = 0;
    fleet_live(on.fleet, &live);
    return on.n_heard;
}

// After told_to_drain: session 1 was given to worker 2, session 2 to worker 1.
static void output_of_its_sessions_alone(void **state)
{
    Wire__WorkPoll m = WIRE__WORK_POLL__INIT;
    Wire__Holding held = WIRE__HOLDING__INIT, *list[1] = { &held };
    (void)state;
    assert_int_equal(says(1, 1, 2), 1); // before a poll has named it
    assert_true(on.heard.task == 2 && on.heard.desktop == 1 && on.heard.agent == 1); // what it is of, it does not say
    assert_int_equal(says(2, 1, 2), 0);
    held.session = 2;
    m.slots = 4;
    m.running = list;
    m.n_running = 1;
    fleet_poll(on.fleet, 2, &m, &on.told[2]); // whatever it names
    settle();
    assert_int_equal(says(2, 1, 2), 0);
    assert_int_equal(says(2, 1, 1), 1);
    assert_int_equal(says(1, 2, 2), 0);
    assert_int_equal(says(1, 1, 9), 0);
}

int main(void)
{
    int ok;
    if (crypto_init())
        return 1;
    log_init("test", log_level_find("error", &ok));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(told_to_drain, set_up),
        cmocka_unit_test(output_of_its_sessions_alone),
        cmocka_unit_test_teardown(list_given_until_named, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
