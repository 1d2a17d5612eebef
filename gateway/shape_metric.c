#include "shape_metric.h"
#include <string.h>
#include "json_put.h"

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

static enum err refuse(struct fault *f, const char *field, const char *why)
{
    *f = (struct fault){ field, why };
    return ERR_INVALID_FIELD;
}

enum err shape_maintenance(const json_t *o, Wire__Maintenance *m, struct fault *f)
{
    const char *description = NULL;
    uint64_t minutes = 0;
    bool given = false;

    wire__maintenance__init(m);
    if (json_in_str(o, "description", &description, &given) != ERR_OK)
        return refuse(f, "description", "It must be a string");
    if (given && !*description)
        return refuse(f, "description", "It must not be empty");
    if (given)
        memcpy(&m->description, &description, sizeof description); // protobuf-c has no const in its structs; it is only packed
    if (json_in_uint(o, "expectedDurationMinutes", 1, MAINTENANCE_MAX_MINUTES, &minutes, NULL) != ERR_OK)
        return refuse(f, "expectedDurationMinutes", "It must be a whole number of minutes from 1 to 525600");
    m->minutes = (uint32_t)minutes;
    return check_maintenance(m, f);
}
