// links: mcctl common protobuf-c
// fuzz: -max_len=1024 -dict=tests/fuzz/http.dict
// The head of an answer, by lines: what is kept of it goes into the next request, so it has no blank or control character, and a link
// is a path.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void plain(const char *s, size_t max)
{
    if (strnlen(s, max) == max)
        abort();
    for (; *s; s++)
        if (*s <= ' ' || *s > '~')
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct head h;

    head_init(&h);
    while (size) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t n = end ? (size_t)(end - data) : size;
        char *line = malloc(n ? n : 1); // with nothing readable behind it
        if (!line)
            abort();
        memcpy(line, data, n);
        head_line(&h, line, n);
        free(line);
        plain(h.link, sizeof h.link);
        plain(h.cookie, sizeof h.cookie);
        if (h.link[0] && (h.link[0] != '/' || h.link[1] == '/'))
            abort();
        n += end != NULL;
        data += n;
        size -= n;
    }
    return 0;
}
