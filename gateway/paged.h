// Lists without an end given: fetched from the broker page by page and sent as they come, in bounded memory. The next page is
// asked for when the client has taken most of the last one; when the broker goes away meanwhile the answer is broken off.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "request.h"

struct paged_filter {
    uint32_t status, type;
    uint64_t desktop, task;
    uint64_t before;       // where the first page starts; 0: with the newest
    char *q;               // NULL or "" for none; paged.c keeps a copy
};
struct paged_end {         // what a page says about the list
    bool more;
    uint64_t before;       // where the next page starts
    uint64_t total;
    bool has_total;
};
struct paged_kind {
    Wire__Answer__BodyCase want;
    void (*ask)(const struct paged_filter *f, uint64_t before, void (*send)(void *u, Wire__Item *item), void *u);
    // Writes the page's objects, without the array's brackets.
    void (*render)(const Wire__Answer *a, struct json *j, struct paged_end *ret);
};
enum { PAGED_BYTES = 256 * 1024, PAGED_ITEMS = 500 };

// kind: lent for ever. Takes r.
void paged_start(struct request *r, const struct paged_kind *kind, const struct paged_filter *f);
