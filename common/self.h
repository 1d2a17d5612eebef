// What the system says of this process, for its figures.
#pragma once
#include <stdint.h>

struct self {
    uint64_t resident; // octets in RAM
    uint64_t fds;      // descriptors in use
    uint64_t cpu_us;   // user and system time
    uint64_t start_ms; // wall time of the first call: call once at the start
};
void self_look(struct self *ret);
