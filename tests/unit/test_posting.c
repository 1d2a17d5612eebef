// links: broker common lmdb xxhash protobuf-c sodium jansson uv systemd nng fail_store
// Posting lists and hours against a model that looks at every row: random rows in random turns, some of them taken away again from the
// front; totals, offsets and walks of random unions over random ranges. Then the decoder, on octets that are none. Then a store of the
// layout before, brought to this one in steps that are cut off.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "apply.h"
#include "arena.h"
#include "crypto.h"
#include "event.h"
#include "fail_store.h"
#include "log.h"
#include "migrate.h"
#include "posting.h"
#include "query_parts.h"
#include "rnd.h"
#include "stats.h"
#include "temp_dir.h"

// ---------------------------------------------------------------- a store, and what is in it

static struct {
    char dir[TEMP_DIR_MAX];
    struct store *store;
    struct arena arena;
} stage;

static void stage_open(void)
{
    assert_true(temp_dir_make(stage.dir, "pst"));
    assert_int_equal(store_open(stage.dir, 256 << 20, false, &stage.store), ERR_OK);
    arena_init(&stage.arena, 256 << 20);
}

static void stage_close(void)
{
    store_close(stage.store);
    arena_fini(&stage.arena);
    (void)temp_dir_drop(stage.dir);
}

enum { ROWS_MAX = 40000 };
static const uint64_t START_MS = 1767225600000; // 2026-01-01
struct model_row {
    uint64_t number, workspace, time_ms, desktop, agent, entity;
    unsigned row, actor;
};
static struct model_row model[ROWS_MAX];
static size_t first_row, n_rows; // model[first_row..n_rows) are kept

static char *const actors[] = { (char[]){ "admin" }, (char[]){ "local" }, (char[]){ "system" }, (char[]){ "" }, (char[]){ "Ünï" } };
enum { ACTORS = sizeof actors / sizeof *actors, DESKTOPS = 4 };

static Wire__Row row_of(const struct model_row *m)
{
    Wire__Row r = WIRE__ROW__INIT;
    r.number = m->number;
    r.workspace = m->workspace;
    r.time_ms = m->time_ms;
    r.row = m->row;
    r.actor = actors[m->actor];
    r.desktop = m->desktop;
    r.agent = m->agent;
    r.entity = m->entity;
    return r;
}

static const struct model_row *new_row(void)
{
    struct model_row *m = &model[n_rows];
    const struct model_row *last = n_rows ? &model[n_rows - 1] : NULL;
    *m = (struct model_row){ .number = 1, .workspace = 1 + (rnd(8) == 0), .time_ms = START_MS, .actor = (unsigned)rnd(ACTORS) };
    if (last) {
        m->number = last->number + 1 + (rnd(50) == 0 ? rnd(1000000) : 0) + (rnd(5000) == 0 ? (uint64_t)1 << 32 : 0);
        m->time_ms = last->time_ms + rnd(4000);
    }
    m->row = rnd(3) ? ROW_TASK_CREATED + (unsigned)rnd(3) : 1 + (unsigned)rnd(ROW_COUNT - 1);
    m->desktop = rnd(DESKTOPS);
    m->agent = m->desktop;
    bool made = m->row == ROW_TASK_CREATED || m->row == ROW_SESSION_STARTED; // once in an object's life, and first
    m->entity = made || !last ? 1 + n_rows : model[rnd(4) ? n_rows - 1 - rnd(n_rows < 30 ? n_rows : 30) : rnd(n_rows)].entity;
    if (!made && n_rows > 100 && rnd(4) == 0)
        m->entity = 5; // an object with a long history
    n_rows++;
    return m;
}

static struct txn *writing(void)
{
    struct txn *t;
    arena_reset(&stage.arena);
    assert_int_equal(store_begin(stage.store, true, &t), ERR_OK);
    return t;
}

static void put_row(struct txn *t, const struct model_row *m)
{
    Wire__Row r = row_of(m);
    uint8_t packed[512];
    struct key k = { .n = 0 };
    assert_int_equal(store_append(t, DB_LOG, key_u64(&k, m->number), packed, wire__row__pack(&r, packed)), ERR_OK);
}

// n new rows, in one transaction.
static void play_turn(size_t n)
{
    struct postings p = { 0 };
    struct stats s = { 0 };
    struct txn *t = writing();
    for (size_t i = 0; i < n && n_rows < ROWS_MAX; i++) {
        const struct model_row *m = new_row();
        Wire__Row r = row_of(m);
        put_row(t, m);
        assert_int_equal(postings_row(&p, &stage.arena, &r), ERR_OK);
        assert_int_equal(stats_row(&s, &stage.arena, &r, 1), ERR_OK);
    }
    assert_int_equal(postings_flush(&p, t), ERR_OK);
    assert_int_equal(stats_flush(&s, t, &stage.arena), ERR_OK);
    assert_int_equal(store_commit(t), ERR_OK);
}

static void play_trim(size_t n)
{
    struct postings gone = { 0 };
    struct stats s = { 0 };
    struct txn *t = writing();
    for (size_t i = 0; i < n && first_row < n_rows; i++) {
        Wire__Row r = row_of(&model[first_row]);
        struct key k = { .n = 0 };
        assert_int_equal(store_del(t, DB_LOG, key_u64(&k, r.number)), ERR_OK);
        assert_int_equal(postings_row(&gone, &stage.arena, &r), ERR_OK);
        assert_int_equal(stats_row(&s, &stage.arena, &r, -1), ERR_OK);
        first_row++;
    }
    uint64_t oldest = first_row < n_rows ? model[first_row].number : model[n_rows - 1].number + 1;
    assert_int_equal(postings_trim(&gone, t, oldest), ERR_OK);
    assert_int_equal(stats_flush(&s, t, &stage.arena), ERR_OK);
    assert_int_equal(store_commit(t), ERR_OK);
}

