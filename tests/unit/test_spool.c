// links: worker common protobuf-c sodium uv
// What survives a worker: lines and records, damaged in every way; the directory through several lives.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>
#include "crypto.h"
#include "guard.h"
#include "spool.h"

static const struct spool_line sample = {
    .kind = SPOOL_START, .session = 9, .task = 42, .attempt = 2,
    .id = { .run = "0123456789abcdef0123456789abcdef", .boot = "11111111-2222-3333-4444-555555555555", .pid = 4711, .start = 123456789,
            .cgroup = "/sys/fs/cgroup/x/mc-0123456789abcdef0123456789abcdef" },
};

static bool same(const struct spool_line *a, const struct spool_line *b)
{
    return a->kind == b->kind && a->session == b->session && a->task == b->task && a->attempt == b->attempt && a->id.pid == b->id.pid &&
           a->id.start == b->id.start && strcmp(a->id.run, b->id.run) == 0 && strcmp(a->id.boot, b->id.boot) == 0 &&
           strcmp(a->id.cgroup, b->id.cgroup) == 0;
}

static void test_lines(void **state)
{
    (void)state;
    struct spool_line lines[] = { sample, sample, { .kind = SPOOL_FORGET, .session = 1 } }, got;
    lines[1].kind = SPOOL_PROCESS;
    for (size_t i = 0; i < 3; i++) {
        struct buf b;
        buf_init(&b, SPOOL_LINE_MAX);
        spool_line_put(&b, &lines[i]);
        assert_int_equal(b.err, ERR_OK);
        assert_int_equal(b.data[b.len - 1], '\n');
        assert_true(spool_line_parse((char *)b.data, b.len - 1, &got));
        assert_true(same(&lines[i], &got));
        for (size_t n = 0; n < b.len - 1; n++) // cut anywhere
            assert_false(spool_line_parse((char *)b.data, n, &got));
        for (size_t n = 0; n < b.len - 1; n++) { // one octet changed anywhere
            b.data[n] ^= 1;
            assert_false(spool_line_parse((char *)b.data, b.len - 1, &got));
            b.data[n] ^= 1;
        }
        buf_fini(&b);
    }
    // A path that is not the group of the run is not believed, whatever its checksum says.
    struct spool_line bad = sample;
    struct buf b;
    buf_init(&b, SPOOL_LINE_MAX);
    snprintf(bad.id.cgroup, sizeof bad.id.cgroup, "/sys/fs/cgroup/system.slice");
    spool_line_put(&b, &bad);
    assert_false(spool_line_parse((char *)b.data, b.len - 1, &got));
    buf_fini(&b);
}

