// links: gateway common protobuf-c sodium
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cache.h"
#include "crypto.h"

static const int route_a, route_b;

static struct text of(const char *s)
{
    return (struct text){ s, strlen(s) };
}

static bool put(struct cache *c, uint64_t workspace, const void *route, const char *query, struct text body)
{
    struct cache_key k = { workspace, route, of(query) };
    struct cache_entry *e = cache_make(&k, body, of("</next>"));
    assert_non_null(e);
    if (cache_put(c, e))
        return true;
    free(e);
    return false;
}

static const struct cache_entry *find(struct cache *c, uint64_t workspace, const void *route, const char *query)
{
    struct cache_key k = { workspace, route, of(query) };
    return cache_find(c, &k);
}

static void keys_apart(void **state)
{
    struct cache *c = cache_new(CACHE_BYTES);
    (void)state;
    assert_true(put(c, 1, &route_a, "limit=5", of("one")));
    assert_true(put(c, 2, &route_a, "limit=5", of("two")));
    assert_true(put(c, 1, &route_b, "limit=5", of("three")));
    assert_true(put(c, 1, &route_a, "", of("four")));
    assert_memory_equal(find(c, 1, &route_a, "limit=5")->body.p, "one", 3);
    assert_memory_equal(find(c, 2, &route_a, "limit=5")->body.p, "two", 3);
    assert_memory_equal(find(c, 1, &route_b, "limit=5")->body.p, "three", 5);
    assert_memory_equal(find(c, 1, &route_a, "")->body.p, "four", 4);
    assert_memory_equal(find(c, 1, &route_a, "")->link.p, "</next>", 7);
    assert_null(find(c, 1, &route_a, "limit=6"));
    assert_null(find(c, 1, &route_a, "limit=55"));
    assert_null(find(c, 3, &route_a, "limit=5"));
    cache_free(c);
}

static void replaces(void **state)
{
    struct cache *c = cache_new(CACHE_BYTES);
    char tag[CACHE_ETAG_SIZE];
    (void)state;
    assert_true(put(c, 1, &route_a, "", of("old")));
    size_t one = cache_bytes(c);
    memcpy(tag, find(c, 1, &route_a, "")->etag, sizeof tag);
    assert_true(put(c, 1, &route_a, "", of("new")));
    assert_int_equal(cache_bytes(c), one);
    assert_memory_equal(find(c, 1, &route_a, "")->body.p, "new", 3);
    assert_string_not_equal(find(c, 1, &route_a, "")->etag, tag);
    assert_true(put(c, 1, &route_a, "", of("old")));
    assert_string_equal(find(c, 1, &route_a, "")->etag, tag); // of the content: the same again
    assert_int_equal(strlen(tag), 18);
    cache_free(c);
}

static void gives_way(void **state)
{
    static char body[1000];
    struct cache *c = cache_new(20000);
    char query[16];
    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(query, sizeof query, "n=%u", i);
        assert_true(put(c, 1, &route_a, query, (struct text){ body, sizeof body }));
        assert_true(cache_bytes(c) <= 20000);
        assert_non_null(find(c, 1, &route_a, "n=0")); // used all the time: stays
    }
    assert_null(find(c, 1, &route_a, "n=1"));
    assert_non_null(find(c, 1, &route_a, "n=999"));
    cache_free(c);
}

static void too_large(void **state)
{
    struct cache *c = cache_new(CACHE_BYTES);
    size_t n = CACHE_ENTRY_MAX;
    char *body = calloc(1, n);
    (void)state;
    assert_true(put(c, 1, &route_a, "", of("small")));
    assert_false(put(c, 1, &route_a, "", (struct text){ body, n }));
    assert_null(find(c, 1, &route_a, "")); // the older answer does not stay in its place
    assert_int_equal(cache_bytes(c), 0);
    free(body);
    cache_free(c);
    cache_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_apart), cmocka_unit_test(replaces), cmocka_unit_test(gives_way), cmocka_unit_test(too_large),
    };
    if (crypto_init() != ERR_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
