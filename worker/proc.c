/* Happy path: proc_spawn; data_cb reads each pipe to its end; exited_cb tells how the main process ended, which stays a
 * zombie; the owner sweeps until nothing is left and calls proc_close, which reaps it - once it has been put into its control
 * group, where it is not born into it: until then its number must stay its own. `let_go` frees once all handles are closed. A
 * pipe that somebody keeps open is closed by proc_close all the same.
 */
#include "proc.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "check.h"
#include "clock.h"
#include "log.h"
#include "launch.h"

enum { READ_SIZE = OUTPUT_PIECE_MAX, PIPES = 2, LAST_READS = 16, TEND_MS = 1000, ROOM_MS = 100, CHILDREN_MAX = 4096, PASSES = 4 };
enum { MARK_LIVE = 1, MARK_END = 2 }; // of processes: a running run's; to be ended

struct pipe_end {
    uv_poll_t poll;
    struct proc *p;
    enum stream stream;
    int fd;          // -1: closed
};

struct proc {
    struct list at;  // of all
    struct tree_id id;
    const struct proc_cbs *cbs;
    void *u;
    uv_poll_t exit;
    uv_timer_t again; // a pipe had no room
    struct pipe_end pipe[PIPES];
    struct cgroup_move move;
    int pidfd;
    unsigned open;   // handles that are not closed yet, and 1 while it is moved into its group
    bool moving, exited, told_eof, closing;
};

static uv_loop_t *the_loop;
static struct list all = { &all, &all };
static uv_timer_t tend_timer;
static bool orphans_seen;
static unsigned n_procs; // also those that were closed and are not gone yet
static uint8_t shared[READ_SIZE]; // one for all: its content is handed on before the loop goes on

// ---------------------------------------------------------------- reading

static void let_go(struct proc *p)
{
    if (--p->open == 0 && p->closing) {
        close(p->pidfd);
        free(p);
        n_procs--;
    }
}

static void freed_cb(uv_handle_t *h)
{
    let_go(h->data);
}

static void close_pipe(struct pipe_end *e)
{
    if (e->fd < 0)
        return;
    uv_poll_stop(&e->poll);
    uv_close((uv_handle_t *)&e->poll, freed_cb);
    close(e->fd);
    e->fd = -1;
}

static void tell_eof(struct proc *p)
{
    if (p->told_eof || p->closing || !proc_eof(p))
        return;
    p->told_eof = true;
    p->cbs->eof(p->u);
}

static void data_cb(uv_poll_t *h, int status, int events);

static void again_cb(uv_timer_t *t)
{
    struct proc *p = t->data;
    for (int i = 0; i < PIPES; i++)
        if (p->pipe[i].fd >= 0)
            uv_poll_start(&p->pipe[i].poll, UV_READABLE, data_cb);
}

