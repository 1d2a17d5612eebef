// links: gateway common protobuf-c sodium fail_alloc
// Credentials: shared look-ups, what is kept and for how long, what a row of the log drops. Broker, clock and request are fakes.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ask.h"
#include "clock.h"
#include "cred.h"
#include "crypto.h"
#include "event.h"
#include "fail_alloc.h"
#include "gateway.h"

// ---------------------------------------------------------------- fakes

static uint64_t now_ms = 1000000;

static uint64_t back_ms; // how far the wall clock was put back

uint64_t clock_wall_ms(void)
{
    return now_ms - back_ms;
}

uint64_t clock_mono_ms(void)
{
    return now_ms;
}

static struct ask_call *asked[100000];
static unsigned n_asked;

void ask_send(struct ask *a, struct ask_call *c, const struct actor *actor, Wire__Item *item)
{
    (void)a;
    assert_null(actor);
    assert_int_equal(item->body_case, WIRE__ITEM__BODY_CREDENTIAL_LOOKUP);
    assert_int_equal(item->credential_lookup->hash.len, HASH_SIZE);
    asked[n_asked++] = c;
}

static const char *header_name, *header_value, *header_name2, *header_value2;
static unsigned header_count;

struct text exchange_header(const struct exchange *x, const char *name, unsigned *count)
{
    (void)x;
    const char *v = header_name && strcmp(name, header_name) == 0 ? header_value : header_name2 && strcmp(name, header_name2) == 0 ? header_value2 : NULL;
    if (count)
        *count = v ? header_count : 0;
    return v ? (struct text){ v, strlen(v) } : (struct text){ NULL, 0 };
}

// ---------------------------------------------------------------- the asker

static struct gateway gw;
static struct cred *cred;

struct call {
    struct cred_call c;
    unsigned ended;
    enum err e;
    struct actor actor;
};

static void ended_cb(struct cred_call *c, enum err e, const struct actor *actor)
{
    struct call *k = container_of(c, struct call, c);
    k->ended++;
    k->e = e;
    if (actor)
        k->actor = *actor;
}

static void find(struct call *k, const char *key)
{
    *k = (struct call){ .c.cb = ended_cb };
    cred_find(cred, &k->c, (struct text){ key, strlen(key) });
}

static void answer(unsigned i, enum err e, uint64_t user, uint64_t expires_ms)
{
    Wire__Answer a = WIRE__ANSWER__INIT;
    Wire__Credential c = WIRE__CREDENTIAL__INIT;
    c.key = 10 + i;
    c.user = user;
    c.workspace = 1;
    c.role = 2;
    c.expires_ms = expires_ms;
    a.err = e;
    if (e == ERR_OK) {
        a.body_case = WIRE__ANSWER__BODY_CREDENTIAL;
        a.credential = &c;
    }
    asked[i]->cb(asked[i], e, e == ERR_UNAVAILABLE ? NULL : &a, 5);
}

static void key_text(char out[API_KEY_MAX], unsigned n)
{
    snprintf(out, API_KEY_MAX, "mc_k_%043u", n);
}

static int set_up(void **state)
{
    (void)state;
    n_asked = 0;
    return cred_new(&gw, &cred) == ERR_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    cred_forget_all(cred);
    free(cred);
    return 0;
}

static void session_text(char out[API_KEY_MAX], unsigned n)
{
    snprintf(out, API_KEY_MAX, "mc_s_%043u", n);
}

// ---------------------------------------------------------------- tests

static void looked_up_once(void **state)
{
    struct call k[5];
    char key[API_KEY_MAX];
    (void)state;
    key_text(key, 1);
    for (unsigned i = 0; i < 4; i++)
        find(&k[i], key);
    assert_int_equal(n_asked, 1);
    cred_cancel(&k[2].c);
    answer(0, ERR_OK, 1, 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(k[i].ended, i != 2);
        assert_true(i == 2 || (k[i].e == ERR_OK && k[i].actor.key == 10 && k[i].actor.role == 2));
    }
    find(&k[4], key);
    assert_int_equal(k[4].ended, 1);
    assert_int_equal(k[4].actor.user, 1);
    assert_int_equal(n_asked, 1);
    cred_cancel(&k[4].c); // harmless
}

