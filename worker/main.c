// mc-worker: takes sessions from the broker, executes them, tells what comes of them.
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>
#include "conf.h"
#include "crypto.h"
#include "fault.h"
#include "fetch.h"
#include "link.h"
#include "log.h"
#include "notify.h"
#include "proc.h"
#include "self.h"
#include "spool.h"

#define PROGRAM "mc-worker"
enum { LOST_MAX_MS = 5000, LOST_STEP_US = 10000, FOUND_MAX = 65536, PATH_TEXT = 4096, FLUSH_MS = 1000 };

static struct {
    const char *data, *broker, *key, *slots, *spool, *drain, *stall, *allow, *log;
} opt;

static const struct conf_opt options[] = {
    { "data", "DIR", "directory with the state of this installation", "./data", &opt.data },
    { "broker", "ADDRESSES", "the broker's address; a comma list for standbys\n(default ipc://DATA/run/broker.ipc)", NULL, &opt.broker },
    { "worker-key", "FILE", "file with this worker's name and secret (default DATA/worker-1.key)", NULL, &opt.key },
    { "slots", "N", "sessions at once", "8", &opt.slots },
    { "spool", "DIR", "directory for what the broker has not confirmed yet\n(default DATA/spool/NAME)", NULL, &opt.spool },
    { "drain", "SECONDS", "how long commands may run on after SIGTERM", "25", &opt.drain },
    { "chat-stall", "SECONDS", "how long a chat endpoint may be silent", "60", &opt.stall },
    { "webhook-allow", "NETWORKS", "networks of this machine's surroundings that webhooks may be sent to, besides the\n"
      "internet: NETWORK[:PORT],... such as 10.1.0.0/16 or 127.0.0.1:8080 (default none)", NULL, &opt.allow },
    { "log-level", "LEVEL", "error, warn, info or debug", "info", &opt.log },
};

struct app {
    uv_loop_t *loop;
    struct link *link;
    struct spool *spool;
    uv_signal_t term, interrupt;
    Wire__SessionReport **ended; // of a former life
    size_t n_ended;
    struct spool_line *lost;
    size_t n_lost;
};

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, PROGRAM ": %s%s%s\n", what, why && *why ? ": " : "", why ? why : "");
    _exit(1); // nothing runs yet that would have to be let go
}

static uint64_t number(const char *name, const char *text, uint64_t min, uint64_t max)
{
    uint64_t v;
    if (!conf_number(text, min, max, &v))
        conf_usage(PROGRAM, "--%s must be a number from %llu to %llu, not '%s'", name, (unsigned long long)min, (unsigned long long)max, text);
    return v;
}

__attribute__((format(printf, 2, 3))) static void path(char out[PATH_TEXT], const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(out, PATH_TEXT, fmt, ap);
    va_end(ap);
    if (n < 0 || n >= PATH_TEXT)
        die("a path is too long", fmt);
}

// ---------------------------------------------------------------- what a former life left

static void ended_cb(void *u, Wire__SessionReport *r)
{
    struct app *a = u;
    Wire__SessionReport **more = a->n_ended < FOUND_MAX ? realloc(a->ended, (a->n_ended + 1) * sizeof *more) : NULL;
    if (!more)
        die("out of memory", "too much in the spool");
    a->ended = more;
    a->ended[a->n_ended++] = r;
}

static void lost_cb(void *u, const struct spool_line *l)
{
    struct app *a = u;
    struct spool_line *more = a->n_lost < FOUND_MAX ? realloc(a->lost, (a->n_lost + 1) * sizeof *more) : NULL;
    if (!more)
        die("out of memory", "too much in the spool");
    a->lost = more;
    a->lost[a->n_lost++] = *l;
}

// What was started and has no result must not run on: the broker ends those sessions when it hears that we do not hold them.
static void end_lost(struct app *a)
{
    for (size_t i = 0; i < a->n_lost; i++) {
        const struct spool_line *l = &a->lost[i];
        unsigned living = 1;
        for (unsigned ms = 0; ms < LOST_MAX_MS && (living = tree_end(&l->id)) > 0; ms += LOST_STEP_US / 1000)
            usleep(LOST_STEP_US); // there is no loop yet
        if (living)
            log_warn("what session_%llu left running cannot be ended", (unsigned long long)l->session);
        else
            log_info("session_%llu was running when we were killed: what it left was ended", (unsigned long long)l->session);
        spool_guard_drop(a->spool, l->session);
        spool_forget(a->spool, l->session);
    }
    free(a->lost);
    a->lost = NULL;
}

static void take_up(struct app *a)
{
    for (size_t i = 0; i < a->n_ended; i++) {
        Wire__SessionReport *r = a->ended[i];
        log_info("session_%llu ended before we were: its result is still to be told", (unsigned long long)r->session);
        if (link_restore(a->link, r) != ERR_OK)
            log_error("the spooled end of session_%llu does not fit together", (unsigned long long)r->session);
        wire__session_report__free_unpacked(r, NULL);
    }
    free(a->ended);
    a->ended = NULL;
}

// ---------------------------------------------------------------- running

static void drained_cb(void *u)
{
    struct app *a = u;
    uv_stop(a->loop);
}

static _Noreturn void leave(struct app *a)
{
    proc_flush(FLUSH_MS);
    spool_flush(a->spool);
    log_info("stopped");
    _exit(0); // never through nng's end: it can hang
}

