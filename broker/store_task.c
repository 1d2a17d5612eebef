#include "store_task.h"
#include <string.h>
#include "store_comment.h"

enum { HOUR_MS = 3600 * 1000, MINUTE_MS = 60 * 1000 };

static void remember(struct task_ref *ref)
{
    kind_entries(KIND_TASK, ref->t, &ref->old);
    ref->old_status = ref->t->status;
    ref->old_type = ref->t->type;
    ref->old_desktop = ref->t->desktop;
    ref->old_waiting = ref->t->queued != 0;
}

enum err task_open(struct work *w, uint64_t workspace, uint64_t id, struct task_ref *ret)
{
    enum err e = work_get(w, KIND_TASK, workspace, id, &ret->t, NULL);
    if (!e)
        remember(ret);
    return e;
}

// Adds `by` to the cell of a task in the workspace's and its desktop's counters.
static enum err count(struct work *w, uint64_t workspace, uint64_t desktop, unsigned status, unsigned type, bool waiting, int by)
{
    uint64_t at[2] = { 0, desktop };
    for (int i = 0; i < 2; i++) {
        struct counts *c;
        enum err e = work_counts(w, workspace, at[i], &c);
        if (e)
            return e;
        c->task[status][type] += (uint64_t)(int64_t)by;
        if (waiting)
            c->waiting += (uint64_t)(int64_t)by;
        c->dirty = true;
    }
    return ERR_OK;
}

enum err task_save(struct work *w, struct task_ref *ref)
{
    const Rec__Task *t = ref->t;
    enum err e = ERR_OK;
    bool waiting = t->queued != 0;
    if (t->status != ref->old_status || t->desktop != ref->old_desktop || t->type != ref->old_type || waiting != ref->old_waiting) {
        e = count(w, t->workspace, ref->old_desktop, ref->old_status, ref->old_type, ref->old_waiting, -1);
        if (!e)
            e = count(w, t->workspace, t->desktop, t->status, t->type, waiting, 1);
        work_touch_desktop(w, t->workspace, t->desktop);
    }
    if (!e)
        e = work_put(w, KIND_TASK, &ref->old, t);
    remember(ref);
    return e;
}

static struct key blob_key(uint64_t id)
{
    struct key k = { .n = 0 };
    return *key_u64(&k, id);
}

static enum err put_content(struct work *w, Rec__Task *t, const char *content)
{
    static char nothing[1];
    struct key k = blob_key(t->id);
    size_t n = strlen(content);
    bool was_apart = t->content_apart;

    t->content_apart = n > CONTENT_INLINE;
    w->wrote = true;
    if (t->content_apart) {
        t->content = nothing;
        return store_put(w->txn, DB_BLOB, &k, content, n);
    }
    t->content = work_copy(w, content, n);
    return was_apart ? store_del(w->txn, DB_BLOB, &k) : ERR_OK;
}

enum err task_set_content(struct work *w, struct task_ref *ref, const char *content)
{
    return put_content(w, ref->t, content);
}

enum err task_add(struct work *w, Rec__Task *t, const char *content)
{
    t->id = work_id(w, ENTITY_TASK);
    t->workspace = w->workspace;
    t->created_ms = w->now_ms;
    enum err e = put_content(w, t, content);
    if (!e)
        e = count(w, t->workspace, t->desktop, t->status, t->type, t->queued != 0, 1);
    if (!e)
        e = work_put(w, KIND_TASK, NULL, t);
    work_touch_desktop(w, t->workspace, t->desktop);
    return e;
}

enum err task_content(struct txn *t, struct arena *a, const Rec__Task *task, char **ret)
{
    if (!task->content_apart) {
        *ret = task->content;
        return ERR_OK;
    }
    struct key k = blob_key(task->id);
    struct slice s;
    enum err e = store_get(t, DB_BLOB, &k, &s);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
    char *p = arena_alloc(a, s.n + 1);
    if (!p)
        return ERR_NO_MEMORY;
    memcpy(p, s.p, s.n);
    p[s.n] = 0;
    *ret = p;
    return ERR_OK;
}

enum err task_remove(struct work *w, struct task_ref *ref)
{
    Rec__Task *t = ref->t;
    enum err e = t->attempt || t->comments ? gone_mark(w, t->workspace, t->id) : ERR_OK;
    if (!e && t->content_apart) {
        struct key k = blob_key(t->id);
        e = store_del(w->txn, DB_BLOB, &k);
    }
    if (!e)
        e = count(w, t->workspace, ref->old_desktop, ref->old_status, ref->old_type, ref->old_waiting, -1);
    if (!e)
        e = work_del(w, KIND_TASK, &ref->old, t);
    work_touch_desktop(w, t->workspace, t->desktop);
    return e;
}

enum err session_open(struct work *w, uint64_t workspace, uint64_t id, struct session_ref *ret)
{
    enum err e = work_get(w, KIND_SESSION, workspace, id, &ret->s, &ret->old);
    if (!e)
        ret->old_held = ret->s->held;
    return e;
}

static enum err count_held(struct work *w, const Rec__Session *s, int by)
{
    struct counts *c;
    enum err e = work_counts(w, s->workspace, s->desktop, &c);
    if (e)
        return e;
    c->held += (uint64_t)(int64_t)by;
    c->dirty = true;
    work_touch_desktop(w, s->workspace, s->desktop);
    return ERR_OK;
}

enum err session_save(struct work *w, struct session_ref *ref)
{
    enum err e = ERR_OK;
    if (ref->old_held != ref->s->held)
        e = count_held(w, ref->s, ref->s->held ? 1 : -1);
    if (!e)
        e = work_put(w, KIND_SESSION, &ref->old, ref->s);
    kind_entries(KIND_SESSION, ref->s, &ref->old);
    ref->old_held = ref->s->held;
    return e;
}

