// links: gateway common uv protobuf-c sodium
// The hub against a broker, sockets and a clock that do what the test says: whatever happens on the way, what a client ends up
// with is its slice of the log, octet for octet.
#include "fake_gateway.h"

static struct hub *hub;

// ---------------------------------------------------------------- help

static char *chars(const char *s)
{
    return (char *)(uintptr_t)s;
}

static uint64_t commit(unsigned kind, uint64_t workspace, uint64_t desktop, uint64_t agent, const char *title)
{
    Wire__Row r = WIRE__ROW__INIT;
    r.time_ms = 1773568800000;
    r.row = kind;
    r.workspace = workspace;
    r.entity = r.task = fake_log.newest + 1;
    r.desktop = desktop;
    r.agent = agent;
    r.title = chars(title);
    r.name = chars("box");
    return fake_commit(&r);
}

// Kinds that between them are shown by every view, two workspaces, three desktops.
static void commit_mixed(unsigned n)
{
    static const unsigned kinds[] = { ROW_TASK_CREATED, ROW_TASK_EDITED, ROW_DESKTOP_RUNNING, ROW_TASK_STARTED, ROW_SESSION_STARTED,
                                      ROW_KEY_CREATED, ROW_TASK_COMPLETED, ROW_DESKTOP_BOOTING };
    for (unsigned i = 0; i < n; i++) {
        uint64_t k = fake_log.newest;
        commit(kinds[k % 8], k % 5 == 4 ? 2 : 1, 1 + k % 3, 1 + k % 2, "a title that is neither short nor long");
    }
}

// The bus message of the rows first..newest.
static void publish(uint64_t first, bool with_rows)
{
    Wire__BusEvents m = WIRE__BUS_EVENTS__INIT;
    ProtobufCBinaryData rows[1000];

    m.epoch = fake_log.epoch;
    m.first = first;
    m.last = fake_log.newest;
    m.rows = rows;
    for (size_t i = 0; with_rows && i < fake_log.n; i++)
        if (fake_log.rows[i].number >= first)
            rows[m.n_rows++] = (ProtobufCBinaryData){ fake_log.rows[i].n, fake_log.rows[i].packed };
    size_t n = wire__bus_events__get_packed_size(&m);
    uint8_t *p = malloc(n);
    assert_non_null(p);
    wire__bus_events__pack(&m, p);
    hub_heard(hub, 'E', p, n);
    free(p);
}

static void commit_and_publish(unsigned n)
{
    uint64_t first = fake_log.newest + 1;
    commit_mixed(n);
    publish(first, true);
}

static struct fake_exchange *open_with(enum event_view view, const char *key, const char *query, const char *last_id, size_t room, bool http10)
{
    struct fake_exchange *f = fake_exchange_new(&fake_gw, key, query, last_id);
    f->room = room;
    f->x.http10 = http10;
    hub_open(hub, &f->x, view);
    return f;
}

static struct fake_exchange *open_view(enum event_view view, const char *query, const char *last_id)
{
    return open_with(view, "1:1", query, last_id, SIZE_MAX / 2, false);
}

// What the client's parser sees: chunks taken off, and of it only whole events with data. Keeps the last id seen.
static void events(const struct fake_exchange *f, struct buf *out, uint64_t *last_id)
{
    struct buf plain;
    const uint8_t *p = f->out.data, *end = p + f->out.len;

    buf_init(&plain, (size_t)1 << 30);
    if (f->x.http10) {
        buf_put(&plain, p, f->out.len);
    } else {
        while (p < end) {
            size_t n = 0;
            const uint8_t *q = p;
            while (q < end && *q != '\r') {
                n = n * 16 + (size_t)(*q <= '9' ? *q - '0' : *q - 'a' + 10);
                q++;
            }
            if (end - q < 2)
                break;
            q += 2;
            size_t here = (size_t)(end - q) < n ? (size_t)(end - q) : n;
            buf_put(&plain, q, here);
            if ((size_t)(end - q) < n + 2)
                break;
            assert_memory_equal(q + n, "\r\n", 2);
            p = q + n + 2;
        }
    }
    const char *event = buf_cstr(&plain), *limit = event + plain.len, *stop;
    while ((stop = memmem(event, (size_t)(limit - event), "\n\n", 2))) {
        size_t n = (size_t)(stop - event);
        const char *id = strncmp(event, "id: ", 4) == 0 ? event - 1 : memmem(event, n, "\nid: ", 5);
        if (id && last_id)
            *last_id = strtoull(id + 5, NULL, 10);
        if (memmem(event, n, "data: ", 6))
            buf_put(out, event, n + 2);
        event = stop + 2;
    }
    buf_fini(&plain);
}

struct slice {
    uint64_t from, to;         // numbers: from <= n <= to
    uint64_t workspace, desktop, agent; // 0: all (workspace: 1)
    const char *type;          // NULL: all
};

