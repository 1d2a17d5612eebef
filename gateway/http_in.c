// Happy path: http_in_head() guards and gathers octets until the empty line; judge_head() reads the request line, lets llhttp
// have its say, finds the framing and the host; the caller decides about the body; http_in_body() counts it or has
// chunked.c read it. The guard looks at single octets and holds its place in `at`, so that pieces of any size are alike.
#include "http_in.h"
#include <arpa/inet.h>
#include <llhttp.h>
#include <string.h>

enum { HEAD_KEEP = 4096 }; // a head's memory that is kept for the next request

enum at { AT_START, AT_START_LF, AT_LINE, AT_LINE_LF, AT_FIELD, AT_NAME, AT_VALUE, AT_VALUE_LF, AT_END_LF };

static const char *const method_names[METHOD_N] = {
    [METHOD_GET] = "GET", [METHOD_HEAD] = "HEAD", [METHOD_POST] = "POST", [METHOD_PUT] = "PUT", [METHOD_PATCH] = "PATCH",
    [METHOD_DELETE] = "DELETE", [METHOD_OPTIONS] = "OPTIONS",
};

// ---- failing: false, so that a judge can return it
static bool fail(struct http_in *p, unsigned status, const char *why)
{
    p->state = HTTP_IN_FAILED;
    p->status = status;
    p->why = why;
    return false;
}

static bool bad(struct http_in *p, const char *why)
{
    return fail(p, 400, why);
}

// ---- fields
struct text http_in_name(const struct http_in *p, unsigned i)
{
    return (struct text){ (const char *)p->head.data + p->fields[i].name, p->fields[i].name_n };
}

struct text http_in_value(const struct http_in *p, unsigned i)
{
    return (struct text){ (const char *)p->head.data + p->fields[i].value, p->fields[i].value_n };
}

struct text http_in_field(const struct http_in *p, const char *name, unsigned *count)
{
    struct text first = { NULL, 0 };
    size_t n = strlen(name);
    unsigned found = 0;

    for (unsigned i = 0; i < p->n_fields; i++) {
        const char *have = (const char *)p->head.data + p->fields[i].name;
        if (p->fields[i].name_n != n || !text_is_nocase((struct text){ have, n }, name))
            continue;
        if (found++ == 0)
            first = http_in_value(p, i);
        if (!count)
            break;
    }
    if (count)
        *count = found;
    return first;
}

// ---- the request line
static bool hex2(const char *p, size_t left)
{
    return left >= 2 && octet_is((uint8_t)p[0], HEX) && octet_is((uint8_t)p[1], HEX);
}

// Only what RFC 3986 has in a path and a query, and each '%' with its two digits.
static bool target_ok(struct text t)
{
    if (!octet_all(t, TARGET))
        return false;
    for (size_t i = 0; i < t.n; i++)
        if (t.p[i] == '%' && !hex2(t.p + i + 1, t.n - i - 1))
            return false;
    return true;
}

static bool origin_form(struct http_in *p, struct text t)
{
    const char *mark = t.n ? memchr(t.p, '?', t.n) : NULL;

    if (!target_ok(t))
        return false;
    p->path = (struct text){ t.p, mark ? (size_t)(mark - t.p) : t.n };
    p->query = mark ? (struct text){ mark + 1, t.n - p->path.n - 1 } : (struct text){ t.p + t.n, 0 };
    return true;
}

// http://host:port/path?query (RFC 9112 3.2.2). Its authority takes the place of Host. An empty path is "/".
static bool absolute_form(struct http_in *p, struct text t)
{
    size_t scheme = t.n > 7 && text_is_nocase((struct text){ t.p, 7 }, "http://") ? 7
                  : t.n > 8 && text_is_nocase((struct text){ t.p, 8 }, "https://") ? 8 : 0;
    size_t end = scheme;

    if (!scheme)
        return false;
    while (end < t.n && t.p[end] != '/' && t.p[end] != '?')
        end++;
    p->host = (struct text){ t.p + scheme, end - scheme };
    if (!origin_form(p, (struct text){ t.p + end, t.n - end }))
        return false;
    if (!p->path.n)
        p->path = (struct text){ "/", 1 };
    return true;
}

