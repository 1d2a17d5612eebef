#include "verify.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "apply.h"
#include "arena.h"
#include "hook_rule.h"
#include "kind.h"
#include "map.h"
#include "metric.h"
#include "migrate.h"
#include "names.h"
#include "posting.h"
#include "store_comment.h"
#include "store_task.h"

enum { ARENA_MAX = 64 * 1024 * 1024, TOLD_RECORDS = 100000 };

struct recount { // what a counter should say
    struct counts c;
    struct recount *next; // of another workspace, with a desktop of the same number
};

struct verify {
    struct txn *txn;
    const struct verify_cbs *cbs;
    struct arena arena, other; // of the record a cursor stands on; of what it refers to
    const Rec__Meta *meta;
    uint64_t wrong, seen;
    const char *of;
    struct map counters;       // by desktop + 1: struct recount
    uint64_t entries, comments, deliveries, blobs;
    uint64_t workspaces;
    uint64_t listed, activities; // entries of posting lists, and rows of the activities, that the log asks for
};

__attribute__((format(printf, 2, 3))) static void wrong(struct verify *v, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    if (v->wrong++ >= VERIFY_TOLD)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    v->cbs->found(v->cbs->u, text);
}

static void begin(struct verify *v, const char *of)
{
    v->of = of;
    v->seen = 0;
}

// Called with each record; what it unpacks it may put in v->arena. An error is one of memory: what else is wrong it tells.
typedef enum err seen_cb(struct verify *v, const struct cursor *c);

