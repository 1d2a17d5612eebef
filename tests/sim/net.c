// common/bus.h in memory. Each message has a delay of its own, so that they overtake one another; some are lost, some come twice. A
// connection breaks for its two ends at different times, and what was on its way still arrives until then.
#include "bus.h"
#include <stdlib.h>
#include <string.h>
#include "check.h"
#include "sim.h"

struct bus { struct node *node; };

struct bus_server {
    struct node *node;
    char url[URL_MAX];
    struct bus_server_cbs cbs;
    struct bus_server *next;
};
struct conn {
    struct bus_client *client;
    struct bus_server *server;
    uint32_t pipe;
    bool up_here, up_there;      // for the client, for the server
    struct list calls;           // that wait for an answer
    struct conn *next;
};
struct bus_client {
    struct node *node;
    char url[URL_MAX];
    void (*connected)(void *u, int up);
    void *u;
    struct conn *conn;
};
struct out {                     // one bus_call; stays
    struct bus_call *call;       // NULL: it has ended
    struct conn *conn;
    struct list at;              // conn.calls
};
struct message {
    struct out *out;
    struct conn *conn;
    enum err err;
    size_t n;
    uint8_t data[];
};
struct request {
    struct bus_request r;
    struct out *out;
    struct conn *conn;
    uint64_t came_us;
    bool poll;
    struct message *m;
};

static struct bus_server *servers;
static struct conn *conns;
static uint32_t last_pipe;

static struct message *message(struct out *o, struct conn *c, const void *data, size_t n)
{
    struct message *m = sim_alloc(sizeof *m + n);
    m->out = o;
    m->conn = c;
    m->n = n;
    if (n)
        memcpy(m->data, data, n);
    sim.n.messages++;
    return m;
}

enum err bus_new(uv_loop_t *loop, struct bus **ret)
{
    *ret = sim_alloc(sizeof **ret);
    (*ret)->node = loop->data;
    return ERR_OK;
}

void bus_stop(struct bus *b) { (void)b; }

// ---------------------------------------------------------------- connections

static void reconnect(void *u);

static void end(struct out *o, enum err e, const void *data, size_t n)
{
    struct bus_call *call = o->call;
    o->call = NULL;
    list_remove(&o->at);
    if (call)
        call->cb(call, e, data, n);
}

static void closed_cb(void *u) { end(u, ERR_CLOSED, NULL, 0); }

// Its calls hear of it before or after the news of the connection itself.
static void lost_here(void *u)
{
    struct conn *c = u;
    struct bus_client *cl = c->client;
    if (!c->up_here)
        return;
    c->up_here = false;
    cl->conn = NULL;
    bool calls_first = sim_rnd(2);
    if (!calls_first)
        cl->connected(cl->u, 0);
    list_each(n, next, &c->calls)
        sim_in(cl->node, sim_rnd(20 * US), closed_cb, container_of(n, struct out, at));
    if (calls_first)
        while (!list_empty(&c->calls))
            end(container_of(c->calls.next, struct out, at), ERR_CLOSED, NULL, 0);
    if (calls_first)
        cl->connected(cl->u, 0);
    sim_in(cl->node, 50 * US + sim_rnd(500 * US), reconnect, cl);
}

static void lost_there(void *u)
{
    struct conn *c = u;
    if (!c->up_there)
        return;
    c->up_there = false;
    if (c->server->cbs.pipe_gone)
        c->server->cbs.pipe_gone(c->server->cbs.u, c->pipe);
}

static void fall(struct conn *c)
{
    if (c->up_here)
        sim_in(c->client->node, sim_rnd(20 * US), lost_here, c);
    if (c->up_there)
        sim_in(c->server->node, sim_rnd(sim.healed || sim_rnd(2) ? 20 * US : 4 * SECOND), lost_there, c);
}

