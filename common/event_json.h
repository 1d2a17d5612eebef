// One row of the log as an event object of the activity stream, the feed or the desktop stream (contract.md section 4): what a frame's
// data line holds, what GET .../events lists, and what a webhook is sent. Pure. The same row always gives the same octets. No object
// is larger than 32 KiB less a frame's own octets: each text is cut at 1,024 characters, and none has more than four of them.
#pragma once
#include <stdbool.h>
#include "event.h"
#include "json_out.h"
#include "wire.pb-c.h"

enum { EVENT_TEXT_MAX = 1024 }; // characters; longer text is cut and ends in an ellipsis

// Writes the object. False: the view does not show the row (nothing is written). VIEW_ACTIVITIES is not written here.
bool event_json(struct json *j, const Wire__Row *row, enum event_view view);
// The members cpu, memory and disk, null before the first probe.
void event_json_metrics(struct json *j, const Wire__Metrics *m);
// The feed's and the audit trail's word for a task's state: "assigned" for pending, "in_progress" for running. NULL for none.
const char *event_status_word(uint32_t task_status);
// A field's name as these two say it: "timeoutSeconds" is "timeout_seconds". Cut to size, NUL-terminated.
void event_field_word(const char *name, char *out, size_t size);
// The state that a row leaves its task in.
uint32_t event_task_status(const Wire__Row *row);
