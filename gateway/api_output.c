// Text, happy path: a page of the stored output is asked for; the first one begins the answer; its pieces are sent; when the
// queue of the socket has room the next page is asked for; the last ends it. At most a page and the queue are in memory.
//
// Followed: the same pages as frames, and then whoever speaks first: a live piece that begins where we stand is sent at once,
// a row or the second's tick asks the store again. The store decides: what came live is skipped in its pages by offset. When
// the session has ended and all is sent, the session's end is asked for and told, and the answer ends. A character that
// is cut between two pieces waits for its rest (`part`).
//
// Ways off it: the client goes away: gone() before the answer began, closed() after. The broker is away: text is answered 503,
// or broken off without its last chunk; a follower is held with heartbeats and goes on where it stood - also one whose
// credential could not be looked up yet, or that came too often: it is tried again each second (`held`).
#include "api_output.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ask.h"
#include "buf.h"
#include "clock.h"
#include "cred.h"
#include "crypto.h"
#include "frame.h"
#include "gateway.h"
#include "hub.h"
#include "names.h"
#include "query.h"
#include "routes.h"
#include "stream_query.h"

enum {
    PAGE_TEXT = 256 * 1024,
    PAGE_FOLLOW = 64 * 1024,   // becomes up to six times that, as JSON
    QUEUE_MAX = 256 * 1024,
    POLL_S = 5,                // the store is asked at least this often while a session runs
    PART_MAX = 4,              // octets of a character
};
#define OFFSET_MAX ((uint64_t)1 << 62)

struct output {
    struct exchange_stream stream;
    struct exchange *x;
    struct ask_call ask;
    struct hub_tap tap;
    uint64_t task, session;    // session: 0 until known
    uint64_t at;               // offset of the next octet wanted
    uint64_t from;             // to ask the store for
    uint64_t sent_s;           // when something was last sent (followed)
    unsigned only;             // enum stream; 0: both
    unsigned quiet_s;          // since the store was last asked
    uint8_t part[PART_MAX];    // of a character: the octets before `at`
    unsigned part_n, part_stream;
    bool follow, begun, asking, full, again, paged, missed, ended;
    bool held, looking;        // not admitted yet; its credential is being looked up
    struct cred_call cred;
    size_t key_n;
    char key[API_KEY_MAX];     // while held
};

static void ask_page(struct output *o);
static void ask_end(struct output *o);

// ---------------------------------------------------------------- beginning, ending

static void done(struct output *o)
{
    if (o->looking)
        cred_cancel(&o->cred);
    crypto_wipe(o->key, sizeof o->key);
    if (o->asking)
        ask_cancel(&o->ask);
    if (o->follow)
        hub_tap_close(&o->tap);
    free(o);
}

static void closed_cb(struct exchange_stream *s)
{
    done(container_of(s, struct output, stream));
}

static void gone_cb(struct exchange *x)
{
    done(x->u);
}

static void finish(struct output *o)
{
    struct exchange *x = o->x;

    done(o);
    exchange_end(x);
}

static void break_off(struct output *o)
{
    struct exchange *x = o->x;

    done(o);
    exchange_abort(x);
}

static void refuse(struct output *o, enum err e, const Wire__Answer *a)
{
    struct exchange *x = o->x;

    x->gone = NULL;
    exchange_error(x, e, a && a->field && *a->field ? a->field : NULL, a && a->text && *a->text ? a->text : NULL);
    done(o);
}

static void go_on(struct output *o)
{
    if (o->asking || o->full || o->held)
        return;
    if (o->ended)
        ask_end(o);
    else
        ask_page(o);
}

static void writable_cb(struct exchange_stream *s)
{
    struct output *o = container_of(s, struct output, stream);

    o->full = false;
    go_on(o);
}

static void put(struct output *o, const void *data, size_t n)
{
    if (exchange_send(o->x, data, n) > QUEUE_MAX)
        o->full = true;
    o->sent_s = clock_mono_ms() / 1000;
}

static void begin(struct output *o)
{
    struct exchange *x = o->x;
    char hello[HUB_HELLO_MAX];

    o->begun = true;
    o->stream = (struct exchange_stream){ .writable = writable_cb, .closed = closed_cb };
    x->gone = NULL;
    if (o->follow) {
        exchange_add(x, "Cache-Control", "no-store");
        exchange_add(x, "X-Accel-Buffering", "no");
        exchange_begin(x, 200, "text/event-stream", &o->stream);
        put(o, hello, hub_hello(hello, NULL));
    } else {
        exchange_begin(x, 200, "text/plain; charset=utf-8", &o->stream);
    }
}

