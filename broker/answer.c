// From stored objects to the answer of a command, and the same again for a repeat.
#include "commands.h"
#include "store_account.h"
#include "view.h"

static struct view view_of(struct work *w)
{
    return (struct view){ .txn = w->txn, .arena = w->arena, .workers = w->turn->meta->workers };
}

enum err answer_task(struct work *w, const Rec__Task *t)
{
    struct view v = view_of(w);
    w->answer->body_case = WIRE__ANSWER__BODY_TASK;
    return view_task(&v, t, &w->answer->task);
}

enum err answer_approval(struct work *w, const Rec__Approval *a)
{
    struct view v = view_of(w);
    w->answer->body_case = WIRE__ANSWER__BODY_APPROVAL;
    return view_approval(&v, a, &w->answer->approval);
}

enum err answer_desktop(struct work *w, const Rec__Desktop *d)
{
    struct view v = view_of(w);
    w->answer->body_case = WIRE__ANSWER__BODY_DESKTOP;
    return view_desktop(&v, d, &w->answer->desktop);
}

void answer_event(struct work *w, Wire__Row *row)
{
    w->answer->body_case = WIRE__ANSWER__BODY_EVENT;
    w->answer->event = row;
}

// A row stays as it was written; one so old that it is gone was answered long ago.
static enum err event_again(struct work *w, uint64_t number)
{
    struct key k = { .n = 0 };
    struct slice s;
    enum err e = store_get(w->txn, DB_LOG, key_u64(&k, number), &s);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_OUTCOME_UNKNOWN : e;
    Wire__Row *row = wire__row__unpack(arena_allocator(w->arena), s.n, s.p);
    if (!row)
        return ERR_CORRUPT;
    answer_event(w, row);
    return ERR_OK;
}

enum err answer_worker(struct work *w, const Rec__Peer *p)
{
    struct view v = view_of(w);
    w->answer->body_case = WIRE__ANSWER__BODY_WORKER;
    return view_worker(&v, p, &w->answer->worker);
}

enum err answer_user(struct work *w, const Rec__User *u)
{
    struct view v = view_of(w);
    w->answer->body_case = WIRE__ANSWER__BODY_USER;
    return view_user(&v, u, &w->answer->user);
}

enum err answer_credential(struct work *w, const Rec__Key *k, const Rec__User *u)
{
    struct view v = view_of(w);
    w->answer->body_case = WIRE__ANSWER__BODY_CREDENTIAL;
    return view_credential(&v, k, u, &w->answer->credential);
}

// The workspace as it was made: with the first of its users and that one's first key.
enum err answer_workspace_made(struct work *w, uint64_t workspace)
{
    struct view v = view_of(w);
    const Rec__Workspace *ws;
    Rec__User *u;
    Rec__Key *k;
    uint64_t user = 0, key = 0;
    Wire__WorkspaceMade *o = arena_alloc(w->arena, sizeof *o);
    if (!o)
        return ERR_NO_MEMORY;
    *o = (Wire__WorkspaceMade)WIRE__WORKSPACE_MADE__INIT;
    w->answer->body_case = WIRE__ANSWER__BODY_WORKSPACE_MADE;
    w->answer->workspace_made = o;
    enum err e = view_workspace(&v, workspace, &ws);
    if (!e)
        e = view_workspace_of(&v, ws, &o->workspace);
    if (!e)
        e = account_user_after(w->txn, workspace, 0, &user);
    if (!e)
        e = work_get(w, KIND_USER, workspace, user, &u, NULL);
    if (!e)
        e = view_user(&v, u, &o->admin);
    if (!e)
        e = account_key_after(w->txn, INDEX_KEY_USER, workspace, user, 0, &key);
    if (!e)
        e = work_get(w, KIND_KEY, workspace, key, &k, NULL);
    return e ? e : view_key(&v, k, &o->key);
}

