// links: broker common lmdb xxhash protobuf-c sodium jansson uv systemd nng
// The live side of webhooks, on a real store, with turns of our own (turn.c's symbols, here): what is proposed is applied when the
// test says so, and time is what the test says it is.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "apply.h"
#include "check.h"
#include "crypto.h"
#include "hook.h"
#include "hook_rule.h"
#include "kind.h"
#include "list.h"
#include "log.h"
#include "names.h"
#include "play.h"
#include "temp_dir.h"
#include "turn.h"

static struct {
    char dir[TEMP_DIR_MAX];
    struct store *store;
    struct hooks *hooks;
    struct arena arena, orders;
    struct batch batch;
    struct list proposed;
    uint64_t log_ms, given[64];
    unsigned n_given, n_proposed;
} on;

// ---------------------------------------------------------------- turns

uint64_t turn_log_ms(const struct turns *t)
{
    (void)t;
    return on.log_ms;
}

void turn_submit(struct turns *t, struct proposal *p)
{
    (void)t;
    on.n_proposed++;
    list_push_back(&on.proposed, &p->at);
}

static enum err apply(struct cmd *cmd, bool tell)
{
    enum err e = play(on.store, &on.batch, &on.arena, cmd, 1767225600000 + on.log_ms, on.log_ms);
    if (tell)
        hooks_committed(on.hooks, &on.batch);
    return e;
}

// What was proposed is decided, each in a turn of its own, until nothing more is.
static unsigned decide(void)
{
    unsigned n = 0;
    for (struct list *l; (l = list_pop_front(&on.proposed)); n++) {
        struct proposal *p = container_of(l, struct proposal, at);
        (void)apply(&p->cmd, false);
        p->done(p, OUTCOME_APPLIED, &on.batch);
        hooks_committed(on.hooks, &on.batch);
    }
    return n;
}

static void refuse_all(void)
{
    for (struct list *l; (l = list_pop_front(&on.proposed));) {
        struct proposal *p = container_of(l, struct proposal, at);
        p->done(p, OUTCOME_FULL, &on.batch);
    }
}

// ---------------------------------------------------------------- what the live side tells

static void given_cb(void *u, uint64_t worker)
{
    (void)u;
    if (on.n_given < 64)
        on.given[on.n_given++] = worker;
}

static void settled_cb(void *u)
{
    (void)u;
}

static enum err open_key_cb(void *u, const uint8_t *sealed, size_t n, struct arena *a, char **ret)
{
    char *p = arena_alloc(a, n + 1);
    (void)u;
    assert_non_null(p);
    memcpy(p, sealed, n); // the test seals nothing
    p[n] = 0;
    *ret = p;
    return ERR_OK;
}

static void open_hooks(uint64_t newest)
{
    static const uint8_t seal_key[SEAL_KEY_SIZE] = { 7 };
    struct hooks_conf c = { .loop = uv_default_loop(), .store = on.store, .seal_key = seal_key, .retry_base_ms = 1000, .given = given_cb,
                            .settled = settled_cb, .open_key = open_key_cb };
    list_init(&on.proposed);
    on.n_given = on.n_proposed = 0;
    assert_int_equal(hooks_new(&c, &on.hooks), ERR_OK); // one that was there before is left as a killed broker leaves it
    assert_int_equal(hooks_load(on.hooks, newest), ERR_OK);
}

static enum err ask(Wire__Item__BodyCase body, void *m)
{
    Wire__Item item = WIRE__ITEM__INIT;
    Wire__Actor actor = WIRE__ACTOR__INIT;
    struct cmd cmd = { .item = &item, .sender = SENDER_GATEWAY };
    actor.key = actor.workspace = 1;
    item.actor = &actor;
    item.body_case = body;
    item.task_create = m;
    return apply(&cmd, true);
}

