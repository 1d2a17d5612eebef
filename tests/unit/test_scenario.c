// links: broker common lmdb xxhash protobuf-c sodium jansson uv systemd nng fail_store
// The broker's commands under a pretended clock, on a real store: tests/scenario/*.scn are played and each line's answer and rows
// compared; then thousands of random commands are played. After every command the whole store is checked: the counters equal
// what they count, the log is dense, every index entry belongs to an object and every object has its entries.
//
// A line:   at 2s   ask   task_create content=uname desktop=1 run=yes   => task_1 running; row TASK_CREATED; row TASK_STARTED
// Who: ask (a gateway with the admin's key, or as key=N), worker (with worker=N, default 1), broker. SCENARIO_UPDATE=1 prints what
// was seen instead of comparing.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "apply.h"
#include "arena.h"
#include "crypto.h"
#include "event.h"
#include "fail_store.h"
#include "hook_rule.h"
#include "metric.h"
#include "names.h"
#include "posting.h"
#include "query.h"
#include "rnd.h"
#include "store_account.h"
#include "store_comment.h"
#include "store_task.h"
#include "temp_dir.h"
#include "verify.h"

// ---------------------------------------------------------------- the stage: a store, a clock, one batch at a time

static const uint64_t epoch_ms = 1767225600000; // 2026-01-01
static struct {
    char dir[TEMP_DIR_MAX];
    struct store *store;
    struct arena arena;
    struct batch batch;
    uint64_t now_ms, log_ms, number;
    int full;
} stage;

static void stage_open(void)
{
    assert_true(temp_dir_make(stage.dir, "scn"));
    assert_int_equal(store_open(stage.dir, 256 << 20, false, &stage.store), ERR_OK);
    arena_init(&stage.arena, 64 << 20);
    buf_init(&stage.batch.rows, 16 << 20);
    stage.now_ms = epoch_ms;
    stage.log_ms = 1000;
    stage.number = 0;
    stage.full = 0;
}

static void stage_close(void)
{
    store_close(stage.store);
    arena_fini(&stage.arena);
    buf_fini(&stage.batch.rows);
    (void)temp_dir_drop(stage.dir);
}

static enum err apply_once(struct cmd *cmds[], uint32_t n, bool commit)
{
    struct batch *b = &stage.batch;
    struct txn *t;
    arena_reset(&stage.arena);
    b->n = n;
    memcpy(b->cmds, cmds, n * sizeof *cmds);
    b->now_ms = stage.now_ms;
    b->log_ms = stage.log_ms;
    b->arena = &stage.arena;
    b->touched = NULL;
    b->n_touched = b->touched_cap = 0;
    b->full = stage.full;
    assert_int_equal(store_begin(stage.store, true, &t), ERR_OK);
    enum err e = fsm_apply(t, b);
    if (e || !commit)
        store_abort(t);
    else
        assert_int_equal(store_commit(t), ERR_OK);
    return e;
}

// The answers are in the commands, lent until the next call.
static enum err play(struct cmd *cmd)
{
    return apply_once(&cmd, 1, true);
}

// ---------------------------------------------------------------- the whole store, looked at

struct recount {
    uint64_t workspace, desktop;
    struct counts c;
};
static struct recount recounts[512];
static unsigned n_recounts;

static struct counts *recount(uint64_t workspace, uint64_t desktop)
{
    for (unsigned i = 0; i < n_recounts; i++)
        if (recounts[i].workspace == workspace && recounts[i].desktop == desktop)
            return &recounts[i].c;
    assert_true(n_recounts < 512);
    recounts[n_recounts] = (struct recount){ .workspace = workspace, .desktop = desktop };
    return &recounts[n_recounts++].c;
}

static uint64_t n_entries, n_comments;

static void check_entries(struct txn *t, enum kind kind, const void *rec)
{
    struct index_entries es;
    kind_entries(kind, rec, &es);
    for (unsigned i = 0; i < es.n; i++) {
        struct slice s;
        assert_int_equal(store_get(t, DB_INDEX, &es.e[i].key, &s), ERR_OK);
        assert_int_equal(s.n, es.e[i].value_n);
        n_entries++;
    }
}

static void each(struct txn *t, struct arena *a, enum kind kind, void (*seen)(struct txn *, const void *))
{
    struct cursor c;
    assert_int_equal(cursor_open(&c, t, kind_db(kind), NULL), ERR_OK);
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c)) {
        void *rec;
        if (kind_db(kind) == DB_ACCOUNT) {
            static const char tag[KIND_N] = { [KIND_WORKSPACE] = 'w', [KIND_USER] = 'u', [KIND_KEY] = 'k', [KIND_SIGNIN] = 's' };
            if (c.key.b[8] != tag[kind])
                continue;
        }
        assert_int_equal(kind_unpack(kind, a, c.value, &rec), ERR_OK);
        check_entries(t, kind, rec);
        if (seen)
            seen(t, rec);
    }
    assert_int_equal(c.err, ERR_OK);
    cursor_close(&c);
}

// Comments of one task: as many as it says, and each says so too.
static uint64_t count_comments(struct txn *t, uint64_t workspace, uint64_t task)
{
    struct key prefix;
    struct cursor c;
    uint64_t n = 0;
    assert_int_equal(cursor_open(&c, t, DB_COMMENT, comment_key(&prefix, workspace, task, 0)), ERR_OK);
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c)) {
        Rec__Comment *r = rec__comment__unpack(NULL, c.value.n, c.value.p);
        assert_non_null(r);
        assert_true(r->task == task && r->workspace == workspace && r->id == key_read_u64(c.key.b + 16));
        rec__comment__free_unpacked(r, NULL);
        n++;
    }
    cursor_close(&c);
    n_comments += n;
    return n;
}

static void saw_task(struct txn *t, const void *rec)
{
    const Rec__Task *task = rec;
    assert_int_equal(count_comments(t, task->workspace, task->id), task->comments);
    uint64_t at[2] = { 0, task->desktop };
    for (int i = 0; i < 2; i++) {
        struct counts *c = recount(task->workspace, at[i]);
        c->task[task->status][task->type]++;
        c->waiting += task->queued != 0;
    }
    assert_true(!task->queued || task->status == TASK_RUNNING);
    assert_true((task->completed_ms != 0) == (task->status >= TASK_DONE));
    if (task->status == TASK_RUNNING && !task->queued) {
        Rec__Session *s; // a running task either waits or has a running session
        struct arena a;
        arena_init(&a, 1 << 20);
        assert_int_equal(kind_get(t, &a, KIND_SESSION, task->workspace, task->session, &s), ERR_OK);
        assert_int_equal(s->status, SESSION_RUNNING);
        assert_true(s->held);
        assert_int_equal(s->attempt, task->attempt);
        arena_fini(&a);
    }
}

static void saw_session(struct txn *t, const void *rec)
{
    const Rec__Session *s = rec;
    struct arena a;
    Rec__Task *task;
    recount(s->workspace, s->desktop)->held += s->held ? 1 : 0;
    assert_true(s->output_total >= s->output_upto);
    arena_init(&a, 4 << 20);
    enum err e = kind_get(t, &a, KIND_TASK, s->workspace, s->task, &task);
    bool gone;
    assert_int_equal(gone_is(t, s->workspace, s->task, &gone), ERR_OK);
    assert_int_equal(e, gone ? ERR_NOT_FOUND : ERR_OK);
    if (s->status == SESSION_RUNNING) {
        assert_false(gone);
        assert_int_equal(task->session, s->id);
        assert_int_equal(task->status, TASK_RUNNING);
    }
    arena_fini(&a);
}

static void saw_approval(struct txn *t, const void *rec)
{
    const Rec__Approval *a = rec;
    (void)t;
    recount(a->workspace, 0)->pending_approvals += a->status == APPROVAL_PENDING;
}

// It is behind what it delivers, what it delivers is something it asks for, and it has kept as many deliveries as it counts.
static void saw_webhook(struct txn *t, const void *rec)
{
    const Rec__Webhook *h = rec;
    struct hook_match match = hook_match(h->events, h->n_events);
    struct key prefix = { .n = 0 };
    struct cursor c;
    uint64_t kept = 0;
    assert_int_equal(cursor_open(&c, t, DB_DELIVERY, key_u64(key_u64(&prefix, h->workspace), h->id)), ERR_OK);
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c))
        kept++;
    cursor_close(&c);
    assert_int_equal(kept, h->kept);
    assert_true(kept <= DELIVERIES_KEPT && h->attempt < HOOK_ATTEMPTS_MAX && h->open == (h->failures >= HOOK_BREAKER));
    assert_true((h->event != 0) == (h->delivery != 0) && (!h->event || h->event > h->position));
    assert_true(!h->event || (h->enabled && hook_wants(&match, h->row) && h->feed == hook_as_feed(&match, h->row)));
    assert_true(h->enabled || h->n_tests == 0);
}

// Nobody's key outlives its user, and no workspace is ever without an admin who can come in.
static uint64_t admins[8];

static void saw_key(struct txn *t, const void *rec)
{
    const Rec__Key *k = rec;
    struct arena a;
    Rec__User *u;
    arena_init(&a, 1 << 20);
    assert_int_equal(kind_get(t, &a, KIND_USER, k->workspace, k->user, &u), ERR_OK);
    assert_true(!k->session || (k->expires_ms && *u->password && !u->disabled));
    arena_fini(&a);
}

static void saw_user(struct txn *t, const void *rec)
{
    const Rec__User *u = rec;
    (void)t;
    assert_true(u->workspace < 8);
    admins[u->workspace] += u->role == ROLE_ADMIN && !u->disabled;
}

static void check_admins(struct txn *t)
{
    struct arena a;
    Rec__Workspace *ws;
    arena_init(&a, 1 << 20);
    for (uint64_t id = 1; id < 8 && kind_get(t, &a, KIND_WORKSPACE, id, id, &ws) == ERR_OK; id++)
        assert_true(admins[id] > 0);
    memset(admins, 0, sizeof admins);
    arena_fini(&a);
}

