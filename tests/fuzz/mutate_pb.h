// Mutations that leave a packed message a message: it is unpacked, changed field by field as its descriptor says (numbers at their
// edges, ids that exist, other members of a oneof, entries put in, doubled and taken away, texts from a list), and packed again; one in
// eight is changed as mere octets instead. A target names the message type and calls these from LLVMFuzzerCustomMutator and -CrossOver.
// Frames are for the targets that are fed several messages: an octet that says which kind, two octets of length (big-endian), the
// message. Without libFuzzer (the replay of corpora) nothing here is called.
#pragma once
#pragma GCC diagnostic ignored "-Wunused-function" // no target needs all of it
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "arena.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max) __attribute__((weak));
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t an, const uint8_t *b, size_t bn, uint8_t *out, size_t max, unsigned seed);

enum { PB_NODES = 512, PB_DEPTH = 4, PB_ENTRIES = 80, PB_FRAMES = 64, PB_FRAME_MAX = 65535, PB_TEXT_MAX = 5000 };

static struct {
    uint64_t seed;
    struct arena arena;
    uint8_t scratch[1 << 17];
    size_t fresh;              // messages made in this mutation
} pb;

static uint64_t pb_rnd(void) // splitmix64
{
    uint64_t z = pb.seed += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
static size_t pb_below(size_t n) { return n ? (size_t)(pb_rnd() % n) : 0; }

static void *pb_alloc(size_t n)
{
    void *p = arena_alloc(&pb.arena, n ? n : 1);
    if (!p)
        abort(); // the bound below is far above what PB_NODES messages take
    return p;
}

static void pb_begin(unsigned seed)
{
    if (!pb.arena.max)
        arena_init(&pb.arena, 256u << 20);
    arena_reset(&pb.arena);
    pb.seed = seed;
    pb.fresh = 0;
}

// ---------------------------------------------------------------- values

static uint64_t pb_number(uint64_t was)
{
    static const uint64_t edges[] = { 60, 64, 65, 128, 255, 256, 500, 1000, 4096, 10000, 65535, 65536, 65537, 524288, 1048576, 1048577,
                                      2097152, 604800, 1767225600000, 1767225600001, 1767312000000, 1735689600000, 4102444800000 };
    switch (pb_below(10)) {
    case 0: case 1: case 2: return pb_below(8);
    case 3: return pb_below(130);
    case 4: return edges[pb_below(sizeof edges / sizeof *edges)];
    case 5: return ((uint64_t)1 << pb_below(64)) - pb_below(3) + 1;
    case 6: return was + 1;
    case 7: return was - 1;
    case 8: return was ^ (uint64_t)1 << pb_below(64);
    default: return pb_rnd() >> pb_below(64);
    }
}

static char *pb_text(const char *was)
{
    static const char *const words[] = {
        "", "*", "w1", "w2", "admin", "local", "true", "user", "http://x/", "https://[::1]:8080/a?b", "http://10.0.0.1/", "ssh://u@host:22",
        "user@host", "host:2222", "task.*", "task.created", "task.completed", "approval.created", "a@b", "A.b_c+d-1", "\xc3\xa9", "\xe2\x80\xa8",
        "\xff", "\x1b[31m", "a\nb", "\t", "id", "%", "\"\\", "<script>", "$argon2id$v=19$m=65536,t=2,p=1$c2FsdHNhbHQ$aGFzaA", "tasks", "limit",
        "2026-01-01T00:00:00Z", "127.0.0.1", "::1", "-x", "..", "/", "mc_k_0123456789", "agent", "model", "gpt", "uname", "system",
    };
    size_t n = strlen(was), k;
    char *out;
    switch (pb_below(6)) {
    case 0: case 1: case 2:
        out = pb_alloc(64);
        strcpy(out, words[pb_below(sizeof words / sizeof *words)]);
        return out;
    case 3: { // a length around a limit
        static const size_t at[] = { 1, 63, 64, 65, 79, 80, 81, 127, 128, 199, 200, 201, 255, 256, 257, 2048, 4096, 4097 };
        k = at[pb_below(sizeof at / sizeof *at)];
        out = pb_alloc(k + 1);
        memset(out, 'a' + (int)pb_below(26), k);
        out[k] = 0;
        return out;
    }
    case 4: // what it was, twice or cut
        k = pb_below(2) ? n : pb_below(n + 1);
        k = k < PB_TEXT_MAX ? k : PB_TEXT_MAX;
        out = pb_alloc(2 * k + 1);
        memcpy(out, was, k);
        memcpy(out + k, was, pb_below(2) ? k : 0);
        out[k] = 0;
        return out;
    default:
        k = n + 64;
        out = pb_alloc(k + 1);
        memcpy(out, was, n);
        if (LLVMFuzzerMutate)
            n = LLVMFuzzerMutate((uint8_t *)out, n, k);
        out[n] = 0;
        return out;
    }
}

static ProtobufCBinaryData pb_bytes(ProtobufCBinaryData was)
{
    static const size_t at[] = { 0, 1, 8, 15, 16, 17, 31, 32, 33, 40, 64, 300 };
    ProtobufCBinaryData b;
    if (pb_below(2) && LLVMFuzzerMutate) {
        b.data = pb_alloc(was.len + 64);
        if (was.len)
            memcpy(b.data, was.data, was.len);
        b.len = LLVMFuzzerMutate(b.data, was.len, was.len + 64);
        return b;
    }
    b.len = at[pb_below(sizeof at / sizeof *at)];
    b.data = pb_alloc(b.len);
    memset(b.data, (int)pb_below(4), b.len);
    return b;
}

// ---------------------------------------------------------------- messages

static size_t pb_size(const ProtobufCFieldDescriptor *f)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT64: case PROTOBUF_C_TYPE_UINT64: case PROTOBUF_C_TYPE_SINT64: case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64: case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_STRING: case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return 4;
    }
}
static void *pb_at(ProtobufCMessage *m, unsigned offset) { return (char *)m + offset; }
static size_t *pb_count(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f) { return pb_at(m, f->quantifier_offset); }
static uint32_t *pb_case(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f) { return pb_at(m, f->quantifier_offset); }
static bool pb_oneof(const ProtobufCFieldDescriptor *f) { return f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF; }

