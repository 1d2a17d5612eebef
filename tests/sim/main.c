// Seeds: each in a process of its own. A seed is a minute or two of faults, then everything is healed and must come to rest: all tasks
// at their end, all subscribers and replicas level, a new command answered and its task done.
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "arena.h"
#include "crypto.h"
#include "names.h"
#include "sim.h"
#include "work.h"

enum { CHAOS_S = 12, CPU_MAX_S = 120, JOBS_MAX = 64, REST_S = LEASE_MS / 1000 + 90, HOOKS_S = 900, BITE_SEEDS = 200 };

static const struct { const char *name, *text; } breaks[BREAK_N] = {
#define B(id, name, text) [BREAK_##id] = { name, text },
    BREAKS(B)
#undef B
};

// ---------------------------------------------------------------- one seed

static uint64_t unreachable_until[64];

bool desktop_reachable(uint64_t desktop)
{
    return sim.healed || desktop >= 64 || unreachable_until[desktop] < sim.now_us;
}

static void pause_node(struct node *n, uint64_t us)
{
    if (!n)
        return;
    sim_trace("%s stands still for %llu ms", n->name, (unsigned long long)(us / US));
    n->paused_until_us = sim.now_us + us;
}

static void room_again(void *u)
{
    (void)u;
    cons_room(false);
}

static void fault(void)
{
    sim.n.faults++;
    if (sim_rnd(5) == 0)
        replica_keep_copy((unsigned)sim_rnd(BROKERS));
    switch (sim_rnd(15)) {
    case 0: broker_crash(); break;
    case 1: gateway_crash((unsigned)sim_rnd(GATEWAYS)); break;
    case 2: case 3: worker_crash((unsigned)sim_rnd(WORKERS)); break;
    case 4: pause_node(worker_node((unsigned)sim_rnd(WORKERS)), sim_rnd(2) ? sim_rnd(5 * SECOND) : 25 * SECOND + sim_rnd(25 * SECOND)); break;
    case 5: pause_node(gateway_node((unsigned)sim_rnd(GATEWAYS)), sim_rnd(4 * SECOND)); break;
    case 6: pause_node(broker_node(), sim_rnd(4) ? sim_rnd(3 * SECOND) : sim_rnd(40 * SECOND)); break;
    case 7: sim.wall_jump_ms += (int64_t)sim_rnd(2 * 3600 * 1000) - 3600 * 1000; break;
    case 8:
        if (sim_rnd(8))
            break;
        sim.wall_jump_ms += 40 * (int64_t)24 * 3600 * 1000;
        sim.aged = true;
        break;
    case 13: worker_replace((unsigned)sim_rnd(WORKERS)); break;
    case 9: if (broker_node()) net_break_some(broker_node()); break;
    case 10: unreachable_until[1 + sim_rnd(5)] = sim.now_us + sim_rnd(20 * SECOND); break;
    case 11:
    case 12:
        cons_room(true);
        sim_in(NULL, sim_rnd(3 * SECOND), room_again, NULL);
        break;
    default: if (worker_node((unsigned)sim_rnd(WORKERS))) net_break_some(worker_node((unsigned)sim_rnd(WORKERS))); break;
    }
}

static void chaos(void *u)
{
    (void)u;
    if (sim.healed)
        return;
    fault();
    sim_in(NULL, 50 * US + sim_rnd(3 * SECOND), chaos, NULL);
}

static void follow(void *u)
{
    (void)u;
    replicas_follow(broker_replica());
    sim_in(NULL, sim_rnd(400 * US), follow, NULL);
}

static uint64_t checks;
static void after_each(void)
{
    if (sim.n.batches >= 400 * (checks + 1)) {
        checks++;
        replicas_compare();
        model_check_store(replica_store(0));
    }
}

static void first_records(void)
{
    static uint8_t hash[HASH_SIZE] = { 1 };
    Wire__Init init = WIRE__INIT__INIT;
    Wire__WorkerAdd add[WORKERS + GATEWAYS];
    Wire__Item item[1 + WORKERS + GATEWAYS], *list[1 + WORKERS + GATEWAYS];
    static char last4[] = "abcd";
    static struct peer_key k[WORKERS + GATEWAYS];
    init.admin_key_hash = (ProtobufCBinaryData){ sizeof hash, hash };
    init.admin_key_last4 = last4;
    init.local_desktop = true;
    init.epoch_seed = sim.seed | 1;
    item[0] = (Wire__Item)WIRE__ITEM__INIT;
    item[0].body_case = WIRE__ITEM__BODY_INIT;
    item[0].init = &init;
    list[0] = &item[0];
    for (unsigned i = 0; i < WORKERS + GATEWAYS; i++) {
        k[i] = i < WORKERS ? *worker_key(i) : *gateway_key(i - WORKERS);
        add[i] = (Wire__WorkerAdd)WIRE__WORKER_ADD__INIT;
        add[i].name = k[i].name;
        add[i].peer = k[i].role;
        add[i].public_key = (ProtobufCBinaryData){ PEER_PUBLIC_SIZE, k[i].public };
        item[i + 1] = (Wire__Item)WIRE__ITEM__INIT;
        item[i + 1].body_case = WIRE__ITEM__BODY_WORKER_ADD;
        item[i + 1].worker_add = &add[i];
        list[i + 1] = &item[i + 1];
    }
    replicas_begin(list, 1 + WORKERS + GATEWAYS);
}