static void make_events(unsigned n)
{
    static char content[] = "true";
    for (unsigned i = 0; i < n; i++) {
        Wire__TaskCreate m = WIRE__TASK_CREATE__INIT;
        m.type = TYPE_COMMAND;
        m.content = content;
        m.desktop = 1;
        assert_int_equal(ask(WIRE__ITEM__BODY_TASK_CREATE, &m), ERR_OK);
    }
}

static uint64_t delete_task(uint64_t id)
{
    Wire__Target m = WIRE__TARGET__INIT;
    m.id = id;
    assert_int_equal(ask(WIRE__ITEM__BODY_TASK_DELETE, &m), ERR_OK);
    return on.batch.newest;
}

static void make_hook(const char *type)
{
    static char url[] = "http://x/in", secret[] = "s3cret";
    char text[64], *events[1] = { text };
    Wire__WebhookPut m = WIRE__WEBHOOK_PUT__INIT;
    snprintf(text, sizeof text, "%s", type);
    m.url = url;
    m.events = events;
    m.n_events = 1;
    m.enabled = true;
    m.secret_sealed = (ProtobufCBinaryData){ sizeof secret - 1, (uint8_t *)secret };
    assert_int_equal(ask(WIRE__ITEM__BODY_WEBHOOK_CREATE, &m), ERR_OK);
}

static int setup(void **state)
{
    static uint8_t hash[HASH_SIZE];
    Wire__Item item = WIRE__ITEM__INIT;
    Wire__Init init = WIRE__INIT__INIT;
    struct cmd cmd = { .item = &item, .sender = SENDER_BROKER };
    (void)state;
    memset(&on, 0, sizeof on);
    if (!temp_dir_make(on.dir, "hook") || store_open(on.dir, 256 << 20, false, &on.store))
        return -1;
    arena_init(&on.arena, 64 << 20);
    arena_init(&on.orders, 64 << 20);
    buf_init(&on.batch.rows, 16 << 20);
    on.log_ms = 1000;
    init.admin_key_hash = (ProtobufCBinaryData){ HASH_SIZE, hash };
    init.local_desktop = true;
    init.epoch_seed = 1;
    item.body_case = WIRE__ITEM__BODY_INIT;
    item.init = &init;
    if (apply(&cmd, false))
        return -1;
    open_hooks(on.batch.newest);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store_close(on.store);
    arena_fini(&on.arena);
    arena_fini(&on.orders);
    buf_fini(&on.batch.rows);
    return temp_dir_drop(on.dir);
}

// ---------------------------------------------------------------- workers

// Polls as a worker that names `held` of what it was given last; then the orders it is told.
static Wire__HookOrder **orders;
static size_t n_orders;

static void poll(uint64_t worker, unsigned slots, Wire__HookHolding **held, size_t n_held)
{
    Wire__WorkPoll m = WIRE__WORK_POLL__INIT;
    struct txn *t;
    m.hook_slots = slots;
    m.hooks = held;
    m.n_hooks = n_held;
    hooks_polled(on.hooks, worker, &m);
    arena_reset(&on.orders);
    assert_int_equal(store_begin(on.store, false, &t), ERR_OK);
    assert_int_equal(hooks_orders(on.hooks, t, &on.orders, worker, &orders, &n_orders), ERR_OK);
    store_abort(t);
}

static Wire__HookReport report_of(const Wire__HookOrder *o, uint32_t status)
{
    Wire__HookReport r = WIRE__HOOK_REPORT__INIT;
    r.webhook = o->webhook;
    r.workspace = o->workspace;
    r.delivery = o->delivery;
    r.attempt = o->attempt;
    r.token = o->token;
    r.http_status = status;
    return r;
}

static enum err report(uint64_t worker, Wire__HookReport *r)
{
    Wire__Item item = WIRE__ITEM__INIT;
    struct cmd cmd = { .item = &item, .sender = SENDER_WORKER, .worker = worker };
    enum err e = hooks_report(on.hooks, worker, r);
    if (e)
        return e;
    item.body_case = WIRE__ITEM__BODY_HOOK_REPORT;
    item.hook_report = r;
    return apply(&cmd, true);
}

