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
    if (event_json(request_json(), a->event, VIEW_FEED))
        request_send(r, 201);
    else // a row that the feed does not show: no answer to what was asked
        request_fail(r, ERR_INTERNAL, NULL, NULL);
}

static enum err announce(struct request *r, const json_t *body, void *m, struct fault *f)
{
    (void)r;
    return shape_maintenance(body, m, f);
}

void api_maintenance(struct request *r)
{
    Wire__Maintenance m;

    request_ask_body(r, announce, &m, WIRE__ITEM__BODY_MAINTENANCE, WIRE__ANSWER__BODY_EVENT, announced);
}
