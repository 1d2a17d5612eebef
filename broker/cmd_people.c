// Commands on users, their sessions and workspaces. A password comes as what argon2id made of it; what a gateway compared it with
// comes too, so that a change in between is noticed here, where there is an order.
#include <string.h>
#include "commands.h"
#include "crypto.h"
#include "store_account.h"

enum { FAILED_ROWS_MAX = 5, FAILED_ROWS_MS = 60000 }; // wrong passwords of one user in the log, so that nobody can flood it

// ---------------------------------------------------------------- what ends with a user, or before

static enum err end_key(struct work *w, enum kind kind, uint64_t workspace, uint64_t id, Rec__Key **ret)
{
    struct index_entries old;
    enum err e = work_get(w, kind, workspace, id, ret, &old);
    return e ? e : work_del(w, kind, &old, *ret);
}

// All of the user's sessions (or keys) but one. No row tells of each: the user's own row does.
static enum err end_all(struct work *w, enum index ix, const Rec__User *u, uint64_t but)
{
    uint64_t id = 0;
    for (;;) {
        Rec__Key *k;
        enum err e = account_key_after(w->txn, ix, u->workspace, u->id, id, &id);
        if (e || !id)
            return e;
        if (id == but)
            continue;
        e = end_key(w, ix == INDEX_SIGNIN_USER ? KIND_SIGNIN : KIND_KEY, u->workspace, id, &k);
        if (e)
            return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
    }
}

static bool enabled_admin(const Rec__User *u)
{
    return u->role == ROLE_ADMIN && !u->disabled;
}

// Refuses where this one is the last enabled admin of the workspace.
static enum err spare_last_admin(struct work *w, const Rec__User *u)
{
    uint64_t id = 0;
    while (enabled_admin(u)) {
        Rec__User *other;
        enum err e = account_user_after(w->txn, u->workspace, id, &id);
        if (!e && !id)
            return ERR_LAST_ADMIN;
        if (!e)
            e = work_get(w, KIND_USER, u->workspace, id, &other, NULL);
        if (e)
            return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
        if (other->id != u->id && enabled_admin(other))
            return ERR_OK;
    }
    return ERR_OK;
}

// ---------------------------------------------------------------- users

static enum err name_free(struct work *w, const char *name, const char *field)
{
    Rec__User *u;
    enum err e = account_user_by_name(w->txn, w->arena, name, &u);
    return e == ERR_NOT_FOUND ? ERR_OK : e ? e : work_refuse(w, ERR_NAME_TAKEN, field, NULL);
}

static enum err room_for_user(struct work *w)
{
    uint64_t id = 0;
    for (unsigned n = 0; n < USERS_MAX; n++) {
        enum err e = account_user_after(w->txn, w->workspace, id, &id);
        if (e || !id)
            return e;
    }
    return work_refuse(w, ERR_BAD_STATE, NULL, "A workspace can have at most 1000 users");
}

enum err cmd_user_create(struct work *w)
{
    const Wire__UserPut *m = w->cmd->item->user_create;
    struct fault f;
    Rec__User *u;
    enum err e = check_user_create(m, &f);
    if (e)
        return work_fault(w, e, &f);
    e = name_free(w, m->name, "username");
    if (!e)
        e = room_for_user(w);
    if (!e)
        e = account_add_user(w, m->name, m->role, m->password, &u);
    return e ? e : answer_user(w, u);
}

static enum err user_row(struct work *w, const Rec__User *u, const char *field, const char *before, const char *after)
{
    Wire__Row r = WIRE__ROW__INIT;
    r.entity = u->id;
    r.name = u->name;
    r.field = work_copy(w, field, 32);
    r.old_value = work_copy(w, before, 32);
    r.new_value = work_copy(w, after, 32);
    return work_row(w, &r, ROW_USER_UPDATED);
}

