// Users, their keys and their signed-in sessions: found by number, hash and name, counted, made. A session is a key of a place of
// its own (KIND_SIGNIN): what is true of keys is true of it, but no list of keys shows it and no revocation of keys reaches it.
#pragma once
#include "work.h"

// A gateway tells once a minute which keys were used: a session it has just seen in use must not count as idle meanwhile.
enum { USE_TOLD_LATE_MS = 2 * 60 * 1000 };

// An API key or a session. ERR_NOT_FOUND.
MUST_USE enum err account_key(struct txn *t, struct arena *a, uint64_t workspace, uint64_t id, Rec__Key **ret);
MUST_USE enum err account_key_by_hash(struct txn *t, struct arena *a, const uint8_t hash[], Rec__Key **ret); // HASH_SIZE octets
MUST_USE enum err account_user_by_name(struct txn *t, struct arena *a, const char *name, Rec__User **ret);
// Expired or, a session, idle for too long. late_ms: how much older than told its last use may be.
bool account_key_over(const Rec__Key *k, uint64_t now_ms, uint64_t late_ms);
static inline enum kind account_kind(const Rec__Key *k)
{
    return k->session ? KIND_SIGNIN : KIND_KEY;
}

// The first id above `after`; 0: there is none. ix: INDEX_KEY_USER or INDEX_SIGNIN_USER.
MUST_USE enum err account_key_after(struct txn *t, enum index ix, uint64_t workspace, uint64_t user, uint64_t after, uint64_t *ret);
MUST_USE enum err account_user_after(struct txn *t, uint64_t workspace, uint64_t after, uint64_t *ret);
// How many, counted no further than max.
MUST_USE enum err account_count(struct txn *t, enum index ix, uint64_t workspace, uint64_t user, unsigned max, unsigned *ret);

// With their rows. The workspace becomes the one worked in.
MUST_USE enum err account_add_workspace(struct work *w, char *name);
MUST_USE enum err account_add_user(struct work *w, char *name, uint32_t role, char *password, Rec__User **ret);
MUST_USE enum err account_add_key(struct work *w, const Wire__KeyCreate *m, uint64_t user, uint32_t role, Rec__Key **ret);
MUST_USE enum err account_key_row(struct work *w, const Rec__Key *k, unsigned kind);
