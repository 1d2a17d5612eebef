// links: worker common protobuf-c fail_alloc
// The ring of a run's output: against a model that keeps everything, with pieces of all sizes in both streams.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "fail_alloc.h"
#include "output.h"

enum { MODEL_MAX = 8 * 1024 * 1024 };

static uint64_t seed = 88172645463325252ULL;
static uint64_t random_u64(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

struct model {
    uint8_t *data, *stream;
    uint64_t total;
};

static void put(struct output *o, struct model *m, enum stream s, size_t n)
{
    static uint8_t b[OUTPUT_PIECE_MAX];
    for (size_t i = 0; i < n; i++)
        b[i] = (uint8_t)random_u64();
    assert_int_equal(output_reserve(o, n), ERR_OK);
    output_put(o, s, b, n);
    assert_true(m->total + n <= MODEL_MAX);
    memcpy(m->data + m->total, b, n);
    memset(m->stream + m->total, (int)s, n);
    m->total += n;
}

// Walks all pieces from `from`: each octet and its stream as in the model, the hole exactly where it must be.
static void compare(const struct output *o, const struct model *m, uint64_t from, size_t max)
{
    struct piece p;
    uint64_t at = from, tail = m->total > OUTPUT_TAIL ? m->total - OUTPUT_TAIL : 0;
    if (tail < OUTPUT_HEAD)
        tail = OUTPUT_HEAD;
    assert_int_equal(o->total, m->total);
    while (output_next(o, at, max, &p)) {
        assert_in_range(p.n, 1, max);
        if (at >= OUTPUT_HEAD && at < tail)
            at = tail; // the hole
        assert_int_equal(p.offset, at);
        assert_memory_equal(p.data, m->data + at, p.n);
        for (size_t i = 0; i < p.n; i++)
            assert_int_equal(m->stream[at + i], p.stream);
        at += p.n;
    }
    assert_int_equal(at, m->total > from ? m->total : from);
}

static void test_against_model(void **state)
{
    (void)state;
    static const size_t sizes[][2] = { { 1, 3 }, { 1, 200 }, { 1000, 65536 }, { 65536, 65536 }, { 1, 65536 } };
    struct model m = { malloc(MODEL_MAX), malloc(MODEL_MAX), 0 };
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        struct output o;
        output_init(&o, 0);
        m.total = 0;
        for (int i = 0; i < 300 && m.total < MODEL_MAX - 2 * OUTPUT_PIECE_MAX; i++) {
            size_t n = sizes[k][0] + random_u64() % (sizes[k][1] - sizes[k][0] + 1);
            put(&o, &m, random_u64() % 3 ? STREAM_STDOUT : STREAM_STDERR, n);
            if (i % 37 == 0)
                compare(&o, &m, 0, i % 2 ? OUTPUT_PIECE_MAX : 777);
        }
        compare(&o, &m, 0, OUTPUT_PIECE_MAX);
        assert_true(o.head_cap <= OUTPUT_HEAD && o.tail_cap <= OUTPUT_TAIL);
        output_fini(&o);
    }
    free(m.data);
    free(m.stream);
}

static void test_memory_follows_output(void **state)
{
    (void)state;
    struct output o;
    output_init(&o, 0);
    assert_null(o.head);
    assert_int_equal(output_reserve(&o, 10), ERR_OK);
    assert_true(o.head_cap <= 4096 && o.tail_cap == 0);
    output_fini(&o);
    output_init(&o, 0); // a reservation that is not used, over the seam of the two
    assert_int_equal(output_reserve(&o, OUTPUT_PIECE_MAX), ERR_OK);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(output_reserve(&o, OUTPUT_PIECE_MAX), ERR_OK);
        static const uint8_t zero[OUTPUT_PIECE_MAX];
        output_put(&o, STREAM_STDOUT, zero, OUTPUT_PIECE_MAX);
    }
    assert_int_equal(o.total, OUTPUT_HEAD);
    assert_int_equal(o.tail_cap, 0);
    output_fini(&o);
}