// One read a turn and pipe, so that no run starves another. False: the pipe is at its end.
static bool read_once(struct pipe_end *e, size_t *ret_n)
{
    ssize_t n = read(e->fd, shared, sizeof shared);
    *ret_n = n > 0 ? (size_t)n : 0;
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void data_cb(uv_poll_t *h, int status, int events)
{
    struct pipe_end *e = h->data;
    struct proc *p = e->p;
    size_t n = 0;
    (void)events;
    if (status == 0 && !p->cbs->room(p->u, sizeof shared)) {
        uv_poll_stop(h);
        uv_timer_start(&p->again, again_cb, ROOM_MS, 0);
        return;
    }
    bool more = status == 0 && read_once(e, &n);
    if (n)
        p->cbs->data(p->u, e->stream, shared, n);
    if (!more) {
        h->data = p; // freed_cb's
        close_pipe(e);
        tell_eof(p);
    }
}

static void exited_cb(uv_poll_t *h, int status, int events)
{
    struct proc *p = h->data;
    siginfo_t si = { 0 };
    (void)status;
    (void)events;
    // WNOWAIT: it stays a zombie, and its number its own, until proc_close.
    if (waitid(P_PID, (id_t)p->id.pid, &si, WEXITED | WNOHANG | WNOWAIT) != 0) {
        if (errno == EINTR)
            return;
        si.si_code = CLD_KILLED; // nobody else may reap it; should it be gone all the same, how it ended is not known
        si.si_status = SIGKILL;
        si.si_pid = p->id.pid;
    }
    if (si.si_pid == 0)
        return;
    uv_poll_stop(h);
    p->exited = true;
    if (si.si_code == CLD_EXITED)
        p->cbs->exited(p->u, si.si_status, 0);
    else
        p->cbs->exited(p->u, 0, si.si_status);
}

// ---------------------------------------------------------------- what runs leave behind

static bool is_main(pid_t pid)
{
    list_each(n, tmp, &all)
        if (container_of(n, struct proc, at)->id.pid == pid)
            return true;
    return false;
}

// Our children but for the main processes: reaps the dead ones and gives the living.
static size_t orphans(pid_t *out, size_t max)
{
    char name[64];
    size_t n = 0;
    int pid;
    // What loses its parent becomes a child of our main thread, which is also the one that spawns.
    snprintf(name, sizeof name, "/proc/self/task/%d/children", (int)getpid());
    FILE *f = fopen(name, "re");
    if (!f) { // a kernel without it: the slow way
        struct tree t;
        (void)!tree_scan(&t);
        for (size_t i = 0; i < t.n; i++)
            if (t.p[i].ppid == getpid() && !is_main(t.p[i].pid) && waitpid(t.p[i].pid, NULL, WNOHANG) == 0 && n < max)
                out[n++] = t.p[i].pid;
        tree_fini(&t);
        return n;
    }
    while (fscanf(f, "%d", &pid) == 1)
        if (!is_main(pid) && waitpid(pid, NULL, WNOHANG) == 0 && n < max)
            out[n++] = pid;
    fclose(f);
    return n;
}

// Could a run that goes on have started it? Those that began later cannot.
static bool may_be_live(uint64_t start, const struct proc *ending)
{
    list_each(n, tmp, &all) {
        const struct proc *p = container_of(n, struct proc, at);
        if (p != ending && !p->closing && p->id.start <= start)
            return true;
    }
    return false;
}

static const struct tree_proc *in_tree(const struct tree *t, pid_t pid)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->p[i].pid == pid)
            return &t->p[i];
    return NULL;
}

// KILLs what belongs to no run that goes on, `ending` (may be NULL) being one that does not: what carries its mark, and what
// was left by runs that are over and hides where it came from. How many of them live.
static unsigned end_leftovers(struct proc *ending, bool with_main)
{
    static pid_t child[CHILDREN_MAX];
    unsigned living = 0;
    for (int pass = 0; pass < PASSES; pass++) {
        size_t n = orphans(child, CHILDREN_MAX);
        orphans_seen = n > 0;
        if (n == 0 && !with_main)
            return 0;
        struct tree t;
        if (tree_scan(&t) != ERR_OK && t.n == 0) {
            tree_fini(&t);
            return 1; // cannot look now: not clean
        }
        if (ending)
            tree_mark(&t, &ending->id, true, MARK_END);
        list_each(i, tmp, &all) {
            struct proc *p = container_of(i, struct proc, at);
            if (p != ending && !p->closing)
                tree_mark(&t, &p->id, true, MARK_LIVE);
        }
        for (size_t i = 0; i < n; i++) {
            const struct tree_proc *o = in_tree(&t, child[i]);
            char run[RUN_ID_MAX];
            // One with the mark of a run that is none of the live ones belongs to a run that is over.
            if (o && !o->mark && (tree_run_of(o->pid, run) || !may_be_live(o->start, ending)))
                tree_mark_below(&t, o->pid, MARK_END);
        }
        living = tree_signal(&t, MARK_END, SIGKILL);
        tree_fini(&t);
        if (!living)
            break;
    }
    return living;
}

static void tend_cb(uv_timer_t *t)
{
    (void)t;
    if (!list_empty(&all) || orphans_seen)
        (void)end_leftovers(NULL, false);
}

// ---------------------------------------------------------------- starting

enum err proc_init(uv_loop_t *loop, const char *owner)
{
    the_loop = loop;
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
            return ERR_IO;
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
        return ERR_IO;
    if (!spawn_init())
        return ERR_IO;
    if (!cgroup_init(loop, owner))
        log_info("no control groups can be made here: what a command leaves behind is found by its marks");
    if (uv_timer_init(loop, &tend_timer) || uv_timer_start(&tend_timer, tend_cb, TEND_MS, TEND_MS))
        return ERR_IO;
    uv_unref((uv_handle_t *)&tend_timer);
    return ERR_OK;
}