static void check_counts(struct txn *t, struct arena *a)
{
    for (unsigned i = 0; i < n_recounts; i++) {
        struct counts stored, *want = &recounts[i].c;
        assert_int_equal(counts_read(t, a, recounts[i].workspace, recounts[i].desktop, &stored), ERR_OK);
        for (unsigned s = 1; s < TASK_STATUS_COUNT; s++)
            for (unsigned y = 1; y < TASK_TYPE_COUNT; y++)
                assert_int_equal(stored.task[s][y], want->task[s][y]);
        assert_int_equal(stored.waiting, want->waiting);
        assert_int_equal(stored.pending_approvals, want->pending_approvals);
        if (recounts[i].desktop)
            assert_int_equal(stored.held, want->held);
    }
}

static void check_log(struct txn *t, struct arena *a)
{
    struct cursor c;
    Rec__Meta *m;
    assert_int_equal(meta_read(t, a, &m), ERR_OK);
    assert_int_equal(cursor_open(&c, t, DB_LOG, NULL), ERR_OK);
    uint64_t next = m->oldest;
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c)) {
        Wire__Row *r = wire__row__unpack(arena_allocator(a), c.value.n, c.value.p);
        assert_non_null(r);
        assert_int_equal(key_read_u64(c.key.b), next);
        assert_int_equal(r->number, next);
        assert_true(r->workspace != 0 && r->row != 0 && r->entity != 0);
        assert_true(*r->actor != 0);
        next++;
    }
    assert_int_equal(next, m->newest + 1);
    cursor_close(&c);
}

// A desktop's history never has more pages than its rings have slots, and goes with the desktop.
static void check_metrics(struct txn *t, struct arena *a)
{
    struct cursor c;
    assert_int_equal(cursor_open(&c, t, DB_METRIC, NULL), ERR_OK);
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c)) {
        enum metric_level level = (enum metric_level)c.key.b[16];
        uint32_t slot = (uint32_t)c.key.b[17] << 24 | (uint32_t)c.key.b[18] << 16 | (uint32_t)c.key.b[19] << 8 | c.key.b[20];
        Rec__MetricPage *p = rec__metric_page__unpack(arena_allocator(a), c.value.n, c.value.p);
        Rec__Desktop *d;
        assert_non_null(p);
        assert_true(c.key.n == 21 && level < LEVEL_N && metric_stored(level) && slot < metric_pages(level));
        assert_true(metric_page_whole(p) && metric_place(level, p->page * METRIC_PAGE_STEPS).slot == slot);
        assert_int_equal(kind_get(t, a, KIND_DESKTOP, key_read_u64(c.key.b), key_read_u64(c.key.b + 8), &d), ERR_OK);
    }
    assert_int_equal(c.err, ERR_OK);
    cursor_close(&c);
}

// What deleted tasks left, and nothing of tasks that are there.
static uint64_t check_gone(struct txn *t, struct arena *a)
{
    struct key prefix = { .n = 0 };
    struct cursor c;
    Rec__Task *task;
    uint64_t n = 0;
    assert_int_equal(cursor_open(&c, t, DB_INDEX, key_u8(&prefix, INDEX_TASK_GONE)), ERR_OK);
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c), n++) {
        uint64_t workspace = key_read_u64(c.key.b + 1), id = key_read_u64(c.key.b + 9);
        assert_int_equal(kind_get(t, a, KIND_TASK, workspace, id, &task), ERR_NOT_FOUND);
        (void)count_comments(t, workspace, id);
    }
    cursor_close(&c);
    assert_int_equal(cursor_open(&c, t, DB_COMMENT, NULL), ERR_OK);
    uint64_t all = 0;
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c))
        all++;
    cursor_close(&c);
    assert_int_equal(all, n_comments);
    return n;
}

// The posting lists and the hours, made anew from the log: each row of it in each of its lists, in order, counted without a gap, and
// nothing beside that but entries of rows that have gone, in a chunk that still holds one that has not.
static uint64_t list_entries(struct txn *t, const struct posting_list *l, uint64_t oldest, const Wire__Row *wanted)
{
    static struct posting_chunk chunk;
    struct key prefix;
    struct cursor c;
    uint64_t n = 0, rank = 0, last = 0;
    bool has = false;
    posting_key(l, &prefix);
    assert_int_equal(cursor_open(&c, t, DB_POSTING, &prefix), ERR_OK);
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c)) {
        struct posting_head h;
        assert_int_equal(posting_head(key_read_u64(c.key.b + c.key.n - 8), c.value, &h), ERR_OK);
        assert_int_equal(posting_unpack(&h, l->family == POSTING_ENTITY, &chunk), ERR_OK);
        assert_true(h.first + h.span >= oldest);
        assert_true(c.value.n <= POSTING_OCTETS);
        if (last)
            assert_int_equal(h.rank, rank);
        rank = h.rank + h.n;
        for (uint32_t i = 0; i < chunk.n; i++) {
            uint64_t number = chunk.first + chunk.off[i];
            assert_true(number > last);
            last = number;
            n += number >= oldest;
            if (number == wanted->number) {
                has = true;
                assert_true(l->family != POSTING_ENTITY || chunk.kind[i] == wanted->row);
            }
        }
    }
    cursor_close(&c);
    assert_true(has);
    return n;
}

struct seen_list {
    struct posting_list list;
    struct key key;
    uint64_t n;
    Wire__Row *row; // its newest
};
static bool trimmed; // some check saw a log whose first rows have gone
static struct seen_list seen_lists[8192];
static unsigned n_seen_lists;

static void saw_row(Wire__Row *r)
{
    struct posting_list lists[POSTING_PER_ROW];
    unsigned n = posting_lists(r, lists);
    for (unsigned i = 0; i < n; i++) {
        struct key key;
        unsigned k = 0;
        posting_key(&lists[i], &key);
        while (k < n_seen_lists && (seen_lists[k].key.n != key.n || memcmp(seen_lists[k].key.b, key.b, key.n) != 0))
            k++;
        assert_true(k < 8192);
        if (k == n_seen_lists)
            seen_lists[n_seen_lists++] = (struct seen_list){ .list = lists[i], .key = key };
        seen_lists[k].n++;
        seen_lists[k].row = r;
    }
}

static void check_postings(struct txn *t, struct arena *a)
{
    struct cursor c;
    Rec__Meta *m;
    uint64_t activities = 0, hours = 0, entries = 0, wanted = 0;
    n_seen_lists = 0;
    assert_int_equal(meta_read(t, a, &m), ERR_OK);
    trimmed = trimmed || m->oldest > 1;
    assert_int_equal(cursor_open(&c, t, DB_LOG, NULL), ERR_OK);
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c)) {
        Wire__Row *r = wire__row__unpack(arena_allocator(a), c.value.n, c.value.p);
        saw_row(r);
        activities += event_type(r->row, VIEW_ACTIVITIES) != NULL;
    }
    cursor_close(&c);
    for (unsigned i = 0; i < n_seen_lists; i++) {
        assert_int_equal(list_entries(t, &seen_lists[i].list, m->oldest, seen_lists[i].row), seen_lists[i].n);
        wanted += seen_lists[i].n;
    }
    assert_int_equal(cursor_open(&c, t, DB_POSTING, NULL), ERR_OK); // no list but those
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c)) {
        struct posting_list l;
        struct posting_head h;
        static struct posting_chunk chunk;
        assert_true(posting_key_read(&c.key, &l));
        assert_int_equal(posting_head(key_read_u64(c.key.b + c.key.n - 8), c.value, &h), ERR_OK);
        assert_int_equal(posting_unpack(&h, l.family == POSTING_ENTITY, &chunk), ERR_OK);
        for (uint32_t i = 0; i < chunk.n; i++)
            entries += chunk.first + chunk.off[i] >= m->oldest;
    }
    cursor_close(&c);
    assert_int_equal(entries, wanted);
    assert_int_equal(cursor_open(&c, t, DB_STATS, NULL), ERR_OK);
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c)) {
        Rec__HourRows *h = rec__hour_rows__unpack(arena_allocator(a), c.value.n, c.value.p);
        assert_non_null(h);
        assert_true(h->activities > 0);
        hours += h->activities;
    }
    cursor_close(&c);
    assert_int_equal(hours, activities);
}

// What `mc-broker --check` finds wrong: its own look at the same, which must agree.
static char first_finding[512];

static void found_cb(void *u, const char *what)
{
    (void)u;
    if (!*first_finding)
        snprintf(first_finding, sizeof first_finding, "%s", what);
}

static uint64_t findings(struct txn *t)
{
    struct verify_cbs cbs = { .found = found_cb };
    uint64_t n = 0;
    *first_finding = 0;
    assert_int_equal(verify_store(t, &cbs, &n), ERR_OK);
    return n;
}

static void check_store(void)
{
    static struct arena a;
    struct txn *t;
    struct cursor c;
    uint64_t entries = 0;
    n_recounts = 0;
    n_entries = n_comments = 0;
    recount(1, 0);
    if (!a.max)
        arena_init(&a, 512 << 20);
    arena_reset(&a);
    assert_int_equal(store_begin(stage.store, false, &t), ERR_OK);
    each(t, &a, KIND_TASK, saw_task);
    each(t, &a, KIND_SESSION, saw_session);
    each(t, &a, KIND_APPROVAL, saw_approval);
    each(t, &a, KIND_DESKTOP, NULL);
    each(t, &a, KIND_KEY, saw_key);
    each(t, &a, KIND_SIGNIN, saw_key);
    each(t, &a, KIND_USER, saw_user);
    check_admins(t);
    each(t, &a, KIND_PEER, NULL);
    each(t, &a, KIND_WEBHOOK, saw_webhook);
    check_counts(t, &a);
    check_log(t, &a);
    check_metrics(t, &a);
    n_entries += check_gone(t, &a);
    check_postings(t, &a);
    assert_int_equal(cursor_open(&c, t, DB_INDEX, NULL), ERR_OK);
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c))
        entries++;
    cursor_close(&c);
    assert_int_equal(entries, n_entries);
    if (findings(t))
        fail_msg("--check: %s", first_finding);
    store_abort(t);
}

// ---------------------------------------------------------------- lines: words, and messages made of them

struct words {
    char *key[24], *value[24]; // value "" for a bare word
    unsigned n;
};
static char blank[1];