static void form(void **state)
{
    static const char *const bad[] = { "", "x", "mc_k_", "mc_k_short", "lb_k_0000000000000000000000000000000000000000000" };
    struct call k;
    (void)state;
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        find(&k, bad[i]);
        assert_int_equal(k.ended, 1);
        assert_int_equal(k.e, ERR_UNAUTHORIZED);
    }
    assert_int_equal(n_asked, 0);
}

static void refused_for_a_second(void **state)
{
    struct call k;
    char key[API_KEY_MAX];
    (void)state;
    key_text(key, 2);
    find(&k, key);
    answer(0, ERR_UNAUTHORIZED, 0, 0);
    assert_int_equal(k.e, ERR_UNAUTHORIZED);
    now_ms += 999;
    find(&k, key);
    assert_int_equal(k.e, ERR_UNAUTHORIZED);
    assert_int_equal(n_asked, 1);
    now_ms += 1;
    find(&k, key);
    assert_int_equal(n_asked, 2);
    answer(1, ERR_OK, 1, 0);
    assert_int_equal(k.e, ERR_OK);
}

static void broker_away(void **state)
{
    struct call k;
    char key[API_KEY_MAX];
    (void)state;
    key_text(key, 3);
    find(&k, key);
    answer(0, ERR_UNAVAILABLE, 0, 0);
    assert_int_equal(k.e, ERR_UNAVAILABLE);
    find(&k, key); // that is not kept
    assert_int_equal(n_asked, 2);
    answer(1, ERR_OK, 1, 0);
    assert_int_equal(k.e, ERR_OK);
}

static void expiry(void **state)
{
    struct call k;
    char key[API_KEY_MAX];
    (void)state;
    key_text(key, 4);
    find(&k, key);
    answer(0, ERR_OK, 1, now_ms + 10);
    assert_int_equal(k.e, ERR_OK);
    now_ms += 9;
    find(&k, key);
    assert_int_equal(k.e, ERR_OK);
    now_ms += 1;
    find(&k, key);
    assert_int_equal(k.e, ERR_UNAUTHORIZED);
    key_text(key, 6); // one whose time is over, although the wall clock was put back
    find(&k, key);
    answer(1, ERR_OK, 1, now_ms + 1000);
    back_ms = 5000;
    now_ms += 999;
    find(&k, key);
    assert_int_equal(k.e, ERR_OK);
    now_ms += 1;
    find(&k, key);
    assert_int_equal(k.e, ERR_UNAUTHORIZED);
    back_ms = 0;
    key_text(key, 5);
    find(&k, key);
    answer(2, ERR_OK, 1, now_ms); // and one that was over when the answer came
    assert_int_equal(k.e, ERR_UNAUTHORIZED);
}

static void row_about(unsigned kind, const char *key, uint64_t user)
{
    Wire__Row row = WIRE__ROW__INIT;
    uint8_t hash[HASH_SIZE];
    row.row = kind;
    row.entity = user;
    if (key) {
        crypto_hash(hash, key, strlen(key));
        row.key_hash = (ProtobufCBinaryData){ HASH_SIZE, hash };
    }
    cred_row(cred, &row);
}

static void rows_drop(void **state)
{
    struct call k;
    char a[API_KEY_MAX], b[API_KEY_MAX];
    (void)state;
    key_text(a, 6);
    key_text(b, 7);
    find(&k, a);
    answer(0, ERR_OK, 1, 0);
    find(&k, b);
    answer(1, ERR_OK, 2, 0);
    row_about(ROW_KEY_REVOKED, a, 0);
    find(&k, b);
    assert_int_equal(n_asked, 2); // the other key is not concerned
    find(&k, a);
    assert_int_equal(n_asked, 3);
    answer(2, ERR_UNAUTHORIZED, 0, 0);
    assert_int_equal(k.e, ERR_UNAUTHORIZED);
    row_about(ROW_USER_UPDATED, NULL, 1);
    find(&k, b);
    assert_int_equal(n_asked, 3);
    row_about(ROW_USER_DELETED, NULL, 2);
    find(&k, b);
    assert_int_equal(n_asked, 4);
    answer(3, ERR_OK, 2, 0);
    row_about(ROW_TASK_CREATED, NULL, 2);
    find(&k, b);
    assert_int_equal(n_asked, 4);
    cred_forget_all(cred);
    find(&k, b);
    assert_int_equal(n_asked, 5);
    answer(4, ERR_OK, 2, 0);
}

