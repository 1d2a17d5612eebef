// links: common protobuf-c jansson
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "json_in.h"

#define N_OF(a) (sizeof(a) / sizeof *(a))

static json_t *parse(const char *text)
{
    json_t *o = NULL;
    char why[100];
    assert_int_equal(json_in_parse(text, strlen(text), &o, why, sizeof why), ERR_OK);
    assert_non_null(o);
    return o;
}

static void refused(void **state)
{
    static const char *const bad[] = {
        "", " ", "null", "1", "\"x\"", "[]", "[{}]", "{", "}", "{}}", "{} {}", "{\"a\":1,}", "{\"a\"}", "{a:1}", "{'a':1}",
        "{\"a\":1,\"a\":2}", "{\"a\":{\"b\":1,\"b\":1}}", "{\"a\":01}", "{\"a\":1e999}", "{\"a\":NaN}", "{\"a\":9223372036854775808}",
        "{\"a\":\"\\u0000\"}", "{\"a\":\"\xff\"}", "{\"a\":\"\xc0\xaf\"}", "{\"a\":\"\\ud800\"}", "{\"a\":\"\n\"}", "{\"a\":/**/1}",
        "\xef\xbb\xbf{}", "{\"a\":tru}", "{\"a\":\"\\x\"}", "{\"a\":\"", "{\"\\u0000\":1}",
    };
    (void)state;
    for (unsigned i = 0; i < N_OF(bad); i++) {
        json_t *o = NULL;
        char why[100] = "";
        assert_int_equal(json_in_parse(bad[i], strlen(bad[i]), &o, why, sizeof why), ERR_BAD_JSON);
        assert_null(o);
        assert_string_not_equal(why, "");
        assert_int_equal(json_in_parse(bad[i], strlen(bad[i]), &o, why, 8), ERR_BAD_JSON); // however little room for the reason
        assert_true(strlen(why) < 8);
    }
    json_t *o = NULL;
    char why[100];
    assert_int_equal(json_in_parse("{}\0", 3, &o, why, sizeof why), ERR_BAD_JSON); // the length counts, not the NUL
    assert_int_equal(json_in_parse("{}trash", 2, &o, why, sizeof why), ERR_OK);
    json_decref(o);
}

static void what_is_wrong(void **state)
{
    static const char *const rows[][2] = {
        { "{\"a\":1,\"a\":2}", "column 10: a member stands there twice" }, { "{\"a\":\"\\u0000\"}", ": there is a NUL in a text" },
        { "{\"a\":9223372036854775808}", ": a number is too large" }, { "{\"a\":\"\xff\"}", ": it is not UTF-8" },
        { "{\"a\":", ": it ends too early" }, { "{} {}", ": something follows its end" }, { "{\"a\",1}", "line 1, column 5" },
    };
    (void)state;
    for (unsigned i = 0; i < N_OF(rows); i++) {
        json_t *o = NULL;
        char why[100] = "";
        assert_int_equal(json_in_parse(rows[i][0], strlen(rows[i][0]), &o, why, sizeof why), ERR_BAD_JSON);
        if (!strstr(why, rows[i][1]))
            fail_msg("%s: %s", rows[i][0], why);
    }
}

static void nest(char *out, unsigned depth)
{
    char *p = out;
    for (unsigned i = 0; i < depth; i++)
        p += sprintf(p, "{\"a\":");
    p += sprintf(p, "1");
    for (unsigned i = 0; i < depth; i++)
        *p++ = '}';
    *p = 0;
}

static void depth(void **state)
{
    char text[1000], why[100];
    json_t *o;
    (void)state;

    nest(text, JSON_IN_DEPTH);
    json_decref(parse(text));
    nest(text, JSON_IN_DEPTH + 1);
    assert_int_equal(json_in_parse(text, strlen(text), &o, why, sizeof why), ERR_BAD_JSON);
    assert_non_null(strstr(why, "64"));
    // brackets in strings are no depth, with quotes and backslashes before them
    o = parse("{\"a\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\":\"\\\\\"}");
    json_decref(o);
    // as many as one likes beside one another
    strcpy(text, "{\"a\":[");
    for (unsigned i = 0; i < 200; i++)
        strcat(text, i ? ",{}" : "{}");
    strcat(text, "]}");
    json_decref(parse(text));
}

