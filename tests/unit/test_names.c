// links: common protobuf-c
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "err.h"
#include "names.h"

#define N_OF(a) (sizeof(a) / sizeof *(a))

static const char *const words[] = {
#define N(value, name) name,
#define S(set, TABLE, PREFIX) TABLE(N)
    NAME_SETS(S)
#undef S
#undef N
};

// Every set: names and numbers are one another's inverse; nothing else is known.
#define S(set, TABLE, PREFIX)                                                   \
    static void set##_round_trip(void **state)                                  \
    {                                                                           \
        unsigned known = 0;                                                     \
        (void)state;                                                            \
        assert_null(set##_name(0));                                             \
        assert_null(set##_name(PREFIX##_COUNT));                                \
        assert_null(set##_name(UINT32_MAX));                                    \
        assert_int_equal(PREFIX##_NONE, 0);                                     \
        for (unsigned v = 1; v < PREFIX##_COUNT; v++) {                         \
            assert_non_null(set##_name(v));                                     \
            assert_int_equal(set##_find(set##_name(v)), v);                     \
            assert_non_null(strstr(set##_words(), set##_name(v)));              \
        }                                                                       \
        for (unsigned i = 0; i < N_OF(words); i++)                              \
            if (set##_find(words[i])) {                                         \
                assert_string_equal(set##_name(set##_find(words[i])), words[i]); \
                known |= 1u << set##_find(words[i]);                            \
            }                                                                   \
        assert_int_equal(known, (1u << PREFIX##_COUNT) - 2);                    \
        assert_memory_equal(set##_words(), set##_name(1), strlen(set##_name(1))); \
        assert_int_equal(set##_find(NULL), 0);                                  \
        assert_int_equal(set##_find(""), 0);                                    \
        assert_int_equal(set##_find("no such word"), 0);                        \
    }
NAME_SETS(S)
#undef S

// Numbers that are stored and go over the wire: they never change.
static void numbers_stay(void **state)
{
    (void)state;
    assert_int_equal(TASK_CANCELLED, 6);
    assert_int_equal(TYPE_COMMAND, 2);
    assert_int_equal(PRIORITY_CRITICAL, 4);
    assert_int_equal(FAILURE_REJECTED, 6);
    assert_int_equal(SESSION_CANCELLED, 4);
    assert_int_equal(DESKTOP_ERROR, 4);
    assert_int_equal(ROLE_ADMIN, 3);
    assert_int_equal(ENTITY_SYSTEM, 13);
}

static void ids(void **state)
{
    static const uint64_t numbers[] = { 1, 9, 10, 42, 1523, 4294967296, INT64_MAX };
    char text[ID_TEXT_MAX];
    (void)state;

    for (unsigned k = 1; k < ENTITY_COUNT; k++)
        for (unsigned i = 0; i < N_OF(numbers); i++) {
            size_t n = id_format(text, (enum entity)k, numbers[i]);
            assert_int_equal(n, strlen(text));
            assert_true(id_parse((enum entity)k, text) == numbers[i]);
            for (unsigned other = 1; other < ENTITY_COUNT; other++)
                if (other != k)
                    assert_true(id_parse((enum entity)other, text) == 0);
        }
    id_format(text, ENTITY_WORKSPACE, UINT64_MAX); // the longest there is
    assert_string_equal(text, "workspace_18446744073709551615");
}

static void ids_that_are_none(void **state)
{
    static const char *const bad[] = {
        "", "task", "task_", "_1", "1", "task_0", "task_01", "task_-1", "task_+1", "task_ 1", "task_1 ", "task_1x", "task_x",
        "Task_1", "task__1", "task-1", "taskx_1", "tas_1", "task_9223372036854775808", "task_18446744073709551616",
        "task_99999999999999999999999999", "task_1\n", "task_\xd9\xa1",
    };
    (void)state;
    for (unsigned i = 0; i < N_OF(bad); i++)
        assert_true(id_parse(ENTITY_TASK, bad[i]) == 0);
    assert_true(id_parse(ENTITY_NONE, "_1") == 0);
    assert_true(id_parse((enum entity)99, "_1") == 0);
    assert_true(id_parse(ENTITY_TASK, "task_9223372036854775807") == INT64_MAX);
}

static void errors(void **state)
{
    (void)state;
    for (unsigned e = 0; e < ERR_N; e++) {
        assert_true(strlen(err_name((enum err)e)) > 0);
        assert_true(e == ERR_OK || strlen(err_text((enum err)e)) > 0);
        assert_int_equal(err_from_wire(e), e);
        for (unsigned other = 0; other < e; other++)
            assert_string_not_equal(err_name((enum err)e), err_name((enum err)other));
    }
    assert_string_equal(err_name(ERR_BAD_STATE), "BAD_STATE");
    assert_string_equal(err_name(ERR_N), "INTERNAL");
    assert_string_equal(err_text((enum err)4000000000u), err_text(ERR_INTERNAL));
    assert_int_equal(err_from_wire(ERR_N), ERR_INTERNAL);
    assert_int_equal(err_from_wire(UINT32_MAX), ERR_INTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define S(set, TABLE, PREFIX) cmocka_unit_test(set##_round_trip),
        NAME_SETS(S)
#undef S
        cmocka_unit_test(numbers_stay), cmocka_unit_test(ids), cmocka_unit_test(ids_that_are_none), cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
