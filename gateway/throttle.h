// Guessing passwords is slow: failures are counted for each address and for each user name. After FREE of them within a minute one
// has to wait, twice as long after each further one, up to five minutes. Pure: the time is passed in.
//
// So that nobody can lock others out:
//   a name is not locked by one address: each address counts against a name a few times only, until it has been quiet;
//   an address that has signed in to a name before is not held up by that name's lock, but by its own failures only;
//   a success forgives only what this address has got wrong with this name.
// An attempt counts as failed from its beginning, so that many at once are no way round.
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum {
    THROTTLE_FREE = 5, THROTTLE_WINDOW_MS = 60000, THROTTLE_FIRST_MS = 2000, THROTTLE_MOST_MS = 300000,
    THROTTLE_QUIET_MS = 900000, // without a failure: all is forgotten
    THROTTLE_SHARE = 3,         // failures of one address that count against a name
    THROTTLE_ENTRIES = 65536,   // the longest unused give way
};

struct throttle;
struct throttle_pair { // hashes of whom it concerns
    uint64_t address, name;
};

struct throttle *throttle_new(void); // NULL without memory
void throttle_free(struct throttle *t);
// Seconds to wait; 0: go on, and it counts as failed until one of the two below is called.
uint32_t throttle_take(struct throttle *t, struct throttle_pair p, uint64_t mono_ms);
void throttle_won(struct throttle *t, struct throttle_pair p, uint64_t mono_ms);
void throttle_void(struct throttle *t, struct throttle_pair p); // it was not judged: takes the attempt back