static void expect(struct buf *out, enum event_view view, struct slice s)
{
    for (size_t i = 0; i < fake_log.n; i++) {
        if (fake_log.rows[i].number < s.from || fake_log.rows[i].number > s.to)
            continue;
        Wire__Row *r = fake_row(fake_log.rows[i].number);
        const char *type = event_type(r->row, view);
        if (r->workspace == (s.workspace ? s.workspace : 1) && type && (!s.type || strcmp(s.type, type) == 0) &&
            (!s.desktop || r->desktop == s.desktop) && (!s.agent || r->agent == s.agent))
            frame_row(out, r, view);
        wire__row__free_unpacked(r, NULL);
    }
}

static void assert_same(struct buf *got, struct buf *want)
{
    if (got->len != want->len || (got->len && memcmp(got->data, want->data, got->len) != 0))
        fail_msg("got %zu octets, wanted %zu:\n%.300s\n--- wanted\n%.300s", got->len, want->len, buf_cstr(got), buf_cstr(want));
}

static void assert_got(const struct fake_exchange *f, enum event_view view, struct slice s)
{
    struct buf got, want;
    buf_init(&got, (size_t)1 << 30);
    buf_init(&want, (size_t)1 << 30);
    events(f, &got, NULL);
    expect(&want, view, s);
    assert_same(&got, &want);
    buf_fini(&got);
    buf_fini(&want);
}

static bool holds(const struct fake_exchange *f, const char *text)
{
    return f->out.len && memmem(f->out.data, f->out.len, text, strlen(text));
}

static int set_up(void **u)
{
    (void)u;
    fake_log_reset();
    fake_n_questions = 0;
    fake_cred_away = fake_cred_slow = fake_cred_revoked = fake_quota_empty = false;
    fake_cred_waiting = NULL;
    fake_key_expires_ms = 0;
    fake_forgotten = 0;
    fake_rows_told = 0;
    clock_ahead_ms = 0;
    fake_loop_open();
    assert_int_equal(hub_new(&fake_gw, &hub), ERR_OK);
    fake_gw.hub = hub;
    return 0;
}

// A broker that has some history, and a hub that is level with it.
static int set_up_level(void **u)
{
    set_up(u);
    commit_mixed(20);
    hub_up(hub);
    fake_settle();
    return 0;
}

static int tear_down(void **u)
{
    (void)u;
    assert_int_equal(hub_subscribers(hub), 0);
    hub_free(hub);
    fake_loop_close();
    fake_log_reset();
    return 0;
}

// ---------------------------------------------------------------- live

static const enum event_view streams[] = { VIEW_ACTIVITY, VIEW_FEED, VIEW_DESKTOPS };

static void live_in_every_view(void **u)
{
    struct fake_exchange *f[3], *other;
    (void)u;

    for (unsigned v = 0; v < 3; v++)
        f[v] = open_view(streams[v], NULL, NULL);
    other = open_with(VIEW_ACTIVITY, "2:2", NULL, NULL, SIZE_MAX / 2, false);
    fake_settle();
    for (unsigned i = 0; i < 30; i++) {
        commit_and_publish(1 + i % 7);
        if (i % 3)
            fake_settle();
    }
    fake_settle();
    for (unsigned v = 0; v < 3; v++) {
        assert_int_equal(f[v]->status, 200);
        assert_memory_equal(f[v]->out.data + 4, "retry: ", 7);
        assert_got(f[v], streams[v], (struct slice){ .from = 21, .to = UINT64_MAX });
        fake_exchange_free(f[v]);
    }
    assert_got(other, VIEW_ACTIVITY, (struct slice){ .from = 21, .to = UINT64_MAX, .workspace = 2 });
    fake_exchange_free(other);
    assert_int_equal(fake_rows_told, fake_log.newest - 20);
}

static void one_write_for_all_that_is_new(void **u)
{
    struct fake_exchange *f = open_view(VIEW_FEED, NULL, NULL);
    (void)u;
    fake_settle();
    unsigned before = f->writes;
    for (unsigned i = 0; i < 50; i++)
        commit_and_publish(2);
    fake_settle();
    assert_int_equal(f->writes, before + 1);
    assert_got(f, VIEW_FEED, (struct slice){ .from = 21, .to = UINT64_MAX });
    fake_exchange_free(f);
}

static void bus_loses_messages(void **u)
{
    struct fake_exchange *f = open_view(VIEW_ACTIVITY, NULL, NULL);
    (void)u;
    fake_settle();

    commit_mixed(3);            // lost
    commit_and_publish(2);      // does not begin where we stand
    fake_settle();
    assert_got(f, VIEW_ACTIVITY, (struct slice){ .from = 21, .to = 25 });

    uint64_t first = fake_log.newest + 1;
    commit_mixed(4);
    publish(first, false);      // rows left out
    fake_settle();
    assert_got(f, VIEW_ACTIVITY, (struct slice){ .from = 21, .to = 29 });

    commit_mixed(2300);         // the last ones, lost: more than a page, more than a block
    publish(fake_log.newest + 1, true);
    fake_settle();
    assert_got(f, VIEW_ACTIVITY, (struct slice){ .from = 21, .to = UINT64_MAX });

    first = fake_log.newest + 1; // a message while the gap before it is being fetched
    commit_mixed(5);
    publish(first + 3, true);
    commit_and_publish(6);
    publish(first, true);        // and an old one
    fake_settle();
    commit_and_publish(1);
    fake_settle();
    assert_got(f, VIEW_ACTIVITY, (struct slice){ .from = 21, .to = UINT64_MAX });
    assert_int_equal(fake_rows_told, fake_log.newest - 20);
    fake_exchange_free(f);
}

