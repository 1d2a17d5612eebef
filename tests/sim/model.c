// What must be true, written from the contract and not from broker/. It sees every batch once, when it is first applied anywhere (its
// commands with their answers, its rows), and what the outside sees: acknowledgements, rows on the bus and in the log, processes that
// start and end, deliveries that arrive.
#include <stdlib.h>
#include <string.h>
#include "apply.h"
#include "crypto.h"
#include "event.h"
#include "sim.h"
#include "store.h"
#include "work.h"

enum { TASKS = 8192, SESSIONS = 16384, SMALL = 1024, SEEN = 1 << 16, LEASE = 30000 };

// From state to state: no other step is legal.
static const bool legal[TASK_STATUS_COUNT][TASK_STATUS_COUNT] = {
    [TASK_PENDING] = { [TASK_RUNNING] = true, [TASK_CANCELLED] = true },
    [TASK_RUNNING] = { [TASK_REVIEW] = true, [TASK_DONE] = true, [TASK_FAILED] = true, [TASK_CANCELLED] = true },
    [TASK_REVIEW] = { [TASK_DONE] = true, [TASK_FAILED] = true, [TASK_CANCELLED] = true },
    [TASK_DONE] = { [TASK_PENDING] = true },
    [TASK_FAILED] = { [TASK_PENDING] = true },
    [TASK_CANCELLED] = { [TASK_PENDING] = true },
};

static struct task {
    uint32_t status, retries, attempts; // attempts: since it was last run
    uint64_t desktop, session, approval, started; // session: that runs; started: bits of the attempts whose command was started
    bool there;
} tasks[TASKS];
static struct session {
    uint64_t task, desktop;
    bool running, over, started, exited;
    int code;
} sessions[SESSIONS];
static uint8_t approvals[TASKS];          // 1 pending, 2 decided, 3 closed
static struct { bool there; uint32_t status, most, running; } desktops[SMALL]; // most: sessions at once
static struct { bool there, revoked; } keys[SMALL];
static struct { bool there, exempt; uint64_t since, receiver; } webhooks[SMALL];
static struct { uint64_t seen[SMALL], n; } receivers[SMALL];
static struct { uint64_t polled_us, incarnation; } workers[SMALL];
static uint8_t tried[SMALL * 16];
static uint8_t once[SMALL * 8];           // tasks made with an Idempotency-Key, by its number

static struct counts_at { uint64_t newest; uint32_t by_status[TASK_STATUS_COUNT], pending; } *history, now;
static size_t n_history, cap_history;
static struct { uint64_t hash; uint32_t row; } *decided; // by event number
static size_t cap_rows;
static uint64_t newest, newest_ms, acked, max_task, max_session, max_approval, max_desktop, max_key, max_webhook;

static struct kept { uint8_t client[CLIENT_ID]; uint64_t number, id, newest; unsigned body; bool used; } kept[SEEN];

// ---------------------------------------------------------------- rows

static uint64_t hash_of(const uint8_t *p, size_t n)
{
    uint8_t h[HASH_SIZE];
    uint64_t v;
    crypto_hash(h, p, n);
    memcpy(&v, h, sizeof v);
    return v;
}

static void bound(uint64_t id, uint64_t max, const char *what)
{
    if (id == 0 || id >= max)
        sim_fail("%s_%llu is out of what the model holds", what, (unsigned long long)id);
}

static void close_approval(struct task *t)
{
    if (t->approval && approvals[t->approval] == 1) {
        approvals[t->approval] = 3;
        now.pending--;
    }
    t->approval = 0;
}

static void task_status(uint64_t id, uint32_t old, uint32_t to)
{
    struct task *t = &tasks[id];
    if (!t->there || t->status != old || to >= TASK_STATUS_COUNT || !legal[old][to])
        sim_fail("task_%llu goes from %u (it says %u) to %u", (unsigned long long)id, t->status, old, to);
    now.by_status[old]--;
    now.by_status[to]++;
    t->status = to;
    if (to == TASK_RUNNING)
        t->attempts = 0;
    if (old == TASK_REVIEW)
        close_approval(t);
}

