// The table of commands as help, man page and completions. Pure.
#pragma once
#include "buf.h"
#include "command.h"

void help_all(const struct command *table, const char *group, struct buf *out); // group "": all of them
void help_command(const struct command *table, const struct command *c, struct buf *out);
void help_man(const struct command *table, struct buf *out);                     // roff
void help_bash(const struct command *table, struct buf *out);
void help_zsh(const struct command *table, struct buf *out);
