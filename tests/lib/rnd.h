// Numbers by chance that a seed plays again (xorshift64). The seed must not be 0.
#pragma once
#include <stdint.h>

static uint64_t seed = 88172645463325252ull;

static uint64_t rnd(uint64_t n) // below n
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % n;
}
