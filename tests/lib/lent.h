// protobuf-c has no const in its structs; what a test puts there is only read.
#pragma once
#include <string.h>

static char *z(const char *s)
{
    char *p;
    memcpy(&p, &s, sizeof p);
    return p;
}
