// A broker: the product's turns, intake, queries, fleet, webhooks, sweeps and outbox over a replica's store. What broker/main.c does between
// them is done here again, since that file also owns signals and sockets: committed_cb and the ticks must be as there.
// The first records come from the array, not from broker/setup.c, which writes files.
#include <string.h>
#include "arena.h"
#include "bus.h"
#include "clock.h"
#include "crypto.h"
#include "fleet.h"
#include "hook.h"
#include "intake.h"
#include "outbox.h"
#include "apply.h"
#include "sim.h"
#include "store.h"
#include "sweep.h"
#include "turn.h"

enum { TICK_MS = 500, FATAL_MS = 200, RETRY_MS = 1000 };

struct broker {
    struct node *node;
    unsigned replica;
    struct store *store;
    struct cons *cons;
    struct turns *turns;
    struct fleet *fleet;
    struct hooks *hooks;
    struct intake *intake;
    struct outbox *outbox;
    struct bus *bus;
    uint64_t epoch, newest;
    unsigned ticks;
    uv_timer_t timer;
    struct sweeps sweeps;
};
static struct broker *br;
static const uint8_t seal_key[SEAL_KEY_SIZE] = "the simulator's, and not secret";

static void committed_cb(void *u, const struct batch *b)
{
    struct broker *k = u;
    k->epoch = b->epoch;
    k->newest = b->newest;
    intake_committed(k->intake, b->epoch, b->newest);
    outbox_committed(k->outbox, b);
    hooks_committed(k->hooks, b);
    fleet_touched(k->fleet, b->touched, b->n_touched);
}

static void restart(void *u)
{
    if (br == u)
        broker_crash();
}

static void fatal_cb(void *u) { sim_in(NULL, FATAL_MS * US, restart, u); }

static void live_cb(void *u, char topic, const uint8_t *data, size_t len)
{
    struct broker *k = u;
    struct arena a;
    (void)topic;
    arena_init(&a, 4 * 1024 * 1024);
    Wire__Live *m = wire__live__unpack(arena_allocator(&a), len, data);
    if (!m)
        sim_fail("a live message cannot be read");
    fleet_live(k->fleet, m);
    arena_fini(&a);
}

static void publish_cb(void *u, const Wire__Live *live) { outbox_live(((struct broker *)u)->outbox, live); }
static void given_cb(void *u, uint64_t worker) { fleet_given(((struct broker *)u)->fleet, worker); }
static void settled_cb(void *u) { fleet_settle(((struct broker *)u)->fleet); }

static enum err open_key_cb(void *u, const uint8_t *sealed, size_t n, struct arena *a, char **ret)
{
    char *p = n >= SEAL_OVERHEAD ? arena_alloc(a, n - SEAL_OVERHEAD + 1) : NULL;
    (void)u;
    if (!p || crypto_open(seal_key, sealed, n, p))
        sim_fail("a sealed secret cannot be opened");
    p[n - SEAL_OVERHEAD] = 0;
    *ret = p;
    return ERR_OK;
}

static void figures_cb(void *u, struct program_figures *ret)
{
    const struct turns_counts *t = turns_counts(((struct broker *)u)->turns);
    ret->took_us = &t->took_us;
    ret->size = &t->size;
}

static void ticked_cb(uv_timer_t *t)
{
    struct broker *k = t->data;
    k->ticks++;
    outbox_tick(k->outbox, k->epoch, k->newest);
    intake_tick(k->intake);
    if (k->ticks % 2 == 0) {
        hooks_tick(k->hooks);
        fleet_tick(k->fleet);
    }
    sweeps_tick(&k->sweeps, k->newest);
}

static enum err read_meta(struct broker *k, uint64_t *ret_log_ms)
{
    struct arena a;
    struct txn *t;
    Rec__Meta *m;
    arena_init(&a, 1 << 20);
    enum err e = store_begin(k->store, false, &t);
    if (!e) {
        e = meta_read(t, &a, &m);
        if (!e) {
            *ret_log_ms = m->log_ms;
            k->epoch = m->epoch;
            k->newest = m->newest;
        }
        store_abort(t);
    }
    arena_fini(&a);
    return e;
}

