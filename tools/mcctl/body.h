// Options as a request: the members of a body, the parameters of a query, a path with its arguments in place. Pure: what is looked up
// (names of desktops) comes by a callback, the time is passed in.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "argv.h"
#include "buf.h"
#include "json_out.h"

// What stands for a value that must be looked up: the id of a name, the content of a file, a password. false: it has said why.
typedef bool body_name(void *u, enum option_kind kind, const char *name, const char **ret_id);

struct body_from {
    const struct argv *argv;
    uint64_t now_ms;
    body_name *name;
    void *u;
};

// The members that were given, without the braces; *ret_n: how many. false: why says it, or the callback has.
bool body_members(const struct body_from *f, struct json *j, unsigned *ret_n, struct buf *why);
// Puts "?a=b&c=d" (or "&c=d" where the path has a query already) behind the path.
bool body_query(const struct body_from *f, struct buf *path, struct buf *why);
void body_query_add(struct buf *path, const char *name, const char *value);
// "15m" is that long before now, "+15m" after it; s, m, h, d, w. ISO 8601 in UTC, with or without its time. 0: neither.
uint64_t body_time(const char *text, uint64_t now_ms);
// One or more arguments as a line for the shell: one is taken as it is, several are quoted so that the program gets exactly those.
void body_shell(struct buf *out, const char *const *args, unsigned n);
