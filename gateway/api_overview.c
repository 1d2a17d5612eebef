// The dashboard's figures.
#include "api.h"
#include "hot.h"
#include "shape.h"

static bool render(struct hot_page *p, const Wire__Answer *a)
{
    shape_overview(p->j, a->overview);
    return true;
}

void api_overview(struct request *r)
{
    Wire__Target t = WIRE__TARGET__INIT;
    Wire__Item item = WIRE__ITEM__INIT;

    if (hot_serve(r))
        return;
    item.body_case = WIRE__ITEM__BODY_OVERVIEW;
    item.overview = &t;
    hot_ask(r, &item, WIRE__ANSWER__BODY_OVERVIEW, render, NULL);
}
