// links: worker common protobuf-c sodium jansson uv systemd -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free,--wrap=strdup,--wrap=protobuf_c_message_unpack,--wrap=protobuf_c_message_free_unpacked -Wl,--wrap=crypto_random,--wrap=open,--wrap=getifaddrs,--wrap=freeifaddrs,--wrap=statvfs
// fuzz: -max_len=4096 -entropic=0 -dict=tests/fuzz/json.dict
// A worker between its broker and what it runs: link, jobs, conversations, deliveries, probes, under a pretended clock; processes, HTTP
// and the spool's files are the input's to play. Frames (mutate_pb.h): orders in answer to a poll; a reply, or an answer for every item
// of a request; output and ends of processes; what an HTTP server says; time; the connection, the spool, the drain. A session
// is started at most once, and not before its record is on disk; each end is spooled before it is told. Ends that a former life left in
// the spool may come first.
#include "heap.h"
#include "fake_loop.h"
#include "fake_bus.h"
#include "quiet.h"
#include "mutate_pb.h"
#include <ifaddrs.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include "crypto.h"
#include "fetch.h"
#include "link.h"
#include "netrule.h"
#include "notify.h"
#include "proc.h"
#include "self.h"
#include "spool.h"
#include "tree.h"
#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PROCS = 64, FETCHES = 128, STARTED = 512, SLOTS = 3 };
enum { KIND_ORDERS, KIND_REPLY, KIND_ANSWER, KIND_OUTPUT, KIND_EXIT, KIND_HTTP, KIND_TIME, KIND_HAPPENS, KIND_RESTORE, KINDS };
static const ProtobufCMessageDescriptor *const kinds[KINDS] = {
    [KIND_ORDERS] = &wire__work_orders__descriptor, [KIND_REPLY] = &wire__reply__descriptor, [KIND_ANSWER] = &wire__answer__descriptor,
    [KIND_RESTORE] = &wire__session_report__descriptor,
};

struct proc {
    struct proc_cbs cbs;
    void *u;
    struct tree_id id;
    bool used, exited, closed_pipes;
    unsigned left;             // processes it leaves behind
};
struct fetch {
    struct fetch_req r;
    bool used;
};

static struct {
    struct link *link;
    struct peer_key key;
    uint64_t chance;
    struct arena arena;
    struct proc proc[PROCS];
    struct fetch fetch[FETCHES];
    struct list records;       // spool entries whose record is being written
    uint64_t recorded[STARTED], ended[STARTED];
    unsigned n_recorded, n_ended;
    unsigned spawned[STARTED];
    bool spool_fails, spool_failed, spawn_fails, drained;
} on;

// ---------------------------------------------------------------- in place of others

void __wrap_crypto_random(void *out, size_t n);
void __wrap_crypto_random(void *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        on.chance = on.chance * 6364136223846793005u + 1442695040888963407u;
        ((uint8_t *)out)[i] = (uint8_t)(on.chance >> 33);
    }
}
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...) { (void)path, (void)flags; return -1; }
int __wrap_getifaddrs(struct ifaddrs **ret);
int __wrap_getifaddrs(struct ifaddrs **ret) { *ret = NULL; return -1; }
void __wrap_freeifaddrs(struct ifaddrs *a);
void __wrap_freeifaddrs(struct ifaddrs *a) { (void)a; }
int __wrap_statvfs(const char *path, struct statvfs *v);
int __wrap_statvfs(const char *path, struct statvfs *v) { (void)path, (void)v; return -1; }
void self_look(struct self *ret) { memset(ret, 0, sizeof *ret); }
void notify_status(const char *fmt, ...) { (void)fmt; }
void notify_stopping(void) {}
int uv_run(uv_loop_t *l, uv_run_mode mode) { (void)l, (void)mode; return 0; }

void tree_boot_id(char out[BOOT_ID_MAX]) { strcpy(out, "boot"); }
unsigned tree_end(const struct tree_id *id) { (void)id; return 0; }

