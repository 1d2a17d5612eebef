// Webhooks: what admins say of them, and where each stands in the log.
//
//    next: nothing -> an event that matches (hook_next, or at the end of the one before) -> under way
//    report: taken -> delivered; failed -> next_log_ms, until HOOK_ATTEMPTS_MAX -> given up. Both move the position on.
//
// The log is the queue: a webhook stores the number up to which it is done, so that an event costs nothing until its turn comes.
#include <string.h>
#include "commands.h"
#include "hook_rule.h"
#include "view.h"

enum { LOOK_MAX = 64, TESTS_MAX = 8, SWEEP_LOOKS = 32 };

static const char test_type[] = "webhook.test";

static char *lent(const char *s) // protobuf-c's strings are not const; records are only packed
{
    union { const char *in; char *out; } u = { s };
    return u.out;
}

static enum err get_hook(struct work *w, uint64_t workspace, uint64_t id, Rec__Webhook **ret)
{
    return work_get(w, KIND_WEBHOOK, workspace, id, ret, NULL);
}

static enum err save(struct work *w, const Rec__Webhook *h)
{
    work_touch_webhook(w, h->workspace, h->id);
    return work_put(w, KIND_WEBHOOK, NULL, h);
}

// ---------------------------------------------------------------- the log of deliveries

static struct key *delivery_key(struct key *k, uint64_t workspace, uint64_t webhook, uint64_t id)
{
    k->n = 0;
    key_u64(key_u64(k, workspace), webhook);
    return id ? key_u64(k, id) : k;
}

static enum err drop_oldest(struct work *w, Rec__Webhook *h)
{
    struct key prefix;
    struct cursor c;
    enum err e = cursor_open(&c, w->txn, DB_DELIVERY, delivery_key(&prefix, h->workspace, h->id, 0));
    if (e)
        return e;
    if (cursor_seek(&c, NULL)) {
        e = cursor_del(&c);
        h->kept--;
    } else {
        e = c.err ? c.err : ERR_CORRUPT;
    }
    cursor_close(&c);
    return e;
}

// New, or in place of what the attempt before wrote. The last DELIVERIES_KEPT stay. h is to be saved after.
static enum err log_delivery(struct work *w, Rec__Webhook *h, const Rec__Delivery *d)
{
    struct key k;
    struct slice s;
    enum err e = store_get(w->txn, DB_DELIVERY, delivery_key(&k, h->workspace, h->id, d->id), &s);
    if (e && e != ERR_NOT_FOUND)
        return e;
    w->wrote = true;
    bool added = e == ERR_NOT_FOUND;
    e = rec_put(w->txn, w->arena, DB_DELIVERY, &k, d);
    if (!e && added && ++h->kept > DELIVERIES_KEPT)
        e = drop_oldest(w, h);
    return e;
}

enum err webhook_delivery(struct work *w, uint64_t workspace, uint64_t id, Rec__Delivery **ret)
{
    struct key prefix, k;
    struct cursor c;
    kind_key(KIND_WEBHOOK, workspace, 0, &prefix);
    enum err e = cursor_open(&c, w->txn, DB_WEBHOOK, &prefix);
    if (e)
        return e;
    e = ERR_NOT_FOUND;
    for (bool on = cursor_seek(&c, NULL); on && e == ERR_NOT_FOUND; on = cursor_next(&c))
        e = rec_get(w->txn, w->arena, DB_DELIVERY, delivery_key(&k, workspace, key_read_u64(c.key.b + 8), id),
                    &rec__delivery__descriptor, ret);
    if (c.err)
        e = c.err;
    cursor_close(&c);
    return e;
}

// One step over the deliveries: those of webhooks that are gone are taken away, the others stepped over.
static enum err sweep_step(struct work *w, struct cursor *c, bool *ret_on)
{
    struct key k;
    struct slice s;
    uint64_t workspace = key_read_u64(c->key.b), webhook = key_read_u64(c->key.b + 8);
    kind_key(KIND_WEBHOOK, workspace, webhook, &k);
    enum err e = store_get(w->txn, DB_WEBHOOK, &k, &s);
    if (!e) {
        *ret_on = cursor_seek(c, delivery_key(&k, workspace, webhook + 1, 0));
        return ERR_OK;
    }
    if (e != ERR_NOT_FOUND)
        return e;
    w->wrote = true;
    e = cursor_del(c);
    *ret_on = !e && cursor_next(c);
    return e;
}

