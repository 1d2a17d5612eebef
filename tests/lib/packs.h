// What was made of a body must be a whole message.
#pragma once
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <protobuf-c/protobuf-c.h>

static void packs(const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *p = malloc(n + 1);

    assert(p && protobuf_c_message_pack(m, p) == n);
    ProtobufCMessage *back = protobuf_c_message_unpack(m->descriptor, NULL, n, p);
    assert(back);
    protobuf_c_message_free_unpacked(back, NULL);
    free(p);
}
