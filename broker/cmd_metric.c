// Commands on figures over time: minutes that go into the stored history, thresholds that are crossed, maintenance that is announced.
#include "commands.h"
#include "metric.h"

// ---------------------------------------------------------------- history

static enum err page_of(struct work *w, const struct key *k, uint64_t page, Rec__MetricPage **ret)
{
    enum err e = rec_get(w->txn, w->arena, DB_METRIC, k, &rec__metric_page__descriptor, ret);
    if (e && e != ERR_NOT_FOUND && e != ERR_CORRUPT)
        return e;
    if (!e && (*ret)->page == page && metric_page_whole(*ret))
        return ERR_OK;
    // The ring has come round; or the page is damaged, and sixty old means are not worth that no new ones are kept.
    Rec__MetricPage *fresh = arena_alloc(w->arena, sizeof *fresh);
    struct metric_page_room *room = arena_alloc(w->arena, sizeof *room);
    if (!fresh || !room)
        return ERR_NO_MEMORY;
    metric_page_new(fresh, room, page);
    *ret = fresh;
    return ERR_OK;
}

static enum err store_minute(struct work *w, const Wire__DesktopSample *s)
{
    struct metric_step step = { .count = s->count };
    for (unsigned m = 0; m < METRIC_N; m++) {
        step.sum[m] = s->sum[m];
        step.max[m] = s->max[m];
    }
    for (enum metric_level level = LEVEL_MINUTE; level < LEVEL_N; level++) {
        struct metric_place at = metric_place(level, s->minute * 60 * 1000 / metric_step_ms(level));
        Rec__MetricPage *p;
        struct key k;
        metric_key(s->workspace, s->desktop, level, at.slot, &k);
        enum err e = page_of(w, &k, at.page, &p);
        if (e)
            return e;
        metric_page_add(p, at.index, &step);
        w->wrote = true;
        e = rec_put(w->txn, w->arena, DB_METRIC, &k, p);
        if (e)
            return e;
    }
    return ERR_OK;
}

// A desktop that was deleted meanwhile is passed over.
enum err cmd_sample(struct work *w)
{
    const Wire__Sample *m = w->cmd->item->sample;
    for (size_t i = 0; i < m->n_desktops; i++)
        if (m->desktops[i]->n_sum != METRIC_N || m->desktops[i]->n_max != METRIC_N || !m->desktops[i]->count)
            return ERR_BAD_REQUEST;
    for (size_t i = 0; i < m->n_desktops; i++) {
        const Wire__DesktopSample *s = m->desktops[i];
        struct slice there;
        struct key k;
        kind_key(KIND_DESKTOP, s->workspace, s->desktop, &k);
        enum err e = store_get(w->txn, DB_DESKTOP, &k, &there);
        if (e == ERR_NOT_FOUND)
            continue;
        if (!e)
            e = store_minute(w, s);
        if (e)
            return e;
    }
    return ERR_OK;
}

// The rings have a fixed size, so this is bounded.
enum err metric_forget(struct work *w, uint64_t workspace, uint64_t desktop)
{
    struct key prefix = { .n = 0 };
    struct cursor c;
    enum err e = cursor_open(&c, w->txn, DB_METRIC, key_u64(key_u64(&prefix, workspace), desktop));
    if (e)
        return e;
    for (bool on = cursor_seek(&c, NULL); on && !e; on = cursor_next(&c)) {
        w->wrote = true;
        e = cursor_del(&c);
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    return e;
}

// ---------------------------------------------------------------- alerts

static enum err alert_row(struct work *w, const Rec__Desktop *d, unsigned kind, const char *type, uint32_t value, uint32_t threshold)
{
    union { const char *in; char *out; } name = { type };
    Wire__Row r = WIRE__ROW__INIT;
    r.workspace = d->workspace;
    r.desktop = d->id;
    r.agent = d->agent;
    r.name = d->name;
    r.alert_type = name.out;
    r.value = value;
    r.threshold = threshold;
    return work_row(w, &r, kind);
}

// What the broker saw live is judged again by what is stored: whoever saw it, and however often, a crossing is told once.
enum err cmd_alert(struct work *w)
{
    const Wire__Alert *m = w->cmd->item->alert;
    Rec__Desktop *d;
    Rec__Workspace *ws;
    bool changed = false;
    enum err e = work_get(w, KIND_DESKTOP, m->workspace, m->desktop, &d, NULL);
    if (!e)
        e = work_get(w, KIND_WORKSPACE, m->workspace, m->workspace, &ws, NULL);
    if (e || d->status == DESKTOP_STOPPED)
        return e;
    const struct { const char *type; uint32_t *level, value, threshold; } figures[METRIC_N] = {
        [METRIC_CPU] = { "high_cpu", &d->alert_cpu, m->cpu, ws->cpu },
        [METRIC_MEMORY] = { "high_memory", &d->alert_memory, m->memory, ws->memory },
        [METRIC_DISK] = { "high_disk", &d->alert_disk, m->disk, ws->disk },
    };
    for (unsigned i = 0; i < METRIC_N && !e; i++) {
        unsigned row;
        if (!(m->judged & 1u << i))
            continue;
        uint32_t to = metric_alert_step((enum metric_alert)*figures[i].level, figures[i].value, figures[i].threshold, &row);
        changed = changed || to != *figures[i].level;
        *figures[i].level = to;
        if (row)
            e = alert_row(w, d, row, figures[i].type, figures[i].value, figures[i].threshold);
    }
    work_touch_desktop(w, d->workspace, d->id);
    return e || !changed ? e : work_put(w, KIND_DESKTOP, NULL, d);
}

// ---------------------------------------------------------------- maintenance

enum err cmd_maintenance(struct work *w)
{
    const Wire__Maintenance *m = w->cmd->item->maintenance;
    struct fault f;
    enum err e = check_maintenance(m, &f);
    if (e)
        return work_fault(w, e, &f);
    Wire__Row *r = arena_alloc(w->arena, sizeof *r);
    if (!r)
        return ERR_NO_MEMORY;
    *r = (Wire__Row)WIRE__ROW__INIT;
    r->text = work_copy(w, m->description, ROW_TEXT_MAX);
    r->minutes = m->minutes;
    answer_event(w, r);
    return work_row(w, r, ROW_MAINTENANCE);
}