// Who stands still goes on when its time is over.
static void heal(void)
{
    sim.healed = true;
    sim_trace("healed");
    cons_room(false);
    gateway_settle();
}

// Runs on until it is so, at most that long. False: it never was.
static bool until(bool (*so)(void), uint64_t seconds)
{
    for (uint64_t i = 0; i < seconds && !so(); i++)
        sim_run(sim.now_us + SECOND, after_each);
    return so();
}
static bool finished(void) { return model_unfinished() == 0; }
static bool level(void) { return gateway_level(model_newest()); }

static void one_seed(uint64_t seed, const char *dir)
{
    sim_begin(seed);
    replicas_open(dir);
    keys_make();
    first_records();
    broker_start(0);
    for (unsigned i = 0; i < GATEWAYS; i++)
        gateway_start(i);
    for (unsigned i = 0; i < WORKERS; i++)
        worker_start(i);
    sim_in(NULL, SECOND, chaos, NULL);
    sim_in(NULL, SECOND, follow, NULL);
    sim_run((CHAOS_S + sim_rnd(CHAOS_S)) * SECOND, after_each);
    heal();
    if (!until(finished, REST_S * 4))
        model_say_unfinished();
    gateway_last_words();
    if (!until(gateway_heard, 40))
        sim_fail("a command after all was healed is not answered");
    if (!until(finished, 60))
        model_say_unfinished();
    if (!until(level, 20))
        sim_fail("a subscriber does not come level with event %llu", (unsigned long long)model_newest());
    if (!sim.aged && !until(model_delivered_all, HOOKS_S))
        sim_fail("a webhook does not deliver what it should");
    replicas_compare();
    for (unsigned r = 0; r < BROKERS; r++)
        model_check_store(replica_store(r));
    replicas_close();
    sim.n.us = sim.now_us;
}

// ---------------------------------------------------------------- many

struct report { // shared with the parent
    struct sim_counts n;
    uint64_t trace;
};
static struct report *reports;
static char temp_dir[192];
static bool quiet;

static void dir_of(unsigned slot, char out[256])
{
    (void)snprintf(out, 256, "%s/%u", temp_dir, slot);
}

static pid_t begin(uint64_t seed, unsigned slot)
{
    struct report *r = &reports[slot];
    char dir[256];
    fflush(stdout);
    pid_t pid = fork();
    if (pid)
        return pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGTERM, SIG_DFL);
    dir_of(slot, dir);
    struct rlimit limit = { CPU_MAX_S, CPU_MAX_S + 1 };
    if (quiet && !freopen("/dev/null", "w", stderr))
        _exit(1);
    (void)setrlimit(RLIMIT_CPU, &limit); // instead of an alarm: a busy machine is no fault of ours
    one_seed(seed, dir);
    r->n = sim.n;
    r->trace = sim.trace;
    fflush(stdout);
    _exit(0);
}

static void add(struct sim_counts *to, const struct sim_counts *n)
{
    const uint64_t *from = (const uint64_t *)n;
    uint64_t *at = (uint64_t *)to;
    for (size_t i = 0; i < sizeof *n / sizeof *from; i++)
        at[i] += from[i];
}

static struct {
    pid_t pid;
    uint64_t seed, same; // same: the trace it must repeat; 0: none
} jobs[JOBS_MAX];
static struct sim_counts all;
static unsigned n_jobs = 1;

static volatile sig_atomic_t stopped;

static void stopped_cb(int number)
{
    stopped = number;
}

// Nothing of ours stays.
static void clean_up(void)
{
    for (unsigned i = 0; i < n_jobs; i++) {
        char dir[256];
        if (jobs[i].pid > 0) {
            (void)kill(jobs[i].pid, SIGKILL);
            (void)waitpid(jobs[i].pid, NULL, 0);
        }
        dir_of(i, dir);
        replicas_remove(dir);
    }
    (void)rmdir(temp_dir);
}

