// The history of a desktop's figures: rings of steps on five levels, and when a figure is an alert. Nothing here grows: a ring's
// slot is its step's number modulo the ring's size, and says which step it holds, so that an overwritten one is told apart. Pure.
//
//     level     step    kept       where
//     second    1 s     10 min     the broker's memory (struct metric_rings): begins anew when the broker starts
//     ten       10 s    4 h        the same
//     minute    1 min   24 h       DB_METRIC: workspace 8, desktop 8, level 1, slot 4 -> Rec.MetricPage, 60 steps each
//     quarter   15 min  31 days    the same
//     hour      1 h     366 days   the same
//
// Figures are hundredths of a percent. A step holds how many samples fell into it, their sum and their largest, so that steps can be
// put together in any order and the mean stays exact. At most 226 pages of about a kilobyte are stored for a desktop.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "err.h"
#include "record.pb-c.h"
#include "store.h"

enum metric { METRIC_CPU, METRIC_MEMORY, METRIC_DISK, METRIC_N };
enum metric_level { LEVEL_SECOND, LEVEL_TEN, LEVEL_MINUTE, LEVEL_QUARTER, LEVEL_HOUR, LEVEL_N }; // stored: add at the end
enum { METRIC_MAX = 10000, METRIC_POINTS_MAX = 1500, METRIC_PAGE_STEPS = 60 };

struct metric_step {
    uint64_t count, sum[METRIC_N];
    uint32_t max[METRIC_N];
};
uint32_t metric_mean(const struct metric_step *s, enum metric m); // rounded; 0 of none

uint64_t metric_step_ms(enum metric_level level);
bool metric_stored(enum metric_level level);      // else kept in memory
// How many steps back from this one a level is sure to hold.
uint64_t metric_kept(enum metric_level level);

// ---- the levels in memory

struct metric_rings;
struct metric_rings *metric_rings_new(void);      // 51 kB: for desktops that are probed. NULL without memory; free with free()
void metric_rings_add(struct metric_rings *r, uint64_t now_ms, const uint32_t value[METRIC_N]);
// Adds what is held of one step (its start divided by the level's step) to *to.
void metric_rings_get(const struct metric_rings *r, enum metric_level level, uint64_t step, struct metric_step *to);
void metric_rings_minute(const struct metric_rings *r, uint64_t minute, struct metric_step *to); // the same of a whole minute
// What the last `seconds` hold, this one among them.
void metric_rings_last(const struct metric_rings *r, uint64_t now_ms, unsigned seconds, struct metric_step *to);

// ---- the stored levels

struct metric_place {
    uint64_t page;            // its number since 1970
    uint32_t slot, index;     // where that page lies, and the step in it
};
struct metric_place metric_place(enum metric_level level, uint64_t step);
void metric_key(uint64_t workspace, uint64_t desktop, enum metric_level level, uint32_t slot, struct key *ret);
uint32_t metric_pages(enum metric_level level);   // slots there are
// A page has three figures a step, side by side.
struct metric_page_room {
    uint32_t count[METRIC_PAGE_STEPS], max[METRIC_PAGE_STEPS * METRIC_N];
    uint64_t sum[METRIC_PAGE_STEPS * METRIC_N];
};
void metric_page_new(Rec__MetricPage *p, struct metric_page_room *room, uint64_t page);
bool metric_page_whole(const Rec__MetricPage *p); // false: damaged, not to be touched
void metric_page_add(Rec__MetricPage *p, uint32_t index, const struct metric_step *s);
void metric_page_get(const Rec__MetricPage *p, uint32_t index, struct metric_step *to); // adds it to *to

// ---- which level answers a question

struct metric_choice {
    enum metric_level level;
    uint64_t step_ms;         // of the answer: a multiple of the level's
    uint64_t first, n;        // its points: numbers first .. first + n - 1 of such steps since 1970, at most METRIC_POINTS_MAX
};
// The finest level that reaches back to from_ms and whose own steps give few enough points, else the coarsest, several steps a point.
// step_s not 0: the finest that reaches back, in steps of at least that. memory_from: since when the levels in memory are whole.
// from_ms < to_ms.
void metric_choose(uint64_t now_ms, uint64_t memory_from, uint64_t from_ms, uint64_t to_ms, uint64_t step_s, struct metric_choice *ret);

// ---- alerts

enum metric_alert { ALERT_NONE, ALERT_NEAR, ALERT_ABOVE }; // stored
// `above` at the threshold or over it, `near` from nine tenths of it. A level is left only when the value is well below its mark (five
// points, or a twentieth of a threshold under 50 %), so that a figure that flaps around a mark is told once.
// *ret_row: ROW_ALERT, ROW_ALERT_NEAR, or ROW_NONE when it does not rise.
enum metric_alert metric_alert_step(enum metric_alert level, uint32_t value, uint32_t threshold, unsigned *ret_row);
