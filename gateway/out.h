// What goes out of a connection: written at once where the socket takes it, else queued in order; plain or by TLS.
#pragma once
#include <stddef.h>
#include <sys/uio.h>
#include "conn.h"

// Gives plain octets to the socket, or to the queue behind it. Errors show later (`broken`).
void out_put(struct conn *c, struct iovec *v, unsigned n);
// As much as the socket takes now; see exchange_writev. After a short write a piece of at most 1 KiB more is queued, so that
// libuv tells when it is gone; it counts as taken.
size_t out_try_put(struct conn *c, const struct iovec *v, unsigned n);
// What OpenSSL has for the socket.
void out_tls(struct conn *c);
size_t out_waiting(const struct conn *c);   // octets not yet with the kernel
// 30 s from now something of what waits must have gone.
void out_arm_stall(struct conn *c);