static int wait_one(void)
{
    int status;
    pid_t pid = wait(&status);
    if (stopped) {
        clean_up();
        exit(128 + stopped);
    }
    for (unsigned i = 0; i < n_jobs; i++) {
        if (jobs[i].pid != pid)
            continue;
        jobs[i].pid = 0;
        bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        if (WIFSIGNALED(status) && !quiet)
            fprintf(stderr, "SEED=%llu ended by signal %d\n", (unsigned long long)jobs[i].seed, WTERMSIG(status));
        if (ok)
            add(&all, &reports[i].n);
        all.passed += ok;
        all.failed += !ok;
        if (!ok && !quiet)
            fprintf(stderr, "again, alone, with all that happens:  make sim SEED=%llu V=1\n", (unsigned long long)jobs[i].seed);
        return (int)i;
    }
    return -1;
}

static void progress(uint64_t done, uint64_t of, time_t began)
{
    static time_t last;
    time_t t = time(NULL);
    if (t - last < 10)
        return;
    last = t;
    printf("%llu of %llu seeds, %llu failed, %lld s\n", (unsigned long long)done, (unsigned long long)of, (unsigned long long)all.failed,
           (long long)(t - began));
    fflush(stdout);
}

static void run(const uint64_t *seeds, uint64_t n_seeds, uint64_t first, uint64_t n)
{
    time_t began = time(NULL);
    uint64_t total = n_seeds + n;
    unsigned busy = 0;
    for (uint64_t i = 0; i < total || busy;) {
        unsigned slot = 0;
        while (slot < n_jobs && jobs[slot].pid)
            slot++;
        if (sim.broken && all.failed)
            total = i; // one is enough
        if (i < total && slot < n_jobs) {
            jobs[slot].seed = i < n_seeds ? seeds[i] : first + (i - n_seeds);
            memset(&reports[slot], 0, sizeof reports[slot]);
            jobs[slot].pid = begin(jobs[slot].seed, slot);
            if (jobs[slot].pid < 0) {
                perror("fork");
                exit(1);
            }
            busy++;
            i++;
            continue;
        }
        if (wait_one() >= 0)
            busy--;
        progress(all.passed + all.failed, total, began);
    }
}

// The same seed must give the same run, or no failure could be looked at again.
static void twice(uint64_t seed)
{
    uint64_t trace[2] = { 0 };
    for (int i = 0; i < 2; i++) {
        memset(&reports[0], 0, sizeof reports[0]);
        jobs[0].seed = seed;
        jobs[0].pid = begin(seed, 0);
        (void)wait_one();
        trace[i] = reports[0].trace;
    }
    memset(&all, 0, sizeof all);
    if (trace[0] != trace[1]) {
        fprintf(stderr, "SEED=%llu: two runs of it are not the same\n", (unsigned long long)seed);
        all.failed++;
    }
}

// Every deliberate defect must be found.
static int bite(uint64_t first)
{
    unsigned found = 0;
    quiet = true;
    for (int i = 1; i < BREAK_N; i++) {
        memset(&all, 0, sizeof all);
        sim.broken = (enum broken)i;
        run(NULL, 0, first, BITE_SEEDS);
        found += all.failed > 0;
        printf("%-8s %-58s %s, %llu seeds\n", breaks[i].name, breaks[i].text, all.failed ? "found" : "NOT FOUND",
               (unsigned long long)(all.failed + all.passed));
        fflush(stdout);
    }
    printf("%u passed, %u failed\n", found, BREAK_N - 1 - found);
    return found == BREAK_N - 1 ? 0 : 1;
}

// A line: a number, then why it is there.
static uint64_t read_seeds(const char *path, uint64_t **ret)
{
    char line[512];
    uint64_t n = 0;
    FILE *f = fopen(path, "r");
    if (!f) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(2);
    }
    while (fgets(line, sizeof line, f)) {
        char *end;
        uint64_t seed = strtoull(line, &end, 10);
        if (end == line)
            continue;
        *ret = realloc(*ret, (n + 1) * sizeof **ret);
        if (!*ret)
            abort();
        (*ret)[n++] = seed;
    }
    (void)fclose(f);
    return n;
}

static void say_what(void)
{
    const struct { const char *what; uint64_t n; } said[] = {
        { "commands", all.commands }, { "batches", all.batches }, { "rows", all.rows }, { "messages", all.messages }, { "processes", all.started },
        { "faults", all.faults }, { "programs killed", all.crashes }, { "stores set back", all.restored }, { "requests repeated", all.repeats },
        { "late results", all.late }, { "leases lost", all.lost }, { "deliveries", all.delivered },
    };
    printf("simulated %.1f hours, %llu events:", (double)all.us / 3.6e9, (unsigned long long)all.events);
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        printf(" %llu %s%s", (unsigned long long)said[i].n, said[i].what, i + 1 < sizeof said / sizeof *said ? "," : "\n");
}

