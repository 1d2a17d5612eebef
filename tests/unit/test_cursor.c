// links: gateway common protobuf-c fail_alloc
// Blocks, their cache, and cursors over them: whatever the socket takes of a plan, the octets that go out are the same.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "buf.h"
#include "cursor.h"
#include "fail_alloc.h"
#include "rnd.h"

// ---------------------------------------------------------------- the tail: blocks in memory, some of them missing

enum { BLOCKS = 12, PER_BLOCK = 20 };
static struct block *block[BLOCKS];
static bool missing[BLOCKS];
static uint64_t next_number;

uint64_t tail_next(const struct tail *t)
{
    (void)t;
    return next_number;
}

const struct block *tail_find(struct tail *t, enum event_view view, uint64_t *number)
{
    (void)t;
    (void)view;
    for (unsigned i = 0; i < BLOCKS; i++)
        if (block[i] && !missing[i] && block[i]->first <= *number && *number < block[i]->next)
            return block[i];
    return NULL;
}

// Frames of every kind of length; each third number is none of this view's.
static void fill(void)
{
    char frame[600];

    next_number = 1;
    for (unsigned i = 0; i < BLOCKS; i++) {
        block[i] = block_new(next_number);
        assert_non_null(block[i]);
        missing[i] = false;
        for (unsigned k = 0; k < PER_BLOCK; k++, next_number++) {
            struct block_what what = { next_number, 1 + next_number % 2, 1 + next_number % 3, 1 + next_number % 5, (unsigned)(next_number % 4) };
            if (next_number % 3 == 0)
                continue;
            int n = snprintf(frame, sizeof frame, "%0*lu\n", 1 + (int)(rnd(500)), (unsigned long)next_number);
            assert_int_equal(block_put(block[i], &what, frame, (size_t)n), ERR_OK);
        }
        block[i]->next = next_number;
    }
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < BLOCKS; i++) {
        block_free(block[i]);
        block[i] = NULL;
    }
    return 0;
}

// What a client of that cursor must see of the rows from `from` on, up to the first missing block.
static void expect(struct buf *out, const struct cursor *c, const struct stream_query *q, uint64_t from)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        if (block[i]->next <= from)
            continue;
        if (missing[i])
            return;
        for (unsigned k = 0; k < block[i]->n; k++) {
            const struct block_entry *e = &block[i]->entries[k];
            bool desktop = q->n_desktops == 0, agent = q->n_agents == 0;
            for (unsigned j = 0; j < q->n_desktops; j++)
                desktop |= q->desktops[j] == e->desktop;
            for (unsigned j = 0; j < q->n_agents; j++)
                agent |= q->agents[j] == e->agent;
            if (block[i]->first + e->slot < from || e->workspace != c->workspace || !(q->kinds & block_bit(e->kind)) || !desktop || !agent)
                continue;
            buf_put(out, block[i]->text + e->at + (c->bare ? e->head : 0), c->bare ? (size_t)(e->len - e->head - 2) : e->len);
        }
    }
}

static void take(struct buf *out, const struct cursor_plan *p, size_t w)
{
    for (unsigned i = 0; i < p->n && w; i++) {
        size_t n = p->v[i].iov_len < w ? p->v[i].iov_len : w;
        buf_put(out, p->v[i].iov_base, n);
        w -= n;
    }
}

static void any_pieces(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 400; round++) {
        seed = 77 + round;
        tear_down(NULL);
        fill();
        struct stream_query q = { .kinds = round % 3 == 0 ? 5 : UINT64_MAX };
        if (round % 4 == 1)
            q.n_desktops = 2, q.desktops[0] = 1, q.desktops[1] = 3;
        if (round % 5 == 1)
            q.n_agents = 1, q.agents[0] = 2;
        struct cursor c;
        struct cursor_plan p;
        struct buf got, want;
        assert_int_equal(cursor_init(&c, VIEW_ACTIVITY, &q, round % 2 == 1), ERR_OK);
        c.workspace = 1;
        c.number = 1 + rnd(next_number);
        buf_init(&got, 1 << 20);
        buf_init(&want, 1 << 20);
        if (round % 7 == 0)
            missing[rnd(BLOCKS)] = true;
        expect(&want, &c, &q, c.number);
        for (unsigned step = 0; step < 100000; step++) {
            cursor_plan(&c, NULL, NULL, false, &p);
            bool over = p.octets == 0 && p.end != CURSOR_MORE;
            size_t w = rnd(3) ? p.octets : rnd(p.octets + 1);
            take(&got, &p, w);
            assert_int_equal(cursor_wrote(&c, NULL, NULL, &p, w), ERR_OK);
            if (over)
                break;
            if (rnd(16) == 0) { // what is begun is finished, and no more
                cursor_plan(&c, NULL, NULL, true, &p);
                take(&got, &p, p.octets);
                assert_int_equal(cursor_wrote(&c, NULL, NULL, &p, p.octets), ERR_OK);
                assert_false(cursor_inside(&c));
            }
        }
        assert_int_equal(p.end, c.number < next_number ? CURSOR_MISSING : CURSOR_LEVEL);
        assert_int_equal(got.len, want.len);
        if (want.len)
            assert_memory_equal(got.data, want.data, want.len);
        buf_fini(&got);
        buf_fini(&want);
        cursor_fini(&c);
    }
}

