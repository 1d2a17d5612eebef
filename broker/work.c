#include "work.h"
#include <stdlib.h>
#include <string.h>

enum err work_refuse(struct work *w, enum err e, const char *field, const char *text)
{
    union { const char *in; char *out; } f = { field ? field : "" }, t = { text ? text : "" };
    w->answer->field = f.out; // protobuf-c's strings are not const; answers are only packed
    w->answer->text = t.out;
    return e;
}

enum err work_fault(struct work *w, enum err e, const struct fault *f)
{
    return work_refuse(w, e, f->field, f->text);
}

bool work_fatal(enum err e)
{
    return e == ERR_STORAGE_FULL || e == ERR_STORAGE_ERROR || e == ERR_NO_MEMORY;
}

uint64_t work_id(struct work *w, enum entity kind)
{
    return ++w->turn->meta->last_id[kind];
}

char *work_copy(struct work *w, const char *s, size_t max_octets)
{
    static char empty[1];
    size_t n = strlen(s);
    if (n > max_octets) {
        n = max_octets;
        while (n && ((uint8_t)s[n] & 0xc0) == 0x80)
            n--;
    }
    char *p = arena_alloc(w->arena, n + 1);
    if (!p)
        return empty;
    memcpy(p, s, n);
    p[n] = 0;
    return p;
}

char *work_number(struct work *w, uint64_t n)
{
    char t[ID_TEXT_MAX];
    id_format(t, ENTITY_NONE, n); // "_n"
    return work_copy(w, t + 1, ID_TEXT_MAX);
}

static void touch(struct work *w, struct touched t)
{
    struct batch *b = w->turn->batch;
    for (size_t i = 0; i < b->n_touched; i++)
        if (b->touched[i].desktop == t.desktop && b->touched[i].worker == t.worker && b->touched[i].workspace == t.workspace &&
            b->touched[i].webhook == t.webhook)
            return;
    if (b->n_touched == b->touched_cap) {
        size_t cap = b->touched_cap ? b->touched_cap * 2 : 32;
        struct touched *p = arena_alloc(w->arena, cap * sizeof *p);
        if (!p)
            return; // and so does the turn fail (apply.c): no wake-up is missed
        if (b->n_touched)
            memcpy(p, b->touched, b->n_touched * sizeof *p);
        b->touched = p;
        b->touched_cap = cap;
    }
    b->touched[b->n_touched++] = t;
}

void work_touch_desktop(struct work *w, uint64_t workspace, uint64_t desktop)
{
    touch(w, (struct touched){ .workspace = workspace, .desktop = desktop });
}

void work_touch_worker(struct work *w, uint64_t worker)
{
    if (worker)
        touch(w, (struct touched){ .worker = worker });
}

void work_touch_webhook(struct work *w, uint64_t workspace, uint64_t webhook)
{
    touch(w, (struct touched){ .workspace = workspace, .webhook = webhook });
}

static uint64_t entity_of(const Wire__Row *r)
{
    switch (event_entity(r->row)) {
    case ENTITY_TASK: return r->task;
    case ENTITY_SESSION: return r->session;
    case ENTITY_DESKTOP: return r->desktop;
    case ENTITY_AGENT: return r->agent;
    case ENTITY_SYSTEM:
    case ENTITY_WORKSPACE: return r->workspace;
    default: return r->entity;
    }
}

enum err work_row(struct work *w, Wire__Row *row, unsigned kind)
{
    union { const char *in; char *out; } actor = { w->actor };
    struct batch *b = w->turn->batch;
    struct key k = { .n = 0 };

    row->row = kind;
    row->number = ++w->turn->meta->newest;
    row->time_ms = w->now_ms;
    if (!row->workspace)
        row->workspace = w->workspace;
    row->actor = actor.out;
    row->actor_user = w->user;
    row->actor_key = w->key;
    if (!row->entity)
        row->entity = entity_of(row);
    row->severity = event_severity(kind);

    uint32_t n = (uint32_t)wire__row__get_packed_size(row);
    buf_put(&b->rows, &n, sizeof n);
    uint8_t *p = buf_reserve(&b->rows, n);
    if (!p)
        return ERR_NO_MEMORY;
    wire__row__pack(row, p);
    b->rows.len += n;
    b->n_rows++;
    w->wrote = true;
    enum err e = store_append(w->txn, DB_LOG, key_u64(&k, row->number), p, n);
    if (!e)
        e = postings_row(&w->turn->postings, w->arena, row);
    return e ? e : stats_row(&w->turn->stats, w->arena, row, 1);
}

enum err work_get(struct work *w, enum kind kind, uint64_t workspace, uint64_t id, void *ret_rec, struct index_entries *ret_old)
{
    void *rec;
    enum err e = kind_get(w->txn, w->arena, kind, workspace, id, &rec);
    if (e)
        return e;
    if (ret_old)
        kind_entries(kind, rec, ret_old);
    memcpy(ret_rec, &rec, sizeof rec);
    return ERR_OK;
}

