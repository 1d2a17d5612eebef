// The options of a program: --http-listen is MC_HTTP_LISTEN in the environment; the flag wins. One table a program.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct conf_opt {
    const char *name;   // "rate-limit": --rate-limit N, MC_RATE_LIMIT
    const char *arg;    // "N", for the help; NULL: a switch, whose value is then "1"
    const char *help;   // one or more lines
    const char *def;    // NULL: none
    const char **value; // where the text goes (lent for ever; NULL if not given and no default)
};

// Reads environment and arguments. --help and --version print and exit 0; bad usage prints one line and exits 2.
void conf_read(const char *program, const char *about, const struct conf_opt *opts, unsigned n, int argc, char **argv);
// Ends the program with one line and exit status 2: for values that make no sense.
_Noreturn void conf_usage(const char *program, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// A decimal number from min to max and nothing else; false otherwise.
bool conf_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret);