static void session_started(const Wire__Row *r)
{
    struct task *t = &tasks[r->task];
    bound(r->session, SESSIONS, "session");
    if (r->session != ++max_session)
        sim_fail("session_%llu comes after session_%llu", (unsigned long long)r->session, (unsigned long long)max_session - 1);
    if (!t->there || t->status != TASK_RUNNING)
        sim_fail("a session of task_%llu, which does not run", (unsigned long long)r->task);
    if (t->session)
        sim_fail("task_%llu has two holders: session_%llu and session_%llu", (unsigned long long)r->task, (unsigned long long)t->session,
                 (unsigned long long)r->session);
    if (++t->attempts > t->retries + 1)
        sim_fail("task_%llu is tried %u times with %u retries", (unsigned long long)r->task, t->attempts, t->retries);
    t->session = r->session;
    sessions[r->session] = (struct session){ .task = r->task, .desktop = r->desktop, .running = true };
    bound(r->desktop, SMALL, "desktop");
    if (++desktops[r->desktop].running > desktops[r->desktop].most)
        sim_fail("desktop_%llu has %u sessions, and takes %u", (unsigned long long)r->desktop, desktops[r->desktop].running,
                 desktops[r->desktop].most);
}

static void session_ended(const Wire__Row *r)
{
    struct session *s = &sessions[r->session < SESSIONS ? r->session : 0];
    if (!s->running)
        sim_fail("session_%llu ends and does not run", (unsigned long long)r->session);
    s->running = false;
    s->over = true;
    desktops[s->desktop].running--;
    if (tasks[s->task].session == r->session)
        tasks[s->task].session = 0;
    // What it says of the command must be what became of the command.
    if (s->started && r->status == SESSION_COMPLETED && !(s->exited && s->code == 0))
        sim_fail("session_%llu is said to have ended well, and its command has not", (unsigned long long)r->session);
    if (r->failure == FAILURE_EXIT_NONZERO && !(s->exited && s->code != 0))
        sim_fail("session_%llu is said to have failed, and its command has not", (unsigned long long)r->session);
}

// Beside a hello: a lease that runs out, or another hello, perhaps of who has taken the name over.
static bool others_too(const struct batch *b)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < b->n; i++)
        n += b->cmds[i]->item->body_case == WIRE__ITEM__BODY_EXPIRE || b->cmds[i]->item->body_case == WIRE__ITEM__BODY_WORKER_HELLO;
    return n > 1;
}

// A worker that comes up names what it still has the end of: that is not lost.
static void named(const Wire__Item *i, uint64_t session)
{
    for (size_t k = 0; i->body_case == WIRE__ITEM__BODY_WORKER_HELLO && k < i->worker_hello->n_holds; k++)
        if (i->worker_hello->holds[k] == session)
            sim_fail("session_%llu is lost, and its worker names it", (unsigned long long)session);
}

