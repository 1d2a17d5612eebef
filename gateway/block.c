// A block grows at its end only. The cache finds it by stretch of numbers (a hash table) and gives up the one used longest ago.
#include "block.h"
#include <stdlib.h>
#include <string.h>

struct block *block_new(uint64_t first)
{
    struct block *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    list_init(&b->lru);
    list_init(&b->bucket);
    b->first = b->next = first;
    return b;
}

void block_free(struct block *b)
{
    if (!b)
        return;
    list_remove(&b->lru);
    list_remove(&b->bucket);
    free(b->entries);
    free(b->text);
    free(b);
}

void block_clear(struct block *b)
{
    b->n = b->len = 0;
}

static bool grow(void **p, uint32_t *cap, uint32_t want, size_t unit)
{
    if (want <= *cap)
        return true;
    uint32_t to = *cap ? *cap * 2 : 1024 / (uint32_t)unit + 8;
    if (to < want)
        to = want;
    void *q = realloc(*p, to * unit);
    if (!q)
        return false;
    *p = q;
    *cap = to;
    return true;
}

enum err block_put(struct block *b, const struct block_what *what, const void *frame, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t head[8];
    unsigned digits = 1, h = 0;

    if (n == 0 || n > 0xff00) // the chunk's length must fit the entry
        return ERR_TOO_BIG;
    while (n >> (4 * digits))
        digits++;
    for (unsigned i = digits; i-- > 0;)
        head[h++] = (uint8_t)hex[n >> (4 * i) & 15];
    head[h++] = '\r';
    head[h++] = '\n';
    size_t len = h + n + 2;
    void *text = b->text, *entries = b->entries;
    bool room = grow(&text, &b->text_cap, b->len + (uint32_t)len, 1) && grow(&entries, &b->cap, b->n + 1, sizeof *b->entries);
    b->text = text;
    b->entries = entries;
    if (!room)
        return ERR_NO_MEMORY;
    memcpy(b->text + b->len, head, h);
    memcpy(b->text + b->len + h, frame, n);
    memcpy(b->text + b->len + h + n, "\r\n", 2);
    b->entries[b->n++] = (struct block_entry){
        .workspace = what->workspace, .desktop = what->desktop, .agent = what->agent, .at = b->len, .len = (uint16_t)len,
        .slot = (uint16_t)(what->number - b->first), .head = (uint8_t)h, .kind = (uint8_t)what->kind,
    };
    b->len += (uint32_t)len;
    return ERR_OK;
}

// Gives back what it does not use: nothing more is put.
static void trim(struct block *b)
{
    if (b->n == 0) {
        free(b->text);
        free(b->entries);
        b->text = NULL;
        b->entries = NULL;
    } else { // a realloc that fails to shrink leaves what is there
        void *text = realloc(b->text, b->len), *entries = realloc(b->entries, b->n * sizeof *b->entries);
        b->text = text ? text : b->text;
        b->entries = entries ? entries : b->entries;
    }
    b->text_cap = b->len;
    b->cap = b->n;
}

unsigned block_from(const struct block *b, uint64_t number)
{
    unsigned lo = 0, hi = b->n;

    if (number <= b->first)
        return 0;
    uint64_t slot = number - b->first;
    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;
        if (b->entries[mid].slot < slot)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static size_t cost(const struct block *b)
{
    return sizeof *b + b->text_cap + b->cap * sizeof *b->entries + 64; // 64: what malloc adds
}

static struct list *bucket(struct blocks *c, uint64_t number)
{
    return &c->bucket[number / BLOCK_NUMBERS % BLOCKS_BUCKETS];
}

void blocks_init(struct blocks *c, size_t max)
{
    list_init(&c->lru);
    for (unsigned i = 0; i < BLOCKS_BUCKETS; i++)
        list_init(&c->bucket[i]);
    c->octets = 0;
    c->max = max;
}

static void drop(struct blocks *c, struct block *b)
{
    c->octets -= cost(b);
    block_free(b);
}

void blocks_clear(struct blocks *c)
{
    list_each(n, tmp, &c->lru)
        drop(c, container_of(n, struct block, lru));
}

void blocks_fini(struct blocks *c)
{
    blocks_clear(c);
}

void blocks_put(struct blocks *c, struct block *b)
{
    trim(b);
    list_push_front(&c->lru, &b->lru);
    list_push_front(bucket(c, b->first), &b->bucket);
    c->octets += cost(b);
    while (c->octets > c->max && c->lru.prev != &b->lru)
        drop(c, container_of(c->lru.prev, struct block, lru));
}

struct block *blocks_find(struct blocks *c, uint64_t number)
{
    list_each(n, tmp, bucket(c, number)) {
        struct block *b = container_of(n, struct block, bucket);
        if (b->first <= number && number < b->next) {
            list_remove(&b->lru);
            list_push_front(&c->lru, &b->lru);
            return b;
        }
    }
    return NULL;
}

uint64_t blocks_after(const struct blocks *c, uint64_t number)
{
    uint64_t end = (number / BLOCK_NUMBERS + 1) * BLOCK_NUMBERS;
    const struct list *head = &c->bucket[number / BLOCK_NUMBERS % BLOCKS_BUCKETS];

    list_each(n, tmp, head) {
        const struct block *b = container_of(n, struct block, bucket);
        if (b->first > number && b->first < end)
            end = b->first;
    }
    return end;
}