// ---------------------------------------------------------------- the model's answers

static uint64_t agent_of(const struct model_row *m)
{
    return m->agent ? m->agent : event_entity(m->row) == ENTITY_AGENT ? m->entity : 0;
}

// What the header says of each family, said once more.
static bool in_list(const struct model_row *m, const struct posting_list *l)
{
    bool feed = event_type(m->row, VIEW_FEED), activities = event_type(m->row, VIEW_ACTIVITIES);
    if (m->workspace != l->workspace || (l->family != POSTING_ENTITY && m->row != l->kind))
        return false;
    switch (l->family) {
    case POSTING_KIND: return feed || activities;
    case POSTING_ACTOR: {
        struct posting_list own = posting_by_actor(m->workspace, actors[m->actor], m->row);
        return activities && own.a == l->a && own.b == l->b;
    }
    case POSTING_DESKTOP: return feed && m->desktop == l->a;
    case POSTING_AGENT: return feed && agent_of(m) == l->a;
    default:
        return feed && (l->kind == ENTITY_TASK || l->kind == ENTITY_SESSION || l->kind == ENTITY_AGENT) && event_entity(m->row) == l->kind &&
               m->entity == l->a;
    }
}

static const struct model_row *wanted[ROWS_MAX]; // newest first
static size_t n_wanted;

static void want(const struct posting_set *s)
{
    n_wanted = 0;
    for (size_t i = n_rows; i-- > first_row;) {
        bool in = false;
        for (unsigned k = 0; k < s->n && !in; k++)
            in = in_list(&model[i], &s->lists[k]);
        if (in && model[i].number >= s->lo && model[i].number < s->hi)
            wanted[n_wanted++] = &model[i];
    }
}

static uint64_t some_number(void)
{
    return rnd(4) ? model[first_row + rnd(n_rows - first_row)].number + rnd(3) - 1 : rnd(model[n_rows - 1].number + 2);
}

// A union of lists without a row in common: some kinds, of one family.
static unsigned some_lists(struct posting_list out[ROW_COUNT])
{
    uint64_t workspace = 1 + (rnd(6) == 0), id = 1 + rnd(DESKTOPS), actor = rnd(ACTORS), which = rnd(5);
    unsigned n = 0;
    if (which == 4) {
        uint64_t object = rnd(3) == 0 ? 5 : model[first_row + rnd(n_rows - first_row)].entity;
        out[n++] = posting_by_id(POSTING_ENTITY, workspace, object, rnd(3) ? ENTITY_TASK : ENTITY_SESSION);
        return n;
    }
    for (unsigned k = 1; k < ROW_COUNT; k++) {
        if (rnd(3) == 0)
            continue;
        out[n++] = which == 0   ? posting_by_kind(workspace, k)
                   : which == 1 ? posting_by_actor(workspace, actors[actor], k)
                   : which == 2 ? posting_by_id(POSTING_DESKTOP, workspace, id, k)
                                : posting_by_id(POSTING_AGENT, workspace, id, k);
    }
    return n;
}

static void compare_walk(const struct posting_set *s, uint64_t left, size_t from, size_t most)
{
    struct posting_walk w;
    uint64_t number;
    unsigned kind;
    assert_int_equal(posting_walk_open(&w, s), ERR_OK);
    while (left && posting_walk_next(&w, &number, &kind))
        left--;
    for (size_t i = from; i < from + most; i++) {
        bool on = posting_walk_next(&w, &number, &kind);
        assert_int_equal(on, i < n_wanted);
        if (!on)
            break;
        assert_int_equal(number, wanted[i]->number);
        assert_int_equal(kind, wanted[i]->row);
    }
    assert_int_equal(w.err, ERR_OK);
    posting_walk_close(&w);
}

static void compare_one(struct txn *t)
{
    struct posting_list lists[ROW_COUNT];
    uint64_t oldest = model[first_row].number, newest = model[n_rows - 1].number, total, left;
    struct posting_set s = { .txn = t, .arena = &stage.arena, .lists = lists, .lo = oldest, .hi = newest + 1 };
    s.n = some_lists(lists);
    if (rnd(2)) {
        uint64_t lo = some_number();
        s.lo = lo > oldest ? lo : oldest;
    }
    if (rnd(2))
        s.hi = some_number();
    want(&s);
    assert_int_equal(posting_total(&s, &total), ERR_OK);
    assert_int_equal(total, n_wanted);
    compare_walk(&s, 0, 0, rnd(3) ? 20 : ROWS_MAX);
    size_t skip = n_wanted ? rnd(n_wanted + 2) : rnd(3);
    if (skip >= total)
        return;
    assert_int_equal(posting_skip(&s, total, skip, &left), ERR_OK);
    assert_true(left <= 512);
    compare_walk(&s, left, skip, 30);
}

static void compare_hours(struct txn *t)
{
    uint64_t workspace = 1 + rnd(2), from = model[first_row].time_ms / STATS_HOUR_MS + rnd(5);
    Wire__HourCount **hours;
    size_t n, seen = 0;
    assert_int_equal(stats_read(t, &stage.arena, workspace, from, &hours, &n), ERR_OK);
    uint64_t hour = 0, count = 0;
    for (size_t i = first_row; i <= n_rows; i++) {
        const struct model_row *m = i < n_rows ? &model[i] : NULL;
        if (m && (m->workspace != workspace || !event_type(m->row, VIEW_ACTIVITIES) || m->time_ms / STATS_HOUR_MS < from))
            continue;
        if (count && (!m || m->time_ms / STATS_HOUR_MS != hour)) {
            assert_true(seen < n);
            assert_int_equal(hours[seen]->hour, hour);
            assert_int_equal(hours[seen++]->count, count);
            count = 0;
        }
        if (m) {
            hour = m->time_ms / STATS_HOUR_MS;
            count++;
        }
    }
    assert_int_equal(seen, n);
}

