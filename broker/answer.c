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
