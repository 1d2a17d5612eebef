// links: gateway common protobuf-c uv
// Batching: what goes together, in which order, and that every call ends in one answer. The peer is a fake that keeps what it
// is asked, as the broker would read it, and answers when told.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "ask.h"
#include "check.h"
#include "gateway.h"
#include "peer.h"

// ---------------------------------------------------------------- the fake peer

enum { ASKED_MAX = 64 };
static struct asked {
    struct peer_call *call;
    Wire__Request *request;
    bool answered;
} asked[ASKED_MAX];
static unsigned n_asked;
static uint64_t number;
static bool up = true;

bool peer_is_up(const struct peer *p)
{
    (void)p;
    return up;
}

void peer_ask(struct peer *p, struct peer_call *call, Wire__Item **items, size_t n, unsigned timeout_ms)
{
    Wire__Request r = WIRE__REQUEST__INIT;
    (void)p;
    assert_in_range(timeout_ms, 1, 2000);
    assert_in_range(n, 1, ITEMS_MAX);
    assert_true(n_asked < ASKED_MAX);
    for (size_t i = 0; i < n; i++)
        items[i]->number = ++number;
    r.items = items;
    r.n_items = n;
    size_t size = wire__request__get_packed_size(&r);
    assert_true(size <= REQUEST_MSG_MAX);
    uint8_t *data = malloc(size);
    assert_int_equal(wire__request__pack(&r, data), size);
    asked[n_asked++] = (struct asked){ .call = call, .request = wire__request__unpack(NULL, size, data) };
    assert_non_null(asked[n_asked - 1].request);
    free(data);
}

static enum err each;    // what the broker answers each item
static bool repeated;

// Answers request i: every item with its number, in reverse order; an error of the way if e.
static void answer(unsigned i, enum err e)
{
    Wire__Reply reply = WIRE__REPLY__INIT;
    Wire__Answer answers[ITEMS_MAX], *list[ITEMS_MAX];
    const Wire__Request *r = asked[i].request;

    assert_false(asked[i].answered);
    asked[i].answered = true;
    for (size_t k = 0; k < r->n_items; k++) {
        wire__answer__init(&answers[k]);
        answers[k].number = r->items[k]->number;
        answers[k].err = each;
        list[r->n_items - 1 - k] = &answers[k];
    }
    reply.epoch = 1;
    reply.newest = 100 + i;
    reply.answers = list;
    reply.n_answers = r->n_items;
    asked[i].call->repeated = repeated;
    asked[i].call->cb(asked[i].call, e, e ? NULL : &reply);
}

// ---------------------------------------------------------------- the asker

static struct gateway gw;
static uv_loop_t loop;

struct call {
    struct ask_call ask;
    unsigned ended;
    enum err e;
    uint64_t newest, number;
};

static void ended_cb(struct ask_call *c, enum err e, const Wire__Answer *a, uint64_t newest)
{
    struct call *k = container_of(c, struct call, ask);
    k->ended++;
    k->e = e;
    k->newest = newest;
    k->number = a ? a->number : 0;
}

static const struct actor who = { .key = 3, .user = 1, .workspace = 1, .role = 2 };

static void send_target(struct call *k, Wire__Item__BodyCase what, uint64_t id)
{
    Wire__Target t = WIRE__TARGET__INIT;
    Wire__Item item = WIRE__ITEM__INIT;
    t.id = id;
    item.body_case = what;
    item.task_get = &t;
    *k = (struct call){ .ask.cb = ended_cb };
    ask_send(gw.ask, &k->ask, &who, &item);
}

static void send_create(struct call *k, char *content)
{
    Wire__TaskCreate m = WIRE__TASK_CREATE__INIT;
    Wire__Item item = WIRE__ITEM__INIT;
    m.content = content;
    item.body_case = WIRE__ITEM__BODY_TASK_CREATE;
    item.task_create = &m;
    *k = (struct call){ .ask.cb = ended_cb };
    ask_send(gw.ask, &k->ask, &who, &item);
}

static void turn(void)
{
    uv_run(&loop, UV_RUN_NOWAIT);
}

static int set_up(void **state)
{
    (void)state;
    memset(&gw, 0, sizeof gw);
    n_asked = 0;
    up = true;
    each = ERR_OK;
    repeated = false;
    if (uv_loop_init(&loop) != 0)
        return -1;
    gw.loop = &loop;
    return ask_new(&gw, &gw.ask) == ERR_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < n_asked; i++) {
        if (!asked[i].answered)
            answer(i, ERR_UNAVAILABLE);
        wire__request__free_unpacked(asked[i].request, NULL);
    }
    ask_free(gw.ask);
    uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop);
}