enum err cmd_user_edit(struct work *w)
{
    const Wire__UserPut *m = w->cmd->item->user_edit;
    struct index_entries old;
    struct fault f;
    Rec__User *u;
    enum err e = check_user_edit(m, &f);
    if (e)
        return work_fault(w, e, &f);
    e = work_get(w, KIND_USER, w->workspace, m->id, &u, &old);
    if (e)
        return e;
    bool role = (m->set & UEDIT_ROLE) && m->role != u->role;
    bool able = (m->set & UEDIT_DISABLED) && m->disabled != u->disabled;
    bool password = m->set & UEDIT_PASSWORD;
    if ((role && m->role != ROLE_ADMIN) || (able && m->disabled))
        e = spare_last_admin(w, u);
    if (!e && role)
        e = user_row(w, u, "role", role_name(u->role), role_name(m->role));
    if (!e && password)
        e = user_row(w, u, "password", "", "changed");
    if (!e && able)
        e = user_row(w, u, "disabled", u->disabled ? "true" : "false", m->disabled ? "true" : "false");
    if (!e && (password || (able && m->disabled)))
        e = end_all(w, INDEX_SIGNIN_USER, u, 0);
    if (e)
        return e;
    u->role = role ? m->role : u->role;
    u->password = password ? m->password : u->password;
    u->disabled = able ? m->disabled : u->disabled;
    if (role || able || password)
        e = work_put(w, KIND_USER, &old, u);
    return e ? e : answer_user(w, u);
}

enum err cmd_user_delete(struct work *w)
{
    Wire__Row r = WIRE__ROW__INIT;
    struct index_entries old;
    Rec__User *u;
    enum err e = work_get(w, KIND_USER, w->workspace, w->cmd->item->user_delete->id, &u, &old);
    if (!e)
        e = spare_last_admin(w, u);
    if (!e)
        e = end_all(w, INDEX_SIGNIN_USER, u, 0);
    if (!e)
        e = end_all(w, INDEX_KEY_USER, u, 0);
    if (!e)
        e = work_del(w, KIND_USER, &old, u);
    if (e)
        return e;
    r.entity = u->id;
    r.name = u->name;
    return work_row(w, &r, ROW_USER_DELETED);
}

enum err cmd_password_set(struct work *w)
{
    const Wire__PasswordSet *m = w->cmd->item->password_set;
    struct index_entries old;
    struct fault f;
    Rec__User *u;
    enum err e = check_password_set(m, &f);
    if (e)
        return work_fault(w, e, &f);
    e = work_get(w, KIND_USER, w->workspace, w->user, &u, &old);
    if (e)
        return e;
    if (w->role < u->role) // a user's first password needs no current one: with it a weak key would become a strong session
        return work_refuse(w, ERR_FORBIDDEN, NULL, "The key's role is lower than your own");
    if (strcmp(u->password, m->verified) != 0)
        return work_refuse(w, ERR_BAD_STATE, NULL, "The password was changed meanwhile");
    e = end_all(w, INDEX_SIGNIN_USER, u, w->key);
    if (e)
        return e;
    u->password = m->password;
    e = work_put(w, KIND_USER, &old, u);
    return e ? e : user_row(w, u, "password", "", "changed");
}

// ---------------------------------------------------------------- signing in and out

static void act_for(struct work *w, const Rec__User *u, uint64_t key)
{
    w->workspace = u->workspace;
    w->user = u->id;
    w->key = key;
    w->actor = u->name;
}

// The row by which gateways drop the session.
static enum err logout_row(struct work *w, const Rec__User *u, const Rec__Key *k)
{
    Wire__Row r = WIRE__ROW__INIT;
    act_for(w, u, k->id);
    r.entity = u->id;
    r.name = u->name;
    r.key_hash = k->hash;
    return work_row(w, &r, ROW_USER_LOGOUT);
}

enum err cmd_sign_out(struct work *w)
{
    struct index_entries old;
    Rec__User *u;
    Rec__Key *k;
    enum err e = work_get(w, KIND_SIGNIN, w->workspace, w->key, &k, &old);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e; // an API key: nothing ends
    e = work_get(w, KIND_USER, w->workspace, w->user, &u, NULL);
    if (!e)
        e = work_del(w, KIND_SIGNIN, &old, k);
    return e ? e : logout_row(w, u, k);
}

