#include "change.h"
#include <string.h>

struct changes change_begin(struct work *w, unsigned kind)
{
    struct changes c = { .w = w, .kind = kind };
    c.row = (Wire__Row)WIRE__ROW__INIT;
    return c;
}

static void write_row(struct changes *c, const char *field, char *before, char *after)
{
    union { const char *in; char *out; } name = { field };
    Wire__Row row = c->row;
    row.field = name.out;
    row.old_value = before;
    row.new_value = after;
    c->err = work_row(c->w, &row, c->kind);
}

void change_always(struct changes *c, const char *field, const char *before, const char *after)
{
    if (!c->err)
        write_row(c, field, work_copy(c->w, before, ROW_TEXT_MAX), work_copy(c->w, after, ROW_TEXT_MAX));
}

void change_text(struct changes *c, const char *field, const char *before, const char *after)
{
    if (strcmp(before, after) != 0)
        change_always(c, field, before, after);
}

void change_word(struct changes *c, const char *field, const char *before, const char *after)
{
    change_text(c, field, before ? before : "", after ? after : "");
}

void change_number(struct changes *c, const char *field, uint64_t before, uint64_t after)
{
    if (!c->err && before != after)
        write_row(c, field, work_number(c->w, before), work_number(c->w, after));
}

void change_flag(struct changes *c, const char *field, bool before, bool after)
{
    change_text(c, field, before ? "true" : "false", after ? "true" : "false");
}

void change_secret(struct changes *c, const char *field)
{
    static char changed[] = "changed", nothing[1];
    if (!c->err)
        write_row(c, field, nothing, changed);
}
