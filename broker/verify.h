// Looks at what a store says of itself, for `mc-broker --check`: every object can be read and has its index entries, and no entry is
// without one; counters equal what they count; the log is dense, each row in its posting lists, in order, and nothing else is in them;
// hours, comments, deliveries and histories belong to something. Nothing is changed. Takes memory for the counters of desktops only.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "store.h"

enum { VERIFY_TOLD = 20 }; // findings beyond these are only counted

struct verify_cbs {
    void (*found)(void *u, const char *what);                      // something wrong: a sentence
    void (*progress)(void *u, const char *of, uint64_t n);         // records looked at so far; may be NULL
    void *u;
};
// *ret_wrong: how many findings. ERR_BAD_STATE: the store is of another layout than this program's; what an error of the store leaves
// unseen is not judged.
MUST_USE enum err verify_store(struct txn *t, const struct verify_cbs *cbs, uint64_t *ret_wrong);