// More frames than one write has pieces for, and one that is too long for one write: the rest comes with the next plan.
static void large(void **state)
{
    static char frame[60000];
    struct stream_query q = { .kinds = UINT64_MAX };
    struct cursor c;
    struct cursor_plan p;
    size_t octets = 0;

    (void)state;
    tear_down(NULL);
    memset(frame, 'x', sizeof frame);
    next_number = 1;
    for (unsigned i = 0; i < 2; i++) {
        block[i] = block_new(next_number);
        missing[i] = false;
        for (unsigned k = 0; k < 200; k++, next_number++) {
            struct block_what what = { next_number, 1 + k % 2, 0, 0, 0 };
            assert_int_equal(block_put(block[i], &what, frame, i ? 3 : sizeof frame), ERR_OK);
        }
        block[i]->next = next_number;
    }
    assert_int_equal(cursor_init(&c, VIEW_ACTIVITY, &q, false), ERR_OK);
    c.number = 1;
    c.workspace = 1;
    for (unsigned plans = 1; ; plans++) {
        cursor_plan(&c, NULL, NULL, false, &p);
        octets += p.octets;
        assert_true(p.octets <= CURSOR_OCTETS + sizeof frame + 20 && p.n <= CURSOR_PIECES);
        assert_int_equal(cursor_wrote(&c, NULL, NULL, &p, p.octets), ERR_OK);
        if (p.end == CURSOR_LEVEL) {
            assert_true(plans > 20);
            break;
        }
        assert_int_equal(p.end, CURSOR_MORE);
    }
    assert_int_equal(octets, 100 * (sizeof frame + 8) + 100 * (3 + 5));
    cursor_fini(&c);
}

