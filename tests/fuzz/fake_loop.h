// libuv's timers and idle handles under a pretended clock, in the names of the real ones, which are not linked; and the product's
// clocks, which say the same time. Nothing waits: time passes when the target says so.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <uv.h>
#include "clock.h"

enum { LOOP_HANDLES = 1024, LOOP_ROUNDS = 2000 };
#define LOOP_WALL0 1767225600000u

static struct {
    uint64_t mono_ms;
    int64_t skew_ms; // of the wall clock
    struct loop_handle {
        uv_handle_t *h;
        uv_timer_cb timer;
        uv_idle_cb idle;
        uv_close_cb closed;
        uint64_t due, repeat;
        bool active, closing;
    } at[LOOP_HANDLES];
    unsigned n;
    void (*closing)(uv_handle_t *h); // what a target does for its own kinds of handle before closed_cb
} loop;

uint64_t clock_mono_ms(void) { return loop.mono_ms; }
uint64_t clock_mono_us(void) { return loop.mono_ms * 1000; }
uint64_t clock_wall_ms(void) { return LOOP_WALL0 + loop.mono_ms + (uint64_t)loop.skew_ms; }

static struct loop_handle *loop_find(const void *h)
{
    for (unsigned i = 0; i < loop.n; i++)
        if (loop.at[i].h == h)
            return &loop.at[i];
    abort(); // not initialised, or closed
}
static int loop_add(void *h)
{
    if (loop.n == LOOP_HANDLES)
        return UV_ENOMEM;
    loop.at[loop.n++] = (struct loop_handle){ .h = h };
    return 0;
}
int uv_timer_init(uv_loop_t *l, uv_timer_t *t) { t->loop = l; return loop_add(t); }
int uv_timer_start(uv_timer_t *t, uv_timer_cb cb, uint64_t ms, uint64_t repeat)
{
    struct loop_handle *h = loop_find(t);
    if (h->closing || !cb)
        return UV_EINVAL;
    h->timer = cb;
    h->due = loop.mono_ms + ms < ms ? UINT64_MAX : loop.mono_ms + ms;
    h->repeat = repeat;
    h->active = true;
    return 0;
}
int uv_timer_stop(uv_timer_t *t) { loop_find(t)->active = false; return 0; }
uint64_t uv_timer_get_due_in(const uv_timer_t *t)
{
    const struct loop_handle *h = loop_find(t);
    return h->active && h->due > loop.mono_ms ? h->due - loop.mono_ms : 0;
}
int uv_idle_init(uv_loop_t *l, uv_idle_t *i) { i->loop = l; return loop_add(i); }
int uv_idle_start(uv_idle_t *i, uv_idle_cb cb)
{
    struct loop_handle *h = loop_find(i);
    if (h->closing || !cb)
        return UV_EINVAL;
    if (!h->active)
        h->idle = cb;
    h->active = true;
    return 0;
}
int uv_idle_stop(uv_idle_t *i) { loop_find(i)->active = false; return 0; }
int uv_is_active(const uv_handle_t *h) { return loop_find(h)->active; }
int uv_is_closing(const uv_handle_t *h) { return loop_find(h)->closing; }
void uv_close(uv_handle_t *handle, uv_close_cb cb)
{
    struct loop_handle *h = loop_find(handle);
    if (h->closing)
        abort();
    h->closing = true;
    h->active = false;
    h->closed = cb;
}
void uv_ref(uv_handle_t *h) { (void)h; }
void uv_unref(uv_handle_t *h) { (void)h; }
uint64_t uv_now(const uv_loop_t *l) { (void)l; return loop.mono_ms; }
void uv_update_time(uv_loop_t *l) { (void)l; }

static bool loop_once(void) // whether there was anything to do
{
    bool any = false;
    for (unsigned i = 0; i < loop.n; i++) { // a callback may add handles
        struct loop_handle *h = &loop.at[i];
        if (h->closing) {
            struct loop_handle gone = *h;
            if (loop.closing)
                loop.closing(gone.h);
            for (unsigned k = 0; k < loop.n; k++) // that may have added and closed others
                if (loop.at[k].h == gone.h) {
                    loop.at[k] = loop.at[--loop.n];
                    break;
                }
            i--;
            if (gone.closed)
                gone.closed(gone.h);
            any = true;
        } else if (h->active && h->idle) {
            h->idle((uv_idle_t *)h->h);
            any = true;
        } else if (h->active && h->timer && h->due <= loop.mono_ms) {
            if (h->repeat)
                h->due = loop.mono_ms + h->repeat;
            else
                h->active = false;
            h->timer((uv_timer_t *)h->h);
            any = true;
        }
    }
    return any;
}
// Until nothing is due. A handle that is never done is a finding.
__attribute__((unused)) static void loop_settle(void)
{
    for (unsigned i = 0; loop_once(); i++)
        if (i > LOOP_ROUNDS)
            abort();
}
static void loop_begin(void)
{
    loop.n = 0;
    loop.mono_ms = 1000000;
    loop.skew_ms = 0;
}
