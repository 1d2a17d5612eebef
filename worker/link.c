/* Happy path: greeted; a poll says what is free and what we have; its answer brings sessions, which are recorded, started when
 * there is a slot, and named in the next poll; their output goes out live at once and in reports, one report at a time; a report
 * is acknowledged; an end that is acknowledged is forgotten, and its slot is free.
 * When something changes while a poll is held, a second one is sent: the broker then answers the first one empty. Never more than
 * two; a change that comes then is told by the poll that follows. A slot that became free is no such change: the broker knows from
 * the report.
 * The broker away: polls and reports fail, and are tried again for ever, 100 ms to 2 s apart. Everything else goes on.
 * What the broker sends is checked as a stranger's: a session is started at most once, whatever it repeats.
 */
#include "link.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "check.h"
#include "clock.h"
#include "fault.h"
#include "figure.h"
#include "hook.h"
#include "list.h"
#include "log.h"
#include "notify.h"
#include "peer.h"
#include "probe.h"
#include "proc.h"
#include "self.h"
#include "wire.pb-c.h"

enum {
    HOLD_MS = 5000, DRAIN_HOLD_MS = 200, POLL_EXTRA_MS = 3000, REPORT_MS = 10000, POLLS = 2,
    BACK_OFF_MIN_MS = 100, BACK_OFF_MAX_MS = 2000,
    FIGURES_MS = 1000,               // a poll brings figures, but not each
    REPORT_MAX = 512 * 1024, REPORT_PIECES = 1024, REPORT_SESSIONS = 256,
    GATHER_MS = 100,                 // output waits so long for more of it
    PROMPT_OCTETS = 16 * 1024, PROMPT_MS = 20, // unless there is this much; then reports are so far apart
    LIVE_PIECE = 16 * 1024, LIVE_WINDOW_MS = 50, LIVE_WINDOW_OCTETS = 512 * 1024,
    FINISHED_MAX = 4096,             // sessions we remember to have been done with
    SESSIONS_MAX = 4096, STOP_MS = 2000, CONFIRM_MS = 5000,
};

struct poll {
    struct peer_call call;
    struct link *link;
    bool sent, draining; // draining: it said so
    uint64_t sent_ms;
};

struct link {
    struct link_conf conf;
    struct job_conf job_conf;
    struct peer *peer;
    struct probe *probe;
    struct hooks *hooks;               // deliveries to webhooks
    struct list jobs;                  // all that are not confirmed and forgotten
    unsigned n_jobs;
    uint64_t incarnation;
    uint64_t finished[FINISHED_MAX];   // a ring
    unsigned n_finished;

    struct poll poll[POLLS];
    uint64_t polls;
    uint64_t probes_number;            // of the list of desktops we were last given; 1: none yet
    uv_timer_t poll_timer;
    unsigned poll_pause_ms;            // 0: the last one went well
    uint64_t heard_ms;                 // our lease began no earlier: when the last poll that was answered had been sent
    bool poll_due;                     // something changed while both were out

    struct peer_call report;
    bool reporting, progress;
    bool acking;                       // ends are being forgotten because the broker has them
    uv_timer_t report_timer;
    unsigned report_pause_ms;
    unsigned singles;                  // so many reports have one session each: the broker refused one of several
    Wire__OutputPiece *pieces, **piece_list; // REPORT_PIECES of each

    uint64_t started, ended[FAILURE_COUNT]; // sessions of this life; by how, 0: without a failure
    uint64_t figures_ms;               // when they were last told
    struct self self;                  // looked at after a poll has gone, so that none is late for it

    uint64_t live_since_ms;
    size_t live_octets;

    uint64_t *holds;                   // for the greeting
    bool draining, stopping, told;
    bool drain_over;                   // what still runs is being ended
    bool drain_known;                  // the broker has answered a poll that said so, and had nothing more for us
    uv_timer_t drain_timer, confirm_timer;
    uint64_t idle_since_ms;            // draining, and nothing runs
};

