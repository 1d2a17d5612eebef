// A gateway: the product's ask and peer, and behind them clients that ask by chance, and one subscriber that follows the log the way a
// stream does: the bus wakes it, a gap is read from the log. HTTP, rendering and the hub are not here: they have tests of their own.
// A client that made a task with an Idempotency-Key asks again, through whichever gateway is up, until it knows.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ask.h"
#include "check.h"
#include "crypto.h"
#include "event.h"
#include "gateway.h"
#include "lent.h"
#include "peer.h"
#include "sim.h"

enum { ONCE_MAX = 4096, OPEN_MAX = 40, PAUSE_MS = 120 };

struct gate {
    struct node *node;
    struct gateway gw;
    uv_timer_t timer;
    unsigned open;
    bool reading;
    struct ask_call log_read;
};
struct op {
    struct ask_call call;
    struct gate *g;
    Wire__Item__BodyCase body;
    int status;                  // of a list
    uint64_t need;               // what the answer must reflect
    unsigned once, tried;
};
static struct gate *gates[GATEWAYS];
static uint64_t cursors[GATEWAYS]; // of the subscriber: it comes back with the last event it has seen
static uint64_t once_id[ONCE_MAX]; // 0: not known yet
static unsigned n_once, n_tried, n_receivers;
static bool settling, last_asked, last_heard;

// ---------------------------------------------------------------- the subscriber

static void read_log(struct gate *g, uint64_t upto);

static void saw(struct gate *g, uint64_t number, const uint8_t *p, size_t n)
{
    uint64_t *at = &cursors[g->node->id - 1];
    if (number != *at + 1)
        sim_fail("a subscriber that has seen event %llu is given event %llu", (unsigned long long)*at, (unsigned long long)number);
    model_row_seen(number, p, n);
    *at = number;
}

static void log_cb(struct ask_call *c, enum err e, const Wire__Answer *a, uint64_t newest)
{
    struct gate *g = container_of(c, struct gate, log_read);
    uint64_t *at = &cursors[g->node->id - 1];
    (void)newest;
    g->reading = false;
    if (e)
        return; // the next message of the bus tries again
    const Wire__LogPage *p = a->log_page;
    if (p->oldest > *at + 1) { // it was away for longer than events are kept: resync
        *at = p->oldest - 1;
        read_log(g, p->newest);
        return;
    }
    for (size_t i = 0; i < p->n_rows; i++) {
        Wire__Row *r = wire__row__unpack(NULL, p->rows[i].len, p->rows[i].data);
        if (!r)
            sim_fail("a row of the log cannot be read");
        if (r->number > *at || sim.broken == BREAK_RESUME)
            saw(g, r->number, p->rows[i].data, p->rows[i].len);
        wire__row__free_unpacked(r, NULL);
    }
    if (p->newest > *at)
        read_log(g, p->newest);
}

static void read_log(struct gate *g, uint64_t upto)
{
    Wire__Item item = WIRE__ITEM__INIT;
    Wire__LogRead m = WIRE__LOG_READ__INIT;
    struct actor who = { .key = 1, .workspace = 1, .user = 1, .role = ROLE_ADMIN };
    if (g->reading)
        return;
    m.first = cursors[g->node->id - 1] + (sim.broken == BREAK_RESUME && sim_rnd(4) == 0 ? 0 : 1);
    m.last = upto;
    m.limit = 1 + (uint32_t)sim_rnd(200);
    m.bytes_max = 200000;
    item.body_case = WIRE__ITEM__BODY_LOG_READ;
    item.log_read = &m;
    g->reading = true;
    g->log_read = (struct ask_call){ .cb = log_cb };
    ask_send(g->gw.ask, &g->log_read, &who, &item);
}

