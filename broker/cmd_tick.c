// What is done in small steps when there is time: old events and output go, kept answers that nobody will ask for again go.
#include "commands.h"
#include "store_comment.h"

enum { DAY_MS = 24 * 3600 * 1000, DELETES_MAX = 128, ROWS_MAX = 4096, OUTPUT_DELETES_MAX = 32, GONE_DELETES_MAX = 32 };

// The oldest rows, while they are older than the longest retention of any workspace.
static enum err trim_log(struct work *w, uint64_t retention_ms, unsigned at_most)
{
    struct postings gone = { 0 };
    struct cursor c;
    enum err e = cursor_open(&c, w->txn, DB_LOG, NULL);
    if (e)
        return e;
    for (bool on = cursor_seek(&c, NULL); on && at_most && !e; on = cursor_next(&c), at_most--) {
        Wire__Row *row = wire__row__unpack(arena_allocator(w->arena), c.value.n, c.value.p);
        if (!row) {
            e = ERR_CORRUPT;
            break;
        }
        if (row->time_ms + retention_ms > w->now_ms || row->number == w->turn->meta->newest)
            break;
        w->turn->meta->oldest = row->number + 1;
        w->wrote = true;
        e = cursor_del(&c);
        if (!e)
            e = postings_row(&gone, w->arena, row);
        if (!e)
            e = stats_row(&w->turn->stats, w->arena, row, -1);
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    return e ? e : postings_trim(&gone, w->txn, w->turn->meta->oldest);
}

// Output of the workspace's oldest sessions, while they ended before that time.
static enum err trim_output(struct work *w, uint64_t workspace, uint64_t retention_ms)
{
    struct key prefix = { .n = 0 };
    struct cursor c;
    uint64_t session = 0;
    unsigned left = OUTPUT_DELETES_MAX;
    enum err e = cursor_open(&c, w->txn, DB_OUTPUT, key_u64(&prefix, workspace));
    if (e)
        return e;
    for (bool on = cursor_seek(&c, NULL); on && left && !e; on = cursor_next(&c), left--) {
        uint64_t id = key_read_u64(c.key.b + 8);
        Rec__Session *s;
        if (id != session) {
            e = kind_get(w->txn, w->arena, KIND_SESSION, workspace, id, &s);
            if (e || !s->completed_ms || s->completed_ms + retention_ms > w->now_ms)
                break;
            session = id;
        }
        w->wrote = true;
        e = cursor_del(&c);
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
}

// Walks kept answers in small steps, from where the last step ended.
static enum err sweep(struct work *w, enum store_db db, ProtobufCBinaryData *at)
{
    struct cursor c;
    unsigned left = DELETES_MAX;
    bool on;
    enum err e = work_sweep_open(w, &c, db, at, &on);
    if (e)
        return e;
    for (; on && left && !e; on = cursor_next(&c), left--) {
        Rec__Outcome *o = rec__outcome__unpack(arena_allocator(w->arena), c.value.n, c.value.p);
        if (!o) {
            e = ERR_CORRUPT;
        } else if (o->expires_log_ms <= w->log_ms) {
            w->wrote = true;
            e = cursor_del(&c);
        }
    }
    return work_sweep_close(w, &c, at, on, e);
}

enum err cmd_tick(struct work *w)
{
    Rec__Meta *m = w->turn->meta;
    uint64_t longest = 0;
    for (uint64_t id = 1; id <= m->last_id[ENTITY_WORKSPACE]; id++) {
        Rec__Workspace *ws;
        enum err e = work_get(w, KIND_WORKSPACE, id, id, &ws, NULL);
        if (!e)
            e = trim_output(w, id, (uint64_t)ws->retention_days * DAY_MS);
        if (e)
            return e;
        if (ws->retention_days > longest)
            longest = ws->retention_days;
    }
    unsigned at_most = w->cmd->item->tick->at_most;
    enum err e = trim_log(w, longest * DAY_MS, at_most == 0 ? DELETES_MAX : at_most < ROWS_MAX ? at_most : ROWS_MAX);
    if (!e)
        e = sweep(w, DB_DEDUPE, &m->dedupe_at);
    if (!e)
        e = sweep(w, DB_IDEM, &m->idem_at);
    if (!e)
        e = gone_sweep(w, GONE_DELETES_MAX);
    if (!e)
        e = webhook_sweep(w);
    return e;
}
