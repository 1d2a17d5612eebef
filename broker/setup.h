// What a broker finds or makes in its directory before it serves: the lock, the keys, the first records.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "crypto.h"
#include "err.h"

struct store;

struct setup {
    const char *data;
    int local;                       // --bootstrap-local was given: the desktop `local` on an empty store,
    unsigned local_workers;          // and keys for this many workers
    uint8_t seal_key[SEAL_KEY_SIZE];
    uint64_t log_ms, epoch, newest;  // out: where the store stands
};
// Takes the lock alone, which is kept until the process ends: nobody else works on the directory meanwhile. ERR_BAD_STATE: somebody does.
// make: the file it is on, if need be. Logs what is wrong.
MUST_USE enum err setup_lock(const char *data, bool make);
// Makes the directories and takes the lock. Logs what is wrong.
MUST_USE enum err setup_directory(const char *data);
// Keys and first records. Runs before any other command; safe to be cut off and begun again at any point.
MUST_USE enum err setup_store(struct setup *s, struct store *store);