static void row(const Wire__Row *r, const struct batch *b, bool *lost)
{
    struct task *t = &tasks[r->task < TASKS ? r->task : 0];
    if (r->task && r->desktop)
        t->desktop = r->desktop;
    switch (r->row) {
    case ROW_TASK_CREATED:
        bound(r->task, TASKS, "task");
        if (r->task != ++max_task)
            sim_fail("task_%llu comes after task_%llu", (unsigned long long)r->task, (unsigned long long)max_task - 1);
        t->there = true;
        t->status = TASK_PENDING;
        now.by_status[TASK_PENDING]++;
        if (strncmp(r->title, "once-", 5) == 0 && ++once[strtoul(r->title + 5, NULL, 10) % sizeof once] > 1)
            sim_fail("%s was made twice", r->title);
        if (strncmp(r->title, "try-", 4) == 0)
            model_tried(strtoul(r->title + 4, NULL, 10), TRIED_MADE);
        break;
    case ROW_TASK_STARTED: case ROW_TASK_COMPLETED: case ROW_TASK_REVIEW: case ROW_TASK_FAILED: case ROW_TASK_CANCELLED: case ROW_TASK_RESET:
        task_status(r->task, r->old_status, r->status);
        break;
    case ROW_TASK_DELETED:
        if (!t->there || t->status == TASK_RUNNING)
            sim_fail("task_%llu is deleted while it runs", (unsigned long long)r->task);
        close_approval(t);
        t->there = false;
        now.by_status[t->status]--;
        break;
    case ROW_APPROVAL_CREATED:
        bound(r->approval, TASKS, "approval");
        if (approvals[r->approval] || t->status != TASK_REVIEW || t->approval)
            sim_fail("approval_%llu of task_%llu", (unsigned long long)r->approval, (unsigned long long)r->task);
        approvals[r->approval] = 1;
        max_approval = r->approval;
        t->approval = r->approval;
        now.pending++;
        break;
    case ROW_APPROVAL_RESOLVED:
        if (r->approval >= TASKS || approvals[r->approval] != 1 || t->approval != r->approval)
            sim_fail("approval_%llu is decided and was not pending", (unsigned long long)r->approval);
        approvals[r->approval] = 2;
        now.pending--;
        break;
    case ROW_SESSION_STARTED: session_started(r); break;
    case ROW_SESSION_COMPLETED: session_ended(r); break;
    case ROW_SESSION_FAILED:
        for (uint32_t i = 0; i < b->n && r->failure == FAILURE_WORKER_LOST && !others_too(b); i++)
            named(b->cmds[i]->item, r->session);
        *lost = *lost || r->failure == FAILURE_WORKER_LOST; break;
    case ROW_DESKTOP_CREATED: case ROW_DESKTOP_RUNNING: case ROW_DESKTOP_BOOTING: case ROW_DESKTOP_ERROR: case ROW_DESKTOP_STOPPED:
        bound(r->desktop, SMALL, "desktop");
        desktops[r->desktop].there = true;
        desktops[r->desktop].status = r->status;
        max_desktop = r->desktop > max_desktop ? r->desktop : max_desktop;
        break;
    case ROW_DESKTOP_UPDATED: break;
    case ROW_DESKTOP_DELETED: desktops[r->desktop].there = false; break;
    case ROW_KEY_CREATED:
        bound(r->entity, SMALL, "key");
        keys[r->entity].there = true;
        max_key = r->entity;
        break;
    case ROW_KEY_REVOKED: keys[r->entity].revoked = true; break;
    case ROW_WEBHOOK_CREATED:
        bound(r->entity, SMALL, "webhook");
        webhooks[r->entity].there = true;
        webhooks[r->entity].since = r->number;
        max_webhook = r->entity;
        break;
    case ROW_WEBHOOK_UPDATED: webhooks[r->entity].exempt = true; break;
    case ROW_WEBHOOK_DELETED: webhooks[r->entity].there = false; break;
    default: break;
    }
}

static void rows(const struct batch *b, bool *lost)
{
    for (size_t at = 0; at < b->rows.len;) {
        uint32_t n;
        memcpy(&n, b->rows.data + at, sizeof n);
        const uint8_t *p = b->rows.data + at + sizeof n;
        Wire__Row *r = wire__row__unpack(NULL, n, p);
        if (!r || r->number != newest + 1 || r->time_ms < newest_ms)
            sim_fail("event %llu follows event %llu", r ? (unsigned long long)r->number : 0, (unsigned long long)newest);
        newest = r->number;
        newest_ms = r->time_ms;
        if (newest >= cap_rows) {
            cap_rows = cap_rows ? cap_rows * 2 : 4096;
            decided = realloc(decided, cap_rows * sizeof *decided);
            if (!decided)
                abort();
        }
        decided[newest].hash = hash_of(p, n);
        decided[newest].row = r->row;
        row(r, b, lost);
        wire__row__free_unpacked(r, NULL);
        at += sizeof n + n;
    }
    if (newest != b->newest)
        sim_fail("a batch says its newest event is %llu, and it is %llu", (unsigned long long)b->newest, (unsigned long long)newest);
}

// ---------------------------------------------------------------- commands

static struct kept *find(const uint8_t *client, uint64_t number)
{
    uint64_t h;
    memcpy(&h, client, sizeof h);
    for (size_t i = (h ^ number * 0x9e3779b97f4a7c15u) % SEEN;; i = (i + 1) % SEEN)
        if (!kept[i].used || (kept[i].number == number && memcmp(kept[i].client, client, CLIENT_ID) == 0))
            return &kept[i];
}

