#include "body.h"
#include <stdio.h>
#include <string.h>
#include "conf.h"

// ---------------------------------------------------------------- values

static uint64_t unit_ms(char c)
{
    static const struct { char c; uint64_t s; } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 } };

    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (units[i].c == c)
            return units[i].s * 1000;
    return 0;
}

uint64_t body_time(const char *text, uint64_t now_ms)
{
    static const char midnight[] = "T00:00:00Z";
    char whole[40];
    size_t n = strlen(text);
    bool later = *text == '+';
    uint64_t amount;

    if (n == 10 && strspn(text, "0123456789-") == n) { // a date
        memcpy(whole, text, n);
        memcpy(whole + n, midnight, sizeof midnight);
        return time_parse(whole);
    }
    if (n - later >= 2 && n < sizeof whole && unit_ms(text[n - 1])) {
        memcpy(whole, text + later, n - later - 1);
        whole[n - later - 1] = 0;
        if (!conf_number(whole, 1, 1000000, &amount))
            return 0;
        amount *= unit_ms(text[n - 1]);
        return later ? now_ms + amount : amount < now_ms ? now_ms - amount : 1;
    }
    return time_parse(text);
}

static void put_list(struct json *j, const char *text)
{
    json_open(j, '[');
    while (*text) {
        size_t n = strcspn(text, ",");
        if (n)
            json_strn(j, text, n);
        text += n + (text[n] == ',');
    }
    json_close(j, ']');
}

static bool yes(const char *v)
{
    return strcmp(v, "yes") == 0 || strcmp(v, "true") == 0 || strcmp(v, "on") == 0;
}

static bool bad_time(const struct option *o, const char *v, struct buf *why)
{
    buf_printf(why, "--%s must be a time such as 2026-03-15T10:00:00Z, or 15m, 2h, 7d (ago) or +30d, not '%.*s'", o->name, 40, v);
    return false;
}

// A value as text: what a query takes, and the words of a body.
static bool as_text(const struct body_from *f, const struct option *o, const char *v, char time[25], const char **ret, struct buf *why)
{
    *ret = v;
    if (o->kind == OPT_DESKTOP || o->kind == OPT_AGENT || o->kind == OPT_SESSION || o->kind == OPT_FILE || o->kind == OPT_PASSWORD)
        return f->name(f->u, o->kind, v, ret);
    if (o->kind != OPT_TIME && o->kind != OPT_UNIX)
        return true;
    uint64_t ms = body_time(v, f->now_ms);
    if (!ms)
        return bad_time(o, v, why);
    if (o->kind == OPT_UNIX)
        snprintf(time, 25, "%llu", (unsigned long long)ms / 1000);
    else
        time_format(time, ms);
    *ret = time;
    return true;
}

static bool put_value(const struct body_from *f, const struct option *o, const char *v, struct json *j, struct buf *why)
{
    char time[25];
    const char *text;

    if (!as_text(f, o, v, time, &text, why))
        return false;
    switch (o->kind) {
    case OPT_SWITCH: json_bool(j, true); break;
    case OPT_NULL: json_nil(j); break;
    case OPT_BOOL: json_bool(j, yes(text)); break;
    case OPT_NUMBER:
        text += strspn(text, "0");
        json_raw(j, *text ? text : "0", *text ? strlen(text) : 1);
        break;
    case OPT_DECIMAL:
        while (text[0] == '0' && text[1] >= '0' && text[1] <= '9')
            text++;
        json_raw(j, text, strlen(text));
        break;
    case OPT_LIST: put_list(j, text); break;
    default: json_str(j, text);
    }
    return true;
}

// ---------------------------------------------------------------- bodies

// Closes the inner object that `to` is not in, opens the one it is in.
static const char *enter(struct json *j, const char *to, char inner[32])
{
    const char *dot = strchr(to, '.');
    size_t n = dot ? (size_t)(dot - to) : 0;

    if (inner[0] && !(n == strlen(inner) && memcmp(inner, to, n) == 0)) {
        json_close(j, '}');
        inner[0] = 0;
    }
    if (n && !inner[0] && n < 32) {
        memcpy(inner, to, n);
        inner[n] = 0;
        json_key(j, inner);
        json_open(j, '{');
    }
    return dot ? dot + 1 : to;
}

bool body_members(const struct body_from *f, struct json *j, unsigned *ret_n, struct buf *why)
{
    const struct option *o;
    char inner[32] = "";

    *ret_n = 0;
    for (unsigned i = 0; i < ARGV_OPTIONS_MAX && (o = command_option(f->argv->command, i)); i++) {
        if (!f->argv->value[i] || !o->to || *o->to == '?')
            continue;
        json_key(j, enter(j, o->to, inner));
        if (!put_value(f, o, f->argv->value[i], j, why))
            return false;
        ++*ret_n;
    }
    if (inner[0])
        json_close(j, '}');
    return true;
}

// ---------------------------------------------------------------- queries

static void escaped(struct buf *out, const char *s)
{
    for (; *s; s++) {
        bool plain = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') || strchr("-._~,:", *s);
        if (plain)
            buf_putc(out, *s);
        else
            buf_printf(out, "%%%02X", (unsigned)(unsigned char)*s);
    }
}

void body_query_add(struct buf *path, const char *name, const char *value)
{
    buf_putc(path, memchr(path->data, '?', path->len) ? '&' : '?');
    buf_puts(path, name);
    buf_putc(path, '=');
    escaped(path, value);
}

bool body_query(const struct body_from *f, struct buf *path, struct buf *why)
{
    const struct option *o;

    for (unsigned i = 0; i < ARGV_OPTIONS_MAX && (o = command_option(f->argv->command, i)); i++) {
        char time[25];
        const char *text;
        if (!f->argv->value[i] || !o->to || *o->to != '?')
            continue;
        if (!as_text(f, o, f->argv->value[i], time, &text, why))
            return false;
        body_query_add(path, o->to + 1, o->kind == OPT_SWITCH ? "true" : text);
    }
    return true;
}

// ---------------------------------------------------------------- shell

static void quoted(struct buf *out, const char *s)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";

    if (*s && strspn(s, plain) == strlen(s)) {
        buf_puts(out, s);
        return;
    }
    buf_putc(out, '\'');
    for (; *s; s++)
        if (*s == '\'')
            buf_puts(out, "'\\''");
        else
            buf_putc(out, *s);
    buf_putc(out, '\'');
}

void body_shell(struct buf *out, const char *const *args, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (i)
            buf_putc(out, ' ');
        if (n == 1)
            buf_puts(out, args[i]);
        else
            quoted(out, args[i]);
    }
}
