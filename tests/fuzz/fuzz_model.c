// links: broker common lmdb xxhash protobuf-c sodium jansson uv systemd nng -Wl,--wrap=mdb_txn_begin,--wrap=mdb_txn_commit,--wrap=mdb_txn_abort
// fuzz: -max_len=128 -len_control=0
// Commands by chance against a small model of tasks, attempts, approvals and what a worker holds, written from the table of the contract and
// not from the code. Input: four octets a command: which, about what, two arguments. After each: the same refusal, the same state of what it was
// about, no gap in the numbers of events; in the end the same states of all, and the same counters.
#include "broker_store.h"
#include "fleet.h"
#include "query.h"
#include "record.pb-c.h"
#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// ---------------------------------------------------------------- the model

enum { TASKS = 24, SESSIONS = 64, DESKTOP = 1, TERM_MS = 30000 };
enum where { GONE, PENDING, RUNNING, REVIEW, DONE, FAILED, CANCELLED };

static struct {
    struct {
        enum where is;
        unsigned retries, left, attempt, session, approval; // session, approval: 0 none; left: attempts it may still make by itself
        bool waits, asks, rejected;
    } task[TASKS + 1];
    struct {
        unsigned task, attempt;
        bool runs, held, late; // held: takes a slot; late: its worker may still tell how it ended
    } session[SESSIONS + 1];
    unsigned tasks, sessions, approvals, slots;
    bool asks, stopped, booting, worker;
    uint64_t life, lease;      // the worker's incarnation, and until when it is believed to live
} m;

static unsigned held(void)
{
    unsigned n = 0;
    for (unsigned s = 1; s <= m.sessions; s++)
        n += m.session[s].held;
    return n;
}

static void attempt(unsigned t, bool by_itself)
{
    if (!by_itself || !m.task[t].attempt)
        m.task[t].left = m.task[t].retries;
    m.task[t].attempt++;
    m.task[t].session = 0;
    m.task[t].waits = true;
    m.task[t].is = RUNNING;
}

// A running session is over; keeps: the worker still has it.
static void end(unsigned s, bool well, bool keeps)
{
    unsigned t = m.session[s].task;
    m.session[s].runs = false;
    m.session[s].held = keeps;
    if (well) {
        bool ask = m.task[t].asks || m.asks;
        m.task[t].is = ask ? REVIEW : DONE;
        if (ask)
            m.task[t].approval = ++m.approvals;
    } else if (m.task[t].left) {
        m.task[t].left--;
        attempt(t, true);
    } else {
        m.task[t].is = FAILED;
    }
}

static bool model_create(unsigned arg)
{
    bool run = arg & 1;
    if (m.tasks + 1 == TASKS || (run && m.stopped))
        return false;
    unsigned t = ++m.tasks;
    m.task[t].is = PENDING;
    m.task[t].asks = arg & 2;
    m.task[t].retries = arg >> 2 & 3;
    if (run)
        attempt(t, false);
    return true;
}

static bool model_cancel(unsigned t)
{
    if (m.task[t].is != PENDING && m.task[t].is != RUNNING && m.task[t].is != REVIEW)
        return false;
    if (m.task[t].is == RUNNING && m.task[t].session)
        m.session[m.task[t].session].runs = false; // the worker still has to end it
    m.task[t].is = CANCELLED;
    m.task[t].waits = false;
    return true;
}

static bool model_retry(unsigned t)
{
    if (m.task[t].is < DONE)
        return false;
    m.task[t].is = PENDING;
    m.task[t].session = m.task[t].approval = 0;
    m.task[t].rejected = false;
    return true;
}

static bool model_assign(unsigned t, unsigned which)
{
    if (m.task[t].is != RUNNING || !m.task[t].waits || which != m.task[t].attempt || !m.worker || m.stopped || m.booting || held() >= m.slots ||
        m.sessions + 1 == SESSIONS)
        return false;
    unsigned s = ++m.sessions;
    m.session[s].task = t;
    m.session[s].attempt = m.task[t].attempt;
    m.session[s].runs = m.session[s].held = m.session[s].late = true;
    m.task[t].session = s;
    m.task[t].waits = false;
    return true;
}

static void model_lose(unsigned keep) // what the worker holds is over, but for one
{
    for (unsigned s = 1; s <= m.sessions; s++) {
        if (!m.session[s].held || s == keep)
            continue;
        if (m.session[s].runs)
            end(s, false, false);
        m.session[s].held = false;
    }
}

static void model_hello(uint64_t life, unsigned keep)
{
    if (life != m.life) {
        model_lose(keep);
        for (unsigned s = 1; s <= m.sessions; s++) // and never told any more
            if (s != keep && !m.session[s].runs && !m.session[s].held)
                m.session[s].late = false;
    }
    m.life = life;
    m.worker = true;
}

