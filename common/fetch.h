// HTTP as a client: libcurl's home, on the loop. http and https only, no redirects, no proxy, nothing from the environment.
// Each address a name resolves to is judged where its socket is opened, and that very address is connected to (netrule.h):
// nothing goes to link-local, multicast or unspecified ones; `allow` says whether private networks and this machine may be reached.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>
#include "err.h"

struct fetch;
struct net_allow;
enum { FETCH_TEXT_MAX = 300 };

struct fetch_result {
    enum err err;    // ERR_OK: a whole answer with any status; ERR_TIMEOUT: total_ms is over; ERR_CLOSED: our callback had enough; else ERR_IO
    bool stalled;    // ERR_IO: nothing came for stall_s
    unsigned status; // 0: none came
    bool connected;  // it may have been asked: an error after that says nothing about what was done
    char text[FETCH_TEXT_MAX]; // ERR_IO: what went wrong
};
struct fetch_req {
    const char *url, *bearer;      // bearer: NULL or "" for none
    const char *method;            // NULL: GET, or POST where there is a body
    const char *body;              // NULL: none, else JSON. Copied, as all here
    size_t body_n;
    const char *const *headers;    // further lines "Name: value", NULL after the last; NULL: none
    const char *ca_file;           // NULL: the system's certificates
    const char *accept;
    const struct net_allow *allow; // NULL: private networks and this machine too; else public addresses and what it names. Lent until done
    unsigned connect_ms, stall_s;
    uint64_t total_ms;             // 0: no limit; so is stall_s 0
    void (*header)(void *u, const char *line, size_t n); // each line of the answer's head without its end, status line first; or NULL
    bool (*data)(void *u, unsigned status, const uint8_t *p, size_t n); // false: enough, ends in done with ERR_CLOSED
    void (*done)(void *u, const struct fetch_result *r); // once, never before fetch_start has returned, never after fetch_cancel
    void *u;
};

MUST_USE enum err fetch_init(uv_loop_t *loop);
// ERR_INVALID_FIELD: not such a URL (nothing was started); ERR_NO_MEMORY.
MUST_USE enum err fetch_start(const struct fetch_req *r, struct fetch **ret);
// Breaks it off; no callback comes any more. Not from inside its own data callback. NULL does nothing.
void fetch_cancel(struct fetch *f);