// Lines whose checksum is right, and that are none of ours all the same.
static void test_lines_that_are_none(void **state)
{
    static const struct { const char *text; bool ok; } rows[] = {
        { "S 9 42 2 run boot 1 2 -", true }, { "F 9 0 0 - - 0 0 -", true }, { "S 0 42 2 run boot 1 2 -", false }, { "X 9 42 2 run boot 1 2 -", false },
        { "SS 9 42 2 run boot 1 2 -", false }, { "S 9 42 2 run boot 1 2", false }, { "S 9 42 2 run boot 1 2 - -", false }, { "S", false },
        { "S x 42 2 run boot 1 2 -", false }, { "S 9/ 42 2 run boot 1 2 -", false }, { "S 9 4: 2 run boot 1 2 -", false },
        { "S 9 42 2x run boot 1 2 -", false }, { "S 9 42 2 run boot 1x 2 -", false }, { "S 9 42 2 run boot 1 2x -", false },
        { "S 9223372036854775807 42 2 run boot 1 2 -", true }, { "S 9223372036854775808 42 2 run boot 1 2 -", false },
        { "S 9 9223372036854775808 2 run boot 1 2 -", false }, { "S 9 42 4294967295 run boot 1 2 -", true },
        { "S 9 42 4294967296 run boot 1 2 -", false }, { "S 9 42 2 run boot 2147483648 2 -", false },
        { "S 9 42 2 run boot 1 99999999999999999999 -", false }, { "S 9 42 2 0123456789abcdef0123456789abcdef0 boot 1 2 -", false },
        { "S 9 42 2 run 11111111-2222-3333-4444-5555555555555555555555555555555 1 2 -", false },
        { "S 9 42 2 0123456789abcdef0123456789abcdef boot 1 2 /sys/fs/cgroup/x", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct spool_line got;
        uint8_t hash[HASH_SIZE];
        char line[SPOOL_LINE_MAX + 100];
        size_t n = strlen(rows[i].text);
        crypto_hash(hash, rows[i].text, n);
        n = (size_t)snprintf(line, sizeof line, "%s ", rows[i].text);
        for (unsigned k = 0; k < 8; k++)
            n += (size_t)snprintf(line + n, sizeof line - n, "%02x", hash[k]);
        if (spool_line_parse(line, n, &got) != rows[i].ok)
            fail_msg("'%s'", rows[i].text);
        line[n - 17] = '_';
        assert_false(spool_line_parse(line, n, &got));
        memset(line + n, 'x', sizeof line - n);
        assert_false(spool_line_parse(line, sizeof line, &got));
        line[0] = 0;
        assert_false(spool_line_parse(line, n, &got));
    }
    struct buf b; // no room for a line, or for an end
    for (size_t max = 0; max < 80; max += 10) {
        buf_init(&b, max);
        spool_line_put(&b, &sample);
        assert_int_equal(b.err, ERR_TOO_BIG);
        buf_fini(&b);
    }
}

static void make_end(struct buf *b, uint64_t session, Wire__OutputPiece *piece)
{
    Wire__SessionReport r = WIRE__SESSION_REPORT__INIT;
    char text[] = "why";
    r.session = session;
    r.attempt = 1;
    r.ended = r.has_exit = true;
    r.exit_code = 3;
    r.failure_text = text;
    r.output_total = 5;
    r.n_pieces = piece ? 1 : 0;
    r.pieces = &piece;
    spool_end_put(b, &r);
}

static void test_ends(void **state)
{
    (void)state;
    uint8_t data[] = "hello";
    Wire__OutputPiece p = WIRE__OUTPUT_PIECE__INIT;
    p.stream = 1;
    p.data = (ProtobufCBinaryData){ .len = 5, .data = data };
    struct buf b;
    buf_init(&b, SPOOL_END_MAX);
    make_end(&b, 9, &p);
    assert_int_equal(b.err, ERR_OK);
    Wire__SessionReport *r = spool_end_parse(b.data, b.len);
    assert_non_null(r);
    assert_int_equal(r->session, 9);
    assert_int_equal(r->exit_code, 3);
    assert_memory_equal(r->pieces[0]->data.data, "hello", 5);
    wire__session_report__free_unpacked(r, NULL);
    struct buf small;
    buf_init(&small, b.len - 1);
    make_end(&small, 9, &p);
    assert_int_equal(small.err, ERR_TOO_BIG);
    buf_fini(&small);
    struct buf none;
    buf_init(&none, SPOOL_END_MAX);
    make_end(&none, 0, &p); // of no session
    assert_null(spool_end_parse(none.data, none.len));
    buf_reset(&none);
    Wire__SessionReport running = WIRE__SESSION_REPORT__INIT;
    running.session = 9;
    spool_end_put(&none, &running); // that has not ended
    assert_null(spool_end_parse(none.data, none.len));
    buf_reset(&none);
    buf_put(&none, b.data, 8);
    crypto_hash(buf_reserve(&none, HASH_SIZE + 1), "\xff", 1); // no message at all
    none.len += HASH_SIZE;
    buf_putc(&none, (char)0xff);
    assert_null(spool_end_parse(none.data, none.len));
    buf_fini(&none);
    for (size_t n = 0; n < b.len; n++)
        assert_null(spool_end_parse(b.data, n));
    for (size_t n = 0; n < b.len; n++) {
        b.data[n] ^= 0x40;
        assert_null(spool_end_parse(b.data, b.len));
        b.data[n] ^= 0x40;
    }
    buf_fini(&b);
}

// The same as a line.
// A report's line with whatever stands in it, and the checksum of that.
static Wire__SessionReport *parse_summed(const char *line)
{
    char text[8192];
    uint8_t h[HASH_SIZE];
    size_t n = strlen(line);
    assert_true(n + 32 < sizeof text);
    memcpy(text, line, n);
    crypto_hash(h, line, n);
    text[n++] = ' ';
    for (int i = 0; i < 8; i++)
        n += (size_t)sprintf(text + n, "%02x", h[i]);
    return spool_report_parse(text, n);
}

static void test_reports_that_are_none(void **state)
{
    static const char *const wrong[] = { "E 4G", "E G4", "E 4`", "E `4", "E 4:", "E 4/", "F 40", "E_40", "E 400", "E ff" };
    static char longest[8000];
    char none[] = "";
    Wire__SessionReport r = WIRE__SESSION_REPORT__INIT;
    struct buf b;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_null(parse_summed(wrong[i]));
    memset(longest, '0', sizeof longest - 1);
    memcpy(longest, "E ", 2);
    longest[sizeof longest - 2] = 0;
    assert_null(parse_summed(longest));
    r.session = 9;
    r.ended = true;
    r.failure_text = none;
    buf_init(&b, 4); // the buffer says that it has no room: the report itself is not too long
    assert_true(spool_report_put(&b, &r));
    assert_int_not_equal(b.err, ERR_OK);
    buf_fini(&b);
}

static void test_reports(void **state)
{
    (void)state;
    static uint8_t data[2000];
    char text[] = "why";
    Wire__OutputPiece p = WIRE__OUTPUT_PIECE__INIT, *list[1] = { &p };
    Wire__SessionReport in = WIRE__SESSION_REPORT__INIT;
    struct spool_line line;
    struct buf b;
    buf_init(&b, SPOOL_END_MAX);
    in.session = 9;
    in.ended = in.has_exit = true;
    in.exit_code = 3;
    in.failure_text = text;
    in.pieces = list;
    in.n_pieces = 1;
    p.data = (ProtobufCBinaryData){ .len = 5, .data = (uint8_t *)memcpy(data, "hello", 5) };
    assert_true(spool_report_put(&b, &in));
    assert_int_equal(b.data[b.len - 1], '\n');
    const char *at = (const char *)b.data;
    size_t n = b.len - 1;
    assert_null(memchr(at, '\n', n));
    Wire__SessionReport *r = spool_report_parse(at, n);
    assert_non_null(r);
    assert_int_equal(r->session, 9);
    assert_int_equal(r->exit_code, 3);
    assert_string_equal(r->failure_text, "why");
    assert_memory_equal(r->pieces[0]->data.data, "hello", 5);
    wire__session_report__free_unpacked(r, NULL);
    assert_false(spool_line_parse(at, n, &line));
    for (size_t i = 0; i < n; i++)
        assert_null(spool_report_parse(at, i));
    for (size_t i = 0; i < n; i++)
        for (int bit = 1; bit < 256; bit <<= 1) {
            b.data[i] ^= (uint8_t)bit;
            assert_null(spool_report_parse(at, n));
            b.data[i] ^= (uint8_t)bit;
        }
    // Too long, or no end: nothing is put, or nothing is believed.
    buf_reset(&b);
    p.data.len = sizeof data;
    assert_false(spool_report_put(&b, &in));
    assert_int_equal(b.len, 0);
    p.data.len = 5;
    in.ended = false;
    assert_true(spool_report_put(&b, &in));
    assert_null(spool_report_parse((const char *)b.data, b.len - 1));
    buf_fini(&b);
}

// ---------------------------------------------------------------- the directory

static char dir[128], guard[160];

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/mc-spool-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(guard, sizeof guard, "%s/guard", dir);
    strcat(dir, "/a/b"); // is made by spool_open
    return crypto_init() ? -1 : 0;
}

