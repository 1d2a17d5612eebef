// links: mcctl common protobuf-c
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "sse.h"

static char log_[4096];
static unsigned enough_after;

static bool event_cb(void *u, const char *data, size_t n, const char *id)
{
    size_t at = strlen(log_);

    (void)u;
    assert_int_equal(strlen(data), n);
    snprintf(log_ + at, sizeof log_ - at, "[%s|%s]", id, data);
    return enough_after == 0 || --enough_after > 0;
}

static void rows(void **state)
{
    static const struct { const char *in, *events, *last; } table[] = {
        { "data: a\n\n", "[|a]", "" },
        { "id: 7\ndata: {\"x\":1}\n\n", "[7|{\"x\":1}]", "7" },
        { "id: 7\r\ndata: a\r\n\r\nid:8\rdata:b\r\r", "[7|a][8|b]", "8" },
        { "data: a\ndata: b\n\n", "[|a\nb]", "" },
        { "data\n\n", "[|]", "" },
        { "data:  two blanks\n\n", "[| two blanks]", "" },
        { ": heartbeat\nid: 9\n\n", "", "9" },                 // no data: no event, and yet the id counts
        { "id: 1\ndata: a\n\ndata: b\n\n", "[1|a][1|b]", "1" }, // it stays
        { "id: 1\n\nid: 2\n", "", "1" },                       // not whole
        { "data: cut", "", "" },
        { "data: cut\n", "", "" },
        { "event: x\nfoo: y\nretry: 5000\ndata: a\n\n", "[|a]", "" },
        { "retry: 1x\n\n", "", "" },
        { "retry\n\n", "", "" },
        { "retry: /\n\n", "", "" },
        { "retry: 1234567890\n\n", "", "" },
        { "id: a\x7f\ndata: x\n\n", "[|x]", "" },
        { "\xef\xbb\xbf" "data: a\n\n\xef\xbb\xbf" "data: b\n\n", "[|a]", "" }, // a mark at the very beginning alone
        { "id: a b\ndata: x\n\n", "[|x]", "" },                // such an id is not sent back
        { "id: 1\ndata: x\n\nid\ndata: y\n\n", "[1|x][|y]", "" },
        { "\n\n\n", "", "" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (size_t step = 1; step < 9; step++) { // in pieces of any size
            size_t n = strlen(table[i].in);
            struct sse s;
            sse_init(&s);
            log_[0] = 0;
            for (size_t at = 0; at < n; at += step)
                assert_int_equal(sse_feed(&s, table[i].in + at, at + step < n ? step : n - at, event_cb, NULL), ERR_OK);
            assert_string_equal(log_, table[i].events);
            assert_string_equal(s.last, table[i].last);
            sse_fini(&s);
        }
}

static void retry_and_restart(void **state)
{
    struct sse s;

    (void)state;
    sse_init(&s);
    log_[0] = 0;
    assert_int_equal(sse_feed(&s, "retry: 1234\nid: 5\ndata: a\n\nid: 6\ndata: lost", 41, event_cb, NULL), ERR_OK);
    assert_int_equal(s.retry_ms, 1234);
    sse_restart(&s);
    assert_string_equal(s.last, "5");
    assert_int_equal(sse_feed(&s, "data: b\n\n", 9, event_cb, NULL), ERR_OK);
    assert_string_equal(log_, "[5|a][5|b]");
    sse_fini(&s);
}

static void ends(void **state)
{
    struct sse s;
    char *big = malloc(SSE_EVENT_MAX);

    (void)state;
    sse_init(&s);
    log_[0] = 0;
    enough_after = 1;
    assert_int_equal(sse_feed(&s, "data: a\n\ndata: b\n\n", 18, event_cb, NULL), ERR_CLOSED);
    assert_string_equal(log_, "[|a]");
    enough_after = 0;
    sse_restart(&s);
    assert_non_null(big);
    memset(big, 'x', SSE_EVENT_MAX);
    assert_int_equal(sse_feed(&s, big, SSE_EVENT_MAX, event_cb, NULL), ERR_OK);
    assert_int_equal(sse_feed(&s, big, 1, event_cb, NULL), ERR_TOO_BIG);
    sse_restart(&s);
    for (int i = 0; i < 2; i++) { // two lines that are too much together
        enum err e = sse_feed(&s, "data:", 5, event_cb, NULL);
        e = e ? e : sse_feed(&s, big, SSE_EVENT_MAX / 2 + 10, event_cb, NULL);
        e = e ? e : sse_feed(&s, "\n", 1, event_cb, NULL);
        assert_int_equal(e, i ? ERR_TOO_BIG : ERR_OK);
    }
    free(big);
    sse_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(rows), cmocka_unit_test(retry_and_restart), cmocka_unit_test(ends) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
