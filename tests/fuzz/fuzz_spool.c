// links: worker common protobuf-c sodium uv
// fuzz: -max_len=1024
// What is read back from the spool. Checksums keep chance away, not malice: an input that begins with '#' is given the right one,
// so that what lies behind it is reached as well.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "crypto.h"
#include "log.h"
#include "output.h"
#include "spool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void line(const uint8_t *data, size_t size)
{
    struct spool_line l, again;
    struct buf b;
    if (!spool_line_parse((const char *)data, size, &l))
        return;
    buf_init(&b, SPOOL_LINE_MAX);
    spool_line_put(&b, &l);
    if (b.err || !spool_line_parse((const char *)b.data, b.len - 1, &again) || again.session != l.session || again.id.pid != l.id.pid)
        abort();
    buf_fini(&b);
}

static void report(const uint8_t *data, size_t size)
{
    Wire__SessionReport *r = spool_end_parse(data, size);
    if (r)
        wire__session_report__free_unpacked(r, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    line(data, size);
    report(data, size);
    if (size < 2 || data[0] != '#')
        return 0;
    data++;
    size--;
    struct buf b;
    uint8_t h[HASH_SIZE];
    crypto_hash(h, data, size);
    buf_init(&b, 1 << 20);
    buf_put(&b, data, size);
    buf_putc(&b, ' ');
    for (int i = 0; i < 8; i++) {
        char hex[3];
        snprintf(hex, sizeof hex, "%02x", h[i]);
        buf_puts(&b, hex);
    }
    if (!b.err)
        line(b.data, b.len);
    buf_reset(&b);
    buf_puts(&b, "mc-end-1");
    buf_put(&b, h, sizeof h);
    buf_put(&b, data, size);
    if (!b.err)
        report(b.data, b.len);
    buf_fini(&b);
    return 0;
}
