// links: gateway common protobuf-c sodium
// fuzz: -max_len=512 -dict=tests/fuzz/http.dict
// A request target: route, query parameters, numbers. The first line is the path, what follows the query.
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "query.h"
#include "route.h"
#include "routes.h"

static const struct route rows[] = {
#define R(method, role, body, cost, id, path, handler) \
    { METHOD_##method, ROLE_##role, BODY_##body, cost, ENTITY_##id, sizeof path - 1, path, NULL },
    ROUTES(R)
#undef R
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = { "status", "limit", "q", "apiKey", "" };
    const uint8_t *line = size ? memchr(data, '\n', size) : NULL;
    size_t path_n = line ? (size_t)(line - data) : size;
    char *path = malloc(path_n + 1), *query = malloc(size - path_n + 1), out[64];
    struct text q = { query, 0 }, t;

    if (!path || !query)
        abort();
    if (path_n)
        memcpy(path, data, path_n);
    if (line) {
        q.n = size - path_n - 1;
        memcpy(query, line + 1, q.n);
    }
    for (unsigned m = 0; m < METHOD_N; m++) {
        struct route_match f = route_find(rows, sizeof rows / sizeof *rows, (enum method)m, (struct text){ path, path_n });
        char allow[ROUTE_ALLOW_MAX];
        route_allow(f.allow, allow);
        assert(!f.row || f.allow);
        assert(!f.id || f.row);
    }
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        uint64_t n = 0;
        if (query_get(q, names[i], out, sizeof out, &t) == ERR_OK && t.p) {
            assert(t.p == out && t.n < sizeof out && strlen(out) == t.n);
            if (query_number(t, 3, 500, &n))
                assert(n >= 3 && n <= 500);
        }
        (void)query_raw(q, names[i]);
    }
    if (query_decode(q, true, out, sizeof out, &t))
        assert(t.n <= q.n);
    free(path);
    free(query);
    return 0;
}
