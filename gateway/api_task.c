// Tasks: list, create, look, change, and the four things that can be done to one.
#include "api.h"
#include <string.h>
#include "api_output.h"
#include "crypto.h"
#include "gateway.h"
#include "hot.h"
#include "paged.h"
#include "params.h"
#include "query.h"
#include "shape.h"
#include "shape_body.h"

static const char path[] = "/api/mission-control/tasks";

static void send_task(struct request *r, unsigned status, const Wire__Answer *a)
{
    shape_task(request_json(), a->task);
    request_send(r, status);
}

static void shown(struct request *r, const Wire__Answer *a)
{
    send_task(r, 200, a);
}

// ---------------------------------------------------------------- list

enum { Q_MAX = 1024 };

static unsigned find_status(const char *s) { return task_status_find(s); }
static unsigned find_type(const char *s) { return task_type_find(s); }

struct list_params {
    struct paged_filter f;
    uint64_t limit, before; // 0: not given
    bool nothing;           // asks for what cannot be
    char q[Q_MAX];
};

static bool read_params(struct request *r, struct list_params *p)
{
    memset(&p->f, 0, sizeof p->f);
    p->limit = p->before = 0;
    p->nothing = false;
    p->q[0] = 0;
    p->f.q = p->q;
    return params_word(r, "status", find_status, task_status_words(), &p->f.status) &&
           params_id(r, "desktopId", ENTITY_DESKTOP, &p->f.desktop, &p->nothing) &&
           params_word(r, "type", find_type, task_type_words(), &p->f.type) && params_text(r, "q", p->q, sizeof p->q) &&
           params_number(r, "limit", 1, LIST_MAX, &p->limit) && params_before(r, ENTITY_TASK, &p->before);
}

static void list_item(const struct paged_filter *f, uint64_t before, uint32_t limit, Wire__TaskList *m, Wire__Item *item)
{
    wire__task_list__init(m);
    wire__item__init(item);
    m->status = f->status;
    m->desktop = f->desktop;
    m->type = f->type;
    m->q = f->q;
    m->limit = limit;
    m->before = before;
    m->bytes_max = PAGED_BYTES;
    item->body_case = WIRE__ITEM__BODY_TASK_LIST;
    item->task_list = m;
}

static void ask_page(const struct paged_filter *f, uint64_t before, uint32_t limit, paged_send *send, void *u)
{
    Wire__TaskList m;
    Wire__Item item;

    list_item(f, before, limit, &m, &item);
    send(u, &item);
}

static void render_page(const Wire__Answer *a, struct json *j, struct paged_end *ret)
{
    const Wire__Tasks *t = a->tasks;

    for (size_t i = 0; i < t->n_tasks; i++)
        shape_task(j, t->tasks[i]);
    *ret = (struct paged_end){ .n = (uint32_t)t->n_tasks, .more = t->more, .before = t->next_before, .total = t->total,
                               .has_total = t->has_total };
}

static const char *const kept[] = { "status", "desktopId", "type", "q", "limit", NULL };
static const struct paged_kind pages = { WIRE__ANSWER__BODY_TASKS, ENTITY_TASK, kept, ask_page, render_page };

static uint64_t limit_of(struct text query)
{
    char out[32];
    struct text t;
    uint64_t n = LIST_MAX;

    if (query_get(query, "limit", out, sizeof out, &t) == ERR_OK && t.p)
        (void)query_number(t, 1, LIST_MAX, &n);
    return n;
}

static bool render_list(struct hot_page *p, const Wire__Answer *a)
{
    struct paged_end end;

    json_open(p->j, '[');
    render_page(a, p->j, &end);
    json_close(p->j, ']');
    p->total = end.total;
    p->has_total = end.has_total;
    if (end.more && end.n < limit_of(p->query))
        return false; // the page ended early: large contents, or a search that found little yet
    if (end.more)
        paged_link(&pages, (struct text){ path, sizeof path - 1 }, p->query, end.before, p->link);
    return true;
}

static void send_nothing(struct request *r)
{
    struct json *j = request_json();

    r->x->sequence = ask_newest(r->x->gw->ask);
    exchange_add(r->x, "X-Total-Count", "0");
    json_open(j, '[');
    json_close(j, ']');
    request_send(r, 200);
}

static void list_in_pages(struct request *r)
{
    struct list_params p;

    if (!read_params(r, &p))
        return;
    p.f.before = p.before;
    p.f.limit = (uint32_t)p.limit;
    paged_start(r, &pages, &p.f);
}

