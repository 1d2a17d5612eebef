#include "err.h"

static const char *const names[ERR_N] = {
#define E(name, text) #name,
    ERR_TABLE(E)
#undef E
};
static const char *const texts[ERR_N] = {
#define E(name, text) text,
    ERR_TABLE(E)
#undef E
};

const char *err_name(enum err e)
{
    return (unsigned)e < ERR_N ? names[e] : "INTERNAL";
}

const char *err_text(enum err e)
{
    return (unsigned)e < ERR_N ? texts[e] : texts[ERR_INTERNAL];
}

enum err err_from_wire(unsigned n)
{
    return n < ERR_N ? (enum err)n : ERR_INTERNAL;
}