// ---- processes
enum err proc_spawn(const struct driver_cmd *cmd, const char *content, const struct tree_id *id, const struct proc_cbs *cbs, void *u,
                    struct proc **ret, char *why, size_t why_size)
{
    require(cmd->argv[0] && cmd->cwd && content && strlen(id->run) == RUN_ID_MAX - 1);
    for (unsigned i = 0; i < PROCS && !on.spawn_fails; i++) {
        struct proc *p = &on.proc[i];
        if (p->used)
            continue;
        memset(p, 0, sizeof *p);
        p->used = true;
        p->cbs = *cbs;
        p->u = u;
        p->id.pid = (pid_t)(1000 + i);
        p->id.start = 1;
        snprintf(p->id.run, sizeof p->id.run, "%s", id->run);
        snprintf(p->id.boot, sizeof p->id.boot, "boot");
        *ret = p;
        return ERR_OK;
    }
    snprintf(why, why_size, "no process");
    return ERR_IO;
}
const struct tree_id *proc_id(const struct proc *p) { return &p->id; }
bool proc_eof(const struct proc *p) { return p->closed_pipes; }
void proc_term(struct proc *p) { require(p->used); }
unsigned proc_kill(struct proc *p) { require(p->used); return p->exited ? p->left : 1; }
unsigned proc_sweep(struct proc *p)
{
    require(p->used);
    if (p->left)
        p->left--;
    return p->left;
}
void proc_close(struct proc *p)
{
    require(p->used);
    p->used = false;
}
void proc_kill_all(unsigned ms) { (void)ms; }
void proc_flush(unsigned ms) { (void)ms; }

// ---- HTTP
enum err fetch_start(const struct fetch_req *r, struct fetch **ret)
{
    if (strncmp(r->url, "http", 4) != 0)
        return ERR_INVALID_FIELD;
    for (unsigned i = 0; i < FETCHES; i++) {
        struct fetch *f = &on.fetch[i];
        if (f->used)
            continue;
        *f = (struct fetch){ .r = *r, .used = true };
        for (size_t k = 0; r->headers && r->headers[k]; k++) // a header is one line, whatever it was made from
            require(!strpbrk(r->headers[k], "\r\n"));
        *ret = f;
        return ERR_OK;
    }
    return ERR_NO_MEMORY;
}
void fetch_cancel(struct fetch *f)
{
    if (f) {
        require(f->used);
        f->used = false;
    }
}

// ---- the spool
void spool_start(struct spool *s, struct spool_entry *e)
{
    (void)s;
    list_push_back(&on.records, &e->at);
}
void spool_process(struct spool *s, uint64_t session, const struct tree_id *id)
{
    (void)s, (void)id;
    unsigned n = 0;
    for (unsigned i = 0; i < on.n_recorded; i++)
        if (on.recorded[i] == session) {
            n++;
            require(++on.spawned[i] == 1); // once, and once only
        }
    require(n == 1 || on.n_recorded == STARTED);
}
enum err spool_end(struct spool *s, const Wire__SessionReport *r)
{
    (void)s;
    if (on.spool_fails)
        return ERR_IO;
    size_t n = wire__session_report__get_packed_size(r);
    uint8_t *p = malloc(n + 1);
    require(p && n <= SPOOL_END_MAX && wire__session_report__pack(r, p) == n);
    free(p);
    if (on.n_ended < STARTED)
        on.ended[on.n_ended++] = r->session;
    return ERR_OK;
}
void spool_forget(struct spool *s, uint64_t session) { (void)s, (void)session; }
uint64_t spool_octets(const struct spool *s) { (void)s; return 0; }
void spool_flush(struct spool *s) { (void)s; }
size_t spool_guard_each(const struct spool *s, uint64_t task, uint64_t session, uint32_t attempt,
                        bool (*cb)(void *u, const struct spool_line *l), void *u)
{
    (void)s, (void)task, (void)session, (void)attempt, (void)cb, (void)u;
    return 0;
}
void spool_guard_set(struct spool *s, const struct spool_line *l) { (void)s, (void)l; }
void spool_guard_drop(struct spool *s, uint64_t session) { (void)s, (void)session; }
bool cgroup_take(char path[CGROUP_PATH_MAX]) { path[0] = 0; return false; }

// ---------------------------------------------------------------- turns

static bool record_step(void)
{
    struct list *n = list_pop_front(&on.records);
    if (!n)
        return false;
    struct spool_entry *e = container_of(n, struct spool_entry, at);
    enum err err = on.spool_fails ? ERR_IO : ERR_OK;
    if (!err && on.n_recorded < STARTED) {
        for (unsigned i = 0; i < on.n_recorded; i++)
            require(on.recorded[i] != e->line.session); // a session is taken up once
        on.recorded[on.n_recorded++] = e->line.session;
    }
    e->done(e, err);
    return true;
}

