// The history of a desktop's figures, from the level that fits the question: those in memory from the fleet, stored ones from the
// transaction, with the minutes that are not stored yet added from memory.
#include "fleet.h"
#include "metric.h"
#include "query_parts.h"

enum { HOUR_MS = 3600 * 1000, MINUTE_MS = 60 * 1000 };

struct reading {
    struct query *q;
    const Wire__MetricsRead *r;
    struct fleet_history h;
    uint64_t from_ms, to_ms;
    struct metric_choice c;
    struct metric_step *points; // c.n of them
};

static struct metric_step *point_of(const struct reading *rd, uint64_t ms)
{
    uint64_t at = ms / rd->c.step_ms;
    return ms < rd->to_ms && at >= rd->c.first && at - rd->c.first < rd->c.n ? &rd->points[at - rd->c.first] : NULL;
}

static enum err page_read(struct reading *rd, enum metric_level level, uint64_t page, Rec__MetricPage **ret)
{
    struct metric_place at = metric_place(level, page * METRIC_PAGE_STEPS);
    struct key k;
    metric_key(rd->q->workspace, rd->r->desktop, level, at.slot, &k);
    enum err e = rec_get(rd->q->txn, rd->q->arena, DB_METRIC, &k, &rec__metric_page__descriptor, ret);
    if (e)
        return e;
    return (*ret)->page == page && metric_page_whole(*ret) ? ERR_OK : ERR_NOT_FOUND;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

// True where the store has a minute of [from, to) - of the last day's.
static enum err any_minute(struct reading *rd, uint64_t from, uint64_t to, bool *ret)
{
    *ret = false;
    for (uint64_t page = from / METRIC_PAGE_STEPS; page * METRIC_PAGE_STEPS < to && !*ret; page++) {
        Rec__MetricPage *p;
        enum err e = page_read(rd, LEVEL_MINUTE, page, &p);
        if (e == ERR_NOT_FOUND)
            continue;
        if (e)
            return e;
        for (uint32_t i = 0; i < METRIC_PAGE_STEPS; i++) {
            uint64_t minute = page * METRIC_PAGE_STEPS + i;
            *ret = *ret || (p->count[i] && minute >= from && minute < to);
        }
    }
    return ERR_OK;
}

// Since when the levels in memory are whole: for ever, if the store has nothing of the time before they began.
static enum err memory_from(struct reading *rd, uint64_t *ret)
{
    uint64_t now = rd->q->now_ms, reach = metric_kept(LEVEL_TEN) * metric_step_ms(LEVEL_TEN);
    uint64_t from = later(rd->from_ms, now > reach ? now - reach : 0), began = rd->h.since_ms;
    bool before = true;
    *ret = UINT64_MAX;
    if (!rd->h.rings)
        return ERR_OK;
    enum err e = began > from && began <= now ? any_minute(rd, from / MINUTE_MS, began / MINUTE_MS, &before) : ERR_OK;
    *ret = before ? began : 0;
    return e;
}

static void read_memory(struct reading *rd)
{
    uint64_t step = metric_step_ms(rd->c.level), now = rd->q->now_ms / step, kept = metric_kept(rd->c.level);
    for (uint64_t at = later(rd->c.first * rd->c.step_ms / step, now > kept ? now - kept : 0); at <= now; at++) {
        struct metric_step *to = point_of(rd, at * step);
        if (!to)
            break;
        metric_rings_get(rd->h.rings, rd->c.level, at, to);
    }
}

static enum err read_stored(struct reading *rd)
{
    uint64_t step = metric_step_ms(rd->c.level), now = rd->q->now_ms / step, pages = metric_pages(rd->c.level);
    uint64_t first = rd->c.first * rd->c.step_ms / step, last = now / METRIC_PAGE_STEPS, oldest = last >= pages ? last - pages + 1 : 0;
    for (uint64_t page = later(first / METRIC_PAGE_STEPS, oldest); page <= last && page * METRIC_PAGE_STEPS * step < rd->to_ms; page++) {
        Rec__MetricPage *p;
        enum err e = page_read(rd, rd->c.level, page, &p);
        if (e == ERR_NOT_FOUND)
            continue;
        if (e)
            return e;
        for (uint32_t i = 0; i < METRIC_PAGE_STEPS; i++) {
            struct metric_step *to = point_of(rd, (page * METRIC_PAGE_STEPS + i) * step);
            if (to)
                metric_page_get(p, i, to);
        }
    }
    return ERR_OK;
}

static void add_unsaved(struct reading *rd)
{
    uint64_t now = rd->q->now_ms / MINUTE_MS, kept = metric_kept(LEVEL_TEN) / 6;
    for (uint64_t minute = later(rd->h.unsaved, now > kept ? now - kept : 0); minute <= now; minute++) {
        struct metric_step *to = point_of(rd, minute * MINUTE_MS);
        if (to)
            metric_rings_minute(rd->h.rings, minute, to);
    }
}

static enum err write_points(struct reading *rd, Wire__Answer *a)
{
    struct query *q = rd->q;
    MAKE(q, Wire__MetricPoints, WIRE__METRIC_POINTS__INIT, out);
    out->start_ms = arena_alloc(q->arena, rd->c.n * sizeof *out->start_ms);
    out->mean = arena_alloc(q->arena, rd->c.n * METRIC_N * sizeof *out->mean);
    out->max = arena_alloc(q->arena, rd->c.n * METRIC_N * sizeof *out->max);
    if (!out->start_ms || !out->mean || !out->max)
        return ERR_NO_MEMORY;
    for (uint64_t i = 0; i < rd->c.n; i++) {
        const struct metric_step *s = &rd->points[i];
        if (!s->count)
            continue;
        for (unsigned m = 0; m < METRIC_N; m++) {
            out->mean[out->n_mean++] = metric_mean(s, m);
            out->max[out->n_max++] = s->max[m];
        }
        out->start_ms[out->n_start_ms++] = (rd->c.first + i) * rd->c.step_ms;
    }
    out->desktop = rd->r->desktop;
    out->from_ms = rd->from_ms;
    out->to_ms = rd->to_ms;
    out->step_s = rd->c.step_ms / 1000;
    a->body_case = WIRE__ANSWER__BODY_METRIC_POINTS;
    a->metric_points = out;
    return ERR_OK;
}

static enum err refuse(Wire__Answer *a, char *field, char *text)
{
    a->field = field;
    a->text = text;
    return ERR_INVALID_FIELD;
}

// What was not said: the last hour.
static enum err range(struct reading *rd, Wire__Answer *a)
{
    static char from[] = "from", to[] = "to", order[] = "It must lie before `to`", late[] = "It is out of range";
    static const uint64_t most = (uint64_t)1 << 48; // far beyond the year 9999, and steps of it count without overflow
    uint64_t end = rd->r->to_ms ? rd->r->to_ms : later(rd->q->now_ms, rd->r->from_ms + 1);
    if (end > most || rd->r->from_ms > most)
        return refuse(a, end > most ? to : from, late);
    rd->to_ms = end;
    rd->from_ms = rd->r->from_ms ? rd->r->from_ms : end > HOUR_MS ? end - HOUR_MS : 1;
    return rd->from_ms < rd->to_ms ? ERR_OK : refuse(a, from, order);
}

enum err query_metrics_read(struct query *q, const Wire__MetricsRead *r, Wire__Answer *a)
{
    enum { STEP_MAX_S = 366 * 24 * 3600 };
    struct reading rd = { .q = q, .r = r };
    const struct fleet_history *h = fleet_history(q->fleet, r->desktop);
    uint64_t whole_from;
    Rec__Desktop *d;
    enum err e = kind_get(q->txn, q->arena, KIND_DESKTOP, q->workspace, r->desktop, &d);
    if (!e)
        e = range(&rd, a);
    if (e)
        return e;
    if (h)
        rd.h = *h;
    e = memory_from(&rd, &whole_from);
    if (e)
        return e;
    metric_choose(q->now_ms, whole_from, rd.from_ms, rd.to_ms, r->step_s < STEP_MAX_S ? r->step_s : STEP_MAX_S, &rd.c);
    rd.points = arena_alloc(q->arena, rd.c.n * sizeof *rd.points);
    if (!rd.points)
        return ERR_NO_MEMORY;
    for (uint64_t i = 0; i < rd.c.n; i++)
        rd.points[i] = (struct metric_step){ 0 };
    if (metric_stored(rd.c.level))
        e = read_stored(&rd);
    else
        read_memory(&rd);
    if (!e && metric_stored(rd.c.level) && rd.h.rings)
        add_unsaved(&rd);
    return e ? e : write_points(&rd, a);
}
