// libsodium's home, and the files that hold secrets. Happy path of a write: a temporary of its own name beside the final
// one, whole and synced, then link() - which never replaces or follows anything - then the directory synced.
#include "crypto.h"
#include <errno.h>
#include <fcntl.h>
#include <sodium/core.h>
#include <sodium/crypto_generichash.h>
#include <sodium/crypto_auth_hmacsha256.h>
#include <sodium/crypto_pwhash.h>
#include <sodium/crypto_secretbox.h>
#include <sodium/crypto_sign.h>
#include <sodium/randombytes.h>
#include <sodium/utils.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
// Not <sodium.h>: its crypto_hash() is another one than ours (nothing inside libsodium calls that one).

enum { KEY_RANDOM = 32, KEY_CHARS = 43, SEED_CHARS = 44, PATH_SIZE = 4096, KEY_LINE_MAX = 256 };

_Static_assert(HASH_SIZE == crypto_generichash_BYTES, "BLAKE2b-256");
_Static_assert(HMAC_SIZE == crypto_auth_hmacsha256_BYTES, "HMAC-SHA256");
_Static_assert(SEAL_KEY_SIZE == crypto_secretbox_KEYBYTES, "secretbox key");
_Static_assert(SEAL_OVERHEAD == crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES, "secretbox overhead");
_Static_assert(PEER_PUBLIC_SIZE == crypto_sign_PUBLICKEYBYTES && PEER_SECRET_SIZE == crypto_sign_SECRETKEYBYTES &&
                   PEER_SIGNATURE_SIZE == crypto_sign_BYTES, "Ed25519");

enum { PREFIX_CHARS = 5 };
static const char key_prefix[] = "mc_k_", session_prefix[] = "mc_s_";
static const char *const role_names[] = { NULL, "gateway", "worker" };

enum err crypto_init(void)
{
    return sodium_init() < 0 ? ERR_INTERNAL : ERR_OK;
}

void crypto_random(void *out, size_t n)
{
    randombytes_buf(out, n);
}

void crypto_wipe(void *p, size_t n)
{
    sodium_memzero(p, n);
}

void crypto_hash(uint8_t out[HASH_SIZE], const void *p, size_t n)
{
    crypto_hash2(out, p, n, "", 0);
}

void crypto_hash2(uint8_t out[HASH_SIZE], const void *a, size_t na, const void *b, size_t nb)
{
    crypto_generichash_state s;

    // These fail on sizes that are not BLAKE2b's only; ours are constants.
    (void)crypto_generichash_init(&s, NULL, 0, HASH_SIZE);
    (void)crypto_generichash_update(&s, a, na);
    (void)crypto_generichash_update(&s, b, nb);
    (void)crypto_generichash_final(&s, out, HASH_SIZE);
}

void crypto_hmac(uint8_t out[HMAC_SIZE], const void *key, size_t key_n, const void *a, size_t na, const void *b, size_t nb)
{
    crypto_auth_hmacsha256_state s;

    (void)crypto_auth_hmacsha256_init(&s, key, key_n); // these three cannot fail
    (void)crypto_auth_hmacsha256_update(&s, a, na);
    (void)crypto_auth_hmacsha256_update(&s, b, nb);
    (void)crypto_auth_hmacsha256_final(&s, out);
    sodium_memzero(&s, sizeof s);
}

bool crypto_same(const void *a, const void *b, size_t n)
{
    return sodium_memcmp(a, b, n) == 0;
}