enum err session_add(struct work *w, Rec__Session *s)
{
    s->id = work_id(w, ENTITY_SESSION);
    enum err e = s->held ? count_held(w, s, 1) : ERR_OK;
    return e ? e : work_put(w, KIND_SESSION, NULL, s);
}

static struct key *output_key(struct key *k, const Rec__Session *s, uint64_t offset)
{
    k->n = 0;
    return key_u64(key_u64(key_u64(k, s->workspace), s->id), offset);
}

// Takes away kept pieces that lie between the head and the last OUTPUT_TAIL octets. A piece is dropped only when all of it is out.
static enum err trim(struct work *w, Rec__Session *s)
{
    uint64_t keep = s->output_upto > OUTPUT_TAIL ? s->output_upto - OUTPUT_TAIL : 0;
    struct key prefix = { .n = 0 }, from;
    struct cursor c;
    if (keep <= OUTPUT_HEAD)
        return ERR_OK;
    enum err e = cursor_open(&c, w->txn, DB_OUTPUT, key_u64(key_u64(&prefix, s->workspace), s->id));
    if (e)
        return e;
    uint64_t first = s->tail_first > OUTPUT_HEAD ? s->tail_first : OUTPUT_HEAD;
    bool on = cursor_seek(&c, output_key(&from, s, first));
    for (; on && !e; on = cursor_next(&c)) {
        uint64_t offset = key_read_u64(c.key.b + 16), len = c.value.n - 1;
        if (offset + len > keep)
            break;
        e = cursor_del(&c);
        s->output_truncated = true;
        s->tail_first = offset + len;
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    return e;
}

enum err session_output(struct work *w, struct session_ref *ref, Wire__OutputPiece **pieces, size_t n, uint64_t total)
{
    Rec__Session *s = ref->s;
    for (size_t i = 0; i < n; i++) {
        const Wire__OutputPiece *p = pieces[i];
        uint64_t offset = p->offset, end = offset + p->data.len;
        if (end <= s->output_upto)
            continue;
        size_t skip = offset < s->output_upto ? (size_t)(s->output_upto - offset) : 0;
        if (offset > s->output_upto)
            s->output_truncated = true; // the worker's ring overran: a hole
        size_t len = p->data.len - skip;
        uint8_t *v = arena_alloc(w->arena, len + 1);
        if (!v)
            return ERR_NO_MEMORY;
        v[0] = (uint8_t)p->stream;
        memcpy(v + 1, p->data.data + skip, len);
        struct key k;
        w->wrote = true;
        enum err e = store_put(w->txn, DB_OUTPUT, output_key(&k, s, offset + skip), v, len + 1);
        if (e)
            return e;
        s->output_upto = end;
    }
    if (total > s->output_total)
        s->output_total = total;
    return trim(w, s);
}

enum err approval_count(struct work *w, uint64_t workspace, int by)
{
    struct counts *c;
    enum err e = work_counts(w, workspace, 0, &c);
    if (e)
        return e;
    c->pending_approvals += (uint64_t)(int64_t)by;
    c->dirty = true;
    return ERR_OK;
}

bool hour_has_minutes(const Rec__Hour *h)
{
    return h->n_minute_done == HOUR_MINUTES && h->n_minute_failed == HOUR_MINUTES && h->n_minute_duration_ms == HOUR_MINUTES;
}

// Hours that no answer needs any more; a few with each new one, so that they never pile up.
static enum err drop_old_hours(struct work *w, uint64_t workspace)
{
    enum { KEPT = 48, AT_MOST = 3 };
    struct key prefix = { .n = 0 };
    struct cursor c;
    enum err e = cursor_open(&c, w->txn, DB_HOUR, key_u64(&prefix, workspace));
    if (e)
        return e;
    bool on = cursor_seek(&c, NULL);
    for (int i = 0; on && i < AT_MOST && !e && key_read_u64(c.key.b + 8) + KEPT < w->now_ms / HOUR_MS; i++) {
        w->wrote = true;
        e = cursor_del(&c);
        on = !e && cursor_next(&c);
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    return e;
}

enum err hour_add(struct work *w, uint64_t workspace, bool done, uint64_t duration_ms)
{
    struct key k = { .n = 0 };
    Rec__Hour fresh = REC__HOUR__INIT, *h;
    uint64_t minutes[3][HOUR_MINUTES] = { { 0 } };
    unsigned minute = (unsigned)(w->now_ms / MINUTE_MS % HOUR_MINUTES);
    key_u64(key_u64(&k, workspace), w->now_ms / HOUR_MS);
    enum err e = rec_get(w->txn, w->arena, DB_HOUR, &k, &rec__hour__descriptor, &h);
    if (e == ERR_NOT_FOUND) {
        h = &fresh;
        e = drop_old_hours(w, workspace);
    }
    if (e)
        return e;
    if (!hour_has_minutes(h)) {
        h->minute_done = minutes[0];
        h->minute_failed = minutes[1];
        h->minute_duration_ms = minutes[2];
        h->n_minute_done = h->n_minute_failed = h->n_minute_duration_ms = HOUR_MINUTES;
    }
    *(done ? &h->done : &h->failed) += 1;
    h->duration_ms += duration_ms;
    (done ? h->minute_done : h->minute_failed)[minute] += 1;
    h->minute_duration_ms[minute] += duration_ms;
    return rec_put(w->txn, w->arena, DB_HOUR, &k, h);
}