enum err webhook_sweep(struct work *w)
{
    ProtobufCBinaryData *at = &w->turn->meta->delivery_at;
    struct cursor c;
    bool on;
    enum err e = work_sweep_open(w, &c, DB_DELIVERY, at, &on);
    if (e)
        return e;
    for (int i = 0; on && !e && i < SWEEP_LOOKS; i++)
        e = sweep_step(w, &c, &on);
    return work_sweep_close(w, &c, at, on, e);
}

// ---------------------------------------------------------------- what comes next

// A pause outlasts the event it began with: it is the receiver that is to be left alone.
static void nothing_under_way(Rec__Webhook *h)
{
    h->event = h->delivery = h->begun_ms = 0;
    h->attempt = h->row = 0;
    h->feed = false;
}

static void pause_for(struct work *w, Rec__Webhook *h, uint64_t base_ms)
{
    uint64_t ms = hook_delay_ms(base_ms, h->failures, h->delivery);
    h->next_log_ms = w->log_ms + ms;
    h->next_ms = w->now_ms + ms;
}

static void take_up(struct work *w, Rec__Webhook *h, uint64_t event, unsigned row, const struct hook_match *match)
{
    h->event = event;
    h->row = row;
    h->feed = hook_as_feed(match, row);
    h->delivery = work_id(w, ENTITY_DELIVERY);
    h->attempt = 0;
    h->begun_ms = w->now_ms;
}

// Looks a few rows on for the next one to deliver; what it does not find, hook.c goes on looking for.
static enum err look_on(struct work *w, Rec__Webhook *h)
{
    struct hook_match match = hook_match(h->events, h->n_events);
    struct key from = { .n = 0 };
    struct cursor c;
    enum err e = cursor_open(&c, w->txn, DB_LOG, NULL);
    if (e)
        return e;
    bool on = cursor_seek(&c, key_u64(&from, h->position + 1));
    for (int i = 0; on && i < LOOK_MAX && !h->event; i++, on = !h->event && cursor_next(&c)) {
        struct hook_row r = hook_peek(c.value.p, c.value.n);
        uint64_t number = key_read_u64(c.key.b);
        if (r.workspace == h->workspace && hook_wants(&match, r.row))
            take_up(w, h, number, r.row, &match);
        else
            h->position = number;
    }
    e = c.err;
    cursor_close(&c);
    return e;
}

// Delivered, given up, or passed over. Each delivery writes to the log: while there is no room the next one waits for HookNext, which
// is refused till then.
static enum err done_with(struct work *w, Rec__Webhook *h)
{
    if (h->event > h->position)
        h->position = h->event;
    nothing_under_way(h);
    return h->enabled && !w->turn->batch->full ? look_on(w, h) : ERR_OK;
}

