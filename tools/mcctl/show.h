// JSON as people read it: cells of a table, an object as lines, an object as one line. Nothing here writes anywhere but to a buffer;
// what comes out of show_cell() is not yet harmless (table.h makes it so), the others are unless `raw`.
#pragma once
#include <stdbool.h>
#include "buf.h"
#include "command.h"
#include "json_in.h"
#include "json_out.h"

enum { SHOW_MAX = 8 * 1024 * 1024 };

// The value at "a.b", or at the first of "a.b|c" that is there. NULL: none, or null.
const json_t *show_at(const json_t *o, const char *path);
const char *show_text(const json_t *o, const char *path); // "" where there is no text
double show_number(const json_t *o, const char *path);
void show_cell(struct buf *out, const json_t *o, const char *path, enum cell kind);
void show_object(struct buf *out, const json_t *o, bool raw);
// "task_42  running  make test".
void show_line(struct buf *out, const json_t *o, bool raw);
void show_json(struct json *j, const json_t *v); // as it was read
void show_bytes(struct buf *out, double n);
