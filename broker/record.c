#include "record.h"
#include <string.h>
#include <xxhash.h>

static uint32_t checksum(const void *p, size_t n)
{
    return (uint32_t)XXH3_64bits(p, n);
}

void record_header(uint8_t out[RECORD_HEADER], const void *body, size_t n)
{
    uint32_t sum = checksum(body, n);
    out[0] = RECORD_SCHEMA;
    out[1] = out[2] = out[3] = 0;
    for (int i = 0; i < 4; i++)
        out[4 + i] = (uint8_t)(sum >> (8 * i));
}

enum err record_check(const uint8_t *p, size_t n)
{
    uint8_t want[RECORD_HEADER];
    if (n < RECORD_HEADER)
        return ERR_CORRUPT;
    record_header(want, p + RECORD_HEADER, n - RECORD_HEADER);
    return memcmp(p, want, RECORD_HEADER) == 0 ? ERR_OK : ERR_CORRUPT;
}