// Every actor's every kind that has an entry left, once, in order.
static void compare_lists(struct txn *t)
{
    struct posting_list l = { .workspace = 1, .family = POSTING_ACTOR }, before = l;
    struct cursor c, look;
    unsigned n = 0, known = 0;
    assert_int_equal(cursor_open(&c, t, DB_POSTING, NULL), ERR_OK);
    assert_int_equal(cursor_open(&look, t, DB_POSTING, NULL), ERR_OK);
    while (posting_next_list(&c, &l)) {
        struct posting_set s = { .txn = t, .arena = &stage.arena, .lists = &l, .n = 1, .lo = model[first_row].number, .hi = UINT64_MAX };
        uint64_t total, newest, lo = some_number(), n_since;
        assert_true(l.a > before.a || (l.a == before.a && (l.b > before.b || (l.b == before.b && l.kind > before.kind))));
        before = l;
        want(&s);
        assert_int_equal(posting_total(&s, &total), ERR_OK);
        assert_int_equal(total, n_wanted);
        assert_true(n_wanted > 0);
        s.lo = lo > s.lo ? lo : s.lo;
        want(&s);
        assert_int_equal(posting_since(&look, &l, s.lo, &n_since, &newest), ERR_OK);
        assert_int_equal(n_since, n_wanted);
        assert_int_equal(newest, n_wanted ? wanted[0]->number : 0);
        n++;
    }
    assert_int_equal(c.err, ERR_OK);
    cursor_close(&look);
    cursor_close(&c);
    for (unsigned k = 1; k < ROW_COUNT; k++)
        for (unsigned i = 0; i < ACTORS; i++) {
            struct posting_list one = posting_by_actor(1, actors[i], k);
            struct posting_set s = { .lists = &one, .n = 1, .lo = 0, .hi = UINT64_MAX };
            want(&s);
            known += n_wanted > 0;
        }
    assert_int_equal(n, known);
}

static void compare(unsigned many)
{
    struct txn *t;
    arena_reset(&stage.arena);
    assert_int_equal(store_begin(stage.store, false, &t), ERR_OK);
    for (unsigned i = 0; i < many; i++)
        compare_one(t);
    compare_hours(t);
    store_abort(t);
}

// ---------------------------------------------------------------- the queries themselves

static void set_meta(uint32_t schema)
{
    struct txn *t = writing();
    struct key k = { .n = 0 };
    Rec__Meta *m;
    assert_int_equal(meta_read(t, &stage.arena, &m), ERR_OK);
    m->schema = schema;
    m->oldest = n_rows ? model[first_row].number : 1;
    m->newest = n_rows ? model[n_rows - 1].number : 0;
    assert_int_equal(rec_put(t, &stage.arena, DB_META, key_u8(&k, 1), m), ERR_OK);
    assert_int_equal(store_commit(t), ERR_OK);
}

static bool among(const uint64_t *ids, size_t n, uint64_t id)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return n == 0;
}

static bool kind_among(const uint32_t *kinds, size_t n, unsigned kind)
{
    for (size_t i = 0; i < n; i++)
        if (kinds[i] == kind)
            return true;
    return n == 0;
}

static bool event_wanted(const struct model_row *m, const struct query *q, const Wire__EventList *l)
{
    if (m->workspace != q->workspace || !event_type(m->row, VIEW_FEED) || !kind_among(l->kinds, l->n_kinds, m->row))
        return false;
    if (l->entity && (event_entity(m->row) != l->entity_kind || m->entity != l->entity))
        return false;
    if (!among(l->desktops, l->n_desktops, m->desktop) || !among(l->agents, l->n_agents, agent_of(m)))
        return false;
    return (!l->before || m->number < l->before) && m->time_ms >= l->from_ms && (!l->to_ms || m->time_ms < l->to_ms) &&
           strcasestr(actors[m->actor], l->q);
}

static uint64_t some_time(void)
{
    return model[first_row + rnd(n_rows - first_row)].time_ms + rnd(3) - 1;
}