static void heard_cb(void *u, char topic, const uint8_t *data, size_t len)
{
    struct gate *g = u;
    uint64_t *at = &cursors[g->node->id - 1];
    if (topic != 'E')
        return;
    Wire__BusEvents *m = wire__bus_events__unpack(NULL, len, data);
    if (!m)
        sim_fail("a message of the bus cannot be read");
    ask_saw(g->gw.ask, m->epoch, m->last);
    if (m->n_rows == m->last + 1 - m->first && m->first <= *at + 1 && !g->reading) {
        for (size_t i = 0; i < m->n_rows; i++)
            if (m->first + i > *at)
                saw(g, m->first + i, m->rows[i].data, m->rows[i].len);
    } else if (m->last > *at) {
        read_log(g, m->last);
    }
    wire__bus_events__free_unpacked(m, NULL);
}

bool gateway_level(uint64_t newest)
{
    for (unsigned i = 0; i < GATEWAYS; i++)
        if (cursors[i] < newest)
            return false;
    return true;
}

// ---------------------------------------------------------------- answers

static void op_cb(struct ask_call *c, enum err e, const Wire__Answer *a, uint64_t newest)
{
    struct op *o = container_of(c, struct op, call);
    bool query = o->body >= WIRE__ITEM__BODY_CREDENTIAL_LOOKUP && o->body < WIRE__ITEM__BODY_WORK_POLL && o->body != WIRE__ITEM__BODY_WAIT_SEQUENCE;
    o->g->open--;
    if (a && newest < o->need && (query || (o->body == WIRE__ITEM__BODY_WAIT_SEQUENCE && !e)))
        sim_fail("an answer reflects event %llu, and had to reflect event %llu", (unsigned long long)newest, (unsigned long long)o->need);
    if (!query && o->body != WIRE__ITEM__BODY_WAIT_SEQUENCE && !e && a)
        model_acked(o->g->node, a->number, newest);
    if (!e && o->body == WIRE__ITEM__BODY_OVERVIEW)
        model_counts(newest, a->overview->by_status, a->overview->n_by_status, a->overview->pending_approvals, 0, 0);
    if (!e && o->body == WIRE__ITEM__BODY_TASK_LIST) {
        model_counts(newest, NULL, 0, 0, o->status, a->tasks->total);
        if (!a->tasks->more && a->tasks->n_tasks != a->tasks->total)
            sim_fail("a list of %llu tasks has %zu", (unsigned long long)a->tasks->total, a->tasks->n_tasks);
    }
    if (e && e != ERR_OUTCOME_UNKNOWN && o->tried)
        model_tried(o->tried, TRIED_REFUSED);
    if (!e && o->body == WIRE__ITEM__BODY_OUTPUT_READ)
        model_output(a->output_page);
    if (!e && o->once) {
        if (once_id[o->once] && once_id[o->once] != a->task->id)
            sim_fail("one Idempotency-Key gave task_%llu and task_%llu", (unsigned long long)once_id[o->once], (unsigned long long)a->task->id);
        once_id[o->once] = a->task->id;
        last_heard = last_heard || (last_asked && o->once == n_once);
    }
    if (e && e != ERR_BAD_STATE && e != ERR_NOT_FOUND)
        sim_trace("%s try-%u number %llu", err_name(e), o->tried, a ? (unsigned long long)a->number : 0);
    free(o);
}

static struct op *send_op(struct gate *g, Wire__Item *item, uint64_t key, unsigned once)
{
    struct op *o = sim_alloc(sizeof *o);
    struct actor who = { .key = key, .workspace = 1, .user = 1, .role = ROLE_ADMIN };
    o->call.cb = op_cb;
    o->g = g;
    o->body = item->body_case;
    o->need = o->body == WIRE__ITEM__BODY_WAIT_SEQUENCE ? item->wait_sequence->sequence : model_told();
    o->once = once;
    g->open++;
    ask_send(g->gw.ask, &o->call, &who, item);
    return o;
}

// ---------------------------------------------------------------- what clients ask

static struct gate *some_gate(void)
{
    unsigned from = (unsigned)sim_rnd(GATEWAYS);
    for (unsigned i = 0; i < GATEWAYS; i++)
        if (gates[(from + i) % GATEWAYS])
            return gates[(from + i) % GATEWAYS];
    return NULL;
}

