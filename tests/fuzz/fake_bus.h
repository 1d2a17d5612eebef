// The bus as a gateway or worker sees it, without nng: requests wait here until the target answers them, or their time is over.
#pragma once
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "bus.h"
#include "fake_loop.h"
#include "wire.pb-c.h"

enum { BUS_CALLS = 256 };

static struct {
    void (*connected)(void *u, int up);
    void *connected_u;
    bus_event_cb *heard;
    void *heard_u;
    struct call {
        struct bus_call *c;
        Wire__Request *m;
        uint64_t due;
    } call[BUS_CALLS];
    unsigned calls;
    bool up;
    uint64_t newest; // event number that replies tell
} bus;

enum err bus_new(uv_loop_t *l, struct bus **ret) { (void)l, *ret = NULL; return ERR_OK; }
enum err bus_dial(struct bus *b, const char *url, void (*connected)(void *u, int up), void *u, struct bus_client **ret)
{
    (void)b, (void)url, *ret = NULL;
    bus.connected = connected;
    bus.connected_u = u;
    return ERR_OK;
}
enum err bus_sub_dial(struct bus *b, const char *url, const char *topics, bus_event_cb *cb, void *u, struct bus_sub **ret)
{
    (void)b, (void)url, (void)topics, *ret = NULL;
    bus.heard = cb;
    bus.heard_u = u;
    return ERR_OK;
}
enum err bus_pub_dial(struct bus *b, const char *url, struct bus_pub **ret) { (void)b, (void)url, *ret = NULL; return ERR_OK; }
void bus_publish(struct bus_pub *p, char topic, const void *data, size_t len)
{
    Wire__Live *m = wire__live__unpack(NULL, len, data);
    (void)p;
    if (topic != 'L' || !m)
        abort();
    wire__live__free_unpacked(m, NULL);
}
void bus_stop(struct bus *b) { (void)b; }
void bus_call(struct bus_client *c, struct bus_call *call, const void *data, size_t len, unsigned timeout_ms)
{
    (void)c;
    if (bus.calls == BUS_CALLS)
        abort();
    struct call *k = &bus.call[bus.calls++];
    *k = (struct call){ call, wire__request__unpack(NULL, len, data), loop.mono_ms + timeout_ms };
    if (!k->m || k->m->n_items < 1 || k->m->n_items > 64 || k->m->client_id.len != 16)
        abort();
}

static void bus_connect(bool up)
{
    bus.up = up;
    bus.connected(bus.connected_u, up);
}

static void bus_end(unsigned i, enum err e, const void *data, size_t len)
{
    struct call k = bus.call[i];
    memmove(&bus.call[i], &bus.call[i + 1], (--bus.calls - i) * sizeof k);
    uint8_t *exact = malloc(len ? len : 1);
    if (!exact)
        abort();
    if (len)
        memcpy(exact, data, len);
    k.c->cb(k.c, e, e ? NULL : exact, len);
    free(exact);
    wire__request__free_unpacked(k.m, NULL);
}

static void bus_end_all(void)
{
    while (bus.calls)
        bus_end(0, ERR_CLOSED, NULL, 0);
}

static void bus_reply_with(unsigned i, Wire__Reply *m)
{
    static uint8_t packed[1 << 20];
    size_t n = wire__reply__get_packed_size(m);
    if (n <= sizeof packed)
        bus_end(i, ERR_OK, packed, wire__reply__pack(m, packed));
}

// The same answer to each item, with its number.
static void bus_answer(unsigned i, const Wire__Answer *a)
{
    static Wire__Answer each[64], *list[64];
    const Wire__Request *m = bus.call[i].m;
    Wire__Reply r = WIRE__REPLY__INIT;
    for (size_t k = 0; k < m->n_items; k++) {
        each[k] = *a;
        each[k].number = m->items[k]->number;
        list[k] = &each[k];
    }
    r.epoch = 1;
    r.newest = bus.newest;
    r.answers = list;
    r.n_answers = m->n_items;
    bus_reply_with(i, &r);
}

// Its numbers made those that were asked for.
static void bus_reply_fixed(unsigned i, Wire__Reply *m)
{
    for (size_t k = 0; k < m->n_answers; k++)
        m->answers[k]->number = bus.call[i].m->items[0]->number + k;
    bus_reply_with(i, m);
}

// A step of the greeting, as any broker answers it. False: it is none.
static bool bus_greet(unsigned i)
{
    static uint8_t nonce[32], token[16];
    static char url[] = "ipc:///b", version[] = "1";
    Wire__Answer a = WIRE__ANSWER__INIT;
    Wire__HelloNonce n = WIRE__HELLO_NONCE__INIT;
    Wire__Welcome w = WIRE__WELCOME__INIT;
    Wire__Item__BodyCase body = bus.call[i].m->items[0]->body_case;
    if (body == WIRE__ITEM__BODY_HELLO) {
        n.nonce = (ProtobufCBinaryData){ sizeof nonce, nonce };
        a.body_case = WIRE__ANSWER__BODY_HELLO_NONCE;
        a.hello_nonce = &n;
    } else if (body == WIRE__ITEM__BODY_HELLO_PROOF) {
        w.bus = w.live = url;
        w.version = version;
        w.live_token = (ProtobufCBinaryData){ sizeof token, token };
        w.worker = 1;
        a.body_case = WIRE__ANSWER__BODY_WELCOME;
        a.welcome = &w;
    } else {
        return false;
    }
    bus_answer(i, &a);
    return true;
}

static bool bus_time(void) // whether one's time was over
{
    for (unsigned i = 0; i < bus.calls; i++)
        if (bus.call[i].due <= loop.mono_ms) {
            bus_end(i, ERR_TIMEOUT, NULL, 0);
            return true;
        }
    return false;
}