static uint64_t event_of(const Wire__HookOrder *o)
{
    Wire__Row *r = wire__row__unpack(NULL, o->row.len, o->row.data);
    assert_non_null(r);
    uint64_t n = r->number;
    wire__row__free_unpacked(r, NULL);
    return n;
}

// Polls, is given one delivery, reports it taken; gives the event's number, 0 if there was no order.
static uint64_t deliver_one(uint64_t worker)
{
    decide();
    poll(worker, 4, NULL, 0);
    if (!n_orders)
        return 0;
    assert_int_equal(n_orders, 1);
    uint64_t event = event_of(orders[0]);
    Wire__HookReport r = report_of(orders[0], 200);
    assert_int_equal(report(worker, &r), ERR_OK);
    return event;
}

// ---------------------------------------------------------------- tests

static void each_event_once_and_in_order(void **state)
{
    (void)state;
    make_hook("task.created");
    assert_int_equal(deliver_one(1), 0);
    uint64_t first = on.batch.newest + 1;
    make_events(5);
    assert_int_equal(decide(), 1); // one HookNext; the others are found with the end of the one before
    poll(1, 4, NULL, 0);
    assert_int_equal(n_orders, 1);
    assert_string_equal(orders[0]->url, "http://x/in");
    assert_string_equal(orders[0]->secret, "s3cret");
    assert_int_equal(orders[0]->attempt, 1);
    assert_int_equal(event_of(orders[0]), first);
    on.log_ms += 2000;
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(deliver_one(1), first + i);
    assert_int_equal(deliver_one(1), 0);
    make_events(1); // behind its own rows by now: found all the same
    uint64_t last = on.batch.newest;
    assert_int_equal(deliver_one(1), last);
    assert_int_equal(deliver_one(1), 0);
}

static void one_worker_at_a_time_and_another_when_it_is_gone(void **state)
{
    Wire__HookHolding held = WIRE__HOOK_HOLDING__INIT, *list[1] = { &held };
    (void)state;
    make_hook("task.created");
    make_events(1);
    decide();
    poll(1, 4, NULL, 0);
    assert_int_equal(n_orders, 1);
    Wire__HookReport first = report_of(orders[0], 200);
    uint8_t token[HMAC_SIZE];
    memcpy(token, orders[0]->token.data, sizeof token);
    first.token.data = token;
    held.webhook = first.webhook;
    held.delivery = first.delivery;
    held.attempt = first.attempt;
    held.token = first.token;
    poll(1, 4, NULL, 0); // it has not named it: told again, but not without end
    assert_int_equal(n_orders, 0);
    on.log_ms += 1000;
    poll(1, 4, NULL, 0);
    assert_int_equal(n_orders, 1);
    on.log_ms += 1000;
    poll(1, 4, list, 1); // named
    assert_int_equal(n_orders, 0);
    poll(2, 4, NULL, 0);
    assert_int_equal(n_orders, 0); // another's
    hooks_worker_gone(on.hooks, 1);
    poll(2, 4, NULL, 0);
    assert_int_equal(n_orders, 1);
    assert_int_equal(orders[0]->delivery, first.delivery);
    assert_int_equal(orders[0]->attempt, 1);
    // a report by who was not given it, or of another attempt, is none; the first of the two that were given it is believed
    Wire__HookReport second = report_of(orders[0], 500), forged = second;
    assert_int_equal(report(3, &forged), ERR_STALE_ATTEMPT);
    assert_int_equal(report(1, &forged), ERR_STALE_ATTEMPT);
    forged.attempt = 2;
    assert_int_equal(report(2, &forged), ERR_STALE_ATTEMPT);
    forged = second;
    forged.token.len--;
    assert_int_equal(report(2, &forged), ERR_STALE_ATTEMPT);
    assert_int_equal(report(1, &first), ERR_OK);
    assert_int_equal(report(2, &second), ERR_STALE_ATTEMPT);
    assert_int_equal(deliver_one(2), 0);
}

