// links: mcctl common protobuf-c
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <locale.h>
#include "table.h"

static void width(void **state)
{
    static const struct { const char *text; unsigned width; } rows[] = {
        { "", 0 }, { "abc", 3 }, { "gr\xc3\xbc\xc3\x9f", 4 }, { "\xe6\xbc\xa2\xe5\xad\x97", 4 }, { "\xf0\x9f\x98\x80", 2 },
        { "e\xcc\x81", 1 }, // a combining accent
        { "\xe2\x80\xa6", 1 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(table_width(rows[i].text), rows[i].width);
}

static void cut(void **state)
{
    static const struct { const char *text; unsigned width; const char *out; unsigned is; } rows[] = {
        { "abc", 3, "abc", 3 },          { "abcd", 3, "ab\xe2\x80\xa6", 3 }, { "abcd", 1, "\xe2\x80\xa6", 1 }, { "abcd", 0, "", 0 },
        { "\xe6\xbc\xa2\xe5\xad\x97x", 4, "\xe6\xbc\xa2\xe2\x80\xa6", 3 }, // a wide character is not halved
        { "\xe6\xbc\xa2\xe5\xad\x97", 4, "\xe6\xbc\xa2\xe5\xad\x97", 4 },
        { "e\xcc\x81" "bcd", 2, "e\xcc\x81\xe2\x80\xa6", 2 },
    };
    struct buf b;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf_init(&b, 1000);
        assert_int_equal(table_cut(&b, rows[i].text, rows[i].width), rows[i].is);
        assert_string_equal(buf_cstr(&b), rows[i].out);
        buf_fini(&b);
    }
}

static void put(struct table *t, const char *a, const char *b, const char *c)
{
    const char *const text[] = { a, b, c };
    const enum tint tint[] = { TINT_NONE, table_status_tint(b), TINT_NONE };
    assert_int_equal(table_row(t, text, tint), ERR_OK);
}

static void begin(struct table *t, struct buf *b, unsigned terminal, bool colour, bool raw)
{
    buf_init(b, 1000000);
    table_init(t, b, terminal, colour, raw);
    table_column(t, "ID", false);
    table_column(t, "STATUS", false);
    table_column(t, "TITLE", true);
}

static void layout(void **state)
{
    struct table t;
    struct buf b;

    (void)state;
    begin(&t, &b, 0, false, false);
    put(&t, "task_1", "done", "gr\xc3\xbc\xc3\x9f");
    put(&t, "task_12", "failed", "\x1b[2Jevil\nline");
    table_end(&t);
    assert_string_equal(buf_cstr(&b), "ID       STATUS  TITLE\n"
                                      "task_1   done    gr\xc3\xbc\xc3\x9f\n"
                                      "task_12  failed  \\x1b[2Jevil\\nline\n");
    buf_fini(&b);

    begin(&t, &b, 30, false, false); // cut to the terminal
    put(&t, "task_1", "done", "a title that is much too long for this");
    table_end(&t);
    assert_string_equal(buf_cstr(&b), "ID      STATUS  TITLE\ntask_1  done    a title that \xe2\x80\xa6\n");
    buf_fini(&b);

    begin(&t, &b, 5, false, false); // a terminal too narrow for anything: what gives way keeps eight
    put(&t, "task_1", "done", "a title that is long");
    table_end(&t);
    assert_string_equal(buf_cstr(&b), "ID      STATUS  TITLE\ntask_1  done    a title\xe2\x80\xa6\n");
    buf_fini(&b);

    begin(&t, &b, 80, true, false);
    put(&t, "task_1", "failed", "x");
    table_end(&t);
    assert_non_null(strstr(buf_cstr(&b), "\033[31mfailed\033[0m"));
    buf_fini(&b);

    begin(&t, &b, 0, false, true);
    put(&t, "task_1", "done", "\x1b[1mraw");
    table_end(&t);
    assert_non_null(strstr(buf_cstr(&b), "\x1b[1mraw"));
    buf_fini(&b);

    begin(&t, &b, 0, false, false);
    table_end(&t);
    assert_string_equal(buf_cstr(&b), "ID  STATUS  TITLE\n");
    buf_fini(&b);
}

// Rows are written as they come once the widths are settled: memory does not grow with them.
static void many(void **state)
{
    struct table t;
    struct buf b;
    size_t lines = 0;

    (void)state;
    begin(&t, &b, 0, false, false);
    for (unsigned i = 0; i < TABLE_HELD_MAX - 1; i++)
        put(&t, "task_1", "done", "x");
    assert_int_equal(b.len, 0);
    put(&t, "task_1", "done", "x");
    assert_true(b.len > 0);
    for (unsigned i = 0; i < 1000; i++)
        put(&t, "task_123456789", "done", "x");
    assert_int_equal(t.n_cells, 0);
    table_end(&t);
    for (size_t i = 0; i < b.len; i++)
        lines += b.data[i] == '\n';
    assert_int_equal(lines, 1 + TABLE_HELD_MAX + 1000);
    buf_fini(&b);

    begin(&t, &b, 0, false, false); // what is held is given back
    put(&t, "task_1", "done", "x");
    table_fini(&t);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(width), cmocka_unit_test(cut), cmocka_unit_test(layout), cmocka_unit_test(many) };
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