static void broker_goes_and_comes(void **u)
{
    struct fake_exchange *f = open_view(VIEW_ACTIVITY, NULL, NULL);
    (void)u;
    fake_settle();
    fake_log.away = true;
    hub_down(hub);
    commit_mixed(10);           // heard by nobody
    fake_settle();
    assert_got(f, VIEW_ACTIVITY, (struct slice){ .from = 21, .to = 20 });
    struct fake_exchange *late = open_view(VIEW_ACTIVITY, NULL, "15"); // in memory, but not certain now
    fake_settle();
    assert_int_equal(late->status, 200);
    fake_log.away = false;
    hub_up(hub);
    fake_settle();
    assert_got(f, VIEW_ACTIVITY, (struct slice){ .from = 21, .to = UINT64_MAX });
    assert_got(late, VIEW_ACTIVITY, (struct slice){ .from = 16, .to = UINT64_MAX });
    fake_exchange_free(f);
    fake_exchange_free(late);
}

static void up_but_questions_fail(void **u)
{
    (void)u;
    fake_log.away = true;
    commit_mixed(3);
    struct fake_exchange *f = open_view(VIEW_ACTIVITY, NULL, "2");
    publish(fake_log.newest + 1, true);
    fake_settle();
    fake_log.away = false;
    fake_run_ms(1200);          // the tick tries again
    assert_got(f, VIEW_ACTIVITY, (struct slice){ .from = 3, .to = UINT64_MAX });
    fake_exchange_free(f);
}

static void bus_falls_silent(void **u)
{
    struct fake_exchange *f = open_view(VIEW_ACTIVITY, NULL, NULL);
    (void)u;
    fake_settle();
    commit_mixed(8);            // nobody says so
    for (unsigned i = 0; i < 60 && !holds(f, "data:"); i++)
        fake_run_ms(100);
    assert_got(f, VIEW_ACTIVITY, (struct slice){ .from = 21, .to = UINT64_MAX });
    fake_exchange_free(f);
}

// ---------------------------------------------------------------- resuming

static void resume_from_everywhere(void **u)
{
    char id[24];
    (void)u;
    commit_and_publish(900);
    for (uint64_t after = 0; after <= fake_log.newest; after += after < 30 || after > 900 ? 1 : 97) {
        for (unsigned v = 0; v < 3; v++) {
            snprintf(id, sizeof id, "%llu", (unsigned long long)after);
            struct fake_exchange *f = open_view(streams[v], after % 2 ? "lastEventId=3" : NULL, id); // the header wins
            fake_settle();
            assert_got(f, streams[v], (struct slice){ .from = after + 1, .to = UINT64_MAX });
            fake_exchange_free(f);
        }
    }
    struct fake_exchange *f = open_view(VIEW_FEED, "lastEventId=7", NULL);
    fake_settle();
    assert_got(f, VIEW_FEED, (struct slice){ .from = 8, .to = UINT64_MAX });
    fake_exchange_free(f);
    f = open_view(VIEW_FEED, NULL, "evt_7"); // not a number: live only
    fake_settle();
    commit_and_publish(20);
    fake_settle();
    assert_got(f, VIEW_FEED, (struct slice){ .from = fake_log.newest - 19, .to = UINT64_MAX });
    fake_exchange_free(f);
}

// A socket that takes `step` octets at a time; then one that is cut off after each number of octets, resumed by id.
static void short_writes(void **u)
{
    (void)u;
    for (size_t step = 1; step < 400; step = step < 8 ? step + 1 : step * 3) {
        for (unsigned v = 0; v < 3; v++) {
            for (unsigned http10 = 0; http10 < 2; http10++) {
                struct fake_exchange *f = open_with(streams[v], "1:1", NULL, "0", step, http10);
                fake_settle();
                for (unsigned i = 0; f->wait; i++) {
                    if (i == 40)
                        commit_and_publish(3);
                    fake_room(f, step);
                    fake_settle();
                }
                assert_got(f, streams[v], (struct slice){ .from = 1, .to = UINT64_MAX });
                fake_exchange_free(f);
            }
        }
    }
}

