// Happy path: fetch_start, the loop until done_cb, a 2xx. What failed is tried again for PATIENCE_MS while that cannot do a thing twice:
// after 429 and 503, where nothing was done; and after a lost answer (also 503 OUTCOME_UNKNOWN) where a repeat leads to the same state:
// GET, PUT, PATCH, DELETE, and what has an Idempotency-Key. Every other lost answer is explained.
#include "client.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "command.h"
#include "crypto.h"
#include "json_in.h"
#include "term.h"

enum { CONNECT_MS = 10000, STALL_S = 60, STREAM_STALL_S = 90, PATIENCE_MS = 15000, PAUSE_MS = 500, LINES_MAX = 6, LINE_MAX_ = 600,
       ERROR_MAX = 256 * 1024 };

static struct client *the_client; // of the signal's handler

// ---------------------------------------------------------------- one try

static void header_cb(void *u, const char *line, size_t n)
{
    struct client *c = u;
    head_line(&c->answer->head, line, n);
}

static bool data_cb(void *u, unsigned status, const uint8_t *p, size_t n)
{
    struct client *c = u;
    struct client_answer *a = c->answer;

    if (status == 200 && c->req->data) {
        c->delivered = true;
        return c->req->data(c->req->u, p, n);
    }
    if (status >= 300 && a->body.len + n > ERROR_MAX)
        return true; // an error's text is short; more of it is not kept
    buf_put(&a->body, p, n);
    return !a->body.err;
}

static void done_cb(void *u, const struct fetch_result *r)
{
    struct client *c = u;
    struct client_answer *a = c->answer;

    c->fetch = NULL;
    c->done = true;
    uv_stop(&c->loop); // from a timer's turn the loop would go on to wait for what does not come
    a->err = a->body.err ? a->body.err : r->err;
    a->status = r->status;
    a->connected = r->connected;
    if (a->err && a->err != ERR_CLOSED)
        snprintf(a->text, sizeof a->text, "%s", r->err == ERR_TIMEOUT ? "it took too long" : r->text[0] ? r->text : err_text(a->err));
}

static void origin(char out[LINE_MAX_], const char *url)
{
    const char *host = strstr(url, "://") + 3;
    size_t n = strcspn(host, "/");

    snprintf(out, LINE_MAX_, "Origin: %.*s", (int)((size_t)(host - url) + n), url);
}

static void lines_of(const struct client *c, const struct client_req *r, char text[LINES_MAX][LINE_MAX_], const char *ret[LINES_MAX + 1])
{
    unsigned n = 0;

    if (r->idempotency)
        snprintf(text[n++], LINE_MAX_, "Idempotency-Key: %s", r->idempotency);
    if (r->last_id)
        snprintf(text[n++], LINE_MAX_, "Last-Event-ID: %s", r->last_id);
    if (c->keyring.cookie[0] && !c->keyring.key[0] && !r->bare)
        snprintf(text[n++], LINE_MAX_, "Cookie: %s", c->keyring.cookie);
    if (r->method)
        origin(text[n++], c->keyring.url);
    for (unsigned i = 0; i < n; i++)
        ret[i] = text[i];
    ret[n] = NULL;
}

static void run_loop(struct client *c, const bool *until)
{
    while (!*until && !c->interrupted)
        uv_run(&c->loop, UV_RUN_ONCE);
}

static void one(struct client *c, const struct client_req *r, struct client_answer *a)
{
    char url[KEYRING_URL_MAX + CLIENT_LINK_MAX], text[LINES_MAX][LINE_MAX_];
    const char *lines[LINES_MAX + 1];
    const struct client_req *outer = c->req;
    struct client_answer *outer_answer = c->answer;

    snprintf(url, sizeof url, "%s%s", c->keyring.url, r->path);
    lines_of(c, r, text, lines);
    c->req = r;
    c->answer = a;
    c->done = c->delivered = false;
    const struct fetch_req f = {
        .url = url, .bearer = r->bare ? NULL : c->keyring.key, .method = r->method, .body = r->body, .body_n = r->body_n, .headers = lines,
        .ca_file = c->ca_file, .accept = r->accept ? r->accept : "application/json", .connect_ms = CONNECT_MS,
        .stall_s = r->stream ? STREAM_STALL_S : STALL_S, .header = header_cb, .data = data_cb, .done = done_cb, .u = c,
    };
    a->err = fetch_start(&f, &c->fetch);
    crypto_wipe(text, sizeof text);
    if (a->err) {
        snprintf(a->text, sizeof a->text, "%s", a->err == ERR_INVALID_FIELD ? "this is no address" : err_text(a->err));
    } else {
        run_loop(c, &c->done);
        if (!c->done) {
            fetch_cancel(c->fetch);
            a->err = ERR_CLOSED;
        }
    }
    c->fetch = NULL;
    c->req = outer;
    c->answer = outer_answer;
}