static void random_text(char out[API_KEY_MAX], const char *prefix)
{
    uint8_t r[KEY_RANDOM];

    randombytes_buf(r, sizeof r);
    memcpy(out, prefix, PREFIX_CHARS);
    sodium_bin2base64(out + PREFIX_CHARS, KEY_CHARS + 1, r, sizeof r, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(r, sizeof r);
}

void crypto_api_key(char out[API_KEY_MAX])
{
    random_text(out, key_prefix);
}

void crypto_session_token(char out[API_KEY_MAX])
{
    random_text(out, session_prefix);
}

void crypto_webhook_secret(char out[API_KEY_MAX])
{
    random_text(out, "mc_w_");
}

static bool word_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool random_text_form(const char *text, size_t n, const char *prefix)
{
    if (n != PREFIX_CHARS + KEY_CHARS || memcmp(text, prefix, PREFIX_CHARS) != 0)
        return false;
    for (size_t i = PREFIX_CHARS; i < n; i++)
        if (!word_char(text[i]) && text[i] != '-' && text[i] != '_')
            return false;
    return true;
}

bool crypto_api_key_form(const char *text, size_t n)
{
    return random_text_form(text, n, key_prefix);
}

bool crypto_session_token_form(const char *text, size_t n)
{
    return random_text_form(text, n, session_prefix);
}

// ---- passwords

_Static_assert(PASSWORD_HASH_SIZE == crypto_pwhash_STRBYTES, "the string of a password");

enum err crypto_password_hash(const char *password, char out[PASSWORD_HASH_SIZE])
{
    memset(out, 0, PASSWORD_HASH_SIZE);
    return crypto_pwhash_str_alg(out, password, strlen(password), crypto_pwhash_OPSLIMIT_INTERACTIVE,
                                 crypto_pwhash_MEMLIMIT_INTERACTIVE, crypto_pwhash_ALG_ARGON2ID13) == 0 ? ERR_OK : ERR_NO_MEMORY;
}

bool crypto_password_verify(const char *hash, const char *password)
{
    return crypto_pwhash_str_verify(hash, password, strlen(password)) == 0;
}

bool crypto_password_stale(const char *hash)
{
    return crypto_pwhash_str_needs_rehash(hash, crypto_pwhash_OPSLIMIT_INTERACTIVE, crypto_pwhash_MEMLIMIT_INTERACTIVE) != 0;
}

// ---- peers

bool peer_name_ok(const char *name)
{
    size_t n = strnlen(name, PEER_NAME_MAX + 1);

    if (n == 0 || n > PEER_NAME_MAX || !word_char(name[0]))
        return false;
    for (size_t i = 1; i < n; i++)
        if (!word_char(name[i]) && name[i] != '_' && name[i] != '.' && name[i] != '-')
            return false;
    return true;
}

void peer_key_make(struct peer_key *ret, unsigned role, const char *name)
{
    *ret = (struct peer_key){ .role = role };
    snprintf(ret->name, sizeof ret->name, "%s", name);
    (void)crypto_sign_keypair(ret->public, ret->secret);
}

// What is signed: "mc-hello-1" 0 role 0 name 0 nonce. Returns its length, 0 when it does not fit.
static size_t hello_text(uint8_t *out, size_t size, unsigned role, const char *name, const uint8_t *nonce, size_t n)
{
    int at = snprintf((char *)out, size, "mc-hello-1%c%u%c%s", 0, role, 0, name);
    if (at < 0 || (size_t)at >= size || n > size - (size_t)at - 1)
        return 0;
    memcpy(out + at + 1, nonce, n);
    return (size_t)at + 1 + n;
}

void peer_sign(const struct peer_key *k, const uint8_t *nonce, size_t n, uint8_t out[PEER_SIGNATURE_SIZE])
{
    uint8_t text[512];
    size_t len = hello_text(text, sizeof text, k->role, k->name, nonce, n);

    memset(out, 0, PEER_SIGNATURE_SIZE); // a nonce that does not fit gets a signature that proves nothing
    if (len)
        (void)crypto_sign_detached(out, NULL, text, len, k->secret);
}

bool peer_verify(const uint8_t public[PEER_PUBLIC_SIZE], unsigned role, const char *name, const uint8_t *nonce, size_t n,
                 const uint8_t *signature, size_t signature_n)
{
    uint8_t text[512];
    size_t len = signature_n == PEER_SIGNATURE_SIZE && peer_name_ok(name) ? hello_text(text, sizeof text, role, name, nonce, n) : 0;

    return len && crypto_sign_verify_detached(signature, text, len, public) == 0;
}

// ---- sealing

void crypto_seal(const uint8_t key[SEAL_KEY_SIZE], const void *p, size_t n, uint8_t *out)
{
    randombytes_buf(out, crypto_secretbox_NONCEBYTES);
    (void)crypto_secretbox_easy(out + crypto_secretbox_NONCEBYTES, p, n, out, key);
}

enum err crypto_open(const uint8_t key[SEAL_KEY_SIZE], const uint8_t *p, size_t n, void *out)
{
    if (n < SEAL_OVERHEAD)
        return ERR_CORRUPT;
    const uint8_t *box = p + crypto_secretbox_NONCEBYTES;
    return crypto_secretbox_open_easy(out, box, n - crypto_secretbox_NONCEBYTES, p, key) == 0 ? ERR_OK : ERR_CORRUPT;
}

// ---- files

static enum err write_all(int fd, const void *data, size_t n)
{
    const char *p = data;

    while (n) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return errno == ENOSPC || errno == EDQUOT ? ERR_STORAGE_FULL : ERR_IO;
        p += w;
        n -= (size_t)w;
    }
    return ERR_OK;
}

// Synced whole into a new file at path, mode 0600.
static enum err write_new(const char *path, const void *p, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == ENOSPC || errno == EDQUOT ? ERR_STORAGE_FULL : errno == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    enum err e = write_all(fd, p, n);
    if (!e && fchmod(fd, 0600) < 0)
        e = ERR_IO;
    if (!e && fsync(fd) < 0)
        e = ERR_IO;
    if (close(fd) < 0 && !e)
        e = ERR_IO;
    if (e)
        (void)unlink(path);
    return e;
}

static enum err sync_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return ERR_IO;
    enum err e = fsync(fd) < 0 ? ERR_IO : ERR_OK;
    (void)close(fd);
    return e;
}