static uint64_t id_of(const Wire__Answer *a)
{
    switch (a->body_case) {
    case WIRE__ANSWER__BODY_TASK: return a->task->id;
    case WIRE__ANSWER__BODY_APPROVAL: return a->approval->id;
    case WIRE__ANSWER__BODY_DESKTOP: return a->desktop->id;
    case WIRE__ANSWER__BODY_KEY: return a->key->id;
    case WIRE__ANSWER__BODY_COMMENT: return a->comment->id;
    case WIRE__ANSWER__BODY_WEBHOOK: return a->webhook->id;
    default: return 0;
    }
}

// Once it has succeeded, it has for ever: the same object, or that it was too long ago, or that its key or object is gone.
static void by_request_id(const struct cmd *c, const struct batch *b)
{
    struct kept *k = find(c->client_id, c->item->number);
    enum err e = err_from_wire(c->answer.err);
    if (!k->used && !e) {
        *k = (struct kept){ .number = c->item->number, .id = id_of(&c->answer), .newest = b->newest, .body = c->answer.body_case, .used = true };
        memcpy(k->client, c->client_id, CLIENT_ID);
        return;
    }
    sim.n.repeats += k->used;
    if (!k->used || e == ERR_OUTCOME_UNKNOWN || e == ERR_UNAUTHORIZED || e == ERR_FORBIDDEN || e == ERR_NOT_FOUND)
        return;
    if (e || k->id != id_of(&c->answer) || k->body != (unsigned)c->answer.body_case)
        sim_fail("request %llu was answered with object %llu, and its repeat with %s, object %llu", (unsigned long long)k->number,
                 (unsigned long long)k->id, err_name(e), (unsigned long long)id_of(&c->answer));
}

static void command(const struct cmd *c, const struct batch *b, bool *may_lose)
{
    const Wire__Item *i = c->item;
    bool ok = !c->answer.err;
    if (c->client_id)
        by_request_id(c, b);
    if (ok && i->actor && c->client_id && i->actor->key < SMALL && keys[i->actor->key].revoked)
        sim_fail("key_%llu was revoked and still changes things", (unsigned long long)i->actor->key);
    switch (i->body_case) {
    case WIRE__ITEM__BODY_TASK_CREATE:
        if (ok && c->answer.task->id < TASKS && !tasks[c->answer.task->id].there)
            tasks[c->answer.task->id].retries = i->task_create->retries;
        break;
    case WIRE__ITEM__BODY_TASK_EDIT:
        if (ok && i->task_edit->set & 64 && i->task_edit->id < TASKS)
            tasks[i->task_edit->id].retries = i->task_edit->retries;
        break;
    case WIRE__ITEM__BODY_INIT: desktops[1].most = 8; break; // `local`: as many as where none is given
    case WIRE__ITEM__BODY_DESKTOP_CREATE:
        if (ok && c->answer.desktop->id < SMALL && !desktops[c->answer.desktop->id].there)
            desktops[c->answer.desktop->id].most = c->answer.desktop->max_tasks;
        break;
    case WIRE__ITEM__BODY_DESKTOP_EDIT: // it may shrink while more run: those that run may end
        if (ok && i->desktop_edit->set & 16 && i->desktop_edit->id < SMALL && i->desktop_edit->max_tasks > desktops[i->desktop_edit->id].most)
            desktops[i->desktop_edit->id].most = i->desktop_edit->max_tasks;
        break;
    case WIRE__ITEM__BODY_WEBHOOK_CREATE:
        if (ok && c->answer.webhook->id < SMALL)
            webhooks[c->answer.webhook->id].receiver = strtoul(i->webhook_create->url + 16, NULL, 10);
        break;
    case WIRE__ITEM__BODY_EXPIRE:
        *may_lose = *may_lose || ok;
        if (ok && i->expire->worker < SMALL && sim.now_us / US + 2 < workers[i->expire->worker].polled_us / US + LEASE)
            sim_fail("worker_%llu loses its lease %llu ms after it was heard", (unsigned long long)i->expire->worker,
                     (unsigned long long)((sim.now_us - workers[i->expire->worker].polled_us) / US));
        break;
    case WIRE__ITEM__BODY_WORK_REPORT: // a worker that ends says so of what it had to end
        for (size_t k = 0; k < i->work_report->n_sessions; k++)
            *may_lose = *may_lose || i->work_report->sessions[k]->failure == FAILURE_WORKER_LOST;
        break;
    case WIRE__ITEM__BODY_WORKER_HELLO:
        if (ok && i->worker_hello->worker < SMALL && workers[i->worker_hello->worker].incarnation != i->worker_hello->incarnation) {
            workers[i->worker_hello->worker].incarnation = i->worker_hello->incarnation;
            *may_lose = true;
        }
        break;
    default: break;
    }
}

