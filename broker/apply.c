// Happy path: read meta, give each command its turn, write counters and meta. A command that fails has written nothing; an error
// of the store ends the turn, and nothing of it happened.
#include "apply.h"
#include <string.h>
#include "commands.h"
#include "crypto.h"
#include "migrate.h"
#include "store_account.h"

enum {
    GROWS = 1, // refused while the store has no room
    OPEN = 2,  // comes without an actor: nobody is signed in yet, or nobody in particular is meant
    WHOLE = 4, // concerns the installation: only people of the first workspace
};

// The commands: item, function, who may send it, least role of the actor, flags.
#define COMMANDS(M)                                                      \
    M(TASK_CREATE,    task_create,    GATEWAY, ROLE_OPERATOR, GROWS)     \
    M(TASK_EDIT,      task_edit,      GATEWAY, ROLE_OPERATOR, 0)         \
    M(TASK_DELETE,    task_delete,    GATEWAY, ROLE_OPERATOR, 0)         \
    M(TASK_RUN,       task_run,       GATEWAY, ROLE_OPERATOR, GROWS)     \
    M(TASK_CANCEL,    task_cancel,    GATEWAY, ROLE_OPERATOR, 0)         \
    M(TASK_RETRY,     task_retry,     GATEWAY, ROLE_OPERATOR, GROWS)     \
    M(RESOLVE,        resolve,        GATEWAY, ROLE_OPERATOR, 0)         \
    M(COMMENT_ADD,    comment_add,    GATEWAY, ROLE_OPERATOR, GROWS)     \
    M(DESKTOP_CREATE, desktop_create, GATEWAY, ROLE_ADMIN,    GROWS)     \
    M(DESKTOP_EDIT,   desktop_edit,   GATEWAY, ROLE_ADMIN,    0)         \
    M(DESKTOP_DELETE, desktop_delete, GATEWAY, ROLE_ADMIN,    0)         \
    M(DESKTOP_ACT,    desktop_act,    GATEWAY, ROLE_OPERATOR, 0)         \
    M(AGENT_EDIT,     agent_edit,     GATEWAY, ROLE_ADMIN,    0)         \
    M(KEY_CREATE,     key_create,     GATEWAY, ROLE_VIEWER,   GROWS)     \
    M(KEY_REVOKE,     key_revoke,     GATEWAY, ROLE_VIEWER,   0)         \
    M(USER_CREATE,    user_create,    GATEWAY, ROLE_ADMIN,    GROWS)     \
    M(USER_EDIT,      user_edit,      GATEWAY, ROLE_ADMIN,    0)         \
    M(USER_DELETE,    user_delete,    GATEWAY, ROLE_ADMIN,    0)         \
    M(SIGN_IN,        sign_in,        GATEWAY, ROLE_NONE,     OPEN)      \
    M(SIGN_OUT,       sign_out,       GATEWAY, ROLE_VIEWER,   0)         \
    M(PASSWORD_SET,   password_set,   GATEWAY, ROLE_VIEWER,   0)         \
    M(KEYS_USED,      keys_used,      GATEWAY, ROLE_NONE,     OPEN)      \
    M(WORKSPACE_CREATE, workspace_create, GATEWAY, ROLE_ADMIN, GROWS | WHOLE) \
    M(SETTINGS_PUT,   settings_put,   GATEWAY, ROLE_ADMIN,    0)         \
    M(WORKER_ADD,     worker_add,     GATEWAY, ROLE_ADMIN,    GROWS | WHOLE) \
    M(MAINTENANCE,    maintenance,    GATEWAY, ROLE_ADMIN,    GROWS)     \
    M(WORKER_DRAIN,   worker_drain,   GATEWAY, ROLE_ADMIN,    WHOLE)     \
    M(WEBHOOK_CREATE, webhook_create, GATEWAY, ROLE_ADMIN,    GROWS)     \
    M(WEBHOOK_EDIT,   webhook_edit,   GATEWAY, ROLE_ADMIN,    0)         \
    M(WEBHOOK_DELETE, webhook_delete, GATEWAY, ROLE_ADMIN,    0)         \
    M(WEBHOOK_TEST,   webhook_test,   GATEWAY, ROLE_ADMIN,    GROWS)     \
    M(WORK_REPORT,    work_report,    WORKER,  ROLE_NONE,     0)         \
    M(HOOK_REPORT,    hook_report,    WORKER,  ROLE_NONE,     0)         \
    M(HOOK_NEXT,      hook_next,      BROKER,  ROLE_NONE,     GROWS)     \
    M(INIT,           init,           BROKER,  ROLE_NONE,     0)         \
    M(WORKER_HELLO,   worker_hello,   BROKER,  ROLE_NONE,     0)         \
    M(ASSIGN,         assign,         BROKER,  ROLE_NONE,     GROWS)     \
    M(RENEW,          renew,          BROKER,  ROLE_NONE,     0)         \
    M(EXPIRE,         expire,         BROKER,  ROLE_NONE,     0)         \
    M(RELEASE,        release,        BROKER,  ROLE_NONE,     0)         \
    M(OBSERVE,        observe,        BROKER,  ROLE_NONE,     0)         \
    M(SAMPLE,         sample,         BROKER,  ROLE_NONE,     GROWS)     \
    M(ALERT,          alert,          BROKER,  ROLE_NONE,     0)         \
    M(TICK,           tick,           BROKER,  ROLE_NONE,     0)

