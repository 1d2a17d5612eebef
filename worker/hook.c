/* Happy path: an order is rendered, signed and posted; the receiver answers; the result goes to the broker with what other results
 * there are; it is acknowledged, remembered as done, and forgotten.
 * The broker away: results are kept and told again, 100 ms to 2 s apart. An order that is repeated meanwhile is refused.
 * We end with something under way: the broker gives it out again.
 * The receiver took it when a 2xx status came, whatever becomes of the rest of its answer, which is read (to END_MAX, or until
 * TOTAL_MS is over) so as not to break off a receiver that is still writing.
 */
#include "hook.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "chat_msg.h"
#include "check.h"
#include "clock.h"
#include "crypto.h"
#include "fault.h"
#include "fetch.h"
#include "hook_msg.h"
#include "list.h"
#include "log.h"
#include "peer.h"

enum {
    TOTAL_MS = 10000, END_MAX = 1024 * 1024, HELD_MAX = 4 * HOOK_SLOTS, REPORT_ITEMS = 32, REPORT_MS = 10000,
    BACK_OFF_MIN_MS = 100, BACK_OFF_MAX_MS = 2000, DONE_KEPT = 1024,
    DONE_MS = 5000, // a repeat that was under way when we told the end comes sooner
};

struct hook {
    struct hooks *of;
    uint64_t webhook, workspace, delivery;
    uint32_t attempt;
    uint8_t token[HMAC_SIZE];
    struct fetch *fetch;      // NULL: it has ended
    uint64_t begun_ms, duration_ms;
    size_t answered;          // octets
    unsigned status;
    char error[HOOK_ERROR_MAX + 1];
    uint64_t number;          // of its item in the report that is out; 0: in none
    struct list at;
};

struct done {
    uint64_t delivery, at_ms;
    uint32_t attempt;
};

struct hooks {
    struct hooks_conf conf;
    struct peer *peer;
    struct list posting, ended;
    unsigned n;               // of both
    uint64_t delivered, failed; // attempts that ended
    struct peer_call report;
    bool reporting;
    unsigned pause_ms;        // 0: the last report went well
    uv_timer_t timer;
    struct done done[DONE_KEPT]; // a ring
    unsigned n_done;
    Wire__HookHolding *holding, **holding_list; // HELD_MAX of each
};

static void report_soon(struct hooks *h, unsigned ms);

// ---------------------------------------------------------------- one delivery

static bool have(const struct hooks *h, uint64_t delivery, uint32_t attempt)
{
    const struct list *both[] = { &h->posting, &h->ended };
    for (int i = 0; i < 2; i++) {
        list_each(n, next, both[i]) {
            const struct hook *k = container_of(n, struct hook, at);
            if (k->delivery == delivery && k->attempt == attempt)
                return true;
        }
    }
    uint64_t now_ms = clock_mono_ms();
    for (unsigned i = 0; i < DONE_KEPT; i++)
        if (h->done[i].delivery == delivery && h->done[i].attempt == attempt && h->done[i].at_ms + DONE_MS > now_ms)
            return true;
    return false;
}

static void hook_ended(struct hook *k, unsigned status, const char *why)
{
    struct hooks *h = k->of;
    k->fetch = NULL;
    k->status = status;
    if (*why)
        h->failed++;
    else
        h->delivered++;
    k->duration_ms = clock_mono_ms() - k->begun_ms;
    chat_clean(k->error, sizeof k->error, why, strlen(why));
    list_remove(&k->at);
    list_push_back(&h->ended, &k->at);
    log_debug("delivery_%" PRIu64 " ended: %u %s", k->delivery, status, k->error);
    report_soon(h, 0);
}

static bool data_cb(void *u, unsigned status, const uint8_t *p, size_t n)
{
    struct hook *k = u;
    (void)status;
    (void)p;
    k->answered += n;
    return k->answered <= END_MAX;
}

static void fetched_cb(void *u, const struct fetch_result *r)
{
    struct hook *k = u;
    char why[64] = "";
    fault_point("hook_posted");
    if (r->status >= 200 && r->status < 300)
        hook_ended(k, r->status, "");
    else if (r->status) {
        snprintf(why, sizeof why, "The receiver answered %u", r->status);
        hook_ended(k, r->status, why);
    } else if (r->err == ERR_TIMEOUT) {
        hook_ended(k, 0, "The receiver did not answer in time");
    } else {
        hook_ended(k, 0, *r->text ? r->text : "It broke off");
    }
}