enum err answer_webhook(struct work *w, const Rec__Webhook *h)
{
    struct view v = view_of(w);
    w->answer->body_case = WIRE__ANSWER__BODY_WEBHOOK;
    return view_webhook(&v, h, &w->answer->webhook);
}

enum err answer_delivery(struct work *w, const Rec__Delivery *d)
{
    struct view v = view_of(w);
    w->answer->body_case = WIRE__ANSWER__BODY_DELIVERY;
    return view_delivery(&v, d, &w->answer->delivery);
}

static enum err again(struct work *w, const Rec__Outcome *o)
{
    struct view v = view_of(w);
    enum err e = ERR_OK;
    switch (o->answer) {
    case WIRE__ANSWER__BODY_TASK: {
        Rec__Task *t;
        e = work_get(w, KIND_TASK, o->workspace, o->id, &t, NULL);
        return e ? e : answer_task(w, t);
    }
    case WIRE__ANSWER__BODY_APPROVAL: {
        Rec__Approval *a;
        e = work_get(w, KIND_APPROVAL, o->workspace, o->id, &a, NULL);
        return e ? e : answer_approval(w, a);
    }
    case WIRE__ANSWER__BODY_DESKTOP: {
        Rec__Desktop *d;
        e = work_get(w, KIND_DESKTOP, o->workspace, o->id, &d, NULL);
        return e ? e : answer_desktop(w, d);
    }
    case WIRE__ANSWER__BODY_KEY: {
        Rec__Key *k;
        e = work_get(w, KIND_KEY, o->workspace, o->id, &k, NULL);
        w->answer->body_case = WIRE__ANSWER__BODY_KEY;
        return e ? e : view_key(&v, k, &w->answer->key);
    }
    case WIRE__ANSWER__BODY_EVENT:
        return event_again(w, o->id);
    case WIRE__ANSWER__BODY_WORKER: {
        Rec__Peer *p;
        e = work_get(w, KIND_PEER, 0, o->id, &p, NULL);
        return e ? e : answer_worker(w, p);
    }
    case WIRE__ANSWER__BODY_COMMENT:
        return answer_comment_again(w, o->workspace, o->id);
    case WIRE__ANSWER__BODY_AGENT:
        return answer_agent_again(w, o->workspace, o->id);
    case WIRE__ANSWER__BODY_USER: {
        Rec__User *u;
        e = work_get(w, KIND_USER, o->workspace, o->id, &u, NULL);
        return e ? e : answer_user(w, u);
    }
    case WIRE__ANSWER__BODY_CREDENTIAL: {
        Rec__Key *k;
        Rec__User *u;
        e = account_key(w->txn, w->arena, o->workspace, o->id, &k);
        if (!e)
            e = work_get(w, KIND_USER, k->workspace, k->user, &u, NULL);
        return e ? e : answer_credential(w, k, u);
    }
    case WIRE__ANSWER__BODY_WORKSPACE_MADE:
        return answer_workspace_made(w, o->id);
    case WIRE__ANSWER__BODY_WEBHOOK: {
        Rec__Webhook *h;
        e = work_get(w, KIND_WEBHOOK, o->workspace, o->id, &h, NULL);
        return e ? e : answer_webhook(w, h);
    }
    case WIRE__ANSWER__BODY_DELIVERY: {
        Rec__Delivery *d;
        e = webhook_delivery(w, o->workspace, o->id, &d);
        return e ? e : answer_delivery(w, d);
    }
    case WIRE__ANSWER__BODY_SETTINGS: {
        const Rec__Workspace *ws;
        e = view_workspace(&v, o->workspace, &ws);
        w->answer->body_case = WIRE__ANSWER__BODY_SETTINGS;
        return e ? e : view_settings(&v, ws, &w->answer->settings);
    }
    default:
        return ERR_OK; // commands that answer nothing but "done"
    }
}

enum err cmd_answer_again(struct work *w, const Rec__Outcome *o)
{
    enum err e = again(w, o);
    if (e)
        w->answer->body_case = WIRE__ANSWER__BODY__NOT_SET;
    return e;
}