static char *text(const struct words *w, const char *key)
{
    for (unsigned i = 4; i < w->n; i++) // at TIME WHO VERB come first
        if (strcmp(w->key[i], key) == 0)
            return w->value[i];
    return NULL;
}

static char *text_or(const struct words *w, const char *key, char *def)
{
    char *t = text(w, key);
    return t ? t : def;
}

static uint64_t num(const struct words *w, const char *key, uint64_t def)
{
    const char *t = text(w, key);
    return t ? strtoull(t, NULL, 10) : def;
}

static uint32_t num32(const struct words *w, const char *key)
{
    return (uint32_t)num(w, key, 0);
}

static bool has(const struct words *w, const char *key)
{
    return text(w, key) != NULL;
}

// One message at a time: statics, since the items only have to live until the command is played.
static Wire__Item item;
static Wire__Actor actor;
static Wire__Target target;
static Wire__TaskCreate create;
static Wire__TaskEdit edit;
static Wire__Resolve resolve;
static Wire__DesktopPut put;
static Wire__Chat chat;
static Wire__DesktopAct act;
static Wire__CommentAdd comment_add;
static Wire__AgentEdit agent_edit;
static Wire__KeyCreate key_create;
static Wire__UserPut user_put;
static Wire__SignIn sign_in;
static Wire__PasswordSet password_set;
static Wire__KeysUsed keys_used;
static Wire__KeyUse key_use, *use_list[1] = { &key_use };
static Wire__WorkspaceCreate workspace_create;
static Wire__SettingsPut settings_put;
static Wire__Settings settings;
static Wire__WorkerAdd worker_add;
static Wire__WebhookPut webhook_put;
static char *webhook_events[16];
static Wire__HookReport hook_report;
static Wire__HookNext hook_next;
static Wire__WorkerHello hello;
static Wire__Assign assign;
static Wire__Renew renew;
static Wire__WorkerLease lease, *lease_list[1] = { &lease };
static Wire__Expire expire;
static Wire__WorkReport report;
static Wire__SessionReport session_report, *report_list[1] = { &session_report };
static Wire__OutputPiece piece, *piece_list[1] = { &piece };
static Wire__Observe observe;
static Wire__Observation observation;
static Wire__Maintenance maintenance;
static Wire__Alert alert;
static Wire__Sample sample;
static Wire__DesktopSample desktop_sample, *desktop_sample_list[1] = { &desktop_sample };
static uint64_t sample_sum[METRIC_N];
static uint32_t sample_max[METRIC_N];
static Wire__Tick tick;
static Wire__Init init;
static uint8_t hash[32], body_hash[32], old_hash[32];
static uint64_t holds[16];

static void set_target(const struct words *w, Wire__Item__BodyCase body, const char *key)
{
    target = (Wire__Target)WIRE__TARGET__INIT;
    target.id = num(w, key, 0);
    item.body_case = body;
    item.task_run = &target; // all of them are Targets in the same union
}

static void m_task_create(const struct words *w)
{
    create = (Wire__TaskCreate)WIRE__TASK_CREATE__INIT;
    create.type = has(w, "type") ? task_type_find(text(w, "type")) : TYPE_COMMAND;
    create.content = text_or(w, "content", blank);
    create.desktop = num(w, "desktop", 1);
    create.title = text_or(w, "title", blank);
    create.priority = has(w, "priority") ? priority_find(text(w, "priority")) : 0;
    create.requires_approval = has(w, "approval") ? strcmp(text(w, "approval"), "yes") == 0 ? 2 : 1 : 0;
    create.retries = num32(w, "retries");
    create.timeout_s = num32(w, "timeout");
    create.run = has(w, "run");
    create.idempotency_key = text_or(w, "idem", blank);
    if (has(w, "idem")) {
        crypto_hash(body_hash, create.content, strlen(create.content));
        create.body_hash = (ProtobufCBinaryData){ sizeof body_hash, body_hash };
    }
    item.body_case = WIRE__ITEM__BODY_TASK_CREATE;
    item.task_create = &create;
}

static void m_task_edit(const struct words *w)
{
    edit = (Wire__TaskEdit)WIRE__TASK_EDIT__INIT;
    edit.id = num(w, "task", 0);
    edit.set = (has(w, "title") ? EDIT_TITLE : 0u) | (has(w, "priority") ? EDIT_PRIORITY : 0u) | (has(w, "content") ? EDIT_CONTENT : 0u) |
               (has(w, "desktop") ? EDIT_DESKTOP : 0u) | (has(w, "timeout") ? EDIT_TIMEOUT : 0u);
    edit.title = text_or(w, "title", blank);
    edit.priority = has(w, "priority") ? priority_find(text(w, "priority")) : 0;
    edit.content = text_or(w, "content", blank);
    edit.desktop = num(w, "desktop", 0);
    edit.timeout_s = num32(w, "timeout");
    item.body_case = WIRE__ITEM__BODY_TASK_EDIT;
    item.task_edit = &edit;
}

static void m_task_run(const struct words *w) { set_target(w, WIRE__ITEM__BODY_TASK_RUN, "task"); }
static void m_task_cancel(const struct words *w) { set_target(w, WIRE__ITEM__BODY_TASK_CANCEL, "task"); }
static void m_task_retry(const struct words *w) { set_target(w, WIRE__ITEM__BODY_TASK_RETRY, "task"); }
static void m_task_delete(const struct words *w) { set_target(w, WIRE__ITEM__BODY_TASK_DELETE, "task"); }
static void m_desktop_delete(const struct words *w) { set_target(w, WIRE__ITEM__BODY_DESKTOP_DELETE, "desktop"); }
static void m_key_revoke(const struct words *w) { set_target(w, WIRE__ITEM__BODY_KEY_REVOKE, "revoke"); }
static void m_worker_drain(const struct words *w) { set_target(w, WIRE__ITEM__BODY_WORKER_DRAIN, "drain"); }
static void m_release(const struct words *w) { set_target(w, WIRE__ITEM__BODY_RELEASE, "session"); }

static void m_comment_add(const struct words *w)
{
    comment_add = (Wire__CommentAdd)WIRE__COMMENT_ADD__INIT;
    comment_add.task = num(w, "task", 1);
    comment_add.content = text_or(w, "content", blank);
    item.body_case = WIRE__ITEM__BODY_COMMENT_ADD;
    item.comment_add = &comment_add;
}

static void m_agent_edit(const struct words *w)
{
    agent_edit = (Wire__AgentEdit)WIRE__AGENT_EDIT__INIT;
    agent_edit.id = num(w, "agent", 1);
    agent_edit.set = (has(w, "name") ? AEDIT_NAME : 0u) | (has(w, "role") ? AEDIT_ROLE : 0u);
    agent_edit.name = text_or(w, "name", blank);
    agent_edit.role = text_or(w, "role", blank);
    item.body_case = WIRE__ITEM__BODY_AGENT_EDIT;
    item.agent_edit = &agent_edit;
}

static void m_resolve(const struct words *w)
{
    resolve = (Wire__Resolve)WIRE__RESOLVE__INIT;
    resolve.task = num(w, "task", 0);
    resolve.approval = num(w, "approval", 0);
    resolve.decision = has(w, "approve") ? DECISION_APPROVE : has(w, "reject") ? DECISION_REJECT : 0;
    resolve.feedback = text_or(w, "feedback", blank);
    item.body_case = WIRE__ITEM__BODY_RESOLVE;
    item.resolve = &resolve;
}

static void m_desktop(const struct words *w, Wire__Item__BodyCase body)
{
    put = (Wire__DesktopPut)WIRE__DESKTOP_PUT__INIT;
    put.id = num(w, "desktop", 0);
    put.name = text_or(w, "name", blank);
    put.driver = has(w, "driver") ? driver_find(text(w, "driver")) : DRIVER_LOCAL;
    put.max_tasks = num32(w, "max");
    put.set = (has(w, "name") ? DEDIT_NAME : 0u) | (has(w, "max") ? DEDIT_MAX_TASKS : 0u) | (has(w, "chat") ? DEDIT_CHAT : 0u);
    if (has(w, "chat")) {
        chat = (Wire__Chat)WIRE__CHAT__INIT;
        chat.url = text(w, "chat");
        put.chat = &chat;
    }
    item.body_case = body;
    item.desktop_create = &put;
}
static void m_desktop_create(const struct words *w) { m_desktop(w, WIRE__ITEM__BODY_DESKTOP_CREATE); }
static void m_desktop_edit(const struct words *w) { m_desktop(w, WIRE__ITEM__BODY_DESKTOP_EDIT); }

static void m_desktop_act(const struct words *w)
{
    act = (Wire__DesktopAct)WIRE__DESKTOP_ACT__INIT;
    act.id = num(w, "desktop", 1);
    act.act = desktop_act_find(text_or(w, "act", blank));
    item.body_case = WIRE__ITEM__BODY_DESKTOP_ACT;
    item.desktop_act = &act;
}

static void m_observe(const struct words *w)
{
    observe = (Wire__Observe)WIRE__OBSERVE__INIT;
    observation = (Wire__Observation)WIRE__OBSERVATION__INIT;
    observe.workspace = 1;
    observe.seen = &observation;
    observation.desktop = num(w, "desktop", 1);
    observation.reachable = !has(w, "error");
    observation.error = text_or(w, "error", blank);
    observation.agent_answers = has(w, "agent");
    observation.ip_address = text_or(w, "ip", blank);
    item.body_case = WIRE__ITEM__BODY_OBSERVE;
    item.observe = &observe;
}

static void m_key_create(const struct words *w)
{
    key_create = (Wire__KeyCreate)WIRE__KEY_CREATE__INIT;
    key_create.name = text_or(w, "name", blank);
    key_create.role = has(w, "role") ? role_find(text(w, "role")) : 0;
    key_create.expires_ms = has(w, "expires") ? epoch_ms + num(w, "expires", 0) * 1000 : 0;
    crypto_hash(hash, key_create.name, strlen(key_create.name));
    key_create.hash = (ProtobufCBinaryData){ HASH_SIZE, hash };
    item.body_case = WIRE__ITEM__BODY_KEY_CREATE;
    item.key_create = &key_create;
}