// Nothing but results of sessions that are over.
static bool only_late(const struct batch *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        const Wire__Item *item = b->cmds[i]->item;
        if (item->body_case != WIRE__ITEM__BODY_WORK_REPORT)
            return false;
        for (size_t k = 0; k < item->work_report->n_sessions; k++)
            if (item->work_report->sessions[k]->session >= SESSIONS || sessions[item->work_report->sessions[k]->session].running)
                return false;
    }
    return true;
}

void model_applied(uint64_t index, const struct batch *b)
{
    bool lost = false, may_lose = false;
    sim.n.late += only_late(b);
    if (only_late(b) && b->n_rows)
        sim_fail("a late result has written %u rows", b->n_rows);
    for (uint32_t i = 0; i < b->n; i++) {
        command(b->cmds[i], b, &may_lose);
        sim_trace("%6llu %s%s", (unsigned long long)index, protobuf_c_message_descriptor_get_field(&wire__item__descriptor, b->cmds[i]->item->body_case)->name,
                  b->cmds[i]->answer.err ? " refused" : "");
    }
    rows(b, &lost);
    sim.n.lost += lost;
    if (lost && !may_lose)
        sim_fail("a session is lost with its worker, which was neither late nor new");
    for (uint64_t t = max_task; t && t + 64 > max_task; t--)
        if (tasks[t].there && tasks[t].status != TASK_RUNNING && tasks[t].session)
            sim_fail("task_%llu is over, and session_%llu of it runs", (unsigned long long)t, (unsigned long long)tasks[t].session);
    now.newest = newest;
    if (n_history == cap_history) {
        cap_history = cap_history ? cap_history * 2 : 1024;
        history = realloc(history, cap_history * sizeof *history);
        if (!history)
            abort();
    }
    if (n_history && history[n_history - 1].newest == newest)
        n_history--;
    history[n_history++] = now;
    sim.n.rows = newest;
}

// ---------------------------------------------------------------- what the outside sees

void model_acked(const struct node *n, uint64_t number, uint64_t at)
{
    const struct kept *k = find(n->client_id, number);
    if (!k->used)
        sim_fail("request %llu of %s was acknowledged and never applied", (unsigned long long)number, n->name);
    if (at < k->newest)
        sim_fail("request %llu is in event %llu, and its answer reflects event %llu", (unsigned long long)number, (unsigned long long)k->newest,
                 (unsigned long long)at);
    acked = at > acked ? at : acked;
}

uint64_t model_told(void) { return acked; }

void model_counts(uint64_t at, const uint64_t *by_status, size_t n, uint64_t pending, int status, uint64_t total)
{
    size_t i = n_history;
    while (i && history[i - 1].newest > at)
        i--;
    if (!i || history[i - 1].newest != at)
        sim_fail("an answer reflects event %llu, which ends no batch", (unsigned long long)at);
    const struct counts_at *h = &history[i - 1];
    for (unsigned s = 1; s < n && s < TASK_STATUS_COUNT; s++)
        if (by_status[s] != h->by_status[s])
            sim_fail("at event %llu the overview counts %llu tasks of status %u, and there are %u", (unsigned long long)at,
                     (unsigned long long)by_status[s], s, h->by_status[s]);
    if (n && pending != h->pending)
        sim_fail("at event %llu the overview counts %llu approvals, and there are %u", (unsigned long long)at, (unsigned long long)pending, h->pending);
    if (status > 0 && total != h->by_status[status])
        sim_fail("at event %llu the list has %llu tasks of status %d, and there are %u", (unsigned long long)at, (unsigned long long)total, status,
                 h->by_status[status]);
}

