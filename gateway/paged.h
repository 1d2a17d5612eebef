// Lists that may not fit one page of the broker's.
//
// Without a limit: fetched page by page and sent as they come, in bounded memory. The next page is asked for when the client
// has taken most of the last one; when the broker goes away meanwhile the answer is broken off.
// With one: pages are put together until the limit, a mebibyte of answer or a second is reached; the Link says how to go on.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "names.h"
#include "request.h"

struct paged_filter {
    uint32_t status, type;
    uint64_t desktop, task;
    uint64_t before;       // where the first page starts: below this id, or, oldest first, above it; 0: at the end of the list
    uint32_t limit;        // 0: all of it
    char *q;               // NULL or "" for none; paged.c keeps a copy
    bool oldest_first;     // the Link says `after`, not `before`
};
struct paged_end {         // what a page says about the list
    uint32_t n;            // objects on it
    bool more;
    uint64_t before;       // where the next page starts
    uint64_t total;
    bool has_total;
};
typedef void paged_send(void *u, Wire__Item *item);
struct paged_kind {
    Wire__Answer__BodyCase want;
    enum entity id;                // of the objects
    const char *const *kept;       // the query parameters that a Link repeats; NULL ends them
    void (*ask)(const struct paged_filter *f, uint64_t before, uint32_t limit, paged_send *send, void *u);
    // Writes the page's objects, without the array's brackets.
    void (*render)(const Wire__Answer *a, struct json *j, struct paged_end *ret);
};
enum { PAGED_BYTES = 256 * 1024, PAGED_ITEMS = 500 };

// kind: lent for ever. Takes r.
void paged_start(struct request *r, const struct paged_kind *kind, const struct paged_filter *f);
// The value of a Link field to the next page of a list that is newest first: the same path and query with another `before`. Nothing
// that could leave the <>.
void paged_link(const struct paged_kind *kind, struct text path, struct text query, uint64_t before, struct buf *out);
