/* clone3 with the memory shared and the caller waiting until the program is loaded, as vfork and posix_spawn have it: nothing is
 * copied, however large we are. By hand, since the C library of Debian 12 can neither put the child into a control group nor
 * give its pidfd. What the child does until then is done with bare system calls: its memory is ours, and so are the C
 * library's locks and a sanitizer's books.
 * Where what filters our calls hides clone3 (systemd does, for RestrictNamespaces=), posix_spawn does it, and it is moved after.
 */
#include "launch.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STACK_SIZE = 32 * 1024, SIGNALS = 64 };

static int null_fd = -1;
static bool has_clone3;
static int ignored[SIGNALS]; // signals that are, by us or whoever started us
static unsigned n_ignored;

bool spawn_init(void)
{
    null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
#if defined __x86_64__ || defined __aarch64__
    has_clone3 = syscall(SYS_clone3, NULL, 0) < 0 && errno == EINVAL;
#endif
    n_ignored = 0;
    for (int sig = 1; sig <= SIGNALS; sig++) {
        struct sigaction sa;
        if (sigaction(sig, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN)
            ignored[n_ignored++] = sig;
    }
    return null_fd >= 0;
}

bool spawn_knows_groups(void)
{
    return has_clone3;
}

void spawn_plainly(void)
{
    has_clone3 = false;
}

// ---------------------------------------------------------------- the child

struct child {
    const struct spawn *s;
    int err; // what kept it from running
};

#define BARE __attribute__((no_sanitize("address", "thread", "undefined")))

// Of signals, as the kernel has them: all zero is "as by default", and none.
static const uint64_t default_action[4], no_signals;

BARE static bool move(int from, int to)
{
    return from == to ? syscall(SYS_fcntl, from, F_SETFD, 0) == 0 : syscall(SYS_dup3, from, to, 0) == to;
}

BARE static bool prepare(const struct spawn *s)
{
    for (unsigned i = 0; i < n_ignored; i++)
        if (syscall(SYS_rt_sigaction, ignored[i], default_action, NULL, sizeof no_signals) != 0)
            return false;
    return syscall(SYS_setsid) >= 0 && move(null_fd, 0) && move(s->out, 1) && move(s->err, 2) && (s->content < 0 || move(s->content, 3)) &&
           syscall(SYS_close_range, s->content < 0 ? 3 : 4, ~0U, 0) == 0 && syscall(SYS_chdir, s->cmd->cwd) == 0 &&
           syscall(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, NULL, sizeof no_signals) == 0;
}

BARE static _Noreturn void child(struct child *c)
{
    if (prepare(c->s))
        syscall(SYS_execve, c->s->cmd->argv[0], c->s->cmd->argv, c->s->cmd->env);
    c->err = errno; // one variable with our parent, who waits
    for (;;)
        syscall(SYS_exit_group, 127);
}

// ---------------------------------------------------------------- its birth

// The child begins in child(c), on a stack of its own; the call returns in the parent only.
static long clone_child(struct clone_args *a, struct child *c)
{
#if defined __x86_64__
    long ret = SYS_clone3;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "mov %[arg], %%rdi\n\t"
                     "call *%[fn]\n\t"
                     "ud2\n"
                     "1:"
                     : "+a"(ret)
                     : "D"(a), "S"(sizeof *a), [fn] "r"(child), [arg] "r"(c)
                     : "rcx", "r11", "memory", "cc");
    return ret;
#elif defined __aarch64__
    register long x8 __asm__("x8") = SYS_clone3;
    register long x0 __asm__("x0") = (long)a;
    register long x1 __asm__("x1") = sizeof *a;
    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, xzr\n\t"
                     "mov x0, %[arg]\n\t"
                     "blr %[fn]\n\t"
                     "brk #1\n"
                     "1:"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), [fn] "r"(child), [arg] "r"(c)
                     : "memory", "cc");
    return x0;
#else
    (void)a;
    (void)c;
    return -ENOSYS;
#endif
}

static int by_clone3(const struct spawn *s, pid_t *ret_pid, int *ret_pidfd)
{
    static _Alignas(16) uint8_t stack[STACK_SIZE];
    struct child c = { .s = s };
    struct clone_args a = { .flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD };
    sigset_t every, before;
    int pidfd = -1, group = -1, e = 0;
    if (s->group[0]) {
        group = open(s->group, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (group < 0)
            return errno;
        a.flags |= CLONE_INTO_CGROUP;
        a.cgroup = (unsigned)group;
    }
    a.pidfd = (uint64_t)(uintptr_t)&pidfd;
    a.stack = (uint64_t)(uintptr_t)stack;
    a.stack_size = sizeof stack;
    // A handler of ours must not run in the child, which shares what it would write to.
    sigfillset(&every);
    sigprocmask(SIG_SETMASK, &every, &before);
    long pid = clone_child(&a, &c);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (group >= 0)
        close(group);
    if (pid < 0)
        return (int)-pid;
    if (c.err) {
        e = c.err;
        close(pidfd);
        while (waitpid((pid_t)pid, NULL, 0) < 0 && errno == EINTR)
            ;
        return e;
    }
    *ret_pid = (pid_t)pid;
    *ret_pidfd = pidfd;
    return 0;
}

// ---------------------------------------------------------------- where there is no clone3

static int by_posix_spawn(const struct spawn *s, pid_t *ret_pid, int *ret_pidfd)
{
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t at;
    sigset_t none, every;
    pid_t pid;
    int e;
    sigemptyset(&none);
    sigfillset(&every);
    if ((e = posix_spawn_file_actions_init(&fa)))
        return e;
    if ((e = posix_spawnattr_init(&at))) {
        posix_spawn_file_actions_destroy(&fa);
        return e;
    }
    if ((e = posix_spawnattr_setflags(&at, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK)) == 0 &&
        (e = posix_spawnattr_setsigdefault(&at, &every)) == 0 && (e = posix_spawnattr_setsigmask(&at, &none)) == 0 &&
        (e = posix_spawn_file_actions_adddup2(&fa, null_fd, 0)) == 0 && (e = posix_spawn_file_actions_adddup2(&fa, s->out, 1)) == 0 &&
        (e = posix_spawn_file_actions_adddup2(&fa, s->err, 2)) == 0 &&
        (s->content < 0 || (e = posix_spawn_file_actions_adddup2(&fa, s->content, 3)) == 0) &&
        (e = posix_spawn_file_actions_addclosefrom_np(&fa, s->content < 0 ? 3 : 4)) == 0 &&
        (e = posix_spawn_file_actions_addchdir_np(&fa, s->cmd->cwd)) == 0) {
        union { // execve never writes to them; the prototype is older than const
            const char *const *in;
            char *const *out;
        } argv = { s->cmd->argv }, env = { s->cmd->env };
        e = posix_spawn(&pid, s->cmd->argv[0], &fa, &at, argv.out, env.out);
    }
    posix_spawnattr_destroy(&at);
    posix_spawn_file_actions_destroy(&fa);
    if (e)
        return e;
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0); // it is close-on-exec
    if (pidfd < 0) {
        e = errno;
        kill(-pid, SIGKILL); // it ran for a moment, and must not go on unwatched
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        return e;
    }
    *ret_pid = pid;
    *ret_pidfd = pidfd;
    return 0;
}

int spawn(const struct spawn *s, pid_t *ret_pid, int *ret_pidfd)
{
    return has_clone3 ? by_clone3(s, ret_pid, ret_pidfd) : by_posix_spawn(s, ret_pid, ret_pidfd);
}