void model_row_seen(uint64_t number, const uint8_t *p, size_t n)
{
    if (!number || number > newest || decided[number].hash != hash_of(p, n))
        sim_fail("event %llu was published, and is not what was decided", (unsigned long long)number);
}

// What was refused, or surely never taken, must not have happened, nor happen later.
void model_tried(uint64_t number, enum tried what)
{
    uint8_t *at = &tried[number % sizeof tried];
    *at |= (uint8_t)what;
    if (*at == (TRIED_MADE | TRIED_REFUSED))
        sim_fail("a task was made (try-%llu), and its client was told that it was not", (unsigned long long)number);
}

// The output of a command is what it wrote, all of it if it is over and did not go with its worker.
void model_output(const Wire__OutputPage *p)
{
    static const char text[] = COMMAND_OUTPUT;
    const struct session *s = &sessions[p->session < SESSIONS ? p->session : 0];
    if (!s->started)
        return; // a prompt's, or not begun
    for (size_t i = 0; i < p->n_pieces; i++) {
        const Wire__OutputPiece *o = p->pieces[i];
        if (o->offset > sizeof text - 1 || o->data.len > sizeof text - 1 - o->offset || memcmp(text + o->offset, o->data.data, o->data.len) != 0)
            sim_fail("session_%llu has written something else at %llu", (unsigned long long)p->session, (unsigned long long)o->offset);
    }
    if (p->status == SESSION_COMPLETED && p->total != sizeof text - 1)
        sim_fail("session_%llu is over, and its output has %llu octets", (unsigned long long)p->session, (unsigned long long)p->total);
}

void model_polled(uint64_t worker, uint64_t came_us)
{
    if (workers[worker].polled_us < came_us)
        workers[worker].polled_us = came_us;
}

void model_started(uint64_t session, uint32_t attempt)
{
    bound(session, SESSIONS, "session");
    struct session *s = &sessions[session];
    struct task *t = &tasks[s->task];
    if (session > max_session || s->started)
        sim_fail("the command of session_%llu is started %s", (unsigned long long)session, s->started ? "twice" : "and was never assigned");
    if (attempt < 64 && t->started >> attempt & 1)
        sim_fail("attempt %u of task_%llu is started twice", attempt, (unsigned long long)s->task);
    s->started = true;
    t->started |= (uint64_t)(attempt < 64) << (attempt % 64);
}

void model_exited(uint64_t session, int code)
{
    sessions[session].exited = true;
    sessions[session].code = code;
}

// In the order of the log; a repeat of what came before may come at any time.
void model_delivered(unsigned receiver, uint64_t delivery)
{
    bound(receiver, SMALL, "receiver");
    uint64_t *seen = receivers[receiver].seen, n = receivers[receiver].n;
    for (uint64_t i = 0; i < n && i < SMALL; i++)
        if (seen[i] == delivery)
            return;
    bool exempt = false;
    for (uint64_t h = 1; h <= max_webhook; h++)
        exempt = exempt || (webhooks[h].receiver == receiver && webhooks[h].exempt);
    if (n && n <= SMALL && delivery < seen[n - 1] && !exempt)
        sim_fail("receiver %u gets delivery_%llu after delivery_%llu", receiver, (unsigned long long)delivery, (unsigned long long)seen[n - 1]);
    if (n < SMALL)
        seen[n] = delivery;
    receivers[receiver].n++;
    sim.n.delivered++;
}

// ---------------------------------------------------------------- the store

