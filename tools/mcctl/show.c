#include "show.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "escape.h"

enum { LABEL_WIDTH = 26, LABEL_MAX = 120, DEPTH_MAX = 8 };

// ---------------------------------------------------------------- finding

static const json_t *down(const json_t *o, const char *path, size_t n)
{
    char key[64];

    while (o && n) {
        size_t len = strcspn(path, ".|");
        if (len >= sizeof key || len > n)
            return NULL;
        memcpy(key, path, len);
        key[len] = 0;
        o = json_object_get(o, key);
        path += len + (len < n);
        n -= len + (len < n);
    }
    return o && !json_is_null(o) ? o : NULL;
}

const json_t *show_at(const json_t *o, const char *path)
{
    const char *p = NULL;
    const json_t *v = NULL;

    for (size_t n; !v && (n = command_word(&path, &p));)
        v = down(o, p, n);
    return v;
}

const char *show_text(const json_t *o, const char *path)
{
    const char *s = json_string_value(show_at(o, path));
    return s ? s : "";
}

double show_number(const json_t *o, const char *path)
{
    return json_number_value(show_at(o, path));
}

// ---------------------------------------------------------------- values

// Local.
static void put_time(struct buf *out, uint64_t ms)
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    char text[32];

    if (localtime_r(&t, &tm) && strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm))
        buf_puts(out, text);
}

void show_bytes(struct buf *out, double n)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
    unsigned u = 0;

    for (; n >= 1024 && u + 1 < sizeof units / sizeof *units; u++)
        n /= 1024;
    buf_printf(out, u ? "%.1f %s" : "%.0f %s", n, units[u]);
}

static void put_ms(struct buf *out, uint64_t ms)
{
    if (ms < 1000)
        buf_printf(out, "%llu ms", (unsigned long long)ms);
    else if (ms < 60000)
        buf_printf(out, "%.1f s", (double)ms / 1000);
    else if (ms < 3600000)
        buf_printf(out, "%llu min %llu s", (unsigned long long)ms / 60000, (unsigned long long)ms / 1000 % 60);
    else
        buf_printf(out, "%llu h %llu min", (unsigned long long)ms / 3600000, (unsigned long long)ms / 60000 % 60);
}

static void real(struct buf *out, double d)
{
    char text[64];

    if (!isfinite(d) || fabs(d) > 1e15) {
        buf_puts(out, "?");
        return;
    }
    snprintf(text, sizeof text, "%.2f", d);
    size_t n = strlen(text);
    while (n && text[n - 1] == '0')
        n--;
    if (n && text[n - 1] == '.')
        n--;
    buf_put(out, text, n);
}

static void plain(struct buf *out, const json_t *v, unsigned depth);

// "from=in_progress, to=done".
static void members(struct buf *out, const json_t *v, unsigned depth)
{
    json_t *o = (json_t *)(uintptr_t)v; // jansson's iterators want it without const; nothing is changed
    const char *comma = "";

    for (void *i = json_object_iter(o); i; i = json_object_iter_next(o, i)) {
        if (json_is_null(json_object_iter_value(i)))
            continue;
        buf_printf(out, "%s%s=", comma, json_object_iter_key(i));
        plain(out, json_object_iter_value(i), depth + 1);
        comma = ", ";
    }
}

