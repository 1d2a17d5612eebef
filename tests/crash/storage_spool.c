// links: worker common protobuf-c sodium uv
// A worker's spool by itself, for storage_spool.py.
//
//     storage_spool drive DIR SESSIONS LOG   a worker's life: sessions are started, run, end, and most are forgotten. Lines of what was
//                                            promised, each with the length of LOG (the shim's) at that moment:
//                                            asked S, started S, refused S, ending S, ended S, forgetting S, flushed
//     storage_spool look                     a directory a line on standard input; what a worker finds there, in one line:
//                                            open [ended S] [lost S] ... , refused WHY, or damaged WHAT
// Both: the spool is DIR/data/spool, the guards are in DIR/data/run/guard.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "crypto.h"
#include "log.h"
#include "spool.h"

enum { AT_ONCE = 6, FLUSH_EVERY = 25, OUTPUT_MAX_OCTETS = 6000, LOOK_S = 30 };

// ---------------------------------------------------------------- what a session's end is, by its number

static uint8_t output[OUTPUT_MAX_OCTETS];
static Wire__OutputPiece piece;
static Wire__OutputPiece *pieces[1] = { &piece };
static char why_text[] = "as it must be";

static void report_of(uint64_t session, Wire__SessionReport *r)
{
    size_t n = (size_t)(session * 997 % OUTPUT_MAX_OCTETS);
    for (size_t i = 0; i < n; i++)
        output[i] = (uint8_t)('a' + (session + i) % 26);
    piece = (Wire__OutputPiece)WIRE__OUTPUT_PIECE__INIT;
    piece.stream = 1;
    piece.data = (ProtobufCBinaryData){ n, output };
    *r = (Wire__SessionReport)WIRE__SESSION_REPORT__INIT;
    r->session = session;
    r->attempt = 1 + (uint32_t)(session % 3);
    r->ended = r->has_exit = true;
    r->exit_code = (int32_t)(session % 200);
    r->failure_text = why_text;
    r->output_total = n;
    r->n_pieces = n ? 1 : 0;
    r->pieces = pieces;
}

static bool is_report_of(const Wire__SessionReport *r)
{
    Wire__SessionReport want;
    report_of(r->session, &want);
    return r->attempt == want.attempt && r->exit_code == want.exit_code && r->n_pieces == want.n_pieces && r->output_total == want.output_total &&
           strcmp(r->failure_text, why_text) == 0 &&
           (!r->n_pieces || (r->pieces[0]->data.len == want.output_total && memcmp(r->pieces[0]->data.data, output, want.output_total) == 0));
}

// ---------------------------------------------------------------- a life

static struct {
    uv_loop_t *loop;
    struct spool *spool;
    const char *log;
    uint64_t next, last, open, ends;
} life;

static void tell(const char *what, uint64_t session)
{
    struct stat st;
    printf("%s %" PRIu64 " %lld\n", what, session, stat(life.log, &st) == 0 ? (long long)st.st_size : 0LL);
    fflush(stdout);
}

static void begin_next(void);

static void started_cb(struct spool_entry *e, enum err err)
{
    uint64_t s = e->line.session;
    Wire__SessionReport r;
    tell(err ? "refused" : "started", s);
    life.open--;
    if (!err) {
        e->line.id.pid = 1000000;
        spool_guard_set(life.spool, &e->line);
        spool_process(life.spool, s, &e->line.id);
        if (s % 7) { // else it runs on
            report_of(s, &r);
            tell("ending", s);
            enum err ended = ERR_IO;
            for (int i = 0; i < 3 && ended; i++) // as a worker tries again
                ended = spool_end(life.spool, &r);
            if (!ended) {
                tell("ended", s);
                if (++life.ends % FLUSH_EVERY == 0) {
                    spool_flush(life.spool);
                    tell("flushed", 0);
                }
            }
            if (s % 3 == 0) {
                tell("forgetting", s);
                spool_forget(life.spool, s);
            }
        }
    } else {
        tell("forgetting", s); // the broker is told that it was not started
        spool_forget(life.spool, s);
    }
    free(e);
    begin_next();
}