static void remove_all(const char *path)
{
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        char name[512];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        if (e->d_type == DT_DIR)
            remove_all(name);
        else
            unlink(name);
    }
    if (d)
        closedir(d);
    rmdir(path);
}

static int teardown(void **state)
{
    (void)state;
    *strstr(dir, "/a/b") = 0;
    remove_all(dir);
    return 0;
}

struct found {
    uint64_t ended[16], lost[16];
    struct spool_line line[16];
    int n_ended, n_lost;
};

static void ended_cb(void *u, Wire__SessionReport *r)
{
    struct found *f = u;
    f->ended[f->n_ended++] = r->session;
    wire__session_report__free_unpacked(r, NULL);
}

static void lost_cb(void *u, const struct spool_line *l)
{
    struct found *f = u;
    f->line[f->n_lost] = *l;
    f->lost[f->n_lost++] = l->session;
}

static enum err open_it(uv_loop_t *loop, struct found *f, struct spool **ret)
{
    char why[512] = "";
    struct spool_found cbs = { ended_cb, lost_cb, f };
    *f = (struct found){ 0 };
    return spool_open(loop, dir, guard, &cbs, ret, why, sizeof why);
}

static const struct spool_line *expected;

static bool seen_cb(void *u, const struct spool_line *l)
{
    (void)u;
    assert_true(!expected || same(l, expected));
    return false;
}