static void pb_fill(ProtobufCMessage *m, unsigned depth);

static ProtobufCMessage *pb_new(const ProtobufCMessageDescriptor *d, unsigned depth)
{
    ProtobufCMessage *m = pb_alloc(d->sizeof_message);
    d->message_init(m);
    if (pb.fresh++ < PB_NODES && depth)
        pb_fill(m, depth - 1);
    return m;
}

// One value, of a field that is no list or of an entry of one. fresh: there is nothing at p yet.
static void pb_value(const ProtobufCFieldDescriptor *f, void *p, unsigned depth, bool fresh)
{
    static char none[1];
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING: *(char **)p = pb_text(fresh || !*(char **)p ? none : *(char **)p); return;
    case PROTOBUF_C_TYPE_BYTES: *(ProtobufCBinaryData *)p = pb_bytes(fresh ? (ProtobufCBinaryData){ 0, NULL } : *(ProtobufCBinaryData *)p); return;
    case PROTOBUF_C_TYPE_MESSAGE: *(ProtobufCMessage **)p = pb_new(f->descriptor, depth); return;
    case PROTOBUF_C_TYPE_BOOL: *(protobuf_c_boolean *)p = fresh ? 1 : !*(protobuf_c_boolean *)p; return;
    default: break;
    }
    if (pb_size(f) == 8)
        *(uint64_t *)p = pb_number(fresh ? 1 : *(uint64_t *)p);
    else
        *(uint32_t *)p = (uint32_t)pb_number(fresh ? 1 : *(uint32_t *)p);
}

