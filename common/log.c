#include "log.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "clock.h"
#include "json_out.h"

enum { LINE_MAX_OCTETS = 8192 };

static const char *const level_names[] = { "error", "warn", "info", "debug" };
static const char *program_name = "mc";
static enum log_level least = LOG_INFO;

void log_init(const char *program, enum log_level level)
{
    program_name = program;
    least = level;
}

enum log_level log_level_find(const char *name, int *ok)
{
    for (unsigned i = 0; i < sizeof level_names / sizeof *level_names; i++)
        if (strcmp(name, level_names[i]) == 0) {
            if (ok)
                *ok = 1;
            return (enum log_level)i;
        }
    if (ok)
        *ok = 0;
    return LOG_INFO;
}

void log_line(enum log_level level, const char *msg, const char *members, size_t n)
{
    if (level > least)
        return;
    struct buf b;
    buf_init(&b, LINE_MAX_OCTETS * 2);
    struct json j = json_to(&b);
    json_open(&j, '{');
    json_key(&j, "time");
    json_time(&j, clock_wall_ms());
    json_key(&j, "level");
    json_str(&j, level_names[level]);
    json_key(&j, "program");
    json_str(&j, program_name);
    json_key(&j, "msg");
    json_str_cut(&j, msg, 1024);
    if (n && n < LINE_MAX_OCTETS)
        json_raw(&j, members, n);
    json_close(&j, '}');
    buf_putc(&b, '\n');
    if (!b.err) { // one write, so that lines of several processes do not mix; a log that cannot be written is no reason to stop
        ssize_t w = write(STDERR_FILENO, b.data, b.len);
        (void)w;
    }
    buf_fini(&b);
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    if (level > least)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    log_line(level, text, "", 0);
}
