// What is heard of desktops and sessions between two commits: output, passed on; metrics, passed on, kept in rings, judged by the
// thresholds, and stored by the minute.
//
// Happy path: a worker's live message carries the token of its greeting; what it may speak of goes to the gateways; a crossed
// threshold is proposed at once, minutes that are over once a minute.
#include "fleet.h"
#include <string.h>
#include "clock.h"
#include "fleet_state.h"
#include "kind.h"
#include "names.h"
#include "own.h"
#include "turn.h"

enum { MINUTE_MS = 60 * 1000, UNSAVED_MINUTES = 4 * 60 };
enum { CPU_SECONDS = 20, CPU_PROBES = 2 }; // a cpu is judged by what this long, and this many probes, said
enum { ALERT_EVERY_MS = 4000 };            // less than between two probes: a worker that says more is not to flood the log

static struct worker *by_token(const struct fleet *f, ProtobufCBinaryData token)
{
    list_each(n, next, &f->all_workers) {
        struct worker *w = container_of(n, struct worker, all);
        if (w->live && token.len == sizeof w->token && memcmp(token.data, w->token, sizeof w->token) == 0)
            return w;
    }
    return NULL;
}

// A cpu is busy for moments all the time: it is judged by its mean, of more than one probe.
static void judge(struct fleet *f, struct desktop *d, uint64_t now)
{
    const struct limits *l = map_get(&f->limits, d->workspace);
    struct metric_step cpu = { 0 };
    unsigned judged = 1u << METRIC_MEMORY | 1u << METRIC_DISK, row;
    bool crossed = false;
    if (!l || d->alerting || (d->alerted && turn_log_ms(f->conf.turns) < d->alerted + ALERT_EVERY_MS))
        return;
    if (d->history.rings)
        metric_rings_last(d->history.rings, now, CPU_SECONDS, &cpu);
    if (cpu.count >= CPU_PROBES)
        judged |= 1u << METRIC_CPU;
    const uint32_t value[METRIC_N] = { metric_mean(&cpu, METRIC_CPU), d->live.metrics.memory, d->live.metrics.disk };
    for (unsigned m = 0; m < METRIC_N; m++)
        if (judged & 1u << m)
            crossed = crossed || metric_alert_step((enum metric_alert)d->alert[m], value[m], l->threshold[m], &row) != d->alert[m];
    if (!crossed)
        return;
    d->alerted = turn_log_ms(f->conf.turns);
    own_alert(f, d, judged, value);
}

void fleet_alerted(struct fleet *f, uint64_t desktop)
{
    struct desktop *d = map_get(&f->desktops, desktop);
    if (d)
        d->alerting = false;
}

static void remember(struct desktop *d, uint64_t now)
{
    struct fleet_history *h = &d->history;
    if (!h->rings) {
        h->rings = metric_rings_new();
        if (!h->rings)
            return; // what it is now is known all the same
        h->since_ms = now;
        h->unsaved = now / MINUTE_MS;
    }
    metric_rings_add(h->rings, now, (uint32_t[METRIC_N]){ d->live.metrics.cpu, d->live.metrics.memory, d->live.metrics.disk });
}

static void bound(Wire__Metrics *m)
{
    uint32_t *share[] = { &m->cpu, &m->memory, &m->disk };
    for (size_t i = 0; i < sizeof share / sizeof *share; i++)
        if (*share[i] > METRIC_MAX)
            *share[i] = METRIC_MAX;
}

// Whose session it is, and what it is about, is in the store: a worker may say anything.
static bool own_output(struct fleet *f, struct txn *t, const struct worker *w, Wire__LiveOutput *o)
{
    Rec__Session *s;
    if (kind_get(t, &f->arena, KIND_SESSION, o->workspace, o->session, &s) || s->worker != w->id)
        return false;
    o->task = s->task;
    o->desktop = s->desktop;
    o->agent = s->agent;
    return true;
}

static void take_output(struct fleet *f, const struct worker *w, const Wire__Live *live, Wire__Live *out)
{
    enum { AT_ONCE = 256 }; // ours have one
    struct txn *t;
    if (!live->n_output || store_begin(f->conf.store, false, &t))
        return;
    for (size_t i = 0; i < live->n_output && i < AT_ONCE; i++)
        if (own_output(f, t, w, live->output[i]))
            out->output[out->n_output++] = live->output[i];
    store_abort(t);
}

