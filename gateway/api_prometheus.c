// GET /metrics, for Prometheus: this gateway's own figures, or what the broker says of itself, or of the workers.
#include "api.h"
#include <stdlib.h>
#include <string.h>
#include "cache.h"
#include "figures.h"
#include "gateway.h"
#include "hub.h"
#include "params.h"
#include "peer.h"
#include "self.h"
#include "server.h"

enum of { OF_NONE, OF_BROKER, OF_WORKERS };

static unsigned find_of(const char *s)
{
    return strcmp(s, "broker") == 0 ? OF_BROKER : strcmp(s, "workers") == 0 ? OF_WORKERS : OF_NONE;
}

static void show(struct request *r, const struct buf *b)
{
    struct exchange *x = r->x;

    if (b->err) {
        request_fail(r, ERR_INTERNAL, NULL, NULL);
        return;
    }
    request_let_go(r);
    exchange_reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", b->data, b->len);
}

// ---------------------------------------------------------------- this gateway

static void look(struct gateway *gw, uint64_t *v)
{
    struct self self;

    self_look(&self);
    v[FIGURE_GATEWAY_RESIDENT] = self.resident;
    v[FIGURE_GATEWAY_FDS] = self.fds;
    v[FIGURE_GATEWAY_CPU] = self.cpu_us;
    v[FIGURE_GATEWAY_START] = self.start_ms;
    if (gw->server) {
        v[FIGURE_GATEWAY_CONNECTIONS] = gw->server->n_conns;
        v[FIGURE_GATEWAY_HELD] = gw->server->held;
    }
    v[FIGURE_GATEWAY_STREAMS] = hub_subscribers(gw->hub);
    v[FIGURE_GATEWAY_CACHE] = cache_bytes(gw->cache);
    v[FIGURE_GATEWAY_BROKER_UP] = peer_is_up(gw->peer) ? 1 : 0;
    v[FIGURE_GATEWAY_NEWEST] = ask_newest(gw->ask);
}

static void of_gateway(struct request *r)
{
    struct gateway *gw = r->x->gw;
    struct buf *b = request_json()->out;
    uint64_t values[GATEWAY_FIGURE_N];
    const struct prom_row row = { .values = values };
    unsigned n;
    const struct prom_def *defs = figure_defs(FIGURES_GATEWAY, &n);

    memcpy(values, gw->figures->value, sizeof values);
    look(gw, values);
    prom_table(b, defs, n, &row, 1);
    figures_write(gw->figures, b);
    show(r, b);
}

// ---------------------------------------------------------------- the broker

static void take(enum figure_program p, Wire__Figure *const *list, size_t n, uint64_t *values, uint8_t *known, unsigned places)
{
    for (size_t i = 0; i < n; i++) {
        unsigned at = figure_place(p, list[i]->what);
        if (at >= places)
            continue; // of a later version
        values[at] = list[i]->value;
        known[at] = 1;
    }
}

static void histogram(struct buf *b, const Wire__Histogram *w)
{
    static const struct {
        uint32_t what;
        const char *name, *help;
        unsigned decimals;
    } known[] = {
        { HISTOGRAM_COMMIT, "mc_broker_commit_duration_seconds", "Time to apply a turn and make it durable", 6 },
        { HISTOGRAM_TURN, "mc_broker_turn_commands", "Commands in a turn", 0 },
    };
    struct prom_hist h;

    if (w->n_bounds > PROM_BOUNDS_MAX || w->n_counts != w->n_bounds + 1)
        return;
    prom_hist_init(&h, w->bounds, (unsigned)w->n_bounds);
    memcpy(h.count, w->counts, w->n_counts * sizeof *h.count);
    h.sum = w->sum;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].what == w->what) {
            prom_family(b, known[i].name, "histogram", known[i].help);
            prom_buckets(b, known[i].name, NULL, 0, &h, known[i].decimals);
        }
}

static void of_broker(struct request *r, const Wire__Answer *a)
{
    struct buf *b = request_json()->out;
    uint64_t values[BROKER_FIGURE_N] = { 0 };
    uint8_t there[BROKER_FIGURE_N] = { 0 };
    const struct prom_row row = { .values = values, .known = there };
    unsigned n;
    const struct prom_def *defs = figure_defs(FIGURES_BROKER, &n);

    take(FIGURES_BROKER, a->stats->broker, a->stats->n_broker, values, there, n);
    prom_table(b, defs, n, &row, 1);
    for (size_t i = 0; i < a->stats->n_histograms; i++)
        histogram(b, a->stats->histograms[i]);
    show(r, b);
}

// ---------------------------------------------------------------- the workers

static void of_workers(struct request *r, const Wire__Answer *a)
{
    struct figures_of {
        uint64_t values[WORKER_FIGURE_N];
        uint8_t known[WORKER_FIGURE_N];
    } *each = calloc(a->stats->n_workers + 1, sizeof *each);
    struct prom_row *rows = calloc(a->stats->n_workers + 1, sizeof *rows);
    struct buf *b = request_json()->out;
    unsigned n;
    const struct prom_def *defs = figure_defs(FIGURES_WORKER, &n);

    for (size_t i = 0; each && rows && i < a->stats->n_workers; i++) {
        const Wire__WorkerFigures *w = a->stats->workers[i];
        take(FIGURES_WORKER, w->figures, w->n_figures, each[i].values, each[i].known, n);
        rows[i] = (struct prom_row){ { "worker", w->name }, each[i].values, each[i].known };
    }
    if (each && rows) {
        prom_table(b, defs, n, rows, (unsigned)a->stats->n_workers);
        show(r, b);
    } else {
        request_fail(r, ERR_NO_MEMORY, NULL, NULL);
    }
    free(each);
    free(rows);
}

void api_prometheus(struct request *r)
{
    uint32_t of = OF_NONE;

    if (!params_word(r, "of", find_of, "broker, workers", &of))
        return;
    if (of == OF_NONE)
        of_gateway(r);
    else
        request_ask_target(r, WIRE__ITEM__BODY_STATS, 0, WIRE__ANSWER__BODY_STATS, of == OF_BROKER ? of_broker : of_workers);
}
