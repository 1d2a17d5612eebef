// links: gateway
// The timer wheel under a pretended clock, also against a plain table of deadlines.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "wheel.h"

static struct wheel wheel;
static uint64_t now_ms;

struct thing {
    struct wheel_timer timer;
    uint64_t due_ms;      // 0: not armed
    unsigned fired;
    struct thing *clears, *arms;
    uint64_t again_ms;
};

static void arm(struct thing *t, uint64_t in_ms)
{
    t->due_ms = now_ms + in_ms;
    wheel_set(&wheel, &t->timer, now_ms, in_ms);
}

static void fire(struct wheel_timer *w)
{
    struct thing *t = container_of(w, struct thing, timer);

    assert_true(t->due_ms != 0);
    assert_true(now_ms >= t->due_ms); // never early
    t->due_ms = 0;
    t->fired++;
    if (t->clears) {
        wheel_clear(&wheel, &t->clears->timer);
        t->clears->due_ms = 0;
    }
    if (t->arms)
        arm(t->arms, t->again_ms);
}

static void init(struct thing *t)
{
    *t = (struct thing){ 0 };
    wheel_timer_init(&t->timer, fire);
}

static void turn_to(uint64_t ms)
{
    now_ms = ms;
    wheel_turn(&wheel, now_ms);
}

static void start(uint64_t ms)
{
    now_ms = ms;
    wheel_init(&wheel, ms);
}

static void test_one(void **state)
{
    struct thing t;

    (void)state;
    start(1000001);
    init(&t);
    arm(&t, 10000);
    assert_int_equal(wheel.armed, 1);
    turn_to(1010000);
    assert_int_equal(t.fired, 0);
    turn_to(1010001 + WHEEL_TICK_MS);
    assert_int_equal(t.fired, 1);
    assert_int_equal(wheel.armed, 0);
    turn_to(1200000);
    assert_int_equal(t.fired, 1);
}

static void test_move_and_clear(void **state)
{
    struct thing t;

    (void)state;
    start(5);
    init(&t);
    wheel_clear(&wheel, &t.timer); // not armed: nothing
    arm(&t, 1000);
    arm(&t, 60000);
    assert_int_equal(wheel.armed, 1);
    turn_to(30000);
    assert_int_equal(t.fired, 0);
    arm(&t, 500);
    turn_to(31000);
    assert_int_equal(t.fired, 1);
    arm(&t, 500);
    wheel_clear(&wheel, &t.timer);
    t.due_ms = 0;
    turn_to(100000);
    assert_int_equal(t.fired, 1);
    assert_int_equal(wheel.armed, 0);
}

// What fires may arm itself and others and clear others, of the same slot too.
static void test_while_firing(void **state)
{
    struct thing a, b, c;

    (void)state;
    start(1000);
    init(&a), init(&b), init(&c);
    a.clears = &b;
    a.arms = &a;
    a.again_ms = 0;
    arm(&a, 300), arm(&b, 300), arm(&c, 300);
    turn_to(2000);
    assert_int_equal(a.fired, 1);
    assert_int_equal(b.fired, 0);
    assert_int_equal(c.fired, 1);
    turn_to(2000 + WHEEL_TICK_MS);
    assert_int_equal(a.fired, 2);
    assert_int_equal(wheel.armed, 1);
}

// Longer than a round, and pauses longer than a round.
static void test_far(void **state)
{
    struct thing t, u;
    const uint64_t round = (uint64_t)WHEEL_TICK_MS * WHEEL_SLOTS;

    (void)state;
    start(0);
    init(&t), init(&u);
    arm(&t, 3 * round + 700);
    arm(&u, 100);
    for (uint64_t ms = 0; ms <= 3 * round + 500; ms += WHEEL_TICK_MS)
        turn_to(ms);
    assert_int_equal(t.fired, 0);
    assert_int_equal(u.fired, 1);
    turn_to(4 * round);
    assert_int_equal(t.fired, 1);
    arm(&t, 1000);
    turn_to(40 * round);
    assert_int_equal(t.fired, 2);
}

// Nobody turns an empty wheel: its time is old when the next time-out comes.
static void test_slept(void **state)
{
    struct thing t;

    (void)state;
    start(0);
    init(&t);
    now_ms = 1000000;
    arm(&t, 250);
    turn_to(1000000);
    assert_int_equal(t.fired, 0);
    turn_to(1000250);
    assert_int_equal(t.fired, 1);
}

static void test_random(void **state)
{
    enum { N = 200 };
    static struct thing things[N];
    uint64_t seed = 42;

    (void)state;
    start(77);
    for (unsigned i = 0; i < N; i++)
        init(&things[i]);
    for (unsigned step = 0; step < 20000; step++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        struct thing *t = &things[(seed >> 33) % N];
        uint64_t in = (seed >> 20) % 70000;
        if (seed >> 62 == 0) {
            wheel_clear(&wheel, &t->timer);
            t->due_ms = 0;
        } else {
            arm(t, in);
        }
        turn_to(now_ms + (seed >> 40) % 300);
        unsigned armed = 0;
        for (unsigned i = 0; i < N; i++) {
            armed += things[i].due_ms != 0;
            assert_true(things[i].due_ms == 0 || things[i].due_ms + WHEEL_TICK_MS > now_ms); // at most a tick late
        }
        assert_int_equal(armed, wheel.armed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one), cmocka_unit_test(test_move_and_clear), cmocka_unit_test(test_while_firing), cmocka_unit_test(test_far),
        cmocka_unit_test(test_slept), cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
