// argon2id in the thread pool of libuv: at most two at once, since each takes 64 MiB and a tenth of a second of a processor, and a
// queue behind them. A job owns copies of all it reads, and wipes them; the loop's thread owns everything else.
#pragma once
#include "err.h"

enum { PASSWORD_AT_ONCE = 2, PASSWORD_QUEUE = 16 };

struct gateway;
struct passwords;

struct password_call { // embedded in the asker's struct, until cb or password_cancel
    // ERR_OK: it is right, or there was nothing to compare. ERR_UNAUTHORIZED: it is wrong. ERR_NO_MEMORY. hashed: the string of
    // `fresh`; without that, of `given`, when it is right and was stored with weaker parameters; else "". Lent.
    void (*cb)(struct password_call *c, enum err e, const char *hashed);
    void *impl;
};

MUST_USE enum err passwords_new(struct gateway *gw, struct passwords **ret);
// For tests, once no job is left.
void passwords_free(struct passwords *p);
// Compares `given` with `stored` (NULL: nobody's; it takes as long, and is wrong) and makes the string of `fresh`. NULL for what
// is not to be done. cb comes later, from the loop. ERR_OVERLOADED: the queue is full; ERR_TOO_BIG; cb will not come then.
MUST_USE enum err password_ask(struct passwords *p, struct password_call *c, const char *stored, const char *given, const char *fresh);
void password_cancel(struct password_call *c); // harmless after cb, and when nothing was asked