static void cut_at_every_octet(void **u)
{
    struct buf want, got;
    (void)u;
    buf_init(&want, 1 << 20);
    buf_init(&got, 1 << 20);
    expect(&want, VIEW_FEED, (struct slice){ .from = 5, .to = UINT64_MAX });
    struct fake_exchange *whole = open_view(VIEW_FEED, NULL, "4");
    fake_settle();
    size_t all = whole->out.len;
    fake_exchange_free(whole);
    for (size_t cut = 0; cut <= all; cut++) {
        uint64_t last = 4;
        char id[24];
        buf_reset(&got);
        struct fake_exchange *f = open_with(VIEW_FEED, "1:1", NULL, "4", cut, false);
        fake_settle();
        events(f, &got, &last);
        fake_exchange_free(f);
        snprintf(id, sizeof id, "%llu", (unsigned long long)last);
        f = open_view(VIEW_FEED, NULL, id);
        fake_settle();
        events(f, &got, &last);
        fake_exchange_free(f);
        assert_same(&got, &want);
    }
    buf_fini(&want);
    buf_fini(&got);
}

static const char *wide_title(void) // six octets of JSON a character
{
    static char title[1001];
    memset(title, '<', 1000);
    return title;
}

// More than the cache holds: blocks give way and are fetched again, also in the middle of a frame.
static void far_behind(void **u)
{
    (void)u;
    for (unsigned i = 0; i < 4000; i++)
        commit(ROW_TASK_CREATED, 1, 1, 1, wide_title());
    publish(fake_log.newest + 1, true);
    fake_settle();
    struct fake_exchange *a = open_with(VIEW_ACTIVITY, "1:1", NULL, "0", 5000, false), *b = open_view(VIEW_ACTIVITY, NULL, "10");
    fake_settle();
    assert_got(b, VIEW_ACTIVITY, (struct slice){ .from = 11, .to = UINT64_MAX });
    unsigned reads = fake_log.reads;
    for (unsigned i = 0; a->wait; i++) {
        fake_room(a, 1 << 20);
        fake_settle();
        assert_true(i < 1000);
    }
    assert_true(fake_log.reads > reads); // the block its frame lay in had to be fetched again
    assert_got(a, VIEW_ACTIVITY, (struct slice){ .from = 1, .to = UINT64_MAX });
    fake_exchange_free(a);
    fake_exchange_free(b);
}

static void one_fetch_for_many(void **u)
{
    struct fake_exchange *f[200];
    (void)u;
    commit_mixed(600);
    publish(fake_log.newest + 1, true);
    fake_settle();
    unsigned before = fake_log.reads;
    for (unsigned i = 0; i < 200; i++) {
        char id[24];
        snprintf(id, sizeof id, "%u", i % 10);
        f[i] = open_view(VIEW_FEED, NULL, id);
    }
    fake_settle();
    assert_int_equal(fake_log.reads, before + 1);
    assert_true(fake_log.checks <= 10);
    for (unsigned i = 0; i < 200; i++) {
        assert_got(f[i], VIEW_FEED, (struct slice){ .from = i % 10 + 1, .to = UINT64_MAX });
        fake_exchange_free(f[i]);
    }
}

static void resync_said(void **u)
{
    char id[24];
    (void)u;
    commit_and_publish(10);
    for (size_t i = 0; i < 8; i++) // retention took 1..8
        free(fake_log.rows[i].packed);
    memmove(fake_log.rows, fake_log.rows + 8, (fake_log.n - 8) * sizeof *fake_log.rows);
    fake_log.n -= 8;
    fake_log.oldest = 9;

    static const char *const ids[] = { "3", "7", "1000", "99999999999999999999999999", "18446744073709551615" };
    for (unsigned i = 0; i < 5; i++) {
        struct fake_exchange *f = open_view(VIEW_ACTIVITY, NULL, ids[i]);
        fake_settle();
        const char *resync = "data: {\"type\":\"stream.resync\",\"payload\":{\"oldest\":9}}\n\n";
        assert_true(holds(f, resync));
        struct buf got, want;
        buf_init(&got, 1 << 20);
        buf_init(&want, 1 << 20);
        events(f, &got, NULL);
        buf_puts(&want, resync);
        expect(&want, VIEW_ACTIVITY, (struct slice){ .from = 9, .to = UINT64_MAX });
        assert_same(&got, &want);
        buf_fini(&got);
        buf_fini(&want);
        fake_exchange_free(f);
    }
    for (uint64_t ok = 8; ok <= fake_log.newest; ok += 11) {
        snprintf(id, sizeof id, "%llu", (unsigned long long)ok);
        struct fake_exchange *f = open_view(VIEW_ACTIVITY, NULL, id);
        fake_settle();
        assert_false(holds(f, "resync"));
        fake_exchange_free(f);
    }
    // A hole, as a restored backup leaves it: from its edge one goes on, inside it not.
    uint64_t edge = fake_log.newest;
    fake_log.newest += (uint64_t)1 << 32;
    fake_log.epoch = 2;
    commit_and_publish(30);
    fake_settle();
    snprintf(id, sizeof id, "%llu", (unsigned long long)edge);
    struct fake_exchange *f = open_view(VIEW_ACTIVITY, NULL, id);
    fake_settle();
    assert_got(f, VIEW_ACTIVITY, (struct slice){ .from = edge + 1, .to = UINT64_MAX });
    assert_true(fake_log.reads < 40);
    fake_exchange_free(f);
    snprintf(id, sizeof id, "%llu", (unsigned long long)edge + 5);
    f = open_view(VIEW_ACTIVITY, NULL, id);
    fake_settle();
    assert_true(holds(f, "stream.resync"));
    fake_exchange_free(f);
}