// password=x: what argon2id would have made of it
static char *password_string(const struct words *w, const char *key)
{
    static char made[3][PASSWORD_STRING_MAX];
    static unsigned n;
    char *t = text(w, key);
    if (!t || !*t)
        return blank;
    n = (n + 1) % 3;
    snprintf(made[n], sizeof made[n], "$argon2id$%s", t);
    return made[n];
}

static void m_user(const struct words *w, Wire__Item__BodyCase body)
{
    user_put = (Wire__UserPut)WIRE__USER_PUT__INIT;
    user_put.id = num(w, "user", 0);
    user_put.name = text_or(w, "name", blank);
    user_put.role = has(w, "role") ? role_find(text(w, "role")) : 0;
    user_put.password = password_string(w, "password");
    user_put.disabled = has(w, "disabled") && strcmp(text(w, "disabled"), "yes") == 0;
    user_put.set = (has(w, "role") ? UEDIT_ROLE : 0u) | (has(w, "password") ? UEDIT_PASSWORD : 0u) | (has(w, "disabled") ? UEDIT_DISABLED : 0u);
    item.body_case = body;
    item.user_create = &user_put;
}
static void m_user_create(const struct words *w) { m_user(w, WIRE__ITEM__BODY_USER_CREATE); }
static void m_user_edit(const struct words *w) { m_user(w, WIRE__ITEM__BODY_USER_EDIT); }
static void m_user_delete(const struct words *w) { set_target(w, WIRE__ITEM__BODY_USER_DELETE, "user"); }
static void m_sign_out(const struct words *w) { set_target(w, WIRE__ITEM__BODY_SIGN_OUT, "none"); }

static void m_sign_in(const struct words *w)
{
    static char address[] = "192.0.2.1", method[] = "password";
    sign_in = (Wire__SignIn)WIRE__SIGN_IN__INIT;
    sign_in.workspace = num(w, "workspace", 1);
    sign_in.user = num(w, "user", 1);
    sign_in.verified = password_string(w, "password");
    sign_in.rehashed = password_string(w, "rehashed");
    sign_in.failed = has(w, "failed");
    sign_in.address = address;
    sign_in.method = method;
    crypto_hash(hash, text_or(w, "token", blank), strlen(text_or(w, "token", blank)));
    sign_in.hash = (ProtobufCBinaryData){ HASH_SIZE, hash };
    if (has(w, "replaces")) {
        crypto_hash(old_hash, text(w, "replaces"), strlen(text(w, "replaces")));
        sign_in.replaces = (ProtobufCBinaryData){ HASH_SIZE, old_hash };
    }
    item.body_case = WIRE__ITEM__BODY_SIGN_IN;
    item.sign_in = &sign_in;
}

static void m_password_set(const struct words *w)
{
    password_set = (Wire__PasswordSet)WIRE__PASSWORD_SET__INIT;
    password_set.verified = password_string(w, "verified");
    password_set.password = password_string(w, "password");
    item.body_case = WIRE__ITEM__BODY_PASSWORD_SET;
    item.password_set = &password_set;
}

static void m_keys_used(const struct words *w)
{
    keys_used = (Wire__KeysUsed)WIRE__KEYS_USED__INIT;
    key_use = (Wire__KeyUse)WIRE__KEY_USE__INIT;
    key_use.workspace = num(w, "workspace", 1);
    key_use.key = num(w, "used", 1);
    key_use.at_ms = stage.now_ms - num(w, "ago", 0) * 1000;
    keys_used.keys = use_list;
    keys_used.n_keys = 1;
    item.body_case = WIRE__ITEM__BODY_KEYS_USED;
    item.keys_used = &keys_used;
}

static void m_workspace_create(const struct words *w)
{
    workspace_create = (Wire__WorkspaceCreate)WIRE__WORKSPACE_CREATE__INIT;
    workspace_create.name = text_or(w, "name", blank);
    workspace_create.admin_name = text_or(w, "admin", blank);
    workspace_create.admin_password = password_string(w, "password");
    crypto_hash(hash, workspace_create.admin_name, strlen(workspace_create.admin_name));
    workspace_create.key_hash = (ProtobufCBinaryData){ HASH_SIZE, hash };
    item.body_case = WIRE__ITEM__BODY_WORKSPACE_CREATE;
    item.workspace_create = &workspace_create;
}

static void m_settings_put(const struct words *w)
{
    settings_put = (Wire__SettingsPut)WIRE__SETTINGS_PUT__INIT;
    settings = (Wire__Settings)WIRE__SETTINGS__INIT;
    settings_put.settings = &settings;
    settings_put.set = (has(w, "approval") ? SET_REQUIRE_APPROVAL : 0u) | (has(w, "retention") ? SET_RETENTION : 0u) | (has(w, "cpu") ? SET_CPU : 0u) |
                       (has(w, "memory") ? SET_MEMORY : 0u);
    settings.require_approval = strcmp(text_or(w, "approval", blank), "yes") == 0;
    settings.retention_days = num32(w, "retention");
    settings.cpu = num32(w, "cpu");
    settings.memory = num32(w, "memory");
    item.body_case = WIRE__ITEM__BODY_SETTINGS_PUT;
    item.settings_put = &settings_put;
}

static void m_webhook_put(const struct words *w, Wire__Item__BodyCase body)
{
    webhook_put = (Wire__WebhookPut)WIRE__WEBHOOK_PUT__INIT;
    webhook_put.id = num(w, "webhook", 0);
    webhook_put.name = text_or(w, "name", blank);
    webhook_put.url = text_or(w, "url", blank);
    webhook_put.enabled = strcmp(text_or(w, "enabled", blank), "no") != 0;
    webhook_put.passed = num(w, "passed", 0);
    webhook_put.set = (has(w, "name") ? WEDIT_NAME : 0u) | (has(w, "url") ? WEDIT_URL : 0u) | (has(w, "events") ? WEDIT_EVENTS : 0u) |
                      (has(w, "enabled") ? WEDIT_ENABLED : 0u) | (has(w, "secret") ? WEDIT_SECRET : 0u);
    webhook_put.events = webhook_events;
    char *save = NULL;
    for (char *p = strtok_r(text_or(w, "events", blank), ",", &save); p && webhook_put.n_events < 16; p = strtok_r(NULL, ",", &save))
        webhook_events[webhook_put.n_events++] = p;
    if (has(w, "secret"))
        webhook_put.secret_sealed = (ProtobufCBinaryData){ HASH_SIZE, hash };
    item.body_case = body;
    item.webhook_create = &webhook_put;
}
static void m_webhook_create(const struct words *w) { m_webhook_put(w, WIRE__ITEM__BODY_WEBHOOK_CREATE); }
static void m_webhook_edit(const struct words *w) { m_webhook_put(w, WIRE__ITEM__BODY_WEBHOOK_EDIT); }
static void m_webhook_delete(const struct words *w) { set_target(w, WIRE__ITEM__BODY_WEBHOOK_DELETE, "webhook"); }
static void m_webhook_test(const struct words *w) { set_target(w, WIRE__ITEM__BODY_WEBHOOK_TEST, "webhook"); }

static void m_hook_report(const struct words *w)
{
    hook_report = (Wire__HookReport)WIRE__HOOK_REPORT__INIT;
    hook_report.workspace = 1;
    hook_report.webhook = num(w, "webhook", 1);
    hook_report.delivery = num(w, "delivery", 1);
    hook_report.attempt = (uint32_t)num(w, "attempt", 1);
    hook_report.http_status = num32(w, "status");
    hook_report.error = text_or(w, "error", blank);
    hook_report.retry_base_ms = num(w, "base", HOOK_RETRY_BASE_MS);
    item.body_case = WIRE__ITEM__BODY_HOOK_REPORT;
    item.hook_report = &hook_report;
}

static void m_hook_next(const struct words *w)
{
    hook_next = (Wire__HookNext)WIRE__HOOK_NEXT__INIT;
    hook_next.workspace = num(w, "of", 1);
    hook_next.webhook = num(w, "webhook", 1);
    hook_next.passed = num(w, "passed", 0);
    item.body_case = WIRE__ITEM__BODY_HOOK_NEXT;
    item.hook_next = &hook_next;
}

static void m_maintenance(const struct words *w)
{
    maintenance = (Wire__Maintenance)WIRE__MAINTENANCE__INIT;
    maintenance.description = text_or(w, "description", blank);
    maintenance.minutes = num32(w, "minutes");
    item.body_case = WIRE__ITEM__BODY_MAINTENANCE;
    item.maintenance = &maintenance;
}

static void m_alert(const struct words *w)
{
    alert = (Wire__Alert)WIRE__ALERT__INIT;
    alert.workspace = 1;
    alert.desktop = num(w, "desktop", 1);
    alert.judged = (has(w, "cpu") ? 1u : 0u) | (has(w, "memory") ? 2u : 0u) | (has(w, "disk") ? 4u : 0u);
    alert.cpu = num32(w, "cpu");
    alert.memory = num32(w, "memory");
    alert.disk = num32(w, "disk");
    item.body_case = WIRE__ITEM__BODY_ALERT;
    item.alert = &alert;
}

static void m_sample(const struct words *w)
{
    sample = (Wire__Sample)WIRE__SAMPLE__INIT;
    desktop_sample = (Wire__DesktopSample)WIRE__DESKTOP_SAMPLE__INIT;
    desktop_sample.workspace = 1;
    desktop_sample.desktop = num(w, "desktop", 1);
    desktop_sample.minute = stage.now_ms / 60000 - 1;
    desktop_sample.count = (uint32_t)num(w, "count", 12);
    for (unsigned i = 0; i < METRIC_N; i++) {
        sample_max[i] = (uint32_t)num(w, "max", 100);
        sample_sum[i] = (uint64_t)sample_max[i] * desktop_sample.count;
    }
    desktop_sample.sum = sample_sum;
    desktop_sample.max = sample_max;
    desktop_sample.n_sum = METRIC_N;
    desktop_sample.n_max = has(w, "short") ? METRIC_N - 1 : METRIC_N;
    sample.desktops = desktop_sample_list;
    sample.n_desktops = 1;
    item.body_case = WIRE__ITEM__BODY_SAMPLE;
    item.sample = &sample;
}

