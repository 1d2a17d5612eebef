// OpenSSL's home: TLS 1.2 and 1.3 for the listener, by memory BIOs: octets in, octets out, no socket.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "err.h"

struct tls;
struct tls_conn;

// Certificate chain and key, PEM files. ERR_BAD_REQUEST when they cannot be used; why: a line for people.
MUST_USE enum err tls_new(const char *cert, const char *key, struct tls **ret, char why[256]);
void tls_free(struct tls *t);

MUST_USE enum err tls_conn_new(struct tls *t, struct tls_conn **ret);
void tls_conn_free(struct tls_conn *c);

// What came from the socket; copied.
MUST_USE enum err tls_feed(struct tls_conn *c, const void *p, size_t n);
// Plain octets: ERR_OK and *ret_n > 0; ERR_AGAIN: more must be fed first; ERR_CLOSED: the peer said good-bye;
// ERR_BAD_REQUEST: this is no TLS that we speak. There may be something to send after each call (tls_pull).
MUST_USE enum err tls_read(struct tls_conn *c, void *p, size_t max, size_t *ret_n);
// Encrypts all n octets (give pieces of 16 KiB or less). ERR_AGAIN before the handshake has ended.
MUST_USE enum err tls_write(struct tls_conn *c, const void *p, size_t n);
// Our good-bye, to be pulled and sent.
void tls_bye(struct tls_conn *c);
// Takes up to max octets that must go to the socket; 0: none.
size_t tls_pull(struct tls_conn *c, void *p, size_t max);