static void pb_list(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, unsigned depth)
{
    size_t n = *pb_count(m, f), size = pb_size(f), at = pb_below(n + 1);
    uint8_t *was = *(uint8_t **)pb_at(m, f->offset), *list = pb_alloc((n + 2) * size);
    unsigned what = (unsigned)pb_below(8);
    if (n)
        memcpy(list, was, n * size);
    if (n == 0 || (what < 3 && n < PB_ENTRIES)) { // one more, new or a copy
        memmove(list + (at + 1) * size, list + at * size, (n - at) * size);
        if (n && pb_below(2))
            memcpy(list + at * size, was + pb_below(n) * size, size);
        else
            pb_value(f, list + at * size, depth, true);
        n++;
    } else if (what < 5) { // one less, or none
        if (at == n)
            at--;
        memmove(list + at * size, list + (at + 1) * size, (n - at - 1) * size);
        n = pb_below(6) ? n - 1 : 0;
    } else if (what == 5) { // two change places
        size_t other = pb_below(n);
        at = pb_below(n);
        memcpy(list + at * size, was + other * size, size);
        memcpy(list + other * size, was + at * size, size);
    } else {
        pb_value(f, list + pb_below(n) * size, depth, false);
    }
    *pb_count(m, f) = n;
    *(uint8_t **)pb_at(m, f->offset) = list;
}

static void pb_field(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, unsigned depth)
{
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        pb_list(m, f, depth);
        return;
    }
    bool fresh = pb_oneof(f) && *pb_case(m, f) != f->id;
    if (pb_oneof(f))
        *pb_case(m, f) = f->id;
    if (f->type == PROTOBUF_C_TYPE_MESSAGE && !pb_oneof(f) && *(ProtobufCMessage **)pb_at(m, f->offset) && pb_below(3) == 0) {
        *(ProtobufCMessage **)pb_at(m, f->offset) = NULL;
        return;
    }
    pb_value(f, pb_at(m, f->offset), depth, fresh);
}

// A new message has about half of its fields.
static void pb_fill(ProtobufCMessage *m, unsigned depth)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    const ProtobufCFieldDescriptor *one = NULL;
    unsigned seen = 0;
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        if (pb_oneof(f)) {
            if (pb_below(++seen) == 0)
                one = f;
        } else if (pb_below(2)) {
            pb_field(m, f, depth);
        }
    }
    if (one)
        pb_field(m, one, depth + 1);
}

struct pb_nodes {
    ProtobufCMessage *m[PB_NODES];
    size_t n;
};

static void pb_walk(struct pb_nodes *to, ProtobufCMessage *m)
{
    if (!m || to->n == PB_NODES)
        return;
    to->m[to->n++] = m;
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        if (f->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            for (size_t k = 0; k < *pb_count(m, f); k++)
                pb_walk(to, (*(ProtobufCMessage ***)pb_at(m, f->offset))[k]);
        } else if (!pb_oneof(f) || *pb_case(m, f) == f->id) {
            pb_walk(to, *(ProtobufCMessage **)pb_at(m, f->offset));
        }
    }
}

static size_t pb_pack(const ProtobufCMessage *m, uint8_t *out, size_t max)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    return n <= max ? protobuf_c_message_pack(m, out) : SIZE_MAX;
}

static size_t pb_raw(uint8_t *data, size_t size, size_t max)
{
    return LLVMFuzzerMutate && max ? LLVMFuzzerMutate(data, size, max) : size;
}

