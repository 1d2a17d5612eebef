#include "fault.h"
#ifdef MC_FAULTS
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "conf.h"

enum { EXIT_STATUS = 70 };

static const char *point, *way;
static size_t point_len;
static unsigned number;
static atomic_uint left; // points are passed by more than one thread

void fault_init(void)
{
    const char *v = getenv("MC_FAULT"), *n = v ? strchr(v, ':') : NULL, *how = n ? strchr(n + 1, ':') : NULL;
    char digits[16] = "";
    uint64_t passes;
    if (!v || !*v)
        return;
    size_t len = n ? (how ? (size_t)(how - n) : strlen(n)) - 1 : 0;
    if (len && len < sizeof digits)
        memcpy(digits, n + 1, len);
    if (!conf_number(digits, 1, UINT32_MAX, &passes) || (how && strcmp(how, ":kill") && strcmp(how, ":stop") && strcmp(how, ":exit")))
        conf_usage("MC_FAULT", "'%s' is not name:n[:kill|stop|exit]", v);
    point = v;
    point_len = (size_t)(n - v);
    way = how ? how + 1 : "kill";
    number = (unsigned)passes;
    atomic_store(&left, number);
}

bool fault_due(const char *name)
{
    return point && strlen(name) == point_len && memcmp(name, point, point_len) == 0 && atomic_load(&left) && atomic_fetch_sub(&left, 1) == 1;
}

void fault_strike(void)
{
    if (*way == 'e')
        _exit(EXIT_STATUS);
    kill(getpid(), *way == 's' ? SIGSTOP : SIGKILL);
}

void fault_kill(void)
{
    kill(getpid(), SIGKILL);
}

unsigned fault_number(void)
{
    return number;
}
#endif
