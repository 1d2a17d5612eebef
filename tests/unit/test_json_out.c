// links: common protobuf-c
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "json_out.h"
#include "json_put.h"
#include "names.h"

#define N_OF(a) (sizeof(a) / sizeof *(a))

static struct buf b;
static struct json j;

static void begin(void)
{
    buf_reset(&b);
    j = json_to(&b);
}

static const char *text_of(void)
{
    return buf_cstr(&b);
}

static int setup(void **state)
{
    (void)state;
    buf_init(&b, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_fini(&b);
    return 0;
}

static void a_whole_object(void **state)
{
    (void)state;
    begin();
    json_open(&j, '{');
    json_key(&j, "id");
    json_id(&j, ENTITY_TASK, 42);
    json_key(&j, "none");
    json_id(&j, ENTITY_TASK, 0);
    json_key(&j, "list");
    json_open(&j, '[');
    json_u64(&j, 0);
    json_u64(&j, UINT64_MAX);
    json_i64(&j, -1);
    json_i64(&j, INT64_MIN);
    json_bool(&j, true);
    json_bool(&j, false);
    json_nil(&j);
    json_str(&j, NULL);
    json_str(&j, "");
    json_open(&j, '{');
    json_close(&j, '}');
    json_open(&j, '[');
    json_close(&j, ']');
    json_raw(&j, "{\"raw\":1}", 9);
    json_close(&j, ']');
    json_key(&j, "at");
    json_time(&j, 0);
    json_key(&j, "end");
    json_time(&j, 1);
    json_close(&j, '}');
    assert_string_equal(text_of(), "{\"id\":\"task_42\",\"none\":null,\"list\":[0,18446744073709551615,-1,-9223372036854775808,true,false,"
                                   "null,null,\"\",{},[],{\"raw\":1}],\"at\":null,\"end\":\"1970-01-01T00:00:00.001Z\"}");
}

static void members(void **state)
{
    (void)state;
    begin();
    json_open(&j, '{');
    json_put_cut(&j, "cut", "abcdef", 3);
    json_put_cut(&j, "none", NULL, 3);
    json_put_opt(&j, "opt", NULL);
    json_put_opt(&j, "empty", "");
    json_put_opt(&j, "there", "x");
    json_close(&j, '}');
    assert_string_equal(text_of(), "{\"cut\":\"ab\xe2\x80\xa6\",\"none\":\"\",\"opt\":null,\"empty\":null,\"there\":\"x\"}");
}

static void strings(void **state)
{
    static const struct { const char *in, *out; } rows[] = {
        { "plain", "plain" },
        { "\"\\/", "\\\"\\\\/" },
        { "\n\r\t\b\f\x01\x1f\x7f", "\\n\\r\\t\\u0008\\u000c\\u0001\\u001f\\u007f" },
        { "</script>", "\\u003c/script>" },
        { "\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa", "\xe2\x80\xa7\\u2028\\u2029\xe2\x80\xaa" },
        { "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
        { "\xf4\x8f\xbf\xbf\xee\x80\x80\xed\x9f\xbf", "\xf4\x8f\xbf\xbf\xee\x80\x80\xed\x9f\xbf" },
        // broken: one replacement for each octet that cannot begin or go on a sequence
        { "a\x80z", "a\xef\xbf\xbdz" },
        { "\xc3", "\xef\xbf\xbd" },
        { "\xc3(", "\xef\xbf\xbd(" },
        { "\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd" },
        { "\xe2\x82z", "\xef\xbf\xbd\xef\xbf\xbdz" },
        { "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd" },                                 // overlong
        { "\xe0\x80\xaf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
        { "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },                 // surrogate
        { "\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, // beyond U+10FFFF
        { "\xf0\x8f\xbf\xbf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
        { "\xff\xfe", "\xef\xbf\xbd\xef\xbf\xbd" },
    };
    char want[256];
    (void)state;

    for (unsigned i = 0; i < N_OF(rows); i++) {
        begin();
        json_str(&j, rows[i].in);
        snprintf(want, sizeof want, "\"%s\"", rows[i].out);
        assert_string_equal(text_of(), want);
    }
    begin();
    json_strn(&j, "a\0b", 3); // NUL too
    assert_string_equal(text_of(), "\"a\\u0000b\"");
    begin();
    json_strn(&j, "\xe2\x82\xac", 2); // a sequence that the length cuts
    assert_string_equal(text_of(), "\"\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void cut(void **state)
{
    static const struct { const char *in; size_t max; const char *out; } rows[] = {
        { "abcdef", 6, "abcdef" },
        { "abcdef", 7, "abcdef" },
        { "abcdef", 5, "abcd\xe2\x80\xa6" },
        { "abcdef", 1, "\xe2\x80\xa6" },
        { "abcdef", 0, "" },
        { "", 5, "" },
        { "\xc3\xa9\xc3\xa9\xc3\xa9", 3, "\xc3\xa9\xc3\xa9\xc3\xa9" },      // characters, not octets
        { "\xc3\xa9\xc3\xa9\xc3\xa9", 2, "\xc3\xa9\xe2\x80\xa6" },
        { "\xff\xff\xff", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
        { "\xff\xff\xff", 2, "\xef\xbf\xbd\xe2\x80\xa6" },
        { "\n\n\n\n", 3, "\\n\\n\xe2\x80\xa6" },
    };
    char want[64];
    (void)state;

    for (unsigned i = 0; i < N_OF(rows); i++) {
        begin();
        json_str_cut(&j, rows[i].in, rows[i].max);
        snprintf(want, sizeof want, "\"%s\"", rows[i].out);
        assert_string_equal(text_of(), want);
    }
}

static void fixed(void **state)
{
    static const struct { int64_t n; unsigned decimals; const char *out; } rows[] = {
        { 0, 2, "0" },      { 2350, 2, "23.5" },  { 2300, 2, "23" },   { 2305, 2, "23.05" }, { 5, 2, "0.05" },
        { -5, 2, "-0.05" }, { -100, 2, "-1" },    { 7, 0, "7" },       { 1234, 3, "1.234" }, { 1, 6, "0.000001" },
        { INT64_MIN, 2, "-92233720368547758.08" }, { INT64_MAX, 0, "9223372036854775807" },
    };
    (void)state;
    for (unsigned i = 0; i < N_OF(rows); i++) {
        begin();
        json_fixed(&j, rows[i].n, rows[i].decimals);
        assert_string_equal(text_of(), rows[i].out);
    }
}

static void times(void **state)
{
    static const struct { uint64_t ms; const char *text; } rows[] = {
        { 1, "1970-01-01T00:00:00.001Z" },
        { 68169600000, "1972-02-29T00:00:00.000Z" },
        { 951782400000, "2000-02-29T00:00:00.000Z" },           // a leap year by the 400
        { 951868799999, "2000-02-29T23:59:59.999Z" },
        { 951868800000, "2000-03-01T00:00:00.000Z" },
        { 1773568800000, "2026-03-15T10:00:00.000Z" },
        { 1709164800000, "2024-02-29T00:00:00.000Z" },
        { 4107542399000, "2100-02-28T23:59:59.000Z" },          // no leap year by the 100
        { 4107542400000, "2100-03-01T00:00:00.000Z" },
        { 253402300799999, "9999-12-31T23:59:59.999Z" },
    };
    char t[25];
    (void)state;
    for (unsigned i = 0; i < N_OF(rows); i++) {
        time_format(t, rows[i].ms);
        assert_string_equal(t, rows[i].text);
        assert_true(time_parse(rows[i].text) == rows[i].ms);
    }
}

// Every day up to 2110 and some beyond, against the C library.
static void every_day(void **state)
{
    char t[25], want[40];
    struct tm tm;
    (void)state;
    for (uint64_t day = 0; day < 2900000; day += day < 51000 ? 1 : 97) {
        time_t s = (time_t)(day * 86400 + day % 86400);
        assert_non_null(gmtime_r(&s, &tm));
        assert_true(strftime(want, sizeof want, "%Y-%m-%dT%H:%M:%S.789Z", &tm) > 0);
        uint64_t ms = (uint64_t)s * 1000 + 789;
        time_format(t, ms);
        assert_string_equal(t, want);
        assert_true(time_parse(t) == ms);
    }
}

static void times_that_are_none(void **state)
{
    static const char *const bad[] = {
        "", "2026", "2026-03-15", "2026-03-15T10:00:00", "2026-03-15T10:00:00.Z", "2026-03-15T10:00:00.000", "2026-03-15 10:00:00Z",
        "2026-03-15T10:00:00+00:00", "2026-03-15T10:00:00z", "2026-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-32T00:00:00Z", "2026-04-31T00:00:00Z", "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z", "1969-12-31T23:59:59Z", "+026-01-01T00:00:00Z", "2026-1-01T00:00:00Z",
        "2026-01-01T00:00:00ZZ", " 2026-01-01T00:00:00Z", "2026-01-01T00:00:00.12x", "20260-1-01T00:00:00Z",
        "2026/03-15T10:00:00Z", "2026-03/15T10:00:00Z", "2026-03-x5T10:00:00Z", "2026-03-15Tx0:00:00Z", "2026-03-15T10.00:00Z",
        "2026-03-15T10:x0:00Z", "2026-03-15T10:00.00Z", "2026-03-15T10:00:x0Z", "2026-03-15T10:00:00.:Z", "2026-03-15T10:0/:00Z",
    };
    (void)state;
    for (unsigned i = 0; i < N_OF(bad); i++)
        assert_true(time_parse(bad[i]) == 0);
    assert_true(time_parse("2026-03-15T10:00:00Z") == 1773568800000);
    assert_true(time_parse("2026-03-15T10:00:00.5Z") == 1773568800500);
    assert_true(time_parse("2026-03-15T10:00:00.123456789Z") == 1773568800123);
}

static void write_some(struct buf *to)
{
    struct json s = json_to(to);
    json_open(&s, '{');
    json_key(&s, "a_key");
    json_str(&s, "text \x01 \xff \xe2\x80\xa8");
    json_key(&s, "number");
    json_u64(&s, 1234567890123);
    json_key(&s, "at");
    json_time(&s, 1773568800000);
    json_key(&s, "id");
    json_id(&s, ENTITY_SESSION, 7);
    json_close(&s, '}');
}

// Errors stay in the buffer: nothing is written beyond its limit, nothing after the first piece that did not fit.
static void at_the_limit(void **state)
{
    struct buf whole;
    (void)state;
    buf_init(&whole, 1000);
    write_some(&whole);
    assert_int_equal(whole.err, ERR_OK);
    for (size_t max = 0; max < 2 * whole.len; max++) {
        struct buf small;
        buf_init(&small, max);
        write_some(&small);
        assert_true(small.len <= max);
        assert_int_equal(small.err, max < whole.len ? ERR_TOO_BIG : ERR_OK);
        if (small.len)
            assert_memory_equal(small.data, whole.data, small.len);
        buf_fini(&small);
    }
    buf_fini(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_object), cmocka_unit_test(strings), cmocka_unit_test(members),   cmocka_unit_test(cut),
        cmocka_unit_test(fixed),          cmocka_unit_test(times),     cmocka_unit_test(every_day),
        cmocka_unit_test(times_that_are_none), cmocka_unit_test(at_the_limit),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
