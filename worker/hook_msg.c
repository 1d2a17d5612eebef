#include "hook_msg.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "crypto.h"
#include "event_json.h"
#include "json_put.h"

static const char test_type[] = "webhook.test";

static void test_json(struct json *j, const Wire__HookOrder *o)
{
    json_open(j, '{');
    json_put_nil(j, "id");
    json_put_str(j, "type", test_type);
    json_put_time(j, "timestamp", o->created_ms);
    json_key(j, "payload");
    json_open(j, '{');
    json_put_id(j, "webhookId", ENTITY_WEBHOOK, o->webhook);
    json_put_str(j, "message", "This is a test: nothing has happened");
    json_close(j, '}');
    json_close(j, '}');
}

enum err hook_body(const Wire__HookOrder *o, struct buf *out, const char **ret_type)
{
    struct json j = json_to(out);
    enum event_view view = o->feed ? VIEW_FEED : VIEW_ACTIVITY;
    if (!o->row.len) {
        test_json(&j, o);
        *ret_type = test_type;
        return out->err;
    }
    Wire__Row *r = wire__row__unpack(NULL, o->row.len, o->row.data);
    bool shown = r && event_json(&j, r, view);
    *ret_type = shown ? event_type(r->row, view) : NULL;
    if (r)
        wire__row__free_unpacked(r, NULL);
    return shown ? out->err : ERR_BAD_REQUEST;
}

__attribute__((format(printf, 3, 4))) static void line(struct hook_head *h, unsigned i, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)!vsnprintf(h->text[i], sizeof h->text[i], fmt, ap); // names of types and numbers: they always fit
    va_end(ap);
    h->line[i] = h->text[i];
}

void hook_head(const Wire__HookOrder *o, const char *type, uint64_t now_s, const void *body, size_t n, struct hook_head *ret)
{
    char delivery[ID_TEXT_MAX], front[ID_TEXT_MAX + 32], hex[2 * HMAC_SIZE + 1];
    uint8_t mac[HMAC_SIZE];
    id_format(delivery, ENTITY_DELIVERY, o->delivery);
    int front_n = snprintf(front, sizeof front, "%" PRIu64 ".%s.", now_s, delivery);
    crypto_hmac(mac, o->secret, strlen(o->secret), front, (size_t)front_n, body, n);
    for (size_t i = 0; i < sizeof mac; i++) {
        hex[2 * i] = "0123456789abcdef"[mac[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[mac[i] & 15];
    }
    hex[2 * sizeof mac] = 0;
    line(ret, 0, "X-Mc-Event: %s", type);
    line(ret, 1, "X-Mc-Delivery: %s", delivery);
    line(ret, 2, "X-Mc-Timestamp: %" PRIu64, now_s);
    line(ret, 3, "X-Mc-Signature: v1=%s", hex);
    ret->line[HOOK_LINES] = NULL;
}
