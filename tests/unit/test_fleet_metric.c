// links: broker common lmdb xxhash protobuf-c sodium jansson uv systemd nng
// What the fleet does with the figures that workers measure, under a pretended clock, on a real store with real turns: minutes go to
// the store once they are over, whatever the store is like meanwhile; a crossed threshold is told once, over restarts and stops.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "apply.h"
#include "check.h"
#include "consensus_local.h"
#include "crypto.h"
#include "event.h"
#include "fleet.h"
#include "hook.h"
#include "fleet_state.h"
#include "log.h"
#include "names.h"
#include "pretended_clock.h"
#include "query.h"
#include "temp_dir.h"
#include "turn.h"

// One a test, kept to the end: what a broker has for its whole life has no way to be freed.
static struct stage {
    char dir[TEMP_DIR_MAX];
    uv_loop_t loop;
    uv_timer_t awake;
    struct store *store;
    struct cons *cons[8];
    unsigned n_cons;
    struct turns *turns[8];
    struct fleet *fleet, *fleets[16];
    struct hooks *hooks[16];
    unsigned n_fleets;
    uint8_t token[16];
    unsigned rows[ROW_COUNT];
    Wire__Row last;          // its numbers alone
    char alert_type[32];
    uint64_t published;
} stages[8], *on = stages;

static void committed_cb(void *u, const struct batch *b)
{
    (void)u;
    for (size_t at = 0; at < b->rows.len;) {
        uint32_t n;
        memcpy(&n, b->rows.data + at, sizeof n);
        Wire__Row *r = wire__row__unpack(NULL, n, b->rows.data + at + sizeof n);
        assert_non_null(r);
        on->rows[r->row]++;
        on->last = *r;
        if (*r->alert_type)
            snprintf(on->alert_type, sizeof on->alert_type, "%s", r->alert_type);
        wire__row__free_unpacked(r, NULL);
        at += sizeof n + n;
    }
    if (on->fleet)
        fleet_touched(on->fleet, b->touched, b->n_touched);
}

static void fatal_cb(void *u)
{
    (void)u;
    fail();
}

static void answer_cb(void *poll, Wire__Answer *a)
{
    (void)poll;
    (void)a;
}

static void publish_cb(void *u, const Wire__Live *live)
{
    (void)u;
    on->published += live->n_metrics;
}

static void awake_cb(uv_timer_t *t)
{
    (void)t;
}

static struct turns *turns(uint64_t min_map)
{
    struct turns_cbs cbs = { committed_cb, fatal_cb, NULL };
    assert_int_equal(cons_local_new(&on->loop, on->store, 0, min_map, &on->cons[on->n_cons]), ERR_OK);
    assert_int_equal(turns_new(&on->loop, on->cons[on->n_cons], mono, &cbs, &on->turns[on->n_cons]), ERR_OK);
    return on->turns[on->n_cons++];
}

static void settle(void)
{
    for (bool idle = false; !idle;) {
        uv_run(&on->loop, UV_RUN_ONCE);
        idle = true;
        for (unsigned i = 0; i < on->n_cons; i++)
            idle = idle && turns_idle(on->turns[i]);
    }
}

static enum err proposed;
static void proposed_cb(struct proposal *p, enum outcome st, const struct batch *b)
{
    (void)b;
    proposed = st == OUTCOME_APPLIED ? err_from_wire(p->cmd.answer.err) : turn_err(st);
}

static void propose(Wire__Item__BodyCase body, void *m, enum sender sender)
{
    Wire__Item item = WIRE__ITEM__INIT;
    Wire__Actor actor = WIRE__ACTOR__INIT;
    struct proposal p = { .cmd = { .item = &item, .sender = sender, .worker = 1, .incarnation = 1 }, .done = proposed_cb };
    list_init(&p.at);
    actor.key = actor.workspace = 1;
    item.body_case = body;
    item.init = m; // the members of the union are pointers
    item.actor = sender == SENDER_GATEWAY ? &actor : NULL;
    turn_submit(on->turns[0], &p);
    settle();
    assert_int_equal(proposed, ERR_OK);
}

static void thresholds(uint32_t cpu, uint32_t memory, uint32_t disk)
{
    Wire__SettingsPut put = WIRE__SETTINGS_PUT__INIT;
    Wire__Settings s = WIRE__SETTINGS__INIT;
    put.set = SET_CPU | SET_MEMORY | SET_DISK;
    put.settings = &s;
    s.cpu = cpu;
    s.memory = memory;
    s.disk = disk;
    propose(WIRE__ITEM__BODY_SETTINGS_PUT, &put, SENDER_GATEWAY);
}

