// links: mcctl common protobuf-c
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "head.h"

static struct head h;

// Exactly the octets, with nothing readable behind them.
static void line(const char *text)
{
    size_t n = strlen(text);
    char *exact = malloc(n ? n : 1);

    assert_non_null(exact);
    memcpy(exact, text, n);
    head_init(&h);
    head_line(&h, exact, n);
    free(exact);
}

static void links(void **state)
{
    static const struct { const char *line, *link; } rows[] = {
        { "Link: </api/x?limit=2&before=7>; rel=\"next\"", "/api/x?limit=2&before=7" },
        { "link:</a>;rel=\"next\"", "/a" },
        { "Link: </a>; rel=\"prev\"", "" },
        { "Link: </a>", "" },
        { "Link: <//elsewhere/a>; rel=\"next\"", "" },
        { "Link: </\\elsewhere/a>; rel=\"next\"", "" },
        { "Link: <https://elsewhere/a>; rel=\"next\"", "" },
        { "Link: </a b>; rel=\"next\"", "" },
        { "Link: </a", "" },
        { "Link: </a\x7f>; rel=\"next\"", "" },
        { "Link: \t</a>; rel=\"next\"", "/a" },
        { "Link: a/b>; rel=\"next\"", "" },
        { "Link: </>", "" },
        { "Link: <>", "" },
        { "Link ", "" },
        { "Link </a>; rel=\"next\"", "" },
        { "Link: <", "" },
        { "Link:", "" },
        { "Linkx: </a>; rel=\"next\"", "" },
        { "", "" },
    };
    char big[HEAD_LINK_MAX + 100];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        line(rows[i].line);
        assert_string_equal(h.link, rows[i].link);
    }
    memset(big, 'a', sizeof big);
    memcpy(big, "Link: </", 8);
    strcpy(big + sizeof big - 20, ">; rel=\"next\"");
    line(big);
    assert_string_equal(h.link, "");
}

static void cookies(void **state)
{
    static const struct { const char *line, *cookie; } rows[] = {
        { "Set-Cookie: mc-session=abc; HttpOnly; Path=/", "mc-session=abc" },
        { "Set-Cookie: __Host-mc-session=abc; Secure", "__Host-mc-session=abc" },
        { "set-cookie:mc-session=abc", "mc-session=abc" },
        { "Set-Cookie: other=abc", "" },
        { "Set-Cookie: mc-session", "" },
        { "Set-Cookie: =mc-session", "" },
        { "Set-Cookie: mc-session=a b", "" },
        { "Set-Cookie: a-long-other-name=abc", "" },
        { "Set-Cookie: session=x", "" },
        { "Set-Cookie: ", "" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        line(rows[i].line);
        assert_string_equal(h.cookie, rows[i].cookie);
    }
}

static void numbers(void **state)
{
    static const struct { const char *line; uint64_t retry, total; } rows[] = {
        { "Retry-After: 7", 7, UINT64_MAX },
        { "Retry-After: Fri, 27 Nov 2026 10:00:00 GMT", 0, UINT64_MAX },
        { "Retry-After: 1:", 0, UINT64_MAX },
        { "Retry-After: -1", 0, UINT64_MAX },
        { "Retry-After:", 0, UINT64_MAX },
        { "X-Total-Count: 0", 0, 0 },
        { "x-total-count: 123456789012345", 0, 123456789012345 },
        { "X-Total-Count: 1234567890123456", 0, UINT64_MAX },
        { "HTTP/1.1 200 OK", 0, UINT64_MAX },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        line(rows[i].line);
        assert_int_equal(h.retry_after_s, rows[i].retry);
        assert_int_equal(h.total, rows[i].total);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(links), cmocka_unit_test(cookies), cmocka_unit_test(numbers) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
