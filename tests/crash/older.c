// links: broker common lmdb xxhash protobuf-c sodium jansson uv systemd nng
// Turns a store into one of layout 1, as the version before the posting lists left it: for the tests of what brings it back.
//
//     older DIR
#include <stdio.h>
#include <stdlib.h>
#include "apply.h"
#include "arena.h"
#include "store.h"

_Noreturn static void die(const char *what, enum err e)
{
    fprintf(stderr, "older: %s: %s\n", what, err_name(e));
    exit(1);
}

static void wipe(struct txn *t, enum store_db db)
{
    struct cursor c;
    enum err e = cursor_open(&c, t, db, NULL);
    for (bool on = !e && cursor_seek(&c, NULL); on && !e; on = cursor_next(&c))
        e = cursor_del(&c);
    if (e || c.err)
        die("a database cannot be emptied", e ? e : c.err);
    cursor_close(&c);
}

int main(int argc, char **argv)
{
    struct store *s;
    struct txn *t;
    struct arena a;
    struct key k = { .n = 0 };
    Rec__Meta *m;
    if (argc != 2) {
        fputs("usage: older DIR\n", stderr);
        return 2;
    }
    arena_init(&a, 4 * 1024 * 1024);
    enum err e = store_open(argv[1], (uint64_t)1 << 32, true, &s);
    if (!e)
        e = store_begin(s, true, &t);
    if (e)
        die(argv[1], e);
    wipe(t, DB_POSTING);
    wipe(t, DB_STATS);
    e = meta_read(t, &a, &m);
    if (!e) {
        m->schema = 1;
        m->migrated = 0;
        e = rec_put(t, &a, DB_META, key_u8(&k, 1), m);
    }
    if (!e)
        e = store_commit(t);
    if (e)
        die("the store cannot be written", e);
    store_close(s);
    arena_fini(&a);
    return 0;
}
