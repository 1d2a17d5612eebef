/* One timer a second. Every fifth turn this machine is measured once for all of its desktops. A desktop with a chat endpoint
 * is asked for its models: every second until its agent answers, then every ten; a second failure in a row is needed to say
 * that it no longer does. A desktop that is stopped is left alone.
 */
#include "probe.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "chat.h"
#include "clock.h"
#include "crypto.h"
#include "fetch.h"
#include "names.h"
#include "probe_parse.h"

enum { TURN_MS = 1000, MEASURE_TURNS = 5, READY_TURNS = 10, WAIT_TURNS = 1, CHECK_MS = 5000, TARGETS_MAX = 4096, URL_MAX = 2200,
       ADDRESS_MAX = 64, FAILURES_NEEDED = 2 };

struct target {
    Wire__ProbeTarget *t;  // ours
    struct fetch *check;   // NULL: none under way
    struct probe *p;
    bool answers;
    unsigned failures, turns_left;
};

struct probe {
    struct probe_conf c;
    uv_timer_t timer;
    struct target **targets;
    size_t n;
    unsigned turn;
    uint64_t measured;
    struct probe_cpu cpu;
    bool have_cpu;
    char address[ADDRESS_MAX];
    Wire__Observation *seen, **seen_list; // n of each
};

// ---------------------------------------------------------------- this machine

static size_t read_file(const char *name, char *out, size_t size)
{
    size_t have = 0;
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    for (ssize_t n; have < size && (n = read(fd, out + have, size - have)) > 0;)
        have += (size_t)n;
    close(fd);
    return have;
}

static bool global_v4(uint32_t a)
{
    return (a >> 24) != 127 && (a >> 16) != 0xa9fe && (a >> 24) != 0;
}

// The first address others can reach us by; IPv4 before IPv6.
static void own_address(char out[ADDRESS_MAX])
{
    struct ifaddrs *all, *a;
    bool v6 = false;
    snprintf(out, ADDRESS_MAX, "127.0.0.1");
    if (getifaddrs(&all))
        return;
    for (a = all; a; a = a->ifa_next) {
        if (!a->ifa_addr || !(a->ifa_flags & IFF_UP) || (a->ifa_flags & IFF_LOOPBACK))
            continue;
        if (a->ifa_addr->sa_family == AF_INET) {
            struct sockaddr_in in;
            memcpy(&in, a->ifa_addr, sizeof in);
            if (global_v4(ntohl(in.sin_addr.s_addr)) && inet_ntop(AF_INET, &in.sin_addr, out, ADDRESS_MAX))
                break;
        } else if (a->ifa_addr->sa_family == AF_INET6 && !v6) {
            struct sockaddr_in6 in6;
            memcpy(&in6, a->ifa_addr, sizeof in6);
            if (!IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr) && !IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr))
                v6 = inet_ntop(AF_INET6, &in6.sin6_addr, out, ADDRESS_MAX) != NULL;
        }
    }
    freeifaddrs(all);
}

static void measure_cpu(struct probe *p, Wire__Metrics *m)
{
    char text[4096]; // the line is the first
    struct probe_cpu now;
    if (!probe_cpu_parse(text, read_file("/proc/stat", text, sizeof text), &now))
        return;
    if (p->have_cpu)
        (void)probe_cpu_share(&p->cpu, &now, &m->cpu);
    p->cpu = now;
    p->have_cpu = true;
}