// Page after page until there is no more; together they are what the model has.
static void compare_events(struct query *q)
{
    char *const texts[] = { (char[]){ "" }, (char[]){ "" }, (char[]){ "MIN" }, (char[]){ "Ünï" }, (char[]){ "nowhere" } };
    Wire__EventList l = WIRE__EVENT_LIST__INIT;
    uint64_t desktops[3] = { 1 + rnd(3), 1 + rnd(5), 2 }, agents[3] = { 1 + rnd(3), 1 + rnd(200), 1 };
    uint32_t kinds[8];
    size_t at = n_rows;
    for (unsigned i = 0; i < 8; i++)
        kinds[i] = (uint32_t)rnd(ROW_COUNT + 2);
    kinds[0] = ROW_TASK_CREATED;
    l.kinds = kinds;
    l.n_kinds = rnd(2) ? rnd(9) : 0;
    l.desktops = desktops;
    l.n_desktops = rnd(3) ? 0 : rnd(4);
    l.agents = agents;
    l.n_agents = rnd(3) ? 0 : rnd(4);
    if (rnd(4) == 0) {
        l.entity = rnd(2) ? 5 : model[first_row + rnd(n_rows - first_row)].entity;
        l.entity_kind = rnd(2) ? ENTITY_TASK : rnd(2) ? ENTITY_SESSION : ENTITY_AGENT;
    }
    l.before = rnd(3) ? 0 : some_number();
    l.from_ms = rnd(3) ? 0 : some_time();
    l.to_ms = rnd(3) ? 0 : some_time();
    l.q = texts[rnd(5)];
    l.limit = (uint32_t)(1 + rnd(rnd(2) ? 500 : 60));
    for (bool more = true; more;) {
        Wire__Answer a = WIRE__ANSWER__INIT;
        arena_reset(q->arena);
        assert_int_equal(query_event_list(q, &l, &a), ERR_OK);
        assert_true(a.event_page->n_rows <= l.limit);
        for (size_t i = 0; i < a.event_page->n_rows; i++) {
            Wire__Row *r = wire__row__unpack(arena_allocator(q->arena), a.event_page->rows[i].len, a.event_page->rows[i].data);
            do
                assert_true(at-- > first_row);
            while (!event_wanted(&model[at], q, &l));
            assert_int_equal(r->number, model[at].number);
        }
        more = a.event_page->next_before != 0;
        assert_true(!more || !l.before || a.event_page->next_before < l.before);
        l.before = more ? a.event_page->next_before : l.before;
    }
    while (at-- > first_row)
        assert_false(event_wanted(&model[at], q, &l));
}

static void compare_activities(struct query *q)
{
    Wire__ActivityList l = WIRE__ACTIVITY_LIST__INIT;
    Wire__Answer a = WIRE__ANSWER__INIT;
    uint32_t kinds[6];
    size_t n = 0;
    for (unsigned i = 0; i < 6; i++)
        kinds[i] = (uint32_t)rnd(ROW_COUNT + 2);
    kinds[0] = ROW_TASK_CREATED;
    l.kinds = kinds;
    l.n_kinds = rnd(2) ? rnd(7) : 0;
    l.actor = rnd(2) ? actors[rnd(ACTORS)] : actors[3];
    l.has_since = rnd(3) == 0;
    l.since = l.has_since ? some_time() / 1000 - rnd(2) : 0;
    l.after = rnd(4) ? 0 : some_number();
    l.before = rnd(4) ? 0 : some_number();
    l.limit = (uint32_t)(1 + rnd(100));
    q->settled_ms = some_time();
    for (size_t i = n_rows; i-- > first_row;) {
        const struct model_row *m = &model[i];
        uint64_t second = m->time_ms / 1000;
        if (m->workspace == q->workspace && event_type(m->row, VIEW_ACTIVITIES) && kind_among(l.kinds, l.n_kinds, m->row) &&
            (!*l.actor || strcmp(l.actor, actors[m->actor]) == 0) && m->number > l.after && (!l.before || m->number < l.before) &&
            (!l.has_since || (second > l.since && second < q->settled_ms / 1000)))
            wanted[n++] = m;
    }
    l.offset = n && rnd(2) ? rnd(n + 2) : 0;
    arena_reset(q->arena);
    assert_int_equal(query_activity_list(q, &l, &a), ERR_OK);
    const Wire__Activities *page = a.activities;
    size_t left = l.offset < n ? n - l.offset : 0;
    assert_int_equal(page->total, n);
    assert_int_equal(page->n_activities, left < l.limit ? left : l.limit);
    assert_int_equal(page->more, l.offset + page->n_activities < n);
    assert_false(page->cut);
    for (size_t i = 0; i < page->n_activities; i++) {
        Wire__Row *r = wire__row__unpack(arena_allocator(q->arena), page->activities[i]->row.len, page->activities[i]->row.data);
        assert_int_equal(r->number, wanted[l.offset + i]->number);
        assert_null(page->activities[i]->entity); // there are only rows in this store
    }
}

static void compare_statistics(struct query *q)
{
    Wire__ActivityStats m = WIRE__ACTIVITY_STATS__INIT;
    Wire__Answer a = WIRE__ANSWER__INIT;
    uint64_t kinds[ROW_COUNT] = { 0 }, by[ACTORS] = { 0 }, hours = 0, listed = 0;
    m.hours = (uint32_t)(1 + rnd(30));
    q->settled_ms = q->now_ms = some_time();
    arena_reset(q->arena);
    assert_int_equal(query_activity_stats(q, &m, &a), ERR_OK);
    uint64_t first = q->now_ms / STATS_HOUR_MS - m.hours + 1;
    for (size_t i = first_row; i < n_rows; i++)
        if (model[i].workspace == q->workspace && event_type(model[i].row, VIEW_ACTIVITIES) && model[i].time_ms / STATS_HOUR_MS >= first) {
            kinds[model[i].row]++;
            by[model[i].actor]++;
            hours++;
        }
    const Wire__ActivityCounts *c = a.activity_counts;
    for (size_t i = 0; i < c->n_kinds; i++)
        assert_int_equal(c->kinds[i]->count, kinds[c->kinds[i]->kind]);
    for (unsigned k = 0; k < ROW_COUNT; k++)
        listed += kinds[k] != 0;
    assert_int_equal(listed, c->n_kinds);
    listed = 0;
    for (unsigned i = 0; i < ACTORS; i++)
        listed += by[i] != 0;
    assert_int_equal(listed, c->n_actors);
    for (size_t i = 0; i < c->n_actors; i++) {
        unsigned k = 0;
        while (k < ACTORS && strcmp(actors[k], c->actors[i]->name) != 0)
            k++;
        assert_true(k < ACTORS);
        assert_int_equal(c->actors[i]->count, by[k]);
        assert_true(i == 0 || c->actors[i]->count <= c->actors[i - 1]->count);
    }
    for (size_t i = 0; i < c->n_hours; i++)
        hours -= c->hours[i]->count;
    assert_int_equal(hours, 0);
}

