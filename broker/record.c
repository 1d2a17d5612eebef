#include "record.h"
#include <string.h>
#include <xxhash.h>

static uint32_t checksum(const struct record_place *at, const void *p, size_t n)
{
    uint64_t sum = XXH3_64bits(p, n);
    if (at->key_n) // an odd factor each, so that neither hash can stand for the other
        sum = sum * 0x9E3779B185EBCA87u + (XXH3_64bits(at->key, at->key_n) ^ at->db) * 0xC2B2AE3D27D4EB4Fu;
    return (uint32_t)(sum ^ (at->key_n ? sum >> 32 : 0));
}

void record_header(uint8_t out[RECORD_HEADER], const struct record_place *at, const void *body, size_t n)
{
    uint32_t sum = checksum(at, body, n);
    out[0] = at->key_n ? 2 : 1;
    out[1] = out[2] = out[3] = 0;
    for (int i = 0; i < 4; i++)
        out[4 + i] = (uint8_t)(sum >> (8 * i));
}

enum err record_check(const struct record_place *at, const uint8_t *p, size_t n)
{
    uint8_t want[RECORD_HEADER];
    struct record_place of = *at;
    if (n < RECORD_HEADER)
        return ERR_CORRUPT;
    if (p[0] == 1)
        of.key_n = 0;
    record_header(want, &of, p + RECORD_HEADER, n - RECORD_HEADER);
    return memcmp(p, want, RECORD_HEADER) == 0 ? ERR_OK : ERR_CORRUPT;
}
