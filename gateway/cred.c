// A table from the hash of a key's text to who it is. Happy path: the entry is there, has not expired, and the caller is called
// back at once. Otherwise one look-up at the broker is shared by all who wait for that key.
//
// Two lists in the order of use bound it: keys that are good (ENTRIES_MAX), and keys that are not (REFUSED_MAX, believed for a
// second only), so that guessing cannot push the good ones out. Entries under look-up are in neither and never dropped; they
// are bounded by the requests that wait for them.
//
// A row that concerns an entry may arrive while its look-up is on the way: the answer may be older than the row, so it is
// asked again.
#include "cred.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "ask.h"
#include "check.h"
#include "clock.h"
#include "cookie.h"
#include "crypto.h"
#include "event.h"
#include "gateway.h"
#include "query.h"

enum { ENTRIES_MAX = 65536, REFUSED_MAX = 4096, BUCKETS = 16384, REFUSED_MS = 1000 };

enum state { LOOKING, GOOD, REFUSED };

struct entry {
    uint8_t hash[HASH_SIZE];
    struct entry *chain;
    struct list use;          // good or refused of struct cred
    struct list waiting;      // cred_call.at, while LOOKING
    struct ask_call ask;
    struct cred *cred;
    struct actor actor;
    uint64_t refused_until, used_ms, over_ms; // monotonic; over: it expires then at the latest, whatever the wall clock does
    uint8_t state;
    bool again;               // a row came meanwhile
    bool session;
};

struct cred {
    struct gateway *gw;
    struct entry *bucket[BUCKETS];
    struct list good, refused;
    unsigned good_n, refused_n;
    bool has_new;
};

enum err cred_new(struct gateway *gw, struct cred **ret)
{
    struct cred *c = calloc(1, sizeof *c);

    if (!c)
        return ERR_NO_MEMORY;
    c->gw = gw;
    list_init(&c->good);
    list_init(&c->refused);
    *ret = c;
    return ERR_OK;
}

// ---------------------------------------------------------------- finding it in the request

static struct text trim(struct text t)
{
    while (t.n && (*t.p == ' ' || *t.p == '\t')) {
        t.p++;
        t.n--;
    }
    while (t.n && (t.p[t.n - 1] == ' ' || t.p[t.n - 1] == '\t'))
        t.n--;
    return t;
}

static const struct text nobodys = { "", 0 };

struct text cred_cookie(const struct exchange *x)
{
    unsigned many = 0;
    struct text h = exchange_header(x, "cookie", &many), t = { NULL, 0 };

    if (h.p)
        t = cookie_session(h);
    // A browser sends one field (RFC 6265 5.4): of two the second may hold another session.
    return t.p && (many > 1 || !crypto_session_token_form(t.p, t.n)) ? nobodys : t;
}

static enum err key_of(const struct exchange *x, bool query_too, char scratch[128], struct text *ret)
{
    unsigned many = 0;
    struct text h = exchange_header(x, "authorization", &many);

    *ret = (struct text){ NULL, 0 };
    if (many > 1)
        return ERR_BAD_REQUEST;
    if (h.p && h.n >= 6 && strncasecmp(h.p, "bearer", 6) == 0 && (h.n == 6 || h.p[6] == ' ' || h.p[6] == '\t')) {
        *ret = trim((struct text){ h.p + 6, h.n - 6 });
        return ERR_OK;
    }
    h = exchange_header(x, "x-api-key", &many);
    if (many > 1)
        return ERR_BAD_REQUEST;
    if (h.p) {
        *ret = trim(h);
        return ERR_OK;
    }
    if (query_too && x->query.n) {
        struct text v;
        if (query_get(x->query, "apiKey", scratch, 128, &v) != ERR_OK)
            return ERR_BAD_REQUEST;
        if (v.p)
            *ret = v;
    }
    return ERR_OK;
}

enum err cred_of(struct exchange *x, bool query_too, char scratch[128], struct text *ret)
{
    enum err e = key_of(x, query_too, scratch, ret);