// What a worker says of the end of a session. false: it is told to forget it.
static bool model_report(unsigned s, unsigned which, bool well)
{
    if (s > m.sessions || !m.session[s].late || which != m.session[s].attempt)
        return false;
    m.session[s].late = false;
    if (m.session[s].runs)
        end(s, well, false);
    m.session[s].held = false;
    return true;
}

// ---------------------------------------------------------------- the real one

static struct {
    struct store *store;
    struct fleet *fleet;
    struct arena arena;
    struct batch batch;
    uint64_t now_ms, log_ms, newest, task0, session0, approval0;
    Wire__Answer answer;
} on;

static bool apply(Wire__Item__BodyCase body, void *what, enum sender who)
{
    Wire__Item item = WIRE__ITEM__INIT;
    Wire__Actor actor = WIRE__ACTOR__INIT;
    struct cmd cmd = { .item = &item, .sender = who, .worker = 1, .incarnation = m.life };
    struct batch *b = &on.batch;
    struct txn *t;
    item.body_case = body;
    item.init = what;
    actor.workspace = actor.key = 1;
    item.actor = body == WIRE__ITEM__BODY_WORKER_HELLO ? NULL : &actor;
    arena_reset(&on.arena);
    b->n = 1;
    b->cmds[0] = &cmd;
    b->now_ms = on.now_ms;
    b->log_ms = on.log_ms;
    b->arena = &on.arena;
    b->touched = NULL;
    b->n_touched = b->touched_cap = 0;
    require(!store_begin(on.store, true, &t) && !fsm_apply(t, b) && !store_commit(t));
    require(b->first == on.newest + 1 && b->newest + 1 == b->first + b->n_rows);
    on.newest = b->newest;
    on.answer = cmd.answer;
    return cmd.answer.err == ERR_OK;
}

static bool target(Wire__Item__BodyCase body, uint64_t id)
{
    Wire__Target x = WIRE__TARGET__INIT;
    x.id = id;
    return apply(body, &x, SENDER_GATEWAY);
}

static void query(Wire__Item__BodyCase body, void *what, Wire__Answer *a, void (*look)(const Wire__Answer *a, unsigned u), unsigned u)
{
    struct query q = { .store = on.store, .fleet = on.fleet, .arena = &on.arena };
    Wire__Item item = WIRE__ITEM__INIT;
    Wire__Actor actor = WIRE__ACTOR__INIT;
    item.body_case = body;
    item.init = what;
    actor.workspace = actor.key = actor.user = 1;
    actor.role = ROLE_ADMIN;
    item.actor = &actor;
    arena_reset(&on.arena);
    require(!query_begin(&q));
    query_run(&q, &item, a);
    look(a, u);
    query_end(&q);
}

static void look_task(const Wire__Answer *a, unsigned t)
{
    static const unsigned status[] = { 0, TASK_PENDING, TASK_RUNNING, TASK_REVIEW, TASK_DONE, TASK_FAILED, TASK_CANCELLED };
    if (m.task[t].is == GONE) {
        require(a->err == ERR_NOT_FOUND);
        return;
    }
    require(!a->err);
    const Wire__Task *x = a->task;
    require(x->status == status[m.task[t].is] && x->attempt == m.task[t].attempt && x->retries == m.task[t].retries);
    require(x->session == (m.task[t].session ? on.session0 + m.task[t].session : 0));
    require(x->approval == (m.task[t].approval ? on.approval0 + m.task[t].approval : 0));
    require((x->waiting_for != 0) == m.task[t].waits);
    require((x->failure == FAILURE_REJECTED) == m.task[t].rejected && (m.task[t].is == FAILED) == (x->failure != 0));
    require((x->completed_ms != 0) == (m.task[t].is >= DONE));
}

static void look_overview(const Wire__Answer *a, unsigned before)
{
    static uint64_t first[TASK_STATUS_COUNT], pending0;
    unsigned n[TASK_STATUS_COUNT] = { 0 };
    static const unsigned status[] = { 0, TASK_PENDING, TASK_RUNNING, TASK_REVIEW, TASK_DONE, TASK_FAILED, TASK_CANCELLED };
    require(!a->err && a->overview->n_by_status == TASK_STATUS_COUNT);
    for (unsigned t = 1; t <= m.tasks; t++)
        if (m.task[t].is)
            n[status[m.task[t].is]]++;
    for (unsigned s = 1; s < TASK_STATUS_COUNT; s++) {
        if (before)
            first[s] = a->overview->by_status[s];
        require(a->overview->by_status[s] == first[s] + n[s]);
    }
    if (before)
        pending0 = a->overview->pending_approvals;
    require(a->overview->pending_approvals == pending0 + n[TASK_REVIEW]); // a task in review has one, others have none
}