// Rows that are pruned while a slow client still has to read them.
static void pruned_on_the_way(void **u)
{
    (void)u;
    for (unsigned i = 0; i < 3000; i++) // more than the cache holds
        commit(ROW_TASK_CREATED, 1, 1, 1, wide_title());
    publish(fake_log.newest + 1, true);
    fake_settle();
    struct fake_exchange *f = open_with(VIEW_FEED, "1:1", NULL, "1", 400, false);
    fake_settle();
    while (f->out.len < 300000) { // into the second block, and then to the end of a frame
        fake_room(f, 1000);
        fake_settle();
    }
    struct fake_exchange *other = open_with(VIEW_FEED, "1:1", NULL, "1", SIZE_MAX / 2, false); // so that its block gives way
    fake_settle();
    fake_exchange_free(other);
    for (size_t i = 0; i < 2000; i++)
        free(fake_log.rows[i].packed);
    memmove(fake_log.rows, fake_log.rows + 2000, (fake_log.n - 2000) * sizeof *fake_log.rows);
    fake_log.n -= 2000;
    fake_log.oldest = 2001;
    fake_room(f, SIZE_MAX / 2);
    fake_settle();
    assert_true(f->aborted);    // in the middle of a frame that is no longer kept: it comes back by id
    fake_exchange_free(f);
    f = open_with(VIEW_FEED, "1:1", "types=session.started", "2000", SIZE_MAX / 2, false);
    fake_settle();
    assert_false(holds(f, "stream.resync"));
    fake_exchange_free(f);
}

// ---------------------------------------------------------------- filters

static void filters(void **u)
{
    static const struct {
        const char *query;
        struct slice s;
    } cases[] = {
        { "types=task.created", { .type = "task.created" } },
        { "types=no.such,task.started", { .type = "task.started" } },
        { "types=no.such", { .type = "none" } },
        { "desktopId=desktop_2", { .desktop = 2 } },
        { "agentId=agent_1", { .agent = 1 } },
        { "desktopId=desktop_3&agentId=agent_2&types=task.completed", { .desktop = 3, .agent = 2, .type = "task.completed" } },
        { "desktopId=desktop_77", { .desktop = 77 } },
        { "apiKey=1%3A1&other=x", { .type = NULL } },
    };
    (void)u;
    commit_and_publish(100);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice s = cases[i].s;
        s.from = 11;
        s.to = UINT64_MAX;
        struct fake_exchange *f = open_view(VIEW_ACTIVITY, cases[i].query, "10");
        fake_settle();
        commit_and_publish(50);
        fake_settle();
        assert_got(f, VIEW_ACTIVITY, s);
        fake_exchange_free(f);
    }
    static const struct {
        const char *query, *field;
    } bad[] = {
        { "types=a&types=b", "types" }, { "types=", "types" }, { "desktopId=task_1", "desktopId" }, { "desktopId=", "desktopId" },
        { "agentId=agent_01", "agentId" }, { "include=everything", "include" }, { "types=%zz", "types" },
        { "lastEventId=1&lastEventId=2", "lastEventId" }, { "agentId=agent_1%2C", "agentId" },
    };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct fake_exchange *f = open_view(VIEW_ACTIVITY, bad[i].query, NULL);
        assert_int_equal(f->status, 400);
        assert_int_equal(f->err, ERR_INVALID_FIELD);
        assert_string_equal(f->field, bad[i].field);
        fake_exchange_free(f);
        f = open_with(VIEW_ACTIVITY, "wrong", bad[i].query, NULL, 0, false); // a wrong key hears of nothing else
        assert_int_equal(f->err, ERR_UNAUTHORIZED);
        fake_exchange_free(f);
    }
}

// ---------------------------------------------------------------- who may