static void queries(void **state)
{
    struct arena answers;
    struct query q = { .arena = &answers, .workspace = 1 };
    (void)state;
    arena_init(&answers, 128 << 20);
    for (uint64_t s = 1; s <= 3; s++) {
        seed = s * 15485863;
        first_row = n_rows = 0;
        stage_open();
        while (n_rows < 15000)
            play_turn(1 + rnd(300));
        if (s > 1)
            play_trim(1000 + rnd(3000));
        set_meta(STORE_SCHEMA);
        q.store = stage.store;
        assert_int_equal(query_begin(&q), ERR_OK);
        for (int i = 0; i < 150; i++) {
            q.workspace = 1 + (rnd(5) == 0);
            compare_events(&q);
            compare_activities(&q);
            compare_statistics(&q);
        }
        query_end(&q);
        stage_close();
    }
    arena_fini(&answers);
}

static void random_rows(void **state)
{
    const char *given = getenv("SEED");
    (void)state;
    for (uint64_t s = 1; s <= 4; s++) {
        struct txn *t;
        seed = given ? strtoull(given, NULL, 10) : s * 104729;
        first_row = n_rows = 0;
        stage_open();
        while (n_rows < (s == 1 ? ROWS_MAX : 6000)) {
            play_turn(1 + (rnd(4) ? rnd(40) : rnd(3000)));
            if (rnd(6) == 0)
                play_trim(rnd(3) ? rnd(128) : rnd(n_rows - first_row));
            if (first_row == n_rows)
                play_turn(1);
            if (rnd(10) == 0)
                compare(4);
        }
        compare(60);
        arena_reset(&stage.arena);
        assert_int_equal(store_begin(stage.store, false, &t), ERR_OK);
        compare_lists(t);
        store_abort(t);
        stage_close();
    }
}

// ---------------------------------------------------------------- deep in a long list, and in a lopsided one

static void deep_offsets(void **state)
{
    struct posting_list l = posting_by_kind(1, ROW_TASK_CREATED);
    struct postings p = { 0 };
    enum { N = 200000 };
    (void)state;
    stage_open();
    struct txn *t = writing();
    for (uint64_t i = 1; i <= N; i++) { // numbers that a guess in proportion is wrong about
        Wire__Row r = WIRE__ROW__INIT;
        r.number = i < N / 2 ? i : i * i;
        r.workspace = 1;
        r.row = ROW_TASK_CREATED;
        r.actor = actors[0];
        assert_int_equal(postings_row(&p, &stage.arena, &r), ERR_OK);
    }
    assert_int_equal(postings_flush(&p, t), ERR_OK);
    for (uint64_t skip = 0; skip < N; skip += 7919) {
        struct posting_set s = { .txn = t, .arena = &stage.arena, .lists = &l, .n = 1, .lo = 1, .hi = (uint64_t)N * N + 1 };
        struct posting_walk w;
        uint64_t total, left, number;
        unsigned kind;
        assert_int_equal(posting_total(&s, &total), ERR_OK);
        assert_int_equal(total, N);
        assert_int_equal(posting_skip(&s, total, skip, &left), ERR_OK);
        assert_int_equal(posting_walk_open(&w, &s), ERR_OK);
        for (uint64_t i = 0; i <= left; i++)
            assert_true(posting_walk_next(&w, &number, &kind));
        posting_walk_close(&w);
        uint64_t i = N - skip;
        assert_int_equal(number, i < N / 2 ? i : i * i);
    }
    store_abort(t);
    stage_close();
}

// ---------------------------------------------------------------- octets that are no chunk

static void damaged(void **state)
{
    static struct posting_chunk c;
    struct posting_head h;
    (void)state;
    uint8_t good[] = { 5, 3, 130, 2, 1, 129, 2 }; // rank 5, 3 entries, span 258: 10, 11, 268
    assert_int_equal(posting_head(10, (struct slice){ good, sizeof good }, &h), ERR_OK);
    assert_int_equal(posting_unpack(&h, false, &c), ERR_OK);
    assert_int_equal(c.n, 3);
    assert_int_equal(c.off[1], 1);
    assert_int_equal(c.off[2], 258);
    for (size_t n = 0; n < sizeof good; n++) {
        enum err e = posting_head(10, (struct slice){ good, n }, &h);
        assert_true(e == ERR_CORRUPT || posting_unpack(&h, false, &c) == ERR_CORRUPT);
    }
    static const struct { uint8_t b[12]; size_t n; } bad[] = {
        { { 0, 0, 0 }, 3 },                                                              // no entry
        { { 0, 2, 1, 0 }, 4 },                                                           // the same number twice
        { { 0, 2, 2, 1 }, 4 },                                                           // another span than it says
        { { 0, 1, 0, 1 }, 4 },                                                           // something behind it
        { { 0, 129, 4, 0 }, 4 },                                                         // 513 entries
        { { 0, 2, 255, 255, 255, 255, 31, 1 }, 8 },                                      // a span that is too wide
        { { 255, 255, 255, 255, 255, 255, 255, 255, 255, 2, 1, 0 }, 12 },                // more than 64 bits
        { { 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 1, 0 }, 12 },                // a rank that has no next
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        enum err e = posting_head(10, (struct slice){ bad[i].b, bad[i].n }, &h);
        assert_true(e == ERR_CORRUPT || posting_unpack(&h, false, &c) == ERR_CORRUPT);
    }
    uint8_t wide[] = { 0, 2, 5, 5 };
    assert_int_equal(posting_head(UINT64_MAX - 2, (struct slice){ wide, sizeof wide }, &h), ERR_CORRUPT);
    seed = 99;
    for (int i = 0; i < 200000; i++) {
        uint8_t b[40];
        size_t n = rnd(sizeof b + 1);
        for (size_t k = 0; k < n; k++)
            b[k] = (uint8_t)(rnd(3) ? rnd(6) : rnd(256));
        if (posting_head(rnd(1000), (struct slice){ b, n }, &h) == ERR_OK && posting_unpack(&h, rnd(2), &c) == ERR_OK)
            for (uint32_t k = 1; k < c.n; k++)
                assert_true(c.off[k] > c.off[k - 1]);
    }
}

