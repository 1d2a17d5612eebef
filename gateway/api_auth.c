// Signing in with a password, signing out, changing one's password.
//
// Happy path of a sign-in: the throttle lets it pass -> the broker says who that name is -> a thread compares the password ->
// the broker makes the session -> its token goes out as a cookie, and is nowhere else. Whatever is wrong, the answer is the same
// and takes as long; that it failed is told to the broker on the side, so that its time does not show whether the name exists.
// A client that goes away meanwhile has made an attempt that counts as failed.
#include "api.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "cookie.h"
#include "crypto.h"
#include "gateway.h"
#include "origin.h"
#include "password_rule.h"
#include "routes.h"
#include "shape.h"
#include "shape_body.h"
#include "throttle.h"

enum { COOKIE_MAX = 256 };

static char method[] = "password";

// ---------------------------------------------------------------- what they share

static struct throttle_pair pair_of(const struct exchange *x, const char *name)
{
    struct throttle_pair p = { .address = routes_address(x) };
    uint8_t hash[HASH_SIZE];
    char folded[USER_NAME_MAX + 2];
    size_t n = 0;

    for (; name[n] && n < sizeof folded; n++)
        folded[n] = name[n] >= 'A' && name[n] <= 'Z' ? (char)(name[n] + 32) : name[n];
    crypto_hash(hash, folded, n);
    memcpy(&p.name, hash, sizeof p.name);
    return p;
}

static void throttled(struct request *r, uint32_t seconds)
{
    char text[16];

    (void)snprintf(text, sizeof text, "%u", (unsigned)seconds);
    exchange_add(r->x, "Retry-After", text);
    request_refuse(r, 429, "LOGIN_THROTTLED", "Too many attempts: try again later");
}

static void set_cookie(struct exchange *x, const char *token)
{
    char text[COOKIE_MAX];

    (void)snprintf(text, sizeof text, "%s=%s; Path=/; HttpOnly; SameSite=Lax; Max-Age=%d%s", x->tls ? COOKIE_HOST : COOKIE_PLAIN, token,
                   *token ? (int)SIGNIN_MAX_S : 0, x->tls ? "; Secure" : "");
    exchange_add(x, "Set-Cookie", text);
    crypto_wipe(text, sizeof text);
}

// ---------------------------------------------------------------- signing in

struct login {                  // request.own; wiped with it
    struct throttle_pair pair;
    uint64_t user, workspace;   // 0: nobody of that name, or nobody who could sign in
    bool may;
    char stored[PASSWORD_HASH_SIZE], rehashed[PASSWORD_HASH_SIZE], token[API_KEY_MAX];
    char given[];
};

struct told_failed {
    struct ask_call ask;
};

static void told_cb(struct ask_call *c, enum err e, const Wire__Answer *a, uint64_t newest)
{
    (void)e;
    (void)a;
    (void)newest;
    free(container_of(c, struct told_failed, ask));
}

static void tell_failed(struct request *r, const struct login *l)
{
    Wire__SignIn m = WIRE__SIGN_IN__INIT;
    Wire__Item item = WIRE__ITEM__INIT;
    struct told_failed *t = l->user ? calloc(1, sizeof *t) : NULL;

    if (!t)
        return;
    t->ask.cb = told_cb;
    m.workspace = l->workspace;
    m.user = l->user;
    m.failed = true;
    m.address = r->x->address;
    m.method = method;
    item.body_case = WIRE__ITEM__BODY_SIGN_IN;
    item.sign_in = &m;
    ask_send(r->x->gw->ask, &t->ask, NULL, &item);
}

static void wrong(struct request *r)
{
    tell_failed(r, r->own);
    request_fail(r, ERR_UNAUTHORIZED, NULL, "Wrong username or password");
}

