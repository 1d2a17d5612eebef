// links: broker common protobuf-c lmdb xxhash
// The rings of a desktop's figures against a list of all samples there ever were; which level answers; when a figure is an alert.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "event.h"
#include "metric.h"
#include "rnd.h"

// ---------------------------------------------------------------- the model: every sample, looked at one by one

enum { SAMPLES = 60000 };
static struct {
    uint64_t ms;
    uint32_t value[METRIC_N];
} samples[SAMPLES];
static unsigned n_samples;

static struct metric_step model(uint64_t from_ms, uint64_t to_ms)
{
    struct metric_step s = { 0 };
    for (unsigned i = n_samples; i-- > 0 && samples[i].ms >= from_ms;) { // they rise
        if (samples[i].ms >= to_ms)
            continue;
        s.count++;
        for (unsigned m = 0; m < METRIC_N; m++) {
            s.sum[m] += samples[i].value[m];
            s.max[m] = samples[i].value[m] > s.max[m] ? samples[i].value[m] : s.max[m];
        }
    }
    return s;
}

static void same(const struct metric_step *a, const struct metric_step *b)
{
    assert_int_equal(a->count, b->count);
    for (unsigned m = 0; m < METRIC_N; m++) {
        assert_int_equal(a->sum[m], b->sum[m]);
        assert_int_equal(a->max[m], b->max[m]);
    }
}

// ---------------------------------------------------------------- rings

static struct page {
    Rec__MetricPage p;
    struct metric_page_room room;
} pages[LEVEL_N][256];

static void store_minute(uint64_t minute, const struct metric_step *s)
{
    for (enum metric_level level = LEVEL_MINUTE; level < LEVEL_N; level++) {
        struct metric_place at = metric_place(level, minute * 60000 / metric_step_ms(level));
        struct page *p = &pages[level][at.slot];
        assert_true(at.slot < metric_pages(level) && at.index < METRIC_PAGE_STEPS);
        if (!p->p.n_count || p->p.page != at.page)
            metric_page_new(&p->p, &p->room, at.page);
        assert_true(metric_page_whole(&p->p));
        metric_page_add(&p->p, at.index, s);
    }
}

static void check_memory(const struct metric_rings *r, uint64_t now)
{
    for (enum metric_level level = LEVEL_SECOND; level <= LEVEL_TEN; level++) {
        uint64_t ms = metric_step_ms(level), last = now / ms;
        for (int i = 0; i < 40; i++) {
            uint64_t at = last - rnd(metric_kept(level) + 1);
            struct metric_step got = { 0 }, want = model(at * ms, at * ms + ms);
            metric_rings_get(r, level, at, &got);
            same(&got, &want);
        }
        struct metric_step none = { 0 };
        metric_rings_get(r, level, last + 1 + rnd(100000), &none); // what is to come is not there
        metric_rings_get(r, level, UINT64_MAX - rnd(5), &none);
        assert_int_equal(none.count, 0);
        uint64_t old = last - metric_kept(level) - 1 - rnd(10000); // what was long ago is whole or gone
        struct metric_step want = model(old * ms, old * ms + ms);
        metric_rings_get(r, level, old, &none);
        if (none.count)
            same(&none, &want);
    }
    struct metric_step got = { 0 }, want = model((now / 1000 - 19) * 1000, now + 1);
    metric_rings_last(r, now, 20, &got);
    same(&got, &want);
    uint64_t minute = now / 60000 - rnd(240);
    got = (struct metric_step){ 0 };
    want = model(minute * 60000, minute * 60000 + 60000);
    metric_rings_minute(r, minute, &got);
    same(&got, &want);
}

static void check_pages(uint64_t minute)
{
    for (enum metric_level level = LEVEL_MINUTE; level < LEVEL_N; level++) {
        uint64_t ms = metric_step_ms(level), last = minute * 60000 / ms;
        for (int i = 0; i < 20; i++) {
            uint64_t at = last - rnd(metric_kept(level) + 1);
            struct metric_place where = metric_place(level, at);
            const struct page *p = &pages[level][where.slot];
            uint64_t end = at * ms + ms, stored = minute * 60000 + 60000;
            struct metric_step got = { 0 }, want = model(at * ms, end < stored ? end : stored);
            if (p->p.n_count && p->p.page == where.page)
                metric_page_get(&p->p, where.index, &got);
            same(&got, &want);
        }
    }
}

