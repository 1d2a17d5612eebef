// links: mcctl common protobuf-c sodium uv jansson curl m
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "argv.h"
#include "help.h"
#include "routes.h"

static struct buf out;

static const char *made(void (*make)(const struct command *, struct buf *))
{
    buf_reset(&out);
    make(commands, &out);
    return buf_cstr(&out);
}

// Every row of the table can be reached, documented and parsed.
static void rows(void **state)
{
    char text[128];

    (void)state;
    for (const struct command *c = commands; c->words; c++) {
        unsigned min, max, n = 0;
        assert_ptr_equal(command_find(commands, c->words), c);
        assert_non_null(c->run);
        assert_non_null(c->args);
        assert_true(!c->method || c->path);
        argv_arity(c->args, &min, &max);
        assert_true(max == 0 || min <= max);
        for (const struct option *o; (o = command_option(c, n)); n++) {
            assert_true(strlen(o->help) > 0);
            assert_int_equal(o->arg == NULL, o->kind == OPT_SWITCH || o->kind == OPT_PASSWORD || o->kind == OPT_NULL);
            assert_int_equal(o->words != NULL, o->kind == OPT_WORD);
            for (unsigned i = 0; i < n; i++) { // no two alike
                assert_string_not_equal(command_option(c, i)->name, o->name);
                assert_true(!o->letter || command_option(c, i)->letter != o->letter);
            }
        }
        assert_true(n <= ARGV_OPTIONS_MAX);
        const char *at = c->alias, *w = NULL;
        for (size_t len; (len = command_word(&at, &w));) {
            snprintf(text, sizeof text, "%.*s", (int)len, w);
            assert_ptr_equal(command_find(commands, text), c);
        }
        // A path's names are those of the arguments.
        for (const char *p = c->path; p && (p = strchr(p, '{')); p++)
            assert_true(*c->args);
    }
}

// "/tasks/{task}/run?x" is "/tasks/:id/run".
static bool same_path(const char *path, const char *route)
{
    for (; *path && *path != '?'; path++, route++) {
        if (*path != '{') {
            if (*path != *route)
                return false;
            continue;
        }
        if (strncmp(route, ":id", 3) != 0)
            return false;
        path += strcspn(path, "}");
        route += 2;
    }
    return !*route;
}

// Whatever the gateway serves, some command asks for.
static void every_route(void **state)
{
    static const struct { const char *method, *path; } routes[] = {
#define R(method, role, body, cost, id, path, handler) { #method, path },
        ROUTES(R)
#undef R
    };
    static const char *const by_option[] = { "/healthz", MC "stream" }; // health --live, events --follow

    (void)state;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        bool found = strcmp(routes[i].path, by_option[0]) == 0 || strcmp(routes[i].path, by_option[1]) == 0;
        for (const struct command *c = commands; !found && c->words; c++)
            found = c->path && same_path(c->path, routes[i].path) && strcmp(c->method ? c->method : "GET", routes[i].method) == 0;
        if (!found)
            print_error("no command asks for %s %s\n", routes[i].method, routes[i].path);
        assert_true(found);
    }
}

static void helps(void **state)
{
    const char *man, *s;

    (void)state;
    buf_init(&out, 1000000);
    buf_reset(&out);
    help_all(commands, "", &out);
    s = buf_cstr(&out);
    assert_ptr_equal(strstr(s, "Usage: mcctl "), s);
    for (const struct command *c = commands; c->words; c++)
        if (c->about) {
            assert_non_null(strstr(s, c->words));
            assert_non_null(strstr(s, c->about));
        }
    for (const struct command *c = commands; c->words; c++) {
        buf_reset(&out);
        help_command(commands, c, &out);
        s = buf_cstr(&out);
        assert_non_null(strstr(s, c->words));
        for (unsigned i = 0; command_option(c, i); i++)
            assert_non_null(strstr(s, command_option(c, i)->help));
    }
    buf_reset(&out);
    help_all(commands, "task", &out);
    s = buf_cstr(&out);
    assert_non_null(strstr(s, "task run"));
    assert_null(strstr(s, "desktop add"));
    man = made(help_man);
    assert_non_null(strstr(man, ".SH NAME\n"));
    for (const char *line = man; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        assert_true(*line != '\''); // roff would take it for a request
    assert_non_null(strstr(made(help_bash), "complete -o default -F _mcctl mcctl"));
    assert_non_null(strstr(made(help_zsh), "#compdef mcctl"));
    assert_int_equal(out.err, ERR_OK);
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(rows), cmocka_unit_test(every_route), cmocka_unit_test(helps) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
