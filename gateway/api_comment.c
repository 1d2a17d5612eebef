// Comments on tasks: oldest first, all of them in bounded memory, or a page.
#include "api.h"
#include "paged.h"
#include "params.h"
#include "shape_comment.h"

static void ask_page(const struct paged_filter *f, uint64_t after, uint32_t limit, paged_send *send, void *u)
{
    Wire__CommentList m = WIRE__COMMENT_LIST__INIT;
    Wire__Item item = WIRE__ITEM__INIT;

    m.task = f->task;
    m.after = after;
    m.limit = limit;
    m.bytes_max = PAGED_BYTES;
    item.body_case = WIRE__ITEM__BODY_COMMENT_LIST;
    item.comment_list = &m;
    send(u, &item);
}

static void render_page(const Wire__Answer *a, struct json *j, struct paged_end *ret)
{
    const Wire__Comments *c = a->comments;

    for (size_t i = 0; i < c->n_comments; i++)
        shape_comment(j, c->comments[i]);
    *ret = (struct paged_end){ .n = (uint32_t)c->n_comments, .more = c->more, .total = c->total, .has_total = true,
                               .before = c->n_comments ? c->comments[c->n_comments - 1]->id : 0 };
}

static const char *const kept[] = { "limit", NULL };
static const struct paged_kind pages = { WIRE__ANSWER__BODY_COMMENTS, ENTITY_COMMENT, kept, ask_page, render_page };

void api_comment_list(struct request *r)
{
    struct paged_filter f = { .task = r->id, .oldest_first = true };
    uint64_t limit = 0;

    if (!params_number(r, "limit", 1, LIST_MAX, &limit) || !params_after(r, ENTITY_COMMENT, &f.before))
        return;
    f.limit = (uint32_t)limit;
    paged_start(r, &pages, &f);
}

static void added(struct request *r, const Wire__Answer *a)
{
    shape_comment(request_json(), a->comment);
    request_send(r, 201);
}

static enum err add(struct request *r, const json_t *body, void *m, struct fault *f)
{
    return shape_comment_add(body, r->id, m, f);
}

void api_comment_add(struct request *r)
{
    Wire__CommentAdd m;

    request_ask_body(r, add, &m, WIRE__ITEM__BODY_COMMENT_ADD, WIRE__ANSWER__BODY_COMMENT, added);
}
