#include "event.h"
#include <string.h>

static const struct {
    enum entity entity;
    enum severity severity;
    const char *type[VIEW_COUNT];
} rows[ROW_COUNT] = {
#define E(row, entity, severity, activity, feed, activities, desktops) \
    [ROW_##row] = { ENTITY_##entity, SEVERITY_##severity, { activity, feed, activities, desktops } },
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

enum entity event_audit_entity(unsigned row)
{
    return row == ROW_COMMENT_ADDED ? ENTITY_COMMENT : event_entity(row);
}

enum severity event_severity(unsigned row)
{
    return row < ROW_COUNT ? rows[row].severity : SEVERITY_NONE;
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
