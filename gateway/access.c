#include "access.h"
#include "json_out.h"
#include "log.h"
#include "names.h"

enum { LINE = 6000 }; // within what log_line takes, whatever a target's octets are escaped to

void access_line(const struct access *a)
{
    struct buf b;
    struct json j = json_to(&b);

    buf_init(&b, 4 * LINE);
    json_key(&j, "status");
    json_u64(&j, a->status);
    json_key(&j, "ms");
    json_u64(&j, a->ms);
    json_key(&j, "bytes");
    json_u64(&j, a->bytes);
    json_key(&j, "key");
    json_id(&j, ENTITY_KEY, a->key);
    json_key(&j, "address");
    json_str(&j, a->address);
    json_key(&j, "requestId");
    json_str(&j, a->request_id);
    json_key(&j, "request");
    json_str_cut(&j, a->request, 1024);
    if (!b.err && b.len < LINE + 2000)
        log_line(LOG_INFO, "request", (const char *)b.data, b.len);
    buf_fini(&b);
}
