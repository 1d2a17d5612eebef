// links: worker common protobuf-c jansson sodium
// fuzz: -max_len=4096 -dict=tests/fuzz/json.dict
// What a chat endpoint answers: fed whole and octet by octet it must mean the same; whatever it is, the reason given is clean
// text. The first octet chooses: an answer, or the body of an error.
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "chat_msg.h"
#include "check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint64_t hash;
    size_t n;
};

static void text_cb(void *u, const char *s, size_t n)
{
    struct seen *g = u;
    for (size_t i = 0; i < n; i++)
        g->hash = (g->hash ^ (uint8_t)s[i]) * 1099511628211ULL;
    g->n += n;
}

static bool feed(struct chat_answer *a, struct seen *g, const uint8_t *p, size_t n, size_t step)
{
    *g = (struct seen){ .hash = 14695981039346656037ULL };
    chat_answer_init(a, text_cb, g);
    for (size_t at = 0; at < n; at += step)
        if (!chat_answer_feed(a, p + at, n - at < step ? n - at : step))
            break;
    return chat_answer_end(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] == 'e') {
        char out[300];
        chat_error_text(out, 1 + (size_t)size % sizeof out, 500, data + 1, size - 1);
        if (!check_text(out, sizeof out, false))
            abort();
        return 0;
    }
    struct chat_answer whole, pieces;
    struct seen g, h;
    bool ok = feed(&whole, &g, data + 1, size - 1, size);
    bool ok2 = feed(&pieces, &h, data + 1, size - 1, data[0] == '1' ? 1 : 1 + data[0] % 16U);
    if (ok != ok2 || g.n != h.n || g.hash != h.hash || whole.prompt_tokens != pieces.prompt_tokens || strcmp(whole.why, pieces.why) != 0)
        abort();
    if (ok == (whole.why[0] != 0) || !check_text(whole.why, sizeof whole.why, false))
        abort();
    chat_answer_fini(&whole);
    chat_answer_fini(&pieces);
    return 0;
}