static void keys(void **state)
{
    const struct posting_list lists[] = { posting_by_kind(3, 7), posting_by_actor(1, "admin", 2), posting_by_id(POSTING_DESKTOP, 1, 9, 4),
                                          posting_by_id(POSTING_AGENT, 2, 9, 4), posting_by_id(POSTING_ENTITY, 1, 70000, ENTITY_TASK) };
    (void)state;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct posting_list l;
        struct key k;
        posting_key(&lists[i], &k);
        key_u64(&k, 12345);
        assert_true(posting_key_read(&k, &l));
        assert_true(l.workspace == lists[i].workspace && l.a == lists[i].a && l.b == lists[i].b);
        assert_true(l.family == lists[i].family && l.kind == lists[i].kind);
        for (size_t n = 0; n < k.n; n++) {
            struct key cut = k;
            cut.n = n;
            assert_false(posting_key_read(&cut, &l));
        }
        k.b[8] = 'Z';
        assert_false(posting_key_read(&k, &l));
    }
}

static void without_memory(void **state)
{
    struct postings p = { 0 };
    struct stats s = { 0 };
    struct arena a;
    enum err e = ERR_OK;
    (void)state;
    arena_init(&a, 0); // one chunk of 64 KiB
    for (uint64_t i = 1; i < 100000 && !e; i++) {
        struct model_row m = { .number = i, .workspace = 1, .row = ROW_TASK_CREATED, .time_ms = i * STATS_HOUR_MS, .entity = i };
        Wire__Row r = row_of(&m);
        e = postings_row(&p, &a, &r);
        if (!e)
            e = stats_row(&s, &a, &r, 1);
    }
    assert_int_equal(e, ERR_NO_MEMORY);
    arena_fini(&a);
}

// ---------------------------------------------------------------- a store that fails, or holds what is none

// What all the lists of workspace 1 say, of numbers lo..hi without the newest `skip`: totals and a sum of what is found.
static enum err look(struct txn *t, uint64_t lo, uint64_t hi, uint64_t skip, uint64_t *ret)
{
    enum { LISTS = 3 };
    const struct posting_list lists[LISTS] = { posting_by_kind(1, ROW_TASK_CREATED), posting_by_kind(1, ROW_TASK_STARTED),
                                               posting_by_id(POSTING_ENTITY, 1, 1, ENTITY_TASK) };
    uint64_t total, left, number, n, newest;
    unsigned kind;
    struct cursor c;
    *ret = 0;
    for (unsigned i = 0; i < LISTS; i++) {
        struct posting_set s = { .txn = t, .arena = &stage.arena, .lists = &lists[i], .n = 1, .lo = lo, .hi = hi };
        struct posting_walk w;
        enum err e = posting_total(&s, &total);
        if (!e)
            e = posting_skip(&s, total, skip, &left);
        if (!e)
            e = posting_walk_open(&w, &s);
        if (e)
            return e;
        *ret += total;
        while (posting_walk_next(&w, &number, &kind))
            *ret = *ret * 31 + number + kind;
        e = w.err;
        posting_walk_close(&w);
        if (!e)
            e = cursor_open(&c, t, DB_POSTING, NULL);
        if (e)
            return e;
        e = posting_since(&c, &lists[i], lo, &n, &newest);
        *ret = *ret * 31 + n + newest;
        cursor_close(&c);
        if (e)
            return e;
    }
    struct posting_list l = { .workspace = 1, .family = POSTING_KIND };
    enum err e = cursor_open(&c, t, DB_POSTING, NULL);
    if (e)
        return e;
    while (posting_next_list(&c, &l))
        *ret = *ret * 31 + l.kind;
    e = c.err;
    cursor_close(&c);
    return e;
}

static void fill_some(void)
{
    seed = 4711;
    first_row = n_rows = 0;
    stage_open();
    for (unsigned i = 0; i < 10; i++)
        play_turn(400);
    play_trim(500);
}

