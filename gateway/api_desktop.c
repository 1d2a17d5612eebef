// Desktops: the machines tasks run on.
#include "api.h"
#include "hot.h"
#include "shape.h"

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

static void deleted(struct request *r, const Wire__Answer *a)
{
    (void)a;
    request_empty(r, 204);
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
    Wire__Target t = WIRE__TARGET__INIT;
    Wire__Item item = WIRE__ITEM__INIT;

    if (hot_serve(r))
        return;
    item.body_case = WIRE__ITEM__BODY_DESKTOP_LIST;
    item.desktop_list = &t;
    hot_ask(r, &item, WIRE__ANSWER__BODY_DESKTOPS, render_list, NULL);
}

void api_desktop_get(struct request *r)
{
    request_ask_target(r, WIRE__ITEM__BODY_DESKTOP_GET, r->id, WIRE__ANSWER__BODY_DESKTOP, shown);
}

static void put(struct request *r, bool create)
{
    Wire__Item item = WIRE__ITEM__INIT;
    struct shape_desktop_put d;
    struct fault f = { NULL, NULL };
    json_t *o;

    if (!request_body(r, &o))
        return;
    enum err e = create ? shape_desktop_create(o, &d, &f) : shape_desktop_edit(o, r->id, &d, &f);
    if (e == ERR_OK) {
        item.body_case = create ? WIRE__ITEM__BODY_DESKTOP_CREATE : WIRE__ITEM__BODY_DESKTOP_EDIT;
        item.desktop_create = &d.m;
        request_ask(r, &item, WIRE__ANSWER__BODY_DESKTOP, create ? created : shown);
    } else {
        request_fail(r, e, f.field, f.text);
    }
    json_decref(o);
}

void api_desktop_create(struct request *r)
{
    put(r, true);
}

void api_desktop_edit(struct request *r)
{
    put(r, false);
}

void api_desktop_delete(struct request *r)
{
    request_ask_target(r, WIRE__ITEM__BODY_DESKTOP_DELETE, r->id, WIRE__ANSWER__BODY__NOT_SET, deleted);
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
