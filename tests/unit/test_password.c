// links: gateway common uv protobuf-c sodium
// Which passwords are good enough; and the pool that hashes them: right, wrong, nobody's, at most two at once, a bounded queue,
// askers that go away.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <sodium/crypto_pwhash.h>
#include <string.h>
#include <uv.h>
#include "crypto.h"
#include "gateway.h"
#include "list.h"
#include "password.h"
#include "password_rule.h"

static void rule(void **state)
{
    static const char *const bad[] = {
        "", "short", "elevenchars", "aaaaaaaaaaaa", "abababababab", "abcabcabcabc", "abcabcabcabcab", "123456789012", "098765432109",
        "abcdefghijkl", "ABCDEFGHIJKL", "qwertyuiopas", "qwertyuiop[]", "1qaz2wsx3edc", "zxcvbnmasdfg", "password1234", "Password1234!",
        "passwordpassword", "P@ssw0rd1234", "p455w0rdp455", "adminadmin12", "administrator", "welcome12345", "W3lcome2024!!", "letmein12345",
        "iloveyou1234", "changeme1234", "changeMe!2024", "correcthorsebatterystaple", "correct horse battery staple", "thisismypassword",
        "qwerty123456", "1234qwertyuiop", "missioncontrol1", "!!!!!!!!!!!!", "112233445566", "aabbccddeeff", "hello world 2024",
        "summer2024!!", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "p\xc3\xa4\xc3", "ann.sommers and tea", "XX Ann.Sommers 9!",
    };
    static const char *const good[] = {
        "violet kettle 42", "Tr0ub4dor&3xyz", "the quick brown fox", "9fK2-xQ7p-Lm4z", "ein ganz langer Satz", "\xe5\xaf\x86\xe7\xa0\x81\xe5\xae\x89\xe5\x85\xa8\xe6\x98\xaf\xe5\xbe\x88\xe9\x87\x8d\xe8\xa6\x81\xe7\x9a\x84\xe4\xba\x8b\xe5\x95\x8a\xe5\x91\x80",
        "x7!y8?z9#a1%", "mountain river tango", "            a b c d e", "password manager made me do it",
    };
    char all[256 * 4 + 8];
    (void)state;
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        if (!password_rule(bad[i], "Ann.Sommers"))
            fail_msg("%s is let through", bad[i]);
    for (unsigned i = 0; i < sizeof good / sizeof *good; i++)
        if (password_rule(good[i], "Ann.Sommers"))
            fail_msg("%s: %s", good[i], password_rule(good[i], "Ann.Sommers"));
    assert_null(password_rule("violet al kettle 42", "al")); // too short a name to be a hint
    // 256 characters of four octets each, and one more
    for (unsigned i = 0; i < 257; i++) {
        static const char clef[] = "\xf0\x9d\x84\x9e";
        memcpy(all + 4 * i, clef, 4);
        all[4 * i + 3] = (char)(0x80 + i * 37 % 64);
        all[4 * i + 2] = (char)(0x80 + i * 11 % 61);
    }
    all[4 * 256] = 0;
    assert_null(password_rule(all, ""));
    all[4 * 256] = 'x';
    all[4 * 256 + 1] = 0;
    assert_non_null(password_rule(all, ""));
}

// ---------------------------------------------------------------- the pool

static struct gateway gw;
static struct passwords *pool;

struct asker {
    struct password_call call;
    unsigned called;
    enum err e;
    char hashed[PASSWORD_HASH_SIZE];
};

static void ended_cb(struct password_call *c, enum err e, const char *hashed)
{
    struct asker *a = container_of(c, struct asker, call);
    a->called++;
    a->e = e;
    memcpy(a->hashed, hashed, strlen(hashed) + 1);
}

static enum err ask(struct asker *a, const char *stored, const char *given, const char *fresh)
{
    *a = (struct asker){ .call.cb = ended_cb };
    return password_ask(pool, &a->call, stored, given, fresh);
}