static void m_worker_add(const struct words *w)
{
    worker_add = (Wire__WorkerAdd)WIRE__WORKER_ADD__INIT;
    worker_add.name = text_or(w, "name", blank);
    worker_add.peer = 2;
    worker_add.public_key = (ProtobufCBinaryData){ HASH_SIZE, hash };
    item.body_case = WIRE__ITEM__BODY_WORKER_ADD;
    item.worker_add = &worker_add;
}

static void m_hello(const struct words *w)
{
    hello = (Wire__WorkerHello)WIRE__WORKER_HELLO__INIT;
    hello.worker = num(w, "worker", 1);
    hello.incarnation = num(w, "incarnation", 1);
    for (char *p = text(w, "holds"); p && *p && hello.n_holds < 16; p = *p ? p + 1 : p)
        holds[hello.n_holds++] = strtoull(p, &p, 10);
    hello.holds = holds;
    item.body_case = WIRE__ITEM__BODY_WORKER_HELLO;
    item.worker_hello = &hello;
}

static void m_assign(const struct words *w)
{
    assign = (Wire__Assign)WIRE__ASSIGN__INIT;
    assign.task = num(w, "task", 1);
    assign.attempt = (uint32_t)num(w, "attempt", 1);
    assign.worker = num(w, "worker", 1);
    assign.incarnation = num(w, "incarnation", 1);
    item.body_case = WIRE__ITEM__BODY_ASSIGN;
    item.assign = &assign;
    actor = (Wire__Actor)WIRE__ACTOR__INIT;
    actor.workspace = 1;
    item.actor = &actor;
}

static void m_renew(const struct words *w)
{
    renew = (Wire__Renew)WIRE__RENEW__INIT;
    lease = (Wire__WorkerLease)WIRE__WORKER_LEASE__INIT;
    lease.worker = num(w, "worker", 1);
    lease.until_log_ms = stage.log_ms + LEASE_MS;
    renew.leases = lease_list;
    renew.n_leases = has(w, "all") ? 0 : 1;
    renew.full_term = has(w, "all");
    item.body_case = WIRE__ITEM__BODY_RENEW;
    item.renew = &renew;
}

static void m_expire(const struct words *w)
{
    expire = (Wire__Expire)WIRE__EXPIRE__INIT;
    expire.worker = num(w, "worker", 1);
    item.body_case = WIRE__ITEM__BODY_EXPIRE;
    item.expire = &expire;
}

static void m_report(const struct words *w)
{
    report = (Wire__WorkReport)WIRE__WORK_REPORT__INIT;
    session_report = (Wire__SessionReport)WIRE__SESSION_REPORT__INIT;
    session_report.session = num(w, "session", 1);
    session_report.attempt = (uint32_t)num(w, "attempt", 1);
    session_report.ended = has(w, "end") || has(w, "exit");
    session_report.has_exit = has(w, "exit");
    session_report.exit_code = (int32_t)num(w, "exit", 0);
    session_report.failure = has(w, "failure") ? failure_find(text(w, "failure")) : 0;
    session_report.output_total = num(w, "total", 0);
    if (has(w, "out")) {
        piece = (Wire__OutputPiece)WIRE__OUTPUT_PIECE__INIT;
        piece.offset = num(w, "offset", 0);
        piece.stream = STREAM_STDOUT;
        piece.data = (ProtobufCBinaryData){ strlen(text(w, "out")), (uint8_t *)text(w, "out") };
        session_report.pieces = piece_list;
        session_report.n_pieces = 1;
        if (session_report.output_total < piece.offset + piece.data.len)
            session_report.output_total = piece.offset + piece.data.len;
    }
    report.sessions = report_list;
    report.n_sessions = 1;
    item.body_case = WIRE__ITEM__BODY_WORK_REPORT;
    item.work_report = &report;
}

static void m_tick(const struct words *w)
{
    (void)w;
    tick = (Wire__Tick)WIRE__TICK__INIT;
    item.body_case = WIRE__ITEM__BODY_TICK;
    item.tick = &tick;
}

static void m_init(const struct words *w)
{
    init = (Wire__Init)WIRE__INIT__INIT;
    crypto_hash(hash, "admin", 5);
    init.admin_key_hash = (ProtobufCBinaryData){ HASH_SIZE, hash };
    init.admin_key_last4 = blank;
    init.local_desktop = has(w, "local");
    init.epoch_seed = 7;
    item.body_case = WIRE__ITEM__BODY_INIT;
    item.init = &init;
}

static const struct verb {
    const char *name;
    void (*make)(const struct words *w);
} verbs[] = {
    { "init", m_init }, { "task_create", m_task_create }, { "task_edit", m_task_edit }, { "task_run", m_task_run },
    { "task_cancel", m_task_cancel }, { "task_retry", m_task_retry }, { "task_delete", m_task_delete }, { "resolve", m_resolve },
    { "comment_add", m_comment_add }, { "agent_edit", m_agent_edit }, { "worker_drain", m_worker_drain },
    { "desktop_create", m_desktop_create }, { "desktop_edit", m_desktop_edit }, { "desktop_delete", m_desktop_delete },
    { "desktop_act", m_desktop_act }, { "observe", m_observe }, { "key_create", m_key_create }, { "key_revoke", m_key_revoke },
    { "webhook_create", m_webhook_create }, { "webhook_edit", m_webhook_edit }, { "webhook_delete", m_webhook_delete },
    { "webhook_test", m_webhook_test }, { "hook_report", m_hook_report }, { "hook_next", m_hook_next },
    { "settings_put", m_settings_put }, { "maintenance", m_maintenance }, { "alert", m_alert }, { "sample", m_sample }, { "worker_add", m_worker_add }, { "hello", m_hello }, { "assign", m_assign }, { "renew", m_renew },
    { "user_create", m_user_create }, { "user_edit", m_user_edit }, { "user_delete", m_user_delete }, { "sign_in", m_sign_in },
    { "sign_out", m_sign_out }, { "password_set", m_password_set }, { "keys_used", m_keys_used }, { "workspace_create", m_workspace_create },
    { "expire", m_expire }, { "release", m_release }, { "report", m_report }, { "tick", m_tick },
};
enum { N_VERBS = sizeof verbs / sizeof *verbs };

// ---------------------------------------------------------------- what was seen, in words

static void say_answer(struct buf *out, const Wire__Answer *a)
{
    if (a->err) {
        buf_puts(out, err_name(err_from_wire(a->err)));
        if (*a->field)
            buf_printf(out, " %s", a->field);
        return;
    }
    switch (a->body_case) {
    case WIRE__ANSWER__BODY_TASK:
        buf_printf(out, "task_%llu %s", (unsigned long long)a->task->id, task_status_name(a->task->status));
        if (a->task->waiting_for)
            buf_printf(out, " waits for %s", waiting_name(a->task->waiting_for));
        if (a->task->failure)
            buf_printf(out, " %s", failure_name(a->task->failure));
        break;
    case WIRE__ANSWER__BODY_APPROVAL:
        buf_printf(out, "approval_%llu %s", (unsigned long long)a->approval->id, approval_status_name(a->approval->status));
        break;
    case WIRE__ANSWER__BODY_DESKTOP:
        buf_printf(out, "desktop_%llu %s", (unsigned long long)a->desktop->id, desktop_status_name(a->desktop->status));
        break;
    case WIRE__ANSWER__BODY_KEY:
        buf_printf(out, "key_%llu %s", (unsigned long long)a->key->id, role_name(a->key->role));
        break;
    case WIRE__ANSWER__BODY_EVENT:
        buf_printf(out, "evt_%llu", (unsigned long long)a->event->number);
        break;
    case WIRE__ANSWER__BODY_USER:
        buf_printf(out, "user_%llu %s%s", (unsigned long long)a->user->id, role_name(a->user->role), a->user->disabled ? " disabled" : "");
        break;
    case WIRE__ANSWER__BODY_CREDENTIAL:
        buf_printf(out, "key_%llu of user_%llu %s", (unsigned long long)a->credential->key, (unsigned long long)a->credential->user,
                   role_name(a->credential->role));
        break;
    case WIRE__ANSWER__BODY_WORKSPACE_MADE:
        buf_printf(out, "workspace_%llu user_%llu key_%llu", (unsigned long long)a->workspace_made->workspace->id,
                   (unsigned long long)a->workspace_made->admin->id, (unsigned long long)a->workspace_made->key->id);
        break;
    case WIRE__ANSWER__BODY_WORKER:
        buf_printf(out, "worker_%llu%s", (unsigned long long)a->worker->id, a->worker->draining ? " draining" : "");
        break;
    case WIRE__ANSWER__BODY_COMMENT:
        buf_printf(out, "comment_%llu of task_%llu", (unsigned long long)a->comment->id, (unsigned long long)a->comment->task);
        break;
    case WIRE__ANSWER__BODY_AGENT:
        buf_printf(out, "agent_%llu %s %s %s", (unsigned long long)a->agent->id, a->agent->name, a->agent->role,
                   agent_status_name(a->agent->status));
        break;
    case WIRE__ANSWER__BODY_WEBHOOK:
        buf_printf(out, "webhook_%llu %s", (unsigned long long)a->webhook->id, webhook_status_name(a->webhook->status));
        if (a->webhook->failures)
            buf_printf(out, " after %llu failures", (unsigned long long)a->webhook->failures);
        if (a->webhook->next_ms)
            buf_printf(out, ", next at %llus", (unsigned long long)((a->webhook->next_ms - epoch_ms) / 1000));
        if (!a->webhook->enabled)
            buf_puts(out, " off");
        break;
    case WIRE__ANSWER__BODY_DELIVERY:
        buf_printf(out, "delivery_%llu %s", (unsigned long long)a->delivery->id, delivery_status_name(a->delivery->status));
        break;
    case WIRE__ANSWER__BODY_REPORT_ACK: {
        const Wire__SessionAck *k = a->report_ack->sessions[0];
        buf_printf(out, "%s upto %llu", k->forget ? "forget" : k->ended ? "ended" : "kept", (unsigned long long)k->output_upto);
        break;
    }
    default:
        buf_puts(out, "ok");
    }
}

