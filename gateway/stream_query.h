// What a client asks of a stream: where to go on from, and what to leave out. Pure; reads foreign octets.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "err.h"
#include "event.h"
#include "exchange.h"

enum { STREAM_IDS_MAX = 32 }; // desktops, and agents, in one filter

struct stream_query {
    uint64_t kinds;          // block_bit of each kind of frame wanted
    bool has_last;           // go on after `last`; otherwise live only
    uint64_t last;
    unsigned n_desktops, n_agents; // 0: all
    uint64_t desktops[STREAM_IDS_MAX], agents[STREAM_IDS_MAX];
};

// Reads ?types=, ?desktopId=, ?agentId= (comma lists each), ?include= and where to go on from: last_event_id is the header
// ({NULL, 0} when absent); it wins over ?lastEventId=. Not a number: live only; a number beyond 64 bits is the largest one.
// ERR_INVALID_FIELD and *field: a parameter that stands twice, is empty or broken, an id that is none, an unknown word in
// ?include=, more ids than STREAM_IDS_MAX. Unknown types match nothing.
MUST_USE enum err stream_query_read(struct stream_query *q, enum event_view view, struct text query, struct text last_event_id,
                                    const char **field);
// Only where to go on from, for streams that have no filter.
MUST_USE enum err stream_query_last(struct text query, struct text last_event_id, bool *has_last, uint64_t *last);
// What the parameter at fault takes, in a sentence; NULL for none.
const char *stream_query_text(const char *field);
