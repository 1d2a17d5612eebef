// A line ends in CR, LF or both; an empty one ends a block. Comments, unknown fields and ids with a NUL or too long are passed over.
#include "sse.h"
#include <string.h>

void sse_init(struct sse *s)
{
    *s = (struct sse){ 0 };
    buf_init(&s->line, SSE_EVENT_MAX);
    buf_init(&s->data, SSE_EVENT_MAX);
}

void sse_fini(struct sse *s)
{
    buf_fini(&s->line);
    buf_fini(&s->data);
}

void sse_restart(struct sse *s)
{
    buf_reset(&s->line);
    buf_reset(&s->data);
    s->cr = s->begun = s->has_data = false;
    memcpy(s->id, s->last, sizeof s->id);
}

static bool is(const char *name, size_t name_n, const char *field)
{
    return strlen(field) == name_n && memcmp(name, field, name_n) == 0;
}

static void take_retry(struct sse *s, const char *v, size_t n)
{
    uint64_t ms = 0;

    if (n == 0 || n > 9)
        return;
    for (size_t i = 0; i < n; i++) {
        if (v[i] < '0' || v[i] > '9')
            return;
        ms = ms * 10 + (uint64_t)(v[i] - '0');
    }
    s->retry_ms = ms;
}

// An id goes into a header of ours: only what can be read is taken.
static bool id_ok(const char *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (v[i] <= ' ' || v[i] > '~')
            return false;
    return n < SSE_ID_MAX;
}

static void field(struct sse *s, const char *line, size_t n)
{
    const char *colon = memchr(line, ':', n);
    size_t name_n = colon ? (size_t)(colon - line) : n, at = colon ? name_n + 1 : n;

    if (at < n && line[at] == ' ')
        at++;
    if (is(line, name_n, "data")) {
        if (s->has_data)
            buf_putc(&s->data, '\n');
        buf_put(&s->data, line + at, n - at);
        s->has_data = true;
    } else if (is(line, name_n, "id") && id_ok(line + at, n - at)) {
        memcpy(s->id, line + at, n - at);
        s->id[n - at] = 0;
    } else if (is(line, name_n, "retry")) {
        take_retry(s, line + at, n - at);
    }
}

static enum err block(struct sse *s, sse_event *cb, void *u)
{
    bool more = true;

    memcpy(s->last, s->id, sizeof s->last);
    if (s->has_data)
        more = cb(u, buf_cstr(&s->data), s->data.len, s->last);
    buf_reset(&s->data);
    s->has_data = false;
    return more ? ERR_OK : ERR_CLOSED;
}

static enum err line(struct sse *s, sse_event *cb, void *u)
{
    static const char bom[] = "\xef\xbb\xbf";
    const char *p = (const char *)s->line.data;
    size_t n = s->line.len;

    if (!s->begun && n >= 3 && memcmp(p, bom, 3) == 0) {
        p += 3;
        n -= 3;
    }
    s->begun = true;
    enum err e = ERR_OK;
    if (n == 0)
        e = block(s, cb, u);
    else if (*p != ':')
        field(s, p, n);
    buf_reset(&s->line);
    return e ? e : s->data.err;
}

enum err sse_feed(struct sse *s, const void *p, size_t n, sse_event *cb, void *u)
{
    const uint8_t *d = p;

    for (size_t i = 0; i < n; i++) {
        bool end = d[i] == '\r' || (d[i] == '\n' && !s->cr), skip = d[i] == '\n' && s->cr;
        size_t from = i;
        s->cr = d[i] == '\r';
        if (skip)
            continue;
        if (!end) {
            while (i + 1 < n && d[i + 1] != '\r' && d[i + 1] != '\n')
                i++;
            buf_put(&s->line, d + from, i + 1 - from);
        }
        enum err e = end ? line(s, cb, u) : s->line.err;
        if (e)
            return e;
    }
    return ERR_OK;
}
