// The rows held back say how wide a column must be. Where that is more than the terminal has, the widest of the columns that give way
// lose first, down to FLEX_MIN.
#include "table.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include "escape.h"
#include "utf8.h"

enum { GAP = 2, FLEX_MIN = 8, CELL_MAX = 64 * 1024, PIPE_WIDTH_MAX = 60 };

static const char *const codes[] = {
    [TINT_NONE] = "", [TINT_GOOD] = "32", [TINT_BAD] = "31", [TINT_WARN] = "33", [TINT_BUSY] = "36", [TINT_FAINT] = "2", [TINT_BOLD] = "1",
};

void table_tint(struct buf *out, enum tint t, bool begin)
{
    if (t != TINT_NONE)
        buf_printf(out, "\033[%sm", begin ? codes[t] : "0");
}

enum tint table_status_tint(const char *word)
{
    static const struct { const char *word; enum tint tint; } rows[] = {
        { "done", TINT_GOOD },      { "completed", TINT_GOOD },   { "approved", TINT_GOOD },  { "ok", TINT_GOOD },
        { "delivered", TINT_GOOD }, { "idle", TINT_GOOD },        { "online", TINT_GOOD },    { "failed", TINT_BAD },
        { "error", TINT_BAD },      { "rejected", TINT_BAD },     { "critical", TINT_BAD },   { "open", TINT_BAD },
        { "running", TINT_BUSY },   { "busy", TINT_BUSY },        { "in_progress", TINT_BUSY }, { "booting", TINT_WARN },
        { "review", TINT_WARN },    { "pending", TINT_WARN },     { "assigned", TINT_WARN },  { "warning", TINT_WARN },
        { "failing", TINT_WARN },   { "cancelled", TINT_FAINT },  { "stopped", TINT_FAINT },  { "offline", TINT_FAINT },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].word, word) == 0)
            return rows[i].tint;
    return TINT_NONE;
}

// The character at s (UTF-8), its octets and its columns.
static size_t next(const char *s, unsigned *ret_columns)
{
    size_t n = utf8_len((const uint8_t *)s, 4);
    uint32_t c = (uint8_t)*s;

    if (n > 1) {
        c &= 0x7fu >> n;
        for (size_t i = 1; i < n; i++)
            c = c << 6 | ((uint8_t)s[i] & 0x3fu);
    }
    int w = n ? wcwidth((wchar_t)c) : 1;
    *ret_columns = w < 0 ? 1 : (unsigned)w;
    return n ? n : 1;
}

unsigned table_width(const char *text)
{
    unsigned all = 0, w;

    for (; *text; all += w)
        text += next(text, &w);
    return all;
}

unsigned table_cut(struct buf *out, const char *text, unsigned width)
{
    unsigned at = 0, w;

    if (table_width(text) <= width) {
        buf_puts(out, text);
        return table_width(text);
    }
    if (width == 0)
        return 0;
    for (size_t n; *text; text += n, at += w) {
        n = next(text, &w);
        if (at + w > width - 1)
            break;
        buf_put(out, text, n);
    }
    buf_puts(out, "\xe2\x80\xa6");
    return at + 1;
}

// ---------------------------------------------------------------- rows

void table_init(struct table *t, struct buf *out, unsigned terminal, bool colour, bool raw)
{
    *t = (struct table){ .terminal = terminal, .colour = colour, .raw = raw, .out = out };
}

void table_fini(struct table *t)
{
    for (unsigned i = 0; i < t->n_cells; i++)
        free(t->cell[i]);
    free(t->cell);
    free(t->tint);
    t->cell = NULL;
    t->tint = NULL;
    t->n_cells = 0;
}

void table_column(struct table *t, const char *head, bool flex)
{
    if (t->n_columns < TABLE_COLUMNS_MAX) {
        t->head[t->n_columns] = head;
        t->flex[t->n_columns++] = flex;
    }
}

