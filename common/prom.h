// Figures in the text format of Prometheus (version 0.0.4), and histograms to count into. Pure.
#pragma once
#include <stdint.h>
#include "buf.h"

enum { PROM_BOUNDS_MAX = 16 };

struct prom_label {
    const char *name, *value;     // name NULL: none
};

// What a figure is. Those of one family stand together, told apart by their label; help and type are the family's.
struct prom_def {
    const char *name, *type, *help; // type: "counter" (its name ends in _total) or "gauge"
    unsigned decimals;              // the value counts thousandths (3), millionths (6) or wholes (0) of the unit in the name
    struct prom_label label;
};
// One row of values, by the definitions' order, with a label of its own.
struct prom_row {
    struct prom_label label;
    const uint64_t *values;
    const uint8_t *known;         // which there are, by the same order; NULL: all
};

struct prom_hist {
    const uint64_t *bounds;       // rising; lent for ever
    unsigned n;                   // of them, at most PROM_BOUNDS_MAX
    uint64_t count[PROM_BOUNDS_MAX + 1]; // of values up to each bound and not the one before; the last: above all
    uint64_t sum;
};
void prom_hist_init(struct prom_hist *h, const uint64_t *bounds, unsigned n);
void prom_observe(struct prom_hist *h, uint64_t value);

// Whole families, with HELP and TYPE: every row of each.
void prom_table(struct buf *b, const struct prom_def *defs, unsigned n, const struct prom_row *rows, unsigned n_rows);
// By hand: the head of a family, then its samples.
void prom_family(struct buf *b, const char *name, const char *type, const char *help);
void prom_sample(struct buf *b, const char *name, const struct prom_label *labels, unsigned n, uint64_t value, unsigned decimals);
// The samples of a histogram family: buckets, sum and count.
void prom_buckets(struct buf *b, const char *name, const struct prom_label *labels, unsigned n, const struct prom_hist *h, unsigned decimals);