static bool measure(struct probe *p, Wire__Metrics *m)
{
    char text[8192];
    struct probe_memory memory;
    struct statvfs fs;
    bool first = !p->have_cpu;
    measure_cpu(p, m);
    if (first) // a share needs two readings
        return false;
    if (probe_memory_parse(text, read_file("/proc/meminfo", text, sizeof text), &memory)) {
        m->memory = probe_share(memory.used_kib, memory.total_kib);
        m->memory_used_mib = memory.used_kib / 1024;
        m->memory_total_mib = memory.total_kib / 1024;
    }
    if (statvfs(p->c.home, &fs) == 0) {
        uint64_t unit = fs.f_frsize ? fs.f_frsize : 1, used = fs.f_blocks >= fs.f_bfree ? fs.f_blocks - fs.f_bfree : 0;
        uint64_t room = used + fs.f_bavail; // as df counts: what only root may use is no room
        m->disk = probe_share(used, room);
        m->disk_used_mib = used * unit / (1024 * 1024);
        m->disk_total_mib = room * unit / (1024 * 1024);
    }
    m->probed_ms = clock_wall_ms();
    return true;
}

static void measure_all(struct probe *p)
{
    Wire__Metrics m = WIRE__METRICS__INIT;
    Wire__LiveMetrics one[64], *list[64];
    size_t n = 0;
    own_address(p->address);
    if (!measure(p, &m))
        return;
    for (size_t i = 0; i < p->n; i++) {
        const Wire__ProbeTarget *t = p->targets[i]->t;
        if (t->status == DESKTOP_STOPPED)
            continue;
        wire__live_metrics__init(&one[n]);
        one[n].workspace = t->workspace;
        one[n].desktop = t->desktop;
        one[n].name = t->name;
        one[n].agent = t->agent;
        one[n].metrics = &m;
        p->measured++;
        list[n] = &one[n];
        if (++n == sizeof one / sizeof *one) {
            p->c.measured(p->c.u, list, n);
            n = 0;
        }
    }
    if (n)
        p->c.measured(p->c.u, list, n);
}

// ---------------------------------------------------------------- agents

static bool data_cb(void *u, unsigned status, const uint8_t *d, size_t n)
{
    (void)u;
    (void)status;
    (void)d;
    (void)n;
    return false; // that it answers is all we want to know
}

static void checked_cb(void *u, const struct fetch_result *r)
{
    struct target *t = u;
    bool was = t->answers;
    t->check = NULL;
    if (r->status) {
        t->answers = true;
        t->failures = 0;
    } else if (++t->failures >= FAILURES_NEEDED) {
        t->answers = false;
    }
    t->turns_left = t->answers && !t->failures ? READY_TURNS : WAIT_TURNS;
    if (t->answers != was)
        t->p->c.changed(t->p->c.u);
}

static void check_agent(struct target *t)
{
    char url[URL_MAX];
    if (t->check || !t->t->chat_url[0] || t->t->status == DESKTOP_STOPPED)
        return;
    if (t->turns_left && --t->turns_left)
        return;
    t->turns_left = WAIT_TURNS;
    if (!chat_url(url, sizeof url, t->t->chat_url, "/models") ||
        fetch_start(&(struct fetch_req){ .url = url, .bearer = t->t->chat_key, .accept = "application/json", .connect_ms = CHECK_MS,
                                         .stall_s = CHECK_MS / 1000, .total_ms = CHECK_MS, .data = data_cb, .done = checked_cb, .u = t },
                    &t->check) != ERR_OK)
        t->check = NULL;
}

static void turn_cb(uv_timer_t *timer)
{
    struct probe *p = timer->data;
    if (p->turn < 2 || p->turn % MEASURE_TURNS == 0) // twice at the beginning: a share needs two readings
        measure_all(p);
    p->turn++;
    for (size_t i = 0; i < p->n; i++)
        check_agent(p->targets[i]);
}

// ---------------------------------------------------------------- the list

static void release(struct target *t)
{
    if (!t)
        return;
    fetch_cancel(t->check);
    crypto_wipe(t->t->chat_key, strlen(t->t->chat_key));
    wire__probe_target__free_unpacked(t->t, NULL);
    free(t);
}

// Copied by way of its packed form: one function for all fields, also those to come.
static Wire__ProbeTarget *copy(const Wire__ProbeTarget *t)
{
    size_t n = wire__probe_target__get_packed_size(t);
    uint8_t *b = malloc(n ? n : 1);
    if (!b)
        return NULL;
    wire__probe_target__pack(t, b);
    Wire__ProbeTarget *c = wire__probe_target__unpack(NULL, n, b);
    crypto_wipe(b, n);
    free(b);
    return c;
}

