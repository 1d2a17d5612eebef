// Lists of tasks: one walk by id, or a merge of the index ranges a filter needs.
#include <string.h>
#include "check.h"
#include "names.h"
#include "query_parts.h"
#include "store_task.h"
#include "task_scan.h"

enum { SCAN_OCTETS = 8 * 1024 * 1024 }; // of text a search reads for one answer

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

static enum err merge_add(struct merge *m, struct txn *t, const struct key *prefix, uint64_t before)
{
    struct cursor *c = &m->c[m->n];
    enum err e = cursor_open(c, t, DB_INDEX, prefix);
    if (e)
        return e;
    m->on[m->n++] = cursor_seek_newest(c, before);
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
    struct task_scan scan;
    uint32_t limit, seen;
    size_t octets, octets_max, scanned;
};

static enum err matches(struct task_page *p, uint64_t id, struct slice packed, bool *ret)
{
    enum scan found;
    struct key k = { .n = 0 };
    struct slice content;
    enum err e = task_scan_record(&p->scan, packed, &found);
    p->scanned += packed.n;
    *ret = found == SCAN_YES;
    if (e || found != SCAN_APART)
        return e;
    e = store_get(p->q->txn, DB_BLOB, key_u64(&k, id), &content);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
    p->scanned += content.n;
    *ret = task_scan_text(&p->scan, content);
    return ERR_OK;
}

// Adds one task as it is stored; *ret_full: the page is full, and this one belongs to the next.
static enum err page_add(struct task_page *p, uint64_t id, struct slice packed, bool *ret_full)
{
    Rec__Task *t;
    Wire__Task *o;
    bool wanted = true;
    *ret_full = p->out->n_tasks == p->limit || p->octets >= p->octets_max || p->seen == SCAN_MAX || p->scanned > SCAN_OCTETS;
    if (*ret_full)
        return ERR_OK;
    p->seen++;
    p->out->next_before = id;
    enum err e = *p->l->q ? matches(p, id, packed, &wanted) : ERR_OK;
    if (e || !wanted)
        return e;
    e = kind_unpack(KIND_TASK, p->q->arena, packed, &t);
    if (!e)
        e = view_task(&p->view, t, &o);
    if (e)
        return e;
    p->octets += 200 + strlen(o->content) + strlen(o->failure_text);
    p->out->tasks[p->out->n_tasks++] = o;
    return ERR_OK;
}

static enum err page_by_id(struct task_page *p)
{
    struct key prefix;
    struct cursor c;
    bool full = false;
    kind_key(KIND_TASK, p->q->workspace, 0, &prefix);
    enum err e = cursor_open(&c, p->q->txn, DB_TASK, &prefix);
    if (e)
        return e;
    bool on = cursor_seek_newest(&c, p->l->before);
    for (; on && !full && !e; on = !full && cursor_prev(&c))
        e = page_add(p, last_u64(&c.key), c.value, &full);
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
        struct key k;
        struct slice packed;
        kind_key(KIND_TASK, p->q->workspace, id, &k);
        e = store_get(p->q->txn, DB_TASK, &k, &packed);
        if (!e)
            e = page_add(p, id, packed, &full);
    }
    p->out->more = full;
    merge_close(&m);
    return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
}

enum err query_task_list(struct query *q, const Wire__TaskList *l, Wire__Answer *a)
{
    MAKE(q, Wire__Tasks, WIRE__TASKS__INIT, out);
    struct task_page p = { .q = q, .l = l, .out = out, .view = view_of(q), .scan = task_scan_for(l->q), .limit = limit_of(l->limit, LIST_MAX),
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

enum err query_task_get(struct query *q, uint64_t id, Wire__Answer *a)
{
    struct view v = view_of(q);
    Rec__Task *t;
    enum err e = kind_get(q->txn, q->arena, KIND_TASK, q->workspace, id, &t);
    a->body_case = WIRE__ANSWER__BODY_TASK;
    return e ? e : view_task(&v, t, &a->task);
}