static void compare_task(unsigned t)
{
    Wire__Answer a = WIRE__ANSWER__INIT;
    Wire__Target x = WIRE__TARGET__INIT;
    x.id = on.task0 + t;
    query(WIRE__ITEM__BODY_TASK_GET, &x, &a, look_task, t);
}

static void compare(void)
{
    Wire__Answer a = WIRE__ANSWER__INIT;
    for (unsigned t = 1; t <= m.tasks; t++)
        compare_task(t);
    Wire__Target x = WIRE__TARGET__INIT;
    query(WIRE__ITEM__BODY_OVERVIEW, &x, &a, look_overview, 0);
}

// ---------------------------------------------------------------- commands

static void do_create(unsigned arg)
{
    static char content[] = "true";
    Wire__TaskCreate c = WIRE__TASK_CREATE__INIT;
    if (m.tasks + 1 == TASKS)
        return;
    c.type = TYPE_COMMAND;
    c.content = content;
    c.desktop = DESKTOP;
    c.run = arg & 1;
    c.requires_approval = arg & 2 ? 2 : 0;
    c.retries = arg >> 2 & 3;
    require(apply(WIRE__ITEM__BODY_TASK_CREATE, &c, SENDER_GATEWAY) == model_create(arg));
}

static void do_run(unsigned t)
{
    bool may = m.task[t].is == PENDING && !m.stopped;
    require(target(WIRE__ITEM__BODY_TASK_RUN, on.task0 + t) == may);
    if (may)
        attempt(t, false);
}

static void do_delete(unsigned t)
{
    bool may = m.task[t].is != GONE && m.task[t].is != RUNNING;
    require(target(WIRE__ITEM__BODY_TASK_DELETE, on.task0 + t) == may);
    if (may)
        m.task[t].is = GONE;
}

static void do_resolve(unsigned t, unsigned arg)
{
    Wire__Resolve r = WIRE__RESOLVE__INIT;
    bool may = m.task[t].is == REVIEW, yes = arg & 1;
    if (arg & 2 && m.task[t].approval)
        r.approval = on.approval0 + m.task[t].approval;
    else
        r.task = on.task0 + t;
    r.decision = yes ? DECISION_APPROVE : DECISION_REJECT;
    static char why[] = "no";
    r.feedback = why;
    require(apply(WIRE__ITEM__BODY_RESOLVE, &r, SENDER_GATEWAY) == may);
    if (may) {
        m.task[t].is = yes ? DONE : FAILED;
        m.task[t].rejected = !yes;
    }
}

static void do_assign(unsigned t, unsigned arg)
{
    Wire__Assign a = WIRE__ASSIGN__INIT;
    if (m.sessions + 1 == SESSIONS)
        return;
    a.task = on.task0 + t;
    a.attempt = m.task[t].attempt + (arg % 8 == 7);
    a.worker = 1;
    a.incarnation = m.life;
    require(apply(WIRE__ITEM__BODY_ASSIGN, &a, SENDER_BROKER) == model_assign(t, a.attempt));
}

static void do_report(unsigned s, unsigned arg)
{
    Wire__WorkReport w = WIRE__WORK_REPORT__INIT;
    Wire__SessionReport r = WIRE__SESSION_REPORT__INIT, *list[1] = { &r };
    unsigned which = (s <= m.sessions ? m.session[s].attempt : 1) + (arg % 16 == 15);
    w.sessions = list;
    w.n_sessions = 1;
    r.session = on.session0 + s;
    r.attempt = which;
    r.ended = r.has_exit = true;
    r.exit_code = arg & 1 ? 3 : 0;
    require(apply(WIRE__ITEM__BODY_WORK_REPORT, &w, SENDER_WORKER) && on.answer.report_ack->n_sessions == 1);
    bool forget = on.answer.report_ack->sessions[0]->forget;
    require(forget == !model_report(s, which, !(arg & 1)));
}

static void do_hello(unsigned s, unsigned arg)
{
    Wire__WorkerHello h = WIRE__WORKER_HELLO__INIT;
    uint64_t keep = on.session0 + s;
    h.worker = 1;
    h.incarnation = m.life + (arg & 1);
    h.holds = &keep;
    h.n_holds = arg & 2 ? 1 : 0;
    require(apply(WIRE__ITEM__BODY_WORKER_HELLO, &h, SENDER_BROKER));
    model_hello(h.incarnation, h.n_holds ? s : 0);
    m.lease = on.log_ms + TERM_MS;
}

static void do_expire(void)
{
    Wire__Expire x = WIRE__EXPIRE__INIT;
    bool over = m.lease <= on.log_ms;
    x.worker = 1;
    require(apply(WIRE__ITEM__BODY_EXPIRE, &x, SENDER_BROKER) == (!m.worker || over));
    if (!m.worker || !over)
        return;
    m.worker = false;
    model_lose(0);
}

