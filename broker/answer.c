// From stored objects to the answer of a command, and the same again for a repeat.
#include "commands.h"
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
