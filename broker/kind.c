#include "kind.h"
#include <string.h>
#include "arena.h"
#include "names.h"

static struct index_entry *entry(struct index_entries *es, enum index ix)
{
    struct index_entry *e = &es->e[es->n++];
    e->key.n = 0;
    e->value_n = 0;
    key_u8(&e->key, (uint8_t)ix);
    return e;
}

static void value_u64(struct index_entry *e, uint64_t v)
{
    struct key k = { .n = 0 };
    key_u64(&k, v);
    memcpy(e->value + e->value_n, k.b, 8);
    e->value_n += 8;
}

void kind_user_name(struct key *k, const char *name)
{
    k->n = 0;
    key_u8(k, INDEX_USER_NAME);
    for (size_t i = 0; name[i] && k->n < STORE_KEY_MAX; i++)
        key_u8(k, (uint8_t)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]));
}

static void task_entries(const void *rec, struct index_entries *es)
{
    const Rec__Task *t = rec;
    struct index_entry *e = entry(es, INDEX_TASK_STATUS);
    key_u64(key_u8(key_u8(key_u64(&e->key, t->workspace), (uint8_t)t->status), (uint8_t)t->type), t->id);
    e = entry(es, INDEX_TASK_DESKTOP);
    key_u64(key_u8(key_u8(key_u64(key_u64(&e->key, t->workspace), t->desktop), (uint8_t)t->status), (uint8_t)t->type), t->id);
    if (t->queued) {
        e = entry(es, INDEX_TASK_WAITING);
        key_u64(key_u8(key_u64(&e->key, t->desktop), (uint8_t)(PRIORITY_COUNT - t->priority)), t->queued);
        value_u64(e, t->workspace);
        value_u64(e, t->id);
    }
}

static void session_entries(const void *rec, struct index_entries *es)
{
    const Rec__Session *s = rec;
    struct index_entry *e = entry(es, INDEX_SESSION_TASK);
    key_u64(key_u64(key_u64(&e->key, s->workspace), s->task), s->id);
    if (s->held || !s->reported) {
        e = entry(es, s->held ? INDEX_SESSION_HELD : INDEX_SESSION_LATE);
        key_u64(key_u64(&e->key, s->worker), s->id);
        value_u64(e, s->workspace);
    }
}

static void desktop_entries(const void *rec, struct index_entries *es)
{
    const Rec__Desktop *d = rec;
    struct index_entry *e = entry(es, INDEX_AGENT);
    key_u64(key_u64(&e->key, d->workspace), d->agent);
    value_u64(e, d->id);
}

static void approval_entries(const void *rec, struct index_entries *es)
{
    const Rec__Approval *a = rec;
    struct index_entry *e = entry(es, INDEX_APPROVAL_STATUS);
    key_u64(key_u8(key_u64(&e->key, a->workspace), (uint8_t)a->status), a->id);
}

static void user_entries(const void *rec, struct index_entries *es)
{
    const Rec__User *u = rec;
    struct index_entry *e = entry(es, INDEX_USER_NAME);
    kind_user_name(&e->key, u->name);
    value_u64(e, u->workspace);
    value_u64(e, u->id);
}

static void any_key_entries(const Rec__Key *k, enum index of_user, struct index_entries *es)
{
    struct index_entry *e = entry(es, INDEX_KEY_HASH);
    key_bytes(&e->key, k->hash.data, k->hash.len);
    value_u64(e, k->workspace);
    value_u64(e, k->id);
    e = entry(es, of_user);
    key_u64(key_u64(key_u64(&e->key, k->workspace), k->user), k->id);
}

static void key_entries(const void *rec, struct index_entries *es)
{
    any_key_entries(rec, INDEX_KEY_USER, es);
}

static void signin_entries(const void *rec, struct index_entries *es)
{
    any_key_entries(rec, INDEX_SIGNIN_USER, es);
}

static void peer_entries(const void *rec, struct index_entries *es)
{
    const Rec__Peer *p = rec;
    struct index_entry *e = entry(es, INDEX_PEER_NAME);
    size_t n = strlen(p->name);
    key_u8(&e->key, (uint8_t)p->role);
    key_bytes(&e->key, p->name, n < 60 ? n : 60);
    value_u64(e, p->id);
}

// The declarations: kind, database, octet in the key (databases that hold several kinds), record, indexes.
static const struct kind_def {
    enum store_db db;
    uint8_t tag; // 0: none
    const ProtobufCMessageDescriptor *descriptor;
    void (*entries)(const void *rec, struct index_entries *es);
} kinds[KIND_N] = {
    [KIND_TASK]      = { DB_TASK,     0,   &rec__task__descriptor,      task_entries },
    [KIND_SESSION]   = { DB_SESSION,  0,   &rec__session__descriptor,   session_entries },
    [KIND_APPROVAL]  = { DB_APPROVAL, 0,   &rec__approval__descriptor,  approval_entries },
    [KIND_DESKTOP]   = { DB_DESKTOP,  0,   &rec__desktop__descriptor,   desktop_entries },
    [KIND_WORKSPACE] = { DB_ACCOUNT,  'w', &rec__workspace__descriptor, NULL },
    [KIND_USER]      = { DB_ACCOUNT,  'u', &rec__user__descriptor,      user_entries },
    [KIND_KEY]       = { DB_ACCOUNT,  'k', &rec__key__descriptor,       key_entries },
    [KIND_SIGNIN]    = { DB_ACCOUNT,  's', &rec__key__descriptor,       signin_entries },
    [KIND_PEER]      = { DB_PEER,     0,   &rec__peer__descriptor,      peer_entries },
    [KIND_WEBHOOK]   = { DB_WEBHOOK,  0,   &rec__webhook__descriptor,   NULL },
};

