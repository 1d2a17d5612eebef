// links: gateway common protobuf-c jansson sodium
// The JSON of a desktop's history, and the body that announces maintenance.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include "shape_metric.h"

static const char *written(const Wire__MetricPoints *m)
{
    static struct buf b;
    if (!b.max)
        buf_init(&b, 1 << 20);
    buf_reset(&b);
    struct json j = json_to(&b);
    shape_metric_points(&j, m);
    return buf_cstr(&b);
}

static void points(void **state)
{
    uint64_t at[] = { 1773568800000, 1773568810000 };
    uint32_t mean[] = { 2350, 10000, 0, 1, 10, 100 }, max[] = { 2360, 10000, 0, 2, 20, 200 };
    Wire__MetricPoints m = WIRE__METRIC_POINTS__INIT;
    (void)state;
    m.desktop = 7;
    m.from_ms = 1773568800000;
    m.to_ms = 1773572400000;
    m.step_s = 10;
    assert_string_equal(written(&m), "{\"desktopId\":\"desktop_7\",\"from\":\"2026-03-15T10:00:00.000Z\","
                                     "\"to\":\"2026-03-15T11:00:00.000Z\","
                                     "\"stepSeconds\":10,\"points\":[]}");
    m.start_ms = at;
    m.mean = mean;
    m.max = max;
    m.n_start_ms = 2;
    m.n_mean = m.n_max = 6;
    assert_string_equal(written(&m), "{\"desktopId\":\"desktop_7\",\"from\":\"2026-03-15T10:00:00.000Z\","
                                     "\"to\":\"2026-03-15T11:00:00.000Z\","
                                     "\"stepSeconds\":10,\"points\":["
                                     "{\"timestamp\":\"2026-03-15T10:00:00.000Z\",\"cpu\":23.5,\"memory\":100,\"disk\":0,"
                                     "\"cpuMax\":23.6,\"memoryMax\":100,\"diskMax\":0},"
                                     "{\"timestamp\":\"2026-03-15T10:00:10.000Z\",\"cpu\":0.01,\"memory\":0.1,\"disk\":1,"
                                     "\"cpuMax\":0.02,\"memoryMax\":0.2,\"diskMax\":2}]}");
    for (size_t n = 0; n < 6; n++) { // lists that do not go together: nothing is read beyond them
        m.n_mean = n;
        m.n_max = 6;
        assert_true(strstr(written(&m), "10.000Z") == NULL);
        m.n_mean = 6;
        m.n_max = n;
        assert_true(strstr(written(&m), "10.000Z") == NULL);
    }
}

static void maintenance(void **state)
{
    static const struct { const char *body; enum err err; const char *field; uint32_t minutes; } rows[] = {
        { "{\"description\":\"d\",\"expectedDurationMinutes\":30}", ERR_OK, NULL, 30 },
        { "{\"description\":\"d\\ne\",\"expectedDurationMinutes\":525600,\"more\":1}", ERR_OK, NULL, 525600 },
        { "{}", ERR_MISSING_FIELD, "description", 0 },
        { "{\"expectedDurationMinutes\":30}", ERR_MISSING_FIELD, "description", 0 },
        { "{\"description\":null,\"expectedDurationMinutes\":30}", ERR_MISSING_FIELD, "description", 0 },
        { "{\"description\":\"\",\"expectedDurationMinutes\":30}", ERR_INVALID_FIELD, "description", 0 },
        { "{\"description\":5,\"expectedDurationMinutes\":30}", ERR_INVALID_FIELD, "description", 0 },
        { "{\"description\":\"a\\u0007b\",\"expectedDurationMinutes\":30}", ERR_INVALID_FIELD, "description", 0 },
        { "{\"description\":\"d\"}", ERR_MISSING_FIELD, "expectedDurationMinutes", 0 },
        { "{\"description\":\"d\",\"expectedDurationMinutes\":null}", ERR_MISSING_FIELD, "expectedDurationMinutes", 0 },
        { "{\"description\":\"d\",\"expectedDurationMinutes\":0}", ERR_INVALID_FIELD, "expectedDurationMinutes", 0 },
        { "{\"description\":\"d\",\"expectedDurationMinutes\":525601}", ERR_INVALID_FIELD, "expectedDurationMinutes", 0 },
        { "{\"description\":\"d\",\"expectedDurationMinutes\":1.5}", ERR_INVALID_FIELD, "expectedDurationMinutes", 0 },
        { "{\"description\":\"d\",\"expectedDurationMinutes\":\"5\"}", ERR_INVALID_FIELD, "expectedDurationMinutes", 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Wire__Maintenance m;
        struct fault f = { NULL, NULL };
        char why[160];
        json_t *o;
        assert_int_equal(json_in_parse(rows[i].body, strlen(rows[i].body), &o, why, sizeof why), ERR_OK);
        assert_int_equal(shape_maintenance(o, &m, &f), rows[i].err);
        if (rows[i].err)
            assert_string_equal(f.field, rows[i].field);
        else
            assert_int_equal(m.minutes, rows[i].minutes);
        json_decref(o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(points), cmocka_unit_test(maintenance) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
