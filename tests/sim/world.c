// The queue of events, ordered by time and then by when they were asked for; the clocks; all chance. Stands in for common/clock.c,
// common/log.c, common/notify.c and common/self.c when the simulator is linked.
#include "sim.h"
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "clock.h"
#include "log.h"
#include "notify.h"
#include "self.h"

static const uint64_t epoch_ms = 1767225600000; // 2026-01-01

struct event {
    uint64_t at, seq;
    struct node *node;
    void (*fn)(void *u);
    void *u;
};

struct world sim;
static struct event *heap;
static size_t n_heap, cap_heap;
static jmp_buf dying;
static uint64_t seq, chance[2]; // chance: the world's, the product's

static uint64_t next(uint64_t *s)
{
    *s += 0x9e3779b97f4a7c15u; // splitmix64
    uint64_t z = *s;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t sim_rnd(uint64_t n) { return next(&chance[0]) % n; }

bool sim_chance(unsigned in_ten_thousand)
{
    bool yes = !sim.healed && sim_rnd(10000) < in_ten_thousand;
    sim.n.faults += yes;
    return yes;
}

uint64_t sim_delay_us(void)
{
    if (sim_chance(100))
        return sim_rnd(2500 * US); // stuck somewhere
    return 50 + sim_rnd(sim_rnd(8) ? 400 : 20 * US);
}

void *sim_alloc(size_t n)
{
    void *p = calloc(1, n);
    if (!p)
        abort();
    return p;
}

// ---------------------------------------------------------------- the product's chance comes from the seed too

static const char *random_name(void) { return "simulated"; }
static uint32_t random_word(void) { return (uint32_t)next(&chance[1]); }
static void random_fill(void *p, const size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)p)[i] = (uint8_t)next(&chance[1]);
}
static randombytes_implementation from_seed = { .implementation_name = random_name, .random = random_word, .buf = random_fill };

void sim_begin(uint64_t seed)
{
    sim.seed = seed;
    chance[0] = seed * 2 + 1;
    chance[1] = ~seed;
    if (randombytes_set_implementation(&from_seed) || sodium_init() < 0)
        abort();
}

// ---------------------------------------------------------------- events

static bool before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void push(struct event e)
{
    if (n_heap == cap_heap) {
        cap_heap = cap_heap ? cap_heap * 2 : 1024;
        heap = realloc(heap, cap_heap * sizeof *heap);
        if (!heap)
            abort();
    }
    size_t i = n_heap++;
    for (; i && before(&e, &heap[(i - 1) / 2]); i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = e;
}

static struct event pop(void)
{
    struct event top = heap[0], e = heap[--n_heap];
    size_t i = 0;
    for (size_t k; (k = 2 * i + 1) < n_heap; i = k) {
        if (k + 1 < n_heap && before(&heap[k + 1], &heap[k]))
            k++;
        if (!before(&heap[k], &e))
            break;
        heap[i] = heap[k];
    }
    heap[i] = e;
    return top;
}

void sim_in(struct node *n, uint64_t us, void (*fn)(void *u), void *u)
{
    push((struct event){ sim.now_us + us, ++seq, n, fn, u });
}

void sim_run(uint64_t until_us, void (*after_each)(void))
{
    while (n_heap && heap[0].at <= until_us) {
        struct event e = pop();
        sim.now_us = e.at;
        if (e.node && e.node->dead)
            continue;
        if (e.node && e.node->paused_until_us > e.at) {
            e.at = e.node->paused_until_us;
            e.seq = ++seq;
            push(e);
            continue;
        }
        sim.node = e.node;
        if (_setjmp(dying) == 0)
            e.fn(e.u);
        sim.node = NULL;
        sim.n.events++;
        sim.trace = (sim.trace ^ e.at ^ chance[0] ^ chance[1] << 1) * 0x100000001b3u;
        after_each();
    }
    sim.now_us = until_us;
}

void sim_die(void)
{
    _longjmp(dying, 1);
}

struct node *node_new(const char *kind, unsigned id, void *u)
{
    struct node *n = sim_alloc(sizeof *n);
    snprintf(n->name, sizeof n->name, "%s%u", kind, id);
    n->id = id;
    n->loop.data = n;
    n->mono0_ms = 1000000u * id;
    n->skew_ms = (int64_t)sim_rnd(2000) - 1000;
    n->u = u;
    return n;
}

// ---------------------------------------------------------------- clocks

uint64_t clock_wall_ms(void)
{
    int64_t ms = (int64_t)(epoch_ms + sim.now_us / US) + sim.wall_jump_ms + (sim.node ? sim.node->skew_ms : 0);
    return (uint64_t)ms;
}

uint64_t clock_mono_us(void)
{
    if (sim.node && sim.node->lease_clock_broken)
        return clock_wall_ms() * US;
    return sim.now_us + (sim.node ? sim.node->mono0_ms : 0) * US;
}

uint64_t clock_mono_ms(void) { return clock_mono_us() / US; }

// ---------------------------------------------------------------- what is said

static void say(FILE *to, const char *fmt, va_list ap)
{
    fprintf(to, "%4llu.%06llu %-10s ", (unsigned long long)(sim.now_us / SECOND), (unsigned long long)(sim.now_us % SECOND),
            sim.node ? sim.node->name : "-");
    vfprintf(to, fmt, ap);
    fputc('\n', to);
}

void sim_fail(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fflush(stdout);
    fprintf(stderr, "SEED=%llu FAILED: ", (unsigned long long)sim.seed);
    say(stderr, fmt, ap);
    va_end(ap);
    fflush(stderr);
    replicas_close();
    _exit(1);
}

void sim_trace(const char *fmt, ...)
{
    va_list ap;
    if (!sim.verbose)
        return;
    va_start(ap, fmt);
    say(stdout, fmt, ap);
    va_end(ap);
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    va_list ap;
    if (!sim.verbose || level > LOG_INFO)
        return;
    va_start(ap, fmt);
    say(stdout, fmt, ap);
    va_end(ap);
}

void log_line(enum log_level level, const char *msg, const char *members, size_t n)
{
    (void)members;
    (void)n;
    log_msg(level, "%s", msg);
}

void notify_stopping(void) {}
void notify_status(const char *fmt, ...) { (void)fmt; }
void self_look(struct self *ret) { *ret = (struct self){ .start_ms = epoch_ms }; }
