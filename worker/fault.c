#include "fault.h"
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "conf.h"

static const char *point;
static size_t point_len;
static uint64_t left;

void fault_init(void)
{
    const char *v = getenv("MC_FAULT"), *colon = v ? strrchr(v, ':') : NULL;
    if (!colon || !conf_number(colon + 1, 1, UINT32_MAX, &left))
        return;
    point = v;
    point_len = (size_t)(colon - v);
}

void fault_point(const char *name)
{
    if (!point || strlen(name) != point_len || memcmp(name, point, point_len) != 0 || --left > 0)
        return;
    kill(getpid(), SIGKILL);
}
