#include "store_guard.h"
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "log.h"

static char line[4096 + 256]; // made beforehand: a handler may not
static size_t line_n;
static uintptr_t from, to;
static struct sigaction former_bus, former_segv;

static void fault_cb(int number, siginfo_t *info, void *context)
{
    uintptr_t at = (uintptr_t)info->si_addr;
    (void)context;
    if (info->si_code > 0 && at >= from && at < to) {
        (void)!write(STDERR_FILENO, line, line_n);
        _exit(1);
    }
    // Not the store: as if we had never been here. The instruction is tried again.
    (void)sigaction(number, number == SIGBUS ? &former_bus : &former_segv, NULL);
}

_Noreturn void store_guard_end(const char *what)
{
    log_error("%s", what);
    (void)!write(STDERR_FILENO, line, line_n);
    _exit(1);
}

void store_guard_arm(const char *path)
{
    char text[4096 + 128], real[4096] = "";
    FILE *maps = fopen("/proc/self/maps", "re");
    struct sigaction sa = { .sa_sigaction = fault_cb, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    line_n = (size_t)snprintf(line, sizeof line,
                              "{\"level\":\"error\",\"program\":\"mc-broker\",\"msg\":\"%s is damaged, or cannot be read any more: the broker "
                              "ends. Look at the disk, and restore a backup if it does not start again.\"}\n", path);
    if (line_n >= sizeof line)
        line_n = sizeof line - 1;
    if (!realpath(path, real)) // as the map's line names it
        snprintf(real, sizeof real, "%s", path);
    while (maps && fgets(text, sizeof text, maps)) {
        uintptr_t a, b;
        size_t n = strcspn(text, "\n");
        text[n] = 0;
        if (n > strlen(real) && strcmp(text + n - strlen(real), real) == 0 && sscanf(text, "%" SCNxPTR "-%" SCNxPTR, &a, &b) == 2) {
            from = a;
            to = b;
        }
    }
    if (maps)
        (void)fclose(maps);
    sigemptyset(&sa.sa_mask);
    if (!to || sigaction(SIGBUS, &sa, &former_bus) != 0 || sigaction(SIGSEGV, &sa, &former_segv) != 0)
        log_warn("%s is not guarded against damage that comes later", path);
}