static bool target(struct http_in *p, struct text t)
{
    if (text_is(p->method_text, "CONNECT"))
        return true; // 501 comes of it, whatever it names
    if (t.p[0] == '/')
        return origin_form(p, t);
    if (text_is(t, "*") && p->method == METHOD_OPTIONS) {
        p->asterisk = true;
        p->path = t;
        return true;
    }
    return absolute_form(p, t);
}

// method SP request-target SP HTTP-version, with exactly these two blanks.
static bool judge_line(struct http_in *p, size_t n)
{
    const char *line = (const char *)p->head.data;
    const char *sp = memchr(line, ' ', n), *sp2 = sp ? memchr(sp + 1, ' ', n - (size_t)(sp + 1 - line)) : NULL;

    if (!sp2)
        return bad(p, "The request line needs a method, a target and a version");
    p->method_text = (struct text){ line, (size_t)(sp - line) };
    struct text t = { sp + 1, (size_t)(sp2 - sp - 1) }, v = { sp2 + 1, n - (size_t)(sp2 + 1 - line) };
    if (!p->method_text.n || !octet_all(p->method_text, TCHAR) || !t.n)
        return bad(p, "The request line is malformed");
    if (v.n != 8 || memcmp(v.p, "HTTP/", 5) != 0 || v.p[5] < '0' || v.p[5] > '9' || v.p[6] != '.' || v.p[7] < '0' || v.p[7] > '9')
        return bad(p, "The request line does not end in an HTTP version");
    if (v.p[5] != '1' || v.p[7] > '1')
        return fail(p, 505, "Only HTTP/1.0 and HTTP/1.1 are spoken here");
    p->http10 = v.p[7] == '0';
    p->method = 0;
    while (p->method < METHOD_N && !text_is(p->method_text, method_names[p->method]))
        p->method++;
    return true;
}

// The line again, once the head no longer moves in memory.
static bool judge_target(struct http_in *p)
{
    const char *line = (const char *)p->head.data;
    const char *sp = memchr(line, ' ', p->head.len), *sp2 = memchr(sp + 1, ' ', p->head.len - (size_t)(sp + 1 - line));

    p->method_text = (struct text){ line, (size_t)(sp - line) };
    return target(p, (struct text){ sp + 1, (size_t)(sp2 - sp - 1) });
}

// ---- Host: uri-host [ ":" port ]
static bool ipv6(struct text t)
{
    char text[48];
    struct in6_addr a;

    if (t.n >= sizeof text)
        return false;
    memcpy(text, t.p, t.n);
    text[t.n] = 0;
    return inet_pton(AF_INET6, text, &a) == 1;
}

static bool host_ok(struct text t)
{
    size_t n = 0;
    unsigned port = 0;

    if (t.n && t.p[0] == '[') {
        const char *end = memchr(t.p, ']', t.n);
        if (!end || !ipv6((struct text){ t.p + 1, (size_t)(end - t.p - 1) }))
            return false;
        n = (size_t)(end - t.p) + 1;
    } else {
        for (; n < t.n && t.p[n] != ':'; n++)
            if (!octet_is((uint8_t)t.p[n], REG_NAME) || (t.p[n] == '%' && !hex2(t.p + n + 1, t.n - n - 1)))
                return false;
    }
    if (n == 0 || n > 255 || n == t.n)
        return n > 0 && n <= 255;
    if (t.p[n++] != ':')
        return false;
    for (; n < t.n; n++) {
        if (t.p[n] < '0' || t.p[n] > '9')
            return false;
        port = port * 10 + (unsigned)(t.p[n] - '0');
        if (port > 65535)
            return false;
    }
    return true;
}

