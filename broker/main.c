// mc-broker: owns all state. Start: options, lock, store, first records, then the sockets; serve until SIGTERM; finish what is
// under way; end.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>
#include "arena.h"
#include "bus.h"
#include "check.h"
#include "check_main.h"
#include "clock.h"
#include "conf.h"
#include "consensus_local.h"
#include "crypto.h"
#include "fault.h"
#include "fleet.h"
#include "hook.h"
#include "hook_rule.h"
#include "intake.h"
#include "log.h"
#include "notify.h"
#include "outbox.h"
#include "self.h"
#include "setup.h"
#include "store.h"
#include "store_check.h"
#include "sweep.h"
#include "turn.h"

enum { TICK_MS = 500, READERS_EVERY = 20, HELD_MAX = 8192, STOP_MS = 5000, RESERVE_MIN = 3 * 512 * 1024 };

struct broker {
    uv_loop_t loop;
    struct store *store;
    struct cons *cons;
    struct turns *turns;
    struct fleet *fleet;
    struct hooks *hooks;
    struct intake *intake;
    struct outbox *outbox;
    struct bus *bus;
    uint8_t seal_key[SEAL_KEY_SIZE];
    uint64_t epoch, newest;
    uv_timer_t timer;
    uv_signal_t term, interrupt;
    unsigned ticks;
    uint64_t stopping;              // monotonic, when it has to be over; 0: serving
    int status;
    struct sweeps sweeps;
};

static const char *opt_data, *opt_url, *opt_local, *opt_map, *opt_min_free, *opt_level, *opt_sync, *opt_retry, *opt_check;
static const struct conf_opt options[] = {
    { "data", "DIR", "state directory; one broker works on it at a time", "./data", &opt_data },
    { "broker", "URL", "address to listen on for gateways and workers, ipc:// or tcp://127.0.0.1:PORT;\nthe bus addresses are derived from it (default ipc://DIR/run/broker.ipc)", NULL, &opt_url },
    { "bootstrap-local", "N", "on an empty directory make a desktop `local`; make keys for N workers of this machine", NULL, &opt_local },
    { "map-size", "MIB", "address space for the database, and so its largest size", "65536", &opt_map },
    { "min-free", "MIB", "free disk space below which new work is refused", "64", &opt_min_free },
    { "sync", "yes|no", "no: do not wait for the disk; a power cut may then lose everything (for tests only)", "yes", &opt_sync },
    { "webhook-retry-base-ms", "N", "pause before the second try of a delivery to a webhook; it doubles up to 300 times as much", "1000",
      &opt_retry },
    { "check", NULL, "look at the whole store - every page, record, index, counter and list - while no broker runs, change nothing, and\n"
      "end: 0 all is whole, 1 it is damaged, 2 it cannot be checked now", NULL, &opt_check },
    { "log-level", "LEVEL", "error, warn, info or debug", "info", &opt_level },
};

static const char program[] = "mc-broker";

// ---------------------------------------------------------------- glue

static void committed_cb(void *u, const struct batch *b)
{
    struct broker *br = u;
    br->epoch = b->epoch;
    br->newest = b->newest;
    intake_committed(br->intake, b->epoch, b->newest);
    fault_point("outbox_before");
    outbox_committed(br->outbox, b);
    fault_point("outbox_published");
    hooks_committed(br->hooks, b);
    fleet_touched(br->fleet, b->touched, b->n_touched);
    fault_point("fleet_told");
}

static void stop(struct broker *br, int status, unsigned within_ms)
{
    if (br->stopping)
        return;
    br->status = status;
    br->stopping = clock_mono_ms() + within_ms;
    notify_stopping();
}

// After an I/O error it is unknown what is on the disk: what was asked is answered "unknown", and the program ends, to be started
// again and to read what is really there.
static void fatal_cb(void *u)
{
    log_error("the database reported an input or output error: the broker stops, to start from what is on the disk");
    stop(u, 1, 200);
}

static void live_cb(void *u, char topic, const uint8_t *data, size_t len)
{
    struct broker *br = u;
    struct arena a;
    (void)topic;
    arena_init(&a, 4 * 1024 * 1024);
    Wire__Live *m = wire__live__unpack(arena_allocator(&a), len, data);
    if (m)
        fleet_live(br->fleet, m);
    arena_fini(&a);
}

