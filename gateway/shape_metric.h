// The public JSON of a desktop's history, and the message of an announced maintenance. Pure.
#pragma once
#include "check.h"
#include "err.h"
#include "json_in.h"
#include "json_out.h"
#include "wire.pb-c.h"

// A point whose figures are missing from the message is left out.
void shape_metric_points(struct json *j, const Wire__MetricPoints *m);
// Judged by check_maintenance; text is lent by the body.
MUST_USE enum err shape_maintenance(const json_t *o, Wire__Maintenance *m, struct fault *f);
