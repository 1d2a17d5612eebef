#include "figures.h"
#include <stdlib.h>
#include "route.h"

static const char *const class_names[CLASS_N] = { "none", "open", "read", "write", "stream" };
static const char *const status_names[6] = { "other", "1xx", "2xx", "3xx", "4xx", "5xx" };

enum err figures_new(const struct route *rows, const uint8_t *classes, size_t n, struct figures **ret)
{
    struct figures *f = calloc(1, sizeof *f);

    if (!f || !(f->answers = calloc(n + 1, sizeof *f->answers))) {
        free(f);
        return ERR_NO_MEMORY;
    }
    f->rows = rows;
    f->classes = classes;
    f->n = n;
    for (unsigned c = 0; c < CLASS_N; c++)
        prom_hist_init(&f->took[c], figure_time_bounds, sizeof figure_time_bounds / sizeof *figure_time_bounds);
    *ret = f;
    return ERR_OK;
}

void figures_free(struct figures *f)
{
    if (f)
        free(f->answers);
    free(f);
}

void figures_answer(struct figures *f, unsigned route, unsigned status, uint64_t took_us)
{
    if (!f || route > f->n)
        return;
    f->answers[route][status >= 100 && status < 600 ? status / 100 : 0]++;
    if (took_us)
        prom_observe(&f->took[route ? f->classes[route - 1] : CLASS_NONE], took_us);
}

static const char *method_name(const struct route *r)
{
    static const char *const names[METHOD_N] = {
        [METHOD_GET] = "GET", [METHOD_HEAD] = "HEAD", [METHOD_POST] = "POST", [METHOD_PUT] = "PUT",
        [METHOD_PATCH] = "PATCH", [METHOD_DELETE] = "DELETE", [METHOD_OPTIONS] = "OPTIONS",
    };

    return r->method < METHOD_N ? names[r->method] : "none";
}

// Series that never counted are left out: a route times a class of status is many, and most never happen.
void figures_write(const struct figures *f, struct buf *b)
{
    static const char requests[] = "mc_gateway_http_requests_total", took[] = "mc_gateway_http_request_duration_seconds";

    prom_family(b, requests, "counter", "Requests answered, by route, method and class of status");
    for (size_t i = 0; i <= f->n; i++)
        for (unsigned s = 0; s < 6; s++) {
            const struct route *r = i ? &f->rows[i - 1] : NULL;
            const struct prom_label labels[] = { { "route", r ? r->path : "none" }, { "method", r ? method_name(r) : "none" },
                                                 { "code", status_names[s] } };
            if (f->answers[i][s])
                prom_sample(b, requests, labels, 3, f->answers[i][s], 0);
        }
    prom_family(b, took, "histogram", "Time from a request's head to the head of its answer, by what its route does");
    for (unsigned c = 0; c < CLASS_N; c++)
        prom_buckets(b, took, &(struct prom_label){ "class", class_names[c] }, 1, &f->took[c], 6);
}
