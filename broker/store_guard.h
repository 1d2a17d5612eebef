// What is left when a page of the store goes bad while it is mapped: a part of the file that cannot be read any more, or that somebody cut
// off, is a SIGBUS where it is touched, and a page that changed on the disk after it was checked can lead LMDB anywhere. The process
// ends with status 1 and one line that names the file, as for damage that is found at start.
#pragma once
#include <stddef.h>

// path: of the file that is mapped. For SIGBUS and SIGSEGV at an address of that map; others stay with whoever had them.
void store_guard_arm(const char *path);
// Writes the line and ends the process: for LMDB's own assertions. what: lent.
_Noreturn void store_guard_end(const char *what);
