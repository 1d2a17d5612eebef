// What one run has written, within a fixed amount of memory: the first 256 KiB, and the last 768 KiB as a ring; what lies
// between is dropped. Both streams share one numbering, in the order in which we read them; each octet remembers its stream.
// Pure.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "check.h"
#include "err.h"
#include "names.h"

struct output {
    uint8_t *head, *tail;           // grow as output comes: to OUTPUT_HEAD and OUTPUT_TAIL octets
    uint8_t *head_err, *tail_err;   // a bit for each octet: standard error
    size_t head_cap, tail_cap;
    uint64_t total;                 // octets written so far, kept or not
    uint64_t tail_from;             // the oldest octet the ring still holds (>= OUTPUT_HEAD)
    uint64_t acked;                 // everything below is stored by the broker, or lost for good
};

// A run of octets of one stream. data: lent until the next output_put, output_skip or output_fini.
struct piece {
    uint64_t offset;
    enum stream stream;
    const uint8_t *data;
    size_t n;
};

// start: the offset of the first octet to come; 0 but for a run that is read back from the spool.
void output_init(struct output *o, uint64_t start);
void output_fini(struct output *o);
// Makes sure that output_put of n octets (at most OUTPUT_PIECE_MAX) cannot fail. ERR_NO_MEMORY.
MUST_USE enum err output_reserve(struct output *o, size_t n);
// Takes n octets; there must have been an output_reserve for them.
void output_put(struct output *o, enum stream stream, const uint8_t *p, size_t n);
// The next octet to come is `to`: what lies between is a hole. ERR_INVALID_FIELD when it goes back, or would lie in the head.
MUST_USE enum err output_skip(struct output *o, uint64_t to);
// The first piece at or after `from`, at most max octets; false when there is none.
bool output_next(const struct output *o, uint64_t from, size_t max, struct piece *ret);
// Stored up to this offset; what is beyond the total or goes back is ignored.
void output_ack(struct output *o, uint64_t upto);
