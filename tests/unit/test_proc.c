// links: worker common protobuf-c sodium uv
// Real processes: output, exit, environment, and trees that do not want to end. Each test ends with nobody left.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>
#include "check.h"
#include "clock.h"
#include "log.h"
#include "proc.h"
#include "launch.h"

enum { PATIENCE_MS = 20000, KEEP = 65536 };

static uv_loop_t *loop;
static bool without_groups, plainly;
static struct driver_user user = { "tester", "/tmp" };

struct run {
    struct proc *p;
    char run[RUN_ID_MAX];
    char text[2][KEEP + 1]; // the beginning of each stream
    size_t n[2];
    int code, signal;
    bool exited, eof, grouped;
};

static bool room_cb(void *u, size_t n)
{
    (void)u;
    (void)n;
    return true;
}

static void data_cb(void *u, enum stream s, const uint8_t *p, size_t n)
{
    struct run *r = u;
    int i = s == STREAM_STDERR;
    size_t keep = r->n[i] < KEEP ? KEEP - r->n[i] : 0;
    memcpy(r->text[i] + (r->n[i] < KEEP ? r->n[i] : KEEP), p, n < keep ? n : keep);
    r->n[i] += n;
}

static void eof_cb(void *u)
{
    ((struct run *)u)->eof = true;
}

static void exited_cb(void *u, int code, int sig)
{
    struct run *r = u;
    r->exited = true;
    r->code = code;
    r->signal = sig;
}

static const struct proc_cbs cbs = { room_cb, data_cb, eof_cb, exited_cb };

static void wake_cb(uv_timer_t *t)
{
    (void)t;
}

