// links: gateway common uv protobuf-c sodium jansson
// Output as text and followed live, against a store in memory: whatever comes by the bus, by pages, twice or too early, the
// client gets each octet once, in order.
#include "fake_gateway.h"
#include "api_output.h"

static struct hub *hub;

// ---------------------------------------------------------------- the store

enum { PIECES = 64 };
static struct {
    struct {
        uint64_t offset;
        unsigned stream;
        char data[70000];
        size_t n;
    } piece[PIECES];
    unsigned n;
    uint64_t session, total;   // session 0: none yet
    bool ended, no_task;
    size_t page;               // pieces in a page
    unsigned reads, gets;
} store;

static void keep(uint64_t offset, unsigned stream, const char *data, size_t n)
{
    store.piece[store.n].offset = offset;
    store.piece[store.n].stream = stream;
    memcpy(store.piece[store.n].data, data, n);
    store.piece[store.n++].n = n;
    if (store.total < offset + n)
        store.total = offset + n;
}

static void keep_text(uint64_t offset, unsigned stream, const char *text)
{
    keep(offset, stream, text, strlen(text));
}

static enum err answer_other(const Wire__Item *item, Wire__Answer *a)
{
    static Wire__OutputPage page;
    static Wire__Session session;
    static Wire__OutputPiece pieces[PIECES], *list[PIECES];

    if (store.no_task)
        return ERR_NOT_FOUND;
    if (item->body_case == WIRE__ITEM__BODY_SESSION_GET) {
        store.gets++;
        session = (Wire__Session)WIRE__SESSION__INIT;
        session.id = store.session;
        session.status = SESSION_FAILED;
        session.has_exit = true;
        session.exit_code = 3;
        a->body_case = WIRE__ANSWER__BODY_SESSION;
        a->session = &session;
        return ERR_OK;
    }
    const Wire__OutputRead *r = item->output_read;
    assert_int_equal(item->body_case, WIRE__ITEM__BODY_OUTPUT_READ);
    assert_int_equal(r->stream, 0);
    if (r->session && r->session != store.session)
        return ERR_NOT_FOUND;
    store.reads++;
    page = (Wire__OutputPage)WIRE__OUTPUT_PAGE__INIT;
    page.session = store.session;
    page.total = store.total;
    page.ended = store.ended;
    page.status = store.ended ? SESSION_FAILED : SESSION_RUNNING;
    page.next = r->offset;
    page.pieces = list;
    for (unsigned i = 0; i < store.n; i++) { // as the broker: what holds the offset is cut, the rest is whole
        uint64_t offset = store.piece[i].offset;
        size_t skip = offset < r->offset ? (size_t)(r->offset - offset) : 0;
        if (skip >= store.piece[i].n)
            continue;
        if (page.n_pieces == store.page) {
            page.more = true;
            break;
        }
        page.next = offset + store.piece[i].n;
        pieces[i] = (Wire__OutputPiece)WIRE__OUTPUT_PIECE__INIT;
        pieces[i].offset = offset + skip;
        pieces[i].stream = store.piece[i].stream;
        pieces[i].data = (ProtobufCBinaryData){ store.piece[i].n - skip, (uint8_t *)store.piece[i].data + skip };
        list[page.n_pieces++] = &pieces[i];
    }
    a->body_case = WIRE__ANSWER__BODY_OUTPUT_PAGE;
    a->output_page = &page;
    return ERR_OK;
}

// ---------------------------------------------------------------- help

static void live(uint64_t offset, unsigned stream, const char *text, size_t n)
{
    Wire__Live m = WIRE__LIVE__INIT;
    Wire__LiveOutput o = WIRE__LIVE_OUTPUT__INIT, *os[1] = { &o };
    uint8_t packed[512];

    o.workspace = 1;
    o.task = 4;
    o.session = store.session;
    o.stream = stream;
    o.offset = offset;
    o.data = (ProtobufCBinaryData){ n, (uint8_t *)(uintptr_t)text };
    m.n_output = 1;
    m.output = os;
    hub_heard(hub, 'L', packed, wire__live__pack(&m, packed));
}

