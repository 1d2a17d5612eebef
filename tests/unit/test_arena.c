// links: common protobuf-c fail_alloc
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "arena.h"
#include "fail_alloc.h"
#include "wire.pb-c.h"

static void gives_and_resets(void **state)
{
    struct arena a;
    (void)state;

    arena_init(&a, 1024 * 1024);
    char *first = arena_alloc(&a, 1);
    char *second = arena_alloc(&a, 3);
    assert_non_null(first);
    assert_int_equal((uintptr_t)second % _Alignof(max_align_t), 0);
    assert_true(second > first);
    assert_non_null(arena_alloc(&a, 0));
    for (size_t n = 1; n < 200 * 1024; n = n * 3 + 1) { // across chunks, and larger than one
        char *p = arena_alloc(&a, n);
        assert_non_null(p);
        memset(p, 1, n);
    }
    assert_true(a.total > 64 * 1024);
    arena_reset(&a);
    assert_int_equal(a.total, 64 * 1024);
    assert_ptr_equal(arena_alloc(&a, 1), first); // the first chunk is used again
    arena_fini(&a);
    assert_int_equal(a.total, 0);
    arena_reset(&a);
    arena_fini(&a);
}

static void is_bounded(void **state)
{
    struct arena a;
    size_t given = 0;
    (void)state;

    arena_init(&a, 256 * 1024);
    assert_null(arena_alloc(&a, 256 * 1024 + 1));
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 7));
    while (arena_alloc(&a, 1000))
        given += 1000;
    assert_true(given > 200 * 1024 && given <= 256 * 1024);
    assert_true(a.total <= 256 * 1024);
    arena_reset(&a);
    assert_non_null(arena_alloc(&a, 1000));
    arena_reset(&a);
    assert_non_null(arena_alloc(&a, 128 * 1024)); // beside the first chunk
    assert_null(arena_alloc(&a, 128 * 1024));
    arena_fini(&a);
    arena_init(&a, 1); // one chunk is always allowed
    assert_non_null(arena_alloc(&a, 60000));
    assert_null(arena_alloc(&a, 60000));
    arena_fini(&a);
}

// A first allocation larger than a chunk leaves nothing that a reset would mistake for one.
static void large_first(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 1024 * 1024);
    assert_non_null(arena_alloc(&a, 500 * 1024));
    arena_reset(&a);
    assert_int_equal(a.total, 0);
    assert_non_null(arena_alloc(&a, 10));
    assert_int_equal(a.total, 64 * 1024);
    arena_fini(&a);
}

static void unpacks(void **state)
{
    struct arena a;
    Wire__Request r = WIRE__REQUEST__INIT;
    Wire__Item items[64], *all[64];
    Wire__Ping ping = WIRE__PING__INIT;
    static uint8_t out[4096];
    (void)state;

    for (unsigned i = 0; i < 64; i++) {
        wire__item__init(&items[i]);
        items[i].number = i + 1;
        items[i].body_case = WIRE__ITEM__BODY_PING;
        items[i].ping = &ping;
        all[i] = &items[i];
    }
    r.items = all;
    r.n_items = 64;
    size_t n = wire__request__pack(&r, out);
    arena_init(&a, 64 * 1024);
    for (unsigned round = 0; round < 100; round++) {
        Wire__Request *u = wire__request__unpack(arena_allocator(&a), n, out);
        assert_non_null(u);
        assert_int_equal(u->n_items, 64);
        assert_int_equal(u->items[63]->number, 64);
        arena_reset(&a);
    }
    arena_fini(&a);
}

// Two octets on the wire make an item of a hundred: what unfolds beyond the limit is refused, not taken.
static void unfolding_is_refused(void **state)
{
    struct arena a;
    static uint8_t bomb[400000];
    (void)state;

    for (size_t i = 0; i < sizeof bomb; i += 2) {
        bomb[i] = 3 << 3 | 2; // items, empty
        bomb[i + 1] = 0;
    }
    arena_init(&a, 4 * 1024 * 1024);
    assert_null(wire__request__unpack(arena_allocator(&a), sizeof bomb, bomb));
    assert_true(a.total <= 4 * 1024 * 1024);
    arena_reset(&a);
    assert_non_null(wire__request__unpack(arena_allocator(&a), 2000, bomb));
    arena_fini(&a);
}

static void no_memory(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 1024 * 1024);
    fail_alloc(1);
    assert_null(arena_alloc(&a, 10));
    assert_true(fail_alloc_done());
    assert_int_equal(a.total, 0);
    assert_true(a.failed);
    assert_non_null(arena_alloc(&a, 10));
    assert_true(a.failed); // whatever comes after: something is missing
    arena_reset(&a);
    assert_false(a.failed);
    assert_null(arena_alloc(&a, 2 * 1024 * 1024));
    assert_true(a.failed);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_and_resets), cmocka_unit_test(is_bounded), cmocka_unit_test(large_first),
        cmocka_unit_test(unpacks),          cmocka_unit_test(unfolding_is_refused),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
