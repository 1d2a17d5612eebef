// A head is a status line and fields in a fixed order, written by plain appends: this is the hot path.
#include "http_out.h"
#include <string.h>
#include "json_out.h"

// status, reason, code of an error body
#define STATUS_TABLE(T) \
    T(100, "Continue", "") \
    T(200, "OK", "") \
    T(201, "Created", "") \
    T(202, "Accepted", "") \
    T(204, "No Content", "") \
    T(304, "Not Modified", "") \
    T(400, "Bad Request", "BAD_REQUEST") \
    T(401, "Unauthorized", "UNAUTHORIZED") \
    T(403, "Forbidden", "FORBIDDEN") \
    T(404, "Not Found", "NOT_FOUND") \
    T(405, "Method Not Allowed", "METHOD_NOT_ALLOWED") \
    T(406, "Not Acceptable", "NOT_ACCEPTABLE") \
    T(408, "Request Timeout", "REQUEST_TIMEOUT") \
    T(409, "Conflict", "BAD_STATE") \
    T(410, "Gone", "GONE") \
    T(412, "Precondition Failed", "PRECONDITION_FAILED") \
    T(413, "Content Too Large", "TOO_BIG") \
    T(414, "URI Too Long", "URI_TOO_LONG") \
    T(415, "Unsupported Media Type", "UNSUPPORTED_MEDIA_TYPE") \
    T(416, "Range Not Satisfiable", "RANGE_NOT_SATISFIABLE") \
    T(417, "Expectation Failed", "EXPECTATION_FAILED") \
    T(421, "Misdirected Request", "MISDIRECTED") \
    T(422, "Unprocessable Content", "INVALID_FIELD") \
    T(429, "Too Many Requests", "RATE_LIMITED") \
    T(431, "Request Header Fields Too Large", "HEAD_TOO_LARGE") \
    T(500, "Internal Server Error", "INTERNAL") \
    T(501, "Not Implemented", "NOT_IMPLEMENTED") \
    T(503, "Service Unavailable", "UNAVAILABLE") \
    T(504, "Gateway Timeout", "TIMEOUT") \
    T(505, "HTTP Version Not Supported", "VERSION_NOT_SUPPORTED")

static const struct { const char *line, *reason, *code; } statuses[600] = {
#define T(n, reason, code) [n] = { "HTTP/1.1 " #n " " reason "\r\nDate: ", reason, code },
    STATUS_TABLE(T)
#undef T
};

static const uint16_t err_status[ERR_N] = {
    [ERR_OK] = 200,
    [ERR_BAD_REQUEST] = 400, [ERR_BAD_JSON] = 400, [ERR_MISSING_FIELD] = 400, [ERR_INVALID_FIELD] = 400,
    [ERR_UNKNOWN_DESKTOP] = 400, [ERR_UNAUTHORIZED] = 401, [ERR_FORBIDDEN] = 403, [ERR_NOT_FOUND] = 404,
    [ERR_BAD_STATE] = 409, [ERR_DESKTOP_STOPPED] = 409, [ERR_NO_AGENT] = 409, [ERR_DESKTOP_IN_USE] = 409,
    [ERR_NAME_TAKEN] = 409, [ERR_LAST_ADMIN] = 409,
    [ERR_IDEMPOTENCY_MISMATCH] = 409, [ERR_STALE_ATTEMPT] = 409, [ERR_TOO_BIG] = 413,
    [ERR_NOT_GREETED] = 503, [ERR_NOT_LEADER] = 503, [ERR_OUTCOME_UNKNOWN] = 503, [ERR_UNAVAILABLE] = 503,
    [ERR_OVERLOADED] = 503, [ERR_STORAGE_FULL] = 503, [ERR_STORAGE_ERROR] = 503, [ERR_TIMEOUT] = 503,
    [ERR_CLOSED] = 503, [ERR_AGAIN] = 503,
    [ERR_CORRUPT] = 500, [ERR_NO_MEMORY] = 500, [ERR_IO] = 500, [ERR_INTERNAL] = 500,
};

unsigned http_out_status(enum err e)
{
    return (unsigned)e < ERR_N && err_status[e] ? err_status[e] : 500;
}

static bool known(unsigned status)
{
    return status < sizeof statuses / sizeof *statuses && statuses[status].line;
}

const char *http_out_reason(unsigned status)
{
    return known(status) ? statuses[status].reason : "Unknown";
}

const char *http_out_code(unsigned status)
{
    return known(status) ? statuses[status].code : "INTERNAL";
}

static void two(char *to, uint64_t n)
{
    to[0] = (char)('0' + n / 10 % 10);
    to[1] = (char)('0' + n % 10);
}

