// links: mcctl common protobuf-c
// fuzz: -max_len=512
// Text of others for a terminal: whatever comes in, in whatever pieces, no control character comes out (line feed and tab do where
// they may, and between JSON's strings the carriage return), and it is valid UTF-8.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "escape.h"
#include "utf8.h"

static void check(const struct buf *b, int lines)
{
    for (size_t i = 0, n; i < b->len; i += n) {
        n = utf8_len(b->data + i, b->len - i);
        if (n == 0)
            abort();
        uint32_t c = n == 1 ? b->data[i] : b->data[i] & (0x7fu >> n);
        for (size_t k = 1; k < n; k++)
            c = c << 6 | (b->data[i + k] & 0x3fu);
        if (escape_needed(c) && !(lines && (c == '\n' || c == '\t')) && !(lines > 1 && c == '\r'))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole, pieces;

    for (int lines = 0; lines < 2; lines++) {
        struct escape e = { .lines = lines };
        buf_init(&whole, 10 * size + 100);
        buf_init(&pieces, 10 * size + 100);
        escape_text(&whole, (const char *)data, size, lines);
        for (size_t at = 0, step; at < size; at += step) {
            step = 1 + data[at] % 7;
            step = step < size - at ? step : size - at;
            escape_feed(&e, &pieces, data + at, step);
        }
        escape_end(&e, &pieces);
        check(&whole, lines);
        if (whole.err || pieces.err || whole.len != pieces.len || (whole.len && memcmp(whole.data, pieces.data, whole.len) != 0))
            abort();
        buf_fini(&whole);
        buf_fini(&pieces);
    }
    buf_init(&whole, 10 * size + 100);
    escape_json(&whole, (const char *)data, size);
    check(&whole, 2);
    if (whole.err)
        abort();
    buf_fini(&whole);
    return 0;
}
