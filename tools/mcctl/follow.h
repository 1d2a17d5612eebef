// A stream of events that comes back by itself: with the last id it had, after 1 to 30 s with jitter.
#pragma once
#include "client.h"
#include "json_in.h"
#include "sse.h"

struct follow {
    struct client *client;
    const char *path;
    const char *from;   // the id to begin after; NULL: what comes from now on
    bool (*event)(void *u, const json_t *event, const char *text, size_t n); // false: enough
    void (*opened)(void *u);   // something came: it is connected. NULL: nothing to do
    void *u;
    struct sse sse;
    bool enough, broken, alive;
};

// Until the callback has enough (EXIT_OK), or the stream is refused for good (said why).
int follow_run(struct follow *f);
