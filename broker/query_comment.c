// The comments of a task, oldest first.
#include <string.h>
#include "query_parts.h"
#include "store_comment.h"

struct comment_page {
    Wire__Comments *out;
    uint32_t limit;
    size_t octets, octets_max;
};

static enum err fill(struct query *q, struct comment_page *p, struct cursor *c, const struct key *from)
{
    struct view v = view_of(q);
    for (bool on = cursor_seek(c, from); on; on = cursor_next(c)) {
        if (p->out->n_comments == p->limit || p->octets >= p->octets_max) {
            p->out->more = true;
            return ERR_OK;
        }
        Rec__Comment *r = rec__comment__unpack(arena_allocator(q->arena), c->value.n, c->value.p);
        if (!r)
            return ERR_CORRUPT;
        enum err e = view_comment(&v, r, &p->out->comments[p->out->n_comments]);
        if (e)
            return e;
        p->octets += 100 + strlen(r->content);
        p->out->n_comments++;
    }
    return c->err;
}

enum err query_comment_list(struct query *q, const Wire__CommentList *l, Wire__Answer *a)
{
    MAKE(q, Wire__Comments, WIRE__COMMENTS__INIT, out);
    struct comment_page p = { .out = out, .limit = limit_of(l->limit, LIST_MAX),
                              .octets_max = l->bytes_max && l->bytes_max < PAGE_OCTETS ? l->bytes_max : PAGE_OCTETS };
    struct key prefix, from;
    struct cursor c;
    Rec__Task *t;
    a->body_case = WIRE__ANSWER__BODY_COMMENTS;
    a->comments = out;
    enum err e = kind_get(q->txn, q->arena, KIND_TASK, q->workspace, l->task, &t); // what a deleted task left is not served
    if (e)
        return e;
    out->total = t->comments;
    out->comments = arena_alloc(q->arena, p.limit * sizeof *out->comments);
    e = out->comments ? cursor_open(&c, q->txn, DB_COMMENT, comment_key(&prefix, q->workspace, t->id, 0)) : ERR_NO_MEMORY;
    if (e)
        return e;
    e = fill(q, &p, &c, comment_key(&from, q->workspace, t->id, l->after < INT64_MAX ? l->after + 1 : INT64_MAX));
    cursor_close(&c);
    return e;
}