static bool judge_host(struct http_in *p)
{
    unsigned count;
    struct text host = http_in_field(p, "host", &count);

    if (count > 1)
        return bad(p, "There is more than one Host");
    if (count == 0 && !p->http10)
        return bad(p, "HTTP/1.1 needs a Host");
    if (count && !host_ok(host))
        return bad(p, "The Host is malformed");
    if (p->host.p && !host_ok(p->host))
        return bad(p, "The target's authority is malformed");
    if (!p->host.p && count)
        p->host = host;
    return true;
}

// ---- framing (RFC 9112 6)
static bool judge_codings(struct http_in *p)
{
    unsigned chunked = 0, unknown = 0, last_chunked = 0;

    for (unsigned i = 0; i < p->n_fields; i++) {
        struct text list = http_in_value(p, i), coding;
        if (!text_is_nocase(http_in_name(p, i), "transfer-encoding"))
            continue;
        if (!list.n)
            return bad(p, "Transfer-Encoding is empty");
        while (text_next(&list, &coding)) {
            if (!octet_all(coding, TCHAR))
                return bad(p, "Transfer-Encoding is malformed");
            last_chunked = text_is_nocase(coding, "chunked");
            chunked += last_chunked;
            unknown += !last_chunked;
        }
    }
    if (chunked && (chunked > 1 || !last_chunked))
        return bad(p, "Transfer-Encoding does not end in one chunked");
    if (unknown)
        return fail(p, 501, "The only transfer coding understood is chunked");
    if (!chunked)
        return bad(p, "Transfer-Encoding is empty");
    p->chunked = true;
    return true;
}

static bool judge_framing(struct http_in *p)
{
    unsigned lengths, codings;
    struct text length = http_in_field(p, "content-length", &lengths);

    http_in_field(p, "transfer-encoding", &codings);
    if (lengths && codings)
        return bad(p, "Content-Length and Transfer-Encoding exclude each other");
    if (lengths > 1)
        return bad(p, "There is more than one Content-Length");
    if (codings && p->http10)
        return bad(p, "HTTP/1.0 has no Transfer-Encoding");
    if (codings)
        return judge_codings(p);
    if (lengths && !length.n)
        return bad(p, "Content-Length is empty");
    for (size_t i = 0; i < length.n; i++) {
        unsigned digit = (unsigned)(uint8_t)length.p[i] - '0';
        if (digit > 9 || p->length > (UINT64_MAX - digit) / 10)
            return bad(p, "Content-Length is not a number");
        p->length = p->length * 10 + digit;
    }
    return true;
}

static bool judge_connection(struct http_in *p)
{
    p->close = p->http10;
    for (unsigned i = 0; i < p->n_fields; i++) {
        struct text list, option;
        if (!text_is_nocase(http_in_name(p, i), "connection"))
            continue;
        list = http_in_value(p, i);
        while (text_next(&list, &option))
            p->close |= text_is_nocase(option, "close");
    }
    return true;
}

static bool judge_expect(struct http_in *p)
{
    unsigned count;
    struct text expect = http_in_field(p, "expect", &count);

    if (count == 0 || p->http10)
        return true;
    if (count > 1 || !text_is_nocase(expect, "100-continue"))
        return fail(p, 417, "The only expectation understood is 100-continue");
    p->expect = true;
    return true;
}

// The second opinion. What llhttp takes for the framing must be what we take for it.
static int headers_cb(llhttp_t *l)
{
    struct http_in *p = l->data;

    l->upgrade = 0; // never taken up: a body, if any, is a body
    if (((l->flags & F_CHUNKED) != 0) != p->chunked || (!p->chunked && l->content_length != p->length) ||
        l->http_major != 1 || l->http_minor != !p->http10)
        return -1;
    return HPE_PAUSED;
}

static bool judge_by_llhttp(struct http_in *p)
{
    static llhttp_settings_t settings;
    llhttp_t l;

    if (!settings.on_headers_complete) {
        llhttp_settings_init(&settings);
        settings.on_headers_complete = headers_cb;
    }
    llhttp_init(&l, HTTP_REQUEST, &settings);
    l.data = p;
    if (llhttp_execute(&l, (const char *)p->head.data, p->head.len) != HPE_PAUSED)
        return bad(p, "The head is malformed");
    return true;
}

