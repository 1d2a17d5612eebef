// links: mcctl common protobuf-c sodium uv jansson curl m
// fuzz: -max_len=160 -dict=tests/fuzz/argv.dict
// A command line: its words stand one a line. Whatever they are, it is a command with as many arguments as that takes, or one line of
// text; and what becomes of its options is a JSON object and a path without blanks or control characters.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "argv.h"
#include "body.h"
#include "json_in.h"

enum { WORDS = 32, TEXT_MAX = 4096 };

static bool name_cb(void *u, enum option_kind kind, const char *name, const char **ret)
{
    (void)u;
    (void)kind;
    *ret = name;
    return true;
}

static void use(const struct argv *a)
{
    const struct body_from f = { .argv = a, .now_ms = 1767225600000, .name = name_cb };
    struct buf out, why;
    char text[200];
    json_t *o = NULL;
    unsigned n;

    buf_init(&out, 1024 * 1024);
    buf_init(&why, 1024 * 1024);
    struct json j = json_to(&out);
    json_open(&j, '{');
    bool ok = body_members(&f, &j, &n, &why);
    json_close(&j, '}');
    if (ok && !out.err && json_in_parse(out.data, out.len, &o, text, sizeof text) != ERR_OK && !strstr(buf_cstr(&out), "\"chat\":null"))
        abort(); // (a chat endpoint that is both given and taken away is the server's to refuse)
    json_decref(o);
    buf_reset(&out);
    buf_puts(&out, "/x");
    if (body_query(&f, &out, &why))
        for (size_t i = 0; i < out.len; i++)
            if (out.data[i] <= ' ' || out.data[i] > '~')
                abort();
    buf_fini(&out);
    buf_fini(&why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[TEXT_MAX + 1];
    const char *words[WORDS] = { "mcctl" }, *args[WORDS + 1];
    struct argv a;
    struct buf why;
    int n = 1;

    size = size < TEXT_MAX ? size : TEXT_MAX;
    memcpy(text, data, size);
    text[size] = 0;
    for (char *at = text; *at && n < WORDS; n++) {
        words[n] = at;
        at += strcspn(at, "\n");
        if (*at)
            *at++ = 0;
    }
    buf_init(&why, 65536);
    enum err e = argv_parse(commands, n, words, args, &a, &why);
    if ((e != ERR_OK) != (why.len > 0) || why.err)
        abort();
    if (e == ERR_OK && a.command && !a.help && !a.version) {
        unsigned min, max;
        argv_arity(a.command->args, &min, &max);
        if (a.n_args < min || (a.n_args > max && !strstr(a.command->args, "...")))
            abort();
        use(&a);
    }
    buf_fini(&why);
    return 0;
}