static void poll_soon(struct link *l, unsigned ms);
static void report_soon(struct link *l, unsigned ms);
static void look_drained(struct link *l);

// ---------------------------------------------------------------- sessions

static struct job *find(struct link *l, uint64_t session)
{
    list_each(n, tmp, &l->jobs) {
        struct job *j = container_of(n, struct job, at);
        if (j->session == session)
            return j;
    }
    return NULL;
}

static bool was_finished(const struct link *l, uint64_t session)
{
    unsigned n = l->n_finished < FINISHED_MAX ? l->n_finished : FINISHED_MAX;
    for (unsigned i = 0; i < n; i++)
        if (l->finished[i] == session)
            return true;
    return false;
}

// Queued ones count as well: they have been given a slot.
static unsigned active(const struct link *l, unsigned *ret_ended)
{
    unsigned n = 0, ended = 0;
    list_each(at, tmp, &l->jobs) {
        if (container_of(at, struct job, at)->state == JOB_ENDED)
            ended++;
        else
            n++;
    }
    *ret_ended = ended;
    return n;
}

static unsigned free_slots(const struct link *l)
{
    unsigned ended, n = active(l, &ended);
    if (l->draining)
        return 0;
    // Ends that the broker does not take pile up: no more work than we can keep the results of.
    if (ended > l->conf.slots)
        n += ended - l->conf.slots;
    return n < l->conf.slots ? l->conf.slots - n : 0;
}

// False after we were away (stopped, or the broker was) for as long as a lease: what we hold may be somebody else's by now, so
// that nothing is begun before the next answer has said what is ours. What runs goes on.
static bool leased_cb(void *u)
{
    const struct link *l = u;
    return clock_mono_ms() < l->heard_ms + LEASE_MS;
}

static void start_waiting(struct link *l)
{
    unsigned running = 0;
    if (!leased_cb(l))
        return;
    list_each(n, tmp, &l->jobs) {
        const struct job *j = container_of(n, struct job, at);
        if (j->state != JOB_ENDED && j->state != JOB_QUEUED)
            running++;
    }
    list_each(n, tmp, &l->jobs) {
        struct job *j = container_of(n, struct job, at);
        if (running >= l->conf.slots)
            return;
        if (!job_waits(j))
            continue;
        running++;
        job_go(j);
    }
}

static void recorded_cb(void *u, struct job *j)
{
    (void)j;
    start_waiting(u);
}

static void ended_cb(void *u, struct job *j)
{
    struct link *l = u;
    log_debug("session_%" PRIu64 " ended: %s %s", j->session, j->result.failure ? failure_name(j->result.failure) : "ok", j->result.text);
    if (j->result.failure < FAILURE_COUNT)
        l->ended[j->result.failure]++;
    if (l->stopping)
        return;
    report_soon(l, 0);
    start_waiting(l);
    look_drained(l);
}

static void gone_cb(void *u, struct job *j)
{
    struct link *l = u;
    l->finished[l->n_finished++ % FINISHED_MAX] = j->session;
    if (l->n_finished >= 2 * FINISHED_MAX)
        l->n_finished -= FINISHED_MAX;
    list_remove(&j->at);
    l->n_jobs--;
    if (l->stopping)
        return;
    start_waiting(l);
    // The broker knows of an end it has acknowledged, but not that it was one of too many that kept us from taking more.
    unsigned ended;
    (void)active(l, &ended);
    if (!l->acking || ended >= l->conf.slots || l->draining)
        poll_soon(l, 0);
    look_drained(l);
}

static bool holds_cb(void *u, const uint64_t **ret, size_t *ret_n)
{
    struct link *l = u;
    size_t n = 0;
    uint64_t *more = realloc(l->holds, (l->n_jobs + 1) * sizeof *more);
    if (!more)
        return false;
    l->holds = more;
    list_each(at, tmp, &l->jobs)
        if (n < l->n_jobs)
            more[n++] = container_of(at, struct job, at)->session;
    *ret = more;
    *ret_n = n;
    return true;
}