static void publish_cb(void *u, const Wire__Live *live)
{
    outbox_live(((struct broker *)u)->outbox, live);
}

static void given_cb(void *u, uint64_t worker)
{
    fleet_given(((struct broker *)u)->fleet, worker);
}

static void settled_cb(void *u)
{
    fleet_settle(((struct broker *)u)->fleet);
}

static enum err open_key_cb(void *u, const uint8_t *sealed, size_t n, struct arena *a, char **ret)
{
    struct broker *br = u;
    char *p = n >= SEAL_OVERHEAD ? arena_alloc(a, n - SEAL_OVERHEAD + 1) : NULL;
    if (!p)
        return n < SEAL_OVERHEAD ? ERR_CORRUPT : ERR_NO_MEMORY;
    enum err e = crypto_open(br->seal_key, sealed, n, p);
    if (e) {
        log_error("a chat key or a webhook's secret cannot be opened with this seal.key: set it anew");
        *p = 0; // the desktop then asks its endpoint without a key, and says what that answers; a webhook sends nothing
        *ret = p;
        return ERR_OK;
    }
    p[n - SEAL_OVERHEAD] = 0;
    *ret = p;
    return ERR_OK;
}

static void figures_cb(void *u, struct program_figures *ret)
{
    struct broker *br = u;
    const struct turns_counts *t = turns_counts(br->turns);
    struct intake_counts in = intake_counts(br->intake);
    uint64_t *v = ret->value;
    struct self self;
    self_look(&self);
    v[FIGURE_BROKER_RESIDENT] = self.resident;
    v[FIGURE_BROKER_FDS] = self.fds;
    v[FIGURE_BROKER_CPU] = self.cpu_us;
    v[FIGURE_BROKER_START] = self.start_ms;
    v[FIGURE_BROKER_COMMANDS] = t->commands;
    v[FIGURE_BROKER_TURNS] = t->turns;
    v[FIGURE_BROKER_EVENTS] = t->events;
    v[FIGURE_BROKER_REQUESTS] = in.requests;
    v[FIGURE_BROKER_QUERIES] = in.queries;
    v[FIGURE_BROKER_PEERS] = in.pipes;
    v[FIGURE_BROKER_POLLS] = in.polls;
    outbox_counts(br->outbox, &v[FIGURE_BROKER_BUS_MESSAGES], &v[FIGURE_BROKER_BUS_OCTETS]);
    if (store_size(br->store, &v[FIGURE_BROKER_STORE_USED], &v[FIGURE_BROKER_STORE_MAX]))
        v[FIGURE_BROKER_STORE_USED] = v[FIGURE_BROKER_STORE_MAX] = 0;
    ret->took_us = &t->took_us;
    ret->size = &t->size;
}

static void ticked_cb(uv_timer_t *t)
{
    struct broker *br = t->data;
    br->ticks++;
    if (br->stopping) {
        bool idle = turns_idle(br->turns) && intake_open(br->intake) == 0;
        if (idle || clock_mono_ms() >= br->stopping)
            uv_stop(&br->loop);
        return;
    }
    outbox_tick(br->outbox, br->epoch, br->newest);
    intake_tick(br->intake);
    if (br->ticks % 2 == 0) {
        hooks_tick(br->hooks);
        fleet_tick(br->fleet);
    }
    if (br->ticks % READERS_EVERY == 0)
        store_reader_check(br->store);
    sweeps_tick(&br->sweeps, br->newest);
}

static void signalled_cb(uv_signal_t *s, int number)
{
    struct broker *br = s->data;
    (void)number;
    if (br->stopping) {
        log_info("stopped at once");
        _exit(br->status);
    }
    log_info("stopping");
    stop(br, 0, STOP_MS);
    uv_timer_start(&br->timer, ticked_cb, 0, 20);
}

// The watchdog is fed only while the store answers.
static int alive_cb(void *u)
{
    struct broker *br = u;
    struct txn *t;
    if (store_begin(br->store, false, &t))
        return 0;
    store_abort(t);
    return 1;
}

// ---------------------------------------------------------------- start

