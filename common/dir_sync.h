// So that the names in a directory outlast a power cut.
#pragma once
#include <stdbool.h>

// True as well where there is nothing to be done: a directory that may not be opened is not one that we made anything in, and some
// file systems know no sync of directories. False: errno says why.
bool dir_sync(const char *path);
