// links: gateway common protobuf-c sodium
// What a stream is asked for: kinds, desktops, agents and where to go on from.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "block.h"
#include "stream_query.h"

static struct stream_query q;
static const char *field;

static enum err read_query(enum event_view view, const char *query, const char *last)
{
    return stream_query_read(&q, view, (struct text){ query, strlen(query) }, (struct text){ last, last ? strlen(last) : 0 }, &field);
}

static bool has(unsigned kind)
{
    return (q.kinds & block_bit(kind)) != 0;
}

static void kinds(void **state)
{
    (void)state;
    assert_int_equal(read_query(VIEW_ACTIVITY, "", NULL), ERR_OK);
    assert_true(has(ROW_TASK_CREATED) && has(ROW_TASK_STARTED) && !has(BLOCK_KIND_OUTPUT) && !has(BLOCK_KIND_METRICS));
    assert_int_equal(read_query(VIEW_DESKTOPS, "", NULL), ERR_OK);
    assert_true(!has(ROW_TASK_CREATED) && has(ROW_DESKTOP_BOOTING) && has(BLOCK_KIND_METRICS));

    // types says it all
    assert_int_equal(read_query(VIEW_ACTIVITY, "types=task.started,no.such,,task.output", NULL), ERR_OK);
    assert_true(has(ROW_TASK_STARTED) && has(BLOCK_KIND_OUTPUT) && !has(ROW_TASK_CREATED) && !has(BLOCK_KIND_METRICS));
    assert_int_equal(read_query(VIEW_ACTIVITY, "types=desktop.metrics&include=output", NULL), ERR_OK);
    assert_int_equal(q.kinds, block_bit(BLOCK_KIND_METRICS));
    assert_int_equal(read_query(VIEW_DESKTOPS, "types=desktop.metrics", NULL), ERR_OK);
    assert_int_equal(q.kinds, block_bit(BLOCK_KIND_METRICS));
    assert_int_equal(read_query(VIEW_FEED, "types=desktop.metrics,task.output", NULL), ERR_OK); // the feed has neither
    assert_int_equal(q.kinds, 0);
    assert_int_equal(read_query(VIEW_FEED, "types=task.updated", NULL), ERR_OK); // several kinds of row
    assert_true(has(ROW_TASK_STARTED) && has(ROW_TASK_EDITED) && !has(ROW_TASK_CREATED));
}

static void filters(void **state)
{
    char many[STREAM_IDS_MAX * 16 + 64] = "desktopId=";

    (void)state;
    assert_int_equal(read_query(VIEW_ACTIVITY, "desktopId=desktop_3,desktop_1&agentId=agent_7", NULL), ERR_OK);
    assert_true(q.n_desktops == 2 && q.desktops[0] == 3 && q.desktops[1] == 1 && q.n_agents == 1 && q.agents[0] == 7);
    for (unsigned i = 1; i <= STREAM_IDS_MAX; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), "%sdesktop_%u", i > 1 ? "," : "", i);
    assert_int_equal(read_query(VIEW_ACTIVITY, many, NULL), ERR_OK);
    assert_int_equal(q.n_desktops, STREAM_IDS_MAX);
    strcat(many, ",desktop_9");
    assert_int_equal(read_query(VIEW_ACTIVITY, many, NULL), ERR_INVALID_FIELD);
    assert_string_equal(field, "desktopId");
}

static void refused(void **state)
{
    static const struct { const char *query, *field; } rows[] = {
        { "include=x", "include" }, { "include=", "include" }, { "include=output&include=output", "include" }, { "include=%", "include" },
        { "types=", "types" }, { "types=%zz", "types" }, { "types=a&types=b", "types" }, { "desktopId=", "desktopId" },
        { "desktopId=task_1", "desktopId" }, { "desktopId=desktop_1&desktopId=desktop_2", "desktopId" }, { "agentId=", "agentId" },
        { "agentId=x", "agentId" }, { "agentId=agent_1,desktop_1", "agentId" }, { "agentId=%", "agentId" }, { "lastEventId=%", "lastEventId" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(read_query(VIEW_ACTIVITY, rows[i].query, NULL), ERR_INVALID_FIELD);
        assert_string_equal(field, rows[i].field);
        assert_non_null(stream_query_text(field));
    }
    assert_null(stream_query_text("no such parameter"));
    assert_null(stream_query_text(NULL));
}

static void where_to_go_on(void **state)
{
    static const struct { const char *query, *header; bool has; uint64_t last; } rows[] = {
        { "", NULL, false, 0 }, { "lastEventId=7", NULL, true, 7 }, { "lastEventId=7", "9", true, 9 }, { "lastEventId=7", "", true, 7 },
        { "", "0", true, 0 }, { "", "x", false, 0 }, { "", "-1", false, 0 }, { "lastEventId=-1", NULL, false, 0 }, { "lastEventId=", NULL, false, 0 },
        { "", "99999999999999999999999", true, UINT64_MAX },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(read_query(VIEW_FEED, rows[i].query, rows[i].header), ERR_OK);
        assert_int_equal(q.has_last, rows[i].has);
        if (rows[i].has)
            assert_int_equal(q.last, rows[i].last);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds),
        cmocka_unit_test(filters),
        cmocka_unit_test(refused),
        cmocka_unit_test(where_to_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
