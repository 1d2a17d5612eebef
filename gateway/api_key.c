// API keys, and who one is. A key's text is made here and shown once: the broker only ever gets its hash and its end.
#include "api.h"
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "crypto.h"
#include "names.h"
#include "request.h"
#include "shape.h"
#include "shape_body.h"

static void me_known(struct request *r, const Wire__Answer *a)
{
    shape_user(request_json(), a->credential);
    request_send(r, 200);
}

// The cache of credentials keeps no names: they are asked for.
void api_key_me(struct request *r)
{
    Wire__CredentialLookup m = WIRE__CREDENTIAL_LOOKUP__INIT;
    Wire__Item item = WIRE__ITEM__INIT;
    uint8_t hash[HASH_SIZE];
    char scratch[128];
    struct text key;

    if (cred_of(r->x, false, scratch, &key) != ERR_OK || !key.p) {
        request_fail(r, ERR_UNAUTHORIZED, NULL, NULL);
        return;
    }
    crypto_hash(hash, key.p, key.n);
    m.hash = (ProtobufCBinaryData){ HASH_SIZE, hash };
    item.body_case = WIRE__ITEM__BODY_CREDENTIAL_LOOKUP;
    item.credential_lookup = &m;
    request_ask(r, &item, WIRE__ANSWER__BODY_CREDENTIAL, me_known);
}

static void listed(struct request *r, const Wire__Answer *a)
{
    const struct actor *who = &r->x->actor;
    struct json *j = request_json();

    json_open(j, '[');
    for (size_t i = 0; i < a->keys->n_keys; i++)
        if (who->role >= ROLE_ADMIN || a->keys->keys[i]->user == who->user)
            shape_key(j, a->keys->keys[i], NULL);
    json_close(j, ']');
    request_send(r, 200);
}

void api_key_list(struct request *r)
{
    request_ask_target(r, WIRE__ITEM__BODY_KEY_LIST, 0, WIRE__ANSWER__BODY_KEYS, listed);
}

static void created(struct request *r, const Wire__Answer *a)
{
    char *secret = r->own;

    shape_key(request_json(), a->key, secret);
    request_send(r, 201);
}

struct new_key {
    Wire__KeyCreate m;
    uint8_t hash[HASH_SIZE];
};

static enum err create(struct request *r, const json_t *body, void *m, struct fault *f)
{
    struct new_key *k = m;
    char *secret = r->own = malloc(API_KEY_MAX); // until the answer; freed with the request

    r->own_secret = secret ? API_KEY_MAX : 0;
    enum err e = secret ? shape_key_create(body, clock_wall_ms(), &k->m, f) : ERR_NO_MEMORY;
    if (e)
        return e;
    crypto_api_key(secret);
    size_t n = strlen(secret);
    crypto_hash(k->hash, secret, n);
    k->m.hash = (ProtobufCBinaryData){ HASH_SIZE, k->hash };
    k->m.last4 = secret + n - 4;
    return check_key_create(&k->m, f);
}

void api_key_create(struct request *r)
{
    struct new_key k;

    request_ask_body(r, create, &k, WIRE__ITEM__BODY_KEY_CREATE, WIRE__ANSWER__BODY_KEY, created);
}

void api_key_delete(struct request *r)
{
    request_ask_target(r, WIRE__ITEM__BODY_KEY_REVOKE, r->id, WIRE__ANSWER__BODY__NOT_SET, request_done);
}
