// links: worker common protobuf-c jansson fail_alloc
// The answers of chat endpoints: whole, in pieces cut at every place, wrong in each way; and the request.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "chat_msg.h"
#include "fail_alloc.h"
#include "json_in.h"

struct seen {
    char text[65536];
    size_t n;
};

static void text_cb(void *u, const char *s, size_t n)
{
    struct seen *g = u;
    assert_true(g->n + n < sizeof g->text);
    memcpy(g->text + g->n, s, n);
    g->n += n;
    g->text[g->n] = 0;
}

// Feeds in steps of `step` octets; true for a whole answer.
static bool feed(struct chat_answer *a, struct seen *g, const char *body, size_t n, size_t step)
{
    *g = (struct seen){ 0 };
    chat_answer_init(a, text_cb, g);
    for (size_t at = 0; at < n; at += step) {
        size_t k = n - at < step ? n - at : step;
        uint8_t *exact = malloc(k); // so that a read beyond it is seen
        memcpy(exact, body + at, k);
        bool more = chat_answer_feed(a, exact, k);
        free(exact);
        if (!more)
            break;
    }
    return chat_answer_end(a);
}

#define D(text) "data: {\"choices\":[{\"delta\":{\"content\":\"" text "\"},\"finish_reason\":null}]}\n\n"

static const struct {
    const char *body, *text, *why; // why: NULL for a whole answer, else a part of the reason
} row[] = {
    { D("Hel") D("lo") "data: [DONE]\n\n", "Hello", NULL },
    { D("a") "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n", "a", NULL },
    { D("a") "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n", "a", NULL },
    { ": comment\r\nevent: x\r\ndata: {\"choices\":[{\"delta\":\r\ndata:{\"content\":\"two lines\"}}]}\r\n\r\ndata: [DONE]\r\n\r\n", "two lines", NULL },
    { "data:{\"choices\":[{\"delta\":{\"content\":\"cr\"}}]}\r\rdata: [DONE]\r\r", "cr", NULL },
    { "\xef\xbb\xbf" "data: {\"choices\":[{\"delta\":{\"content\":\"bom\"}}]}\n\ndata: [DONE]\n\n", "bom", NULL },
    { D("\\u00e4\\ud83d\\ude00\\n") "data: [DONE]\n\n", "\xc3\xa4\xf0\x9f\x98\x80\n", NULL },
    { D("no end of line") "data: [DONE]", "no end of line", NULL },
    { "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\n\n" D("x") "data: [DONE]\n\n", "x", NULL },
    { "data: {\"choices\":[{\"delta\":{\"refusal\":\"I will not\"}}]}\n\ndata: [DONE]\n\n", "I will not", NULL },
    { D("x") "data: [DONE]\n\nrubbish after the end {{{", "x", NULL },
    { "{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"whole\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":7,"
      "\"completion_tokens\":3}}", "whole", NULL },
    { " \n{\"choices\":[{\"message\":{\"content\":\"\"}}]}\n", "", NULL },
    // wrong
    { "", "", "empty" },
    { " \n\n", "", "empty" },
    { "<html>no</html>", "", "broke off" },
    { "{\"choices\":[]}", "", "no message" },
    { "{\"choices\":[{}]}", "", "no message" },
    { "{\"choices\":", "", "not valid JSON" },
    { "{\"a\":1,\"a\":2}", "", "not valid JSON" },
    { D("half"), "half", "broke off" },
    { D("x") "data: {\"choices\":[{\"delta\":\n\n" D("y") "data: [DONE]\n\n", "x", "not valid JSON" },
    { D("x") "data: 17\n\n", "x", "not valid JSON" },
    { D("x") "data: {\"error\":{\"message\":\"over\\u001b[31mloaded\\nnow\"}}\n\ndata: [DONE]\n\n", "x", "reported an error: over [31mloaded now" },
    { "{\"error\":\"plain\"}", "", "reported an error: plain" },
    { "data: {\"nothing\":1}\n\ndata: [DONE]\n\n", "", "no message" },
    { "data: {\"object\":\"x\"}\n\ndata: {\"usage\":{\"prompt\\u005ftokens\":-1,\"completion\\u005ftokens\":\"3\"}}\n\ndata: [DONE]\n\n", "", NULL },
    { "data: {\"error\":null,\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\ndata: [DONE]\n\n", "x", NULL },
    { "data: {\"error\":{}}\n\ndata: [DONE]\n\n", "", "reported an error" },
    { "data: {\"error\":{\"message\":\"\"}}\n\ndata: [DONE]\n\n", "", "reported an error" },
    { "data: {\"error\":{\"message\":\"\\u0001\"}}\n\ndata: [DONE]\n\n", "", "reported an error" },
    { "data: {\"choices\":[7]}\n\ndata: [DONE]\n\n", "", NULL },
    { "data: {\"choices\":{}}\n\ndata: [DONE]\n\n", "", "no message" },
    { "\r\n\tdata: x\n\ndata: [DONE]\n\n", "", "not valid JSON" },
    { "data:\ndata: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\ndata\n\ndata: [DONE]\n\n", "x", NULL },
    { D("x") "data:\n\ndata: [DONE]\n\n", "x", NULL },
    { D("x") "data: 17", "x", "not valid JSON" },
};

