#include "query.h"
#include <string.h>
#include "apply.h"
#include "clock.h"
#include "query_parts.h"

enum err query_begin(struct query *q)
{
    Rec__Meta *m;
    enum err e = store_begin(q->store, false, &q->txn);
    if (e)
        return e;
    e = meta_read(q->txn, q->arena, &m);
    if (e) {
        store_abort(q->txn);
        return e;
    }
    q->newest = m->newest;
    q->oldest = m->oldest;
    q->epoch = m->epoch;
    q->workers = m->workers;
    q->newest_ms = m->now_ms;
    q->now_ms = clock_wall_ms();
    return ERR_OK;
}

void query_end(struct query *q)
{
    store_abort(q->txn);
    q->txn = NULL;
}

enum err query_peer(struct query *q, unsigned role, const char *name, Rec__Peer **ret)
{
    struct key k = { .n = 0 };
    struct slice s;
    size_t n = strlen(name);
    key_bytes(key_u8(key_u8(&k, INDEX_PEER_NAME), (uint8_t)role), name, n < 60 ? n : 60);
    enum err e = store_get(q->txn, DB_INDEX, &k, &s);
    return e ? e : kind_get(q->txn, q->arena, KIND_PEER, 0, key_read_u64(s.p), ret);
}

int query_is(Wire__Item__BodyCase body)
{
    enum { FIRST = 60, LAST = 89 }; // numbers of Item's queries in wire.proto

    return (int)body >= FIRST && (int)body <= LAST && body != WIRE__ITEM__BODY_WAIT_SEQUENCE;
}

static enum err run(struct query *q, const Wire__Item *i, Wire__Answer *a)
{
    switch (i->body_case) {
    case WIRE__ITEM__BODY_CREDENTIAL_LOOKUP: return query_credential(q, i->credential_lookup, a);
    case WIRE__ITEM__BODY_TASK_LIST: return query_task_list(q, i->task_list, a);
    case WIRE__ITEM__BODY_TASK_GET: return query_task_get(q, i->task_get->id, a);
    case WIRE__ITEM__BODY_SESSION_LIST: return query_session_list(q, i->session_list, a);
    case WIRE__ITEM__BODY_SESSION_GET: return query_session_get(q, i->session_get->id, a);
    case WIRE__ITEM__BODY_COMMENT_LIST: return query_comment_list(q, i->comment_list, a);
    case WIRE__ITEM__BODY_APPROVAL_LIST: return query_approval_list(q, i->approval_list, a);
    case WIRE__ITEM__BODY_APPROVAL_GET: return query_approval_get(q, i->approval_get->id, a);
    case WIRE__ITEM__BODY_DESKTOP_LIST: return query_desktop_list(q, a);
    case WIRE__ITEM__BODY_DESKTOP_GET: return query_desktop_get(q, i->desktop_get->id, a);
    case WIRE__ITEM__BODY_AGENT_LIST: return query_agent_list(q, a);
    case WIRE__ITEM__BODY_AGENT_GET: return query_agent_get(q, i->agent_get->id, a);
    case WIRE__ITEM__BODY_KEY_LIST: return query_key_list(q, a);
    case WIRE__ITEM__BODY_USER_LOOKUP: return query_user_lookup(q, i->user_lookup, a);
    case WIRE__ITEM__BODY_USER_LIST: return query_user_list(q, a);
    case WIRE__ITEM__BODY_WORKSPACE_LIST: return query_workspace_list(q, a);
    case WIRE__ITEM__BODY_SETTINGS_GET: return query_settings(q, a);
    case WIRE__ITEM__BODY_OVERVIEW: return query_overview(q, a);
    case WIRE__ITEM__BODY_OUTPUT_READ: return query_output_read(q, i->output_read, a);
    case WIRE__ITEM__BODY_EVENT_LIST: return query_event_list(q, i->event_list, a);
    case WIRE__ITEM__BODY_ACTIVITY_LIST: return query_activity_list(q, i->activity_list, a);
    case WIRE__ITEM__BODY_ACTIVITY_STATS: return query_activity_stats(q, i->activity_stats, a);
    case WIRE__ITEM__BODY_LOG_READ: return query_log_read(q, i->log_read, a);
    case WIRE__ITEM__BODY_STATS: return query_stats(q, a);
    case WIRE__ITEM__BODY_WEBHOOK_LIST: return query_webhook_list(q, a);
    case WIRE__ITEM__BODY_DELIVERY_LIST: return query_delivery_list(q, i->delivery_list, a);
    case WIRE__ITEM__BODY_WORKER_LIST: return query_worker_list(q, a);
    case WIRE__ITEM__BODY_METRICS_READ: return query_metrics_read(q, i->metrics_read, a);
    default: return ERR_BAD_REQUEST;
    }
}

void query_run(struct query *q, const Wire__Item *item, Wire__Answer *a)
{
    q->workspace = item->actor ? item->actor->workspace : 0;
    q->user = item->actor ? item->actor->user : 0;
    q->role = item->actor ? item->actor->role : 0;
    enum err e = run(q, item, a);
    a->err = e;
    if (e)
        a->body_case = WIRE__ANSWER__BODY__NOT_SET;
}
