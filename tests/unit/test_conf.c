// links: common protobuf-c
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "conf.h"

static const char *http, *rate, *quick, *nothing, *longest;
static const struct conf_opt opts[] = {
    { "test-http", "ADDRESS", "where to listen\nsecond line", "127.0.0.1:1", &http },
    { "test-rate-limit", "N", "requests a minute", NULL, &rate },
    { "test-quick", NULL, "a switch", NULL, &quick },
    { "test-nothing", "X", NULL, NULL, &nothing },
    { "test-2-with-a-name-longer-than-any-variable-of-the-environment-has-room-for", NULL, "ends in a line break\n", NULL, &longest },
};
enum { NOPTS = 5, ARGS_MAX = 8 };

static void read_args(unsigned n, const char *const *args)
{
    static char copy[ARGS_MAX][64];
    char *argv[ARGS_MAX + 2] = { copy[0] };
    for (unsigned i = 0; i < n; i++) {
        snprintf(copy[i], sizeof copy[i], "%s", args[i]);
        argv[i + 1] = copy[i];
    }
    conf_read("test", "About.", opts, NOPTS, (int)n + 1, argv);
}
#define READ(...)                                            \
    do {                                                     \
        const char *const args_[] = { "", __VA_ARGS__ };     \
        read_args(sizeof args_ / sizeof *args_ - 1, args_ + 1); \
    } while (0)

static void values(void **state)
{
    (void)state;
    READ();
    assert_string_equal(http, "127.0.0.1:1"); // the default
    assert_null(rate);
    assert_null(quick);
    READ("--test-http", "1.2.3.4:5", "--test-rate-limit=60", "--test-quick");
    assert_string_equal(http, "1.2.3.4:5");
    assert_string_equal(rate, "60");
    assert_string_equal(quick, "1");
    READ("--test-http=", "--test-rate-limit", "--test-quick"); // a value may look like an option
    assert_string_equal(http, "");
    assert_string_equal(rate, "--test-quick");
    assert_null(quick);
    READ("--test-http=a", "--test-http=b=c");
    assert_string_equal(http, "b=c");
}

static void environment(void **state)
{
    (void)state;
    assert_int_equal(setenv("MC_TEST_HTTP", "env", 1), 0);
    assert_int_equal(setenv("MC_TEST_RATE_LIMIT", "", 1), 0);
    READ();
    assert_string_equal(http, "env");
    assert_null(rate); // empty is not given
    READ("--test-http", "flag");
    assert_string_equal(http, "flag");
    assert_int_equal(unsetenv("MC_TEST_HTTP"), 0);
    assert_int_equal(unsetenv("MC_TEST_RATE_LIMIT"), 0);
}

// What a child that reads these arguments ends with, and what it says (of either output, at most size octets).
static int child(unsigned n, const char *const *args, char *said, size_t size)
{
    int fds[2], status;
    size_t len = 0;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (dup2(fds[1], 1) < 0 || dup2(fds[1], 2) < 0)
            _exit(98);
        read_args(n, args);
        _exit(99); // it came back
    }
    (void)close(fds[1]);
    for (ssize_t r; len < size - 1 && (r = read(fds[0], said + len, size - 1 - len)) > 0;)
        len += (size_t)r;
    said[len] = 0;
    (void)close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void ways_out(void **state)
{
    static const struct { unsigned n; const char *args[3]; int status; const char *said; } rows[] = {
        { 1, { "--help" }, 0, "MC_TEST_RATE_LIMIT" },
        { 1, { "--help" }, 0, "second line" },
        { 1, { "--help" }, 0, "(MC_TEST_2_WITH_A_NAME_LONGER_THAN_ANY_VARIABLE_OF_THE_ENVIRONME)" },
        { 1, { "--help" }, 0, "default 127.0.0.1:1" },
        { 1, { "--version" }, 0, "test " MC_VERSION "\n" },
        { 1, { "--no-such" }, 2, "unknown option '--no-such'" },
        { 1, { "--test" }, 2, "unknown option" },
        { 1, { "--test-httpx" }, 2, "unknown option" },
        { 1, { "stray" }, 2, "unexpected argument 'stray'" },
        { 1, { "-h" }, 2, "unexpected argument" },
        { 1, { "" }, 2, "unexpected argument" },
        { 1, { "--test-http" }, 2, "--test-http needs a value" },
        { 1, { "--test-quick=1" }, 2, "takes no value" },
        { 3, { "--test-http", "x", "--" }, 2, "unknown option" },
        { 1, { "--test-quick" }, 99, "" },
    };
    char said[4096];
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(child(rows[i].n, rows[i].args, said, sizeof said), rows[i].status);
        assert_non_null(strstr(said, rows[i].said));
        if (rows[i].status == 2)
            assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1); // one line
    }
}

static void number(void **state)
{
    static const struct { const char *text; uint64_t min, max; bool ok; uint64_t n; } rows[] = {
        { "0", 0, 10, true, 0 },    { "10", 0, 10, true, 10 },   { "11", 0, 10, false, 0 },  { "4", 5, 10, false, 0 },
        { "007", 0, 10, true, 7 },  { "", 0, 10, false, 0 },     { "-1", 0, 10, false, 0 },  { "+1", 0, 10, false, 0 },
        { " 1", 0, 10, false, 0 },  { "1 ", 0, 10, false, 0 },   { "1e3", 0, 9999, false, 0 }, { "0x1", 0, 10, false, 0 },
        { "99999999999999999999999", 0, UINT64_MAX, false, 0 },  { "9223372036854775807", 0, UINT64_MAX, true, INT64_MAX },
        { "18446744073709551616", 0, UINT64_MAX, false, 0 },
    };
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t n = 77;
        assert_int_equal(conf_number(rows[i].text, rows[i].min, rows[i].max, &n), rows[i].ok);
        assert_true(n == (rows[i].ok ? rows[i].n : 77));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(values), cmocka_unit_test(environment), cmocka_unit_test(ways_out),
                                        cmocka_unit_test(number) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
