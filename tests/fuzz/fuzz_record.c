// links: broker common lmdb xxhash protobuf-c sodium
// fuzz: -max_len=4096
// What stands in the database: octet 0 names the kind of record, of all there are. A record whose checksum is wrong is refused; one whose
// checksum is right is unpacked (the mutator makes it right, most of the time), the index entries of an object are made, a page of a
// desktop's history is read at every step, and all of it packs again.
#include "mutate_pb.h"
#include "kind.h"
#include "metric.h"
#include "record.h"
#include "wire.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ProtobufCMessageDescriptor *const objects[KIND_N] = {
    [KIND_TASK] = &rec__task__descriptor,         [KIND_SESSION] = &rec__session__descriptor, [KIND_APPROVAL] = &rec__approval__descriptor,
    [KIND_DESKTOP] = &rec__desktop__descriptor,   [KIND_WORKSPACE] = &rec__workspace__descriptor, [KIND_USER] = &rec__user__descriptor,
    [KIND_KEY] = &rec__key__descriptor,           [KIND_SIGNIN] = &rec__key__descriptor,      [KIND_PEER] = &rec__peer__descriptor,
    [KIND_WEBHOOK] = &rec__webhook__descriptor,
};
static const ProtobufCMessageDescriptor *const others[] = {
    &rec__meta__descriptor,      &rec__counts__descriptor, &rec__hour__descriptor,     &rec__outcome__descriptor, &rec__metric_page__descriptor,
    &rec__comment__descriptor,   &rec__hour_rows__descriptor, &rec__delivery__descriptor, &wire__row__descriptor,
};
enum { OTHERS = sizeof others / sizeof *others };

static const char key[] = "a key";
static const struct record_place place = { 1, key, sizeof key }; // a record of schema 1 needs none, and is read all the same

static const ProtobufCMessageDescriptor *kind_of(uint8_t octet)
{
    unsigned i = octet % (KIND_N + OTHERS);
    return i < KIND_N ? objects[i] : others[i - KIND_N];
}

static void packs(const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *p = malloc(n + 1);
    if (!p || protobuf_c_message_pack(m, p) != n)
        abort();
    free(p);
}

static void object(enum kind kind, struct arena *a, struct slice s)
{
    struct index_entries es;
    void *rec;
    if (kind_unpack(kind, a, s, &rec))
        return;
    const Rec__Key *k = rec;
    if ((kind != KIND_KEY && kind != KIND_SIGNIN) || k->hash.len == 32) // a key's hash is checked before it is stored
        kind_entries(kind, rec, &es);
    packs(rec);
}

static void other(const ProtobufCMessageDescriptor *d, struct arena *a, struct slice s)
{
    ProtobufCMessage *m = protobuf_c_message_unpack(d, arena_allocator(a), s.n, s.p);
    if (!m)
        return;
    packs(m);
    Rec__MetricPage *p = (Rec__MetricPage *)m;
    if (d != &rec__metric_page__descriptor || !metric_page_whole(p))
        return;
    for (uint32_t i = 0; i < METRIC_PAGE_STEPS; i++) {
        struct metric_step got = { 0 };
        metric_page_get(p, i, &got);
        for (unsigned k = 0; k < METRIC_N; k++)
            (void)metric_mean(&got, k);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena a;
    if (size < 1 + RECORD_HEADER)
        return 0;
    if (!a.max)
        arena_init(&a, 16 << 20);
    arena_reset(&a);
    size_t n = size - 1;
    uint8_t *copy = malloc(n); // of exactly its size
    if (!copy)
        return 0;
    memcpy(copy, data + 1, n);
    unsigned i = data[0] % (KIND_N + OTHERS);
    struct slice s = { copy + RECORD_HEADER, n - RECORD_HEADER };
    if (record_check(&place, copy, n) == ERR_OK) {
        if (i < KIND_N)
            object((enum kind)i, &a, s);
        else
            other(others[i - KIND_N], &a, s);
    }
    free(copy);
    return 0;
}

static size_t finish(uint8_t *data, size_t n)
{
    if (pb_below(16)) // a wrong checksum is one case
        record_header(data + 1, &place, data + 1 + RECORD_HEADER, n);
    return 1 + RECORD_HEADER + n;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    enum { HEAD = 1 + RECORD_HEADER };
    if (max < HEAD)
        return size;
    if (size < HEAD)
        memset(data + size, 0, HEAD - size);
    if (size < HEAD || seed % 32 == 0)
        data[0] = (uint8_t)(seed >> 8);
    return finish(data, pb_mutate(kind_of(data[0]), data + HEAD, size > HEAD ? size - HEAD : 0, max - HEAD, seed));
}
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t an, const uint8_t *b, size_t bn, uint8_t *out, size_t max, unsigned seed)
{
    enum { HEAD = 1 + RECORD_HEADER };
    if (an < HEAD || bn < HEAD || max < HEAD)
        return 0;
    memcpy(out, a, HEAD);
    return finish(out, pb_cross(kind_of(a[0]), a + HEAD, an - HEAD, b + HEAD, bn - HEAD, out + HEAD, max - HEAD, seed));
}