// Only metrics of desktops that it probes.
static void take_metrics(struct fleet *f, const struct worker *w, const Wire__Live *live, Wire__Live *out)
{
    for (size_t i = 0; i < live->n_metrics; i++) {
        Wire__LiveMetrics *m = live->metrics[i];
        struct desktop *d = map_get(&f->desktops, m->desktop);
        if (!d || d->prober != w->id || !m->metrics || d->status == DESKTOP_STOPPED)
            continue;
        bound(m->metrics);
        d->live.metrics = *m->metrics;
        d->live.metrics.base.unknown_fields = NULL;
        d->live.metrics.base.n_unknown_fields = 0;
        d->live.seen_ms = d->live.metrics.probed_ms = clock_wall_ms();
        remember(d, d->live.seen_ms);
        judge(f, d, d->live.seen_ms);
        m->workspace = d->workspace;
        m->name = d->name;
        m->agent = d->agent;
        out->metrics[out->n_metrics++] = m;
    }
}

void fleet_live(struct fleet *f, const Wire__Live *live)
{
    Wire__Live out = WIRE__LIVE__INIT;
    const struct worker *w = by_token(f, live->token);
    if (!w)
        return;
    arena_reset(&f->arena);
    out.output = arena_alloc(&f->arena, (live->n_output + 1) * sizeof *out.output);
    out.metrics = arena_alloc(&f->arena, (live->n_metrics + 1) * sizeof *out.metrics);
    if (!out.output || !out.metrics)
        return;
    take_output(f, w, live, &out);
    take_metrics(f, w, live, &out);
    if (out.n_output || out.n_metrics)
        f->conf.publish(f->conf.u, &out);
}

const struct fleet_desktop *fleet_desktop(const struct fleet *f, uint64_t desktop)
{
    const struct desktop *d = map_get(&f->desktops, desktop);
    return d ? &d->live : NULL;
}

const struct fleet_history *fleet_history(const struct fleet *f, uint64_t desktop)
{
    const struct desktop *d = map_get(&f->desktops, desktop);
    return d ? &d->history : NULL;
}

// ---------------------------------------------------------------- history, to the store

// The oldest minute before this one that has samples and is not stored.
static bool unsaved(struct desktop *d, uint64_t this_minute, struct own_minute *ret)
{
    struct fleet_history *h = &d->history;
    if (!h->rings)
        return false;
    if (h->unsaved + UNSAVED_MINUTES < this_minute)
        h->unsaved = this_minute - UNSAVED_MINUTES; // what is older has left the ring
    if (h->unsaved > this_minute)
        h->unsaved = this_minute;                   // the clock was set back
    for (; h->unsaved < this_minute; h->unsaved++) {
        struct metric_step step = { 0 };
        metric_rings_minute(h->rings, h->unsaved, &step);
        if (step.count) {
            *ret = (struct own_minute){ d->workspace, d->id, h->unsaved, step };
            return true;
        }
    }
    return false;
}

void fleet_sample(struct fleet *f)
{
    struct own_minute minutes[OWN_SAMPLES];
    uint64_t this_minute = clock_wall_ms() / MINUTE_MS;
    size_t n = 0;
    if (f->sampling || f->sampled == this_minute)
        return;
    list_each(at, next, &f->all_desktops)
        if (n < OWN_SAMPLES && unsaved(container_of(at, struct desktop, all), this_minute, &minutes[n]))
            n++;
    if (n)
        own_sample(f, minutes, n);
    else
        f->sampled = this_minute;
}

void fleet_sampled(struct fleet *f, const struct own_minute *minutes, size_t n, bool ok)
{
    f->sampling = false;
    if (!ok) {
        f->sampled = clock_wall_ms() / MINUTE_MS; // the store has no room, say: again in a minute
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct desktop *d = map_get(&f->desktops, minutes[i].desktop);
        if (d && d->history.unsaved == minutes[i].minute)
            d->history.unsaved++;
    }
    fleet_sample(f);
}
