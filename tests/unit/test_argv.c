// links: mcctl common protobuf-c
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "argv.h"
#include "body.h"

// A table of our own: it takes the place of the program's, and so nothing that talks to anybody is linked.
#define END { NULL, 0, OPT_SWITCH, NULL, NULL, NULL, NULL }
const struct option global_options[] = {
    { "url", 0, OPT_TEXT, "URL", NULL, NULL, "where" },
    { "json", 0, OPT_SWITCH, NULL, NULL, NULL, "JSON" },
    { "help", 'h', OPT_SWITCH, NULL, NULL, NULL, "help" },
    { "version", 0, OPT_SWITCH, NULL, NULL, NULL, "version" },
    END,
};
static const struct option list_options[] = {
    { "status", 's', OPT_WORD, "WORD", "pending|done", "?status", "state" },
    { "limit", 'n', OPT_NUMBER, "N", NULL, "?limit", "how many" },
    { "follow", 'f', OPT_SWITCH, NULL, NULL, "?follow", "follow" },
    { "from", 0, OPT_TIME, "TIME", NULL, "?from", "since" },
    { "since", 0, OPT_UNIX, "TIME", NULL, "?since", "since" },
    { "desktop", 'd', OPT_DESKTOP, "D", NULL, "?desktop", "where" },
    END,
};
static const struct option body_options[] = {
    { "title", 0, OPT_TEXT, "T", NULL, "title", "title" },
    { "count", 0, OPT_NUMBER, "N", NULL, "count", "count" },
    { "approval", 0, OPT_BOOL, "B", NULL, "approval", "approval" },
    { "chat-url", 0, OPT_TEXT, "U", NULL, "chat.url", "url" },
    { "chat-key", 0, OPT_FILE, "F", NULL, "chat.key", "key" },
    { "cpu", 0, OPT_DECIMAL, "P", NULL, "limits.cpu", "cpu" },
    { "labels", 0, OPT_LIST, "L", NULL, "labels", "labels" },
    { "none", 0, OPT_NULL, NULL, NULL, "gone", "gone" },
    { "quick", 0, OPT_SWITCH, NULL, NULL, "quick", "quick" },
    END,
};
static const struct option move_options[] = {
    { "agent", 0, OPT_AGENT, "A", NULL, "agentId", "agent" },
    { "session", 0, OPT_SESSION, "S", NULL, "sessionId", "session" },
    { "password", 0, OPT_PASSWORD, "P", NULL, "password", "password" },
    { "local", 0, OPT_SWITCH, NULL, NULL, NULL, "of mcctl alone" },
    END,
};
#define NAME "a-command-whose-name-is-longer-than-the-words-that-somebody-might-have-meant"
static const struct command table[] = {
    { .words = "task list", .alias = "tasks|task ls", .args = "", .about = "a",
      .options = (const struct option *const[]){ list_options, NULL } },
    { .words = "task show", .args = "TASK", .about = "b" },
    { .words = "task run", .args = "[COMMAND...]", .about = "c", .options = (const struct option *const[]){ body_options, NULL } },
    { .words = "task move", .args = "TASK DESKTOP", .about = "i", .options = (const struct option *const[]){ move_options, NULL } },
    { .words = NAME, .args = "", .about = "j" },
    { .words = "task delete", .args = "TASK...", .about = "d" },
    { .words = "settings", .args = "", .about = "e" },
    { .words = "settings set", .args = "", .about = "f" },
    { .words = "help", .args = "[COMMAND] [WORD]", .about = "g" },
    { .words = NULL },
};

#define LONG "a-word-that-is-longer-than-any-name-this-program-has-for-anything-here"
enum { WORDS = 16 };
static struct argv a;
static const char *args[WORDS + 1];
static char said[2048];

static enum err parse(const char *line)
{
    static char text[512];
    const char *words[WORDS + 1] = { "mcctl" };
    int n = 1;
    struct buf why;

    snprintf(text, sizeof text, "%s", line);
    for (char *at = text; *at && n < WORDS; n++) {
        words[n] = at;
        at += strcspn(at, "|");
        if (*at)
            *at++ = 0;
    }
    buf_init(&why, sizeof said);
    enum err e = argv_parse(table, n, words, args, &a, &why);
    snprintf(said, sizeof said, "%s", buf_cstr(&why));
    buf_fini(&why);
    return e;
}

