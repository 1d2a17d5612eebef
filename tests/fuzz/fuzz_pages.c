// links: broker common lmdb xxhash protobuf-c sodium
// A store's file as it lies on the disk: the pages' check reads whatever it holds. The corpus has small whole stores of 512-octet pages
// (LMDB's smallest here have 4 KiB), so that a changed octet is soon one that matters.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "pages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum err database_cb(void *u, const char *db)
{
    size_t *sum = u;
    *sum += strlen(db);
    return ERR_OK;
}

static enum err record_cb(void *u, const uint8_t *key, size_t key_n, const uint8_t *value, size_t n)
{
    size_t *sum = u;
    for (size_t i = 0; i < key_n; i++) // every octet that is lent may be read
        *sum += key[i];
    for (size_t i = 0; i < n; i++)
        *sum += value[i];
    return ERR_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    size_t sum = 0;
    struct pages_found found;
    struct pages_cbs cbs = { database_cb, record_cb, NULL, &sum };
    char why[256];
    if (fd < 0 && (fd = memfd_create("store", 0)) < 0)
        abort();
    if (ftruncate(fd, 0) != 0 || (size && pwrite(fd, data, size, 0) != (ssize_t)size))
        abort();
    enum err e = pages_check(fd, &cbs, &found, why, sizeof why);
    if ((e != ERR_OK) != (*why != 0) || (!e && size && found.pages < 2))
        abort();
    return 0;
}
