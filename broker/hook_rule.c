#include "hook_rule.h"
#include <string.h>
#include "event.h"

_Static_assert(ROW_COUNT <= 64, "a bit for each kind of row");

static bool among(const char *type, char *const *events, size_t n)
{
    for (size_t i = 0; type && i < n; i++)
        if (strcmp(events[i], "*") == 0 || strcmp(events[i], type) == 0)
            return true;
    return false;
}

struct hook_match hook_match(char *const *events, size_t n)
{
    struct hook_match m = { 0, 0 };
    for (unsigned row = 1; row < ROW_COUNT; row++) {
        m.activity |= (uint64_t)among(event_type(row, VIEW_ACTIVITY), events, n) << row;
        m.feed |= (uint64_t)among(event_type(row, VIEW_FEED), events, n) << row;
    }
    return m;
}

const char *hook_type(unsigned row, bool feed)
{
    return event_type(row, feed ? VIEW_FEED : VIEW_ACTIVITY);
}

// ---------------------------------------------------------------- a look into a packed Row (protobuf encoding)

static bool varint(const uint8_t **at, const uint8_t *end, uint64_t *ret)
{
    uint64_t v = 0;
    for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
        uint8_t b = *(*at)++;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            *ret = v;
            return true;
        }
    }
    return false;
}

struct hook_row hook_peek(const uint8_t *p, size_t n)
{
    enum { FIELD_ROW = 3, FIELD_WORKSPACE = 4, VARINT = 0 };
    const uint8_t *end = p + n;
    struct hook_row r = { 0, 0 };
    uint64_t tag, value;
    // Fields are packed in the order of their numbers, and the first four are numbers.
    while (varint(&p, end, &tag) && (tag & 7) == VARINT && tag >> 3 <= FIELD_WORKSPACE && varint(&p, end, &value)) {
        if (tag >> 3 == FIELD_ROW)
            r.row = (uint32_t)value;
        else if (tag >> 3 == FIELD_WORKSPACE)
            r.workspace = value;
    }
    return r;
}

// ---------------------------------------------------------------- the schedule

static uint64_t mix(uint64_t v) // splitmix64
{
    v += 0x9e3779b97f4a7c15;
    v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9;
    v = (v ^ v >> 27) * 0x94d049bb133111eb;
    return v ^ v >> 31;
}

uint64_t hook_delay_ms(uint64_t base_ms, uint64_t failures, uint64_t salt)
{
    uint64_t steps = failures == 0 ? 0 : failures > 9 ? HOOK_STEPS_MAX : (uint64_t)1 << (failures - 1);
    uint64_t ms = base_ms * steps, fifth = ms / 5;
    return ms - fifth + (fifth ? mix(salt ^ failures << 56) % (2 * fifth + 1) : 0);
}