// ---------------------------------------------------------------- text

static void hole(struct output *o, uint64_t to)
{
    char line[80];
    int n = snprintf(line, sizeof line, "\n[... %llu bytes left out ...]\n", (unsigned long long)(to - o->at));

    if (n > 0)
        put(o, line, (size_t)n);
    o->at = to;
}

static void text_piece(struct output *o, const Wire__OutputPiece *p, const uint8_t *data, size_t n)
{
    if (p->offset > o->at)
        hole(o, p->offset);
    if (!o->only || p->stream == o->only)
        put(o, data, n);
    o->at += n;
}

static void text_page(struct output *o, const Wire__OutputPage *p)
{
    if (p->more) {
        if (p->next <= o->from) { // a broker that does not get on would keep us for ever
            break_off(o);
            return;
        }
        o->from = p->next;
        go_on(o);
        return;
    }
    if (p->ended && p->total > o->at)
        hole(o, p->total);
    finish(o);
}

// ---------------------------------------------------------------- frames

static struct buf scratch; // one frame at a time; all of this runs on the loop's thread

static void send_frame(struct output *o)
{
    if (scratch.err == ERR_OK)
        put(o, scratch.data, scratch.len);
}

static void frame(struct output *o, uint64_t offset, unsigned stream, const uint8_t *data, size_t n)
{
    struct frame_output f = { .task = o->task, .session = o->session, .offset = offset, .stream = stream, .data = data, .n = n };
    uint64_t next = offset + n;

    buf_reset(&scratch);
    frame_output(&scratch, &f, &next);
    send_frame(o);
}

// The rest of the character will not come: it is shown as it is.
static void part_out(struct output *o)
{
    if (o->part_n)
        frame(o, o->at - o->part_n, o->part_stream, o->part, o->part_n);
    o->part_n = 0;
}

static void frames(struct output *o, uint64_t offset, unsigned stream, const uint8_t *data, size_t n)
{
    if (o->part_n && (offset != o->at || stream != o->part_stream))
        part_out(o);
    o->at = offset;
    while (o->part_n && n) { // octet by octet until the character is whole, or cannot become it
        o->part[o->part_n++] = *data++;
        n--;
        o->at++;
        if (o->part_n == PART_MAX || frame_output_rest(o->part, o->part_n) != o->part_n)
            part_out(o);
    }
    size_t rest = frame_output_rest(data, n), whole = n - rest;
    while (whole) {
        size_t k = frame_output_fit(data, whole);
        frame(o, o->at, stream, data, k);
        data += k;
        whole -= k;
        o->at += k;
    }
    if (rest) {
        memcpy(o->part, data, rest);
        o->part_n = (unsigned)rest;
        o->part_stream = stream;
        o->at += rest;
    }
}

static void frame_piece(struct output *o, uint64_t offset, unsigned stream, const uint8_t *data, size_t n)
{
    if (!o->only || stream == o->only) {
        frames(o, offset, stream, data, n);
    } else {
        part_out(o);
        o->at = offset + n;
    }
}

static void end_cb(struct ask_call *c, enum err e, const Wire__Answer *a, uint64_t newest)
{
    struct output *o = container_of(c, struct output, ask);
    (void)newest;

    o->asking = false;
    if (e == ERR_NOT_FOUND) { // the task was deleted meanwhile
        finish(o);
        return;
    }
    if (e || !a || a->body_case != WIRE__ANSWER__BODY_SESSION)
        return; // the tick tries again
    const Wire__Session *s = a->session;
    buf_reset(&scratch);
    frame_output_end(&scratch, o->task, o->session, s->status, s->has_exit ? &s->exit_code : NULL);
    send_frame(o);
    finish(o);
}

static void ask_end(struct output *o)
{
    Wire__Target t = WIRE__TARGET__INIT;
    Wire__Item item = WIRE__ITEM__INIT;

    t.id = o->session;
    item.body_case = WIRE__ITEM__BODY_SESSION_GET;
    item.session_get = &t;
    o->ask.cb = end_cb;
    o->asking = true;
    ask_send(o->x->gw->ask, &o->ask, &o->x->actor, &item);
}