// The end of each session that a report tells was spooled before, or could not be.
static void look_at_reports(void)
{
    for (unsigned i = 0; i < bus.calls; i++) {
        const Wire__Item *item = bus.call[i].m->items[0];
        if (item->body_case != WIRE__ITEM__BODY_WORK_REPORT)
            continue;
        for (size_t k = 0; k < item->work_report->n_sessions; k++) {
            const Wire__SessionReport *r = item->work_report->sessions[k];
            require(r->n_pieces <= 1024);
            bool spooled = !r->ended || on.spool_failed || on.n_ended == STARTED;
            for (unsigned e = 0; e < on.n_ended; e++)
                spooled |= on.ended[e] == r->session;
            require(spooled);
            for (size_t p = 1; p < r->n_pieces; p++)
                require(r->pieces[p]->offset >= r->pieces[p - 1]->offset + r->pieces[p - 1]->data.len);
        }
    }
}

static void settle(void)
{
    for (unsigned i = 0;; i++) {
        bool any = loop_once();
        any |= record_step();
        if (bus_time()) {
            any = true;
        } else if (bus.up) {
            for (unsigned k = 0; k < bus.calls; k++)
                if (bus_greet(k)) {
                    any = true;
                    break;
                }
        }
        look_at_reports();
        if (!any)
            return;
        require(i < 60000); // it turns for ever
    }
}

static void drained_cb(void *u) { (void)u, on.drained = true; }

static void start(void)
{
    static uv_loop_t *l;
    static const struct net_allow *none;
    struct peer_key key = on.key;
    memset(&on, 0, sizeof on);
    memset(&bus, 0, sizeof bus);
    on.key = key;
    on.chance = 1;
    arena_init(&on.arena, 64 << 20);
    list_init(&on.records);
    struct link_conf c = { .loop = (uv_loop_t *)&l, .broker = "ipc:///b", .key = &on.key, .slots = SLOTS, .drain_ms = 5000, .stall_s = 30,
                           .user = { "user", "/home/user" }, .webhook_allow = none, .drained = drained_cb };
    require(!link_new(&c, &on.link));
}

// An end of a former life, before the link starts.
static void restore(const uint8_t *p, size_t n)
{
    arena_reset(&on.arena);
    Wire__SessionReport *r = wire__session_report__unpack(arena_allocator(&on.arena), n, p);
    if (!r || link_restore(on.link, r) || on.n_ended == STARTED)
        return;
    on.ended[on.n_ended++] = r->session;
}

// ---------------------------------------------------------------- frames

static unsigned call_of(Wire__Item__BodyCase body) // the oldest of that kind; bus.calls: none
{
    unsigned i = 0;
    while (i < bus.calls && bus.call[i].m->items[0]->body_case != body)
        i++;
    return i;
}

static void orders(const uint8_t *p, size_t n)
{
    unsigned i = call_of(WIRE__ITEM__BODY_WORK_POLL);
    Wire__Answer a = WIRE__ANSWER__INIT;
    arena_reset(&on.arena);
    a.body_case = WIRE__ANSWER__BODY_WORK_ORDERS;
    a.work_orders = i < bus.calls ? wire__work_orders__unpack(arena_allocator(&on.arena), n, p) : NULL;
    if (a.work_orders)
        bus_answer(i, &a);
}

static void reply(const uint8_t *p, size_t n, bool fix)
{
    arena_reset(&on.arena);
    Wire__Reply *m = bus.calls ? wire__reply__unpack(arena_allocator(&on.arena), n, p) : NULL;
    if (m)
        fix ? bus_reply_fixed(0, m) : bus_reply_with(0, m);
}

static void answer(const uint8_t *p, size_t n, bool report)
{
    unsigned i = 0;
    while (report && i < bus.calls && bus.call[i].m->items[0]->body_case == WIRE__ITEM__BODY_WORK_POLL)
        i++;
    arena_reset(&on.arena);
    Wire__Answer *a = i < bus.calls ? wire__answer__unpack(arena_allocator(&on.arena), n, p) : NULL;
    if (a)
        bus_answer(i, a);
}

static void output(const uint8_t *p, size_t n)
{
    struct proc *x = n ? &on.proc[p[0] % 4] : NULL;
    if (!x || !x->used || x->closed_pipes)
        return;
    uint8_t *exact = malloc(n);
    require(exact);
    memcpy(exact, p + 1, n - 1);
    if (x->cbs.room(x->u, n - 1))
        x->cbs.data(x->u, p[0] & 0x80 ? STREAM_STDERR : STREAM_STDOUT, exact, n - 1);
    free(exact);
}

