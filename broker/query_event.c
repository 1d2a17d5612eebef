// The stored side of the feed, the audit trail and its statistics: which posting lists a filter means, between which numbers, and the
// rows they name.
#include <string.h>
#include "check.h"
#include "event.h"
#include "names.h"
#include "posting.h"
#include "query_parts.h"
#include "stats.h"

enum { LISTS_MAX = 8192, KINDS_MAX = 256, IDS_MAX = 256 };

// ---------------------------------------------------------------- a filter's lists and numbers

struct filter {
    struct query *q;
    bool kind[KINDS_MAX]; // of rows
    struct posting_set set;
    struct posting_list *lists;
    unsigned cap;
};

// The kinds asked for, of those the view shows; none asked for: all of these.
static void filter_init(struct filter *f, struct query *q, enum event_view view, const uint32_t *kinds, size_t n)
{
    memset(f, 0, sizeof *f);
    f->q = q;
    f->set = (struct posting_set){ .txn = q->txn, .arena = q->arena, .lo = q->oldest, .hi = q->newest + 1 };
    for (size_t i = 0; i < n; i++)
        if (kinds[i] < ROW_COUNT)
            f->kind[kinds[i]] = true;
    for (unsigned k = 1; k < ROW_COUNT; k++)
        f->kind[k] = (f->kind[k] || n == 0) && event_type(k, view);
}

static enum err filter_add(struct filter *f, struct posting_list l)
{
    if (f->set.n == LISTS_MAX)
        return ERR_BAD_REQUEST;
    if (f->set.n == f->cap) {
        unsigned cap = f->cap ? f->cap * 2 : 64;
        struct posting_list *lists = arena_alloc(f->q->arena, cap * sizeof *lists);
        if (!lists)
            return ERR_NO_MEMORY;
        if (f->set.n)
            memcpy(lists, f->lists, f->set.n * sizeof *lists);
        f->set.lists = f->lists = lists;
        f->cap = cap;
    }
    f->lists[f->set.n++] = l;
    return ERR_OK;
}

// One list for each id and kind; an id given twice counts once.
static enum err filter_add_ids(struct filter *f, enum posting_family family, const uint64_t *ids, size_t n)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < n && !e; i++) {
        bool again = false;
        for (size_t k = 0; k < i; k++)
            again = again || ids[k] == ids[i];
        for (unsigned k = 1; k < ROW_COUNT && !again && !e; k++)
            if (f->kind[k])
                e = filter_add(f, posting_by_id(family, f->q->workspace, ids[i], k));
    }
    return e;
}

static void not_below(struct filter *f, uint64_t number)
{
    if (number > f->set.lo)
        f->set.lo = number;
}

static void below(struct filter *f, uint64_t number)
{
    if (number < f->set.hi)
        f->set.hi = number;
}

// Unpacks the first row at or after `number`. ERR_NOT_FOUND: there is none.
static enum err row_after(struct query *q, struct cursor *c, uint64_t number, Wire__Row **ret)
{
    struct key k = { .n = 0 };
    if (!cursor_seek(c, key_u64(&k, number)))
        return c->err ? c->err : ERR_NOT_FOUND;
    *ret = wire__row__unpack(arena_allocator(q->arena), c->value.n, c->value.p);
    return *ret ? ERR_OK : ERR_CORRUPT;
}

// The number of the first row of that time or later; newest + 1: there is none. Time never goes back along numbers.
static enum err first_at(struct query *q, uint64_t time_ms, uint64_t *ret)
{
    uint64_t lo = q->oldest, hi = q->newest + 1;
    struct cursor c;
    enum err e = cursor_open(&c, q->txn, DB_LOG, NULL);
    if (e)
        return e;
    while (lo < hi && !e) { // rows below lo are earlier, hi and those above it are not
        uint64_t middle = lo + (hi - lo) / 2;
        Wire__Row *row;
        e = row_after(q, &c, middle, &row);
        if (e == ERR_NOT_FOUND || (!e && row->number >= hi)) { // a hole up to hi
            hi = middle;
            e = ERR_OK;
        } else if (!e && row->time_ms < time_ms) {
            lo = row->number + 1;
        } else if (!e) {
            hi = middle;
        }
    }
    cursor_close(&c);
    *ret = lo;
    return e;
}

static enum err get_row(struct query *q, uint64_t number, struct slice *ret)
{
    struct key k = { .n = 0 };
    enum err e = store_get(q->txn, DB_LOG, key_u64(&k, number), ret);
    return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
}

static enum err keep(struct query *q, struct slice s, ProtobufCBinaryData *ret)
{
    uint8_t *copy = arena_alloc(q->arena, s.n); // the transaction ends before it is packed
    if (!copy)
        return ERR_NO_MEMORY;
    memcpy(copy, s.p, s.n);
    *ret = (ProtobufCBinaryData){ s.n, copy };
    return ERR_OK;
}

