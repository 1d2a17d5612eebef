// How a command is started on a desktop: the argument list, the environment, the directory. Never a shell string of ours
// with something of a task in it. Pure.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "err.h"
#include "names.h"

// The user the worker runs as.
struct driver_user {
    const char *name, *home;
};

enum { RUN_ID_MAX = 33 };

struct driver_run {
    enum driver driver;
    const char *address, *content;
    uint64_t task, session;
    unsigned attempt;
    const char *run;            // our mark on the run's processes (spool.h), in their environment
};

enum { DRIVER_ENV_MAX = 12, DRIVER_ENV_TEXT = 8192,
       DRIVER_ARG_MAX = 120 * 1024 }; // the kernel takes 128 KiB in one argument; longer contents go by a file descriptor
struct driver_cmd {
    const char *argv[8], *env[DRIVER_ENV_MAX + 1], *cwd; // lend from the run, the user and `text`
    bool content_by_fd;         // the content is to be read from descriptor 3
    char text[DRIVER_ENV_TEXT];
};

// ERR_INVALID_FIELD: a driver this worker does not have, or the user's names are too long.
MUST_USE enum err driver_command(const struct driver_run *r, const struct driver_user *u, struct driver_cmd *ret);
