// A worker: the product's link, job and hook over machines that are made up here: processes, the spool's disk, chat endpoints, receivers
// of webhooks, probes. The functions have the names of worker/proc.c, spool.c, tree.c, chat.c, probe.c, fault.c and common/fetch.c.
// A machine outlives its worker's lives: what was spooled is still there, and what ran runs on until it is ended or ends by itself.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "chat.h"
#include "crypto.h"
#define MC_FAULTS
#include "fault.h"
#include "fetch.h"
#include "link.h"
#include "probe.h"
#include "proc.h"
#include "sim.h"
#include "spool.h"

enum { SLOTS = 2, GUARDS = 256, SESSIONS = 512, PROBES = 16, RUN_MAX_MS = 2000 };

struct proc {
    struct tree_id id;
    struct spool_line line;       // whose it is
    const struct proc_cbs *cbs;
    void *u;
    struct node *node;            // whom it is told
    bool over, told, eof, closed;
    int code, signal;
    struct proc *next;            // of its machine
};
struct kept {                     // a session in the journal
    struct spool_line line;
    uint8_t *end;                 // its spooled end; NULL: none yet
    size_t n;
};
struct spool {                    // a machine's disk
    struct kept kept[SESSIONS];
    struct spool_line guard[GUARDS];
    unsigned n_kept, n_guards;
    struct proc *procs;
    pid_t last_pid;
};
static struct spool machines[WORKERS][2]; // the second: where another comes up under the same name
static struct peer_key keys[WORKERS], gateway_keys[GATEWAYS];
static struct life {
    struct node *node;
    struct link *link;
    unsigned machine;
} *lives[WORKERS];
static unsigned next_machine[WORKERS];

static void end_life(void *u);

static struct spool *here(void)
{
    const struct life *l = sim.node->u;
    return &machines[sim.node->id - 1][l->machine];
}

// ---------------------------------------------------------------- processes

struct ending {
    struct proc *p;
    int code, signal;
};

static void tell_eof(void *u)
{
    struct proc *p = u;
    p->eof = true;
    if (!p->closed)
        p->cbs->eof(p->u);
}

static void tell(void *u)
{
    struct proc *p = u;
    static const uint8_t text[] = COMMAND_OUTPUT;
    p->told = true;
    if (p->closed)
        return;
    size_t first = sim_rnd(sizeof text), n[2] = { first, sizeof text - 1 - first };
    for (size_t i = 0, at = 0; i < 2; at += n[i++])
        if (n[i] && p->cbs->room(p->u, n[i]))
            p->cbs->data(p->u, sim_rnd(4) ? STREAM_STDOUT : STREAM_STDERR, text + at, n[i]);
    p->eof = sim_rnd(2);
    if (!p->eof)
        sim_in(p->node, sim_rnd(200 * US), tell_eof, p);
    p->cbs->exited(p->u, p->code, p->signal);
}

static void over(void *u)
{
    struct ending e = *(struct ending *)u;
    free(u);
    if (e.p->over)
        return;
    e.p->over = true;
    e.p->code = e.code;
    e.p->signal = e.signal;
    model_exited(e.p->line.session, e.signal ? 128 + e.signal : e.code);
    sim_in(e.p->node, sim_rnd(500), tell, e.p);
}

// However it is ended first counts. Nobody waits for a process of the machine but the machine.
static void ends_in(struct proc *p, uint64_t us, int code, int signal)
{
    struct ending *e = sim_alloc(sizeof *e);
    *e = (struct ending){ p, code, signal };
    sim_in(NULL, us, over, e);
}

enum err proc_spawn(const struct driver_cmd *cmd, const char *content, const struct tree_id *id, const struct proc_cbs *cbs, void *u,
                    struct proc **ret, char *why, size_t why_size)
{
    struct spool *m = here();
    struct proc *p = sim_alloc(sizeof *p);
    (void)cmd;
    (void)content;
    if (sim_chance(100)) {
        snprintf(why, why_size, "no more processes");
        return ERR_IO;
    }
    for (unsigned i = 0; i < m->n_guards; i++)
        if (strcmp(m->guard[i].id.run, id->run) == 0)
            p->line = m->guard[i];
    if (!p->line.session)
        sim_fail("a process is started that no guard file names");
    p->id = p->line.id;
    p->id.pid = ++m->last_pid;
    p->cbs = cbs;
    p->u = u;
    p->node = sim.node;
    p->next = m->procs;
    m->procs = p;
    sim.n.started++;
    model_started(p->line.session, p->line.attempt);
    ends_in(p, (1 + (sim_chance(500) ? 5000 + sim_rnd(40000) : sim_rnd(RUN_MAX_MS))) * US, sim_rnd(5) ? 0 : 1 + (int)sim_rnd(3), 0);
    *ret = p;
    return ERR_OK;
}