static enum err each(struct verify *v, enum store_db db, const struct key *prefix, seen_cb *seen)
{
    struct cursor c;
    enum err e = cursor_open(&c, v->txn, db, prefix);
    if (e)
        return e;
    for (bool on = cursor_seek(&c, NULL); on && !e; on = cursor_next(&c)) {
        e = seen(v, &c);
        if (!prefix && ++v->seen % TOLD_RECORDS == 0 && v->cbs->progress)
            v->cbs->progress(v->cbs->u, v->of, v->seen);
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    return e;
}

static enum err recount(struct verify *v, uint64_t workspace, uint64_t desktop, struct counts **ret)
{
    struct recount *first = map_get(&v->counters, desktop + 1), *r = first;
    while (r && r->c.workspace != workspace)
        r = r->next;
    if (!r) {
        r = calloc(1, sizeof *r);
        if (!r)
            return ERR_NO_MEMORY;
        r->c.workspace = workspace;
        r->c.desktop = desktop;
        r->next = first;
        enum err e = map_put(&v->counters, desktop + 1, r);
        if (e) {
            free(r);
            return e;
        }
    }
    *ret = &r->c;
    return ERR_OK;
}

static void recounts_free(struct verify *v)
{
    for (size_t i = 0; i < v->counters.cap; i++)
        for (struct recount *r = v->counters.slots[i].key ? v->counters.slots[i].value : NULL, *next; r; r = next) {
            next = r->next;
            free(r);
        }
    map_fini(&v->counters);
}

// ---------------------------------------------------------------- objects and their index entries

static const char *const kind_names[KIND_N] = {
    [KIND_TASK] = "task", [KIND_SESSION] = "session", [KIND_APPROVAL] = "approval", [KIND_DESKTOP] = "desktop",
    [KIND_WORKSPACE] = "workspace", [KIND_USER] = "user", [KIND_KEY] = "key", [KIND_SIGNIN] = "sign-in", [KIND_PEER] = "peer",
    [KIND_WEBHOOK] = "webhook",
};

// A record that another refers to; NULL and a finding where it is not.
static enum err refer(struct verify *v, enum kind kind, uint64_t workspace, uint64_t id, const char *from, uint64_t from_id, void *ret)
{
    void *rec = NULL;
    arena_reset(&v->other);
    enum err e = kind_get(v->txn, &v->other, kind, workspace, id, &rec);
    if (e == ERR_NOT_FOUND || e == ERR_CORRUPT) {
        wrong(v, "%s_%" PRIu64 " refers to %s_%" PRIu64 ", which %s", from, from_id, kind_names[kind], id,
              e == ERR_CORRUPT ? "is damaged" : "is not there");
        rec = NULL;
        e = ERR_OK;
    }
    memcpy(ret, &rec, sizeof rec);
    return e;
}

static enum err count_comment(struct verify *v, const struct cursor *c)
{
    Rec__Comment *r = rec__comment__unpack(arena_allocator(&v->other), c->value.n, c->value.p);
    if (!r || c->key.n != 24 || r->workspace != key_read_u64(c->key.b) || r->task != key_read_u64(c->key.b + 8) ||
        r->id != key_read_u64(c->key.b + 16))
        wrong(v, "a comment of task_%" PRIu64 " is not what its key says", key_read_u64(c->key.b + 8));
    v->comments++;
    return ERR_OK;
}

static enum err of_task(struct verify *v, const Rec__Task *t)
{
    struct key prefix;
    struct counts *c;
    uint64_t before = v->comments;
    arena_reset(&v->other);
    enum err e = each(v, DB_COMMENT, comment_key(&prefix, t->workspace, t->id, 0), count_comment);
    if (!e && v->comments - before != t->comments)
        wrong(v, "task_%" PRIu64 " has %" PRIu64 " comments and counts %" PRIu32, t->id, v->comments - before, t->comments);
    if (t->status >= TASK_STATUS_COUNT || t->type >= TASK_TYPE_COUNT) {
        wrong(v, "task_%" PRIu64 " has a status or type that there is not", t->id);
        return e;
    }
    if (!e && t->content_apart) {
        struct key k = { .n = 0 };
        struct slice s;
        enum err at = store_get(v->txn, DB_BLOB, key_u64(&k, t->id), &s);
        if (at)
            wrong(v, "the content of task_%" PRIu64 " %s", t->id, at == ERR_NOT_FOUND ? "is not there" : "cannot be read");
        v->blobs += at != ERR_NOT_FOUND;
    }
    for (int i = 0; i < 2 && !e; i++) {
        e = recount(v, t->workspace, i ? t->desktop : 0, &c);
        if (!e) {
            c->task[t->status][t->type]++;
            c->waiting += t->queued != 0;
        }
    }
    if (t->queued && t->status != TASK_RUNNING)
        wrong(v, "task_%" PRIu64 " waits for a worker and does not run", t->id);
    if ((t->completed_ms != 0) != (t->status >= TASK_DONE))
        wrong(v, "task_%" PRIu64 " has ended by one of status and time only", t->id);
    if (!e && t->status == TASK_RUNNING && !t->queued) {
        Rec__Session *s;
        e = refer(v, KIND_SESSION, t->workspace, t->session, "task", t->id, &s);
        if (s && (s->status != SESSION_RUNNING || !s->held || s->attempt != t->attempt))
            wrong(v, "task_%" PRIu64 " runs, and session_%" PRIu64 " does not", t->id, s->id);
    }
    return e;
}

static enum err of_session(struct verify *v, const Rec__Session *s)
{
    struct counts *c;
    Rec__Task *task = NULL;
    bool gone = false;
    enum err e = recount(v, s->workspace, s->desktop, &c);
    if (!e) {
        c->held += s->held ? 1 : 0;
        e = gone_is(v->txn, s->workspace, s->task, &gone);
    }
    if (s->output_total < s->output_upto)
        wrong(v, "session_%" PRIu64 " has stored more output than there was", s->id);
    if (!e && !gone)
        e = refer(v, KIND_TASK, s->workspace, s->task, "session", s->id, &task);
    if (!e && s->status == SESSION_RUNNING && (gone || (task && (task->session != s->id || task->status != TASK_RUNNING))))
        wrong(v, "session_%" PRIu64 " runs, and its task does not", s->id);
    return e;
}

static enum err of_approval(struct verify *v, const Rec__Approval *a)
{
    struct counts *c;
    enum err e = recount(v, a->workspace, 0, &c);
    if (!e)
        c->pending_approvals += a->status == APPROVAL_PENDING;
    return e;
}

static enum err of_key(struct verify *v, const Rec__Key *k)
{
    Rec__User *u;
    enum err e = refer(v, KIND_USER, k->workspace, k->user, "key", k->id, &u);
    if (u && k->session && (!k->expires_ms || !*u->password || u->disabled))
        wrong(v, "a sign-in of user_%" PRIu64 " is one there cannot be", u->id);
    return e;
}

static enum err count_delivery(struct verify *v, const struct cursor *c)
{
    Rec__Delivery *r = rec__delivery__unpack(arena_allocator(&v->other), c->value.n, c->value.p);
    if (!r || c->key.n != 24 || r->webhook != key_read_u64(c->key.b + 8) || r->id != key_read_u64(c->key.b + 16))
        wrong(v, "a delivery of webhook_%" PRIu64 " is not what its key says", key_read_u64(c->key.b + 8));
    v->deliveries++;
    return ERR_OK;
}

static enum err of_webhook(struct verify *v, const Rec__Webhook *h)
{
    struct key prefix = { .n = 0 };
    struct hook_match match = hook_match(h->events, h->n_events);
    uint64_t before = v->deliveries;
    arena_reset(&v->other);
    enum err e = each(v, DB_DELIVERY, key_u64(key_u64(&prefix, h->workspace), h->id), count_delivery);
    if (!e && v->deliveries - before != h->kept)
        wrong(v, "webhook_%" PRIu64 " has %" PRIu64 " deliveries and counts %" PRIu32, h->id, v->deliveries - before, h->kept);
    if ((h->event != 0) != (h->delivery != 0) || (h->event && (h->event <= h->position || !h->enabled || !hook_wants(&match, h->row))))
        wrong(v, "webhook_%" PRIu64 " delivers what it should not", h->id);
    return e;
}

static enum err entries_of(struct verify *v, enum kind kind, const void *rec)
{
    const struct rec_head *h = rec;
    struct index_entries es;
    struct slice s;
    kind_entries(kind, rec, &es);
    for (unsigned i = 0; i < es.n; i++) {
        enum err e = store_get(v->txn, DB_INDEX, &es.e[i].key, &s);
        if (e == ERR_NOT_FOUND || e == ERR_CORRUPT || (!e && (s.n != es.e[i].value_n || memcmp(s.p, es.e[i].value, s.n) != 0)))
            wrong(v, "%s_%" PRIu64 " is not in index %u as it should be", kind_names[kind], h->id, es.e[i].key.b[0]);
        else if (e)
            return e;
        v->entries++;
    }
    return ERR_OK;
}

static enum err object(struct verify *v, const struct cursor *c)
{
    enum kind kind = 0;
    void *rec;
    struct key k;
    while (kind < KIND_N && (kind_db(kind) != c->db || !kind_is(kind, &c->key)))
        kind++;
    arena_reset(&v->arena);
    enum err e = kind == KIND_N ? ERR_CORRUPT : kind_unpack(kind, &v->arena, c->value, &rec);
    if (e == ERR_CORRUPT) {
        wrong(v, "a record among the %ss cannot be read", kind == KIND_N ? v->of : kind_names[kind]);
        return ERR_OK;
    }
    if (e)
        return e;
    const struct rec_head *h = rec;
    kind_key(kind, h->workspace, h->id, &k);
    if (k.n != c->key.n || memcmp(k.b, c->key.b, k.n) != 0)
        wrong(v, "%s_%" PRIu64 " lies under another's key", kind_names[kind], h->id);
    if (kind == KIND_KEY && ((Rec__Key *)rec)->hash.len != 32) {
        wrong(v, "key_%" PRIu64 " has no hash", h->id);
        return ERR_OK;
    }
    e = entries_of(v, kind, rec);
    if (e)
        return e;
    switch (kind) {
    case KIND_TASK: return of_task(v, rec);
    case KIND_SESSION: return of_session(v, rec);
    case KIND_APPROVAL: return of_approval(v, rec);
    case KIND_KEY: case KIND_SIGNIN: return of_key(v, rec);
    case KIND_WEBHOOK: return of_webhook(v, rec);
    default: return ERR_OK;
    }
}

static enum err objects(struct verify *v)
{
    static const struct { enum store_db db; const char *of; } dbs[] = {
        { DB_TASK, "tasks" }, { DB_SESSION, "sessions" }, { DB_APPROVAL, "approvals" }, { DB_DESKTOP, "desktops" },
        { DB_ACCOUNT, "accounts" }, { DB_PEER, "peers" }, { DB_WEBHOOK, "webhooks" },
    };
    enum err e = ERR_OK;
    for (size_t i = 0; i < sizeof dbs / sizeof *dbs && !e; i++) {
        begin(v, dbs[i].of);
        e = each(v, dbs[i].db, NULL, object);
    }
    return e;
}

// ---------------------------------------------------------------- what belongs to objects

static enum err stored_counts(struct verify *v, const struct cursor *c)
{
    struct counts *want, stored;
    arena_reset(&v->arena);
    if (c->key.n != 16) {
        wrong(v, "a counter has a key that there is not");
        return ERR_OK;
    }
    uint64_t workspace = key_read_u64(c->key.b), desktop = key_read_u64(c->key.b + 8);
    enum err e = recount(v, workspace, desktop, &want); // all zero, if nothing was counted there
    if (!e)
        e = counts_read(v->txn, &v->arena, workspace, desktop, &stored);
    if (e == ERR_CORRUPT)
        wrong(v, "the counters of desktop_%" PRIu64 " cannot be read", desktop);
    if (e)
        return e == ERR_CORRUPT ? ERR_OK : e;
    bool same = stored.waiting == want->waiting && (!desktop || stored.held == want->held) &&
                (desktop || stored.pending_approvals == want->pending_approvals) && memcmp(stored.task, want->task, sizeof want->task) == 0;
    if (!same && desktop)
        wrong(v, "the counters of desktop_%" PRIu64 " are not what there is", desktop);
    else if (!same)
        wrong(v, "the counters of workspace_%" PRIu64 " are not what there is", workspace);
    want->dirty = true; // has a record
    return ERR_OK;
}

static enum err counters(struct verify *v)
{
    static const struct counts none;
    begin(v, "counters");
    enum err e = each(v, DB_COUNTS, NULL, stored_counts);
    for (size_t i = 0; i < v->counters.cap && !e; i++)
        for (struct recount *r = v->counters.slots[i].key ? v->counters.slots[i].value : NULL; r; r = r->next)
            if (!r->c.dirty && (memcmp(r->c.task, none.task, sizeof none.task) != 0 || r->c.waiting || r->c.held || r->c.pending_approvals))
                wrong(v, "desktop_%" PRIu64 " has no counters", r->c.desktop);
    return e;
}

static enum err gone_task(struct verify *v, const struct cursor *c)
{
    Rec__Task *task;
    struct key prefix;
    uint64_t workspace = key_read_u64(c->key.b + 1), id = key_read_u64(c->key.b + 9);
    arena_reset(&v->arena);
    v->entries++;
    enum err e = kind_get(v->txn, &v->arena, KIND_TASK, workspace, id, &task);
    if (!e)
        wrong(v, "task_%" PRIu64 " is there and is marked as deleted", id);
    else if (e != ERR_NOT_FOUND && e != ERR_CORRUPT)
        return e;
    arena_reset(&v->other);
    return each(v, DB_COMMENT, comment_key(&prefix, workspace, id, 0), count_comment);
}

static enum err only_count(struct verify *v, const struct cursor *c)
{
    (void)v;
    (void)c;
    return ERR_OK;
}

// Those of a webhook that was deleted go little by little.
static enum err swept_delivery(struct verify *v, const struct cursor *c)
{
    struct slice s;
    struct key k = { .n = 0 };
    if (c->key.n < 16)
        return ERR_OK;
    enum err e = store_get(v->txn, DB_WEBHOOK, key_bytes(&k, c->key.b, 16), &s);
    v->deliveries += e == ERR_NOT_FOUND;
    return e == ERR_NOT_FOUND || e == ERR_CORRUPT ? ERR_OK : e;
}

// Deleted tasks' marks; then nothing is in the index, and no comment or delivery is there, but what was found by its owner.
static enum err leftovers(struct verify *v)
{
    struct key prefix = { .n = 0 };
    enum err e = each(v, DB_INDEX, key_u8(&prefix, INDEX_TASK_GONE), gone_task);
    if (e)
        return e;
    const struct { enum store_db db; const char *of; const uint64_t *owned; seen_cb *seen; } dbs[] = {
        { DB_INDEX, "index entries", &v->entries, only_count }, { DB_COMMENT, "comments", &v->comments, only_count },
        { DB_DELIVERY, "deliveries", &v->deliveries, swept_delivery }, { DB_BLOB, "contents apart", &v->blobs, only_count },
    };
    for (size_t i = 0; i < sizeof dbs / sizeof *dbs && !e; i++) {
        begin(v, dbs[i].of);
        e = each(v, dbs[i].db, NULL, dbs[i].seen);
        if (!e && v->seen != *dbs[i].owned)
            wrong(v, "there are %" PRIu64 " %s, and %" PRIu64 " that belong to something", v->seen, dbs[i].of, *dbs[i].owned);
    }
    return e;
}

static enum err metric(struct verify *v, const struct cursor *c)
{
    Rec__Desktop *d;
    arena_reset(&v->arena);
    Rec__MetricPage *p = rec__metric_page__unpack(arena_allocator(&v->arena), c->value.n, c->value.p);
    if (!p || c->key.n != 21 || c->key.b[16] >= LEVEL_N || !metric_stored(c->key.b[16]) || !metric_page_whole(p)) {
        wrong(v, "a page of a desktop's history cannot be read");
        return ERR_OK;
    }
    enum metric_level level = (enum metric_level)c->key.b[16];
    uint32_t slot = (uint32_t)c->key.b[17] << 24 | (uint32_t)c->key.b[18] << 16 | (uint32_t)c->key.b[19] << 8 | c->key.b[20];
    if (slot >= metric_pages(level) || metric_place(level, p->page * METRIC_PAGE_STEPS).slot != slot)
        wrong(v, "a page of a desktop's history is in another's place");
    return refer(v, KIND_DESKTOP, key_read_u64(c->key.b), key_read_u64(c->key.b + 8), "a history of desktop", key_read_u64(c->key.b + 8), &d);
}

// ---------------------------------------------------------------- the log and what was made of it

static enum err row(struct verify *v, const struct cursor *c)
{
    struct posting_list lists[POSTING_PER_ROW];
    uint64_t number = c->key.n == 8 ? key_read_u64(c->key.b) : 0, want = v->meta->oldest + v->seen;
    arena_reset(&v->arena);
    Wire__Row *r = wire__row__unpack(arena_allocator(&v->arena), c->value.n, c->value.p);
    if (number != want)
        wrong(v, "event %" PRIu64 " follows where %" PRIu64 " should", number, want);
    if (!r || r->number != number || !r->workspace || !r->row || !r->entity || !*r->actor) {
        wrong(v, "event %" PRIu64 " cannot be read", number);
        return ERR_OK;
    }
    v->listed += posting_lists(r, lists);
    v->activities += event_type(r->row, VIEW_ACTIVITIES) != NULL;
    return ERR_OK;
}

static bool same_list(const struct posting_list *a, const struct posting_list *b)
{
    struct key x, y;
    posting_key(a, &x);
    posting_key(b, &y);
    return x.n == y.n && memcmp(x.b, y.b, x.n) == 0;
}

// An entry that is kept is of a row that belongs in this list: with the totals, that makes the lists what the log says.
static enum err listed_row(struct verify *v, const struct posting_list *l, uint64_t number, unsigned kind)
{
    struct posting_list lists[POSTING_PER_ROW];
    struct key k = { .n = 0 };
    struct slice s;
    arena_reset(&v->other);
    enum err e = store_get(v->txn, DB_LOG, key_u64(&k, number), &s);
    Wire__Row *r = e ? NULL : wire__row__unpack(arena_allocator(&v->other), s.n, s.p);
    unsigned n = r ? posting_lists(r, lists) : 0, i = 0;
    while (i < n && !same_list(&lists[i], l))
        i++;
    if (i == n || (l->family == POSTING_ENTITY && r->row != kind))
        wrong(v, "event %" PRIu64 " is in a posting list it does not belong to", number);
    return e == ERR_NO_MEMORY || e == ERR_STORAGE_ERROR ? e : ERR_OK;
}

static struct {
    struct posting_list list;
    uint64_t rank, last; // of the next chunk; of the last entry
    uint64_t kept;       // entries of rows that are kept
    struct posting_chunk chunk;
} lists;

static enum err chunk(struct verify *v, const struct cursor *c)
{
    struct posting_list l;
    struct posting_head h;
    if (!posting_key_read(&c->key, &l) || posting_head(key_read_u64(c->key.b + c->key.n - 8), c->value, &h) ||
        posting_unpack(&h, l.family == POSTING_ENTITY, &lists.chunk)) {
        wrong(v, "a posting list cannot be read");
        return ERR_OK;
    }
    if (!same_list(&l, &lists.list)) {
        lists.list = l;
        lists.last = 0;
        lists.rank = h.rank; // chunks before it may have gone
    }
    if (h.rank != lists.rank || h.first + h.span < v->meta->oldest)
        wrong(v, "a posting list of family %c counts otherwise from event %" PRIu64 " on", l.family, h.first);
    lists.rank = h.rank + h.n;
    enum err e = ERR_OK;
    for (uint32_t i = 0; i < lists.chunk.n && !e; i++) {
        uint64_t number = lists.chunk.first + lists.chunk.off[i];
        if (number <= lists.last)
            wrong(v, "a posting list has event %" PRIu64 " out of order", number);
        lists.last = number;
        if (number < v->meta->oldest)
            continue;
        lists.kept++;
        e = listed_row(v, &l, number, lists.chunk.kind[i]);
    }
    return e;
}

static uint64_t hours;

static enum err hour(struct verify *v, const struct cursor *c)
{
    arena_reset(&v->arena);
    Rec__HourRows *h = rec__hour_rows__unpack(arena_allocator(&v->arena), c->value.n, c->value.p);
    if (!h || !h->activities)
        wrong(v, "an hour of the activities cannot be read");
    else
        hours += h->activities;
    return ERR_OK;
}

static enum err log_and_lists(struct verify *v)
{
    begin(v, "events");
    enum err e = each(v, DB_LOG, NULL, row);
    if (!e && v->meta->oldest + v->seen != v->meta->newest + 1)
        wrong(v, "the log ends at event %" PRIu64 " and not at %" PRIu64, v->meta->oldest + v->seen - 1, v->meta->newest);
    begin(v, "posting lists");
    memset(&lists, 0, sizeof lists);
    if (!e)
        e = each(v, DB_POSTING, NULL, chunk);
    if (!e && lists.kept != v->listed)
        wrong(v, "the posting lists have %" PRIu64 " entries and should have %" PRIu64, lists.kept, v->listed);
    begin(v, "hours");
    hours = 0;
    if (!e)
        e = each(v, DB_STATS, NULL, hour);
    if (!e && hours != v->activities)
        wrong(v, "the hours count %" PRIu64 " activities, and there are %" PRIu64, hours, v->activities);
    return e;
}

enum err verify_store(struct txn *t, const struct verify_cbs *cbs, uint64_t *ret_wrong)
{
    struct verify v = { .txn = t, .cbs = cbs };
    struct arena a;
    Rec__Meta *m;
    arena_init(&a, 1 << 20);
    arena_init(&v.arena, ARENA_MAX);
    arena_init(&v.other, ARENA_MAX);
    enum err e = meta_read(t, &a, &m);
    if (!e && m->schema != STORE_SCHEMA)
        e = ERR_BAD_STATE;
    if (!e) {
        v.meta = m;
        e = objects(&v);
    }
    if (!e)
        e = counters(&v);
    if (!e)
        e = leftovers(&v);
    begin(&v, "histories");
    if (!e)
        e = each(&v, DB_METRIC, NULL, metric);
    if (!e)
        e = log_and_lists(&v);
    recounts_free(&v);
    arena_fini(&a);
    arena_fini(&v.arena);
    arena_fini(&v.other);
    *ret_wrong = v.wrong;
    return e;
}
