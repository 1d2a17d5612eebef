// Brackets are counted and strings stepped over; a comma or the closing bracket at depth 1 ends an element.
#include "items.h"
#include "json_in.h"

void items_init(struct items *s)
{
    *s = (struct items){ 0 };
    buf_init(&s->element, ITEMS_ELEMENT_MAX);
}

void items_fini(struct items *s)
{
    buf_fini(&s->element);
}

bool items_whole(const struct items *s)
{
    return s->ended;
}

static bool blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static enum err element(struct items *s, items_element *cb, void *u)
{
    if (s->element.len == 0)
        return ERR_BAD_JSON;
    bool more = cb(u, buf_cstr(&s->element), s->element.len);
    buf_reset(&s->element);
    return more ? ERR_OK : ERR_CLOSED;
}

// At depth 1, outside strings: a comma, a bracket, or part of an element.
static enum err between(struct items *s, uint8_t c, items_element *cb, void *u, bool *ret_taken)
{
    *ret_taken = true;
    if (blank(c) && s->element.len == 0)
        return ERR_OK;
    if (c == ',') {
        s->due = true;
        return element(s, cb, u);
    }
    if (c == ']') {
        s->ended = true;
        s->depth = 0;
        return s->element.len || s->due ? element(s, cb, u) : ERR_OK;
    }
    *ret_taken = false;
    return c == '}' ? ERR_BAD_JSON : ERR_OK;
}

static void step(struct items *s, uint8_t c)
{
    if (s->in_string) {
        if (s->escaped)
            s->escaped = false;
        else if (c == '\\')
            s->escaped = true;
        else if (c == '"')
            s->in_string = false;
    } else if (c == '"') {
        s->in_string = true;
    } else if (c == '{' || c == '[') {
        s->depth++;
    } else if (c == '}' || c == ']') {
        s->depth--;
    }
}

static enum err one(struct items *s, uint8_t c, items_element *cb, void *u)
{
    bool taken = false;

    if (!s->begun || s->ended) {
        if (blank(c))
            return ERR_OK;
        if (s->ended || c != '[')
            return ERR_BAD_JSON;
        s->begun = true;
        s->depth = 1;
        return ERR_OK;
    }
    if (s->depth == 1 && !s->in_string) {
        enum err e = between(s, c, cb, u, &taken);
        if (e || taken)
            return e;
    }
    buf_putc(&s->element, (char)c);
    step(s, c);
    return s->depth > JSON_IN_DEPTH ? ERR_BAD_JSON : s->element.err;
}

enum err items_feed(struct items *s, const void *p, size_t n, items_element *cb, void *u)
{
    const uint8_t *d = p;

    for (size_t i = 0; i < n; i++) {
        enum err e = one(s, d[i], cb, u);
        if (e)
            return e;
    }
    return ERR_OK;
}
