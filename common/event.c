#include "event.h"
#include <string.h>

static const struct {
    enum entity entity;
    const char *type[VIEW_COUNT];
} rows[ROW_COUNT] = {
#define E(row, entity, activity, feed, activities, desktops) \
    [ROW_##row] = { ENTITY_##entity, { activity, feed, activities, desktops } },
    EVENT_ROWS(E)
#undef E
};

const char *event_type(unsigned row, enum event_view view)
{
    return row < ROW_COUNT && (unsigned)view < VIEW_COUNT ? rows[row].type[view] : NULL;
}

enum entity event_entity(unsigned row)
{
    return row < ROW_COUNT ? rows[row].entity : ENTITY_NONE;
}

bool event_type_known(enum event_view view, const char *type)
{
    for (unsigned r = 1; r < ROW_COUNT; r++) {
        const char *t = event_type(r, view);
        if (t && strcmp(t, type) == 0)
            return true;
    }
    return false;
}
