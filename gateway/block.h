// Rendered frames of consecutive numbers of the log, as one view shows them, and the cache of such blocks. Memory only: nothing
// here knows sockets, the bus or subscribers. Not counted by reference: octets are used within the call that found them, and
// whoever comes back later looks them up again by number.
//
// The octets of a block are complete HTTP chunks, one a frame (size in hex, CRLF, frame, CRLF), lying one behind the other, so
// that neighbours go out as one piece. Without chunking (HTTP/1.0) the frame alone is `len` less `head` and the last CRLF.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "err.h"
#include "event.h"
#include "list.h"

enum {
    BLOCK_NUMBERS = 512,          // a block never crosses a multiple of this
    BLOCK_TEXT_MAX = 256 * 1024,  // it ends early with the frame that reaches this
    BLOCK_KIND_OUTPUT = 62,       // kinds beyond enum event_row: frames that are not logged
    BLOCK_KIND_METRICS = 63,
};
_Static_assert((int)ROW_COUNT <= (int)BLOCK_KIND_OUTPUT, "kinds are bits of one word (block_bit)");

struct block_entry {
    uint64_t workspace, desktop, agent;
    uint32_t at;    // of the chunk in the block's text
    uint16_t len;   // of the chunk
    uint16_t slot;  // the row's number less the block's first
    uint8_t head;   // of the chunk: size and CRLF
    uint8_t kind;   // enum event_row, or one of BLOCK_KIND_*
};
struct block {
    struct list lru, bucket;  // the cache's
    uint64_t first, next;     // covers the numbers from first up to, not including, next
    struct block_entry *entries;
    uint32_t n, cap, len, text_cap;
    uint8_t *text;
};
struct block_what {
    uint64_t number, workspace, desktop, agent;
    unsigned kind;
};

static inline uint64_t block_bit(unsigned kind)
{
    return (uint64_t)1 << kind;
}

// NULL without memory.
struct block *block_new(uint64_t first);
void block_free(struct block *b);
void block_clear(struct block *b);  // of its frames; the memory stays
// Appends a frame (at most FRAME_MAX octets). On error the block is as it was. `next` is the caller's to move.
MUST_USE enum err block_put(struct block *b, const struct block_what *what, const void *frame, size_t n);
// Index of the first entry whose number is at least `number`; b->n when there is none.
unsigned block_from(const struct block *b, uint64_t number);

enum { BLOCKS_BUCKETS = 256 };
struct blocks {
    struct list lru;              // the most recently used first
    struct list bucket[BLOCKS_BUCKETS];
    size_t octets, max;
};

void blocks_init(struct blocks *c, size_t max); // octets it may hold; a single block is always kept
void blocks_fini(struct blocks *c);
void blocks_clear(struct blocks *c);
// Takes b, then lets go of the least recently used ones until the limit holds.
void blocks_put(struct blocks *c, struct block *b);
// The block that covers the number, now the most recently used; NULL: not in memory.
struct block *blocks_find(struct blocks *c, uint64_t number);
// The smallest `first` above number among blocks in its stretch of BLOCK_NUMBERS; the stretch's end when there is none.
uint64_t blocks_after(const struct blocks *c, uint64_t number);
