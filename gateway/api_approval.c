// Approvals: what waits for a person's decision.
#include "api.h"
#include "hot.h"
#include "paged.h"
#include "params.h"
#include "shape.h"
#include "shape_body.h"

static unsigned find_status(const char *s) { return approval_status_find(s); }

static void list_item(const struct paged_filter *f, uint64_t before, Wire__ApprovalList *m, Wire__Item *item)
{
    wire__approval_list__init(m);
    wire__item__init(item);
    m->status = f->status ? f->status : APPROVAL_PENDING;
    m->limit = PAGED_ITEMS;
    m->before = before;
    m->bytes_max = PAGED_BYTES;
    item->body_case = WIRE__ITEM__BODY_APPROVAL_LIST;
    item->approval_list = m;
}

static void ask_page(const struct paged_filter *f, uint64_t before, uint32_t limit, paged_send *send, void *u)
{
    Wire__ApprovalList m;
    Wire__Item item;

    (void)limit;
    list_item(f, before, &m, &item);
    send(u, &item);
}

static void render_page(const Wire__Answer *a, struct json *j, struct paged_end *ret)
{
    const Wire__Approvals *l = a->approvals;

    for (size_t i = 0; i < l->n_approvals; i++)
        shape_approval(j, l->approvals[i]);
    *ret = (struct paged_end){ .n = (uint32_t)l->n_approvals, .more = l->more,
                               .before = l->n_approvals ? l->approvals[l->n_approvals - 1]->id : 0 };
}

static const char *const kept[] = { "status", NULL };
static const struct paged_kind pages = { WIRE__ANSWER__BODY_APPROVALS, ENTITY_APPROVAL, kept, ask_page, render_page };

static bool render_list(struct hot_page *p, const Wire__Answer *a)
{
    struct paged_end end;

    if (a->approvals->more)
        return false;
    json_open(p->j, '[');
    render_page(a, p->j, &end);
    json_close(p->j, ']');
    return true;
}

// There are more than one page holds: everybody gets their own pages.
static void list_all(struct request *r)
{
    struct paged_filter f = { 0 };

    if (params_word(r, "status", find_status, approval_status_words(), &f.status))
        paged_start(r, &pages, &f);
}

void api_approval_list(struct request *r)
{
    struct paged_filter f = { 0 };
    Wire__ApprovalList m;
    Wire__Item item;

    if (hot_serve(r) || !params_word(r, "status", find_status, approval_status_words(), &f.status))
        return;
    list_item(&f, 0, &m, &item);
    hot_ask(r, &item, WIRE__ANSWER__BODY_APPROVALS, render_list, list_all);
}

static void shown(struct request *r, const Wire__Answer *a)
{
    shape_approval(request_json(), a->approval);
    request_send(r, 200);
}

void api_approval_get(struct request *r)
{
    request_ask_target(r, WIRE__ITEM__BODY_APPROVAL_GET, r->id, WIRE__ANSWER__BODY_APPROVAL, shown);
}

struct decide {
    Wire__Resolve m;
    uint64_t task, approval;
};

static enum err resolve(struct request *r, const json_t *body, void *m, struct fault *f)
{
    struct decide *d = m;

    (void)r;
    return shape_resolve(body, d->task, d->approval, &d->m, f);
}

void api_decide(struct request *r, uint64_t task, uint64_t approval, Wire__Answer__BodyCase want, request_answered *answered)
{
    struct decide d = { .task = task, .approval = approval };

    request_ask_body(r, resolve, &d, WIRE__ITEM__BODY_RESOLVE, want, answered);
}

void api_approval_resolve(struct request *r)
{
    api_decide(r, 0, r->id, WIRE__ANSWER__BODY_APPROVAL, shown);
}
