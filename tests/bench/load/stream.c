#include "stream.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "load.h"

enum { KEPT_MAX = 64 * 1024, CHUNK_MAX = 1 << 24 };
enum { IN_SIZE, IN_DATA, IN_END };

static void keep(struct stream *s, const char *data, size_t n)
{
    if (s->n + n > s->cap) {
        size_t cap = (s->n + n + 511) / 512 * 512;
        if (!(s->kept = realloc(s->kept, cap)))
            load_die("out of memory");
        s->cap = (uint32_t)cap;
    }
    memcpy(s->kept + s->n, data, n);
    s->n += (uint32_t)n;
}

void stream_fini(struct stream *s)
{
    free(s->kept);
    s->kept = NULL;
    s->n = s->cap = 0;
}

// Just behind the first empty line; NULL: there is none.
static const char *empty_line(const char *p, size_t n)
{
    const char *end = p + n;

    while ((p = memchr(p, '\n', (size_t)(end - p))) && p + 1 < end) {
        if (p[1] == '\n')
            return p + 2;
        p++;
    }
    return NULL;
}

static const char *body(struct stream *s, const char *p, size_t n, stream_frame *frame, void *u)
{
    const char *end = p + n, *to;

    if (s->n) { // the rest of one that was cut: its last octet may be the first of the empty line
        if (s->kept[s->n - 1] == '\n' && *p == '\n')
            to = p + 1;
        else
            to = empty_line(p, n);
        keep(s, p, (size_t)((to ? to : end) - p));
        if (!to)
            return s->n > KEPT_MAX ? "a frame is too large" : NULL;
        s->frames++;
        frame(u, s->kept, s->n);
        stream_fini(s);
        p = to;
    }
    while (p < end && (to = empty_line(p, (size_t)(end - p)))) {
        s->frames++;
        frame(u, p, (size_t)(to - p));
        p = to;
    }
    if (p < end)
        keep(s, p, (size_t)(end - p));
    return NULL;
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static const char *chunks(struct stream *s, const char *p, size_t n, stream_frame *frame, void *u)
{
    const char *end = p + n, *wrong;

    while (p < end && s->state == STREAM_BODY) {
        if (s->in == IN_SIZE) {
            char c = *p++;
            int digit = hex(c);
            if (digit >= 0 && s->left < CHUNK_MAX) {
                s->left = s->left * 16 + (uint32_t)digit;
                s->sized = true;
            } else if (c == '\n' && s->sized) {
                s->sized = false;
                s->in = IN_DATA;
                if (s->left == 0)
                    s->state = STREAM_END;
            } else if (c != '\r' || !s->sized) {
                return "a chunk has no size";
            }
        } else if (s->in == IN_DATA) {
            size_t take = (size_t)(end - p) < s->left ? (size_t)(end - p) : s->left;
            if ((wrong = body(s, p, take, frame, u)))
                return wrong;
            p += take;
            s->left -= (uint32_t)take;
            if (s->left == 0)
                s->in = IN_END;
        } else {
            char c = *p++;
            if (c == '\n')
                s->in = IN_SIZE;
            else if (c != '\r')
                return "a chunk is longer than its size";
        }
    }
    return p < end ? "octets behind the last chunk" : NULL;
}

const char *stream_feed(struct stream *s, const char *data, size_t n, stream_frame *frame, void *u)
{
    const char *rest = data, *end = data + n;

    if (s->state == STREAM_HEAD) {
        keep(s, data, n);
        char *at = memmem(s->kept, s->n, "\r\n\r\n", 4);
        if (s->n < 12 || (memcmp(s->kept, "HTTP/1.1 200", 12) == 0 && !at && s->n < KEPT_MAX))
            return NULL;
        if (!at || memcmp(s->kept, "HTTP/1.1 200", 12) != 0)
            return "the answer is no stream";
        size_t head = (size_t)(at - s->kept) + 4;
        at[0] = 0;
        s->chunked = strcasestr(s->kept, "\r\ntransfer-encoding: chunked") != NULL;
        s->state = STREAM_BODY;
        rest = end - (s->n - head);
        stream_fini(s);
    }
    if (rest == end)
        return NULL;
    if (s->state == STREAM_END)
        return "octets behind the last chunk";
    return s->chunked ? chunks(s, rest, (size_t)(end - rest), frame, u) : body(s, rest, (size_t)(end - rest), frame, u);
}
