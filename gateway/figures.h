// What this gateway counts of itself, for GET /metrics: plain figures (common/figure.h), answers by route and class of status, how long
// they took. Pure: nothing here looks at the system.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "err.h"
#include "figure.h"
#include "gateway.h"

struct route;

// How an answer's time is told apart: by what the route does, since its pattern would be too many histograms.
enum route_class { CLASS_NONE, CLASS_OPEN, CLASS_READ, CLASS_WRITE, CLASS_STREAM, CLASS_N };

struct figures {
    uint64_t value[GATEWAY_FIGURE_N];
    const struct route *rows;
    const uint8_t *classes;        // of each row, enum route_class
    size_t n;
    uint64_t (*answers)[6];        // by row + 1 (0: no route) and hundreds of the status (0: none of these)
    struct prom_hist took[CLASS_N];
};

// rows and classes: lent, for as long as it lives.
MUST_USE enum err figures_new(const struct route *rows, const uint8_t *classes, size_t n, struct figures **ret);
void figures_free(struct figures *f);
// The head of an answer goes out. route: 1 + its row, 0: none. took_us 0: not known. f may be NULL.
void figures_answer(struct figures *f, unsigned route, unsigned status, uint64_t took_us);
// The answers and how long they took.
void figures_write(const struct figures *f, struct buf *b);

static inline void figure_count(struct gateway *gw, enum gateway_figure what)
{
    if (gw->figures)
        gw->figures->value[what]++;
}