// ---------------------------------------------------------------- live output

// The fast path: lossy, so that it may be cut. What is left out stands in the reports.
static void live(struct link *l, const struct job *j, enum stream stream, uint64_t offset, const uint8_t *p, size_t n)
{
    uint64_t now = uv_now(l->conf.loop);
    if (now - l->live_since_ms >= LIVE_WINDOW_MS) {
        l->live_since_ms = now;
        l->live_octets = 0;
    }
    for (size_t at = 0; at < n && l->live_octets < LIVE_WINDOW_OCTETS;) {
        size_t step = n - at < LIVE_PIECE ? n - at : LIVE_PIECE;
        union { // packing does not write
            const uint8_t *in;
            uint8_t *out;
        } data = { p + at };
        Wire__LiveOutput o = WIRE__LIVE_OUTPUT__INIT, *list[1] = { &o };
        Wire__Live m = WIRE__LIVE__INIT;
        o.workspace = j->a->workspace;
        o.task = j->task;
        o.session = j->session;
        o.desktop = j->a->desktop;
        o.agent = j->a->agent;
        o.stream = stream;
        o.offset = offset + at;
        o.data.data = data.out;
        o.data.len = step;
        m.output = list;
        m.n_output = 1;
        peer_publish_live(l->peer, &m);
        l->live_octets += step;
        at += step;
    }
}

static void output_cb(void *u, struct job *j, enum stream stream, uint64_t offset, const uint8_t *p, size_t n)
{
    struct link *l = u;
    if (l->stopping)
        return;
    live(l, j, stream, offset, p, n);
    // The beginning goes out promptly; of the rest most may still fall out of the ring.
    bool prompt = j->out.total - j->out.acked >= PROMPT_OCTETS && j->out.acked < OUTPUT_HEAD;
    report_soon(l, prompt ? PROMPT_MS : GATHER_MS);
}

static void measured_cb(void *u, Wire__LiveMetrics **m, size_t n)
{
    struct link *l = u;
    Wire__Live live_message = WIRE__LIVE__INIT;
    live_message.metrics = m;
    live_message.n_metrics = n;
    peer_publish_live(l->peer, &live_message);
}

static void hooks_idle_cb(void *u)
{
    look_drained(u);
}

static void changed_cb(void *u)
{
    poll_soon(u, 0);
}

// ---------------------------------------------------------------- reports

static unsigned longer(unsigned pause_ms)
{
    unsigned next = pause_ms ? pause_ms * 2 : BACK_OFF_MIN_MS;
    return next < BACK_OFF_MAX_MS ? next : BACK_OFF_MAX_MS;
}

static bool to_tell(const struct job *j)
{
    return !j->dropped && (j->state == JOB_ENDED || j->out.acked < j->out.total);
}

// When the next report is due: at once for an end, else as output_cb has it. -1: nothing to tell.
static int due_in(const struct link *l)
{
    int ms = -1;
    list_each(n, tmp, &l->jobs) {
        const struct job *j = container_of(n, struct job, at);
        if (!to_tell(j))
            continue;
        if (j->state == JOB_ENDED)
            return 0;
        int want = j->out.total - j->out.acked >= PROMPT_OCTETS && j->out.acked < OUTPUT_HEAD ? PROMPT_MS : GATHER_MS;
        if (ms < 0 || want < ms)
            ms = want;
    }
    return ms;
}

static void take_ack(struct link *l, const Wire__SessionAck *a)
{
    struct job *j = find(l, a->session);
    if (!j) { // a poll's answer told us first: there is less to tell now, which is progress too
        l->progress = true;
        return;
    }
    uint64_t before = j->out.acked;
    output_ack(&j->out, a->output_upto);
    if (j->out.acked > before)
        l->progress = true;
    if (a->forget || (a->ended && j->state == JOB_ENDED)) {
        if (a->forget)
            log_warn("the broker does not want session_%" PRIu64 " of us any more", j->session);
        l->progress = true;
        fault_point("acked");
        job_drop(j);
    }
}

