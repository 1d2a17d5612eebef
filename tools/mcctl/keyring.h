// Where to ask, and as whom. The first that is there: --key-file, MC_KEY, MC_KEY_FILE, the session that `mcctl login` left for this
// address; and, when the address is this machine's, $MC_DATA/admin-api-key (MC_DATA is ./data unless set).
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "err.h"

enum { KEYRING_URL_MAX = 2048, KEYRING_SECRET_MAX = 512, KEYRING_PATH_MAX = 4096 };

struct keyring {
    char url[KEYRING_URL_MAX];       // without a slash at its end
    char key[KEYRING_SECRET_MAX];    // "": none
    char cookie[KEYRING_SECRET_MAX]; // "name=value"; "": none
    bool ambient;                    // the key is the one that lies about: a session goes before it
    const char *from;                // where it came from, for people
};

// false: it has said why (exit status 2).
bool keyring_open(struct keyring *k, const char *url, const char *key_file);
// Only the session that is kept for k->url counts from here on. false: there is none.
bool keyring_session(struct keyring *k);
void keyring_close(struct keyring *k);
// Keeps a cookie for k->url, in a file that only the user may read. false: it has said why.
bool keyring_store(const struct keyring *k, const char *cookie);
// Forgets it; there may be none.
void keyring_forget(void);
