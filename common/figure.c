#include "figure.h"

struct table {
    const struct prom_def *defs;
    const uint32_t *numbers;
    unsigned n;
};
#define F(number, name, metric, type, decimals, label, value, help) { metric, type, help, decimals, { label, value } },
static const struct prom_def gateway_defs[] = { GATEWAY_FIGURES(F) };
static const struct prom_def broker_defs[] = { BROKER_FIGURES(F) };
static const struct prom_def worker_defs[] = { WORKER_FIGURES(F) };
#undef F
#define F(number, name, metric, type, decimals, label, value, help) number,
static const uint32_t gateway_numbers[] = { GATEWAY_FIGURES(F) };
static const uint32_t broker_numbers[] = { BROKER_FIGURES(F) };
static const uint32_t worker_numbers[] = { WORKER_FIGURES(F) };
#undef F

static const struct table tables[] = {
    [FIGURES_GATEWAY] = { gateway_defs, gateway_numbers, GATEWAY_FIGURE_N },
    [FIGURES_BROKER] = { broker_defs, broker_numbers, BROKER_FIGURE_N },
    [FIGURES_WORKER] = { worker_defs, worker_numbers, WORKER_FIGURE_N },
};

const uint64_t figure_time_bounds[12] = { 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 1000000, 2500000 };
const uint64_t figure_turn_bounds[9] = { 1, 2, 4, 8, 16, 32, 64, 128, 256 };

const struct prom_def *figure_defs(enum figure_program p, unsigned *ret_n)
{
    *ret_n = tables[p].n;
    return tables[p].defs;
}

uint32_t figure_number(enum figure_program p, unsigned place)
{
    return tables[p].numbers[place];
}

unsigned figure_place(enum figure_program p, uint32_t number)
{
    unsigned i = 0;
    while (i < tables[p].n && tables[p].numbers[i] != number)
        i++;
    return i;
}