static void a_lease_runs_out(void **state)
{
    (void)state;
    make_hook("task.created");
    make_events(1);
    decide();
    poll(1, 1, NULL, 0);
    assert_int_equal(n_orders, 1);
    uint64_t delivery = orders[0]->delivery;
    poll(2, 1, NULL, 0);
    assert_int_equal(n_orders, 0);
    on.log_ms += 61 * 1000;
    hooks_worker_gone(on.hooks, 3); // unknown: nothing
    poll(1, 0, NULL, 0);            // takes no more
    hooks_tick(on.hooks);
    poll(2, 1, NULL, 0);
    assert_int_equal(n_orders, 1);
    assert_int_equal(orders[0]->delivery, delivery);
}

static void failures_wait(void **state)
{
    (void)state;
    make_hook("task.created");
    make_events(1);
    decide();
    uint64_t pause = 1000;
    for (unsigned attempt = 1; attempt <= 5; attempt++, pause *= 2) {
        poll(1, 1, NULL, 0);
        assert_int_equal(n_orders, 1);
        assert_int_equal(orders[0]->attempt, attempt);
        Wire__HookReport r = report_of(orders[0], 500);
        r.retry_base_ms = 1; // only the broker's is believed
        assert_int_equal(report(1, &r), ERR_OK);
        on.log_ms += pause / 2;
        hooks_tick(on.hooks);
        poll(1, 1, NULL, 0);
        assert_int_equal(n_orders, 0);
        on.log_ms += pause;
        hooks_tick(on.hooks);
    }
}

static void a_broker_that_starts_anew(void **state)
{
    Wire__HookHolding held = WIRE__HOOK_HOLDING__INIT, *list[1] = { &held };
    uint8_t token[HMAC_SIZE];
    (void)state;
    make_hook("task.created");
    make_hook("task.deleted");
    make_events(2);
    uint64_t last = on.batch.newest;
    decide();
    poll(1, 4, NULL, 0);
    assert_int_equal(n_orders, 1);
    Wire__HookReport r = report_of(orders[0], 200);
    memcpy(token, r.token.data, sizeof token);
    r.token.data = token;
    held.webhook = r.webhook;
    held.delivery = r.delivery;
    held.attempt = r.attempt;
    held.token = r.token;
    open_hooks(on.batch.newest);
    poll(2, 4, list, 1); // who names what it was never given gets nothing by it
    assert_int_equal(n_orders, 0);
    poll(1, 4, list, 1); // it is believed: it still has it
    on.log_ms += 2000;
    hooks_tick(on.hooks);
    poll(2, 4, NULL, 0);
    assert_int_equal(n_orders, 0);
    assert_int_equal(report(1, &r), ERR_OK);
    assert_int_equal(deliver_one(2), last);
    // nobody names it: given out again after a moment
    make_events(1);
    decide();
    poll(1, 4, NULL, 0);
    assert_int_equal(n_orders, 1);
    uint64_t delivery = orders[0]->delivery;
    open_hooks(on.batch.newest);
    poll(2, 4, NULL, 0);
    assert_int_equal(n_orders, 0);
    on.log_ms += 2000;
    hooks_tick(on.hooks);
    poll(2, 4, NULL, 0);
    assert_int_equal(n_orders, 1);
    assert_int_equal(orders[0]->delivery, delivery);
}

static uint64_t position(void)
{
    struct arena a;
    struct txn *t;
    Rec__Webhook *h;
    arena_init(&a, 1 << 20);
    assert_int_equal(store_begin(on.store, false, &t), ERR_OK);
    assert_int_equal(kind_get(t, &a, KIND_WEBHOOK, 1, 1, &h), ERR_OK);
    uint64_t n = h->position;
    store_abort(t);
    arena_fini(&a);
    return n;
}

