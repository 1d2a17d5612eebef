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
    hot_answer(r, WIRE__ITEM__BODY_OVERVIEW, WIRE__ANSWER__BODY_OVERVIEW, render);
}