// Not judged: the attempt does not count.
static void unjudged(struct request *r, enum err e)
{
    const struct login *l = r->own;

    throttle_void(r->x->gw->throttle, l->pair);
    if (e == ERR_OVERLOADED)
        throttled(r, 1);
    else
        request_fail(r, e, NULL, NULL);
}

static void signed_in_cb(struct ask_call *c, enum err e, const Wire__Answer *a, uint64_t newest)
{
    struct request *r = container_of(c, struct request, ask);
    struct login *l = r->own;

    if (e == ERR_UNAUTHORIZED) { // the user was changed meanwhile
        wrong(r);
        return;
    }
    if (e == ERR_OK && a->body_case != WIRE__ANSWER__BODY_CREDENTIAL)
        e = ERR_INTERNAL;
    if (e) {
        unjudged(r, e);
        return;
    }
    throttle_won(r->x->gw->throttle, l->pair, clock_mono_ms());
    r->x->sequence = newest;
    set_cookie(r->x, l->token);
    shape_user(request_json(), a->credential);
    request_send(r, 200);
}

static void sign_in(struct request *r, const char *rehashed)
{
    Wire__SignIn m = WIRE__SIGN_IN__INIT;
    Wire__Item item = WIRE__ITEM__INIT;
    struct login *l = r->own;
    uint8_t hash[HASH_SIZE], old_hash[HASH_SIZE];
    struct text old = cred_cookie(r->x);

    (void)snprintf(l->rehashed, sizeof l->rehashed, "%s", rehashed);
    crypto_session_token(l->token);
    crypto_hash(hash, l->token, strlen(l->token));
    m.workspace = l->workspace;
    m.user = l->user;
    m.verified = l->stored;
    m.rehashed = l->rehashed;
    m.address = r->x->address;
    m.method = method;
    m.hash = (ProtobufCBinaryData){ HASH_SIZE, hash };
    if (old.n) {
        crypto_hash(old_hash, old.p, old.n);
        m.replaces = (ProtobufCBinaryData){ HASH_SIZE, old_hash };
    }
    item.body_case = WIRE__ITEM__BODY_SIGN_IN;
    item.sign_in = &m;
    r->ask.cb = signed_in_cb;
    ask_send(r->x->gw->ask, &r->ask, NULL, &item);
}

static void compared_cb(struct password_call *c, enum err e, const char *hashed)
{
    struct request *r = container_of(c, struct request, password);
    const struct login *l = r->own;

    if (e == ERR_OK && l->may)
        sign_in(r, hashed);
    else if (e == ERR_OK || e == ERR_UNAUTHORIZED)
        wrong(r);
    else
        unjudged(r, e);
}

static void compare(struct request *r)
{
    struct login *l = r->own;

    r->password.cb = compared_cb;
    enum err e = password_ask(r->x->gw->passwords, &r->password, *l->stored ? l->stored : NULL, l->given, NULL);
    crypto_wipe(l->given, strlen(l->given));
    if (e)
        unjudged(r, e);
}

static void looked_cb(struct ask_call *c, enum err e, const Wire__Answer *a, uint64_t newest)
{
    struct request *r = container_of(c, struct request, ask);
    struct login *l = r->own;

    (void)newest;
    if (e == ERR_OK && a->body_case == WIRE__ANSWER__BODY_USER_SECRET && strlen(a->user_secret->password) < sizeof l->stored) {
        l->user = a->user_secret->id;
        l->workspace = a->user_secret->workspace;
        l->may = !a->user_secret->disabled;
        memcpy(l->stored, a->user_secret->password, strlen(a->user_secret->password) + 1);
    } else if (e != ERR_NOT_FOUND) {
        unjudged(r, e ? e : ERR_INTERNAL);
        return;
    }
    compare(r);
}

