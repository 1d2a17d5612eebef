// The access log: one line a request, without keys. Pure but for the writing of the line.
#pragma once
#include <stdint.h>
#include "exchange.h"

struct access {
    const char *request;  // "GET /path?query", redacted (http_out_redacted)
    const char *address;
    const char *request_id;
    unsigned status;      // 0: the client went away before an answer
    uint64_t ms, bytes;   // until the answer's end; of its body
    uint64_t key;         // 0: none
};

void access_line(const struct access *a);
