#include "own.h"
#include <stdlib.h>
#include <string.h>
#include "log.h"
#include "turn.h"

struct own {
    struct proposal p;
    struct fleet *f;
    Wire__Item item;
    Wire__Actor actor;
    uint64_t desktop, worker, task;
    union {
        Wire__Assign assign;
        Wire__Expire expire;
        Wire__Renew renew;
        Wire__Target release;
        Wire__Observe observe;
        Wire__Alert alert;
        Wire__Sample sample;
    } body;
    Wire__Observation seen;
    char *error, *ip;                      // of seen
    Wire__WorkerLease *leases, **lease_list;
    struct own_samples *samples;
};

struct own_samples {
    struct own_minute minute[OWN_SAMPLES];
    Wire__DesktopSample m[OWN_SAMPLES], *list[OWN_SAMPLES];
    size_t n;
};

static struct own *make(struct fleet *f, Wire__Item__BodyCase body)
{
    struct own *o = calloc(1, sizeof *o);
    if (!o) {
        log_error("out of memory: a proposal is put off");
        return NULL;
    }
    o->f = f;
    o->item = (Wire__Item)WIRE__ITEM__INIT;
    o->item.body_case = body;
    o->p.cmd.item = &o->item;
    o->p.cmd.sender = SENDER_BROKER;
    return o;
}

static void own_free(struct own *o)
{
    if (o->task)
        map_del(&o->f->assigning, o->task);
    free(o->error);
    free(o->ip);
    free(o->leases);
    free(o->lease_list);
    free(o->samples);
    free(o);
}

static void submit(struct own *o, void (*done)(struct proposal *, enum outcome, const struct batch *))
{
    o->p.done = done;
    turn_submit(o->f->conf.turns, &o->p);
}

static void done_cb(struct proposal *p, enum outcome st, const struct batch *b)
{
    (void)st;
    (void)b;
    own_free(container_of(p, struct own, p));
}

// ---------------------------------------------------------------- assignments

static void assigned_cb(struct proposal *p, enum outcome st, const struct batch *b)
{
    struct own *o = container_of(p, struct own, p);
    (void)b;
    fleet_assigned(o->f, o->desktop, o->worker, st == OUTCOME_APPLIED && !p->cmd.answer.err);
    own_free(o);
}

bool own_assigning(const struct fleet *f, uint64_t task)
{
    return map_get(&f->assigning, task) != NULL;
}

void own_assign(struct fleet *f, struct desktop *d, struct worker *w, uint64_t task, uint32_t attempt)
{
    struct own *o = make(f, WIRE__ITEM__BODY_ASSIGN);
    if (!o || map_put(&f->assigning, task, o)) {
        free(o);
        return;
    }
    o->body.assign = (Wire__Assign)WIRE__ASSIGN__INIT;
    o->body.assign.task = o->task = task;
    o->body.assign.attempt = attempt;
    o->body.assign.worker = o->worker = w->id;
    o->body.assign.incarnation = w->incarnation;
    o->item.assign = &o->body.assign;
    o->actor = (Wire__Actor)WIRE__ACTOR__INIT;
    o->actor.workspace = d->workspace;
    o->item.actor = &o->actor;
    o->desktop = d->id;
    d->in_flight++;
    w->in_flight++;
    submit(o, assigned_cb);
}

void own_release(struct fleet *f, const struct worker *w, uint64_t session)
{
    struct own *o = make(f, WIRE__ITEM__BODY_RELEASE);
    if (!o)
        return;
    o->body.release = (Wire__Target)WIRE__TARGET__INIT;
    o->body.release.id = session;
    o->item.release = &o->body.release;
    o->p.cmd.worker = w->id;
    submit(o, done_cb);
}

// ---------------------------------------------------------------- desktops

void own_observe(struct fleet *f, const struct desktop *d, const Wire__Observation *seen)
{
    struct own *o = make(f, WIRE__ITEM__BODY_OBSERVE);
    if (!o)
        return;
    o->error = strdup(seen->error);
    o->ip = strdup(seen->ip_address);
    if (!o->error || !o->ip) {
        own_free(o);
        return; // it is seen again soon
    }
    o->seen = *seen;
    o->seen.base.n_unknown_fields = 0;
    o->seen.base.unknown_fields = NULL;
    o->seen.error = o->error;
    o->seen.ip_address = o->ip;
    o->body.observe = (Wire__Observe)WIRE__OBSERVE__INIT;
    o->body.observe.workspace = d->workspace;
    o->body.observe.seen = &o->seen;
    o->item.observe = &o->body.observe;
    submit(o, done_cb);
}

