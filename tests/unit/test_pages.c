// links: broker common lmdb xxhash protobuf-c sodium uv systemd
// A whole store passes the check; one octet changed anywhere is noticed, or changes nothing that is read; so with pages that are
// cut off, emptied or exchanged. LMDB opens only what passed: a crash of it fails the test.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../crash/storage_read.h"
#include "log.h"
#include "rnd.h"
#include "store_check.h"
#include "temp_dir.h"

static char dir[TEMP_DIR_MAX], path[TEMP_DIR_MAX + 16];
static uint8_t *whole;       // the file
static size_t whole_n;
static uint64_t digest, records;
static uint32_t page_size;

static void read_all(uint64_t *ret_digest, uint64_t *ret_records)
{
    struct store *s;
    assert_int_equal(store_open_to_read(dir, &s), ERR_OK);
    assert_int_equal(digest_of(s, ret_digest, ret_records), ERR_OK);
    store_close(s);
}

// Trees of three levels, values of several pages, pages that were freed.
static int make_store(void **state)
{
    static uint8_t value[20000];
    struct store *s;
    struct txn *t;
    struct stat st;
    (void)state;
    if (!temp_dir_make(dir, "pages"))
        return -1;
    snprintf(path, sizeof path, "%s/store.mdb", dir);
    assert_int_equal(store_open(dir, 64 << 20, false, &s), ERR_OK);
    for (int round = 0; round < 12; round++) {
        assert_int_equal(store_begin(s, true, &t), ERR_OK);
        for (uint64_t i = 0; i < 400; i++) {
            struct key k = { .n = 0 };
            enum store_db db = i % 80 == 7 ? DB_BLOB : i % 3 ? DB_INDEX : DB_TASK;
            key_u64(key_u64(&k, rnd(3)), rnd(4000));
            if (db == DB_INDEX)
                key_bytes(&k, value, 40);
            memset(value, (int)rnd(256), sizeof value);
            enum err e = rnd(6) ? store_put(t, db, &k, value, db == DB_BLOB ? rnd(sizeof value) : rnd(120)) : store_del(t, db, &k);
            assert_true(e == ERR_OK || e == ERR_NOT_FOUND);
        }
        assert_int_equal(store_commit(t), ERR_OK);
        struct pages_found found; // what every commit leaves is whole
        assert_int_equal(store_check(dir, NULL, &found), ERR_OK);
        assert_true(found.pages && !found.lost);
    }
    store_close(s);
    read_all(&digest, &records);
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &st) != 0 || !(whole = malloc((size_t)st.st_size)) || read(fd, whole, (size_t)st.st_size) != st.st_size)
        return -1;
    close(fd);
    whole_n = (size_t)st.st_size;
    memcpy(&page_size, whole + 16 + 24, 4);
    return 0;
}

static int drop_store(void **state)
{
    (void)state;
    free(whole);
    return temp_dir_drop(dir);
}

static void put(size_t at, const void *p, size_t n)
{
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, p, n, (off_t)at), (ssize_t)n);
    close(fd);
}

static void put_back(void)
{
    assert_int_equal(truncate(path, (off_t)whole_n), 0);
    put(0, whole, whole_n);
}

// What it says of each of thousands is not shown.
static enum err check(void)
{
    static int shown = -1, nowhere = -1;
    struct pages_found found;
    if (shown < 0)
        shown = dup(STDERR_FILENO), nowhere = open("/dev/null", O_WRONLY);
    assert_true(shown >= 0 && nowhere >= 0 && dup2(nowhere, STDERR_FILENO) == STDERR_FILENO);
    enum err e = store_check(dir, NULL, &found);
    assert_int_equal(dup2(shown, STDERR_FILENO), STDERR_FILENO);
    return e;
}

// Noticed, or of no importance.
static int judge(void)
{
    uint64_t d, n;
    enum err e = check();
    if (e) {
        assert_int_equal(e, ERR_CORRUPT);
        return 1;
    }
    read_all(&d, &n);
    assert_true(d == digest);
    assert_true(n == records);
    return 0;
}

static void a_whole_one(void **state)
{
    struct pages_found found;
    (void)state;
    assert_int_equal(store_check(dir, NULL, &found), ERR_OK);
    assert_true(found.records == records && records > 1000);
    assert_true(found.pages == whole_n / page_size && found.free > 10 && found.lost == 0);
}

static void one_octet(void **state)
{
    unsigned noticed = 0, n = 0;
    (void)state;
    for (size_t at = 0; at < whole_n; at += 1 + (size_t)rnd(whole_n / 500), n++) {
        uint8_t b = whole[at] ^ (uint8_t)(1 + rnd(255));
        put(at, &b, 1);
        noticed += (unsigned)judge();
        put(at, &whole[at], 1);
    }
    assert_true(noticed > n / 4); // the rest lies in free pages and between the nodes of others
}

