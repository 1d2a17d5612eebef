// The two clocks. Nothing below the broker's propose() may include this.
#pragma once
#include <stdint.h>

uint64_t clock_wall_ms(void); // since 1970 UTC; may jump
uint64_t clock_mono_ms(void); // since some point; never goes back
uint64_t clock_mono_us(void);
uint64_t clock_cpu_us(void);  // that the calling thread has used; for what it costs, not for when