static void credentials(void **u)
{
    (void)u;
    struct fake_exchange *f = open_with(VIEW_ACTIVITY, "", NULL, NULL, 0, false);
    assert_int_equal(f->err, ERR_UNAUTHORIZED);
    fake_exchange_free(f);
    f = open_with(VIEW_ACTIVITY, "wrong", NULL, NULL, 0, false);
    assert_int_equal(f->err, ERR_UNAUTHORIZED);
    fake_exchange_free(f);

    fake_cred_away = true;      // cannot be looked up: held, then served
    f = open_view(VIEW_ACTIVITY, NULL, NULL);
    struct fake_exchange *wrong = open_with(VIEW_ACTIVITY, "wrong", NULL, NULL, SIZE_MAX / 2, false);
    fake_settle();
    assert_int_equal(f->status, 200);
    assert_int_equal(wrong->status, 200);
    commit_and_publish(8);
    fake_settle();
    assert_false(holds(f, "data:"));
    fake_cred_away = false;
    hub_up(hub);
    fake_settle();
    assert_got(f, VIEW_ACTIVITY, (struct slice){ .from = 21, .to = UINT64_MAX }); // since the head
    assert_true(wrong->ended);
    assert_false(holds(wrong, "data:"));
    fake_exchange_free(f);
    fake_exchange_free(wrong);

    fake_cred_slow = true;      // takes longer than the head may wait
    f = open_view(VIEW_ACTIVITY, NULL, "20");
    fake_settle();
    assert_int_equal(f->status, 0);
    fake_run_ms(350);
    assert_int_equal(f->status, 200);
    assert_non_null(fake_cred_waiting);
    fake_cred_say(fake_cred_waiting, "1:1", 3);
    fake_settle();
    assert_got(f, VIEW_ACTIVITY, (struct slice){ .from = 21, .to = UINT64_MAX });
    fake_exchange_free(f);
    f = open_view(VIEW_ACTIVITY, NULL, "20"); // goes away while it is looked up
    fake_exchange_free(f);
    assert_null(fake_cred_waiting);
    fake_cred_slow = false;

    fake_quota_empty = true;    // over the limit: held
    f = open_view(VIEW_ACTIVITY, NULL, NULL);
    fake_settle();
    assert_int_equal(f->status, 200);
    commit_and_publish(8);
    fake_run_ms(1100);
    assert_false(holds(f, "data:"));
    fake_quota_empty = false;
    fake_run_ms(1100);
    assert_got(f, VIEW_ACTIVITY, (struct slice){ .from = 29, .to = UINT64_MAX });
    fake_exchange_free(f);

    fake_quota_empty = true;    // over the limit, and its key is revoked meanwhile: it is not let in on what was once looked up
    f = open_view(VIEW_ACTIVITY, NULL, NULL);
    fake_settle();
    assert_int_equal(f->status, 200);
    fake_cred_revoked = true;
    fake_quota_empty = false;
    commit_and_publish(8);
    fake_run_ms(1100);
    assert_true(f->ended);
    assert_false(holds(f, "data:"));
    fake_exchange_free(f);
    fake_cred_revoked = false;
}

static void revocation(void **u)
{
    struct fake_exchange *f[6];
    (void)u;
    for (unsigned i = 0; i < 6; i++) {
        char key[16];
        snprintf(key, sizeof key, "%u:1", 1 + i % 3);
        f[i] = open_with(streams[i % 2], key, NULL, NULL, SIZE_MAX / 2, false);
    }
    struct fake_exchange *inside = open_with(VIEW_ACTIVITY, "2:1", NULL, "0", 150, false); // in the middle of a frame
    fake_settle();
    Wire__Row r = WIRE__ROW__INIT;
    r.row = ROW_KEY_REVOKED;
    r.workspace = 1;
    r.entity = 2;
    uint64_t first = fake_commit(&r);
    commit_mixed(5);
    publish(first, true);
    fake_settle();
    assert_true(inside->aborted);
    fake_exchange_free(inside);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(f[i]->ended, i % 3 == 1);
        if (i % 3 == 1)
            assert_false(holds(f[i], "data:"));
        else
            assert_got(f[i], streams[i % 2], (struct slice){ .from = 21, .to = UINT64_MAX });
    }
    r = (Wire__Row)WIRE__ROW__INIT;
    r.row = ROW_USER_DELETED;
    r.workspace = 1;
    r.entity = 103; // the user of key 3
    publish(fake_commit(&r), true);
    fake_settle();
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(f[i]->ended, i % 3 != 0);
        fake_exchange_free(f[i]);
    }
    fake_key_expires_ms = clock_wall_ms() + 500;
    f[0] = open_view(VIEW_ACTIVITY, NULL, NULL);
    fake_run_ms(1800);
    assert_true(f[0]->ended);
    fake_exchange_free(f[0]);
}

static void another_epoch(void **u)
{
    (void)u;
    struct fake_exchange *f = open_view(VIEW_ACTIVITY, NULL, NULL), *slow = open_with(VIEW_ACTIVITY, "1:1", NULL, "0", 120, false);
    fake_settle();
    unsigned forgotten = fake_forgotten;
    fake_log.epoch = 2;
    fake_log.newest = 15;       // a backup from before
    while (fake_log.n > 15)
        free(fake_log.rows[--fake_log.n].packed);
    fake_log.newest += (uint64_t)1 << 32;
    commit_and_publish(4);
    fake_run_ms(2200);
    assert_true(fake_forgotten > forgotten);
    assert_true(f->ended);      // comes back, is looked up anew
    fake_room(slow, 100000);    // the frame it was inside of is no longer known: cut off
    fake_settle();
    assert_true(slow->aborted);
    assert_false(holds(slow, "\"evt_21\""));
    fake_exchange_free(slow);
    fake_exchange_free(f);
    f = open_view(VIEW_ACTIVITY, NULL, "20"); // of the lost branch
    fake_settle();
    assert_true(holds(f, "stream.resync"));
    fake_exchange_free(f);
    f = open_view(VIEW_ACTIVITY, NULL, "12");
    fake_settle();
    assert_got(f, VIEW_ACTIVITY, (struct slice){ .from = 13, .to = UINT64_MAX });
    fake_exchange_free(f);
}

