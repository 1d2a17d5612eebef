// How long from asking for a task that runs at once until the first octet of its output is on the event stream: one stream, one
// connection that asks, one task at a time, the next when the one before has ended. The machine should have nothing else to do.
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "load.h"
#include "stream.h"

enum { READ_MAX = 64 * 1024, REQUEST_MAX = 4096, GIVE_UP_MS = 60000 };

static struct {
    const char *address, *key;
    uint64_t rounds, round, began_ns;
    bool output, ended;     // of this round's task
    struct stream stream;
    struct hist took;
} all;

static void frame_cb(void *u, const char *text, size_t n)
{
    uint64_t round, ns;

    (void)u;
    if (memmem(text, n, "\"task.output\"", 13)) {
        if (mark_find(text, n, &round, &ns) != 1 || round != all.round || all.output)
            load_die("the output of another task: %.*s", (int)n, text);
        hist_add(&all.took, load_now_ns() - all.began_ns);
        all.output = true;
    } else if (memmem(text, n, "\"task.completed\"", 16)) {
        all.ended = true;
    } else if (memmem(text, n, "\"task.failed\"", 13)) {
        load_die("a task failed: %.*s", (int)n, text);
    }
}

static void say(int fd, const char *text)
{
    size_t n = strlen(text);

    if (send(fd, text, n, MSG_NOSIGNAL) != (ssize_t)n)
        load_die("a request could not be sent: %s", strerror(errno));
}

static bool readable(int fd, const char *who, char *data, ssize_t *ret_n)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    if (poll(&p, 1, GIVE_UP_MS) <= 0)
        load_die("nothing has come of the %s for %d s, in round %llu", who, GIVE_UP_MS / 1000, (unsigned long long)all.round);
    *ret_n = recv(fd, data, READ_MAX, 0);
    if (*ret_n == 0 || (*ret_n < 0 && errno != EAGAIN))
        load_die("the %s ended", who);
    return *ret_n > 0;
}

static void hear(int stream, bool (*enough)(void))
{
    static char data[READ_MAX];
    ssize_t n;

    while (!enough()) {
        if (!readable(stream, "stream", data, &n))
            continue;
        const char *wrong = stream_feed(&all.stream, data, (size_t)n, frame_cb, NULL);
        if (wrong)
            load_die("the stream: %s", wrong);
    }
}

static bool opened(void)
{
    return all.stream.frames > 0;
}

static bool over(void)
{
    return all.output && all.ended;
}

static void connected(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLOUT };

    if (poll(&p, 1, GIVE_UP_MS) <= 0 || p.revents != POLLOUT)
        load_die("could not connect to %s", all.address);
}

_Noreturn static void usage(FILE *to, int status)
{
    fprintf(to, "first ADDRESS:PORT -k KEY -n ROUNDS\nFrom the request that creates and runs a task to the first octet of its output on the stream.\n");
    exit(status);
}

int main(int argc, char **argv)
{
    static char data[READ_MAX];
    char request[REQUEST_MAX], body[512], mark[MARK_SIZE + 1] = "";
    ssize_t n;
    int o;

    while ((o = getopt(argc, argv, "k:n:h")) != -1) {
        switch (o) {
        case 'k': all.key = optarg; break;
        case 'n': all.rounds = load_number(optarg, 1, "-n"); break;
        case 'h': usage(stdout, 0);
        default: usage(stderr, 2);
        }
    }
    if (argc - optind != 1 || !all.key || !all.rounds)
        usage(stderr, 2);
    all.address = argv[optind];
    int stream = load_connect(all.address, 0), asking = load_connect(all.address, 1);
    connected(stream);
    connected(asking);
    (void)snprintf(request, sizeof request, "GET /api/mission-control/activity/stream?include=output HTTP/1.1\r\nHost: %s\r\nx-api-key: %s\r\n\r\n",
                   all.address, all.key);
    say(stream, request);
    hear(stream, opened);
    for (; all.round < all.rounds; all.round++) {
        all.output = all.ended = false;
        mark_put(mark, all.round, 0);
        (void)snprintf(body, sizeof body, "{\"type\":\"command\",\"content\":\"echo %s\",\"desktopId\":\"desktop_1\",\"run\":true}", mark);
        (void)snprintf(request, sizeof request, "POST /api/mission-control/tasks HTTP/1.1\r\nHost: %s\r\nx-api-key: %s\r\n"
                       "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", all.address, all.key, strlen(body), body);
        all.began_ns = load_now_ns();
        say(asking, request);
        hear(stream, over);
        while (!readable(asking, "answer", data, &n)) {
        }
        if (n < 12 || memcmp(data, "HTTP/1.1 201", 12) != 0)
            load_die("a wrong answer: %.*s", (int)n, data);
    }
    printf("{\"rounds\":%llu,\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f}\n", (unsigned long long)all.rounds,
           hist_us(&all.took, 0.5), hist_us(&all.took, 0.99), (double)all.took.max / 1000);
    return 0;
}
