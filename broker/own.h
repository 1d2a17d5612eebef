// The proposals the broker makes by itself, about workers and desktops. Each looks after its own memory; what it assumed is looked at
// again when it is applied.
#pragma once
#include "fleet_state.h"

void own_assign(struct fleet *f, struct desktop *d, struct worker *w, uint64_t task, uint32_t attempt);
bool own_assigning(const struct fleet *f, uint64_t task); // an assignment of it is under way
void own_release(struct fleet *f, const struct worker *w, uint64_t session);
void own_observe(struct fleet *f, const struct desktop *d, const Wire__Observation *seen); // copied
void own_alert(struct fleet *f, struct desktop *d, unsigned judged, const uint32_t value[METRIC_N]);
enum { OWN_SAMPLES = 64 }; // desktops in one Sample, so that it holds up a turn for a few milliseconds at most
struct own_minute {
    uint64_t workspace, desktop, minute;
    struct metric_step step;
};
void own_sample(struct fleet *f, const struct own_minute *minutes, size_t n); // copied; at most OWN_SAMPLES
void own_expire(struct fleet *f, struct worker *w);
// until[i] is the lease of worker[i]; full_term: a full term for every worker there is.
void own_renew(struct fleet *f, const Wire__WorkerLease *leases, size_t n, bool full_term);

// What fleet.c and fleet_live.c want to know of the outcome. ok: applied, and not refused.
void fleet_assigned(struct fleet *f, uint64_t desktop, uint64_t worker, bool ok);
void fleet_expired(struct fleet *f, uint64_t worker, bool ok);
void fleet_alerted(struct fleet *f, uint64_t desktop);
void fleet_sampled(struct fleet *f, const struct own_minute *minutes, size_t n, bool ok);
