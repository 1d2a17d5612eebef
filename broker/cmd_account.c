// Commands on keys, settings and peers, and the first start.
#include <string.h>
#include "change.h"
#include "commands.h"
#include "crypto.h"
#include "store_account.h"
#include "view.h"

// ---------------------------------------------------------------- keys

enum err cmd_key_create(struct work *w)
{
    const Wire__KeyCreate *m = w->cmd->item->key_create;
    struct view v = { .txn = w->txn, .arena = w->arena };
    struct key prefix = { .n = 0 };
    struct slice taken;
    unsigned n;
    Rec__Key *k;
    struct fault f;
    enum err e = check_key_create(m, &f);
    if (e)
        return work_fault(w, e, &f);
    if (m->role > w->role) // the role of the key that asks, so that a key cannot make a stronger one
        return work_refuse(w, ERR_FORBIDDEN, "role", "A key's role can be no higher than your own");
    if (m->expires_ms && m->expires_ms <= w->now_ms)
        return work_refuse(w, ERR_INVALID_FIELD, "expiresAt", "It must be in the future");
    e = store_get(w->txn, DB_INDEX, key_bytes(key_u8(&prefix, INDEX_KEY_HASH), m->hash.data, m->hash.len), &taken);
    if (e != ERR_NOT_FOUND)
        return e ? e : work_refuse(w, ERR_BAD_STATE, NULL, "This key exists already");
    e = account_count(w->txn, INDEX_KEY_USER, w->workspace, w->user, KEYS_A_USER_MAX, &n);
    if (e)
        return e;
    if (n == KEYS_A_USER_MAX)
        return work_refuse(w, ERR_BAD_STATE, NULL, "A user can have at most 1000 keys: revoke some first");
    e = account_add_key(w, m, w->user, m->role ? m->role : w->role, &k);
    w->answer->body_case = WIRE__ANSWER__BODY_KEY;
    return e ? e : view_key(&v, k, &w->answer->key);
}

enum err cmd_key_revoke(struct work *w)
{
    Rec__Key *k;
    struct index_entries old;
    enum err e = work_get(w, KIND_KEY, w->workspace, w->cmd->item->key_revoke->id, &k, &old);
    if (e)
        return e;
    if (k->user != w->user && w->role < ROLE_ADMIN)
        return ERR_NOT_FOUND;
    if (k->role > w->role)
        return work_refuse(w, ERR_FORBIDDEN, NULL, "The key's role is higher than your own");
    e = work_del(w, KIND_KEY, &old, k);
    return e ? e : account_key_row(w, k, ROW_KEY_REVOKED);
}

// ---------------------------------------------------------------- settings

static char *percent_text(struct work *w, uint32_t hundredths)
{
    char t[ID_TEXT_MAX];
    size_t n = id_format(t, ENTITY_NONE, hundredths / 100);
    if (hundredths % 100) {
        t[n++] = '.';
        t[n++] = (char)('0' + hundredths % 100 / 10);
        if (hundredths % 10)
            t[n++] = (char)('0' + hundredths % 10);
        t[n] = 0;
    }
    return work_copy(w, t + 1, ID_TEXT_MAX);
}

enum err cmd_settings_put(struct work *w)
{
    const Wire__SettingsPut *m = w->cmd->item->settings_put;
    struct view v = { .txn = w->txn, .arena = w->arena };
    Rec__Workspace *ws;
    struct fault f;
    enum err e = check_settings_put(m, &f);
    if (e)
        return work_fault(w, e, &f);
    e = work_get(w, KIND_WORKSPACE, w->workspace, w->workspace, &ws, NULL);
    if (e)
        return e;
    const Wire__Settings *s = m->settings;
    struct changes c = change_begin(w, ROW_SETTINGS_UPDATED);
    const struct {
        unsigned bit;
        const char *field;
        uint32_t *at, to;
    } percent[] = {
        { SET_CPU, "alertThresholds.cpu", &ws->cpu, s->cpu },
        { SET_MEMORY, "alertThresholds.memory", &ws->memory, s->memory },
        { SET_DISK, "alertThresholds.disk", &ws->disk, s->disk },
    };
    for (size_t i = 0; i < sizeof percent / sizeof *percent; i++)
        if (m->set & percent[i].bit) {
            change_text(&c, percent[i].field, percent_text(w, *percent[i].at), percent_text(w, percent[i].to));
            *percent[i].at = percent[i].to;
        }
    if (m->set & SET_REQUIRE_APPROVAL) {
        change_flag(&c, "requireApproval", ws->require_approval, s->require_approval);
        ws->require_approval = s->require_approval;
    }
    if (m->set & SET_RETENTION) {
        change_number(&c, "retentionDays", ws->retention_days, s->retention_days);
        ws->retention_days = s->retention_days;
    }
    if (m->set & SET_TIMEOUT) {
        change_number(&c, "defaultTimeoutSeconds", ws->default_timeout_s, s->default_timeout_s);
        ws->default_timeout_s = s->default_timeout_s;
    }
    work_touch_desktop(w, w->workspace, 0); // whoever judges by thresholds looks at them again
    e = c.err;
    if (!e)
        e = work_put(w, KIND_WORKSPACE, NULL, ws);
    w->answer->body_case = WIRE__ANSWER__BODY_SETTINGS;
    return e ? e : view_settings(&v, ws, &w->answer->settings);
}