// ---------------------------------------------------------------- what went wrong

static void copy(const json_t *o, const char *key, char *out, size_t size)
{
    const char *s = NULL;

    if (json_in_str(o, key, &s, NULL) == ERR_OK && s)
        snprintf(out, size, "%s", s);
}

static void read_error(struct client_answer *a)
{
    char why[200];
    json_t *o = NULL;

    a->code[0] = a->field[0] = a->text[0] = 0;
    if (json_in_parse(a->body.len ? a->body.data : (const uint8_t *)"", a->body.len, &o, why, sizeof why) == ERR_OK) {
        copy(o, "code", a->code, sizeof a->code);
        copy(o, "field", a->field, sizeof a->field);
        copy(o, "error", a->text, sizeof a->text);
        json_decref(o);
    }
    if (!a->text[0])
        snprintf(a->text, sizeof a->text, "the answer has status %u and says no more", a->status);
}

static int exit_of(const struct client_answer *a)
{
    if (a->err)
        return EXIT_AWAY;
    switch (a->status) {
    case 404: return EXIT_NOT_FOUND;
    case 401: case 403: return EXIT_REFUSED;
    case 409: return EXIT_STATE;
    case 429: case 502: case 503: case 504: return EXIT_AWAY;
    default: return EXIT_FAILED;
    }
}

static bool lost(const struct client_answer *a)
{
    return a->err ? a->connected : a->status == 503 && strcmp(a->code, "OUTCOME_UNKNOWN") == 0;
}

static bool repeatable(const struct client_req *r)
{
    return !r->method || r->idempotency || strcmp(r->method, "POST") != 0;
}

// The option that the server knows as that member or parameter; NULL: it is none.
static const struct option *option_of(const struct command *c, const char *field)
{
    const struct option *o = NULL;

    for (unsigned n = 0; c && (o = command_option(c, n)); n++)
        if (o->to && strcmp(*o->to == '?' ? o->to + 1 : o->to, field) == 0)
            break;
    return o;
}

void client_complain(const struct client *c, const struct client_req *r, const struct client_answer *a)
{
    const struct option *o = option_of(c->command, a->field);

    if (a->err && !a->connected)
        term_say("cannot reach %s: %s (--url or MC_URL says where to ask)", c->keyring.url, a->text);
    else if (lost(a) && !repeatable(r))
        term_say("the answer was lost (%s): it may or may not have been done; look before you repeat it", a->text);
    else if (a->err)
        term_say("the connection to %s broke: %s", c->keyring.url, a->text);
    else if (a->status == 401 && !c->keyring.key[0] && !c->keyring.cookie[0])
        term_say("%s (%s): no key was found; --key-file, MC_KEY_FILE or mcctl login gives one", a->text, a->code);
    else if (a->status == 401 && !r->bare)
        term_say("%s (%s): %s is not taken", a->text, a->code, c->keyring.from);
    else if (o)
        term_say("%s (%s, --%s; try mcctl %s --help)", a->text, a->code, o->name, c->command->words);
    else if (a->field[0])
        term_say("%s (%s, field %s)", a->text, a->code, a->field);
    else if (a->code[0])
        term_say("%s (%s)", a->text, a->code);
    else
        term_say("%s", a->text);
}

// Whether to try again, and after how long.
static bool again(const struct client *c, const struct client_req *r, const struct client_answer *a, uint64_t left_ms, unsigned tries,
                  uint64_t *ret_ms)
{
    bool refused = !a->err && (a->status == 429 || a->status == 503) && strcmp(a->code, "LOGIN_THROTTLED") != 0;

    if (c->delivered || c->interrupted || r->stream || a->err == ERR_CLOSED || a->err == ERR_NO_MEMORY || a->err == ERR_TOO_BIG)
        return false;
    if (lost(a) ? !repeatable(r) : !refused)
        return false;
    *ret_ms = a->head.retry_after_s ? a->head.retry_after_s * 1000 : (uint64_t)PAUSE_MS << (tries < 4 ? tries : 4);
    return *ret_ms <= left_ms;
}