static const char *row_name(unsigned row)
{
    static const char *const names[ROW_COUNT] = {
#define E(r, entity, severity, activity, feed, activities, desktops) [ROW_##r] = #r,
        EVENT_ROWS(E)
#undef E
    };
    return row < ROW_COUNT && names[row] ? names[row] : "?";
}

static void say_rows(struct buf *out)
{
    for (size_t at = 0; at < stage.batch.rows.len;) {
        uint32_t n;
        memcpy(&n, stage.batch.rows.data + at, sizeof n);
        Wire__Row *r = wire__row__unpack(NULL, n, stage.batch.rows.data + at + sizeof n);
        assert_non_null(r);
        buf_printf(out, "; row %s", row_name(r->row));
        if (*r->field)
            buf_printf(out, " %s", r->field);
        if (r->row == ROW_WEBHOOK_UPDATED)
            buf_printf(out, " %s>%s", r->old_value, r->new_value);
        if (r->row == ROW_WEBHOOK_FIRED)
            buf_printf(out, " delivery_%llu evt_%llu %s%s", (unsigned long long)r->delivery, (unsigned long long)r->event, r->event_type,
                       *r->error ? " given up" : "");
        if (*r->alert_type)
            buf_printf(out, " %s %u of %u", r->alert_type, r->value, r->threshold);
        if (r->comment)
            buf_printf(out, " comment_%llu", (unsigned long long)r->comment);
        wire__row__free_unpacked(r, NULL);
        at += sizeof n + n;
    }
}

// ---------------------------------------------------------------- scenarios

static void split(char *line, struct words *w)
{
    char *save;
    w->n = 0;
    for (char *t = strtok_r(line, " \t", &save); t; t = strtok_r(NULL, " \t", &save)) {
        char *eq = strchr(t, '=');
        assert_true(w->n < 24);
        w->key[w->n] = t;
        w->value[w->n] = eq ? eq + 1 : blank;
        if (eq)
            *eq = 0;
        for (char *p = w->value[w->n]; *p; p++)
            if (*p == '~')
                *p = ' '; // a blank inside a value
        w->n++;
    }
}

// at 1m30s: since the start
static uint64_t when(const char *t)
{
    uint64_t ms = 0;
    while (*t) {
        char *end;
        uint64_t n = strtoull(t, &end, 10);
        ms += strncmp(end, "ms", 2) == 0 ? n : *end == 's' ? n * 1000 : *end == 'm' ? n * 60000 : *end == 'h' ? n * 3600000 : n * 86400000;
        t = end + (strncmp(end, "ms", 2) == 0 ? 2 : 1);
    }
    return ms;
}

static void perform(const struct words *w, struct cmd *cmd)
{
    static uint8_t client[16] = { 'c' };
    item = (Wire__Item)WIRE__ITEM__INIT;
    *cmd = (struct cmd){ .item = &item };
    unsigned v = 0;
    while (v < N_VERBS && strcmp(verbs[v].name, w->key[3]) != 0)
        v++;
    assert_true(v < N_VERBS);
    verbs[v].make(w);
    item.number = num(w, "number", ++stage.number + 1000);
    cmd->sender = strcmp(w->key[2], "ask") == 0 ? SENDER_GATEWAY : strcmp(w->key[2], "worker") == 0 ? SENDER_WORKER : SENDER_BROKER;
    if (cmd->sender == SENDER_GATEWAY) {
        actor = (Wire__Actor)WIRE__ACTOR__INIT;
        actor.key = num(w, "key", 1);
        actor.workspace = num(w, "workspace", 1);
        item.actor = &actor;
        cmd->client_id = client;
        cmd->answered_up_to = num(w, "answered", 0);
    } else {
        cmd->worker = num(w, "worker", 1);
        cmd->incarnation = num(w, "incarnation", 1);
    }
}

static bool faults; // each line first with each of its calls to the store, and each of its allocations, failing once

// Whatever fails, the command is not done: its turn is aborted, or its answer says so and nothing was written.
static void play_failing(const char *file, unsigned number, struct cmd *cmd)
{
    for (unsigned n = 1;; n++) {
        fail_store(n);
        enum err e = apply_once(&cmd, 1, false);
        const char *what = fail_store_done();
        if (!what)
            return;
        enum err said = e ? e : err_from_wire(cmd->answer.err);
        if (said != (fail_store_is_memory ? ERR_NO_MEMORY : ERR_STORAGE_ERROR)) {
            print_error("%s:%u: call %u, of %s, failed, and the command says %s\n", file, number, n, what, err_name(said));
            fail();
        }
    }
}

// A record that should be there is not. What becomes of the command is the command's business, but it comes to an end.
static void play_losing(struct cmd *cmd)
{
    const char *what = "";
    fail_store_loses = true;
    for (unsigned n = 1; what; n++) {
        fail_store(n);
        enum err e = apply_once(&cmd, 1, false);
        what = fail_store_done();
        assert_in_range(e ? e : err_from_wire(cmd->answer.err), ERR_OK, ERR_N - 1);
    }
    fail_store_loses = false;
}

static void play_line(const char *file, unsigned number, char *line)
{
    struct words w;
    struct cmd cmd;
    struct buf out;
    char *want = strstr(line, "=>");
    if (want) {
        *want = 0;
        want += 2;
        while (*want == ' ')
            want++;
    }
    char before[2048];
    snprintf(before, sizeof before, "%s", line);
    for (size_t n = strlen(before); n && before[n - 1] == ' '; n--)
        before[n - 1] = 0;
    split(line, &w);
    assert_true(w.n >= 4 && strcmp(w.key[0], "at") == 0);
    stage.now_ms = epoch_ms + when(w.key[1]);
    stage.log_ms = 1000 + when(w.key[1]);
    stage.full = has(&w, "FULL");
    perform(&w, &cmd);
    if (faults)
        play_failing(file, number, &cmd), play_losing(&cmd);
    buf_init(&out, 1 << 20);
    enum err e = play(&cmd);
    if (e) {
        buf_printf(&out, "turn aborted: %s", err_name(e));
    } else {
        say_answer(&out, &cmd.answer);
        say_rows(&out);
    }
    if (getenv("SCENARIO_UPDATE")) {
        printf("%-70s => %s\n", before, buf_cstr(&out));
    } else if (!want || strcmp(buf_cstr(&out), want) != 0) {
        print_error("%s:%u: %s\n  wanted: %s\n  seen:   %s\n", file, number, before, want ? want : "(nothing)", buf_cstr(&out));
        fail();
    }
    buf_fini(&out);
    check_store();
}

static void play_file(const char *path)
{
    FILE *f = fopen(path, "r");
    char line[2048];
    unsigned n = 0;
    assert_non_null(f);
    stage_open();
    while (fgets(line, sizeof line, f)) {
        n++;
        line[strcspn(line, "\n")] = 0;
        if (line[0] == '#' || !line[0]) {
            if (getenv("SCENARIO_UPDATE"))
                puts(line);
            continue;
        }
        play_line(path, n, line);
    }
    fclose(f);
    stage_close();
}

static void scenarios(void **state)
{
    static const char dir[] = "tests/scenario";
    struct dirent **list;
    unsigned played = 0;
    (void)state;
    int n = scandir(dir, &list, NULL, alphasort);
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        char path[512];
        const char *only = getenv("SCENARIO"), *dot = strrchr(list[i]->d_name, '.');
        if (dot && strcmp(dot, ".scn") == 0 && (!only || strstr(list[i]->d_name, only))) {
            snprintf(path, sizeof path, "%s/%s", dir, list[i]->d_name);
            play_file(path);
            played++;
        }
        free(list[i]);
    }
    free(list);
    assert_true(played > 0);
}

static void scenarios_with_faults(void **state)
{
    faults = true;
    scenarios(state);
    faults = false;
}

// ---------------------------------------------------------------- what a deleted task leaves

static uint64_t records(enum store_db db)
{
    struct txn *t;
    struct cursor c;
    uint64_t n = 0;
    assert_int_equal(store_begin(stage.store, false, &t), ERR_OK);
    assert_int_equal(cursor_open(&c, t, db, NULL), ERR_OK);
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c))
        n++;
    cursor_close(&c);
    store_abort(t);
    return n;
}

static void play_one(const char *line)
{
    char copy[512];
    struct words w;
    struct cmd cmd;
    snprintf(copy, sizeof copy, "%s", line);
    split(copy, &w);
    stage.now_ms = epoch_ms + when(w.key[1]);
    stage.log_ms = 1000 + when(w.key[1]);
    perform(&w, &cmd);
    assert_int_equal(play(&cmd), ERR_OK);
    assert_int_equal(cmd.answer.err, ERR_OK);
}

// Comments, sessions and output: the delete itself takes none of them, and no step more than 32.
static void swept_in_small_steps(void **state)
{
    enum { COMMENTS = 100, SESSIONS = 40, STEP = 32 };
    char line[256];
    (void)state;
    stage_open();
    play_one("at 0s broker init local");
    play_one("at 0s broker worker_add name=w1");
    play_one("at 0s broker hello worker=1");
    play_one("at 0s broker observe desktop=1");
    play_one("at 0s ask task_create content=kept");
    play_one("at 0s ask comment_add task=1 content=kept");
    play_one("at 0s ask task_create content=big run=yes");
    for (int i = 0; i < COMMENTS; i++)
        play_one("at 0s ask comment_add task=2 content=text");
    for (int i = 1; i <= SESSIONS; i++) {
        snprintf(line, sizeof line, "at 0s broker assign task=2 attempt=%d", i);
        play_one(line);
        snprintf(line, sizeof line, "at 0s worker report session=%d attempt=%d exit=1 out=some", i, i);
        play_one(line);
        if (i == SESSIONS)
            break;
        play_one("at 0s ask task_retry task=2");
        play_one("at 0s ask task_run task=2");
    }
    assert_int_equal(records(DB_OUTPUT), SESSIONS);
    play_one("at 1s ask task_delete task=2");
    uint64_t left = records(DB_COMMENT) + records(DB_SESSION) + records(DB_OUTPUT);
    assert_int_equal(left, 1 + COMMENTS + 2 * SESSIONS);
    for (unsigned steps = 0; left > 1; steps++) {
        assert_true(steps < (COMMENTS + 2 * SESSIONS) / STEP + 1);
        play_one("at 2s broker tick");
        check_store();
        uint64_t now = records(DB_COMMENT) + records(DB_SESSION) + records(DB_OUTPUT);
        assert_true(now < left && left - now <= STEP);
        left = now;
    }
    play_one("at 2s broker tick"); // the mark, if the last step had no room for it
    struct txn *t;
    bool any;
    assert_int_equal(store_begin(stage.store, false, &t), ERR_OK);
    assert_int_equal(gone_any(t, &any), ERR_OK);
    store_abort(t);
    assert_false(any);
    assert_int_equal(records(DB_COMMENT), 1);
    stage_close();
}