void model_check_store(struct store *s)
{
    struct arena a;
    struct txn *t;
    struct cursor c;
    struct counts counts;
    Rec__Meta *m;
    uint64_t n = 0, want = 0, next;
    arena_init(&a, 256 << 20);
    if (store_begin(s, false, &t) || meta_read(t, &a, &m) || counts_read(t, &a, 1, 0, &counts))
        sim_fail("the store cannot be read");
    if (m->newest != newest)
        sim_fail("the store is at event %llu, and %llu was decided", (unsigned long long)m->newest, (unsigned long long)newest);
    for (unsigned i = 1; i < TASK_STATUS_COUNT; i++) {
        want += now.by_status[i];
        if (counts.task[i][1] + counts.task[i][2] != now.by_status[i])
            sim_fail("the store counts %llu tasks of status %u, and there are %u", (unsigned long long)(counts.task[i][1] + counts.task[i][2]), i,
                     now.by_status[i]);
    }
    if (counts.pending_approvals != now.pending)
        sim_fail("the store counts %llu approvals, and there are %u", (unsigned long long)counts.pending_approvals, now.pending);
    if (cursor_open(&c, t, DB_TASK, NULL))
        sim_fail("the store cannot be read");
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c), n++) {
        Rec__Task *r;
        if (kind_unpack(KIND_TASK, &a, c.value, &r))
            sim_fail("a task cannot be read");
        if (r->id >= TASKS || !tasks[r->id].there || tasks[r->id].status != r->status)
            sim_fail("task_%llu is stored with status %u", (unsigned long long)r->id, r->status);
        if ((r->status == TASK_RUNNING && !r->queued ? r->session : 0) != tasks[r->id].session)
            sim_fail("task_%llu is stored with session_%llu", (unsigned long long)r->id, (unsigned long long)r->session);
    }
    cursor_close(&c);
    if (n != want)
        sim_fail("%llu tasks are stored, and there are %llu", (unsigned long long)n, (unsigned long long)want);
    if (cursor_open(&c, t, DB_LOG, NULL))
        sim_fail("the store cannot be read");
    next = m->oldest;
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c), next++) {
        if (key_read_u64(c.key.b) != next)
            sim_fail("event %llu is not in the log", (unsigned long long)next);
        model_row_seen(next, c.value.p, c.value.n);
    }
    cursor_close(&c);
    if (next != newest + 1)
        sim_fail("the log ends before event %llu", (unsigned long long)next);
    store_abort(t);
    arena_fini(&a);
}

// ---------------------------------------------------------------- what there is

uint64_t model_newest(void) { return newest; }
uint64_t model_pick_task(void) { return 1 + (max_task > 24 && sim_rnd(4) ? max_task - 24 + sim_rnd(26) : sim_rnd(max_task + 2)); }
uint64_t model_pick_approval(void) { return 1 + (max_approval > 6 ? max_approval - 6 + sim_rnd(7) : sim_rnd(max_approval + 1)); }
uint64_t model_desktops(void) { return max_desktop; }
uint64_t model_webhooks(void) { return max_webhook; }
uint64_t model_keys(void) { return max_key; }

uint64_t model_pending(uint64_t after)
{
    while (++after <= max_approval)
        if (approvals[after] == 1)
            return after;
    return 0;
}

bool model_desktop_is(uint64_t id, uint32_t status) { return desktops[id].there && desktops[id].status == status; }

// Receivers with odd numbers are told of tasks that are created, and of nothing else: each of them, and each once.
bool model_delivered_all(void)
{
    for (uint64_t h = 1; h <= max_webhook; h++) {
        uint64_t want = 0;
        if (!webhooks[h].there || webhooks[h].exempt || webhooks[h].receiver % 2 == 0)
            continue;
        for (uint64_t i = webhooks[h].since + 1; i <= newest; i++)
            want += decided[i].row == ROW_TASK_CREATED;
        if (receivers[webhooks[h].receiver].n > want)
            sim_fail("receiver %llu has got %llu deliveries of %llu events", (unsigned long long)webhooks[h].receiver,
                     (unsigned long long)receivers[webhooks[h].receiver].n, (unsigned long long)want);
        if (receivers[webhooks[h].receiver].n < want)
            return false;
    }
    return true;
}

uint64_t model_unfinished(void)
{
    return now.by_status[TASK_RUNNING] + now.by_status[TASK_REVIEW];
}

void model_say_unfinished(void)
{
    for (uint64_t i = 1; i <= max_task; i++)
        if (tasks[i].there && (tasks[i].status == TASK_RUNNING || tasks[i].status == TASK_REVIEW))
            sim_fail("task_%llu, status %u, session_%llu, on desktop_%llu (status %u), does not come to its end", (unsigned long long)i,
                     tasks[i].status, (unsigned long long)tasks[i].session, (unsigned long long)tasks[i].desktop,
                     desktops[tasks[i].desktop].status);
}
