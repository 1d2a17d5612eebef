#include "notify.h"
#include <stdarg.h>
#include <stdio.h>
#include <systemd/sd-daemon.h>

static struct {
    uv_timer_t timer;
    int (*alive)(void *u);
    void *u;
} watchdog;

void notify_ready(void)
{
    sd_notify(0, "READY=1");
}

void notify_starting(unsigned seconds_more)
{
    sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%llu", seconds_more * 1000000ull);
}

void notify_stopping(void)
{
    sd_notify(0, "STOPPING=1");
}

void notify_status(const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    sd_notifyf(0, "STATUS=%s", text);
}

static void fed_cb(uv_timer_t *t)
{
    (void)t;
    if (!watchdog.alive || watchdog.alive(watchdog.u))
        sd_notify(0, "WATCHDOG=1");
}

void notify_watchdog(uv_loop_t *loop, int (*alive)(void *u), void *u)
{
    uint64_t usec = 0;
    if (sd_watchdog_enabled(0, &usec) <= 0 || usec < 2000)
        return;
    watchdog.alive = alive;
    watchdog.u = u;
    uv_timer_init(loop, &watchdog.timer);
    uv_timer_start(&watchdog.timer, fed_cb, 0, usec / 2000);
    uv_unref((uv_handle_t *)&watchdog.timer);
}

int notify_listen_fds(void)
{
    int n = sd_listen_fds(1);
    return n > 0 ? n : 0;
}