// ---------------------------------------------------------------- peers

// Workers are counted from 1, since people see their ids; gateways, in the same database, far above them.
static const uint64_t GATEWAY_IDS = (uint64_t)1 << 40;

enum err cmd_worker_add(struct work *w)
{
    const Wire__WorkerAdd *m = w->cmd->item->worker_add;
    struct key k = { .n = 0 };
    struct slice taken;
    struct fault f;
    enum err e = check_worker_add(m, &f);
    if (e)
        return work_fault(w, e, &f);
    size_t n = strlen(m->name);
    key_bytes(key_u8(key_u8(&k, INDEX_PEER_NAME), (uint8_t)m->peer), m->name, n < 60 ? n : 60);
    e = store_get(w->txn, DB_INDEX, &k, &taken);
    if (e != ERR_NOT_FOUND)
        return e ? e : work_refuse(w, ERR_BAD_STATE, "name", "There is one of that name already");
    Rec__Peer *p = arena_alloc(w->arena, sizeof *p);
    if (!p)
        return ERR_NO_MEMORY;
    *p = (Rec__Peer)REC__PEER__INIT;
    p->id = m->peer == 2 ? work_id(w, ENTITY_WORKER) : GATEWAY_IDS + work_id(w, ENTITY_SYSTEM);
    p->name = m->name;
    p->role = m->peer;
    p->public_key = m->public_key;
    p->created_ms = w->now_ms;
    e = work_put(w, KIND_PEER, NULL, p);
    if (!e && w->user) { // those the broker makes for itself at its start are nobody's doing
        Wire__Row row = WIRE__ROW__INIT;
        row.entity = p->id;
        row.name = p->name;
        e = work_row(w, &row, ROW_WORKER_CREATED);
    }
    return e ? e : answer_worker(w, p);
}

// ---------------------------------------------------------------- the first start

static enum err make_admin(struct work *w, const Wire__Init *m)
{
    static char name[] = "admin", no_password[1], key_name[] = "admin-api-key";
    Wire__KeyCreate kc = WIRE__KEY_CREATE__INIT;
    Rec__User *u;
    Rec__Key *k;
    enum err e = account_add_user(w, name, ROLE_ADMIN, no_password, &u);
    kc.name = key_name;
    kc.hash = m->admin_key_hash;
    kc.last4 = m->admin_key_last4;
    return e ? e : account_add_key(w, &kc, u->id, ROLE_ADMIN, &k);
}

// Workspace, user and key of an empty store, and the desktop `local` if asked for. A store in use is only brought up to date.
enum err cmd_init(struct work *w)
{
    const Wire__Init *m = w->cmd->item->init;
    static char first[] = "default";
    if (w->turn->meta->last_id[ENTITY_WORKSPACE])
        return ERR_OK; // a start that was cut off before it had heard of it
    if (m->admin_key_hash.len != HASH_SIZE)
        return ERR_BAD_REQUEST;
    w->turn->meta->epoch = m->epoch_seed;
    enum err e = account_add_workspace(w, first);
    if (!e)
        e = make_admin(w, m);
    if (e || !m->local_desktop)
        return e;
    static char name[] = "local";
    Wire__DesktopPut d = WIRE__DESKTOP_PUT__INIT;
    Wire__Item item = WIRE__ITEM__INIT, *before = w->cmd->item;
    d.name = name;
    d.driver = DRIVER_LOCAL;
    item.body_case = WIRE__ITEM__BODY_DESKTOP_CREATE;
    item.desktop_create = &d;
    w->cmd->item = &item;
    e = cmd_desktop_create(w);
    w->cmd->item = before;
    return e;
}