    if (e)
        return e;
    if (ret->p && crypto_session_token_form(ret->p, ret->n))
        *ret = nobodys; // a session is the browser's: what scripts can read is none
    if (ret->p)
        return ERR_OK;
    *ret = cred_cookie(x);
    x->cookie = ret->p != NULL;
    return ERR_OK;
}

// ---------------------------------------------------------------- the table

static struct entry **place(struct cred *c, const uint8_t hash[HASH_SIZE])
{
    uint64_t h;
    memcpy(&h, hash, sizeof h); // of a cryptographic hash: any octets will do

    struct entry **at = &c->bucket[h % BUCKETS];
    while (*at && memcmp((*at)->hash, hash, HASH_SIZE) != 0)
        at = &(*at)->chain;
    return at;
}

static void leave(struct cred *c, struct entry *e)
{
    list_remove(&e->use);
    if (e->state == GOOD)
        c->good_n--;
    else if (e->state == REFUSED)
        c->refused_n--;
}

static void drop(struct cred *c, struct entry *e)
{
    struct entry **at = place(c, e->hash);

    leave(c, e);
    *at = e->chain;
    crypto_wipe(e->hash, sizeof e->hash);
    free(e);
}

static void enter(struct cred *c, struct entry *e, enum state s)
{
    e->state = (uint8_t)s;
    if (s == GOOD) {
        if (c->good_n >= ENTRIES_MAX)
            drop(c, container_of(c->good.prev, struct entry, use));
        c->good_n++;
        list_push_front(&c->good, &e->use);
    } else {
        if (c->refused_n >= REFUSED_MAX)
            drop(c, container_of(c->refused.prev, struct entry, use));
        c->refused_n++;
        list_push_front(&c->refused, &e->use);
    }
}

static bool expired(const struct entry *e)
{
    return e->actor.expires_ms && (clock_wall_ms() >= e->actor.expires_ms || clock_mono_ms() >= e->over_ms);
}

// Not used here for so long: the broker knows whether it was elsewhere.
static bool idle(const struct entry *e)
{
    return e->session && clock_mono_ms() - e->used_ms >= SIGNIN_IDLE_S * UINT64_C(1000);
}

// ---------------------------------------------------------------- looking up

static void look_up(struct entry *e);

// Everybody is told, and may do anything in turn: so they are taken from a list of our own, one by one.
static void tell(struct list *waiting, enum err e, const struct actor *actor)
{
    struct list *n;

    while ((n = list_pop_front(waiting))) {
        struct cred_call *call = container_of(n, struct cred_call, at);
        call->impl = NULL;
        call->cb(call, e, actor);
    }
}

static void looked_cb(struct ask_call *call, enum err err, const Wire__Answer *a, uint64_t newest)
{
    struct entry *e = container_of(call, struct entry, ask);
    struct cred *c = e->cred;
    struct list waiting;
    struct actor actor = { 0 };

    (void)newest;
    if (a && e->again) {
        e->again = false;
        look_up(e);
        return;
    }
    list_init(&waiting);
    list_take(&waiting, &e->waiting);
    if (err == ERR_OK && a->body_case == WIRE__ANSWER__BODY_CREDENTIAL && a->credential->key && a->credential->role) {
        const Wire__Credential *w = a->credential;
        actor = e->actor = (struct actor){ .key = w->key, .user = w->user, .workspace = w->workspace, .role = w->role,
                                           .expires_ms = w->expires_ms };
        uint64_t wall_ms = clock_wall_ms();
        e->used_ms = clock_mono_ms();
        e->over_ms = e->used_ms + (w->expires_ms > wall_ms ? w->expires_ms - wall_ms : 0);
        c->has_new = true;
        enter(c, e, GOOD);
        err = expired(e) ? ERR_UNAUTHORIZED : ERR_OK;
    } else if (err == ERR_UNAUTHORIZED || err == ERR_NOT_FOUND) {
        e->refused_until = clock_mono_ms() + REFUSED_MS;
        enter(c, e, REFUSED);
        err = ERR_UNAUTHORIZED;
    } else {
        drop(c, e);
        err = ERR_UNAVAILABLE;
    }
    tell(&waiting, err, err == ERR_OK ? &actor : NULL);
}