static void signal_cb(uv_signal_t *h, int signum)
{
    struct app *a = h->data;
    static bool asked;
    if (signum == SIGINT || asked) {
        log_info("stopping at once");
        link_stop(a->link);
        leave(a);
    }
    asked = true;
    link_drain(a->link);
}

static void secure(void)
{
    struct rlimit none = { 0, 0 };
    if (getrlimit(RLIMIT_CORE, &none) == 0) {
        none.rlim_cur = 0; // commands may raise it again, to what they are allowed
        (void)setrlimit(RLIMIT_CORE, &none);
    }
#ifndef MC_SANITIZED // the leak check needs to look at us
    // A command of the same user must not read our memory, where our key is.
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

// The home directory is the one we were given, as for any program; else the one the system knows.
static void user(struct driver_user *ret)
{
    static struct passwd pw;
    static char text[16384], name[32];
    struct passwd *found = NULL;
    const char *home = getenv("HOME");
    (void)!getpwuid_r(geteuid(), &pw, text, sizeof text, &found);
    if (!home || home[0] != '/')
        home = found ? pw.pw_dir : NULL;
    if (!home || home[0] != '/')
        die("the user this runs as has no home directory", NULL);
    snprintf(name, sizeof name, "%u", (unsigned)geteuid()); // one the system has no name for
    *ret = (struct driver_user){ .name = found ? pw.pw_name : name, .home = home };
}

int main(int argc, char **argv)
{
    static struct app a;
    static struct peer_key key;
    static struct net_allow allow;
    static char broker[PATH_TEXT], key_file[PATH_TEXT], spool_dir[PATH_TEXT], guard_dir[PATH_TEXT], why[PATH_TEXT + 256];
    int level_ok;
    sigset_t ours, before;
    struct self self;
    self_look(&self); // remembers when we began
    // A signal that comes before its handler is there waits for it.
    sigemptyset(&ours);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGINT);
    sigprocmask(SIG_BLOCK, &ours, &before);
    conf_read(PROGRAM, "Executes the tasks of Mission Control: takes sessions from the broker, runs them, reports what comes of them.",
              options, sizeof options / sizeof *options, argc, argv);
    enum log_level level = log_level_find(opt.log, &level_ok);
    if (!level_ok)
        conf_usage(PROGRAM, "--log-level must be error, warn, info or debug, not '%s'", opt.log);
    unsigned slots = (unsigned)number("slots", opt.slots, 1, 1024), drain_s = (unsigned)number("drain", opt.drain, 0, 86400),
             stall_s = (unsigned)number("chat-stall", opt.stall, 1, 86400);
    const char *bad;
    size_t bad_n;
    if (!net_allow_parse(opt.allow, &allow, &bad, &bad_n))
        conf_usage(PROGRAM, "--webhook-allow takes networks such as 10.1.0.0/16 or 127.0.0.1:8080, not '%.*s'", (int)bad_n, bad);
    log_init(PROGRAM, level);
    secure();
    umask(022);
    signal(SIGPIPE, SIG_IGN);
    fault_init();
    if (crypto_init() != ERR_OK)
        die("libsodium cannot be used", NULL);

    path(broker, "ipc://%s/run/broker.ipc", opt.data);
    path(key_file, "%s/worker-1.key", opt.data);
    const char *key_path = opt.key ? opt.key : key_file;
    enum err e = peer_key_read(&key, key_path);
    if (e || key.role != 2)
        die(key_path, e == ERR_NOT_FOUND ? "there is no such file: make one with mcctl worker add" : e ? "not a key file" : "not the key of a worker");
    path(spool_dir, "%s/spool/%s", opt.data, key.name);
    path(guard_dir, "%s/run/guard-%u", opt.data, (unsigned)geteuid());

    struct link_conf c = { .broker = opt.broker ? opt.broker : broker, .key = &key, .slots = slots, .drain_ms = drain_s * 1000,
                           .stall_s = stall_s, .webhook_allow = &allow, .drained = drained_cb, .u = &a };
    user(&c.user);
    a.loop = c.loop = uv_default_loop();
    if (!a.loop)
        die("no event loop", strerror(errno));
    struct spool_found found = { .ended = ended_cb, .lost = lost_cb, .u = &a };
    e = spool_open(a.loop, opt.spool ? opt.spool : spool_dir, guard_dir, &found, &a.spool, why, sizeof why);
    if (e)
        die(why, NULL);
    c.spool = a.spool;
    if (proc_init(a.loop, spool_word(a.spool)) != ERR_OK)
        die("cannot look after processes here", strerror(errno));
    end_lost(&a);
    if (fetch_init(a.loop) != ERR_OK || link_new(&c, &a.link) != ERR_OK)
        die("out of memory", NULL);
    take_up(&a);
    if (uv_signal_init(a.loop, &a.term) || uv_signal_init(a.loop, &a.interrupt) || uv_signal_start(&a.term, signal_cb, SIGTERM) ||
        uv_signal_start(&a.interrupt, signal_cb, SIGINT))
        die("signals cannot be handled", NULL);
    a.term.data = a.interrupt.data = &a;
    sigprocmask(SIG_SETMASK, &before, NULL);
    e = link_start(a.link);
    if (e)
        die("cannot connect", err_text(e));
    log_info("worker %s, %u slots, broker %s", key.name, slots, c.broker);
    notify_watchdog(a.loop, NULL, NULL);
    notify_ready(); // a broker that is away is no reason not to be

    uv_run(a.loop, UV_RUN_DEFAULT);
    leave(&a);
}
