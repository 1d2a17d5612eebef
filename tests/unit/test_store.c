// links: broker common lmdb xxhash protobuf-c sodium uv systemd fail_alloc
// The store on a real file: order, prefixes, deletion under a cursor, a full map, damaged and truncated files.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "fail_alloc.h"
#include "log.h"
#include "map.h"
#include "record.h"
#include "store.h"
#include "temp_dir.h"

static char dir[TEMP_DIR_MAX];

static int make_dir(void **state)
{
    (void)state;
    return temp_dir_make(dir, "store") ? 0 : -1;
}

static int drop_dir(void **state)
{
    (void)state;
    return temp_dir_drop(dir);
}

static struct key number(uint64_t a, uint64_t b)
{
    struct key k = { .n = 0 };
    key_u64(&k, a);
    if (b)
        key_u64(&k, b);
    return k;
}

static void fill(struct store *s, uint64_t prefix, uint64_t n)
{
    struct txn *t;
    assert_int_equal(store_begin(s, true, &t), ERR_OK);
    for (uint64_t i = 1; i <= n; i++) {
        struct key k = number(prefix, i);
        assert_int_equal(store_put(t, DB_TASK, &k, &i, sizeof i), ERR_OK);
    }
    assert_int_equal(store_commit(t), ERR_OK);
}

static void order_and_prefix(void **state)
{
    struct store *s;
    struct txn *t;
    struct cursor c;
    struct key p = number(7, 0), k;
    (void)state;
    assert_int_equal(store_open(dir, 64 << 20, false, &s), ERR_OK);
    fill(s, 6, 3);
    fill(s, 7, 5);
    fill(s, 8, 3);
    assert_int_equal(store_begin(s, false, &t), ERR_OK);
    assert_int_equal(cursor_open(&c, t, DB_TASK, &p), ERR_OK);
    uint64_t want = 1;
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c))
        assert_int_equal(key_read_u64(c.key.b + 8), want++);
    assert_int_equal(want, 6);
    for (bool on = cursor_seek_before(&c, NULL); on; on = cursor_prev(&c))
        assert_int_equal(key_read_u64(c.key.b + 8), --want);
    assert_int_equal(want, 1);
    k = number(7, 3);
    assert_true(cursor_seek_before(&c, &k));
    assert_int_equal(key_read_u64(c.key.b + 8), 2);
    k = number(7, 1);
    assert_false(cursor_seek_before(&c, &k));
    assert_int_equal(c.err, ERR_OK);
    cursor_close(&c);
    p = number(UINT64_MAX, 0); // no key lies after this prefix: the end of the database does
    assert_int_equal(cursor_open(&c, t, DB_TASK, &p), ERR_OK);
    assert_false(cursor_seek_before(&c, NULL));
    cursor_close(&c);
    store_abort(t);
    store_close(s);
}

static void deletion_under_a_cursor(void **state)
{
    struct store *s;
    struct txn *t;
    struct cursor c;
    uint64_t left = 0;
    (void)state;
    assert_int_equal(store_open(dir, 64 << 20, false, &s), ERR_OK);
    fill(s, 1, 5000);
    assert_int_equal(store_begin(s, true, &t), ERR_OK);
    assert_int_equal(cursor_open(&c, t, DB_TASK, NULL), ERR_OK);
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c))
        if (key_read_u64(c.key.b + 8) % 3)
            assert_int_equal(cursor_del(&c), ERR_OK);
    cursor_close(&c);
    assert_int_equal(cursor_open(&c, t, DB_TASK, NULL), ERR_OK);
    for (bool on = cursor_seek(&c, NULL); on; on = cursor_next(&c), left++)
        assert_int_equal(key_read_u64(c.key.b + 8) % 3, 0);
    cursor_close(&c);
    assert_int_equal(left, 1666);
    assert_int_equal(store_commit(t), ERR_OK);
    store_close(s);
}

