// A desktop's figures over time, and the announcement of maintenance.
#include "api.h"
#include "event_json.h"
#include "params.h"
#include "shape_metric.h"

enum { STEP_MAX_S = 366 * 24 * 3600 };

static void shown(struct request *r, const Wire__Answer *a)
{
    shape_metric_points(request_json(), a->metric_points);
    request_send(r, 200);
}

void api_desktop_metrics(struct request *r)
{
    Wire__MetricsRead m = WIRE__METRICS_READ__INIT;
    Wire__Item item = WIRE__ITEM__INIT;

    m.desktop = r->id;
    if (!params_time(r, "from", &m.from_ms) || !params_time(r, "to", &m.to_ms) || !params_number(r, "step", 1, STEP_MAX_S, &m.step_s))
        return;
    item.body_case = WIRE__ITEM__BODY_METRICS_READ;
    item.metrics_read = &m;
    request_ask(r, &item, WIRE__ANSWER__BODY_METRIC_POINTS, shown);
}

// The event, as the feed lists it.
static void announced(struct request *r, const Wire__Answer *a)
{
    (void)event_json(request_json(), a->event, VIEW_FEED);
    request_send(r, 201);
}

void api_maintenance(struct request *r)
{
    Wire__Maintenance m;
    Wire__Item item = WIRE__ITEM__INIT;
    struct fault f = { NULL, NULL };
    json_t *o;

    if (!request_body(r, &o))
        return;
    enum err e = shape_maintenance(o, &m, &f);
    if (e == ERR_OK) {
        item.body_case = WIRE__ITEM__BODY_MAINTENANCE;
        item.maintenance = &m;
        request_ask(r, &item, WIRE__ANSWER__BODY_EVENT, announced);
    } else {
        request_fail(r, e, f.field, f.text);
    }
    json_decref(o);
}
