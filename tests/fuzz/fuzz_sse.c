// links: mcctl common protobuf-c
// fuzz: -max_len=2048 -dict=tests/fuzz/json.dict
// A stream of events, and a list, as a server might send them: in whatever pieces they come, the same comes out.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "items.h"
#include "sse.h"

enum { LOG_MAX = 8 * 1024 * 1024 };

static bool event_cb(void *u, const char *data, size_t n, const char *id)
{
    struct buf *log = u;

    if (strnlen(id, SSE_ID_MAX) == SSE_ID_MAX || data[n] != 0)
        abort();
    for (const char *c = id; *c; c++) // it goes into a header
        if (*c <= ' ' || *c > '~')
            abort();
    buf_puts(log, id);
    buf_putc(log, '|');
    buf_put(log, data, n);
    buf_putc(log, '\n');
    return true;
}

static bool element_cb(void *u, const char *text, size_t n)
{
    struct buf *log = u;

    if (n == 0)
        abort();
    buf_put(log, text, n);
    buf_putc(log, '\n');
    return true;
}

static void read_all(const uint8_t *data, size_t size, size_t step, struct buf *log)
{
    struct sse s;
    struct items items;
    enum err e = ERR_OK;

    sse_init(&s);
    for (size_t at = 0; !e && at < size; at += step)
        e = sse_feed(&s, data + at, step < size - at ? step : size - at, event_cb, log);
    buf_printf(log, "%d %s %llu\n", (int)e, s.last, (unsigned long long)s.retry_ms);
    sse_restart(&s);
    sse_fini(&s);
    items_init(&items);
    e = ERR_OK;
    for (size_t at = 0; !e && at < size; at += step)
        e = items_feed(&items, data + at, step < size - at ? step : size - at, element_cb, log);
    buf_printf(log, "%d %d\n", (int)e, items_whole(&items));
    items_fini(&items);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole, pieces;

    if (size == 0)
        return 0;
    buf_init(&whole, LOG_MAX);
    buf_init(&pieces, LOG_MAX);
    read_all(data, size, size, &whole);
    read_all(data, size, 1 + data[0] % 5, &pieces);
    if (whole.len != pieces.len || memcmp(whole.data, pieces.data, whole.len) != 0)
        abort();
    buf_fini(&whole);
    buf_fini(&pieces);
    return 0;
}
