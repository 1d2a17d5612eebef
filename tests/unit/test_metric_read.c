// links: broker common lmdb xxhash protobuf-c sodium jansson uv systemd nng
// Questions about a desktop's history, against a list of all its samples: a real store with the minutes that Sample commands put
// there, rings in memory that begin anew with each pretended start of the broker, and questions of every range and step.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "apply.h"
#include "arena.h"
#include "crypto.h"
#include "fleet.h"
#include "fleet_state.h"
#include "play.h"
#include "query.h"
#include "rnd.h"
#include "temp_dir.h"

static const uint64_t M = 60000, H = 3600000, D = 86400000;
static struct fleet *fleet;
static struct desktop desktop;   // what the fleet knows of desktop 1

// ---------------------------------------------------------------- a store, and one command at a time

static struct {
    char dir[TEMP_DIR_MAX];
    struct store *store;
    struct arena arena;
    struct batch batch;
    uint64_t now;
} on;

static enum err apply(Wire__Item *item)
{
    struct cmd cmd = { .item = item, .sender = SENDER_BROKER };
    return play(on.store, &on.batch, &on.arena, &cmd, on.now, 1000);
}

static void open_store(void)
{
    static uint8_t hash[HASH_SIZE];
    Wire__Item item = WIRE__ITEM__INIT;
    Wire__Init init = WIRE__INIT__INIT;
    assert_true(temp_dir_make(on.dir, "metric"));
    assert_int_equal(store_open(on.dir, 64 << 20, false, &on.store), ERR_OK);
    arena_init(&on.arena, 64 << 20);
    buf_init(&on.batch.rows, 1 << 20);
    init.admin_key_hash = (ProtobufCBinaryData){ HASH_SIZE, hash };
    init.local_desktop = true;
    item.body_case = WIRE__ITEM__BODY_INIT;
    item.init = &init;
    assert_int_equal(apply(&item), ERR_OK);
}

static void close_store(void)
{
    store_close(on.store);
    arena_fini(&on.arena);
    buf_fini(&on.batch.rows);
    (void)temp_dir_drop(on.dir);
}

// ---------------------------------------------------------------- samples, and what became of them

enum { SAMPLES = 12000 };
static struct {
    uint64_t ms;
    uint32_t value[METRIC_N];
    bool stored, in_memory;
} samples[SAMPLES];
static unsigned n_samples;

static void add_sample(void)
{
    if (!desktop.history.rings) {
        desktop.history.rings = metric_rings_new();
        assert_non_null(desktop.history.rings);
        desktop.history.since_ms = on.now;
        desktop.history.unsaved = on.now / M;
    }
    samples[n_samples].ms = on.now;
    samples[n_samples].stored = false;
    samples[n_samples].in_memory = true;
    for (unsigned m = 0; m < METRIC_N; m++)
        samples[n_samples].value[m] = (uint32_t)rnd(METRIC_MAX + 1);
    metric_rings_add(desktop.history.rings, on.now, samples[n_samples++].value);
}

static void store_minute(uint64_t minute)
{
    struct metric_step s = { 0 };
    Wire__Item item = WIRE__ITEM__INIT;
    Wire__Sample m = WIRE__SAMPLE__INIT;
    Wire__DesktopSample one = WIRE__DESKTOP_SAMPLE__INIT, *list[1] = { &one };
    metric_rings_minute(desktop.history.rings, minute, &s);
    if (!s.count)
        return;
    one.workspace = one.desktop = 1;
    one.minute = minute;
    one.count = (uint32_t)s.count;
    one.sum = s.sum;
    one.max = s.max;
    one.n_sum = one.n_max = METRIC_N;
    m.desktops = list;
    m.n_desktops = 1;
    item.body_case = WIRE__ITEM__BODY_SAMPLE;
    item.sample = &m;
    assert_int_equal(apply(&item), ERR_OK);
    for (unsigned i = n_samples; i-- > 0 && samples[i].ms >= minute * M;)
        samples[i].stored = samples[i].stored || (samples[i].in_memory && samples[i].ms / M == minute);
}

