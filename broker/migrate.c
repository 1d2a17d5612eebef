// Happy path: migrate_step reads where the last one ended (Rec.Meta.migrated), takes the next rows of the log, adds them to the lists
// as the turn that wrote them would have, and writes how far it got, all in one transaction.
#include "migrate.h"
#include "apply.h"
#include "fault.h"
#include "kind.h"
#include "log.h"
#include "work.h"

static enum err meta_write(struct txn *t, struct arena *a, const Rec__Meta *m)
{
    struct key k = { .n = 0 };
    return rec_put(t, a, DB_META, key_u8(&k, 1), m);
}

// Rows after m->migrated into lists and hours. *ret_left: there may be more.
static enum err post_rows(struct txn *t, struct arena *a, Rec__Meta *m, unsigned rows, bool *ret_left)
{
    struct turn turn = { .txn = t, .arena = a, .meta = m };
    struct key from = { .n = 0 };
    struct cursor c;
    enum err e = cursor_open(&c, t, DB_LOG, NULL);
    if (e)
        return e;
    bool on = cursor_seek(&c, key_u64(&from, m->migrated + 1));
    for (; on && rows && !e; on = cursor_next(&c), rows--) {
        Wire__Row *row = wire__row__unpack(arena_allocator(a), c.value.n, c.value.p);
        e = row ? postings_row(&turn.postings, a, row) : ERR_CORRUPT;
        if (!e)
            e = stats_row(&turn.stats, a, row, 1);
        if (!e)
            m->migrated = row->number;
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    *ret_left = on;
    return e ? e : turn_flush(&turn);
}

// Entries of indexes that a later version declared. Desktops and users are few: one transaction takes all of a kind.
static enum err index_kind(struct txn *t, struct arena *a, enum kind kind)
{
    struct cursor c;
    enum err e = cursor_open(&c, t, kind_db(kind), NULL);
    if (e)
        return e;
    for (bool on = cursor_seek(&c, NULL); on && !e; on = cursor_next(&c)) {
        struct index_entries es;
        struct slice s;
        void *rec;
        if (!kind_is(kind, &c.key))
            continue;
        e = kind_unpack(kind, a, c.value, &rec);
        if (e)
            break;
        kind_entries(kind, rec, &es);
        for (unsigned i = 0; i < es.n && !e; i++) {
            e = store_get(t, DB_INDEX, &es.e[i].key, &s);
            if (e == ERR_NOT_FOUND)
                e = store_put(t, DB_INDEX, &es.e[i].key, es.e[i].value, es.e[i].value_n);
        }
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    return e;
}

enum err migrate_step(struct txn *t, struct arena *a, unsigned rows, bool *ret_done)
{
    Rec__Meta *m;
    bool left = false;
    enum err e = meta_read(t, a, &m);
    if (e)
        return e;
    if (m->schema > STORE_SCHEMA)
        return ERR_BAD_STATE;
    *ret_done = m->schema == STORE_SCHEMA;
    if (*ret_done)
        return ERR_OK;
    if (m->schema < 2)
        e = post_rows(t, a, m, rows, &left);
    if (e)
        return e;
    if (!left && m->schema < 2) {
        e = index_kind(t, a, KIND_DESKTOP);
        if (!e)
            e = index_kind(t, a, KIND_USER);
        if (e)
            return e;
    }
    if (!left) {
        m->schema = STORE_SCHEMA;
        m->migrated = 0;
        *ret_done = true;
    }
    return meta_write(t, a, m);
}

static enum err step(struct store *s, struct arena *a, bool *ret_done)
{
    struct txn *t;
    arena_reset(a);
    enum err e = store_begin(s, true, &t);
    if (e)
        return e;
    e = migrate_step(t, a, MIGRATE_ROWS, ret_done);
    if (e) {
        store_abort(t);
        return e;
    }
    fault_point("migrate_before");
    e = store_commit(t);
    fault_point("migrate_committed");
    return e;
}

struct standing {
    uint64_t schema, migrated, oldest, newest;
};

static enum err look(struct store *s, struct arena *a, struct standing *ret)
{
    struct txn *t;
    Rec__Meta *m;
    arena_reset(a);
    enum err e = store_begin(s, false, &t);
    if (e)
        return e;
    e = meta_read(t, a, &m);
    if (!e)
        *ret = (struct standing){ m->schema, m->migrated, m->oldest, m->newest };
    store_abort(t);
    return e;
}

static void tell(const struct standing *at, unsigned *told)
{
    uint64_t all = at->newest - at->oldest + 1, n = at->migrated < at->oldest ? 0 : at->migrated - at->oldest + 1;
    unsigned tenths = all ? (unsigned)(n * 10 / all) : 10;
    if (tenths <= *told)
        return;
    *told = tenths;
    log_info("indexing the event log: %u %% of %llu events", tenths * 10, (unsigned long long)all);
}

enum err migrate_store(struct store *s)
{
    enum { ARENA_MAX = 64 * 1024 * 1024 };
    struct standing at;
    struct arena a;
    bool done = false;
    unsigned told = 0;
    arena_init(&a, ARENA_MAX);
    enum err e = look(s, &a, &at);
    if (!e && at.schema > STORE_SCHEMA) {
        log_error("the store has layout %llu, written by a newer version: this one knows layouts up to %d", (unsigned long long)at.schema,
                  STORE_SCHEMA);
        e = ERR_BAD_STATE;
    } else if (!e && at.schema < STORE_SCHEMA) {
        log_info("the store has layout %llu: it is brought to layout %d, which may be interrupted", (unsigned long long)at.schema,
                 STORE_SCHEMA);
        while (!e && !done) {
            e = step(s, &a, &done);
            if (!e && !done)
                e = look(s, &a, &at);
            if (!e && !done)
                tell(&at, &told);
        }
        if (!e)
            log_info("the store has layout %d", STORE_SCHEMA);
        else
            log_error("the store cannot be brought to layout %d: %s", STORE_SCHEMA, err_text(e));
    } else if (e) {
        log_error("the store cannot be read: %s", err_text(e));
    }
    arena_fini(&a);
    return e;
}
