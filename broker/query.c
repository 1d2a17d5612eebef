#include "query.h"
#include <stdlib.h>
#include <string.h>
#include "apply.h"
#include "check.h"
#include "clock.h"
#include "crypto.h"
#include "names.h"
#include "store_task.h"
#include "view.h"

enum {
    SCAN_MAX = 10000,            // records a search looks at for one answer,
    SCAN_OCTETS = 8 * 1024 * 1024, // and octets of their text
    PAGE_OCTETS = 512 * 1024,    // of a page, when the asker names no less
    LOG_ROWS_MAX = 1000, HOURS = 24, HOUR_MS = 3600 * 1000,
};

enum err query_begin(struct query *q)
{
    Rec__Meta *m;
    enum err e = store_begin(q->store, false, &q->txn);
    if (e)
        return e;
    e = meta_read(q->txn, q->arena, &m);
    if (e) {
        store_abort(q->txn);
        return e;
    }
    q->newest = m->newest;
    q->oldest = m->oldest;
    q->epoch = m->epoch;
    q->workers = m->workers;
    q->now_ms = clock_wall_ms();
    return ERR_OK;
}

void query_end(struct query *q)
{
    store_abort(q->txn);
    q->txn = NULL;
}

static struct view view_of(const struct query *q)
{
    return (struct view){ .txn = q->txn, .arena = q->arena, .workers = q->workers };
}

#define MAKE(q, type, INIT, ret)                       \
    type *ret = arena_alloc((q)->arena, sizeof(type)); \
    if (!ret)                                          \
        return ERR_NO_MEMORY;                          \
    *ret = (type)INIT

static enum err refuse(Wire__Answer *a, enum err e, const char *field, const char *text)
{
    union { const char *in; char *out; } f = { field }, t = { text };
    a->field = f.out;
    a->text = t.out;
    return e;
}

static uint32_t limit_of(uint32_t asked, uint32_t def)
{
    return asked == 0 ? def : asked < LIST_MAX ? asked : LIST_MAX;
}

// ---------------------------------------------------------------- tasks

// A merge of the index ranges a filter needs, newest first: one cursor a (status, type) that may match.
struct merge {
    struct cursor c[TASK_STATUS_COUNT * TASK_TYPE_COUNT];
    bool on[TASK_STATUS_COUNT * TASK_TYPE_COUNT];
    unsigned n;
};

static void merge_close(struct merge *m)
{
    for (unsigned i = 0; i < m->n; i++)
        cursor_close(&m->c[i]);
}

static uint64_t last_u64(const struct key *k)
{
    return key_read_u64(k->b + k->n - 8);
}

static enum err merge_add(struct merge *m, struct txn *t, const struct key *prefix, uint64_t before)
{
    struct cursor *c = &m->c[m->n];
    struct key end = *prefix;
    enum err e = cursor_open(c, t, DB_INDEX, prefix);
    if (e)
        return e;
    if (before)
        key_u64(&end, before);
    m->on[m->n++] = cursor_seek_before(c, before ? &end : NULL);
    return c->err;
}

// The next id, or 0.
static uint64_t merge_next(struct merge *m)
{
    uint64_t best = 0;
    unsigned at = 0;
    for (unsigned i = 0; i < m->n; i++)
        if (m->on[i] && last_u64(&m->c[i].key) > best) {
            best = last_u64(&m->c[i].key);
            at = i;
        }
    if (best)
        m->on[at] = cursor_prev(&m->c[at]);
    return best;
}

static enum err merge_open(const struct query *q, const Wire__TaskList *l, struct merge *m)
{
    m->n = 0;
    for (unsigned s = 1; s < TASK_STATUS_COUNT; s++)
        for (unsigned y = 1; y < TASK_TYPE_COUNT; y++) {
            struct key p = { .n = 0 };
            if ((l->status && l->status != s) || (l->type && l->type != y))
                continue;
            key_u64(key_u8(&p, l->desktop ? INDEX_TASK_DESKTOP : INDEX_TASK_STATUS), q->workspace);
            if (l->desktop)
                key_u64(&p, l->desktop);
            enum err e = merge_add(m, q->txn, key_u8(key_u8(&p, (uint8_t)s), (uint8_t)y), l->before);
            if (e)
                return e;
        }
    return ERR_OK;
}

