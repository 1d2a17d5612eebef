// libsodium's home: random octets, hashes, signatures, sealed secrets. crypto_init() first.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "err.h"

enum { HASH_SIZE = 32, SEAL_KEY_SIZE = 32, SEAL_OVERHEAD = 40, PEER_PUBLIC_SIZE = 32, PEER_SECRET_SIZE = 64,
       PEER_SIGNATURE_SIZE = 64, HMAC_SIZE = 32, PEER_NAME_MAX = 64, API_KEY_MAX = 64 };

MUST_USE enum err crypto_init(void);
void crypto_random(void *out, size_t n);
void crypto_wipe(void *p, size_t n);

// BLAKE2b-256. crypto_hash2 hashes a then b (the log's chain). Both are pure.
void crypto_hash(uint8_t out[HASH_SIZE], const void *p, size_t n);
void crypto_hash2(uint8_t out[HASH_SIZE], const void *a, size_t na, const void *b, size_t nb);

// HMAC-SHA256 over a, then b; the key may have any length.
void crypto_hmac(uint8_t out[HMAC_SIZE], const void *key, size_t key_n, const void *a, size_t na, const void *b, size_t nb);
// In constant time.
bool crypto_same(const void *a, const void *b, size_t n);

// "mc_k_" and 43 base64url characters of 256 random bits, NUL-terminated.
void crypto_api_key(char out[API_KEY_MAX]);
// A webhook's secret: "mc_w_" and 43 such characters.
void crypto_webhook_secret(char out[API_KEY_MAX]);
// Looks like an API key: its form only.
bool crypto_api_key_form(const char *text, size_t n);
// The same of a signed-in session: "mc_s_".
void crypto_session_token(char out[API_KEY_MAX]);
bool crypto_session_token_form(const char *text, size_t n);

// Passwords: argon2id, 64 MiB and about a tenth of a second each, so never on a loop's thread. Pure but for the salt.
enum { PASSWORD_HASH_SIZE = 128 };
MUST_USE enum err crypto_password_hash(const char *password, char out[PASSWORD_HASH_SIZE]); // ERR_NO_MEMORY
bool crypto_password_verify(const char *hash, const char *password);
bool crypto_password_stale(const char *hash); // made with weaker parameters than today's

// A peer's key file: one line "mc-peer ROLE NAME BASE64-SEED", ROLE gateway or worker, mode 0600. The name follows
// [A-Za-z0-9][A-Za-z0-9_.-]{0,63}.
struct peer_key {
    unsigned role; // 1 gateway, 2 worker
    char name[PEER_NAME_MAX + 1];
    uint8_t public[PEER_PUBLIC_SIZE], secret[PEER_SECRET_SIZE];
};
bool peer_name_ok(const char *name);
void peer_key_make(struct peer_key *ret, unsigned role, const char *name);
// Writes the file whole and synced (a temporary beside it, then a link that never replaces or follows anything).
// ERR_BAD_STATE when there is one already.
MUST_USE enum err peer_key_write(const struct peer_key *k, const char *path);
MUST_USE enum err peer_key_read(struct peer_key *ret, const char *path); // ERR_NOT_FOUND, ERR_BAD_REQUEST (not such a file)
// What such a file holds, with its newline: for a key that is shown once instead of written. Wipe it after use.
enum { PEER_KEY_TEXT_MAX = 160 };
void peer_key_text(const struct peer_key *k, char out[PEER_KEY_TEXT_MAX]);
// The proof of the greeting (wire.proto, HelloProof).
void peer_sign(const struct peer_key *k, const uint8_t *nonce, size_t n, uint8_t out[PEER_SIGNATURE_SIZE]);
bool peer_verify(const uint8_t public[PEER_PUBLIC_SIZE], unsigned role, const char *name, const uint8_t *nonce, size_t n,
                 const uint8_t *signature, size_t signature_n);

// Sealed secrets (XSalsa20-Poly1305, random nonce in front). out has n + SEAL_OVERHEAD octets; open gives n - SEAL_OVERHEAD.
void crypto_seal(const uint8_t key[SEAL_KEY_SIZE], const void *p, size_t n, uint8_t *out);
MUST_USE enum err crypto_open(const uint8_t key[SEAL_KEY_SIZE], const uint8_t *p, size_t n, void *out);

// A file of one line (or of exactly `n` octets for _secret) that only we may read, written whole, synced, never replacing or
// following what is there: ERR_BAD_STATE then. Reads give ERR_NOT_FOUND where there is none.
MUST_USE enum err secret_write(const char *path, const void *p, size_t n);
MUST_USE enum err secret_read(const char *path, void *p, size_t max, size_t *ret_n);
