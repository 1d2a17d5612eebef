#include "map.h"
#include <stdlib.h>

static size_t home(const struct map *m, uint64_t key)
{
    return (size_t)((key * 0x9e3779b97f4a7c15u) >> 20) & (m->cap - 1);
}

static struct map_slot *find(const struct map *m, uint64_t key)
{
    if (!m->cap || !key)
        return NULL;
    for (size_t i = home(m, key);; i = (i + 1) & (m->cap - 1)) {
        if (m->slots[i].key == key)
            return &m->slots[i];
        if (!m->slots[i].key)
            return NULL;
    }
}

static void place(struct map *m, uint64_t key, void *value)
{
    size_t i = home(m, key);
    while (m->slots[i].key)
        i = (i + 1) & (m->cap - 1);
    m->slots[i] = (struct map_slot){ key, value };
}

static enum err grow(struct map *m)
{
    struct map bigger = { .cap = m->cap ? m->cap * 2 : 64, .n = m->n };
    bigger.slots = calloc(bigger.cap, sizeof *bigger.slots);
    if (!bigger.slots)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].key)
            place(&bigger, m->slots[i].key, m->slots[i].value);
    free(m->slots);
    *m = bigger;
    return ERR_OK;
}

void *map_get(const struct map *m, uint64_t key)
{
    struct map_slot *s = find(m, key);
    return s ? s->value : NULL;
}

enum err map_put(struct map *m, uint64_t key, void *value)
{
    struct map_slot *s = find(m, key);
    if (s) {
        s->value = value;
        return ERR_OK;
    }
    if ((m->n + 1) * 4 > m->cap * 3) {
        enum err e = grow(m);
        if (e)
            return e;
    }
    place(m, key, value);
    m->n++;
    return ERR_OK;
}

void *map_del(struct map *m, uint64_t key)
{
    struct map_slot *s = find(m, key);
    if (!s)
        return NULL;
    void *value = s->value;
    size_t hole = (size_t)(s - m->slots), i = hole;
    m->n--;
    m->slots[hole] = (struct map_slot){ 0, NULL };
    for (;;) { // close the gap, so that no probe ends early
        i = (i + 1) & (m->cap - 1);
        if (!m->slots[i].key)
            return value;
        size_t want = home(m, m->slots[i].key);
        if (((i - want) & (m->cap - 1)) >= ((i - hole) & (m->cap - 1))) {
            m->slots[hole] = m->slots[i];
            m->slots[i] = (struct map_slot){ 0, NULL };
            hole = i;
        }
    }
}

void map_fini(struct map *m)
{
    free(m->slots);
    *m = (struct map){ 0 };
}
