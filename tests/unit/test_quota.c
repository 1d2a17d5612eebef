// links: gateway fail_alloc
// GCRA under a pretended clock.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "fail_alloc.h"
#include "quota.h"

enum { SECOND = 1000000 };

static void test_off(void **state)
{
    struct quota *q = quota_new(0);

    (void)state;
    assert_non_null(q);
    for (unsigned i = 0; i < 100000; i++)
        assert_true(quota_take(q, 1, 1, 0).ok);
    quota_free(q);
    quota_free(NULL);
}

// A burst of a sixth at once, then one per interval; what was refused costs nothing.
static void test_burst_and_rate(void **state)
{
    struct quota *q = quota_new(60);
    uint64_t now = 1000 * (uint64_t)SECOND;
    struct quota_verdict v;

    (void)state;
    assert_non_null(q);
    for (unsigned i = 0; i < 10; i++) {
        v = quota_take(q, 1, 1, now);
        assert_true(v.ok);
        assert_int_equal(v.limit, 60);
        assert_int_equal(v.remaining, 9 - i);
        assert_int_equal(v.reset_s, i + 1);
        assert_int_equal(v.retry_after_s, 0);
    }
    for (unsigned i = 0; i < 100; i++) {
        v = quota_take(q, 1, 1, now);
        assert_false(v.ok);
        assert_int_equal(v.remaining, 0);
        assert_int_equal(v.retry_after_s, 1);
        assert_int_equal(v.reset_s, 10);
    }
    assert_true(quota_take(q, 2, 1, now).ok); // another key
    assert_false(quota_take(q, 1, 1, now + SECOND - 1).ok);
    assert_true(quota_take(q, 1, 1, now + SECOND).ok);
    assert_false(quota_take(q, 1, 1, now + SECOND).ok);
    v = quota_take(q, 1, 1, now + 1000 * (uint64_t)SECOND); // all is forgotten
    assert_int_equal(v.remaining, 9);
    quota_free(q);
}

// In any minute: never more than the rate and the burst together, and never less than the rate.
static void test_any_minute(void **state)
{
    struct quota *q = quota_new(1200);
    uint64_t now = 5;
    unsigned passed = 0;

    (void)state;
    assert_non_null(q);
    for (unsigned ms = 0; ms < 60000; ms++)
        passed += quota_take(q, 1, 1, now += 1000).ok;
    assert_in_range(passed, 1200, 1200 + 200);
    quota_free(q);
}

static void test_cost(void **state)
{
    struct quota *q = quota_new(60);
    struct quota_verdict v;

    (void)state;
    assert_non_null(q);
    assert_int_equal(quota_take(q, 1, 4, 0).remaining, 6);
    v = quota_take(q, 1, 7, 0);
    assert_false(v.ok);
    assert_int_equal(v.retry_after_s, 1);
    assert_int_equal(v.remaining, 6);
    assert_true(quota_take(q, 1, 0, 0).ok);
    assert_true(quota_take(q, 2, 1000, 0).ok); // more than a burst: as much as a burst
    assert_false(quota_take(q, 2, 1, 0).ok);
    quota_free(q);
}

static void test_small_and_large(void **state)
{
    struct quota *q = quota_new(1);

    (void)state;
    assert_non_null(q);
    assert_true(quota_take(q, 1, 1, 0).ok);
    assert_int_equal(quota_take(q, 1, 1, 0).retry_after_s, 60);
    assert_true(quota_take(q, 1, 1, 60 * (uint64_t)SECOND).ok);
    quota_free(q);
    q = quota_new(100000000);
    assert_non_null(q);
    for (unsigned i = 0; i < 1000000; i++)
        assert_true(quota_take(q, 1, 1, 0).ok);
    quota_free(q);
}

// The table is bounded: the key that was used longest ago gives way, and only that.
static void test_many_keys(void **state)
{
    struct quota *q = quota_new(6);

    (void)state;
    assert_non_null(q);
    for (uint64_t k = 0; k < 65536; k++)
        assert_true(quota_take(q, k << 32 | k * 7, 1, 0).ok);
    assert_false(quota_take(q, 0, 1, 0).ok); // known, and now the newest
    assert_true(quota_take(q, UINT64_MAX, 1, 0).ok);  // in place of key 1
    assert_false(quota_take(q, 0, 1, 0).ok);
    assert_true(quota_take(q, 1ull << 32 | 7, 1, 0).ok);  // forgotten; in place of key 2
    assert_false(quota_take(q, 3ull << 32 | 21, 1, 0).ok);
    assert_true(quota_take(q, 2ull << 32 | 14, 1, 0).ok);
    for (uint64_t k = 100; k < 65536; k++)
        assert_false(quota_take(q, k << 32 | k * 7, 1, 0).ok);
    quota_free(q);
}

// Without memory there is no quota at first; later on the keys it has room for share it.
static void test_no_memory(void **state)
{
    struct quota *q = NULL;

    (void)state;
    for (unsigned n = 1; n == 1 || fail_alloc_done(); n++) {
        fail_alloc(n);
        q = quota_new(600);
        assert_int_equal(q == NULL, fail_alloc_failed);
    }
    quota_free(q);
    for (unsigned n = 1; n <= 2; n++) {
        q = quota_new(600);
        assert_non_null(q);
        fail_alloc(n);
        for (uint64_t key = 0; key < 100000; key++)
            assert_true(quota_take(q, key, 1, 1000000).ok);
        assert_true(fail_alloc_done());
        quota_free(q);
    }
    quota_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_off), cmocka_unit_test(test_burst_and_rate), cmocka_unit_test(test_any_minute), cmocka_unit_test(test_cost),
        cmocka_unit_test(test_small_and_large), cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
