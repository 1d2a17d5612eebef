// The description of this API: made when the program was built (gateway/openapi/), served from where it lies in the program.
#include "api.h"
#include "api_openapi.h"
#include "cache.h"

void api_openapi(struct request *r)
{
    static char etag[CACHE_ETAG_SIZE];
    const struct text body = { openapi_text, (size_t)(openapi_text_end - openapi_text) };
    struct exchange *x = r->x;

    if (!etag[0])
        cache_etag(etag, body);
    request_let_go(r);
    exchange_add(x, "ETag", etag);
    exchange_add(x, "Cache-Control", "no-cache");
    if (exchange_has_tag(x, etag))
        exchange_reply(x, 304, NULL, NULL, 0);
    else
        exchange_reply(x, 200, "application/json", body.p, body.n);
}
