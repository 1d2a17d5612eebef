// links: gateway common protobuf-c
// Answers as octets: every error has a status, heads are what they say, and no text can leave its place.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "http_out.h"

static void test_errors(void **state)
{
    static const struct { enum err e; unsigned status; } rows[] = {
        { ERR_BAD_REQUEST, 400 }, { ERR_BAD_JSON, 400 }, { ERR_MISSING_FIELD, 400 }, { ERR_INVALID_FIELD, 400 },
        { ERR_UNKNOWN_DESKTOP, 400 }, { ERR_UNAUTHORIZED, 401 }, { ERR_FORBIDDEN, 403 }, { ERR_NOT_FOUND, 404 },
        { ERR_BAD_STATE, 409 }, { ERR_DESKTOP_STOPPED, 409 }, { ERR_NO_AGENT, 409 }, { ERR_DESKTOP_IN_USE, 409 },
        { ERR_IDEMPOTENCY_MISMATCH, 409 }, { ERR_STALE_ATTEMPT, 409 }, { ERR_TOO_BIG, 413 }, { ERR_OVERLOADED, 503 },
        { ERR_UNAVAILABLE, 503 }, { ERR_STORAGE_FULL, 503 }, { ERR_STORAGE_ERROR, 503 }, { ERR_OUTCOME_UNKNOWN, 503 },
        { ERR_TIMEOUT, 503 }, { ERR_NOT_LEADER, 503 }, { ERR_AGAIN, 503 }, { ERR_CLOSED, 503 }, { ERR_CORRUPT, 500 },
        { ERR_INTERNAL, 500 }, { ERR_NO_MEMORY, 500 }, { ERR_IO, 500 }, { ERR_N, 500 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(http_out_status(rows[i].e), rows[i].status);
    for (unsigned e = ERR_OK; e < ERR_N; e++)
        assert_string_not_equal(http_out_reason(http_out_status((enum err)e)), "Unknown");
    assert_string_equal(http_out_reason(414), "URI Too Long");
    assert_string_equal(http_out_code(505), "VERSION_NOT_SUPPORTED");
    assert_string_equal(http_out_reason(299), "Unknown");
    assert_string_equal(http_out_reason(100000), "Unknown");
}

// Against the C library, a day in every nine over eight thousand years, at changing times of day.
static void test_date(void **state)
{
    char ours[HTTP_DATE_SIZE], theirs[64];

    (void)state;
    http_out_date(ours, 784111777);
    assert_string_equal(ours, "Sun, 06 Nov 1994 08:49:37 GMT");
    for (uint64_t day = 0; day < 365 * 8000u; day += 9) {
        time_t t = (time_t)(day * 86400 + day * 7919 % 86400);
        struct tm tm;
        assert_non_null(gmtime_r(&t, &tm));
        strftime(theirs, sizeof theirs, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        http_out_date(ours, (uint64_t)t);
        assert_string_equal(ours, theirs);
    }
}

static void assert_head(const struct http_answer *a, const char *want)
{
    struct buf b;

    buf_init(&b, 4096);
    http_out_head(&b, a);
    assert_string_equal(buf_cstr(&b), want);
    buf_fini(&b);
}

#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"
#define COMMON "Date: " DATE "\r\nX-Request-Id: r1\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
static void test_head(void **state)
{
    struct buf fields;

    (void)state;
    buf_init(&fields, 100);
    http_out_field(&fields, "ETag", (struct text){ "\"x\"", 3 });
    assert_head(&(struct http_answer){ .status = 200, .content_type = "text/plain", .date = DATE, .request_id = "r1", .length = 5,
                                       .counted = true, .sequence = 7 },
                "HTTP/1.1 200 OK\r\n" COMMON "Cache-Control: no-store\r\nX-Mc-Sequence: 7\r\nContent-Type: text/plain\r\n"
                "Content-Length: 5\r\n\r\n");
    assert_head(&(struct http_answer){ .status = 304, .content_type = "text/plain", .date = DATE, .request_id = "r1", .counted = true,
                                       .cached = true, .fields = &fields },
                "HTTP/1.1 304 Not Modified\r\n" COMMON "ETag: \"x\"\r\n\r\n");
    assert_head(&(struct http_answer){ .status = 204, .date = DATE, .request_id = "r1", .counted = true, .close = true },
                "HTTP/1.1 204 No Content\r\n" COMMON "Cache-Control: no-store\r\nConnection: close\r\n\r\n");
    assert_head(&(struct http_answer){ .status = 200, .content_type = "text/event-stream", .date = DATE, .request_id = "r1",
                                       .chunked = true },
                "HTTP/1.1 200 OK\r\n" COMMON "Cache-Control: no-store\r\nContent-Type: text/event-stream\r\n"
                "Transfer-Encoding: chunked\r\n\r\n");
    assert_head(&(struct http_answer){ .status = 299, .date = DATE, .request_id = "r1" },
                "HTTP/1.1 500 Internal Server Error\r\n" COMMON "Cache-Control: no-store\r\n\r\n");
    buf_fini(&fields);
}

static void test_field(void **state)
{
    static const char hostile[] = "a\r\nSet-Cookie: b\0\x7f\tc";
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    http_out_field(&b, "X", (struct text){ hostile, sizeof hostile - 1 });
    assert_string_equal(buf_cstr(&b), "X: a  Set-Cookie: b  \tc\r\n");
    buf_fini(&b);
}

static void test_error_body(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    http_out_error(&b, 400, "INVALID_FIELD", "No \"such\" value", "priority", "r1");
    assert_string_equal(buf_cstr(&b), "{\"error\":\"No \\\"such\\\" value\",\"code\":\"INVALID_FIELD\",\"status\":400,"
                                      "\"requestId\":\"r1\",\"field\":\"priority\"}");
    buf_reset(&b);
    http_out_error(&b, 404, "NOT_FOUND", "None", NULL, "r1");
    assert_string_equal(buf_cstr(&b), "{\"error\":\"None\",\"code\":\"NOT_FOUND\",\"status\":404,\"requestId\":\"r1\"}");
    buf_fini(&b);
}

static void test_redacted(void **state)
{
    static const struct { const char *path, *query, *want; } rows[] = {
        { "/a", "", "/a" },
        { "/a", "x=1&y=2", "/a?x=1&y=2" },
        { "/a", "apiKey=secret", "/a?apiKey=***" },
        { "/a", "x=1&apikey=secret&y=2", "/a?x=1&apikey=***&y=2" },
        { "/a", "API_KEY=secret", "/a?API_KEY=***" },
        { "/a", "api-key=secret", "/a?api-key=***" },
        { "/a", "api%4Bey=secret", "/a?api%4Bey=***" },
        { "/a", "%61%70%69%6b%65%79=secret&", "/a?%61%70%69%6b%65%79=***&" },
        { "/a", "apiKeys=kept", "/a?apiKeys=kept" },
        { "/a", "x=mc_k_abc", "/a?***" },
        { "/a", "x=MC%5Fk%5fabc&y=2", "/a?***&y=2" },
        { "/a", "mc_k_abc", "/a?***" },
        { "/mc_k_abc", "", "***" },
        { "/a", "x=mc_s_abc", "/a?***" },
        { "/mc%5Fs%5fabc", "y=mc_w_abc", "***?***" },
        { "/mc_", "x=mc_k", "/mc_?x=mc_k" },
        { "/mc%5fk_abc", "", "***" },
        { "/a", "apiKey", "/a?apiKey" },
        { "/a", "=&&=", "/a?=&&=" },
        { "/a", "%", "/a?%" },
        { "/a", "%6=1&%6g=2&%g1=3&%/1=4&%:1=5&%`1=6", "/a?%6=1&%6g=2&%g1=3&%/1=4&%:1=5&%`1=6" },
        { "/a", "api key=secret", "/a?api key=***" },
        { "/a", "api+k%45y=secret", "/a?api+k%45y=***" },
        { "/a", "a%00pikey=kept", "/a?a%00pikey=kept" },
        { "/a", "apikey%00=kept", "/a?apikey%00=kept" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf b;
        buf_init(&b, 4096);
        http_out_redacted(&b, (struct text){ rows[i].path, strlen(rows[i].path) }, (struct text){ rows[i].query, strlen(rows[i].query) });
        assert_string_equal(buf_cstr(&b), rows[i].want);
        buf_fini(&b);
    }
}

static void test_numbers_nobody_knows(void **state)
{
    (void)state;
    assert_int_equal(http_out_status((enum err)ERR_N), 500);
    assert_string_equal(http_out_reason(299), "Unknown");
    assert_string_equal(http_out_reason(9999), "Unknown");
    assert_string_equal(http_out_code(299), "INTERNAL");
    assert_string_equal(http_out_code(404), "NOT_FOUND");
}

static void test_redacted_is_bounded(void **state)
{
    static char path[5000], query[5000];
    struct buf b;

    (void)state;
    memset(path, 'p', sizeof path);
    memset(query, '&', sizeof query);
    buf_init(&b, 100000);
    http_out_redacted(&b, (struct text){ path, sizeof path }, (struct text){ query, sizeof query });
    assert_int_equal(b.len, 1024 + 1 + 1024);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors), cmocka_unit_test(test_date), cmocka_unit_test(test_head), cmocka_unit_test(test_field),
        cmocka_unit_test(test_error_body), cmocka_unit_test(test_redacted), cmocka_unit_test(test_redacted_is_bounded),
        cmocka_unit_test(test_numbers_nobody_knows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
