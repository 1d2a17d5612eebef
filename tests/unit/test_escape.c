// links: mcctl common protobuf-c
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "escape.h"
#include "utf8.h"

static char got[8192];

static const char *whole(const char *text, size_t n, bool lines)
{
    struct buf b;

    buf_init(&b, sizeof got);
    escape_text(&b, text, n, lines);
    snprintf(got, sizeof got, "%s", buf_cstr(&b));
    buf_fini(&b);
    return got;
}

static void rows(void **state)
{
    static const struct { const char *in, *out, *lines; } table[] = { // out: in a table; lines: as output; NULL: alike
        { "plain text ~", "plain text ~", NULL },
        { "", "", NULL },
        { "a\nb\tc", "a\\nb\\tc", "a\nb\tc" },
        { "a\r\nb", "a\\r\\nb", "a\nb" },
        { "10%\r20%\r", "10%\\r20%\\r", NULL },
        { "\r\r\n", "\\r\\r\\n", "\\r\n" },
        { "\x1b]52;c;aGk=\x07", "\\x1b]52;c;aGk=\\x07", NULL },
        { "\x1b[2J\x1b[31mred", "\\x1b[2J\\x1b[31mred", NULL },
        { "\x7f\x08", "\\x7f\\x08", NULL },
        { "\xc2\x9b" "31m", "\\u009b31m", NULL },                 // C1 as UTF-8
        { "\x9b" "31m", "\xef\xbf\xbd" "31m", NULL },             // C1 as an octet is no UTF-8
        { "a\xe2\x80\xae" "b", "a\\u202eb", NULL },               // turns the direction
        { "a\xe2\x80\x8b" "b", "a\\u200bb", NULL },               // cannot be seen
        { "\xef\xbb\xbf", "\\ufeff", NULL },
        { "\xf3\xa0\x81\x81", "\\U000e0041", NULL },              // a tag
        { "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", NULL },
        { "\xc3", "\xef\xbf\xbd", NULL },                         // cut
        { "\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd", NULL },
        { "\xc3(", "\xef\xbf\xbd(", NULL },
        { "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd", NULL },         // overlong
        { "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", NULL }, // a surrogate
        { "\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", NULL },
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_string_equal(whole(table[i].in, strlen(table[i].in), false), table[i].out);
        assert_string_equal(whole(table[i].in, strlen(table[i].in), true), table[i].lines ? table[i].lines : table[i].out);
    }
    assert_string_equal(whole("a\0b", 3, true), "a\\x00b");
}

static void json(void **state)
{
    static const struct { const char *in, *out; } table[] = { // NULL: alike
        { "", NULL },
        { "{\"a\":[1, true],\n\t\"b\":\"\\u001b gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\"}\n", NULL },
        { "\"\x7f\xc2\x9b" "31m\"", "\"\\u007f\\u009b31m\"" },
        { "\"a\xe2\x80\xae" "b\xef\xbb\xbf\"", "\"a\\u202eb\\ufeff\"" },
        { "\"\xf3\xa0\x81\x81\"", "\"\\udb40\\udc41\"" },
        { "\x1b[2J\r\n", "\\u001b[2J\r\n" },
        { "\"\x9b\xe2\x82", "\"\\ufffd\\ufffd\\ufffd" }, // none, and cut
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct buf b;
        buf_init(&b, sizeof got);
        escape_json(&b, table[i].in, strlen(table[i].in));
        assert_string_equal(buf_cstr(&b), table[i].out ? table[i].out : table[i].in);
        buf_fini(&b);
    }
}

static void every_octet_and_pair(void **state)
{
    char in[2];

    (void)state;
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++) {
            in[0] = (char)a;
            in[1] = (char)b;
            const char *s = whole(in, 2, false);
            for (size_t n; *s; s += n) {
                n = utf8_len((const uint8_t *)s, 4);
                assert_true(n > 0);
                assert_true(n > 1 ? !((uint8_t)s[0] == 0xc2 && (uint8_t)s[1] < 0xa0) : *s >= 0x20 && *s < 0x7f);
            }
        }
}

// Cut anywhere, the pieces give what the whole gives.
static void pieces(void **state)
{
    static const char text[] = "a\r\nb\xe2\x82\xac\x1b[0m\r\xf0\x9f\x98\x80\xc3\xf0\x9f\xe2\x80\xae" "x\r";
    size_t n = sizeof text - 1;
    char expected[1024];
    struct buf b;

    (void)state;
    assert_true((size_t)snprintf(expected, sizeof expected, "%s", whole(text, n, true)) < sizeof expected);
    for (size_t i = 0; i <= n; i++)
        for (size_t j = i; j <= n; j++) {
            struct escape e = { .lines = true };
            buf_init(&b, 1024);
            escape_feed(&e, &b, text, i);
            escape_feed(&e, &b, text + i, j - i);
            escape_feed(&e, &b, text + j, n - j);
            escape_end(&e, &b);
            assert_string_equal(buf_cstr(&b), expected);
            buf_fini(&b);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows), cmocka_unit_test(json), cmocka_unit_test(every_octet_and_pair), cmocka_unit_test(pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
