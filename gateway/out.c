// Octets out. Happy path: out_put -> sendmsg takes it all. Off it: the rest waits in c->out; one uv_write at a time (struct
// flight) takes what waits; when nothing does any more, flushed() tells the stream's handler or lets the connection go on. An
// error is noted (`broken`) and dealt with by conn_ready(), never on the stack of who writes.
#include "out.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    STALL_MS = 30000,      // without progress while octets wait
    PIECE_MAX = 1024,      // of a stream's octets that we queue to be told when the socket takes more
    TLS_PIECE = 16 * 1024, // one record
    IOV_MAX_OURS = 256,
};

struct flight {
    uv_write_t req;
    struct conn *c;
    uint8_t *data;
};

size_t out_waiting(const struct conn *c)
{
    return uv_stream_get_write_queue_size((const uv_stream_t *)&c->tcp) + c->out.len;
}

void out_arm_stall(struct conn *c)
{
    c->seen_n = c->queued_n - out_waiting(c);
    server_arm(c->server, &c->timer, STALL_MS);
}

static void launch(struct conn *c);

// All that waited is with the kernel.
static void flushed(struct conn *c)
{
    if (c->state == CONN_FLUSH) {
        conn_resume(c);
    } else if (c->state == CONN_STREAM) {
        server_disarm(c->server, &c->timer);
        if (!c->bodyless)
            c->stream->writable(c->stream);
    }
}

static void written_cb(uv_write_t *req, int status)
{
    struct flight *f = container_of(req, struct flight, req);
    struct conn *c = f->c;

    free(f->data);
    free(f);
    c->flight = NULL;
    if (c->state == CONN_CLOSED)
        return;
    if (status < 0)
        conn_lost(c);
    else if (c->out.len)
        launch(c);
    else
        flushed(c);
}

static void launch(struct conn *c)
{
    struct flight *f = malloc(sizeof *f);
    uv_buf_t b;
    size_t n;

    if (!f) {
        conn_broke(c);
        return;
    }
    f->c = c;
    f->data = buf_take(&c->out, &n);
    b = (uv_buf_t){ .base = (char *)f->data, .len = n };
    if (uv_write(&f->req, (uv_stream_t *)&c->tcp, &b, 1, written_cb) != 0) {
        free(f->data);
        free(f);
        conn_broke(c);
        return;
    }
    c->flight = f;
    if (c->state == CONN_STREAM && !c->timer.due)
        out_arm_stall(c);
}

// What the socket takes now; nothing is queued. By sendmsg, not uv_try_write: a write() to a socket goes through the file layer,
// which a stream to ten thousand subscribers pays for ten thousand times an event.
static size_t try_raw(struct conn *c, const struct iovec *v, unsigned n)
{
    struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)v, .msg_iovlen = n < IOV_MAX_OURS ? n : IOV_MAX_OURS };
    uv_os_fd_t fd;
    ssize_t r;

    if (c->broken || c->flight || c->out.len)
        return 0;
    if (uv_fileno((const uv_handle_t *)&c->tcp, &fd) != 0) {
        conn_broke(c);
        return 0;
    }
    do
        r = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (r < 0 && errno == EINTR);
    if (r < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS)
        conn_broke(c);
    return r > 0 ? (size_t)r : 0;
}

static size_t total(const struct iovec *v, unsigned n)
{
    size_t sum = 0;

    while (n-- > 0)
        sum += v[n].iov_len;
    return sum;
}

// Appends to the queue what lies behind the first `skip` octets, at most `max` of it.
static size_t queue(struct conn *c, const struct iovec *v, unsigned n, size_t skip, size_t max)
{
    size_t queued = 0;

    for (unsigned i = 0; i < n && queued < max; i++) {
        if (skip >= v[i].iov_len) {
            skip -= v[i].iov_len;
            continue;
        }
        size_t take = v[i].iov_len - skip < max - queued ? v[i].iov_len - skip : max - queued;
        buf_put(&c->out, (const uint8_t *)v[i].iov_base + skip, take);
        queued += take;
        skip = 0;
    }
    if (c->out.err)
        conn_broke(c);
    else if (c->out.len && !c->flight)
        launch(c);
    return queued;
}

static void put_raw(struct conn *c, const struct iovec *v, unsigned n)
{
    size_t all = total(v, n), done;

    if (c->broken || c->state == CONN_CLOSED)
        return;
    c->queued_n += all;
    done = try_raw(c, v, n);
    if (done < all && !c->broken)
        queue(c, v, n, done, SIZE_MAX);
}

// What OpenSSL has for the socket. The server's read buffer is free: what was read has been fed.
void out_tls(struct conn *c)
{
    struct iovec v = { .iov_base = c->server->read };

    while ((v.iov_len = tls_pull(c->tls, c->server->read, SERVER_READ_MAX)) > 0)
        put_raw(c, &v, 1);
}

static void encrypt(struct conn *c, const uint8_t *p, size_t n)
{
    if (tls_write(c->tls, p, n) != ERR_OK)
        conn_broke(c);
    out_tls(c);
}

void out_put(struct conn *c, struct iovec *v, unsigned n)
{
    if (!c->tls) {
        put_raw(c, v, n);
        return;
    }
    if (n == 2 && v[0].iov_len + v[1].iov_len <= TLS_PIECE && v[0].iov_base == c->server->head.data) {
        // A small answer in one record: the body goes behind the head, which is in the server's own buffer.
        buf_put(&c->server->head, v[1].iov_base, v[1].iov_len);
        if (!c->server->head.err) {
            encrypt(c, c->server->head.data, c->server->head.len);
            return;
        }
    }
    for (unsigned i = 0; i < n; i++)
        for (size_t at = 0; at < v[i].iov_len && !c->broken; at += TLS_PIECE)
            encrypt(c, (const uint8_t *)v[i].iov_base + at, v[i].iov_len - at < TLS_PIECE ? v[i].iov_len - at : TLS_PIECE);
}

static size_t try_tls(struct conn *c, const struct iovec *v, unsigned n)
{
    size_t taken = 0;

    for (unsigned i = 0; i < n; i++)
        for (size_t at = 0; at < v[i].iov_len;) {
            size_t piece = v[i].iov_len - at < TLS_PIECE ? v[i].iov_len - at : TLS_PIECE;
            if (c->broken || out_waiting(c))
                return taken;
            encrypt(c, (const uint8_t *)v[i].iov_base + at, piece);
            at += piece;
            taken += piece;
        }
    return taken;
}

size_t out_try_put(struct conn *c, const struct iovec *v, unsigned n)
{
    size_t all = total(v, n), done;

    if (c->broken || c->state == CONN_CLOSED || out_waiting(c))
        return 0; // writable() or closed() is due already
    if (c->tls)
        return try_tls(c, v, n);
    done = try_raw(c, v, n);
    c->queued_n += done;
    if (done < all && !c->broken) {
        // The next few octets are queued by libuv, which tells when they are gone; they count as taken.
        size_t more = all - done < PIECE_MAX ? all - done : PIECE_MAX;
        c->queued_n += more;
        done += queue(c, v, n, done, more);
    }
    return done;
}
