// Desktops: the machines tasks run on.
#include "api.h"
#include "hot.h"
#include "shape.h"
#include "shape_body.h"

static void shown(struct request *r, const Wire__Answer *a)
{
    shape_desktop(request_json(), a->desktop);
    request_send(r, 200);
}

static void created(struct request *r, const Wire__Answer *a)
{
    shape_desktop(request_json(), a->desktop);
    request_send(r, 201);
}

static bool render_list(struct hot_page *p, const Wire__Answer *a)
{
    json_open(p->j, '[');
    for (size_t i = 0; i < a->desktops->n_desktops; i++)
        shape_desktop(p->j, a->desktops->desktops[i]);
    json_close(p->j, ']');
    return true;
}

void api_desktop_list(struct request *r)
{
    hot_answer(r, WIRE__ITEM__BODY_DESKTOP_LIST, WIRE__ANSWER__BODY_DESKTOPS, render_list);
}

void api_desktop_get(struct request *r)
{
    request_ask_target(r, WIRE__ITEM__BODY_DESKTOP_GET, r->id, WIRE__ANSWER__BODY_DESKTOP, shown);
}

static enum err create(struct request *r, const json_t *body, void *m, struct fault *f)
{
    (void)r;
    return shape_desktop_create(body, m, f);
}

void api_desktop_create(struct request *r)
{
    struct shape_desktop_put s;

    request_ask_body(r, create, &s, WIRE__ITEM__BODY_DESKTOP_CREATE, WIRE__ANSWER__BODY_DESKTOP, created);
}

static enum err edit(struct request *r, const json_t *body, void *m, struct fault *f)
{
    return shape_desktop_edit(body, r->id, m, f);
}

void api_desktop_edit(struct request *r)
{
    struct shape_desktop_put s;

    request_ask_body(r, edit, &s, WIRE__ITEM__BODY_DESKTOP_EDIT, WIRE__ANSWER__BODY_DESKTOP, shown);
}

void api_desktop_delete(struct request *r)
{
    request_ask_target(r, WIRE__ITEM__BODY_DESKTOP_DELETE, r->id, WIRE__ANSWER__BODY__NOT_SET, request_done);
}

static void act(struct request *r, enum desktop_act what)
{
    Wire__DesktopAct m = WIRE__DESKTOP_ACT__INIT;
    Wire__Item item = WIRE__ITEM__INIT;

    m.id = r->id;
    m.act = what;
    item.body_case = WIRE__ITEM__BODY_DESKTOP_ACT;
    item.desktop_act = &m;
    request_ask(r, &item, WIRE__ANSWER__BODY_DESKTOP, shown);
}

void api_desktop_start(struct request *r)
{
    act(r, ACT_START);
}

void api_desktop_stop(struct request *r)
{
    act(r, ACT_STOP);
}

void api_desktop_restart(struct request *r)
{
    act(r, ACT_RESTART);
}
