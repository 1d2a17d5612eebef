#include "metric.h"
#include <stdlib.h>
#include "event.h"

// Rings have a little more room than they are asked for, so that "the last ten minutes" and "the last day" are still there when the
// question arrives; rings of pages have one page more than that, since the newest is never full.
enum { SECONDS = 660, TENS = 1470, SAMPLES_MAX = 60000 }; // the last: what a step takes, so that counts stay in 16 bits and sums in 32

static const struct {
    uint32_t step_s, kept, pages;
} levels[LEVEL_N] = {
    [LEVEL_SECOND]  = { 1, SECONDS - 1, 0 },
    [LEVEL_TEN]     = { 10, TENS - 1, 0 },
    [LEVEL_MINUTE]  = { 60, 24 * 60 + 10, 26 },
    [LEVEL_QUARTER] = { 15 * 60, 31 * 24 * 4 + 2, 51 },
    [LEVEL_HOUR]    = { 3600, 366 * 24, 148 },
};
_Static_assert(26 + 51 + 148 <= 226, "metric.h says how many pages there are at most");

uint64_t metric_step_ms(enum metric_level level)
{
    return (uint64_t)levels[level].step_s * 1000;
}

bool metric_stored(enum metric_level level)
{
    return levels[level].pages != 0;
}

uint64_t metric_kept(enum metric_level level)
{
    return levels[level].kept;
}

uint32_t metric_pages(enum metric_level level)
{
    return levels[level].pages;
}

static void merge(struct metric_step *to, const struct metric_step *from)
{
    to->count += from->count;
    for (unsigned m = 0; m < METRIC_N; m++) {
        to->sum[m] += from->sum[m];
        if (from->max[m] > to->max[m])
            to->max[m] = from->max[m];
    }
}

uint32_t metric_mean(const struct metric_step *s, enum metric m)
{
    return s->count ? (uint32_t)((s->sum[m] + s->count / 2) / s->count) : 0;
}

// ---------------------------------------------------------------- in memory

struct slot {
    uint32_t step, sum[METRIC_N]; // step: its number, in 32 bits until 2106
    uint16_t count, max[METRIC_N];
};
struct metric_rings {
    struct slot second[SECONDS], ten[TENS];
};

struct metric_rings *metric_rings_new(void)
{
    return calloc(1, sizeof(struct metric_rings));
}

static void add(struct slot *s, uint64_t step, const uint32_t value[METRIC_N])
{
    if (s->step != (uint32_t)step)
        *s = (struct slot){ .step = (uint32_t)step };
    if (s->count == SAMPLES_MAX)
        return;
    s->count++;
    for (unsigned m = 0; m < METRIC_N; m++) {
        uint16_t v = (uint16_t)(value[m] < METRIC_MAX ? value[m] : METRIC_MAX);
        s->sum[m] += v;
        if (v > s->max[m])
            s->max[m] = v;
    }
}

void metric_rings_add(struct metric_rings *r, uint64_t now_ms, const uint32_t value[METRIC_N])
{
    uint64_t second = now_ms / 1000, ten = second / 10;
    add(&r->second[second % SECONDS], second, value);
    add(&r->ten[ten % TENS], ten, value);
}

void metric_rings_get(const struct metric_rings *r, enum metric_level level, uint64_t step, struct metric_step *to)
{
    const struct slot *s = level == LEVEL_SECOND ? &r->second[step % SECONDS] : &r->ten[step % TENS];
    if (step > UINT32_MAX || s->step != (uint32_t)step)
        return;
    struct metric_step got = { .count = s->count };
    for (unsigned m = 0; m < METRIC_N; m++) {
        got.sum[m] = s->sum[m];
        got.max[m] = s->max[m];
    }
    merge(to, &got);
}

void metric_rings_minute(const struct metric_rings *r, uint64_t minute, struct metric_step *to)
{
    for (uint64_t i = 0; i < 6; i++)
        metric_rings_get(r, LEVEL_TEN, minute * 6 + i, to);
}

void metric_rings_last(const struct metric_rings *r, uint64_t now_ms, unsigned seconds, struct metric_step *to)
{
    uint64_t now = now_ms / 1000;
    for (uint64_t i = 0; i < seconds && i <= now; i++)
        metric_rings_get(r, LEVEL_SECOND, now - i, to);
}

// ---------------------------------------------------------------- stored

struct metric_place metric_place(enum metric_level level, uint64_t step)
{
    uint64_t page = step / METRIC_PAGE_STEPS;
    return (struct metric_place){ page, (uint32_t)(page % levels[level].pages), (uint32_t)(step % METRIC_PAGE_STEPS) };
}

