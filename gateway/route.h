// Matching: from a method and a path to a row of a table of routes. Pure; the table itself is routes.c's.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "exchange.h"
#include "names.h"

struct request;

enum route_body {
    BODY_NONE,     // none is read
    BODY_OPTIONAL, // may be there, and then is a JSON object
    BODY_JSON,     // a JSON object is needed
};

struct route {
    uint8_t method;            // enum method; GET rows answer HEAD too
    uint8_t role;              // the least one needed; ROLE_NONE: open to everybody
    uint8_t body;              // enum route_body
    uint8_t cost;              // towards the rate limit
    uint8_t id;                // enum entity: what the path's :id names; ENTITY_NONE where there is no :id
    uint8_t len;               // of path
    const char *path;          // "/api/workers", "/api/desktops/:id/start": at most one :id, a whole segment
    void (*handler)(struct request *r);
};

struct route_match {
    const struct route *row;   // NULL: no such path, or not by this method
    unsigned allow;            // bits (1 << method) of what the path knows; 0: no such path
    uint64_t id;               // the path's :id; 0: there is none, or it is not of its form
};

enum { ROUTE_ALLOW_MAX = 64 };

// A path that stands in the table as it is wins over one with an :id.
// path: percent-encoded, as it came. Escapes are decoded; an escaped '/' or NUL, or a broken escape, matches nothing.
struct route_match route_find(const struct route *rows, size_t n, enum method method, struct text path);
// "GET, HEAD, POST" for the Allow field.
void route_allow(unsigned allow, char out[ROUTE_ALLOW_MAX]);
