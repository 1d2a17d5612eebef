// Reads what Linux says about itself: /proc/stat, /proc/meminfo. Whoever wrote it may be hostile (a desktop reached by ssh
// or a container sends it): nothing but numbers is taken. Pure.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct probe_cpu {
    uint64_t busy, total; // ticks since the machine started
};
struct probe_memory {
    uint64_t used_kib, total_kib;
};

// The line "cpu ..." of /proc/stat.
bool probe_cpu_parse(const char *text, size_t n, struct probe_cpu *ret);
bool probe_memory_parse(const char *text, size_t n, struct probe_memory *ret);
// Hundredths of a percent, 0 to 10000; false when nothing has passed between the two or they do not fit together.
bool probe_cpu_share(const struct probe_cpu *before, const struct probe_cpu *now, uint32_t *ret);
// part of whole in hundredths of a percent, 0 to 10000; 0 when whole is 0.
uint32_t probe_share(uint64_t part, uint64_t whole);
