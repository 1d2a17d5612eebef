// What the product allocates while an input runs is given back when it has run: parts that live as long as their process have nothing
// to free them with, and each input must meet them new. A target that includes this links with --wrap of these seven functions.
// Memory that libraries allocate for themselves is theirs and stays.
#pragma once
#include <protobuf-c/protobuf-c.h>
#include <sanitizer/asan_interface.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);
char *__wrap_strdup(const char *s);
ProtobufCMessage *__real_protobuf_c_message_unpack(const ProtobufCMessageDescriptor *d, ProtobufCAllocator *a, size_t n, const uint8_t *p);
void __real_protobuf_c_message_free_unpacked(ProtobufCMessage *m, ProtobufCAllocator *a);
ProtobufCMessage *__wrap_protobuf_c_message_unpack(const ProtobufCMessageDescriptor *d, ProtobufCAllocator *a, size_t n, const uint8_t *p);
void __wrap_protobuf_c_message_free_unpacked(ProtobufCMessage *m, ProtobufCAllocator *a);

struct heap_head { // before each piece, poisoned
    struct heap_head *next, *prev;
    size_t n;
    uint64_t magic;
};
#define HEAP_MAGIC 0x5bd1e9955bd1e995u

static struct {
    bool on;
    struct heap_head all;
} heap = { false, { &heap.all, &heap.all, 0, 0 } };

// Reads what stands before any pointer, which may be the sanitizer's own.
__attribute__((no_sanitize("address"))) static bool heap_is_ours(const void *p)
{
    return ((const struct heap_head *)p - 1)->magic == HEAP_MAGIC;
}

__attribute__((no_sanitize("address"))) static void *heap_add(struct heap_head *h, size_t n)
{
    h->next = &heap.all;
    h->prev = heap.all.prev;
    h->prev->next = h;
    heap.all.prev = h;
    h->n = n;
    h->magic = HEAP_MAGIC;
    ASAN_POISON_MEMORY_REGION(h, sizeof *h);
    return h + 1;
}

__attribute__((no_sanitize("address"))) static void heap_remove(struct heap_head *h)
{
    ASAN_UNPOISON_MEMORY_REGION(h, sizeof *h);
    h->prev->next = h->next;
    h->next->prev = h->prev;
    h->magic = 0;
}

void *__wrap_malloc(size_t n)
{
    if (!heap.on)
        return __real_malloc(n);
    struct heap_head *h = __real_malloc(sizeof *h + n);
    return h ? heap_add(h, n) : NULL;
}

void *__wrap_calloc(size_t n, size_t size)
{
    if (!heap.on)
        return __real_calloc(n, size);
    if (size && n > SIZE_MAX / 2 / size)
        return NULL;
    struct heap_head *h = __real_calloc(1, sizeof *h + n * size);
    return h ? heap_add(h, n * size) : NULL;
}

void __wrap_free(void *p)
{
    if (p && heap_is_ours(p)) {
        heap_remove((struct heap_head *)p - 1);
        __real_free((struct heap_head *)p - 1);
    } else {
        __real_free(p);
    }
}

__attribute__((no_sanitize("address"))) static size_t heap_size(const void *p)
{
    return ((const struct heap_head *)p - 1)->n;
}

void *__wrap_realloc(void *p, size_t n)
{
    if (!p)
        return __wrap_malloc(n);
    if (!heap_is_ours(p))
        return __real_realloc(p, n);
    void *q = __wrap_malloc(n);
    if (!q)
        return NULL;
    memcpy(q, p, heap_size(p) < n ? heap_size(p) : n);
    __wrap_free(p);
    return q;
}

char *__wrap_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *p = __wrap_malloc(n);
    return p ? memcpy(p, s, n) : NULL;
}

static void *heap_pb_alloc(void *u, size_t n) { (void)u; return __wrap_malloc(n); }
static void heap_pb_free(void *u, void *p) { (void)u; __wrap_free(p); }
static ProtobufCAllocator heap_pb = { heap_pb_alloc, heap_pb_free, NULL };

ProtobufCMessage *__wrap_protobuf_c_message_unpack(const ProtobufCMessageDescriptor *d, ProtobufCAllocator *a, size_t n, const uint8_t *p)
{
    return __real_protobuf_c_message_unpack(d, a ? a : &heap_pb, n, p);
}
void __wrap_protobuf_c_message_free_unpacked(ProtobufCMessage *m, ProtobufCAllocator *a)
{
    __real_protobuf_c_message_free_unpacked(m, a ? a : &heap_pb);
}

static void heap_begin(void) { heap.on = true; }
static void heap_end(void)
{
    heap.on = false;
    while (heap.all.next != &heap.all)
        __wrap_free(heap.all.next + 1);
}
