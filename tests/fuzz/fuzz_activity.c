// links: gateway common protobuf-c jansson sodium
// fuzz: -max_len=2048
// A row of the log as it came over the wire, and what it is about, written for each view: whatever it holds, what is written is JSON, and
// is written just when the view shows such a row. Input: an octet that picks the row's kind (0: as it says itself), the packed row.
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "arena.h"
#include "event.h"
#include "event_json.h"
#include "shape_activity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool what)
{
    if (!what)
        abort();
}

static void is_json(const struct buf *b, bool written)
{
    json_t *o;

    require(b->err == ERR_OK && (b->len > 0) == written);
    if (!written)
        return;
    // a number above 2^63 is none of ours, and still JSON
    o = json_loadb((const char *)b->data, b->len, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);
    require(o != NULL);
    json_decref(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena a;
    static struct buf b;
    Wire__AuditEntity entity = WIRE__AUDIT_ENTITY__INIT;

    if (!a.max) {
        arena_init(&a, 16 << 20);
        buf_init(&b, 64 << 20);
    }
    arena_reset(&a);
    Wire__Row *row = size ? wire__row__unpack(arena_allocator(&a), size - 1, data + 1) : NULL;
    if (!row)
        return 0;
    if (data[0])
        row->row = data[0];
    entity.title = row->title;
    entity.name = row->name;
    entity.role = row->field;
    entity.status = row->status;
    for (int with = 0; with < 2; with++) {
        buf_reset(&b);
        struct json j = json_to(&b);
        is_json(&b, false);
        bool written = shape_activity(&j, row, with ? &entity : NULL);
        require(written == (event_type(row->row, VIEW_ACTIVITIES) != NULL));
        is_json(&b, written);
    }
    static const enum event_view views[] = { VIEW_ACTIVITY, VIEW_FEED, VIEW_DESKTOPS };
    for (unsigned i = 0; i < 3; i++) {
        buf_reset(&b);
        struct json j = json_to(&b);
        bool written = event_json(&j, row, views[i]);
        require(written == (event_type(row->row, views[i]) != NULL));
        is_json(&b, written);
        require(b.len <= 32 * 1024);
    }
    return 0;
}
