// Users and workspaces, for admins. A password that comes along is judged and hashed first; the broker gets only what became of it.
#include "api.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "crypto.h"
#include "gateway.h"
#include "password_rule.h"
#include "shape.h"
#include "shape_body.h"

// What is known of a command while its password is made; request.own, wiped with it.
struct person {
    Wire__Item__BodyCase what;
    Wire__UserPut user;
    Wire__WorkspaceCreate workspace;
    char name[USER_NAME_MAX + 1], workspace_name[4 * NAME_MAX_CHARS + 1];
    char hashed[PASSWORD_HASH_SIZE];
    uint8_t key_hash[HASH_SIZE];
    char key[API_KEY_MAX];
    const char *field; // of the password
    char password[4 * PASSWORD_MAX + 1];
};

static struct person *person_new(struct request *r, Wire__Item__BodyCase what)
{
    struct person *p = r->own = calloc(1, sizeof *p);

    r->own_secret = p ? sizeof *p : 0;
    if (p)
        p->what = what;
    return p;
}

// ---------------------------------------------------------------- once the password is made, or when there is none

static void made_user(struct request *r, const Wire__Answer *a)
{
    const struct person *p = r->own;

    shape_person(request_json(), a->user);
    request_send(r, p->what == WIRE__ITEM__BODY_USER_CREATE ? 201 : 200);
}

static void made_workspace(struct request *r, const Wire__Answer *a)
{
    const struct person *p = r->own;

    shape_workspace_made(request_json(), a->workspace_made, p->key);
    request_send(r, 201);
}

static void go_on(struct request *r)
{
    Wire__Item item = WIRE__ITEM__INIT;
    struct person *p = r->own;

    item.body_case = p->what;
    if (p->what == WIRE__ITEM__BODY_WORKSPACE_CREATE) {
        p->workspace.admin_password = p->hashed;
        item.workspace_create = &p->workspace;
        request_ask(r, &item, WIRE__ANSWER__BODY_WORKSPACE_MADE, made_workspace);
    } else {
        p->user.password = p->hashed;
        item.user_create = &p->user;
        request_ask(r, &item, WIRE__ANSWER__BODY_USER, made_user);
    }
}

static void hashed_cb(struct password_call *c, enum err e, const char *hashed)
{
    struct request *r = container_of(c, struct request, password);
    struct person *p = r->own;

    if (e) {
        request_fail(r, e, NULL, NULL);
        return;
    }
    (void)snprintf(p->hashed, sizeof p->hashed, "%s", hashed);
    go_on(r);
}

static void judge(struct request *r, const char *name)
{
    struct person *p = r->own;
    const char *why = password_rule(p->password, name);

    if (why) {
        request_fail(r, ERR_INVALID_FIELD, p->field, why);
        return;
    }
    r->password.cb = hashed_cb;
    enum err e = password_ask(r->x->gw->passwords, &r->password, NULL, NULL, p->password);
    crypto_wipe(p->password, sizeof p->password);
    if (e == ERR_OVERLOADED)
        request_refuse(r, 429, "RATE_LIMITED", "Too many passwords at once: try again");
    else if (e)
        request_fail(r, e, NULL, NULL);
}

// Takes a copy of the password, if there is one. False: it has been answered.
static bool keep_password(struct request *r, const char *password, const char *field)
{
    struct person *p = r->own;

    p->field = field;
    if (password && strlen(password) >= sizeof p->password) {
        request_fail(r, ERR_INVALID_FIELD, field, "At least 12 and at most 256 characters");
        return false;
    }
    if (password)
        memcpy(p->password, password, strlen(password) + 1);
    return true;
}

// ---------------------------------------------------------------- users

static void listed(struct request *r, const Wire__Answer *a)
{
    struct json *j = request_json();

    json_open(j, '[');
    for (size_t i = 0; i < a->users->n_users; i++)
        shape_person(j, a->users->users[i]);
    json_close(j, ']');
    request_send(r, 200);
}

void api_user_list(struct request *r)
{
    request_ask_target(r, WIRE__ITEM__BODY_USER_LIST, 0, WIRE__ANSWER__BODY_USERS, listed);
}

static void create_user(struct request *r, const Wire__UserPut *m, const char *password)
{
    struct person *p = person_new(r, WIRE__ITEM__BODY_USER_CREATE);

    if (!p) {
        request_fail(r, ERR_NO_MEMORY, NULL, NULL);
        return;
    }
    p->user = *m;
    (void)snprintf(p->name, sizeof p->name, "%s", m->name);
    p->user.name = p->name;
    if (!keep_password(r, password, "password"))
        return;
    if (password)
        judge(r, p->name);
    else
        go_on(r);
}