static void reconnect(void *u)
{
    struct bus_client *cl = u;
    struct bus_server *s = servers;
    while (s && (s->node->dead || strcmp(s->url, cl->url) != 0))
        s = s->next;
    if (!s || sim_chance(500)) {
        sim_in(cl->node, 50 * US + sim_rnd(1000 * US), reconnect, cl);
        return;
    }
    struct conn *c = sim_alloc(sizeof *c);
    *c = (struct conn){ .client = cl, .server = s, .pipe = ++last_pipe, .up_here = true, .up_there = true, .next = conns };
    list_init(&c->calls);
    conns = c;
    cl->conn = c;
    cl->connected(cl->u, 1);
}

void net_node_died(struct node *n)
{
    n->dead = true;
    sim.n.crashes++;
    for (struct conn *c = conns; c; c = c->next)
        if (c->client->node == n || c->server->node == n)
            fall(c);
}

void net_break_some(struct node *n)
{
    for (struct conn *c = conns; c; c = c->next)
        if (c->up_here && (c->client->node == n || c->server->node == n) && sim_rnd(2))
            fall(c);
}

enum err bus_dial(struct bus *b, const char *url, void (*connected)(void *u, int up), void *u, struct bus_client **ret)
{
    struct bus_client *c = sim_alloc(sizeof *c);
    c->node = b->node;
    strncpy(c->url, url, sizeof c->url - 1);
    c->connected = connected;
    c->u = u;
    sim_in(c->node, sim_rnd(50 * US), reconnect, c);
    *ret = c;
    return ERR_OK;
}

enum err bus_serve(struct bus *b, const char *url, size_t msg_max, unsigned max_held, const struct bus_server_cbs *cbs, struct bus_server **ret)
{
    struct bus_server *s = sim_alloc(sizeof *s);
    (void)msg_max;
    (void)max_held;
    s->node = b->node;
    strncpy(s->url, url, sizeof s->url - 1);
    s->cbs = *cbs;
    s->next = servers;
    servers = s;
    *ret = s;
    return ERR_OK;
}

// ---------------------------------------------------------------- requests and replies

static void timed_out(void *u) { end(u, ERR_TIMEOUT, NULL, 0); }

static void arrive(void *u)
{
    struct message *m = u;
    struct conn *c = m->conn;
    if (!c->up_there) {
        free(m);
        return;
    }
    struct request *r = sim_alloc(sizeof *r);
    r->out = m->out;
    r->conn = c;
    r->m = m;
    r->came_us = sim.now_us;
    r->r.pipe = c->pipe;
    r->r.data = m->data;
    r->r.len = m->n;
    list_init(&r->r.at);
    c->server->cbs.request(c->server->cbs.u, &r->r);
}

static void replied(void *u)
{
    struct message *m = u;
    if (m->conn->up_here)
        end(m->out, ERR_OK, m->data, m->n);
    free(m);
}

// A poll that the broker takes is what a lease lives on: the model is told of it, with the time it came.
static void tell_model(const struct request *r, const void *data, size_t n)
{
    static const uint8_t tag[] = { 0xd2, 0x05 }; // of Item.work_poll; it may stand for something else, but is never absent
    if (!memmem(r->m->data, r->m->n, tag, sizeof tag))
        return;
    Wire__Request *q = wire__request__unpack(NULL, r->m->n, r->m->data);
    Wire__Reply *a = wire__reply__unpack(NULL, n, data);
    const struct node *from = r->conn->client->node;
    if (q && a && q->n_items == 1 && q->items[0]->body_case == WIRE__ITEM__BODY_WORK_POLL && a->n_answers == 1 && !a->answers[0]->err)
        model_polled(from->id, r->came_us);
    if (q)
        wire__request__free_unpacked(q, NULL);
    if (a)
        wire__reply__free_unpacked(a, NULL);
}

void bus_reply(struct bus_request *br, const void *data, size_t len)
{
    struct request *r = container_of(br, struct request, r);
    broker_may_die();
    if (strncmp(r->conn->client->node->name, "worker", 6) == 0)
        tell_model(r, data, len);
    if (r->conn->up_there && !sim_chance(60))
        sim_in(r->conn->client->node, sim_delay_us(), replied, message(r->out, r->conn, data, len));
    free(r->m);
    free(r);
}