static enum err content_fd(const char *content, int *ret)
{
    size_t n = strlen(content);
    int fd = memfd_create("content", MFD_CLOEXEC);
    if (fd < 0)
        return ERR_IO;
    for (size_t at = 0; at < n;) {
        ssize_t w = write(fd, content + at, n - at);
        if (w < 0 && errno != EINTR) {
            close(fd);
            return ERR_IO;
        }
        at += w > 0 ? (size_t)w : 0;
    }
    if (lseek(fd, 0, SEEK_SET) != 0) {
        close(fd);
        return ERR_IO;
    }
    *ret = fd;
    return ERR_OK;
}

static bool handle(struct proc *p, uv_poll_t *h, int fd, void *data, uv_poll_cb cb)
{
    if (uv_poll_init(the_loop, h, fd))
        return false;
    h->data = data;
    p->open++;
    return uv_poll_start(h, UV_READABLE, cb) == 0;
}

// All or nothing: the handles a failed start leaves are closed, and free p in the end.
static enum err watch(struct proc *p, int out, int err)
{
    if (uv_timer_init(the_loop, &p->again))
        return ERR_NO_MEMORY;
    p->again.data = p;
    p->open = 1;
    bool ok = handle(p, &p->exit, p->pidfd, p, exited_cb);
    p->pipe[0].fd = out;
    p->pipe[1].fd = err;
    for (int i = 0; i < PIPES; i++) {
        p->pipe[i].p = p;
        p->pipe[i].stream = i ? STREAM_STDERR : STREAM_STDOUT;
        ok = ok && handle(p, &p->pipe[i].poll, p->pipe[i].fd, &p->pipe[i], data_cb);
    }
    return ok ? ERR_OK : ERR_NO_MEMORY;
}

static void reap(struct proc *p)
{
    list_remove(&p->at);
    if (waitpid(p->id.pid, NULL, WNOHANG) == 0)
        orphans_seen = true; // it cannot be ended now: tend_cb goes on trying, and reaps it
    cgroup_drop(p->id.cgroup);
}

static void moved_cb(struct cgroup_move *m)
{
    struct proc *p = container_of(m, struct proc, move);
    p->moving = false;
    if (p->closing)
        reap(p);
    let_go(p);
}

struct pipes {
    int out[2], err[2], content;
};

static void close_pipes(const struct pipes *f)
{
    const int fd[] = { f->out[0], f->out[1], f->err[0], f->err[1], f->content };
    for (unsigned i = 0; i < sizeof fd / sizeof *fd; i++)
        if (fd[i] >= 0)
            close(fd[i]);
}

static enum err open_pipes(struct pipes *f, const char *content)
{
    *f = (struct pipes){ { -1, -1 }, { -1, -1 }, -1 };
    // Only our ends are non-blocking: the command expects ordinary pipes.
    if (pipe2(f->out, O_CLOEXEC) || pipe2(f->err, O_CLOEXEC) || fcntl(f->out[0], F_SETFL, O_NONBLOCK) ||
        fcntl(f->err[0], F_SETFL, O_NONBLOCK))
        return ERR_IO;
    return content ? content_fd(content, &f->content) : ERR_OK;
}

static void close_handles(struct proc *p)
{
    uv_handle_t *h[] = { (uv_handle_t *)&p->again, (uv_handle_t *)&p->exit, (uv_handle_t *)&p->pipe[0].poll, (uv_handle_t *)&p->pipe[1].poll };
    p->closing = true;
    n_procs++;
    for (unsigned i = 0, n = p->open; i < n; i++) { // they were made in this order
        h[i]->data = p;
        uv_close(h[i], freed_cb);
    }
}