static bool judge_head(struct http_in *p)
{
    static bool (*const judges[])(struct http_in *) = { judge_host, judge_framing, judge_connection, judge_expect };

    p->state = HTTP_IN_READY;
    if (!judge_target(p))
        return bad(p, "The request target is malformed");
    for (size_t i = 0; i < sizeof judges / sizeof *judges; i++)
        if (!judges[i](p))
            return false;
    if (p->method == METHOD_N)
        return fail(p, 501, "This method is not implemented");
    return judge_by_llhttp(p);
}

// ---- the guard
static bool field_end(struct http_in *p, const uint8_t *d, uint32_t base, uint32_t end)
{
    // The line may have come in pieces: octets before `base` are in the head already.
    const uint8_t *h = p->head.data;
    uint32_t value = p->colon_at + 1;
#define OCTET(i) ((i) < base ? h[i] : d[(i) - base])
    while (value < end && (OCTET(value) == ' ' || OCTET(value) == '\t'))
        value++;
    while (end > value && (OCTET(end - 1) == ' ' || OCTET(end - 1) == '\t'))
        end--;
#undef OCTET
    if (p->n_fields == HTTP_FIELDS_MAX)
        return fail(p, 431, "There are too many fields in the head");
    p->fields[p->n_fields++] = (struct http_field){ .name = (uint16_t)p->name_at, .name_n = (uint16_t)(p->colon_at - p->name_at),
                                                    .value = (uint16_t)value, .value_n = (uint16_t)(end - value) };
    return true;
}

// Guards d from i on until a line ends that must be looked at (the request line, the head), a failure, or n. Returns the new i.
static size_t guard(struct http_in *p, const uint8_t *d, size_t i, size_t n, uint32_t base)
{
    while (i < n) {
        uint8_t c = d[i];
        switch (p->at) {
        case AT_LINE:
            i = octet_run(d, i, n, LINE);
            if (i == n)
                return i;
            if (d[i++] != '\r')
                return bad(p, "The request line holds an octet that is not allowed"), i;
            p->at = AT_LINE_LF;
            break;
        case AT_LINE_LF:
            i++;
            p->at = AT_FIELD;
            if (c != '\n')
                bad(p, "A CR stands without its LF");
            return i;
        case AT_FIELD:
            p->at = c == '\r' ? AT_END_LF : AT_NAME;
            if (c != '\r' && !octet_is(c, TCHAR))
                return bad(p, c == ' ' || c == '\t' ? "A field line is folded" : "A field name is malformed"), i + 1;
            p->name_at = base + (uint32_t)i++;
            break;
        case AT_NAME:
            i = octet_run(d, i, n, TCHAR);
            if (i == n)
                return i;
            if (d[i] != ':')
                return bad(p, "A field name is malformed"), i + 1;
            p->colon_at = base + (uint32_t)i++;
            p->at = AT_VALUE;
            break;
        case AT_VALUE:
            i = octet_run(d, i, n, VALUE);
            if (i == n)
                return i;
            if (d[i] != '\r')
                return bad(p, "A field value holds an octet that is not allowed"), i + 1;
            if (!field_end(p, d, base, base + (uint32_t)i++))
                return i;
            p->at = AT_VALUE_LF;
            break;
        case AT_VALUE_LF:
            i++;
            if (c != '\n')
                return bad(p, "A CR stands without its LF"), i;
            p->at = AT_FIELD;
            break;
        default: // AT_END_LF
            i++;
            if (c != '\n')
                return bad(p, "A CR stands without its LF"), i;
            p->state = HTTP_IN_READY;
            return i;
        }
    }
    return i;
}

