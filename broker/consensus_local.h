// The local engine: a batch is one durable LMDB transaction, made by one writer thread. Always the leader.
#pragma once
#include <uv.h>
#include "consensus.h"

struct store;
// min_free: octets that must stay free on the disk for new work to be taken; the same share of the map is kept (a tenth).
MUST_USE enum err cons_local_new(uv_loop_t *loop, struct store *s, uint64_t min_free, struct cons **ret);