// A full map refuses, changes nothing, and goes on working when there is room.
static void full_map(void **state)
{
    static char big[2000];
    struct store *s;
    struct txn *t;
    struct slice v;
    struct key k = number(1, 1);
    uint64_t n = 0;
    enum err e = ERR_OK;
    (void)state;
    assert_int_equal(store_open(dir, 2 << 20, false, &s), ERR_OK);
    while (!e) {
        struct key next = number(1, n + 1);
        assert_int_equal(store_begin(s, true, &t), ERR_OK);
        e = store_put(t, DB_BLOB, &next, big, sizeof big);
        if (e) {
            store_abort(t);
        } else {
            e = store_commit(t);
            n += e == ERR_OK;
        }
    }
    assert_int_equal(e, ERR_STORAGE_FULL);
    assert_true(n > 300);
    assert_int_equal(store_begin(s, false, &t), ERR_OK);
    assert_int_equal(store_get(t, DB_BLOB, &k, &v), ERR_OK);
    k = number(1, n + 1);
    assert_int_equal(store_get(t, DB_BLOB, &k, &v), ERR_NOT_FOUND);
    store_abort(t);
    struct store_room room;
    assert_int_equal(store_room(s, 0, &room), ERR_OK);
    assert_true(room.map < 200000);
    assert_int_equal(store_begin(s, true, &t), ERR_OK);
    for (uint64_t i = 1; i <= 50; i++) { // what is freed inside the file is room again
        k = number(1, i);
        assert_int_equal(store_del(t, DB_BLOB, &k), ERR_OK);
    }
    assert_int_equal(store_commit(t), ERR_OK);
    uint64_t before = room.map;
    assert_int_equal(store_room(s, 0, &room), ERR_OK);
    assert_true(room.map > before + 50000);
    k = number(1, n + 1);
    store_close(s);
    assert_int_equal(store_open(dir, 8 << 20, false, &s), ERR_OK); // grown by configuration
    assert_int_equal(store_begin(s, true, &t), ERR_OK);
    assert_int_equal(store_put(t, DB_BLOB, &k, big, sizeof big), ERR_OK);
    assert_int_equal(store_commit(t), ERR_OK);
    store_close(s);
}

static void is_there(struct store *s, unsigned n)
{
    struct txn *t;
    assert_int_equal(store_begin(s, false, &t), ERR_OK);
    for (unsigned i = 1; i <= n; i++) {
        struct key k = number(1, i);
        struct slice v;
        assert_int_equal(store_get(t, DB_BLOB, &k, &v), ERR_OK);
        assert_int_equal(v.n, 1 + i * 37 % 9000);
        for (size_t at = 0; at < v.n; at += 97)
            assert_int_equal(v.p[at], (uint8_t)(i * 7 + 1));
    }
    store_abort(t);
}

// The file is longer than what is used, never longer than its limit, and what is written ahead covers nothing.
static void written_ahead(void **state)
{
    enum { MAP = 3 << 20 };
    static uint8_t value[9000];
    struct store *s;
    struct txn *t;
    char path[128];
    unsigned n = 0, ahead = 0;
    (void)state;
    assert_int_equal(store_open(dir, MAP, true, &s), ERR_OK);
    snprintf(path, sizeof path, "%s/store.mdb", dir);
    for (enum err e = ERR_OK; !e; n += !e) {
        struct key k = number(1, n + 1);
        struct stat st;
        uint64_t used, max;
        memset(value, (int)((n + 1) * 7 + 1) & 255, sizeof value);
        assert_int_equal(store_begin(s, true, &t), ERR_OK);
        e = store_put(t, DB_BLOB, &k, value, 1 + (n + 1) * 37 % 9000);
        if (e) {
            assert_int_equal(e, ERR_STORAGE_FULL);
            store_abort(t);
            break;
        }
        e = store_commit(t);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(store_size(s, &used, &max), ERR_OK);
        assert_true(st.st_size <= MAP);
        ahead += (uint64_t)st.st_size > used + 65536;
        if (n == 200) { // it goes on where it was after a new start
            store_close(s);
            assert_int_equal(store_open(dir, MAP, true, &s), ERR_OK);
        }
    }
    assert_true(n > 300 && ahead > n / 2); // (none where the disk is nearly full)
    is_there(s, n);
    store_close(s);
    assert_int_equal(store_open(dir, MAP, true, &s), ERR_OK);
    is_there(s, n);
    store_close(s);
}