static void answer_reset(struct client_answer *a)
{
    struct buf body = a->body;

    buf_reset(&body);
    *a = (struct client_answer){ .body = body };
    head_init(&a->head);
}

int client_do(struct client *c, const struct client_req *r, struct client_answer *a)
{
    uint64_t until = clock_mono_ms() + PATIENCE_MS, pause_ms, now;
    bool repeated = false;

    for (unsigned tries = 0;; tries++) {
        answer_reset(a);
        one(c, r, a);
        if (a->err == ERR_OK && a->status >= 200 && a->status < 300)
            return EXIT_OK;
        if (a->err == ERR_OK)
            read_error(a);
        if (repeated && a->status == 404 && r->method && strcmp(r->method, "DELETE") == 0)
            return EXIT_OK; // the try whose answer was lost did it
        now = clock_mono_ms();
        if (!again(c, r, a, until > now ? until - now : 0, tries, &pause_ms))
            break;
        repeated = repeated || lost(a);
        term_progress(a->text);
        bool on = client_pause(c, pause_ms);
        term_progress(NULL);
        if (!on)
            break;
    }
    if (a->err == ERR_CLOSED)
        return c->interrupted ? EXIT_INTERRUPTED : EXIT_OK;
    if (!c->quiet)
        client_complain(c, r, a);
    return exit_of(a);
}

// ---------------------------------------------------------------- waiting, Ctrl-C

static void timer_cb(uv_timer_t *t)
{
    struct client *c = t->data;
    c->fired = true;
    uv_stop(&c->loop);
}

bool client_pause(struct client *c, uint64_t ms)
{
    c->fired = false;
    if (uv_timer_start(&c->timer, timer_cb, ms, 0))
        return false;
    run_loop(c, &c->fired);
    uv_timer_stop(&c->timer);
    return !c->interrupted;
}

static void wake_cb(uv_async_t *h)
{
    struct client *c = h->data;
    c->interrupted = true;
    uv_stop(&c->loop);
}

static void interrupt_cb(void)
{
    uv_async_send(&the_client->wake);
}

void client_hold_interrupt(struct client *c)
{
    the_client = c;
    term_on_interrupt(interrupt_cb);
}

// ---------------------------------------------------------------- beginning, ending

void client_answer_init(struct client_answer *a)
{
    *a = (struct client_answer){ .err = ERR_OK };
    head_init(&a->head);
    buf_init(&a->body, CLIENT_BODY_MAX);
}

void client_answer_fini(struct client_answer *a)
{
    if (a->body.data)
        crypto_wipe(a->body.data, a->body.cap); // it may have held a key
    buf_fini(&a->body);
    crypto_wipe(a->head.cookie, sizeof a->head.cookie);
}

bool client_open(struct client *c, const char *url, const char *key_file, const char *ca_file, int *ret_status)
{
    const char *from_env = getenv("MC_CA_FILE");

    *c = (struct client){ .ca_file = ca_file ? ca_file : from_env && *from_env ? from_env : NULL };
    *ret_status = EXIT_USAGE;
    if (!keyring_open(&c->keyring, url, key_file))
        return false;
    *ret_status = EXIT_FAILED;
    if (uv_loop_init(&c->loop) || uv_timer_init(&c->loop, &c->timer) || uv_async_init(&c->loop, &c->wake, wake_cb) ||
        fetch_init(&c->loop) != ERR_OK) {
        term_say("out of memory");
        return false;
    }
    c->timer.data = c->wake.data = c;
    return true;
}

void client_close(struct client *c)
{
    keyring_close(&c->keyring); // the loop and curl end with the program
}

void client_idempotency(char out[CLIENT_IDEMPOTENCY_SIZE])
{
    uint8_t r[16];

    crypto_random(r, sizeof r);
    for (size_t i = 0; i < sizeof r; i++)
        snprintf(out + 2 * i, 3, "%02x", r[i]);
}
