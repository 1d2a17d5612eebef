// Webhooks and what they delivered. The routes are the admins'; what is asked for here is of the asker's workspace.
#include "names.h"
#include "query_parts.h"

enum err query_webhook_list(struct query *q, Wire__Answer *a)
{
    MAKE(q, Wire__Webhooks, WIRE__WEBHOOKS__INIT, out);
    struct view v = view_of(q);
    struct key prefix;
    struct cursor c;
    if (q->role < ROLE_ADMIN)
        return ERR_FORBIDDEN;
    a->body_case = WIRE__ANSWER__BODY_WEBHOOKS;
    a->webhooks = out;
    out->webhooks = arena_alloc(q->arena, WEBHOOKS_MAX * sizeof *out->webhooks);
    kind_key(KIND_WEBHOOK, q->workspace, 0, &prefix);
    enum err e = out->webhooks ? cursor_open(&c, q->txn, DB_WEBHOOK, &prefix) : ERR_NO_MEMORY;
    if (e)
        return e;
    for (bool on = cursor_seek_before(&c, NULL); on && !e && out->n_webhooks < WEBHOOKS_MAX; on = cursor_prev(&c)) {
        Rec__Webhook *h;
        e = kind_unpack(KIND_WEBHOOK, q->arena, c.value, &h);
        if (!e)
            e = view_webhook(&v, h, &out->webhooks[out->n_webhooks++]);
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    return e;
}

enum err query_delivery_list(struct query *q, const Wire__DeliveryList *l, Wire__Answer *a)
{
    MAKE(q, Wire__Deliveries, WIRE__DELIVERIES__INIT, out);
    struct view v = view_of(q);
    uint32_t limit = l->limit && l->limit < DELIVERIES_KEPT ? l->limit : DELIVERIES_KEPT;
    struct key prefix = { .n = 0 };
    struct cursor c;
    Rec__Webhook *h;
    if (q->role < ROLE_ADMIN)
        return ERR_FORBIDDEN;
    a->body_case = WIRE__ANSWER__BODY_DELIVERIES;
    a->deliveries = out;
    enum err e = kind_get(q->txn, q->arena, KIND_WEBHOOK, q->workspace, l->webhook, &h);
    if (e)
        return e;
    out->deliveries = arena_alloc(q->arena, limit * sizeof *out->deliveries);
    e = out->deliveries ? cursor_open(&c, q->txn, DB_DELIVERY, key_u64(key_u64(&prefix, q->workspace), h->id)) : ERR_NO_MEMORY;
    if (e)
        return e;
    for (bool on = cursor_seek_newest(&c, l->before); on && !e; on = cursor_prev(&c)) {
        Rec__Delivery *d = NULL;
        if (out->n_deliveries == limit) {
            out->more = true;
            break;
        }
        d = rec__delivery__unpack(arena_allocator(q->arena), c.value.n, c.value.p);
        e = d ? view_delivery(&v, d, &out->deliveries[out->n_deliveries++]) : ERR_CORRUPT;
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    return e;
}
