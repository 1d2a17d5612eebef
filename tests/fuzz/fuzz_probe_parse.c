// links: worker common protobuf-c
// fuzz: -max_len=512
// What a machine says about itself.
#include <stdint.h>
#include <stdlib.h>
#include "probe_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct probe_cpu a, b;
    struct probe_memory m;
    uint32_t share;
    if (probe_cpu_parse(text, size, &a)) {
        if (a.busy > a.total)
            abort();
        for (size_t at = 1; at < size; at += 1 + size / 8)
            if (probe_cpu_parse(text + at, size - at, &b) && probe_cpu_share(&a, &b, &share) && share > 10000)
                abort();
    }
    if (probe_memory_parse(text, size, &m) && (m.used_kib > m.total_kib || probe_share(m.used_kib, m.total_kib) > 10000))
        abort();
    return 0;
}