// "…/broker.ipc" gives "…/bus.ipc"; "tcp://127.0.0.1:7000" gives port + n.
static enum err derive(const char *url, const char *name, unsigned n, char *out, size_t size)
{
    const char *slash = strrchr(url, '/'), *colon = strrchr(url, ':');
    int len;
    if (strncmp(url, "ipc://", 6) == 0) {
        len = snprintf(out, size, "%.*s/%s.ipc", (int)(slash - url), url, name);
    } else {
        uint64_t port;
        if (!colon || !conf_number(colon + 1, 1, 65533, &port))
            return ERR_BAD_REQUEST;
        len = snprintf(out, size, "%.*s:%llu", (int)(colon - url), url, (unsigned long long)port + n);
    }
    return len > 0 && (size_t)len < size ? ERR_OK : ERR_TOO_BIG;
}

static enum err listen_all(struct broker *br, const char *url, const char *bus_url, const char *live_url, uint64_t retry_ms)
{
    struct bus_server_cbs cbs = { intake_request, intake_pipe_gone, NULL };
    struct bus_server *server;
    struct bus_pub *pub;
    struct bus_sub *sub;
    struct hooks_conf hc = { .loop = &br->loop, .store = br->store, .turns = br->turns, .seal_key = br->seal_key, .retry_base_ms = retry_ms,
                             .given = given_cb, .settled = settled_cb, .open_key = open_key_cb, .u = br };
    enum err e = bus_pub_listen(br->bus, bus_url, &pub);
    if (!e)
        e = outbox_new(pub, &br->outbox);
    if (!e)
        e = hooks_new(&hc, &br->hooks);
    struct fleet_conf fc = { br->store, br->turns, br->hooks, intake_answer_poll, publish_cb, open_key_cb, br };
    if (!e)
        e = fleet_new(&fc, &br->fleet);
    struct intake_conf ic = { &br->loop, br->store, br->turns, br->fleet, br->hooks, bus_url, live_url, br->seal_key, figures_cb, br };
    if (!e)
        e = intake_new(&ic, &br->intake);
    if (!e) {
        intake_committed(br->intake, br->epoch, br->newest);
        e = hooks_load(br->hooks, br->newest);
    }
    if (!e)
        e = fleet_load(br->fleet);
    if (!e)
        e = bus_sub_listen(br->bus, live_url, "L", 1024 * 1024, live_cb, br, &sub);
    cbs.u = br->intake;
    if (!e)
        e = bus_serve(br->bus, url, REQUEST_MSG_MAX, HELD_MAX, &cbs, &server);
    if (e)
        log_error("cannot listen on %s: %s", url, err_text(e));
    return e;
}

static void checked_cb(uint64_t pages, uint64_t of)
{
    enum { EVERY_MS = 5000 };
    static uint64_t next_ms;
    uint64_t now_ms = clock_mono_ms();
    if (next_ms && now_ms < next_ms)
        return;
    if (next_ms)
        log_info("checking the store: %llu %% of %llu pages", (unsigned long long)(pages * 100 / of), (unsigned long long)of);
    notify_starting(60);
    next_ms = now_ms + EVERY_MS;
}

// Before LMDB sees the file: it would crash on damage, or go by it.
static enum err check_pages(void)
{
    struct pages_found found;
    uint64_t began_ms = clock_mono_ms();
    enum err e = store_check(opt_data, checked_cb, &found);
    if (!e && found.pages)
        log_info("the store is whole: %llu pages with %llu records were checked in %llu ms", (unsigned long long)found.pages,
                 (unsigned long long)found.records, (unsigned long long)(clock_mono_ms() - began_ms));
    return e;
}

static enum err open_all(struct broker *br, uint64_t map_mib, uint64_t min_free_mib, uint64_t workers, bool sync)
{
    struct setup s = { .data = opt_data, .local = opt_local != NULL, .local_workers = (unsigned)workers };
    struct turns_cbs cbs = { committed_cb, fatal_cb, br };
    enum err e = setup_directory(opt_data);
    if (!e)
        e = check_pages();
    if (!e)
        e = store_open(opt_data, map_mib << 20, sync, &br->store);
    if (!e)
        e = setup_store(&s, br->store);
    if (e)
        return e;
    memcpy(br->seal_key, s.seal_key, sizeof br->seal_key);
    crypto_wipe(s.seal_key, sizeof s.seal_key);
    br->epoch = s.epoch;
    br->newest = s.newest;
    uint64_t map = map_mib << 20, reserve = map / 10 < RESERVE_MIN ? RESERVE_MIN : map / 10;
    e = cons_local_new(&br->loop, br->store, min_free_mib << 20, reserve < map / 2 ? reserve : map / 2, &br->cons);
    if (!e)
        e = turns_new(&br->loop, br->cons, s.log_ms, &cbs, &br->turns);
    if (!e)
        sweeps_init(&br->sweeps, br->store, br->turns);
    return e ? e : bus_new(&br->loop, &br->bus);
}