static size_t guards(struct spool *s, uint64_t task, uint64_t session, uint32_t attempt, const struct spool_line *want)
{
    expected = want;
    size_t n = spool_guard_each(s, task, session, attempt, seen_cb, NULL);
    assert_int_equal(n, spool_guard_each(s, task, session, attempt, NULL, NULL));
    return n;
}

struct life {
    struct spool_entry e[5];
    int done;
    struct spool *s;
};

static struct life *the_life;
static void done_cb(struct spool_entry *e, enum err err)
{
    (void)e;
    if (err)
        _exit(9);
    the_life->done++;
}

// One life of a worker, in a process of its own so that its lock goes with it: starts 1 to 5; 2 gets a process; 3, 4 and 5 end; 4
// is confirmed. Then it is gone, without a goodbye.
static void life(void)
{
    uv_loop_t loop;
    struct found f;
    struct life l = { 0 };
    the_life = &l;
    if (uv_loop_init(&loop) || open_it(&loop, &f, &l.s) || f.n_ended || f.n_lost)
        _exit(1);
    for (unsigned i = 0; i < 5; i++) {
        l.e[i].line = sample;
        l.e[i].line.session = i + 1;
        l.e[i].line.id.pid = 0;
        l.e[i].line.id.cgroup[0] = 0;
        l.e[i].done = done_cb;
        spool_start(l.s, &l.e[i]);
    }
    if (l.done)
        _exit(2); // never before spool_start has returned
    while (l.done < 5)
        uv_run(&loop, UV_RUN_ONCE);
    spool_process(l.s, 2, &sample.id);
    for (unsigned i = 3; i <= 5; i++) {
        Wire__SessionReport r = WIRE__SESSION_REPORT__INIT;
        r.session = i;
        r.ended = true;
        if (spool_end(l.s, &r))
            _exit(3);
    }
    spool_forget(l.s, 4);
    uv_run(&loop, UV_RUN_DEFAULT); // the later sync and removal
    kill(getpid(), SIGKILL);
}

static void test_lives(void **state)
{
    (void)state;
    int status;
    pid_t pid = fork();
    if (pid == 0)
        life();
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

    static uv_loop_t loop; // both live as long as the process
    struct found f;
    static struct spool *s, *other;
    assert_int_equal(uv_loop_init(&loop), 0);
    // Beside what it left: a damaged end, an unfinished write, half a line in the journal.
    char name[256];
    snprintf(name, sizeof name, "%s/77.end", dir);
    int fd = open(name, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "mc-end-1 rubbish", 16), 16);
    close(fd);
    snprintf(name, sizeof name, "%s/78.end.tmp", dir);
    close(open(name, O_WRONLY | O_CREAT, 0600));
    snprintf(name, sizeof name, "%s/journal", dir);
    fd = open(name, O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, "S 6 42 1 0123", 13), 13);
    close(fd);

    assert_int_equal(open_it(&loop, &f, &s), ERR_OK);
    assert_int_equal(f.n_ended, 2);
    assert_int_equal(f.ended[0] + f.ended[1], 3 + 5);
    assert_int_equal(f.n_lost, 2);
    assert_int_equal(f.lost[0], 1);
    assert_int_equal(f.lost[1], 2);
    assert_int_equal(f.line[0].id.pid, 0);
    assert_string_equal(f.line[0].id.run, sample.id.run);
    assert_int_equal(f.line[1].id.pid, sample.id.pid);
    assert_string_equal(f.line[1].id.cgroup, sample.id.cgroup);
    snprintf(name, sizeof name, "%s/77.end", dir);
    assert_int_not_equal(access(name, F_OK), 0);
    snprintf(name, sizeof name, "%s/77.end.bad", dir);
    assert_int_equal(access(name, F_OK), 0);
    snprintf(name, sizeof name, "%s/78.end.tmp", dir);
    assert_int_not_equal(access(name, F_OK), 0);
    struct stat st;
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);

    // Two workers must not share it.
    struct found g;
    assert_int_equal(open_it(&loop, &g, &other), ERR_AGAIN);

    // The guards of a task: found by later attempts only, each taken away by its own session.
    struct spool_line line = sample;
    assert_int_equal(guards(s, 42, 10, 3, NULL), 0);
    spool_guard_set(s, &line);
    assert_int_equal(guards(s, 42, 10, 3, &sample), 1);
    assert_int_equal(guards(s, 42, 9, 3, NULL), 0);  // it is its own
    assert_int_equal(guards(s, 42, 10, 2, NULL), 0); // not of an attempt before
    assert_int_equal(guards(s, 4, 10, 3, NULL), 0);  // of another task
    line.id.pid = 17;
    line.id.cgroup[0] = 0;
    spool_guard_set(s, &line); // over a longer one
    assert_int_equal(guards(s, 42, 10, 3, &line), 1);
    line.session = 10;
    line.attempt = 3;
    spool_guard_set(s, &line);
    assert_int_equal(guards(s, 42, 11, 4, NULL), 2);
    spool_guard_drop(s, 9);
    assert_int_equal(guards(s, 42, 11, 4, &line), 1);
    assert_int_equal(guards(s, 42, 10, 3, NULL), 0);
    spool_guard_drop(s, 10);
    assert_int_equal(guards(s, 42, 11, 4, NULL), 0);
    // An end that is too long for a line has a file for as long as it is not confirmed.
    static uint8_t much[2000];
    Wire__OutputPiece piece = WIRE__OUTPUT_PIECE__INIT, *pieces[1] = { &piece };
    Wire__SessionReport r = WIRE__SESSION_REPORT__INIT;
    r.session = 12;
    r.ended = true;
    r.pieces = pieces;
    r.n_pieces = 1;
    piece.data = (ProtobufCBinaryData){ .len = sizeof much, .data = much };
    assert_int_equal(spool_end(s, &r), ERR_OK);
    snprintf(name, sizeof name, "%s/12.end", dir);
    assert_int_equal(access(name, F_OK), 0);
    spool_forget(s, 12);
    spool_flush(s);
    assert_int_not_equal(access(name, F_OK), 0);
}

