// What the load generators share: time, limits, connections, a histogram. Each is one process, one thread, one epoll: their cost
// is the same for us and for every peer. None of it is part of the product.
#pragma once
#include <stddef.h>
#include <stdint.h>

// A mark in a payload, by which an event is known again wherever it arrives: "@NNNNNNNNNN,SSSSSSSSSSSSSSSSSSS@", the publisher's
// own count from 0 and CLOCK_MONOTONIC in ns when it was given to the socket. Nothing else in a payload may have an '@'.
enum { MARK_N = 10, MARK_NS = 19, MARK_SIZE = 1 + MARK_N + 1 + MARK_NS + 1 };
void mark_put(char at[MARK_SIZE], uint64_t n, uint64_t ns);
// Finds the mark in the text. Returns 0 when there is none, 1 when there is, -1 when there is an '@' that is no mark.
int mark_find(const char *text, size_t size, uint64_t *ret_n, uint64_t *ret_ns);

_Noreturn void load_die(const char *fmt, ...) __attribute__((format(printf, 1, 2))); // one line to stderr, exit status 1
uint64_t load_now_ns(void);                      // CLOCK_MONOTONIC
// A decimal number and nothing else, at least min; dies naming `what`.
uint64_t load_number(const char *text, uint64_t min, const char *what);
void load_files(unsigned n);                     // room for n descriptors and a few more; dies where the hard limit is lower
// "127.0.0.1:80": a non-blocking connection, TCP_NODELAY, on its way or there; closed by a reset, so that no port stays taken.
// The n-th one: 127.0.0.1, .2, .3 ... become source addresses as ports run out.
int load_connect(const char *address, unsigned n);
void *load_alloc(size_t n, size_t size);         // zeroed; dies without memory
void load_watch(int epoll, int fd, uint32_t events, void *u);
void load_rewatch(int epoll, int fd, uint32_t events, void *u);
// epoll_wait, until an absolute time of load_now_ns(); UINT64_MAX: for ever. Says how many.
struct epoll_event;
int load_wait(int epoll, struct epoll_event *events, int max, uint64_t until_ns);

// Durations in ns, each kept to within 1.6 %.
enum { HIST_SUB = 64, HIST_BUCKETS = 59 * HIST_SUB };
struct hist {
    uint64_t n, max, bucket[HIST_BUCKETS];
};
void hist_add(struct hist *h, uint64_t ns);
double hist_us(const struct hist *h, double quantile); // 0 when empty
