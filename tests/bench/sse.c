// Subscribers of one event stream: how many events a second they are given, how late, and whether each was given all of them once
// and in one order. Happy path: connect all, ask all, "ready" on stdout when every one has the head of its answer (and what -u
// asks for); then somebody publishes; when each has its -e events, one line of JSON. Of each event only the mark (load.h) is read.
// What is wrong with a stream ends the run with status 1, and so does -w seconds without any event; no time does.
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "load.h"
#include "stream.h"

enum { READ_MAX = 256 * 1024, EVENTS_MAX = 512, CONNECTING_MAX = 500, REQUEST_MAX = 4096 };

struct sub {
    struct stream stream;
    uint64_t events, order, last_id, now_ns;
    int fd;
    bool asked;
};

static struct {
    const char *address, *path, *only;
    unsigned n;
    uint64_t events, wait_s;
    char request[REQUEST_MAX];
    size_t request_n;
    struct sub *subs;
    int epoll;
    unsigned connected, open, done;
    uint8_t *seen;          // by the first subscriber, by the publisher's count
    uint64_t asked_ns, first_ns, last_ns, octets, reads;
    bool quiet;             // not one of them has been given an event
    struct hist lag;
} all;

static void event(struct sub *s, uint64_t n, uint64_t ns)
{
    if (s->events == all.events)
        load_die("subscriber %u was given more than %llu events", (unsigned)(s - all.subs), (unsigned long long)all.events);
    if (n >= all.events)
        load_die("an event has the mark %llu, of %llu", (unsigned long long)n, (unsigned long long)all.events);
    if (s == all.subs && all.seen[n]++)
        load_die("event %llu was given twice", (unsigned long long)n);
    s->order = s->order * 0x100000001b3u + n + 1;
    if (all.quiet || ns < all.first_ns)
        all.first_ns = ns;
    all.quiet = false;
    hist_add(&all.lag, s->now_ns > ns ? s->now_ns - ns : 0);
    if (++s->events == all.events)
        all.done++;
}

static void frame_cb(void *u, const char *text, size_t size)
{
    struct sub *s = u;
    uint64_t n, ns, id = 0;

    if (size > 4 && memcmp(text, "id: ", 4) == 0) { // ours are plain numbers, and rise
        const char *p = text + 4;
        while (*p >= '0' && *p <= '9')
            id = id * 10 + (uint64_t)(*p++ - '0');
        if (*p == '\n' && memmem(p, size - (size_t)(p - text), "data:", 5)) {
            if (id <= s->last_id)
                load_die("subscriber %u was given id %llu after %llu", (unsigned)(s - all.subs), (unsigned long long)id,
                         (unsigned long long)s->last_id);
            s->last_id = id;
        }
    }
    if (all.only && !memmem(text, size, all.only, strlen(all.only)))
        return;
    switch (mark_find(text, size, &n, &ns)) {
    case 0:
        return;
    case 1:
        event(s, n, ns);
        return;
    default:
        load_die("a frame is damaged: %.*s", (int)size, text);
    }
}

static void ask(struct sub *s)
{
    s->asked = true;
    if (send(s->fd, all.request, all.request_n, MSG_NOSIGNAL) != (ssize_t)all.request_n)
        load_die("subscriber %u could not ask: %s", (unsigned)(s - all.subs), strerror(errno));
    load_rewatch(all.epoll, s->fd, EPOLLIN, s);
}

static void readable(struct sub *s)
{
    static char data[READ_MAX];
    uint8_t before = s->stream.state;
    ssize_t n = recv(s->fd, data, sizeof data, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        load_die("subscriber %u: the stream ended (%s) after %llu of %llu events", (unsigned)(s - all.subs), n ? strerror(errno) : "closed",
                 (unsigned long long)s->events, (unsigned long long)all.events);
    s->now_ns = all.last_ns = load_now_ns();
    all.octets += (uint64_t)n;
    all.reads++;
    const char *wrong = stream_feed(&s->stream, data, (size_t)n, frame_cb, s);
    if (wrong)
        load_die("subscriber %u: %s: %.*s", (unsigned)(s - all.subs), wrong, (int)s->stream.n, s->stream.kept ? s->stream.kept : "");
    if (before == STREAM_HEAD && s->stream.state != STREAM_HEAD)
        all.open++;
}

static void writable(struct sub *s)
{
    int err = 0;
    socklen_t n = sizeof err;

    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &n) != 0 || err)
        load_die("subscriber %u could not connect: %s", (unsigned)(s - all.subs), strerror(err ? err : errno));
    all.connected++;
    load_rewatch(all.epoll, s->fd, 0, s);
}