enum err proc_spawn(const struct driver_cmd *cmd, const char *content, const struct tree_id *id, const struct proc_cbs *cbs, void *u,
                    struct proc **ret, char *why, size_t why_size)
{
    struct pipes f = { { -1, -1 }, { -1, -1 }, -1 };
    struct proc *p = calloc(1, sizeof *p);
    if (!p) {
        snprintf(why, why_size, "out of memory");
        cgroup_drop(id->cgroup);
        return ERR_NO_MEMORY;
    }
    p->cbs = cbs;
    p->u = u;
    p->id = *id;
    p->pidfd = -1;
    list_init(&p->at);
    if (open_pipes(&f, cmd->content_by_fd ? content : NULL) != ERR_OK) {
        snprintf(why, why_size, "%s", strerror(errno));
        goto fail;
    }
    bool born = spawn_knows_groups();
    int e = spawn(&(struct spawn){ cmd, f.out[1], f.err[1], f.content, born ? id->cgroup : "" }, &p->id.pid, &p->pidfd);
    if (e && born && id->cgroup[0]) { // somebody may have taken the group away: it is found by its marks
        e = spawn(&(struct spawn){ cmd, f.out[1], f.err[1], f.content, "" }, &p->id.pid, &p->pidfd);
        if (!e) {
            cgroup_drop(id->cgroup);
            p->id.cgroup[0] = 0;
        }
    }
    if (e) {
        if (access(cmd->cwd, X_OK) != 0)
            snprintf(why, why_size, "the home directory %s: %s", cmd->cwd, strerror(errno));
        else
            snprintf(why, why_size, "%s: %s", cmd->argv[0], strerror(e));
        goto fail;
    }
    p->id.start = tree_start_time(p->id.pid);
    if (watch(p, f.out[0], f.err[0]) != ERR_OK) {
        snprintf(why, why_size, "out of memory");
        kill(-p->id.pid, SIGKILL); // it ran for a moment, and must not go on unwatched
        cgroup_kill(p->id.cgroup);
        waitpid(p->id.pid, NULL, 0);
        orphans_seen = true;
        goto fail;
    }
    f.out[0] = f.err[0] = -1;
    close_pipes(&f);
    list_push_back(&all, &p->at);
    n_procs++;
    if (!born && p->id.cgroup[0]) { // what it starts before it is in has its mark all the same
        p->move = (struct cgroup_move){ .path = p->id.cgroup, .pid = p->id.pid, .done = moved_cb };
        p->moving = true;
        p->open++;
        cgroup_move(&p->move);
    }
    *ret = p;
    return ERR_OK;

fail:
    close_pipes(&f);
    cgroup_drop(p->id.cgroup);
    if (p->open) {
        close_handles(p);
        return ERR_IO;
    }
    if (p->pidfd >= 0)
        close(p->pidfd);
    free(p);
    return ERR_IO;
}

// ---------------------------------------------------------------- ending

const struct tree_id *proc_id(const struct proc *p)
{
    return &p->id;
}

bool proc_eof(const struct proc *p)
{
    return p->pipe[0].fd < 0 && p->pipe[1].fd < 0;
}

void proc_term(struct proc *p)
{
    kill(-p->id.pid, SIGTERM);
    kill(-p->id.pid, SIGCONT); // one that was stopped hears it too
}

unsigned proc_kill(struct proc *p)
{
    kill(-p->id.pid, SIGKILL);
    cgroup_kill(p->id.cgroup);
    return end_leftovers(p, true);
}

unsigned proc_sweep(struct proc *p)
{
    bool populated = cgroup_populated(p->id.cgroup);
    if (populated)
        cgroup_kill(p->id.cgroup);
    unsigned living = end_leftovers(p, false);
    return living || (populated && cgroup_populated(p->id.cgroup)) ? living + 1 : 0;
}

void proc_close(struct proc *p)
{
    for (int i = 0; i < PIPES; i++) {
        struct pipe_end *e = &p->pipe[i];
        size_t n;
        if (e->fd < 0)
            continue;
        for (int k = 0; k < LAST_READS && p->cbs->room(p->u, sizeof shared) && read_once(e, &n) && n; k++)
            p->cbs->data(p->u, e->stream, shared, n);
        e->poll.data = p;
        close_pipe(e);
    }
    p->closing = true;
    if (!p->moving)
        reap(p); // else moved_cb does
    uv_poll_stop(&p->exit);
    uv_timer_stop(&p->again);
    uv_close((uv_handle_t *)&p->exit, freed_cb);
    uv_close((uv_handle_t *)&p->again, freed_cb);
}

void proc_flush(unsigned ms)
{
    uint64_t until = clock_mono_ms() + ms;
    while (n_procs && clock_mono_ms() < until) {
        uv_run(the_loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
    cgroup_off();
}

void proc_kill_all(unsigned ms)
{
    uint64_t until = clock_mono_ms() + ms;
    unsigned living;
    do {
        living = 0;
        list_each(n, tmp, &all) {
            struct proc *p = container_of(n, struct proc, at);
            living += proc_kill(p);
        }
        if (living)
            usleep(5000); // the program ends here: there is no loop to go back to
    } while (living && clock_mono_ms() < until);
    list_each(n, tmp, &all)
        cgroup_remove(container_of(n, struct proc, at)->id.cgroup);
}