static enum err post(struct hook *k, const Wire__HookOrder *o)
{
    struct hook_head head;
    struct buf body;
    const char *type = NULL;
    buf_init(&body, HOOK_BODY_MAX);
    enum err e = hook_body(o, &body, &type);
    if (!e) {
        hook_head(o, type, clock_wall_ms() / 1000, body.data, body.len, &head);
        e = fetch_start(&(struct fetch_req){ .url = o->url, .body = (const char *)body.data, .body_n = body.len, .accept = "*/*",
                                             .headers = head.line, .allow = k->of->conf.allow, .connect_ms = TOTAL_MS,
                                             .total_ms = TOTAL_MS, .data = data_cb, .done = fetched_cb, .u = k },
                        &k->fetch);
    }
    buf_fini(&body);
    return e;
}

void hooks_take(struct hooks *h, const Wire__HookOrder *o)
{
    if (!o->delivery || o->token.len != HMAC_SIZE || have(h, o->delivery, o->attempt) || h->n >= HELD_MAX)
        return;
    fault_point("hook_received");
    struct hook *k = calloc(1, sizeof *k);
    if (!k) {
        log_error("out of memory for delivery_%" PRIu64, o->delivery);
        return; // the broker repeats it
    }
    k->of = h;
    k->webhook = o->webhook;
    k->workspace = o->workspace;
    k->delivery = o->delivery;
    k->attempt = o->attempt;
    memcpy(k->token, o->token.data, sizeof k->token);
    k->begun_ms = clock_mono_ms();
    list_push_back(&h->posting, &k->at);
    h->n++;
    if (!*o->secret) { // nothing goes out unsigned
        hook_ended(k, 0, "The secret cannot be opened: set it anew");
        return;
    }
    enum err e = post(k, o);
    if (e)
        hook_ended(k, 0, e == ERR_INVALID_FIELD ? "The address is none" : err_text(e));
}

// ---------------------------------------------------------------- reports

static void drop(struct hook *k)
{
    struct hooks *h = k->of;
    fault_point("hook_acked");
    h->done[h->n_done++ % DONE_KEPT] = (struct done){ k->delivery, clock_mono_ms(), k->attempt };
    list_remove(&k->at);
    h->n--;
    free(k);
}

// What the broker could not do now it may do later; any other answer is its last word.
static bool is_passing(enum err e)
{
    switch (e) {
    case ERR_NOT_GREETED:
    case ERR_NOT_LEADER:
    case ERR_OUTCOME_UNKNOWN:
    case ERR_UNAVAILABLE:
    case ERR_OVERLOADED:
    case ERR_STORAGE_FULL:
    case ERR_STORAGE_ERROR:
    case ERR_NO_MEMORY:
    case ERR_TIMEOUT:
    case ERR_AGAIN:
        return true;
    default:
        return false;
    }
}

static void answered(struct hooks *h, const Wire__Answer *a)
{
    enum err e = err_from_wire(a->err);
    list_each(n, next, &h->ended) {
        struct hook *k = container_of(n, struct hook, at);
        if (k->number != a->number)
            continue;
        if (is_passing(e)) {
            h->pause_ms = BACK_OFF_MIN_MS;
            return;
        }
        if (e && e != ERR_STALE_ATTEMPT && e != ERR_NOT_FOUND)
            log_warn("the broker did not take the end of delivery_%" PRIu64 ": %s", k->delivery, err_name(e));
        drop(k);
        return;
    }
}

static void reported_cb(struct peer_call *c, enum err e, const Wire__Reply *reply)
{
    struct hooks *h = container_of(c, struct hooks, report);
    unsigned before = h->pause_ms;
    h->reporting = false;
    h->pause_ms = e ? BACK_OFF_MIN_MS : 0;
    for (size_t i = 0; !e && i < reply->n_answers; i++)
        answered(h, reply->answers[i]);
    list_each(n, next, &h->ended)
        container_of(n, struct hook, at)->number = 0;
    if (h->pause_ms && before)
        h->pause_ms = before * 2 < BACK_OFF_MAX_MS ? before * 2 : BACK_OFF_MAX_MS;
    if (!list_empty(&h->ended))
        report_soon(h, 0);
    else if (hooks_idle(h))
        h->conf.idle(h->conf.u);
}

