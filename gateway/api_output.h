// GET .../tasks/:id/output: the output of a run, as text or followed live as an event stream (contract.md section 3).
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "exchange.h"

// The handler after authentication (role viewer). Takes the exchange: answers it, now or later.
void api_output(struct exchange *x, uint64_t task);

// True where the answer is to be an event stream.
bool api_output_follows(const struct exchange *x);
// The same before it is known who asks, for an event stream: it begins at once and is held with heartbeats until the credential can be
// looked up and the rate limit lets it pass; both are tried each second. One that then proves wrong ends it. key is copied.
void api_output_held(struct exchange *x, uint64_t task, struct text key);