static void test_answers(void **state)
{
    (void)state;
    static struct seen g;
    static const size_t steps[] = { 1, 2, 3, 7, 64, 1 << 20 };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
            struct chat_answer a;
            bool ok = feed(&a, &g, row[i].body, strlen(row[i].body), steps[k]);
            if (ok != !row[i].why || strcmp(g.text, row[i].text) != 0 || (row[i].why && !strstr(a.why, row[i].why)))
                fail_msg("row %zu in steps of %zu: ok %d, text '%s', why '%s'", i, steps[k], ok, g.text, a.why);
            if (strstr(row[i].body, "prompt_tokens")) {
                assert_int_equal(a.prompt_tokens, 7);
                assert_int_equal(a.completion_tokens, 3);
            }
            chat_answer_fini(&a);
        }
}

// A stream cut anywhere before its end is not whole, and gives a beginning of the text.
static void test_cut_everywhere(void **state)
{
    (void)state;
    static struct seen g;
    static const char body[] = D("one ") D("two ") D("three") "data: [DONE]\n\n";
    for (size_t n = 0; n + 1 < sizeof body; n++) {
        struct chat_answer a;
        bool ok = feed(&a, &g, body, n, 5);
        assert_int_equal(ok, n >= strlen(body) - 2); // the last two octets are line ends
        assert_int_equal(strncmp("one two three", g.text, g.n), 0);
        assert_true(ok || a.why[0]);
        chat_answer_fini(&a);
    }
}

static void test_limits(void **state)
{
    (void)state;
    static struct seen g;
    struct chat_answer a;
    size_t n = CHAT_EVENT_MAX + 1024;
    char *big = malloc(n);
    memset(big, 'x', n);
    memcpy(big, "data: ", 6);
    assert_false(feed(&a, &g, big, n, 65536)); // one line without end
    assert_non_null(strstr(a.why, "too long"));
    chat_answer_fini(&a);
    g = (struct seen){ 0 };
    chat_answer_init(&a, text_cb, &g);
    bool more = true;
    size_t fed = 0;
    static const char line[] = ": nothing but comments\n";
    for (; more && fed < (size_t)CHAT_ANSWER_MAX + 4096; fed += sizeof line - 1)
        more = chat_answer_feed(&a, (const uint8_t *)line, sizeof line - 1);
    assert_false(more);
    assert_non_null(strstr(a.why, "16 MiB"));
    assert_true(a.line.cap < 4096);
    chat_answer_fini(&a);
    free(big);
}

// Lines that are short enough each, of an event that is too large in the end; and nothing is taken once it is over.
static void test_large_event(void **state)
{
    (void)state;
    static struct seen g;
    static char line[65536];
    struct chat_answer a;
    bool more = true;
    memset(line, 'x', sizeof line);
    memcpy(line, "data:", 5);
    line[sizeof line - 1] = '\n';
    g = (struct seen){ 0 };
    chat_answer_init(&a, text_cb, &g);
    for (size_t fed = 0; more && fed < (size_t)2 * CHAT_EVENT_MAX; fed += sizeof line)
        more = chat_answer_feed(&a, (const uint8_t *)line, sizeof line);
    assert_false(more);
    assert_non_null(strstr(a.why, "too large"));
    assert_false(chat_answer_feed(&a, (const uint8_t *)"\n", 1));
    assert_false(chat_answer_end(&a));
    chat_answer_fini(&a);

    assert_true(feed(&a, &g, "data: [DONE]\n\n", 14, 100));
    assert_false(chat_answer_feed(&a, (const uint8_t *)"\n", 1));
    assert_true(chat_answer_end(&a));
    chat_answer_fini(&a);
}

static void test_no_memory(void **state)
{
    (void)state;
    static struct seen g;
    static const char *const bodies[] = { D("a") "data: [DONE]\n\n", "{\"choices\":[{\"message\":{\"content\":\"a\"}}]}" };
    json_set_alloc_funcs(malloc, free); // so that jansson's are counted too
    for (size_t i = 0; i < 2; i++)
        for (unsigned n = 1; n == 1 || fail_alloc_done(); n++) {
            struct chat_answer a;
            g = (struct seen){ 0 };
            chat_answer_init(&a, text_cb, &g);
            fail_alloc(n);
            (void)chat_answer_feed(&a, (const uint8_t *)bodies[i], strlen(bodies[i]));
            bool ok = chat_answer_end(&a);
            assert_int_equal(ok, !fail_alloc_failed);
            assert_true(ok || a.why[0]);
            chat_answer_fini(&a);
        }
}

