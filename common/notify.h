// libsystemd's home: readiness, status and watchdog, told to systemd when it asked for them (NOTIFY_SOCKET), and the
// listening sockets it hands over. All of it does nothing outside systemd.
#pragma once
#include <uv.h>

void notify_ready(void);
void notify_stopping(void);
// Not ready yet, and at work: for a start that may take longer than the unit allows.
void notify_starting(unsigned seconds_more);
void notify_status(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
// Feeds the watchdog from the loop at half of WATCHDOG_USEC. alive (may be NULL) is asked before each feeding: 0 holds it back.
void notify_watchdog(uv_loop_t *loop, int (*alive)(void *u), void *u);
// Number of sockets handed over (LISTEN_PID checked), fds from 3; 0 without socket activation.
int notify_listen_fds(void);
