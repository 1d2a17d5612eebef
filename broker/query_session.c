// Sessions and what they wrote, and approvals.
#include <string.h>
#include "check.h"
#include "names.h"
#include "query_parts.h"
#include "store_comment.h"
#include "store_task.h"

// A session whose task was deleted waits for the sweep only: it is not there any more. known: a task that is.
static enum err unless_gone(struct query *q, const Rec__Session *s, uint64_t *known)
{
    bool gone;
    if (s->task == *known)
        return ERR_OK;
    enum err e = gone_is(q->txn, s->workspace, s->task, &gone);
    if (e || gone)
        return e ? e : ERR_NOT_FOUND;
    *known = s->task;
    return ERR_OK;
}

enum err query_session_list(struct query *q, const Wire__SessionList *l, Wire__Answer *a)
{
    MAKE(q, Wire__Sessions, WIRE__SESSIONS__INIT, out);
    struct view v = view_of(q);
    struct key prefix = { .n = 0 };
    struct cursor c;
    uint32_t limit = limit_of(l->limit, LIST_MAX), seen = 0;
    uint64_t known = 0;
    a->body_case = WIRE__ANSWER__BODY_SESSIONS;
    a->sessions = out;
    out->sessions = arena_alloc(q->arena, limit * sizeof *out->sessions);
    if (!out->sessions)
        return ERR_NO_MEMORY;
    if (l->task)
        key_u64(key_u64(key_u8(&prefix, INDEX_SESSION_TASK), q->workspace), l->task);
    else
        kind_key(KIND_SESSION, q->workspace, 0, &prefix);
    enum err e = cursor_open(&c, q->txn, l->task ? DB_INDEX : DB_SESSION, &prefix);
    if (e)
        return e;
    for (bool on = cursor_seek_newest(&c, l->before); on && !e; on = cursor_prev(&c)) {
        Rec__Session *s;
        if (out->n_sessions == limit || seen++ == SCAN_MAX) {
            out->more = true;
            break;
        }
        out->next_before = last_u64(&c.key);
        e = kind_get(q->txn, q->arena, KIND_SESSION, q->workspace, out->next_before, &s);
        if (e || (l->status && s->status != l->status) || (l->desktop && s->desktop != l->desktop))
            continue;
        e = unless_gone(q, s, &known);
        if (e == ERR_NOT_FOUND) {
            e = ERR_OK;
            continue;
        }
        if (e)
            break;
        e = view_session(&v, s, &out->sessions[out->n_sessions++]);
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    return e;
}

enum err query_session_get(struct query *q, uint64_t id, Wire__Answer *a)
{
    struct view v = view_of(q);
    Rec__Session *s;
    uint64_t known = 0;
    enum err e = kind_get(q->txn, q->arena, KIND_SESSION, q->workspace, id, &s);
    a->body_case = WIRE__ANSWER__BODY_SESSION;
    if (!e)
        e = unless_gone(q, s, &known);
    return e ? e : view_session(&v, s, &a->session);
}

enum err query_approval_list(struct query *q, const Wire__ApprovalList *l, Wire__Answer *a)
{
    MAKE(q, Wire__Approvals, WIRE__APPROVALS__INIT, out);
    struct view v = view_of(q);
    struct key prefix = { .n = 0 };
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
    for (bool on = cursor_seek_newest(&c, l->before); on && !e; on = cursor_prev(&c)) {
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

enum err query_approval_get(struct query *q, uint64_t id, Wire__Answer *a)
{
    struct view v = view_of(q);
    Rec__Approval *r;
    enum err e = kind_get(q->txn, q->arena, KIND_APPROVAL, q->workspace, id, &r);
    a->body_case = WIRE__ANSWER__BODY_APPROVAL;
    return e ? e : view_approval(&v, r, &a->approval);
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

enum err query_output_read(struct query *q, const Wire__OutputRead *r, Wire__Answer *a)
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
