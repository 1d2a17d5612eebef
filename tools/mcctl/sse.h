// Server-sent events, read as they come, in pieces of any size. Pure.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"

enum { SSE_ID_MAX = 64, SSE_EVENT_MAX = 1024 * 1024 };

struct sse {
    struct buf line, data;
    bool cr, begun, has_data;
    char id[SSE_ID_MAX];   // of the block that is being read
    char last[SSE_ID_MAX]; // what to come back with: of the last whole block that had one; "" for none
    uint64_t retry_ms;     // 0: nothing was said
};

// false: enough.
typedef bool sse_event(void *u, const char *data, size_t n, const char *id);

void sse_init(struct sse *s);
void sse_fini(struct sse *s);
// A new connection: what was not whole is gone, `last` stays.
void sse_restart(struct sse *s);
// ERR_CLOSED: the callback had enough; ERR_TOO_BIG: an event above SSE_EVENT_MAX; ERR_NO_MEMORY.
MUST_USE enum err sse_feed(struct sse *s, const void *p, size_t n, sse_event *cb, void *u);
