// links: gateway common protobuf-c jansson sodium uv systemd nng
// Answers by route, method and class of status; their times by what the route does; what no route or status has a name for.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include "figures.h"
#include "names.h"
#include "route.h"

#define ROW(method, path) { METHOD_##method, ROLE_VIEWER, BODY_NONE, 1, ENTITY_NONE, sizeof path - 1, path, NULL }
static const struct route rows[] = { ROW(GET, "/a/:id"), ROW(POST, "/a") };
static const uint8_t classes[] = { CLASS_READ, CLASS_WRITE };

static void counted(void **state)
{
    struct figures *f;
    struct buf b;
    (void)state;
    assert_int_equal(figures_new(rows, classes, 2, &f), ERR_OK);
    figures_answer(f, 1, 200, 300);
    figures_answer(f, 1, 204, 100);
    figures_answer(f, 1, 404, 0);
    figures_answer(f, 2, 503, 3000000);
    figures_answer(f, 0, 400, 1);
    figures_answer(f, 2, 99, 0);
    figures_answer(f, 2, 600, 0);
    figures_answer(f, 3, 200, 1);  // no such row
    figures_answer(NULL, 1, 200, 1);
    buf_init(&b, 1 << 16);
    figures_write(f, &b);
    const char *text = buf_cstr(&b);
    static const char *const lines[] = {
        "\nmc_gateway_http_requests_total{route=\"none\",method=\"none\",code=\"4xx\"} 1\n",
        "\nmc_gateway_http_requests_total{route=\"/a/:id\",method=\"GET\",code=\"2xx\"} 2\n",
        "\nmc_gateway_http_requests_total{route=\"/a/:id\",method=\"GET\",code=\"4xx\"} 1\n",
        "\nmc_gateway_http_requests_total{route=\"/a\",method=\"POST\",code=\"5xx\"} 1\n",
        "\nmc_gateway_http_requests_total{route=\"/a\",method=\"POST\",code=\"other\"} 2\n",
        "\nmc_gateway_http_request_duration_seconds_bucket{class=\"read\",le=\"0.00025\"} 1\n",
        "\nmc_gateway_http_request_duration_seconds_bucket{class=\"read\",le=\"0.0005\"} 2\n",
        "\nmc_gateway_http_request_duration_seconds_sum{class=\"read\"} 0.0004\n",
        "\nmc_gateway_http_request_duration_seconds_bucket{class=\"write\",le=\"2.5\"} 0\n",
        "\nmc_gateway_http_request_duration_seconds_bucket{class=\"write\",le=\"+Inf\"} 1\n",
        "\nmc_gateway_http_request_duration_seconds_count{class=\"none\"} 1\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_non_null(strstr(text, lines[i]));
    unsigned series = 0;
    for (const char *p = text; (p = strstr(p, "\nmc_gateway_http_requests_total{")); p++)
        series++;
    assert_int_equal(series, 5);
    buf_fini(&b);
    figures_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(counted) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