// A wrong password: its row, of a few a minute.
static enum err sign_in_failed(struct work *w, const Wire__SignIn *m, Rec__User *u, const struct index_entries *old)
{
    Wire__Row r = WIRE__ROW__INIT;
    if (u->failed_since_ms + FAILED_ROWS_MS <= w->now_ms) {
        u->failed_since_ms = w->now_ms;
        u->failed_rows = 0;
    }
    if (u->failed_rows >= FAILED_ROWS_MAX || w->turn->batch->full)
        return ERR_OK;
    u->failed_rows++;
    w->workspace = u->workspace;
    r.entity = u->id;
    r.name = u->name;
    r.ip_address = m->address;
    r.text = m->method;
    enum err e = work_put(w, KIND_USER, old, u);
    return e ? e : work_row(w, &r, ROW_USER_LOGIN_FAILED);
}

// The session whose cookie came with the request is over, whosever it was.
static enum err replace(struct work *w, const Wire__SignIn *m)
{
    Rec__User *u;
    Rec__Key *k;
    enum err e = m->replaces.len ? account_key_by_hash(w->txn, w->arena, m->replaces.data, &k) : ERR_NOT_FOUND;
    if (!e)
        e = k->session ? work_get(w, KIND_USER, k->workspace, k->user, &u, NULL) : ERR_NOT_FOUND;
    if (!e)
        e = end_key(w, KIND_SIGNIN, k->workspace, k->id, &k);
    return e == ERR_NOT_FOUND ? ERR_OK : e ? e : logout_row(w, u, k);
}

// Sessions of the user that are over go, and then the oldest until there is room for one more.
static enum err make_room(struct work *w, const Rec__User *u)
{
    unsigned live = 0;
    uint64_t id = 0;
    Rec__Key *k;
    enum err e;
    while (!(e = account_key_after(w->txn, INDEX_SIGNIN_USER, u->workspace, u->id, id, &id)) && id) {
        e = work_get(w, KIND_SIGNIN, u->workspace, id, &k, NULL);
        if (e)
            return e == ERR_NOT_FOUND ? ERR_CORRUPT : e;
        if (!account_key_over(k, w->now_ms, USE_TOLD_LATE_MS))
            live++;
        else if ((e = end_key(w, KIND_SIGNIN, u->workspace, id, &k)))
            return e;
    }
    for (; !e && live >= SIGNINS_A_USER_MAX; live--) {
        e = account_key_after(w->txn, INDEX_SIGNIN_USER, u->workspace, u->id, 0, &id);
        if (!e)
            e = end_key(w, KIND_SIGNIN, u->workspace, id, &k);
        if (!e)
            e = logout_row(w, u, k);
    }
    return e;
}

static enum err add_session(struct work *w, const Wire__SignIn *m, const Rec__User *u, Rec__Key **ret)
{
    Rec__Key *k = arena_alloc(w->arena, sizeof *k);
    if (!k)
        return ERR_NO_MEMORY;
    *k = (Rec__Key)REC__KEY__INIT;
    k->id = work_id(w, ENTITY_KEY);
    k->workspace = u->workspace;
    k->user = u->id;
    k->role = ROLE_ADMIN; // whatever the user may, as it is then
    k->session = true;
    k->address = m->address;
    k->hash = m->hash;
    k->created_ms = k->last_used_ms = w->now_ms;
    k->expires_ms = w->now_ms + SIGNIN_MAX_S * UINT64_C(1000);
    *ret = k;
    return work_put(w, KIND_SIGNIN, NULL, k);
}

