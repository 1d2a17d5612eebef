// The elements of a JSON array, one at a time as they come: a list of any length in the memory of its largest element. What an element
// holds is not looked at: whoever takes it reads it strictly. Pure.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"

enum { ITEMS_ELEMENT_MAX = 32 * 1024 * 1024 }; // a task's 1 MiB of content, escaped, and more

struct items {
    struct buf element;
    unsigned depth;
    bool begun, ended, in_string, escaped;
    bool due; // an element must follow: there was a comma
};

typedef bool items_element(void *u, const char *text, size_t n); // false: enough

void items_init(struct items *s);
void items_fini(struct items *s);
// ERR_BAD_JSON: not an array; ERR_CLOSED: the callback had enough; ERR_TOO_BIG, ERR_NO_MEMORY.
MUST_USE enum err items_feed(struct items *s, const void *p, size_t n, items_element *cb, void *u);
// Whether the array was whole.
bool items_whole(const struct items *s);
