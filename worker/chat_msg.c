#include "chat_msg.h"
#include <stdio.h>
#include <string.h>
#include "json_in.h"
#include "json_out.h"
#include "utf8.h"

static void message(struct json *j, const char *role, const char *content)
{
    json_open(j, '{');
    json_key(j, "role");
    json_str(j, role);
    json_key(j, "content");
    json_str(j, content);
    json_close(j, '}');
}

void chat_request(struct buf *b, const char *model, const char *system, const char *user)
{
    struct json j = json_to(b);
    json_open(&j, '{');
    json_key(&j, "model");
    json_str(&j, model);
    json_key(&j, "messages");
    json_open(&j, '[');
    if (system && *system)
        message(&j, "system", system);
    message(&j, "user", user);
    json_close(&j, ']');
    json_key(&j, "stream");
    json_bool(&j, true);
    json_close(&j, '}');
}

// ---------------------------------------------------------------- text for people

void chat_clean(char *out, size_t size, const char *text, size_t n)
{
    const uint8_t *s = (const uint8_t *)text;
    size_t at = 0;
    bool blank = true; // so that it does not begin with one
    while (n) {
        size_t len = utf8_len(s, n);
        bool control = len == 1 ? s[0] < 0x20 || s[0] == 0x7f : len == 2 && s[0] == 0xc2 && s[1] < 0xa0;
        if (len == 0 || control || (len == 1 && s[0] == ' ')) {
            size_t skip = len ? len : 1;
            if (!blank && at + 1 < size)
                out[at++] = ' ';
            blank = true;
            s += skip;
            n -= skip;
            continue;
        }
        if (at + len >= size)
            break;
        memmove(out + at, s, len); // a caller may clean in place
        at += len;
        blank = false;
        s += len;
        n -= len;
    }
    if (at && out[at - 1] == ' ')
        at--;
    out[at] = 0;
}

static const json_t *object(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_object(v) ? v : NULL;
}

static const json_t *string(const json_t *o, const char *key)
{
    const json_t *v = o ? json_object_get(o, key) : NULL;
    return json_is_string(v) ? v : NULL;
}

// {"error":{"message":...}}, {"error":"..."} or {"message":...}: what servers say.
static bool message_of(const json_t *top, char *out, size_t size)
{
    const json_t *m = string(object(top, "error"), "message");
    if (!m)
        m = string(top, "error");
    if (!m)
        m = string(top, "message");
    if (!m || json_string_length(m) == 0)
        return false;
    chat_clean(out, size, json_string_value(m), json_string_length(m));
    return out[0] != 0;
}

void chat_error_text(char *out, size_t size, unsigned status, const uint8_t *body, size_t n)
{
    char said[CHAT_WHY_MAX - 64] = "", why[128];
    json_t *top;
    if (json_in_parse(body, n, &top, why, sizeof why) == ERR_OK) {
        (void)message_of(top, said, sizeof said);
        json_decref(top);
    } else if (n && body[0] != '<') { // a page of HTML tells nobody anything
        chat_clean(said, sizeof said, (const char *)body, n < 300 ? n : 300);
    }
    snprintf(out, size, "The chat endpoint answered %u%s%s", status, said[0] ? ": " : "", said);
    if (size)
        chat_clean(out, size, out, strlen(out)); // snprintf may have cut a character
}

// ---------------------------------------------------------------- answers

void chat_answer_init(struct chat_answer *a, void (*text)(void *u, const char *s, size_t n), void *u)
{
    *a = (struct chat_answer){ .text = text, .u = u };
    buf_init(&a->line, CHAT_ANSWER_MAX); // also gathers an answer that is not streamed
    buf_init(&a->event, CHAT_EVENT_MAX);
}

void chat_answer_fini(struct chat_answer *a)
{
    buf_fini(&a->line);
    buf_fini(&a->event);
}

static bool fail(struct chat_answer *a, const char *why)
{
    a->failed = true;
    snprintf(a->why, sizeof a->why, "%s", why);
    return false;
}

static uint64_t count(const json_t *usage, const char *key)
{
    const json_t *v = json_object_get(usage, key);
    return json_is_integer(v) && json_integer_value(v) > 0 ? (uint64_t)json_integer_value(v) : 0;
}

