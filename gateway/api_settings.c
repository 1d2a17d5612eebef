// The workspace's settings.
#include "api.h"
#include "hot.h"
#include "shape.h"
#include "shape_body.h"

static bool render(struct hot_page *p, const Wire__Answer *a)
{
    shape_settings(p->j, a->settings);
    return true;
}

void api_settings_get(struct request *r)
{
    hot_answer(r, WIRE__ITEM__BODY_SETTINGS_GET, WIRE__ANSWER__BODY_SETTINGS, render);
}

static void changed(struct request *r, const Wire__Answer *a)
{
    shape_settings(request_json(), a->settings);
    request_send(r, 200);
}

static enum err put(struct request *r, const json_t *body, void *m, struct fault *f)
{
    (void)r;
    return shape_settings_put(body, m, f);
}

void api_settings_put(struct request *r)
{
    struct shape_settings_put s;

    request_ask_body(r, put, &s, WIRE__ITEM__BODY_SETTINGS_PUT, WIRE__ANSWER__BODY_SETTINGS, changed);
}