static bool nobody_cb(void *u, const struct spool_line *l)
{
    (void)u;
    return l->session == 7;
}

// A file of guards through two lives and beside that of another worker; damaged.
static void test_guards(void **state)
{
    (void)state;
    char name[256];
    struct guard *g, *other;
    struct spool_line line = sample;
    snprintf(name, sizeof name, "%s/mine", guard);
    assert_int_equal(mkdir(guard, 0700), 0);
    assert_int_equal(guard_open(guard, "mine", nobody_cb, NULL, &g), ERR_OK);
    for (line.session = 1; line.session <= 200; line.session++)
        assert_int_equal(guard_set(g, &line), ERR_OK);
    assert_int_equal(guard_each(g, 42, 0, 3, NULL, NULL), 200);
    guard_free(g);
    assert_int_equal(guard_open(guard, "other", nobody_cb, NULL, &other), ERR_OK);
    assert_int_equal(guard_each(other, 42, 0, 3, nobody_cb, NULL), 199);
    // Only what still counts is taken over.
    assert_int_equal(guard_open(guard, "mine", nobody_cb, NULL, &g), ERR_OK);
    assert_int_equal(guard_each(other, 42, 0, 3, NULL, NULL), 1);
    line.session = 8;
    assert_int_equal(guard_set(g, &line), ERR_OK);
    assert_int_equal(guard_each(other, 42, 7, 3, NULL, NULL), 1);
    guard_drop(g, 8);
    guard_drop(g, 7);
    guard_drop(g, 7);
    assert_int_equal(guard_each(other, 42, 0, 3, NULL, NULL), 0);
    // Rubbish and half a line are no guards.
    assert_int_equal(guard_set(g, &line), ERR_OK);
    assert_int_equal(guard_each(other, 42, 0, 3, NULL, NULL), 1);
    int fd = open(name, O_RDWR);
    assert_int_equal(pwrite(fd, "x", 1, 20), 1);
    close(fd);
    assert_int_equal(guard_each(other, 42, 0, 3, NULL, NULL), 0);
    guard_free(g);
    guard_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines), cmocka_unit_test(test_lines_that_are_none), cmocka_unit_test(test_ends),
        cmocka_unit_test(test_reports), cmocka_unit_test(test_reports_that_are_none),
        cmocka_unit_test_setup_teardown(test_lives, setup, teardown),
        cmocka_unit_test_setup_teardown(test_guards, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
