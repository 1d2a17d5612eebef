#include "store_account.h"
#include "crypto.h"
#include "names.h"

enum err account_key(struct txn *t, struct arena *a, uint64_t workspace, uint64_t id, Rec__Key **ret)
{
    enum err e = kind_get(t, a, KIND_KEY, workspace, id, ret);
    return e == ERR_NOT_FOUND ? kind_get(t, a, KIND_SIGNIN, workspace, id, ret) : e;
}

enum err account_key_by_hash(struct txn *t, struct arena *a, const uint8_t hash[], Rec__Key **ret)
{
    struct key k = { .n = 0 };
    struct slice s;
    enum err e = store_get(t, DB_INDEX, key_bytes(key_u8(&k, INDEX_KEY_HASH), hash, HASH_SIZE), &s);
    return e ? e : account_key(t, a, key_read_u64(s.p), key_read_u64(s.p + 8), ret);
}

enum err account_user_by_name(struct txn *t, struct arena *a, const char *name, Rec__User **ret)
{
    struct key k;
    struct slice s;
    kind_user_name(&k, name);
    enum err e = store_get(t, DB_INDEX, &k, &s);
    return e ? e : kind_get(t, a, KIND_USER, key_read_u64(s.p), key_read_u64(s.p + 8), ret);
}

bool account_key_over(const Rec__Key *k, uint64_t now_ms, uint64_t late_ms)
{
    if (k->expires_ms && k->expires_ms <= now_ms)
        return true;
    return k->session && k->last_used_ms + SIGNIN_IDLE_S * UINT64_C(1000) + late_ms <= now_ms;
}

// ---------------------------------------------------------------- one after the other

// The id behind the prefix that is the first above `after`.
static enum err id_after(struct txn *t, enum store_db db, const struct key *prefix, uint64_t after, uint64_t *ret)
{
    struct key from = *prefix;
    struct cursor c;
    enum err e = cursor_open(&c, t, db, prefix);
    if (e)
        return e;
    bool on = cursor_seek(&c, key_u64(&from, after + 1));
    *ret = on ? key_read_u64(c.key.b + prefix->n) : 0;
    e = c.err;
    cursor_close(&c);
    return e;
}

static struct key of_user(enum index ix, uint64_t workspace, uint64_t user)
{
    struct key k = { .n = 0 };
    return *key_u64(key_u64(key_u8(&k, (uint8_t)ix), workspace), user);
}

enum err account_key_after(struct txn *t, enum index ix, uint64_t workspace, uint64_t user, uint64_t after, uint64_t *ret)
{
    struct key prefix = of_user(ix, workspace, user);
    return id_after(t, DB_INDEX, &prefix, after, ret);
}

enum err account_user_after(struct txn *t, uint64_t workspace, uint64_t after, uint64_t *ret)
{
    struct key prefix;
    kind_key(KIND_USER, workspace, 0, &prefix);
    return id_after(t, DB_ACCOUNT, &prefix, after, ret);
}

enum err account_count(struct txn *t, enum index ix, uint64_t workspace, uint64_t user, unsigned max, unsigned *ret)
{
    struct key prefix = of_user(ix, workspace, user);
    struct cursor c;
    enum err e = cursor_open(&c, t, DB_INDEX, &prefix);
    if (e)
        return e;
    *ret = 0;
    for (bool on = cursor_seek(&c, NULL); on && *ret < max; on = cursor_next(&c))
        ++*ret;
    e = c.err;
    cursor_close(&c);
    return e;
}

// ---------------------------------------------------------------- new ones

enum err account_add_workspace(struct work *w, char *name)
{
    Rec__Workspace ws = REC__WORKSPACE__INIT;
    ws.id = ws.workspace = w->workspace = work_id(w, ENTITY_WORKSPACE);
    ws.name = name;
    ws.created_ms = w->now_ms;
    ws.cpu = ws.memory = ws.disk = 9000;
    ws.retention_days = 30;
    ws.default_timeout_s = 3600;
    return work_put(w, KIND_WORKSPACE, NULL, &ws);
}

enum err account_add_user(struct work *w, char *name, uint32_t role, char *password, Rec__User **ret)
{
    Wire__Row r = WIRE__ROW__INIT;
    Rec__User *u = arena_alloc(w->arena, sizeof *u);
    if (!u)
        return ERR_NO_MEMORY;
    *u = (Rec__User)REC__USER__INIT;
    u->id = work_id(w, ENTITY_USER);
    u->workspace = w->workspace;
    u->name = name;
    u->role = role;
    u->password = password;
    u->created_ms = w->now_ms;
    r.entity = u->id;
    r.name = name;
    r.key_role = role;
    *ret = u;
    enum err e = work_put(w, KIND_USER, NULL, u);
    return e ? e : work_row(w, &r, ROW_USER_CREATED);
}

enum err account_key_row(struct work *w, const Rec__Key *k, unsigned kind)
{
    Wire__Row r = WIRE__ROW__INIT;
    r.entity = k->id;
    r.name = k->name;
    r.key_role = k->role;
    r.key_hash = k->hash;
    return work_row(w, &r, kind);
}

enum err account_add_key(struct work *w, const Wire__KeyCreate *m, uint64_t user, uint32_t role, Rec__Key **ret)
{
    Rec__Key *k = arena_alloc(w->arena, sizeof *k);
    if (!k)
        return ERR_NO_MEMORY;
    *k = (Rec__Key)REC__KEY__INIT;
    k->id = work_id(w, ENTITY_KEY);
    k->workspace = w->workspace;
    k->name = m->name;
    k->role = role;
    k->user = user;
    k->created_ms = w->now_ms;
    k->expires_ms = m->expires_ms;
    k->hash = m->hash;
    k->last4 = m->last4;
    *ret = k;
    enum err e = work_put(w, KIND_KEY, NULL, k);
    return e ? e : account_key_row(w, k, ROW_KEY_CREATED);
}
