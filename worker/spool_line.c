#include "spool_line.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "crypto.h"

enum { SUM_CHARS = 16, END_HEAD = 8, REPORT_MAX = 1024 }; // REPORT_MAX: octets of an end that is kept as a line
static const char end_magic[END_HEAD] = "mc-end-1"; // no NUL: eight octets

static void sum(char out[SUM_CHARS + 1], const void *p, size_t n)
{
    uint8_t h[HASH_SIZE];
    crypto_hash(h, p, n);
    for (int i = 0; i < SUM_CHARS / 2; i++)
        snprintf(out + 2 * i, 3, "%02x", h[i]);
}

// An empty word would be read as its neighbour.
static const char *word(const char *s)
{
    return *s ? s : "-";
}

void spool_line_put(struct buf *b, const struct spool_line *l)
{
    char check[SUM_CHARS + 1];
    size_t from = b->len;
    buf_printf(b, "%c %" PRIu64 " %" PRIu64 " %" PRIu32 " %s %s %d %" PRIu64 " %s", (char)l->kind, l->session, l->task, l->attempt,
               word(l->id.run), word(l->id.boot), (int)l->id.pid, l->id.start, word(l->id.cgroup));
    if (b->err)
        return;
    sum(check, b->data + from, b->len - from);
    buf_printf(b, " %s\n", check);
}

static bool take_word(char *out, size_t size, const char *w)
{
    return (size_t)snprintf(out, size, "%s", strcmp(w, "-") == 0 ? "" : w) < size;
}

static bool take_number(const char *w, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;
    if (!*w)
        return false;
    for (; *w; w++) {
        if (*w < '0' || *w > '9' || v > (UINT64_MAX - 9) / 10)
            return false;
        v = v * 10 + (uint64_t)(*w - '0');
    }
    *ret = v;
    return v <= max;
}

bool spool_line_parse(const char *text, size_t n, struct spool_line *ret)
{
    char line[SPOOL_LINE_MAX], check[SUM_CHARS + 1], *w[9], *save = NULL;
    struct spool_line l = { 0 };
    uint64_t attempt, pid;
    if (n < SUM_CHARS + 2 || n >= sizeof line || memchr(text, 0, n))
        return false;
    memcpy(line, text, n);
    line[n] = 0;
    sum(check, line, n - SUM_CHARS - 1);
    if (strcmp(line + n - SUM_CHARS, check) != 0 || line[n - SUM_CHARS - 1] != ' ')
        return false;
    line[n - SUM_CHARS - 1] = 0;
    for (int i = 0; i < 9; i++)
        if (!(w[i] = strtok_r(i ? NULL : line, " ", &save)))
            return false;
    if (strtok_r(NULL, " ", &save) || w[0][1] || !strchr("SPF", w[0][0]))
        return false;
    l.kind = (enum spool_kind)w[0][0];
    if (!take_number(w[1], INT64_MAX, &l.session) || l.session == 0 || !take_number(w[2], INT64_MAX, &l.task) ||
        !take_number(w[3], UINT32_MAX, &attempt) || !take_word(l.id.run, sizeof l.id.run, w[4]) ||
        !take_word(l.id.boot, sizeof l.id.boot, w[5]) || !take_number(w[6], INT32_MAX, &pid) ||
        !take_number(w[7], UINT64_MAX, &l.id.start) || !take_word(l.id.cgroup, sizeof l.id.cgroup, w[8]))
        return false;
    if (l.id.cgroup[0] && !cgroup_path_ok(l.id.cgroup))
        return false;
    l.attempt = (uint32_t)attempt;
    l.id.pid = (pid_t)pid;
    *ret = l;
    return true;
}

static bool is_end(const Wire__SessionReport *r)
{
    return r->session != 0 && r->ended;
}

static Wire__SessionReport *unpack_end(const uint8_t *p, size_t n)
{
    Wire__SessionReport *r = wire__session_report__unpack(NULL, n, p);
    if (r && !is_end(r)) {
        wire__session_report__free_unpacked(r, NULL);
        r = NULL;
    }
    return r;
}

bool spool_report_put(struct buf *b, const Wire__SessionReport *r)
{
    static const char digit[] = "0123456789abcdef";
    uint8_t packed[REPORT_MAX];
    char check[SUM_CHARS + 1];
    size_t n = wire__session_report__get_packed_size(r), from = b->len;
    if (n > sizeof packed)
        return false;
    wire__session_report__pack(r, packed);
    buf_putc(b, SPOOL_REPORT);
    buf_putc(b, ' ');
    for (size_t i = 0; i < n; i++) {
        buf_putc(b, digit[packed[i] >> 4]);
        buf_putc(b, digit[packed[i] & 15]);
    }
    if (b->err)
        return true;
    sum(check, b->data + from, b->len - from);
    buf_printf(b, " %s\n", check);
    return true;
}

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

Wire__SessionReport *spool_report_parse(const char *text, size_t n)
{
    uint8_t packed[REPORT_MAX];
    char check[SUM_CHARS + 1];
    size_t chars = n > SUM_CHARS + 3 ? n - SUM_CHARS - 3 : 0; // "E ", then they, then a blank and the checksum
    if (chars == 0 || chars % 2 || chars / 2 > sizeof packed || text[0] != SPOOL_REPORT || text[1] != ' ')
        return NULL;
    sum(check, text, n - SUM_CHARS - 1);
    if (memcmp(text + n - SUM_CHARS, check, SUM_CHARS) != 0 || text[n - SUM_CHARS - 1] != ' ')
        return NULL;
    for (size_t i = 0; i < chars / 2; i++) {
        int high = nibble(text[2 + 2 * i]), low = nibble(text[3 + 2 * i]);
        if (high < 0 || low < 0)
            return NULL;
        packed[i] = (uint8_t)(high << 4 | low);
    }
    return unpack_end(packed, chars / 2);
}

void spool_end_put(struct buf *b, const Wire__SessionReport *r)
{
    size_t n = wire__session_report__get_packed_size(r);
    buf_put(b, end_magic, END_HEAD);
    size_t hash_at = b->len;
    if (!buf_reserve(b, HASH_SIZE + n))
        return;
    b->len += HASH_SIZE;
    b->len += wire__session_report__pack(r, b->data + b->len);
    crypto_hash(b->data + hash_at, b->data + hash_at + HASH_SIZE, n);
}

Wire__SessionReport *spool_end_parse(const uint8_t *p, size_t n)
{
    uint8_t h[HASH_SIZE];
    if (n < END_HEAD + HASH_SIZE || memcmp(p, end_magic, END_HEAD) != 0)
        return NULL;
    crypto_hash(h, p + END_HEAD + HASH_SIZE, n - END_HEAD - HASH_SIZE);
    if (memcmp(h, p + END_HEAD, HASH_SIZE) != 0)
        return NULL;
    return unpack_end(p + END_HEAD + HASH_SIZE, n - END_HEAD - HASH_SIZE);
}
