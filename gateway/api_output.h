// GET .../tasks/:id/output: the output of a run, as text or followed live as an event stream (contract.md section 3).
#pragma once
#include <stdint.h>
#include "exchange.h"

// The handler after authentication (role viewer). Takes the exchange: answers it, now or later.
void api_output(struct exchange *x, uint64_t task);