// ---------------------------------------------------------------- events

static uint8_t fold(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

// ASCII letters fold; anything else must be the same octets.
static bool octets_contain(struct slice s, const char *q, size_t n)
{
    uint8_t low = fold((uint8_t)*q), up = low >= 'a' && low <= 'z' ? (uint8_t)(low & ~0x20) : low;
    for (size_t i = 0; i + n <= s.n; i++) {
        if (s.p[i] != low && s.p[i] != up)
            continue;
        size_t k = 1;
        while (k < n && fold(s.p[i + k]) == fold((uint8_t)q[k]))
            k++;
        if (k == n)
            return true;
    }
    return false;
}

static bool texts_contain(const Wire__Row *r, const char *q)
{
    const char *const texts[] = { r->title, r->actor, r->name, r->failure_text, r->field, r->old_value, r->new_value, r->feedback,
                                  r->resolved_by, r->text, r->assignee, r->alert_type, r->error };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcasestr(texts[i], q))
            return true;
    return false;
}

static bool has_id(const uint64_t *ids, size_t n, uint64_t id)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return n == 0;
}

// What the lists do not say by themselves. A row that does not hold the text somewhere in its octets need not be unpacked.
static enum err matches(struct query *q, const Wire__EventList *l, struct slice s, bool *ret)
{
    size_t n = strlen(l->q);
    *ret = n == 0 || octets_contain(s, l->q, n);
    if (!*ret || (!n && !l->entity && (!l->n_agents || !l->n_desktops)))
        return ERR_OK;
    Wire__Row *row = wire__row__unpack(arena_allocator(q->arena), s.n, s.p);
    if (!row)
        return ERR_CORRUPT;
    *ret = (!n || texts_contain(row, l->q)) && has_id(l->desktops, l->n_desktops, row->desktop) &&
           has_id(l->agents, l->n_agents, row->agent ? row->agent : event_entity(row->row) == ENTITY_AGENT ? row->entity : 0);
    return ERR_OK;
}

// The narrowest lists there are; what they leave open is looked at row by row (matches).
static enum err event_lists(struct filter *f, const Wire__EventList *l)
{
    enum err e = ERR_OK;
    if (l->entity)
        return filter_add(f, posting_by_id(POSTING_ENTITY, f->q->workspace, l->entity, l->entity_kind));
    if (l->n_agents)
        return filter_add_ids(f, POSTING_AGENT, l->agents, l->n_agents);
    if (l->n_desktops)
        return filter_add_ids(f, POSTING_DESKTOP, l->desktops, l->n_desktops);
    for (unsigned k = 1; k < ROW_COUNT && !e; k++)
        if (f->kind[k])
            e = filter_add(f, posting_by_kind(f->q->workspace, k));
    return e;
}

static enum err event_numbers(struct filter *f, const Wire__EventList *l)
{
    uint64_t n;
    enum err e = ERR_OK;
    if (l->before)
        below(f, l->before);
    if (l->from_ms) {
        e = first_at(f->q, l->from_ms, &n);
        if (!e)
            not_below(f, n);
    }
    if (!e && l->to_ms) {
        e = first_at(f->q, l->to_ms, &n);
        if (!e)
            below(f, n);
    }
    return e;
}

static enum err event_page(struct filter *f, const Wire__EventList *l, Wire__EventPage *out)
{
    uint32_t limit = limit_of(l->limit, LIST_MAX), seen = 0;
    size_t octets = 0;
    struct posting_walk w;
    uint64_t number, last = 0;
    unsigned kind;
    out->rows = arena_alloc(f->q->arena, limit * sizeof *out->rows);
    enum err e = out->rows ? posting_walk_open(&w, &f->set) : ERR_NO_MEMORY;
    if (e)
        return e;
    while (!e && posting_walk_next(&w, &number, &kind)) {
        struct slice s;
        bool is = kind < ROW_COUNT && f->kind[kind];
        if (out->n_rows == limit || octets >= PAGE_OCTETS || seen == SCAN_MAX) {
            out->next_before = last;
            break;
        }
        seen++;
        last = number;
        e = is ? get_row(f->q, number, &s) : ERR_OK;
        if (!e && is)
            e = matches(f->q, l, s, &is);
        if (!e && is)
            e = keep(f->q, s, &out->rows[out->n_rows++]);
        octets += !e && is ? s.n : 0;
    }
    if (!e)
        e = w.err;
    posting_walk_close(&w);
    return e;
}

