// LD_PRELOAD for the storage tests: makes the n-th sync or write of a program fail (or ends the program there), and logs what it does
// to files, with the octets, so that storage_image.py can build what a power cut may leave.
//
//     MC_SHIM_DIR=DIR           only files below it (required; else the shim does nothing)
//     MC_SHIM_FAULT=KIND:N:ACT  KIND sync    fsync, fdatasync, msync of a file or directory
//                                    dir     those of directories alone
//                                    meta    a write through a descriptor opened with O_DSYNC (LMDB's meta page)
//                                    write   any other write, or making a file longer
//                               N    1: the first, from the start of the program
//                               ACT  EIO, ENOSPC: nothing is done, and the call fails so
//                                    LATE: it is done, and fails with EIO
//                                    KILL: it is done, and the program ends by SIGKILL
//     MC_SHIM_STICKY=1          those after the n-th fail too
//     MC_SHIM_HIT=FILE          is made when the fault strikes
//     MC_SHIM_LOG=FILE          what is appended there is described at struct entry
//
// Calls are put in one order by a lock that is held while they are made; not while a sync runs, which is two entries.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FDS = 4096 };
// op: O open, W write, T truncate or allocate (offset: the new size), B sync begins, E it has ended well, R rename, L link, U unlink,
// M mkdir, D rmdir. Then n octets: the path (O, U, M, D), two paths with a NUL between (R, L), or the data (W).
struct entry {
    uint32_t op, handle;   // handle: of an open; 0 for names
    uint64_t offset;
    uint32_t n, flags;     // of an open
};

static struct {
    char dir[PATH_MAX];
    size_t dir_n;
    int log;
    bool on, sticky;
    char kind, act[8];     // s, d, m, w
    unsigned long at, seen;
    const char *hit;
    pthread_mutex_t lock;
    uint32_t handles;
    struct { uint32_t handle; bool dsync, append, directory; } fd[FDS];
} shim = { .log = -1, .lock = PTHREAD_MUTEX_INITIALIZER };

#define REAL(name) __extension__({ static __typeof__(&name) f; if (!f) f = (__typeof__(&name))dlsym(RTLD_NEXT, #name); f; })

static void say(const char *what)
{
    (void)!syscall(SYS_write, 2, what, strlen(what));
}

__attribute__((constructor)) static void begin(void)
{
    const char *dir = getenv("MC_SHIM_DIR"), *fault = getenv("MC_SHIM_FAULT"), *log = getenv("MC_SHIM_LOG");
    char kind[8];
    if (!dir)
        return;
    if (!realpath(dir, shim.dir))
        snprintf(shim.dir, sizeof shim.dir, "%s", dir);
    shim.dir_n = strlen(shim.dir);
    shim.hit = getenv("MC_SHIM_HIT");
    shim.sticky = getenv("MC_SHIM_STICKY") != NULL;
    if (fault && (sscanf(fault, "%7[a-z]:%lu:%7[A-Z]", kind, &shim.at, shim.act) != 3 || !strchr("sdmw", kind[0]))) {
        say("shim: MC_SHIM_FAULT is KIND:N:ACT\n");
        _exit(99);
    }
    if (fault)
        shim.kind = kind[0];
    if (log && (shim.log = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) < 0) {
        say("shim: MC_SHIM_LOG cannot be opened\n");
        _exit(99);
    }
    shim.on = true;
}

static void put(uint32_t op, uint32_t handle, uint64_t offset, uint32_t flags, const void *p, size_t n)
{
    struct entry e = { op, handle, offset, (uint32_t)n, flags };
    struct iovec v[2] = { { &e, sizeof e }, { (void *)(uintptr_t)p, n } };
    if (shim.log >= 0 && syscall(SYS_writev, shim.log, v, n ? 2 : 1) != (long)(sizeof e + n)) {
        say("shim: the log cannot be written\n");
        _exit(99);
    }
}

// Strikes? 0: no. Else what to do: 'E' fail without doing it, 'L' do it and fail, 'K' do it and die. Called with the lock held.
static int strikes(char kind)
{
    if (kind != shim.kind || ++shim.seen < shim.at || (shim.seen > shim.at && !shim.sticky))
        return 0;
    if (shim.hit)
        (void)!syscall(SYS_openat, AT_FDCWD, shim.hit, O_WRONLY | O_CREAT, 0600);
    return shim.act[0] == 'E' ? 'E' : shim.act[0];
}

static int failure(void)
{
    errno = strcmp(shim.act, "ENOSPC") == 0 ? ENOSPC : EIO;
    return -1;
}

static long after(int strike, long ret)
{
    if (strike == 'K')
        kill(getpid(), SIGKILL);
    return strike == 'L' ? failure() : ret;
}