// The answer on its way may be older than the row: it is asked again, and only the second answer counts.
static void row_during_look_up(void **state)
{
    struct call k;
    char key[API_KEY_MAX];
    (void)state;
    key_text(key, 8);
    find(&k, key);
    row_about(ROW_KEY_REVOKED, key, 0);
    answer(0, ERR_OK, 1, 0);
    assert_int_equal(k.ended, 0);
    assert_int_equal(n_asked, 2);
    answer(1, ERR_UNAUTHORIZED, 0, 0);
    assert_int_equal(k.e, ERR_UNAUTHORIZED);
    assert_int_equal(k.ended, 1);
}

static void bounded(void **state)
{
    struct call k;
    char key[API_KEY_MAX];
    (void)state;
    for (unsigned i = 0; i < 65536 + 100; i++) {
        key_text(key, 1000 + i);
        find(&k, key);
        answer(i, ERR_OK, 1, 0);
        if (i % 1000 == 0) { // one that is used goes on being known
            unsigned before = n_asked;
            key_text(key, 1000);
            find(&k, key);
            assert_int_equal(n_asked, before);
        }
    }
    unsigned before = n_asked;
    key_text(key, 1000);
    find(&k, key);
    assert_int_equal(n_asked, before);
    key_text(key, 1001);
    find(&k, key);
    assert_int_equal(n_asked, before + 1);
    answer(before, ERR_OK, 1, 0);
    for (unsigned i = 0; i < 10000; i++) { // guesses do not push good ones out
        key_text(key, 500000 + i);
        find(&k, key);
        answer(n_asked - 1, ERR_UNAUTHORIZED, 0, 0);
    }
    before = n_asked;
    key_text(key, 1000);
    find(&k, key);
    assert_int_equal(n_asked, before);
}

// A session: dropped by its own end alone, and looked up again where it has not been used for a day.
static void sessions(void **state)
{
    struct call k;
    char a[API_KEY_MAX], b[API_KEY_MAX], key[API_KEY_MAX];
    (void)state;
    session_text(a, 1);
    session_text(b, 2);
    key_text(key, 1);
    find(&k, a);
    answer(0, ERR_OK, 1, now_ms + 7 * 86400000u);
    assert_int_equal(k.e, ERR_OK);
    find(&k, b);
    answer(1, ERR_OK, 1, now_ms + 7 * 86400000u);
    find(&k, key);
    answer(2, ERR_OK, 1, 0);
    row_about(ROW_USER_LOGIN, NULL, 1);
    row_about(ROW_USER_LOGIN_FAILED, NULL, 1);
    find(&k, b);
    assert_int_equal(n_asked, 3);
    row_about(ROW_USER_LOGOUT, b, 1);
    find(&k, a);
    assert_int_equal(n_asked, 3);
    find(&k, b);
    assert_int_equal(n_asked, 4);
    answer(3, ERR_UNAUTHORIZED, 0, 0);
    assert_int_equal(k.e, ERR_UNAUTHORIZED);
    now_ms += 86400000 - 1;
    find(&k, a);
    assert_int_equal(n_asked, 4);
    now_ms += 86400000;
    find(&k, key); // a key is never idle
    assert_int_equal(n_asked, 4);
    find(&k, a);
    assert_int_equal(n_asked, 5);
    answer(4, ERR_OK, 1, now_ms + 5 * 86400000u); // it was used elsewhere
    assert_int_equal(k.e, ERR_OK);
    find(&k, a);
    assert_int_equal(n_asked, 5);
    row_about(ROW_USER_UPDATED, NULL, 1);
    find(&k, a);
    assert_int_equal(n_asked, 6);
    answer(5, ERR_UNAUTHORIZED, 0, 0);
    assert_int_equal(k.e, ERR_UNAUTHORIZED);
}

static uint64_t used_keys[16], used_at[16];
static unsigned n_used;

static void used_cb(void *u, const struct actor *actor, uint64_t used_ms)
{
    (void)u;
    used_keys[n_used] = actor->key;
    used_at[n_used++] = used_ms;
}

