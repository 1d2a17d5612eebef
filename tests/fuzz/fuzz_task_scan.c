// links: broker common lmdb xxhash protobuf-c sodium jansson uv systemd nng
// fuzz: -max_len=1024
// A record and a word to look for, split at the first NUL: what is found in the packed record is what a search of the unpacked one
// finds; octets that are no record are refused, and never read beyond.
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "record.pb-c.h"
#include "task_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void compare(const struct task_scan *s, char *title, char *content)
{
    Rec__Task t = REC__TASK__INIT;
    enum scan found;
    t.id = 1;
    t.title = title;
    t.content = content;
    t.created_by = content;
    size_t n = rec__task__get_packed_size(&t);
    uint8_t *packed = malloc(n + 1);
    assert(packed && rec__task__pack(&t, packed) == n);
    assert(task_scan_record(s, (struct slice){ packed, n }, &found) == ERR_OK);
    assert((found == SCAN_YES) == (strcasestr(title, s->q) || strcasestr(content, s->q)));
    free(packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, 0, size);
    enum scan found;
    if (!end || end == data)
        return 0;
    struct task_scan s = task_scan_for((const char *)data);
    struct slice rest = { end + 1, size - (size_t)(end + 1 - data) };
    (void)!task_scan_record(&s, rest, &found);
    (void)task_scan_text(&s, rest);
    char *text = malloc(rest.n + 2);
    assert(text);
    memcpy(text, rest.p, rest.n);
    text[rest.n] = text[rest.n + 1] = 0;
    compare(&s, text, text + strlen(text) + 1 <= text + rest.n ? text + strlen(text) + 1 : text + rest.n);
    free(text);
    return 0;
}
