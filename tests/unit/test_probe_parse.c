// links: worker common protobuf-c
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include "probe_parse.h"

static const char stat_text[] = "cpu  100 5 50 1000 45 1 2 7 3 0\ncpu0 100 5 50 1000 45 1 2 7 3 0\nintr 1 2 3\n";
static const char memory_text[] = "MemTotal:       16384000 kB\nMemFree:         1000000 kB\nMemAvailable:    8192000 kB\n";

static void test_cpu(void **state)
{
    (void)state;
    struct probe_cpu a, b = { 0 };
    assert_true(probe_cpu_parse(stat_text, strlen(stat_text), &a));
    assert_int_equal(a.total, 1210);
    assert_int_equal(a.busy, 165);
    assert_true(probe_cpu_parse("cpu 1 2 3 4\n", 12, &b)); // an old kernel
    assert_int_equal(b.total, 10);
    // Cut anywhere: no crash, and never more than the whole.
    for (size_t n = 0; n < sizeof stat_text; n++) {
        struct probe_cpu c = { 0 };
        char copy[sizeof stat_text];
        memcpy(copy, stat_text, n);
        if (probe_cpu_parse(copy, n, &c))
            assert_true(c.total <= a.total && c.busy <= c.total);
    }
    static const char *const bad[] = { "", "cpu", "cpu \n", "cpu 1 2 3\n", "cpu0 1 2 3 4\n", "xcpu 1 2 3 4\n", "cpu a b c d\n",
                                       "cpu -1 2 3 4\n", "cpu 99999999999999999999999 1 1 1\n", "\ncpuu 1 2 3 4" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(probe_cpu_parse(bad[i], strlen(bad[i]), &b));
}

static void test_share(void **state)
{
    (void)state;
    static const struct {
        struct probe_cpu a, b;
        bool ok;
        uint32_t want;
    } row[] = {
        { { 0, 0 }, { 50, 100 }, true, 5000 },      { { 10, 100 }, { 10, 200 }, true, 0 },  { { 10, 100 }, { 110, 200 }, true, 10000 },
        { { 10, 100 }, { 10, 100 }, false, 0 },     { { 10, 100 }, { 5, 200 }, false, 0 },  { { 10, 100 }, { 20, 90 }, false, 0 },
        { { 10, 100 }, { 211, 200 }, false, 0 },    { { 0, 0 }, { 1, 3 }, true, 3333 },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        uint32_t got = 0;
        assert_int_equal(probe_cpu_share(&row[i].a, &row[i].b, &got), row[i].ok);
        assert_int_equal(got, row[i].want);
    }
    assert_int_equal(probe_share(1, 0), 0);
    assert_int_equal(probe_share(5, 4), 10000);
    assert_int_equal(probe_share(UINT64_MAX - 1, UINT64_MAX), 10000);
    assert_int_equal(probe_share(UINT64_MAX / 2, UINT64_MAX), 5000);
}

static void test_memory(void **state)
{
    (void)state;
    struct probe_memory m;
    assert_true(probe_memory_parse(memory_text, strlen(memory_text), &m));
    assert_int_equal(m.total_kib, 16384000);
    assert_int_equal(m.used_kib, 8192000);
    static const char old[] = "MemTotal: 100 kB\nMemFree: 40 kB\n";
    assert_true(probe_memory_parse(old, strlen(old), &m));
    assert_int_equal(m.used_kib, 60);
    static const char *const bad[] = { "", "MemTotal: 0 kB\nMemFree: 0 kB\n", "MemTotal: 10 kB\n", "MemTotal: 10 kB\nMemFree: 11 kB\n",
                                       "MemTotal: x\nMemFree: 1\n", " MemTotal: 10\nMemFree: 1\n" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(probe_memory_parse(bad[i], strlen(bad[i]), &m));
    for (size_t n = 0; n < sizeof memory_text; n++)
        (void)probe_memory_parse(memory_text, n, &m);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_cpu), cmocka_unit_test(test_share), cmocka_unit_test(test_memory) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