static unsigned whole(const struct table *t)
{
    unsigned n = 0;

    for (unsigned i = 0; i < t->n_columns; i++)
        n += t->width[i] + (i ? GAP : 0u);
    return n;
}

static void shrink(struct table *t)
{
    while (whole(t) > t->terminal) {
        unsigned widest = t->n_columns;
        for (unsigned i = 0; i < t->n_columns; i++)
            if (t->flex[i] && t->width[i] > FLEX_MIN && (widest == t->n_columns || t->width[i] > t->width[widest]))
                widest = i;
        if (widest == t->n_columns)
            return;
        t->width[widest]--;
    }
}

static void settle(struct table *t)
{
    for (unsigned i = 0; i < t->n_columns; i++)
        t->width[i] = table_width(t->head[i]);
    for (unsigned i = 0; i < t->n_cells; i++) {
        unsigned w = table_width(t->cell[i]), *most = &t->width[i % t->n_columns];
        *most = w > *most ? w : *most;
    }
    for (unsigned i = 0; i < t->n_columns; i++) // one long text must not push all the others apart: it stands out of its column
        if (!t->terminal && t->width[i] > PIPE_WIDTH_MAX)
            t->width[i] = PIPE_WIDTH_MAX;
    if (t->terminal)
        shrink(t);
    t->settled = true;
}

static void write_cell(struct table *t, unsigned column, const char *text, enum tint tint)
{
    unsigned w = t->width[column];

    if (t->colour)
        table_tint(t->out, tint, true);
    if (t->terminal) {
        w -= table_cut(t->out, text, w);
    } else {
        unsigned own = table_width(text);
        buf_puts(t->out, text);
        w = own < w ? w - own : 0;
    }
    if (t->colour)
        table_tint(t->out, tint, false);
    if (column + 1 == t->n_columns)
        buf_putc(t->out, '\n');
    else
        for (w += GAP; w; w--)
            buf_putc(t->out, ' ');
}

static void write_held(struct table *t)
{
    if (!t->settled)
        settle(t);
    for (unsigned i = 0; !t->begun && i < t->n_columns; i++)
        write_cell(t, i, t->head[i], t->colour ? TINT_BOLD : TINT_NONE);
    t->begun = true;
    for (unsigned i = 0; i < t->n_cells; i++) {
        write_cell(t, i % t->n_columns, t->cell[i], t->tint[i]);
        free(t->cell[i]);
    }
    t->n_cells = 0;
}

static char *harmless(const struct table *t, const char *text)
{
    struct buf b;
    size_t n;

    if (t->raw)
        return strdup(text);
    buf_init(&b, CELL_MAX);
    escape_text(&b, text, strnlen(text, CELL_MAX / 16), false);
    (void)buf_cstr(&b);
    return (char *)buf_take(&b, &n);
}

static enum err room(struct table *t)
{
    if (t->cell)
        return ERR_OK;
    t->cell = calloc((size_t)TABLE_HELD_MAX * TABLE_COLUMNS_MAX, sizeof *t->cell);
    t->tint = calloc((size_t)TABLE_HELD_MAX * TABLE_COLUMNS_MAX, sizeof *t->tint);
    return t->cell && t->tint ? ERR_OK : ERR_NO_MEMORY;
}

enum err table_row(struct table *t, const char *const *text, const enum tint *tint)
{
    enum err e = room(t);

    for (unsigned i = 0; !e && i < t->n_columns; i++) {
        t->cell[t->n_cells] = harmless(t, text[i]);
        if (!t->cell[t->n_cells])
            return ERR_NO_MEMORY;
        t->tint[t->n_cells++] = tint ? tint[i] : TINT_NONE;
    }
    if (!e && (t->settled || t->n_cells >= TABLE_HELD_MAX * t->n_columns))
        write_held(t);
    return e;
}

void table_end(struct table *t)
{
    write_held(t);
    table_fini(t);
}
