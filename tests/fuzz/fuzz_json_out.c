// links: common protobuf-c jansson
// fuzz: -max_len=512
// Whatever octets a text holds, what we write is valid JSON in valid UTF-8, harmless in HTML and scripts, and cut where it must be.
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "json_out.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t characters(const char *utf8)
{
    size_t n = 0;
    for (; *utf8; utf8++)
        n += ((unsigned char)*utf8 & 0xc0) != 0x80;
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf b;
    char *text = malloc(size + 1);

    if (!text)
        return 0;
    if (size)
        memcpy(text, data, size);
    text[size] = 0;
    size_t max = size ? data[0] : 7;
    buf_init(&b, 16 + 12 * (2 * size + 1));
    struct json j = json_to(&b);
    json_open(&j, '[');
    json_strn(&j, text, size);
    json_str_cut(&j, text, max);
    json_u64(&j, time_parse(text));
    json_close(&j, ']');
    if (b.err)
        abort();
    if (memchr(b.data, '<', b.len) || memchr(b.data, '\n', b.len) || memchr(b.data, 0, b.len) || memmem(b.data, b.len, "\xe2\x80\xa8", 3) ||
        memmem(b.data, b.len, "\xe2\x80\xa9", 3))
        abort();
    json_error_t e;
    json_t *a = json_loadb((const char *)b.data, b.len, JSON_ALLOW_NUL, &e);
    if (!a || json_array_size(a) != 3)
        abort();
    const json_t *whole = json_array_get(a, 0), *cut = json_array_get(a, 1);
    if (!json_is_string(whole) || !json_is_string(cut) || characters(json_string_value(cut)) > max)
        abort();
    json_t *same = json_stringn(text, size); // NULL: not UTF-8, which is written with replacements
    if (same && !json_equal(same, whole))
        abort(); // what reads back is not what was written
    json_decref(same);
    uint64_t ms = time_parse(text);
    if (ms) { // a time we take is one we would write, but for its fraction
        char again[25];
        time_format(again, ms);
        if (strncmp(again, text, 19) != 0)
            abort();
    }
    json_decref(a);
    buf_fini(&b);
    free(text);
    return 0;
}
