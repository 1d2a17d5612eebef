#include "json_out.h"
#include <string.h>
#include "names.h"
#include "utf8.h"

static void comma(struct json *j)
{
    if (j->comma)
        buf_putc(j->out, ',');
    j->comma = true;
}

void json_open(struct json *j, char bracket)
{
    comma(j);
    buf_putc(j->out, bracket);
    j->comma = false;
}

void json_close(struct json *j, char bracket)
{
    buf_putc(j->out, bracket);
    j->comma = true;
}

void json_key(struct json *j, const char *key)
{
    size_t n = strlen(key);
    uint8_t *p = buf_reserve(j->out, n + 4);
    if (!p)
        return;
    size_t at = 0;
    if (j->comma)
        p[at++] = ',';
    p[at++] = '"';
    memcpy(p + at, key, n);
    at += n;
    p[at++] = '"';
    p[at++] = ':';
    j->out->len += at;
    j->comma = false;
}

static bool plain(uint8_t c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '<';
}

static void escape(struct buf *b, uint8_t c)
{
    static const char hex[] = "0123456789abcdef";
    switch (c) {
    case '"': buf_put(b, "\\\"", 2); return;
    case '\\': buf_put(b, "\\\\", 2); return;
    case '\n': buf_put(b, "\\n", 2); return;
    case '\r': buf_put(b, "\\r", 2); return;
    case '\t': buf_put(b, "\\t", 2); return;
    default: {
        char u[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
        buf_put(b, u, 6);
    }
    }
}

// Writes at most max characters of s.
static void text(struct buf *b, const char *str, size_t n, size_t max)
{
    const uint8_t *s = (const uint8_t *)str;
    size_t i = 0, count = 0;

    while (i < n) {
        size_t run = i;
        while (run < n && plain(s[run]) && count < max) {
            run++;
            count++;
        }
        buf_put(b, s + i, run - i);
        i = run;
        if (i >= n || count >= max)
            return;
        count++;
        size_t k = utf8_len(s + i, n - i);
        if (k == 0) {
            buf_put(b, "\xef\xbf\xbd", 3);
            i++;
        } else if (k == 1) {
            escape(b, s[i++]);
        } else if (k == 3 && s[i] == 0xe2 && s[i + 1] == 0x80 && (s[i + 2] & 0xfe) == 0xa8) {
            buf_puts(b, s[i + 2] == 0xa8 ? "\\u2028" : "\\u2029");
            i += 3;
        } else {
            buf_put(b, s + i, k);
            i += k;
        }
    }
}

void json_strn(struct json *j, const char *s, size_t n)
{
    comma(j);
    buf_putc(j->out, '"');
    text(j->out, s, n, SIZE_MAX);
    buf_putc(j->out, '"');
}

void json_str(struct json *j, const char *s)
{
    if (s)
        json_strn(j, s, strlen(s));
    else
        json_nil(j);
}

// Whether s has more than max characters (a broken octet counts as one, as text() writes it).
static bool longer(const char *str, size_t n, size_t max)
{
    const uint8_t *s = (const uint8_t *)str;
    size_t i = 0;

    if (n <= max)
        return false;
    for (size_t count = 0; i < n && count < max; count++) {
        size_t k = utf8_len(s + i, n - i);
        i += k ? k : 1;
    }
    return i < n;
}

void json_str_cut(struct json *j, const char *s, size_t max)
{
    size_t n = strlen(s);
    bool cut = max && longer(s, n, max);

    comma(j);
    buf_putc(j->out, '"');
    text(j->out, s, n, cut ? max - 1 : max);
    if (cut)
        buf_puts(j->out, "\xe2\x80\xa6");
    buf_putc(j->out, '"');
}

void json_u64(struct json *j, uint64_t n)
{
    comma(j);
    buf_u64(j->out, n);
}

void json_i64(struct json *j, int64_t n)
{
    comma(j);
    if (n < 0)
        buf_putc(j->out, '-');
    buf_u64(j->out, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

void json_bool(struct json *j, bool b)
{
    comma(j);
    buf_puts(j->out, b ? "true" : "false");
}

void json_nil(struct json *j)
{
    comma(j);
    buf_put(j->out, "null", 4);
}

void json_fixed(struct json *j, int64_t n, unsigned decimals)
{
    uint64_t abs = n < 0 ? 0 - (uint64_t)n : (uint64_t)n, unit = 1;
    for (unsigned i = 0; i < decimals; i++)
        unit *= 10;
    comma(j);
    if (n < 0)
        buf_putc(j->out, '-');
    buf_u64(j->out, abs / unit);
    uint64_t rest = abs % unit;
    if (!rest)
        return;
    buf_putc(j->out, '.');
    while (rest) {
        unit /= 10;
        buf_putc(j->out, (char)('0' + rest / unit));
        rest %= unit;
    }
}

void json_time(struct json *j, uint64_t ms)
{
    if (!ms) {
        json_nil(j);
        return;
    }
    char t[25];
    time_format(t, ms);
    comma(j);
    buf_putc(j->out, '"');
    buf_put(j->out, t, 24);
    buf_putc(j->out, '"');
}

void json_id(struct json *j, unsigned entity, uint64_t n)
{
    if (!n) {
        json_nil(j);
        return;
    }
    char t[ID_TEXT_MAX];
    size_t len = id_format(t, (enum entity)entity, n);
    comma(j);
    buf_putc(j->out, '"');
    buf_put(j->out, t, len);
    buf_putc(j->out, '"');
}

void json_raw(struct json *j, const void *p, size_t n)
{
    comma(j);
    buf_put(j->out, p, n);
}

// Days since 1970-01-01 to a civil date, after H. Hinnant's days_from_civil (public domain algorithm, written anew).
static void civil(uint64_t days, unsigned *y, unsigned *m, unsigned *d)
{
    uint64_t z = days + 719468, era = z / 146097, doe = z % 146097;
    uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    *d = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
    *m = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
    *y = (unsigned)(yoe + era * 400 + (*m <= 2));
}

static void digits(char *out, unsigned n, int width)
{
    for (int i = width - 1; i >= 0; i--, n /= 10)
        out[i] = (char)('0' + n % 10);
}

void time_format(char out[25], uint64_t ms)
{
    unsigned y, m, d;
    uint64_t s = ms / 1000;
    civil(s / 86400, &y, &m, &d);
    memcpy(out, "0000-00-00T00:00:00.000Z", 25);
    digits(out, y > 9999 ? 9999 : y, 4);
    digits(out + 5, m, 2);
    digits(out + 8, d, 2);
    digits(out + 11, (unsigned)(s % 86400 / 3600), 2);
    digits(out + 14, (unsigned)(s % 3600 / 60), 2);
    digits(out + 17, (unsigned)(s % 60), 2);
    digits(out + 20, (unsigned)(ms % 1000), 3);
}

static bool number(const char **p, int width, unsigned *ret)
{
    unsigned n = 0;
    for (int i = 0; i < width; i++, (*p)++) {
        if (**p < '0' || **p > '9')
            return false;
        n = n * 10 + (unsigned)(**p - '0');
    }
    *ret = n;
    return true;
}

static bool is(const char **p, char c)
{
    return *(*p)++ == c;
}

uint64_t time_parse(const char *t)
{
    static const uint8_t month_days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    unsigned y, mo, d, h, mi, s, ms = 0;

    if (!number(&t, 4, &y) || !is(&t, '-') || !number(&t, 2, &mo) || !is(&t, '-') || !number(&t, 2, &d) || !is(&t, 'T') ||
        !number(&t, 2, &h) || !is(&t, ':') || !number(&t, 2, &mi) || !is(&t, ':') || !number(&t, 2, &s))
        return 0;
    if (*t == '.') {
        unsigned unit = 100;
        t++;
        if (*t < '0' || *t > '9')
            return 0;
        for (; *t >= '0' && *t <= '9'; t++, unit /= 10)
            ms += unit * (unsigned)(*t - '0');
    }
    if (strcmp(t, "Z") != 0 || y < 1970 || mo < 1 || mo > 12 || h > 23 || mi > 59 || s > 59 || d < 1)
        return 0;
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    if (d > month_days[mo - 1] + (mo == 2 && leap ? 1u : 0u))
        return 0;
    uint64_t days = 0, yy = y - (mo <= 2), era = yy / 400, yoe = yy % 400;
    uint64_t doy = (153 * (uint64_t)(mo > 2 ? mo - 3 : mo + 9) + 2) / 5 + d - 1;
    days = era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
    uint64_t all = ((days * 24 + h) * 60 + mi) * 60 + s;
    return all * 1000 + ms;
}