// Weeks of samples, with pauses of all lengths: at every moment each ring holds what the model says.
static void rings_against_the_model(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 6; round++) {
        struct metric_rings *r = metric_rings_new();
        uint64_t now = 1767225600000 + rnd(86400000), minute = now / 60000;
        assert_non_null(r);
        memset(pages, 0, sizeof pages);
        n_samples = 0;
        while (n_samples < SAMPLES) {
            uint64_t pause = rnd(200) ? 1000 + rnd(9000) : rnd(20) ? rnd(3600000) : rnd(86400000ull * (round + 1) * 4);
            for (now += pause; minute < now / 60000; minute++) { // minutes that are over go to the store
                struct metric_step s = { 0 };
                metric_rings_minute(r, minute, &s);
                if (s.count)
                    store_minute(minute, &s);
                if (now / 60000 - minute > 300)
                    minute = now / 60000 - 200; // as the fleet does: nothing is left in memory of what lies between
            }
            samples[n_samples].ms = now;
            for (unsigned m = 0; m < METRIC_N; m++)
                samples[n_samples].value[m] = (uint32_t)rnd(METRIC_MAX + 1);
            metric_rings_add(r, now, samples[n_samples++].value);
            if (rnd(500) == 0) {
                check_memory(r, now + rnd(2000));
                check_pages(minute - 1);
            }
        }
        free(r);
    }
}

static void bounds(void **state)
{
    (void)state;
    struct metric_rings *r = metric_rings_new();
    struct metric_step s = { 0 };
    assert_non_null(r);
    for (int i = 0; i < 150000; i++) // a flood, of impossible values: the sums hold
        metric_rings_add(r, 1767225600000, (uint32_t[METRIC_N]){ UINT32_MAX, 20000, 1 });
    metric_rings_get(r, LEVEL_SECOND, 1767225600, &s);
    assert_true(s.count < 150000 && s.count >= 60000);
    assert_int_equal(metric_mean(&s, METRIC_CPU), METRIC_MAX);
    assert_int_equal(metric_mean(&s, METRIC_DISK), 1);
    assert_int_equal(metric_mean(&(struct metric_step){ 0 }, METRIC_CPU), 0);
    assert_int_equal(metric_mean(&(struct metric_step){ .count = 2, .sum = { 3 } }, METRIC_CPU), 2); // rounded
    metric_rings_add(r, 1767225600000 - 5000, (uint32_t[METRIC_N]){ 7, 7, 7 });                      // the clock was set back
    s = (struct metric_step){ 0 };
    metric_rings_get(r, LEVEL_SECOND, 1767225595, &s);
    assert_int_equal(s.count, 1);
    free(r);

    // Whatever the time, a desktop has no more keys than this; and none of them is another desktop's or level's.
    struct key k, before = { .n = 0 };
    unsigned n = 0;
    for (enum metric_level level = LEVEL_MINUTE; level < LEVEL_N; level++)
        for (uint32_t slot = 0; slot < metric_pages(level); slot++, n++) {
            metric_key(1, 2, level, slot, &k);
            assert_int_equal(k.n, 21);
            assert_true(!before.n || memcmp(before.b, k.b, k.n) < 0);
            before = k;
        }
    assert_true(n <= 226);
    for (int i = 0; i < 100000; i++) {
        enum metric_level level = LEVEL_MINUTE + (enum metric_level)rnd(LEVEL_N - LEVEL_MINUTE);
        uint64_t step = rnd(1ull << 40);
        struct metric_place at = metric_place(level, step);
        assert_true(at.slot < metric_pages(level) && at.page * METRIC_PAGE_STEPS + at.index == step);
        assert_true((uint64_t)(metric_pages(level) - 1) * METRIC_PAGE_STEPS >= metric_kept(level));
    }
}

static void damaged_pages(void **state)
{
    (void)state;
    struct metric_page_room room;
    Rec__MetricPage p;
    metric_page_new(&p, &room, 5);
    assert_true(metric_page_whole(&p));
    size_t *const sizes[] = { &p.n_count, &p.n_sum, &p.n_max };
    for (unsigned i = 0; i < 3; i++) {
        size_t right = *sizes[i];
        static const size_t wrong[] = { 0, 1, 59, 61, 179, 181, 100000 };
        for (unsigned w = 0; w < sizeof wrong / sizeof *wrong; w++) {
            *sizes[i] = wrong[w];
            assert_false(metric_page_whole(&p));
        }
        *sizes[i] = right;
    }
}