// All of one is told by its number, so that a repeat has the same body.
static void create_once(struct gate *g, unsigned once)
{
    Wire__Item item = WIRE__ITEM__INIT;
    Wire__TaskCreate m = WIRE__TASK_CREATE__INIT;
    char title[32];
    uint8_t hash[HASH_SIZE];
    snprintf(title, sizeof title, "once-%u", once);
    crypto_hash(hash, title, strlen(title));
    m.type = TYPE_COMMAND;
    m.title = m.content = m.idempotency_key = title;
    m.desktop = 1;
    m.run = true;
    m.retries = once % 3;
    m.body_hash = (ProtobufCBinaryData){ sizeof hash, hash };
    item.body_case = WIRE__ITEM__BODY_TASK_CREATE;
    item.task_create = &m;
    (void)send_op(g, &item, 1, once);
}

static void create(struct gate *g, Wire__Item *item)
{
    Wire__TaskCreate m = WIRE__TASK_CREATE__INIT;
    m.type = sim_rnd(8) ? TYPE_COMMAND : TYPE_PROMPT;
    char title[32];
    snprintf(title, sizeof title, "try-%u;", ++n_tried);
    m.title = title;
    m.content = z("echo");
    m.desktop = 1 + sim_rnd(model_desktops() + 1);
    m.requires_approval = (uint32_t)sim_rnd(3);
    m.retries = (uint32_t)sim_rnd(3);
    m.timeout_s = sim_rnd(4) ? 0 : 2 + (uint32_t)sim_rnd(10);
    m.priority = (uint32_t)sim_rnd(5);
    m.run = sim_rnd(4) > 0;
    item->body_case = WIRE__ITEM__BODY_TASK_CREATE;
    item->task_create = &m;
    send_op(g, item, sim_rnd(4) ? 1 : 1 + sim_rnd(model_keys() + 1), 0)->tried = n_tried;
}

static void target(struct gate *g, Wire__Item *item, Wire__Item__BodyCase body, uint64_t id)
{
    Wire__Target t = WIRE__TARGET__INIT;
    t.id = id;
    item->body_case = body;
    item->task_run = &t; // all of them are targets in the same union
    (void)send_op(g, item, sim_rnd(8) ? 1 : 1 + sim_rnd(model_keys() + 1), 0);
}

static void resolve(struct gate *g, uint64_t approval, uint64_t task, bool yes)
{
    Wire__Item item = WIRE__ITEM__INIT;
    Wire__Resolve m = WIRE__RESOLVE__INIT;
    m.approval = approval;
    m.task = task;
    m.decision = yes ? DECISION_APPROVE : DECISION_REJECT;
    m.feedback = z("no");
    item.body_case = WIRE__ITEM__BODY_RESOLVE;
    item.resolve = &m;
    (void)send_op(g, &item, 1, 0);
}

static void desktop_act(struct gate *g, uint64_t id, uint32_t act)
{
    Wire__Item item = WIRE__ITEM__INIT;
    Wire__DesktopAct m = WIRE__DESKTOP_ACT__INIT;
    m.id = id;
    m.act = act;
    item.body_case = WIRE__ITEM__BODY_DESKTOP_ACT;
    item.desktop_act = &m;
    (void)send_op(g, &item, 1, 0);
}

static void edit(struct gate *g, Wire__Item *item)
{
    Wire__TaskEdit m = WIRE__TASK_EDIT__INIT;
    m.id = model_pick_task();
    m.set = EDIT_TITLE | (sim_rnd(2) ? EDIT_DESKTOP : 0u) | (sim_rnd(2) ? EDIT_RETRIES : 0u);
    m.title = z("edited");
    m.desktop = 1 + sim_rnd(model_desktops());
    m.retries = (uint32_t)sim_rnd(3);
    item->body_case = WIRE__ITEM__BODY_TASK_EDIT;
    item->task_edit = &m;
    (void)send_op(g, item, 1, 0);
}

