// What a worker is told: everything the store says is its and its last poll did not name, what it is to end, what to forget, what to
// probe. Made anew for each answer from the store, so that a lost answer costs nothing.
#pragma once
#include "fleet_state.h"

struct orders {
    Wire__WorkOrders o; // lent by the fleet's arena
    size_t cap;
};
MUST_USE enum err orders_make(struct fleet *f, const struct worker *w, struct orders *ret);
static inline bool orders_any(const struct orders *os)
{
    return os->o.n_assignments || os->o.n_cancels || os->o.n_forget || os->o.n_hooks || os->o.probes_given || os->o.drain;
}
