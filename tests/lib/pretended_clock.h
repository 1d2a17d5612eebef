// The clocks say what the test says. Included by one test file each: the functions have the names of the real ones, so that those
// stay in the archive.
#pragma once
#include "clock.h"

static uint64_t wall = 1767225600000, mono = 1000;

uint64_t clock_wall_ms(void) { return wall; }
uint64_t clock_mono_ms(void) { return mono; }
uint64_t clock_mono_us(void) { return mono * 1000; }
