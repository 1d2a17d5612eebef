// The audit trail's public JSON (seeds: Activities API): snake_case, ids as plain numbers, times in seconds since 1970. Pure.
#pragma once
#include "json_out.h"
#include "wire.pb-c.h"

// entity: what the row is about as it stands now; NULL: it is gone. False: the activities do not show such a row (nothing is written).
bool shape_activity(struct json *j, const Wire__Row *row, const Wire__AuditEntity *entity);
void shape_activity_counts(struct json *j, const Wire__ActivityCounts *c);