static void session_row(unsigned kind)
{
    Wire__Row r = WIRE__ROW__INIT;
    Wire__BusEvents m = WIRE__BUS_EVENTS__INIT;
    uint8_t packed[512], row[256];

    r.row = kind;
    r.workspace = 1;
    r.task = 4;
    r.entity = r.session = store.session;
    fake_commit(&r);
    ProtobufCBinaryData rows[1] = { { wire__row__pack(&r, row), row } };
    m.epoch = fake_log.epoch;
    m.first = m.last = r.number;
    m.n_rows = 1;
    m.rows = rows;
    hub_heard(hub, 'E', packed, wire__bus_events__pack(&m, packed));
}

static struct fake_exchange *ask_for(const char *query, const char *accept, const char *last_id)
{
    struct fake_exchange *f = fake_exchange_new(&fake_gw, "1:1", query, last_id);
    f->x.actor.workspace = 1;
    snprintf(f->accept, sizeof f->accept, "%s", accept ? accept : "");
    api_output(&f->x, 4);
    return f;
}

static void assert_text(struct fake_exchange *f, const char *want)
{
    fake_settle();
    assert_int_equal(f->status, 200);
    assert_string_equal(buf_cstr(&f->out), want);
}

// The frames' texts put together, each checked to begin where the last one ended or later; the ids; the end.
struct followed {
    char text[8192];
    size_t n;
    uint64_t next;             // offset after the last frame
    unsigned frames, ends, holes;
};

static void read_frames(struct fake_exchange *f, struct followed *r)
{
    const char *p = buf_cstr(&f->out), *stop;
    char why[100];

    memset(r, 0, sizeof *r);
    for (; (stop = strstr(p, "\n\n")); p = stop + 2) {
        const char *data = strstr(p, "data: ");
        if (!data || data > stop)
            continue;
        json_t *j;
        assert_int_equal(json_in_parse(data + 6, (size_t)(stop - data - 6), &j, why, sizeof why), ERR_OK);
        json_t *payload = json_object_get(j, "payload");
        if (strcmp(json_string_value(json_object_get(j, "type")), "task.output.end") == 0) {
            r->ends++;
            assert_string_equal(json_string_value(json_object_get(payload, "status")), "failed");
            assert_int_equal(json_integer_value(json_object_get(payload, "exitCode")), 3);
            assert_ptr_equal(data, p); // no id line
        } else {
            uint64_t id;
            assert_int_equal(sscanf(p, "id: %lu", &id), 1);
            uint64_t offset = (uint64_t)json_integer_value(json_object_get(payload, "offset"));
            const char *text = json_string_value(json_object_get(payload, "data"));
            assert_true(offset >= r->next);
            r->holes += offset > r->next;
            memcpy(r->text + r->n, text, strlen(text));
            r->n += strlen(text);
            r->next = id;
            r->frames++;
            assert_int_equal(r->ends, 0);
        }
        json_decref(j);
    }
    r->text[r->n] = 0;
}

static void assert_followed(struct fake_exchange *f, const char *text, uint64_t next, unsigned ends)
{
    struct followed r;
    read_frames(f, &r);
    assert_string_equal(r.text, text);
    assert_int_equal(r.next, next);
    assert_int_equal(r.ends, ends);
}

static int set_up(void **u)
{
    (void)u;
    fake_log_reset();
    memset(&store, 0, sizeof store);
    store.session = 9;
    store.page = 2;
    fake_other = answer_other;
    clock_ahead_ms = 0;
    fake_loop_open();
    assert_int_equal(hub_new(&fake_gw, &hub), ERR_OK);
    fake_gw.hub = hub;
    hub_up(hub);
    fake_settle();
    return 0;
}