static void test_clean(void **state)
{
    (void)state;
    static const struct { const char *in, *out; size_t size; } rows[] = {
        { "a\x7f" "b", "a b", 10 }, { "a\xc2\x85" "b", "a b", 10 }, { "a\xc2\xa0" "b", "a\xc2\xa0" "b", 10 }, { "\x1f a  b ", "a b", 10 },
        { "abc def", "abc", 4 }, { "ab\xc3\xa9", "ab", 4 }, { "abc", "", 1 }, { "abc ", "abc", 4 }, { "\xff", "", 10 }, { "a\xffz", "a z", 10 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[10];
        chat_clean(out, rows[i].size, rows[i].in, strlen(rows[i].in));
        assert_string_equal(out, rows[i].out);
    }
    char nothing = 'x';
    chat_error_text(&nothing, 0, 500, (const uint8_t *)"", 0);
    assert_int_equal(nothing, 'x');
    struct buf b;
    buf_init(&b, 1000);
    chat_request(&b, "m", NULL, "x");
    assert_null(strstr(buf_cstr(&b), "system"));
    buf_fini(&b);
}

static void test_request(void **state)
{
    (void)state;
    struct buf b;
    json_t *top;
    char why[100];
    buf_init(&b, 1 << 20);
    chat_request(&b, "m\"1", "be\nbrief", "\xff say \"hi\" </script>");
    assert_int_equal(json_in_parse(b.data, b.len, &top, why, sizeof why), ERR_OK);
    assert_string_equal(json_string_value(json_object_get(top, "model")), "m\"1");
    assert_true(json_is_true(json_object_get(top, "stream")));
    json_t *m = json_object_get(top, "messages");
    assert_int_equal(json_array_size(m), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(m, 0), "role")), "system");
    assert_string_equal(json_string_value(json_object_get(json_array_get(m, 0), "content")), "be\nbrief");
    assert_string_equal(json_string_value(json_object_get(json_array_get(m, 1), "role")), "user");
    assert_string_equal(json_string_value(json_object_get(json_array_get(m, 1), "content")), "\xef\xbf\xbd say \"hi\" </script>");
    json_decref(top);
    buf_reset(&b);
    chat_request(&b, "m", "", "x");
    assert_int_equal(json_in_parse(b.data, b.len, &top, why, sizeof why), ERR_OK);
    assert_int_equal(json_array_size(json_object_get(top, "messages")), 1);
    json_decref(top);
    buf_fini(&b);
}

static void test_error_text(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        const char *body, *want;
    } e[] = {
        { 401, "{\"error\":{\"message\":\"Incorrect API key provided.\"}}", "The chat endpoint answered 401: Incorrect API key provided." },
        { 429, "{\"message\":\"slow down\"}", "The chat endpoint answered 429: slow down" },
        { 500, "{\"error\":\"boom\"}", "The chat endpoint answered 500: boom" },
        { 500, "plain\r\n\x1b[2Jtext \xff\xc3\xa4", "The chat endpoint answered 500: plain [2Jtext \xc3\xa4" },
        { 502, "<html>Bad gateway</html>", "The chat endpoint answered 502" },
        { 503, "", "The chat endpoint answered 503" },
        { 404, "{\"x\":1}", "The chat endpoint answered 404" },
    };
    char out[CHAT_WHY_MAX];
    for (size_t i = 0; i < sizeof e / sizeof *e; i++) {
        chat_error_text(out, sizeof out, e[i].status, (const uint8_t *)e[i].body, strlen(e[i].body));
        assert_string_equal(out, e[i].want);
    }
    // However long and wherever cut: valid UTF-8, within the buffer.
    char body[4096];
    size_t n = (size_t)snprintf(body, sizeof body, "{\"error\":{\"message\":\"");
    for (int i = 0; i < 600; i++)
        n += (size_t)snprintf(body + n, sizeof body - n, "\xe2\x82\xac");
    n += (size_t)snprintf(body + n, sizeof body - n, "\"}}");
    for (size_t size = 1; size < 700; size++) {
        char *exact = malloc(size);
        chat_error_text(exact, size, 400, (const uint8_t *)body, n);
        size_t len = strlen(exact);
        assert_true(len < size);
        assert_true(len == 0 || len < 3 || ((uint8_t)exact[len - 1] & 0xc0) != 0x80 ||
                    ((uint8_t)exact[len - 2] & 0xc0) == 0x80); // the last character is whole
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers), cmocka_unit_test(test_cut_everywhere), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_request), cmocka_unit_test(test_error_text), cmocka_unit_test(test_large_event), cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