// One object of a stream, or the whole answer: `part` is "delta" or "message".
static bool take(struct chat_answer *a, const uint8_t *p, size_t n, const char *part)
{
    char why[128];
    json_t *top;
    if (json_in_parse(p, n, &top, why, sizeof why) != ERR_OK)
        return fail(a, "The chat endpoint sent something that is not valid JSON");
    if (json_object_get(top, "error") && !json_is_null(json_object_get(top, "error"))) {
        char said[CHAT_WHY_MAX - 64] = "";
        (void)message_of(top, said, sizeof said);
        a->failed = true;
        snprintf(a->why, sizeof a->why, "The chat endpoint reported an error%s%s", said[0] ? ": " : "", said);
        json_decref(top);
        return false;
    }
    const json_t *usage = object(top, "usage"), *choices = json_object_get(top, "choices");
    if (usage) {
        a->prompt_tokens = count(usage, "prompt_tokens");
        a->completion_tokens = count(usage, "completion_tokens");
    }
    bool ok = true;
    const json_t *first = json_is_array(choices) ? json_array_get(choices, 0) : NULL;
    if (json_is_object(first)) {
        const json_t *m = object(first, part);
        const json_t *content = string(m, "content");
        if (string(first, "finish_reason"))
            a->finished = true;
        if (!content && string(m, "refusal"))
            content = string(m, "refusal");
        if (content && json_string_length(content))
            a->text(a->u, json_string_value(content), json_string_length(content));
        if (!m && !a->streamed)
            ok = fail(a, "The chat endpoint's answer holds no message");
    } else if (!a->streamed || (!usage && !json_is_array(choices) && !json_object_get(top, "object"))) {
        ok = fail(a, "The chat endpoint's answer holds no message");
    }
    json_decref(top);
    return ok && !a->failed;
}

static bool dispatch(struct chat_answer *a)
{
    bool ok = true;
    if (!a->has_data)
        return true;
    if (a->event.len == 6 && memcmp(a->event.data, "[DONE]", 6) == 0)
        a->done = true;
    else if (a->event.len)
        ok = take(a, a->event.data, a->event.len, "delta");
    buf_reset(&a->event);
    a->has_data = false;
    return ok && !a->done;
}

static bool line(struct chat_answer *a, const uint8_t *p, size_t n)
{
    if (n == 0)
        return dispatch(a);
    if (n < 5 || memcmp(p, "data:", 5) != 0)
        return true; // comments and the other fields
    p += 5;
    n -= 5;
    if (n && *p == ' ') {
        p++;
        n--;
    }
    if (a->has_data)
        buf_putc(&a->event, '\n');
    a->has_data = true;
    buf_put(&a->event, p, n);
    if (a->event.err)
        return fail(a, "The chat endpoint sent an event that is too large");
    return true;
}

// Lines end with LF, CR LF or CR.
static bool feed_stream(struct chat_answer *a, const uint8_t *p, size_t n)
{
    while (n) {
        size_t k = 0;
        if (a->after_cr && *p == '\n') {
            a->after_cr = false;
            p++;
            n--;
            continue;
        }
        a->after_cr = false;
        while (k < n && p[k] != '\n' && p[k] != '\r')
            k++;
        if (a->line.len + k > CHAT_EVENT_MAX)
            return fail(a, "The chat endpoint sent a line that is too long");
        buf_put(&a->line, p, k);
        if (a->line.err)
            return fail(a, "Out of memory");
        if (k == n)
            return true;
        a->after_cr = p[k] == '\r';
        if (!line(a, a->line.data, a->line.len))
            return false;
        buf_reset(&a->line);
        p += k + 1;
        n -= k + 1;
    }
    return true;
}

// A whole answer begins with a brace; a stream never does.
static bool find_kind(struct chat_answer *a, const uint8_t **p, size_t *n)
{
    static const uint8_t bom[] = { 0xef, 0xbb, 0xbf };
    while (*n && (**p == ' ' || **p == '\t' || **p == '\n' || **p == '\r' || memchr(bom, **p, sizeof bom))) {
        (*p)++;
        (*n)--;
    }
    if (*n == 0)
        return false;
    a->known = true;
    a->streamed = **p != '{';
    return true;
}

bool chat_answer_feed(struct chat_answer *a, const uint8_t *p, size_t n)
{
    if (a->failed || a->done)
        return false;
    if (n > CHAT_ANSWER_MAX - a->received)
        return fail(a, "The chat endpoint's answer is larger than 16 MiB");
    a->received += n;
    if (!a->known && !find_kind(a, &p, &n))
        return true;
    if (a->streamed)
        return feed_stream(a, p, n);
    buf_put(&a->line, p, n);
    return a->line.err ? fail(a, "Out of memory") : true;
}

bool chat_answer_end(struct chat_answer *a)
{
    if (a->failed)
        return false;
    if (a->done)
        return true;
    if (!a->known)
        return fail(a, "The chat endpoint's answer was empty");
    if (!a->streamed)
        return take(a, a->line.data, a->line.len, "message");
    if ((a->line.len && !line(a, a->line.data, a->line.len)) || !dispatch(a)) { // a last line without its end
        if (!a->done)
            return false;
    }
    if (a->done || a->finished)
        return true;
    return fail(a, "The chat endpoint broke off before its answer was whole");
}
