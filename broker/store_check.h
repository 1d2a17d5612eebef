// Looks at the whole of dir/store.mdb - its pages (pages.h), and each record's checksum - before LMDB maps it: what is damaged is refused
// with one line, whereas LMDB would crash on it or go by it. Reads everything that is in use, once.
#pragma once
#include <stdint.h>
#include "err.h"
#include "pages.h"

// Nobody may write to it meanwhile. No file, or an empty one: ERR_OK, and no pages. ERR_CORRUPT, ERR_IO, ERR_NO_MEMORY: a line was logged
// that names the file and says what to do. tell: is called with pages looked at and all there are; may be NULL.
MUST_USE enum err store_check(const char *dir, void (*tell)(uint64_t pages, uint64_t of), struct pages_found *ret);
