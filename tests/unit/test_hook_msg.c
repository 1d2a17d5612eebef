// links: worker common protobuf-c sodium
// What a webhook is sent: the bodies in full, and the signature as another implementation of HMAC gives it.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include "event.h"
#include "hook_msg.h"
#include "lent.h"

static void a_test(void **state)
{
    Wire__HookOrder o = WIRE__HOOK_ORDER__INIT;
    struct hook_head head;
    struct buf b;
    const char *type;
    (void)state;
    o.webhook = 3;
    o.delivery = 9;
    o.created_ms = 1773568800000;
    o.secret = z("topsecret");
    buf_init(&b, HOOK_BODY_MAX);
    assert_int_equal(hook_body(&o, &b, &type), ERR_OK);
    static const char body[] = "{\"id\":null,\"type\":\"webhook.test\",\"timestamp\":\"2026-03-15T10:00:00.000Z\","
                               "\"payload\":{\"webhookId\":\"webhook_3\",\"message\":\"This is a test: nothing has happened\"}}";
    assert_string_equal(buf_cstr(&b), body);
    assert_string_equal(type, "webhook.test");
    hook_head(&o, type, 1773568801, b.data, b.len, &head);
    assert_string_equal(head.line[0], "X-Mc-Event: webhook.test");
    assert_string_equal(head.line[1], "X-Mc-Delivery: delivery_9");
    assert_string_equal(head.line[2], "X-Mc-Timestamp: 1773568801");
    // printf '1773568801.delivery_9.BODY' | openssl dgst -sha256 -hmac topsecret
    assert_string_equal(head.line[3], "X-Mc-Signature: v1=5edf0691b5614adebb00e526160d49de583a918c040913ce40bd08c994c93924");
    assert_null(head.line[4]);
    buf_fini(&b);
}

// Each kind of row in both views: an object exactly where the view shows it, with its type in front.
static void each_row(void **state)
{
    (void)state;
    for (unsigned row = 0; row < ROW_COUNT + 3; row++) {
        for (int feed = 0; feed < 2; feed++) {
            Wire__Row r = WIRE__ROW__INIT;
            Wire__HookOrder o = WIRE__HOOK_ORDER__INIT;
            uint8_t packed[64];
            struct buf b;
            const char *type, *want = event_type(row, feed ? VIEW_FEED : VIEW_ACTIVITY);
            r.number = 5;
            r.row = row;
            r.task = 1;
            o.row = (ProtobufCBinaryData){ wire__row__pack(&r, packed), packed };
            o.feed = feed;
            buf_init(&b, HOOK_BODY_MAX);
            enum err e = hook_body(&o, &b, &type);
            assert_int_equal(e, want ? ERR_OK : ERR_BAD_REQUEST);
            if (want) {
                assert_string_equal(type, want);
                assert_non_null(strstr(buf_cstr(&b), "{\"id\":\"evt_5\",\"type\":\""));
            }
            buf_fini(&b);
        }
    }
}

static void no_row(void **state)
{
    uint8_t junk[] = { 0xff, 0xff, 0xff };
    Wire__HookOrder o = WIRE__HOOK_ORDER__INIT;
    struct buf b;
    const char *type;
    (void)state;
    o.row = (ProtobufCBinaryData){ sizeof junk, junk };
    buf_init(&b, HOOK_BODY_MAX);
    assert_int_equal(hook_body(&o, &b, &type), ERR_BAD_REQUEST);
    buf_fini(&b);
    o.row.len = 0;
    buf_init(&b, 16); // no room
    assert_int_equal(hook_body(&o, &b, &type), ERR_TOO_BIG);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_test), cmocka_unit_test(each_row), cmocka_unit_test(no_row) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