static int tear_down(void **u)
{
    (void)u;
    hub_free(hub);
    fake_loop_close();
    fake_log_reset();
    return 0;
}

// ---------------------------------------------------------------- text

static void text(void **u)
{
    (void)u;
    struct fake_exchange *f = ask_for(NULL, NULL, NULL);
    assert_text(f, "");         // running, nothing yet
    assert_true(f->ended);
    fake_exchange_free(f);

    keep_text(0, STREAM_STDOUT, "one\n");
    keep_text(4, STREAM_STDERR, "two\n");
    keep_text(8, STREAM_STDOUT, "three\n");
    keep_text(14, STREAM_STDERR, "four\n");
    keep_text(19, STREAM_STDOUT, "five\n");
    store.ended = true;
    static const struct {
        const char *query, *want;
    } cases[] = {
        { NULL, "one\ntwo\nthree\nfour\nfive\n" }, { "stream=stdout", "one\nthree\nfive\n" }, { "stream=stderr", "two\nfour\n" },
        { "offset=10", "ree\nfour\nfive\n" },      { "offset=15&stream=stderr", "our\n" },    { "session=session_9", "one\ntwo\nthree\nfour\nfive\n" },
        { "offset=24", "" },                       { "offset=99999999999999999999", "" },     { "offset=-3", "one\ntwo\nthree\nfour\nfive\n" },
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        f = ask_for(cases[i].query, "*/*", NULL);
        assert_text(f, cases[i].want);
        assert_true(f->ended);
        fake_exchange_free(f);
    }
    static const struct {
        const char *query, *field;
        enum err e;
    } bad[] = {
        { "stream=both", "stream", ERR_INVALID_FIELD }, { "offset=x", "offset", ERR_INVALID_FIELD }, { "offset=", "offset", ERR_INVALID_FIELD },
        { "session=session_8", "", ERR_NOT_FOUND },     { "session=9", "", ERR_NOT_FOUND },
        { "session=session_9&session=session_9", "session", ERR_INVALID_FIELD },
    };
    for (unsigned i = 0; i < 2 * sizeof bad / sizeof *bad; i++) {
        f = ask_for(bad[i / 2].query, i % 2 ? "text/event-stream" : NULL, NULL);
        fake_settle();
        assert_false(f->began);
        assert_int_equal(f->err, bad[i / 2].e);
        assert_string_equal(f->field, bad[i / 2].field);
        fake_exchange_free(f);
    }
    store.no_task = true;
    f = ask_for(NULL, NULL, NULL);
    fake_settle();
    assert_int_equal(f->err, ERR_NOT_FOUND);
    fake_exchange_free(f);
}

static void holes(void **u)
{
    (void)u;
    keep_text(0, STREAM_STDOUT, "head");
    keep_text(1004, STREAM_STDERR, "tail");
    store.total = 1010;         // the last six were lost with the worker
    store.ended = true;
    struct fake_exchange *f = ask_for(NULL, NULL, NULL);
    assert_text(f, "head\n[... 1000 bytes left out ...]\ntail\n[... 2 bytes left out ...]\n");
    fake_exchange_free(f);
    f = ask_for("stream=stdout&offset=2", NULL, NULL);
    assert_text(f, "ad\n[... 1000 bytes left out ...]\n\n[... 2 bytes left out ...]\n");
    fake_exchange_free(f);
}

