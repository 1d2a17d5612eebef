// LMDB's home: databases, transactions, cursors; every value is a checksummed record (record.h). One write transaction at a
// time, on the writer thread; read transactions on the loop's, never across loop turns.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "err.h"
#include "record.h"

// What each holds, and its key (numbers big-endian, so that keys order as they count). A database's number is part of its records'
// checksums (record.h): add at the end.
#define STORE_DBS(D) \
    D(META, "meta")         /* one record, Rec.Meta */ \
    D(TASK, "task")         /* workspace 8, id 8 */ \
    D(BLOB, "blob")         /* task id 8: content above CONTENT_INLINE */ \
    D(SESSION, "session")   /* workspace 8, id 8 */ \
    D(APPROVAL, "approval") \
    D(DESKTOP, "desktop") \
    D(ACCOUNT, "account")   /* workspace 8, kind 1, id 8: workspaces, users, keys, signed-in sessions */ \
    D(PEER, "peer")         /* 0 8, id 8 */ \
    D(COUNTS, "counts")     /* workspace 8, desktop 8 */ \
    D(HOUR, "hour")         /* workspace 8, hour since 1970 8 */ \
    D(INDEX, "index")       /* see kind.c */ \
    D(LOG, "log")           /* event number 8 */ \
    D(OUTPUT, "output")     /* workspace 8, session 8, offset 8; the value: stream 1, octets */ \
    D(DEDUPE, "dedupe")     /* client 16, number 8: Rec.Outcome */ \
    D(IDEM, "idem")         /* user 8, hash of the key 32: Rec.Outcome */ \
    D(POSTING, "posting")   /* see posting.h: which rows of the log a filter finds */ \
    D(STATS, "stats")       /* workspace 8, hour since 1970 8: rows of the activities */ \
    D(COMMENT, "comment")   /* workspace 8, task 8, id 8 */ \
    D(METRIC, "metric")     /* see metric.h: rings of samples of each desktop */ \
    D(WEBHOOK, "webhook")   /* workspace 8, id 8 */ \
    D(DELIVERY, "delivery") /* workspace 8, webhook 8, id 8 */

enum store_db {
#define D(name, text) DB_##name,
    STORE_DBS(D)
#undef D
    DB_N
};
extern const char *const store_db_names[DB_N]; // in the file
// Where a record of this database lies, as its checksum has it. key: lent.
struct record_place store_place(enum store_db db, const void *key, size_t n);

enum { STORE_KEY_MAX = 72 };

// A key under construction, or found.
struct key {
    uint8_t b[STORE_KEY_MAX];
    size_t n;
};
static inline struct key *key_u8(struct key *k, uint8_t v)
{
    k->b[k->n++] = v;
    return k;
}
static inline struct key *key_u64(struct key *k, uint64_t v)
{
    for (int i = 7; i >= 0; i--)
        k->b[k->n++] = (uint8_t)(v >> (8 * i));
    return k;
}
struct key *key_bytes(struct key *k, const void *p, size_t n); // n must fit
uint64_t key_read_u64(const uint8_t *p);

struct store;
struct txn;
struct slice { // lent by the store until its transaction ends, or the next write in it
    const uint8_t *p;
    size_t n;
};

// Opens or makes the database in dir/store.mdb. map_size: octets of address space, the hard limit of its size.
// ERR_CORRUPT with a line logged when the file is damaged or shorter than it says.
MUST_USE enum err store_open(const char *dir, uint64_t map_size, bool sync, struct store **ret);
// The same to look at only: changes nothing in dir, and takes no lock of LMDB's: nobody may write meanwhile. ERR_NOT_FOUND: there is no
// store, or it has not all databases (an older version wrote it).
MUST_USE enum err store_open_to_read(const char *dir, struct store **ret);
void store_close(struct store *s);

MUST_USE enum err store_begin(struct store *s, bool write, struct txn **ret);
// Ends it, whatever it returns. ERR_STORAGE_FULL: nothing was changed. ERR_STORAGE_ERROR: it is unknown whether it was.
MUST_USE enum err store_commit(struct txn *t);
void store_abort(struct txn *t); // also ends a read transaction

// ERR_NOT_FOUND, ERR_CORRUPT, ERR_STORAGE_ERROR
MUST_USE enum err store_get(struct txn *t, enum store_db db, const struct key *k, struct slice *ret);
// After an error of these the transaction must be aborted: ERR_STORAGE_FULL, ERR_STORAGE_ERROR.
MUST_USE enum err store_put(struct txn *t, enum store_db db, const struct key *k, const void *p, size_t n);
// Room for n octets that the caller fills before the next call, then store_reserved(); key must be above all others (the log).
MUST_USE enum err store_append(struct txn *t, enum store_db db, const struct key *k, const void *p, size_t n);
MUST_USE enum err store_del(struct txn *t, enum store_db db, const struct key *k); // absent: ERR_NOT_FOUND

// Cursors. seek: the first key >= k (or, backwards, the last < k); then next or prev. false at the end, or where the key no
// longer begins with the prefix given to open (its first `prefix_n` octets).
struct cursor {
    void *impl;
    struct txn *txn;
    struct key prefix;
    struct key key;     // where it stands
    struct slice value;
    enum err err;       // why it stopped, if not for the end
    enum store_db db;
};
MUST_USE enum err cursor_open(struct cursor *c, struct txn *t, enum store_db db, const struct key *prefix);
bool cursor_seek(struct cursor *c, const struct key *k);   // k NULL: the first
bool cursor_seek_before(struct cursor *c, const struct key *k); // k NULL: the last
// For keys that are the prefix and an id: the largest id below `before`; 0: the largest there is.
bool cursor_seek_newest(struct cursor *c, uint64_t before);
bool cursor_next(struct cursor *c);
bool cursor_prev(struct cursor *c);
MUST_USE enum err cursor_put(struct cursor *c, const void *p, size_t n); // another value for the record it stands on
MUST_USE enum err cursor_del(struct cursor *c); // the record it stands on; go on with cursor_next
void cursor_close(struct cursor *c);

// How many octets can still be written, as far as the map and the disk go. Pages that were freed inside the file count for both;
// they are counted only when it gets tight (less than disk_low on the disk, or a quarter of the map), which takes longer.
struct store_room {
    uint64_t map, disk;
};
MUST_USE enum err store_room(struct store *s, uint64_t disk_low, struct store_room *ret);
// How large the file has grown, and may grow. Cheap.
MUST_USE enum err store_size(struct store *s, uint64_t *ret_used, uint64_t *ret_max);
void store_reader_check(struct store *s); // frees the slots of dead readers