void metric_key(uint64_t workspace, uint64_t desktop, enum metric_level level, uint32_t slot, struct key *ret)
{
    ret->n = 0;
    key_u8(key_u64(key_u64(ret, workspace), desktop), (uint8_t)level);
    for (int shift = 24; shift >= 0; shift -= 8)
        key_u8(ret, (uint8_t)(slot >> shift));
}

void metric_page_new(Rec__MetricPage *p, struct metric_page_room *room, uint64_t page)
{
    *p = (Rec__MetricPage)REC__METRIC_PAGE__INIT;
    *room = (struct metric_page_room){ 0 };
    p->page = page;
    p->count = room->count;
    p->sum = room->sum;
    p->max = room->max;
    p->n_count = METRIC_PAGE_STEPS;
    p->n_sum = p->n_max = METRIC_PAGE_STEPS * METRIC_N;
}

bool metric_page_whole(const Rec__MetricPage *p)
{
    return p->n_count == METRIC_PAGE_STEPS && p->n_sum == METRIC_PAGE_STEPS * METRIC_N && p->n_max == METRIC_PAGE_STEPS * METRIC_N;
}

void metric_page_get(const Rec__MetricPage *p, uint32_t index, struct metric_step *to)
{
    struct metric_step got = { .count = p->count[index] };
    for (unsigned m = 0; m < METRIC_N; m++) {
        got.sum[m] = p->sum[index * METRIC_N + m];
        got.max[m] = p->max[index * METRIC_N + m];
    }
    merge(to, &got);
}

void metric_page_add(Rec__MetricPage *p, uint32_t index, const struct metric_step *s)
{
    struct metric_step now = *s;
    metric_page_get(p, index, &now);
    p->count[index] = (uint32_t)now.count;
    for (unsigned m = 0; m < METRIC_N; m++) {
        p->sum[index * METRIC_N + m] = now.sum[m];
        p->max[index * METRIC_N + m] = now.max[m];
    }
}

// ---------------------------------------------------------------- which level

static bool reaches(enum metric_level level, uint64_t now_ms, uint64_t memory_from, uint64_t from_ms)
{
    uint64_t step = metric_step_ms(level);
    return (metric_stored(level) || from_ms >= memory_from) && from_ms / step + levels[level].kept >= now_ms / step;
}

static uint64_t points(uint64_t from_ms, uint64_t to_ms, uint64_t step_ms)
{
    return (to_ms - 1) / step_ms - from_ms / step_ms + 1;
}

void metric_choose(uint64_t now_ms, uint64_t memory_from, uint64_t from_ms, uint64_t to_ms, uint64_t step_s, struct metric_choice *ret)
{
    enum metric_level level = LEVEL_SECOND;
    while (level < LEVEL_HOUR && (!reaches(level, now_ms, memory_from, from_ms) ||
                                  (!step_s && points(from_ms, to_ms, metric_step_ms(level)) > METRIC_POINTS_MAX)))
        level++;
    uint64_t own = metric_step_ms(level), times = step_s ? (step_s * 1000 + own - 1) / own : 1;
    uint64_t least = (to_ms - from_ms) / METRIC_POINTS_MAX / own; // fewer steps a point give too many points
    if (times < least)
        times = least;
    while (points(from_ms, to_ms, times * own) > METRIC_POINTS_MAX)
        times++;
    ret->level = level;
    ret->step_ms = times * own;
    ret->first = from_ms / ret->step_ms;
    ret->n = points(from_ms, to_ms, ret->step_ms);
}

// ---------------------------------------------------------------- alerts

enum metric_alert metric_alert_step(enum metric_alert level, uint32_t value, uint32_t threshold, unsigned *ret_row)
{
    enum { POINTS = 500, SMALL = 5000 };
    *ret_row = ROW_NONE;
    if (!threshold || level > ALERT_ABOVE)
        return ALERT_NONE;
    uint32_t mark[] = { 0, (threshold * 9 + 9) / 10, threshold }, slack = threshold < SMALL ? threshold / 20 : POINTS;
    enum metric_alert now = value >= mark[ALERT_ABOVE] ? ALERT_ABOVE : value >= mark[ALERT_NEAR] ? ALERT_NEAR : ALERT_NONE;
    if (now > level)
        *ret_row = now == ALERT_ABOVE ? ROW_ALERT : ROW_ALERT_NEAR;
    while (now < level && value < mark[level] - slack)
        level--;
    return now > level ? now : level;
}