static void take_acks(struct link *l, const Wire__ReportAck *a)
{
    unsigned before = l->n_jobs;
    l->acking = true;
    for (size_t i = 0; i < a->n_sessions; i++)
        take_ack(l, a->sessions[i]);
    l->acking = false;
    if (!a->freed && l->n_jobs < before)
        poll_soon(l, 0); // a broker of an earlier version
}

static void reported_cb(struct peer_call *c, enum err e, const Wire__Reply *reply)
{
    struct link *l = container_of(c, struct link, report);
    l->reporting = l->progress = false;
    if (l->stopping)
        return;
    if (!e && reply->answers[0]->err)
        e = err_from_wire(reply->answers[0]->err);
    if (!e && reply->answers[0]->body_case != WIRE__ANSWER__BODY_REPORT_ACK)
        e = ERR_BAD_REQUEST;
    if (!e)
        take_acks(l, reply->answers[0]->report_ack);
    else if (e != ERR_UNAVAILABLE && e != ERR_OUTCOME_UNKNOWN) {
        log_warn("the broker did not take a report: %s", err_name(e));
        l->singles = l->n_jobs; // so that the one it does not like keeps none of the others waiting
    }
    // A report that changed nothing is not repeated at once, whatever the reason.
    l->report_pause_ms = e || !l->progress ? longer(l->report_pause_ms) : 0;
    int ms = due_in(l);
    if (ms >= 0)
        report_soon(l, l->report_pause_ms > (unsigned)ms ? l->report_pause_ms : (unsigned)ms);
}

// Of one session, with its end only if all its output goes along or has gone before. Which octets are left of the budget.
static size_t put_session(struct link *l, const struct job *j, Wire__SessionReport *r, size_t *n_pieces, size_t budget)
{
    size_t max = REPORT_PIECES - *n_pieces, used = 0, n = 0, last = 0;
    Wire__OutputPiece *pieces = l->pieces + *n_pieces, **list = l->piece_list + *n_pieces;
    size_t have = job_report(j, r, pieces, list, max);
    while (n < have && used + pieces[n].data.len <= budget) {
        used += pieces[n].data.len + 16; // 16: what the wire adds
        last = n++;
    }
    struct piece more;
    bool all = n == have && !(n && output_next(&j->out, pieces[last].offset + pieces[last].data.len, 1, &more)) &&
               !(n == 0 && output_next(&j->out, j->out.acked, 1, &more));
    r->n_pieces = n;
    if (r->ended && !all) {
        r->ended = r->has_exit = false;
        r->failure = FAILURE_NONE;
        r->failure_text = NULL;
    }
    *n_pieces += n;
    return used < budget ? budget - used : 0;
}

static void send_report(struct link *l)
{
    static Wire__SessionReport sessions[REPORT_SESSIONS], *list[REPORT_SESSIONS];
    Wire__WorkReport m = WIRE__WORK_REPORT__INIT;
    Wire__Item item = WIRE__ITEM__INIT, *items[1] = { &item };
    size_t n_pieces = 0, n = 0, budget = REPORT_MAX;
    size_t max = l->singles ? 1 : REPORT_SESSIONS;
    if (l->singles)
        l->singles--;
    // Who comes first goes to the end, so that one that always has much to tell does not keep the others waiting.
    for (unsigned i = 0, all = l->n_jobs; i < all && n < max && n_pieces < REPORT_PIECES && budget > 0; i++) {
        struct job *j = container_of(l->jobs.next, struct job, at);
        list_remove(&j->at);
        list_push_back(&l->jobs, &j->at);
        if (!to_tell(j))
            continue;
        // A share for each; an end is small and waits for nobody.
        size_t share = budget < (size_t)REPORT_MAX / 4 ? budget : (size_t)REPORT_MAX / 4;
        if (l->n_jobs == 1)
            share = budget;
        size_t left = put_session(l, j, &sessions[n], &n_pieces, share);
        budget -= share - left;
        list[n] = &sessions[n];
        n++;
    }
    if (n == 0)
        return;
    m.sessions = list;
    m.n_sessions = n;
    item.body_case = WIRE__ITEM__BODY_WORK_REPORT;
    item.work_report = &m;
    l->reporting = true;
    fault_point("reporting");
    peer_ask(l->peer, &l->report, items, 1, REPORT_MS);
    fault_point("reported");
}

