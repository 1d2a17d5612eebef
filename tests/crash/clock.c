// A wall clock that jumps, for the crash runs: preloaded into a program, it moves CLOCK_REALTIME by the signed number of
// milliseconds that stands in the first eight octets of $MC_CLOCK_FILE at that moment. Monotonic clocks stay.
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef int gettime_fn(clockid_t, struct timespec *);

static const volatile int64_t *offset_ms;
static gettime_fn *real;

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("MC_CLOCK_FILE");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    union {
        void *p;
        gettime_fn *f;
    } u = { dlsym(RTLD_NEXT, "clock_gettime") };
    real = u.f;
    if (fd < 0)
        return;
    void *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    if (p != MAP_FAILED)
        offset_ms = p;
    close(fd);
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    if (!real)
        start(); // asked for before our constructor had its turn
    int r = real(id, t);
    if (r == 0 && offset_ms && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        int64_t ns = t->tv_nsec + *offset_ms % 1000 * 1000000;
        t->tv_sec += *offset_ms / 1000;
        t->tv_sec += ns < 0 ? -1 : ns >= 1000000000;
        t->tv_nsec = ns < 0 ? ns + 1000000000 : ns >= 1000000000 ? ns - 1000000000 : ns;
    }
    return r;
}

int gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
    struct timespec t;
    (void)tz;
    if (clock_gettime(CLOCK_REALTIME, &t))
        return -1;
    tv->tv_sec = t.tv_sec;
    tv->tv_usec = t.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *ret)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (ret)
        *ret = t.tv_sec;
    return t.tv_sec;
}