static void act(enum desktop_act what)
{
    Wire__DesktopAct a = WIRE__DESKTOP_ACT__INIT;
    a.id = 1;
    a.act = what;
    propose(WIRE__ITEM__BODY_DESKTOP_ACT, &a, SENDER_GATEWAY);
}

// The broker starts (again): a new fleet, and the worker greets it.
static void start(void)
{
    static const uint8_t seal_key[SEAL_KEY_SIZE];
    struct hooks_conf hooks = { .loop = &on->loop, .store = on->store, .turns = on->turns[0], .seal_key = seal_key };
    struct fleet_conf conf = { .store = on->store, .turns = on->turns[0], .answer = answer_cb, .publish = publish_cb };
    on->fleet = NULL;
    assert_int_equal(hooks_new(&hooks, &on->hooks[on->n_fleets]), ERR_OK); // there is no webhook
    conf.hooks = on->hooks[on->n_fleets];
    assert_int_equal(fleet_new(&conf, &on->fleets[on->n_fleets]), ERR_OK);
    on->fleet = on->fleets[on->n_fleets++];
    assert_int_equal(fleet_load(on->fleet), ERR_OK);
    assert_int_equal(fleet_greeted(on->fleet, 1, "w1", 1, on->token), ERR_OK);
    settle();
}

static int set_up(void **state)
{
    static uint8_t hash[HASH_SIZE];
    static char name[] = "w1";
    Wire__Init init = WIRE__INIT__INIT;
    Wire__WorkerAdd add = WIRE__WORKER_ADD__INIT;
    Wire__WorkerHello hello = WIRE__WORKER_HELLO__INIT;
    (void)state;
    on++;
    assert_true(temp_dir_make(on->dir, "fleet"));
    assert_int_equal(uv_loop_init(&on->loop), 0);
    uv_timer_init(&on->loop, &on->awake);
    uv_timer_start(&on->awake, awake_cb, 1, 1);
    assert_int_equal(store_open(on->dir, 256 << 20, false, &on->store), ERR_OK);
    turns(0);
    init.admin_key_hash = (ProtobufCBinaryData){ HASH_SIZE, hash };
    init.local_desktop = true;
    propose(WIRE__ITEM__BODY_INIT, &init, SENDER_BROKER);
    add.name = name;
    add.peer = 2;
    add.public_key = (ProtobufCBinaryData){ PEER_PUBLIC_SIZE, hash };
    propose(WIRE__ITEM__BODY_WORKER_ADD, &add, SENDER_BROKER);
    hello.worker = hello.incarnation = 1;
    propose(WIRE__ITEM__BODY_WORKER_HELLO, &hello, SENDER_BROKER);
    start();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < on->n_cons; i++)
        on->cons[i]->ops->stop(on->cons[i]);
    store_close(on->store);
    (void)temp_dir_drop(on->dir);
    return 0;
}

// One probe of a desktop, and what follows from it.
static void probe(uint64_t desktop, uint32_t cpu, uint32_t memory, uint32_t disk)
{
    static char name[] = "x";
    Wire__Live live = WIRE__LIVE__INIT;
    Wire__LiveMetrics one = WIRE__LIVE_METRICS__INIT, *list[1] = { &one };
    Wire__Metrics m = WIRE__METRICS__INIT;
    m.cpu = cpu;
    m.memory = memory;
    m.disk = disk;
    one.desktop = desktop;
    one.name = name;
    one.metrics = &m;
    live.metrics = list;
    live.n_metrics = 1;
    live.token = (ProtobufCBinaryData){ sizeof on->token, on->token };
    fleet_live(on->fleet, &live);
    settle();
}

// Time goes on; the worker's polls keep its lease.
static void pass(uint64_t ms)
{
    for (uint64_t left = ms, step; left; left -= step) {
        Wire__WorkPoll poll = WIRE__WORK_POLL__INIT;
        step = left < 5000 ? left : 5000;
        wall += step;
        mono += step;
        fleet_poll(on->fleet, 1, &poll, on);
        fleet_tick(on->fleet);
        settle();
    }
}

// Five seconds, and a probe of desktop 1.
static void turn(uint32_t cpu, uint32_t memory, uint32_t disk)
{
    pass(5000);
    probe(1, cpu, memory, disk);
}

// ---------------------------------------------------------------- history

