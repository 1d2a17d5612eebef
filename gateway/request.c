// Happy path: request_new, (credential), request_ask, the answer, request_json ... request_send. The client may go away at any
// moment in between: gone() then takes back what is asked for and frees the request.
#include "request.h"
#include <stdlib.h>
#include "crypto.h"
#include "gateway.h"

enum { POOL_MAX = 256, BUF_KEEP = 1024 * 1024 };

static struct list pool = { &pool, &pool }; // requests come and go with every answer: their memory stays
static unsigned pooled;
static struct buf out;
static struct json writer;

static void take_back(struct request *r)
{
    ask_cancel(&r->ask);
    cred_cancel(&r->cred);
    password_cancel(&r->password);
    list_remove(&r->at);
}

static void discard(struct request *r)
{
    take_back(r);
    if (r->own_secret)
        crypto_wipe(r->own, r->own_secret);
    free(r->own);
    r->own = NULL;
    if (pooled < POOL_MAX) {
        pooled++;
        list_push_front(&pool, &r->at);
    } else {
        free(r);
    }
}

static void gone(struct exchange *x)
{
    discard(x->u);
}

struct request *request_new(struct exchange *x)
{
    struct list *n = list_pop_front(&pool);
    struct request *r;

    if (n) {
        pooled--;
        r = container_of(n, struct request, at);
    } else {
        r = malloc(sizeof *r);
        if (!r)
            return NULL;
    }
    *r = (struct request){ .x = x };
    list_init(&r->at);
    list_init(&r->cred.at);
    list_init(&r->ask.at);
    x->u = r;
    x->gone = gone;
    return r;
}

void request_let_go(struct request *r)
{
    r->x->u = NULL;
    r->x->gone = NULL;
    discard(r);
}

// ---------------------------------------------------------------- asking

static void answered_cb(struct ask_call *c, enum err e, const Wire__Answer *a, uint64_t newest)
{
    struct request *r = container_of(c, struct request, ask);

    if (a)
        r->x->sequence = r->newest = newest;
    if (e != ERR_OK)
        request_fail(r, e, a ? a->field : NULL, a ? a->text : NULL);
    else if (r->want != WIRE__ANSWER__BODY__NOT_SET && a->body_case != r->want)
        request_fail(r, ERR_INTERNAL, NULL, "The broker answered something else");
    else
        r->answered(r, a);
}

void request_ask(struct request *r, Wire__Item *item, Wire__Answer__BodyCase want, request_answered *answered)
{
    r->want = want;
    r->answered = answered;
    r->ask.cb = answered_cb;
    ask_send(r->x->gw->ask, &r->ask, &r->x->actor, item);
}

void request_ask_target(struct request *r, Wire__Item__BodyCase what, uint64_t id, Wire__Answer__BodyCase want,
                        request_answered *answered)
{
    Wire__Target t = WIRE__TARGET__INIT;
    Wire__Item item = WIRE__ITEM__INIT;

    t.id = id;
    item.body_case = what;
    item.task_get = &t; // the members of the union are pointers; what says which
    request_ask(r, &item, want, answered);
}

bool request_body(struct request *r, json_t **ret)
{
    char why[160];
    enum err e = json_in_parse(r->x->body.p, r->x->body.n, ret, why, sizeof why);

    if (e == ERR_OK)
        return true;
    request_fail(r, e, NULL, why);
    return false;
}

void request_ask_body(struct request *r, request_fill *fill, void *m, Wire__Item__BodyCase what, Wire__Answer__BodyCase want,
                      request_answered *answered)
{
    Wire__Item item = WIRE__ITEM__INIT;
    struct fault f = { NULL, NULL };
    json_t *body;

    if (!request_body(r, &body))
        return;
    enum err e = fill(r, body, m, &f);
    if (e == ERR_OK) {
        item.body_case = what;
        item.task_create = m; // as above
        request_ask(r, &item, want, answered);
    } else {
        request_fail(r, e, f.field, f.text);
    }
    json_decref(body);
}

void request_wipe_body(struct request *r)
{
    crypto_wipe((void *)(uintptr_t)r->x->body.p, r->x->body.n); // the connection's memory, of which only we are left to read
}

// ---------------------------------------------------------------- answering

struct json *request_json(void)
{
    if (!out.max)
        buf_init(&out, REQUEST_JSON_MAX);
    if (out.cap > BUF_KEEP)
        buf_fini(&out);
    buf_reset(&out);
    writer = json_to(&out);
    return &writer;
}

void request_send(struct request *r, unsigned status)
{
    struct exchange *x = r->x;

    if (out.err) {
        request_fail(r, out.err == ERR_NO_MEMORY ? ERR_NO_MEMORY : ERR_INTERNAL, NULL, NULL);
        return;
    }
    if ((x->method == METHOD_GET || x->method == METHOD_HEAD) && exchange_condition(x, NULL)) {
        request_refuse(r, 412, "PRECONDITION_FAILED", "What is here has no tag that If-Match could name");
        return;
    }
    bool secret = r->own_secret > 0;
    request_let_go(r);
    exchange_reply(x, status, "application/json", out.data, out.len);
    if (secret) // shown once: it does not stay here either
        crypto_wipe(out.data, out.len);
}

void request_empty(struct request *r, unsigned status)
{
    struct exchange *x = r->x;

    request_let_go(r);
    exchange_reply(x, status, NULL, NULL, 0);
}

void request_done(struct request *r, const Wire__Answer *a)
{
    (void)a;
    request_empty(r, 204);
}

void request_fail(struct request *r, enum err e, const char *field, const char *text)
{
    struct exchange *x = r->x;

    request_let_go(r);
    exchange_error(x, e, field && *field ? field : NULL, text && *text ? text : NULL);
}

void request_refuse(struct request *r, unsigned status, const char *code, const char *text)
{
    struct exchange *x = r->x;

    request_let_go(r);
    exchange_fail(x, status, code, text);
}

void request_bad_query(struct request *r, const char *name, const char *text)
{
    request_fail(r, ERR_INVALID_FIELD, name, text);
}
