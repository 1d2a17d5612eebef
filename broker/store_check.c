#include "store_check.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "log.h"
#include "store.h"

struct look {
    void (*tell)(uint64_t pages, uint64_t of);
    unsigned db;      // whose records come
    bool unknown;     // a database is none of ours
};

static enum err database_cb(void *u, const char *db)
{
    struct look *l = u;
    l->db = 0;
    while (l->db < DB_N && strcmp(store_db_names[l->db], db) != 0)
        l->db++;
    l->unknown = l->db == DB_N;
    return l->unknown ? ERR_CORRUPT : ERR_OK;
}

static enum err record_cb(void *u, const uint8_t *key, size_t key_n, const uint8_t *value, size_t n)
{
    const struct look *l = u;
    struct record_place at = store_place((enum store_db)l->db, key, key_n);
    return key_n > STORE_KEY_MAX ? ERR_CORRUPT : record_check(&at, value, n);
}

static void progress_cb(void *u, uint64_t pages, uint64_t of)
{
    const struct look *l = u;
    if (l->tell)
        l->tell(pages, of);
}

enum err store_check(const char *dir, void (*tell)(uint64_t pages, uint64_t of), struct pages_found *ret)
{
    struct look look = { .tell = tell };
    struct pages_cbs cbs = { database_cb, record_cb, progress_cb, &look };
    char path[4096], why[256];
    *ret = (struct pages_found){ 0 };
    if ((size_t)snprintf(path, sizeof path, "%s/store.mdb", dir) >= sizeof path)
        return ERR_BAD_REQUEST;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return ERR_OK;
    if (fd < 0) {
        log_error("%s cannot be opened: %s", path, strerror(errno));
        return ERR_IO;
    }
    enum err e = pages_check(fd, &cbs, ret, why, sizeof why);
    (void)close(fd);
    if (look.unknown)
        log_error("%s is damaged, or a newer version wrote it: it %s. Restore a backup, or install that version.", path, why);
    else if (e == ERR_CORRUPT)
        log_error("%s is damaged: it %s. Restore a backup.", path, why);
    else if (e)
        log_error("%s %s", path, why);
    return e;
}
