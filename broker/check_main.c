// Happy path: the broker's lock, so that nobody writes; every page and record (store_check.h); then, through LMDB, what they say (verify.h).
#include "check_main.h"
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>
#include "migrate.h"
#include "setup.h"
#include "store.h"
#include "store_check.h"
#include "verify.h"

static bool on_terminal; // lines of progress for a person who waits

static void pages_cb(uint64_t pages, uint64_t of)
{
    if (on_terminal)
        fprintf(stderr, "\r%3" PRIu64 " %% of %" PRIu64 " pages", pages * 100 / of, of);
}

static void records_cb(void *u, const char *of, uint64_t n)
{
    (void)u;
    if (on_terminal)
        fprintf(stderr, "\r%-16s %12" PRIu64, of, n);
}

static void found_cb(void *u, const char *what)
{
    const char *data = u;
    printf("%s/store.mdb: %s\n", data, what);
}

static void clear_line(void)
{
    if (on_terminal)
        fprintf(stderr, "\r%*s\r", 40, "");
}

static int verify(const char *data, struct store *s)
{
    struct verify_cbs cbs = { found_cb, records_cb, (void *)(uintptr_t)data };
    struct txn *t;
    uint64_t wrong = 0;
    enum err e = store_begin(s, false, &t);
    if (!e) {
        e = verify_store(t, &cbs, &wrong);
        store_abort(t);
    }
    clear_line();
    if (e == ERR_BAD_STATE) {
        printf("%s/store.mdb is of another layout than this program's (%d): only its pages and records could be checked\n", data, STORE_SCHEMA);
        return 2;
    }
    if (e)
        printf("%s/store.mdb cannot be read to its end: %s\n", data, err_text(e));
    if (wrong)
        printf("%s/store.mdb is damaged: %" PRIu64 " findings. Restore a backup.\n", data, wrong);
    else if (!e)
        printf("objects, indexes, counters, log, posting lists and histories agree\n");
    return e || wrong ? 1 : 0;
}

int check_main(const char *data)
{
    struct pages_found found;
    struct store *s;
    on_terminal = isatty(STDERR_FILENO);
    enum err e = setup_lock(data, false);
    if (e)
        return 2;
    e = store_check(data, pages_cb, &found);
    clear_line();
    if (e)
        return 1;
    if (!found.pages) {
        printf("there is no store in %s\n", data);
        return 2;
    }
    printf("%" PRIu64 " pages, %" PRIu64 " records: every page, key and record is whole; %" PRIu64 " pages are free\n", found.pages,
           found.records, found.free);
    if (found.lost)
        printf("%" PRIu64 " pages are neither used nor free: harmless, and lost to this file\n", found.lost);
    e = store_open_to_read(data, &s);
    if (e) {
        printf("%s/store.mdb: %s\n", data, e == ERR_NOT_FOUND ? "an older version wrote it: only its pages and records could be checked" : err_text(e));
        return e == ERR_NOT_FOUND ? 2 : 1;
    }
    int status = verify(data, s);
    store_close(s);
    return status;
}