static void truncated_file(void **state)
{
    struct store *s;
    char path[128];
    struct stat st;
    (void)state;
    assert_int_equal(store_open(dir, 64 << 20, false, &s), ERR_OK);
    fill(s, 1, 20000);
    store_close(s);
    snprintf(path, sizeof path, "%s/store.mdb", dir);
    assert_int_equal(stat(path, &st), 0);
    for (off_t cut = 4096 * 2; cut < st.st_size; cut += st.st_size / 7) {
        assert_int_equal(truncate(path, st.st_size - cut > 8192 ? st.st_size - cut : 8192), 0);
        assert_int_equal(store_open(dir, 64 << 20, false, &s), ERR_CORRUPT);
    }
    assert_int_equal(truncate(path, 100), 0);
    assert_int_not_equal(store_open(dir, 64 << 20, false, &s), ERR_OK);
}

// Any changed octet of a record is noticed, and of its key; those of schema 1, which an older version wrote, have no part in their key.
static void damaged_record(void **state)
{
    uint8_t rec[RECORD_HEADER + 50], key[17] = "somewhere in here";
    struct record_place at = { DB_TASK, key, sizeof key }, none = { DB_META, NULL, 0 };
    (void)state;
    for (size_t i = RECORD_HEADER; i < sizeof rec; i++)
        rec[i] = (uint8_t)(i * 7);
    for (int schema = 2; schema > 0; schema--) {
        record_header(rec, schema == 2 ? &at : &none, rec + RECORD_HEADER, 50);
        assert_int_equal(rec[0], schema);
        assert_int_equal(record_check(&at, rec, sizeof rec), ERR_OK);
        for (size_t i = 0; i < sizeof rec; i++)
            for (int bit = 0; bit < 8; bit++) {
                rec[i] ^= (uint8_t)(1 << bit);
                assert_int_equal(record_check(&at, rec, sizeof rec), ERR_CORRUPT);
                rec[i] ^= (uint8_t)(1 << bit);
            }
        for (size_t n = 0; n < sizeof rec; n++)
            assert_int_equal(record_check(&at, rec, n), ERR_CORRUPT);
    }
    record_header(rec, &at, rec + RECORD_HEADER, 50);
    for (size_t i = 0; i < sizeof key; i++)
        for (int bit = 0; bit < 8; bit++) {
            key[i] ^= (uint8_t)(1 << bit);
            assert_int_equal(record_check(&at, rec, sizeof rec), ERR_CORRUPT);
            key[i] ^= (uint8_t)(1 << bit);
        }
    at.db = DB_SESSION;
    assert_int_equal(record_check(&at, rec, sizeof rec), ERR_CORRUPT);
}

static void map_holds(void **state)
{
    struct map m = { 0 };
    static char in[4096]; // what should be there
    uint64_t x = 12345;
    (void)state;
    for (int i = 0; i < 200000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        uint64_t k = 1 + x % 4095;
        if (x >> 40 & 1) {
            assert_int_equal(map_put(&m, k, &in[k]), ERR_OK);
            in[k] = 1;
        } else {
            assert_int_equal(map_del(&m, k) != NULL, in[k]);
            in[k] = 0;
        }
    }
    size_t n = 0;
    for (uint64_t k = 1; k < 4096; k++) {
        assert_int_equal(map_get(&m, k) == &in[k], in[k]);
        n += (size_t)in[k];
    }
    assert_int_equal(m.n, n);
    assert_null(map_get(&m, 0));
    map_fini(&m);

    fail_alloc(1);
    assert_int_equal(map_put(&m, 1, &in[1]), ERR_NO_MEMORY);
    assert_true(fail_alloc_done());
    assert_null(map_get(&m, 1));
    assert_int_equal(map_put(&m, 1, &in[1]), ERR_OK);
    map_fini(&m);
}

int main(void)
{
    log_init("test", LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(order_and_prefix, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(deletion_under_a_cursor, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(full_map, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(written_ahead, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(truncated_file, make_dir, drop_dir),
        cmocka_unit_test(damaged_record),
        cmocka_unit_test(map_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
