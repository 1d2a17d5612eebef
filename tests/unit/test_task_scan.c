// links: broker common lmdb xxhash protobuf-c sodium jansson uv systemd nng
// A search over packed tasks finds what a search over unpacked ones finds; cut and foreign octets are refused, never read beyond.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "record.pb-c.h"
#include "task_scan.h"

static uint8_t packed[8192];

static struct slice pack(char *title, char *content, bool apart)
{
    Rec__Task t = REC__TASK__INIT;
    static char by[] = "needle in the author";
    t.id = 7;
    t.workspace = 1;
    t.type = 2;
    t.title = title;
    t.content = content;
    t.content_apart = apart;
    t.created_by = by;
    t.created_ms = UINT64_MAX;
    t.exit_code = -1;
    t.failure_text = by;
    t.comments = 3;
    assert_true(rec__task__get_packed_size(&t) <= sizeof packed);
    return (struct slice){ packed, rec__task__pack(&t, packed) };
}

static void texts(void **state)
{
    static const struct { const char *text, *q; bool found; } rows[] = {
        { "", "a", false }, { "a", "a", true }, { "a", "A", true }, { "A", "a", true }, { "b", "a", false }, { "xxabc", "abc", true },
        { "xxaBc", "AbC", true }, { "ab", "abc", false }, { "aab", "ab", true }, { "aAaB", "aab", true }, { "\xc3\xa9t\xc3\xa9", "\xc3\xa9", true },
        { "\xc3\x89", "\xc3\xa9", false }, { "[", "{", false }, { "@", "`", false }, { "a{b", "a[b", false }, { "0", "P", false }, { "xyz", "z", true },
        { "AbAbAbC", "ababc", true }, { "a", "", true },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct task_scan s = task_scan_for(rows[i].q);
        size_t n = strlen(rows[i].text);
        uint8_t *exact = malloc(n ? n : 1); // so that a sanitizer sees a step beyond
        assert_non_null(exact);
        memcpy(exact, rows[i].text, n);
        assert_int_equal(task_scan_text(&s, (struct slice){ exact, n }), rows[i].found);
        if (*rows[i].q)
            assert_int_equal(strcasestr(rows[i].text, rows[i].q) != NULL, rows[i].found);
        free(exact);
    }
}

static void records(void **state)
{
    static char title[] = "Look for a Needle", plain[] = "plain", content[] = "a needle, too", nothing[1];
    struct task_scan s = task_scan_for("nEEdle");
    enum scan found;
    (void)state;
    assert_int_equal(task_scan_record(&s, pack(title, plain, false), &found), ERR_OK);
    assert_int_equal(found, SCAN_YES);
    assert_int_equal(task_scan_record(&s, pack(plain, content, false), &found), ERR_OK);
    assert_int_equal(found, SCAN_YES);
    assert_int_equal(task_scan_record(&s, pack(plain, plain, false), &found), ERR_OK); // other texts are not looked at
    assert_int_equal(found, SCAN_NO);
    assert_int_equal(task_scan_record(&s, pack(plain, nothing, true), &found), ERR_OK);
    assert_int_equal(found, SCAN_APART);
    assert_int_equal(task_scan_record(&s, pack(title, nothing, true), &found), ERR_OK);
    assert_int_equal(found, SCAN_YES);
}

// Each length, and each octet changed: an answer or ERR_CORRUPT, and nothing read beyond.
static void damage(void **state)
{
    static char plain[] = "plain", content[] = "some content";
    struct task_scan s = task_scan_for("zz");
    struct slice whole = pack(plain, content, false);
    enum scan found;
    (void)state;
    for (size_t n = 0; n <= whole.n; n++) {
        uint8_t *cut = malloc(n ? n : 1);
        assert_non_null(cut);
        memcpy(cut, whole.p, n);
        enum err e = task_scan_record(&s, (struct slice){ cut, n }, &found);
        assert_true(e == ERR_OK || e == ERR_CORRUPT);
        for (size_t i = 0; n == whole.n && i < n; i++)
            for (unsigned v = 0; v < 256; v++) {
                uint8_t was = cut[i];
                cut[i] = (uint8_t)v;
                e = task_scan_record(&s, (struct slice){ cut, n }, &found);
                assert_true(e == ERR_OK || e == ERR_CORRUPT);
                cut[i] = was;
            }
        free(cut);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(texts), cmocka_unit_test(records), cmocka_unit_test(damage) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