// Points of the last `back` ms in steps of at least step_s; how many, and how many samples their means and maxima agree with.
static size_t ask(uint64_t desktop, uint64_t back, uint64_t step_s, uint32_t want_max, uint64_t *ret_step)
{
    static struct arena a;
    struct query q = { .store = on->store, .fleet = on->fleet, .arena = &a };
    Wire__Item item = WIRE__ITEM__INIT;
    Wire__Actor actor = WIRE__ACTOR__INIT;
    Wire__MetricsRead m = WIRE__METRICS_READ__INIT;
    Wire__Answer answer = WIRE__ANSWER__INIT;
    if (!a.max)
        arena_init(&a, 16 << 20);
    arena_reset(&a);
    assert_int_equal(query_begin(&q), ERR_OK);
    m.desktop = desktop;
    m.from_ms = wall - back;
    m.to_ms = wall + 1;
    m.step_s = step_s;
    actor.workspace = 1;
    item.actor = &actor;
    item.body_case = WIRE__ITEM__BODY_METRICS_READ;
    item.metrics_read = &m;
    query_run(&q, &item, &answer);
    query_end(&q);
    assert_int_equal(answer.err, ERR_OK);
    for (size_t i = 0; want_max && i < answer.metric_points->n_max; i++)
        assert_int_equal(answer.metric_points->max[i], want_max);
    if (ret_step)
        *ret_step = answer.metric_points->step_s;
    return answer.metric_points->n_start_ms;
}

static uint64_t commands(void)
{
    return turns_counts(on->turns[0])->commands;
}

static void minutes_go_to_the_store(void **state)
{
    uint64_t step;
    (void)state;
    pass(60000 - wall % 60000); // at the beginning of one
    probe(1, 1000, 1000, 1000);
    assert_int_equal(ask(1, 600000, 0, 1000, &step), 1);
    assert_int_equal(step, 1);
    for (int i = 0; i < 12 * 10 - 1; i++)
        turn(1000, 1000, 1000);
    assert_int_equal(ask(1, 600000, 0, 1000, &step), 120);
    assert_int_equal(ask(1, 3600000, 0, 1000, &step), 60);
    assert_int_equal(step, 10);
    assert_int_equal(ask(1, 86400000, 0, 1000, &step), 10); // nine stored, one still in memory alone
    assert_int_equal(step, 60);
    start(); // what memory held is gone, what was stored is not
    assert_int_equal(ask(1, 600000, 0, 1000, &step), 9);
    assert_int_equal(step, 60);
    turn(1000, 1000, 1000);
    assert_int_equal(ask(1, 600000, 0, 1000, &step), 10);
    assert_int_equal(ask(1, 7 * 86400000, 0, 1000, &step), 1);
    assert_int_equal(step, 900);

    // While the store has no room minutes wait in memory, and go there when it has.
    struct turns *full = turns(UINT64_MAX), *usual = on->turns[0];
    on->fleet->conf.turns = full;
    for (int i = 0; i < 12 * 30; i++)
        turn(1000, 1000, 1000);
    assert_int_equal(ask(1, 86400000, 0, 1000, &step), 9 + 31);
    on->fleet->conf.turns = usual;
    uint64_t before = commands();
    pass(60000);
    assert_true(commands() - before >= 30);
    start();
    assert_int_equal(ask(1, 86400000, 0, 1000, &step), 9 + 31);

    // The clock is set back an hour, then forward two: nothing stops for long.
    wall -= 3600000;
    for (int i = 0; i < 36; i++)
        turn(1000, 1000, 1000);
    wall += 7200000;
    for (int i = 0; i < 36; i++)
        turn(1000, 1000, 1000);
    start();
    size_t n = ask(1, 86400000, 0, 1000, &step);
    assert_true(n >= 40 + 2 && n <= 40 + 8);

    act(ACT_STOP); // no probes, no points
    n = ask(1, 86400000, 0, 1000, &step);
    for (int i = 0; i < 36; i++)
        turn(1000, 1000, 1000);
    assert_int_equal(ask(1, 86400000, 0, 1000, &step), n);
}