static void desktop_put(struct gate *g, Wire__Item *item)
{
    Wire__DesktopPut m = WIRE__DESKTOP_PUT__INIT;
    Wire__Chat chat = WIRE__CHAT__INIT;
    bool make = model_desktops() < 4;
    m.name = z("desk");
    m.driver = DRIVER_LOCAL;
    m.max_tasks = 1 + (uint32_t)sim_rnd(3);
    chat.url = z("http://agent.sim/v1");
    m.chat = &chat;
    m.chat_key = z("a secret");
    m.set = DEDIT_MAX_TASKS | DEDIT_CHAT;
    m.id = make ? 0 : 1 + sim_rnd(model_desktops());
    item->body_case = make ? WIRE__ITEM__BODY_DESKTOP_CREATE : WIRE__ITEM__BODY_DESKTOP_EDIT;
    item->desktop_create = &m;
    (void)send_op(g, item, 1, 0);
}

static void webhook_put(struct gate *g, Wire__Item *item)
{
    Wire__WebhookPut m = WIRE__WEBHOOK_PUT__INIT;
    char url[64], *created[] = { z("task.created") }, *all[] = { z("*") };
    bool make = n_receivers < 6;
    snprintf(url, sizeof url, "http://hook.sim/%u", n_receivers + 1);
    m.name = z("hook");
    m.url = url;
    m.events = (n_receivers + 1) % 2 ? created : all;
    m.n_events = 1;
    m.secret = z("whsec");
    m.enabled = make || sim_rnd(2);
    m.set = make ? 0 : WEDIT_ENABLED;
    m.id = make ? 0 : 1 + sim_rnd(model_webhooks() + 1);
    n_receivers += make;
    item->body_case = make ? WIRE__ITEM__BODY_WEBHOOK_CREATE : WIRE__ITEM__BODY_WEBHOOK_EDIT;
    item->webhook_create = &m;
    (void)send_op(g, item, 1, 0);
}

static void key_create(struct gate *g, Wire__Item *item)
{
    Wire__KeyCreate m = WIRE__KEY_CREATE__INIT;
    uint8_t hash[HASH_SIZE];
    crypto_random(hash, sizeof hash);
    m.name = z("key");
    m.role = ROLE_OPERATOR;
    m.last4 = z("abcd");
    m.hash = (ProtobufCBinaryData){ sizeof hash, hash };
    item->body_case = WIRE__ITEM__BODY_KEY_CREATE;
    item->key_create = &m;
    (void)send_op(g, item, 1, 0);
}

static void comment(struct gate *g, Wire__Item *item)
{
    Wire__CommentAdd m = WIRE__COMMENT_ADD__INIT;
    m.task = model_pick_task();
    m.content = z("so it is");
    item->body_case = WIRE__ITEM__BODY_COMMENT_ADD;
    item->comment_add = &m;
    (void)send_op(g, item, sim_rnd(2) ? 1 : 1 + sim_rnd(model_keys() + 1), 0);
}

static void settings(struct gate *g, Wire__Item *item)
{
    Wire__SettingsPut m = WIRE__SETTINGS_PUT__INIT;
    Wire__Settings s = WIRE__SETTINGS__INIT;
    m.set = SET_REQUIRE_APPROVAL;
    s.require_approval = sim_rnd(3) == 0;
    m.settings = &s;
    item->body_case = WIRE__ITEM__BODY_SETTINGS_PUT;
    item->settings_put = &m;
    (void)send_op(g, item, 1, 0);
}

static void task_list(struct gate *g, Wire__Item *item)
{
    Wire__TaskList m = WIRE__TASK_LIST__INIT;
    m.status = (uint32_t)sim_rnd(TASK_STATUS_COUNT);
    m.limit = LIST_MAX;
    item->body_case = WIRE__ITEM__BODY_TASK_LIST;
    item->task_list = &m;
    send_op(g, item, 1, 0)->status = (int)m.status;
}

