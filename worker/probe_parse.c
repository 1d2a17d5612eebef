#include "probe_parse.h"
#include <string.h>

enum { STEAL = 7, CPU_FIELDS = 8, IDLE = 3, IOWAIT = 4 }; // guest time is already in user time
static const uint64_t sane_max = UINT64_MAX / 100000;     // so that no sum or share overflows

static bool number(const char **p, const char *end, uint64_t *ret)
{
    const char *s = *p;
    uint64_t v = 0;
    while (s < end && (*s == ' ' || *s == '\t'))
        s++;
    if (s == end || *s < '0' || *s > '9')
        return false;
    for (; s < end && *s >= '0' && *s <= '9'; s++) {
        if (v > sane_max / 10)
            return false;
        v = v * 10 + (uint64_t)(*s - '0');
    }
    *p = s;
    *ret = v;
    return v <= sane_max;
}

// What follows `key` where it begins a line.
static bool field(const char *text, size_t n, const char *key, const char **ret, const char **ret_end)
{
    size_t k = strlen(key);
    for (size_t at = 0; at < n;) {
        const char *nl = memchr(text + at, '\n', n - at);
        size_t len = nl ? (size_t)(nl - (text + at)) : n - at;
        if (len > k && memcmp(text + at, key, k) == 0) {
            *ret = text + at + k;
            *ret_end = text + at + len;
            return true;
        }
        at += len + 1;
    }
    return false;
}

bool probe_cpu_parse(const char *text, size_t n, struct probe_cpu *ret)
{
    const char *p, *end;
    struct probe_cpu c = { 0 };
    if (!field(text, n, "cpu ", &p, &end))
        return false;
    for (int i = 0; i < CPU_FIELDS; i++) {
        uint64_t v;
        if (!number(&p, end, &v)) {
            if (i > IDLE)
                break; // older kernels say less
            return false;
        }
        c.total += v;
        if (i != IDLE && i != IOWAIT)
            c.busy += v;
    }
    *ret = c;
    return true;
}

bool probe_memory_parse(const char *text, size_t n, struct probe_memory *ret)
{
    const char *p, *end;
    uint64_t total, left;
    if (!field(text, n, "MemTotal:", &p, &end) || !number(&p, end, &total) || total == 0)
        return false;
    if (!field(text, n, "MemAvailable:", &p, &end) && !field(text, n, "MemFree:", &p, &end))
        return false;
    if (!number(&p, end, &left) || left > total)
        return false;
    *ret = (struct probe_memory){ .used_kib = total - left, .total_kib = total };
    return true;
}

bool probe_cpu_share(const struct probe_cpu *before, const struct probe_cpu *now, uint32_t *ret)
{
    if (now->total <= before->total || now->busy < before->busy || now->busy - before->busy > now->total - before->total)
        return false;
    *ret = probe_share(now->busy - before->busy, now->total - before->total);
    return true;
}

uint32_t probe_share(uint64_t part, uint64_t whole)
{
    if (whole == 0)
        return 0;
    if (part >= whole)
        return 10000;
    while (whole > UINT64_MAX / 20000) { // only what is absurd comes here
        part >>= 1;
        whole >>= 1;
    }
    return (uint32_t)((part * 10000 + whole / 2) / whole);
}
