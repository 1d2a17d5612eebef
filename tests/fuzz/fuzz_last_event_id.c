// links: gateway common protobuf-c
// fuzz: -max_len=512
// Where a client wants to go on from, and what it wants to leave out. Input: an octet that picks the view, the Last-Event-ID
// field up to a newline (absent when there is none), the query.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "block.h"
#include "stream_query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool what)
{
    if (!what)
        abort();
}

// What a number is, said once more in another way: digits only; the largest one when it has more than 64 bits.
static bool number(struct text t, uint64_t *ret)
{
    unsigned __int128 v = 0;

    for (size_t i = 0; i < t.n; i++) {
        if (t.p[i] < '0' || t.p[i] > '9')
            return false;
        v = v * 10 + (unsigned)(t.p[i] - '0');
        if (v > UINT64_MAX)
            v = (unsigned __int128)UINT64_MAX + 1; // it stays beyond
    }
    *ret = v > UINT64_MAX ? UINT64_MAX : (uint64_t)v;
    return t.n > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum event_view views[] = { VIEW_ACTIVITY, VIEW_FEED, VIEW_DESKTOPS };
    struct stream_query q, again;
    const char *field = "none", *field2;
    struct text header = { NULL, 0 }, query = { NULL, 0 };
    uint64_t last = 0;

    if (size < 1)
        return 0;
    enum event_view view = views[data[0] % 3];
    const char *p = (const char *)data + 1, *newline = memchr(p, '\n', size - 1);
    if (newline)
        header = (struct text){ p, (size_t)(newline - p) };
    query.p = newline ? newline + 1 : p;
    query.n = size - 1 - (size_t)(query.p - p);

    enum err e = stream_query_read(&q, view, query, header, &field);
    require(e == stream_query_read(&again, view, query, header, &field2) && field == field2);
    if (e) {
        require(e == ERR_INVALID_FIELD && field && strcmp(field, "none") != 0);
        return 0;
    }
    require(field == NULL);
    require(q.n_desktops <= STREAM_IDS_MAX && q.n_agents <= STREAM_IDS_MAX);
    for (unsigned i = 0; i < q.n_desktops; i++)
        require(q.desktops[i] != 0);
    for (unsigned i = 0; i < q.n_agents; i++)
        require(q.agents[i] != 0);
    for (unsigned kind = 0; kind < 64; kind++) {
        if (!(q.kinds & block_bit(kind)))
            continue;
        if (kind == BLOCK_KIND_OUTPUT)
            require(view == VIEW_ACTIVITY);
        else if (kind == BLOCK_KIND_METRICS)
            require(view != VIEW_FEED);
        else
            require(event_type(kind, view) != NULL);
    }
    if (header.n) { // it wins, whatever the query says
        bool is = number(header, &last);
        bool edge = last > UINT64_MAX - 16 && q.last == UINT64_MAX; // beyond any log in either reading
        require(q.has_last == is && (!is || q.last == last || edge));
    }
    return 0;
}