// Every call to the store and every allocation fails once: an answer is right, or it is an error.
static void failing(void **state)
{
    struct txn *t;
    uint64_t right, got;
    (void)state;
    fill_some();
    for (uint64_t skip = 0; skip <= 900; skip += 300) {
        const uint64_t lo = model[700].number, hi = model[n_rows - 50].number;
        assert_int_equal(store_begin(stage.store, false, &t), ERR_OK);
        arena_reset(&stage.arena);
        assert_int_equal(look(t, lo, hi, skip, &right), ERR_OK);
        for (unsigned n = 1;; n += n < 40 ? 1 : 7) {
            fail_store(n);
            enum err e = look(t, lo, hi, skip, &got);
            if (!fail_store_done()) {
                assert_int_equal(e, ERR_OK);
                assert_int_equal(got, right);
                break;
            }
            assert_int_equal(e, fail_store_is_memory ? ERR_NO_MEMORY : ERR_STORAGE_ERROR);
        }
        store_abort(t);
    }
    for (unsigned n = 1; ; n++) { // the same of a turn's writing, and of what goes again
        struct postings p = { 0 };
        enum err e = ERR_OK;
        t = writing();
        fail_store(n);
        for (uint64_t i = 0; i < 1200 && !e; i++) {
            struct model_row m = { .number = model[n_rows - 1].number + 1 + i, .workspace = 1, .row = ROW_TASK_CREATED, .entity = 1 + i % 2 };
            Wire__Row r = row_of(&m);
            e = postings_row(&p, &stage.arena, &r);
        }
        if (!e)
            e = postings_flush(&p, t);
        for (size_t i = 0; i < 300 && !e; i++) {
            Wire__Row r = row_of(&model[first_row + i]);
            e = postings_row(&p, &stage.arena, &r);
        }
        if (!e)
            e = postings_trim(&p, t, model[first_row + 300].number);
        const char *what = fail_store_done();
        store_abort(t);
        assert_int_equal(e, !what ? ERR_OK : fail_store_is_memory ? ERR_NO_MEMORY : ERR_STORAGE_ERROR);
        if (!what)
            break;
    }
    stage_close();
}

// Chunks cut short, of other ranks, or of other octets: nothing is read beyond them, and what cannot be said is not said.
static void wrong_chunks(void **state)
{
    struct txn *t;
    unsigned corrupt = 0, fine = 0;
    (void)state;
    fill_some();
    for (unsigned round = 0; round < 400; round++) {
        struct cursor c;
        struct key prefix = { .n = 0 };
        uint8_t b[4096];
        uint64_t got;
        t = writing();
        const struct posting_list l = posting_by_kind(1, ROW_TASK_CREATED + (unsigned)rnd(2));
        posting_key(&l, &prefix);
        assert_int_equal(cursor_open(&c, t, DB_POSTING, &prefix), ERR_OK);
        bool on = cursor_seek(&c, NULL);
        if (on && rnd(2))
            on = cursor_next(&c) || cursor_seek(&c, NULL);
        if (on && c.value.n <= sizeof b) {
            size_t n = c.value.n;
            memcpy(b, c.value.p, n);
            switch (rnd(5)) {
            case 0: n = rnd(n + 1); break;
            case 1: b[rnd(n)] ^= (uint8_t)(1 + rnd(255)); break;
            case 2: b[0] = (uint8_t)rnd(128); break; // its rank
            case 3: memset(b, 0, n); break;
            default:
                if (n < sizeof b)
                    b[n++] = 1;
            }
            assert_int_equal(cursor_put(&c, b, n), ERR_OK);
        }
        if (rnd(20) == 0) { // a key that is none
            struct key k = prefix;
            k.n -= rnd(8); // a key of no number, or of no list
            assert_int_equal(store_put(t, DB_POSTING, &k, "x", 1), ERR_OK);
        }
        cursor_close(&c);
        enum err e = look(t, model[first_row].number, model[n_rows - 1].number, rnd(2000), &got);
        corrupt += e == ERR_CORRUPT;
        fine += e == ERR_OK;
        assert_true(e == ERR_CORRUPT || e == ERR_OK);
        struct postings p = { 0 };
        struct model_row m = { .number = model[n_rows - 1].number + 1, .workspace = 1, .row = ROW_TASK_CREATED, .entity = 1 };
        Wire__Row r = row_of(&m);
        assert_int_equal(postings_row(&p, &stage.arena, &r), ERR_OK);
        e = postings_flush(&p, t);
        assert_true(e == ERR_CORRUPT || e == ERR_OK);
        store_abort(t);
    }
    assert_in_range(corrupt, 50, 350);
    assert_in_range(fine, 50, 350);
    stage_close();
}

// A newest chunk that says that nothing came before it: every count would be negative.
static void ranks_that_fall(void **state)
{
    const struct posting_list l = posting_by_kind(1, ROW_TASK_CREATED);
    struct posting_set s = { .arena = &stage.arena, .lists = &l, .n = 1, .lo = 1000, .hi = 1101 };
    struct postings p = { 0 };
    struct cursor c;
    struct key prefix;
    uint64_t n, newest;
    uint8_t b[4096];
    (void)state;
    stage_open();
    s.txn = writing();
    for (uint64_t i = 1; i <= 1100; i++) {
        Wire__Row r = WIRE__ROW__INIT;
        r.number = i;
        r.workspace = 1;
        r.row = ROW_TASK_CREATED;
        r.actor = actors[0];
        assert_int_equal(postings_row(&p, &stage.arena, &r), ERR_OK);
    }
    assert_int_equal(postings_flush(&p, s.txn), ERR_OK);
    assert_int_equal(posting_total(&s, &n), ERR_OK);
    assert_int_equal(n, 101);
    posting_key(&l, &prefix);
    assert_int_equal(cursor_open(&c, s.txn, DB_POSTING, &prefix), ERR_OK);
    assert_true(cursor_seek_before(&c, NULL));
    assert_true((c.value.p[0] & 0x80) && !(c.value.p[1] & 0x80)); // the rank, 1024, in two octets
    b[0] = 0;
    memcpy(b + 1, c.value.p + 2, c.value.n - 2);
    assert_int_equal(cursor_put(&c, b, c.value.n - 1), ERR_OK);
    assert_int_equal(posting_total(&s, &n), ERR_CORRUPT);
    assert_int_equal(posting_since(&c, &l, 1000, &n, &newest), ERR_CORRUPT);
    s.lo = 1;
    assert_int_equal(posting_skip(&s, 1100, 600, &n), ERR_CORRUPT);
    posting_key(&l, &c.prefix);
    assert_true(cursor_seek_before(&c, NULL));
    assert_int_equal(cursor_put(&c, "x", 1), ERR_OK); // a chunk that is none: nothing is added to it
    Wire__Row next = WIRE__ROW__INIT;
    next.number = 1101;
    next.workspace = 1;
    next.row = ROW_TASK_CREATED;
    next.actor = actors[0];
    assert_int_equal(postings_row(&p, &stage.arena, &next), ERR_OK);
    assert_int_equal(postings_flush(&p, s.txn), ERR_CORRUPT);
    s.lo = s.hi; // and of nothing there is nothing
    assert_int_equal(posting_skip(&s, 1100, 600, &n), ERR_OK);
    s = (struct posting_set){ .txn = s.txn, .arena = &stage.arena, .lists = &l, .lo = 1, .hi = 2 };
    struct posting_walk w;
    unsigned kind;
    assert_int_equal(posting_walk_open(&w, &s), ERR_OK);
    assert_false(posting_walk_next(&w, &n, &kind));
    posting_walk_close(&w);
    cursor_close(&c);
    store_abort(s.txn);
    stage_close();
}