static void report_cb(uv_timer_t *t)
{
    struct link *l = t->data;
    if (!l->reporting && !l->stopping)
        send_report(l);
}

static void report_soon(struct link *l, unsigned ms)
{
    if (l->reporting || l->stopping)
        return; // reported_cb looks again
    if (l->report_pause_ms > ms)
        ms = l->report_pause_ms;
    if (uv_is_active((uv_handle_t *)&l->report_timer) && uv_timer_get_due_in(&l->report_timer) <= ms)
        return;
    uv_timer_start(&l->report_timer, report_cb, ms, 0);
}

// ---------------------------------------------------------------- polls and orders

static void assign(struct link *l, const Wire__Assignment *a)
{
    struct job *j;
    if (a->session == 0 || find(l, a->session) || was_finished(l, a->session))
        return;
    if (l->n_jobs >= SESSIONS_MAX) {
        log_warn("session_%" PRIu64 " is not taken: %u are held already", a->session, l->n_jobs);
        return;
    }
    fault_point("received");
    if (job_new(&l->job_conf, a, &j) != ERR_OK) {
        log_error("out of memory for session_%" PRIu64, a->session);
        return; // the broker repeats it
    }
    list_push_back(&l->jobs, &j->at);
    l->n_jobs++;
    l->started++;
    // One that was on its way when we said that we want no more runs like the others, unless the time for that is over.
    if (l->drain_over)
        job_stop(j, STOP_DRAIN, false);
}

static void take_orders(struct link *l, const Wire__WorkOrders *o)
{
    bool news = o->n_assignments > 0 || o->n_hooks > 0;
    for (size_t i = 0; i < o->n_assignments; i++)
        assign(l, o->assignments[i]);
    for (size_t i = 0; i < o->n_cancels; i++) {
        struct job *j = find(l, o->cancels[i]);
        if (j)
            job_stop(j, STOP_CANCEL, false);
    }
    for (size_t i = 0; i < o->n_forget; i++) {
        struct job *j = find(l, o->forget[i]);
        if (!j)
            continue;
        if (j->state == JOB_ENDED)
            fault_point("acked"); // it took our report before this poll: the acknowledgement is on its way
        else
            log_warn("the broker does not know session_%" PRIu64 " as ours any more: ending it", j->session);
        job_drop(j);
    }
    for (size_t i = 0; i < o->n_hooks; i++) {
        hooks_take(l->hooks, o->hooks[i]);
        crypto_wipe(o->hooks[i]->secret, strlen(o->hooks[i]->secret));
    }
    if (o->probes_given) {
        probe_targets(l->probe, o->probes, o->n_probes);
        if (o->probes_number)
            l->probes_number = o->probes_number;
    }
    if (o->drain)
        link_drain(l);
    if (news)
        poll_soon(l, 0);
}

static bool polls_out(const struct link *l, unsigned n)
{
    unsigned out = 0;
    for (int i = 0; i < POLLS; i++)
        out += l->poll[i].sent;
    return out >= n;
}

