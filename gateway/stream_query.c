// Each parameter is read by name from the query as it came; comma lists are taken apart in a copy.
#include "stream_query.h"
#include <string.h>
#include "block.h"
#include "names.h"
#include "query.h"

// Takes the next word off a comma list that was decoded (and so ends in a NUL); NULL at its end.
static char *word(char **list)
{
    char *w = *list;
    if (!w)
        return NULL;
    char *comma = strchr(w, ',');
    if (comma)
        *comma = 0;
    *list = comma ? comma + 1 : NULL;
    return w;
}

static uint64_t kinds_of(enum event_view view, const char *type)
{
    uint64_t bits = 0;

    for (unsigned row = 1; row < ROW_COUNT; row++) {
        const char *t = event_type(row, view);
        if (t && strcmp(t, type) == 0)
            bits |= block_bit(row);
    }
    if (view == VIEW_ACTIVITY && strcmp(type, "task.output") == 0)
        bits |= block_bit(BLOCK_KIND_OUTPUT);
    if ((view == VIEW_ACTIVITY || view == VIEW_DESKTOPS) && strcmp(type, "desktop.metrics") == 0)
        bits |= block_bit(BLOCK_KIND_METRICS);
    return bits;
}

static uint64_t logged(enum event_view view)
{
    uint64_t bits = 0;

    for (unsigned row = 1; row < ROW_COUNT; row++)
        if (event_type(row, view))
            bits |= block_bit(row);
    return bits;
}

static bool include(enum event_view view, char *list, uint64_t *kinds)
{
    for (char *w; (w = word(&list));) {
        uint64_t bit;
        if (strcmp(w, "output") == 0)
            bit = block_bit(BLOCK_KIND_OUTPUT);
        else if (strcmp(w, "metrics") == 0)
            bit = block_bit(BLOCK_KIND_METRICS);
        else
            return false;
        if (view == VIEW_ACTIVITY) // only there is something to include
            *kinds |= bit;
    }
    return true;
}

static bool ids(enum entity kind, char *list, uint64_t *out, unsigned *n)
{
    for (char *w; (w = word(&list));) {
        uint64_t id = id_parse(kind, w);
        if (id == 0 || *n == STREAM_IDS_MAX)
            return false;
        out[(*n)++] = id;
    }
    return true;
}

enum err stream_query_last(struct text query, struct text header, bool *has_last, uint64_t *last)
{
    char value[QUERY_VALUE_MAX];
    struct text t = header;

    *has_last = false;
    if (!t.n) { // an empty field is what a client without an id may send
        enum err e = query_get(query, "lastEventId", value, sizeof value, &t);
        if (e)
            return e;
    }
    if (t.n && t.p[0] != '-')
        *has_last = query_number(t, 0, UINT64_MAX, last);
    return ERR_OK;
}

enum err stream_query_read(struct stream_query *q, enum event_view view, struct text query, struct text last_event_id,
                           const char **field)
{
    char value[QUERY_VALUE_MAX];
    struct text t;

    *q = (struct stream_query){ .kinds = logged(view) };
    if (view == VIEW_DESKTOPS)
        q->kinds |= block_bit(BLOCK_KIND_METRICS);

    *field = "include";
    if (query_get(query, "include", value, sizeof value, &t) || (t.p && !include(view, value, &q->kinds)))
        return ERR_INVALID_FIELD;

    *field = "types"; // says it all where it is given
    if (query_get(query, "types", value, sizeof value, &t) || (t.p && !t.n))
        return ERR_INVALID_FIELD;
    if (t.p) {
        q->kinds = 0;
        char *list = value;
        for (char *w; (w = word(&list));)
            q->kinds |= kinds_of(view, w);
    }

    *field = "desktopId";
    if (query_get(query, "desktopId", value, sizeof value, &t) || (t.p && !ids(ENTITY_DESKTOP, value, q->desktops, &q->n_desktops)))
        return ERR_INVALID_FIELD;

    *field = "agentId";
    if (query_get(query, "agentId", value, sizeof value, &t) || (t.p && !ids(ENTITY_AGENT, value, q->agents, &q->n_agents)))
        return ERR_INVALID_FIELD;

    *field = "lastEventId";
    if (stream_query_last(query, last_event_id, &q->has_last, &q->last))
        return ERR_INVALID_FIELD;
    *field = NULL;
    return ERR_OK;
}

const char *stream_query_text(const char *field)
{
    static const char *const texts[][2] = {
        { "include",       "A comma list of output and metrics, given once" },
        { "types",         "A comma list of types of this stream, given once" },
        { "desktopId",     "A comma list of at most 32 ids such as desktop_1, given once" },
        { "agentId",       "A comma list of at most 32 ids such as agent_1, given once" },
        { "lastEventId",   "The id of a frame, given once" },
        { "Last-Event-ID", "The id of a frame, given once" },
        { "session",       "The id of a session such as session_9, given once" },
        { "offset",        "A whole number of octets, given once" },
        { "stream",        "stdout or stderr, given once" },
    };

    for (size_t i = 0; field && i < sizeof texts / sizeof *texts; i++)
        if (strcmp(texts[i][0], field) == 0)
            return texts[i][1];
    return NULL;
}
