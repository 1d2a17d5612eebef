// What a row of the audit trail is about, as it stands now: one record by its key, or NULL when it is gone.
#include "event.h"
#include "life.h"
#include "names.h"
#include "query_parts.h"

typedef enum err entity_show(struct query *q, const Wire__Row *row, Wire__AuditEntity *o);

static enum err show_task(struct query *q, const Wire__Row *row, Wire__AuditEntity *o)
{
    Rec__Task *t;
    enum err e = kind_get(q->txn, q->arena, KIND_TASK, row->workspace, row->entity, &t);
    if (e)
        return e;
    o->title = t->title;
    o->status = t->status;
    return ERR_OK;
}

// Its text is no part of the trail: the row has the beginning of it.
static enum err show_comment(struct query *q, const Wire__Row *row, Wire__AuditEntity *o)
{
    struct key k = { .n = 0 };
    struct slice s;
    Rec__Task *t;
    enum err e = kind_get(q->txn, q->arena, KIND_TASK, row->workspace, row->task, &t);
    if (!e)
        e = store_get(q->txn, DB_COMMENT, key_u64(key_u64(key_u64(&k, row->workspace), row->task), row->comment), &s);
    if (e)
        return e;
    o->task = t->id;
    o->title = t->title;
    return ERR_OK;
}

static enum err show_desktop(struct query *q, const Wire__Row *row, Wire__AuditEntity *o)
{
    Rec__Desktop *d;
    enum err e = kind_get(q->txn, q->arena, KIND_DESKTOP, row->workspace, row->entity, &d);
    if (e)
        return e;
    o->name = d->name;
    o->status = d->status;
    return ERR_OK;
}

static enum err show_agent(struct query *q, const Wire__Row *row, Wire__AuditEntity *o)
{
    Rec__Desktop *d;
    struct counts c;
    enum err e = kind_get(q->txn, q->arena, KIND_DESKTOP, row->workspace, row->desktop, &d);
    if (!e && d->agent != row->entity)
        e = ERR_NOT_FOUND;
    if (!e)
        e = counts_read(q->txn, q->arena, d->workspace, d->id, &c);
    if (e)
        return e;
    o->name = d->agent_name;
    o->role = d->agent_role;
    o->status = life_agent_status((enum desktop_status)d->status, d->agent_ready);
    if (o->status > AGENT_ERROR && c.held)
        o->status = AGENT_BUSY;
    return ERR_OK;
}

// The names of roles are lent for ever, and answers are only packed.
static char *role_text(uint32_t role)
{
    static char none[1];
    union { const char *in; char *out; } name = { role_name(role) };
    return name.in ? name.out : none;
}

static enum err show_user(struct query *q, const Wire__Row *row, Wire__AuditEntity *o)
{
    Rec__User *u;
    enum err e = kind_get(q->txn, q->arena, KIND_USER, row->workspace, row->entity, &u);
    if (e)
        return e;
    o->name = u->name;
    o->role = role_text(u->role);
    return ERR_OK;
}

static enum err show_key(struct query *q, const Wire__Row *row, Wire__AuditEntity *o)
{
    Rec__Key *k;
    enum err e = kind_get(q->txn, q->arena, KIND_KEY, row->workspace, row->entity, &k);
    if (e)
        return e;
    o->name = k->name;
    o->role = role_text(k->role);
    return ERR_OK;
}

static enum err show_webhook(struct query *q, const Wire__Row *row, Wire__AuditEntity *o)
{
    Rec__Webhook *h;
    enum err e = kind_get(q->txn, q->arena, KIND_WEBHOOK, row->workspace, row->entity, &h);
    if (e)
        return e;
    o->name = h->name;
    return ERR_OK;
}

static enum err show_workspace(struct query *q, const Wire__Row *row, Wire__AuditEntity *o)
{
    Rec__Workspace *ws;
    enum err e = kind_get(q->txn, q->arena, KIND_WORKSPACE, row->entity, row->entity, &ws);
    if (e)
        return e;
    o->name = ws->name;
    return ERR_OK;
}

static enum err show_worker(struct query *q, const Wire__Row *row, Wire__AuditEntity *o)
{
    Rec__Peer *p;
    enum err e = kind_get(q->txn, q->arena, KIND_PEER, 0, row->entity, &p);
    if (e)
        return e;
    o->name = p->name;
    return ERR_OK;
}

static entity_show *const shows[ENTITY_COUNT] = {
    [ENTITY_TASK] = show_task, [ENTITY_COMMENT] = show_comment, [ENTITY_DESKTOP] = show_desktop, [ENTITY_AGENT] = show_agent,
    [ENTITY_USER] = show_user, [ENTITY_KEY] = show_key, [ENTITY_WEBHOOK] = show_webhook, [ENTITY_WORKSPACE] = show_workspace,
    [ENTITY_SYSTEM] = show_workspace, [ENTITY_WORKER] = show_worker,
};

enum err query_audit_entity(struct query *q, const Wire__Row *row, Wire__AuditEntity **ret)
{
    MAKE(q, Wire__AuditEntity, WIRE__AUDIT_ENTITY__INIT, o);
    entity_show *show = shows[event_audit_entity(row->row)];
    enum err e = show ? show(q, row, o) : ERR_NOT_FOUND;
    *ret = e ? NULL : o;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}