// Turns the loop until the condition holds.
#define UNTIL(condition)                                                                 \
    do {                                                                                 \
        uv_timer_t wake;                                                                 \
        uint64_t end = clock_mono_ms() + PATIENCE_MS;                                    \
        bool holds;                                                                      \
        uv_timer_init(loop, &wake);                                                      \
        uv_timer_start(&wake, wake_cb, 5, 5);                                            \
        while (!(holds = (condition)) && clock_mono_ms() < end)                          \
            uv_run(loop, UV_RUN_ONCE);                                                   \
        uv_close((uv_handle_t *)&wake, NULL);                                            \
        uv_run(loop, UV_RUN_NOWAIT);                                                     \
        if (!holds)                                                                      \
            fail_msg("%s: not within %d ms: %s", __func__, PATIENCE_MS, #condition);     \
    } while (0)

static unsigned runs;

static void start(struct run *r, const char *content)
{
    static struct driver_cmd cmd;
    char why[256] = "";
    *r = (struct run){ 0 };
    snprintf(r->run, sizeof r->run, "%08x%08x0123456789abcdef", (unsigned)getpid(), ++runs);
    struct driver_run d = { .driver = DRIVER_LOCAL, .content = content, .task = 42, .session = 9, .attempt = 1, .run = r->run };
    assert_int_equal(driver_command(&d, &user, &cmd), ERR_OK);
    struct tree_id id = { 0 };
    memcpy(id.run, r->run, sizeof id.run);
    tree_boot_id(id.boot);
    assert_false(cgroup_take(id.cgroup) && without_groups);
    r->grouped = id.cgroup[0] != 0;
    if (proc_spawn(&cmd, content, &id, &cbs, r, &r->p, why, sizeof why) != ERR_OK)
        fail_msg("spawn: %s", why);
}

// All processes that belong to the run in any way: found as a successor of ours would find them.
static unsigned survivors(const struct run *r)
{
    struct tree t;
    struct tree_id id = { 0 };
    memcpy(id.run, r->run, sizeof id.run);
    assert_int_equal(tree_scan(&t), ERR_OK);
    tree_mark(&t, &id, false, 1);
    unsigned n = tree_signal(&t, 1, 0);
    tree_fini(&t);
    return n;
}

static void finish(struct run *r)
{
    UNTIL(r->exited);
    UNTIL(proc_sweep(r->p) == 0);
    proc_close(r->p);
    UNTIL(survivors(r) == 0);
}

static void test_exit_and_streams(void **state)
{
    (void)state;
    static struct run r;
    static const struct {
        const char *content;
        int code, signal;
        const char *out, *err;
    } row[] = {
        { "echo out; echo err >&2; exit 7", 7, 0, "out\n", "err\n" },
        { "true", 0, 0, "", "" },
        { "kill -9 $$", 0, 9, "", "" },
        { "cat; echo end", 0, 0, "end\n", "" }, // standard input is empty
        { "pwd; echo $HOME $USER $SHELL $LANG $MC_TASK_ID $MC_SESSION_ID $MC_ATTEMPT", 0, 0,
          "/tmp\n/tmp tester /bin/sh C.UTF-8 task_42 session_9 1\n", "" },
        { "-x", 127, 0, "", "/bin/sh: 1: -x: not found\n" },
        { "printf 'a\\000b' | od -An -c", 0, 0, "   a  \\0   b\n", "" },
        { "ls /proc/self/fd | tr '\\n' ' '", 0, 0, "0 1 2 3 ", "" }, // 3 is what ls reads
        // The last 31: the two above them are the C library's own, which no program can reset.
        { "grep -E '^Sig(Blk|Ign)' /proc/self/status | tr -d '\\t' | sed 's/[0-9a-f]\\{8\\}\\([0-9a-f]\\{8\\}\\)$/\\1/; s/:[08]/:0/'", 0, 0,
          "SigBlk:00000000\nSigIgn:00000000\n", "" },
        { "test $(ps -o sid= -p $$) = $$ && echo own session", 0, 0, "own session\n", "" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        start(&r, row[i].content);
        UNTIL(r.exited && r.eof);
        finish(&r);
        if (r.code != row[i].code || r.signal != row[i].signal || strcmp(r.text[0], row[i].out) != 0 ||
            (row[i].err[0] && !strstr(r.text[1], "not found") && strcmp(r.text[1], row[i].err) != 0))
            fail_msg("row %zu: code %d signal %d out '%s' err '%s'", i, r.code, r.signal, r.text[0], r.text[1]);
    }
}

// Longer than one argument may be: it goes by a descriptor that the command does not see.
static void test_long_content(void **state)
{
    (void)state;
    static struct run r;
    size_t n = CONTENT_MAX;
    char *content = malloc(n + 1);
    size_t head = (size_t)snprintf(content, n, "echo long; ls /proc/self/fd | tr '\\n' ' '; : '");
    memset(content + head, 'x', n - head);
    memcpy(content + n - 9, "'\nexit 5\n", 9);
    content[n] = 0;
    start(&r, content);
    UNTIL(r.exited && r.eof);
    finish(&r);
    assert_string_equal(r.text[0], "long\n0 1 2 3 ");
    assert_int_equal(r.code, 5);
    free(content);
}

// It is in its group before it has done anything, and the group is gone soon after it.
static void test_born_into_its_group(void **state)
{
    (void)state;
    static struct run r;
    struct tree_id id;
    for (int i = 0; i < 40; i++) { // more than are in stock
        start(&r, "cat /proc/self/cgroup");
        id = *proc_id(r.p);
        UNTIL(r.exited && r.eof);
        finish(&r);
        if (!r.grouped) {
            print_message("no control groups here\n");
            return;
        }
        assert_non_null(strstr(r.text[0], strrchr(id.cgroup, '/')));
    }
    UNTIL(access(id.cgroup, F_OK) != 0);
}

static void test_cannot_start(void **state)
{
    (void)state;
    static struct run r;
    static struct driver_cmd cmd;
    struct driver_user nowhere = { "x", "/nonexistent" };
    char why[256] = "";
    struct driver_run d = { .driver = DRIVER_LOCAL, .content = "true", .run = "0123456789abcdef0123456789abcdef" };
    assert_int_equal(driver_command(&d, &nowhere, &cmd), ERR_OK);
    struct tree_id id = { .run = "0123456789abcdef0123456789abcdef" };
    (void)cgroup_take(id.cgroup);
    assert_int_equal(proc_spawn(&cmd, "true", &id, &cbs, &r, &r.p, why, sizeof why), ERR_IO);
    assert_non_null(strstr(why, "/nonexistent"));
    // A group that somebody has taken away keeps nothing from running.
    assert_int_equal(driver_command(&d, &user, &cmd), ERR_OK);
    if (cgroup_take(id.cgroup) && spawn_knows_groups()) {
        r = (struct run){ 0 };
        snprintf(r.run, sizeof r.run, "%s", id.run);
        assert_int_equal(rmdir(id.cgroup), 0);
        assert_int_equal(proc_spawn(&cmd, "true", &id, &cbs, &r, &r.p, why, sizeof why), ERR_OK);
        assert_string_equal(proc_id(r.p)->cgroup, "");
        finish(&r);
    }
    d.driver = DRIVER_SSH;
    assert_int_equal(driver_command(&d, &user, &cmd), ERR_INVALID_FIELD);
}

// Much output does not starve another run, and is counted whole.
static void test_flood(void **state)
{
    (void)state;
    static struct run flood, small;
    start(&flood, "head -c 300000000 /dev/zero");
    start(&small, "echo hello");
    uint64_t from = clock_mono_ms();
    UNTIL(small.exited && small.eof);
    assert_true(clock_mono_ms() - from < 5000);
    finish(&small);
    UNTIL(flood.exited && flood.eof);
    finish(&flood);
    assert_int_equal(flood.n[0], 300000000);
}

// Trees that resist: each says "up" once all of it runs.
static const char *const hostile[] = {
    "setsid sleep 1000 & setsid setsid sleep 1001 & echo up; sleep 1002",
    "(setsid sh -c 'sleep 1000 & sleep 1001' &) ; (setsid sh -c '(sleep 1002 &) ; sleep 1003' &) ; echo up; sleep 1004",
    "nohup sleep 1000 >/dev/null 2>&1 & trap '' TERM HUP INT; sh -c 'trap \"\" TERM; echo up; while :; do sleep 1; done'",
    "trap '' TERM; setsid sh -c \"trap '' TERM; while :; do sleep 1; done\" & echo up; while :; do sleep 1; done",
    "env -i setsid sh -c 'env -i setsid sleep 1000 & sleep 1001' & sleep 0.1; echo up; sleep 1002", // hides its mark
    "sh -c 'kill -STOP $$' & echo up; sleep 1000",
    "for i in $(seq 50); do setsid sleep 1000 & done; echo up; sleep 1000",
};

static unsigned sleepers(void)
{
    struct tree t;
    unsigned n = 0;
    assert_int_equal(tree_scan(&t), ERR_OK);
    for (size_t i = 0; i < t.n; i++)
        if (t.p[i].ppid == getpid() && t.p[i].state != 'Z')
            n++;
    tree_fini(&t);
    return n;
}

static void test_kill_hostile_trees(void **state)
{
    (void)state;
    static struct run r;
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        start(&r, hostile[i]);
        UNTIL(strstr(r.text[0], "up"));
        proc_term(r.p);
        uint64_t from = clock_mono_ms();
        proc_kill(r.p);
        UNTIL(r.exited);
        UNTIL(proc_sweep(r.p) == 0);
        proc_close(r.p);
        UNTIL(survivors(&r) == 0);
        UNTIL(sleepers() == 0); // no child of ours at all, marked or not
        assert_true(clock_mono_ms() - from < 12000);
    }
}

// The main process ends by itself and leaves others behind, which hold its pipes or do not.
static void test_leftovers(void **state)
{
    (void)state;
    static struct run r;
    start(&r, "setsid sleep 1000 & nohup sleep 1001 >/dev/null 2>&1 & env -i setsid sleep 1002 >/dev/null 2>&1 & echo up; exit 3");
    UNTIL(r.exited);
    assert_false(r.eof); // the first has the pipes
    UNTIL(proc_sweep(r.p) == 0);
    proc_close(r.p);
    assert_int_equal(r.code, 3);
    assert_string_equal(r.text[0], "up\n");
    UNTIL(survivors(&r) == 0 && sleepers() == 0);
}

// The end of one run leaves another's background processes alone, though all of them are children of ours by then.
static void test_others_stay(void **state)
{
    (void)state;
    static struct run a, b;
    start(&a, "(setsid sleep 1000 &) ; (env -i setsid sleep 1001 &) ; echo up; sleep 1002");
    UNTIL(strstr(a.text[0], "up"));
    UNTIL(survivors(&a) >= 3);
    start(&b, "(setsid sleep 1000 &) ; echo up");
    finish(&b);
    assert_true(survivors(&a) >= 3);
    assert_true(sleepers() >= 3); // also the one that hides
    proc_kill(a.p);
    finish(&a);
    UNTIL(sleepers() == 0);
}

// The worker of the next test: this program again, since a fork of one with threads is none. It is killed at once, by itself.
static int doomed_worker(int fd)
{
    static struct run r;
    start(&r, "setsid sleep 1000 & (setsid sh -c 'sleep 1001 & sleep 1002' &) ; trap '' TERM; echo up; while :; do sleep 1; done");
    UNTIL(strstr(r.text[0], "up"));
    if (write(fd, proc_id(r.p), sizeof(struct tree_id)) != sizeof(struct tree_id))
        return 1;
    return kill(getpid(), SIGKILL);
}

// What a killed worker left: its successor finds it by the record alone.
static void test_tree_end(void **state)
{
    (void)state;
    int pipe_of[2];
    assert_int_equal(pipe(pipe_of), 0);
    pid_t worker = fork();
    if (worker == 0) {
        char fd[16];
        snprintf(fd, sizeof fd, "%d", pipe_of[1]);
        execl("/proc/self/exe", "test_proc", without_groups ? "without" : plainly ? "plainly" : "with", fd, (char *)NULL);
        _exit(1);
    }
    struct tree_id id, wrong;
    int status;
    assert_int_equal(read(pipe_of[0], &id, sizeof id), sizeof id);
    assert_int_equal(waitpid(worker, &status, 0), worker);
    wrong = id; // of an earlier start of the machine: nothing of it is touched
    wrong.boot[0] = wrong.boot[0] == '0' ? '1' : '0';
    assert_int_equal(tree_end(&wrong), 0);
    struct run r = { 0 };
    memcpy(r.run, id.run, sizeof r.run);
    UNTIL(survivors(&r) >= 4);
    UNTIL(tree_end(&id) == 0);
    assert_int_equal(survivors(&r), 0);
    // A number that is another's by now: the start time differs, and nobody is hurt.
    pid_t bystander = fork();
    if (bystander == 0) {
        setpgid(0, 0);
        for (;;)
            pause();
    }
    wrong = id;
    wrong.pid = bystander;
    wrong.start = tree_start_time(bystander) - 1;
    wrong.cgroup[0] = 0;
    assert_int_equal(tree_end(&wrong), 0);
    assert_int_equal(waitpid(bystander, &status, WNOHANG), 0);
    kill(bystander, SIGKILL);
    assert_int_equal(waitpid(bystander, &status, 0), bystander);
    close(pipe_of[0]);
    close(pipe_of[1]);
}

static void test_stat_lines(void **state)
{
    (void)state;
    struct tree_proc p;
    static const char line[] = "77 (a) b (c) R 5 6 7 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3\n";
    assert_true(tree_stat_parse(line, strlen(line), &p));
    assert_true(p.pid == 77 && p.state == 'R' && p.ppid == 5 && p.pgrp == 6 && p.sid == 7 && p.start == 987654);
    for (size_t n = 0; n < 60; n++)
        assert_false(tree_stat_parse(line, n, &p));
    assert_false(tree_stat_parse("77 (x R 1 2 3", 13, &p));
}

int main(int argc, char **argv)
{
    log_init("test_proc", LOG_ERROR);
    loop = uv_default_loop();
    if (proc_init(loop, "test") != ERR_OK)
        return 1;
    if (argc == 3) {
        if (strcmp(argv[1], "without") == 0)
            cgroup_off();
        else if (strcmp(argv[1], "plainly") == 0)
            spawn_plainly();
        return doomed_worker(atoi(argv[2]));
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stat_lines),   cmocka_unit_test(test_exit_and_streams),   cmocka_unit_test(test_long_content),
        cmocka_unit_test(test_born_into_its_group), cmocka_unit_test(test_cannot_start), cmocka_unit_test(test_flood),              cmocka_unit_test(test_kill_hostile_trees),
        cmocka_unit_test(test_leftovers),    cmocka_unit_test(test_others_stay),        cmocka_unit_test(test_tree_end),
    };
    const struct CMUnitTest without[] = {
        cmocka_unit_test(test_kill_hostile_trees), cmocka_unit_test(test_leftovers), cmocka_unit_test(test_others_stay),
        cmocka_unit_test(test_tree_end),
    };
    const struct CMUnitTest moved[] = {
        cmocka_unit_test(test_exit_and_streams), cmocka_unit_test(test_long_content), cmocka_unit_test(test_cannot_start),
        cmocka_unit_test(test_kill_hostile_trees), cmocka_unit_test(test_leftovers), cmocka_unit_test(test_others_stay),
        cmocka_unit_test(test_tree_end),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    plainly = true;
    spawn_plainly();
    failed += cmocka_run_group_tests_name("moved into their groups", moved, NULL, NULL);
    without_groups = true;
    cgroup_off();
    return failed + cmocka_run_group_tests_name("without control groups", without, NULL, NULL);
}