static enum err is_kept(struct work *w, uint64_t event, bool *ret)
{
    struct key k = { .n = 0 };
    struct slice s;
    enum err e = store_get(w->txn, DB_LOG, key_u64(&k, event), &s);
    *ret = e == ERR_OK;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

// The broker has looked through the log up to `passed` and found nothing for this webhook; or what it was to deliver is kept no more.
enum err cmd_hook_next(struct work *w)
{
    const Wire__HookNext *m = w->cmd->item->hook_next;
    Rec__Webhook *h;
    bool kept = false;
    enum err e = get_hook(w, m->workspace, m->webhook, &h);
    if (!e && h->event)
        e = is_kept(w, h->event, &kept);
    if (e)
        return e;
    if (!h->enabled || kept)
        return ERR_BAD_STATE;
    if (m->passed > h->position && m->passed <= w->turn->meta->newest)
        h->position = m->passed;
    e = done_with(w, h);
    return e ? e : save(w, h);
}

// ---------------------------------------------------------------- the end of an attempt

static bool was_taken(const Wire__HookReport *m)
{
    return m->http_status >= 200 && m->http_status < 300 && !*m->error;
}

static void judged(struct work *w, Rec__Webhook *h, const Wire__HookReport *m)
{
    h->last_ms = w->now_ms;
    h->last_error = m->error;
    if (!was_taken(m))
        return;
    h->failures = 0;
    h->open = false;
    h->next_log_ms = h->next_ms = 0; // it answers again: what waits for it need not wait on
}

static enum err log_attempt(struct work *w, Rec__Webhook *h, const Wire__HookReport *m, uint64_t event, const char *type,
                            uint64_t created_ms)
{
    Rec__Delivery d = REC__DELIVERY__INIT;
    d.id = m->delivery;
    d.workspace = h->workspace;
    d.webhook = h->id;
    d.event = event;
    d.type = lent(type);
    d.attempt = m->attempt;
    d.status = was_taken(m) ? DELIVERY_DELIVERED : DELIVERY_FAILED;
    d.http_status = m->http_status;
    d.error = m->error;
    d.duration_ms = m->duration_ms;
    d.created_ms = created_ms;
    return log_delivery(w, h, &d);
}

static enum err fired(struct work *w, const Rec__Webhook *h, const Wire__HookReport *m, const char *type)
{
    Wire__Row r = WIRE__ROW__INIT;
    r.workspace = h->workspace;
    r.entity = h->id;
    r.name = h->name;
    r.delivery = h->delivery;
    r.event = h->event;
    r.event_type = lent(type);
    r.error = m->error;
    return work_row(w, &r, ROW_WEBHOOK_FIRED);
}

// A test is made once: what came of it is for a person to see.
static enum err test_ended(struct work *w, Rec__Webhook *h, const Wire__HookReport *m)
{
    struct key k;
    Rec__Delivery *d;
    enum err e = rec_get(w->txn, w->arena, DB_DELIVERY, delivery_key(&k, h->workspace, h->id, m->delivery), &rec__delivery__descriptor, &d);
    if (e && e != ERR_NOT_FOUND)
        return e;
    uint64_t created_ms = e ? w->now_ms : d->created_ms;
    h->n_tests--;
    memmove(h->tests, h->tests + 1, h->n_tests * sizeof *h->tests);
    judged(w, h, m);
    e = log_attempt(w, h, m, 0, test_type, created_ms);
    return e ? e : save(w, h);
}

static enum err event_ended(struct work *w, Rec__Webhook *h, const Wire__HookReport *m)
{
    const char *type = hook_type(h->row, h->feed);
    enum err e = log_attempt(w, h, m, h->event, type ? type : "", h->begun_ms);
    if (e)
        return e;
    h->attempt = m->attempt;
    judged(w, h, m);
    if (!was_taken(m)) {
        h->failures++;
        h->open = h->failures >= HOOK_BREAKER;
        pause_for(w, h, m->retry_base_ms);
        if (h->attempt < HOOK_ATTEMPTS_MAX)
            return save(w, h);
    }
    e = fired(w, h, m, type ? type : "");
    if (!e)
        e = done_with(w, h);
    return e ? e : save(w, h);
}

// The attempt's number fences it: of two workers that were given the same one, the first to report is believed.
enum err cmd_hook_report(struct work *w)
{
    const Wire__HookReport *m = w->cmd->item->hook_report;
    Rec__Webhook *h;
    struct fault f;
    enum err e = check_hook_report(m, &f);
    if (e)
        return work_fault(w, e, &f);
    e = get_hook(w, m->workspace, m->webhook, &h);
    if (e)
        return e;
    if (h->n_tests && h->tests[0] == m->delivery)
        return m->attempt == 1 ? test_ended(w, h, m) : ERR_STALE_ATTEMPT;
    if (!h->event || h->delivery != m->delivery || m->attempt != h->attempt + 1)
        return ERR_STALE_ATTEMPT;
    return event_ended(w, h, m);
}

// ---------------------------------------------------------------- what admins do

// Viewers read the audit trail, and an address may carry a secret in its path: they are told scheme and host.
static char *host_text(struct work *w, const char *url, bool scheme)
{
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    return work_copy(w, scheme ? url : host, (size_t)(host - (scheme ? url : host)) + strcspn(host, "/?"));
}

static char *events_text(struct work *w, char *const *events, size_t n)
{
    size_t size = 1, at = 0;
    for (size_t i = 0; i < n; i++)
        size += strlen(events[i]) + 1;
    char *out = arena_alloc(w->arena, size);
    if (!out)
        return work_copy(w, "", 0);
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(events[i]);
        if (i)
            out[at++] = ',';
        memcpy(out + at, events[i], len);
        at += len;
    }
    out[at] = 0;
    return out;
}

