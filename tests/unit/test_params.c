// links: gateway common protobuf-c sodium
// The parameters that lists share: what is absent leaves all as it is, what is at fault is answered once, by its name.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "params.h"

static struct exchange x;
static struct request r = { .x = &x };
static char refused[64], why[160];

void request_bad_query(struct request *rq, const char *name, const char *text)
{
    assert_ptr_equal(rq, &r);
    assert_string_equal(refused, "");
    snprintf(refused, sizeof refused, "%s", name);
    snprintf(why, sizeof why, "%s", text);
}

static void asked(const char *query)
{
    x.query = (struct text){ query, strlen(query) };
    refused[0] = why[0] = 0;
}

// After a call: refused or not, as wanted.
static bool as_wanted(bool result, bool wanted, const char *name)
{
    return result == wanted && strcmp(refused, wanted ? "" : name) == 0 && (wanted || why[0]);
}

static unsigned find_color(const char *s)
{
    return strcmp(s, "red") == 0 ? 1 : strcmp(s, "blue") == 0 ? 2 : 0;
}

static void words(void **state)
{
    static const struct { const char *query; bool ok; uint32_t is; } rows[] = {
        { "", true, 9 }, { "other=1", true, 9 }, { "c=red", true, 1 }, { "c=b%6cue", true, 2 }, { "c=", false, 9 }, { "c=green", false, 0 },
        { "c=red&c=red", false, 9 }, { "c=%zz", false, 9 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t is = 9;
        asked(rows[i].query);
        assert_true(as_wanted(params_word(&r, "c", find_color, "red, blue", &is), rows[i].ok, "c"));
        if (rows[i].ok)
            assert_int_equal(is, rows[i].is);
    }
    asked("c=green");
    assert_false(params_word(&r, "c", find_color, "red, blue", &(uint32_t){ 0 }));
    assert_string_equal(why, "It must be one of: red, blue");
}

static void ids(void **state)
{
    static const struct { const char *query; bool ok, nothing; uint64_t is; } rows[] = {
        { "", true, false, 9 }, { "id=task_42", true, false, 42 }, { "id=desktop_42", true, true, 0 }, { "id=42", true, true, 0 },
        { "id=", false, false, 9 }, { "id=task_1&id=task_1", false, false, 9 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t is = 9;
        bool nothing = false;
        asked(rows[i].query);
        assert_true(as_wanted(params_id(&r, "id", ENTITY_TASK, &is, &nothing), rows[i].ok, "id"));
        assert_int_equal(is, rows[i].is);
        assert_int_equal(nothing, rows[i].nothing);
    }
}

static void numbers(void **state)
{
    static const struct { const char *query; bool ok; uint64_t is; } rows[] = {
        { "", true, 50 }, { "limit=7", true, 7 }, { "limit=0", true, 1 }, { "limit=501", true, 500 }, { "limit=", false, 50 }, { "limit=x", false, 50 },
        { "limit=1&limit=1", false, 50 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t is = 50;
        asked(rows[i].query);
        assert_true(as_wanted(params_number(&r, "limit", 1, 500, &is), rows[i].ok, "limit"));
        assert_int_equal(is, rows[i].is);
    }
}

static void places(void **state)
{
    static const struct { const char *value; bool ok; uint64_t before, after; } rows[] = {
        { "task_42", true, 42, 42 }, { "42", true, 42, 42 }, { "0", true, 1, 0 }, { "desktop_42", false, 0, 0 }, { "", false, 0, 0 }, { "x", false, 0, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char query[64];
        uint64_t before = 0, after = 0;
        snprintf(query, sizeof query, "before=%s&after=%s", rows[i].value, rows[i].value);
        asked(query);
        assert_true(as_wanted(params_before(&r, ENTITY_TASK, &before), rows[i].ok, "before"));
        asked(query);
        assert_true(as_wanted(params_after(&r, ENTITY_TASK, &after), rows[i].ok, "after"));
        if (rows[i].ok) {
            assert_int_equal(before, rows[i].before);
            assert_int_equal(after, rows[i].after);
        }
    }
    uint64_t kept = 7;
    asked("limit=1");
    assert_true(params_before(&r, ENTITY_TASK, &kept) && params_after(&r, ENTITY_TASK, &kept) && kept == 7);
    asked("before=x");
    assert_false(params_before(&r, ENTITY_TASK, &kept));
    assert_string_equal(why, "It must be an id, such as task_42");
}

static void add_word(void *u, const char *word)
{
    snprintf((char *)u + strlen(u), 64 - strlen(u), "[%s]", word);
}

static void lists(void **state)
{
    static const struct { const char *query; bool ok, given; const char *words; } rows[] = {
        { "", true, false, "" }, { "w=a", true, true, "[a]" }, { "w=a,b,,c", true, true, "[a][b][][c]" }, { "w=a%2Cb,", true, true, "[a][b][]" },
        { "w=", false, false, "" }, { "w=a&w=b", false, false, "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char got[64] = "";
        bool given = false;
        asked(rows[i].query);
        assert_true(as_wanted(params_list(&r, "w", add_word, got, &given), rows[i].ok, "w"));
        assert_int_equal(given, rows[i].given);
        assert_string_equal(got, rows[i].words);
    }
}

static void lists_of_ids(void **state)
{
    static const struct { const char *query; bool ok, given; size_t n; } rows[] = {
        { "", true, false, 0 }, { "d=desktop_1", true, true, 1 }, { "d=desktop_1,desktop_2", true, true, 2 }, { "d=desktop_1,x,task_3,,desktop_2", true, true, 2 },
        { "d=desktop_1,desktop_2,desktop_3", false, true, 2 }, { "d=desktop_1,desktop_2,desktop_3,desktop_4", false, true, 2 },
        { "d=desktop_1,desktop_2,task_3", true, true, 2 }, { "d=", false, false, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t got[2];
        struct params_ids p = { .ids = got, .max = 2 };
        asked(rows[i].query);
        assert_true(as_wanted(params_ids(&r, "d", ENTITY_DESKTOP, &p), rows[i].ok, "d"));
        assert_int_equal(p.given, rows[i].given);
        assert_int_equal(p.n, rows[i].n);
        for (size_t k = 0; k < p.n; k++)
            assert_int_equal(got[k], k + 1);
    }
}

static void times(void **state)
{
    static const struct { const char *query; bool ok; uint64_t is; } rows[] = {
        { "", true, 7 }, { "from=2026-03-16T10:30:00Z", true, 1773657000000 }, { "from=yesterday", false, 0 }, { "from=", false, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t is = 7;
        asked(rows[i].query);
        assert_true(as_wanted(params_time(&r, "from", &is), rows[i].ok, "from"));
        if (rows[i].ok)
            assert_int_equal(is, rows[i].is);
    }
}

static void flags(void **state)
{
    static const struct { const char *query; bool ok, is; } rows[] = {
        { "", true, true }, { "f=true", true, true }, { "f=false", true, false }, { "f=1", false, false }, { "f=TRUE", false, false }, { "f=", false, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool is = true;
        asked(rows[i].query);
        assert_true(as_wanted(params_flag(&r, "f", &is), rows[i].ok, "f"));
        if (rows[i].ok)
            assert_int_equal(is, rows[i].is);
    }
}

static void texts(void **state)
{
    static const struct { const char *query; bool ok; const char *is; } rows[] = {
        { "", true, "kept" }, { "q=abc", true, "abc" }, { "q=1234567", true, "1234567" }, { "q=12345678", false, "" }, { "q=%C3%A9", true, "\xc3\xa9" },
        { "q=%FF", false, "" }, { "q=%01", false, "" }, { "q=a%0Ab", true, "a\nb" }, { "q=", false, "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char is[8] = "kept";
        asked(rows[i].query);
        assert_true(as_wanted(params_text(&r, "q", is, sizeof is), rows[i].ok, "q"));
        assert_string_equal(is, rows[i].ok ? rows[i].is : "kept");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words),
        cmocka_unit_test(ids),
        cmocka_unit_test(numbers),
        cmocka_unit_test(places),
        cmocka_unit_test(lists),
        cmocka_unit_test(lists_of_ids),
        cmocka_unit_test(times),
        cmocka_unit_test(flags),
        cmocka_unit_test(texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