static void members(void **state)
{
    json_t *o = parse("{\"s\":\"text\",\"e\":\"\",\"n\":null,\"t\":true,\"f\":false,\"i\":42,\"z\":0,\"neg\":-1,\"r\":1.0,"
                      "\"big\":9223372036854775807,\"o\":{},\"a\":[]}");
    const char *s = "before";
    bool given, b = true;
    uint64_t u = 99;
    (void)state;

    assert_int_equal(json_in_str(o, "s", &s, &given), ERR_OK);
    assert_true(given);
    assert_string_equal(s, "text");
    assert_int_equal(json_in_str(o, "e", &s, NULL), ERR_OK);
    assert_string_equal(s, "");
    s = "before";
    assert_int_equal(json_in_str(o, "absent", &s, &given), ERR_OK);
    assert_false(given);
    assert_int_equal(json_in_str(o, "n", &s, &given), ERR_OK); // null is absent
    assert_false(given);
    assert_string_equal(s, "before");
    static const char *const no_text[] = { "f", "t", "i", "r", "o", "a" };
    for (unsigned i = 0; i < N_OF(no_text); i++)
        assert_int_equal(json_in_str(o, no_text[i], &s, &given), ERR_INVALID_FIELD);

    assert_int_equal(json_in_bool(o, "f", &b, &given), ERR_OK);
    assert_false(b);
    assert_int_equal(json_in_bool(o, "t", &b, &given), ERR_OK);
    assert_true(b);
    assert_int_equal(json_in_bool(o, "absent", &b, &given), ERR_OK);
    assert_true(b);
    assert_false(given);
    static const char *const no_bool[] = { "s", "i", "z", "o", "a" };
    for (unsigned i = 0; i < N_OF(no_bool); i++)
        assert_int_equal(json_in_bool(o, no_bool[i], &b, &given), ERR_INVALID_FIELD);

    assert_int_equal(json_in_uint(o, "i", 1, 42, &u, &given), ERR_OK);
    assert_int_equal(u, 42);
    assert_int_equal(json_in_uint(o, "z", 0, 0, &u, &given), ERR_OK);
    assert_int_equal(u, 0);
    assert_int_equal(json_in_uint(o, "big", 0, UINT64_MAX, &u, &given), ERR_OK);
    assert_true(u == INT64_MAX);
    assert_int_equal(json_in_uint(o, "absent", 1, 2, &u, &given), ERR_OK);
    assert_false(given);
    assert_true(u == INT64_MAX);
    assert_int_equal(json_in_uint(o, "i", 43, 99, &u, &given), ERR_INVALID_FIELD);
    assert_int_equal(json_in_uint(o, "i", 0, 41, &u, &given), ERR_INVALID_FIELD);
    static const char *const no_uint[] = { "s", "t", "neg", "r", "o", "a" };
    for (unsigned i = 0; i < N_OF(no_uint); i++)
        assert_int_equal(json_in_uint(o, no_uint[i], 0, UINT64_MAX, &u, &given), ERR_INVALID_FIELD);
    assert_true(u == INT64_MAX);

    json_in_wipe(o, "s");
    assert_int_equal(json_in_str(o, "s", &s, NULL), ERR_OK);
    assert_string_equal(s, "");
    json_in_wipe(o, "i");
    json_in_wipe(o, "absent");
    assert_int_equal(json_in_uint(o, "i", 42, 42, &u, NULL), ERR_OK);
    assert_int_equal(json_in_bool(NULL, "t", &b, &given), ERR_OK); // of no object nothing is given
    assert_false(given);
    json_decref(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused), cmocka_unit_test(what_is_wrong), cmocka_unit_test(depth), cmocka_unit_test(members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