static void wait_sequence(struct gate *g, Wire__Item *item)
{
    Wire__WaitSequence m = WIRE__WAIT_SEQUENCE__INIT;
    m.sequence = model_newest() + sim_rnd(4);
    item->body_case = WIRE__ITEM__BODY_WAIT_SEQUENCE;
    item->wait_sequence = &m;
    (void)send_op(g, item, 1, 0);
}

static void output_read(struct gate *g, Wire__Item *item)
{
    Wire__OutputRead m = WIRE__OUTPUT_READ__INIT;
    m.task = model_pick_task();
    m.bytes_max = 65536;
    item->body_case = WIRE__ITEM__BODY_OUTPUT_READ;
    item->output_read = &m;
    (void)send_op(g, item, 1, 0);
}

static void once(struct gate *g, Wire__Item *item)
{
    (void)item;
    if (n_once < ONCE_MAX - 2)
        create_once(g, ++n_once);
}

// Often two at once, through different gateways.
static void resolve_some(struct gate *g, Wire__Item *item)
{
    uint64_t id = model_pick_approval(), task = model_pick_task();
    struct gate *other = sim_rnd(2) ? some_gate() : NULL;
    (void)item;
    resolve(g, id, 0, sim_rnd(2));
    if (other)
        resolve(other, sim_rnd(2) ? id : 0, task, sim_rnd(2));
}

static void act(struct gate *g, Wire__Item *item)
{
    (void)item;
    desktop_act(g, 1 + sim_rnd(model_desktops()), 1 + (uint32_t)sim_rnd(3));
}

static uint64_t nothing(void) { return 0; }
static uint64_t a_desktop(void) { return 2 + sim_rnd(4); }
static uint64_t a_key(void) { return 2 + sim_rnd(model_keys() + 1); }
static uint64_t a_webhook(void) { return 1 + sim_rnd(model_webhooks() + 1); }
static uint64_t a_worker(void) { return sim_rnd(6) ? 0 : 1 + sim_rnd(WORKERS); }

// How often each is asked, and how.
static const struct {
    unsigned weight;
    void (*ask)(struct gate *g, Wire__Item *item); // NULL: a target
    Wire__Item__BodyCase body;
    uint64_t (*pick)(void);
} asks[] = {
    { 10, create, 0, NULL }, { 5, once, 0, NULL }, { 2, edit, 0, NULL }, { 5, resolve_some, 0, NULL }, { 2, comment, 0, NULL },
    { 1, act, 0, NULL }, { 1, desktop_put, 0, NULL }, { 1, key_create, 0, NULL }, { 1, settings, 0, NULL }, { 1, webhook_put, 0, NULL },
    { 2, task_list, 0, NULL }, { 1, wait_sequence, 0, NULL }, { 3, output_read, 0, NULL },
    { 4, NULL, WIRE__ITEM__BODY_TASK_RUN, model_pick_task },
    { 2, NULL, WIRE__ITEM__BODY_TASK_CANCEL, model_pick_task },
    { 3, NULL, WIRE__ITEM__BODY_TASK_RETRY, model_pick_task },
    { 1, NULL, WIRE__ITEM__BODY_TASK_DELETE, model_pick_task },
    { 1, NULL, WIRE__ITEM__BODY_TASK_GET, model_pick_task },
    { 1, NULL, WIRE__ITEM__BODY_DESKTOP_DELETE, a_desktop },
    { 1, NULL, WIRE__ITEM__BODY_KEY_REVOKE, a_key },
    { 1, NULL, WIRE__ITEM__BODY_WEBHOOK_TEST, a_webhook },
    { 1, NULL, WIRE__ITEM__BODY_WEBHOOK_DELETE, a_webhook },
    { 1, NULL, WIRE__ITEM__BODY_WORKER_DRAIN, a_worker },
    { 2, NULL, WIRE__ITEM__BODY_OVERVIEW, nothing },
    { 2, NULL, WIRE__ITEM__BODY_DESKTOP_LIST, nothing },
};

