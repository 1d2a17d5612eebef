#include "outbox.h"
#include <stdlib.h>
#include <string.h>
#include "bus.h"
#include "log.h"

enum { ROWS_OCTETS_MAX = 64 * 1024, ROWS_COUNT_MAX = 1024, MESSAGE_MAX = 2 * 1024 * 1024 };

struct outbox {
    struct bus_pub *pub;
    struct buf packed;
    ProtobufCBinaryData rows[ROWS_COUNT_MAX];
    uint64_t messages, octets;
    int said;
};

static void publish(struct outbox *o, char topic, const ProtobufCMessage *m)
{
    buf_reset(&o->packed);
    uint8_t *p = buf_reserve(&o->packed, protobuf_c_message_get_packed_size(m));
    if (!p) {
        log_warn("a message for the bus is too large and was left out: subscribers read the log");
        return;
    }
    o->packed.len = protobuf_c_message_pack(m, p);
    bus_publish(o->pub, topic, o->packed.data, o->packed.len);
    o->messages++;
    o->octets += o->packed.len;
    o->said = 1;
}

// The batch keeps its rows one after the other, each behind its length.
static size_t rows_of(struct outbox *o, const struct batch *b)
{
    size_t n = 0, at = 0;
    if (b->rows.len > ROWS_OCTETS_MAX || b->n_rows > ROWS_COUNT_MAX)
        return 0;
    while (at < b->rows.len) {
        uint32_t len;
        memcpy(&len, b->rows.data + at, sizeof len);
        o->rows[n++] = (ProtobufCBinaryData){ len, b->rows.data + at + sizeof len };
        at += sizeof len + len;
    }
    return n;
}

void outbox_committed(struct outbox *o, const struct batch *b)
{
    Wire__BusEvents m = WIRE__BUS_EVENTS__INIT;
    if (b->newest < b->first)
        return;
    m.epoch = b->epoch;
    m.first = b->first;
    m.last = b->newest;
    m.rows = o->rows;
    m.n_rows = rows_of(o, b);
    publish(o, 'E', &m.base);
}

void outbox_tick(struct outbox *o, uint64_t epoch, uint64_t newest)
{
    Wire__BusEvents m = WIRE__BUS_EVENTS__INIT;
    if (!o->said) {
        m.epoch = epoch;
        m.first = newest + 1;
        m.last = newest;
        publish(o, 'E', &m.base);
    }
    o->said = 0;
}

void outbox_live(struct outbox *o, const Wire__Live *live)
{
    int said = o->said;
    publish(o, 'L', &live->base);
    o->said = said; // only events tell where the log stands
}

void outbox_counts(const struct outbox *o, uint64_t *ret_messages, uint64_t *ret_octets)
{
    *ret_messages = o->messages;
    *ret_octets = o->octets;
}

enum err outbox_new(struct bus_pub *pub, struct outbox **ret)
{
    struct outbox *o = calloc(1, sizeof *o);
    if (!o)
        return ERR_NO_MEMORY;
    o->pub = pub;
    buf_init(&o->packed, MESSAGE_MAX);
    *ret = o;
    return ERR_OK;
}
