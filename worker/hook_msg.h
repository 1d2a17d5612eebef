// What a webhook is sent: the event object as its stream shows it, and the header lines that say what it is and who it is from. Pure.
#pragma once
#include <stdint.h>
#include "buf.h"
#include "err.h"
#include "wire.pb-c.h"

enum { HOOK_BODY_MAX = 128 * 1024, HOOK_LINES = 4, HOOK_LINE_MAX = 160 };

struct hook_head {
    char text[HOOK_LINES][HOOK_LINE_MAX];
    const char *line[HOOK_LINES + 1]; // as fetch.h takes them
};
// ERR_BAD_REQUEST: the row is none, or no stream shows it. *ret_type: lent, for ever.
MUST_USE enum err hook_body(const Wire__HookOrder *o, struct buf *out, const char **ret_type);
// X-Mc-Event, X-Mc-Delivery, X-Mc-Timestamp (unix seconds) and X-Mc-Signature: HMAC-SHA256 with the webhook's secret over
// "timestamp.delivery.body".
void hook_head(const Wire__HookOrder *o, const char *type, uint64_t now_s, const void *body, size_t n, struct hook_head *ret);