static enum err serve(struct broker *k)
{
    static char urls[BROKERS][3][URL_MAX] = { { "sim://b1", "sim://bus1", "sim://live1" }, { "sim://b2", "sim://bus2", "sim://live2" } };
    char(*url)[URL_MAX] = urls[k->replica];
    struct bus_server_cbs cbs = { intake_request, intake_pipe_gone, NULL };
    struct turns_cbs tc = { committed_cb, fatal_cb, k };
    struct bus_server *server;
    struct bus_pub *pub;
    struct bus_sub *sub;
    uv_loop_t *loop = &k->node->loop;
    uint64_t log_ms;
    enum err e = read_meta(k, &log_ms);
    if (!e)
        e = cons_sim_new(k->node, k->replica, &k->cons);
    if (!e)
        e = turns_new(loop, k->cons, log_ms, &tc, &k->turns);
    if (!e)
        sweeps_init(&k->sweeps, k->store, k->turns);
    if (!e)
        e = bus_new(loop, &k->bus);
    if (!e)
        e = bus_pub_listen(k->bus, url[1], &pub);
    if (!e)
        e = outbox_new(pub, &k->outbox);
    struct hooks_conf hc = { .loop = loop, .store = k->store, .turns = k->turns, .seal_key = seal_key, .retry_base_ms = RETRY_MS,
                             .given = given_cb, .settled = settled_cb, .open_key = open_key_cb, .u = k };
    if (!e)
        e = hooks_new(&hc, &k->hooks);
    struct fleet_conf fc = { k->store, k->turns, k->hooks, intake_answer_poll, publish_cb, open_key_cb, k };
    if (!e)
        e = fleet_new(&fc, &k->fleet);
    struct intake_conf ic = { loop, k->store, k->turns, k->fleet, k->hooks, url[1], url[2], seal_key, figures_cb, k };
    if (!e)
        e = intake_new(&ic, &k->intake);
    if (!e) {
        intake_committed(k->intake, k->epoch, k->newest);
        e = hooks_load(k->hooks, k->newest);
    }
    if (!e)
        e = fleet_load(k->fleet);
    if (!e)
        e = bus_sub_listen(k->bus, url[2], "L", 1024 * 1024, live_cb, k, &sub);
    cbs.u = k->intake;
    return e ? e : bus_serve(k->bus, url[0], 2 * 1024 * 1024, 8192, &cbs, &server);
}

void broker_start(unsigned r)
{
    struct node *before = sim.node;
    br = sim_alloc(sizeof *br);
    br->replica = r;
    br->node = sim.node = node_new("broker", r + 1, br);
    br->store = replica_catch_up(r);
    br->node->lease_clock_broken = sim.broken == BREAK_LEASE;
    if (serve(br))
        sim_fail("the broker does not start");
    (void)uv_timer_init(&br->node->loop, &br->timer);
    br->timer.data = br;
    (void)uv_timer_start(&br->timer, ticked_cb, TICK_MS, TICK_MS);
    sim_trace("serves from event %llu", (unsigned long long)br->newest);
    sim.node = before;
}

// Everything in memory is gone; what was decided is in the store or it is not.
static void start_again(void *u)
{
    unsigned r = (unsigned)(uintptr_t)u;
    if (br)
        return;
    if (sim_chance(5000))
        replica_restore(r);
    if (sim_chance(6000))
        cons_repeat_last();
    broker_start(r);
}

void broker_crash(void)
{
    if (!br)
        return;
    sim_trace("broker%u crashes", br->replica + 1);
    net_node_died(br->node);
    cons_crashed();
    unsigned r = sim_chance(3000) ? (unsigned)sim_rnd(BROKERS) : br->replica;
    br = NULL;
    uint64_t away = sim_rnd(8) ? 1500 * US : 40 * SECOND;
    sim_in(NULL, 100 * US + sim_rnd(sim.healed ? SECOND : away), start_again, (void *)(uintptr_t)r);
}

void broker_may_die(void)
{
    if (!br || sim.node != br->node || !sim_chance(4))
        return;
    broker_crash();
    sim_die();
}

struct node *broker_node(void) { return br ? br->node : NULL; }
unsigned broker_replica(void) { return br ? br->replica : BROKERS; }