// Time goes on; minutes that are over are stored, but for some times when the store has no room for long.
static void pass(uint64_t ms)
{
    on.now += ms;
    if (!desktop.history.rings || rnd(4) == 0)
        return;
    if (on.now / M > desktop.history.unsaved + 240)
        desktop.history.unsaved = on.now / M - 240;
    for (; desktop.history.unsaved < on.now / M; desktop.history.unsaved++)
        store_minute(desktop.history.unsaved);
}

static void restart(void)
{
    free(desktop.history.rings);
    desktop.history = (struct fleet_history){ 0 };
    for (unsigned i = 0; i < n_samples; i++)
        samples[i].in_memory = false;
}

// ---------------------------------------------------------------- a question, and what it must give

static bool counts(unsigned i, const struct metric_choice *c, uint64_t to_ms, uint64_t *ret_at)
{
    uint64_t ms = samples[i].ms, step = metric_step_ms(c->level), now = on.now / step, at = ms / step;
    if (!metric_stored(c->level)) {
        *ret_at = at * step;
        return samples[i].in_memory && at * step < to_ms && at + metric_kept(c->level) >= now;
    }
    if (samples[i].stored && !(samples[i].in_memory && ms / M >= desktop.history.unsaved)) {
        *ret_at = at * step;
        return at * step < to_ms && at / METRIC_PAGE_STEPS + metric_pages(c->level) > now / METRIC_PAGE_STEPS;
    }
    *ret_at = ms / M * M;
    return samples[i].in_memory && ms / M >= desktop.history.unsaved && ms / M * M < to_ms && ms / M + 244 >= on.now / M;
}

// The levels in memory are whole for ever if nothing older is stored of the time they could hold.
static uint64_t memory_from(uint64_t from_ms)
{
    uint64_t reach = on.now - metric_kept(LEVEL_TEN) * 10000, from = from_ms > reach ? from_ms : reach;
    if (!desktop.history.rings)
        return UINT64_MAX;
    for (unsigned i = n_samples; i-- > 0 && samples[i].ms >= reach - M;)
        if (samples[i].stored && samples[i].ms / M >= from / M && samples[i].ms / M < desktop.history.since_ms / M)
            return desktop.history.since_ms;
    return 0;
}

static void compare(const Wire__MetricPoints *p, const struct metric_choice *c, uint64_t to_ms)
{
    static struct metric_step want[METRIC_POINTS_MAX];
    memset(want, 0, sizeof want);
    for (unsigned i = 0; i < n_samples; i++) {
        uint64_t at;
        if (!counts(i, c, to_ms, &at) || at / c->step_ms < c->first || at / c->step_ms >= c->first + c->n)
            continue;
        struct metric_step *s = &want[at / c->step_ms - c->first];
        s->count++;
        for (unsigned m = 0; m < METRIC_N; m++) {
            s->sum[m] += samples[i].value[m];
            s->max[m] = samples[i].value[m] > s->max[m] ? samples[i].value[m] : s->max[m];
        }
    }
    size_t n = 0;
    for (uint64_t i = 0; i < c->n; i++) {
        if (!want[i].count)
            continue;
        assert_true(n < p->n_start_ms);
        assert_int_equal(p->start_ms[n], (c->first + i) * c->step_ms);
        for (unsigned m = 0; m < METRIC_N; m++) {
            assert_int_equal(p->mean[n * METRIC_N + m], metric_mean(&want[i], m));
            assert_int_equal(p->max[n * METRIC_N + m], want[i].max[m]);
        }
        n++;
    }
    assert_int_equal(p->n_start_ms, n);
    assert_int_equal(p->n_mean, n * METRIC_N);
    assert_int_equal(p->n_max, n * METRIC_N);
}

static enum err ask(uint64_t id, uint64_t from, uint64_t to, uint64_t step, struct arena *a, Wire__Answer *ret)
{
    struct query q = { .store = on.store, .fleet = fleet, .arena = a };
    Wire__Item item = WIRE__ITEM__INIT;
    Wire__Actor actor = WIRE__ACTOR__INIT;
    Wire__MetricsRead m = WIRE__METRICS_READ__INIT;
    assert_int_equal(query_begin(&q), ERR_OK);
    q.now_ms = on.now;
    m.desktop = id;
    m.from_ms = from;
    m.to_ms = to;
    m.step_s = step;
    actor.workspace = 1;
    item.actor = &actor;
    item.body_case = WIRE__ITEM__BODY_METRICS_READ;
    item.metrics_read = &m;
    *ret = (Wire__Answer)WIRE__ANSWER__INIT;
    query_run(&q, &item, ret);
    query_end(&q);
    return err_from_wire(ret->err);
}

