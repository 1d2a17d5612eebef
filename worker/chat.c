#include "chat.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "crypto.h"
#include "fetch.h"

enum { REQUEST_MAX = 8 * 1024 * 1024, CONNECT_MS = 10000, ERROR_BODY_MAX = 8192, URL_MAX = 2200 };

struct chat {
    struct fetch *fetch;
    struct chat_answer answer;
    struct buf error_body; // of an answer that is an error
    bool (*text)(void *u, const char *s, size_t n);
    void (*done)(void *u, const struct chat_result *r);
    void *u;
    bool no_room;
};

bool chat_url(char *out, size_t size, const char *url, const char *path)
{
    size_t base = strcspn(url, "?"), end = base;
    while (end && url[end - 1] == '/')
        end--;
    return (size_t)snprintf(out, size, "%.*s%s%s", (int)end, url, path, url + base) < size;
}

static void text_cb(void *u, const char *s, size_t n)
{
    struct chat *c = u;
    if (!c->no_room && !c->text(c->u, s, n))
        c->no_room = true;
}

static bool data_cb(void *u, unsigned status, const uint8_t *p, size_t n)
{
    struct chat *c = u;
    if (status != 200) {
        if (c->error_body.len < ERROR_BODY_MAX)
            buf_put(&c->error_body, p, n < ERROR_BODY_MAX - c->error_body.len ? n : ERROR_BODY_MAX - c->error_body.len);
        return c->error_body.len < ERROR_BODY_MAX;
    }
    return chat_answer_feed(&c->answer, p, n) && !c->no_room;
}

static void release(struct chat *c)
{
    chat_answer_fini(&c->answer);
    buf_fini(&c->error_body);
    free(c);
}

static void done_cb(void *u, const struct fetch_result *f)
{
    struct chat *c = u;
    char text[CHAT_WHY_MAX + 64] = "";
    struct chat_result r = { .failure = FAILURE_AGENT_ERROR, .text = text };
    if (c->no_room) {
        snprintf(text, sizeof text, "The worker has no memory for the answer");
    } else if (c->answer.failed) {
        snprintf(text, sizeof text, "%s", c->answer.why);
    } else if (f->status && f->status != 200) {
        chat_error_text(text, sizeof text, f->status, c->error_body.data, c->error_body.len);
    } else if (c->answer.done) {
        r.failure = FAILURE_NONE; // the connection may end as it likes after [DONE]
    } else if (f->err == ERR_OK) {
        if (chat_answer_end(&c->answer))
            r.failure = FAILURE_NONE;
        else
            snprintf(text, sizeof text, "%s", c->answer.why);
    } else if (f->err == ERR_TIMEOUT) {
        r.failure = FAILURE_TIMEOUT;
        snprintf(text, sizeof text, "The chat endpoint was not done in time");
    } else if (f->status) {
        snprintf(text, sizeof text, "The chat endpoint broke off before its answer was whole: %s", f->text);
    } else {
        snprintf(text, sizeof text, "The chat endpoint cannot be reached: %s", f->text);
    }
    r.prompt_tokens = c->answer.prompt_tokens;
    r.completion_tokens = c->answer.completion_tokens;
    chat_clean(text, sizeof text, text, strlen(text));
    c->done(c->u, &r);
    release(c);
}

enum err chat_start(const struct chat_req *r, struct chat **ret)
{
    char url[URL_MAX];
    struct buf body;
    if (!chat_url(url, sizeof url, r->url, "/chat/completions"))
        return ERR_INVALID_FIELD;
    struct chat *c = calloc(1, sizeof *c);
    if (!c)
        return ERR_NO_MEMORY;
    c->text = r->text;
    c->done = r->done;
    c->u = r->u;
    chat_answer_init(&c->answer, text_cb, c);
    buf_init(&c->error_body, ERROR_BODY_MAX);
    buf_init(&body, REQUEST_MAX);
    chat_request(&body, r->model, r->system, r->prompt);
    enum err e = body.err;
    if (!e)
        e = fetch_start(&(struct fetch_req){ .url = url, .bearer = r->key, .body = (const char *)body.data, .body_n = body.len,
                                             .accept = "text/event-stream, application/json", .connect_ms = CONNECT_MS,
                                             .stall_s = r->stall_s, .data = data_cb, .done = done_cb, .u = c },
                        &c->fetch);
    buf_fini(&body);
    if (e) {
        release(c);
        return e;
    }
    *ret = c;
    return ERR_OK;
}

void chat_cancel(struct chat *c)
{
    if (!c)
        return;
    fetch_cancel(c->fetch);
    release(c);
}