static void begin_next(void)
{
    while (life.open < AT_ONCE && life.next <= life.last) {
        struct spool_entry *e = calloc(1, sizeof *e);
        if (!e)
            abort();
        uint64_t s = life.next++;
        list_init(&e->at);
        e->line = (struct spool_line){ .kind = SPOOL_START, .session = s, .task = s * 10, .attempt = 1 + (uint32_t)(s % 3) };
        snprintf(e->line.id.run, sizeof e->line.id.run, "%032" PRIx64, s);
        snprintf(e->line.id.boot, sizeof e->line.id.boot, "a-boot-that-is-over");
        e->done = started_cb;
        life.open++;
        tell("asked", s);
        spool_start(life.spool, e);
    }
}

static char found_text[1 << 20];
static size_t found_n;
static const char *damaged;

static void note(const char *what, uint64_t session)
{
    int n = snprintf(found_text + found_n, sizeof found_text - found_n, " %s %" PRIu64, what, session);
    if (n > 0 && found_n + (size_t)n < sizeof found_text)
        found_n += (size_t)n;
}

static void ended_cb(void *u, Wire__SessionReport *r)
{
    (void)u;
    if (!is_report_of(r))
        damaged = "a result is another than it was";
    note("ended", r->session);
    wire__session_report__free_unpacked(r, NULL);
}

static void lost_cb(void *u, const struct spool_line *l)
{
    (void)u;
    if (l->task != l->session * 10 || l->attempt != 1 + l->session % 3)
        damaged = "a session is another than it was";
    note("lost", l->session);
}

static enum err open_in(const char *dir, char *why, size_t why_size)
{
    char spool[4096], guard[4096];
    struct spool_found found = { ended_cb, lost_cb, NULL };
    snprintf(spool, sizeof spool, "%s/data/spool", dir);
    snprintf(guard, sizeof guard, "%s/data/run/guard", dir);
    life.loop = uv_default_loop();
    return spool_open(life.loop, spool, guard, &found, &life.spool, why, why_size);
}

static int drive(const char *dir, uint64_t sessions, const char *log)
{
    char why[512] = "";
    life.log = log;
    if (open_in(dir, why, sizeof why)) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    life.next = 1;
    life.last = sessions;
    begin_next();
    uv_run(life.loop, UV_RUN_DEFAULT); // until no timer and no job is left
    spool_flush(life.spool);
    tell("flushed", 0);
    return 0;
}

static _Noreturn void look(const char *dir)
{
    char why[512] = "";
    alarm(LOOK_S);
    enum err e = open_in(dir, why, sizeof why);
    if (e)
        printf("refused %s\n", why);
    else if (damaged)
        printf("damaged %s\n", damaged);
    else
        printf("open%s\n", found_text);
    fflush(stdout);
    _exit(0);
}

int main(int argc, char **argv)
{
    char dir[4096];
    log_init("storage-spool", LOG_ERROR);
    if (crypto_init())
        return 1;
    if (argc == 5 && strcmp(argv[1], "drive") == 0)
        return drive(argv[2], strtoull(argv[3], NULL, 10), argv[4]);
    if (argc != 2 || strcmp(argv[1], "look") != 0) {
        fprintf(stderr, "usage: storage_spool drive DIR SESSIONS LOG | look\n");
        return 2;
    }
    while (fgets(dir, sizeof dir, stdin)) {
        int status;
        dir[strcspn(dir, "\n")] = 0;
        pid_t child = fork();
        if (child == 0)
            look(dir);
        if (child < 0 || waitpid(child, &status, 0) != child)
            return 1;
        if (WIFSIGNALED(status))
            printf("damaged ended by signal %d\n", WTERMSIG(status));
        fflush(stdout);
    }
    return 0;
}