static void many_desktops(void **state)
{
    enum { N = 150 };
    static char name[] = "one of many";
    (void)state;
    for (unsigned i = 2; i <= N; i++) {
        Wire__DesktopPut d = WIRE__DESKTOP_PUT__INIT;
        d.name = name;
        d.driver = DRIVER_LOCAL;
        propose(WIRE__ITEM__BODY_DESKTOP_CREATE, &d, SENDER_GATEWAY);
    }
    pass(60000 - wall % 60000);
    pass(1000);
    for (uint64_t id = 1; id <= N; id++)
        probe(id, 500, 500, 500);
    pass(55000);
    uint64_t before = commands();
    pass(5000);
    uint64_t sent = commands() - before; // 64, 64 and 22; and a renewal, perhaps
    assert_true(sent >= 3 && sent <= 4);
    start();
    for (uint64_t id = 1; id <= N; id++)
        assert_int_equal(ask(id, 600000, 0, 500, NULL), 1);
    Wire__Target gone = WIRE__TARGET__INIT;
    gone.id = 7;
    probe(7, 500, 500, 500); // deleted with a minute under way: nothing of it is left
    propose(WIRE__ITEM__BODY_DESKTOP_DELETE, &gone, SENDER_GATEWAY);
    pass(60000);
    struct cursor c;
    struct txn *t;
    struct key prefix = { .n = 0 };
    assert_int_equal(store_begin(on->store, false, &t), ERR_OK);
    assert_int_equal(cursor_open(&c, t, DB_METRIC, key_u64(key_u64(&prefix, 1), 7)), ERR_OK);
    assert_false(cursor_seek(&c, NULL));
    cursor_close(&c);
    store_abort(t);
}

// ---------------------------------------------------------------- alerts

static unsigned told(void)
{
    unsigned n = on->rows[ROW_ALERT] * 100 + on->rows[ROW_ALERT_NEAR];
    on->rows[ROW_ALERT] = on->rows[ROW_ALERT_NEAR] = 0;
    return n; // 201: two alerts, one warning
}

static void a_crossing_is_told_once(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        turn(1000, 8000, 8000);
    assert_int_equal(told(), 0);
    turn(1000, 8100, 8000);
    assert_int_equal(told(), 1);
    assert_string_equal(on->alert_type, "high_memory");
    assert_true(on->last.value == 8100 && on->last.threshold == 9000 && on->last.desktop == 1 && on->last.agent == 1);
    turn(1000, 9000, 9999);
    assert_int_equal(told(), 200);
    for (int i = 0; i < 5; i++)
        turn(1000, 8600 + 100 * (unsigned)(i % 5), 9999); // flaps within the slack
    start();
    for (int i = 0; i < 5; i++)
        turn(1000, 9100, 9999);
    assert_int_equal(told(), 0);
    turn(1000, 5000, 5000); // back to normal: no row
    turn(1000, 9100, 5000);
    assert_int_equal(told(), 100);
    thresholds(9000, 10000, 5000); // from the next probe on
    assert_int_equal(told(), 0);
    turn(1000, 9100, 5000);
    assert_int_equal(told(), 100);
    assert_string_equal(on->alert_type, "high_disk");
    act(ACT_STOP);
    turn(9999, 9999, 9999); // on its way when the desktop was stopped
    assert_int_equal(told(), 0);
    act(ACT_START);
    turn(1000, 1000, 9999); // and anew
    assert_int_equal(told(), 100);
}

static void a_cpu_is_judged_by_its_mean(void **state)
{
    (void)state;
    turn(10000, 0, 0); // the first probe says nothing yet
    assert_int_equal(told(), 0);
    for (int i = 0; i < 5; i++)
        turn(0, 0, 0);
    assert_int_equal(told(), 0);
    turn(10000, 0, 0); // one busy probe of four is a quarter
    assert_int_equal(told(), 0);
    turn(10000, 0, 0);
    turn(10000, 0, 0);
    assert_int_equal(told(), 0);
    turn(10000, 0, 0); // all of the last twenty seconds
    assert_int_equal(told(), 100);
    assert_string_equal(on->alert_type, "high_cpu");
    assert_int_equal(on->last.value, 10000);
    for (int i = 0; i < 20; i++)
        turn(10000, 0, 0);
    assert_int_equal(told(), 0);
}

static void what_a_worker_may_not_say(void **state)
{
    (void)state;
    uint64_t before = on->published;
    turn(UINT32_MAX, UINT32_MAX, UINT32_MAX); // more than the whole is the whole
    assert_int_equal(told(), 200);
    assert_int_equal(on->last.value, METRIC_MAX);
    assert_int_equal(fleet_desktop(on->fleet, 1)->metrics.memory, METRIC_MAX);
    assert_int_equal(on->published, before + 1);
    probe(99, 100, 100, 100); // no such desktop
    pass(5000);
    for (unsigned i = 0; i < 100; i++)
        probe(1, 0, i % 2 ? 9999 : 0, 0); // up and down in no time
    assert_true(told() <= 100);
    before = on->published - 1;
    on->token[0]++;
    probe(1, 100, 100, 100); // no such worker
    assert_int_equal(on->published, before + 1);
}

int main(void)
{
    int ok;
    if (crypto_init())
        return 1;
    log_init("test", log_level_find("error", &ok));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(minutes_go_to_the_store, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_desktops, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_crossing_is_told_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cpu_is_judged_by_its_mean, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_worker_may_not_say, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