// After pb_begin.
static size_t pb_change(const ProtobufCMessageDescriptor *d, uint8_t *data, size_t size, size_t max)
{
    static struct pb_nodes nodes;
    ProtobufCMessage *m = d && pb_below(8) ? protobuf_c_message_unpack(d, arena_allocator(&pb.arena), size, data) : NULL;
    if (!m) {
        if (d && (size == 0 || pb_below(4) == 0)) {
            size_t n = pb_pack(pb_new(d, PB_DEPTH), data, max);
            return n == SIZE_MAX ? 0 : n;
        }
        return pb_raw(data, size, max);
    }
    do {
        nodes.n = 0;
        pb_walk(&nodes, m);
        // the deeper messages are many, and what holds them matters as much
        ProtobufCMessage *at = nodes.m[pb_below(4) ? pb_below(nodes.n) : pb_below(nodes.n < 3 ? nodes.n : 3)];
        if (at->descriptor->n_fields)
            pb_field(at, &at->descriptor->fields[pb_below(at->descriptor->n_fields)], PB_DEPTH - 1);
    } while (pb_below(3) == 0);
    size_t n = pb_pack(m, data, max);
    return n == SIZE_MAX ? pb_raw(data, size, max) : n;
}

static size_t pb_mutate(const ProtobufCMessageDescriptor *d, uint8_t *data, size_t size, size_t max, unsigned seed)
{
    pb_begin(seed);
    return pb_change(d, data, size, max);
}

// A message of b takes the place of one of the same kind in a. After pb_begin.
static size_t pb_join(const ProtobufCMessageDescriptor *d, const uint8_t *a, size_t an, const uint8_t *b, size_t bn, uint8_t *out, size_t max)
{
    static struct pb_nodes na, nb;
    ProtobufCMessage *ma = protobuf_c_message_unpack(d, arena_allocator(&pb.arena), an, a);
    ProtobufCMessage *mb = protobuf_c_message_unpack(d, arena_allocator(&pb.arena), bn, b);
    size_t n = SIZE_MAX;
    na.n = nb.n = 0;
    if (ma && mb) {
        pb_walk(&na, ma);
        pb_walk(&nb, mb);
        ProtobufCMessage *to = na.m[pb_below(na.n)];
        for (size_t i = 0, from = pb_below(nb.n); i < nb.n; i++) {
            ProtobufCMessage *x = nb.m[(from + i) % nb.n];
            if (x->descriptor != to->descriptor)
                continue;
            memcpy(to, x, x->descriptor->sizeof_message);
            n = pb_pack(ma, out, max);
            break;
        }
    }
    if (n != SIZE_MAX)
        return n;
    n = an < max ? an : max;
    memcpy(out, a, n);
    return n;
}

static size_t pb_cross(const ProtobufCMessageDescriptor *d, const uint8_t *a, size_t an, const uint8_t *b, size_t bn, uint8_t *out, size_t max,
                       unsigned seed)
{
    pb_begin(seed);
    return pb_join(d, a, an, b, bn, out, max);
}

// ---------------------------------------------------------------- frames

struct pb_frame {
    uint8_t kind;
    const uint8_t *p;
    size_t n;
};

// The next frame of an input; a last one that is cut short is as long as what there is.
static bool frame_next(const uint8_t **data, size_t *size, struct pb_frame *ret)
{
    if (*size < 3)
        return false;
    size_t n = (size_t)(*data)[1] << 8 | (*data)[2];
    *ret = (struct pb_frame){ (*data)[0], *data + 3, n < *size - 3 ? n : *size - 3 };
    *data += 3 + ret->n;
    *size -= 3 + ret->n;
    return true;
}

static size_t frames_read(const uint8_t *data, size_t size, struct pb_frame *to)
{
    size_t n = 0;
    while (n < PB_FRAMES && frame_next(&data, &size, &to[n]))
        n++;
    return n;
}

