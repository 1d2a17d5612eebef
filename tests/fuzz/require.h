// What must hold: else the line says which, and the input is kept as one that breaks the target.
#pragma once
#include <stdio.h>
#include <stdlib.h>

#define require(what)                                                            \
    do {                                                                         \
        if (!(what)) {                                                           \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);   \
            abort();                                                             \
        }                                                                        \
    } while (0)