void api_task_list(struct request *r)
{
    struct list_params p;
    Wire__TaskList m;
    Wire__Item item;

    if (hot_serve(r) || !read_params(r, &p))
        return;
    if (p.nothing) {
        send_nothing(r);
    } else if (!p.limit) {
        list_in_pages(r);
    } else {
        list_item(&p.f, p.before, (uint32_t)p.limit, &m, &item);
        hot_ask(r, &item, WIRE__ANSWER__BODY_TASKS, render_list, list_in_pages);
    }
}

// ---------------------------------------------------------------- create

static void created(struct request *r, const Wire__Answer *a)
{
    char at[sizeof path + ID_TEXT_MAX];

    memcpy(at, path, sizeof path - 1);
    at[sizeof path - 1] = '/';
    (void)id_format(at + sizeof path, ENTITY_TASK, a->task->id);
    exchange_add(r->x, "Location", at);
    send_task(r, 201, a);
}

// Into out, NUL-terminated. False: it is there and not 1 to 255 printable characters.
static bool idempotency_key(const struct exchange *x, char out[IDEMPOTENCY_KEY_MAX + 1])
{
    unsigned many = 0;
    struct text h = exchange_header(x, "idempotency-key", &many);

    out[0] = 0;
    if (!h.p)
        return true;
    if (many > 1 || h.n < 1 || h.n > IDEMPOTENCY_KEY_MAX)
        return false;
    for (size_t i = 0; i < h.n; i++)
        if (h.p[i] < 0x20 || h.p[i] >= 0x7f)
            return false;
    memcpy(out, h.p, h.n);
    out[h.n] = 0;
    return true;
}

struct new_task {
    Wire__TaskCreate m;
    char key[IDEMPOTENCY_KEY_MAX + 1]; // "": none
    uint8_t hash[HASH_SIZE];
};

static enum err create(struct request *r, const json_t *body, void *m, struct fault *f)
{
    struct new_task *t = m;
    enum err e = shape_task_create(body, &t->m, f);

    if (e == ERR_OK && t->key[0]) {
        crypto_hash(t->hash, r->x->body.p, r->x->body.n);
        t->m.idempotency_key = t->key;
        t->m.body_hash = (ProtobufCBinaryData){ HASH_SIZE, t->hash };
    }
    return e;
}

void api_task_create(struct request *r)
{
    struct new_task t;

    if (idempotency_key(r->x, t.key))
        request_ask_body(r, create, &t, WIRE__ITEM__BODY_TASK_CREATE, WIRE__ANSWER__BODY_TASK, created);
    else
        request_fail(r, ERR_INVALID_FIELD, "Idempotency-Key", "It must be 1 to 255 printable ASCII characters");
}

// ---------------------------------------------------------------- one task

void api_task_get(struct request *r)
{
    request_ask_target(r, WIRE__ITEM__BODY_TASK_GET, r->id, WIRE__ANSWER__BODY_TASK, shown);
}

static enum err edit(struct request *r, const json_t *body, void *m, struct fault *f)
{
    return shape_task_edit(body, r->id, m, f);
}

void api_task_edit(struct request *r)
{
    Wire__TaskEdit m;

    request_ask_body(r, edit, &m, WIRE__ITEM__BODY_TASK_EDIT, WIRE__ANSWER__BODY_TASK, shown);
}

void api_task_delete(struct request *r)
{
    request_ask_target(r, WIRE__ITEM__BODY_TASK_DELETE, r->id, WIRE__ANSWER__BODY__NOT_SET, request_done);
}

void api_task_run(struct request *r)
{
    request_ask_target(r, WIRE__ITEM__BODY_TASK_RUN, r->id, WIRE__ANSWER__BODY_TASK, shown);
}

void api_task_cancel(struct request *r)
{
    request_ask_target(r, WIRE__ITEM__BODY_TASK_CANCEL, r->id, WIRE__ANSWER__BODY_TASK, shown);
}

void api_task_retry(struct request *r)
{
    request_ask_target(r, WIRE__ITEM__BODY_TASK_RETRY, r->id, WIRE__ANSWER__BODY_TASK, shown);
}

void api_task_review(struct request *r)
{
    api_decide(r, r->id, 0, WIRE__ANSWER__BODY_TASK, shown);
}

void api_task_output(struct request *r)
{
    struct exchange *x = r->x;
    uint64_t task = r->id;

    request_let_go(r);
    api_output(x, task);
}