// Live frames are what a level cursor sees beside the rows: the one that was cut is gone on with, those behind it are missed.
static void live(void **state)
{
    static char big[50000];
    struct block *l = block_new(0);
    struct stream_query q = { .kinds = UINT64_MAX };
    struct cursor c;
    struct cursor_plan p;
    struct buf got;

    (void)state;
    assert_non_null(l);
    tear_down(NULL);
    next_number = 1;
    buf_init(&got, 1 << 20);
    assert_int_equal(block_put(l, &(struct block_what){ 0, 2, 0, 0, BLOCK_KIND_OUTPUT }, "nobody's", 8), ERR_OK);
    assert_int_equal(block_put(l, &(struct block_what){ 0, 1, 0, 0, BLOCK_KIND_OUTPUT }, "one", 3), ERR_OK);
    assert_int_equal(block_put(l, &(struct block_what){ 0, 2, 0, 0, BLOCK_KIND_OUTPUT }, "nobody's", 8), ERR_OK);
    assert_int_equal(block_put(l, &(struct block_what){ 0, 1, 0, 0, BLOCK_KIND_METRICS }, "two", 3), ERR_OK);
    assert_int_equal(cursor_init(&c, VIEW_ACTIVITY, &q, false), ERR_OK);
    c.number = 1;
    c.workspace = 1;
    for (size_t w = 0; w <= 16; w++) {
        buf_reset(&got);
        cursor_plan(&c, NULL, l, false, &p);
        assert_true(p.live && p.octets == 16 && p.end == CURSOR_LEVEL);
        take(&got, &p, w);
        assert_int_equal(cursor_wrote(&c, NULL, l, &p, w), ERR_OK);
        assert_int_equal(cursor_inside(&c), w % 8 != 0);
        for (unsigned step = 0; cursor_inside(&c); step++) { // octet by octet
            cursor_plan(&c, NULL, NULL, true, &p);
            take(&got, &p, 1);
            assert_int_equal(cursor_wrote(&c, NULL, NULL, &p, 1), ERR_OK);
            assert_true(step < 8);
        }
        assert_string_equal(buf_cstr(&got), w == 0 ? "" : w <= 8 ? "3\r\none\r\n" : "3\r\none\r\n3\r\ntwo\r\n");
    }

    // Words of its own go out before anything, in order, even while others still wait.
    buf_reset(&got);
    assert_int_equal(cursor_say(&c, "first", 5), ERR_OK);
    assert_int_equal(cursor_say(&c, "second", 6), ERR_OK);
    cursor_plan(&c, NULL, l, false, &p);
    take(&got, &p, p.octets);
    assert_int_equal(cursor_wrote(&c, NULL, l, &p, p.octets), ERR_OK);
    assert_string_equal(buf_cstr(&got), "5\r\nfirst\r\n6\r\nsecond\r\n3\r\none\r\n3\r\ntwo\r\n");

    // More than one write may hold: those that do not fit are missed, unless nothing was in the way before.
    memset(big, 'y', sizeof big);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(block_put(l, &(struct block_what){ 0, 1, 0, 0, BLOCK_KIND_OUTPUT }, big, sizeof big), ERR_OK);
    cursor_plan(&c, NULL, l, false, &p);
    assert_true(p.octets >= CURSOR_OCTETS && p.octets < CURSOR_OCTETS + sizeof big + 20);
    block_clear(l);
    for (unsigned i = 0; i < 3 * CURSOR_PIECES; i++)
        assert_int_equal(block_put(l, &(struct block_what){ 0, 1 + i % 2, 0, 0, BLOCK_KIND_OUTPUT }, "z", 1), ERR_OK);
    cursor_plan(&c, NULL, l, false, &p);
    assert_int_equal(p.n, CURSOR_PIECES);
    cursor_fini(&c);
    block_free(l);
    buf_fini(&got);
}

// A row is cut, and its block is gone when the rest is due: the cursor stays inside of it until the block is there again.
static void cut_and_missing(void **state)
{
    struct stream_query q = { .kinds = UINT64_MAX };
    struct cursor c;
    struct cursor_plan p;

    (void)state;
    tear_down(NULL);
    fill();
    assert_int_equal(cursor_init(&c, VIEW_ACTIVITY, &q, false), ERR_OK);
    c.number = 1;
    c.workspace = 1;
    cursor_plan(&c, NULL, NULL, false, &p);
    assert_int_equal(cursor_wrote(&c, NULL, NULL, &p, 3), ERR_OK);
    assert_true(cursor_inside(&c));
    missing[0] = true;
    for (unsigned i = 0; i < 2; i++) {
        cursor_plan(&c, NULL, NULL, i == 0, &p);
        assert_true(p.octets == 0 && p.end == CURSOR_MISSING && !p.rows);
        assert_int_equal(cursor_wrote(&c, NULL, NULL, &p, 0), ERR_OK);
        assert_true(cursor_inside(&c));
    }
    missing[0] = false;
    cursor_plan(&c, NULL, NULL, true, &p);
    assert_int_equal(cursor_wrote(&c, NULL, NULL, &p, p.octets), ERR_OK);
    assert_false(cursor_inside(&c));
    cursor_fini(&c);
}

// ---------------------------------------------------------------- blocks

static void blocks(void **state)
{
    static char frame[0x10000];
    struct block_what what = { .number = 7 };
    struct block *b = block_new(5);

    (void)state;
    assert_non_null(b);
    memset(frame, 'x', sizeof frame);
    assert_int_equal(block_put(b, &what, frame, 0), ERR_TOO_BIG);
    assert_int_equal(block_put(b, &what, frame, 0xff01), ERR_TOO_BIG);
    assert_int_equal(block_put(b, &what, frame, 0xff00), ERR_OK);
    what.number = 9;
    assert_int_equal(block_put(b, &what, "abc", 3), ERR_OK);
    assert_int_equal(b->entries[0].len, 0xff00 + 8);
    assert_memory_equal(b->text + b->entries[1].at, "3\r\nabc\r\n", 8);
    static const struct { uint64_t number; unsigned index; } from[] = { { 0, 0 }, { 5, 0 }, { 7, 0 }, { 8, 1 }, { 9, 1 }, { 10, 2 }, { 1000, 2 } };
    for (size_t i = 0; i < sizeof from / sizeof *from; i++)
        assert_int_equal(block_from(b, from[i].number), from[i].index);
    block_free(b);
    block_free(NULL);
}

