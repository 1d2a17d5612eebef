#include "prom.h"
#include <string.h>

void prom_hist_init(struct prom_hist *h, const uint64_t *bounds, unsigned n)
{
    *h = (struct prom_hist){ .bounds = bounds, .n = n < PROM_BOUNDS_MAX ? n : PROM_BOUNDS_MAX };
}

void prom_observe(struct prom_hist *h, uint64_t value)
{
    unsigned i = 0;
    while (i < h->n && value > h->bounds[i])
        i++;
    h->count[i]++;
    h->sum += value;
}

// The help of a family may hold anything but a line break or a backslash as they are; a label's value no quote either.
static void escaped(struct buf *b, const char *s, int quotes)
{
    for (; *s; s++) {
        if (*s == '\n')
            buf_puts(b, "\\n");
        else if (*s == '\\' || (quotes && *s == '"'))
            buf_put(b, (char[]){ '\\', *s }, 2);
        else
            buf_putc(b, *s);
    }
}

void prom_family(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_puts(b, "# HELP ");
    buf_puts(b, name);
    buf_putc(b, ' ');
    escaped(b, help, 0);
    buf_puts(b, "\n# TYPE ");
    buf_puts(b, name);
    buf_putc(b, ' ');
    buf_puts(b, type);
    buf_putc(b, '\n');
}

// 1234 with three decimals is 1.234; zeros at the end are left out.
static void number(struct buf *b, uint64_t value, unsigned decimals)
{
    uint64_t unit = 1;
    char digits[20];
    for (unsigned i = 0; i < decimals; i++)
        unit *= 10;
    buf_u64(b, value / unit);
    value %= unit;
    if (!value)
        return;
    for (unsigned i = decimals; i-- > 0; value /= 10)
        digits[i] = (char)('0' + value % 10);
    while (digits[decimals - 1] == '0')
        decimals--;
    buf_putc(b, '.');
    buf_put(b, digits, decimals);
}

static void label(struct buf *b, const struct prom_label *l, char *before)
{
    if (!l->name)
        return;
    buf_putc(b, *before);
    *before = ',';
    buf_puts(b, l->name);
    buf_puts(b, "=\"");
    escaped(b, l->value, 1);
    buf_putc(b, '"');
}

static void sample(struct buf *b, const char *name, const char *suffix, const struct prom_label *labels, unsigned n,
                   const struct prom_label *last, uint64_t value, unsigned decimals)
{
    char before = '{';
    buf_puts(b, name);
    buf_puts(b, suffix);
    for (unsigned i = 0; i < n; i++)
        label(b, &labels[i], &before);
    label(b, last, &before);
    if (before == ',')
        buf_putc(b, '}');
    buf_putc(b, ' ');
    number(b, value, decimals);
    buf_putc(b, '\n');
}

static const struct prom_label none;

void prom_sample(struct buf *b, const char *name, const struct prom_label *labels, unsigned n, uint64_t value, unsigned decimals)
{
    sample(b, name, "", labels, n, &none, value, decimals);
}

void prom_buckets(struct buf *b, const char *name, const struct prom_label *labels, unsigned n, const struct prom_hist *h, unsigned decimals)
{
    uint64_t all = 0;
    char text[64];
    struct buf bound;
    for (unsigned i = 0; i <= h->n; i++) {
        bound = (struct buf){ .data = (uint8_t *)text, .cap = sizeof text, .max = sizeof text };
        if (i < h->n)
            number(&bound, h->bounds[i], decimals);
        else
            buf_puts(&bound, "+Inf");
        all += h->count[i];
        sample(b, name, "_bucket", labels, n, &(struct prom_label){ "le", buf_cstr(&bound) }, all, 0);
    }
    sample(b, name, "_sum", labels, n, &none, h->sum, decimals);
    sample(b, name, "_count", labels, n, &none, all, 0);
}

void prom_table(struct buf *b, const struct prom_def *defs, unsigned n, const struct prom_row *rows, unsigned n_rows)
{
    for (unsigned at = 0, end; at < n; at = end) {
        for (end = at; end < n && strcmp(defs[end].name, defs[at].name) == 0;)
            end++;
        prom_family(b, defs[at].name, defs[at].type, defs[at].help);
        for (unsigned r = 0; r < n_rows; r++)
            for (unsigned i = at; i < end; i++)
                if (!rows[r].known || rows[r].known[i])
                    prom_sample(b, defs[i].name, (struct prom_label[]){ rows[r].label, defs[i].label }, 2, rows[r].values[i], defs[i].decimals);
    }
}
