// Everything a store holds, as one number, and whether LMDB reads it to its end.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "store.h"

static uint64_t digest_add(uint64_t h, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return (h ^ n) * 0x100000001b3u;
}

// ERR_OK and the number, or what a cursor ended with. Records that cannot be read are no part of a store that is whole.
static enum err digest_of(struct store *s, uint64_t *ret, uint64_t *ret_records)
{
    struct txn *t;
    struct cursor c;
    uint64_t h = 0xcbf29ce484222325u, n = 0;
    enum err e = store_begin(s, false, &t);
    if (e)
        return e;
    for (int db = 0; db < DB_N && !e; db++) {
        e = cursor_open(&c, t, (enum store_db)db, NULL);
        if (e)
            break;
        h = digest_add(h, (const uint8_t *)&db, sizeof db);
        for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c), n++)
            h = digest_add(digest_add(h, c.key.b, c.key.n), c.value.p, c.value.n);
        e = c.err;
        cursor_close(&c);
    }
    store_abort(t);
    *ret = h;
    *ret_records = n;
    return e;
}
