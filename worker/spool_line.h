// What the spool's files are made of. Pure.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "tree.h"
#include "wire.pb-c.h"

enum { SPOOL_LINE_MAX = 768, SPOOL_END_MAX = 2 * 1024 * 1024 };

enum spool_kind { SPOOL_START = 'S', SPOOL_PROCESS = 'P', SPOOL_FORGET = 'F', SPOOL_REPORT = 'E' };
struct spool_line {
    enum spool_kind kind; // not SPOOL_REPORT, which holds more
    uint64_t session;
    uint64_t task;      // S
    uint32_t attempt;   // S
    struct tree_id id;  // S: run, boot; P: pid, start, cgroup; a guard has all of it
};
// One line with its newline and checksum.
void spool_line_put(struct buf *b, const struct spool_line *l);
// text: without the newline. False: damaged, or none of ours.
bool spool_line_parse(const char *text, size_t n, struct spool_line *ret);

// The end of a session as a line; false, and nothing is put, when it is too long for one: then it gets a file.
bool spool_report_put(struct buf *b, const Wire__SessionReport *r);
// NULL: damaged, or another kind. Free with wire__session_report__free_unpacked(r, NULL).
Wire__SessionReport *spool_report_parse(const char *text, size_t n);

// The same as the content of a file.
void spool_end_put(struct buf *b, const Wire__SessionReport *r);
Wire__SessionReport *spool_end_parse(const uint8_t *p, size_t n);
