// Credentials: from the text of a key, or of a session's token, to an actor. Looked up at the broker once and kept until a row of the log says otherwise
// (KEY_REVOKED, USER_UPDATED, USER_DELETED, USER_LOGOUT), the key expires, the session was idle, or the cache (65,536 entries)
// needs the room.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "err.h"
#include "exchange.h"
#include "wire.pb-c.h"

struct cred;

struct cred_call { // embedded in the asker's struct
    // ERR_OK and the actor; ERR_UNAUTHORIZED; ERR_UNAVAILABLE (could not be looked up)
    void (*cb)(struct cred_call *c, enum err e, const struct actor *actor);
    struct list at;
    void *impl;
};

enum err cred_new(struct gateway *gw, struct cred **ret);
// The first credential found in contract.md's order: Authorization: Bearer, x-api-key, with `query_too` ?apiKey=, the session's
// cookie; x->cookie says whether it is that. {NULL,0}: none. {"",0}: one that is nobody's: a token that is no cookie, a key that
// is one, a cookie twice. ERR_BAD_REQUEST when one header stands twice. The result may be percent-decoded into `scratch`.
enum err cred_of(struct exchange *x, bool query_too, char scratch[128], struct text *ret);
// The cookie alone, whatever else there is; likewise.
struct text cred_cookie(const struct exchange *x);
// May call back before it returns (cached). key: the text, lent for the call.
void cred_find(struct cred *c, struct cred_call *call, struct text key);
void cred_cancel(struct cred_call *call);
// The hub passes every row here first; rows of keys and users drop what they concern.
void cred_row(struct cred *c, const Wire__Row *row);
void cred_forget_all(struct cred *c); // rows were missed, or the epoch changed

// What was used at since_ms (monotonic) or later.
typedef void cred_seen(void *u, const struct actor *actor, uint64_t used_ms);
void cred_each_used(struct cred *c, uint64_t since_ms, cred_seen *seen, void *u);
bool cred_has_new(struct cred *c); // a key has come to be known since the last call