// ---------------------------------------------------------------- figures

static void alerted_cb(struct proposal *p, enum outcome st, const struct batch *b)
{
    struct own *o = container_of(p, struct own, p);
    (void)st;
    (void)b;
    fleet_alerted(o->f, o->desktop);
    own_free(o);
}

void own_alert(struct fleet *f, struct desktop *d, unsigned judged, const uint32_t value[METRIC_N])
{
    struct own *o = make(f, WIRE__ITEM__BODY_ALERT);
    if (!o)
        return; // it is seen again with the next probe
    o->body.alert = (Wire__Alert)WIRE__ALERT__INIT;
    o->body.alert.workspace = d->workspace;
    o->body.alert.desktop = o->desktop = d->id;
    o->body.alert.judged = judged;
    o->body.alert.cpu = value[METRIC_CPU];
    o->body.alert.memory = value[METRIC_MEMORY];
    o->body.alert.disk = value[METRIC_DISK];
    o->item.alert = &o->body.alert;
    d->alerting = true;
    submit(o, alerted_cb);
}

static void sampled_cb(struct proposal *p, enum outcome st, const struct batch *b)
{
    struct own *o = container_of(p, struct own, p);
    (void)b;
    fleet_sampled(o->f, o->samples->minute, o->samples->n, st == OUTCOME_APPLIED && !p->cmd.answer.err);
    own_free(o);
}

void own_sample(struct fleet *f, const struct own_minute *minutes, size_t n)
{
    struct own *o = make(f, WIRE__ITEM__BODY_SAMPLE);
    struct own_samples *s = o ? calloc(1, sizeof *s) : NULL;
    if (!s) {
        free(o);
        return; // the rings hold them for hours: tried again
    }
    o->samples = s;
    s->n = n;
    for (size_t i = 0; i < n; i++) {
        s->minute[i] = minutes[i];
        s->m[i] = (Wire__DesktopSample)WIRE__DESKTOP_SAMPLE__INIT;
        s->m[i].workspace = minutes[i].workspace;
        s->m[i].desktop = minutes[i].desktop;
        s->m[i].minute = minutes[i].minute;
        s->m[i].count = (uint32_t)minutes[i].step.count;
        s->m[i].sum = s->minute[i].step.sum;
        s->m[i].max = s->minute[i].step.max;
        s->m[i].n_sum = s->m[i].n_max = METRIC_N;
        s->list[i] = &s->m[i];
    }
    o->body.sample = (Wire__Sample)WIRE__SAMPLE__INIT;
    o->body.sample.desktops = s->list;
    o->body.sample.n_desktops = n;
    o->item.sample = &o->body.sample;
    f->sampling = true;
    submit(o, sampled_cb);
}

// ---------------------------------------------------------------- leases

static void expired_cb(struct proposal *p, enum outcome st, const struct batch *b)
{
    struct own *o = container_of(p, struct own, p);
    (void)b;
    fleet_expired(o->f, o->worker, st == OUTCOME_APPLIED && !p->cmd.answer.err);
    own_free(o);
}

void own_expire(struct fleet *f, struct worker *w)
{
    struct own *o = make(f, WIRE__ITEM__BODY_EXPIRE);
    if (!o)
        return;
    o->body.expire = (Wire__Expire)WIRE__EXPIRE__INIT;
    o->body.expire.worker = o->worker = w->id;
    o->item.expire = &o->body.expire;
    w->expired = true;
    submit(o, expired_cb);
}

void own_renew(struct fleet *f, const Wire__WorkerLease *leases, size_t n, bool full_term)
{
    struct own *o = make(f, WIRE__ITEM__BODY_RENEW);
    if (!o)
        return;
    o->leases = malloc((n + 1) * sizeof *o->leases);
    o->lease_list = malloc((n + 1) * sizeof *o->lease_list);
    if (!o->leases || !o->lease_list) {
        own_free(o);
        return; // a lease lasts several renewals
    }
    for (size_t i = 0; i < n; i++) {
        o->leases[i] = leases[i];
        o->lease_list[i] = &o->leases[i];
    }
    o->body.renew = (Wire__Renew)WIRE__RENEW__INIT;
    o->body.renew.full_term = full_term;
    o->body.renew.leases = o->lease_list;
    o->body.renew.n_leases = n;
    o->item.renew = &o->body.renew;
    submit(o, done_cb);
}