// ---------------------------------------------------------------- time

static void heartbeats(void **u)
{
    (void)u;
    struct fake_exchange *f = open_view(VIEW_ACTIVITY, "types=no.such", NULL), *held, *full;
    fake_cred_away = true;
    held = open_view(VIEW_ACTIVITY, NULL, NULL);
    fake_cred_away = false;
    full = open_with(VIEW_ACTIVITY, "1:1", NULL, "0", 130, false);
    fake_cred_away = true;
    fake_settle();
    commit_and_publish(7);      // nothing of it is for f
    fake_settle();
    assert_false(holds(f, "heartbeat"));
    clock_ahead_ms += 31000;
    fake_run_ms(1100);
    assert_true(holds(f, "id: 27\n: heartbeat\n\n"));
    assert_false(holds(f, "data:"));
    assert_true(holds(held, "\n: heartbeat\n\n"));
    assert_false(holds(held, "id:"));
    assert_false(holds(full, "heartbeat")); // not into the middle of a frame
    fake_room(full, SIZE_MAX / 2);
    fake_settle();
    assert_got(full, VIEW_ACTIVITY, (struct slice){ .from = 1, .to = UINT64_MAX });
    size_t len = f->out.len;
    fake_run_ms(1100);
    assert_int_equal(f->out.len, len); // not again before another 30 s
    fake_exchange_free(f);
    fake_exchange_free(held);
    fake_exchange_free(full);
}

static void drain(void **u)
{
    struct fake_exchange *f[50], *inside;
    (void)u;
    for (unsigned i = 0; i < 50; i++)
        f[i] = open_view(streams[i % 3], NULL, NULL);
    inside = open_with(VIEW_ACTIVITY, "1:1", NULL, "0", 150, false);
    fake_settle();
    hub_drain(hub, 300);
    fake_run_ms(100);
    unsigned ended = 0;
    for (unsigned i = 0; i < 50; i++)
        ended += f[i]->ended;
    assert_in_range(ended, 1, 45);
    fake_run_ms(400);
    for (unsigned i = 0; i < 50; i++) {
        assert_true(f[i]->ended);
        fake_exchange_free(f[i]);
    }
    assert_false(inside->ended);
    fake_room(inside, SIZE_MAX / 2);
    fake_settle();
    assert_true(inside->ended);
    assert_memory_equal(inside->out.data + inside->out.len - 4, "\n\n\r\n", 4);
    fake_exchange_free(inside);
    struct fake_exchange *late = open_view(VIEW_ACTIVITY, NULL, NULL);
    assert_int_equal(late->status, 200);
    assert_true(late->ended);
    fake_exchange_free(late);
}

// ---------------------------------------------------------------- frames that are not logged

static void hear_live(uint64_t workspace, const char *data, unsigned pieces)
{
    Wire__Live m = WIRE__LIVE__INIT;
    Wire__LiveOutput o = WIRE__LIVE_OUTPUT__INIT, *os[1] = { &o };
    Wire__LiveMetrics lm = WIRE__LIVE_METRICS__INIT, *ms[1] = { &lm };
    Wire__Metrics metrics = WIRE__METRICS__INIT;
    uint8_t packed[8192];

    metrics.probed_ms = 1;
    o.workspace = lm.workspace = workspace;
    o.desktop = lm.desktop = 1;
    o.agent = lm.agent = 1;
    o.task = 4;
    o.session = 5;
    o.stream = STREAM_STDOUT;
    o.data = (ProtobufCBinaryData){ strlen(data), (uint8_t *)(uintptr_t)data };
    lm.metrics = &metrics;
    lm.name = chars("box");
    m.n_output = m.n_metrics = 1;
    m.output = os;
    m.metrics = ms;
    for (unsigned i = 0; i < pieces; i++)
        hub_heard(hub, 'L', packed, wire__live__pack(&m, packed));
}

static unsigned count(const struct fake_exchange *f, const char *what)
{
    unsigned n = 0;
    const uint8_t *p = f->out.data, *end = p + f->out.len;
    while ((p = memmem(p, (size_t)(end - p), what, strlen(what)))) {
        p += strlen(what);
        n++;
    }
    return n;
}

