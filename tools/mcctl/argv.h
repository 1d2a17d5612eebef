// A command line against the table of commands: which command, which options, which arguments, or one sentence on what is wrong. Pure.
#pragma once
#include <stdbool.h>
#include "buf.h"
#include "command.h"

enum { ARGV_OPTIONS_MAX = 40, ARGV_WORDS_MAX = 64 };

struct argv {
    const struct command *command;      // NULL: only help was asked for, of `group` or of everything
    char group[ARGV_WORDS_MAX];
    bool help, version;
    bool dashes;                        // the arguments stood after "--"
    const char *value[ARGV_OPTIONS_MAX]; // by command_option()'s number; NULL: not given. A switch: "1"
    const char **args;                  // lent by the caller: room for argc of them
    unsigned n_args;
};

// ERR_BAD_REQUEST: why is the sentence. args: room for argc pointers.
MUST_USE enum err argv_parse(const struct command *table, int argc, const char *const *argv, const char **args, struct argv *ret,
                             struct buf *why);
// The value of one option, NULL if it was not given.
const char *argv_value(const struct argv *a, const char *name);
// What a list of arguments such as "TASK [TEXT...]" allows; max 0: any number.
void argv_arity(const char *args, unsigned *ret_min, unsigned *ret_max);
// How far two words are apart: letters put in, left out, exchanged or swapped.
unsigned argv_distance(const char *a, const char *b);
