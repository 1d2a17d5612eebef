// First start, in this order, so that being cut off anywhere leaves nothing half-made: a secret goes to its file before the store
// learns its hash, and the store is asked before a file is made.
#include "setup.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "apply.h"
#include "arena.h"
#include "clock.h"
#include "dir_sync.h"
#include "fault.h"
#include "log.h"
#include "migrate.h"
#include "names.h"
#include "store.h"

enum { PATH_MAX_OCTETS = 4096, ARENA_MAX = 4 * 1024 * 1024 };

static enum err make_dir(const char *path, mode_t mode)
{
    if (mkdir(path, mode) == 0 || errno == EEXIST)
        return ERR_OK;
    log_error("%s cannot be made: %s", path, strerror(errno));
    return ERR_IO;
}

static enum err sync_names(const char *dir)
{
    if (dir_sync(dir))
        return ERR_OK;
    log_error("%s cannot be synced: %s", dir, strerror(errno));
    return ERR_IO;
}

static enum err path_of(char *out, const char *dir, const char *name)
{
    return snprintf(out, PATH_MAX_OCTETS, "%s/%s", dir, name) < PATH_MAX_OCTETS ? ERR_OK : ERR_TOO_BIG;
}

enum err setup_lock(const char *data, bool make)
{
    char path[PATH_MAX_OCTETS];
    enum err e = path_of(path, data, "broker.lock");
    if (e)
        return e;
    int fd = open(path, (make ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 && errno == ENOENT && !make)
        return ERR_OK; // no broker ever worked here
    if (fd < 0) {
        log_error("%s cannot be opened: %s", path, strerror(errno));
        return ERR_IO;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        log_error("another broker works on %s already", data);
        close(fd);
        return ERR_BAD_STATE;
    }
    return ERR_OK; // the descriptor, and the lock with it, stays until the process ends
}

enum err setup_directory(const char *data)
{
    char path[PATH_MAX_OCTETS];
    enum err e = make_dir(data, 0700);
    if (!e)
        e = path_of(path, data, "..");
    if (!e)
        e = sync_names(path); // also after a start that was ended between the two
    if (!e)
        e = path_of(path, data, "run");
    if (!e)
        e = make_dir(path, 0750);
    return e ? e : setup_lock(data, true);
}

// ---------------------------------------------------------------- commands before there are turns

static enum err run_one(struct store *store, struct arena *a, Wire__Item *item, Wire__Answer *ret)
{
    struct cmd cmd = { .item = item, .sender = SENDER_BROKER };
    struct batch b = { .n = 1, .cmds = { &cmd }, .now_ms = clock_wall_ms(), .arena = a };
    struct txn *t;
    size_t n = wire__item__get_packed_size(item);
    uint8_t *packed = arena_alloc(a, n + 1);
    if (!packed)
        return ERR_NO_MEMORY;
    crypto_hash(b.hash, packed, wire__item__pack(item, packed));
    buf_init(&b.rows, 1024 * 1024);
    enum err e = store_begin(store, true, &t);
    if (!e) {
        e = fsm_apply(t, &b);
        if (e)
            store_abort(t);
        else
            e = store_commit(t);
    }
    buf_fini(&b.rows);
    *ret = cmd.answer;
    return e ? e : err_from_wire(cmd.answer.err);
}

static enum err read_meta(struct setup *s, struct store *store, uint64_t *ret_workspaces)
{
    struct arena a;
    struct txn *t;
    Rec__Meta *m;
    arena_init(&a, ARENA_MAX);
    enum err e = store_begin(store, false, &t);
    if (!e) {
        e = meta_read(t, &a, &m);
        if (!e) {
            s->log_ms = m->log_ms;
            s->epoch = m->epoch;
            s->newest = m->newest;
            *ret_workspaces = m->last_id[ENTITY_WORKSPACE];
        }
        store_abort(t);
    }
    arena_fini(&a);
    return e;
}

// The admin's key: the file first. One that is there already was made by a start that was cut off before the store knew it.
static enum err admin_key(const char *data, char key[API_KEY_MAX])
{
    char path[PATH_MAX_OCTETS], line[API_KEY_MAX + 1];
    size_t n = 0;
    enum err e = path_of(path, data, "admin-api-key");
    if (e)
        return e;
    e = secret_read(path, line, API_KEY_MAX, &n);
    if (!e) {
        while (n && line[n - 1] == '\n')
            n--;
        if (!crypto_api_key_form(line, n)) {
            log_error("%s does not hold an API key, and the store is empty: take the file away", path);
            return ERR_BAD_STATE;
        }
        memcpy(key, line, n);
        key[n] = 0;
        return ERR_OK;
    }
    if (e != ERR_NOT_FOUND)
        return e;
    crypto_api_key(key);
    n = strlen(key);
    memcpy(line, key, n);
    line[n] = '\n';
    e = secret_write(path, line, n + 1);
    crypto_wipe(line, sizeof line);
    if (e)
        log_error("%s cannot be made: %s", path, err_text(e));
    return e;
}

static enum err first_records(struct setup *s, struct store *store)
{
    char key[API_KEY_MAX], last4[5];
    uint8_t hash[HASH_SIZE];
    struct arena a;
    Wire__Item item = WIRE__ITEM__INIT;
    Wire__Init init = WIRE__INIT__INIT;
    Wire__Answer answer;
    enum err e = admin_key(s->data, key);
    if (e)
        return e;
    fault_point("setup_admin_key");
    crypto_hash(hash, key, strlen(key));
    memcpy(last4, key + strlen(key) - 4, 5);
    crypto_wipe(key, sizeof key);
    init.admin_key_hash = (ProtobufCBinaryData){ HASH_SIZE, hash };
    init.admin_key_last4 = last4;
    init.local_desktop = s->local;
    crypto_random(&init.epoch_seed, sizeof init.epoch_seed);
    init.epoch_seed = init.epoch_seed >> 2 | 1; // not 0, and room above it
    item.body_case = WIRE__ITEM__BODY_INIT;
    item.init = &init;
    arena_init(&a, ARENA_MAX);
    e = run_one(store, &a, &item, &answer);
    arena_fini(&a);
    if (!e)
        log_info("a new installation was made in %s", s->data);
    else
        log_error("a new installation cannot be made in %s: %s", s->data, err_text(e));
    return e;
}

// A peer's key file, and the store's knowledge of it. The file is there: only the store may have to be told.
static enum err peer_file(const char *data, const char *file, unsigned role, const char *name, struct store *store)
{
    char path[PATH_MAX_OCTETS];
    struct peer_key k;
    struct arena a;
    Wire__Item item = WIRE__ITEM__INIT;
    Wire__WorkerAdd add = WIRE__WORKER_ADD__INIT;
    Wire__Answer answer;
    enum err e = path_of(path, data, file);
    if (!e)
        e = peer_key_read(&k, path);
    if (e == ERR_NOT_FOUND) {
        peer_key_make(&k, role, name);
        e = peer_key_write(&k, path);
    }
    fault_point("setup_peer_file");
    if (e) {
        log_error("%s cannot be used: %s", path, err_text(e));
        return e;
    }
    add.name = k.name;
    add.peer = k.role;
    add.public_key = (ProtobufCBinaryData){ PEER_PUBLIC_SIZE, k.public };
    item.body_case = WIRE__ITEM__BODY_WORKER_ADD;
    item.worker_add = &add;
    arena_init(&a, ARENA_MAX);
    e = run_one(store, &a, &item, &answer);
    arena_fini(&a);
    crypto_wipe(&k, sizeof k);
    if (e == ERR_BAD_STATE)
        return ERR_OK; // known already
    if (e)
        log_error("the owner of %s cannot be stored: %s", path, err_text(e));
    return e;
}

static enum err seal_key(struct setup *s)
{
    char path[PATH_MAX_OCTETS];
    size_t n = 0;
    enum err e = path_of(path, s->data, "seal.key");
    if (!e)
        e = secret_read(path, s->seal_key, SEAL_KEY_SIZE, &n);
    if (e == ERR_NOT_FOUND) {
        crypto_random(s->seal_key, SEAL_KEY_SIZE);
        n = SEAL_KEY_SIZE;
        e = secret_write(path, s->seal_key, n);
    }
    if (!e && n != SEAL_KEY_SIZE)
        e = ERR_BAD_REQUEST;
    if (e)
        log_error("%s cannot be used: %s", path, err_text(e));
    return e;
}

// seal.key is made after the first records: where it is and they are not, the store was lost.
static enum err not_lost(const char *data)
{
    char path[PATH_MAX_OCTETS];
    struct stat st;
    enum err e = path_of(path, data, "seal.key");
    if (e || stat(path, &st) != 0)
        return e;
    log_error("%s/store.mdb is missing or empty, but seal.key beside it is of an installation: restore a backup of store.mdb, or take all "
              "files away to begin anew", data);
    return ERR_CORRUPT;
}

enum err setup_store(struct setup *s, struct store *store)
{
    uint64_t workspaces = 0;
    enum err e = migrate_store(store);
    if (!e)
        e = read_meta(s, store, &workspaces);
    if (!e && !workspaces)
        e = not_lost(s->data);
    if (!e && !workspaces)
        e = first_records(s, store);
    fault_point("setup_records");
    if (!e)
        e = seal_key(s);
    fault_point("setup_seal_key");
    if (!e)
        e = peer_file(s->data, "gateway.key", 1, "gateway", store);
    for (unsigned i = 1; !e && i <= s->local_workers; i++) {
        char file[64], name[32];
        snprintf(file, sizeof file, "worker-%u.key", i);
        snprintf(name, sizeof name, "worker-%u", i);
        e = peer_file(s->data, file, 2, name, store);
    }
    if (!e) // what a start that was ended made, and did not sync
        e = sync_names(s->data);
    return e ? e : read_meta(s, store, &workspaces);
}