// ---------------------------------------------------------------- which level

static const uint64_t S = 1000, M = 60000, H = 3600000, D = 86400000;

static void which_level(void **state)
{
    (void)state;
    const uint64_t now = 1767225600000 + 12345678, ever = 0, never = UINT64_MAX;
    const struct {
        uint64_t back_ms, span_ms, step_s, memory_from;
        enum metric_level level;
        uint64_t want_s;
    } rows[] = {
        { 10 * M, 10 * M, 0, ever, LEVEL_SECOND, 1 },       { 11 * M, M, 0, ever, LEVEL_TEN, 10 },
        { H, H, 0, ever, LEVEL_TEN, 10 },                   { 4 * H, 4 * H, 0, ever, LEVEL_TEN, 10 },
        { H, H, 0, never, LEVEL_MINUTE, 60 },               { 10 * M, 10 * M, 0, now - 5 * M, LEVEL_MINUTE, 60 },
        { 5 * M, 5 * M, 0, now - 5 * M, LEVEL_SECOND, 1 },  { 5 * H, H, 0, ever, LEVEL_MINUTE, 60 },
        { 24 * H, 24 * H, 0, ever, LEVEL_MINUTE, 60 },      { 25 * H, H, 0, ever, LEVEL_QUARTER, 900 },
        { 7 * D, 7 * D, 0, ever, LEVEL_QUARTER, 900 },      { 31 * D, 31 * D, 0, ever, LEVEL_HOUR, 3600 },
        { 32 * D, D, 0, ever, LEVEL_HOUR, 3600 },           { 366 * D, 366 * D, 0, ever, LEVEL_HOUR, 6 * 3600 },
        { 500 * D, D, 0, ever, LEVEL_HOUR, 3600 },          { 10 * M, 10 * M, 1, ever, LEVEL_SECOND, 1 },
        { 10 * M, 10 * M, 7, ever, LEVEL_SECOND, 7 },       { H, H, 1, ever, LEVEL_TEN, 10 },
        { H, H, 11, ever, LEVEL_TEN, 20 },                  { H, H, 3600, ever, LEVEL_TEN, 3600 },
        { 24 * H, 24 * H, 61, ever, LEVEL_MINUTE, 120 },    { 31 * D, 31 * D, 1, ever, LEVEL_QUARTER, 1800 },
        { 366 * D, 366 * D, 86400, ever, LEVEL_HOUR, 86400 }, { S, S, 1, never, LEVEL_MINUTE, 60 },
        // a question that was a moment on its way
        { 24 * H + M, 24 * H + M, 0, ever, LEVEL_MINUTE, 60 }, { 31 * D + 15 * M, 31 * D + 15 * M, 1, ever, LEVEL_QUARTER, 1800 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct metric_choice c;
        metric_choose(now, rows[i].memory_from, now - rows[i].back_ms, now - rows[i].back_ms + rows[i].span_ms, rows[i].step_s, &c);
        if (c.level != rows[i].level || c.step_ms != rows[i].want_s * 1000)
            print_error("row %zu\n", i);
        assert_int_equal(c.level, rows[i].level);
        assert_int_equal(c.step_ms, rows[i].want_s * 1000);
    }
    for (int i = 0; i < 200000; i++) { // whatever is asked: few enough points, that cover it, in steps of the level
        uint64_t from = rnd(2) ? now - rnd(400 * D) : rnd(1ull << rnd(49)), to = from + 1 + rnd(1ull << rnd(48));
        uint64_t step = rnd(3) ? 0 : 1 + rnd(1ull << rnd(25));
        struct metric_choice c;
        metric_choose(now, rnd(2) ? 0 : now - rnd(5 * H), from, to, step, &c);
        assert_true(c.n >= 1 && c.n <= METRIC_POINTS_MAX);
        assert_true(c.step_ms % metric_step_ms(c.level) == 0 && c.step_ms >= step * 1000);
        assert_true(c.first * c.step_ms <= from && (c.first + 1) * c.step_ms > from);
        assert_true((c.first + c.n) * c.step_ms >= to && (c.first + c.n - 1) * c.step_ms < to);
    }
}

// ---------------------------------------------------------------- alerts

static void alerts(void **state)
{
    (void)state;
#define N ALERT_NONE
#define R ALERT_NEAR
#define A ALERT_ABOVE
    static const struct {
        enum metric_alert from;
        uint32_t value, threshold;
        enum metric_alert to;
        unsigned row;
    } rows[] = {
        // 90 %: near from 81, left below 76; above from 90, left below 85
        { N, 0, 9000, N, 0 },    { N, 8099, 9000, N, 0 }, { N, 8100, 9000, R, ROW_ALERT_NEAR }, { N, 8999, 9000, R, ROW_ALERT_NEAR },
        { N, 9000, 9000, A, ROW_ALERT }, { N, 10000, 9000, A, ROW_ALERT },
        { R, 9000, 9000, A, ROW_ALERT }, { R, 8999, 9000, R, 0 }, { R, 7600, 9000, R, 0 }, { R, 7599, 9000, N, 0 }, { R, 0, 9000, N, 0 },
        { A, 10000, 9000, A, 0 }, { A, 9000, 9000, A, 0 }, { A, 8500, 9000, A, 0 }, { A, 8499, 9000, R, 0 }, { A, 7600, 9000, R, 0 },
        { A, 7599, 9000, N, 0 }, { A, 0, 9000, N, 0 },
        // a small threshold has small slack: 10 %: near from 9, left below 8.5; above from 10, left below 9.5
        { N, 899, 1000, N, 0 },  { N, 900, 1000, R, ROW_ALERT_NEAR }, { A, 950, 1000, A, 0 }, { A, 949, 1000, R, 0 },
        { R, 850, 1000, R, 0 }, { R, 849, 1000, N, 0 },
        // the smallest
        { N, 0, 1, N, 0 }, { N, 1, 1, A, ROW_ALERT }, { A, 1, 1, A, 0 }, { A, 0, 1, N, 0 },
        // 100 %
        { N, 8999, 10000, N, 0 }, { N, 9000, 10000, R, ROW_ALERT_NEAR }, { R, 10000, 10000, A, ROW_ALERT }, { A, 9500, 10000, A, 0 },
        // none, and what is no level
        { A, 5000, 0, N, 0 }, { (enum metric_alert)7, 5000, 1000, N, 0 },
    };
#undef N
#undef R
#undef A
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned row = 99;
        enum metric_alert to = metric_alert_step(rows[i].from, rows[i].value, rows[i].threshold, &row);
        if (to != rows[i].to || row != rows[i].row)
            print_error("row %zu: to %d, row %u\n", i, (int)to, row);
        assert_int_equal(to, rows[i].to);
        assert_int_equal(row, rows[i].row);
    }
    for (uint32_t threshold = 1; threshold <= METRIC_MAX; threshold += 1 + (uint32_t)rnd(50)) {
        unsigned row, told = 0;
        enum metric_alert level = ALERT_NONE;
        uint32_t mark = rnd(2) ? threshold : (threshold * 9 + 9) / 10, wobble = threshold < 5000 ? threshold / 20 : 500;
        for (int i = 0; i < 200; i++) { // flapping around a mark by less than the slack is told once
            uint32_t value = mark - (uint32_t)rnd(wobble + 1) + (i % 2 && mark == threshold ? (uint32_t)rnd(wobble + 1) : 0);
            level = metric_alert_step(level, i ? value : mark, threshold, &row);
            told += row != ROW_NONE;
            assert_true(level != ALERT_NONE && (row == ROW_NONE || (row == ROW_ALERT) == (level == ALERT_ABOVE)));
        }
        assert_true(told == 1);
        for (int i = 0; i < 50; i++) { // a level is a fixed point of its value; a rise has a row, and nothing else has
            enum metric_alert was = (enum metric_alert)rnd(3);
            uint32_t value = (uint32_t)rnd(METRIC_MAX + 1);
            enum metric_alert is = metric_alert_step(was, value, threshold, &row);
            assert_true((row != ROW_NONE) == (is > was));
            assert_true((value >= threshold) <= (is == ALERT_ABOVE));
            assert_int_equal(metric_alert_step(is, value, threshold, &row), is);
            assert_int_equal(row, ROW_NONE);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rings_against_the_model), cmocka_unit_test(bounds), cmocka_unit_test(damaged_pages),
        cmocka_unit_test(which_level), cmocka_unit_test(alerts),
    };
    seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 10) : 88172645463325252ull;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
