// Two memory BIOs a connection: the caller puts ciphertext in and takes ciphertext out; OpenSSL never sees the socket.
#include "tls.h"
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>

struct tls {
    SSL_CTX *ctx;
};

struct tls_conn {
    SSL *ssl;
    BIO *in, *out; // owned by ssl
};

static enum err refuse(char why[256], const char *what, const char *file)
{
    const char *reason = ERR_reason_error_string(ERR_get_error());

    snprintf(why, 256, "%s %s: %s", what, file, reason ? reason : "unusable");
    ERR_clear_error();
    return ERR_BAD_REQUEST;
}

// Of the client's protocols only http/1.1 is taken; a client that offers none of ours goes on without.
static int alpn_cb(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in, unsigned in_n, void *u)
{
    static const unsigned char ours[] = { 8, 'h', 't', 't', 'p', '/', '1', '.', '1' };
    unsigned char *found;

    (void)ssl, (void)u;
    if (SSL_select_next_proto(&found, out_n, ours, sizeof ours, in, in_n) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = found;
    return SSL_TLSEXT_ERR_OK;
}

enum err tls_new(const char *cert, const char *key, struct tls **ret, char why[256])
{
    struct tls *t = calloc(1, sizeof *t);
    enum err e = ERR_NO_MEMORY;

    snprintf(why, 256, "out of memory");
    if (!t || !(t->ctx = SSL_CTX_new(TLS_server_method())))
        goto fail;
    SSL_CTX_set_options(t->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(t->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_OFF); // tickets only: nothing is kept for those who went
    SSL_CTX_set_alpn_select_cb(t->ctx, alpn_cb, NULL);
    if (!SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION)) {
        e = refuse(why, "TLS 1.2", "");
    } else if (SSL_CTX_use_certificate_chain_file(t->ctx, cert) != 1) {
        e = refuse(why, "certificate", cert);
    } else if (SSL_CTX_use_PrivateKey_file(t->ctx, key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(t->ctx) != 1) {
        e = refuse(why, "key", key);
    } else {
        *ret = t;
        return ERR_OK;
    }
fail:
    tls_free(t);
    return e;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->ctx);
    free(t);
}

enum err tls_conn_new(struct tls *t, struct tls_conn **ret)
{
    struct tls_conn *c = calloc(1, sizeof *c);

    if (!c)
        return ERR_NO_MEMORY;
    c->ssl = SSL_new(t->ctx);
    c->in = BIO_new(BIO_s_mem());
    c->out = BIO_new(BIO_s_mem());
    if (!c->ssl || !c->in || !c->out) {
        BIO_free(c->in);
        BIO_free(c->out);
        SSL_free(c->ssl);
        free(c);
        return ERR_NO_MEMORY;
    }
    BIO_set_mem_eof_return(c->in, -1); // empty means "later", not the end
    SSL_set_bio(c->ssl, c->in, c->out);
    SSL_set_accept_state(c->ssl);
    *ret = c;
    return ERR_OK;
}

void tls_conn_free(struct tls_conn *c)
{
    if (!c)
        return;
    SSL_free(c->ssl);
    free(c);
}

enum err tls_feed(struct tls_conn *c, const void *p, size_t n)
{
    size_t written;

    return BIO_write_ex(c->in, p, n, &written) == 1 && written == n ? ERR_OK : ERR_NO_MEMORY;
}

static enum err outcome(struct tls_conn *c, int r)
{
    int e = SSL_get_error(c->ssl, r);

    ERR_clear_error();
    if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE)
        return ERR_AGAIN;
    return e == SSL_ERROR_ZERO_RETURN ? ERR_CLOSED : ERR_BAD_REQUEST;
}

enum err tls_read(struct tls_conn *c, void *p, size_t max, size_t *ret_n)
{
    int r;

    ERR_clear_error();
    r = SSL_read_ex(c->ssl, p, max, ret_n);
    return r == 1 ? ERR_OK : outcome(c, r);
}

enum err tls_write(struct tls_conn *c, const void *p, size_t n)
{
    const char *from = p;

    while (n > 0) {
        size_t written = 0;
        int r;

        ERR_clear_error();
        r = SSL_write_ex(c->ssl, from, n, &written);
        if (r != 1)
            return outcome(c, r);
        from += written;
        n -= written;
    }
    return ERR_OK;
}

void tls_bye(struct tls_conn *c)
{
    ERR_clear_error();
    if (SSL_is_init_finished(c->ssl))
        (void)SSL_shutdown(c->ssl); // the answer is not waited for
    ERR_clear_error();
}

size_t tls_pull(struct tls_conn *c, void *p, size_t max)
{
    size_t n = 0;

    return BIO_read_ex(c->out, p, max, &n) == 1 ? n : 0;
}
