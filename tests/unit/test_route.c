// links: gateway common protobuf-c sodium
// Every row of the public surface: found by its method and path, and by nothing else.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "route.h"
#include "routes.h"

static const struct route rows[] = {
#define R(method, role, body, cost, id, path, handler) \
    { METHOD_##method, ROLE_##role, BODY_##body, cost, ENTITY_##id, sizeof path - 1, path, NULL },
    ROUTES(R)
#undef R
};
enum { ROWS = sizeof rows / sizeof *rows };
static const char *const names[METHOD_N] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS" };

static struct route_match find(enum method m, const char *path)
{
    return route_find(rows, ROWS, m, (struct text){ path, strlen(path) });
}

// The row's path with its id filled in.
static void example(const struct route *r, const char *id, char out[256])
{
    const char *colon = strchr(r->path, ':');

    if (!colon)
        snprintf(out, 256, "%s", r->path);
    else
        snprintf(out, 256, "%.*s%s%s", (int)(colon - r->path), r->path, id, colon + 3);
}

static void every_row(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROWS; i++) {
        char id[ID_TEXT_MAX] = "", path[256];
        if (rows[i].id)
            (void)id_format(id, (enum entity)rows[i].id, 42);
        example(&rows[i], id, path);
        struct route_match m = find((enum method)rows[i].method, path);
        assert_ptr_equal(m.row, &rows[i]);
        assert_int_equal(m.id, rows[i].id ? 42 : 0);
        assert_int_equal(strlen(rows[i].path), rows[i].len);
        if (rows[i].method == METHOD_GET)
            assert_ptr_equal(find(METHOD_HEAD, path).row, &rows[i]);
    }
}

static void every_method(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROWS; i++) {
        char path[256], allow[ROUTE_ALLOW_MAX];
        char id[ID_TEXT_MAX] = "";
        if (rows[i].id)
            (void)id_format(id, (enum entity)rows[i].id, 1);
        example(&rows[i], id, path);
        for (unsigned m = 0; m < METHOD_N; m++) {
            bool known = false;
            for (unsigned k = 0; k < ROWS; k++)
                known = known || (strcmp(rows[k].path, rows[i].path) == 0 && (rows[k].method == m || (m == METHOD_HEAD && rows[k].method == METHOD_GET)));
            struct route_match f = find((enum method)m, path);
            assert_int_equal(f.row != NULL, known);
            assert_int_not_equal(f.allow, 0);
            route_allow(f.allow, allow);
            assert_int_equal(strstr(allow, names[m]) != NULL, known);
        }
    }
}

static void allow_text(void **state)
{
    char allow[ROUTE_ALLOW_MAX];
    (void)state;
    route_allow(find(METHOD_PUT, "/api/mission-control/tasks").allow, allow);
    assert_string_equal(allow, "GET, HEAD, POST");
    route_allow(find(METHOD_PUT, "/api/mission-control/tasks/task_1").allow, allow);
    assert_string_equal(allow, "GET, HEAD, PATCH, DELETE");
    route_allow(find(METHOD_GET, "/api/mission-control/tasks/task_1/run").allow, allow);
    assert_string_equal(allow, "POST");
    route_allow(find(METHOD_DELETE, "/api/desktops/stream").allow, allow); // not taken for an id
    assert_string_equal(allow, "GET, HEAD");
    route_allow(~0u, allow);
    assert_string_equal(allow, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    route_allow(0, allow);
    assert_string_equal(allow, "");
}

static void unknown_paths(void **state)
{
    static const char *const paths[] = {
        "", "/", "*", "/api", "/api/", "/api/mission-control", "/api/mission-control/", "/api/mission-control/tasks/", "/API/workers",
        "/api/mission-control//tasks", "/api/mission-control/tasks/task_1/", "/api/mission-control/tasks/task_1/runs",
        "/api/mission-control/tasks/task_1/run/", "/api/mission-control/tasks//run", "/api/mission-control/tasks/a/b/run",
        "/api/mission-control/./tasks", "/api/x/../workers", "/api/workers%2f", "/api%2Fworkers", "/api/workers%00", "/api/workers%",
        "/api/workers%2", "/api/workers%zz", "/healthz/", "/healthzz", "/health", "/api/desktops/desktop_1/reboot",
        "/api/workers\x01", "/api/mission-control/tasks/task_1%2Frun",
    };
    (void)state;
    for (unsigned i = 0; i < sizeof paths / sizeof *paths; i++)
        for (unsigned m = 0; m < METHOD_N; m++) {
            struct route_match f = find((enum method)m, paths[i]);
            assert_null(f.row);
            assert_int_equal(f.allow, 0);
        }
}

static void escapes_and_ids(void **state)
{
    static const struct { const char *path; uint64_t id; } cases[] = {
        { "/api/mission-control/tasks/task_7", 7 }, { "/api/mission-control/tasks/%74ask_7", 7 },
        { "/api/mission%2dcontrol/tasks/task%5F7", 7 }, { "/api/mission-control/tasks/task_9223372036854775807", INT64_MAX },
        { "/api/mission-control/tasks/task_9223372036854775808", 0 }, { "/api/mission-control/tasks/task_0", 0 },
        { "/api/mission-control/tasks/task_07", 0 }, { "/api/mission-control/tasks/task_-1", 0 }, { "/api/mission-control/tasks/7", 0 },
        { "/api/mission-control/tasks/desktop_7", 0 }, { "/api/mission-control/tasks/task_", 0 }, { "/api/mission-control/tasks/..", 0 },
        { "/api/mission-control/tasks/task_7%20", 0 },
        { "/api/mission-control/tasks/task_111111111111111111111111111111111111111111111111111", 0 },
    };
    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct route_match m = find(METHOD_GET, cases[i].path);
        assert_non_null(m.row); // it is the route; no object has such an id
        assert_int_equal(m.id, cases[i].id);
    }
    char longer[1200] = "/api/mission-control/tasks/%74";
    memset(longer + 30, 'x', 1000);
    assert_null(find(METHOD_GET, longer).row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row), cmocka_unit_test(every_method), cmocka_unit_test(allow_text), cmocka_unit_test(unknown_paths),
        cmocka_unit_test(escapes_and_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
