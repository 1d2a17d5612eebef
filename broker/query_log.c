// Pages of the event log.
#include <string.h>
#include "query_parts.h"

enum { LOG_ROWS_MAX = 1000 };

// Whether a client that has seen `after` can go on from there: the row after it is kept, and it lies in no hole.
static enum err check_after(struct query *q, uint64_t after, protobuf_c_boolean *ret_resync)
{
    struct key k = { .n = 0 };
    struct slice s;
    *ret_resync = false;
    if (after == q->newest || (after + 1 == q->oldest && q->oldest <= q->newest + 1))
        return ERR_OK;
    if (after > q->newest || after + 1 < q->oldest) {
        *ret_resync = true;
        return ERR_OK;
    }
    enum err e = store_get(q->txn, DB_LOG, key_u64(&k, after), &s);
    *ret_resync = e == ERR_NOT_FOUND;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err query_log_read(struct query *q, const Wire__LogRead *r, Wire__Answer *a)
{
    MAKE(q, Wire__LogPage, WIRE__LOG_PAGE__INIT, out);
    uint32_t limit = r->limit && r->limit < LOG_ROWS_MAX ? r->limit : LOG_ROWS_MAX;
    size_t octets = 0, most = r->bytes_max && r->bytes_max < PAGE_OCTETS ? r->bytes_max : PAGE_OCTETS;
    struct key from = { .n = 0 };
    struct cursor c;
    a->body_case = WIRE__ANSWER__BODY_LOG_PAGE;
    a->log_page = out;
    out->oldest = q->oldest;
    out->newest = q->newest;
    enum err e = r->check ? check_after(q, r->after, &out->resync) : ERR_OK;
    out->rows = arena_alloc(q->arena, limit * sizeof *out->rows);
    if (!e && !out->rows)
        e = ERR_NO_MEMORY;
    if (e || r->first > r->last || !r->last) {
        out->next = r->first;
        return e;
    }
    out->next = r->last + 1;
    e = cursor_open(&c, q->txn, DB_LOG, NULL);
    if (e)
        return e;
    for (bool on = cursor_seek(&c, key_u64(&from, r->first)); on; on = cursor_next(&c)) {
        uint64_t number = key_read_u64(c.key.b);
        if (number > r->last)
            break;
        if (out->n_rows == limit || octets >= most) {
            out->next = number;
            break;
        }
        uint8_t *copy = arena_alloc(q->arena, c.value.n); // the transaction ends before it is packed
        if (!copy) {
            e = ERR_NO_MEMORY;
            break;
        }
        memcpy(copy, c.value.p, c.value.n);
        out->rows[out->n_rows++] = (ProtobufCBinaryData){ c.value.n, copy };
        octets += c.value.n;
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    return e;
}
