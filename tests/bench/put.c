// Clients that each ask, wait for the answer, and ask again: creates over HTTP, `put` of beanstalkd, XADD of Redis, by the same
// loop, so that what the generator costs is the same for all. With -r it is a publisher: so many a second, each at its time or as
// soon as a client is free. Every answer is looked at; a wrong one ends the run with status 1. One line of JSON at the end.
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "load.h"

enum { EVENTS_MAX = 512, ANSWER_MAX = 64 * 1024, GIVE_UP_S = 60 };

struct client {
    int fd;
    bool ready, waiting;
    uint64_t sent_ns;
    size_t got;
    char answer[ANSWER_MAX];
};

static struct {
    const char *address, *path, *body;
    unsigned n;
    uint64_t count, seconds, rate;
    char *fields;
    char *request;
    size_t request_n, mark_at;  // mark_at 0: none
    struct client *clients, **idle; // idle: a stack, of those that may ask
    unsigned n_idle;
    int epoll;
    uint64_t sent, done, begin_ns, end_ns;
    struct hist took;
} all;

// ---------------------------------------------------------------- the protocols

// Each: the length of a whole answer at the begin of n octets, 0 while it is not whole; -1: not the answer that is due.
static long answer_http(const char *p, size_t n)
{
    const char *end = memmem(p, n, "\r\n\r\n", 4), *length;

    if (n >= 10 && memcmp(p, "HTTP/1.1 2", 10) != 0)
        return -1;
    if (!end)
        return 0;
    size_t head = (size_t)(end - p) + 4, body = 0;
    for (const char *line = p; line < end; line = length + 2) {
        length = memmem(line, head - (size_t)(line - p), "\r\n", 2);
        if (!length)
            break;
        if (strncasecmp(line, "content-length:", 15) == 0) {
            body = strtoul(line + 15, NULL, 10);
            return n >= head + body ? (long)(head + body) : 0;
        }
    }
    return memmem(p, head, " 204 ", 5) ? (long)head : -1; // neither we nor nginx answer a POST in chunks
}

static long answer_beanstalk(const char *p, size_t n)
{
    const char *end = memmem(p, n, "\r\n", 2);

    if (!end)
        return n > 64 ? -1 : 0;
    return memcmp(p, "INSERTED ", n < 9 ? n : 9) == 0 ? end - p + 2 : -1;
}

static long answer_redis(const char *p, size_t n)
{
    const char *end = memmem(p, n, "\r\n", 2);

    if (n && *p != '$')
        return -1;
    if (!end)
        return 0;
    size_t whole = (size_t)(end - p) + 2 + strtoul(p + 1, NULL, 10) + 2;
    return n >= whole ? (long)whole : 0;
}

static void request_http(FILE *f)
{
    fprintf(f, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n", all.path, all.address,
            all.fields, strlen(all.body));
}

static void request_beanstalk(FILE *f)
{
    fprintf(f, "put 0 0 60 %zu\r\n", strlen(all.body));
}

static void request_redis(FILE *f)
{
    fprintf(f, "*5\r\n$4\r\nXADD\r\n$1\r\ns\r\n$1\r\n*\r\n$1\r\nb\r\n$%zu\r\n", strlen(all.body));
}

static const struct protocol {
    const char *name;
    void (*request)(FILE *f);  // what comes before the body
    const char *behind;        // what comes behind it
    long (*answer)(const char *p, size_t n);
} protocols[] = {
    { "http", request_http, "", answer_http },
    { "beanstalk", request_beanstalk, "\r\n", answer_beanstalk },
    { "redis", request_redis, "\r\n", answer_redis },
};
static const struct protocol *protocol;

// The request as it goes out each time; only the digits of its mark change.
static void make_request(void)
{
    FILE *f = open_memstream(&all.request, &all.request_n);
    char *body = strdup(all.body), *at = body ? strstr(body, "@@") : NULL;
    size_t head;

    if (!f || !body)
        load_die("out of memory");
    if (at) {
        char *marked = load_alloc(strlen(body) + MARK_SIZE, 1);
        memcpy(marked, body, (size_t)(at - body));
        mark_put(marked + (at - body), 0, 0);
        strcpy(marked + (at - body) + MARK_SIZE, at + 2);
        all.body = marked;
    }
    protocol->request(f);
    fflush(f);
    head = all.request_n;
    fprintf(f, "%s%s", all.body, protocol->behind);
    if (fclose(f) != 0)
        load_die("out of memory");
    if (at)
        all.mark_at = head + (size_t)(at - body);
    free(body);
}

// ---------------------------------------------------------------- the loop

static bool over(uint64_t now)
{
    return all.count ? all.sent == all.count : now - all.begin_ns >= all.seconds * 1000000000u;
}

static void ask(struct client *c, uint64_t now)
{
    c->sent_ns = now;
    c->waiting = true;
    if (all.mark_at)
        mark_put(all.request + all.mark_at, all.sent, now);
    all.sent++;
    if (send(c->fd, all.request, all.request_n, MSG_NOSIGNAL) != (ssize_t)all.request_n)
        load_die("a request could not be sent: %s", strerror(errno));
}

// Those that may ask do: all at once, or as many as are due.
static void ask_some(void)
{
    uint64_t now;

    while (all.n_idle && !over(now = load_now_ns())) {
        if (all.rate && (double)(now - all.begin_ns) < (double)all.sent * 1e9 / (double)all.rate)
            return;
        ask(all.idle[--all.n_idle], now);
    }
}

static void again(struct client *c)
{
    unsigned i = 0;

    while (all.idle[i] != c)
        i++;
    all.idle[i] = all.idle[--all.n_idle];
    close(c->fd);
    c->ready = false;
    c->fd = load_connect(all.address, (unsigned)(c - all.clients));
    load_watch(all.epoll, c->fd, EPOLLOUT, c);
}