static enum err row(struct work *w, const Rec__Webhook *h, unsigned kind, const char *field, char *before, char *after)
{
    Wire__Row r = WIRE__ROW__INIT;
    r.entity = h->id;
    r.name = h->name;
    if (field) {
        r.field = lent(field);
        r.old_value = before;
        r.new_value = after;
    }
    return work_row(w, &r, kind);
}

static enum err field_row(struct work *w, const Rec__Webhook *h, const char *field, char *before, char *after)
{
    return row(w, h, ROW_WEBHOOK_UPDATED, field, before, after);
}

static enum err count(struct work *w, unsigned *ret)
{
    struct key prefix;
    struct cursor c;
    kind_key(KIND_WEBHOOK, w->workspace, 0, &prefix);
    enum err e = cursor_open(&c, w->txn, DB_WEBHOOK, &prefix);
    if (e)
        return e;
    *ret = 0;
    for (bool on = cursor_seek(&c, NULL); on && *ret < WEBHOOKS_MAX; on = cursor_next(&c))
        ++*ret;
    e = c.err;
    cursor_close(&c);
    return e;
}

enum err cmd_webhook_create(struct work *w)
{
    const Wire__WebhookPut *m = w->cmd->item->webhook_create;
    struct fault f;
    unsigned n;
    enum err e = check_webhook_create(m, &f);
    if (e)
        return work_fault(w, e, &f);
    if (!m->secret_sealed.len)
        return work_refuse(w, ERR_MISSING_FIELD, "secret", "A webhook needs a secret");
    e = count(w, &n);
    if (e)
        return e;
    if (n >= WEBHOOKS_MAX)
        return work_refuse(w, ERR_BAD_STATE, NULL, "There are 100 webhooks already");
    Rec__Webhook *h = arena_alloc(w->arena, sizeof *h);
    if (!h)
        return ERR_NO_MEMORY;
    *h = (Rec__Webhook)REC__WEBHOOK__INIT;
    h->id = work_id(w, ENTITY_WEBHOOK);
    h->workspace = w->workspace;
    h->name = *m->name ? m->name : host_text(w, m->url, false);
    h->url = m->url;
    h->events = m->events;
    h->n_events = m->n_events;
    h->enabled = m->enabled;
    h->secret = m->secret_sealed;
    h->created_ms = w->now_ms;
    h->position = w->turn->meta->newest; // what was before it is not its business
    e = row(w, h, ROW_WEBHOOK_CREATED, NULL, NULL, NULL);
    if (!e)
        e = save(w, h);
    return e ? e : answer_webhook(w, h);
}

static void close_breaker(Rec__Webhook *h)
{
    h->failures = 0;
    h->open = false;
    h->next_log_ms = h->next_ms = 0;
}

// Off: what is under way is let go. On: from the newest event on.
static void switch_to(struct work *w, Rec__Webhook *h, bool on)
{
    if (h->enabled == on)
        return;
    h->enabled = on;
    nothing_under_way(h);
    close_breaker(h);
    h->n_tests = 0;
    h->position = w->turn->meta->newest;
}

static bool same_events(const Rec__Webhook *h, const Wire__WebhookPut *m)
{
    bool same = h->n_events == m->n_events;
    for (size_t i = 0; same && i < h->n_events; i++)
        same = strcmp(h->events[i], m->events[i]) == 0;
    return same;
}

