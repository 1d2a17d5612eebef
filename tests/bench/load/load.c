#include "load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PORTS_A_SOURCE = 20000 }; // of the 28,000 a source address has by default

static void digits(char *at, unsigned width, uint64_t n)
{
    for (unsigned i = width; i-- > 0; n /= 10)
        at[i] = (char)('0' + n % 10);
}

void mark_put(char at[MARK_SIZE], uint64_t n, uint64_t ns)
{
    at[0] = at[MARK_SIZE - 1] = '@';
    at[1 + MARK_N] = ',';
    digits(at + 1, MARK_N, n);
    digits(at + 2 + MARK_N, MARK_NS, ns);
}

static int number(const char *at, unsigned width, uint64_t *ret)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < width; i++) {
        if (at[i] < '0' || at[i] > '9')
            return -1;
        n = n * 10 + (uint64_t)(at[i] - '0');
    }
    *ret = n;
    return 0;
}

int mark_find(const char *text, size_t size, uint64_t *ret_n, uint64_t *ret_ns)
{
    const char *at = memchr(text, '@', size);

    if (!at)
        return 0;
    if ((size_t)(text + size - at) < MARK_SIZE || at[1 + MARK_N] != ',' || at[MARK_SIZE - 1] != '@' ||
        number(at + 1, MARK_N, ret_n) || number(at + 2 + MARK_N, MARK_NS, ret_ns))
        return -1;
    return 1;
}

_Noreturn void load_die(const char *fmt, ...)
{
    va_list args;

    fflush(stdout);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

uint64_t load_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t load_number(const char *text, uint64_t min, const char *what)
{
    char *end;

    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (errno || *text < '0' || *text > '9' || *end || n < min)
        load_die("%s must be a number from %llu up, and is '%s'", what, (unsigned long long)min, text);
    return n;
}

void load_files(unsigned n)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        load_die("getrlimit: %s", strerror(errno));
    rlim_t want = n + 64;
    if (r.rlim_cur >= want)
        return;
    r.rlim_cur = want;
    if (r.rlim_max < want)
        r.rlim_max = want;
    if (setrlimit(RLIMIT_NOFILE, &r) != 0)
        load_die("%u open files are needed, and may not be had: raise the hard limit (ulimit -Hn)", n + 64);
}

int load_connect(const char *address, unsigned n)
{
    static const struct linger reset = { .l_onoff = 1 };
    static const int on = 1;
    struct sockaddr_in to = { .sin_family = AF_INET }, from = { .sin_family = AF_INET };
    const char *colon = strchr(address, ':');
    char host[64];

    if (!colon || (size_t)(colon - address) >= sizeof host)
        load_die("'%s' is no ADDRESS:PORT", address);
    memcpy(host, address, (size_t)(colon - address));
    host[colon - address] = 0;
    uint64_t port = load_number(colon + 1, 1, "the port");
    if (port > 65535 || inet_pton(AF_INET, host, &to.sin_addr) != 1)
        load_die("'%s' is no ADDRESS:PORT", address);
    to.sin_port = htons((uint16_t)port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        load_die("socket: %s", strerror(errno));
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) != 0)
        load_die("setsockopt: %s", strerror(errno));
    if (n >= PORTS_A_SOURCE) {
        from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + n / PORTS_A_SOURCE);
        if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) != 0 ||
            bind(fd, (struct sockaddr *)&from, sizeof from) != 0)
            load_die("bind to source address %u: %s", n / PORTS_A_SOURCE + 1, strerror(errno));
    }
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)
        load_die("connect to %s: %s", address, strerror(errno));
    return fd;
}

void *load_alloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);

    if (!p)
        load_die("out of memory");
    return p;
}

static void control(int epoll, int what, int fd, uint32_t events, void *u)
{
    struct epoll_event e = { .events = events, .data.ptr = u };

    if (epoll_ctl(epoll, what, fd, &e) != 0)
        load_die("epoll_ctl: %s", strerror(errno));
}

void load_watch(int epoll, int fd, uint32_t events, void *u)
{
    control(epoll, EPOLL_CTL_ADD, fd, events, u);
}

void load_rewatch(int epoll, int fd, uint32_t events, void *u)
{
    control(epoll, EPOLL_CTL_MOD, fd, events, u);
}

int load_wait(int epoll, struct epoll_event *events, int max, uint64_t until_ns)
{
    struct timespec t, *left = NULL;

    if (until_ns != UINT64_MAX) {
        uint64_t now = load_now_ns(), ns = until_ns > now ? until_ns - now : 0;
        t = (struct timespec){ .tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u) };
        left = &t;
    }
    int n = epoll_pwait2(epoll, events, max, left, NULL);
    if (n < 0 && errno != EINTR)
        load_die("epoll_pwait2: %s", strerror(errno));
    return n < 0 ? 0 : n;
}

// Below 64 exactly; above, the six bits behind the highest one.
static unsigned bucket_of(uint64_t ns)
{
    if (ns < HIST_SUB)
        return (unsigned)ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - 6u;
    unsigned b = (shift + 1) * HIST_SUB + (unsigned)(ns >> shift) % HIST_SUB;
    return b < HIST_BUCKETS ? b : HIST_BUCKETS - 1;
}

static double middle_of(unsigned b)
{
    if (b < HIST_SUB)
        return b;
    return (double)((uint64_t)(HIST_SUB + b % HIST_SUB) << (b / HIST_SUB - 1)) + (double)((uint64_t)1 << (b / HIST_SUB - 1)) / 2;
}

void hist_add(struct hist *h, uint64_t ns)
{
    h->n++;
    h->bucket[bucket_of(ns)]++;
    if (ns > h->max)
        h->max = ns;
}

double hist_us(const struct hist *h, double quantile)
{
    uint64_t rank = (uint64_t)((double)h->n * quantile), seen = 0;

    for (unsigned b = 0; b < HIST_BUCKETS; b++)
        if ((seen += h->bucket[b]) > rank)
            return middle_of(b) / 1000;
    return (double)h->max / 1000;
}