void http_out_date(char out[HTTP_DATE_SIZE], uint64_t unix_s)
{
    static const char days[] = "ThuFriSatSunMonTueWed", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    uint64_t day = unix_s / 86400, left = unix_s % 86400;
    // Civil date from days, in years that begin in March (H. Hinnant).
    uint64_t z = day + 719468, era = z / 146097, doe = z - era * 146097;
    uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    uint64_t mp = (5 * doy + 2) / 153, month = mp < 10 ? mp + 3 : mp - 9, year = yoe + era * 400 + (month <= 2);

    memcpy(out, "Thu, 01 Jan 1970 00:00:00 GMT", HTTP_DATE_SIZE);
    memcpy(out, days + day % 7 * 3, 3);
    two(out + 5, doy - (153 * mp + 2) / 5 + 1);
    memcpy(out + 8, months + (month - 1) * 3, 3);
    two(out + 12, year / 100);
    two(out + 14, year % 100);
    two(out + 17, left / 3600);
    two(out + 20, left / 60 % 60);
    two(out + 23, left % 60);
}

static void put(struct buf *b, const char *name, const char *value)
{
    buf_puts(b, name);
    buf_puts(b, value);
    buf_put(b, "\r\n", 2);
}

static void put_number(struct buf *b, const char *name, uint64_t n)
{
    buf_puts(b, name);
    buf_u64(b, n);
    buf_put(b, "\r\n", 2);
}

void http_out_head(struct buf *b, const struct http_answer *a)
{
    unsigned status = known(a->status) ? a->status : 500;
    bool bodied = status != 204 && status != 304;

    put(b, statuses[status].line, a->date);
    put(b, "X-Request-Id: ", a->request_id);
    buf_puts(b, "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n");
    if (!a->cached)
        buf_puts(b, "Cache-Control: no-store\r\n");
    if (a->sequence)
        put_number(b, "X-Mc-Sequence: ", a->sequence);
    if (a->content_type && bodied)
        put(b, "Content-Type: ", a->content_type);
    if (a->counted && bodied)
        put_number(b, "Content-Length: ", a->length);
    if (a->chunked && bodied)
        buf_puts(b, "Transfer-Encoding: chunked\r\n");
    if (a->close)
        buf_puts(b, "Connection: close\r\n");
    if (a->fields)
        buf_put(b, a->fields->data, a->fields->len);
    buf_put(b, "\r\n", 2);
}

void http_out_field(struct buf *b, const char *name, struct text value)
{
    buf_puts(b, name);
    buf_put(b, ": ", 2);
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        buf_putc(b, (c < ' ' && c != '\t') || c == 0x7f ? ' ' : (char)c);
    }
    buf_put(b, "\r\n", 2);
}

void http_out_error(struct buf *b, unsigned status, const char *code, const char *text, const char *field, const char *request_id)
{
    struct json j = json_to(b);

    json_open(&j, '{');
    json_key(&j, "error");
    json_str(&j, text);
    json_key(&j, "code");
    json_str(&j, code);
    json_key(&j, "status");
    json_u64(&j, status);
    json_key(&j, "requestId");
    json_str(&j, request_id);
    if (field) {
        json_key(&j, "field");
        json_str(&j, field);
    }
    json_close(&j, '}');
}

// ---- what a log may show of a target
static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

// The next octet of percent-encoded text, in lower case; -1 at its end.
static int decoded(struct text *t)
{
    if (!t->n)
        return -1;
    int c = (unsigned char)*t->p;
    size_t used = 1;
    if (c == '%' && t->n >= 3 && hex(t->p[1]) >= 0 && hex(t->p[2]) >= 0) {
        c = hex(t->p[1]) * 16 + hex(t->p[2]);
        used = 3;
    }
    t->p += used;
    t->n -= used;
    return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

static bool names_key(struct text name)
{
    static const char want[] = "apikey";
    size_t i = 0;
    int c;

    while ((c = decoded(&name)) >= 0) {
        if (c == '-' || c == '_' || c == ' ' || c == '+')
            continue;
        if (c != want[i] || !c)
            return false;
        i++;
    }
    return i == sizeof want - 1;
}

static bool holds_key(struct text t)
{
    static const char want[] = "mc_?_"; // keys, sessions' tokens, secrets of webhooks

    for (; t.n; t.p++, t.n--) {
        struct text from = t;
        size_t i = 0;
        for (int c; i < sizeof want - 1 && (c = decoded(&from)) >= 0 && (want[i] == '?' || c == want[i]);)
            i++;
        if (i == sizeof want - 1)
            return true;
    }
    return false;
}

static void put_safe(struct buf *b, struct text t)
{
    if (holds_key(t))
        buf_puts(b, "***");
    else
        buf_put(b, t.p, t.n < 1024 ? t.n : 1024);
}

void http_out_redacted(struct buf *b, struct text path, struct text query)
{
    size_t from;

    put_safe(b, path);
    if (query.n)
        buf_putc(b, '?');
    from = b->len;
    while (query.n && b->len - from < 1024) {
        const char *amp = memchr(query.p, '&', query.n), *eq;
        struct text one = { query.p, amp ? (size_t)(amp - query.p) : query.n };
        eq = memchr(one.p, '=', one.n);
        if (eq && names_key((struct text){ one.p, (size_t)(eq - one.p) })) {
            buf_put(b, one.p, (size_t)(eq - one.p) + 1);
            buf_puts(b, "***");
        } else {
            put_safe(b, one);
        }
        if (amp)
            buf_putc(b, '&');
        query.p += one.n + (amp != NULL);
        query.n -= one.n + (amp != NULL);
    }
}
