// Happy path: no escape in the path, so each row is compared where the path lies: the piece before ":id", the id's segment,
// the piece behind it. The whole table is looked through, because Allow wants every method of the path.
#include "route.h"
#include <stdbool.h>
#include <string.h>
#include "query.h"

enum { DECODED_MAX = 512 }; // no route is nearly as long

static bool matches(const struct route *row, struct text path, struct text *ret_id)
{
    if (row->id == ENTITY_NONE)
        return path.n == row->len && memcmp(path.p, row->path, path.n) == 0;

    const char *colon = strchr(row->path, ':');
    size_t head = (size_t)(colon - row->path);
    if (path.n < head || memcmp(path.p, row->path, head) != 0)
        return false;
    const char *tail = strchr(colon, '/');
    size_t tail_n = tail ? strlen(tail) : 0;
    const char *end = memchr(path.p + head, '/', path.n - head);
    size_t id_n = end ? (size_t)(end - path.p) - head : path.n - head;
    if (id_n == 0 || path.n - head - id_n != tail_n || (tail_n && memcmp(path.p + head + id_n, tail, tail_n) != 0))
        return false;
    *ret_id = (struct text){ path.p + head, id_n };
    return true;
}

static uint64_t id_of(enum entity kind, struct text t)
{
    char z[ID_TEXT_MAX];

    if (t.n >= sizeof z || memchr(t.p, 0, t.n))
        return 0;
    memcpy(z, t.p, t.n);
    z[t.n] = 0;
    return id_parse(kind, z);
}

struct route_match route_find(const struct route *rows, size_t n, enum method method, struct text path)
{
    struct route_match m = { 0 };
    char decoded[DECODED_MAX];

    if (method == METHOD_HEAD)
        method = METHOD_GET;
    if (memchr(path.p, '%', path.n)) {
        // Decoding must not make a separator: such a segment cannot name anything of ours.
        for (size_t i = 0; i + 2 < path.n; i++)
            if (path.p[i] == '%' && path.p[i + 1] == '2' && (path.p[i + 2] | 0x20) == 'f')
                return m;
        struct text d;
        if (!query_decode(path, false, decoded, sizeof decoded, &d))
            return m;
        path = d;
    }
    bool literal = false;
    for (size_t i = 0; i < n; i++) {
        struct text id = { NULL, 0 };
        if ((literal && rows[i].id != ENTITY_NONE) || !matches(&rows[i], path, &id))
            continue;
        if (!id.p && !literal) {
            literal = true;
            m = (struct route_match){ 0 };
        }
        m.allow |= 1u << rows[i].method;
        if (rows[i].method != (unsigned)method)
            continue;
        m.row = &rows[i];
        m.id = id.p ? id_of((enum entity)rows[i].id, id) : 0;
    }
    return m;
}

void route_allow(unsigned allow, char out[ROUTE_ALLOW_MAX])
{
    static const char *const names[METHOD_N] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS" };
    size_t at = 0;

    if (allow & (1u << METHOD_GET))
        allow |= 1u << METHOD_HEAD;
    for (unsigned m = 0; m < METHOD_N; m++) {
        if (!(allow & (1u << m)))
            continue;
        size_t k = strlen(names[m]);
        if (at) {
            memcpy(out + at, ", ", 2);
            at += 2;
        }
        memcpy(out + at, names[m], k);
        at += k;
    }
    out[at] = 0;
}