static void ask_something(struct gate *g)
{
    Wire__Item item = WIRE__ITEM__INIT;
    unsigned sum = 0, at = 0;
    for (size_t i = 0; i < sizeof asks / sizeof *asks; i++)
        sum += asks[i].weight;
    for (unsigned left = (unsigned)sim_rnd(sum); left >= asks[at].weight; at++)
        left -= asks[at].weight;
    if (asks[at].ask)
        asks[at].ask(g, &item);
    else
        target(g, &item, asks[at].body, asks[at].pick());
}

static void widen(struct gate *g, uint64_t desktop)
{
    Wire__Item item = WIRE__ITEM__INIT;
    Wire__DesktopPut m = WIRE__DESKTOP_PUT__INIT;
    m.id = desktop;
    m.set = DEDIT_MAX_TASKS;
    m.max_tasks = 8;
    item.body_case = WIRE__ITEM__BODY_DESKTOP_EDIT;
    item.desktop_edit = &m;
    (void)send_op(g, &item, 1, 0);
}

// Healed: what keeps tasks from their end is taken out of the way.
static void settle(struct gate *g)
{
    Wire__Item item = WIRE__ITEM__INIT;
    for (uint64_t id = 1; id <= model_desktops() && sim_rnd(8) == 0; id++)
        widen(g, id);
    for (uint64_t id = 0, n = 0; (id = model_pending(id)) && n < 8; n++)
        resolve(g, id, 0, true);
    for (uint64_t id = 1; id <= model_desktops(); id++)
        if (model_desktop_is(id, DESKTOP_STOPPED))
            desktop_act(g, id, ACT_START);
    target(g, &item, WIRE__ITEM__BODY_OVERVIEW, 0);
}

static void timer_cb(uv_timer_t *t)
{
    struct gate *g = t->data;
    if (g->open < OPEN_MAX && !settling)
        for (uint64_t n = 1 + sim_rnd(3); n--;)
            ask_something(g);
    for (unsigned i = n_once; g->open < OPEN_MAX && i && i + 64 > n_once; i--)
        if (!once_id[i] && sim_rnd(8) == 0)
            create_once(g, i);
    if (settling && g->open < OPEN_MAX)
        settle(g);
    (void)uv_timer_start(t, timer_cb, settling ? 500 + sim_rnd(500) : sim_rnd(2 * PAUSE_MS) * (sim_rnd(10) ? 1 : 10), 0);
}

void gateway_settle(void) { settling = true; }

void gateway_last_words(void)
{
    last_asked = true;
    create_once(some_gate(), ++n_once);
}

bool gateway_heard(void) { return last_heard; }

// ---------------------------------------------------------------- lives

struct node *gateway_node(unsigned n) { return gates[n] ? gates[n]->node : NULL; }

void gateway_start(unsigned n)
{
    struct node *before = sim.node;
    struct gate *g = sim_alloc(sizeof *g);
    g->node = sim.node = node_new("gateway", n + 1, g);
    g->gw.loop = &g->node->loop;
    struct peer_conf c = { .loop = g->gw.loop, .urls = "sim://b1,sim://b2", .key = gateway_key(n), .topics = "EL", .heard = heard_cb, .u = g };
    if (ask_new(&g->gw, &g->gw.ask) || peer_new(&c, &g->gw.peer))
        sim_fail("a gateway does not start");
    (void)uv_timer_init(g->gw.loop, &g->timer);
    g->timer.data = g;
    (void)uv_timer_start(&g->timer, timer_cb, 100, 0);
    gates[n] = g;
    sim.node = before;
}

static void start_again(void *u)
{
    unsigned n = (unsigned)(uintptr_t)u;
    if (!gates[n])
        gateway_start(n);
}

void gateway_crash(unsigned n)
{
    if (!gates[n])
        return;
    sim_trace("gateway%u crashes", n + 1);
    net_node_died(gates[n]->node);
    gates[n] = NULL;
    sim_in(NULL, 100 * US + sim_rnd(3 * SECOND), start_again, (void *)(uintptr_t)n);
}