static void what_was_used(void **state)
{
    struct call k;
    char key[4][API_KEY_MAX];
    (void)state;
    assert_false(cred_has_new(cred));
    for (unsigned i = 0; i < 4; i++) {
        key_text(key[i], 20 + i);
        find(&k, key[i]);
        answer(i, i == 3 ? ERR_UNAUTHORIZED : ERR_OK, 1, 0);
        now_ms += 1000;
    }
    assert_true(cred_has_new(cred));
    assert_false(cred_has_new(cred));
    uint64_t since = now_ms;
    n_used = 0;
    cred_each_used(cred, since - 3000, used_cb, NULL);
    assert_int_equal(n_used, 2); // neither the first, used before, nor the one that is no key
    assert_int_equal(used_keys[0], 12);
    assert_int_equal(used_at[0], since - 2000);
    assert_int_equal(used_keys[1], 11);
    find(&k, key[0]);
    n_used = 0;
    cred_each_used(cred, since, used_cb, NULL);
    assert_int_equal(n_used, 1);
    assert_int_equal(used_keys[0], 10);
    assert_int_equal(used_at[0], now_ms);
    assert_false(cred_has_new(cred));
}

static void where_it_stands(void **state)
{
    static const char session[] = "mc_s_0123456789012345678901234567890123456789012", cookie[] = "a=b; mc-session=mc_s_0123456789012345678901234567890123456789012";
    static const char key[] = "mc_k_0123456789012345678901234567890123456789012";
    static const struct {
        const char *name, *value, *name2, *value2, *query;
        bool query_too;
        unsigned count;
        enum err e;
        const char *key; // NULL: none
    } cases[] = {
        { "authorization", "Bearer abc", NULL, NULL, "", false, 1, ERR_OK, "abc" },
        { "authorization", "bEARER  abc ", NULL, NULL, "", false, 1, ERR_OK, "abc" },
        { "authorization", "Bearer", NULL, NULL, "", false, 1, ERR_OK, "" },
        { "authorization", "Bearer\tabc\t ", NULL, NULL, "", false, 1, ERR_OK, "abc" },
        { "authorization", "Bearer \t", NULL, NULL, "", false, 1, ERR_OK, "" },
        { "authorization", "Bear", NULL, NULL, "", false, 1, ERR_OK, NULL },
        { NULL, NULL, NULL, NULL, "a=b", true, 0, ERR_OK, NULL },
        { "authorization", "Bearerabc", NULL, NULL, "", false, 1, ERR_OK, NULL },
        { "authorization", "Basic abc", "x-api-key", "def", "", false, 1, ERR_OK, "def" },
        { "authorization", "Bearer abc", "x-api-key", "def", "", false, 1, ERR_OK, "abc" },
        { "authorization", "Bearer abc", NULL, NULL, "", false, 2, ERR_BAD_REQUEST, NULL },
        { "x-api-key", "def", NULL, NULL, "apiKey=ghi", true, 1, ERR_OK, "def" },
        { "x-api-key", "", NULL, NULL, "", true, 1, ERR_OK, "" },
        { "x-api-key", "def", NULL, NULL, "", true, 2, ERR_BAD_REQUEST, NULL },
        { NULL, NULL, NULL, NULL, "a=b&apiKey=ghi", true, 0, ERR_OK, "ghi" },
        { NULL, NULL, NULL, NULL, "%61piKey=%67hi", true, 0, ERR_OK, "ghi" },
        { NULL, NULL, NULL, NULL, "apiKey=a&apiKey=b", true, 0, ERR_BAD_REQUEST, NULL },
        { NULL, NULL, NULL, NULL, "apiKey=ghi", false, 0, ERR_OK, NULL },
        { NULL, NULL, NULL, NULL, "", true, 0, ERR_OK, NULL },
        // the cookie comes last, and a bad key does not fall back to it
        { "cookie", cookie, NULL, NULL, "", false, 1, ERR_OK, session },
        { "cookie", cookie, NULL, NULL, "", true, 1, ERR_OK, session },
        { "authorization", "Basic abc", "cookie", cookie, "", false, 1, ERR_OK, session },
        { "x-api-key", "", "cookie", cookie, "", false, 1, ERR_OK, "" },
        { "x-api-key", "abc", "cookie", cookie, "", false, 1, ERR_OK, "abc" },
        { "authorization", "Bearer", "cookie", cookie, "", false, 1, ERR_OK, "" },
        { NULL, NULL, "cookie", cookie, "apiKey=abc", true, 1, ERR_OK, "abc" },
        // a session is a cookie and nothing else, a key never one; two fields or two of a name are nobody's
        { "authorization", "Bearer mc_s_0123456789012345678901234567890123456789012", NULL, NULL, "", false, 1, ERR_OK, "" },
        { "x-api-key", session, "cookie", cookie, "", false, 1, ERR_OK, "" },
        { NULL, NULL, NULL, NULL, "apiKey=mc_s_0123456789012345678901234567890123456789012", true, 1, ERR_OK, "" },
        { "cookie", "mc-session=mc_k_0123456789012345678901234567890123456789012", NULL, NULL, "", false, 1, ERR_OK, "" },
        { "cookie", "mc-session=short", NULL, NULL, "", false, 1, ERR_OK, "" },
        { "cookie", cookie, NULL, NULL, "", false, 2, ERR_OK, "" },
        { "cookie", "mc-session=a; mc-session=a", NULL, NULL, "", false, 1, ERR_OK, "" },
        { "cookie", "a=b", NULL, NULL, "", false, 1, ERR_OK, NULL },
        { "x-api-key", key, NULL, NULL, "", false, 1, ERR_OK, key },
    };
    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct exchange x = { .query = { cases[i].query, strlen(cases[i].query) } };
        char scratch[128];
        struct text t;
        header_name = cases[i].name;
        header_value = cases[i].value;
        header_name2 = cases[i].name2;
        header_value2 = cases[i].value2;
        header_count = cases[i].count;
        assert_int_equal(cred_of(&x, cases[i].query_too, scratch, &t), cases[i].e);
        if (cases[i].e)
            continue;
        bool second = cases[i].name2 && (!cases[i].value || strcmp(cases[i].value, "Basic abc") == 0);
        const char *last = second ? cases[i].name2 : cases[i].name;
        bool by_cookie = last && strcmp(last, "cookie") == 0 && !cases[i].query[0];
        assert_int_equal(x.cookie, t.p != NULL && by_cookie);
        assert_int_equal(t.p != NULL, cases[i].key != NULL);
        if (t.p) {
            assert_int_equal(t.n, strlen(cases[i].key));
            assert_memory_equal(t.p, cases[i].key, t.n);
        }
    }
}

