// One call of our code to LMDB, or one allocation from an arena, fails, chosen by its number. For tests that say `fail_store` in their
// first line: they are linked with those functions wrapped. (What protobuf-c takes from the arena while unpacking is not counted.)
#pragma once
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <lmdb.h>
#include "arena.h"

static unsigned fail_store_left; // 1: the next one; 0: none
static const char *fail_store_failed; // the function that failed
static bool fail_store_is_memory, fail_store_loses; // loses: only reads of a record fail, and say that it is not there

static bool fail_store_now(const char *what, bool is_read)
{
    if ((fail_store_loses && !is_read) || fail_store_left == 0 || --fail_store_left > 0)
        return false;
    fail_store_failed = what;
    return true;
}

#define FAIL_STORE(name, args, ...)                              \
    int __real_##name args;                                      \
    int __wrap_##name args;                                      \
    int __wrap_##name args                                       \
    {                                                            \
        if (!fail_store_now(#name, false))                              \
            return __real_##name(__VA_ARGS__);                   \
        fail_store_is_memory = false;                            \
        return EIO;                                              \
    }

int __real_mdb_get(MDB_txn *t, MDB_dbi d, MDB_val *k, MDB_val *v);
int __wrap_mdb_get(MDB_txn *t, MDB_dbi d, MDB_val *k, MDB_val *v);
int __wrap_mdb_get(MDB_txn *t, MDB_dbi d, MDB_val *k, MDB_val *v)
{
    if (!fail_store_now("mdb_get", true))
        return __real_mdb_get(t, d, k, v);
    fail_store_is_memory = false;
    return fail_store_loses ? MDB_NOTFOUND : EIO;
}

FAIL_STORE(mdb_put, (MDB_txn *t, MDB_dbi d, MDB_val *k, MDB_val *v, unsigned f), t, d, k, v, f)
FAIL_STORE(mdb_del, (MDB_txn *t, MDB_dbi d, MDB_val *k, MDB_val *v), t, d, k, v)
FAIL_STORE(mdb_cursor_open, (MDB_txn *t, MDB_dbi d, MDB_cursor **c), t, d, c)
FAIL_STORE(mdb_cursor_get, (MDB_cursor *c, MDB_val *k, MDB_val *v, MDB_cursor_op op), c, k, v, op)
FAIL_STORE(mdb_cursor_put, (MDB_cursor *c, MDB_val *k, MDB_val *v, unsigned f), c, k, v, f)
FAIL_STORE(mdb_cursor_del, (MDB_cursor *c, unsigned f), c, f)

void *__real_arena_alloc(struct arena *a, size_t n);
void *__wrap_arena_alloc(struct arena *a, size_t n);
void *__wrap_arena_alloc(struct arena *a, size_t n)
{
    if (!fail_store_now("arena_alloc", false))
        return __real_arena_alloc(a, n);
    fail_store_is_memory = true;
    a->failed = true;
    return NULL;
}

// The n-th from here on fails, and no other.
static inline void fail_store(unsigned n)
{
    fail_store_left = n;
    fail_store_failed = NULL;
}

// Ends that, and tells which has failed; NULL: none.
static inline const char *fail_store_done(void)
{
    fail_store_left = 0;
    return fail_store_failed;
}
