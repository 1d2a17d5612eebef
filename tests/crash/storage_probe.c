// links: broker common lmdb xxhash protobuf-c sodium jansson uv systemd nng
// Tells what stores hold, for storage_*.py: a directory's name a line on standard input, an answer in one line. Each store is opened in a
// process of its own, the way the broker opens it: a crash of it is an answer too.
//
//     whole DIGEST NEWEST {"tasks":{"TITLE":"STATUS",...},"comments":["TEXT",...]}
//     empty                     there is no store, or nothing in it yet
//     bad WHAT                  refused, or not what it says of itself; killed by a signal; took more than PROBE_S
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "apply.h"
#include "arena.h"
#include "log.h"
#include "names.h"
#include "store_check.h"
#include "storage_read.h"
#include "verify.h"

enum { PROBE_S = 60, MAP = 1 << 30 };

static char finding[600];

static void found_cb(void *u, const char *what)
{
    (void)u;
    if (!*finding)
        snprintf(finding, sizeof finding, "%s", what);
}

static _Noreturn void bad(const char *what)
{
    printf("bad %s\n", what);
    fflush(stdout);
    _exit(0);
}

static void text(const char *s)
{
    putchar('"');
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == '"' || *s == '\\')
            printf("\\u%04x", (unsigned char)*s);
        else
            putchar(*s);
    putchar('"');
}

static void tasks(struct txn *t, struct arena *a)
{
    struct cursor c;
    const char *between = "";
    if (cursor_open(&c, t, DB_TASK, NULL))
        bad("the tasks cannot be opened");
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c), between = ",") {
        Rec__Task *r;
        if (kind_unpack(KIND_TASK, a, c.value, &r))
            bad("a task cannot be read");
        fputs(between, stdout);
        text(r->title);
        printf(":\"%s\"", task_status_name(r->status));
    }
    cursor_close(&c);
}

static void comments(struct txn *t, struct arena *a)
{
    struct cursor c;
    const char *between = "";
    if (cursor_open(&c, t, DB_COMMENT, NULL))
        bad("the comments cannot be opened");
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c), between = ",") {
        Rec__Comment *r = rec__comment__unpack(arena_allocator(a), c.value.n, c.value.p);
        if (!r)
            bad("a comment cannot be read");
        fputs(between, stdout);
        text(r->content);
    }
    cursor_close(&c);
}

static _Noreturn void probe(const char *dir)
{
    static struct arena a;
    struct verify_cbs cbs = { .found = found_cb };
    struct pages_found found;
    struct store *s;
    struct txn *t;
    Rec__Meta *m;
    uint64_t digest, records, wrong = 0;
    alarm(PROBE_S);
    arena_init(&a, 256 << 20);
    enum err e = store_check(dir, NULL, &found);
    if (e)
        bad(err_name(e));
    if (found.pages && store_open(dir, MAP, false, &s))
        bad("LMDB does not open it");
    if (!found.pages || store_begin(s, false, &t)) {
        printf("empty\n");
        fflush(stdout);
        _exit(0);
    }
    if (meta_read(t, &a, &m))
        bad("its head record cannot be read");
    if (verify_store(t, &cbs, &wrong) || wrong)
        bad(wrong ? finding : "it cannot be read to its end");
    store_abort(t);
    if (digest_of(s, &digest, &records))
        bad("a record cannot be read");
    if (store_begin(s, false, &t))
        bad("it cannot be read again");
    printf("whole %016" PRIx64 " %" PRIu64 " {\"tasks\":{", digest, m->newest);
    tasks(t, &a);
    printf("},\"comments\":[");
    comments(t, &a);
    printf("]}\n");
    fflush(stdout);
    _exit(0);
}

int main(void)
{
    char dir[4096];
    log_init("storage-probe", LOG_ERROR);
    while (fgets(dir, sizeof dir, stdin)) {
        int status;
        dir[strcspn(dir, "\n")] = 0;
        pid_t child = fork();
        if (child == 0)
            probe(dir);
        if (child < 0 || waitpid(child, &status, 0) != child) {
            perror("storage-probe");
            return 1;
        }
        if (WIFSIGNALED(status) || WEXITSTATUS(status)) // its answer, if it had begun one, is not whole: end the line
            printf("bad ended by %s %d\n", WIFSIGNALED(status) ? "signal" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        fflush(stdout);
    }
    return 0;
}
