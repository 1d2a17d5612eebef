// links: broker gateway common protobuf-c jansson sodium lmdb xxhash
// fuzz: -max_len=4096 -dict=tests/fuzz/json.dict
// What stands in a page of a desktop's history, and the body that announces maintenance: octet 0 says which. A page that is whole can
// be read and written at every step; a body that is taken packs, and its fault has a name otherwise. Answers with points are written as
// JSON whatever their three lists hold.
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "metric.h"
#include "shape_metric.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void page(const uint8_t *data, size_t size)
{
    Rec__MetricPage *p = rec__metric_page__unpack(NULL, size, data);
    if (p && metric_page_whole(p)) {
        for (uint32_t i = 0; i < METRIC_PAGE_STEPS; i++) {
            struct metric_step s = { .count = 1, .sum = { 1, 2, 3 }, .max = { 1, 2, 3 } }, got = { 0 };
            metric_page_add(p, i, &s);
            metric_page_get(p, i, &got);
            for (unsigned m = 0; m < METRIC_N; m++)
                (void)metric_mean(&got, m);
        }
        for (enum metric_level level = LEVEL_MINUTE; level < LEVEL_N; level++)
            assert(metric_place(level, p->page).slot < metric_pages(level));
    }
    rec__metric_page__free_unpacked(p, NULL);
}

static void body(const uint8_t *data, size_t size)
{
    Wire__Maintenance m;
    struct fault f = { NULL, NULL };
    char why[160];
    json_t *o;
    if (json_in_parse(data, size, &o, why, sizeof why) != ERR_OK)
        return;
    if (shape_maintenance(o, &m, &f) == ERR_OK) {
        size_t n = wire__maintenance__get_packed_size(&m);
        uint8_t *p = malloc(n + 1);
        assert(p && wire__maintenance__pack(&m, p) == n && m.minutes && *m.description);
        free(p);
    } else {
        assert(f.field && *f.field && f.text && *f.text);
    }
    json_decref(o);
}

static void points(const uint8_t *data, size_t size)
{
    Wire__MetricPoints *m = wire__metric_points__unpack(NULL, size, data);
    struct buf b;
    char why[160];
    json_t *o;
    if (!m)
        return;
    m->step_s &= INT64_MAX; // JSON may hold more, but our reader takes no larger number
    m->desktop &= INT64_MAX;
    buf_init(&b, 64u << 20);
    struct json j = json_to(&b);
    shape_metric_points(&j, m);
    assert(!b.err && json_in_parse(b.data, b.len, &o, why, sizeof why) == ERR_OK);
    assert(json_array_size(json_object_get(o, "points")) <= m->n_start_ms);
    json_decref(o);
    buf_fini(&b);
    wire__metric_points__free_unpacked(m, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    if (data[0] % 3 == 0)
        page(data + 1, size - 1);
    else if (data[0] % 3 == 1)
        body(data + 1, size - 1);
    else
        points(data + 1, size - 1);
    return 0;
}