// The path below the directory, or NULL: not ours.
static const char *ours(int dirfd, const char *path, char out[PATH_MAX * 2])
{
    char base[PATH_MAX], link[64];
    ssize_t n = 0;
    if (!shim.on)
        return NULL;
    if (path[0] == '/') {
        snprintf(out, PATH_MAX * 2, "%s", path);
    } else {
        if (dirfd == AT_FDCWD) {
            if (!getcwd(base, sizeof base))
                return NULL;
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", dirfd);
            n = readlink(link, base, sizeof base - 1);
            if (n < 0)
                return NULL;
            base[n] = 0;
        }
        snprintf(out, PATH_MAX * 2, "%s/%s", base, path);
    }
    if (strncmp(out, shim.dir, shim.dir_n) != 0 || (out[shim.dir_n] && out[shim.dir_n] != '/'))
        return NULL;
    return out[shim.dir_n] ? out + shim.dir_n + 1 : ".";
}

static uint32_t handle_of(int fd)
{
    return shim.on && fd >= 0 && fd < FDS ? shim.fd[fd].handle : 0;
}

// ---------------------------------------------------------------- names

static int opened(int dirfd, const char *path, int flags, mode_t mode)
{
    char full[PATH_MAX * 2];
    int saved, fd;
    const char *name = ours(dirfd, path, full);
    if (!name)
        return (int)syscall(SYS_openat, dirfd, path, flags, mode);
    pthread_mutex_lock(&shim.lock);
    fd = (int)syscall(SYS_openat, dirfd, path, flags, mode);
    saved = errno;
    if (fd >= 0 && fd < FDS) {
        shim.fd[fd].handle = ++shim.handles;
        shim.fd[fd].dsync = (flags & O_DSYNC) != 0; // O_SYNC has that bit too
        shim.fd[fd].directory = (flags & O_DIRECTORY) != 0;
        shim.fd[fd].append = (flags & O_APPEND) != 0;
        put('O', shim.handles, 0, (uint32_t)flags, name, strlen(name));
    }
    pthread_mutex_unlock(&shim.lock);
    errno = saved;
    return fd;
}

static mode_t mode_of(int flags, va_list ap)
{
    return flags & (O_CREAT | O_TMPFILE) ? (mode_t)va_arg(ap, unsigned) : 0;
}

#define OPENS(name) \
    int name(const char *path, int flags, ...) \
    { \
        va_list ap; \
        va_start(ap, flags); \
        mode_t mode = mode_of(flags, ap); \
        va_end(ap); \
        return opened(AT_FDCWD, path, flags, mode); \
    }
#define OPENATS(name) \
    int name(int dirfd, const char *path, int flags, ...) \
    { \
        va_list ap; \
        va_start(ap, flags); \
        mode_t mode = mode_of(flags, ap); \
        va_end(ap); \
        return opened(dirfd, path, flags, mode); \
    }
OPENS(open)
OPENS(open64)
OPENATS(openat)
OPENATS(openat64)
int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __openat_2(int dirfd, const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags) { return opened(dirfd, path, flags, 0); }

int close(int fd)
{
    if (handle_of(fd)) {
        pthread_mutex_lock(&shim.lock);
        shim.fd[fd].handle = 0;
        pthread_mutex_unlock(&shim.lock);
    }
    return REAL(close)(fd);
}

// One name, one call: logged when it was done.
static int name1(uint32_t op, int dirfd, const char *path, long call, long a3)
{
    char full[PATH_MAX * 2];
    const char *name = ours(dirfd, path, full);
    if (!name)
        return (int)syscall(call, dirfd, path, a3);
    pthread_mutex_lock(&shim.lock);
    int r = (int)syscall(call, dirfd, path, a3);
    int saved = errno;
    if (r == 0)
        put(op, 0, 0, 0, name, strlen(name));
    pthread_mutex_unlock(&shim.lock);
    errno = saved;
    return r;
}

int unlinkat(int dirfd, const char *path, int flags) { return name1(flags & AT_REMOVEDIR ? 'D' : 'U', dirfd, path, SYS_unlinkat, flags); }
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int mkdirat(int dirfd, const char *path, mode_t mode) { return name1('M', dirfd, path, SYS_mkdirat, mode); }
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

static int name2(uint32_t op, int fd1, const char *p1, int fd2, const char *p2, int flags)
{
    char full1[PATH_MAX * 2], full2[PATH_MAX * 2], both[PATH_MAX * 4];
    const char *n1 = ours(fd1, p1, full1), *n2 = ours(fd2, p2, full2);
    long call = op == 'R' ? SYS_renameat2 : SYS_linkat;
    if (!n1 || !n2)
        return (int)syscall(call, fd1, p1, fd2, p2, flags);
    pthread_mutex_lock(&shim.lock);
    int r = (int)syscall(call, fd1, p1, fd2, p2, flags), saved = errno;
    int n = snprintf(both, sizeof both, "%s%c%s", n1, 0, n2);
    if (r == 0)
        put(op, 0, 0, 0, both, (size_t)n);
    pthread_mutex_unlock(&shim.lock);
    errno = saved;
    return r;
}