static struct target *take(struct probe *p, uint64_t desktop)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->targets[i] && p->targets[i]->t->desktop == desktop) {
            struct target *t = p->targets[i];
            p->targets[i] = NULL;
            return t;
        }
    return NULL;
}

static struct target *renew(struct probe *p, const Wire__ProbeTarget *from)
{
    Wire__ProbeTarget *c = copy(from);
    struct target *t = take(p, from->desktop);
    if (t && c && strcmp(t->t->chat_url, c->chat_url) == 0) {
        crypto_wipe(t->t->chat_key, strlen(t->t->chat_key));
        wire__probe_target__free_unpacked(t->t, NULL);
        t->t = c;
        return t;
    }
    if (!c)
        return t; // what we knew is better than nothing
    release(t);
    t = calloc(1, sizeof *t);
    if (!t) {
        wire__probe_target__free_unpacked(c, NULL);
        return NULL;
    }
    t->t = c;
    t->p = p;
    return t;
}

void probe_targets(struct probe *p, Wire__ProbeTarget *const *targets, size_t n)
{
    size_t kept = 0;
    if (n > TARGETS_MAX)
        n = TARGETS_MAX;
    struct target **list = calloc(n + 1, sizeof *list);
    Wire__Observation *seen = calloc(n + 1, sizeof *seen), **seen_list = calloc(n + 1, sizeof *seen_list);
    if (!list || !seen || !seen_list) {
        free(list);
        free(seen);
        free(seen_list);
        return; // the broker gives the list again with its next change; until then the old one
    }
    for (size_t i = 0; i < n; i++)
        if (targets[i]->driver == DRIVER_LOCAL && (list[kept] = renew(p, targets[i])))
            kept++;
    for (size_t i = 0; i < p->n; i++)
        release(p->targets[i]);
    if (p->n == 0 && p->have_cpu)
        p->turn = 0; // the first that are looked after need not wait
    free(p->targets);
    free(p->seen);
    free(p->seen_list);
    p->targets = list;
    p->n = kept;
    p->seen = seen;
    p->seen_list = seen_list;
    Wire__Observation **differs;
    if (probe_observations(p, &differs))
        p->c.changed(p->c.u);
}

void probe_counts(const struct probe *p, uint64_t *ret_targets, uint64_t *ret_measured)
{
    *ret_targets = p->n;
    *ret_measured = p->measured;
}

size_t probe_observations(struct probe *p, Wire__Observation ***ret)
{
    size_t k = 0;
    for (size_t i = 0; i < p->n; i++) {
        const struct target *t = p->targets[i];
        bool ready = !t->t->chat_url[0] || t->answers;
        if (t->t->status == DESKTOP_STOPPED)
            continue;
        if (t->t->status == DESKTOP_RUNNING && (bool)t->t->agent_ready == ready && !t->t->error[0] &&
            strcmp(t->t->ip_address, p->address) == 0)
            continue;
        Wire__Observation *o = &p->seen[k];
        wire__observation__init(o);
        o->desktop = t->t->desktop;
        o->reachable = true;
        o->agent_answers = ready;
        o->ip_address = p->address;
        p->seen_list[k++] = o;
    }
    *ret = p->seen_list;
    return k;
}

enum err probe_new(const struct probe_conf *c, struct probe **ret)
{
    struct probe *p = calloc(1, sizeof *p);
    if (!p)
        return ERR_NO_MEMORY;
    p->c = *c;
    p->timer.data = p;
    own_address(p->address);
    if (uv_timer_init(c->loop, &p->timer) || uv_timer_start(&p->timer, turn_cb, 0, TURN_MS)) {
        free(p);
        return ERR_NO_MEMORY;
    }
    uv_unref((uv_handle_t *)&p->timer);
    *ret = p;
    return ERR_OK;
}