// One empty line before a request is passed over (RFC 9112 2.2).
static size_t start(struct http_in *p, const uint8_t *d, size_t n)
{
    size_t i = 0;

    for (; i < n && p->at != AT_LINE && p->state != HTTP_IN_FAILED; i++) {
        if (p->at == AT_START_LF) {
            p->at = AT_START;
            if (d[i] != '\n')
                bad(p, "A CR stands without its LF");
        } else if (d[i] == '\r' && !p->blank) {
            p->blank = true;
            p->at = AT_START_LF;
        } else {
            p->at = AT_LINE;
            break;
        }
    }
    return i;
}

size_t http_in_head(struct http_in *p, const uint8_t *d, size_t n)
{
    size_t used = 0;

    if (n == 0 || p->state != HTTP_IN_HEAD)
        return 0;
    p->started = true;
    if (p->at < AT_LINE)
        used = start(p, d, n);
    while (used < n && p->state == HTTP_IN_HEAD) {
        bool in_line = p->at == AT_LINE || p->at == AT_LINE_LF;
        size_t max = in_line ? HTTP_LINE_MAX + 2 : HTTP_HEAD_MAX, room = max - p->head.len;
        size_t n_now = n - used < room ? n - used : room;
        size_t got = guard(p, d + used, 0, n_now, (uint32_t)p->head.len);

        buf_put(&p->head, d + used, got);
        used += got;
        if (p->method_text.n) // known since the line's end: a head that fails, or comes too late, is logged with it
            p->method_text.p = (const char *)p->head.data;
        if (p->head.err)
            fail(p, 503, "Out of memory");
        else if (p->state == HTTP_IN_READY)
            judge_head(p);
        else if (p->state == HTTP_IN_HEAD && in_line && p->at == AT_FIELD)
            judge_line(p, p->head.len - 2);
        else if (p->state == HTTP_IN_HEAD && p->head.len == max)
            in_line ? fail(p, 414, "The request line is too long") : fail(p, 431, "The head is too large");
    }
    // Whoever asks by HEAD takes no body, also where the line was not read to its end.
    if (p->state == HTTP_IN_FAILED && p->head.len > 5 && memcmp(p->head.data, "HEAD ", 5) == 0)
        p->method = METHOD_HEAD;
    return used;
}

// ---- the body
void http_in_begin_body(struct http_in *p)
{
    p->left = p->length;
    chunked_init(&p->chunks);
    p->state = p->chunked || p->length ? HTTP_IN_BODY : HTTP_IN_DONE;
}

size_t http_in_body(struct http_in *p, const uint8_t *d, size_t n, struct buf *out)
{
    size_t take = n < p->left ? n : (size_t)p->left;

    if (p->state != HTTP_IN_BODY)
        return 0;
    if (p->chunked) {
        take = chunked_read(&p->chunks, d, n, out);
        p->body_n = p->chunks.content_n;
        if (p->chunks.status)
            fail(p, p->chunks.status, p->chunks.why);
        else if (p->chunks.done)
            p->state = HTTP_IN_DONE;
        return take;
    }
    buf_put(out, d, take);
    p->left -= take;
    p->body_n += take;
    if (out->err)
        out->err == ERR_TOO_BIG ? fail(p, 413, "The body is too large") : fail(p, 503, "Out of memory");
    else if (p->left == 0)
        p->state = HTTP_IN_DONE;
    return take;
}

// ---- life
void http_in_init(struct http_in *p)
{
    buf_init(&p->head, HTTP_HEAD_MAX);
    http_in_reset(p);
}

void http_in_fini(struct http_in *p)
{
    buf_fini(&p->head);
}

size_t http_in_memory(const struct http_in *p)
{
    return p->head.cap;
}

void http_in_reset(struct http_in *p)
{
    struct buf head = p->head;

    if (head.cap > HEAD_KEEP)
        buf_fini(&head);
    buf_reset(&head);
    memset(p, 0, offsetof(struct http_in, fields)); // the rest is written before it is read
    p->head = head;
    p->at = AT_START;
    p->blank = false;
    p->name_at = p->colon_at = 0;
    p->left = p->body_n = 0;
}
