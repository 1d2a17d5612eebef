// What we want to know of an answer's head, a line at a time. Pure: the lines are the server's, whoever that is.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { HEAD_LINK_MAX = 8192, HEAD_COOKIE_MAX = 512 };

struct head {
    uint64_t retry_after_s;       // 0: nothing was said
    uint64_t total;               // X-Total-Count; UINT64_MAX: none
    char link[HEAD_LINK_MAX];     // the path of rel="next"; "": none. A path of the same server, never an address
    char cookie[HEAD_COOKIE_MAX]; // "name=value" of the session that was set; "": none
};

void head_init(struct head *h);
void head_line(struct head *h, const char *line, size_t n);