static void look_up(struct request *r, const char *name)
{
    Wire__UserLookup m = WIRE__USER_LOOKUP__INIT;
    Wire__Item item = WIRE__ITEM__INIT;

    m.name = (char *)(uintptr_t)name; // only read
    item.body_case = WIRE__ITEM__BODY_USER_LOOKUP;
    item.user_lookup = &m;
    r->ask.cb = looked_cb;
    ask_send(r->x->gw->ask, &r->ask, NULL, &item);
}

static void begin(struct request *r, const char *name, const char *password)
{
    struct throttle_pair pair = pair_of(r->x, name);
    size_t n = strlen(password);
    uint32_t wait_s = throttle_take(r->x->gw->throttle, pair, clock_mono_ms());

    if (wait_s) {
        throttled(r, wait_s);
        return;
    }
    struct login *l = r->own = calloc(1, sizeof *l + n + 1);
    if (!l) {
        throttle_void(r->x->gw->throttle, pair);
        request_fail(r, ERR_NO_MEMORY, NULL, NULL);
        return;
    }
    r->own_secret = sizeof *l + n + 1;
    l->pair = pair;
    memcpy(l->given, password, n + 1);
    if (check_user_name(name))
        look_up(r, name);
    else
        compare(r); // nobody can have such a name
}

void api_auth_login(struct request *r)
{
    const char *name, *password;
    struct fault f = { NULL, NULL };
    json_t *o;

    if (origin_of(r->x) == ORIGIN_OTHER) {
        request_refuse(r, 403, "CROSS_ORIGIN", "Another site's page cannot sign anybody in here");
        return;
    }
    if (!request_body(r, &o))
        return;
    request_wipe_body(r);
    enum err e = shape_sign_in(o, &name, &password, &f);
    if (e == ERR_OK && strlen(password) > 4 * (size_t)PASSWORD_MAX) {
        e = ERR_INVALID_FIELD;
        f = (struct fault){ "password", "At most 256 characters" };
    }
    if (e == ERR_OK)
        begin(r, name, password);
    else
        request_fail(r, e, f.field, f.text);
    json_in_wipe(o, "password");
    json_decref(o);
}

// ---------------------------------------------------------------- signing out

static void signed_out_cb(struct ask_call *c, enum err e, const Wire__Answer *a, uint64_t newest)
{
    struct request *r = container_of(c, struct request, ask);

    if (e && e != ERR_UNAUTHORIZED) { // that: it has ended already
        request_fail(r, e, a ? a->field : NULL, a ? a->text : NULL);
        return;
    }
    r->x->sequence = newest;
    set_cookie(r->x, "");
    exchange_add(r->x, "Clear-Site-Data", "\"cache\", \"storage\""); // "cookies" would take those of the whole domain, other sites' too
    request_empty(r, 204);
}

void api_auth_logout(struct request *r)
{
    Wire__Target t = WIRE__TARGET__INIT;
    Wire__Item item = WIRE__ITEM__INIT;

    if (!r->x->cookie) { // who has a key can throw it away, or revoke it
        request_empty(r, 204);
        return;
    }
    item.body_case = WIRE__ITEM__BODY_SIGN_OUT;
    item.sign_out = &t;
    r->ask.cb = signed_out_cb;
    ask_send(r->x->gw->ask, &r->ask, &r->x->actor, &item);
}

// ---------------------------------------------------------------- one's own password

struct change {                 // request.own; wiped with it
    struct throttle_pair pair;
    bool compared;              // the throttle counts it
    char stored[PASSWORD_HASH_SIZE];
    size_t fresh_at;            // in text; the current password, when given, stands before
    bool has_current;
    char text[];
};