// ---------------------------------------------------------------- tests

static void one_turn_one_request(void **state)
{
    static struct call k[10];
    (void)state;
    for (unsigned i = 0; i < 10; i++)
        send_target(&k[i], i % 2 ? WIRE__ITEM__BODY_TASK_DELETE : WIRE__ITEM__BODY_SESSION_GET, i + 1);
    assert_int_equal(n_asked, 0); // nothing leaves before the turn is over
    turn();
    assert_int_equal(n_asked, 2); // commands and queries apart
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(asked[i].request->n_items, 5);
        for (unsigned n = 0; n < 5; n++) {
            const Wire__Item *item = asked[i].request->items[n];
            assert_int_equal(item->body_case, i ? WIRE__ITEM__BODY_SESSION_GET : WIRE__ITEM__BODY_TASK_DELETE);
            assert_int_equal(item->task_get->id, n * 2 + (i ? 1 : 2));
            assert_int_equal(item->actor->key, 3);
            assert_int_equal(item->actor->role, 2);
        }
    }
    answer(1, ERR_OK);
    answer(0, ERR_OK);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(k[i].ended, 1);
        assert_int_equal(k[i].e, ERR_OK);
        assert_int_equal(k[i].newest, i % 2 ? 100 : 101);
        assert_int_equal(k[i].number, asked[i % 2 ? 0 : 1].request->items[i / 2]->number);
    }
    assert_int_equal(ask_newest(gw.ask), 101);
    assert_int_equal(ask_epoch(gw.ask), 1);
}

static void no_more_than_64(void **state)
{
    static struct call k[200];
    (void)state;
    for (unsigned i = 0; i < 200; i++)
        send_target(&k[i], WIRE__ITEM__BODY_SESSION_GET, 1);
    turn();
    unsigned total = 0;
    for (unsigned i = 0; i < n_asked; i++)
        total += (unsigned)asked[i].request->n_items;
    assert_true(total == 192 || total == 200); // what would be the fourth on its way may be kept a little
    for (unsigned i = 0; i < n_asked; i++)
        answer(i, ERR_OK);
    turn();
    for (unsigned i = 0; i < n_asked; i++)
        if (!asked[i].answered)
            answer(i, ERR_OK);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(k[i].ended, 1);
}

static void sizes(void **state)
{
    static struct call k[6];
    char *big = malloc(CONTENT_MAX + 1);
    (void)state;
    memset(big, 'x', CONTENT_MAX);
    big[CONTENT_MAX] = 0;
    for (unsigned i = 0; i < 6; i++)
        send_create(&k[i], big); // the fake asserts that no request passes what the broker takes
    turn();
    for (unsigned i = 0; i < n_asked; i++)
        answer(i, ERR_OK);
    turn();
    for (unsigned i = 0; i < n_asked; i++)
        if (!asked[i].answered)
            answer(i, ERR_OK);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(k[i].ended, 1);
        assert_int_equal(k[i].e, ERR_OK);
    }
    free(big);
}

static void kept_for_company(void **state)
{
    static struct call k[5];
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        send_target(&k[i], WIRE__ITEM__BODY_TASK_DELETE, i + 1);
        turn();
        assert_int_equal(n_asked, i + 1);
    }
    send_target(&k[3], WIRE__ITEM__BODY_TASK_DELETE, 4);
    turn();
    assert_int_equal(n_asked, 3); // three are on their way
    send_target(&k[4], WIRE__ITEM__BODY_TASK_DELETE, 5);
    turn();
    answer(0, ERR_OK);
    turn();
    assert_int_equal(n_asked, 4);
    assert_int_equal(asked[3].request->n_items, 2);
    send_target(&k[0], WIRE__ITEM__BODY_TASK_DELETE, 6);
    while (n_asked == 4) // and for a moment only, even if no answer comes
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(asked[4].request->n_items, 1);
}

static void not_kept_while_away(void **state)
{
    static struct call k[6];
    (void)state;
    up = false;
    for (unsigned i = 0; i < 6; i++) {
        send_target(&k[i], WIRE__ITEM__BODY_TASK_DELETE, 1);
        turn();
        assert_int_equal(n_asked, i + 1);
    }
}