bool cgroup_take(char path[CGROUP_PATH_MAX])
{
    path[0] = 0;
    return false;
}

const struct tree_id *proc_id(const struct proc *p) { return &p->id; }
bool proc_eof(const struct proc *p) { return p->eof; }

void proc_term(struct proc *p)
{
    if (!sim_chance(2000)) // else it does not listen
        ends_in(p, sim_rnd(500 * US), 0, 15);
}

unsigned proc_kill(struct proc *p)
{
    if (p->over)
        return 0;
    ends_in(p, sim_rnd(20 * US), 0, 9);
    return 1;
}

unsigned proc_sweep(struct proc *p)
{
    (void)p;
    return sim_chance(500);
}

void proc_close(struct proc *p) { p->closed = true; }
void proc_kill_all(unsigned ms) { (void)ms; }

// The product's own names for where a kill hurts most.
bool fault_due(const char *name)
{
    if (!sim_chance(20))
        return false;
    sim_trace("is killed at %s", name);
    return true;
}

void fault_strike(void)
{
    end_life(sim.node->u);
    sim_die();
}

void tree_boot_id(char out[BOOT_ID_MAX]) { snprintf(out, BOOT_ID_MAX, "simulated"); }

unsigned tree_end(const struct tree_id *id)
{
    unsigned living = 0;
    for (struct proc *p = here()->procs; p; p = p->next)
        if (!p->over && strcmp(p->id.run, id->run) == 0) {
            living++;
            ends_in(p, sim_rnd(60 * US), 0, 9);
        }
    return living;
}

// ---------------------------------------------------------------- the spool

static struct kept *find(struct spool *s, uint64_t session)
{
    for (unsigned i = 0; i < s->n_kept; i++)
        if (s->kept[i].line.session == session)
            return &s->kept[i];
    return NULL;
}

static void recorded(void *u)
{
    struct spool_entry *e = u;
    struct spool *s = here();
    bool fails = sim_chance(50);
    if (!fails && s->n_kept == SESSIONS)
        sim_fail("a spool holds more than %d sessions", SESSIONS);
    if (!fails)
        s->kept[s->n_kept++] = (struct kept){ .line = e->line };
    e->done(e, fails ? ERR_IO : ERR_OK);
}

void spool_start(struct spool *s, struct spool_entry *e)
{
    (void)s;
    sim_in(sim.node, 100 + sim_rnd(sim_chance(200) ? 400 * US : 3 * US), recorded, e);
}

void spool_process(struct spool *s, uint64_t session, const struct tree_id *id)
{
    struct kept *k = find(s, session);
    if (k)
        k->line.id = *id;
}

enum err spool_end(struct spool *s, const Wire__SessionReport *r)
{
    struct kept *k = find(s, r->session);
    if (sim_chance(100))
        return ERR_IO;
    if (!k)
        return ERR_OK; // never recorded: it failed before it began
    free(k->end);
    k->n = wire__session_report__get_packed_size(r);
    k->end = sim_alloc(k->n + 1);
    wire__session_report__pack(r, k->end);
    return ERR_OK;
}

void spool_forget(struct spool *s, uint64_t session)
{
    struct kept *k = find(s, session);
    if (!k)
        return;
    free(k->end);
    *k = s->kept[--s->n_kept];
}

uint64_t spool_octets(const struct spool *s) { return s->n_kept; }

static unsigned guard_of(const struct spool *s, uint64_t session)
{
    unsigned i = 0;
    while (i < s->n_guards && s->guard[i].session != session)
        i++;
    return i;
}

size_t spool_guard_each(const struct spool *s, uint64_t task, uint64_t session, uint32_t attempt,
                        bool (*cb)(void *u, const struct spool_line *l), void *u)
{
    size_t left = 0;
    for (unsigned i = 0; i < s->n_guards; i++)
        left += s->guard[i].task == task && s->guard[i].session != session && s->guard[i].attempt < attempt && (!cb || !cb(u, &s->guard[i]));
    return left;
}

void spool_guard_set(struct spool *s, const struct spool_line *l)
{
    unsigned i = guard_of(s, l->session);
    if (i == GUARDS)
        sim_fail("a machine has more than %d guards", GUARDS);
    s->n_guards += i == s->n_guards;
    s->guard[i] = *l;
}

void spool_guard_drop(struct spool *s, uint64_t session)
{
    unsigned i = guard_of(s, session);
    if (i < s->n_guards)
        s->guard[i] = s->guard[--s->n_guards];
}

// ---------------------------------------------------------------- chat endpoints

struct chat {
    struct chat_req req;
    bool cancelled;
};

