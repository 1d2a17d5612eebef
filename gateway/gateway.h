// What the parts of one gateway share. Filled once by main.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct gateway {
    uv_loop_t *loop;
    struct peer *peer;   // the broker
    struct ask *ask;     // requests to it, batched (ask.h)
    struct cred *cred;   // credentials (cred.h)
    struct hub *hub;     // streams (hub.h)
    struct cache *cache; // answers by log number (cache.h)
    struct quota *quota; // rate limits (quota.h)
    struct figures *figures; // what is counted (figures.h); NULL: nothing is
    struct server *server; // connections (server.h); NULL before it is there
    struct throttle *throttle;   // guessing of passwords (throttle.h)
    struct passwords *passwords; // argon2id, off the loop (password.h)
    bool draining;       // SIGTERM came: /readyz says 503, answers close their connections
};