static void look_up(struct entry *e)
{
    Wire__CredentialLookup m = WIRE__CREDENTIAL_LOOKUP__INIT;
    Wire__Item item = WIRE__ITEM__INIT;

    m.hash = (ProtobufCBinaryData){ HASH_SIZE, e->hash };
    item.body_case = WIRE__ITEM__BODY_CREDENTIAL_LOOKUP;
    item.credential_lookup = &m;
    e->ask = (struct ask_call){ .cb = looked_cb };
    ask_send(e->cred->gw->ask, &e->ask, NULL, &item);
}

static void wait_for(struct entry *e, struct cred_call *call)
{
    call->impl = e;
    list_push_back(&e->waiting, &call->at);
}

void cred_find(struct cred *c, struct cred_call *call, struct text key)
{
    uint8_t hash[HASH_SIZE];

    list_init(&call->at);
    call->impl = NULL;
    bool session = crypto_session_token_form(key.p, key.n);
    if (!session && !crypto_api_key_form(key.p, key.n)) {
        call->cb(call, ERR_UNAUTHORIZED, NULL);
        return;
    }
    crypto_hash(hash, key.p, key.n);
    struct entry **at = place(c, hash), *e = *at;
    if (e && e->state == LOOKING) {
        wait_for(e, call);
        return;
    }
    if (e && e->state == GOOD && !idle(e)) {
        struct actor actor = e->actor;
        e->used_ms = clock_mono_ms();
        list_remove(&e->use);
        list_push_front(&c->good, &e->use);
        if (expired(e))
            call->cb(call, ERR_UNAUTHORIZED, NULL);
        else
            call->cb(call, ERR_OK, &actor);
        return;
    }
    if (e && e->state == REFUSED && clock_mono_ms() < e->refused_until) {
        call->cb(call, ERR_UNAUTHORIZED, NULL);
        return;
    }
    if (e) {
        leave(c, e);
    } else {
        e = calloc(1, sizeof *e);
        if (!e) {
            call->cb(call, ERR_UNAVAILABLE, NULL);
            return;
        }
        memcpy(e->hash, hash, sizeof hash);
        list_init(&e->waiting);
        list_init(&e->use);
        e->cred = c;
        e->chain = NULL;
        *at = e;
    }
    e->state = LOOKING;
    e->session = session;
    e->again = false;
    wait_for(e, call);
    look_up(e);
}

void cred_cancel(struct cred_call *call)
{
    if (!call->impl)
        return;
    call->impl = NULL;
    list_remove(&call->at);
}

// ---------------------------------------------------------------- what the log says

static void concern(struct cred *c, struct entry *e)
{
    if (e->state == LOOKING)
        e->again = true;
    else
        drop(c, e);
}

void cred_row(struct cred *c, const Wire__Row *row)
{
    if ((row->row == ROW_KEY_REVOKED || row->row == ROW_USER_LOGOUT) && row->key_hash.len == HASH_SIZE) {
        struct entry *e = *place(c, row->key_hash.data);
        if (e)
            concern(c, e);
        return;
    }
    if (row->row != ROW_USER_UPDATED && row->row != ROW_USER_DELETED)
        return;
    for (unsigned i = 0; i < BUCKETS; i++) // rare, and a user may have many keys
        for (struct entry *e = c->bucket[i], *next; e; e = next) {
            next = e->chain;
            if (e->state == LOOKING || (e->state == GOOD && e->actor.user == row->entity))
                concern(c, e);
        }
}

void cred_forget_all(struct cred *c)
{
    for (unsigned i = 0; i < BUCKETS; i++)
        for (struct entry *e = c->bucket[i], *next; e; e = next) {
            next = e->chain;
            concern(c, e);
        }
}

// ---------------------------------------------------------------- use

void cred_each_used(struct cred *c, uint64_t since_ms, cred_seen *seen, void *u)
{
    list_each (n, tmp, &c->good) { // in the order of use
        const struct entry *e = container_of(n, struct entry, use);
        if (e->used_ms < since_ms)
            break;
        seen(u, &e->actor, e->used_ms);
    }
}

bool cred_has_new(struct cred *c)
{
    bool has = c->has_new;

    c->has_new = false;
    return has;
}