static void chat_over(void *u)
{
    struct chat *c = u;
    struct chat_result r = { .text = "", .prompt_tokens = 7, .completion_tokens = 9 };
    if (c->cancelled)
        return;
    if (sim_chance(1000))
        r = (struct chat_result){ .failure = FAILURE_AGENT_ERROR, .text = "The agent does not feel like it" };
    else if (!c->req.text(c->req.u, "an answer", 9))
        return;
    c->req.done(c->req.u, &r);
}

enum err chat_start(const struct chat_req *r, struct chat **ret)
{
    *ret = sim_alloc(sizeof **ret);
    (*ret)->req = *r;
    sim_in(sim.node, sim_rnd(4 * SECOND), chat_over, *ret);
    return ERR_OK;
}

void chat_cancel(struct chat *c)
{
    if (c)
        c->cancelled = true;
}

// ---------------------------------------------------------------- receivers of webhooks: http://hook.sim/NUMBER

struct fetch {
    struct fetch_req req;
    struct fetch_result result;
};

static void fetched(void *u)
{
    struct fetch *f = u;
    f->req.done(f->req.u, &f->result);
    free(f);
}

enum err fetch_start(const struct fetch_req *r, struct fetch **ret)
{
    struct fetch *f = sim_alloc(sizeof *f);
    unsigned receiver = 0;
    unsigned long long delivery = 0;
    bool test = false, takes = !sim_chance(1500), answers = takes ? !sim_chance(500) : sim_rnd(2);
    if (sscanf(r->url, "http://hook.sim/%u", &receiver) != 1)
        sim_fail("a webhook goes to %s", r->url);
    for (unsigned i = 0; r->headers[i]; i++) {
        (void)sscanf(r->headers[i], "X-Mc-Delivery: delivery_%llu", &delivery);
        test = test || strcmp(r->headers[i], "X-Mc-Event: webhook.test") == 0;
    }
    if (!delivery)
        sim_fail("a webhook without a delivery's number");
    if (takes && !test)
        model_delivered(receiver, delivery);
    f->req = *r;
    f->result = (struct fetch_result){ .err = answers ? ERR_OK : ERR_TIMEOUT, .status = !answers ? 0 : takes ? 200 : 503, .connected = true };
    sim_in(sim.node, answers ? sim_rnd(300 * US) : r->total_ms * US, fetched, f);
    *ret = f;
    return ERR_OK;
}

void fetch_cancel(struct fetch *f) { (void)f; }

// ---------------------------------------------------------------- probes

struct probe {
    struct probe_conf conf;
    uv_timer_t timer;
    Wire__ProbeTarget *target[PROBES];
    size_t n;
    Wire__Observation seen[PROBES], *list[PROBES];
};

static void probe_cb(uv_timer_t *t)
{
    struct probe *p = t->data;
    Wire__LiveMetrics m[PROBES], *list[PROBES];
    Wire__Metrics figures[PROBES];
    Wire__Observation **none;
    for (size_t i = 0; i < p->n; i++) {
        m[i] = (Wire__LiveMetrics)WIRE__LIVE_METRICS__INIT;
        figures[i] = (Wire__Metrics)WIRE__METRICS__INIT;
        figures[i].probed_ms = 1;
        figures[i].cpu = (uint32_t)sim_rnd(10000);
        figures[i].memory = (uint32_t)sim_rnd(10000);
        m[i].workspace = p->target[i]->workspace;
        m[i].desktop = p->target[i]->desktop;
        m[i].metrics = &figures[i];
        list[i] = &m[i];
    }
    if (p->n)
        p->conf.measured(p->conf.u, list, p->n);
    if (probe_observations(p, &none))
        p->conf.changed(p->conf.u);
}

enum err probe_new(const struct probe_conf *c, struct probe **ret)
{
    *ret = sim_alloc(sizeof **ret);
    (*ret)->conf = *c;
    (*ret)->timer.data = *ret;
    (void)uv_timer_init(c->loop, &(*ret)->timer);
    return uv_timer_start(&(*ret)->timer, probe_cb, 1000, 5000) ? ERR_INTERNAL : ERR_OK;
}

void probe_targets(struct probe *p, Wire__ProbeTarget *const *targets, size_t n)
{
    for (size_t i = 0; i < p->n; i++)
        wire__probe_target__free_unpacked(p->target[i], NULL);
    p->n = n < PROBES ? n : PROBES;
    for (size_t i = 0; i < p->n; i++) {
        size_t len = wire__probe_target__get_packed_size(targets[i]);
        uint8_t *b = sim_alloc(len + 1);
        wire__probe_target__pack(targets[i], b);
        p->target[i] = wire__probe_target__unpack(NULL, len, b);
        free(b);
    }
    (void)uv_timer_start(&p->timer, probe_cb, 100, 5000);
}

