// The queries by what they are about, for query.c's table: each fills a->body_case and its message, or returns a refusal.
#pragma once
#include "check.h"
#include "query.h"
#include "view.h"

enum { PAGE_OCTETS = 512 * 1024, SCAN_MAX = 10000 }; // of a page, when the asker names no less; records looked at for one answer

// A new message in the answer's arena, set to its initial value.
#define MAKE(q, type, INIT, ret)                       \
    type *ret = arena_alloc((q)->arena, sizeof(type)); \
    if (!ret)                                          \
        return ERR_NO_MEMORY;                          \
    *ret = (type)INIT

static inline struct view view_of(const struct query *q)
{
    return (struct view){ .txn = q->txn, .arena = q->arena, .workers = q->workers };
}

static inline uint32_t limit_of(uint32_t asked, uint32_t def)
{
    return asked == 0 ? def : asked < LIST_MAX ? asked : LIST_MAX;
}

// The id a composite key ends with.
static inline uint64_t last_u64(const struct key *k)
{
    return key_read_u64(k->b + k->n - 8);
}

MUST_USE enum err query_task_list(struct query *q, const Wire__TaskList *l, Wire__Answer *a);
MUST_USE enum err query_task_get(struct query *q, uint64_t id, Wire__Answer *a);
MUST_USE enum err query_session_list(struct query *q, const Wire__SessionList *l, Wire__Answer *a);
MUST_USE enum err query_session_get(struct query *q, uint64_t id, Wire__Answer *a);
MUST_USE enum err query_output_read(struct query *q, const Wire__OutputRead *r, Wire__Answer *a);
MUST_USE enum err query_approval_list(struct query *q, const Wire__ApprovalList *l, Wire__Answer *a);
MUST_USE enum err query_approval_get(struct query *q, uint64_t id, Wire__Answer *a);
MUST_USE enum err query_comment_list(struct query *q, const Wire__CommentList *l, Wire__Answer *a);
MUST_USE enum err query_agent_list(struct query *q, Wire__Answer *a);
MUST_USE enum err query_agent_get(struct query *q, uint64_t id, Wire__Answer *a);
MUST_USE enum err query_desktop_list(struct query *q, Wire__Answer *a);
MUST_USE enum err query_desktop_get(struct query *q, uint64_t id, Wire__Answer *a);
MUST_USE enum err query_overview(struct query *q, Wire__Answer *a);
MUST_USE enum err query_stats(struct query *q, Wire__Answer *a);
MUST_USE enum err query_webhook_list(struct query *q, Wire__Answer *a);
MUST_USE enum err query_delivery_list(struct query *q, const Wire__DeliveryList *l, Wire__Answer *a);
MUST_USE enum err query_worker_list(struct query *q, Wire__Answer *a);
MUST_USE enum err query_metrics_read(struct query *q, const Wire__MetricsRead *r, Wire__Answer *a);
MUST_USE enum err query_credential(struct query *q, const Wire__CredentialLookup *l, Wire__Answer *a);
MUST_USE enum err query_key_list(struct query *q, Wire__Answer *a);
MUST_USE enum err query_user_lookup(struct query *q, const Wire__UserLookup *l, Wire__Answer *a);
MUST_USE enum err query_user_list(struct query *q, Wire__Answer *a);
MUST_USE enum err query_workspace_list(struct query *q, Wire__Answer *a);
MUST_USE enum err query_settings(struct query *q, Wire__Answer *a);
MUST_USE enum err query_event_list(struct query *q, const Wire__EventList *l, Wire__Answer *a);
MUST_USE enum err query_activity_list(struct query *q, const Wire__ActivityList *l, Wire__Answer *a);
MUST_USE enum err query_activity_stats(struct query *q, const Wire__ActivityStats *s, Wire__Answer *a);
MUST_USE enum err query_audit_entity(struct query *q, const Wire__Row *row, Wire__AuditEntity **ret); // NULL: it is gone
MUST_USE enum err query_log_read(struct query *q, const Wire__LogRead *r, Wire__Answer *a);
