// Figures for GET /metrics: of the program, of the asker's tasks, of every worker. Nothing is counted here but workers: all of it
// stands ready.
#include <string.h>
#include "fleet.h"
#include "names.h"
#include "query_parts.h"
#include "work.h"

static Wire__Figure *figure(struct query *q, enum figure_program p, unsigned place, uint64_t value)
{
    Wire__Figure *f = arena_alloc(q->arena, sizeof *f);
    if (!f)
        return NULL;
    *f = (Wire__Figure)WIRE__FIGURE__INIT;
    f->what = figure_number(p, place);
    f->value = value;
    return f;
}

// known NULL: all.
static enum err figures(struct query *q, enum figure_program p, const uint64_t *values, const uint8_t *known, unsigned n,
                        Wire__Figure ***ret, size_t *ret_n)
{
    *ret = arena_alloc(q->arena, n * sizeof **ret);
    if (!*ret)
        return ERR_NO_MEMORY;
    for (unsigned i = 0; i < n; i++) {
        if (known && !known[i])
            continue;
        if (!((*ret)[(*ret_n)++] = figure(q, p, i, values[i])))
            return ERR_NO_MEMORY;
    }
    return ERR_OK;
}

static enum err histogram(struct query *q, uint32_t what, const struct prom_hist *h, Wire__Histogram **ret)
{
    MAKE(q, Wire__Histogram, WIRE__HISTOGRAM__INIT, o);
    o->what = what;
    o->bounds = arena_alloc(q->arena, (h->n + 1) * sizeof *o->bounds);
    o->counts = arena_alloc(q->arena, (h->n + 1) * sizeof *o->counts);
    if (!o->bounds || !o->counts)
        return ERR_NO_MEMORY;
    memcpy(o->bounds, h->bounds, h->n * sizeof *o->bounds);
    memcpy(o->counts, h->count, (h->n + 1) * sizeof *o->counts);
    o->n_bounds = h->n;
    o->n_counts = h->n + 1;
    o->sum = h->sum;
    *ret = o;
    return ERR_OK;
}

static enum err of_broker(struct query *q, Wire__Stats *out)
{
    struct program_figures p = { .took_us = NULL };
    struct counts c;
    enum err e = counts_read(q->txn, q->arena, q->workspace, 0, &c);
    if (e)
        return e;
    q->figures(q->figures_u, &p);
    p.value[FIGURE_BROKER_NEWEST] = q->newest;
    p.value[FIGURE_BROKER_OLDEST] = q->oldest;
    p.value[FIGURE_BROKER_WORKERS] = q->workers;
    p.value[FIGURE_BROKER_WAITING] = c.waiting;
    p.value[FIGURE_BROKER_APPROVALS] = c.pending_approvals;
    static const unsigned at[TASK_STATUS_COUNT] = {
        [TASK_PENDING] = FIGURE_BROKER_PENDING, [TASK_RUNNING] = FIGURE_BROKER_RUNNING, [TASK_REVIEW] = FIGURE_BROKER_REVIEW,
        [TASK_DONE] = FIGURE_BROKER_DONE, [TASK_FAILED] = FIGURE_BROKER_FAILED, [TASK_CANCELLED] = FIGURE_BROKER_CANCELLED,
    };
    for (unsigned s = 1; s < TASK_STATUS_COUNT; s++)
        p.value[at[s]] = c.task[s][TYPE_PROMPT] + c.task[s][TYPE_COMMAND];
    out->histograms = arena_alloc(q->arena, 2 * sizeof *out->histograms);
    e = out->histograms ? histogram(q, HISTOGRAM_COMMIT, p.took_us, &out->histograms[0]) : ERR_NO_MEMORY;
    if (!e)
        e = histogram(q, HISTOGRAM_TURN, p.size, &out->histograms[1]);
    if (e)
        return e;
    out->n_histograms = 2;
    return figures(q, FIGURES_BROKER, p.value, NULL, BROKER_FIGURE_N, &out->broker, &out->n_broker);
}

static enum err of_worker(struct query *q, const Wire__Worker *w, Wire__WorkerFigures **ret)
{
    MAKE(q, Wire__WorkerFigures, WIRE__WORKER_FIGURES__INIT, o);
    uint64_t values[WORKER_FIGURE_N] = { 0 };
    uint8_t known[WORKER_FIGURE_N] = { 0 };
    const uint8_t *told;
    const uint64_t *said = fleet_figures(q->fleet, w->id, &told);
    if (said) {
        memcpy(values, said, sizeof values);
        memcpy(known, told, sizeof known);
    }
    const struct { unsigned at; uint64_t value; bool always; } ours[] = { // whatever it says of these
        { FIGURE_WORKER_CONNECTED, w->connected ? 1 : 0, true }, { FIGURE_WORKER_RUNNING, w->running, true },
        { FIGURE_WORKER_SLOTS, w->slots, false }, { FIGURE_WORKER_DRAINING, w->draining ? 1 : 0, false },
    };
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        values[ours[i].at] = ours[i].value;
        known[ours[i].at] = ours[i].always || w->connected;
    }
    o->worker = w->id;
    o->name = w->name;
    *ret = o;
    return figures(q, FIGURES_WORKER, values, known, WORKER_FIGURE_N, &o->figures, &o->n_figures);
}

enum err query_stats(struct query *q, Wire__Answer *a)
{
    MAKE(q, Wire__Stats, WIRE__STATS__INIT, out);
    Wire__Answer list = WIRE__ANSWER__INIT;
    enum err e = q->figures ? of_broker(q, out) : ERR_UNAVAILABLE;
    if (!e)
        e = query_worker_list(q, &list);
    if (e)
        return e;
    out->workers = arena_alloc(q->arena, (list.workers->n_workers + 1) * sizeof *out->workers);
    if (!out->workers)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < list.workers->n_workers && !e; i++)
        e = of_worker(q, list.workers->workers[i], &out->workers[out->n_workers++]);
    a->body_case = WIRE__ANSWER__BODY_STATS;
    a->stats = out;
    return e;
}