// Waits and serves until count reaches want; dies when nothing has happened for -w seconds.
static void serve_until(const unsigned *count, unsigned want, const char *what)
{
    struct epoll_event events[EVENTS_MAX];

    while (*count < want) {
        uint64_t until = load_now_ns() + all.wait_s * 1000000000u;
        int n = load_wait(all.epoll, events, EVENTS_MAX, until);
        if (n == 0 && load_now_ns() >= until)
            load_die("%u of %u subscribers %s; nothing has come for %llu s", *count, want, what, (unsigned long long)all.wait_s);
        for (int i = 0; i < n; i++) {
            struct sub *s = events[i].data.ptr;
            if (!s->asked)
                writable(s);
            else
                readable(s);
        }
    }
}

static void check(void)
{
    for (unsigned i = 1; i < all.n; i++)
        if (all.subs[i].order != all.subs[0].order)
            load_die("subscriber %u was given other events than the first, or in another order", i);
    // The first had all.events marks, each below all.events and none twice: that is each of them once.
}

// Nothing is to be measured but what the subscribers cost: hold them until stdin ends.
static void hold(void)
{
    struct pollfd p[2] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = all.epoll, .events = POLLIN } };
    struct epoll_event events[EVENTS_MAX];
    char c;

    for (;;) {
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            load_die("poll: %s", strerror(errno));
        if (p[0].revents && read(STDIN_FILENO, &c, 1) <= 0)
            return;
        if (p[1].revents)
            for (int n = load_wait(all.epoll, events, EVENTS_MAX, 0); n-- > 0;)
                readable(events[n].data.ptr);
    }
}

_Noreturn static void usage(FILE *to, int status)
{
    fprintf(to, "sse ADDRESS:PORT PATH -n SUBSCRIBERS -e EVENTS [option...]\n"
                "  -H 'Name: value'  one more header field (Last-Event-ID, a key); may be repeated\n"
                "  -t TEXT           only frames with this in them count\n"
                "  -w SECONDS        without any event: give up (default 60)\n"
                "With -e 0: holds them idle until the end of stdin.\n");
    exit(status);
}

static void options(int argc, char **argv)
{
    char fields[REQUEST_MAX / 2] = "";
    int o;

    all.wait_s = 60;
    all.events = UINT64_MAX;
    while ((o = getopt(argc, argv, "n:e:H:t:w:h")) != -1) {
        size_t used = strlen(fields);
        switch (o) {
        case 'n': all.n = (unsigned)load_number(optarg, 1, "-n"); break;
        case 'e': all.events = load_number(optarg, 0, "-e"); break;
        case 'w': all.wait_s = load_number(optarg, 1, "-w"); break;
        case 't': all.only = optarg; break;
        case 'H':
            if (snprintf(fields + used, sizeof fields - used, "%s\r\n", optarg) >= (int)(sizeof fields - used))
                load_die("the header fields are too long");
            break;
        case 'h': usage(stdout, 0);
        default: usage(stderr, 2);
        }
    }
    if (argc - optind != 2 || !all.n || all.events == UINT64_MAX)
        usage(stderr, 2);
    all.address = argv[optind];
    all.path = argv[optind + 1];
    int n = snprintf(all.request, sizeof all.request, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n%s\r\n",
                     all.path, all.address, fields);
    if (n < 0 || (size_t)n >= sizeof all.request)
        load_die("the request is too long");
    all.request_n = (size_t)n;
}

int main(int argc, char **argv)
{
    options(argc, argv);
    load_files(all.n);
    all.subs = load_alloc(all.n, sizeof *all.subs);
    all.seen = load_alloc(all.events, 1);
    all.quiet = true;
    all.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (all.epoll < 0)
        load_die("epoll_create1: %s", strerror(errno));
    for (unsigned i = 0; i < all.n; i++) {
        all.subs[i].fd = load_connect(all.address, i);
        load_watch(all.epoll, all.subs[i].fd, EPOLLOUT, &all.subs[i]);
        if (i + 1 - all.connected >= CONNECTING_MAX) // no more than the peer's backlog holds
            serve_until(&all.connected, i + 1, "are connected");
    }
    serve_until(&all.connected, all.n, "are connected");
    all.asked_ns = load_now_ns();
    for (unsigned i = 0; i < all.n; i++)
        ask(&all.subs[i]);
    serve_until(&all.open, all.n, "have their stream");
    printf("ready\n");
    fflush(stdout);
    if (all.events == 0) {
        hold();
        return 0;
    }
    serve_until(&all.done, all.n, "have all events");
    check();
    uint64_t deliveries = all.events * all.n;
    printf("{\"subscribers\":%u,\"events\":%llu,\"deliveries\":%llu,\"since_first_s\":%.6f,\"since_asked_s\":%.6f,\"octets\":%llu,"
           "\"reads\":%llu,\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f}\n",
           all.n, (unsigned long long)all.events, (unsigned long long)deliveries, (double)(all.last_ns - all.first_ns) / 1e9,
           (double)(all.last_ns - all.asked_ns) / 1e9, (unsigned long long)all.octets, (unsigned long long)all.reads,
           hist_us(&all.lag, 0.5), hist_us(&all.lag, 0.99), (double)all.lag.max / 1000);
    return 0;
}
