// Happy path: connect, events, until one is enough. The connection ends or breaks, or cannot be made again once it was there: wait,
// longer each time, and come back. A first connection that cannot be made, and an answer that is no stream, end it with a sentence.
#include "follow.h"
#include <string.h>
#include "crypto.h"
#include "term.h"

enum { WAIT_MIN_MS = 1000, WAIT_MAX_MS = 30000 };

static bool event_cb(void *u, const char *data, size_t n, const char *id)
{
    struct follow *f = u;
    char why[200];
    json_t *o = NULL;

    (void)id;
    if (json_in_parse(data, n, &o, why, sizeof why) != ERR_OK)
        return true; // not ours: passed over, as an event of a type we do not know
    f->enough = !f->event(f->u, o, data, n);
    json_decref(o);
    return !f->enough;
}

static bool data_cb(void *u, const uint8_t *p, size_t n)
{
    struct follow *f = u;

    if (!f->alive && f->opened)
        f->opened(f->u);
    f->alive = true;
    enum err e = sse_feed(&f->sse, p, n, event_cb, f);
    f->broken = e && e != ERR_CLOSED;
    return e == ERR_OK;
}

// Full jitter above the least: many clients do not come back together.
static uint64_t wait_ms(unsigned tries, uint64_t asked_ms)
{
    uint64_t least = asked_ms > WAIT_MIN_MS && asked_ms < WAIT_MAX_MS ? asked_ms : WAIT_MIN_MS;
    uint64_t most = least << (tries < 5 ? tries : 5);
    uint32_t r;

    crypto_random(&r, sizeof r);
    most = most < WAIT_MAX_MS ? most : WAIT_MAX_MS;
    return least + r % (most - least + 1);
}

static int once(struct follow *f, struct client_answer *a)
{
    const struct client_req r = { .path = f->path, .accept = "text/event-stream", .last_id = f->sse.last[0] ? f->sse.last : NULL,
                                  .stream = true, .data = data_cb, .u = f };

    sse_restart(&f->sse);
    f->alive = f->enough = f->broken = false;
    return client_do(f->client, &r, a);
}

static bool for_good(const struct client_answer *a)
{
    return !a->err && a->status != 200 && a->status != 429 && a->status < 500;
}

static int come_back(struct follow *f, struct client_answer *a, bool ever)
{
    bool quiet = f->client->quiet;

    for (unsigned tries = 0;; tries++) {
        f->client->quiet = ever || quiet;
        int code = once(f, a);
        f->client->quiet = quiet;
        if (f->client->interrupted)
            return EXIT_INTERRUPTED;
        if (f->enough)
            return EXIT_OK;
        if (!ever && !f->alive && code)
            return code;
        if (for_good(a)) {
            if (ever && !quiet)
                client_complain(f->client, &(struct client_req){ .path = f->path }, a);
            return code ? code : EXIT_FAILED;
        }
        tries = f->alive ? 0 : tries;
        ever = true;
        term_say("reconnecting%s%s", a->err && a->text[0] ? ": " : "", a->err ? a->text : "");
        if (!client_pause(f->client, wait_ms(tries, f->sse.retry_ms)))
            return EXIT_INTERRUPTED;
    }
}

int follow_run(struct follow *f)
{
    struct client_answer a;

    client_answer_init(&a);
    sse_init(&f->sse);
    if (f->from && strlen(f->from) < sizeof f->sse.last)
        memcpy(f->sse.last, f->from, strlen(f->from) + 1);
    int code = come_back(f, &a, false);
    sse_fini(&f->sse);
    client_answer_fini(&a);
    return code;
}