enum err secret_write(const char *path, const void *p, size_t n)
{
    char dir[PATH_SIZE], temporary[PATH_SIZE];
    const char *slash = strrchr(path, '/');
    int dir_n = slash == path ? 1 : slash ? (int)(slash - path) : 1;
    uint64_t r;

    if (strlen(path) > PATH_SIZE - 64)
        return ERR_TOO_BIG;
    snprintf(dir, sizeof dir, "%.*s", dir_n, slash ? path : ".");
    randombytes_buf(&r, sizeof r);
    snprintf(temporary, sizeof temporary, "%.*s/.new-%016llx", dir_n, dir, (unsigned long long)r);
    enum err e = write_new(temporary, p, n);
    if (e)
        return e;
    if (link(temporary, path) < 0)
        e = errno == EEXIST ? ERR_BAD_STATE : errno == ENOSPC || errno == EDQUOT ? ERR_STORAGE_FULL : ERR_IO;
    if (unlink(temporary) < 0 && !e)
        e = ERR_IO;
    if (!e)
        e = sync_dir(dir);
    return e;
}

enum err secret_read(const char *path, void *p, size_t max, size_t *ret_n)
{
    struct stat st;
    size_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); // not to hang where someone put a pipe
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : errno == EACCES || errno == EPERM ? ERR_FORBIDDEN : ERR_IO;
    enum err e = fstat(fd, &st) < 0 ? ERR_IO : S_ISREG(st.st_mode) ? ERR_OK : ERR_BAD_REQUEST;
    while (!e) {
        char more;
        ssize_t r = n < max ? read(fd, (char *)p + n, max - n) : read(fd, &more, 1);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            e = ERR_IO;
        if (r <= 0)
            break;
        if (n >= max)
            e = ERR_TOO_BIG;
        else
            n += (size_t)r;
    }
    (void)close(fd);
    if (!e)
        *ret_n = n;
    return e;
}

void peer_key_text(const struct peer_key *k, char out[PEER_KEY_TEXT_MAX])
{
    char seed_text[SEED_CHARS + 1];
    uint8_t seed[crypto_sign_SEEDBYTES];

    (void)crypto_sign_ed25519_sk_to_seed(seed, k->secret);
    sodium_bin2base64(seed_text, sizeof seed_text, seed, sizeof seed, sodium_base64_VARIANT_ORIGINAL);
    snprintf(out, PEER_KEY_TEXT_MAX, "mc-peer %s %s %s\n", role_names[k->role], k->name, seed_text);
    sodium_memzero(seed, sizeof seed);
    sodium_memzero(seed_text, sizeof seed_text);
}

enum err peer_key_write(const struct peer_key *k, const char *path)
{
    char line[PEER_KEY_TEXT_MAX];

    if (k->role < 1 || k->role > 2 || !peer_name_ok(k->name))
        return ERR_BAD_REQUEST;
    peer_key_text(k, line);
    enum err e = secret_write(path, line, strlen(line));
    sodium_memzero(line, sizeof line);
    return e;
}

// Takes the next word of *at, which ends at a single blank or at the end of the text.
static char *word(char **at)
{
    char *w = *at;
    if (!w)
        return NULL;
    char *end = strchr(w, ' ');
    if (end)
        *end++ = 0;
    *at = end;
    return w;
}

static enum err parse_key(char *line, struct peer_key *ret)
{
    char *at = line, *magic = word(&at), *role = word(&at), *name = word(&at), *seed_text = word(&at);
    uint8_t seed[crypto_sign_SEEDBYTES];
    size_t n = 0;

    if (!seed_text || at || strcmp(magic, "mc-peer") != 0 || !peer_name_ok(name) || strlen(seed_text) != SEED_CHARS)
        return ERR_BAD_REQUEST;
    struct peer_key k = { .role = strcmp(role, "gateway") == 0 ? 1 : strcmp(role, "worker") == 0 ? 2 : 0 };
    if (!k.role || sodium_base642bin(seed, sizeof seed, seed_text, SEED_CHARS, NULL, &n, NULL,
                                     sodium_base64_VARIANT_ORIGINAL) != 0 || n != sizeof seed)
        return ERR_BAD_REQUEST;
    snprintf(k.name, sizeof k.name, "%s", name);
    (void)crypto_sign_seed_keypair(k.public, k.secret, seed);
    *ret = k;
    sodium_memzero(&k, sizeof k);
    sodium_memzero(seed, sizeof seed);
    return ERR_OK;
}

enum err peer_key_read(struct peer_key *ret, const char *path)
{
    char line[KEY_LINE_MAX];
    size_t n;
    enum err e = secret_read(path, line, sizeof line - 1, &n);
    if (e)
        return e == ERR_TOO_BIG ? ERR_BAD_REQUEST : e;
    if (n && line[n - 1] == '\n')
        n--;
    line[n] = 0;
    e = strlen(line) == n ? parse_key(line, ret) : ERR_BAD_REQUEST;
    sodium_memzero(line, sizeof line);
    return e;
}