enum err query_event_list(struct query *q, const Wire__EventList *l, Wire__Answer *a)
{
    MAKE(q, Wire__EventPage, WIRE__EVENT_PAGE__INIT, out);
    struct filter f;
    a->body_case = WIRE__ANSWER__BODY_EVENT_PAGE;
    a->event_page = out;
    if (l->n_desktops > IDS_MAX || l->n_agents > IDS_MAX)
        return ERR_BAD_REQUEST;
    filter_init(&f, q, VIEW_FEED, l->kinds, l->n_kinds);
    enum err e = event_lists(&f, l);
    if (!e)
        e = event_numbers(&f, l);
    return e ? e : event_page(&f, l, out);
}

// ---------------------------------------------------------------- activities

static enum err activity_lists(struct filter *f, const char *actor)
{
    enum err e = ERR_OK;
    for (unsigned k = 1; k < ROW_COUNT && !e; k++)
        if (f->kind[k])
            e = filter_add(f, *actor ? posting_by_actor(f->q->workspace, actor, k) : posting_by_kind(f->q->workspace, k));
    return e;
}

// Times are shown in whole seconds, and who polls by them goes on from the newest he saw: a second that is not over, or for which a
// row may still be on its way into the store, has to wait, or he would never see what comes into it later.
static enum err activity_numbers(struct filter *f, const Wire__ActivityList *l)
{
    enum { SECOND_MS = 1000 };
    uint64_t n, over_ms = f->q->settled_ms / SECOND_MS * SECOND_MS;
    if (l->after)
        not_below(f, l->after < UINT64_MAX ? l->after + 1 : l->after);
    if (l->before)
        below(f, l->before);
    if (!l->has_since)
        return ERR_OK;
    enum err e = first_at(f->q, l->since < over_ms / SECOND_MS ? (l->since + 1) * SECOND_MS : over_ms, &n);
    if (e)
        return e;
    not_below(f, n);
    e = first_at(f->q, over_ms, &n);
    if (!e)
        below(f, n);
    return e;
}

static enum err activity(struct query *q, uint64_t number, Wire__Activity **ret)
{
    MAKE(q, Wire__Activity, WIRE__ACTIVITY__INIT, o);
    struct slice s;
    enum err e = get_row(q, number, &s);
    if (!e)
        e = keep(q, s, &o->row);
    if (e)
        return e;
    Wire__Row *row = wire__row__unpack(arena_allocator(q->arena), s.n, s.p);
    *ret = o;
    return row ? query_audit_entity(q, row, &o->entity) : ERR_CORRUPT;
}

static enum err activity_page(struct query *q, const struct posting_set *set, uint64_t skip, uint32_t limit, Wire__Activities *out)
{
    struct posting_walk w;
    size_t octets = 0;
    uint64_t number;
    unsigned kind;
    out->activities = arena_alloc(q->arena, limit * sizeof *out->activities);
    enum err e = out->activities ? posting_walk_open(&w, set) : ERR_NO_MEMORY;
    if (e)
        return e;
    while (!e && !out->cut && out->n_activities < limit && posting_walk_next(&w, &number, &kind)) {
        if (skip) {
            skip--;
            continue;
        }
        if (octets >= PAGE_OCTETS) {
            out->cut = true;
            break;
        }
        Wire__Activity *o;
        e = activity(q, number, &o);
        if (e)
            break;
        octets += o->row.len + 100;
        out->activities[out->n_activities++] = o;
    }
    if (!e)
        e = w.err;
    posting_walk_close(&w);
    return e;
}

enum err query_activity_list(struct query *q, const Wire__ActivityList *l, Wire__Answer *a)
{
    MAKE(q, Wire__Activities, WIRE__ACTIVITIES__INIT, out);
    struct filter f;
    uint64_t left = 0;
    a->body_case = WIRE__ANSWER__BODY_ACTIVITIES;
    a->activities = out;
    filter_init(&f, q, VIEW_ACTIVITIES, l->kinds, l->n_kinds);
    enum err e = activity_lists(&f, l->actor);
    if (!e)
        e = activity_numbers(&f, l);
    if (!e)
        e = posting_total(&f.set, &out->total);
    if (e || l->offset >= out->total)
        return e;
    e = posting_skip(&f.set, out->total, l->offset, &left);
    if (!e)
        e = activity_page(q, &f.set, left, limit_of(l->limit, LIST_MAX), out);
    out->more = l->offset + out->n_activities < out->total;
    return e;
}

// ---------------------------------------------------------------- statistics

enum { ACTORS_SHOWN = 10 };

struct actor {
    uint64_t count, newest; // of its rows
};

static bool more_active(const struct actor *x, const struct actor *y)
{
    return x->count != y->count ? x->count > y->count : x->newest > y->newest;
}

// Puts it among the most active if it belongs there.
static void rank_actor(struct actor top[ACTORS_SHOWN], unsigned *n, const struct actor *x)
{
    unsigned at = *n;
    if (!x->count)
        return;
    if (*n == ACTORS_SHOWN && !more_active(x, &top[--at]))
        return;
    for (; at > 0 && more_active(x, &top[at - 1]); at--)
        top[at] = top[at - 1];
    top[at] = *x;
    if (*n < ACTORS_SHOWN)
        ++*n;
}