enum store_db kind_db(enum kind kind)
{
    return kinds[kind].db;
}

bool kind_is(enum kind kind, const struct key *k)
{
    return !kinds[kind].tag || (k->n > 8 && k->b[8] == kinds[kind].tag);
}

void kind_key(enum kind kind, uint64_t workspace, uint64_t id, struct key *ret)
{
    ret->n = 0;
    key_u64(ret, workspace);
    if (kinds[kind].tag)
        key_u8(ret, kinds[kind].tag);
    if (id)
        key_u64(ret, id);
}

void kind_entries(enum kind kind, const void *rec, struct index_entries *ret)
{
    ret->n = 0;
    if (kinds[kind].entries)
        kinds[kind].entries(rec, ret);
}

static enum err unpack(struct arena *a, const ProtobufCMessageDescriptor *d, struct slice s, void *ret_rec)
{
    ProtobufCMessage *m = protobuf_c_message_unpack(d, arena_allocator(a), s.n, s.p);
    if (!m)
        return ERR_CORRUPT;
    memcpy(ret_rec, &m, sizeof m);
    return ERR_OK;
}

enum err kind_unpack(enum kind kind, struct arena *a, struct slice s, void *ret_rec)
{
    return unpack(a, kinds[kind].descriptor, s, ret_rec);
}

enum err rec_get(struct txn *t, struct arena *a, enum store_db db, const struct key *k, const ProtobufCMessageDescriptor *d, void *ret_rec)
{
    struct slice s;
    enum err e = store_get(t, db, k, &s);
    return e ? e : unpack(a, d, s, ret_rec);
}

enum err rec_put(struct txn *t, struct arena *a, enum store_db db, const struct key *k, const void *rec)
{
    size_t n = protobuf_c_message_get_packed_size(rec);
    uint8_t *p = arena_alloc(a, n ? n : 1);
    if (!p)
        return ERR_NO_MEMORY;
    protobuf_c_message_pack(rec, p);
    return store_put(t, db, k, p, n);
}

enum err kind_get(struct txn *t, struct arena *a, enum kind kind, uint64_t workspace, uint64_t id, void *ret_rec)
{
    struct key k;
    if (!id)
        return ERR_NOT_FOUND;
    kind_key(kind, workspace, id, &k);
    return rec_get(t, a, kinds[kind].db, &k, kinds[kind].descriptor, ret_rec);
}

enum err kind_agent_desktop(struct txn *t, uint64_t workspace, uint64_t agent, uint64_t *ret)
{
    struct key k = { .n = 0 };
    struct slice s;
    enum err e = store_get(t, DB_INDEX, key_u64(key_u64(key_u8(&k, INDEX_AGENT), workspace), agent), &s);
    if (!e)
        *ret = key_read_u64(s.p);
    return e;
}

static bool same(const struct index_entry *a, const struct index_entry *b)
{
    return a->key.n == b->key.n && a->value_n == b->value_n && memcmp(a->key.b, b->key.b, a->key.n) == 0 &&
           memcmp(a->value, b->value, a->value_n) == 0;
}

static bool has(const struct index_entries *es, const struct index_entry *e)
{
    for (unsigned i = 0; es && i < es->n; i++)
        if (same(&es->e[i], e))
            return true;
    return false;
}

static enum err take_away(struct txn *t, const struct index_entries *old, const struct index_entries *now)
{
    for (unsigned i = 0; old && i < old->n; i++) {
        if (has(now, &old->e[i]))
            continue;
        enum err e = store_del(t, DB_INDEX, &old->e[i].key);
        if (e)
            return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
    }
    return ERR_OK;
}

enum err kind_put(struct txn *t, struct arena *a, enum kind kind, const struct index_entries *old, const void *rec)
{
    const struct rec_head *h = rec;
    struct index_entries now;
    struct key k;
    kind_key(kind, h->workspace, h->id, &k);
    enum err e = rec_put(t, a, kinds[kind].db, &k, rec);
    if (e)
        return e;
    kind_entries(kind, rec, &now);
    e = take_away(t, old, &now);
    for (unsigned i = 0; !e && i < now.n; i++)
        if (!has(old, &now.e[i]))
            e = store_put(t, DB_INDEX, &now.e[i].key, now.e[i].value, now.e[i].value_n);
    return e;
}

enum err kind_del(struct txn *t, enum kind kind, const struct index_entries *old, const void *rec)
{
    const struct rec_head *h = rec;
    struct key k;
    kind_key(kind, h->workspace, h->id, &k);
    enum err e = store_del(t, kinds[kind].db, &k);
    return e ? e : take_away(t, old, NULL);
}
