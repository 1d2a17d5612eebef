// One conversation with the agent of a desktop: a prompt, and its answer as it comes. Sent once, never again by itself.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "chat_msg.h"
#include "err.h"
#include "names.h"

struct chat;
struct chat_result {
    enum failure failure; // FAILURE_NONE, FAILURE_AGENT_ERROR, FAILURE_TIMEOUT
    const char *text;     // a sentence, lent
    uint64_t prompt_tokens, completion_tokens;
};
struct chat_req {
    const char *url, *model, *system, *prompt, *key; // key: NULL or "" for none. All copied
    unsigned stall_s;
    bool (*text)(void *u, const char *s, size_t n);  // false: it cannot be kept, break off
    void (*done)(void *u, const struct chat_result *r); // once, never before chat_start has returned, never after chat_cancel
    void *u;
};
// ERR_INVALID_FIELD: the address is none; ERR_NO_MEMORY.
MUST_USE enum err chat_start(const struct chat_req *r, struct chat **ret);
void chat_cancel(struct chat *c); // NULL does nothing
// url with a path appended, before its query. False: too long.
bool chat_url(char *out, size_t size, const char *url, const char *path);
