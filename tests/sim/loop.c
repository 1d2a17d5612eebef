// libuv's timers and idle handles on virtual time: the simulator does not link libuv. A handle that was stopped, started anew or freed
// must not be touched by what was asked for it before: each start has a ticket of its own, which the handle lets go of.
#include <stdlib.h>
#include "sim.h"

enum { IDLE_US = 20 }; // an idle handle runs when all that came at this moment was handled

struct ticket {
    uv_handle_t *h;        // NULL: let go of
    uint64_t at;
};

static struct node *node_of(const uv_loop_t *l) { return l->data; }

static void let_go(struct ticket **at)
{
    if (*at)
        (*at)->h = NULL;
    *at = NULL;
}

static struct ticket *ask_for(uv_handle_t *h, uint64_t us, void (*fn)(void *u))
{
    struct ticket *t = sim_alloc(sizeof *t);
    t->h = h;
    t->at = sim.now_us + us;
    sim_in(node_of(h->loop), us, fn, t);
    return t;
}

// The product's structs have room for libuv's own fields: the ticket lies in one of them.
static struct ticket **timer_ticket(uv_timer_t *t) { return (struct ticket **)&t->heap_node[0]; }
static struct ticket **idle_ticket(uv_idle_t *i) { return (struct ticket **)&i->queue[0]; }

static void timer_due(void *u)
{
    struct ticket *k = u;
    uv_timer_t *t = (uv_timer_t *)k->h;
    free(k);
    if (!t)
        return;
    *timer_ticket(t) = NULL;
    if (t->repeat)
        uv_timer_start(t, t->timer_cb, t->repeat, t->repeat);
    t->timer_cb(t);
}

int uv_timer_init(uv_loop_t *l, uv_timer_t *t)
{
    t->loop = l;
    t->type = UV_TIMER;
    *timer_ticket(t) = NULL;
    return 0;
}

int uv_timer_start(uv_timer_t *t, uv_timer_cb cb, uint64_t ms, uint64_t repeat)
{
    let_go(timer_ticket(t));
    t->timer_cb = cb;
    t->repeat = repeat;
    *timer_ticket(t) = ask_for((uv_handle_t *)t, ms * US, timer_due);
    return 0;
}

int uv_timer_stop(uv_timer_t *t)
{
    let_go(timer_ticket(t));
    return 0;
}

uint64_t uv_timer_get_due_in(const uv_timer_t *t)
{
    const struct ticket *k = t->heap_node[0];
    return k && k->at > sim.now_us ? (k->at - sim.now_us) / US : 0;
}

static void idle_due(void *u)
{
    struct ticket *k = u;
    uv_idle_t *i = (uv_idle_t *)k->h;
    free(k);
    if (!i)
        return;
    *idle_ticket(i) = ask_for((uv_handle_t *)i, IDLE_US, idle_due);
    i->idle_cb(i);
}

int uv_idle_init(uv_loop_t *l, uv_idle_t *i)
{
    i->loop = l;
    i->type = UV_IDLE;
    *idle_ticket(i) = NULL;
    return 0;
}

int uv_idle_start(uv_idle_t *i, uv_idle_cb cb)
{
    if (*idle_ticket(i))
        return 0;
    i->idle_cb = cb;
    *idle_ticket(i) = ask_for((uv_handle_t *)i, IDLE_US, idle_due);
    return 0;
}

int uv_idle_stop(uv_idle_t *i)
{
    let_go(idle_ticket(i));
    return 0;
}

int uv_is_active(const uv_handle_t *h)
{
    return h->type == UV_TIMER ? ((const uv_timer_t *)h)->heap_node[0] != NULL : ((const uv_idle_t *)h)->queue[0] != NULL;
}

struct closing {
    uv_handle_t *h;
    uv_close_cb cb;
};
static void closed(void *u)
{
    struct closing c = *(struct closing *)u;
    free(u);
    if (c.cb)
        c.cb(c.h);
}

void uv_close(uv_handle_t *h, uv_close_cb cb)
{
    struct closing *c = sim_alloc(sizeof *c);
    let_go(h->type == UV_TIMER ? timer_ticket((uv_timer_t *)h) : idle_ticket((uv_idle_t *)h));
    *c = (struct closing){ h, cb };
    sim_in(node_of(h->loop), 0, closed, c);
}

void uv_unref(uv_handle_t *h) { (void)h; }
uint64_t uv_now(const uv_loop_t *l) { return sim.now_us / US + node_of(l)->mono0_ms; }

// Only where a program ends by itself (link_stop): the simulated ones are cut off.
void uv_update_time(uv_loop_t *l) { (void)l; }
int uv_run(uv_loop_t *l, uv_run_mode m)
{
    (void)l;
    (void)m;
    abort();
}
