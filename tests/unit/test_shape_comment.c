// links: gateway common protobuf-c jansson sodium
// Comments and agents as JSON; the bodies that make and change them, taken and refused, each with the field at fault.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lent.h"
#include "names.h"
#include "shape_comment.h"

static const uint64_t T = 1773568800000; // 2026-03-15T10:00:00Z

static void objects(void **state)
{
    Wire__Comment c = WIRE__COMMENT__INIT;
    Wire__Agent a = WIRE__AGENT__INIT;
    struct buf out;
    (void)state;
    buf_init(&out, 4096);
    struct json j = json_to(&out);
    c.id = 3;
    c.task = 42;
    c.author = z("admin");
    c.content = z("\"so\"\n<b>");
    c.created_ms = T;
    shape_comment(&j, &c);
    assert_string_equal(buf_cstr(&out), "{\"id\":\"comment_3\",\"taskId\":\"task_42\",\"author\":\"admin\",\"content\":\"\\\"so\\\"\\n\\u003cb>\","
                                        "\"createdAt\":\"2026-03-15T10:00:00.000Z\"}");
    for (unsigned s = 1; s < AGENT_STATUS_COUNT; s++) {
        char want[256];
        buf_reset(&out);
        j = json_to(&out);
        a.id = 8;
        a.name = z("DataAnalyst");
        a.role = z("analyst");
        a.desktop = 2;
        a.created_ms = T;
        a.status = s;
        shape_agent(&j, &a);
        snprintf(want, sizeof want, "{\"id\":\"agent_8\",\"name\":\"DataAnalyst\",\"role\":\"analyst\",\"status\":\"%s\",\"desktopId\":\"desktop_2\","
                                    "\"createdAt\":\"2026-03-15T10:00:00.000Z\"}", agent_status_name(s));
        assert_string_equal(buf_cstr(&out), want);
    }
    buf_fini(&out);
}

static json_t *parse(const char *text)
{
    char why[160];
    json_t *o;
    assert_int_equal(json_in_parse(text, strlen(text), &o, why, sizeof why), ERR_OK);
    return o;
}

static void bodies(void **state)
{
    static const struct { const char *body; bool agent; enum err err; const char *field; uint32_t set; } rows[] = {
        { "{\"content\":\"x\",\"id\":7}", false, ERR_OK, "", 0 },
        { "{\"content\":\"a\\n\\tb\"}", false, ERR_OK, "", 0 },
        { "{}", false, ERR_MISSING_FIELD, "content", 0 },
        { "{\"content\":null}", false, ERR_MISSING_FIELD, "content", 0 },
        { "{\"content\":\"\"}", false, ERR_INVALID_FIELD, "content", 0 },
        { "{\"content\":\"a\\u001bb\"}", false, ERR_INVALID_FIELD, "content", 0 },
        { "{\"content\":7}", false, ERR_INVALID_FIELD, "content", 0 },
        { "{}", true, ERR_OK, "", 0 },
        { "{\"name\":\"n\"}", true, ERR_OK, "", AEDIT_NAME },
        { "{\"role\":\"r\",\"name\":null}", true, ERR_OK, "", AEDIT_ROLE },
        { "{\"role\":\"r\",\"name\":\"n\"}", true, ERR_OK, "", AEDIT_ROLE | AEDIT_NAME },
        { "{\"name\":7}", true, ERR_INVALID_FIELD, "name", 0 },
        { "{\"name\":\"\"}", true, ERR_INVALID_FIELD, "name", 0 },
        { "{\"role\":\"a\\nb\"}", true, ERR_INVALID_FIELD, "role", 0 },
        { "{\"role\":[]}", true, ERR_INVALID_FIELD, "role", 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Wire__CommentAdd c;
        Wire__AgentEdit a;
        struct fault f = { "", "" };
        json_t *o = parse(rows[i].body);
        enum err e = rows[i].agent ? shape_agent_edit(o, 8, &a, &f) : shape_comment_add(o, 42, &c, &f);
        assert_int_equal(e, rows[i].err);
        if (e)
            assert_string_equal(f.field, rows[i].field);
        else if (rows[i].agent)
            assert_true(a.id == 8 && a.set == rows[i].set);
        else
            assert_true(c.task == 42 && *c.content);
        json_decref(o);
    }
}

// Characters are counted, not octets.
static void lengths(void **state)
{
    static const char *const one[] = { "x", "\xc3\xa9", "\xf0\x9f\x98\x80" };
    (void)state;
    for (size_t i = 0; i < 3; i++)
        for (unsigned more = 0; more < 2; more++) {
            Wire__CommentAdd c = WIRE__COMMENT_ADD__INIT;
            Wire__AgentEdit a = WIRE__AGENT_EDIT__INIT;
            struct fault f;
            size_t n = strlen(one[i]);
            char *text = calloc(COMMENT_MAX + 2, n);
            assert_non_null(text);
            for (size_t k = 0; k < COMMENT_MAX + more; k++)
                memcpy(text + k * n, one[i], n);
            c.content = text;
            assert_int_equal(check_comment_add(&c, &f), more ? ERR_INVALID_FIELD : ERR_OK);
            text[(NAME_MAX_CHARS + more) * n] = 0;
            a.set = AEDIT_NAME;
            a.name = text;
            assert_int_equal(check_agent_edit(&a, &f), more ? ERR_INVALID_FIELD : ERR_OK);
            free(text);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(objects), cmocka_unit_test(bodies), cmocka_unit_test(lengths) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