// Thousands of rows that it does not want cost it nothing, and are stored as seen now and then; after a start it reads on from there.
static void a_quiet_one_does_not_read_the_log_again(void **state)
{
    (void)state;
    make_hook("task.deleted");
    decide();
    uint64_t before = position();
    make_events(4000);
    hooks_tick(on.hooks);
    assert_int_equal(decide(), 0);
    assert_int_equal(position(), before);
    assert_int_equal(hooks_passed(on.hooks, 1), on.batch.newest);
    make_events(200);
    hooks_tick(on.hooks);
    assert_int_equal(decide(), 1);
    assert_int_equal(position(), on.batch.newest);
    hooks_tick(on.hooks);
    assert_int_equal(decide(), 0);
    make_events(3000); // more than one turn's look
    uint64_t wanted = on.batch.newest + 1;
    open_hooks(on.batch.newest);
    delete_task(1);
    for (int i = 0; i < 10 && list_empty(&on.proposed); i++)
        hooks_tick(on.hooks);
    assert_int_equal(deliver_one(1), wanted);
    assert_int_equal(on.n_proposed, 1);
}

// One whose receiver was away has much to pass over at once.
static void a_long_way_to_the_next(void **state)
{
    (void)state;
    make_events(3);
    make_hook("task.deleted");
    uint64_t first = delete_task(1);
    decide();
    make_events(2500);
    uint64_t second = delete_task(2);
    make_events(100);
    uint64_t third = delete_task(3);
    assert_int_equal(deliver_one(1), first);
    for (int i = 0; i < 10 && list_empty(&on.proposed); i++)
        hooks_tick(on.hooks);
    assert_int_equal(deliver_one(1), second);
    assert_int_equal(deliver_one(1), third);
    assert_int_equal(deliver_one(1), 0);
}

static void what_is_refused_is_asked_again(void **state)
{
    (void)state;
    make_hook("task.created");
    make_events(1);
    uint64_t event = on.batch.newest;
    for (int i = 0; i < 3; i++) {
        refuse_all();
        poll(1, 1, NULL, 0);
        assert_int_equal(n_orders, 0);
        assert_true(list_empty(&on.proposed));
        hooks_tick(on.hooks);
        assert_false(list_empty(&on.proposed));
    }
    assert_int_equal(deliver_one(1), event);
}

// What a delivery writes grows the store: those that come next wait for room.
static void the_store_is_full(void **state)
{
    (void)state;
    make_hook("task.created");
    make_events(3);
    uint64_t last = on.batch.newest;
    decide();
    on.batch.full = 1;
    assert_int_equal(deliver_one(1), last - 2);
    for (int i = 0; i < 3; i++) {
        hooks_tick(on.hooks);
        assert_int_equal(deliver_one(1), 0);
    }
    on.batch.full = 0;
    hooks_tick(on.hooks);
    assert_int_equal(deliver_one(1), last - 1);
    assert_int_equal(deliver_one(1), last);
}

// One that cannot be read holds up itself, and nothing else that the worker is told.
static void a_damaged_webhook(void **state)
{
    struct key k = { .n = 0 };
    struct txn *t;
    (void)state;
    make_hook("task.created");
    make_hook("task.created");
    make_events(1);
    decide();
    assert_int_equal(store_begin(on.store, true, &t), ERR_OK);
    kind_key(KIND_WEBHOOK, 1, 1, &k);
    assert_int_equal(store_put(t, DB_WEBHOOK, &k, "\xff\xff", 2), ERR_OK);
    assert_int_equal(store_commit(t), ERR_OK);
    poll(1, 4, NULL, 0);
    assert_int_equal(n_orders, 1);
    assert_int_equal(orders[0]->webhook, 2);
    hooks_tick(on.hooks); // tried again, and again in vain
    poll(1, 4, NULL, 0);
    assert_int_equal(n_orders, 0);
}

