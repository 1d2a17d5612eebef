// The local engine: a batch is one durable LMDB transaction, made by one writer thread. Always the leader.
#pragma once
#include <uv.h>
#include "consensus.h"

struct store;
// min_free, min_map: octets that must stay free on the disk and in the map for new work to be taken: what is under way needs them.
MUST_USE enum err cons_local_new(uv_loop_t *loop, struct store *s, uint64_t min_free, uint64_t min_map, struct cons **ret);