static void start_handles(struct broker *br)
{
    uv_timer_init(&br->loop, &br->timer);
    br->timer.data = br;
    uv_timer_start(&br->timer, ticked_cb, TICK_MS, TICK_MS);
    uv_signal_init(&br->loop, &br->term);
    uv_signal_init(&br->loop, &br->interrupt);
    br->term.data = br->interrupt.data = br;
    uv_signal_start(&br->term, signalled_cb, SIGTERM);
    uv_signal_start(&br->interrupt, signalled_cb, SIGINT);
}

static uint64_t number(const char *name, const char *text, uint64_t min, uint64_t max)
{
    uint64_t v = 0;
    if (text && !conf_number(text, min, max, &v))
        conf_usage(program, "--%s takes a number from %llu to %llu, not '%s'", name, (unsigned long long)min, (unsigned long long)max, text);
    return v;
}

// ipc addresses are absolute. Its socket is told to workers and gateways, which may have been started elsewhere.
static bool own_url(char *url, size_t size)
{
    char here[512] = "";
    if (opt_data[0] != '/' && !getcwd(here, sizeof here))
        return false;
    return snprintf(url, size, "ipc://%s%s%s/run/broker.ipc", here, *here ? "/" : "", opt_data) < (int)size;
}

int main(int argc, char **argv)
{
    static struct broker br;
    char url[512], bus_url[512], live_url[512];
    int ok;

    conf_read(program, "Owns all state of Mission Control: applies commands, answers queries, hands out work, publishes events.",
              options, sizeof options / sizeof *options, argc, argv);
    log_init(program, log_level_find(opt_level, &ok));
    if (!ok)
        conf_usage(program, "--log-level is one of error, warn, info, debug");
    if (strcmp(opt_sync, "yes") != 0 && strcmp(opt_sync, "no") != 0)
        conf_usage(program, "--sync is yes or no");
    uint64_t workers = number("bootstrap-local", opt_local, 0, 1000), map = number("map-size", opt_map, 2, 16 << 20),
             min_free = number("min-free", opt_min_free, 0, 1 << 20), retry = number("webhook-retry-base-ms", opt_retry, 1, 3600 * 1000);
    if (opt_check)
        return check_main(opt_data);
    if (opt_url)
        ok = snprintf(url, sizeof url, "%s", opt_url) < (int)sizeof url;
    else
        ok = own_url(url, sizeof url);
    if (!ok || (strncmp(url, "ipc://", 6) != 0 && strncmp(url, "tcp://127.0.0.1:", 16) != 0))
        conf_usage(program, "--broker takes ipc://PATH or tcp://127.0.0.1:PORT");
    if (strncmp(url, "ipc://", 6) == 0 && strlen(url) - 6 > 100)
        conf_usage(program, "the socket path %s is longer than the system allows (100): choose a shorter --data or --broker", url + 6);
    if (derive(url, "bus", 1, bus_url, sizeof bus_url) || derive(url, "live", 2, live_url, sizeof live_url))
        conf_usage(program, "--broker takes ipc://PATH or tcp://127.0.0.1:PORT");

    struct self self;
    self_look(&self); // remembers when we began
    fault_init();
    signal(SIGPIPE, SIG_IGN);
    if (crypto_init() || uv_loop_init(&br.loop)) {
        log_error("the program cannot be started");
        return 1;
    }
    if (open_all(&br, map, min_free, workers, strcmp(opt_sync, "yes") == 0) || listen_all(&br, url, bus_url, live_url, retry))
        _exit(1); // nng's threads may be running: no ordinary exit
    start_handles(&br);
    log_info("serving on %s, newest event %llu", url, (unsigned long long)br.newest);
    notify_ready();
    notify_watchdog(&br.loop, alive_cb, &br);
    uv_run(&br.loop, UV_RUN_DEFAULT);
    br.cons->ops->stop(br.cons);
    store_close(br.store);
    const struct turns_counts *counts = turns_counts(br.turns);
    log_info("stopped after %llu commands in %llu commits", (unsigned long long)counts->commands, (unsigned long long)counts->turns);
    _exit(br.status);
}
