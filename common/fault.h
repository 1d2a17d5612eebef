// Named places where a program can be made to die, for the tests: MC_FAULT=name:n[:kill|stop|exit] in the environment strikes at
// the n-th pass of the point of that name (kill: SIGKILL, as a crash would; stop: SIGSTOP; exit: _exit(70)). Only programs built
// with MC_FAULTS have them (`make faults`); in any other they are nothing, and tools/lint sees to it.
#pragma once
#include <stdbool.h>

#ifdef MC_FAULTS
void fault_init(void);
// True at the pass that shall strike: the caller does what comes before the end and calls fault_strike().
bool fault_due(const char *name);
void fault_strike(void);
void fault_kill(void); // the end in any case, where there is no way on
// A number that differs from run to run (n, as given), for points that cut something in two.
unsigned fault_number(void);
#define fault_point(name) (fault_due(name) ? fault_strike() : (void)0)
#else
static inline void fault_init(void)
{
}
static inline void fault_strike(void)
{
}
static inline void fault_kill(void)
{
}
static inline unsigned fault_number(void)
{
    return 0;
}
#define fault_due(name) false
#define fault_point(name) ((void)0)
#endif