static void deleted_and_disabled_in_every_state(void **state)
{
    (void)state;
    for (unsigned at = 0; at < 5; at++) { // watching, asking, due, out, waiting
        for (int delete = 0; delete < 2; delete++) {
            Wire__WebhookPut off = WIRE__WEBHOOK_PUT__INIT;
            Wire__Target gone = WIRE__TARGET__INIT;
            make_hook("task.created");
            off.id = gone.id = at * 2 + (unsigned)delete + 1;
            off.set = WEDIT_ENABLED;
            Wire__HookReport r = WIRE__HOOK_REPORT__INIT;
            uint8_t token[HMAC_SIZE];
            if (at >= 1)
                make_events(1);
            if (at >= 2)
                decide();
            if (at >= 3) {
                poll(1, 4, NULL, 0);
                assert_int_equal(n_orders, 1);
                r = report_of(orders[0], 500);
                memcpy(token, r.token.data, sizeof token);
                r.token.data = token;
            }
            if (at >= 4)
                assert_int_equal(report(1, &r), ERR_OK);
            assert_int_equal(delete ? ask(WIRE__ITEM__BODY_WEBHOOK_DELETE, &gone) : ask(WIRE__ITEM__BODY_WEBHOOK_EDIT, &off), ERR_OK);
            decide();
            if (at >= 3)
                assert_int_equal(report(1, &r), delete ? ERR_NOT_FOUND : ERR_STALE_ATTEMPT);
            on.log_ms += 5000;
            make_events(1);
            hooks_tick(on.hooks);
            decide();
            poll(1, 4, NULL, 0);
            assert_int_equal(n_orders, 0);
        }
    }
}

static void a_test_waits_for_what_is_out(void **state)
{
    Wire__Target target = WIRE__TARGET__INIT;
    uint8_t token[HMAC_SIZE];
    (void)state;
    target.id = 1;
    make_hook("task.created");
    make_events(2);
    uint64_t second = on.batch.newest;
    decide();
    poll(1, 4, NULL, 0);
    assert_int_equal(n_orders, 1);
    Wire__HookReport r = report_of(orders[0], 500);
    memcpy(token, r.token.data, sizeof token);
    r.token.data = token;
    assert_int_equal(ask(WIRE__ITEM__BODY_WEBHOOK_TEST, &target), ERR_OK);
    poll(2, 4, NULL, 0);
    assert_int_equal(n_orders, 0);
    poll(1, 0, NULL, 0); // it takes no more
    assert_int_equal(report(1, &r), ERR_OK); // the event waits to be tried again: now the test
    poll(2, 4, NULL, 0);
    assert_int_equal(n_orders, 1);
    assert_int_equal(orders[0]->row.len, 0);
    Wire__HookReport of_test = report_of(orders[0], 200);
    assert_int_equal(report(2, &of_test), ERR_OK); // it got through: the event need not wait on
    assert_int_equal(deliver_one(2), second - 1);
    assert_int_equal(deliver_one(2), second);
    assert_int_equal(deliver_one(2), 0);
}

static void slots_are_shared_out(void **state)
{
    (void)state;
    for (int i = 0; i < 9; i++)
        make_hook("task.created");
    poll(1, 2, NULL, 0);
    poll(2, 2, NULL, 0);
    poll(3, 0, NULL, 0);
    make_events(1);
    decide();
    assert_int_equal(on.n_given, 4);
    unsigned of[4] = { 0 };
    for (unsigned i = 0; i < 4; i++)
        of[on.given[i]]++;
    assert_int_equal(of[1], 2);
    assert_int_equal(of[2], 2);
    poll(3, 100, NULL, 0);
    assert_int_equal(n_orders, 5);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    log_init("test_hook", LOG_ERROR); // the damaged one is told
    if (crypto_init())
        return 1;
    const struct CMUnitTest tests[] = {
        T(each_event_once_and_in_order), T(one_worker_at_a_time_and_another_when_it_is_gone), T(a_lease_runs_out), T(failures_wait),
        T(a_broker_that_starts_anew), T(a_quiet_one_does_not_read_the_log_again), T(a_long_way_to_the_next),
        T(what_is_refused_is_asked_again), T(the_store_is_full), T(a_damaged_webhook), T(deleted_and_disabled_in_every_state),
        T(a_test_waits_for_what_is_out), T(slots_are_shared_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