static void waits_go_alone(void **state)
{
    Wire__WaitSequence m = WIRE__WAIT_SEQUENCE__INIT;
    Wire__Item item = WIRE__ITEM__INIT;
    static struct call k[3];
    (void)state;
    item.body_case = WIRE__ITEM__BODY_WAIT_SEQUENCE;
    item.wait_sequence = &m;
    for (unsigned i = 0; i < 2; i++) {
        k[i] = (struct call){ .ask.cb = ended_cb };
        ask_send(gw.ask, &k[i].ask, NULL, &item);
    }
    send_target(&k[2], WIRE__ITEM__BODY_TASK_GET, 1);
    turn();
    assert_int_equal(n_asked, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(asked[i].request->n_items, 1);
    assert_null(asked[0].request->items[0]->actor);
}

static void errors_of_the_way(void **state)
{
    static const struct { enum err e, command, query; } cases[] = {
        { ERR_UNAVAILABLE, ERR_UNAVAILABLE, ERR_UNAVAILABLE }, { ERR_OUTCOME_UNKNOWN, ERR_OUTCOME_UNKNOWN, ERR_UNAVAILABLE },
        { ERR_OVERLOADED, ERR_OVERLOADED, ERR_OVERLOADED }, { ERR_NO_MEMORY, ERR_UNAVAILABLE, ERR_UNAVAILABLE },
    };
    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        static struct call k[2];
        unsigned at = n_asked;
        send_target(&k[0], WIRE__ITEM__BODY_TASK_RUN, 1);
        send_target(&k[1], WIRE__ITEM__BODY_TASK_GET, 1);
        turn();
        answer(at, cases[i].e);
        answer(at + 1, cases[i].e);
        assert_int_equal(k[0].e, cases[i].command);
        assert_int_equal(k[1].e, cases[i].query);
        assert_int_equal(k[0].ended + k[1].ended, 2);
    }
}

// The first sending may have been applied: a repeat that was not even looked at says nothing of it. A question may be asked again.
static void errors_of_a_repeat(void **state)
{
    static const struct { enum err e, command; } cases[] = {
        { ERR_OK, ERR_OK }, { ERR_BAD_STATE, ERR_BAD_STATE }, { ERR_NOT_FOUND, ERR_NOT_FOUND }, { ERR_OVERLOADED, ERR_OUTCOME_UNKNOWN },
        { ERR_STORAGE_FULL, ERR_OUTCOME_UNKNOWN }, { ERR_CORRUPT, ERR_OUTCOME_UNKNOWN }, { ERR_UNAUTHORIZED, ERR_OUTCOME_UNKNOWN },
        { ERR_FORBIDDEN, ERR_OUTCOME_UNKNOWN },
    };
    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (unsigned again = 0; again < 2; again++) {
            static struct call k[2];
            unsigned at = n_asked;
            send_target(&k[0], WIRE__ITEM__BODY_TASK_RUN, 1);
            send_target(&k[1], WIRE__ITEM__BODY_TASK_GET, 1);
            turn();
            each = cases[i].e;
            repeated = again;
            answer(at, ERR_OK);
            answer(at + 1, ERR_OK);
            assert_int_equal(k[0].e, again ? cases[i].command : cases[i].e);
            assert_int_equal(k[1].e, cases[i].e);
        }
    }
}

static void cancelled(void **state)
{
    static struct call k[3];
    (void)state;
    for (unsigned i = 0; i < 3; i++)
        send_target(&k[i], WIRE__ITEM__BODY_TASK_GET, i + 1);
    ask_cancel(&k[0].ask); // before it left: the broker may see it all the same
    turn();
    ask_cancel(&k[2].ask);
    answer(0, ERR_OK);
    assert_int_equal(k[0].ended, 0);
    assert_int_equal(k[1].ended, 1);
    assert_int_equal(k[2].ended, 0);
    ask_cancel(&k[1].ask); // harmless after the end
}

static void newest_never_goes_back(void **state)
{
    (void)state;
    ask_saw(gw.ask, 1, 10);
    ask_saw(gw.ask, 1, 5);
    assert_int_equal(ask_newest(gw.ask), 10);
    ask_saw(gw.ask, 2, 3); // another log
    assert_int_equal(ask_newest(gw.ask), 3);
    assert_int_equal(ask_epoch(gw.ask), 2);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(one_turn_one_request), T(no_more_than_64), T(sizes), T(kept_for_company), T(not_kept_while_away), T(waits_go_alone),
        T(errors_of_the_way), T(errors_of_a_repeat), T(cancelled), T(newest_never_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
