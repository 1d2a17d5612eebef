// A directory under /tmp for one test's store.
#pragma once
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TEMP_DIR_MAX = 64 };

static bool temp_dir_make(char dir[TEMP_DIR_MAX], const char *what)
{
    snprintf(dir, TEMP_DIR_MAX, "/tmp/mc-%s-XXXXXX", what);
    return mkdtemp(dir) != NULL;
}

// With the store's files, which must be closed. 0, or -1 if anything else is in it.
static int temp_dir_drop(const char dir[TEMP_DIR_MAX])
{
    static const char *const files[] = { "store.mdb", "store.mdb-lock" };
    char path[TEMP_DIR_MAX + 16];

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        unlink(path);
    }
    return rmdir(dir);
}