enum err work_put(struct work *w, enum kind kind, const struct index_entries *old, const void *rec)
{
    w->wrote = true;
    return kind_put(w->txn, w->arena, kind, old, rec);
}

enum err work_del(struct work *w, enum kind kind, const struct index_entries *old, const void *rec)
{
    w->wrote = true;
    return kind_del(w->txn, kind, old, rec);
}

enum err work_sweep_open(struct work *w, struct cursor *c, enum store_db db, const ProtobufCBinaryData *at, bool *ret_on)
{
    struct key from = { .n = 0 };
    enum err e = cursor_open(c, w->txn, db, NULL);
    if (e)
        return e;
    if (at->len && at->len <= STORE_KEY_MAX)
        key_bytes(&from, at->data, at->len);
    *ret_on = cursor_seek(c, from.n ? &from : NULL);
    return ERR_OK;
}

enum err work_sweep_close(struct work *w, struct cursor *c, ProtobufCBinaryData *at, bool on, enum err e)
{
    if (!e)
        e = c->err;
    *at = (ProtobufCBinaryData){ 0, NULL };
    uint8_t *p = on && !e ? arena_alloc(w->arena, c->key.n) : NULL;
    if (p) {
        memcpy(p, c->key.b, c->key.n);
        *at = (ProtobufCBinaryData){ c->key.n, p };
    }
    cursor_close(c);
    return e;
}

static struct key *counts_key(struct key *k, uint64_t workspace, uint64_t desktop)
{
    k->n = 0;
    return key_u64(key_u64(k, workspace), desktop);
}

static unsigned cell(unsigned status, unsigned type)
{
    return status * 2 + type - 1;
}

enum err counts_read(struct txn *t, struct arena *a, uint64_t workspace, uint64_t desktop, struct counts *ret)
{
    Rec__Counts *r;
    struct key k;
    enum err e = rec_get(t, a, DB_COUNTS, counts_key(&k, workspace, desktop), &rec__counts__descriptor, &r);
    *ret = (struct counts){ .workspace = workspace, .desktop = desktop };
    if (e == ERR_NOT_FOUND)
        return ERR_OK;
    if (e)
        return e;
    for (unsigned s = 1; s < TASK_STATUS_COUNT; s++)
        for (unsigned y = 1; y < TASK_TYPE_COUNT; y++)
            if (cell(s, y) < r->n_tasks)
                ret->task[s][y] = r->tasks[cell(s, y)];
    ret->waiting = r->waiting;
    ret->held = r->held;
    ret->pending_approvals = r->pending_approvals;
    return ERR_OK;
}

static enum err counts_write(struct turn *t, const struct counts *c)
{
    uint64_t cells[TASK_STATUS_COUNT * 2] = { 0 };
    Rec__Counts r = REC__COUNTS__INIT;
    struct key k;
    for (unsigned s = 1; s < TASK_STATUS_COUNT; s++)
        for (unsigned y = 1; y < TASK_TYPE_COUNT; y++)
            cells[cell(s, y)] = c->task[s][y];
    r.tasks = cells;
    r.n_tasks = TASK_STATUS_COUNT * 2;
    r.waiting = c->waiting;
    r.held = c->held;
    r.pending_approvals = c->pending_approvals;
    return rec_put(t->txn, t->arena, DB_COUNTS, counts_key(&k, c->workspace, c->desktop), &r);
}

static enum err counts_flush(struct turn *t)
{
    for (unsigned i = 0; i < t->n_counts; i++) {
        if (!t->counts[i]->dirty)
            continue;
        enum err e = counts_write(t, t->counts[i]);
        if (e)
            return e;
        t->counts[i]->dirty = false;
    }
    t->n_counts = 0;
    return ERR_OK;
}

enum err turn_flush(struct turn *t)
{
    enum err e = counts_flush(t);
    if (!e)
        e = postings_flush(&t->postings, t->txn);
    return e ? e : stats_flush(&t->stats, t->txn, t->arena);
}

enum err work_counts(struct work *w, uint64_t workspace, uint64_t desktop, struct counts **ret)
{
    struct turn *t = w->turn;
    for (unsigned i = 0; i < t->n_counts; i++)
        if (t->counts[i]->workspace == workspace && t->counts[i]->desktop == desktop) {
            *ret = t->counts[i];
            return ERR_OK;
        }
    if (t->n_counts == sizeof t->counts / sizeof *t->counts) {
        enum err e = counts_flush(t);
        if (e)
            return e;
    }
    struct counts *c = arena_alloc(w->arena, sizeof *c);
    if (!c)
        return ERR_NO_MEMORY;
    enum err e = counts_read(w->txn, w->arena, workspace, desktop, c);
    if (e)
        return e;
    t->counts[t->n_counts++] = c;
    *ret = c;
    return ERR_OK;
}

uint64_t counts_unfinished(const struct counts *c)
{
    uint64_t n = 0;
    static const unsigned open[] = { TASK_PENDING, TASK_RUNNING, TASK_REVIEW };
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        for (unsigned y = 1; y < TASK_TYPE_COUNT; y++)
            n += c->task[open[i]][y];
    return n;
}