void probe_counts(const struct probe *p, uint64_t *ret_targets, uint64_t *ret_measured) { *ret_targets = *ret_measured = p->n; }

size_t probe_observations(struct probe *p, Wire__Observation ***ret)
{
    static char gone[] = "No route to it", ip[] = "10.0.0.1";
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++) {
        const Wire__ProbeTarget *t = p->target[i];
        bool there = desktop_reachable(t->desktop);
        if (there == (t->status == DESKTOP_RUNNING))
            continue;
        Wire__Observation *o = &p->seen[n];
        *o = (Wire__Observation)WIRE__OBSERVATION__INIT;
        o->desktop = t->desktop;
        o->reachable = there;
        o->agent_answers = there && *t->chat_url;
        if (!there)
            o->error = gone;
        o->ip_address = ip;
        p->list[n++] = o;
    }
    *ret = p->list;
    return n;
}

// ---------------------------------------------------------------- lives

void keys_make(void)
{
    char name[16];
    for (unsigned i = 0; i < WORKERS; i++) {
        snprintf(name, sizeof name, "w%u", i + 1);
        peer_key_make(&keys[i], 2, name);
    }
    for (unsigned i = 0; i < GATEWAYS; i++) {
        snprintf(name, sizeof name, "g%u", i + 1);
        peer_key_make(&gateway_keys[i], 1, name);
    }
}

const struct peer_key *worker_key(unsigned n) { return &keys[n]; }
const struct peer_key *gateway_key(unsigned n) { return &gateway_keys[n]; }
struct node *worker_node(unsigned n) { return lives[n] ? lives[n]->node : NULL; }

static void start_again(void *u)
{
    unsigned n = (unsigned)(uintptr_t)u;
    if (!lives[n])
        worker_start(n);
}

void worker_crash(unsigned n)
{
    if (!lives[n])
        return;
    sim_trace("worker%u ends", n + 1);
    net_node_died(lives[n]->node);
    lives[n] = NULL;
    sim_in(NULL, 100 * US + sim_rnd(sim.healed ? SECOND : sim_rnd(4) ? 3 * SECOND : 70 * SECOND), start_again, (void *)(uintptr_t)n);
}

static void end_life(void *u)
{
    struct life *l = u;
    if (lives[l->node->id - 1] == l)
        worker_crash(l->node->id - 1);
    else if (!l->node->dead)
        net_node_died(l->node); // it was replaced before
}

// It may stand still, and wake to find another in its place; the two may fight for the name until one ends.
void worker_replace(unsigned n)
{
    struct life *old = lives[n];
    if (!old)
        return;
    sim_trace("worker%u is replaced", n + 1);
    if (sim_rnd(2))
        old->node->paused_until_us = sim.now_us + sim_rnd(50 * SECOND);
    uint64_t paused = old->node->paused_until_us > sim.now_us ? old->node->paused_until_us - sim.now_us : 0;
    sim_in(NULL, paused + sim_rnd(5 * SECOND), end_life, old);
    next_machine[n] ^= 1;
    worker_start(n);
}

static void drained_cb(void *u) { sim_in(NULL, 1, end_life, u); }

// As worker/main.c: what ran without an end is ended, ends that were spooled are taken up.
static void take_up(struct life *l, struct spool *s)
{
    for (unsigned i = 0; i < s->n_kept;) {
        struct kept *k = &s->kept[i];
        if (k->end) {
            Wire__SessionReport *r = wire__session_report__unpack(NULL, k->n, k->end);
            if (!r || link_restore(l->link, r))
                sim_fail("what was spooled of session_%llu does not fit together", (unsigned long long)k->line.session);
            wire__session_report__free_unpacked(r, NULL);
            i++;
            continue;
        }
        for (struct proc *p = s->procs; p; p = p->next)
            if (!p->over && strcmp(p->id.run, k->line.id.run) == 0) {
                p->over = true;
                model_exited(p->line.session, 137);
            }
        spool_guard_drop(s, k->line.session);
        spool_forget(s, k->line.session);
    }
}

void worker_start(unsigned n)
{
    struct node *before = sim.node;
    struct life *l = sim_alloc(sizeof *l);
    lives[n] = l;
    l->machine = next_machine[n];
    l->node = sim.node = node_new("worker", n + 1, l);
    struct link_conf c = { .loop = &l->node->loop, .broker = "sim://b1,sim://b2", .key = &keys[n], .slots = SLOTS, .drain_ms = 5000,
                           .spool = here(), .user = { "nobody", "/nonexistent" }, .stall_s = 60, .drained = drained_cb, .u = l };
    if (link_new(&c, &l->link))
        sim_fail("a worker does not start");
    take_up(l, here());
    if (link_start(l->link))
        sim_fail("a worker does not start");
    sim_trace("starts");
    sim.node = before;
}