enum err cmd_sign_in(struct work *w)
{
    const Wire__SignIn *m = w->cmd->item->sign_in;
    Wire__Row r = WIRE__ROW__INIT;
    struct index_entries old;
    struct fault f;
    Rec__User *u;
    Rec__Key *k;
    enum err e = check_sign_in(m, &f);
    if (e)
        return work_fault(w, e, &f);
    e = work_get(w, KIND_USER, m->workspace, m->user, &u, &old);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_UNAUTHORIZED : e;
    if (m->failed)
        return sign_in_failed(w, m, u, &old);
    if (u->disabled || !*u->password || strcmp(u->password, m->verified) != 0)
        return ERR_UNAUTHORIZED;
    e = account_key_by_hash(w->txn, w->arena, m->hash.data, &k);
    if (e != ERR_NOT_FOUND)
        return e ? e : work_refuse(w, ERR_BAD_STATE, NULL, "This token exists already");
    e = replace(w, m);
    if (!e)
        e = make_room(w, u);
    if (!e)
        e = add_session(w, m, u, &k);
    if (e)
        return e;
    u->last_login_ms = w->now_ms;
    u->password = *m->rehashed ? m->rehashed : u->password;
    act_for(w, u, k->id);
    r.entity = u->id;
    r.name = u->name;
    r.ip_address = m->address;
    r.text = m->method;
    e = work_put(w, KIND_USER, &old, u);
    if (!e)
        e = work_row(w, &r, ROW_USER_LOGIN);
    return e ? e : answer_credential(w, k, u);
}

// ---------------------------------------------------------------- keys in use

// No row: who looks at a key sees when it was last used.
enum err cmd_keys_used(struct work *w)
{
    const Wire__KeysUsed *m = w->cmd->item->keys_used;
    struct fault f;
    enum err e = check_keys_used(m, &f);
    if (e)
        return work_fault(w, e, &f);
    for (size_t i = 0; i < m->n_keys && !e; i++) {
        const Wire__KeyUse *use = m->keys[i];
        uint64_t at_ms = use->at_ms < w->now_ms ? use->at_ms : w->now_ms;
        struct index_entries old;
        Rec__Key *k;
        e = account_key(w->txn, w->arena, use->workspace, use->key, &k);
        if (e == ERR_NOT_FOUND) {
            e = ERR_OK; // gone meanwhile
        } else if (!e && at_ms > k->last_used_ms) {
            k->last_used_ms = at_ms;
            kind_entries(account_kind(k), k, &old);
            e = work_put(w, account_kind(k), &old, k);
        }
    }
    return e;
}

// ---------------------------------------------------------------- workspaces

// The rows inside the new workspace are the system's: its people need not know who runs the installation.
static enum err fill_workspace(struct work *w, const Wire__WorkspaceCreate *m)
{
    static char key_name[] = "admin-api-key";
    Wire__KeyCreate kc = WIRE__KEY_CREATE__INIT;
    struct work inside = *w;
    Rec__User *u;
    Rec__Key *k;
    inside.actor = "system";
    inside.user = inside.key = 0;
    enum err e = account_add_workspace(&inside, m->name);
    if (!e)
        e = account_add_user(&inside, m->admin_name, ROLE_ADMIN, m->admin_password, &u);
    kc.name = key_name;
    kc.hash = m->key_hash;
    kc.last4 = m->key_last4;
    if (!e)
        e = account_add_key(&inside, &kc, u->id, ROLE_ADMIN, &k);
    w->wrote = w->wrote || inside.wrote;
    return e ? e : answer_workspace_made(w, inside.workspace);
}

enum err cmd_workspace_create(struct work *w)
{
    const Wire__WorkspaceCreate *m = w->cmd->item->workspace_create;
    Wire__Row r = WIRE__ROW__INIT;
    struct fault f;
    Rec__Key *k;
    enum err e = check_workspace_create(m, &f);
    if (e)
        return work_fault(w, e, &f);
    e = name_free(w, m->admin_name, "admin.username");
    if (e)
        return e;
    if (w->turn->meta->last_id[ENTITY_WORKSPACE] >= WORKSPACES_MAX)
        return work_refuse(w, ERR_BAD_STATE, NULL, "There can be at most 1000 workspaces");
    e = account_key_by_hash(w->txn, w->arena, m->key_hash.data, &k);
    if (e != ERR_NOT_FOUND)
        return e ? e : work_refuse(w, ERR_BAD_STATE, NULL, "This key exists already");
    e = fill_workspace(w, m);
    if (e)
        return e;
    r.entity = w->answer->workspace_made->workspace->id;
    r.name = m->name;
    return work_row(w, &r, ROW_WORKSPACE_CREATED);
}