static size_t frames_write(const struct pb_frame *f, size_t n, uint8_t *out, size_t max)
{
    size_t len = 0;
    max = max < sizeof pb.scratch ? max : sizeof pb.scratch;
    for (size_t i = 0; i < n && len + 3 + f[i].n <= max; i++) {
        pb.scratch[len] = f[i].kind;
        pb.scratch[len + 1] = (uint8_t)(f[i].n >> 8);
        pb.scratch[len + 2] = (uint8_t)f[i].n;
        if (f[i].n)
            memcpy(pb.scratch + len + 3, f[i].p, f[i].n);
        len += 3 + f[i].n;
    }
    memcpy(out, pb.scratch, len);
    return len;
}

// kinds[i % n]: the message that frames of kind i hold; NULL: other octets.
static void frame_change(const ProtobufCMessageDescriptor *const *kinds, size_t n_kinds, struct pb_frame *f, bool anew)
{
    size_t max = f->n + 4096 < PB_FRAME_MAX ? f->n + 4096 : PB_FRAME_MAX;
    uint8_t *p = pb_alloc(max);
    if (f->n && !anew)
        memcpy(p, f->p, f->n);
    f->n = pb_change(kinds[f->kind % n_kinds], p, anew ? 0 : f->n, max);
    f->p = p;
}

static size_t frames_mutate(const ProtobufCMessageDescriptor *const *kinds, size_t n_kinds, uint8_t *data, size_t size, size_t max, unsigned seed)
{
    struct pb_frame f[PB_FRAMES + 1];
    pb_begin(seed);
    size_t n = frames_read(data, size, f), at = pb_below(n), what = pb_below(16);
    if (n == 0 || (what < 3 && n < PB_FRAMES)) {
        at = pb_below(n + 1);
        memmove(f + at + 1, f + at, (n - at) * sizeof *f);
        f[at] = n && pb_below(3) == 0 ? f[at + 1 <= n ? at + 1 : 0] : (struct pb_frame){ .kind = (uint8_t)pb_below(n_kinds), .n = 0 };
        if (!f[at].n)
            frame_change(kinds, n_kinds, &f[at], true);
        n++;
    } else if (what == 3) {
        memmove(f + at, f + at + 1, (n - at - 1) * sizeof *f);
        n--;
    } else if (what == 4) {
        struct pb_frame x = f[at];
        size_t other = pb_below(n);
        f[at] = f[other];
        f[other] = x;
    } else if (what == 5) {
        f[at].kind = (uint8_t)pb_rnd();
    } else if (what == 6) {
        return pb_raw(data, size, max);
    } else {
        frame_change(kinds, n_kinds, &f[at], false);
    }
    return frames_write(f, n, data, max);
}

static size_t frames_cross(const ProtobufCMessageDescriptor *const *kinds, size_t n_kinds, const uint8_t *a, size_t an, const uint8_t *b, size_t bn,
                           uint8_t *out, size_t max, unsigned seed)
{
    struct pb_frame fa[PB_FRAMES], fb[PB_FRAMES], f[PB_FRAMES];
    pb_begin(seed);
    size_t na = frames_read(a, an, fa), nb = frames_read(b, bn, fb), n = 0;
    if (na && nb && pb_below(2)) { // a message of one inside a message of the other
        size_t i = pb_below(na), k = pb_below(nb);
        const ProtobufCMessageDescriptor *d = kinds[fa[i].kind % n_kinds];
        if (d && kinds[fb[k].kind % n_kinds] == d) {
            size_t room = fa[i].n + fb[k].n < PB_FRAME_MAX ? fa[i].n + fb[k].n : PB_FRAME_MAX;
            uint8_t *p = pb_alloc(room);
            fa[i].n = pb_join(d, fa[i].p, fa[i].n, fb[k].p, fb[k].n, p, room);
            fa[i].p = p;
            return frames_write(fa, na, out, max);
        }
    }
    for (size_t i = 0, end = pb_below(na + 1); i < end; i++) // the beginning of one, the end of the other
        f[n++] = fa[i];
    for (size_t k = pb_below(nb + 1); k < nb && n < PB_FRAMES; k++)
        f[n++] = fb[k];
    return frames_write(f, n, out, max);
}
