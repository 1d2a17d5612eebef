// One JSON line a record on standard error: time, level, program, msg. Whatever the text holds, it stays one line.
#pragma once
#include <stddef.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

// program: lent for ever. level: the least important that is written.
void log_init(const char *program, enum log_level level);
// LOG_INFO for a word that is none of error, warn, info, debug; *ok (may be NULL) tells.
enum log_level log_level_find(const char *name, int *ok);
void log_msg(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// A line whose further members the caller has rendered: `members` is JSON such as "\"status\":200" and may be "".
void log_line(enum log_level level, const char *msg, const char *members, size_t n);
#define log_error(...) log_msg(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_msg(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_msg(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_DEBUG, __VA_ARGS__)
