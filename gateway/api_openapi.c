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
    exchange_reply_tagged(x, etag, body);
}
