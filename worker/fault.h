// For the tests: MC_FAULT=name:n in the environment kills this process (SIGKILL, as a crash would) at the n-th pass of the
// point of that name. Does nothing otherwise.
#pragma once

void fault_init(void);
void fault_point(const char *name);
