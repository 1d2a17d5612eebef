// Tells the broker which keys and sessions were used, all in one command: a key new here within a second or two, then once a
// minute. What could not be told is told a minute later.
#pragma once
#include "err.h"

struct gateway;

MUST_USE enum err uses_start(struct gateway *gw);
