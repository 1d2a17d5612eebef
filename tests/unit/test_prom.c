// links: common protobuf-c sodium jansson uv systemd nng
// The text format: names, labels and their escapes, decimals, histograms, tables; and that the tables of figures keep its rules.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "figure.h"
#include "prom.h"

static struct buf out;

static int start(void **state)
{
    (void)state;
    buf_init(&out, 1 << 20);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    buf_fini(&out);
    return 0;
}

static void numbers(void **state)
{
    static const struct { uint64_t value; unsigned decimals; const char *text; } rows[] = {
        { 0, 0, "0" }, { 0, 6, "0" }, { 1, 0, "1" }, { 1, 3, "0.001" }, { 10, 3, "0.01" }, { 1000, 3, "1" }, { 1234567, 6, "1.234567" },
        { 1200000, 6, "1.2" }, { 1000001, 6, "1.000001" }, { UINT64_MAX, 0, "18446744073709551615" }, { 999, 3, "0.999" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char want[64];
        buf_reset(&out);
        prom_sample(&out, "x", NULL, 0, rows[i].value, rows[i].decimals);
        snprintf(want, sizeof want, "x %s\n", rows[i].text);
        assert_string_equal(buf_cstr(&out), want);
    }
}

static void labels_and_escapes(void **state)
{
    const struct prom_label l[] = { { "worker", "a\"b\\c\nd" }, { NULL, NULL }, { "r", "" } };
    (void)state;
    prom_family(&out, "x_total", "counter", "back\\slash, \"quotes\" and\na line");
    prom_sample(&out, "x_total", l, 3, 7, 0);
    prom_sample(&out, "x_total", l + 1, 1, 8, 0);
    assert_string_equal(buf_cstr(&out), "# HELP x_total back\\\\slash, \"quotes\" and\\na line\n# TYPE x_total counter\n"
                                        "x_total{worker=\"a\\\"b\\\\c\\nd\",r=\"\"} 7\nx_total 8\n");
}

static void histograms(void **state)
{
    static const uint64_t bounds[] = { 10, 100, 1000 };
    static const uint64_t seen[] = { 0, 10, 11, 100, 1000, 1001, 5000 };
    struct prom_hist h;
    (void)state;
    prom_hist_init(&h, bounds, 3);
    for (size_t i = 0; i < sizeof seen / sizeof *seen; i++)
        prom_observe(&h, seen[i]);
    prom_buckets(&out, "d_seconds", &(struct prom_label){ "class", "read" }, 1, &h, 3);
    assert_string_equal(buf_cstr(&out), "d_seconds_bucket{class=\"read\",le=\"0.01\"} 2\nd_seconds_bucket{class=\"read\",le=\"0.1\"} 4\n"
                                        "d_seconds_bucket{class=\"read\",le=\"1\"} 5\nd_seconds_bucket{class=\"read\",le=\"+Inf\"} 7\n"
                                        "d_seconds_sum{class=\"read\"} 7.122\nd_seconds_count{class=\"read\"} 7\n");
    buf_reset(&out);
    prom_hist_init(&h, bounds, 0);
    prom_buckets(&out, "d", NULL, 0, &h, 0);
    assert_string_equal(buf_cstr(&out), "d_bucket{le=\"+Inf\"} 0\nd_sum 0\nd_count 0\n");
}

static void tables(void **state)
{
    static const struct prom_def defs[] = {
        { "a", "gauge", "A", 0, { NULL, NULL } }, { "b_total", "counter", "B", 0, { "kind", "x" } }, { "b_total", "counter", "", 0, { "kind", "y" } },
    };
    static const uint64_t one[] = { 1, 2, 3 }, two[] = { 4, 5, 6 };
    static const uint8_t known[] = { 1, 0, 1 };
    const struct prom_row rows[] = { { { "worker", "p" }, one, NULL }, { { "worker", "q" }, two, known } };
    (void)state;
    prom_table(&out, defs, 3, rows, 2);
    assert_string_equal(buf_cstr(&out), "# HELP a A\n# TYPE a gauge\na{worker=\"p\"} 1\na{worker=\"q\"} 4\n"
                                        "# HELP b_total B\n# TYPE b_total counter\nb_total{worker=\"p\",kind=\"x\"} 2\n"
                                        "b_total{worker=\"p\",kind=\"y\"} 3\nb_total{worker=\"q\",kind=\"y\"} 6\n");
}

static void too_much_is_an_error(void **state)
{
    struct buf small;
    (void)state;
    buf_init(&small, 16);
    prom_family(&small, "name", "gauge", "help");
    prom_sample(&small, "name", NULL, 0, 1, 0);
    assert_int_not_equal(small.err, ERR_OK);
    buf_fini(&small);
}

// Names, units and types by the rules; families whole and once; numbers once; places and numbers there and back.
static void the_tables_of_figures(void **state)
{
    static const char *const prefix[] = { "mc_gateway_", "mc_broker_", "mc_worker_" };
    (void)state;
    for (unsigned p = 0; p < 3; p++) {
        unsigned n;
        const struct prom_def *d = figure_defs((enum figure_program)p, &n);
        for (unsigned i = 0; i < n; i++) {
            size_t len = strlen(d[i].name);
            bool total = len > 6 && strcmp(d[i].name + len - 6, "_total") == 0, counter = strcmp(d[i].type, "counter") == 0;
            assert_true(strncmp(d[i].name, prefix[p], strlen(prefix[p])) == 0);
            assert_true(total == counter && (counter || strcmp(d[i].type, "gauge") == 0));
            assert_int_equal(strspn(d[i].name, "abcdefghijklmnopqrstuvwxyz_"), len);
            assert_true(i > 0 && strcmp(d[i].name, d[i - 1].name) == 0 ? d[i].label.name != NULL : *d[i].help != 0);
            for (unsigned k = 0; k + 1 < i; k++)
                assert_true(strcmp(d[k].name, d[i].name) != 0 || strcmp(d[i - 1].name, d[i].name) == 0);
            assert_int_equal(figure_place((enum figure_program)p, figure_number((enum figure_program)p, i)), i);
        }
        assert_int_equal(figure_place((enum figure_program)p, 9999), n);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, start, stop)
    const struct CMUnitTest tests[] = { T(numbers), T(labels_and_escapes), T(histograms), T(tables), T(too_much_is_an_error),
                                        T(the_tables_of_figures) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
