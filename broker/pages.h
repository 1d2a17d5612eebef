// LMDB's file, read without LMDB: every page that is in use is looked at before LMDB sees it, since LMDB trusts its pages and crashes,
// or reads or overwrites something else, where one is damaged (assurance.md 0.6). Checks, for the newest of the two head pages: that each
// page is where it says, of the right kind and used once; that nodes lie inside their page, keys rise and stay between their parent's;
// that the trees' figures are right; that what is listed as free is used by nothing. What is in no list and no tree is counted only:
// LMDB 0.9.24 can lose a page for good (ITS#9155).
//
// The format is that of data version 1 on a 64-bit little-endian machine: LMDB's own, not one that moves between machines.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "err.h"

struct pages_cbs {
    enum err (*database)(void *u, const char *db); // before its records; an error as below
    // Each record of each named database. Lent for the call. An error ends the check with it and a text of this check's.
    enum err (*record)(void *u, const uint8_t *key, size_t key_n, const uint8_t *value, size_t n);
    void (*progress)(void *u, uint64_t pages, uint64_t of); // every few thousand pages; may be NULL
    void *u;
};
struct pages_found {
    uint64_t pages, records; // pages 0: the file is empty, as one that is to be made
    uint64_t free, lost;     // pages listed as free; in no tree and no list
};

// fd: of the file, which nobody writes meanwhile. ERR_CORRUPT, ERR_IO, ERR_NO_MEMORY, or what `record` gave: `why` says what and where, to
// be read after the file's name.
MUST_USE enum err pages_check(int fd, const struct pages_cbs *cbs, struct pages_found *ret, char *why, size_t why_size);