static void ends(const uint8_t *p, size_t n)
{
    struct proc *x = n >= 3 ? &on.proc[p[0] % 4] : NULL;
    if (!x || !x->used)
        return;
    if (p[0] & 0x40 && !x->closed_pipes) {
        x->closed_pipes = true;
        x->cbs.eof(x->u);
    }
    if (!x->used || x->exited || p[0] & 0x20)
        return;
    x->exited = true;
    x->left = p[0] >> 7;
    x->cbs.exited(x->u, p[1], p[2] % 65);
}

static void http(const uint8_t *p, size_t n)
{
    static const unsigned statuses[] = { 200, 200, 204, 301, 400, 401, 404, 429, 500, 503, 0 };
    struct fetch *f = n >= 3 ? &on.fetch[p[0] % 8] : NULL;
    if (!f || !f->used)
        return;
    unsigned status = statuses[p[1] % (sizeof statuses / sizeof *statuses)];
    struct fetch_result r = { .err = p[2] & 1 ? ERR_IO : p[2] & 2 ? ERR_TIMEOUT : ERR_OK, .stalled = p[2] & 4, .status = status, .connected = true };
    snprintf(r.text, sizeof r.text, "%.*s", (int)(n - 3 < 200 ? n - 3 : 200), (const char *)p + 3);
    uint8_t *exact = malloc(n - 3 ? n - 3 : 1);
    require(exact);
    if (n > 3)
        memcpy(exact, p + 3, n - 3);
    bool on_with = n == 3 || f->r.data(f->r.u, status, exact, n - 3);
    free(exact);
    if (!f->used || (on_with && !(p[2] & 0x80)))
        return;
    if (!on_with)
        r.err = ERR_CLOSED;
    f->used = false;
    f->r.done(f->r.u, &r);
}

static void happens(uint8_t what, uint8_t about)
{
    switch (what % 6) {
    case 0: bus_connect(!bus.up); break;
    case 1:
        if (!bus.up)
            bus_end_all();
        break;
    case 2: on.spool_fails = about & 1, on.spool_failed = true; break;
    case 3: on.spawn_fails = about & 1; break;
    case 4: link_drain(on.link); break;
    default: loop.skew_ms = ((int64_t)about - 128) * 86400000; break;
    }
}

static void take(const struct pb_frame *f)
{
    static const uint64_t steps[] = { 1, 20, 100, 500, 1000, 2000, 5000, 11000, 31000, 3600000, 7 * 24 * 3600000ull };
    bool flag = f->kind & 0x80;
    switch (f->kind % KINDS) {
    case KIND_ORDERS: orders(f->p, f->n); break;
    case KIND_REPLY: reply(f->p, f->n, !flag); break;
    case KIND_ANSWER: answer(f->p, f->n, !flag); break;
    case KIND_OUTPUT: output(f->p, f->n); break;
    case KIND_EXIT: ends(f->p, f->n); break;
    case KIND_HTTP: http(f->p, f->n); break;
    case KIND_TIME:
        for (size_t i = 0; i < f->n && i < 8; i++) {
            loop.mono_ms += steps[f->p[i] % (sizeof steps / sizeof *steps)];
            settle();
        }
        break;
    case KIND_HAPPENS:
        if (f->n >= 2)
            happens(f->p[0], f->p[1]);
        break;
    default: break; // too late for what a former life left
    }
    settle();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pb_frame f;
    if (!*on.key.name) {
        require(!crypto_init());
        peer_key_make(&on.key, 2, "w1");
    }
    loop_begin();
    heap_begin();
    start();
    bool any = frame_next(&data, &size, &f);
    for (; any && f.kind % KINDS == KIND_RESTORE; any = frame_next(&data, &size, &f))
        restore(f.p, f.n);
    require(!link_start(on.link));
    bus_connect(true);
    settle();
    for (; any && !on.drained; any = frame_next(&data, &size, &f))
        take(&f);
    for (unsigned i = 0; i < 4 && !on.drained; i++) {
        loop.mono_ms += 3000;
        settle();
    }
    heap_end();
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    return frames_mutate(kinds, KINDS, data, size, max, seed);
}
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t an, const uint8_t *b, size_t bn, uint8_t *out, size_t max, unsigned seed)
{
    return frames_cross(kinds, KINDS, a, an, b, bn, out, max, seed);
}