static void test_acks(void **state)
{
    (void)state;
    struct output o;
    struct piece p;
    struct model m = { malloc(MODEL_MAX), malloc(MODEL_MAX), 0 };
    output_init(&o, 0);
    put(&o, &m, STREAM_STDOUT, 1000);
    output_ack(&o, 400);
    assert_true(output_next(&o, 0, 100000, &p));
    assert_int_equal(p.offset, 400);
    assert_int_equal(p.n, 600);
    output_ack(&o, 300); // goes back: ignored
    assert_int_equal(o.acked, 400);
    output_ack(&o, 5000); // beyond: clipped
    assert_int_equal(o.acked, 1000);
    assert_false(output_next(&o, 0, 100000, &p));
    // An acknowledgement that lies in what has fallen out: the next piece is the oldest that is left.
    for (int i = 0; i < 40; i++)
        put(&o, &m, STREAM_STDERR, OUTPUT_PIECE_MAX);
    output_ack(&o, OUTPUT_HEAD + 5);
    assert_true(output_next(&o, 0, 100000, &p));
    assert_int_equal(p.offset, m.total - OUTPUT_TAIL);
    compare(&o, &m, OUTPUT_HEAD + 5, 5000);
    output_fini(&o);
    free(m.data);
    free(m.stream);
}

// What the spool gives back: pieces with holes, from any offset, read again as they were.
static void test_restore(void **state)
{
    (void)state;
    static const uint64_t starts[] = { 0, 1, 4095, OUTPUT_HEAD - 1, OUTPUT_HEAD, OUTPUT_HEAD + 1, OUTPUT_HEAD + OUTPUT_TAIL + 12345, 1ULL << 40 };
    static uint8_t b[OUTPUT_PIECE_MAX];
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        struct output o;
        struct piece p;
        uint64_t at = starts[i];
        output_init(&o, starts[i]);
        for (int k = 0; k < 11; k++, at += sizeof b) {
            memset(b, k + 1, sizeof b);
            assert_int_equal(output_reserve(&o, sizeof b), ERR_OK);
            output_put(&o, k % 2 ? STREAM_STDERR : STREAM_STDOUT, b, sizeof b);
        }
        uint64_t from = starts[i];
        for (int k = 0; output_next(&o, from, OUTPUT_PIECE_MAX, &p); from = p.offset + p.n) {
            assert_int_equal(p.offset, from);
            k = (int)((from - starts[i]) / sizeof b);
            assert_int_equal(p.data[0], k + 1);
            assert_int_equal(p.data[p.n - 1], k + 1);
            assert_int_equal(p.stream, k % 2 ? STREAM_STDERR : STREAM_STDOUT);
        }
        assert_int_equal(from, o.total);
        assert_int_equal(output_skip(&o, o.total - 1), ERR_INVALID_FIELD);
        assert_int_equal(output_skip(&o, o.total + 100), ERR_OK);
        assert_false(output_next(&o, OUTPUT_HEAD, 10, &p)); // the tail holds what came last
        assert_int_equal(output_reserve(&o, 5), ERR_OK);
        output_put(&o, STREAM_STDOUT, (const uint8_t *)"after", 5);
        assert_true(output_next(&o, o.total - 5, 10, &p));
        assert_memory_equal(p.data, "after", 5);
        output_fini(&o);
    }
    struct output o;
    output_init(&o, 0);
    assert_int_equal(output_skip(&o, 10), ERR_INVALID_FIELD); // there are no holes in the head
    assert_int_equal(output_skip(&o, 0), ERR_OK);
    assert_int_equal(output_reserve(&o, 1), ERR_OK);
    output_put(&o, STREAM_STDOUT, (const uint8_t *)"x", 1);
    struct piece p;
    assert_false(output_next(&o, 0, 0, &p));
    output_fini(&o);
}

// Without memory nothing is taken, and what is there stays whole.
static void test_no_memory(void **state)
{
    static uint8_t b[OUTPUT_PIECE_MAX];

    (void)state;
    for (unsigned n = 1; n == 1 || fail_alloc_done(); n++) {
        struct output o;
        struct piece p;
        uint64_t at = 0;

        output_init(&o, 0);
        fail_alloc(n);
        for (unsigned i = 0; i < 20; i++) {
            enum err e = output_reserve(&o, sizeof b);
            if (e) { // once more, when there is memory again
                assert_true(e == ERR_NO_MEMORY && fail_alloc_failed);
                e = output_reserve(&o, sizeof b);
            }
            assert_int_equal(e, ERR_OK);
            memset(b, (int)i, sizeof b);
            output_put(&o, STREAM_STDOUT, b, sizeof b);
        }
        for (; output_next(&o, at, sizeof b, &p); at = p.offset + p.n)
            if (p.offset >= o.tail_from || p.offset + p.n <= OUTPUT_HEAD)
                assert_int_equal(p.data[0], p.offset / sizeof b);
        assert_int_equal(at, 20 * sizeof b);
        output_fini(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_model),
        cmocka_unit_test(test_memory_follows_output),
        cmocka_unit_test(test_acks),
        cmocka_unit_test(test_restore),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