static void readable(struct client *c)
{
    ssize_t n = recv(c->fd, c->answer + c->got, sizeof c->answer - c->got, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n == 0 && !c->waiting && c->got == 0) { // a server may close what stands idle
        again(c);
        return;
    }
    if (n <= 0)
        load_die("a connection ended (%s) after %llu answers", n ? strerror(errno) : "closed", (unsigned long long)all.done);
    c->got += (size_t)n;
    long whole = protocol->answer(c->answer, c->got);
    if (whole < 0 || (whole == 0 && c->got == sizeof c->answer) || (size_t)whole > c->got || !c->waiting)
        load_die("a wrong answer: %.*s", (int)(c->got < 1000 ? c->got : 1000), c->answer);
    if (whole == 0)
        return;
    if ((size_t)whole != c->got)
        load_die("more than one answer: %.*s", (int)(c->got < 1000 ? c->got : 1000), c->answer);
    c->got = 0;
    c->waiting = false;
    all.end_ns = load_now_ns();
    hist_add(&all.took, all.end_ns - c->sent_ns);
    all.done++;
    all.idle[all.n_idle++] = c;
}

static void writable(struct client *c)
{
    int err = 0;
    socklen_t n = sizeof err;

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &n) != 0 || err)
        load_die("could not connect to %s: %s", all.address, strerror(err ? err : errno));
    c->ready = true;
    load_rewatch(all.epoll, c->fd, EPOLLIN, c);
    all.idle[all.n_idle++] = c;
}

static void serve(uint64_t until)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t give_up = load_now_ns() + GIVE_UP_S * 1000000000ull;
    int n = load_wait(all.epoll, events, EVENTS_MAX, until < give_up ? until : give_up);

    if (n == 0 && load_now_ns() >= give_up)
        load_die("no answer for %d s, after %llu", GIVE_UP_S, (unsigned long long)all.done);
    for (int i = 0; i < n; i++) {
        struct client *c = events[i].data.ptr;
        c->ready ? readable(c) : writable(c);
    }
}

_Noreturn static void usage(FILE *to, int status)
{
    fprintf(to, "put PROTOCOL ADDRESS:PORT -b BODY (-n REQUESTS | -d SECONDS) [option...]\n"
                "  PROTOCOL     http (POST), beanstalk (put), redis (XADD)\n"
                "  -c CLIENTS   each with one request on its way (default 1)\n"
                "  -r RATE      so many a second in all, instead of as fast as the answers come\n"
                "  -p PATH      of http\n"
                "  -H FIELD     of http, 'Name: value'; may be repeated\n"
                "@@ in the body becomes a mark (load.h), by which sse knows the event again.\n");
    exit(status);
}

static void options(int argc, char **argv)
{
    size_t n;
    FILE *fields = open_memstream(&all.fields, &n);
    int o;

    if (!fields)
        load_die("out of memory");
    all.n = 1;
    all.path = "/";
    while ((o = getopt(argc, argv, "b:c:d:n:r:p:H:h")) != -1) {
        switch (o) {
        case 'b': all.body = optarg; break;
        case 'c': all.n = (unsigned)load_number(optarg, 1, "-c"); break;
        case 'd': all.seconds = load_number(optarg, 1, "-d"); break;
        case 'n': all.count = load_number(optarg, 1, "-n"); break;
        case 'r': all.rate = load_number(optarg, 1, "-r"); break;
        case 'p': all.path = optarg; break;
        case 'H': fprintf(fields, "%s\r\n", optarg); break;
        case 'h': usage(stdout, 0);
        default: usage(stderr, 2);
        }
    }
    if (fclose(fields) != 0)
        load_die("out of memory");
    for (size_t i = 0; argc - optind == 2 && i < sizeof protocols / sizeof *protocols; i++)
        if (strcmp(argv[optind], protocols[i].name) == 0)
            protocol = &protocols[i];
    if (!protocol || !all.body || !all.count == !all.seconds)
        usage(stderr, 2);
    all.address = argv[optind + 1];
}

int main(int argc, char **argv)
{
    options(argc, argv);
    make_request();
    load_files(all.n);
    all.clients = load_alloc(all.n, sizeof *all.clients);
    all.idle = load_alloc(all.n, sizeof *all.idle);
    all.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (all.epoll < 0)
        load_die("epoll_create1: %s", strerror(errno));
    for (unsigned i = 0; i < all.n; i++) {
        all.clients[i].fd = load_connect(all.address, i);
        load_watch(all.epoll, all.clients[i].fd, EPOLLOUT, &all.clients[i]);
    }
    while (all.n_idle < all.n)
        serve(UINT64_MAX);
    all.begin_ns = all.end_ns = load_now_ns();
    while (!over(load_now_ns()) || all.n_idle < all.n) {
        ask_some();
        if (over(load_now_ns()) && all.n_idle == all.n)
            break;
        serve(all.rate && all.n_idle && !over(load_now_ns()) ? all.begin_ns + all.sent * 1000000000u / all.rate : UINT64_MAX);
    }
    double took_s = (double)(all.end_ns - all.begin_ns) / 1e9;
    printf("{\"requests\":%llu,\"seconds\":%.6f,\"rate\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"begin_ns\":%llu}\n",
           (unsigned long long)all.done, took_s, took_s > 0 ? (double)all.done / took_s : 0, hist_us(&all.took, 0.5), hist_us(&all.took, 0.99),
           (double)all.took.max / 1000, (unsigned long long)all.begin_ns);
    return 0;
}