// lo: the window's first number. Two cursors: one goes from list to list, the other looks into them.
static enum err top_actors(struct query *q, uint64_t lo, struct actor top[ACTORS_SHOWN], unsigned *ret_n)
{
    struct posting_list l = { .workspace = q->workspace, .family = POSTING_ACTOR };
    struct actor x = { 0, 0 };
    struct cursor c, look;
    uint64_t a = 0, b = 0;
    *ret_n = 0;
    enum err e = cursor_open(&c, q->txn, DB_POSTING, NULL);
    if (e)
        return e;
    e = cursor_open(&look, q->txn, DB_POSTING, NULL);
    while (!e && posting_next_list(&c, &l)) {
        uint64_t n, newest;
        if (l.a != a || l.b != b) {
            rank_actor(top, ret_n, &x);
            x = (struct actor){ 0, 0 };
            a = l.a;
            b = l.b;
        }
        e = posting_since(&look, &l, lo, &n, &newest);
        if (!e && n) {
            x.count += n;
            x.newest = newest > x.newest ? newest : x.newest;
        }
    }
    rank_actor(top, ret_n, &x);
    if (!e)
        e = c.err;
    cursor_close(&look);
    cursor_close(&c);
    return e;
}

// The names stand in the rows.
static enum err show_actors(struct query *q, const struct actor *top, unsigned n, Wire__ActivityCounts *out)
{
    out->actors = arena_alloc(q->arena, ACTORS_SHOWN * sizeof *out->actors);
    if (!out->actors)
        return ERR_NO_MEMORY;
    for (unsigned i = 0; i < n; i++) {
        MAKE(q, Wire__ActorCount, WIRE__ACTOR_COUNT__INIT, o);
        struct slice s;
        enum err e = get_row(q, top[i].newest, &s);
        Wire__Row *row = e ? NULL : wire__row__unpack(arena_allocator(q->arena), s.n, s.p);
        if (!row)
            return e ? e : ERR_CORRUPT;
        o->name = row->actor;
        o->count = top[i].count;
        out->actors[out->n_actors++] = o;
    }
    return ERR_OK;
}

static enum err kind_counts(struct query *q, uint64_t lo, Wire__ActivityCounts *out)
{
    struct cursor c;
    out->kinds = arena_alloc(q->arena, ROW_COUNT * sizeof *out->kinds);
    enum err e = out->kinds ? cursor_open(&c, q->txn, DB_POSTING, NULL) : ERR_NO_MEMORY;
    if (e)
        return e;
    for (unsigned k = 1; k < ROW_COUNT && !e; k++) {
        struct posting_list l = posting_by_kind(q->workspace, k);
        uint64_t n, newest;
        if (!event_type(k, VIEW_ACTIVITIES))
            continue;
        e = posting_since(&c, &l, lo, &n, &newest);
        if (e || !n)
            continue;
        Wire__KindCount *o = arena_alloc(q->arena, sizeof *o);
        if (!o) {
            e = ERR_NO_MEMORY;
            break;
        }
        *o = (Wire__KindCount)WIRE__KIND_COUNT__INIT;
        o->kind = k;
        o->count = n;
        out->kinds[out->n_kinds++] = o;
    }
    cursor_close(&c);
    return e;
}

// Whole hours up to and with this one: of the broker's clock, or of the newest row's if the clock was set back.
enum err query_activity_stats(struct query *q, const Wire__ActivityStats *m, Wire__Answer *a)
{
    enum { HOURS_MAX = 8760, HOURS_DEFAULT = 24 };
    MAKE(q, Wire__ActivityCounts, WIRE__ACTIVITY_COUNTS__INIT, out);
    struct actor top[ACTORS_SHOWN];
    unsigned n = 0;
    uint64_t hours = m->hours ? m->hours < HOURS_MAX ? m->hours : HOURS_MAX : HOURS_DEFAULT;
    uint64_t this_hour = (q->settled_ms > q->now_ms ? q->settled_ms : q->now_ms) / STATS_HOUR_MS;
    uint64_t first = this_hour >= hours ? this_hour - hours + 1 : 0, number;
    a->body_case = WIRE__ANSWER__BODY_ACTIVITY_COUNTS;
    a->activity_counts = out;
    out->window = (uint32_t)hours;
    enum err e = first_at(q, first * STATS_HOUR_MS, &number);
    if (!e)
        e = kind_counts(q, number, out);
    if (!e)
        e = top_actors(q, number, top, &n);
    if (!e)
        e = show_actors(q, top, n, out);
    return e ? e : stats_read(q->txn, q->arena, q->workspace, first, &out->hours, &out->n_hours);
}
