// links: broker common lmdb xxhash protobuf-c sodium jansson uv systemd nng -Wl,--wrap=mdb_txn_begin,--wrap=mdb_txn_commit,--wrap=mdb_txn_abort
// fuzz: -max_len=4096 -entropic=0
// Commands and queries alone, without what stands before them: octet 0 says who speaks, the rest is a Request. Commands are applied to a
// store with some life in it (the broker's own as well, when bit 2 says so), queries answered from what became of it, answers packed.
// No input may end the turn: refusals are answers.
#include "mutate_pb.h"
#include "broker_store.h"
#include "fleet.h"
#include "query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
    struct store *store;
    struct fleet *fleet;
    struct arena in, out;
    struct batch batch;
} on;

static void packs_answer(const Wire__Answer *a)
{
    size_t n = wire__answer__get_packed_size(a);
    uint8_t *p = malloc(n + 1);
    if (!p || wire__answer__pack(a, p) != n)
        abort();
    free(p);
}

static void apply(struct cmd *cmds, uint32_t n)
{
    struct batch *b = &on.batch;
    struct txn *t;
    b->n = n;
    for (uint32_t i = 0; i < n; i++)
        b->cmds[i] = &cmds[i];
    b->now_ms = STORE_NOW0;
    b->log_ms = store_log_ms + 1000;
    b->arena = &on.out;
    b->touched = NULL;
    b->n_touched = b->touched_cap = 0;
    if (store_begin(on.store, true, &t))
        abort();
    enum err e = fsm_apply(t, b);
    if (e && e != ERR_NO_MEMORY)
        abort();
    for (uint32_t i = 0; i < n && !e; i++)
        packs_answer(&cmds[i].answer);
    store_abort(t);
}

static void ask(const Wire__Request *m)
{
    struct query q = { .store = on.store, .fleet = on.fleet, .arena = &on.out };
    if (query_begin(&q))
        abort();
    for (size_t i = 0; i < m->n_items; i++) {
        Wire__Answer a = WIRE__ANSWER__INIT;
        if (!query_is(m->items[i]->body_case))
            continue;
        arena_reset(&on.out);
        query_run(&q, m->items[i], &a);
        packs_answer(&a);
    }
    query_end(&q);
}

static void open_once(void)
{
    struct fleet_conf none = { 0 };
    if (on.store)
        return;
    on.store = broker_store();
    if (fleet_new(&none, &on.fleet))
        abort();
    arena_init(&on.in, 16 << 20);
    arena_init(&on.out, 64 << 20);
    buf_init(&on.batch.rows, 16 << 20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cmd cmds[ITEMS_MAX];
    uint32_t n = 0;
    if (size < 1)
        return 0;
    open_once();
    arena_reset(&on.in);
    arena_reset(&on.out);
    Wire__Request *m = wire__request__unpack(arena_allocator(&on.in), size - 1, data + 1);
    if (!m || m->n_items > ITEMS_MAX)
        return 0;
    enum sender who = data[0] & 4 ? SENDER_BROKER : data[0] & 1 ? SENDER_WORKER : SENDER_GATEWAY;
    for (size_t i = 0; i < m->n_items; i++)
        if (apply_is_command(m->items[i]->body_case) && (who != SENDER_BROKER || m->items[i]->body_case >= WIRE__ITEM__BODY_INIT))
            cmds[n++] = (struct cmd){ .item = m->items[i], .sender = who, .worker = 1, .incarnation = 1, .answered_up_to = m->answered_up_to,
                                      .client_id = who == SENDER_GATEWAY && m->client_id.len == 16 ? m->client_id.data : NULL };
    on.batch.full = (data[0] & 2) != 0;
    store_enter(on.store);
    if (n)
        apply(cmds, n);
    ask(m);
    store_leave();
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    if (size < 1)
        data[0] = 0;
    size_t n = pb_mutate(&wire__request__descriptor, data + 1, size ? size - 1 : 0, max - 1, seed);
    if (pb_below(8) == 0)
        data[0] = (uint8_t)pb_below(8);
    return n + 1;
}
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t an, const uint8_t *b, size_t bn, uint8_t *out, size_t max, unsigned seed)
{
    if (!an || !bn || max < 1)
        return 0;
    out[0] = a[0];
    return 1 + pb_cross(&wire__request__descriptor, a + 1, an - 1, b + 1, bn - 1, out + 1, max - 1, seed);
}
