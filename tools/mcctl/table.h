// Rows for people: columns as wide as what is in them, cut to the terminal's width. Text is made harmless here. Pure; wcwidth() wants a
// UTF-8 locale.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "buf.h"

enum { TABLE_COLUMNS_MAX = 16, TABLE_HELD_MAX = 200 };

enum tint { TINT_NONE, TINT_GOOD, TINT_BAD, TINT_WARN, TINT_BUSY, TINT_FAINT, TINT_BOLD };

struct table {
    unsigned n_columns;
    const char *head[TABLE_COLUMNS_MAX]; // lent
    bool flex[TABLE_COLUMNS_MAX];
    unsigned width[TABLE_COLUMNS_MAX];   // settled by the rows that were held
    unsigned terminal;                   // columns of the terminal; 0: nothing is cut
    bool colour, settled, raw, begun;
    struct buf *out;                     // lent
    char **cell;                         // of the rows held back until the widths are settled
    enum tint *tint;
    unsigned n_cells;
};

void table_init(struct table *t, struct buf *out, unsigned terminal, bool colour, bool raw);
void table_fini(struct table *t);
void table_column(struct table *t, const char *head, bool flex);
// One row: n_columns texts, copied. Rows are held back until there are TABLE_HELD_MAX; then they are written, and the widths stay.
MUST_USE enum err table_row(struct table *t, const char *const *text, const enum tint *tint);
// Writes what is held back.
void table_end(struct table *t);

// Columns a text takes on a terminal.
unsigned table_width(const char *text);
// As much of a harmless text as fits; what was cut ends in an ellipsis. Gives its width.
unsigned table_cut(struct buf *out, const char *text, unsigned width);
// A text in a colour, if any.
void table_tint(struct buf *out, enum tint t, bool begin);
enum tint table_status_tint(const char *word);
