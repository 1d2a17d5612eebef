// From stored records to what the wire shows. Reads related records where it must; used for answers inside a turn and for queries.
// Everything made lives in the arena.
#pragma once
#include "arena.h"
#include "kind.h"
#include "wire.pb-c.h"

struct view {
    struct txn *txn;
    struct arena *arena;
    uint64_t workers;                 // connected: decides waitingFor
    // remembered between calls
    const Rec__Workspace *workspace;
    const Rec__Desktop *desktop;
};

MUST_USE enum err view_task(struct view *v, const Rec__Task *t, Wire__Task **ret);
MUST_USE enum err view_session(struct view *v, const Rec__Session *s, Wire__Session **ret);
MUST_USE enum err view_approval(struct view *v, const Rec__Approval *a, Wire__Approval **ret);
MUST_USE enum err view_desktop(struct view *v, const Rec__Desktop *d, Wire__Desktop **ret); // metrics and lastSeenAt are the caller's
MUST_USE enum err view_key(struct view *v, const Rec__Key *k, Wire__Key **ret);
MUST_USE enum err view_comment(struct view *v, const Rec__Comment *c, Wire__Comment **ret);
MUST_USE enum err view_agent(struct view *v, const Rec__Desktop *d, Wire__Agent **ret);
MUST_USE enum err view_worker(struct view *v, const Rec__Peer *p, Wire__Worker **ret); // as stored: a query adds what the fleet has heard
MUST_USE enum err view_credential(struct view *v, const Rec__Key *k, const Rec__User *u, Wire__Credential **ret);
MUST_USE enum err view_workspace_of(struct view *v, const Rec__Workspace *w, Wire__Workspace **ret);
MUST_USE enum err view_user(struct view *v, const Rec__User *u, Wire__User **ret);
MUST_USE enum err view_webhook(struct view *v, const Rec__Webhook *h, Wire__Webhook **ret);
MUST_USE enum err view_delivery(struct view *v, const Rec__Delivery *d, Wire__Delivery **ret);
MUST_USE enum err view_settings(struct view *v, const Rec__Workspace *w, Wire__Settings **ret);
MUST_USE enum err view_workspace(struct view *v, uint64_t workspace, const Rec__Workspace **ret);
// Whether a task's success has to be approved, as things stand.
MUST_USE enum err view_needs_approval(struct view *v, const Rec__Task *t, bool *ret);