static void frame_page(struct output *o, const Wire__OutputPage *p)
{
    bool got_on = o->at > o->from;

    o->paged = true;
    o->from = o->at;
    if (p->more && (got_on || p->next > o->from)) {
        if (p->next > o->from)
            o->from = p->next;
        go_on(o);
    } else if (p->ended && !p->more) {
        part_out(o);
        o->ended = true;
        go_on(o);
    } else if (o->again) {
        o->again = false;
        go_on(o);
    }
}

// ---------------------------------------------------------------- the store

static void failed(struct output *o, enum err e, const Wire__Answer *a)
{
    bool away = e == ERR_UNAVAILABLE || e == ERR_OUTCOME_UNKNOWN || e == ERR_OVERLOADED || e == ERR_TIMEOUT;

    o->missed = true;
    if (!o->follow) {
        if (o->begun)
            break_off(o);
        else
            refuse(o, e, a);
    } else if (!o->begun) {
        if (away)
            begin(o); // held: a stream is never refused for that
        else
            refuse(o, e, a);
    } else if (!away) {
        finish(o); // it is no more
    }
}

static void page_cb(struct ask_call *c, enum err e, const Wire__Answer *a, uint64_t newest)
{
    struct output *o = container_of(c, struct output, ask);

    o->asking = false;
    if (e || !a || a->body_case != WIRE__ANSWER__BODY_OUTPUT_PAGE) {
        failed(o, e ? e : ERR_INTERNAL, a);
        return;
    }
    const Wire__OutputPage *p = a->output_page;
    // What came live before we could hear it comes into the store only after that: once more, a second later.
    bool unheard = !o->paged || o->session != p->session;
    if (!o->begun) {
        o->x->sequence = o->follow ? 0 : newest;
        begin(o);
    }
    if (o->x->method == METHOD_HEAD)
        return; // closed() follows
    o->session = o->tap.session = p->session;
    for (size_t i = 0; i < p->n_pieces; i++) {
        const Wire__OutputPiece *piece = p->pieces[i];
        uint64_t skip = piece->offset < o->at ? o->at - piece->offset : 0;
        if (skip >= piece->data.len)
            continue;
        if (o->follow)
            frame_piece(o, piece->offset + skip, piece->stream, piece->data.data + skip, piece->data.len - (size_t)skip);
        else
            text_piece(o, piece, piece->data.data + skip, piece->data.len - (size_t)skip);
    }
    if (!o->follow) {
        text_page(o, p);
        return;
    }
    o->missed = o->missed || unheard;
    frame_page(o, p);
}

static void ask_page(struct output *o)
{
    Wire__OutputRead m = WIRE__OUTPUT_READ__INIT;
    Wire__Item item = WIRE__ITEM__INIT;

    m.task = o->task;
    m.session = o->session;
    m.offset = o->from;
    m.stream = 0; // both, also for one: only so a hole can be told from the other stream's octets
    m.bytes_max = o->follow ? PAGE_FOLLOW : PAGE_TEXT;
    item.body_case = WIRE__ITEM__BODY_OUTPUT_READ;
    item.output_read = &m;
    o->quiet_s = 0;
    o->missed = false;
    o->ask.cb = page_cb;
    o->asking = true;
    ask_send(o->x->gw->ask, &o->ask, &o->x->actor, &item);
}

// ---------------------------------------------------------------- what wakes a follower

static void output_cb(struct hub_tap *t, const Wire__LiveOutput *live)
{
    struct output *o = container_of(t, struct output, tap);

    if (!o->paged || o->full || o->ended || live->offset > o->at) {
        o->missed = true; // the store will have it
        return;
    }
    uint64_t skip = o->at - live->offset;
    if (skip < live->data.len)
        frame_piece(o, live->offset + skip, live->stream, live->data.data + skip, live->data.len - (size_t)skip);
    if (!o->asking)
        o->from = o->at;
}

static void row_cb(struct hub_tap *t)
{
    struct output *o = container_of(t, struct output, tap);

    if (o->asking)
        o->again = true;
    else
        go_on(o);
}

static void drain_cb(struct hub_tap *t)
{
    struct output *o = container_of(t, struct output, tap);

    if (!o->begun)
        begin(o); // it comes back to another gateway
    finish(o);
}

