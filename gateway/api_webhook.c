// Webhooks: who is told of what. A webhook's secret is given by its maker or made here, shown once, and kept sealed by the broker.
#include "api.h"
#include <stdlib.h>
#include <string.h>
#include "crypto.h"
#include "paged.h"
#include "params.h"
#include "shape.h"
#include "shape_body.h"

static void listed(struct request *r, const Wire__Answer *a)
{
    struct json *j = request_json();

    json_open(j, '[');
    for (size_t i = 0; i < a->webhooks->n_webhooks; i++)
        shape_webhook(j, a->webhooks->webhooks[i], NULL);
    json_close(j, ']');
    request_send(r, 200);
}

void api_webhook_list(struct request *r)
{
    request_ask_target(r, WIRE__ITEM__BODY_WEBHOOK_LIST, 0, WIRE__ANSWER__BODY_WEBHOOKS, listed);
}

static void created(struct request *r, const Wire__Answer *a)
{
    shape_webhook(request_json(), a->webhook, r->own);
    request_send(r, 201);
}

// The secret that is shown with the answer; the request keeps it till then.
static enum err keep_secret(struct request *r, Wire__WebhookPut *m)
{
    enum { SIZE = WEBHOOK_SECRET_MAX + 1 };
    char *secret = r->own = calloc(1, SIZE);

    _Static_assert((int)SIZE >= (int)API_KEY_MAX, "a made one fits as well");
    if (!secret)
        return ERR_NO_MEMORY;
    r->own_secret = SIZE;
    if (*m->secret)
        strncpy(secret, m->secret, WEBHOOK_SECRET_MAX);
    else
        crypto_webhook_secret(secret);
    m->secret = secret;
    return ERR_OK;
}

static enum err create(struct request *r, const json_t *body, void *m, struct fault *f)
{
    struct shape_webhook_put *s = m;
    enum err e = shape_webhook_create(body, s, f);

    return e ? e : keep_secret(r, &s->m);
}

void api_webhook_create(struct request *r)
{
    struct shape_webhook_put s;

    request_ask_body(r, create, &s, WIRE__ITEM__BODY_WEBHOOK_CREATE, WIRE__ANSWER__BODY_WEBHOOK, created);
}

static void shown(struct request *r, const Wire__Answer *a)
{
    shape_webhook(request_json(), a->webhook, NULL);
    request_send(r, 200);
}

static enum err edit(struct request *r, const json_t *body, void *m, struct fault *f)
{
    return shape_webhook_edit(body, r->id, m, f);
}

void api_webhook_edit(struct request *r)
{
    struct shape_webhook_put s;

    request_ask_body(r, edit, &s, WIRE__ITEM__BODY_WEBHOOK_EDIT, WIRE__ANSWER__BODY_WEBHOOK, shown);
}

void api_webhook_delete(struct request *r)
{
    request_ask_target(r, WIRE__ITEM__BODY_WEBHOOK_DELETE, r->id, WIRE__ANSWER__BODY__NOT_SET, request_done);
}

static void tested(struct request *r, const Wire__Answer *a)
{
    shape_delivery(request_json(), a->delivery);
    request_send(r, 202);
}

void api_webhook_test(struct request *r)
{
    request_ask_target(r, WIRE__ITEM__BODY_WEBHOOK_TEST, r->id, WIRE__ANSWER__BODY_DELIVERY, tested);
}

// ---------------------------------------------------------------- deliveries

static const char *const kept[] = { "limit", NULL };
static const struct paged_kind pages = { WIRE__ANSWER__BODY_DELIVERIES, ENTITY_DELIVERY, kept, NULL, NULL };

static void deliveries(struct request *r, const Wire__Answer *a)
{
    enum { LINK_MAX = 1024 };
    const Wire__Deliveries *d = a->deliveries;
    struct json *j = request_json();
    struct buf link;

    json_open(j, '[');
    for (size_t i = 0; i < d->n_deliveries; i++)
        shape_delivery(j, d->deliveries[i]);
    json_close(j, ']');
    if (d->more && d->n_deliveries) {
        buf_init(&link, LINK_MAX);
        paged_link(&pages, r->x->path, r->x->query, d->deliveries[d->n_deliveries - 1]->id, &link);
        if (!link.err)
            exchange_add(r->x, "Link", buf_cstr(&link));
        buf_fini(&link);
    }
    request_send(r, 200);
}

void api_webhook_deliveries(struct request *r)
{
    Wire__DeliveryList m = WIRE__DELIVERY_LIST__INIT;
    Wire__Item item = WIRE__ITEM__INIT;
    uint64_t limit = 0, before = 0;

    if (!params_number(r, "limit", 1, DELIVERIES_KEPT, &limit) || !params_before(r, ENTITY_DELIVERY, &before))
        return;
    m.webhook = r->id;
    m.limit = (uint32_t)limit;
    m.before = before;
    item.body_case = WIRE__ITEM__BODY_DELIVERY_LIST;
    item.delivery_list = &m;
    request_ask(r, &item, WIRE__ANSWER__BODY_DELIVERIES, deliveries);
}
