// links: gateway common protobuf-c sodium
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include "query.h"

static struct text of(const char *s)
{
    return (struct text){ s, strlen(s) };
}

static void values(void **state)
{
    static const struct { const char *query, *name, *value; } cases[] = { // value NULL: absent
        { "", "a", NULL }, { "a=1", "a", "1" }, { "a=1&b=2", "b", "2" }, { "b=2&a=1", "a", "1" }, { "ab=1", "a", NULL }, { "a", "a", "" },
        { "a=", "a", "" }, { "a=&b", "a", "" }, { "a=b=c", "a", "b=c" }, { "a=%41%42", "a", "AB" }, { "a=x+y%2B", "a", "x y+" },
        { "%61=1", "a", "1" }, { "&&a=1&&", "a", "1" }, { "=1", "a", NULL }, { "a%=1&a=2", "a", "2" }, { "q=%C3%A9", "q", "\xc3\xa9" },
        { "desktopId=desktop_1&status=done", "status", "done" }, { "A=1", "a", NULL },
    };
    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[64];
        struct text t;
        assert_int_equal(query_get(of(cases[i].query), cases[i].name, out, sizeof out, &t), ERR_OK);
        assert_int_equal(t.p != NULL, cases[i].value != NULL);
        if (cases[i].value) {
            assert_string_equal(t.p, cases[i].value);
            assert_int_equal(t.n, strlen(cases[i].value));
        }
    }
}

static void refused(void **state)
{
    static const char *const queries[] = { "a=1&a=2", "a=1&a=1", "a&a", "a=1&%61=2", "a=%", "a=%4", "a=%4g", "a=%g4", "a=%00", "a=1%" };
    char out[64];
    struct text t;
    (void)state;
    for (unsigned i = 0; i < sizeof queries / sizeof *queries; i++)
        assert_int_equal(query_get(of(queries[i]), "a", out, sizeof out, &t), ERR_INVALID_FIELD);
    assert_int_equal(query_get(of("a=1234"), "a", out, 5, &t), ERR_OK);
    assert_int_equal(query_get(of("a=12345"), "a", out, 5, &t), ERR_INVALID_FIELD);
}

static void decoded(void **state)
{
    char out[8];
    struct text t;
    (void)state;
    assert_true(query_decode(of("a+b%20c"), false, out, sizeof out, &t));
    assert_string_equal(t.p, "a+b c");
    assert_false(query_decode(of("12345678"), false, out, sizeof out, &t));
    assert_true(query_decode(of("1234567"), false, out, sizeof out, &t));
    assert_true(query_decode(of(""), false, out, 1, &t));
    assert_false(query_decode(of(""), false, out, 0, &t));
}

static void raw(void **state)
{
    (void)state;
    struct text t = query_raw(of("a=%41+&b=2"), "a");
    assert_int_equal(t.n, 4);
    assert_memory_equal(t.p, "%41+", 4);
    assert_null(query_raw(of("b=2"), "a").p);
    assert_null(query_raw(of(""), "a").p);
}

static void numbers(void **state)
{
    static const struct { const char *s; bool ok; uint64_t n; } cases[] = {
        { "1", true, 1 }, { "500", true, 500 }, { "501", true, 500 }, { "0", true, 1 }, { "-1", true, 1 }, { "-0", true, 1 }, { "007", true, 7 },
        { "18446744073709551615", true, 500 }, { "18446744073709551616", true, 500 },
        { "99999999999999999999999999999999999999999999999999", true, 500 }, { "-99999999999999999999999999", true, 1 },
        { "", false, 0 }, { "-", false, 0 }, { "+5", false, 0 }, { " 5", false, 0 }, { "5 ", false, 0 }, { "1.5", false, 0 }, { "1e3", false, 0 },
        { "0x10", false, 0 }, { "abc", false, 0 }, { "--1", false, 0 }, { "999999999999999999999999x", false, 0 },
    };
    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t n = 77;
        assert_int_equal(query_number(of(cases[i].s), 1, 500, &n), cases[i].ok);
        assert_int_equal(n, cases[i].ok ? cases[i].n : 77);
    }
    uint64_t n = 0;
    assert_true(query_number(of("18446744073709551615"), 0, UINT64_MAX, &n));
    assert_true(n == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values), cmocka_unit_test(refused), cmocka_unit_test(decoded), cmocka_unit_test(raw), cmocka_unit_test(numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