void bus_call(struct bus_client *c, struct bus_call *call, const void *data, size_t len, unsigned timeout_ms)
{
    struct out *o = sim_alloc(sizeof *o);
    const uint8_t *p = data;
    o->call = call;
    o->conn = c->conn;
    if (len > 2 + CLIENT_ID && p[0] == 0x0a && p[1] == CLIENT_ID)
        memcpy(c->node->client_id, p + 2, CLIENT_ID);
    list_init(&o->at);
    sim_in(c->node, (uint64_t)timeout_ms * US, timed_out, o);
    if (!c->conn)
        sim_in(c->node, sim_rnd(20 * US), closed_cb, o);
    else
        list_push_back(&c->conn->calls, &o->at);
    if (!c->conn || sim_chance(60))
        return;
    sim_in(c->conn->server->node, sim_delay_us(), arrive, message(o, c->conn, data, len));
    if (sim_chance(200)) { // comes twice, the other perhaps when its answer is long known
        sim_in(c->conn->server->node, sim_rnd(2) ? sim_delay_us() : sim_rnd(2500 * US), arrive, message(o, c->conn, data, len));
        for (const uint8_t *at = p; (at = memmem(at, (size_t)(p + len - at), "try-", 4)); at += 4)
            model_tried(strtoul((const char *)at + 4, NULL, 10), TRIED_TWICE);
    }
}

// ---------------------------------------------------------------- publish and subscribe

struct bus_pub {
    struct node *node;
    char url[URL_MAX];
};
struct bus_sub {
    struct node *node;
    char url[URL_MAX], topics[8];
    bus_event_cb *cb;
    void *u;
    uint64_t last_us;            // in order, whatever the delays
    struct bus_sub *next;
};
struct notice {
    struct bus_sub *sub;
    char topic;
    size_t n;
    uint8_t data[];
};
static struct bus_sub *subs;

enum err bus_pub_listen(struct bus *b, const char *url, struct bus_pub **ret)
{
    *ret = sim_alloc(sizeof **ret);
    (*ret)->node = b->node;
    strncpy((*ret)->url, url, URL_MAX - 1);
    return ERR_OK;
}

enum err bus_pub_dial(struct bus *b, const char *url, struct bus_pub **ret) { return bus_pub_listen(b, url, ret); }

static void noticed(void *u)
{
    struct notice *m = u;
    m->sub->cb(m->sub->u, m->topic, m->data, m->n);
    free(m);
}

void bus_publish(struct bus_pub *p, char topic, const void *data, size_t len)
{
    broker_may_die();
    for (struct bus_sub *s = subs; s; s = s->next) {
        if (s->node->dead || strcmp(s->url, p->url) != 0 || !strchr(s->topics, topic) || sim_chance(150))
            continue;
        struct notice *m = sim_alloc(sizeof *m + len);
        m->sub = s;
        m->topic = topic;
        m->n = len;
        memcpy(m->data, data, len);
        uint64_t at = sim.now_us + sim_delay_us();
        s->last_us = at > s->last_us ? at : s->last_us;
        sim_in(s->node, s->last_us - sim.now_us, noticed, m);
        sim.n.messages++;
    }
}

enum err bus_sub_dial(struct bus *b, const char *url, const char *topics, bus_event_cb *cb, void *u, struct bus_sub **ret)
{
    struct bus_sub *s = sim_alloc(sizeof *s);
    s->node = b->node;
    strncpy(s->url, url, sizeof s->url - 1);
    strncpy(s->topics, topics, sizeof s->topics - 1);
    s->cb = cb;
    s->u = u;
    s->next = subs;
    subs = s;
    *ret = s;
    return ERR_OK;
}

enum err bus_sub_listen(struct bus *b, const char *url, const char *topics, size_t msg_max, bus_event_cb *cb, void *u, struct bus_sub **ret)
{
    (void)msg_max;
    return bus_sub_dial(b, url, topics, cb, u, ret);
}
