// links: broker common lmdb xxhash protobuf-c sodium jansson uv systemd nng
// The overview's rates of the last 24 hours against a list of all tasks that ended, at any minute of days; and what is kept for them.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "arena.h"
#include "fleet.h"
#include "query.h"
#include "rnd.h"
#include "store_task.h"
#include "temp_dir.h"

static const uint64_t M = 60000, H = 3600000, D = 86400000;

enum { ENDS = 3000 };
static struct {
    uint64_t ms, duration_ms;
    bool done;
} ends[ENDS];
static unsigned n_ends;
static struct store *store;
static struct fleet *fleet;
static struct arena arena;

static void end_one(uint64_t now, uint64_t workspace)
{
    struct turn turn = { 0 };
    struct work w = { .turn = &turn, .arena = &arena, .now_ms = now };
    bool done = rnd(3) != 0;
    uint64_t duration = rnd(100000);
    arena_reset(&arena);
    assert_int_equal(store_begin(store, true, &w.txn), ERR_OK);
    assert_int_equal(hour_add(&w, workspace, done, duration), ERR_OK);
    assert_int_equal(store_commit(w.txn), ERR_OK);
    if (workspace != 1)
        return;
    ends[n_ends].ms = now;
    ends[n_ends].duration_ms = duration;
    ends[n_ends++].done = done;
}

static void check(uint64_t now)
{
    struct query q = { .store = store, .fleet = fleet, .arena = &arena };
    Wire__Item item = WIRE__ITEM__INIT;
    Wire__Actor actor = WIRE__ACTOR__INIT;
    Wire__Target t = WIRE__TARGET__INIT;
    Wire__Answer a = WIRE__ANSWER__INIT;
    uint64_t done = 0, finished = 0, duration = 0;
    arena_reset(&arena);
    assert_int_equal(query_begin(&q), ERR_OK);
    q.now_ms = now;
    actor.workspace = 1;
    item.actor = &actor;
    item.body_case = WIRE__ITEM__BODY_OVERVIEW;
    item.overview = &t;
    query_run(&q, &item, &a);
    query_end(&q);
    assert_int_equal(a.err, ERR_OK);
    for (unsigned i = 0; i < n_ends; i++) {
        if (ends[i].ms / M + 24 * 60 <= now / M) // to the minute
            continue;
        done += ends[i].done;
        finished++;
        duration += ends[i].duration_ms;
    }
    assert_int_equal(a.overview->done_24h, done);
    assert_int_equal(a.overview->finished_24h, finished);
    assert_int_equal(a.overview->duration_sum_ms_24h, duration);
}

static void against_the_list(void **state)
{
    uint64_t now = 1767225600000;
    struct cursor c;
    struct txn *t;
    unsigned kept = 0;
    (void)state;
    while (n_ends < ENDS) {
        now += rnd(20) ? rnd(10 * M) : rnd(8 * H);
        end_one(now, 1);
        if (rnd(4) == 0)
            end_one(now, 2); // another workspace's
        check(now);
        check(now + rnd(30 * H));
    }
    check(now + 2 * D);
    assert_int_equal(store_begin(store, false, &t), ERR_OK);
    assert_int_equal(cursor_open(&c, t, DB_HOUR, NULL), ERR_OK);
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c))
        kept++;
    cursor_close(&c);
    store_abort(t);
    assert_true(kept <= 2 * 50);
}

// An hour that an older version wrote has no minutes: it counts as a whole, until it is too old altogether.
static void hours_without_minutes(void **state)
{
    uint64_t now = 1800000000000 / H * H + 30 * M;
    Rec__Hour old = REC__HOUR__INIT;
    struct key k = { .n = 0 };
    struct txn *t;
    (void)state;
    n_ends = 0;
    old.done = 2;
    old.duration_ms = 10;
    assert_int_equal(store_begin(store, true, &t), ERR_OK);
    assert_int_equal(rec_put(t, &arena, DB_HOUR, key_u64(key_u64(&k, 1), now / H), &old), ERR_OK);
    assert_int_equal(store_commit(t), ERR_OK);
    end_one(now, 1);
    uint64_t was = ends[0].duration_ms;
    for (unsigned i = 0; i < 2; i++) { // what the record says of the time before counts as of this minute, for the list
        ends[n_ends].ms = now - 20 * M;
        ends[n_ends].done = true;
        ends[n_ends++].duration_ms = 5;
    }
    check(now);
    check(now + 23 * H);
    n_ends = 1;
    ends[0].duration_ms = was;
    check(now + 24 * H - M);
    n_ends = 0;
    check(now + 24 * H);
}

int main(void)
{
    char dir[TEMP_DIR_MAX];
    struct fleet_conf none = { 0 };
    if (!temp_dir_make(dir, "hours") || store_open(dir, 256 << 20, false, &store) || fleet_new(&none, &fleet))
        return 1;
    arena_init(&arena, 64 << 20);
    const struct CMUnitTest tests[] = { cmocka_unit_test(against_the_list), cmocka_unit_test(hours_without_minutes) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    store_close(store);
    (void)temp_dir_drop(dir);
    arena_fini(&arena);
    return failed;
}