// ---------------------------------------------------------------- random commands

static uint64_t first_seed; // SEED=first_seed plays the same again

// %t: a task, or another number from 1 to 40; %d: 1 to 3; %u: 2 to 4; %n: 0 to 3; %y: yes or no.
static const char *const random_forms[] = {
    "ask task_create content=echo~%t desktop=%d run retries=%n",
    "ask task_create content=true desktop=%d approval=yes",
    "ask task_run task=%t",
    "ask task_cancel task=%t",
    "ask task_retry task=%t",
    "ask task_delete task=%t",
    "ask comment_add task=%t content=text",
    "ask comment_add task=%t content=more~text",
    "ask agent_edit agent=%d name=a%n role=r%n",
    "ask worker_drain drain=%d",
    "ask task_edit task=%t title=t%n priority=high",
    "ask task_edit task=%t desktop=%d content=x%n",
    "ask resolve task=%t approve",
    "ask resolve approval=%n reject feedback=no",
    "ask settings_put approval=%y",
    "ask webhook_create url=http://x/%n events=* secret",
    "ask webhook_create url=http://x/%n events=task.created,session.failed secret",
    "ask webhook_edit webhook=%d enabled=%y",
    "ask webhook_edit webhook=%d enabled=yes passed=%t url=http://y%n/ events=task.updated",
    "ask webhook_edit webhook=%d events=* passed=%t",
    "ask webhook_test webhook=%d",
    "ask webhook_delete webhook=%d",
    "broker hook_next webhook=%d passed=%t",
    "broker hook_next webhook=%d",
    "broker hook_next webhook=%d",
    "worker hook_report webhook=%d delivery=%t attempt=1 status=200",
    "worker hook_report webhook=%d delivery=%t attempt=1 status=500",
    "worker hook_report webhook=%d delivery=%t attempt=%n error=gone",
    "ask desktop_act desktop=%d act=stop",
    "ask desktop_act desktop=%d act=start",
    "ask desktop_act desktop=%d act=restart",
    "broker observe desktop=%d",
    "broker alert desktop=%d cpu=%n000 memory=8%n99 disk=9%n00",
    "broker alert desktop=%d memory=%n500",
    "ask settings_put cpu=%n0%n0",
    "broker sample desktop=%d count=1%n",
    "broker sample desktop=%d max=10000",
    "ask maintenance description=m%t minutes=%n",
    "broker observe desktop=%d error=gone",
    "broker observe desktop=%d ip=10.0.0.%n",
    "broker assign task=%t attempt=%n worker=%d",
    "broker assign task=%t attempt=1 worker=%d",
    "broker assign task=%t attempt=1 worker=%d",
    "broker assign task=%t attempt=2 worker=%d",
    "worker report worker=%d session=%t attempt=1 exit=%n out=hello",
    "worker report worker=%d session=%t attempt=1 exit=0",
    "worker report worker=%d session=%t attempt=2 failure=timeout end",
    "worker report worker=%d session=%t attempt=1 out=some offset=%n",
    "broker hello worker=%d incarnation=1",
    "broker hello worker=%d incarnation=%n holds=%t",
    "broker expire worker=%d",
    "broker renew worker=%d",
    "broker release worker=%d session=%t",
    "broker tick",
    "ask settings_put retention=1",
    "ask desktop_delete desktop=%d",
    "ask desktop_create name=d%n max=%n",
    "ask key_create name=k%t role=viewer",
    "ask key_revoke revoke=1%n",
    "ask user_create name=u%t role=admin password=p%n",
    "ask user_create name=U%n role=viewer",
    "ask user_edit user=%u role=operator",
    "ask user_edit user=%u password=p%n disabled=%y",
    "ask user_edit user=%u role=admin disabled=no",
    "ask user_delete user=%u",
    "ask sign_in user=%u password=p%n token=t%t",
    "ask sign_in user=%u password=p%n token=s%t replaces=t%t rehashed=p1",
    "ask sign_in user=%u failed",
    "ask sign_out key=%t",
    "ask password_set key=%t verified=p%n password=p%n",
    "ask key_create key=%t name=own%t",
    "ask keys_used used=%t ago=%n",
    "ask key_revoke revoke=%t",
};

static void random_line(char *out, size_t size)
{
    const char *form = random_forms[rnd(sizeof random_forms / sizeof *random_forms)];
    unsigned long long a = 1 + rnd(40), b = 1 + rnd(3), c = rnd(4);
    static uint64_t at_ms;
    struct buf body;
    buf_init(&body, 4096);
    for (const char *f = form; *f; f++) {
        if (*f != '%') {
            buf_putc(&body, *f);
            continue;
        }
        switch (*++f) {
        case 't': buf_u64(&body, a); break;
        case 'd': buf_u64(&body, b); break;
        case 'u': buf_u64(&body, b + 1); break;
        case 'n': buf_u64(&body, c); break;
        case 'y': buf_puts(&body, c ? "yes" : "no"); break;
        default: fail();
        }
    }
    at_ms += rnd(400) ? rnd(6000) : 30 * 3600 * 1000; // now and then long enough for retention to take something
    snprintf(out, size, "at %llums %s", (unsigned long long)at_ms, buf_cstr(&body));
    buf_fini(&body);
}

// A turn of random commands. What a line makes lives in statics: each is packed and unpacked again, as on its way to a broker.
enum { TURN_MAX = 12 };
static struct {
    struct arena arena;
    struct cmd cmds[TURN_MAX], *list[TURN_MAX];
    uint32_t n;
} turn_of;

static void gather_random(const char *line)
{
    char copy[512];
    struct words w;
    struct cmd *cmd = &turn_of.cmds[turn_of.n];
    if (!turn_of.arena.max)
        arena_init(&turn_of.arena, 64 << 20);
    if (!turn_of.n)
        arena_reset(&turn_of.arena);
    snprintf(copy, sizeof copy, "%s", line);
    split(copy, &w);
    stage.now_ms = epoch_ms + when(w.key[1]);
    stage.log_ms = 1000 + when(w.key[1]);
    perform(&w, cmd);
    size_t n = wire__item__get_packed_size(cmd->item);
    uint8_t *packed = arena_alloc(&turn_of.arena, n + 1);
    assert_non_null(packed);
    wire__item__pack(cmd->item, packed);
    cmd->item = wire__item__unpack(arena_allocator(&turn_of.arena), n, packed);
    assert_non_null(cmd->item);
    turn_of.list[turn_of.n++] = cmd;
}

// What a turn gave: its answers and its rows.
static void turn_result(struct buf *out)
{
    for (uint32_t i = 0; i < turn_of.n; i++) {
        size_t n = wire__answer__get_packed_size(&turn_of.cmds[i].answer);
        uint8_t *p = buf_reserve(out, n);
        assert_non_null(p);
        wire__answer__pack(&turn_of.cmds[i].answer, p);
        out->len += n;
    }
    buf_put(out, stage.batch.rows.data, stage.batch.rows.len);
}

// Applied and aborted, then applied for good: an aborted turn leaves nothing behind, and the same commands give the same results.
static void play_turn(void)
{
    struct buf first, second;
    buf_init(&first, 32 << 20);
    buf_init(&second, 32 << 20);
    for (int pass = 0; pass < 2; pass++) {
        enum err e = apply_once(turn_of.list, turn_of.n, pass == 1);
        if (e) {
            print_error("SEED=%llu: turn of %u commands aborted: %s\n", (unsigned long long)first_seed, turn_of.n, err_name(e));
            fail();
        }
        turn_result(pass ? &second : &first);
    }
    if (first.len != second.len || memcmp(first.data, second.data, first.len) != 0) {
        print_error("SEED=%llu: the same turn gave another result\n", (unsigned long long)first_seed);
        fail();
    }
    buf_fini(&first);
    buf_fini(&second);
    turn_of.n = 0;
}

// With enough ticks nothing is left of what was deleted.
static void check_swept(void)
{
    struct txn *t;
    struct cursor c;
    for (int i = 0; i < 100; i++) {
        gather_random("at 7d broker tick");
        play_turn();
    }
    assert_int_equal(store_begin(stage.store, false, &t), ERR_OK);
    assert_int_equal(cursor_open(&c, t, DB_DELIVERY, NULL), ERR_OK);
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c)) {
        struct key k;
        struct slice s;
        kind_key(KIND_WEBHOOK, key_read_u64(c.key.b), key_read_u64(c.key.b + 8), &k);
        assert_int_equal(store_get(t, DB_WEBHOOK, &k, &s), ERR_OK);
    }
    cursor_close(&c);
    store_abort(t);
}

static void random_commands(void **state)
{
    const char *given = getenv("SEED");
    (void)state;
    for (uint64_t s = 1; s <= 12; s++) {
        seed = given ? strtoull(given, NULL, 10) : s * 7919;
        first_seed = seed;
        stage_open();
        static const char *const first[] = { "at 0s broker init local", "at 0s broker worker_add name=w1", "at 0s broker worker_add name=w2",
                                             "at 0s broker hello worker=1", "at 0s broker hello worker=2", "at 0s ask desktop_create name=two",
                                             "at 0s broker observe desktop=1", "at 0s broker observe desktop=2" };
        for (size_t i = 0; i < sizeof first / sizeof *first; i++)
            gather_random(first[i]);
        play_turn();
        for (int i = 0; i < 5000; i++) {
            char line[512];
            random_line(line, sizeof line);
            gather_random(line);
            if (turn_of.n == TURN_MAX || rnd(4) == 0)
                play_turn();
            if (i % 10 == 0 && !turn_of.n)
                check_store();
        }
        if (turn_of.n)
            play_turn();
        check_store();
        check_swept();
        check_store();
        stage_close();
        if (given)
            break;
    }
    assert_true(trimmed || given);
}