static void made_cb(struct password_call *c, enum err e, const char *hashed)
{
    struct request *r = container_of(c, struct request, password);
    Wire__PasswordSet m = WIRE__PASSWORD_SET__INIT;
    Wire__Item item = WIRE__ITEM__INIT;
    struct change *g = r->own;

    if (e == ERR_UNAUTHORIZED) {
        request_fail(r, ERR_INVALID_FIELD, "currentPassword", "It is not the current password");
        return;
    }
    if (g->compared && e)
        throttle_void(r->x->gw->throttle, g->pair);
    else if (g->compared)
        throttle_won(r->x->gw->throttle, g->pair, clock_mono_ms());
    if (e) {
        request_fail(r, e, NULL, NULL);
        return;
    }
    m.verified = g->stored;
    m.password = (char *)(uintptr_t)hashed; // only read
    item.body_case = WIRE__ITEM__BODY_PASSWORD_SET;
    item.password_set = &m;
    request_ask(r, &item, WIRE__ANSWER__BODY__NOT_SET, request_done);
}

// The current password is compared, and guessed here as well as anywhere. False: it has been answered.
static bool may_try(struct request *r, const char *user)
{
    struct change *g = r->own;

    if (!g->has_current) {
        request_fail(r, ERR_MISSING_FIELD, "currentPassword", "currentPassword is needed");
        return false;
    }
    g->pair = pair_of(r->x, user);
    uint32_t wait_s = throttle_take(r->x->gw->throttle, g->pair, clock_mono_ms());
    if (wait_s) {
        throttled(r, wait_s);
        return false;
    }
    g->compared = true;
    return true;
}

static void found(struct request *r, const Wire__Answer *a)
{
    struct change *g = r->own;
    const Wire__UserSecret *u = a->user_secret;
    const char *why = password_rule(g->text + g->fresh_at, u->name);

    if (why || strlen(u->password) >= sizeof g->stored) {
        request_fail(r, why ? ERR_INVALID_FIELD : ERR_INTERNAL, why ? "newPassword" : NULL, why);
        return;
    }
    memcpy(g->stored, u->password, strlen(u->password) + 1);
    if (*g->stored && !may_try(r, u->name))
        return;
    r->password.cb = made_cb;
    enum err e = password_ask(r->x->gw->passwords, &r->password, *g->stored ? g->stored : NULL, *g->stored ? g->text : NULL,
                              g->text + g->fresh_at);
    if (e && g->compared)
        throttle_void(r->x->gw->throttle, g->pair);
    if (e == ERR_OVERLOADED)
        throttled(r, 1);
    else if (e)
        request_fail(r, e, NULL, NULL);
}

static void begin_change(struct request *r, const char *current, const char *fresh)
{
    Wire__UserLookup m = WIRE__USER_LOOKUP__INIT;
    Wire__Item item = WIRE__ITEM__INIT;
    size_t before = current ? strlen(current) + 1 : 0, n = before + strlen(fresh) + 1;
    struct change *g = r->own = calloc(1, sizeof *g + n);

    if (!g) {
        request_fail(r, ERR_NO_MEMORY, NULL, NULL);
        return;
    }
    r->own_secret = sizeof *g + n;
    g->has_current = current != NULL;
    g->fresh_at = before;
    if (current)
        memcpy(g->text, current, before);
    memcpy(g->text + before, fresh, n - before);
    item.body_case = WIRE__ITEM__BODY_USER_LOOKUP;
    item.user_lookup = &m;
    request_ask(r, &item, WIRE__ANSWER__BODY_USER_SECRET, found);
}

void api_auth_password(struct request *r)
{
    const char *current, *fresh;
    struct fault f = { NULL, NULL };
    json_t *o;

    if (!request_body(r, &o))
        return;
    request_wipe_body(r);
    enum err e = shape_new_password(o, &current, &fresh, &f);
    if (e == ERR_OK && current && strlen(current) > 4 * (size_t)PASSWORD_MAX) {
        e = ERR_INVALID_FIELD;
        f = (struct fault){ "currentPassword", "At most 256 characters" };
    }
    if (e == ERR_OK)
        begin_change(r, current, fresh);
    else
        request_fail(r, e, f.field, f.text);
    json_in_wipe(o, "currentPassword");
    json_in_wipe(o, "newPassword");
    json_decref(o);
}
