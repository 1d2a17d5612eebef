// The Cookie field (RFC 6265 4.2.1): name=value pairs. Pure.
#pragma once
#include <stdbool.h>
#include "exchange.h"

// Under TLS the browser is told to keep it to this very host (RFC 6265bis 4.1.3.2), and that name is looked for first.
#define COOKIE_PLAIN "mc-session"
#define COOKIE_HOST "__Host-mc-session"

// The session's token: what stands there, whatever it is. {NULL, 0}: no such cookie. {"", 0}: a name stands twice, so that
// nobody can tell which is meant.
struct text cookie_session(struct text field);
