// Credentials, keys, settings.
#include "crypto.h"
#include "names.h"
#include "query_parts.h"
#include "store_account.h"

enum err query_credential(struct query *q, const Wire__CredentialLookup *l, Wire__Answer *a)
{
    struct view v = view_of(q);
    Rec__Key *k;
    Rec__User *u;
    if (l->hash.len != HASH_SIZE)
        return ERR_UNAUTHORIZED;
    enum err e = account_key_by_hash(q->txn, q->arena, l->hash.data, &k);
    if (!e)
        e = kind_get(q->txn, q->arena, KIND_USER, k->workspace, k->user, &u);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_UNAUTHORIZED : e;
    if (account_key_over(k, q->now_ms > q->newest_ms ? q->now_ms : q->newest_ms, 0) || u->disabled)
        return ERR_UNAUTHORIZED;
    a->body_case = WIRE__ANSWER__BODY_CREDENTIAL;
    return view_credential(&v, k, u, &a->credential);
}

// One's own keys, newest first; an admin sees those of the workspace.
enum err query_key_list(struct query *q, Wire__Answer *a)
{
    MAKE(q, Wire__Keys, WIRE__KEYS__INIT, out);
    struct view v = view_of(q);
    struct key prefix = { .n = 0 };
    struct cursor c;
    bool all = q->role >= ROLE_ADMIN;
    a->body_case = WIRE__ANSWER__BODY_KEYS;
    a->keys = out;
    out->keys = arena_alloc(q->arena, LIST_MAX * sizeof *out->keys);
    if (!out->keys)
        return ERR_NO_MEMORY;
    if (all)
        kind_key(KIND_KEY, q->workspace, 0, &prefix);
    else
        key_u64(key_u64(key_u8(&prefix, INDEX_KEY_USER), q->workspace), q->user);
    enum err e = cursor_open(&c, q->txn, all ? DB_ACCOUNT : DB_INDEX, &prefix);
    if (e)
        return e;
    for (bool on = cursor_seek_before(&c, NULL); on && !e && out->n_keys < LIST_MAX; on = cursor_prev(&c)) {
        Rec__Key *k;
        e = kind_get(q->txn, q->arena, KIND_KEY, q->workspace, last_u64(&c.key), &k);
        if (!e)
            e = view_key(&v, k, &out->keys[out->n_keys++]);
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    return e;
}

enum err query_settings(struct query *q, Wire__Answer *a)
{
    struct view v = view_of(q);
    const Rec__Workspace *ws;
    enum err e = view_workspace(&v, q->workspace, &ws);
    a->body_case = WIRE__ANSWER__BODY_SETTINGS;
    return e ? e : view_settings(&v, ws, &a->settings);
}