int renameat(int fd1, const char *p1, int fd2, const char *p2) { return name2('R', fd1, p1, fd2, p2, 0); }
int rename(const char *p1, const char *p2) { return name2('R', AT_FDCWD, p1, AT_FDCWD, p2, 0); }
int linkat(int fd1, const char *p1, int fd2, const char *p2, int flags) { return name2('L', fd1, p1, fd2, p2, flags); }
int link(const char *p1, const char *p2) { return name2('L', AT_FDCWD, p1, AT_FDCWD, p2, 0); }

// ---------------------------------------------------------------- contents

// at < 0: where the descriptor stands, or the end of a file opened to append.
static ssize_t written(int fd, const struct iovec *v, int n, off_t at)
{
    uint32_t h = handle_of(fd);
    struct stat st;
    if (!h)
        return at < 0 ? syscall(SYS_writev, fd, v, n) : syscall(SYS_pwritev, fd, v, n, at, 0);
    pthread_mutex_lock(&shim.lock);
    int strike = strikes(shim.fd[fd].dsync ? 'm' : 'w');
    if (strike == 'E') {
        pthread_mutex_unlock(&shim.lock);
        return failure();
    }
    off_t from = at >= 0 ? at : shim.fd[fd].append ? (fstat(fd, &st) == 0 ? st.st_size : 0) : lseek(fd, 0, SEEK_CUR);
    ssize_t done = at < 0 ? syscall(SYS_writev, fd, v, n) : syscall(SYS_pwritev, fd, v, n, at, 0);
    int saved = errno;
    ssize_t left = done;
    for (int i = 0; i < n && left > 0; i++) {
        size_t part = (size_t)left < v[i].iov_len ? (size_t)left : v[i].iov_len;
        put('W', h, (uint64_t)from, 0, v[i].iov_base, part);
        from += (off_t)part;
        left -= (ssize_t)part;
    }
    if (done > 0 && shim.fd[fd].dsync) {
        put('B', h, 0, 1, NULL, 0); // flags 1: this write alone is on the disk now
        put('E', h, 0, 1, NULL, 0);
    }
    pthread_mutex_unlock(&shim.lock);
    errno = saved;
    return after(strike, done);
}

ssize_t write(int fd, const void *p, size_t n)
{
    struct iovec v = { (void *)(uintptr_t)p, n };
    return handle_of(fd) ? written(fd, &v, 1, -1) : syscall(SYS_write, fd, p, n);
}
ssize_t writev(int fd, const struct iovec *v, int n) { return written(fd, v, n, -1); }
ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    struct iovec v = { (void *)(uintptr_t)p, n };
    return written(fd, &v, 1, at);
}
ssize_t pwrite64(int fd, const void *p, size_t n, off_t at) { return pwrite(fd, p, n, at); }
ssize_t pwritev(int fd, const struct iovec *v, int n, off_t at) { return written(fd, v, n, at); }
ssize_t pwritev64(int fd, const struct iovec *v, int n, off_t at) { return written(fd, v, n, at); }

static int sized(int fd, off_t size, long call, off_t off, off_t len)
{
    uint32_t h = handle_of(fd);
    pthread_mutex_lock(&shim.lock);
    int strike = h ? strikes('w') : 0, r, saved;
    if (strike == 'E') {
        pthread_mutex_unlock(&shim.lock);
        return failure();
    }
    r = call == SYS_ftruncate ? (int)syscall(call, fd, size) : (int)syscall(call, fd, 0, off, len);
    saved = errno;
    if (h && r == 0)
        put('T', h, (uint64_t)size, call == SYS_fallocate, NULL, 0); // flags 1: it never makes the file shorter
    pthread_mutex_unlock(&shim.lock);
    errno = saved;
    return (int)after(strike, r);
}

int ftruncate(int fd, off_t size) { return sized(fd, size, SYS_ftruncate, 0, 0); }
int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }
int posix_fallocate(int fd, off_t off, off_t len) { return sized(fd, off + len, SYS_fallocate, off, len) == 0 ? 0 : errno; }

// ---------------------------------------------------------------- syncs

static int synced(int fd, long call)
{
    uint32_t h = handle_of(fd);
    if (!h)
        return (int)syscall(call, fd);
    pthread_mutex_lock(&shim.lock);
    int strike = strikes(shim.kind == 'd' && shim.fd[fd].directory ? 'd' : 's');
    put('B', h, 0, 0, NULL, 0);
    pthread_mutex_unlock(&shim.lock);
    if (strike == 'E')
        return failure();
    int r = (int)syscall(call, fd), saved = errno;
    pthread_mutex_lock(&shim.lock);
    if (r == 0 && strike != 'L')
        put('E', h, 0, 0, NULL, 0);
    pthread_mutex_unlock(&shim.lock);
    errno = saved;
    return (int)after(strike, r);
}

int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

int msync(void *p, size_t n, int flags)
{
    // LMDB calls it with MDB_WRITEMAP alone, which the broker does not use: what it would write is in no log.
    pthread_mutex_lock(&shim.lock);
    int strike = shim.on ? strikes('s') : 0;
    pthread_mutex_unlock(&shim.lock);
    return strike == 'E' ? failure() : (int)after(strike, (long)syscall(SYS_msync, p, n, flags));
}
