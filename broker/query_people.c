// Users and workspaces.
#include "names.h"
#include "query_parts.h"
#include "store_account.h"

// For a gateway that compares a password: no client ever sees this.
enum err query_user_lookup(struct query *q, const Wire__UserLookup *l, Wire__Answer *a)
{
    MAKE(q, Wire__UserSecret, WIRE__USER_SECRET__INIT, o);
    Rec__User *u;
    enum err e = *l->name ? account_user_by_name(q->txn, q->arena, l->name, &u)
                          : kind_get(q->txn, q->arena, KIND_USER, q->workspace, l->id ? l->id : q->user, &u);
    if (e)
        return e;
    o->id = u->id;
    o->workspace = u->workspace;
    o->name = u->name;
    o->password = u->password;
    o->disabled = u->disabled;
    a->body_case = WIRE__ANSWER__BODY_USER_SECRET;
    a->user_secret = o;
    return ERR_OK;
}

// All of the workspace, oldest first.
enum err query_user_list(struct query *q, Wire__Answer *a)
{
    MAKE(q, Wire__Users, WIRE__USERS__INIT, out);
    struct view v = view_of(q);
    uint64_t id = 0;
    enum err e;
    a->body_case = WIRE__ANSWER__BODY_USERS;
    a->users = out;
    out->users = arena_alloc(q->arena, USERS_MAX * sizeof *out->users);
    if (!out->users)
        return ERR_NO_MEMORY;
    if (q->role < ROLE_ADMIN)
        return ERR_FORBIDDEN;
    while (!(e = account_user_after(q->txn, q->workspace, id, &id)) && id && out->n_users < USERS_MAX) {
        Rec__User *u;
        e = kind_get(q->txn, q->arena, KIND_USER, q->workspace, id, &u);
        if (!e)
            e = view_user(&v, u, &out->users[out->n_users++]);
        if (e)
            return e;
    }
    return e;
}

// For admins of the first one. They are never deleted, so their numbers have no holes.
enum err query_workspace_list(struct query *q, Wire__Answer *a)
{
    MAKE(q, Wire__Workspaces, WIRE__WORKSPACES__INIT, out);
    struct view v = view_of(q);
    enum err e = ERR_OK;
    a->body_case = WIRE__ANSWER__BODY_WORKSPACES;
    a->workspaces = out;
    out->workspaces = arena_alloc(q->arena, WORKSPACES_MAX * sizeof *out->workspaces);
    if (!out->workspaces)
        return ERR_NO_MEMORY;
    if (q->role < ROLE_ADMIN || q->workspace != 1)
        return ERR_FORBIDDEN;
    for (uint64_t id = 1; id <= WORKSPACES_MAX && !e; id++) {
        Rec__Workspace *w;
        e = kind_get(q->txn, q->arena, KIND_WORKSPACE, id, id, &w);
        if (!e)
            e = view_workspace_of(&v, w, &out->workspaces[out->n_workspaces++]);
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}