static void text_in_bounded_memory(void **u)
{
    static char data[70000];
    (void)u;
    memset(data, 'x', sizeof data);
    store.page = 4;
    for (unsigned i = 0; i < 40; i++)
        keep((uint64_t)i * 65536, STREAM_STDOUT, data, 65536);
    store.ended = true;
    struct fake_exchange *f = ask_for(NULL, NULL, NULL);
    f->room = 0;                // takes nothing: all waits in the queue
    fake_settle();
    assert_in_range(f->queued, 256 * 1024, 600 * 1024);
    unsigned reads = store.reads;
    fake_settle();
    assert_int_equal(store.reads, reads);
    for (unsigned i = 0; i < 40 && !f->ended; i++) {
        f->wait = true;
        fake_room(f, 0);
        fake_settle();
    }
    assert_true(f->ended);
    assert_int_equal(f->out.len, 40 * 65536);
    fake_exchange_free(f);

    f = ask_for(NULL, NULL, NULL); // the broker goes away in the middle
    f->room = 0;
    fake_settle();
    fake_log.away = true;
    f->wait = true;
    fake_room(f, 0);
    fake_settle();
    assert_true(f->aborted);
    fake_exchange_free(f);
    f = ask_for(NULL, NULL, NULL);
    fake_settle();
    assert_int_equal(f->err, ERR_UNAVAILABLE);
    fake_exchange_free(f);
}

// ---------------------------------------------------------------- followed

#define FOLLOW "text/event-stream"

static void follow_what_is_there(void **u)
{
    (void)u;
    keep_text(0, STREAM_STDOUT, "one\n");
    keep_text(4, STREAM_STDERR, "two\n");
    keep_text(8, STREAM_STDOUT, "three\n");
    store.ended = true;
    struct fake_exchange *f = ask_for(NULL, "text/html, " FOLLOW ";q=0.9", NULL);
    fake_settle();
    assert_followed(f, "one\ntwo\nthree\n", 14, 1);
    assert_true(f->ended);
    fake_exchange_free(f);
    f = ask_for(NULL, FOLLOW, "14"); // the end is told again on every reconnect
    fake_settle();
    assert_followed(f, "", 0, 1);
    fake_exchange_free(f);
    f = ask_for("offset=2", FOLLOW, "6"); // the header wins
    fake_settle();
    assert_followed(f, "o\nthree\n", 14, 1);
    fake_exchange_free(f);
    f = ask_for("offset=5&stream=stdout", FOLLOW, NULL);
    fake_settle();
    assert_followed(f, "three\n", 14, 1);
    fake_exchange_free(f);
}

static void follow_live(void **u)
{
    (void)u;
    store.session = 0;          // no attempt yet
    struct fake_exchange *f = ask_for(NULL, FOLLOW, NULL);
    fake_settle();
    assert_int_equal(f->status, 200);
    store.session = 9;
    session_row(ROW_SESSION_STARTED);
    fake_settle();
    live(0, STREAM_STDOUT, "abc", 3);
    live(0, STREAM_STDOUT, "abc", 3);   // twice
    live(2, STREAM_STDOUT, "cde", 3);   // overlapping
    assert_followed(f, "abcde", 5, 0);
    live(8, STREAM_STDOUT, "ijk", 3);   // too early: something was lost
    keep_text(0, STREAM_STDOUT, "abcdefgh");
    fake_run_ms(1200);
    assert_followed(f, "abcdefgh", 8, 0);
    live(8, STREAM_STDERR, "ijk", 3);
    keep_text(8, STREAM_STDERR, "ijklm");
    store.ended = true;
    session_row(ROW_SESSION_COMPLETED);
    fake_settle();
    assert_followed(f, "abcdefghijklm", 13, 1);
    assert_true(f->ended);
    fake_exchange_free(f);
}

static void follow_while_the_broker_is_away(void **u)
{
    (void)u;
    keep_text(0, STREAM_STDOUT, "one\n");
    fake_log.away = true;
    struct fake_exchange *f = ask_for(NULL, FOLLOW, NULL);
    fake_settle();
    assert_int_equal(f->status, 200); // held
    fake_log.away = false;
    fake_run_ms(1200);
    assert_followed(f, "one\n", 4, 0);
    fake_log.away = true;
    hub_down(hub);
    clock_ahead_ms += 31000;
    fake_run_ms(1200);
    assert_non_null(strstr(buf_cstr(&f->out), "id: 4\n: heartbeat\n\n"));
    fake_log.away = false;
    keep_text(4, STREAM_STDOUT, "two\n");
    store.ended = true;
    hub_up(hub);
    fake_settle();
    assert_followed(f, "one\ntwo\n", 8, 1);
    fake_exchange_free(f);

    f = ask_for(NULL, FOLLOW, NULL); // no answer at all: the head does not wait for ever, and the client may leave
    fake_run_ms(10);
    store.no_task = true;
    fake_exchange_free(f);
}