static void check(uint64_t from, uint64_t to, uint64_t step)
{
    static struct arena a;
    struct metric_choice c;
    Wire__Answer answer;
    if (!a.max)
        arena_init(&a, 16 << 20);
    arena_reset(&a);
    assert_int_equal(ask(1, from, to, step, &a, &answer), ERR_OK);
    const Wire__MetricPoints *p = answer.metric_points;
    uint64_t end = to ? to : on.now > from ? on.now : from + 1, begin = from ? from : end - H;
    assert_true(p->from_ms == begin && p->to_ms == end && p->desktop == 1);
    metric_choose(on.now, memory_from(begin), begin, end, step, &c);
    assert_int_equal(p->step_s, c.step_ms / 1000);
    compare(p, &c, end);
}

static void questions_against_the_model(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 4; round++) {
        on.now = 1767225600000 + rnd(D);
        n_samples = 0;
        open_store();
        while (n_samples < SAMPLES) {
            pass(rnd(300) ? 4000 + rnd(2000) : rnd(10) ? rnd(6 * H) : rnd(round * 30 * D + D));
            add_sample();
            if (rnd(1500) == 0)
                restart();
            if (rnd(100))
                continue;
            static const uint64_t spans[] = { 1000, 60000, 600000, 3600000, 14400000, 86400000,
                                              31 * 86400000ull, 366 * 86400000ull, 500 * 86400000ull };
            uint64_t span = spans[rnd(sizeof spans / sizeof *spans)], back = rnd(2) ? span : rnd(spans[rnd(9)]);
            uint64_t from = rnd(10) ? on.now - back : 0, to = from && rnd(2) ? from + 1 + rnd(span) : 0;
            check(from, to, rnd(3) ? 0 : 1 + rnd(rnd(2) ? 100 : 100000));
        }
        restart();
        check(on.now - D, 0, 0);
        close_store();
    }
}

static void refusals(void **state)
{
    (void)state;
    struct arena a;
    Wire__Answer answer;
    arena_init(&a, 16 << 20);
    on.now = 1767225600000;
    open_store();
    assert_int_equal(ask(2, 0, 0, 0, &a, &answer), ERR_NOT_FOUND);
    assert_int_equal(ask(0, 0, 0, 0, &a, &answer), ERR_NOT_FOUND);
    const struct { uint64_t from, to; const char *field; } rows[] = {
        { 5, 5, "from" }, { 6, 5, "from" }, { UINT64_MAX, 0, "from" }, { UINT64_MAX, 5, "from" },
        { 1, UINT64_MAX, "to" }, { 1ull << 48, 0, "to" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(ask(1, rows[i].from, rows[i].to, 0, &a, &answer), ERR_INVALID_FIELD);
        assert_string_equal(answer.field, rows[i].field);
    }
    static const uint64_t fine[][3] = { { 1, 1ull << 48, 0 }, { 1, 2, UINT64_MAX }, { (1ull << 48) - 1, 0, 1 },
                                       { 0, 2, 0 }, { 0, 1ull << 48, UINT64_MAX } };
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        assert_int_equal(ask(1, fine[i][0], fine[i][1], fine[i][2], &a, &answer), ERR_OK);
        assert_int_equal(answer.metric_points->n_start_ms, 0);
    }
    close_store();
    arena_fini(&a);
}

int main(void)
{
    struct fleet_conf none = { 0 };
    if (crypto_init() || fleet_new(&none, &fleet) || map_put(&fleet->desktops, 1, &desktop))
        return 1;
    const struct CMUnitTest tests[] = { cmocka_unit_test(questions_against_the_model), cmocka_unit_test(refusals) };
    seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 10) : 88172645463325252ull;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