static void polled_cb(struct peer_call *c, enum err e, const Wire__Reply *reply)
{
    struct poll *p = container_of(c, struct poll, call);
    struct link *l = p->link;
    p->sent = false;
    if (l->stopping)
        return;
    if (!e && reply->answers[0]->err)
        e = err_from_wire(reply->answers[0]->err);
    if (!e && reply->answers[0]->body_case != WIRE__ANSWER__BODY_WORK_ORDERS)
        e = ERR_BAD_REQUEST;
    l->poll_pause_ms = e ? longer(l->poll_pause_ms) : 0;
    if (!e) {
        const Wire__WorkOrders *o = reply->answers[0]->work_orders;
        if (p->sent_ms > l->heard_ms)
            l->heard_ms = p->sent_ms;
        take_orders(l, o);
        start_waiting(l);
        l->drain_known = p->draining && o->drain && o->n_assignments == 0;
        look_drained(l);
    }
    if (e && e != ERR_UNAVAILABLE && e != ERR_OUTCOME_UNKNOWN)
        log_warn("the broker did not take a poll: %s", err_name(e));
    if (l->poll_due || !polls_out(l, 1))
        poll_soon(l, l->draining && !l->poll_due ? DRAIN_HOLD_MS : 0);
}

// Once a second, with whichever poll comes then. list and all: WORKER_FIGURE_N of each.
static size_t put_figures(struct link *l, Wire__Figure *all, Wire__Figure **list)
{
    uint64_t v[WORKER_FIGURE_N] = { 0 }, now = clock_mono_ms();
    unsigned ended;
    if (l->figures_ms && now - l->figures_ms < FIGURES_MS)
        return 0;
    l->figures_ms = now;
    (void)active(l, &ended);
    v[FIGURE_WORKER_RESIDENT] = l->self.resident;
    v[FIGURE_WORKER_FDS] = l->self.fds;
    v[FIGURE_WORKER_CPU] = l->self.cpu_us;
    v[FIGURE_WORKER_START] = l->self.start_ms;
    v[FIGURE_WORKER_STARTED] = l->started;
    v[FIGURE_WORKER_COMPLETED] = l->ended[FAILURE_NONE];
    v[FIGURE_WORKER_EXIT_NONZERO] = l->ended[FAILURE_EXIT_NONZERO];
    v[FIGURE_WORKER_TIMEOUT] = l->ended[FAILURE_TIMEOUT];
    v[FIGURE_WORKER_AGENT_ERROR] = l->ended[FAILURE_AGENT_ERROR];
    v[FIGURE_WORKER_OTHER] = l->ended[FAILURE_WORKER_LOST] + l->ended[FAILURE_DESKTOP_LOST];
    v[FIGURE_WORKER_SPOOL] = spool_octets(l->conf.spool);
    v[FIGURE_WORKER_UNCONFIRMED] = ended;
    hooks_counts(l->hooks, &v[FIGURE_WORKER_HOOKS], &v[FIGURE_WORKER_HOOK_TAKEN], &v[FIGURE_WORKER_HOOK_FAILED]);
    probe_counts(l->probe, &v[FIGURE_WORKER_PROBED], &v[FIGURE_WORKER_PROBES]);
    for (unsigned i = 0; i < WORKER_FIGURE_N; i++) {
        wire__figure__init(&all[i]);
        all[i].what = figure_number(FIGURES_WORKER, i);
        all[i].value = v[i];
        list[i] = &all[i];
    }
    return WORKER_FIGURE_N;
}