// The newer head, the older, and the head of every page that is in use.
static void every_octet_of_heads(void **state)
{
    (void)state;
    for (size_t page = 0; page < whole_n / page_size; page += page < 2 ? 1 : 1 + (size_t)rnd(24))
        for (size_t i = 0; i < (page < 2 ? 16 + 136 : 16); i++) {
            size_t at = page * page_size + i;
            uint8_t b = whole[at] ^ (uint8_t)(1 << rnd(8));
            put(at, &b, 1);
            (void)judge();
            put(at, &whole[at], 1);
        }
}

static void whole_pages(void **state)
{
    static const uint8_t zero[32768];
    size_t pages = whole_n / page_size;
    (void)state;
    for (size_t i = 0; i < pages; i++) {
        put(i * page_size, zero, page_size);
        (void)judge();
        if (i % 3 == 0) {
            put(i * page_size, whole + rnd(pages) * page_size, page_size); // a page that is whole, in another's place
            (void)judge();
        }
        put(i * page_size, whole + i * page_size, page_size);
    }
    put(0, whole + page_size, page_size); // the heads exchanged
    put(page_size, whole, page_size);
    assert_int_equal(check(), ERR_CORRUPT);
    put_back();
}

// One that goes back to what was before the last commit would lose what was acknowledged.
static void the_newer_head_lost(void **state)
{
    uint64_t txn[2];
    (void)state;
    memcpy(&txn[0], whole + 16 + 128, 8);
    memcpy(&txn[1], whole + page_size + 16 + 128, 8);
    size_t newer = txn[1] > txn[0] ? page_size : 0;
    for (size_t i = 0; i < 16 + 136; i++)
        for (int bit = 0; bit < 8; bit++) {
            uint8_t b = whole[newer + i] ^ (uint8_t)(1 << bit);
            put(newer + i, &b, 1);
            (void)judge();
            put(newer + i, &whole[newer + i], 1);
        }
}

static void cut_off(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        size_t n = 1 + (size_t)rnd(whole_n - 1);
        assert_int_equal(truncate(path, (off_t)n), 0);
        assert_int_equal(check(), ERR_CORRUPT);
        put_back();
    }
    assert_int_equal(truncate(path, (off_t)(whole_n + 5000)), 0); // longer is no damage
    assert_int_equal(judge(), 0);
    put_back();
}

static void garbage(void **state)
{
    struct pages_found found;
    uint8_t *g = malloc(whole_n);
    (void)state;
    assert_non_null(g);
    for (size_t i = 0; i < whole_n; i++)
        g[i] = (uint8_t)rnd(256);
    put(0, g, whole_n);
    assert_int_equal(check(), ERR_CORRUPT);
    put(0, whole, 2 * page_size); // only the heads are right
    assert_int_equal(check(), ERR_CORRUPT);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(store_check(dir, NULL, &found), ERR_OK);
    assert_true(found.pages == 0);
    put_back();
    free(g);
}

// A database that has another name would be taken for none, and one without a record be made in its place.
static void another_name(void **state)
{
    (void)state;
    for (size_t i = 0; i + 7 < whole_n; i++)
        if (memcmp(whole + i, "webhook", 7) == 0) {
            put(i, "webhoop", 7);
            (void)judge(); // the page may be an old one
            put(i, "webhook", 7);
        }
}

// What mdb_copy makes, as it is and with -c.
static void copies(void **state)
{
    char copy[TEMP_DIR_MAX], to[TEMP_DIR_MAX + 16];
    (void)state;
    for (unsigned flags = 0; flags <= MDB_CP_COMPACT; flags += MDB_CP_COMPACT) {
        struct pages_found found;
        MDB_env *env;
        assert_true(temp_dir_make(copy, "pages"));
        snprintf(to, sizeof to, "%s/store.mdb", copy);
        assert_int_equal(mdb_env_create(&env), 0);
        assert_int_equal(mdb_env_open(env, path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK, 0600), 0);
        assert_int_equal(mdb_env_copy2(env, to, flags), 0);
        mdb_env_close(env);
        assert_int_equal(store_check(copy, NULL, &found), ERR_OK);
        assert_true(found.records == records && found.lost == 0);
        assert_int_equal(temp_dir_drop(copy), 0);
    }
}

int main(void)
{
    log_init("test", LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_one), cmocka_unit_test(copies), cmocka_unit_test(one_octet), cmocka_unit_test(every_octet_of_heads), cmocka_unit_test(whole_pages),
        cmocka_unit_test(the_newer_head_lost), cmocka_unit_test(cut_off), cmocka_unit_test(garbage), cmocka_unit_test(another_name),
    };
    return cmocka_run_group_tests(tests, make_store, drop_store);
}
