// Deliveries to webhooks: an order is posted once, and what came of it is told until the broker has it.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>
#include "err.h"
#include "netrule.h"
#include "wire.pb-c.h"

struct hooks;
struct peer;
enum { HOOK_SLOTS = 64 };  // at once

struct hooks_conf {
    uv_loop_t *loop;
    const struct net_allow *allow;
    void (*idle)(void *u); // nothing is under way, and the broker has been told of all that was
    void *u;
};
MUST_USE enum err hooks_new(const struct hooks_conf *conf, struct hooks **ret);
void hooks_start(struct hooks *h, struct peer *peer); // before the first order
void hooks_up(struct hooks *h);                       // the broker is there (again)
void hooks_take(struct hooks *h, const Wire__HookOrder *o); // one that we have, or have done, is not taken again
bool hooks_idle(const struct hooks *h);
void hooks_counts(const struct hooks *h, uint64_t *ret_now, uint64_t *ret_delivered, uint64_t *ret_failed); // now: under way or not told
// For a poll; lent until the next call of these functions.
size_t hooks_holdings(struct hooks *h, Wire__HookHolding ***ret);
