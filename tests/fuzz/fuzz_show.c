// links: mcctl common protobuf-c sodium uv jansson curl m
// fuzz: -max_len=1024 -dict=tests/fuzz/json.dict
// An answer of a server as mcctl shows it: octet 0 picks a command, whose columns the rows have; then JSON objects, one a line. Shown as rows, as
// lines and as a whole: no control character reaches the terminal, and JSON written again is the JSON that was read.
#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#include "argv.h"
#include "command.h"
#include "escape.h"
#include "json_in.h"
#include "show.h"
#include "table.h"
#include "utf8.h"
#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void harmless(const struct buf *b)
{
    require(!b->err);
    for (size_t i = 0, n; i < b->len; i += n) {
        n = utf8_len(b->data + i, b->len - i);
        require(n > 0);
        uint32_t c = n == 1 ? b->data[i] : b->data[i] & (0x7fu >> n);
        for (size_t k = 1; k < n; k++)
            c = c << 6 | (b->data[i + k] & 0x3fu);
        require(!escape_needed(c) || c == '\n');
    }
}

static const struct column *columns_of(uint8_t octet)
{
    unsigned n = 0, with = 0;
    while (commands[n].words)
        with += commands[n++].columns != NULL;
    unsigned pick = octet % with;
    for (unsigned i = 0; i < n; i++)
        if (commands[i].columns && pick-- == 0)
            return commands[i].columns;
    abort();
}

static void cells(struct table *t, const struct column *columns, const json_t *o)
{
    const char *text[TABLE_COLUMNS_MAX];
    enum tint tint[TABLE_COLUMNS_MAX];
    struct buf b[TABLE_COLUMNS_MAX];
    unsigned n = 0;
    for (; n < t->n_columns; n++) {
        buf_init(&b[n], SHOW_MAX);
        show_cell(&b[n], o, columns[n].path, columns[n].kind);
        text[n] = buf_cstr(&b[n]);
        tint[n] = TINT_NONE;
    }
    require(table_row(t, text, tint) == ERR_OK);
    while (n--)
        buf_fini(&b[n]);
}

static bool plain(const char *key)
{
    return strspn(key, " !#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_`abcdefghijklmnopqrstuvwxyz{|}~") == strlen(key);
}

// Members whose names no server of ours gives are left out. Numbers with a fraction are written with fifteen digits, and 12.0 as 12.
static bool same(const json_t *a, const json_t *b)
{
    const char *key;
    const json_t *v;
    bool all = json_typeof(a) == json_typeof(b);
    if (json_is_real(a))
        return json_is_number(b) && fabs(json_real_value(a) - json_number_value(b)) <= 1e-14 * fabs(json_real_value(a));
    if (!all || json_array_size(a) != json_array_size(b))
        return false;
    if (json_is_object(a)) {
        json_t *in = (json_t *)(uintptr_t)a;
        for (void *i = json_object_iter(in); i && all; i = json_object_iter_next(in, i)) {
            key = json_object_iter_key(i);
            v = json_object_get(b, key);
            all = plain(key) ? v && same(json_object_iter_value(i), v) : !v;
        }
        return all;
    }
    for (size_t i = 0; i < json_array_size(a) && all; i++)
        all = same(json_array_get(a, i), json_array_get(b, i));
    return all && (json_is_array(a) || json_equal(a, b));
}

static void again(const json_t *o)
{
    struct buf b;
    char why[160];
    json_t *back = NULL;
    buf_init(&b, SHOW_MAX);
    struct json j = json_to(&b);
    show_json(&j, o);
    require(!b.err && json_in_parse(b.data, b.len, &back, why, sizeof why) == ERR_OK && same(o, back));
    json_decref(back);
    buf_reset(&b);
    show_object(&b, o, false);
    harmless(&b);
    buf_reset(&b);
    show_line(&b, o, false);
    harmless(&b);
    buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool begun;
    struct table t;
    struct buf out;
    if (!begun)
        begun = setlocale(LC_CTYPE, "C.UTF-8") || true;
    if (size < 2)
        return 0;
    const struct column *columns = columns_of(data[0]);
    buf_init(&out, SHOW_MAX);
    table_init(&t, &out, data[1] % 3 ? data[1] : 0, false, false);
    for (unsigned i = 0; columns[i].head; i++)
        table_column(&t, columns[i].head, columns[i].flex);
    for (const uint8_t *at = data + 2, *end = data + size; at < end;) {
        const uint8_t *line = memchr(at, '\n', (size_t)(end - at));
        char why[160];
        json_t *o = NULL;
        size_t n = line ? (size_t)(line - at) : (size_t)(end - at);
        if (json_in_parse(at, n, &o, why, sizeof why) == ERR_OK) {
            cells(&t, columns, o);
            again(o);
            json_decref(o);
        }
        at += n + (line != NULL);
    }
    table_end(&t);
    harmless(&out);
    table_fini(&t);
    buf_fini(&out);
    return 0;
}
