#include "shape_metric.h"
#include "json_put.h"
#include "member.h"

enum { FIGURES = 3 };

void shape_metric_points(struct json *j, const Wire__MetricPoints *m)
{
    static const char *const mean[FIGURES] = { "cpu", "memory", "disk" }, *const max[FIGURES] = { "cpuMax", "memoryMax", "diskMax" };

    json_open(j, '{');
    json_put_id(j, "desktopId", ENTITY_DESKTOP, m->desktop);
    json_put_time(j, "from", m->from_ms);
    json_put_time(j, "to", m->to_ms);
    json_put_u64(j, "stepSeconds", m->step_s);
    json_key(j, "points");
    json_open(j, '[');
    for (size_t i = 0; i < m->n_start_ms && (i + 1) * FIGURES <= m->n_mean && (i + 1) * FIGURES <= m->n_max; i++) {
        json_open(j, '{');
        json_put_time(j, "timestamp", m->start_ms[i]);
        for (unsigned k = 0; k < FIGURES; k++)
            json_put_percent(j, mean[k], m->mean[i * FIGURES + k]);
        for (unsigned k = 0; k < FIGURES; k++)
            json_put_percent(j, max[k], m->max[i * FIGURES + k]);
        json_close(j, '}');
    }
    json_close(j, ']');
    json_close(j, '}');
}

enum err shape_maintenance(const json_t *o, Wire__Maintenance *m, struct fault *f)
{
    uint64_t minutes = 0;

    wire__maintenance__init(m);
    enum err e = member_filled(o, "description", &m->description, NULL, f);
    if (e)
        return e;
    if (json_in_uint(o, "expectedDurationMinutes", 1, MAINTENANCE_MAX_MINUTES, &minutes, NULL) != ERR_OK)
        return member_refuse(f, "expectedDurationMinutes", "It must be a whole number of minutes from 1 to 525600");
    m->minutes = (uint32_t)minutes;
    return check_maintenance(m, f);
}
