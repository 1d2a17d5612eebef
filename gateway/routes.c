// Happy path of a request: head() finds the row -> the credential (cached, or looked up) -> the rate limit -> the role -> the
// id's form -> the body's type, and the body -> X-Mc-Min-Sequence -> the row's handler. Each step can answer instead; an
// unknown path is a step like the others and comes after the credential, so that who has none learns nothing.
// Streams leave at once: the hub judges their credential, since they hold with 200 while the broker is away.
#include "routes.h"
#include <string.h>
#include <strings.h>
#include <arpa/inet.h>
#include "api.h"
#include "api_output.h"
#include "clock.h"
#include "cred.h"
#include "crypto.h"
#include "figures.h"
#include "gateway.h"
#include "hub.h"
#include "names.h"
#include "origin.h"
#include "query.h"
#include "quota.h"
#include "request.h"
#include "route.h"

static void stream_activity(struct request *r);
static void stream_feed(struct request *r);
static void stream_desktops(struct request *r);

static const struct route routes[] = {
#define R(method, role, body, cost, id, path, handler) \
    { METHOD_##method, ROLE_##role, BODY_##body, cost, ENTITY_##id, sizeof path - 1, path, handler },
    ROUTES(R)
#undef R
};

enum { COST_SEARCH = 5 }; // a list by `q` reads more than it shows

// ---------------------------------------------------------------- streams

// Only HEAD comes here: head() gives GET to the hub. The same head, and nothing after it.
static void stream_head(struct request *r)
{
    struct exchange *x = r->x;

    request_let_go(r);
    exchange_reply(x, 200, "text/event-stream", NULL, 0);
}

static void stream_activity(struct request *r)
{
    stream_head(r);
}

static void stream_feed(struct request *r)
{
    stream_head(r);
}

static void stream_desktops(struct request *r)
{
    stream_head(r);
}

static bool stream_view(const struct route *row, enum event_view *ret)
{
    if (row->handler == stream_activity)
        *ret = VIEW_ACTIVITY;
    else if (row->handler == stream_feed)
        *ret = VIEW_FEED;
    else if (row->handler == stream_desktops)
        *ret = VIEW_DESKTOPS;
    else
        return false;
    return true;
}

// ---------------------------------------------------------------- rate limits

// An IPv4 address is itself, mapped or not.
static uint64_t address_key(const char *address)
{
    uint8_t in[17] = { 0 }, hash[HASH_SIZE];
    uint64_t key;
    struct in6_addr six;
    struct in_addr four;

    if (inet_pton(AF_INET6, address, &six) == 1 && !IN6_IS_ADDR_V4MAPPED(&six)) {
        in[0] = 6;
        memcpy(in + 1, &six, 8);
    } else if (inet_pton(AF_INET6, address, &six) == 1) {
        in[0] = 4;
        memcpy(in + 1, six.s6_addr + 12, 4);
    } else if (inet_pton(AF_INET, address, &four) == 1) {
        in[0] = 4;
        memcpy(in + 1, &four, 4);
    }
    crypto_hash(hash, in, sizeof in);
    memcpy(&key, hash, sizeof key);
    return key;
}

static struct quota_verdict charge(const struct exchange *x, uint32_t cost)
{
    // The number of a key is ours, not the client's: a multiplication spreads it well enough.
    uint64_t key = x->actor.key ? x->actor.key * 0x9e3779b97f4a7c15u + 1 : address_key(x->address);

    return quota_take(x->gw->quota, key, cost, clock_mono_us());
}

uint64_t routes_address(const struct exchange *x)
{
    return address_key(x->address);
}

bool routes_quota(struct exchange *x, uint32_t cost)
{
    return charge(x, cost).ok;
}

static size_t put_number(char *at, uint64_t n)
{
    char t[20];
    size_t i = sizeof t;

    do {
        t[--i] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    memcpy(at, t + i, sizeof t - i);
    at[sizeof t - i] = 0;
    return sizeof t - i;
}

// "name";a=N;b=M
static void put_pair(char *at, const char *a, uint64_t n, const char *b, uint64_t m)
{
    at = stpcpy(stpcpy(at, "\"default\";"), a);
    at += put_number(at, n);
    (void)put_number(stpcpy(stpcpy(at, ";"), b), m);
}

// In the answer to come. Nothing where limits are off.
static void tell_limits(struct exchange *x, const struct quota_verdict *v)
{
    char value[80];

    if (!v->limit)
        return;
    put_pair(value, "q=", v->limit, "w=", 60);
    exchange_add(x, "RateLimit-Policy", value);
    put_pair(value, "r=", v->remaining, "t=", v->reset_s);
    exchange_add(x, "RateLimit", value);
    (void)put_number(value, v->limit);
    exchange_add(x, "X-RateLimit-Limit", value);
    (void)put_number(value, v->remaining);
    exchange_add(x, "X-RateLimit-Remaining", value);
    (void)put_number(value, v->reset_s);
    exchange_add(x, "X-RateLimit-Reset", value);
}

bool routes_quota_told(struct exchange *x, uint32_t cost)
{
    struct quota_verdict v = charge(x, cost);

    tell_limits(x, &v);
    return v.ok;
}

// False: over the limit, and answered.
static bool within_limits(struct request *r, uint32_t cost)
{
    struct quota_verdict v = charge(r->x, cost);
    char value[80];

    tell_limits(r->x, &v);
    if (v.ok)
        return true;
    (void)put_number(value, v.retry_after_s ? v.retry_after_s : 1);
    exchange_add(r->x, "Retry-After", value);
    request_refuse(r, 429, "RATE_LIMITED", "Too many requests: try again later");
    return false;
}

// ---------------------------------------------------------------- the steps

static void seen_enough(struct request *r, const Wire__Answer *a)
{
    (void)a;
    r->row->handler(r);
}

// X-Mc-Min-Sequence: what the client has seen elsewhere must be visible here first.
static void wait_or_handle(struct request *r)
{
    Wire__WaitSequence m = WIRE__WAIT_SEQUENCE__INIT;
    Wire__Item item = WIRE__ITEM__INIT;
    unsigned many = 0;
    struct text h = exchange_header(r->x, "x-mc-min-sequence", &many);
    uint64_t n = 0;

    if (h.p && (many > 1 || !h.n || *h.p == '-' || !query_number(h, 0, INT64_MAX, &n))) {
        request_fail(r, ERR_INVALID_FIELD, "X-Mc-Min-Sequence", "It must be a whole number");
        return;
    }
    if (n <= ask_newest(r->x->gw->ask)) {
        r->row->handler(r);
        return;
    }
    m.sequence = n;
    item.body_case = WIRE__ITEM__BODY_WAIT_SEQUENCE;
    item.wait_sequence = &m;
    request_ask(r, &item, WIRE__ANSWER__BODY__NOT_SET, seen_enough);
}

// A change that is asked for under a condition is not made unless it holds (RFC 9110 13.1): what can be changed has no tag that
// If-Match could name, and If-None-Match: * asks that there be nothing.
static bool unmet(const struct exchange *x)
{
    return x->method != METHOD_GET && x->method != METHOD_HEAD && exchange_condition(x, NULL);
}

static void handle(struct request *r)
{
    json_t *o;

    if (unmet(r->x)) {
        request_refuse(r, 412, "PRECONDITION_FAILED", "What If-Match or If-None-Match asks for is not so");
        return;
    }
    if (r->row->body == BODY_OPTIONAL && r->x->body.n) { // nothing in it matters, but it must be what it says it is
        if (!request_body(r, &o))
            return;
        json_decref(o);
    }
    if (r->row->role == ROLE_NONE)
        r->row->handler(r);
    else
        wait_or_handle(r);
}

// "application/json", perhaps with charset=utf-8.
static bool is_json(struct text t)
{
    static const char type[] = "application/json", charset[] = "charset=";
    size_t n = sizeof type - 1;

    if (t.n < n || strncasecmp(t.p, type, n) != 0)
        return false;
    struct text rest = { t.p + n, t.n - n };
    while (rest.n) {
        while (rest.n && (*rest.p == ' ' || *rest.p == '\t' || *rest.p == ';')) {
            rest.p++;
            rest.n--;
        }
        const char *end = memchr(rest.p, ';', rest.n);
        size_t k = end ? (size_t)(end - rest.p) : rest.n;
        size_t part = k;
        while (part && (rest.p[part - 1] == ' ' || rest.p[part - 1] == '\t'))
            part--;
        if (rest.p == t.p + n && part)
            return false; // application/jsonx
        if (part >= sizeof charset - 1 && strncasecmp(rest.p, charset, sizeof charset - 1) == 0) {
            struct text v = { rest.p + sizeof charset - 1, part - (sizeof charset - 1) };
            if (v.n >= 2 && *v.p == '"' && v.p[v.n - 1] == '"') {
                v.p++;
                v.n -= 2;
            }
            if (v.n != 5 || strncasecmp(v.p, "utf-8", 5) != 0)
                return false;
        }
        rest.p += k;
        rest.n -= k;
    }
    return true;
}

// A body that is packed is one we cannot read: better said so than called bad JSON.
static bool is_packed(const struct exchange *x)
{
    unsigned many = 0;
    struct text coding = exchange_header(x, "content-encoding", &many);

    return many > 1 || (coding.p && !(coding.n == 8 && strncasecmp(coding.p, "identity", 8) == 0));
}

static void read_body(struct request *r)
{
    struct exchange *x = r->x;
    unsigned many = 0;
    struct text type = exchange_header(x, "content-type", &many);

    if (r->row->body == BODY_NONE) {
        handle(r);
        return;
    }
    bool wrong = many > 1 || (type.p ? !is_json(type) : x->has_body);
    if (wrong && (x->has_body || r->row->body == BODY_JSON)) {
        request_refuse(r, 415, "UNSUPPORTED_MEDIA_TYPE", "The body must be application/json in UTF-8");
        return;
    }
    if (x->has_body && is_packed(x)) {
        exchange_add(x, "Accept-Encoding", "identity");
        request_refuse(r, 415, "UNSUPPORTED_MEDIA_TYPE", "The body must come as it is, without Content-Encoding");
        return;
    }
    if (x->has_body)
        exchange_want_body(x, REQUEST_BODY_MAX);
    else if (r->row->body == BODY_JSON)
        request_fail(r, ERR_BAD_JSON, NULL, "A JSON object is needed as the body");
    else
        handle(r);
}

// An EventSource cannot give headers: for output that is followed live the key may be in the query, as for the streams.
static bool query_key(const struct route *row, const struct exchange *x)
{
    return row && row->handler == api_task_output && api_output_follows(x);
}

// Output that is followed live is a stream too: it is held where another request would be answered 503.
static bool hold(struct request *r)
{
    struct exchange *x = r->x;
    uint64_t task = r->id;
    char scratch[128];
    struct text key;

    if (!query_key(r->row, x) || x->method != METHOD_GET || !task || cred_of(x, true, scratch, &key) || !key.p || key.n > API_KEY_MAX)
        return false;
    request_let_go(r);
    api_output_held(x, task, key);
    return true;
}

// A browser adds its cookie to whatever another site's page makes it ask. What changes something must be our own pages'.
static bool forged(const struct exchange *x)
{
    return x->cookie && x->method != METHOD_GET && x->method != METHOD_HEAD && origin_of(x) != ORIGIN_OWN;
}

static void known(struct request *r)
{
    struct exchange *x = r->x;
    const struct route *row = r->row;
    uint32_t cost = row ? row->cost : 1;
    char allow[ROUTE_ALLOW_MAX];

    if (row && (row->handler == api_task_list || row->handler == api_event_list) && query_raw(x->query, "q").p)
        cost = COST_SEARCH;
    if (query_key(row, x)) { // charged before: over the limit a stream is held, not refused
        if (!routes_quota(x, cost) && hold(r))
            return;
        cost = 0;
    }
    if (!within_limits(r, cost))
        return;
    if (!row && !r->allow) {
        request_fail(r, ERR_NOT_FOUND, NULL, "There is no such route");
    } else if (!row) {
        route_allow(r->allow, allow);
        exchange_add(x, "Allow", allow);
        request_refuse(r, 405, "METHOD_NOT_ALLOWED", "This route does not know that method: Allow says which it does");
    } else if (forged(x)) {
        request_refuse(r, 403, "CROSS_ORIGIN", "A browser's request that changes something must come from this site's own pages");
    } else if (x->actor.role < row->role) {
        request_fail(r, ERR_FORBIDDEN, NULL, NULL);
    } else if (row->id != ENTITY_NONE && !r->id) {
        request_fail(r, ERR_NOT_FOUND, NULL, NULL);
    } else {
        read_body(r);
    }
}

static void found_cb(struct cred_call *c, enum err e, const struct actor *actor)
{
    struct request *r = container_of(c, struct request, cred);

    if (e == ERR_UNAVAILABLE && hold(r))
        return;
    if (e == ERR_OK) {
        r->x->actor = *actor;
        known(r);
    } else if (e == ERR_UNAUTHORIZED) {
        if (within_limits(r, 1))
            request_fail(r, ERR_UNAUTHORIZED, NULL, NULL);
    } else if (within_limits(r, 0)) {
        request_fail(r, e, NULL, NULL);
    }
}

static void head(struct exchange *x)
{
    struct route_match m = route_find(routes, sizeof routes / sizeof *routes, x->method, x->path);
    enum event_view view;
    char scratch[128];
    struct text key;

    x->route = m.row ? (uint16_t)(m.row - routes + 1) : 0;
    if (m.row && x->method == METHOD_GET && stream_view(m.row, &view)) {
        hub_open(x->gw->hub, x, view);
        return;
    }
    struct request *r = request_new(x);
    if (!r) {
        exchange_error(x, ERR_OVERLOADED, NULL, NULL);
        return;
    }
    r->row = m.row;
    r->allow = m.allow;
    r->id = m.id;
    if (r->row && r->row->role == ROLE_NONE) {
        if (within_limits(r, r->row->cost))
            read_body(r);
        return;
    }
    r->cred.cb = found_cb;
    enum err e = cred_of(x, query_key(r->row, x), scratch, &key);
    if (x->cookie)
        exchange_add(x, "Vary", "Cookie");
    if (e != ERR_OK) {
        if (within_limits(r, 1))
            request_fail(r, e, NULL, "One credential only");
    } else if (!key.p) {
        if (within_limits(r, 1))
            request_fail(r, ERR_UNAUTHORIZED, NULL, NULL);
    } else {
        cred_find(x->gw->cred, &r->cred, key);
    }
}

static void body(struct exchange *x)
{
    handle(x->u);
}

enum err routes_figures(struct figures **ret)
{
    static uint8_t classes[sizeof routes / sizeof *routes];
    enum event_view view;

    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        classes[i] = routes[i].role == ROLE_NONE ? CLASS_OPEN : stream_view(&routes[i], &view) ? CLASS_STREAM
                   : routes[i].method == METHOD_GET ? CLASS_READ : CLASS_WRITE;
    return figures_new(routes, classes, sizeof routes / sizeof *routes, ret);
}

static const struct exchange_handlers handlers = { head, body };

const struct exchange_handlers *routes_handlers(void)
{
    return &handlers;
}