static void send_report(struct hooks *h)
{
    static Wire__HookReport reports[REPORT_ITEMS];
    static Wire__Item items[REPORT_ITEMS], *list[REPORT_ITEMS];
    struct hook *of[REPORT_ITEMS];
    size_t n = 0;
    list_each(at, next, &h->ended) {
        struct hook *k = container_of(at, struct hook, at);
        if (n == REPORT_ITEMS)
            break;
        Wire__HookReport *m = &reports[n];
        *m = (Wire__HookReport)WIRE__HOOK_REPORT__INIT;
        m->webhook = k->webhook;
        m->workspace = k->workspace;
        m->delivery = k->delivery;
        m->attempt = k->attempt;
        m->token = (ProtobufCBinaryData){ sizeof k->token, k->token };
        m->http_status = k->status;
        m->error = k->error;
        m->duration_ms = k->duration_ms;
        items[n] = (Wire__Item)WIRE__ITEM__INIT;
        items[n].body_case = WIRE__ITEM__BODY_HOOK_REPORT;
        items[n].hook_report = m;
        list[n] = &items[n];
        of[n++] = k;
    }
    if (n == 0)
        return;
    h->reporting = true;
    fault_point("hook_reporting");
    peer_ask(h->peer, &h->report, list, n, REPORT_MS);
    fault_point("hook_reported");
    for (size_t i = 0; i < n; i++)
        of[i]->number = items[i].number;
}

static void report_cb(uv_timer_t *t)
{
    struct hooks *h = t->data;
    if (!h->reporting)
        send_report(h);
}

static void report_soon(struct hooks *h, unsigned ms)
{
    if (h->reporting)
        return; // reported_cb looks again
    if (h->pause_ms > ms)
        ms = h->pause_ms;
    if (uv_is_active((uv_handle_t *)&h->timer) && uv_timer_get_due_in(&h->timer) <= ms)
        return;
    uv_timer_start(&h->timer, report_cb, ms, 0);
}

void hooks_up(struct hooks *h)
{
    h->pause_ms = 0;
    uv_timer_stop(&h->timer); // it may be far off
    if (!list_empty(&h->ended))
        report_soon(h, 0);
}

// ---------------------------------------------------------------- what is under way

bool hooks_idle(const struct hooks *h)
{
    return h->n == 0;
}

void hooks_counts(const struct hooks *h, uint64_t *ret_now, uint64_t *ret_delivered, uint64_t *ret_failed)
{
    *ret_now = h->n;
    *ret_delivered = h->delivered;
    *ret_failed = h->failed;
}

size_t hooks_holdings(struct hooks *h, Wire__HookHolding ***ret)
{
    struct list *both[] = { &h->posting, &h->ended };
    size_t n = 0;
    for (int i = 0; i < 2; i++) {
        list_each(at, next, both[i]) {
            struct hook *k = container_of(at, struct hook, at);
            Wire__HookHolding *m = &h->holding[n];
            *m = (Wire__HookHolding)WIRE__HOOK_HOLDING__INIT;
            m->webhook = k->webhook;
            m->delivery = k->delivery;
            m->attempt = k->attempt;
            m->token = (ProtobufCBinaryData){ sizeof k->token, k->token };
            h->holding_list[n++] = m;
        }
    }
    *ret = h->holding_list;
    return n;
}

void hooks_start(struct hooks *h, struct peer *peer)
{
    h->peer = peer;
}

enum err hooks_new(const struct hooks_conf *conf, struct hooks **ret)
{
    struct hooks *h = calloc(1, sizeof *h);
    if (!h)
        return ERR_NO_MEMORY;
    h->conf = *conf;
    h->report.cb = reported_cb;
    list_init(&h->posting);
    list_init(&h->ended);
    h->holding = calloc(HELD_MAX, sizeof *h->holding);
    h->holding_list = calloc(HELD_MAX, sizeof(Wire__HookHolding *));
    if (!h->holding || !h->holding_list || uv_timer_init(conf->loop, &h->timer)) {
        free(h->holding);
        free(h->holding_list);
        free(h);
        return ERR_NO_MEMORY;
    }
    h->timer.data = h;
    *ret = h;
    return ERR_OK;
}
