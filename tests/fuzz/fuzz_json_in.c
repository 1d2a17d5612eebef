// links: common protobuf-c jansson
// fuzz: -max_len=2048 -dict=tests/fuzz/json.dict
// Bodies of requests: whatever they hold, they parse or are refused with a reason, and no deeper than the limit.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "json_in.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int depth(const json_t *v)
{
    int deepest = 0;
    if (json_is_object(v)) {
        for (void *i = json_object_iter((json_t *)(uintptr_t)v); i; i = json_object_iter_next((json_t *)(uintptr_t)v, i)) {
            int d = depth(json_object_iter_value(i));
            deepest = d > deepest ? d : deepest;
        }
    } else if (json_is_array(v)) {
        for (size_t i = 0; i < json_array_size(v); i++) {
            int d = depth(json_array_get(v, i));
            deepest = d > deepest ? d : deepest;
        }
    } else {
        return 0;
    }
    return deepest + 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *o = NULL;
    char why[64];
    const char *s = NULL;
    bool given, flag = false;
    uint64_t n = 0;

    memset(why, 'x', sizeof why);
    enum err e = json_in_parse(size ? (const char *)data : "", size, &o, why, sizeof why);
    if (e) {
        if (e != ERR_BAD_JSON || o || strlen(why) == 0 || strlen(why) >= sizeof why)
            abort();
        return 0;
    }
    if (!json_is_object(o) || depth(o) > JSON_IN_DEPTH)
        abort();
    static const char *const keys[] = { "", "a", "type", "content", "run", "timeoutSeconds" };
    for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (json_in_str(o, keys[i], &s, &given) == ERR_OK && given && strlen(s) > size)
            abort();
        (void)!json_in_bool(o, keys[i], &flag, &given);
        if (json_in_uint(o, keys[i], 5, 9, &n, &given) == ERR_OK && given && (n < 5 || n > 9))
            abort();
    }
    json_decref(o);
    return 0;
}
