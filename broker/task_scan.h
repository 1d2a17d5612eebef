// Searching tasks as they lie in the store, without unpacking them: most of those a search looks at do not match. Pure.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "err.h"
#include "store.h"

struct task_scan {
    const char *q;                         // lent
    size_t n;
    uint32_t title, content, content_apart; // field numbers of Rec.Task
};
struct task_scan task_scan_for(const char *q);
// SCAN_APART: neither in the title, and the content is kept apart: look there with task_scan_text.
enum scan { SCAN_NO, SCAN_YES, SCAN_APART };
// packed: a Rec.Task. ERR_CORRUPT: it is none.
MUST_USE enum err task_scan_record(const struct task_scan *s, struct slice packed, enum scan *ret);
// ASCII letters fold; anything else must be the same octets.
bool task_scan_text(const struct task_scan *s, struct slice text);