// ASCII letters fold; anything else must be the same octets.
static bool contains(const char *text, const char *q)
{
    return strcasestr(text, q) != NULL;
}

static enum err task_total(const struct query *q, const Wire__TaskList *l, uint64_t *ret)
{
    struct counts c;
    enum err e = counts_read(q->txn, q->arena, q->workspace, l->desktop, &c);
    *ret = 0;
    for (unsigned s = 1; s < TASK_STATUS_COUNT && !e; s++)
        for (unsigned y = 1; y < TASK_TYPE_COUNT; y++)
            if ((!l->status || l->status == s) && (!l->type || l->type == y))
                *ret += c.task[s][y];
    return e;
}

struct task_page {
    struct query *q;
    const Wire__TaskList *l;
    Wire__Tasks *out;
    struct view view;
    uint32_t limit, seen;
    size_t octets, octets_max, scanned;
};

// Adds one task; *ret_full: the page is full, and this one belongs to the next.
static enum err page_add(struct task_page *p, const Rec__Task *t, bool *ret_full)
{
    *ret_full = p->out->n_tasks == p->limit || p->octets >= p->octets_max || p->seen == SCAN_MAX || p->scanned > SCAN_OCTETS;
    if (*ret_full)
        return ERR_OK;
    p->seen++;
    p->out->next_before = t->id;
    if (*p->l->q && !contains(t->title, p->l->q)) {
        char *content;
        enum err e = task_content(p->q->txn, p->q->arena, t, &content);
        p->scanned += e ? 0 : 500 + strlen(content);
        if (e || !contains(content, p->l->q))
            return e;
    }
    Wire__Task *o;
    enum err e = view_task(&p->view, t, &o);
    if (e)
        return e;
    p->octets += 200 + strlen(o->content) + strlen(o->failure_text);
    p->out->tasks[p->out->n_tasks++] = o;
    return ERR_OK;
}

static enum err page_by_id(struct task_page *p)
{
    struct key prefix, end;
    struct cursor c;
    bool full = false;
    kind_key(KIND_TASK, p->q->workspace, 0, &prefix);
    enum err e = cursor_open(&c, p->q->txn, DB_TASK, &prefix);
    if (e)
        return e;
    end = prefix;
    if (p->l->before)
        key_u64(&end, p->l->before);
    bool on = cursor_seek_before(&c, p->l->before ? &end : NULL);
    for (; on && !full && !e; on = !full && cursor_prev(&c)) {
        Rec__Task *t;
        e = kind_unpack(KIND_TASK, p->q->arena, c.value, &t);
        if (!e)
            e = page_add(p, t, &full);
    }
    p->out->more = full;
    if (!e)
        e = c.err;
    cursor_close(&c);
    return e;
}

static enum err page_by_index(struct task_page *p)
{
    struct merge m;
    bool full = false;
    enum err e = merge_open(p->q, p->l, &m);
    for (uint64_t id = e ? 0 : merge_next(&m); id && !full && !e; id = full ? 0 : merge_next(&m)) {
        Rec__Task *t;
        e = kind_get(p->q->txn, p->q->arena, KIND_TASK, p->q->workspace, id, &t);
        if (!e)
            e = page_add(p, t, &full);
    }
    p->out->more = full;
    merge_close(&m);
    return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
}

static enum err task_list(struct query *q, const Wire__TaskList *l, Wire__Answer *a)
{
    MAKE(q, Wire__Tasks, WIRE__TASKS__INIT, out);
    struct task_page p = { .q = q, .l = l, .out = out, .view = view_of(q), .limit = limit_of(l->limit, LIST_MAX),
                           .octets_max = l->bytes_max && l->bytes_max < PAGE_OCTETS ? l->bytes_max : PAGE_OCTETS };
    out->tasks = arena_alloc(q->arena, p.limit * sizeof *out->tasks);
    if (!out->tasks)
        return ERR_NO_MEMORY;
    enum err e = l->status || l->desktop || l->type ? page_by_index(&p) : page_by_id(&p);
    out->has_total = !*l->q;
    if (!e && out->has_total)
        e = task_total(q, l, &out->total);
    a->body_case = WIRE__ANSWER__BODY_TASKS;
    a->tasks = out;
    return e;
}