static struct block *made(uint64_t first, uint64_t next, size_t octets)
{
    static char frame[4096];
    struct block_what what = { .number = first };
    struct block *b = block_new(first);

    assert_non_null(b);
    memset(frame, 'x', sizeof frame);
    if (octets)
        assert_int_equal(block_put(b, &what, frame, octets), ERR_OK);
    b->next = next;
    return b;
}

static void cache(void **state)
{
    struct blocks c;

    (void)state;
    blocks_init(&c, 9000);
    blocks_put(&c, made(0, 10, 3000));
    blocks_put(&c, made(20, 30, 0)); // without a frame: numbers of no view
    blocks_put(&c, made(10, 20, 3000));
    assert_int_equal(blocks_find(&c, 9)->first, 0);
    assert_int_equal(blocks_find(&c, 25)->first, 20);
    assert_null(blocks_find(&c, 30));
    assert_null(blocks_find(&c, 600));
    assert_int_equal(blocks_after(&c, 30), BLOCK_NUMBERS);
    assert_int_equal(blocks_after(&c, 5), 10);
    assert_int_equal(blocks_after(&c, 15), 20);
    assert_int_equal(blocks_after(&c, 600), 2 * BLOCK_NUMBERS);
    (void)blocks_find(&c, 5); // the one used longest ago is now 10's
    blocks_put(&c, made((uint64_t)BLOCKS_BUCKETS * BLOCK_NUMBERS, (uint64_t)BLOCKS_BUCKETS * BLOCK_NUMBERS + 1, 3000)); // of the same bucket
    assert_int_equal(blocks_after(&c, 30), BLOCK_NUMBERS);
    assert_null(blocks_find(&c, 15));
    assert_non_null(blocks_find(&c, 5));
    assert_true(c.octets <= c.max);
    blocks_clear(&c);
    assert_int_equal(c.octets, 0);
    c.max = 100;
    blocks_put(&c, made(0, 10, 3000)); // one is kept, however large
    assert_non_null(blocks_find(&c, 5));
    blocks_fini(&c);
}

static void no_memory(void **state)
{
    struct stream_query q = { .kinds = UINT64_MAX, .n_desktops = 1 };

    (void)state;
    for (unsigned n = 1; n == 1 || fail_alloc_done(); n++) {
        struct block_what what = { 0 };
        struct cursor c;
        struct cursor_plan p;
        struct block *b;

        fail_alloc(n);
        enum err e = cursor_init(&c, VIEW_ACTIVITY, &q, false);
        assert_int_equal(e, fail_alloc_failed ? ERR_NO_MEMORY : ERR_OK);
        if (!e) {
            e = cursor_say(&c, "first", 5);
            assert_int_equal(e, fail_alloc_failed ? ERR_NO_MEMORY : ERR_OK);
            b = block_new(0);
            assert_true(b || fail_alloc_failed);
            if (b && !e) {
                e = block_put(b, &what, "abc", 3);
                if (!e) {
                    struct blocks cached;
                    c.ids = (free(c.ids), NULL);
                    next_number = 1;
                    cursor_plan(&c, NULL, b, false, &p);
                    e = cursor_wrote(&c, NULL, b, &p, 12); // "5\r\nfirst\r\n" and two octets
                    blocks_init(&cached, 1000);
                    blocks_put(&cached, b); // what cannot be trimmed stays as it is
                    assert_ptr_equal(blocks_find(&cached, 0), NULL);
                    assert_memory_equal(b->text, "3\r\nabc\r\n", 8);
                    blocks_fini(&cached);
                    b = NULL;
                }
                assert_true(e == ERR_OK || (e == ERR_NO_MEMORY && fail_alloc_failed));
            }
            block_free(b);
        }
        cursor_fini(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(any_pieces, tear_down),
        cmocka_unit_test_teardown(large, tear_down),
        cmocka_unit_test_teardown(live, tear_down),
        cmocka_unit_test_teardown(cut_and_missing, tear_down),
        cmocka_unit_test(blocks),
        cmocka_unit_test(cache),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
