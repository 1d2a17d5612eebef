#include "stats.h"
#include <string.h>
#include "arena.h"
#include "event.h"
#include "kind.h"

enum err stats_row(struct stats *s, struct arena *a, const Wire__Row *row, int by)
{
    uint64_t hour = row->time_ms / STATS_HOUR_MS;
    if (!event_type(row->row, VIEW_ACTIVITIES))
        return ERR_OK;
    for (size_t i = s->n; i-- > 0;)
        if (s->hours[i].workspace == row->workspace && s->hours[i].hour == hour) {
            s->hours[i].by += by;
            return ERR_OK;
        }
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 8;
        struct stats_hour *hours = arena_alloc(a, cap * sizeof *hours);
        if (!hours)
            return ERR_NO_MEMORY;
        if (s->n)
            memcpy(hours, s->hours, s->n * sizeof *hours);
        s->hours = hours;
        s->cap = cap;
    }
    s->hours[s->n++] = (struct stats_hour){ row->workspace, hour, by };
    return ERR_OK;
}

static enum err apply(struct txn *t, struct arena *a, const struct stats_hour *h)
{
    struct key k = { .n = 0 };
    Rec__HourRows fresh = REC__HOUR_ROWS__INIT, *r = &fresh;
    key_u64(key_u64(&k, h->workspace), h->hour);
    enum err e = rec_get(t, a, DB_STATS, &k, &rec__hour_rows__descriptor, &r);
    if (e && e != ERR_NOT_FOUND)
        return e;
    if (h->by < 0 && r->activities < (uint64_t)-h->by)
        return ERR_CORRUPT;
    r->activities += (uint64_t)h->by;
    if (r->activities)
        return rec_put(t, a, DB_STATS, &k, r);
    return e == ERR_NOT_FOUND ? ERR_OK : store_del(t, DB_STATS, &k);
}

enum err stats_flush(struct stats *s, struct txn *t, struct arena *a)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < s->n && !e; i++)
        if (s->hours[i].by)
            e = apply(t, a, &s->hours[i]);
    *s = (struct stats){ 0 };
    return e;
}

static enum err more(struct arena *a, Wire__HourCount ***list, size_t n, size_t *cap)
{
    if (n < *cap)
        return ERR_OK;
    Wire__HourCount **bigger = arena_alloc(a, 2 * *cap * sizeof *bigger);
    if (!bigger)
        return ERR_NO_MEMORY;
    memcpy(bigger, *list, n * sizeof *bigger);
    *list = bigger;
    *cap *= 2;
    return ERR_OK;
}

enum err stats_read(struct txn *t, struct arena *a, uint64_t workspace, uint64_t from, Wire__HourCount ***ret, size_t *ret_n)
{
    struct key prefix = { .n = 0 };
    struct cursor c;
    size_t n = 0, cap = 64;
    Wire__HourCount **list = arena_alloc(a, cap * sizeof *list);
    enum err e = list ? cursor_open(&c, t, DB_STATS, key_u64(&prefix, workspace)) : ERR_NO_MEMORY;
    if (e)
        return e;
    struct key k = prefix;
    for (bool on = cursor_seek(&c, key_u64(&k, from)); on && !e; on = cursor_next(&c)) {
        Rec__HourRows *r = rec__hour_rows__unpack(arena_allocator(a), c.value.n, c.value.p);
        Wire__HourCount *h = arena_alloc(a, sizeof *h);
        e = !r ? ERR_CORRUPT : !h ? ERR_NO_MEMORY : more(a, &list, n, &cap);
        if (e)
            break;
        *h = (Wire__HourCount)WIRE__HOUR_COUNT__INIT;
        h->hour = key_read_u64(c.key.b + 8);
        h->count = r->activities;
        list[n++] = h;
    }
    if (!e)
        e = c.err;
    cursor_close(&c);
    *ret = list;
    *ret_n = n;
    return e;
}
