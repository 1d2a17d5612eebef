// Sessions: the attempts at tasks, read only.
#include "api.h"
#include "gateway.h"
#include "paged.h"
#include "params.h"
#include "shape.h"

static unsigned find_status(const char *s) { return session_status_find(s); }

static void ask_page(const struct paged_filter *f, uint64_t before, uint32_t limit, paged_send *send, void *u)
{
    Wire__SessionList m = WIRE__SESSION_LIST__INIT;
    Wire__Item item = WIRE__ITEM__INIT;

    m.task = f->task;
    m.status = f->status;
    m.desktop = f->desktop;
    m.limit = limit;
    m.before = before;
    item.body_case = WIRE__ITEM__BODY_SESSION_LIST;
    item.session_list = &m;
    send(u, &item);
}

static void render_page(const Wire__Answer *a, struct json *j, struct paged_end *ret)
{
    const Wire__Sessions *s = a->sessions;
    uint64_t last = s->n_sessions ? s->sessions[s->n_sessions - 1]->id : 0;

    for (size_t i = 0; i < s->n_sessions; i++)
        shape_session(j, s->sessions[i]);
    *ret = (struct paged_end){ .n = (uint32_t)s->n_sessions, .more = s->more,
                               .before = s->next_before ? s->next_before : last };
}

static const char *const kept[] = { "status", "desktopId", "taskId", "limit", NULL };
static const struct paged_kind pages = { WIRE__ANSWER__BODY_SESSIONS, ENTITY_SESSION, kept, ask_page, render_page };

static void send_nothing(struct request *r)
{
    struct json *j = request_json();

    r->x->sequence = ask_newest(r->x->gw->ask);
    json_open(j, '[');
    json_close(j, ']');
    request_send(r, 200);
}

static void list(struct request *r, uint64_t task)
{
    struct paged_filter f = { .task = task };
    uint64_t limit = 0, before = 0;
    bool nothing = false;

    if (!params_word(r, "status", find_status, session_status_words(), &f.status) ||
        !params_id(r, "desktopId", ENTITY_DESKTOP, &f.desktop, &nothing) ||
        (!task && !params_id(r, "taskId", ENTITY_TASK, &f.task, &nothing)) || !params_number(r, "limit", 1, LIST_MAX, &limit) ||
        !params_before(r, ENTITY_SESSION, &before))
        return;
    if (nothing) {
        send_nothing(r);
        return;
    }
    f.before = before;
    f.limit = (uint32_t)limit;
    paged_start(r, &pages, &f);
}

void api_session_list(struct request *r)
{
    list(r, 0);
}

// Of a task that is not there: the broker's 404.
static void there(struct request *r, const Wire__Answer *a)
{
    list(r, a->task->id);
}

void api_session_of_task(struct request *r)
{
    request_ask_target(r, WIRE__ITEM__BODY_TASK_GET, r->id, WIRE__ANSWER__BODY_TASK, there);
}

static void shown(struct request *r, const Wire__Answer *a)
{
    shape_session(request_json(), a->session);
    request_send(r, 200);
}

void api_session_get(struct request *r)
{
    request_ask_target(r, WIRE__ITEM__BODY_SESSION_GET, r->id, WIRE__ANSWER__BODY_SESSION, shown);
}