static void not_logged(void **u)
{
    static const struct {
        enum event_view view;
        const char *key, *query;
        unsigned output, metrics;
    } cases[] = {
        { VIEW_ACTIVITY, "1:1", "", 0, 0 },
        { VIEW_ACTIVITY, "1:1", "include=output", 3, 0 },
        { VIEW_ACTIVITY, "1:1", "include=metrics,output", 3, 3 },
        { VIEW_ACTIVITY, "1:1", "include=metrics&types=task.created", 0, 0 },
        { VIEW_ACTIVITY, "1:1", "types=task.output", 3, 0 },
        { VIEW_ACTIVITY, "1:1", "include=output&desktopId=desktop_2", 0, 0 },
        { VIEW_ACTIVITY, "1:1", "include=output&desktopId=desktop_2,desktop_1", 3, 0 },
        { VIEW_ACTIVITY, "2:2", "include=output,metrics", 0, 0 },
        { VIEW_DESKTOPS, "1:1", "", 0, 3 },
        { VIEW_DESKTOPS, "1:1", "types=desktop.status", 0, 0 },
        { VIEW_DESKTOPS, "1:1", "include=output", 0, 3 },
        { VIEW_FEED, "1:1", "include=output,metrics", 0, 0 },
    };
    enum { N = sizeof cases / sizeof *cases };
    struct fake_exchange *f[N];
    (void)u;
    for (unsigned i = 0; i < N; i++)
        f[i] = open_with(cases[i].view, cases[i].key, cases[i].query, NULL, SIZE_MAX / 2, i % 2);
    fake_settle();
    hear_live(1, "hello", 2);
    fake_settle();
    commit_and_publish(1);
    hear_live(1, "hello", 1);
    fake_settle();
    for (unsigned i = 0; i < N; i++) {
        assert_int_equal(count(f[i], "task.output\""), cases[i].output);
        assert_int_equal(count(f[i], "desktop.metrics\""), cases[i].metrics);
        fake_exchange_free(f[i]);
    }
}

// A slow reader misses live frames, but never gets half of one, nor anything in between.
static void live_to_slow_readers(void **u)
{
    (void)u;
    for (size_t room = 0; room < 700; room += 7) {
        struct fake_exchange *f = open_with(VIEW_ACTIVITY, "1:1", "include=output", NULL, SIZE_MAX / 2, false);
        struct buf got;
        fake_settle();
        uint64_t from = fake_log.newest + 1;
        fake_room(f, room);
        commit_and_publish(1);
        hear_live(1, "one two three four five six seven", 5);
        fake_settle();
        commit_and_publish(3);
        hear_live(1, "again", 5);
        fake_settle();
        while (f->wait) {
            fake_room(f, 50);
            fake_settle();
        }
        commit_and_publish(3);
        fake_settle();
        while (f->wait) {
            fake_room(f, 50);
            fake_settle();
        }
        buf_init(&got, 1 << 20);
        events(f, &got, NULL);
        struct buf want, rows;
        buf_init(&want, 1 << 20);
        buf_init(&rows, 1 << 20);
        expect(&want, VIEW_ACTIVITY, (struct slice){ .from = from, .to = UINT64_MAX });
        for (char *e = (char *)(uintptr_t)buf_cstr(&got), *stop; (stop = strstr(e, "\n\n")); e = stop + 2)
            if (strncmp(e, "id: ", 4) == 0)
                buf_put(&rows, e, (size_t)(stop + 2 - e));
            else
                assert_memory_equal(e, "data: {\"type\":\"task.output\",", 28);
        assert_same(&rows, &want);
        buf_fini(&got);
        buf_fini(&want);
        buf_fini(&rows);
        fake_exchange_free(f);
    }
}

static void nonsense_on_the_bus(void **u)
{
    static const uint8_t junk[] = { 0xff, 0xff, 0xff, 0xff, 1, 2, 3 };
    (void)u;
    struct fake_exchange *f = open_view(VIEW_ACTIVITY, "include=output", NULL);
    fake_settle();
    hub_heard(hub, 'E', junk, sizeof junk);
    hub_heard(hub, 'L', junk, sizeof junk);
    hub_heard(hub, 'X', junk, sizeof junk);
    hub_heard(hub, 'E', junk, 0);
    fake_run_ms(10);
    assert_int_equal(hub_subscribers(hub), 1);
    assert_false(f->ended);
    fake_exchange_free(f);
}

int main(void)
{
#define LEVEL_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_level, tear_down)
    const struct CMUnitTest tests[] = {
        LEVEL_TEST(live_in_every_view),   LEVEL_TEST(one_write_for_all_that_is_new),
        LEVEL_TEST(bus_loses_messages),   LEVEL_TEST(broker_goes_and_comes),
        LEVEL_TEST(bus_falls_silent),
        LEVEL_TEST(up_but_questions_fail), LEVEL_TEST(resume_from_everywhere),
        LEVEL_TEST(short_writes),         LEVEL_TEST(cut_at_every_octet),
        LEVEL_TEST(far_behind),           LEVEL_TEST(one_fetch_for_many),
        LEVEL_TEST(resync_said),          LEVEL_TEST(pruned_on_the_way),
        LEVEL_TEST(filters),              LEVEL_TEST(credentials),
        LEVEL_TEST(revocation),           LEVEL_TEST(another_epoch),
        LEVEL_TEST(heartbeats),           LEVEL_TEST(drain),
        LEVEL_TEST(not_logged),           LEVEL_TEST(live_to_slow_readers),
        LEVEL_TEST(nonsense_on_the_bus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