static void do_release(unsigned s)
{
    Wire__Target x = WIRE__TARGET__INIT;
    x.id = on.session0 + s;
    require(apply(WIRE__ITEM__BODY_RELEASE, &x, SENDER_BROKER));
    if (s <= m.sessions && m.session[s].late && !m.session[s].runs)
        m.session[s].held = m.session[s].late = false;
}

static void do_desktop(unsigned arg)
{
    Wire__DesktopAct a = WIRE__DESKTOP_ACT__INIT;
    a.id = DESKTOP;
    a.act = 1 + arg % 3;
    bool start = a.act == ACT_START, may = start ? m.stopped : !m.stopped;
    require(apply(WIRE__ITEM__BODY_DESKTOP_ACT, &a, SENDER_GATEWAY) == may);
    if (!may)
        return;
    m.stopped = a.act == ACT_STOP;
    m.booting = !m.stopped;
    for (unsigned t = 1; !start && t <= m.tasks; t++) // what runs on it is lost with it; what waits goes on waiting
        if (m.task[t].is == RUNNING && m.task[t].session)
            end(m.task[t].session, false, true);
}

static void do_observe(void)
{
    Wire__Observe o = WIRE__OBSERVE__INIT;
    Wire__Observation seen = WIRE__OBSERVATION__INIT;
    o.workspace = seen.desktop = seen.reachable = 1;
    o.seen = &seen;
    require(apply(WIRE__ITEM__BODY_OBSERVE, &o, SENDER_BROKER));
    m.booting = false;
}

static void do_settings(unsigned arg)
{
    Wire__SettingsPut p = WIRE__SETTINGS_PUT__INIT;
    Wire__Settings s = WIRE__SETTINGS__INIT;
    p.set = SET_REQUIRE_APPROVAL;
    p.settings = &s;
    s.require_approval = m.asks = arg & 1;
    require(apply(WIRE__ITEM__BODY_SETTINGS_PUT, &p, SENDER_GATEWAY));
}

static void command(const uint8_t c[4])
{
    static const uint64_t passes[] = { 0, 1, 1000, TERM_MS - 1, TERM_MS, 3600000 };
    unsigned t = 1 + c[1] % TASKS, s = 1 + c[1] % SESSIONS;
    if (t > m.tasks)
        t = m.tasks + 1; // one there is not
    switch (c[0] % 16) {
    case 0: case 1: do_create(c[2]); break;
    case 2: do_run(t); break;
    case 3: require(target(WIRE__ITEM__BODY_TASK_CANCEL, on.task0 + t) == model_cancel(t)); break;
    case 4: require(target(WIRE__ITEM__BODY_TASK_RETRY, on.task0 + t) == model_retry(t)); break;
    case 5: do_delete(t); break;
    case 6: do_resolve(t, c[2]); break;
    case 7: case 8: do_assign(t, c[2]); break;
    case 9: case 10: do_report(s, c[2]); break;
    case 11: do_hello(s, c[2]); break;
    case 12: do_expire(); break;
    case 13: do_release(s); break;
    case 14: c[2] & 8 ? do_desktop(c[3]) : do_observe(); break;
    default: do_settings(c[2]); break;
    }
    on.log_ms += passes[c[3] % 6];
    on.now_ms += passes[c[3] % 6];
    if (t <= m.tasks)
        compare_task(t);
    if (s <= m.sessions)
        compare_task(m.session[s].task);
}

static uint64_t last_id(enum entity kind)
{
    struct txn *t;
    Rec__Meta *meta;
    require(!store_begin(on.store, false, &t));
    arena_reset(&on.arena);
    require(!meta_read(t, &on.arena, &meta));
    uint64_t id = meta->last_id[kind];
    store_abort(t);
    return id;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fleet_conf none = { 0 };
    if (!on.store) {
        on.store = broker_store();
        require(!fleet_new(&none, &on.fleet));
        arena_init(&on.arena, 64 << 20);
        buf_init(&on.batch.rows, 16 << 20);
    }
    memset(&m, 0, sizeof m);
    m.slots = 8;
    m.worker = true;
    m.life = 1;
    store_enter(on.store);
    on.now_ms = STORE_NOW0;
    on.log_ms = store_log_ms;
    on.newest = store_newest;
    on.task0 = last_id(ENTITY_TASK);
    on.session0 = last_id(ENTITY_SESSION);
    on.approval0 = last_id(ENTITY_APPROVAL);
    // the worker begins anew: it holds nothing of what the store came with
    do_hello(0, 1);
    Wire__Answer a = WIRE__ANSWER__INIT;
    Wire__Target x = WIRE__TARGET__INIT;
    query(WIRE__ITEM__BODY_OVERVIEW, &x, &a, look_overview, 1);
    for (; size >= 4; data += 4, size -= 4)
        command(data);
    compare();
    store_leave();
    return 0;
}