static void good(void **state)
{
    static const struct { const char *line, *words; unsigned n; const char *option, *value; } rows[] = {
        { "task|list", "task list", 0, "status", NULL },
        { "tasks", "task list", 0, "status", NULL },
        { "task|ls|--status|done", "task list", 0, "status", "done" },
        { "task|list|--status=done", "task list", 0, "status", "done" },
        { "task|list|-s|done", "task list", 0, "status", "done" },
        { "task|list|-sdone", "task list", 0, "status", "done" },
        { "task|list|-fn5", "task list", 0, "limit", "5" },
        { "--json|task|list", "task list", 0, "json", "1" },
        { "--url|http://x|task|list|--limit|3", "task list", 0, "url", "http://x" },
        { "task|list|--limit|1|--limit|2", "task list", 0, "limit", "2" },
        { "task|show|7|--json", "task show", 1, "json", "1" },
        { "settings|--json", "settings", 0, "json", "1" },
        { "task|show|" LONG, "task show", 1, "no-such-option", NULL },
        { "task|delete|1|2|3", "task delete", 3, "json", NULL },
        { "task|run|--|ls|-l|--json", "task run", 3, "json", NULL },
        { "task|run|ls", "task run", 1, "json", NULL },
        { "task|run", "task run", 0, "json", NULL },
        { "task|show|-", "task show", 1, "json", NULL },
        { "task|run|--title|--count", "task run", 0, "title", "--count" }, // a value may look like an option
        { "settings", "settings", 0, "json", NULL },
        { "settings|set", "settings set", 0, "json", NULL },
        { "help|task|run", "help", 2, "json", NULL },
        { "task|show|--help", "task show", 0, "help", "1" },   // the help of a command wants no arguments
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(parse(rows[i].line), ERR_OK);
        assert_string_equal(a.command->words, rows[i].words);
        assert_int_equal(a.n_args, rows[i].n);
        const char *v = argv_value(&a, rows[i].option);
        if (rows[i].value)
            assert_string_equal(v, rows[i].value);
        else
            assert_null(v);
    }
    assert_null(command_find(table, "taskx"));
    assert_false(command_group(table, "") || command_group(table, "tas") || command_group(table, "task list"));
    assert_int_equal(parse(""), ERR_OK);
    assert_null(a.command);
    assert_int_equal(parse("task"), ERR_OK);
    assert_string_equal(a.group, "task");
    assert_int_equal(parse("--version"), ERR_OK);
    assert_true(a.version);
    assert_int_equal(parse("task|run|--|-x"), ERR_OK);
    assert_true(a.dashes);
}

