// links: common protobuf-c fail_alloc
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include "buf.h"
#include "fail_alloc.h"
#include "list.h"

static void grows(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 100000);
    for (unsigned i = 0; i < 10000; i++)
        buf_put(&b, "0123456789", 10);
    assert_int_equal(b.err, ERR_OK);
    assert_int_equal(b.len, 100000);
    for (unsigned i = 0; i < 100000; i++)
        assert_int_equal(b.data[i], '0' + i % 10);
    assert_true(b.cap <= 100000);
    buf_putc(&b, 'x');
    assert_int_equal(b.err, ERR_TOO_BIG);
    assert_int_equal(b.len, 100000);
    buf_fini(&b);
    assert_null(b.data);
}

// Once an append has failed, everything after it is left out too: no text with holes.
static void remembers(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 4);
    buf_puts(&b, "ab");
    buf_puts(&b, "cde");
    assert_int_equal(b.err, ERR_TOO_BIG);
    buf_puts(&b, "f");
    assert_int_equal(b.len, 2);
    assert_null(buf_reserve(&b, 1));
    assert_string_equal(buf_cstr(&b), "");
    buf_reset(&b);
    assert_int_equal(b.err, ERR_OK);
    buf_puts(&b, "f");
    assert_string_equal(buf_cstr(&b), "f");
    buf_fini(&b);
    assert_int_equal(b.max, 4);
    buf_puts(&b, "abcd"); // it can be used again
    assert_int_equal(b.len, 4);
    buf_fini(&b);
}

static void reserve(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 1000);
    uint8_t *p = buf_reserve(&b, 1000);
    assert_non_null(p);
    assert_int_equal(b.len, 0);
    memset(p, 1, 1000);
    b.len += 1000;
    assert_non_null(buf_reserve(&b, 0));
    assert_null(buf_reserve(&b, 1));
    assert_int_equal(b.err, ERR_TOO_BIG);
    buf_fini(&b);
    buf_init(&b, 1000);
    assert_null(buf_reserve(&b, SIZE_MAX));
    buf_reset(&b);
    buf_putc(&b, 'x');
    assert_null(buf_reserve(&b, SIZE_MAX));
    buf_fini(&b);
    buf_init(&b, 0);
    assert_non_null(buf_reserve(&b, 0));
    buf_fini(&b);
}

static void numbers(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 1000);
    buf_u64(&b, 0);
    buf_putc(&b, ' ');
    buf_u64(&b, 10);
    buf_putc(&b, ' ');
    buf_u64(&b, UINT64_MAX);
    buf_printf(&b, " %s %d", "x", -5);
    assert_string_equal(buf_cstr(&b), "0 10 18446744073709551615 x -5");
    assert_int_equal(b.len, 30);
    buf_fini(&b);
    buf_init(&b, 3);
    buf_printf(&b, "%d", 12345);
    assert_int_equal(b.err, ERR_TOO_BIG);
    assert_int_equal(b.len, 0);
    buf_fini(&b);
}

static void consume_and_take(void **state)
{
    struct buf b;
    size_t n = 99;
    (void)state;
    buf_init(&b, 100);
    buf_consume(&b, 0); // without memory yet
    buf_put(&b, NULL, 0);
    assert_null(buf_take(&b, &n));
    assert_int_equal(n, 0);
    buf_puts(&b, "hello world");
    buf_consume(&b, 6);
    assert_string_equal(buf_cstr(&b), "world");
    buf_consume(&b, 5);
    assert_int_equal(b.len, 0);
    buf_puts(&b, "again");
    uint8_t *p = buf_take(&b, &n);
    assert_int_equal(n, 5);
    assert_memory_equal(p, "again", 5);
    assert_int_equal(b.len, 0);
    free(p);
    buf_fini(&b);
}

struct item {
    int n;
    struct list at;
};

static void lists(void **state)
{
    struct list l, other;
    struct item items[5];
    int sum = 0, seen = 0;
    (void)state;

    list_init(&l);
    list_init(&other);
    assert_true(list_empty(&l));
    assert_null(list_pop_front(&l));
    list_take(&other, &l);
    assert_true(list_empty(&other));
    for (int i = 0; i < 5; i++) {
        items[i].n = i;
        list_init(&items[i].at);
        list_remove(&items[i].at); // harmless in no list
        list_push_back(&l, &items[i].at);
    }
    list_each(at, tmp, &l) { // the one at hand may go
        struct item *i = container_of(at, struct item, at);
        assert_int_equal(i->n, seen++);
        if (i->n % 2)
            list_remove(at);
        else
            sum += i->n;
    }
    assert_int_equal(sum, 6);
    list_push_front(&l, &items[1].at);
    list_take(&other, &l);
    assert_true(list_empty(&l));
    static const int order[] = { 1, 0, 2, 4 };
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(container_of(list_pop_front(&other), struct item, at)->n, order[i]);
    assert_true(list_empty(&other));
}

// The limit need not be a power of two, and what no format can make is an error of its own.
static void odd_limits(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 300);
    assert_non_null(buf_reserve(&b, 257));
    assert_int_equal(b.cap, 300);
    buf_printf(&b, "%lc", (wint_t)0x20ac); // no character of the C locale
    assert_int_equal(b.err, ERR_INTERNAL);
    assert_int_equal(b.len, 0);
    buf_fini(&b);
}

static void no_memory(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 1000);
    buf_puts(&b, "kept");
    fail_alloc(1);
    for (unsigned i = 0; i < 100; i++)
        buf_puts(&b, "ten octets");
    assert_true(fail_alloc_done());
    assert_int_equal(b.err, ERR_NO_MEMORY);
    assert_memory_equal(b.data, "keptten octets", 14);
    assert_int_equal(b.len, 4 + 250); // all that fitted, and nothing behind it
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows),   cmocka_unit_test(remembers),        cmocka_unit_test(reserve),
        cmocka_unit_test(numbers), cmocka_unit_test(consume_and_take), cmocka_unit_test(lists),
        cmocka_unit_test(odd_limits),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