struct command {
    Wire__Item__BodyCase body;
    enum err (*run)(struct work *w);
    enum sender sender;
    enum role role;
    unsigned flags;
};
static const struct command commands[] = {
#define M(item, function, who, least, fl) { WIRE__ITEM__BODY_##item, cmd_##function, SENDER_##who, least, fl },
    COMMANDS(M)
#undef M
};

static const struct command *find(Wire__Item__BodyCase body)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (commands[i].body == body)
            return &commands[i];
    return NULL;
}

int apply_is_command(Wire__Item__BodyCase body)
{
    return find(body) != NULL;
}

enum err meta_read(struct txn *t, struct arena *a, Rec__Meta **ret)
{
    struct key k = { .n = 0 };
    enum err e = rec_get(t, a, DB_META, key_u8(&k, 1), &rec__meta__descriptor, ret);
    if (e && e != ERR_NOT_FOUND)
        return e;
    if (e) {
        *ret = arena_alloc(a, sizeof **ret);
        if (!*ret)
            return ERR_NO_MEMORY;
        **ret = (Rec__Meta)REC__META__INIT;
        (*ret)->schema = STORE_SCHEMA;
        (*ret)->oldest = 1;
    }
    // one counter for every kind there is, also kinds that came with a later version
    Rec__Meta *m = *ret;
    uint64_t *ids = arena_alloc(a, ENTITY_COUNT * sizeof *ids);
    if (!ids)
        return ERR_NO_MEMORY;
    memset(ids, 0, ENTITY_COUNT * sizeof *ids);
    if (m->n_last_id)
        memcpy(ids, m->last_id, (m->n_last_id < ENTITY_COUNT ? m->n_last_id : ENTITY_COUNT) * sizeof *ids);
    m->last_id = ids;
    m->n_last_id = ENTITY_COUNT;
    return ERR_OK;
}

// The actor of a gateway's command, from the key (or session) alone: a revoked one changes nothing, whatever the gateway remembers.
static enum err authenticate(struct work *w, const struct command *c)
{
    const Wire__Actor *a = w->cmd->item->actor;
    Rec__Key *k;
    Rec__User *u;
    if (!a)
        return ERR_UNAUTHORIZED;
    enum err e = account_key(w->txn, w->arena, a->workspace, a->key, &k);
    if (!e)
        e = work_get(w, KIND_USER, k->workspace, k->user, &u, NULL);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_UNAUTHORIZED : e;
    if (account_key_over(k, w->now_ms, USE_TOLD_LATE_MS) || u->disabled)
        return ERR_UNAUTHORIZED;
    w->workspace = k->workspace;
    w->key = k->id;
    w->user = u->id;
    w->role = k->role < u->role ? k->role : u->role;
    w->actor = u->name;
    return w->role < c->role ? ERR_FORBIDDEN : ERR_OK;
}