static void send_poll(struct link *l)
{
    struct poll *p = l->poll[0].sent ? &l->poll[1] : &l->poll[0];
    Wire__WorkPoll m = WIRE__WORK_POLL__INIT;
    Wire__Item item = WIRE__ITEM__INIT, *items[1] = { &item };
    Wire__Figure figures[WORKER_FIGURE_N], *figure_list[WORKER_FIGURE_N];
    if (p->sent) {
        l->poll_due = true;
        return;
    }
    Wire__Holding *h = malloc((l->n_jobs + 1) * sizeof *h), **list = malloc((l->n_jobs + 1) * sizeof *list);
    if (!h || !list) {
        free(h);
        free(list);
        l->poll_pause_ms = longer(l->poll_pause_ms);
        poll_soon(l, l->poll_pause_ms);
        return;
    }
    list_each(n, tmp, &l->jobs) {
        const struct job *j = container_of(n, struct job, at);
        Wire__Holding *one = &h[m.n_running];
        wire__holding__init(one);
        one->session = j->session;
        one->attempt = j->attempt;
        one->occupies = j->state != JOB_ENDED;
        list[m.n_running++] = one;
    }
    m.poll = ++l->polls;
    m.slots = l->conf.slots;
    m.free = free_slots(l);
    m.running = list;
    m.draining = l->draining;
    m.hold_ms = l->draining ? DRAIN_HOLD_MS : HOLD_MS;
    m.hook_slots = l->draining ? 0 : HOOK_SLOTS;
    m.n_hooks = hooks_holdings(l->hooks, &m.hooks);
    m.probes_number = l->probes_number;
    m.n_observed = probe_observations(l->probe, &m.observed);
    m.figures = figure_list;
    m.n_figures = put_figures(l, figures, figure_list);
    item.body_case = WIRE__ITEM__BODY_WORK_POLL;
    item.work_poll = &m;
    p->sent = true;
    p->sent_ms = clock_mono_ms();
    p->draining = l->draining;
    l->poll_due = false;
    peer_ask(l->peer, &p->call, items, 1, HOLD_MS + POLL_EXTRA_MS);
    if (m.n_figures)
        self_look(&l->self);
    free(h);
    free(list);
}

static void poll_cb(uv_timer_t *t)
{
    struct link *l = t->data;
    if (!l->stopping)
        send_poll(l);
}

static void poll_soon(struct link *l, unsigned ms)
{
    if (l->stopping || !l->peer)
        return;
    if (l->poll_pause_ms > ms)
        ms = l->poll_pause_ms;
    if (uv_is_active((uv_handle_t *)&l->poll_timer) && uv_timer_get_due_in(&l->poll_timer) <= ms)
        return;
    uv_timer_start(&l->poll_timer, poll_cb, ms, 0);
}

static void up_cb(void *u, const Wire__Welcome *w)
{
    struct link *l = u;
    log_info("the broker (version %s) took us as worker_%" PRIu64, w->version, w->worker);
    notify_status("connected, %u sessions", l->n_jobs);
    l->poll_pause_ms = l->report_pause_ms = 0;
    uv_timer_stop(&l->poll_timer); // they may be far off
    uv_timer_stop(&l->report_timer);
    hooks_up(l->hooks);
    poll_soon(l, 0);
    if (due_in(l) >= 0)
        report_soon(l, 0);
}

static void down_cb(void *u)
{
    struct link *l = u;
    notify_status("the broker is away, %u sessions", l->n_jobs);
    look_drained(l);
}

// ---------------------------------------------------------------- the end

static void confirm_cb(uv_timer_t *t)
{
    look_drained(t->data);
}

// Nothing runs. The broker must know that we take no more, so that nothing is on its way to us, and has some seconds to confirm
// the ends; what it does not take is in the spool.
static void look_drained(struct link *l)
{
    unsigned ended;
    if (!l->draining || l->told || l->stopping)
        return;
    if (active(l, &ended) || (!hooks_idle(l->hooks) && !l->drain_over)) { // what is not told of a delivery, the broker gives out again
        l->idle_since_ms = 0;
        return;
    }
    uint64_t now = clock_mono_ms();
    if (!l->idle_since_ms) {
        l->idle_since_ms = now;
        uv_timer_start(&l->confirm_timer, confirm_cb, CONFIRM_MS, 0);
    }
    if ((ended || !l->drain_known) && peer_is_up(l->peer) && now - l->idle_since_ms < CONFIRM_MS)
        return;
    l->told = l->stopping = true; // nothing is taken up any more
    l->conf.drained(l->conf.u);
}

static void drain_cb(uv_timer_t *t)
{
    struct link *l = t->data;
    unsigned ended;
    if (active(l, &ended))
        log_info("ending what still runs");
    l->drain_over = true;
    list_each(n, tmp, &l->jobs) {
        struct job *j = container_of(n, struct job, at);
        if (j->state != JOB_ENDED)
            job_stop(j, STOP_DRAIN, false);
    }
    look_drained(l);
}