static void drained(void **u)
{
    (void)u;
    keep_text(0, STREAM_STDOUT, "one\n");
    struct fake_exchange *f = ask_for(NULL, FOLLOW, NULL), *asking;
    fake_settle();
    asking = ask_for(NULL, FOLLOW, NULL);
    hub_drain(hub, 100);
    assert_true(f->ended);
    assert_followed(f, "one\n", 4, 0);
    assert_int_equal(asking->status, 200);
    assert_true(asking->ended);
    fake_exchange_free(f);
    fake_exchange_free(asking);
}

// Characters cut anywhere, by pieces and by streams, come out whole where they can.
static void characters(void **u)
{
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";
    size_t n = sizeof text - 1;
    (void)u;
    for (size_t cut = 1; cut < n; cut++) {
        for (size_t more = cut; more < n; more++) {
            for (unsigned by_bus = 0; by_bus < 2; by_bus++) {
                store.n = 0;
                store.total = 0;
                store.ended = false;
                if (!by_bus) {
                    keep(0, STREAM_STDOUT, text, cut);
                    if (more > cut)
                        keep(cut, STREAM_STDOUT, text + cut, more - cut);
                    keep(more, STREAM_STDOUT, text + more, n - more);
                    store.ended = true;
                }
                struct fake_exchange *f = ask_for(NULL, FOLLOW, NULL);
                fake_settle();
                if (by_bus) {
                    live(0, STREAM_STDOUT, text, cut);
                    live(cut, STREAM_STDOUT, text + cut, more - cut);
                    live(more, STREAM_STDOUT, text + more, n - more);
                }
                assert_followed(f, text, n, by_bus ? 0 : 1);
                fake_exchange_free(f);
            }
        }
    }
    store.n = 0;                // the other stream comes between: nothing to be done but to go on
    keep(0, STREAM_STDOUT, "\xe2\x82", 2);
    keep_text(2, STREAM_STDERR, "x");
    keep(3, STREAM_STDOUT, "\xac", 1);
    keep(4, STREAM_STDOUT, "\xe2", 1); // and at the end a rest that never comes
    store.ended = true;
    struct fake_exchange *f = ask_for(NULL, FOLLOW, NULL);
    fake_settle();
    assert_followed(f, "\xef\xbf\xbd\xef\xbf\xbdx\xef\xbf\xbd\xef\xbf\xbd", 5, 1);
    fake_exchange_free(f);
}

static void follow_a_slow_reader(void **u)
{
    static char data[70000];
    (void)u;
    memset(data, 'x', sizeof data);
    for (unsigned i = 0; i < 30; i++)
        keep((uint64_t)i * 65536, STREAM_STDOUT, data, 65536);
    store.ended = true;
    store.page = 1;
    struct fake_exchange *f = ask_for(NULL, FOLLOW, NULL);
    f->room = 0;
    fake_settle();
    assert_in_range(f->queued, 256 * 1024, 700 * 1024);
    for (unsigned i = 0; i < 60 && !f->ended; i++) {
        live(store.total, STREAM_STDOUT, "late", 4); // not taken while the queue is full
        f->wait = true;
        fake_room(f, 0);
        fake_settle();
    }
    assert_true(f->ended);
    assert_in_range(f->out.len, 30 * 65536, 31 * 65536);
    fake_exchange_free(f);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(text), T(holes), T(text_in_bounded_memory), T(follow_what_is_there), T(follow_live),
        T(follow_while_the_broker_is_away), T(drained), T(characters), T(follow_a_slow_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
