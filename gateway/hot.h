// Reads that many ask for over and over: answered from the cache while the event number they reflect is the newest, with an
// ETag; those who miss it at the same time share one question to the broker.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "request.h"

// Oldest a kept answer may be although no row was written: figures of desktops, output that grows and what a task waits for
// change without rows; and a broker that stands still says nothing at all.
enum { HOT_AGE_MS = 1000 };

struct hot_page {
    struct json *j;      // the body goes here
    struct buf *link;    // value of a Link field; left empty: none
    struct text query;   // of the request, raw
    uint64_t total;
    bool has_total;
};
// False: this is not to be shared (it goes on in pages); everybody is then given to `instead`.
typedef bool hot_render(struct hot_page *p, const Wire__Answer *a);

// True: it has been answered from the cache, or waits for an answer that is on its way. False: the caller works out the item
// and calls hot_ask.
bool hot_serve(struct request *r);
// The item's answer goes to r and to all who come for the same meanwhile. instead may be NULL if render never says false.
void hot_ask(struct request *r, Wire__Item *item, Wire__Answer__BodyCase want, hot_render *render,
             void (*instead)(struct request *r));
// Both, for a question that needs nothing but its kind.
void hot_answer(struct request *r, Wire__Item__BodyCase what, Wire__Answer__BodyCase want, hot_render *render);