static void bad(void **state)
{
    static const struct { const char *line, *said; } rows[] = {
        { "tsk", "there is no command 'tsk'; did you mean 'task'?" },
        { "tsaks", "there is no command 'tsaks'; did you mean 'tasks'?" },
        { "task|lsit", "there is no command 'task lsit'; did you mean 'task list'?" },
        { "task|frobnicate", "there is no command 'task frobnicate'" },
        { "frobnicate", "there is no command 'frobnicate'" },
        { "task|list|--stauts|done", "unknown option '--stauts'; did you mean --status?" },
        { "task|list|--xyzzy", "unknown option '--xyzzy'" },
        { "--status|done|task|list", "unknown option '--status'" },
        { "task|list|-x", "unknown option '-x'" },
        { "-h|-x", "unknown option '-x'" },
        { LONG, "there is no command '" LONG "'" },
        { "task|" LONG, "there is no command 'task a-word-that-is-longer-than-any-name-this-program-has-for-anythin'" },
        { "help|--" LONG "=7", "unknown option '--" LONG "=7'" },
        { "task|list|--limit|1|7", "unexpected argument '7'" },
        { "task|--json|list", "unexpected argument 'list'" },
        { "x", "there is no command 'x'" },
        { "list|task", "there is no command 'list'" },
        { "task|run|--cpu|.5", "--cpu must be a number, not '.5'" },
        { "task|run|--cpu|1234567890123456", "--cpu must be a number, not '1234567890123456'" },
        { "task|run|--cpu|1x", "--cpu must be a number, not '1x'" },
        { "task|run|--cpu|1.5x", "--cpu must be a number, not '1.5x'" },
        { "task|list|--status|gone", "--status must be pending|done, not 'gone'" },
        { "task|list|--limit|-1", "--limit must be a whole number, not '-1'" },
        { "task|list|--limit", "a value is needed after '--limit'" },
        { "task|list|-n", "a value is needed after '-n'" },
        { "task|list|--json=1", "no value is taken by '--json=1'" },
        { "task|list|7", "unexpected argument '7'" },
        { "task|show", "it needs an argument: mcctl task show TASK" },
        { "task|show|1|2", "unexpected argument '2'" },
        { "task|move|1", "it needs more arguments: mcctl task move TASK DESKTOP" },
        { "task|--json|-7", "unknown option '-7'" },
        { "task|-", "there is no command 'task -'; did you mean 'tasks'?" },
        { "task|delete", "it needs an argument: mcctl task delete TASK..." },
        { "task|run|make|-j2", "unknown option '-j2' (a command to be run stands after --)" },
        { "task|run|--approval|maybe", "--approval must be yes or no, not 'maybe'" },
        { "task|run|--cpu|1.", "--cpu must be a number, not '1.'" },
        { "--|task", "a command of mcctl must stand before '--'" },
        { "help|a|b|c", "unexpected argument 'c'" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(parse(rows[i].line), ERR_BAD_REQUEST);
        assert_string_equal(said, rows[i].said);
    }
}

static void distance(void **state)
{
    (void)state;
    assert_int_equal(argv_distance("", ""), 0);
    assert_int_equal(argv_distance("list", "list"), 0);
    assert_int_equal(argv_distance("lsit", "list"), 1); // swapped
    assert_int_equal(argv_distance("lis", "list"), 1);
    assert_int_equal(argv_distance("listt", "list"), 1);
    assert_int_equal(argv_distance("kitten", "sitting"), 3);
    assert_int_equal(argv_distance("a-word-that-is-longer-than-thirty-two", "list"), 32);
    assert_int_equal(argv_distance("list", "a-word-that-is-longer-than-thirty-two"), 32);
}

// ---------------------------------------------------------------- body.h

static bool name_cb(void *u, enum option_kind kind, const char *name, const char **ret)
{
    (void)u;
    *ret = kind == OPT_FILE ? "from the file" : "desktop_3";
    return strcmp(name, "nobody") != 0;
}

static bool body(const char *line, bool query)
{
    const struct body_from f = { .argv = &a, .now_ms = 1767225600000, .name = name_cb }; // 2026-01-01
    struct buf out, why;
    unsigned n;

    assert_int_equal(parse(line), ERR_OK);
    buf_init(&out, sizeof said);
    buf_init(&why, 1000);
    struct json j = json_to(&out);
    if (query)
        buf_puts(&out, "/x");
    bool ok = query ? body_query(&f, &out, &why) : body_members(&f, &j, &n, &why);
    snprintf(said, sizeof said, "%s", buf_cstr(ok ? &out : &why));
    buf_fini(&out);
    buf_fini(&why);
    return ok;
}

static void bodies(void **state)
{
    (void)state;
    assert_true(body("task|run", false));
    assert_string_equal(said, "");
    assert_true(body("task|run|--count|007|--title|a\"b|--quick", false));
    assert_string_equal(said, "\"title\":\"a\\\"b\",\"count\":7,\"quick\":true");
    assert_true(body("task|run|--chat-url|u|--chat-key|f|--cpu|90.5|--labels=a,,b", false));
    assert_string_equal(said, "\"chat\":{\"url\":\"u\",\"key\":\"from the file\"},\"limits\":{\"cpu\":90.5},\"labels\":[\"a\",\"b\"]");
    assert_true(body("task|run|--approval|no|--none|--count|0|--cpu=00.5", false));
    assert_string_equal(said, "\"count\":0,\"approval\":false,\"limits\":{\"cpu\":0.5},\"gone\":null");
    assert_true(body("task|list|--status|done|-f|--desktop|a b", true));
    assert_string_equal(said, "/x?status=done&follow=true&desktop=desktop_3");
    assert_true(body("task|list|--from|15m|--since|1h", true));
    assert_string_equal(said, "/x?from=2025-12-31T23:45:00.000Z&since=1767222000");
    assert_true(body("task|list|--from|2026-03-15", true));
    assert_string_equal(said, "/x?from=2026-03-15T00:00:00.000Z");
    assert_false(body("task|list|--from|yesterday", true));
    assert_non_null(strstr(said, "--from must be a time"));
    assert_false(body("task|list|--desktop|nobody", true));
    assert_false(body("task|run|--chat-key|nobody", false));
    assert_true(body("task|move|--local|--agent|x|--session|y|--password|z|--|1|2", false));
    assert_string_equal(said, "\"agentId\":\"desktop_3\",\"sessionId\":\"desktop_3\",\"password\":\"desktop_3\"");
    assert_true(body("task|move|--local|--agent|x|1|2", true));
    assert_string_equal(said, "/x");
    assert_true(body("task|run|--approval|true", false));
    assert_string_equal(said, "\"approval\":true");
    assert_true(body("task|run|--approval|on|--cpu|007", false));
    assert_string_equal(said, "\"approval\":true,\"limits\":{\"cpu\":7}");
    assert_true(body("task|run|--approval|off|--chat-url|u", false));
    assert_string_equal(said, "\"approval\":false,\"chat\":{\"url\":\"u\"}");
    assert_true(body("task|run|--cpu|0|--labels|,", false));
    assert_string_equal(said, "\"limits\":{\"cpu\":0},\"labels\":[]");
    assert_true(body("task|list|--json|--limit|3", false)); // those of a query have no place in a body
    assert_string_equal(said, "");
    assert_true(body("task|run|--json|--count|3", true)); // nor those of a body in a query
    assert_string_equal(said, "/x");
}

static void times(void **state)
{
    static const struct { const char *text; uint64_t ms; } rows[] = {
        { "1s", 999000 }, { "+1s", 1001000 }, { "1m", 940000 }, { "9w", 1 }, { "", 0 }, { "s", 0 }, { "+", 0 }, { "1y", 0 }, { "-1s", 0 },
        { "0s", 0 }, { "1970-01-02", 86400000 }, { "1970-01-01T00:00:07Z", 7000 }, { "99999999999999999999s", 0 }, { "1970-13-40", 0 },
        { "12345678x0", 0 }, { "a-time-that-is-longer-than-any-time-has-to-be-s", 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(body_time(rows[i].text, 1000000), rows[i].ms);
}

static void queries(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    buf_puts(&b, "/a?x=1");
    body_query_add(&b, "q", "a b&c=\xc3\xbc/%@[`{Zz09");
    assert_string_equal(buf_cstr(&b), "/a?x=1&q=a%20b%26c%3D%C3%BC%2F%25%40%5B%60%7BZz09");
    buf_fini(&b);
}

static void shell(void **state)
{
    static const struct { unsigned n; const char *args[3]; const char *out; } rows[] = {
        { 1, { "make test | tail" }, "make test | tail" }, { 2, { "make", "test" }, "make test" },
        { 3, { "sh", "-c", "echo $HOME" }, "sh -c 'echo $HOME'" }, { 2, { "echo", "it's" }, "echo 'it'\\''s'" },
        { 2, { "echo", "" }, "echo ''" }, { 2, { "echo", "a\nb" }, "echo 'a\nb'" }, { 2, { "A=1", "~" }, "A=1 '~'" },
    };
    struct buf b;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        buf_init(&b, 1000);
        body_shell(&b, rows[i].args, rows[i].n);
        assert_string_equal(buf_cstr(&b), rows[i].out);
        buf_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(good), cmocka_unit_test(bad), cmocka_unit_test(distance), cmocka_unit_test(bodies),
                                        cmocka_unit_test(times), cmocka_unit_test(queries), cmocka_unit_test(shell) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