void link_drain(struct link *l)
{
    if (l->draining)
        return;
    l->draining = true;
    notify_stopping();
    unsigned ended, n = active(l, &ended);
    log_info("draining: %u sessions may run on for up to %u ms", n, l->conf.drain_ms);
    uv_timer_start(&l->drain_timer, drain_cb, l->conf.drain_ms, 0);
    poll_soon(l, 0);
    look_drained(l);
}

void link_stop(struct link *l)
{
    l->stopping = true;
    list_each(n, tmp, &l->jobs) {
        struct job *j = container_of(n, struct job, at);
        if (j->state != JOB_ENDED)
            job_stop(j, STOP_DRAIN, true);
    }
    proc_kill_all(STOP_MS);
    // Ends of processes are heard of by the loop: a few turns of it spool how they ended.
    uint64_t until = clock_mono_ms() + STOP_MS;
    for (unsigned ended; active(l, &ended) && clock_mono_ms() < until;) {
        uv_run(l->conf.loop, UV_RUN_ONCE);
        uv_update_time(l->conf.loop);
    }
}

// ---------------------------------------------------------------- the beginning

enum err link_restore(struct link *l, const Wire__SessionReport *r)
{
    struct job *j;
    enum err e = job_restore(&l->job_conf, r, &j);
    if (e)
        return e;
    list_push_back(&l->jobs, &j->at);
    l->n_jobs++;
    return ERR_OK;
}

enum err link_new(const struct link_conf *c, struct link **ret)
{
    struct link *l = calloc(1, sizeof *l);
    if (!l)
        return ERR_NO_MEMORY;
    l->conf = *c;
    l->job_conf = (struct job_conf){ .loop = c->loop, .spool = c->spool, .user = c->user, .stall_s = c->stall_s,
                                     .recorded = recorded_cb, .leased = leased_cb, .output = output_cb, .ended = ended_cb, .gone = gone_cb, .u = l };
    list_init(&l->jobs);
    self_look(&l->self);
    crypto_random(&l->incarnation, sizeof l->incarnation);
    l->incarnation |= 1; // 0 is "none"
    l->probes_number = 1;
    for (int i = 0; i < POLLS; i++) {
        l->poll[i].link = l;
        l->poll[i].call.cb = polled_cb;
    }
    l->report.cb = reported_cb;
    l->pieces = calloc(REPORT_PIECES, sizeof *l->pieces);
    l->piece_list = calloc(REPORT_PIECES, sizeof(Wire__OutputPiece *));
    struct probe_conf probe = { .loop = c->loop, .home = c->user.home, .changed = changed_cb, .measured = measured_cb, .u = l };
    struct hooks_conf hooks = { .loop = c->loop, .allow = c->webhook_allow, .idle = hooks_idle_cb, .u = l };
    if (!l->pieces || !l->piece_list || uv_timer_init(c->loop, &l->poll_timer) || uv_timer_init(c->loop, &l->report_timer) ||
        uv_timer_init(c->loop, &l->drain_timer) || uv_timer_init(c->loop, &l->confirm_timer) || probe_new(&probe, &l->probe) != ERR_OK ||
        hooks_new(&hooks, &l->hooks) != ERR_OK) {
        free(l->pieces); // the program ends on this
        free(l->piece_list);
        free(l);
        return ERR_NO_MEMORY;
    }
    l->poll_timer.data = l->report_timer.data = l->drain_timer.data = l->confirm_timer.data = l;
    *ret = l;
    return ERR_OK;
}

enum err link_start(struct link *l)
{
    struct peer_conf c = { .loop = l->conf.loop, .urls = l->conf.broker, .key = l->conf.key, .topics = "", .incarnation = l->incarnation,
                           .holds = holds_cb, .up = up_cb, .down = down_cb, .u = l };
    enum err e = peer_new(&c, &l->peer);
    if (e)
        return e;
    hooks_start(l->hooks, l->peer);
    poll_soon(l, 0);
    return ERR_OK;
}
