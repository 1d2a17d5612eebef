// Text of others made harmless for a terminal: control characters (C0, DEL, C1), marks that turn the direction of writing, and
// characters that cannot be seen come out as \x1b or \u202e; broken UTF-8 as U+FFFD. Pure.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"

// For text that comes in pieces: a character may be cut between two of them.
struct escape {
    bool lines;      // line feed and tab stay, a carriage return before a line feed goes
    bool cr;         // one is held back, until it is known what follows
    uint8_t part[4];
    size_t part_n;
};

void escape_feed(struct escape *e, struct buf *out, const void *text, size_t n);
// What was held back, at the end.
void escape_end(struct escape *e, struct buf *out);
// A whole text at once.
void escape_text(struct buf *out, const char *text, size_t n, bool lines);
// JSON, which has them in its strings alone: the same JSON, with \u in their place.
void escape_json(struct buf *out, const char *json, size_t n);
// Whether a character is one of those.
bool escape_needed(uint32_t c);