static enum err edit_events(struct work *w, Rec__Webhook *h, const Wire__WebhookPut *m)
{
    char *before = events_text(w, h->events, h->n_events);
    if (same_events(h, m))
        return ERR_OK;
    if (!h->event && m->passed > h->position && m->passed <= w->turn->meta->newest)
        h->position = m->passed; // what it did not ask for then, it does not get now
    h->events = m->events;
    h->n_events = m->n_events;
    struct hook_match match = hook_match(h->events, h->n_events);
    enum err e = field_row(w, h, "events", before, events_text(w, h->events, h->n_events));
    if (e || !h->event || (hook_wants(&match, h->row) && h->feed == hook_as_feed(&match, h->row)))
        return e;
    nothing_under_way(h); // asked for no more, or in the other view: looked at again
    return look_on(w, h);
}

static enum err edit_rest(struct work *w, Rec__Webhook *h, const Wire__WebhookPut *m)
{
    static const char *const word[] = { "false", "true" };
    enum err e = ERR_OK;
    if ((m->set & WEDIT_NAME) && strcmp(h->name, m->name) != 0) {
        char *before = h->name;
        h->name = m->name;
        e = field_row(w, h, "name", before, h->name);
    }
    if (!e && (m->set & WEDIT_URL) && strcmp(h->url, m->url) != 0) {
        e = field_row(w, h, "url", host_text(w, h->url, true), host_text(w, m->url, true));
        h->url = m->url;
        close_breaker(h);
    }
    if (!e && (m->set & WEDIT_SECRET)) {
        h->secret = m->secret_sealed;
        e = field_row(w, h, "secret", lent(""), lent("changed"));
    }
    if (!e && (m->set & WEDIT_ENABLED) && h->enabled != m->enabled)
        e = field_row(w, h, "enabled", lent(word[h->enabled]), lent(word[m->enabled]));
    if (!e && (m->set & WEDIT_ENABLED))
        switch_to(w, h, m->enabled);
    return e;
}

enum err cmd_webhook_edit(struct work *w)
{
    const Wire__WebhookPut *m = w->cmd->item->webhook_edit;
    Rec__Webhook *h;
    struct fault f;
    enum err e = check_webhook_edit(m, &f);
    if (e)
        return work_fault(w, e, &f);
    e = get_hook(w, w->workspace, m->id, &h);
    if (e)
        return e;
    if ((m->set & WEDIT_SECRET) && !m->secret_sealed.len)
        return work_refuse(w, ERR_INVALID_FIELD, "secret", "It must not be empty");
    if (m->set & WEDIT_EVENTS)
        e = edit_events(w, h, m);
    if (!e)
        e = edit_rest(w, h, m);
    if (!e)
        e = save(w, h);
    return e ? e : answer_webhook(w, h);
}

// What it delivered goes with the sweeps.
enum err cmd_webhook_delete(struct work *w)
{
    Rec__Webhook *h;
    enum err e = get_hook(w, w->workspace, w->cmd->item->webhook_delete->id, &h);
    if (e)
        return e;
    work_touch_webhook(w, h->workspace, h->id);
    e = row(w, h, ROW_WEBHOOK_DELETED, NULL, NULL, NULL);
    return e ? e : work_del(w, KIND_WEBHOOK, NULL, h);
}

enum err cmd_webhook_test(struct work *w)
{
    Rec__Webhook *h;
    enum err e = get_hook(w, w->workspace, w->cmd->item->webhook_test->id, &h);
    if (e)
        return e;
    if (!h->enabled)
        return work_refuse(w, ERR_BAD_STATE, NULL, "The webhook is disabled: enable it first");
    if (h->n_tests >= TESTS_MAX)
        return work_refuse(w, ERR_BAD_STATE, NULL, "Enough tests are waiting already");
    uint64_t *tests = arena_alloc(w->arena, (h->n_tests + 1) * sizeof *tests);
    if (!tests)
        return ERR_NO_MEMORY;
    if (h->n_tests)
        memcpy(tests, h->tests, h->n_tests * sizeof *tests);
    Rec__Delivery d = REC__DELIVERY__INIT;
    d.id = tests[h->n_tests++] = work_id(w, ENTITY_DELIVERY);
    h->tests = tests;
    d.workspace = h->workspace;
    d.webhook = h->id;
    d.type = lent(test_type);
    d.status = DELIVERY_PENDING;
    d.created_ms = w->now_ms;
    e = log_delivery(w, h, &d);
    if (!e)
        e = save(w, h);
    return e ? e : answer_delivery(w, &d);
}