// ---------------------------------------------------------------- what --check finds

static struct txn *broken; // a transaction in which something is broken; nothing of it stays

static void drop_first(enum store_db db, uint8_t prefix)
{
    struct key p = { .n = 0 };
    struct cursor c;
    assert_int_equal(cursor_open(&c, broken, db, prefix ? key_u8(&p, prefix) : NULL), ERR_OK);
    assert_true(cursor_seek(&c, NULL));
    assert_int_equal(cursor_del(&c), ERR_OK);
    cursor_close(&c);
}
static void put_at(enum store_db db, const struct key *k, const char *value)
{
    assert_int_equal(store_put(broken, db, k, value, strlen(value)), ERR_OK);
}
static void no_status_entry(void) { drop_first(DB_INDEX, INDEX_TASK_STATUS); }
static void no_late_entry(void) { drop_first(DB_INDEX, INDEX_KEY_HASH); }
static void no_counter(void) { drop_first(DB_COUNTS, 0); }
static void no_event(void) { drop_first(DB_LOG, 0); }
static void no_list(void) { drop_first(DB_POSTING, 0); }
static void no_hour(void) { drop_first(DB_STATS, 0); }
static void no_comment(void) { drop_first(DB_COMMENT, 0); }
static void no_task(void) { drop_first(DB_TASK, 0); }
static void no_session(void) { drop_first(DB_SESSION, 0); }
static void no_desktop(void) { drop_first(DB_DESKTOP, 0); }
static void a_content_too_many(void)
{
    struct key k = { .n = 0 };
    put_at(DB_BLOB, key_u64(&k, 1), "of a task that keeps its own");
}
static void an_entry_too_many(void)
{
    struct key k = { .n = 0 };
    put_at(DB_INDEX, key_u64(key_u64(key_u8(&k, INDEX_SESSION_TASK), 1), 999), "");
}
static void a_comment_too_many(void)
{
    struct key k;
    put_at(DB_COMMENT, comment_key(&k, 1, 999, 1), "");
}
static void an_event_too_many(void)
{
    struct key k = { .n = 0 };
    put_at(DB_LOG, key_u64(&k, 1000000), "\x08\xc0\x84\x3d");
}
static void another_counter(void)
{
    struct key k = { .n = 0 };
    put_at(DB_COUNTS, key_u64(key_u64(&k, 1), 1), "\x10\x05"); // five wait
}
static void a_task_that_is_none(void)
{
    struct key k = { .n = 0 };
    put_at(DB_TASK, key_u64(key_u64(&k, 1), 1), "\xff\xff");
}
static void a_task_in_anothers_place(void)
{
    struct key from = { .n = 0 }, to = { .n = 0 };
    struct slice s;
    char *copy;
    assert_int_equal(store_get(broken, DB_TASK, key_u64(key_u64(&from, 1), 1), &s), ERR_OK);
    copy = malloc(s.n);
    assert_non_null(copy);
    memcpy(copy, s.p, s.n);
    assert_int_equal(store_put(broken, DB_TASK, key_u64(key_u64(&to, 1), 900), copy, s.n), ERR_OK);
    free(copy);
}

static void what_is_wrong_is_found(void **state)
{
    static void (*const breaks[])(void) = {
        no_status_entry, no_late_entry, no_counter, no_event, no_list, no_hour, no_comment, no_task, no_session, no_desktop, a_content_too_many,
        an_entry_too_many, a_comment_too_many, an_event_too_many, another_counter, a_task_that_is_none, a_task_in_anothers_place,
    };
    (void)state;
    stage_open();
    static const char *const lines[] = {
        "at 0s broker init local", "at 0s broker worker_add name=w1", "at 0s broker hello worker=1", "at 0s broker observe desktop=1",
        "at 0s ask task_create content=one run=yes", "at 0s broker assign task=1 attempt=1", "at 0s ask task_create content=two",
        "at 0s ask comment_add task=1 content=text",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        play_one(lines[i]);
    check_store();
    for (size_t i = 0; i < sizeof breaks / sizeof *breaks; i++) {
        assert_int_equal(store_begin(stage.store, true, &broken), ERR_OK);
        breaks[i]();
        if (findings(broken) == 0)
            fail_msg("break %zu was not found", i);
        store_abort(broken);
    }
    check_store();
    stage_close();
}

// ---------------------------------------------------------------- limits of people

static unsigned sessions_of(uint64_t user)
{
    struct txn *t;
    unsigned n;
    assert_int_equal(store_begin(stage.store, false, &t), ERR_OK);
    assert_int_equal(account_count(t, INDEX_SIGNIN_USER, 1, user, 1000, &n), ERR_OK);
    store_abort(t);
    return n;
}

// The error it is answered with. '#' in the line stands for n.
static enum err play_for(const char *form, unsigned n)
{
    struct words w;
    struct cmd cmd;
    struct buf line;
    buf_init(&line, 4096);
    for (; *form; form++)
        *form == '#' ? buf_u64(&line, n) : buf_putc(&line, *form);
    buf_putc(&line, 0);
    split((char *)line.data, &w);
    stage.now_ms = epoch_ms + when(w.key[1]);
    stage.log_ms = 1000 + when(w.key[1]);
    perform(&w, &cmd);
    assert_int_equal(play(&cmd), ERR_OK);
    buf_fini(&line);
    return err_from_wire(cmd.answer.err);
}

// A user has so many sessions: the oldest gives way, and before it those that are over.
static void sessions_are_bounded(void **state)
{
    (void)state;
    stage_open();
    assert_int_equal(play_for("at 0s broker init", 0), ERR_OK);
    assert_int_equal(play_for("at 0s ask user_edit user=1 password=p", 0), ERR_OK);
    for (unsigned n = 1; n <= SIGNINS_A_USER_MAX + 5; n++) {
        assert_int_equal(play_for("at #s ask sign_in user=1 password=p token=t#", n), ERR_OK);
        assert_int_equal(sessions_of(1), n < SIGNINS_A_USER_MAX ? n : SIGNINS_A_USER_MAX);
    }
    check_store();
    for (unsigned key = 2; key <= 6; key++) // the first five
        assert_int_equal(play_for("at 100s ask key_create name=k# key=#", key), ERR_UNAUTHORIZED);
    assert_int_equal(play_for("at 100s ask key_create name=k# key=#", 7), ERR_OK);
    assert_int_equal(play_for("at 25h ask sign_in user=1 password=p token=next", 0), ERR_OK);
    assert_int_equal(sessions_of(1), 1);
    check_store();
    stage_close();
}

// More sessions of one worker than a first list has room for end with its lease.
static void many_are_held(void **state)
{
    enum { TASKS = 70 };
    (void)state;
    stage_open();
    assert_int_equal(play_for("at 0s broker init", 0), ERR_OK);
    assert_int_equal(play_for("at 0s broker worker_add name=w1", 0), ERR_OK);
    assert_int_equal(play_for("at 0s broker hello worker=1", 0), ERR_OK);
    assert_int_equal(play_for("at 0s ask desktop_create name=d max=100", 0), ERR_OK);
    assert_int_equal(play_for("at 0s broker observe desktop=1", 0), ERR_OK);
    for (unsigned n = 1; n <= TASKS; n++) {
        assert_int_equal(play_for("at 0s ask task_create content=c desktop=1 run=yes", n), ERR_OK);
        assert_int_equal(play_for("at 0s broker assign task=#", n), ERR_OK);
    }
    char line[] = "at 10m broker expire worker=1";
    struct words w;
    struct cmd cmd;
    split(line, &w);
    stage.now_ms = epoch_ms + when(w.key[1]);
    stage.log_ms = 1000 + when(w.key[1]);
    perform(&w, &cmd);
    play_failing("many_are_held", 0, &cmd);
    assert_int_equal(play(&cmd), ERR_OK);
    assert_int_equal(err_from_wire(cmd.answer.err), ERR_OK);
    assert_int_equal(stage.batch.n_rows, 3 * TASKS);
    check_store();
    stage_close();
}

static void people_are_bounded(void **state)
{
    unsigned n = 1;
    (void)state;
    stage_open();
    assert_int_equal(play_for("at 0s broker init", 0), ERR_OK);
    for (; n < KEYS_A_USER_MAX; n++)
        assert_int_equal(play_for("at 1s ask key_create name=k#", n), ERR_OK);
    assert_int_equal(play_for("at 1s ask key_create name=k#", n), ERR_BAD_STATE);
    assert_int_equal(play_for("at 1s ask key_revoke revoke=2", 0), ERR_OK);
    assert_int_equal(play_for("at 1s ask key_create name=k#", n), ERR_OK);
    for (n = 1; n < USERS_MAX; n++)
        assert_int_equal(play_for("at 1s ask user_create name=u# role=viewer", n), ERR_OK);
    assert_int_equal(play_for("at 1s ask user_create name=u# role=viewer", n), ERR_BAD_STATE);
    assert_int_equal(play_for("at 1s ask user_delete user=2", 0), ERR_OK);
    assert_int_equal(play_for("at 1s ask user_create name=u# role=viewer", n), ERR_OK);
    for (n = 1; n < WORKSPACES_MAX; n++)
        assert_int_equal(play_for("at 1s ask workspace_create name=w admin=a#", n), ERR_OK);
    assert_int_equal(play_for("at 1s ask workspace_create name=w admin=a#", n), ERR_BAD_STATE);
    stage_close();
}

int main(void)
{
    if (crypto_init())
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scenarios), cmocka_unit_test(scenarios_with_faults), cmocka_unit_test(swept_in_small_steps),
        cmocka_unit_test(random_commands), cmocka_unit_test(what_is_wrong_is_found),
        cmocka_unit_test(sessions_are_bounded), cmocka_unit_test(people_are_bounded), cmocka_unit_test(many_are_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
