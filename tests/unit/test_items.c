// links: mcctl common protobuf-c
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "items.h"

static char log_[4096];
static unsigned enough_after;

static bool element_cb(void *u, const char *text, size_t n)
{
    size_t at = strlen(log_);

    (void)u;
    assert_int_equal(strlen(text), n);
    snprintf(log_ + at, sizeof log_ - at, "<%s>", text);
    return enough_after == 0 || --enough_after > 0;
}

static void rows(void **state)
{
    static const struct { const char *in, *out; enum err err; bool whole; } table[] = {
        { "[]", "", ERR_OK, true },
        { " [ ]\n", "", ERR_OK, true },
        { "[1,2]", "<1><2>", ERR_OK, true },
        { "[{\"a\":[1,{\"b\":2}]}, {\"c\":\"],\\\"[\"}]", "<{\"a\":[1,{\"b\":2}]}><{\"c\":\"],\\\"[\"}>", ERR_OK, true },
        { "[\"a,b\",\"\\\\\",3]", "<\"a,b\"><\"\\\\\"><3>", ERR_OK, true },
        { "[{\"a\":1}", "", ERR_OK, false },
        { "[{\"a\":1},", "<{\"a\":1}>", ERR_OK, false },
        { "", "", ERR_OK, false },
        { "{}", "", ERR_BAD_JSON, false },
        { "x", "", ERR_BAD_JSON, false },
        { "[1]x", "<1>", ERR_BAD_JSON, false },
        { "[1,]", "<1>", ERR_BAD_JSON, false },
        { "[,1]", "", ERR_BAD_JSON, false },
        { "[}", "", ERR_BAD_JSON, false },
        { "[1}]", "", ERR_BAD_JSON, false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (size_t step = 1; step < 12; step++) {
            size_t n = strlen(table[i].in);
            struct items s;
            enum err e = ERR_OK;
            items_init(&s);
            log_[0] = 0;
            for (size_t at = 0; !e && at < n; at += step)
                e = items_feed(&s, table[i].in + at, at + step < n ? step : n - at, element_cb, NULL);
            assert_int_equal(e, table[i].err);
            assert_string_equal(log_, table[i].out);
            if (!e)
                assert_int_equal(items_whole(&s), table[i].whole);
            items_fini(&s);
        }
}

static void limits(void **state)
{
    struct items s;

    (void)state;
    items_init(&s);
    log_[0] = 0;
    enough_after = 2;
    assert_int_equal(items_feed(&s, "[1,2,3]", 7, element_cb, NULL), ERR_CLOSED);
    assert_string_equal(log_, "<1><2>");
    enough_after = 0;
    items_fini(&s);

    items_init(&s); // nesting is bounded
    enum err e = ERR_OK;
    for (int i = 0; !e && i < 1000; i++)
        e = items_feed(&s, "[", 1, element_cb, NULL);
    assert_int_equal(e, ERR_BAD_JSON);
    items_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(rows), cmocka_unit_test(limits) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
