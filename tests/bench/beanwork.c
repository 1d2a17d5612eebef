// The anchor for tasks: a worker of beanstalkd that runs `sh -c true` for each job. Each of its connections reserves a job, starts
// the process (posix_spawn), waits for its end (pidfd), deletes the job, and reserves the next. Prints "ready" when all have
// reserved, a line of JSON when -n jobs are deleted.
#include <errno.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "load.h"

enum { EVENTS_MAX = 64, ANSWER_MAX = 4096, GIVE_UP_S = 60 };

struct slot {
    int fd, pidfd;        // pidfd -1: no process
    pid_t pid;
    bool ready;
    uint64_t job;         // 0: none
    bool deleting;
    size_t got;
    char answer[ANSWER_MAX];
};

static struct {
    const char *address;
    unsigned n, ready;
    uint64_t jobs, deleted, reserved;
    struct slot *slots;
    int epoll;
} all;
extern char **environ;

static void say(struct slot *s, const char *text)
{
    size_t n = strlen(text);

    if (send(s->fd, text, n, MSG_NOSIGNAL) != (ssize_t)n)
        load_die("a command could not be sent: %s", strerror(errno));
}

static void reserve(struct slot *s)
{
    if (all.reserved == all.jobs)
        return;
    all.reserved++;
    say(s, "reserve\r\n");
}

static void run(struct slot *s)
{
    char *const argv[] = { (char[]){ "sh" }, (char[]){ "-c" }, (char[]){ "true" }, NULL };
    int e = posix_spawn(&s->pid, "/bin/sh", NULL, NULL, argv, environ);

    if (e != 0)
        load_die("posix_spawn: %s", strerror(e));
    s->pidfd = pidfd_open(s->pid, 0);
    if (s->pidfd < 0)
        load_die("pidfd_open: %s", strerror(errno));
    load_watch(all.epoll, s->pidfd, EPOLLIN, s);
}

static void exited(struct slot *s)
{
    char text[64];
    int status;

    if (waitpid(s->pid, &status, 0) != s->pid || status != 0)
        load_die("a process failed");
    close(s->pidfd);
    s->pidfd = -1;
    s->deleting = true;
    (void)snprintf(text, sizeof text, "delete %llu\r\n", (unsigned long long)s->job);
    say(s, text);
}

static void readable(struct slot *s)
{
    unsigned long long job;
    size_t size;
    ssize_t n = recv(s->fd, s->answer + s->got, sizeof s->answer - 1 - s->got, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        load_die("a connection ended (%s)", n ? strerror(errno) : "closed");
    s->got += (size_t)n;
    s->answer[s->got] = 0;
    char *end = strstr(s->answer, "\r\n");
    if (!end)
        return;
    if (s->deleting) {
        if (strcmp(s->answer, "DELETED\r\n") != 0)
            load_die("a wrong answer: %s", s->answer);
        s->got = 0;
        s->deleting = false;
        s->job = 0;
        all.deleted++;
        reserve(s);
        return;
    }
    if (sscanf(s->answer, "RESERVED %llu %zu", &job, &size) != 2 || s->job)
        load_die("a wrong answer: %s", s->answer);
    if (s->got < (size_t)(end - s->answer) + 2 + size + 2)
        return;
    s->got = 0;
    s->job = job;
    run(s);
}

_Noreturn static void usage(FILE *to, int status)
{
    fprintf(to, "beanwork ADDRESS:PORT -c CONNECTIONS -n JOBS\nRuns `sh -c true` for each of so many jobs of a beanstalkd.\n");
    exit(status);
}

int main(int argc, char **argv)
{
    struct epoll_event events[EVENTS_MAX];
    int o;

    while ((o = getopt(argc, argv, "c:n:h")) != -1) {
        switch (o) {
        case 'c': all.n = (unsigned)load_number(optarg, 1, "-c"); break;
        case 'n': all.jobs = load_number(optarg, 1, "-n"); break;
        case 'h': usage(stdout, 0);
        default: usage(stderr, 2);
        }
    }
    if (argc - optind != 1 || !all.n || !all.jobs)
        usage(stderr, 2);
    all.address = argv[optind];
    all.slots = load_alloc(all.n, sizeof *all.slots);
    all.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (all.epoll < 0)
        load_die("epoll_create1: %s", strerror(errno));
    for (unsigned i = 0; i < all.n; i++) {
        all.slots[i].pidfd = -1;
        all.slots[i].fd = load_connect(all.address, i);
        load_watch(all.epoll, all.slots[i].fd, EPOLLOUT, &all.slots[i]);
    }
    while (all.deleted < all.jobs) {
        uint64_t until = load_now_ns() + GIVE_UP_S * 1000000000ull;
        int n = load_wait(all.epoll, events, EVENTS_MAX, until);
        if (n == 0 && load_now_ns() >= until)
            load_die("nothing has come for %d s; %llu jobs are done", GIVE_UP_S, (unsigned long long)all.deleted);
        for (int i = 0; i < n; i++) {
            struct slot *s = events[i].data.ptr;
            if (!s->ready) {
                s->ready = true;
                load_rewatch(all.epoll, s->fd, EPOLLIN, s);
                reserve(s);
                if (++all.ready == all.n) {
                    printf("ready\n");
                    fflush(stdout);
                }
            } else if (s->pidfd >= 0) {
                exited(s);
            } else {
                readable(s);
            }
        }
    }
    printf("{\"jobs\":%llu,\"end_ns\":%llu}\n", (unsigned long long)all.deleted, (unsigned long long)load_now_ns());
    return 0;
}