static enum err task_get(struct query *q, uint64_t id, Wire__Answer *a)
{
    struct view v = view_of(q);
    Rec__Task *t;
    enum err e = kind_get(q->txn, q->arena, KIND_TASK, q->workspace, id, &t);
    a->body_case = WIRE__ANSWER__BODY_TASK;
    return e ? e : view_task(&v, t, &a->task);
}

// ---------------------------------------------------------------- sessions, approvals

static enum err session_list(struct query *q, const Wire__SessionList *l, Wire__Answer *a)
{
    MAKE(q, Wire__Sessions, WIRE__SESSIONS__INIT, out);
    struct view v = view_of(q);
    struct key prefix = { .n = 0 }, end;
    struct cursor c;
    uint32_t limit = limit_of(l->limit, LIST_MAX), seen = 0;
    Rec__Task *t;
    a->body_case = WIRE__ANSWER__BODY_SESSIONS;
    a->sessions = out;
    out->sessions = arena_alloc(q->arena, limit * sizeof *out->sessions);
    enum err e = out->sessions ? ERR_OK : ERR_NO_MEMORY;
    if (!e && l->task)
        e = kind_get(q->txn, q->arena, KIND_TASK, q->workspace, l->task, &t);
    if (e)
        return e;
    if (l->task)
        key_u64(key_u64(key_u8(&prefix, INDEX_SESSION_TASK), q->workspace), l->task);
    else
        kind_key(KIND_SESSION, q->workspace, 0, &prefix);
    e = cursor_open(&c, q->txn, l->task ? DB_INDEX : DB_SESSION, &prefix);
    if (e)
        return e;
    end = prefix;
    if (l->before)
        key_u64(&end, l->before);
    for (bool on = cursor_seek_before(&c, l->before ? &end : NULL); on && !e; on = cursor_prev(&c)) {
        Rec__Session *s;
        if (out->n_sessions == limit || seen++ == SCAN_MAX) {
            out->more = true;
            break;
        }
        out->next_before = last_u64(&c.key);
        e = kind_get(q->txn, q->arena, KIND_SESSION, q->workspace, out->next_before, &s);
        if (e || (l->status && s->status != l->status) || (l->desktop && s->desktop != l->desktop))
            continue;
        e = view_session(&v, s, &out->sessions[out->n_sessions++]);
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    return e;
}

static enum err session_get(struct query *q, uint64_t id, Wire__Answer *a)
{
    struct view v = view_of(q);
    Rec__Session *s;
    enum err e = kind_get(q->txn, q->arena, KIND_SESSION, q->workspace, id, &s);
    a->body_case = WIRE__ANSWER__BODY_SESSION;
    return e ? e : view_session(&v, s, &a->session);
}

static enum err approval_list(struct query *q, const Wire__ApprovalList *l, Wire__Answer *a)
{
    MAKE(q, Wire__Approvals, WIRE__APPROVALS__INIT, out);
    struct view v = view_of(q);
    struct key prefix = { .n = 0 }, end;
    struct cursor c;
    uint32_t limit = limit_of(l->limit, LIST_MAX);
    size_t octets = 0, most = l->bytes_max && l->bytes_max < PAGE_OCTETS ? l->bytes_max : PAGE_OCTETS;
    a->body_case = WIRE__ANSWER__BODY_APPROVALS;
    a->approvals = out;
    out->approvals = arena_alloc(q->arena, limit * sizeof *out->approvals);
    if (!out->approvals)
        return ERR_NO_MEMORY;
    if (l->any_status)
        kind_key(KIND_APPROVAL, q->workspace, 0, &prefix);
    else
        key_u8(key_u64(key_u8(&prefix, INDEX_APPROVAL_STATUS), q->workspace), (uint8_t)(l->status ? l->status : APPROVAL_PENDING));
    enum err e = cursor_open(&c, q->txn, l->any_status ? DB_APPROVAL : DB_INDEX, &prefix);
    if (e)
        return e;
    end = prefix;
    if (l->before)
        key_u64(&end, l->before);
    for (bool on = cursor_seek_before(&c, l->before ? &end : NULL); on && !e; on = cursor_prev(&c)) {
        Rec__Approval *r;
        Wire__Approval *o;
        if (out->n_approvals == limit || octets >= most) {
            out->more = true;
            break;
        }
        e = kind_get(q->txn, q->arena, KIND_APPROVAL, q->workspace, last_u64(&c.key), &r);
        if (!e)
            e = view_approval(&v, r, &o);
        if (e)
            break;
        octets += 200 + strlen(o->task_content) + strlen(o->feedback);
        out->approvals[out->n_approvals++] = o;
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    return e;
}

static enum err approval_get(struct query *q, uint64_t id, Wire__Answer *a)
{
    struct view v = view_of(q);
    Rec__Approval *r;
    enum err e = kind_get(q->txn, q->arena, KIND_APPROVAL, q->workspace, id, &r);
    a->body_case = WIRE__ANSWER__BODY_APPROVAL;
    return e ? e : view_approval(&v, r, &a->approval);
}

// ---------------------------------------------------------------- desktops, workers, overview

static enum err show_desktop(struct query *q, struct view *v, const Rec__Desktop *d, Wire__Desktop **ret)
{
    const struct fleet_desktop *live = fleet_desktop(q->fleet, d->id);
    enum err e = view_desktop(v, d, ret);
    if (e || !live)
        return e;
    MAKE(q, Wire__Metrics, WIRE__METRICS__INIT, m);
    *m = live->metrics;
    (*ret)->metrics = m;
    (*ret)->last_seen_ms = live->seen_ms;
    return ERR_OK;
}

static enum err desktops(struct query *q, Wire__Desktop ***ret, size_t *ret_n)
{
    struct view v = view_of(q);
    struct key prefix;
    struct cursor c;
    size_t n = 0, cap = 64;
    Wire__Desktop **list = arena_alloc(q->arena, cap * sizeof *list);
    kind_key(KIND_DESKTOP, q->workspace, 0, &prefix);
    enum err e = list ? cursor_open(&c, q->txn, DB_DESKTOP, &prefix) : ERR_NO_MEMORY;
    if (e)
        return e;
    for (bool on = cursor_seek_before(&c, NULL); on && !e; on = cursor_prev(&c)) {
        Rec__Desktop *d;
        if (n == cap) {
            Wire__Desktop **more = arena_alloc(q->arena, 2 * cap * sizeof *more);
            if (!more) {
                e = ERR_NO_MEMORY;
                break;
            }
            memcpy(more, list, n * sizeof *list);
            list = more;
            cap *= 2;
        }
        e = kind_unpack(KIND_DESKTOP, q->arena, c.value, &d);
        if (!e)
            e = show_desktop(q, &v, d, &list[n++]);
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    *ret = list;
    *ret_n = n;
    return e;
}

static enum err desktop_list(struct query *q, Wire__Answer *a)
{
    MAKE(q, Wire__Desktops, WIRE__DESKTOPS__INIT, out);
    a->body_case = WIRE__ANSWER__BODY_DESKTOPS;
    a->desktops = out;
    return desktops(q, &out->desktops, &out->n_desktops);
}

static enum err desktop_get(struct query *q, uint64_t id, Wire__Answer *a)
{
    struct view v = view_of(q);
    Rec__Desktop *d;
    enum err e = kind_get(q->txn, q->arena, KIND_DESKTOP, q->workspace, id, &d);
    a->body_case = WIRE__ANSWER__BODY_DESKTOP;
    return e ? e : show_desktop(q, &v, d, &a->desktop);
}

static void add_resources(Wire__Overview *o)
{
    uint64_t cpu = 0;
    unsigned probed = 0;
    for (size_t i = 0; i < o->n_desktops; i++) {
        const Wire__Metrics *m = o->desktops[i]->metrics;
        if (o->desktops[i]->status != DESKTOP_RUNNING)
            continue;
        o->active_desktops++;
        if (!m || !m->probed_ms)
            continue;
        probed++;
        cpu += m->cpu;
        o->memory_used_mib += m->memory_used_mib;
        o->memory_total_mib += m->memory_total_mib;
        o->disk_used_mib += m->disk_used_mib;
        o->disk_total_mib += m->disk_total_mib;
    }
    o->cpu = probed ? (uint32_t)(cpu / probed) : 0;
}

// The last 24 whole hours, this one among them.
static enum err add_hours(const struct query *q, Wire__Overview *o)
{
    uint64_t this_hour = q->now_ms / HOUR_MS;
    for (uint64_t i = 0; i < HOURS; i++) {
        struct key k = { .n = 0 };
        Rec__Hour *h;
        enum err e = rec_get(q->txn, q->arena, DB_HOUR, key_u64(key_u64(&k, q->workspace), this_hour - i), &rec__hour__descriptor, &h);
        if (e == ERR_NOT_FOUND)
            continue;
        if (e)
            return e;
        o->done_24h += h->done;
        o->finished_24h += h->done + h->failed;
        o->duration_sum_ms_24h += h->duration_ms;
    }
    return ERR_OK;
}

static enum err overview(struct query *q, Wire__Answer *a)
{
    MAKE(q, Wire__Overview, WIRE__OVERVIEW__INIT, o);
    struct counts c;
    a->body_case = WIRE__ANSWER__BODY_OVERVIEW;
    a->overview = o;
    o->by_status = arena_alloc(q->arena, TASK_STATUS_COUNT * sizeof *o->by_status);
    enum err e = o->by_status ? counts_read(q->txn, q->arena, q->workspace, 0, &c) : ERR_NO_MEMORY;
    if (e)
        return e;
    o->n_by_status = TASK_STATUS_COUNT;
    for (unsigned s = 0; s < TASK_STATUS_COUNT; s++)
        o->by_status[s] = c.task[s][TYPE_PROMPT] + c.task[s][TYPE_COMMAND];
    o->pending_approvals = c.pending_approvals;
    o->workers = (uint32_t)q->workers;
    e = desktops(q, &o->desktops, &o->n_desktops);
    if (!e)
        add_resources(o);
    return e ? e : add_hours(q, o);
}

static enum err worker_list(struct query *q, Wire__Answer *a)
{
    MAKE(q, Wire__Workers, WIRE__WORKERS__INIT, out);
    struct cursor c;
    size_t cap = 0;
    a->body_case = WIRE__ANSWER__BODY_WORKERS;
    a->workers = out;
    enum err e = cursor_open(&c, q->txn, DB_PEER, NULL);
    if (e)
        return e;
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c))
        cap++;
    out->workers = arena_alloc(q->arena, (cap + 1) * sizeof *out->workers);
    if (!out->workers)
        e = ERR_NO_MEMORY;
    for (bool on = !e && cursor_seek(&c, NULL); on && !e; on = cursor_next(&c)) {
        Rec__Peer *p;
        e = kind_unpack(KIND_PEER, q->arena, c.value, &p);
        if (e || p->role != 2)
            continue;
        Wire__Worker *w = arena_alloc(q->arena, sizeof *w);
        if (!w) {
            e = ERR_NO_MEMORY;
            break;
        }
        *w = (Wire__Worker)WIRE__WORKER__INIT;
        w->id = p->id;
        w->name = p->name;
        w->version = p->version;
        w->slots = p->slots;
        w->last_seen_ms = p->seen_ms;
        fleet_worker(q->fleet, p->id, w);
        out->workers[out->n_workers++] = w;
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    return e;
}

// ---------------------------------------------------------------- accounts

static enum err credential(struct query *q, const Wire__CredentialLookup *l, Wire__Answer *a)
{
    MAKE(q, Wire__Credential, WIRE__CREDENTIAL__INIT, o);
    struct key k = { .n = 0 };
    struct slice s;
    Rec__Key *r;
    Rec__User *u;
    if (l->hash.len != HASH_SIZE)
        return ERR_UNAUTHORIZED;
    enum err e = store_get(q->txn, DB_INDEX, key_bytes(key_u8(&k, INDEX_KEY_HASH), l->hash.data, HASH_SIZE), &s);
    if (!e)
        e = kind_get(q->txn, q->arena, KIND_KEY, key_read_u64(s.p), key_read_u64(s.p + 8), &r);
    if (!e)
        e = kind_get(q->txn, q->arena, KIND_USER, r->workspace, r->user, &u);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_UNAUTHORIZED : e;
    if (r->expires_ms && r->expires_ms <= q->now_ms)
        return ERR_UNAUTHORIZED;
    o->key = r->id;
    o->workspace = r->workspace;
    o->user = u->id;
    o->user_name = u->name;
    o->role = r->role < u->role ? r->role : u->role;
    o->expires_ms = r->expires_ms;
    a->body_case = WIRE__ANSWER__BODY_CREDENTIAL;
    a->credential = o;
    return ERR_OK;
}

// One's own keys, newest first; an admin sees those of the workspace.
static enum err key_list(struct query *q, Wire__Answer *a)
{
    MAKE(q, Wire__Keys, WIRE__KEYS__INIT, out);
    struct view v = view_of(q);
    struct key prefix = { .n = 0 };
    struct cursor c;
    bool all = q->role >= ROLE_ADMIN;
    a->body_case = WIRE__ANSWER__BODY_KEYS;
    a->keys = out;
    out->keys = arena_alloc(q->arena, LIST_MAX * sizeof *out->keys);
    if (!out->keys)
        return ERR_NO_MEMORY;
    if (all)
        kind_key(KIND_KEY, q->workspace, 0, &prefix);
    else
        key_u64(key_u64(key_u8(&prefix, INDEX_KEY_USER), q->workspace), q->user);
    enum err e = cursor_open(&c, q->txn, all ? DB_ACCOUNT : DB_INDEX, &prefix);
    if (e)
        return e;
    for (bool on = cursor_seek_before(&c, NULL); on && !e && out->n_keys < LIST_MAX; on = cursor_prev(&c)) {
        Rec__Key *k;
        e = kind_get(q->txn, q->arena, KIND_KEY, q->workspace, last_u64(&c.key), &k);
        if (!e)
            e = view_key(&v, k, &out->keys[out->n_keys++]);
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    return e;
}

static enum err settings(struct query *q, Wire__Answer *a)
{
    struct view v = view_of(q);
    const Rec__Workspace *ws;
    enum err e = view_workspace(&v, q->workspace, &ws);
    a->body_case = WIRE__ANSWER__BODY_SETTINGS;
    return e ? e : view_settings(&v, ws, &a->settings);
}

// ---------------------------------------------------------------- output

static enum err output_session(struct query *q, const Wire__OutputRead *r, Rec__Session **ret)
{
    Rec__Task *t;
    struct key prefix = { .n = 0 };
    struct cursor c;
    uint64_t id = r->session;
    enum err e = kind_get(q->txn, q->arena, KIND_TASK, q->workspace, r->task, &t);
    if (!e && !id) { // the latest
        e = cursor_open(&c, q->txn, DB_INDEX, key_u64(key_u64(key_u8(&prefix, INDEX_SESSION_TASK), q->workspace), r->task));
        if (e)
            return e;
        if (cursor_seek_before(&c, NULL))
            id = last_u64(&c.key);
        e = c.err;
        cursor_close(&c);
    }
    *ret = NULL;
    if (e || !id)
        return e;
    e = kind_get(q->txn, q->arena, KIND_SESSION, q->workspace, id, ret);
    return !e && (*ret)->task != r->task ? ERR_NOT_FOUND : e;
}

// The piece that holds `offset` begins at or before it: pieces are at most OUTPUT_PIECE_MAX long.
static enum err output_pieces(struct query *q, const Wire__OutputRead *r, const Rec__Session *s, Wire__OutputPage *out)
{
    enum { PIECES_MAX = 1024 };
    struct key prefix = { .n = 0 }, from;
    struct cursor c;
    size_t octets = 0, most = r->bytes_max && r->bytes_max < PAGE_OCTETS ? r->bytes_max : PAGE_OCTETS;
    key_u64(key_u64(&prefix, s->workspace), s->id);
    from = prefix;
    key_u64(&from, r->offset > OUTPUT_PIECE_MAX ? r->offset - OUTPUT_PIECE_MAX : 0);
    out->pieces = arena_alloc(q->arena, PIECES_MAX * sizeof *out->pieces);
    enum err e = out->pieces ? cursor_open(&c, q->txn, DB_OUTPUT, &prefix) : ERR_NO_MEMORY;
    if (e)
        return e;
    for (bool on = cursor_seek(&c, &from); on; on = cursor_next(&c)) {
        uint64_t offset = key_read_u64(c.key.b + 16);
        size_t len = c.value.n - 1, skip = offset < r->offset ? (size_t)(r->offset - offset) : 0;
        if (skip >= len)
            continue;
        if (octets >= most || out->n_pieces == PIECES_MAX) {
            out->more = true;
            break;
        }
        out->next = offset + len;
        if (r->stream && c.value.p[0] != r->stream)
            continue;
        Wire__OutputPiece *p = arena_alloc(q->arena, sizeof *p);
        uint8_t *data = arena_alloc(q->arena, len - skip);
        if (!p || !data) {
            e = ERR_NO_MEMORY;
            break;
        }
        memcpy(data, c.value.p + 1 + skip, len - skip);
        *p = (Wire__OutputPiece)WIRE__OUTPUT_PIECE__INIT;
        p->offset = offset + skip;
        p->stream = c.value.p[0];
        p->data = (ProtobufCBinaryData){ len - skip, data };
        out->pieces[out->n_pieces++] = p;
        octets += len - skip;
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    return e;
}

static enum err output_read(struct query *q, const Wire__OutputRead *r, Wire__Answer *a)
{
    MAKE(q, Wire__OutputPage, WIRE__OUTPUT_PAGE__INIT, out);
    Rec__Session *s;
    a->body_case = WIRE__ANSWER__BODY_OUTPUT_PAGE;
    a->output_page = out;
    out->next = r->offset;
    enum err e = output_session(q, r, &s);
    if (e || !s)
        return e;
    out->session = s->id;
    out->total = s->output_total;
    out->status = s->status;
    out->ended = s->status != SESSION_RUNNING && !s->held;
    return output_pieces(q, r, s, out);
}

// ---------------------------------------------------------------- the log

// Whether a client that has seen `after` can go on from there: the row after it is kept, and it lies in no hole.
static enum err check_after(struct query *q, uint64_t after, protobuf_c_boolean *ret_resync)
{
    struct key k = { .n = 0 };
    struct slice s;
    *ret_resync = false;
    if (after == q->newest || (after + 1 == q->oldest && q->oldest <= q->newest + 1))
        return ERR_OK;
    if (after > q->newest || after + 1 < q->oldest) {
        *ret_resync = true;
        return ERR_OK;
    }
    enum err e = store_get(q->txn, DB_LOG, key_u64(&k, after), &s);
    *ret_resync = e == ERR_NOT_FOUND;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err log_read(struct query *q, const Wire__LogRead *r, Wire__Answer *a)
{
    MAKE(q, Wire__LogPage, WIRE__LOG_PAGE__INIT, out);
    uint32_t limit = r->limit && r->limit < LOG_ROWS_MAX ? r->limit : LOG_ROWS_MAX;
    size_t octets = 0, most = r->bytes_max && r->bytes_max < PAGE_OCTETS ? r->bytes_max : PAGE_OCTETS;
    struct key from = { .n = 0 };
    struct cursor c;
    a->body_case = WIRE__ANSWER__BODY_LOG_PAGE;
    a->log_page = out;
    out->oldest = q->oldest;
    out->newest = q->newest;
    enum err e = r->check ? check_after(q, r->after, &out->resync) : ERR_OK;
    out->rows = arena_alloc(q->arena, limit * sizeof *out->rows);
    if (!e && !out->rows)
        e = ERR_NO_MEMORY;
    if (e || r->first > r->last || !r->last) {
        out->next = r->first;
        return e;
    }
    out->next = r->last + 1;
    e = cursor_open(&c, q->txn, DB_LOG, NULL);
    if (e)
        return e;
    for (bool on = cursor_seek(&c, key_u64(&from, r->first)); on; on = cursor_next(&c)) {
        uint64_t number = key_read_u64(c.key.b);
        if (number > r->last)
            break;
        if (out->n_rows == limit || octets >= most) {
            out->next = number;
            break;
        }
        uint8_t *copy = arena_alloc(q->arena, c.value.n); // it is packed before the transaction ends, but the map is not ours to lend
        if (!copy) {
            e = ERR_NO_MEMORY;
            break;
        }
        memcpy(copy, c.value.p, c.value.n);
        out->rows[out->n_rows++] = (ProtobufCBinaryData){ c.value.n, copy };
        octets += c.value.n;
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    return e;
}

// ---------------------------------------------------------------- which

enum err query_peer(struct query *q, unsigned role, const char *name, Rec__Peer **ret)
{
    struct key k = { .n = 0 };
    struct slice s;
    size_t n = strlen(name);
    key_bytes(key_u8(key_u8(&k, INDEX_PEER_NAME), (uint8_t)role), name, n < 60 ? n : 60);
    enum err e = store_get(q->txn, DB_INDEX, &k, &s);
    return e ? e : kind_get(q->txn, q->arena, KIND_PEER, 0, key_read_u64(s.p), ret);
}

int query_is(Wire__Item__BodyCase body)
{
    return body >= WIRE__ITEM__BODY_CREDENTIAL_LOOKUP && body <= WIRE__ITEM__BODY_WORKER_LIST;
}

static enum err run(struct query *q, const Wire__Item *i, Wire__Answer *a)
{
    switch (i->body_case) {
    case WIRE__ITEM__BODY_CREDENTIAL_LOOKUP: return credential(q, i->credential_lookup, a);
    case WIRE__ITEM__BODY_TASK_LIST: return task_list(q, i->task_list, a);
    case WIRE__ITEM__BODY_TASK_GET: return task_get(q, i->task_get->id, a);
    case WIRE__ITEM__BODY_SESSION_LIST: return session_list(q, i->session_list, a);
    case WIRE__ITEM__BODY_SESSION_GET: return session_get(q, i->session_get->id, a);
    case WIRE__ITEM__BODY_APPROVAL_LIST: return approval_list(q, i->approval_list, a);
    case WIRE__ITEM__BODY_APPROVAL_GET: return approval_get(q, i->approval_get->id, a);
    case WIRE__ITEM__BODY_DESKTOP_LIST: return desktop_list(q, a);
    case WIRE__ITEM__BODY_DESKTOP_GET: return desktop_get(q, i->desktop_get->id, a);
    case WIRE__ITEM__BODY_KEY_LIST: return key_list(q, a);
    case WIRE__ITEM__BODY_SETTINGS_GET: return settings(q, a);
    case WIRE__ITEM__BODY_OVERVIEW: return overview(q, a);
    case WIRE__ITEM__BODY_OUTPUT_READ: return output_read(q, i->output_read, a);
    case WIRE__ITEM__BODY_LOG_READ: return log_read(q, i->log_read, a);
    case WIRE__ITEM__BODY_WORKER_LIST: return worker_list(q, a);
    default: return refuse(a, ERR_BAD_REQUEST, "", "This broker does not know the message");
    }
}

void query_run(struct query *q, const Wire__Item *item, Wire__Answer *a)
{
    q->workspace = item->actor ? item->actor->workspace : 0;
    q->user = item->actor ? item->actor->user : 0;
    q->role = item->actor ? item->actor->role : 0;
    enum err e = run(q, item, a);
    a->err = e;
    if (e)
        a->body_case = WIRE__ANSWER__BODY__NOT_SET;
}