// ---------------------------------------------------------------- a store of the layout before

static uint32_t schema(void)
{
    struct txn *t;
    Rec__Meta *m;
    arena_reset(&stage.arena);
    assert_int_equal(store_begin(stage.store, false, &t), ERR_OK);
    assert_int_equal(meta_read(t, &stage.arena, &m), ERR_OK);
    store_abort(t);
    assert_int_equal(m->migrated, 0);
    return m->schema;
}

static void hash_all(uint8_t out[HASH_SIZE])
{
    static const enum store_db dbs[] = { DB_POSTING, DB_STATS };
    struct txn *t;
    memset(out, 0, HASH_SIZE);
    assert_int_equal(store_begin(stage.store, false, &t), ERR_OK);
    for (int i = 0; i < 2; i++) {
        struct cursor c;
        assert_int_equal(cursor_open(&c, t, dbs[i], NULL), ERR_OK);
        for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c)) {
            crypto_hash2(out, out, HASH_SIZE, c.key.b, c.key.n);
            crypto_hash2(out, out, HASH_SIZE, c.value.p, c.value.n);
        }
        cursor_close(&c);
    }
    store_abort(t);
}

static void wipe(void)
{
    static const enum store_db dbs[] = { DB_POSTING, DB_STATS };
    struct txn *t = writing();
    for (int i = 0; i < 2; i++) {
        struct cursor c;
        assert_int_equal(cursor_open(&c, t, dbs[i], NULL), ERR_OK);
        for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c))
            assert_int_equal(cursor_del(&c), ERR_OK);
        cursor_close(&c);
    }
    assert_int_equal(store_commit(t), ERR_OK);
}

static void reopen(void)
{
    store_close(stage.store);
    assert_int_equal(store_open(stage.dir, 256 << 20, false, &stage.store), ERR_OK);
}

static void migration(void **state)
{
    uint8_t before[HASH_SIZE], after[HASH_SIZE];
    bool done = false;
    unsigned steps = 0, cut = 0;
    (void)state;
    seed = 4711;
    first_row = n_rows = 0;
    stage_open();
    play_turn(5000);
    hash_all(before);
    wipe();
    set_meta(1);
    while (!done) { // some steps are lost before their commit, and some starts begin anew
        struct txn *t = writing();
        assert_int_equal(migrate_step(t, &stage.arena, 1 + (unsigned)rnd(400), &done), ERR_OK);
        if (rnd(3) == 0) {
            store_abort(t);
            done = false;
            cut++;
        } else {
            assert_int_equal(store_commit(t), ERR_OK);
            steps++;
        }
        if (rnd(4) == 0)
            reopen();
    }
    assert_true(steps > 5 && cut > 2);
    assert_int_equal(schema(), STORE_SCHEMA);
    hash_all(after);
    assert_memory_equal(before, after, HASH_SIZE);
    wipe(); // all of it at once, as the broker does, from the middle of it
    set_meta(1);
    struct txn *t = writing();
    assert_int_equal(migrate_step(t, &stage.arena, 1000, &done), ERR_OK);
    assert_false(done);
    assert_int_equal(store_commit(t), ERR_OK);
    assert_int_equal(migrate_store(stage.store), ERR_OK);
    assert_int_equal(schema(), STORE_SCHEMA);
    hash_all(after);
    assert_memory_equal(before, after, HASH_SIZE);
    assert_int_equal(migrate_store(stage.store), ERR_OK); // nothing is left to do
    stage_close();
}

static void other_layouts(void **state)
{
    (void)state;
    first_row = n_rows = 0;
    stage_open();
    assert_int_equal(migrate_store(stage.store), ERR_OK); // an empty store
    set_meta(1); // one without a single event
    assert_int_equal(migrate_store(stage.store), ERR_OK);
    assert_int_equal(schema(), STORE_SCHEMA);
    set_meta(STORE_SCHEMA + 1); // a newer one
    assert_int_equal(migrate_store(stage.store), ERR_BAD_STATE);
    assert_int_equal(schema(), STORE_SCHEMA + 1);
    stage_close();
}

int main(void)
{
    if (crypto_init())
        return 1;
    const struct CMUnitTest tests[] = { cmocka_unit_test(random_rows), cmocka_unit_test(queries), cmocka_unit_test(deep_offsets), cmocka_unit_test(damaged),
                                        cmocka_unit_test(keys), cmocka_unit_test(without_memory), cmocka_unit_test(migration),
                                        cmocka_unit_test(other_layouts), cmocka_unit_test(failing), cmocka_unit_test(wrong_chunks),
                                        cmocka_unit_test(ranks_that_fall) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
