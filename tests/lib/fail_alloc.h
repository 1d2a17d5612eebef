// One allocation of our code fails, chosen by its number. For tests that say `fail_alloc` in their first line: they are linked with
// malloc, calloc and realloc wrapped (what libraries allocate for themselves is not touched, unless they are given malloc).
//     for (unsigned n = 1; n == 1 || fail_alloc_done(); n++) { fail_alloc(n); ...the work, which must be refused if one failed... }
#pragma once
#include <stdbool.h>
#include <stddef.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static unsigned fail_alloc_left; // 1: the next one; 0: none
static bool fail_alloc_failed;

static bool fail_alloc_now(void)
{
    if (fail_alloc_left == 0 || --fail_alloc_left > 0)
        return false;
    return fail_alloc_failed = true;
}

void *__wrap_malloc(size_t n)
{
    return fail_alloc_now() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fail_alloc_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fail_alloc_now() ? NULL : __real_realloc(p, n);
}

// The n-th allocation from here on fails, and no other.
static inline void fail_alloc(unsigned n)
{
    fail_alloc_left = n;
    fail_alloc_failed = false;
}

// Ends that, and tells whether one has failed.
static inline bool fail_alloc_done(void)
{
    fail_alloc_left = 0;
    return fail_alloc_failed;
}