// ---------------------------------------------------------------- repeats

// Number 0 holds the client's low mark: up to there it has had its answers, and what they were is forgotten.
static struct key dedupe_key(const struct cmd *c, uint64_t number)
{
    struct key k = { .n = 0 };
    return *key_u64(key_bytes(&k, c->client_id, 16), number);
}

static enum err low_mark(struct work *w, uint64_t *ret)
{
    struct key k = dedupe_key(w->cmd, 0);
    Rec__Outcome *o;
    enum err e = rec_get(w->txn, w->arena, DB_DEDUPE, &k, &rec__outcome__descriptor, &o);
    *ret = e ? 0 : o->id;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err repeat(struct work *w, bool *ret_done)
{
    struct key k = dedupe_key(w->cmd, w->cmd->item->number);
    Rec__Outcome *o;
    uint64_t low;
    enum err e = low_mark(w, &low);
    *ret_done = false;
    if (e)
        return e;
    if (w->cmd->item->number <= low) // a copy that was under way for long: it was applied, and its client does not wait any more
        return ERR_OUTCOME_UNKNOWN;
    e = rec_get(w->txn, w->arena, DB_DEDUPE, &k, &rec__outcome__descriptor, &o);
    *ret_done = e == ERR_OK;
    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    return cmd_answer_again(w, o);
}

static uint64_t answered_id(const Wire__Answer *a)
{
    switch (a->body_case) {
    case WIRE__ANSWER__BODY_TASK: return a->task->id;
    case WIRE__ANSWER__BODY_APPROVAL: return a->approval->id;
    case WIRE__ANSWER__BODY_DESKTOP: return a->desktop->id;
    case WIRE__ANSWER__BODY_KEY: return a->key->id;
    case WIRE__ANSWER__BODY_EVENT: return a->event->number;
    case WIRE__ANSWER__BODY_COMMENT: return a->comment->id;
    case WIRE__ANSWER__BODY_AGENT: return a->agent->id;
    case WIRE__ANSWER__BODY_WORKER: return a->worker->id;
    case WIRE__ANSWER__BODY_USER: return a->user->id;
    case WIRE__ANSWER__BODY_CREDENTIAL: return a->credential->key;
    case WIRE__ANSWER__BODY_WORKSPACE_MADE: return a->workspace_made->workspace->id;
    case WIRE__ANSWER__BODY_WEBHOOK: return a->webhook->id;
    case WIRE__ANSWER__BODY_DELIVERY: return a->delivery->id;
    default: return 0;
    }
}

static enum err keep_answer(struct work *w)
{
    struct key k = dedupe_key(w->cmd, w->cmd->item->number);
    Rec__Outcome o = REC__OUTCOME__INIT;
    o.answer = w->answer->body_case;
    o.id = answered_id(w->answer);
    o.workspace = w->workspace;
    o.expires_log_ms = w->log_ms + OUTCOME_KEPT_MS;
    return rec_put(w->txn, w->arena, DB_DEDUPE, &k, &o);
}

// Answers the client has seen: a few go with each of its commands, so that they never pile up.
static enum err drop_answered(struct work *w)
{
    enum { PER_COMMAND = 3 };
    struct key prefix = { .n = 0 }, from = dedupe_key(w->cmd, 1), low_key = dedupe_key(w->cmd, 0);
    Rec__Outcome low = REC__OUTCOME__INIT;
    struct cursor c;
    enum err e = cursor_open(&c, w->txn, DB_DEDUPE, key_bytes(&prefix, w->cmd->client_id, 16));
    if (e)
        return e;
    bool on = cursor_seek(&c, &from);
    for (int i = 0; on && i < PER_COMMAND && !e && key_read_u64(c.key.b + 16) <= w->cmd->answered_up_to; i++) {
        low.id = key_read_u64(c.key.b + 16);
        e = cursor_del(&c);
        on = !e && cursor_next(&c);
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    if (e || !low.id)
        return e;
    low.expires_log_ms = w->log_ms + OUTCOME_KEPT_MS;
    return rec_put(w->txn, w->arena, DB_DEDUPE, &low_key, &low);
}

// ---------------------------------------------------------------- one command

static enum err dispatch(struct work *w, const struct command *c)
{
    bool done = false;
    enum err e = ERR_OK;
    if (c->sender != w->cmd->sender && w->cmd->sender != SENDER_BROKER)
        return ERR_FORBIDDEN;
    if (w->cmd->sender == SENDER_GATEWAY && !(c->flags & OPEN))
        e = authenticate(w, c);
    if (!e && (c->flags & WHOLE) && w->cmd->sender == SENDER_GATEWAY && w->workspace != 1)
        e = work_refuse(w, ERR_FORBIDDEN, NULL, "This is for admins of the first workspace");
    if (!e && w->cmd->client_id)
        e = repeat(w, &done);
    if (e || done)
        return e;
    if (w->turn->batch->full && (c->flags & GROWS))
        return ERR_STORAGE_FULL;
    e = c->run(w);
    if (e || !w->cmd->client_id)
        return e;
    e = keep_answer(w);
    return e ? e : drop_answered(w);
}

// ERR_OK: the answer is in the command, refusals too. Else the turn must be aborted.
static enum err one(struct turn *t, struct cmd *cmd)
{
    struct work w = {
        .turn = t, .txn = t->txn, .arena = t->arena, .now_ms = t->meta->now_ms, .log_ms = t->meta->log_ms,
        .cmd = cmd, .answer = &cmd->answer, .actor = "system",
    };
    cmd->answer = (Wire__Answer)WIRE__ANSWER__INIT;
    cmd->answer.number = cmd->item->number;
    const struct command *c = find(cmd->item->body_case);
    if (cmd->sender == SENDER_BROKER && cmd->item->actor)
        w.workspace = cmd->item->actor->workspace;
    bool refused_early = t->batch->full && c && (c->flags & GROWS);
    enum err e = c ? dispatch(&w, c) : ERR_BAD_REQUEST;
    if (!e && t->arena->failed)
        e = ERR_NO_MEMORY; // a text may have been left out of what was written
    if (work_fatal(e) && !(refused_early && !w.wrote))
        return e;
    if (e && w.wrote)
        return ERR_INTERNAL; // a damaged record met half-way: only an abort leaves no trace
    if (e)
        cmd->answer.body_case = WIRE__ANSWER__BODY__NOT_SET;
    cmd->answer.err = e;
    return ERR_OK;
}

static void begin_turn(struct turn *t, struct batch *b)
{
    Rec__Meta *m = t->meta;
    if (b->now_ms > m->now_ms)
        m->now_ms = b->now_ms;
    if (b->log_ms > m->log_ms)
        m->log_ms = b->log_ms;
    m->applied++;
    b->first = m->newest + 1;
    b->n_touched = 0;
    b->n_rows = 0;
    buf_reset(&b->rows);
}

static enum err end_turn(struct turn *t, struct batch *b)
{
    struct key k = { .n = 0 };
    Rec__Meta *m = t->meta;
    uint8_t *link = arena_alloc(t->arena, HASH_SIZE);
    if (!link)
        return ERR_NO_MEMORY;
    crypto_hash2(link, m->hash.data, m->hash.len, b->hash, sizeof b->hash);
    m->hash = (ProtobufCBinaryData){ HASH_SIZE, link };
    enum err e = turn_flush(t);
    if (!e)
        e = rec_put(t->txn, t->arena, DB_META, key_u8(&k, 1), m);
    b->index = m->applied;
    b->epoch = m->epoch;
    b->newest = m->newest;
    return e;
}

enum err fsm_apply(struct txn *txn, struct batch *b)
{
    struct turn t = { .txn = txn, .arena = b->arena, .batch = b };
    enum err e = meta_read(txn, b->arena, &t.meta);
    if (e)
        return e;
    begin_turn(&t, b);
    for (uint32_t i = 0; i < b->n && !e; i++)
        e = one(&t, b->cmds[i]);
    return e ? e : end_turn(&t, b);
}
