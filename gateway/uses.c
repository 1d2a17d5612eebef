// Happy path: the second's tick finds a key that is new, or the minute over -> everything used since the last time is gathered
// -> one command after the other, USES_MAX keys in each -> the last one's answer makes it the last time.
#include "uses.h"
#include <stdlib.h>
#include <uv.h>
#include "ask.h"
#include "check.h"
#include "clock.h"
#include "cred.h"
#include "gateway.h"
#include "hub.h"

enum { LOOK_MS = 1000, TELL_MS = 60000 };

static struct {
    struct gateway *gw;
    uv_timer_t timer;
    struct ask_call ask;
    Wire__KeyUse *gathered;
    size_t n, cap, sent;       // of gathered
    uint64_t since_ms;         // told up to here (monotonic)
    uint64_t whole_ms, now_ms, wall_ms; // whole: when those with streams open were told too
    bool asking, whole;
} uses;

static void seen_cb(void *u, const struct actor *actor, uint64_t used_ms)
{
    (void)u;
    if (uses.n == uses.cap) {
        size_t cap = uses.cap ? uses.cap * 2 : 256;
        Wire__KeyUse *p = realloc(uses.gathered, cap * sizeof *p);
        if (!p)
            return; // it will be seen again
        uses.gathered = p;
        uses.cap = cap;
    }
    Wire__KeyUse *use = &uses.gathered[uses.n++];
    *use = (Wire__KeyUse)WIRE__KEY_USE__INIT;
    use->workspace = actor->workspace;
    use->key = actor->key;
    use->at_ms = uses.wall_ms - (uses.now_ms - used_ms);
}

static void done(bool told)
{
    uses.asking = false;
    if (uses.whole)
        uses.whole_ms = uses.now_ms;
    if (told)
        uses.since_ms = uses.now_ms;
    free(uses.gathered);
    uses.gathered = NULL;
    uses.n = uses.cap = uses.sent = 0;
}

static void send_some(void);

static void told_cb(struct ask_call *c, enum err e, const Wire__Answer *a, uint64_t newest)
{
    (void)c;
    (void)a;
    (void)newest;
    if (e || uses.sent == uses.n)
        done(!e);
    else
        send_some();
}

static void send_some(void)
{
    Wire__KeyUse *list[USES_MAX];
    Wire__KeysUsed m = WIRE__KEYS_USED__INIT;
    Wire__Item item = WIRE__ITEM__INIT;

    while (m.n_keys < USES_MAX && uses.sent < uses.n)
        list[m.n_keys++] = &uses.gathered[uses.sent++];
    m.keys = list;
    item.body_case = WIRE__ITEM__BODY_KEYS_USED;
    item.keys_used = &m;
    uses.ask = (struct ask_call){ .cb = told_cb };
    uses.asking = true;
    ask_send(uses.gw->ask, &uses.ask, NULL, &item);
}

static void tick_cb(uv_timer_t *t)
{
    uint64_t now = clock_mono_ms();

    (void)t;
    if (uses.asking)
        return;
    uses.whole = now - uses.whole_ms >= TELL_MS;
    if (!cred_has_new(uses.gw->cred) && !uses.whole)
        return;
    uses.now_ms = now;
    uses.wall_ms = clock_wall_ms();
    cred_each_used(uses.gw->cred, uses.since_ms, seen_cb, NULL);
    if (uses.whole)
        hub_each_owner(uses.gw->hub, now, seen_cb, NULL);
    if (uses.n)
        send_some();
    else
        done(true);
}

enum err uses_start(struct gateway *gw)
{
    uses.gw = gw;
    uses.since_ms = uses.whole_ms = clock_mono_ms();
    if (uv_timer_init(gw->loop, &uses.timer) != 0 || uv_timer_start(&uses.timer, tick_cb, LOOK_MS, LOOK_MS) != 0)
        return ERR_INTERNAL;
    uv_unref((uv_handle_t *)&uses.timer);
    return ERR_OK;
}
