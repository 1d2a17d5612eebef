// The log's functions, which write their line and drop it: what goes into it is looked at by the sanitizers, and nothing is printed.
#pragma once
#include <stdarg.h>
#include <stdio.h>
#include "log.h"

void log_init(const char *program, enum log_level level) { (void)program, (void)level; }
void log_msg(enum log_level level, const char *fmt, ...)
{
    char line[512];
    va_list ap;
    (void)level;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
}
void log_line(enum log_level level, const char *msg, const char *members, size_t n) { (void)level, (void)msg, (void)members, (void)n; }
