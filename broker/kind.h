// The kinds of stored object: where each lives, how it is coded, and its indexes. Indexes are declared in kind.c and kept by
// kind_put and kind_del: command code never touches one. Pure but for the transaction it is given.
#pragma once
#include <protobuf-c/protobuf-c.h>
#include "err.h"
#include "record.pb-c.h"
#include "store.h"

struct arena;

enum kind {
    KIND_TASK, KIND_SESSION, KIND_APPROVAL, KIND_DESKTOP, KIND_WORKSPACE, KIND_USER, KIND_KEY, KIND_SIGNIN, KIND_PEER, KIND_WEBHOOK, KIND_N
};

// The order is stored: add at the end.
enum index {
    INDEX_NONE,
    INDEX_TASK_STATUS,     // workspace, status, type, id
    INDEX_TASK_DESKTOP,    // workspace, desktop, status, type, id
    INDEX_TASK_WAITING,    // desktop, priority (highest first), queue number -> task id; only while it waits for a worker
    INDEX_SESSION_TASK,    // workspace, task, id
    INDEX_SESSION_HELD,    // worker, id -> workspace; only while held
    INDEX_APPROVAL_STATUS, // workspace, status, id
    INDEX_KEY_HASH,        // hash -> workspace, id
    INDEX_KEY_USER,        // workspace, user, id
    INDEX_PEER_NAME,       // role, name -> id
    INDEX_SESSION_LATE,    // worker, id -> workspace; its slot was taken back, and the worker has not told its end
    INDEX_USER_NAME,       // name, folded -> workspace, id; over all workspaces
    INDEX_TASK_GONE,       // workspace, task -> nothing; deleted, and its comments, sessions and output are still to be swept
    INDEX_AGENT,           // workspace, agent -> its desktop
    INDEX_SIGNIN_USER,     // workspace, user, id of the session
    INDEX_N
};

// How every stored object begins.
struct rec_head {
    ProtobufCMessage base;
    uint64_t id, workspace;
};

// The index entries of an object as it was stored, so that kind_put knows which to take away.
struct index_entry {
    struct key key;
    uint8_t value[16];
    size_t value_n;
};
struct index_entries {
    struct index_entry e[3];
    unsigned n;
};
void kind_entries(enum kind kind, const void *rec, struct index_entries *ret);

// rec lives in the arena. ERR_NOT_FOUND also for an object of another workspace.
MUST_USE enum err kind_get(struct txn *t, struct arena *a, enum kind kind, uint64_t workspace, uint64_t id, void *ret_rec);
// old: the entries it had when it was read; NULL for a new object.
MUST_USE enum err kind_put(struct txn *t, struct arena *a, enum kind kind, const struct index_entries *old, const void *rec);
MUST_USE enum err kind_del(struct txn *t, enum kind kind, const struct index_entries *old, const void *rec);
// The key of an object, or with id 0 the prefix of all of that kind in the workspace.
void kind_key(enum kind kind, uint64_t workspace, uint64_t id, struct key *ret);
enum store_db kind_db(enum kind kind);
bool kind_is(enum kind kind, const struct key *k); // of its database: a key of that kind, where several share one
// The key of INDEX_USER_NAME: A-Z count as a-z.
void kind_user_name(struct key *k, const char *name);
// Unpacks what a cursor stands on.
MUST_USE enum err kind_unpack(enum kind kind, struct arena *a, struct slice s, void *ret_rec);

// The desktop an agent belongs to. ERR_NOT_FOUND.
MUST_USE enum err kind_agent_desktop(struct txn *t, uint64_t workspace, uint64_t agent, uint64_t *ret);

// Other records by descriptor: kept under keys of their own (meta, counts, hours, outcomes).
MUST_USE enum err rec_get(struct txn *t, struct arena *a, enum store_db db, const struct key *k, const ProtobufCMessageDescriptor *d, void *ret_rec);
MUST_USE enum err rec_put(struct txn *t, struct arena *a, enum store_db db, const struct key *k, const void *rec);