void api_user_create(struct request *r)
{
    struct fault f = { NULL, NULL };
    const char *password;
    Wire__UserPut m;
    json_t *o;

    if (!request_body(r, &o))
        return;
    request_wipe_body(r);
    enum err e = shape_user_create(o, &m, &password, &f);
    if (e == ERR_OK)
        create_user(r, &m, password);
    else
        request_fail(r, e, f.field, f.text);
    json_in_wipe(o, "password");
    json_decref(o);
}

static void found(struct request *r, const Wire__Answer *a)
{
    judge(r, a->user_secret->name);
}

// The password must not contain the user's name, so that is asked for first.
static void edit_user(struct request *r, const Wire__UserPut *m, const char *password)
{
    struct person *p = person_new(r, WIRE__ITEM__BODY_USER_EDIT);
    Wire__UserLookup l = WIRE__USER_LOOKUP__INIT;
    Wire__Item item = WIRE__ITEM__INIT;

    if (!p) {
        request_fail(r, ERR_NO_MEMORY, NULL, NULL);
        return;
    }
    p->user = *m;
    if (!keep_password(r, password, "password"))
        return;
    if (!password) {
        go_on(r);
        return;
    }
    p->user.set |= UEDIT_PASSWORD;
    l.id = m->id;
    item.body_case = WIRE__ITEM__BODY_USER_LOOKUP;
    item.user_lookup = &l;
    request_ask(r, &item, WIRE__ANSWER__BODY_USER_SECRET, found);
}

void api_user_edit(struct request *r)
{
    struct fault f = { NULL, NULL };
    const char *password;
    Wire__UserPut m;
    json_t *o;

    if (!request_body(r, &o))
        return;
    request_wipe_body(r);
    enum err e = shape_user_edit(o, r->id, &m, &password, &f);
    if (e == ERR_OK)
        edit_user(r, &m, password);
    else
        request_fail(r, e, f.field, f.text);
    json_in_wipe(o, "password");
    json_decref(o);
}

void api_user_delete(struct request *r)
{
    request_ask_target(r, WIRE__ITEM__BODY_USER_DELETE, r->id, WIRE__ANSWER__BODY__NOT_SET, request_done);
}

// ---------------------------------------------------------------- workspaces

static void listed_workspaces(struct request *r, const Wire__Answer *a)
{
    struct json *j = request_json();

    json_open(j, '[');
    for (size_t i = 0; i < a->workspaces->n_workspaces; i++)
        shape_workspace(j, a->workspaces->workspaces[i]);
    json_close(j, ']');
    request_send(r, 200);
}

void api_workspace_list(struct request *r)
{
    request_ask_target(r, WIRE__ITEM__BODY_WORKSPACE_LIST, 0, WIRE__ANSWER__BODY_WORKSPACES, listed_workspaces);
}

// The texts of the message are copied once they are known to be within their limits.
static enum err read_workspace(const json_t *o, struct person *p, const char **ret_password, struct fault *f)
{
    Wire__WorkspaceCreate *m = &p->workspace;
    enum err e = shape_workspace_create(o, m, ret_password, f);

    if (e)
        return e;
    crypto_api_key(p->key);
    crypto_hash(p->key_hash, p->key, strlen(p->key));
    m->key_hash = (ProtobufCBinaryData){ HASH_SIZE, p->key_hash };
    m->key_last4 = p->key + strlen(p->key) - 4;
    e = check_workspace_create(m, f);
    if (e)
        return e;
    (void)snprintf(p->name, sizeof p->name, "%s", m->admin_name);
    (void)snprintf(p->workspace_name, sizeof p->workspace_name, "%s", m->name);
    m->admin_name = p->name;
    m->name = p->workspace_name;
    return ERR_OK;
}

void api_workspace_create(struct request *r)
{
    struct fault f = { NULL, NULL };
    const char *password = NULL;
    json_t *o;

    if (!request_body(r, &o))
        return;
    request_wipe_body(r);
    struct person *p = person_new(r, WIRE__ITEM__BODY_WORKSPACE_CREATE);
    enum err e = p ? read_workspace(o, p, &password, &f) : ERR_NO_MEMORY;
    if (e)
        request_fail(r, e, f.field, f.text);
    else if (keep_password(r, password, "admin.password"))
        password ? judge(r, p->name) : go_on(r);
    json_in_wipe(json_object_get(o, "admin"), "password");
    json_decref(o);
}