// Answers that are none: of another kind, or of a key that is none. They are not kept.
static void odd_answers(void **state)
{
    struct call k;
    char key[API_KEY_MAX];
    (void)state;
    key_text(key, 70);
    for (unsigned i = 0; i < 3; i++) {
        Wire__Answer a = WIRE__ANSWER__INIT;
        Wire__Credential c = WIRE__CREDENTIAL__INIT;
        find(&k, key);
        assert_int_equal(n_asked, i + 1);
        a.body_case = i == 0 ? WIRE__ANSWER__BODY_SESSION : WIRE__ANSWER__BODY_CREDENTIAL;
        a.credential = &c;
        c.key = i == 1 ? 0 : 7;
        c.role = i == 2 ? 0 : 1;
        asked[i]->cb(asked[i], ERR_OK, &a, 5);
        assert_int_equal(k.e, ERR_UNAVAILABLE);
    }
    find(&k, key);
    answer(3, ERR_NOT_FOUND, 0, 0); // as good as wrong
    assert_int_equal(k.e, ERR_UNAUTHORIZED);
    row_about(ROW_USER_LOGOUT, key, 0); // what is refused is asked again after a row about it
    find(&k, key);
    assert_int_equal(n_asked, 5);
    row_about(ROW_USER_UPDATED, NULL, 3); // whoever is looked up may be that user
    answer(4, ERR_OK, 9, 0);
    assert_int_equal(n_asked, 6);
    answer(5, ERR_OK, 9, 0);
    assert_int_equal(k.e, ERR_OK);
    row_about(ROW_KEY_REVOKED, "of nobody here", 0);
    row_about(ROW_KEY_REVOKED, NULL, 0);
    row_about(ROW_USER_UPDATED, NULL, 8);
    find(&k, key);
    assert_int_equal(n_asked, 6);
}

static void no_memory(void **state)
{
    struct call k;
    struct cred *none = NULL;
    char key[API_KEY_MAX];
    (void)state;
    key_text(key, 71);
    fail_alloc(1);
    find(&k, key);
    assert_true(fail_alloc_done());
    assert_int_equal(k.e, ERR_UNAVAILABLE);
    assert_int_equal(n_asked, 0);
    fail_alloc(1);
    assert_int_equal(cred_new(&gw, &none), ERR_NO_MEMORY);
    assert_true(fail_alloc_done());
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(looked_up_once), T(form), T(refused_for_a_second), T(broker_away), T(expiry), T(rows_drop), T(row_during_look_up), T(bounded),
        T(sessions), T(what_was_used), T(where_it_stands), T(odd_answers), T(no_memory),
    };
    if (crypto_init() != ERR_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