static void usage(FILE *to)
{
    fprintf(to, "sim: simulates a whole installation under faults, a seed at a time, and checks it by a model.\n"
                "  -n, --seeds N     so many seeds (500)\n"
                "  -f, --first N     from this one on (1)\n"
                "  -s, --seed N      this one alone, in this process\n"
                "  -l, --list FILE   before them, the seeds of this file: a number and a reason a line\n"
                "  -j, --jobs N      at once (as many as there are processors)\n"
                "  -v, --verbose     with --seed: prints all that happens\n"
                "  -B, --bite        with each deliberate defect in turn: all must be found\n"
                "  -b, --break NAME  with this one, until a seed fails\n");
    for (int i = 1; i < BREAK_N; i++)
        fprintf(to, "                    %-8s %s\n", breaks[i].name, breaks[i].text);
    fprintf(to, "Stores are kept in $SIM_DIR while a seed runs, else in /dev/shm or /tmp.\n");
}

static uint64_t number(const char *text)
{
    char *end;
    errno = 0;
    uint64_t n = strtoull(text, &end, 10);
    if (errno || *end || end == text) {
        fprintf(stderr, "sim: '%s' is not a number\n", text);
        exit(2);
    }
    return n;
}

static enum broken find_break(const char *name)
{
    for (int i = 1; i < BREAK_N; i++)
        if (strcmp(breaks[i].name, name) == 0)
            return (enum broken)i;
    fprintf(stderr, "sim: there is no defect '%s'\n", name);
    usage(stderr);
    exit(2);
}

// The programs that crash leave their memory behind on purpose.
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "detect_leaks=0:detect_stack_use_after_return=0:malloc_context_size=4:quarantine_size_mb=16"; }

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "seeds", 1, NULL, 'n' }, { "first", 1, NULL, 'f' }, { "seed", 1, NULL, 's' }, { "list", 1, NULL, 'l' }, { "jobs", 1, NULL, 'j' },
        { "verbose", 0, NULL, 'v' }, { "break", 1, NULL, 'b' }, { "bite", 0, NULL, 'B' }, { "help", 0, NULL, 'h' }, { NULL, 0, NULL, 0 },
    };
    uint64_t n = 500, first = 1, alone = 0, n_listed = 0, *listed = NULL;
    bool is_alone = false, biting = false;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    n_jobs = cpus > 0 && cpus <= JOBS_MAX ? (unsigned)cpus : 1;
    for (int c; (c = getopt_long(argc, argv, "n:f:s:l:j:vb:Bh", options, NULL)) != -1;)
        switch (c) {
        case 'n': n = number(optarg); break;
        case 'f': first = number(optarg); break;
        case 's': alone = number(optarg); is_alone = true; break;
        case 'l': n_listed = read_seeds(optarg, &listed); break;
        case 'j': n_jobs = (unsigned)number(optarg); break;
        case 'v': sim.verbose = true; break;
        case 'B': biting = true; break;
        case 'b': sim.broken = find_break(optarg); break;
        case 'h': usage(stdout); return 0;
        default: usage(stderr); return 2;
        }
    if (!n_jobs || n_jobs > JOBS_MAX)
        n_jobs = 1;
    const char *where = getenv("SIM_DIR");
    if (!where)
        where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    if (snprintf(temp_dir, sizeof temp_dir, "%s/mc-sim-XXXXXX", where) >= (int)sizeof temp_dir || !mkdtemp(temp_dir)) {
        fprintf(stderr, "sim: no directory can be made in %s\n", where);
        return 1;
    }
    const struct sigaction stop = { .sa_handler = stopped_cb }; // without SA_RESTART: wait() returns
    (void)sigaction(SIGINT, &stop, NULL);
    (void)sigaction(SIGTERM, &stop, NULL);
    reports = mmap(NULL, sizeof *reports * JOBS_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (reports == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    if (biting) {
        int code = bite(first);
        clean_up();
        return code;
    }
    if (is_alone) {
        run(&alone, 1, 0, 0);
    } else {
        if (n && !sim.broken)
            twice(first);
        run(listed, sim.broken ? 0 : n_listed, first, n);
    }
    clean_up();
    say_what();
    if (sim.broken) {
        printf("defect '%s' (%s): %s, %llu seeds\n", breaks[sim.broken].name, breaks[sim.broken].text, all.failed ? "found" : "NOT FOUND",
               (unsigned long long)(all.failed + all.passed));
        return all.failed ? 0 : 1;
    }
    printf("%llu passed, %llu failed\n", (unsigned long long)all.passed, (unsigned long long)all.failed);
    return all.failed ? 1 : 0;
}
