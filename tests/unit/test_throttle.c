// links: gateway fail_alloc
// Guesses under a pretended clock.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "fail_alloc.h"
#include "throttle.h"

enum { S = 1000, MIN = 60 * S };
static const uint64_t start = 1000 * MIN;
static struct throttle *t;

static int set_up(void **state)
{
    (void)state;
    t = throttle_new();
    return t ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    throttle_free(t);
    return 0;
}

static uint32_t take(uint64_t address, uint64_t name, uint64_t at)
{
    return throttle_take(t, (struct throttle_pair){ address, name }, at);
}

static void won(uint64_t address, uint64_t name, uint64_t at)
{
    throttle_won(t, (struct throttle_pair){ address, name }, at);
}

// Five at once, then 2, 4, 8 ... 300 seconds; asking while one has to wait costs nothing.
static void doubles(void **state)
{
    static const uint32_t waits[] = { 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300 };
    uint64_t now = start;
    (void)state;
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(take(1, i, now), 0);
    for (unsigned i = 0; i < sizeof waits / sizeof *waits; i++) {
        for (unsigned k = 0; k < 100; k++)
            assert_int_equal(take(1, 100, now), waits[i]);
        assert_int_equal(take(2, 200 + i, now), 0); // another address and name
        now += waits[i] * S;
        assert_int_equal(take(1, 300, now - 1), 1);
        assert_int_equal(take(1, 300 + i, now), 0);
    }
    now += 15 * MIN;
    for (unsigned i = 0; i < 5; i++) // a quiet quarter of an hour, and all is forgotten
        assert_int_equal(take(1, 400 + i, now), 0);
    assert_int_equal(take(1, 500, now), 2);
}

static void four_a_minute(void **state)
{
    uint64_t now = start;
    (void)state;
    for (unsigned m = 0; m < 100; m++, now += MIN)
        for (unsigned i = 0; i < 4; i++)
            assert_int_equal(take(1, m * 10 + i, now), 0);
    assert_int_equal(take(1, 5000, now), 0);
}

// The clock may be anything, and an entry that was never locked is not.
static void time_zero(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(take(1, 1, 0), 0);
    assert_int_equal(take(1, 1, 0), 2);
}

static void many_at_once(void **state)
{
    unsigned passed = 0;
    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        passed += take(1, 1, start) == 0;
    assert_int_equal(passed, 5);
}

// One address alone locks nobody out of a name but itself, however long it tries.
static void one_against_a_name(void **state)
{
    uint64_t now = start;
    (void)state;
    for (unsigned i = 0; i < 5000; i++, now += 10 * S) {
        (void)take(1, 7, now);
        if (i % 100 == 99) { // another address
            assert_int_equal(take(100 + i, 7, now), 0);
            throttle_void(t, (struct throttle_pair){ 100 + i, 7 });
        }
    }
}

// Many do, and then every address that is new to the name; who has signed in from there before is not held up, and nor is
// anybody else's name.
static void many_against_a_name(void **state)
{
    uint64_t now = start;
    (void)state;
    assert_int_equal(take(50, 7, now), 0);
    won(50, 7, now);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(take(i, 7, now), 0);
    assert_int_equal(take(60, 7, now), 2);
    assert_int_equal(take(60, 8, now), 0);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(take(50, 7, now), 0); // known, and within its own limit
    assert_true(take(50, 7, now) > 0);
    now += 15 * MIN;
    assert_int_equal(take(60, 7, now), 0);
}

// A success forgives what this address got wrong with this name, and no more.
static void a_success(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(take(1, 7, start), 0);
    assert_int_equal(take(1, 8, start), 0);  // the fifth from here: its own account
    assert_int_equal(take(1, 7, start), 2);
    won(1, 8, start);
    assert_int_equal(take(1, 7, start), 0);  // the fifth again, and all of them another's
    assert_int_equal(take(1, 7, start), 2);
    assert_int_equal(take(1, 8, start), 2);
    won(2, 7, start);                        // the name's owner, elsewhere
    assert_int_equal(take(1, 7, start), 2);
    won(1, 7, start);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(take(1, 7, start), 0);
    assert_int_equal(take(1, 7, start), 2);
}

// Who signs in as he should does not keep the lock of the address alive that he shares with one who does not.
static void a_success_adds_no_wait(void **state)
{
    uint64_t now = start;
    (void)state;
    for (unsigned i = 0; i < 6; i++, now += 2 * S)
        assert_int_equal(take(1, 7, now), 0);
    assert_int_equal(take(1, 8, now), 2);
    now += 2 * S;
    for (unsigned i = 0; i < 20; i++, now += MIN) { // one after the other, and nobody waits for the one before
        for (unsigned k = 0; k < 3; k++) {
            assert_int_equal(take(1, 8 + k, now), 0);
            if (i < 10)
                assert_true(take(1, 20, now) > 0); // as long as it is judged
            won(1, 8 + k, now + 80);
        }
        assert_int_equal(take(1, 8, now + 100), 0);
        throttle_void(t, (struct throttle_pair){ 1, 8 });
    }
    for (unsigned i = 0; i < 4; i++) // nor for a quiet quarter of an hour, once the failures are that long ago
        assert_int_equal(take(1, 30 + i, now), 0);
}

static void not_judged(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(take(1, 7, start), 0);
        throttle_void(t, (struct throttle_pair){ 1, 7 });
    }
    throttle_void(t, (struct throttle_pair){ 2, 8 }); // of one that never was
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(take(1, 7, start), 0);
    assert_int_equal(take(1, 7, start), 2);
}

// Bounded; those that are in use stay.
static void bounded(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(take(1, 7, start), 0);
    for (uint64_t i = 0; i < 200000; i++) {
        (void)take(1000 + i * 7919, 5000 + i * 104729, start);
        if (i % 1000 == 0)
            assert_int_equal(take(1, 7, start), 2);
    }
    assert_int_equal(take(1, 7, start), 2);
}

// Without memory one waits, and what is told is lost rather than half kept.
static void no_memory(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 3; n++) {
        fail_alloc(n);
        assert_int_equal(take(n, n, start), 1);
        assert_true(fail_alloc_done());
        fail_alloc(1);
        won(100 + n, 100 + n, start);
        assert_true(fail_alloc_done());
        fail_alloc(1);
        throttle_void(t, (struct throttle_pair){ 200 + n, 200 + n });
        assert_true(fail_alloc_done());
        for (unsigned i = 0; i < 5; i++)
            assert_int_equal(take(n, n, start + i), 0);
        assert_int_not_equal(take(n, n, start + 5), 0);
    }
    fail_alloc(1);
    assert_null(throttle_new());
    assert_true(fail_alloc_done());
    throttle_free(NULL);
}

// What is won or taken back without an attempt before it changes nothing.
static void nothing_to_forgive(void **state)
{
    (void)state;
    won(1, 1, start);
    throttle_void(t, (struct throttle_pair){ 2, 2 });
    for (unsigned who = 1; who <= 2; who++) {
        for (unsigned i = 0; i < 5; i++)
            assert_int_equal(take(who, who, start), 0);
        assert_int_not_equal(take(who, who, start), 0);
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(doubles), T(four_a_minute), T(time_zero), T(many_at_once), T(one_against_a_name), T(many_against_a_name), T(a_success),
        T(a_success_adds_no_wait), T(not_judged), T(no_memory), T(nothing_to_forgive), T(bounded),
    };
    throttle_free(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