// May end it: o may be gone when this returns.
static void found_cb(struct cred_call *c, enum err e, const struct actor *actor)
{
    struct output *o = container_of(c, struct output, cred);

    o->looking = false;
    if (e == ERR_UNAUTHORIZED) {
        finish(o);
        return;
    }
    if (e)
        return; // held, and tried again
    o->x->actor = *actor;
    if (!routes_quota(o->x, 1)) {
        o->x->actor.key = 0;
        return;
    }
    o->held = false;
    crypto_wipe(o->key, sizeof o->key);
    go_on(o);
}

static void look(struct output *o)
{
    o->looking = true;
    o->cred.cb = found_cb;
    list_init(&o->cred.at);
    cred_find(o->x->gw->cred, &o->cred, (struct text){ o->key, o->key_n });
}

static void tick_cb(struct hub_tap *t)
{
    struct output *o = container_of(t, struct output, tap);
    char text[HUB_HELLO_MAX];

    if (!o->begun) {
        begin(o);
        return;
    }
    if (clock_mono_ms() / 1000 - o->sent_s >= HUB_HEARTBEAT_S) {
        uint64_t next = o->at - o->part_n;
        put(o, text, hub_heartbeat(text, &next));
    }
    if (o->held && !o->looking)
        look(o);
    else if (++o->quiet_s >= POLL_S || o->missed || !o->session || o->ended)
        go_on(o);
}

// ---------------------------------------------------------------- the question

bool api_output_follows(const struct exchange *x)
{
    static const char type[] = "text/event-stream";
    struct text h = exchange_header(x, "accept", NULL);

    return h.p && memmem(h.p, h.n, type, sizeof type - 1);
}

// The parameter at fault, or NULL. *missing: there can be no such session.
static const char *read_query(struct output *o, bool *missing)
{
    char value[QUERY_VALUE_MAX];
    struct text t;
    unsigned ids = 0;
    bool has_last = false;
    uint64_t last = 0;
    struct text id = exchange_header(o->x, "last-event-id", &ids);

    *missing = false;
    if (query_get(o->x->query, "session", value, sizeof value, &t) || (t.p && !t.n))
        return "session";
    if (t.p && !(o->session = id_parse(ENTITY_SESSION, value)))
        *missing = true;
    if (query_get(o->x->query, "offset", value, sizeof value, &t) || (t.p && !query_number(t, 0, OFFSET_MAX, &o->at)))
        return "offset";
    if (query_get(o->x->query, "stream", value, sizeof value, &t) || (t.p && !(o->only = stream_find(value))))
        return "stream";
    if (!o->follow)
        return NULL;
    if (ids > 1)
        return "Last-Event-ID";
    if (stream_query_last(o->x->query, id, &has_last, &last))
        return "lastEventId";
    if (has_last)
        o->at = last < OFFSET_MAX ? last : OFFSET_MAX;
    return NULL;
}

// Reads the question and stands ready; NULL: it has been answered.
static struct output *open_output(struct exchange *x, uint64_t task)
{
    struct output *o = calloc(1, sizeof *o);
    bool missing;

    if (!o) {
        exchange_error(x, ERR_NO_MEMORY, NULL, NULL);
        return NULL;
    }
    o->x = x;
    o->task = task;
    o->follow = api_output_follows(x);
    const char *fault = read_query(o, &missing);
    if (fault || missing) {
        exchange_error(x, fault ? ERR_INVALID_FIELD : ERR_NOT_FOUND, fault, stream_query_text(fault));
        free(o);
        return NULL;
    }
    o->from = o->at;
    x->u = o;
    x->gone = gone_cb;
    o->sent_s = clock_mono_ms() / 1000;
    if (o->follow) {
        if (!scratch.max)
            buf_init(&scratch, FRAME_MAX);
        o->tap = (struct hub_tap){ .task = task, .session = o->session, .output = output_cb, .row = row_cb, .tick = tick_cb,
                                   .drain = drain_cb, .actor = &x->actor };
        list_init(&o->tap.at);
        hub_tap_open(x->gw->hub, &o->tap);
    }
    return o;
}

void api_output(struct exchange *x, uint64_t task)
{
    struct output *o = open_output(x, task);

    if (o)
        ask_page(o);
}

void api_output_held(struct exchange *x, uint64_t task, struct text key)
{
    struct output *o = key.n <= API_KEY_MAX ? open_output(x, task) : NULL;

    if (!o)
        return;
    memcpy(o->key, key.p, key.n);
    o->key_n = key.n;
    o->held = true;
    begin(o); // at the next tick it is looked up
}