static void judged(void **state)
{
    char stored[PASSWORD_HASH_SIZE];
    struct asker a;
    (void)state;
    assert_int_equal(ask(&a, NULL, NULL, "violet kettle 42"), ERR_OK);
    assert_int_equal(a.called, 0); // never before it has returned
    uv_run(gw.loop, UV_RUN_DEFAULT);
    assert_int_equal(a.called, 1);
    assert_int_equal(a.e, ERR_OK);
    assert_int_equal(strncmp(a.hashed, "$argon2id$v=19$m=65536,t=2,p=1$", 31), 0);
    memcpy(stored, a.hashed, sizeof stored);
    struct asker right, wrong, nobody, changed, kept, rehash, none;
    char weak[PASSWORD_HASH_SIZE]; // as an earlier version may have stored it
    assert_int_equal(crypto_pwhash_str(weak, "violet kettle 42", 16, crypto_pwhash_OPSLIMIT_MIN, crypto_pwhash_MEMLIMIT_MIN), 0);
    assert_int_equal(ask(&right, stored, "violet kettle 42", NULL), ERR_OK);
    assert_int_equal(ask(&wrong, stored, "violet kettle 43", NULL), ERR_OK);
    assert_int_equal(ask(&nobody, NULL, "violet kettle 42", NULL), ERR_OK);
    assert_int_equal(ask(&changed, stored, "violet kettle 42", "mountain river tango"), ERR_OK);
    assert_int_equal(ask(&kept, stored, "violet kettle 43", "mountain river tango"), ERR_OK);
    assert_int_equal(ask(&rehash, weak, "violet kettle 42", NULL), ERR_OK);
    assert_int_equal(ask(&none, "$argon2id$none", "violet kettle 42", NULL), ERR_OK); // a string that is none: wrong, no more
    uv_run(gw.loop, UV_RUN_DEFAULT);
    assert_int_equal(right.e, ERR_OK);
    assert_string_equal(right.hashed, "");
    assert_int_equal(wrong.e, ERR_UNAUTHORIZED);
    assert_int_equal(nobody.e, ERR_UNAUTHORIZED);
    assert_string_equal(nobody.hashed, "");
    assert_int_equal(changed.e, ERR_OK);
    assert_true(crypto_password_verify(changed.hashed, "mountain river tango"));
    assert_int_equal(kept.e, ERR_UNAUTHORIZED);
    assert_string_equal(kept.hashed, "");
    assert_int_equal(rehash.e, ERR_OK);
    assert_true(crypto_password_verify(rehash.hashed, "violet kettle 42"));
    assert_false(crypto_password_stale(rehash.hashed));
    assert_int_equal(none.e, ERR_UNAUTHORIZED);
}

static void queue_is_bounded(void **state)
{
    enum { ALL = PASSWORD_AT_ONCE + PASSWORD_QUEUE };
    static struct asker a[ALL], more;
    char long_one[2000];
    (void)state;
    memset(long_one, 'x', sizeof long_one);
    long_one[sizeof long_one - 1] = 0;
    assert_int_equal(ask(&more, NULL, NULL, long_one), ERR_TOO_BIG);
    for (unsigned i = 0; i < ALL; i++)
        assert_int_equal(ask(&a[i], "none", "x", NULL), ERR_OK); // a string that is none fails at once: quick
    assert_int_equal(ask(&more, NULL, NULL, "x"), ERR_OVERLOADED);
    password_cancel(&a[ALL - 1].call);                           // one that waits makes room
    assert_int_equal(ask(&more, "none", "x", NULL), ERR_OK);
    password_cancel(&a[0].call);                                 // one that runs ends for nobody
    password_cancel(&a[0].call);
    uv_run(gw.loop, UV_RUN_DEFAULT);
    for (unsigned i = 0; i < ALL; i++)
        assert_int_equal(a[i].called, i != 0 && i != ALL - 1);
    assert_int_equal(more.called, 1);
    password_cancel(&more.call);                                 // harmless
    more.call.impl = NULL;
    password_cancel(&more.call);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(rule), cmocka_unit_test(judged), cmocka_unit_test(queue_is_bounded) };
    if (crypto_init() != ERR_OK)
        return 1;
    gw.loop = uv_default_loop();
    if (passwords_new(&gw, &pool) != ERR_OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    passwords_free(pool);
    uv_loop_close(gw.loop);
    return failed;
}
