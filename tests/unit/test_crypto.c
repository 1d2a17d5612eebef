// links: common protobuf-c sodium
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <sodium/crypto_pwhash.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "crypto.h"

static char dir[64];

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/test_crypto.XXXXXX");
    return crypto_init() == ERR_OK && mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(dir); // fails where a test has left something behind, a temporary for instance
}

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void put_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void hex(char *out, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sprintf(out + 2 * i, "%02x", p[i]);
}

// RFC 4231, test cases 2, 6 (a key longer than a block) and 7, each split in two at every place.
static void hmacs(void **state)
{
    static const char long_data[] = "Test Using Larger Than Block-Size Key - Hash Key First",
                      longer[] = "This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed "
                                 "before being used by the HMAC algorithm.";
    uint8_t long_key[131], mac[HMAC_SIZE];
    char text[2 * HMAC_SIZE + 1];
    memset(long_key, 0xaa, sizeof long_key);
    const struct { const void *key; size_t key_n; const char *data, *want; } cases[] = {
        { "Jefe", 4, "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
        { long_key, sizeof long_key, long_data, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" },
        { long_key, sizeof long_key, longer, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t n = strlen(cases[i].data), at = 0; at <= n; at++) {
            crypto_hmac(mac, cases[i].key, cases[i].key_n, cases[i].data, at, cases[i].data + at, n - at);
            hex(text, mac, sizeof mac);
            assert_string_equal(text, cases[i].want);
        }
    crypto_hmac(mac, "", 0, NULL, 0, NULL, 0);
    hex(text, mac, sizeof mac);
    assert_string_equal(text, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
    assert_true(crypto_same("abc", "abc", 3) && !crypto_same("abc", "abd", 3));
}

static void webhook_secrets(void **state)
{
    char a[API_KEY_MAX], b[API_KEY_MAX];
    (void)state;
    crypto_webhook_secret(a);
    crypto_webhook_secret(b);
    assert_int_equal(strlen(a), 48);
    assert_memory_equal(a, "mc_w_", 5);
    assert_string_not_equal(a, b);
    assert_false(crypto_api_key_form(a, strlen(a))); // never taken for a credential
}

static void hashes(void **state)
{
    uint8_t a[HASH_SIZE], b[HASH_SIZE];
    char text[2 * HASH_SIZE + 1];
    (void)state;

    crypto_hash(a, "abc", 3); // as `b2sum -l 256` gives it
    hex(text, a, sizeof a);
    assert_string_equal(text, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
    crypto_hash(a, "", 0);
    hex(text, a, sizeof a);
    assert_string_equal(text, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    crypto_hash2(a, "mission", 7, " control", 8);
    crypto_hash(b, "mission control", 15);
    assert_memory_equal(a, b, sizeof a);
}

static void session_tokens(void **state)
{
    char a[API_KEY_MAX], b[API_KEY_MAX];
    (void)state;
    crypto_session_token(a);
    crypto_session_token(b);
    assert_string_not_equal(a, b);
    assert_int_equal(strncmp(a, "mc_s_", 5), 0);
    assert_true(crypto_session_token_form(a, strlen(a)));
    assert_false(crypto_api_key_form(a, strlen(a))); // the one is never taken for the other
    crypto_api_key(b);
    assert_false(crypto_session_token_form(b, strlen(b)));
    assert_false(crypto_session_token_form(a, strlen(a) - 1));
}

// A string that an earlier version, with weaker parameters, may have stored: right, and to be made anew.
static void passwords(void **state)
{
    char hash[PASSWORD_HASH_SIZE], again[PASSWORD_HASH_SIZE];
    (void)state;
    assert_int_equal(crypto_password_hash("violet kettle 42", hash), ERR_OK);
    assert_int_equal(crypto_password_hash("violet kettle 42", again), ERR_OK);
    assert_string_not_equal(hash, again); // salted
    assert_true(crypto_password_verify(hash, "violet kettle 42"));
    assert_false(crypto_password_verify(hash, "violet kettle 4"));
    assert_false(crypto_password_verify(hash, ""));
    assert_false(crypto_password_verify("", "violet kettle 42"));
    assert_false(crypto_password_stale(hash));
    assert_int_equal(crypto_pwhash_str(again, "violet kettle 42", 16, crypto_pwhash_OPSLIMIT_MIN, crypto_pwhash_MEMLIMIT_MIN), 0);
    assert_true(crypto_password_verify(again, "violet kettle 42"));
    assert_true(crypto_password_stale(again));
}

static void api_keys(void **state)
{
    char a[API_KEY_MAX], b[API_KEY_MAX];
    (void)state;

    crypto_api_key(a);
    crypto_api_key(b);
    assert_int_equal(strlen(a), 48);
    assert_string_not_equal(a, b);
    assert_true(crypto_api_key_form(a, strlen(a)));
    assert_false(crypto_api_key_form(a, 47));
    assert_false(crypto_api_key_form("", 0));
    a[20] = '+';
    assert_false(crypto_api_key_form(a, 48));
    b[0] = 'M';
    assert_false(crypto_api_key_form(b, 48));
}

static void peer_names(void **state)
{
    char name[PEER_NAME_MAX + 2];
    static const char *const good[] = { "a", "Z9", "worker-1", "a.b_c-d", "0" };
    static const char *const bad[] = { "", "-a", ".", "_x", "a b", "a/b", "a\n", "\xc3\xa9", "a\x7f" };
    (void)state;

    for (unsigned i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(peer_name_ok(good[i]));
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(peer_name_ok(bad[i]));
    memset(name, 'a', sizeof name);
    name[PEER_NAME_MAX] = 0;
    assert_true(peer_name_ok(name));
    name[PEER_NAME_MAX] = 'a';
    name[PEER_NAME_MAX + 1] = 0;
    assert_false(peer_name_ok(name));
}

static void signatures(void **state)
{
    struct peer_key k, other;
    uint8_t nonce[32], sig[PEER_SIGNATURE_SIZE], long_nonce[1024] = { 0 };
    (void)state;

    peer_key_make(&k, 2, "worker-1");
    peer_key_make(&other, 2, "worker-1");
    crypto_random(nonce, sizeof nonce);
    peer_sign(&k, nonce, sizeof nonce, sig);
    assert_true(peer_verify(k.public, 2, "worker-1", nonce, sizeof nonce, sig, sizeof sig));
    assert_false(peer_verify(k.public, 1, "worker-1", nonce, sizeof nonce, sig, sizeof sig));
    assert_false(peer_verify(k.public, 2, "worker-2", nonce, sizeof nonce, sig, sizeof sig));
    assert_false(peer_verify(k.public, 2, "", nonce, sizeof nonce, sig, sizeof sig));
    assert_false(peer_verify(k.public, 2, "worker-1", nonce, sizeof nonce - 1, sig, sizeof sig));
    assert_false(peer_verify(k.public, 2, "worker-1", nonce, sizeof nonce, sig, sizeof sig - 1));
    assert_false(peer_verify(other.public, 2, "worker-1", nonce, sizeof nonce, sig, sizeof sig));
    for (size_t i = 0; i < sizeof sig; i++) {
        sig[i] ^= 1;
        assert_false(peer_verify(k.public, 2, "worker-1", nonce, sizeof nonce, sig, sizeof sig));
        sig[i] ^= 1;
    }
    nonce[0] ^= 1;
    assert_false(peer_verify(k.public, 2, "worker-1", nonce, sizeof nonce, sig, sizeof sig));
    peer_sign(&k, long_nonce, sizeof long_nonce, sig); // does not fit: proves nothing
    assert_false(peer_verify(k.public, 2, "worker-1", long_nonce, sizeof long_nonce, sig, sizeof sig));
    assert_false(peer_verify(k.public, 2, "worker-1", nonce, sizeof nonce, sig, sizeof sig));
}

// What one role or name signs can never be read as another's: the parts are kept apart.
static void signature_parts_do_not_run_together(void **state)
{
    struct peer_key k;
    uint8_t nonce[33], sig[PEER_SIGNATURE_SIZE];
    (void)state;

    memset(nonce, 'x', sizeof nonce);
    peer_key_make(&k, 2, "ab");
    peer_sign(&k, nonce, 32, sig);
    assert_false(peer_verify(k.public, 2, "a", nonce, 33, sig, sizeof sig));
    assert_false(peer_verify(k.public, 2, "abx", nonce, 31, sig, sizeof sig));
}

static void key_files(void **state)
{
    struct peer_key k, r;
    struct stat st;
    char path[128], link_path[128];
    (void)state;

    snprintf(path, sizeof path, "%s", path_of("w.key"));
    peer_key_make(&k, 1, "gateway.a");
    assert_int_equal(peer_key_read(&r, path), ERR_NOT_FOUND);
    assert_int_equal(peer_key_write(&k, path), ERR_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_nlink, 1);
    assert_int_equal(peer_key_read(&r, path), ERR_OK);
    assert_int_equal(r.role, 1);
    assert_string_equal(r.name, "gateway.a");
    assert_memory_equal(r.public, k.public, sizeof k.public);
    assert_memory_equal(r.secret, k.secret, sizeof k.secret);
    assert_int_equal(peer_key_write(&k, path), ERR_BAD_STATE);
    // neither replaced nor followed: a link, even one that leads nowhere
    snprintf(link_path, sizeof link_path, "%s", path_of("link"));
    assert_int_equal(symlink("nowhere", link_path), 0);
    assert_int_equal(peer_key_write(&k, link_path), ERR_BAD_STATE);
    assert_int_equal(access(path_of("nowhere"), F_OK), -1);
    assert_int_equal(unlink(link_path), 0);
    assert_int_equal(unlink(path), 0);
    k.role = 3;
    assert_int_equal(peer_key_write(&k, path), ERR_BAD_REQUEST);
    k.role = 1;
    k.name[0] = '/';
    assert_int_equal(peer_key_write(&k, path), ERR_BAD_REQUEST);
    assert_int_equal(access(path, F_OK), -1);
}

static void broken_key_files(void **state)
{
    static const char good[] = "mc-peer worker w1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    static const char *const bad[] = {
        "", "\n", "mc-peer", "mc-peer worker w1", "mc-peer worker w1 ",
        "mc-peer worker w1 AAAA\n",
        "mc-peer boss w1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "mc-peer worker w/1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "mc-peer  worker w1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "mc-peer worker w1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%=\n",
        "mc-peer worker w1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= more\n",
        "mc-peer worker w1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n",
        "MC-peer worker w1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
    };
    struct peer_key r;
    char path[128], big[1000];
    (void)state;

    snprintf(path, sizeof path, "%s", path_of("k"));
    put_file(path, good); // without the newline too
    assert_int_equal(peer_key_read(&r, path), ERR_OK);
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        put_file(path, bad[i]);
        assert_int_equal(peer_key_read(&r, path), ERR_BAD_REQUEST);
    }
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    put_file(path, big);
    assert_int_equal(peer_key_read(&r, path), ERR_BAD_REQUEST);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(peer_key_read(&r, dir), ERR_BAD_REQUEST);
}

static void seals(void **state)
{
    uint8_t key[SEAL_KEY_SIZE], box[100 + SEAL_OVERHEAD], again[100 + SEAL_OVERHEAD], out[100], plain[100];
    (void)state;

    crypto_random(key, sizeof key);
    crypto_random(plain, sizeof plain);
    crypto_seal(key, plain, sizeof plain, box);
    crypto_seal(key, plain, sizeof plain, again);
    assert_memory_not_equal(box, again, sizeof box); // a nonce of its own each time
    assert_int_equal(crypto_open(key, box, sizeof box, out), ERR_OK);
    assert_memory_equal(out, plain, sizeof plain);
    for (size_t i = 0; i < sizeof box; i++) {
        box[i] ^= 0x80;
        assert_int_equal(crypto_open(key, box, sizeof box, out), ERR_CORRUPT);
        box[i] ^= 0x80;
    }
    for (size_t n = 0; n < sizeof box; n++)
        assert_int_equal(crypto_open(key, box, n, out), ERR_CORRUPT);
    key[0] ^= 1;
    assert_int_equal(crypto_open(key, box, sizeof box, out), ERR_CORRUPT);
    key[0] ^= 1;
    crypto_seal(key, plain, 0, box);
    assert_int_equal(crypto_open(key, box, SEAL_OVERHEAD, out), ERR_OK);
}

static void secrets(void **state)
{
    char path[128], text[64];
    size_t n = 99;
    (void)state;

    snprintf(path, sizeof path, "%s", path_of("secret"));
    assert_int_equal(secret_read(path, text, sizeof text, &n), ERR_NOT_FOUND);
    assert_int_equal(n, 99);
    assert_int_equal(secret_write(path, "hush\n", 5), ERR_OK);
    assert_int_equal(secret_write(path, "other", 5), ERR_BAD_STATE);
    assert_int_equal(secret_read(path, text, sizeof text, &n), ERR_OK);
    assert_int_equal(n, 5);
    assert_memory_equal(text, "hush\n", 5);
    assert_int_equal(secret_read(path, text, 5, &n), ERR_OK);
    assert_int_equal(secret_read(path, text, 4, &n), ERR_TOO_BIG);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(secret_write(path_of("no/such/place"), "x", 1), ERR_NOT_FOUND);
    assert_int_equal(secret_write("", "x", 1), ERR_IO);
}

// A name without a directory is one in the working directory.
static void secret_beside(void **state)
{
    char was[4096], text[8];
    size_t n;
    (void)state;

    assert_non_null(getcwd(was, sizeof was));
    assert_int_equal(chdir(dir), 0);
    assert_int_equal(secret_write("plain", "x", 1), ERR_OK);
    assert_int_equal(secret_read("plain", text, sizeof text, &n), ERR_OK);
    assert_int_equal(n, 1);
    assert_int_equal(unlink("plain"), 0);
    assert_int_equal(chdir(was), 0);
}

static void wipes(void **state)
{
    char secret[16] = "secret";
    (void)state;
    crypto_wipe(secret, sizeof secret);
    for (unsigned i = 0; i < sizeof secret; i++)
        assert_int_equal(secret[i], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes), cmocka_unit_test(hmacs), cmocka_unit_test(webhook_secrets),        cmocka_unit_test(session_tokens), cmocka_unit_test(passwords), cmocka_unit_test(api_keys),         cmocka_unit_test(peer_names),
        cmocka_unit_test(signatures),    cmocka_unit_test(signature_parts_do_not_run_together),
        cmocka_unit_test(key_files),     cmocka_unit_test(broken_key_files), cmocka_unit_test(seals),
        cmocka_unit_test(secrets),       cmocka_unit_test(secret_beside),    cmocka_unit_test(wipes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
