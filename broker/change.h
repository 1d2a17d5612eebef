// One row for each field that an edit really changes, with its value before and after: the audit trail of tasks, settings, desktops,
// agents and whatever else has fields. Call change_x() before the field is set; look at `err` when all are done.
#pragma once
#include "work.h"

struct changes {
    struct work *w;
    Wire__Row row;    // what each row says of the object besides: filled by the caller, who may change it on the way
    unsigned kind;    // enum event_row
    enum err err;     // the first failure; nothing is written after it
};
struct changes change_begin(struct work *w, unsigned kind);
void change_text(struct changes *c, const char *field, const char *before, const char *after); // values are cut at ROW_TEXT_MAX
void change_always(struct changes *c, const char *field, const char *before, const char *after); // also where the two read alike
void change_word(struct changes *c, const char *field, const char *before, const char *after); // of a set of names; NULL: none
void change_number(struct changes *c, const char *field, uint64_t before, uint64_t after);
void change_flag(struct changes *c, const char *field, bool before, bool after);
void change_secret(struct changes *c, const char *field);                                       // that it changed, and no more