static void plain(struct buf *out, const json_t *v, unsigned depth)
{
    if (depth > DEPTH_MAX)
        buf_puts(out, "...");
    else if (json_is_string(v))
        buf_puts(out, json_string_value(v));
    else if (json_is_integer(v))
        buf_printf(out, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        real(out, json_real_value(v));
    else if (json_is_boolean(v))
        buf_puts(out, json_is_true(v) ? "yes" : "no");
    else if (json_is_object(v))
        members(out, v, depth);
    else if (json_is_array(v))
        for (size_t i = 0; i < json_array_size(v); i++) {
            buf_puts(out, i ? "," : "");
            plain(out, json_array_get(v, i), depth + 1);
        }
    else
        buf_putc(out, '-');
}

void show_cell(struct buf *out, const json_t *o, const char *path, enum cell kind)
{
    const json_t *v = show_at(o, path);
    uint64_t ms = json_is_string(v) ? time_parse(json_string_value(v)) : 0;
    double d = json_number_value(v);

    if (!v)
        buf_putc(out, '-');
    else if (kind == CELL_TIME && ms)
        put_time(out, ms);
    else if (kind == CELL_UNIX && d > 0)
        put_time(out, (uint64_t)d * 1000);
    else if (kind == CELL_PERCENT && json_is_number(v))
        buf_printf(out, "%.1f%%", d);
    else if (kind == CELL_BYTES && json_is_number(v))
        show_bytes(out, d);
    else if (kind == CELL_MS && json_is_number(v) && d >= 0)
        put_ms(out, (uint64_t)d);
    else
        plain(out, v, 0);
}

// ---------------------------------------------------------------- objects

// "createdAt" and "created_at" read "created at".
static void label(char out[LABEL_MAX], const char *before, const char *key)
{
    size_t n = (size_t)snprintf(out, LABEL_MAX, "%s%s", before, *before ? " " : "");

    for (; *key && n + 3 < LABEL_MAX; key++) {
        bool upper = *key >= 'A' && *key <= 'Z';
        if (upper || *key == '_')
            out[n++] = ' ';
        if (*key != '_')
            out[n++] = (char)(upper ? *key + 32 : *key);
    }
    out[n] = 0;
}

static void safely(struct buf *out, const char *text, size_t n, bool lines, bool raw)
{
    if (raw)
        buf_put(out, text, n);
    else
        escape_text(out, text, n, lines);
}

static void indented(struct buf *out, const char *text, bool raw)
{
    buf_putc(out, '\n');
    while (*text) {
        size_t n = strcspn(text, "\n");
        buf_puts(out, "    ");
        safely(out, text, n, true, raw);
        buf_putc(out, '\n');
        text += n + (text[n] == '\n');
    }
}

static bool time_key(const char *key)
{
    size_t n = strlen(key);
    return (n > 2 && strcmp(key + n - 2, "At") == 0) || strcmp(key, "timestamp") == 0;
}

static void value(struct buf *out, const char *name, const char *key, const json_t *v, bool raw)
{
    struct buf text;

    safely(out, name, strlen(name), false, raw);
    buf_puts(out, "  ");
    for (size_t n = strlen(name) + 2; n < LABEL_WIDTH; n++)
        buf_putc(out, ' ');
    if (json_is_string(v) && strchr(json_string_value(v), '\n')) {
        indented(out, json_string_value(v), raw);
        return;
    }
    uint64_t ms = json_is_string(v) && time_key(key) ? time_parse(json_string_value(v)) : 0;
    buf_init(&text, SHOW_MAX);
    if (ms)
        put_time(&text, ms);
    else
        plain(&text, v, 0);
    (void)buf_cstr(&text);
    safely(out, text.data ? (const char *)text.data : "", text.len, false, raw);
    buf_putc(out, '\n');
    buf_fini(&text);
}

static void object(struct buf *out, const json_t *o, const char *before, bool raw, unsigned depth)
{
    json_t *all = (json_t *)(uintptr_t)o;
    char name[LABEL_MAX];

    for (void *i = json_object_iter(all); i; i = json_object_iter_next(all, i)) {
        const json_t *v = json_object_iter_value(i);
        label(name, before, json_object_iter_key(i));
        if (json_is_object(v) && depth < DEPTH_MAX)
            object(out, v, name, raw, depth + 1);
        else
            value(out, name, json_object_iter_key(i), v, raw);
    }
}

void show_object(struct buf *out, const json_t *o, bool raw)
{
    object(out, o, "", raw, 0);
}

void show_line(struct buf *out, const json_t *o, bool raw)
{
    static const char *const paths[] = { "id", "status|role", "title|name|username|url|content|summary" };
    const char *gap = "";

    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        const char *s = show_text(o, paths[i]);
        if (!*s)
            continue;
        buf_puts(out, gap);
        safely(out, s, strlen(s), false, raw);
        gap = "  ";
    }
    buf_putc(out, '\n');
}

// Plain ASCII that needs no escape, as every name of ours.
static bool plain_name(const char *key)
{
    for (; *key; key++)
        if (*key < ' ' || *key > '~' || *key == '"' || *key == '\\')
            return false;
    return true;
}

static void json_members(struct json *j, const json_t *v)
{
    json_t *o = (json_t *)(uintptr_t)v;

    json_open(j, '{');
    for (void *i = json_object_iter(o); i; i = json_object_iter_next(o, i)) {
        const char *key = json_object_iter_key(i);
        if (!plain_name(key))
            continue; // none of ours has such
        json_key(j, key);
        show_json(j, json_object_iter_value(i));
    }
    json_close(j, '}');
}

// Its depth is JSON_IN_DEPTH at most: it was read.
void show_json(struct json *j, const json_t *v)
{
    char number[40];

    if (json_is_object(v)) {
        json_members(j, v);
    } else if (json_is_array(v)) {
        json_open(j, '[');
        for (size_t i = 0; i < json_array_size(v); i++)
            show_json(j, json_array_get(v, i));
        json_close(j, ']');
    } else if (json_is_string(v)) {
        json_strn(j, json_string_value(v), json_string_length(v));
    } else if (json_is_integer(v)) {
        json_i64(j, json_integer_value(v));
    } else if (json_is_real(v)) {
        json_raw(j, number, (size_t)snprintf(number, sizeof number, "%.15g", json_real_value(v)));
    } else if (json_is_boolean(v)) {
        json_bool(j, json_is_true(v));
    } else {
        json_nil(j);
    }
}
