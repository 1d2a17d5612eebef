// The workspace's settings.
#include "api.h"
#include "hot.h"
#include "shape.h"

static bool render(struct hot_page *p, const Wire__Answer *a)
{
    shape_settings(p->j, a->settings);
    return true;
}

void api_settings_get(struct request *r)
{
    Wire__Target t = WIRE__TARGET__INIT;
    Wire__Item item = WIRE__ITEM__INIT;

    if (hot_serve(r))
        return;
    item.body_case = WIRE__ITEM__BODY_SETTINGS_GET;
    item.settings_get = &t;
    hot_ask(r, &item, WIRE__ANSWER__BODY_SETTINGS, render, NULL);
}

static void changed(struct request *r, const Wire__Answer *a)
{
    shape_settings(request_json(), a->settings);
    request_send(r, 200);
}

void api_settings_put(struct request *r)
{
    Wire__Item item = WIRE__ITEM__INIT;
    struct shape_settings_put s;
    struct fault f = { NULL, NULL };
    json_t *o;

    if (!request_body(r, &o))
        return;
    enum err e = shape_settings_put(o, &s, &f);
    if (e == ERR_OK) {
        item.body_case = WIRE__ITEM__BODY_SETTINGS_PUT;
        item.settings_put = &s.m;
        request_ask(r, &item, WIRE__ANSWER__BODY_SETTINGS, changed);
    } else {
        request_fail(r, e, f.field, f.text);
    }
    json_decref(o);
}
