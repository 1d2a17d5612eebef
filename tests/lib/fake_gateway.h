// What stands around the hub and api_output in their tests: exchanges whose sockets take as many octets as they are told, a
// broker with a log (and output) in memory whose answers come when the test says so, credentials, a clock. Included by one
// test file each: the functions here have the names of the real ones, so that those stay in the archive.
#pragma once
#pragma GCC diagnostic ignored "-Wunused-function" // no test needs all of it
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>
#include "ask.h"
#include "buf.h"
#include "clock.h"
#include "cred.h"
#include "exchange.h"
#include "frame.h"
#include "gateway.h"
#include "hub.h"
#include "json_in.h"
#include "routes.h"

// ---------------------------------------------------------------- the clock: the machine's, and what the test adds

static uint64_t clock_ahead_ms;

static uint64_t machine_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}
uint64_t clock_wall_ms(void) { return machine_us(CLOCK_REALTIME) / 1000 + clock_ahead_ms; }
uint64_t clock_mono_ms(void) { return machine_us(CLOCK_MONOTONIC) / 1000 + clock_ahead_ms; }
uint64_t clock_mono_us(void) { return machine_us(CLOCK_MONOTONIC) + clock_ahead_ms * 1000; }

// ---------------------------------------------------------------- the log

struct fake_row {
    uint64_t number;
    uint8_t *packed;
    size_t n;
};
static struct {
    struct fake_row *rows;
    size_t n, cap;
    uint64_t epoch, oldest, newest;
    bool away;                 // nothing is answered: ERR_UNAVAILABLE
    unsigned reads, checks;    // LogRead messages: of rows, of checks
} fake_log;

static void fake_log_reset(void)
{
    for (size_t i = 0; i < fake_log.n; i++)
        free(fake_log.rows[i].packed);
    free(fake_log.rows);
    memset(&fake_log, 0, sizeof fake_log);
    fake_log.epoch = 1;
    fake_log.oldest = 1;
}

// Commits a row under the next number.
static uint64_t fake_commit(Wire__Row *r)
{
    if (fake_log.n == fake_log.cap) {
        fake_log.cap = fake_log.cap ? fake_log.cap * 2 : 1024;
        fake_log.rows = realloc(fake_log.rows, fake_log.cap * sizeof *fake_log.rows);
        assert_non_null(fake_log.rows);
    }
    r->number = ++fake_log.newest;
    struct fake_row *f = &fake_log.rows[fake_log.n++];
    f->number = r->number;
    f->n = wire__row__get_packed_size(r);
    f->packed = malloc(f->n);
    assert_non_null(f->packed);
    wire__row__pack(r, f->packed);
    return r->number;
}

static Wire__Row *fake_row(uint64_t number) // free with wire__row__free_unpacked
{
    for (size_t i = 0; i < fake_log.n; i++)
        if (fake_log.rows[i].number == number)
            return wire__row__unpack(NULL, fake_log.rows[i].n, fake_log.rows[i].packed);
    return NULL;
}

static bool fake_hole(uint64_t after) // neither after itself is in the log, nor is it its beginning
{
    if (after + 1 < fake_log.oldest || after > fake_log.newest)
        return true;
    if (after + 1 == fake_log.oldest)
        return false;
    for (size_t i = fake_log.n; i-- > 0;)
        if (fake_log.rows[i].number == after)
            return false;
    return true;
}

// ---------------------------------------------------------------- the broker

enum { FAKE_CALLS = 20000 };
struct fake_question {
    struct ask_call *call;
    Wire__Item *item;          // unpacked copy
};
static struct fake_question fake_questions[FAKE_CALLS];
static unsigned fake_n_questions;
// Answers what is no LogRead; NULL: NOT_FOUND. Set by the test.
static enum err (*fake_other)(const Wire__Item *item, Wire__Answer *a);

void ask_send(struct ask *a, struct ask_call *c, const struct actor *actor, Wire__Item *item)
{
    (void)a;
    (void)actor;
    size_t n = wire__item__get_packed_size(item);
    uint8_t *p = malloc(n ? n : 1);
    assert_non_null(p);
    wire__item__pack(item, p);
    assert_true(fake_n_questions < FAKE_CALLS);
    fake_questions[fake_n_questions++] = (struct fake_question){ c, wire__item__unpack(NULL, n, p) };
    free(p);
    c->impl = c;
}

void ask_cancel(struct ask_call *c)
{
    for (unsigned i = 0; i < fake_n_questions; i++)
        if (fake_questions[i].call == c)
            fake_questions[i].call = NULL;
}
uint64_t ask_newest(const struct ask *a) { (void)a; return fake_log.newest; }
uint64_t ask_epoch(const struct ask *a) { (void)a; return fake_log.epoch; }
void ask_saw(struct ask *a, uint64_t epoch, uint64_t newest) { (void)a; (void)epoch; (void)newest; }

static void fake_log_page(const Wire__LogRead *m, Wire__LogPage *p, ProtobufCBinaryData *rows)
{
    size_t octets = 0;
    if (m->check)
        fake_log.checks++;
    else
        fake_log.reads++;
    p->rows = rows;
    p->oldest = fake_log.oldest;
    p->newest = fake_log.newest;
    p->next = (m->last < fake_log.newest ? m->last : fake_log.newest) + 1;
    p->resync = m->check && fake_hole(m->after);
    for (size_t i = 0; i < fake_log.n; i++) {
        const struct fake_row *r = &fake_log.rows[i];
        if (r->number < m->first || r->number > m->last || r->number < fake_log.oldest)
            continue;
        if (p->n_rows == m->limit || (octets && octets + r->n > m->bytes_max)) {
            p->next = r->number;
            break;
        }
        octets += r->n;
        rows[p->n_rows++] = (ProtobufCBinaryData){ r->n, r->packed };
    }
}

// Answers everything that has been asked up to now.
static void fake_answer(void)
{
    static ProtobufCBinaryData rows[4096];
    unsigned n = fake_n_questions;

    for (unsigned i = 0; i < n; i++) {
        struct fake_question q = fake_questions[i];
        fake_questions[i].call = NULL;
        if (!q.call)
            continue;
        Wire__Answer a = WIRE__ANSWER__INIT;
        Wire__LogPage page = WIRE__LOG_PAGE__INIT;
        enum err e = ERR_UNAVAILABLE;
        if (!fake_log.away) {
            if (q.item->body_case == WIRE__ITEM__BODY_LOG_READ) {
                a.body_case = WIRE__ANSWER__BODY_LOG_PAGE;
                a.log_page = &page;
                fake_log_page(q.item->log_read, &page, rows);
                e = ERR_OK;
            } else {
                e = fake_other ? fake_other(q.item, &a) : ERR_NOT_FOUND;
            }
        }
        a.err = e;
        q.call->cb(q.call, e, e == ERR_UNAVAILABLE ? NULL : &a, fake_log.newest);
    }
    for (unsigned i = 0; i < n; i++)
        wire__item__free_unpacked(fake_questions[i].item, NULL);
    memmove(fake_questions, fake_questions + n, (fake_n_questions - n) * sizeof *fake_questions);
    fake_n_questions -= n;
}

// ---------------------------------------------------------------- credentials: the key says what becomes of it

enum { FAKE_KEY_MAX = 64 };
static bool fake_cred_away, fake_cred_slow, fake_cred_revoked, fake_quota_empty;
static unsigned fake_forgotten;
static struct cred_call *fake_cred_waiting;

// "K:W" is key number K of workspace W, of user K + 100. Anything else is wrong.
enum err cred_of(struct exchange *x, bool query_too, char scratch[128], struct text *ret)
{
    (void)query_too;
    (void)scratch;
    *ret = exchange_header(x, "x-api-key", NULL);
    return ERR_OK;
}
static uint64_t fake_key_expires_ms;
static void fake_cred_say(struct cred_call *call, const char *key, size_t n)
{
    struct actor a = { .role = ROLE_VIEWER, .expires_ms = fake_key_expires_ms };
    char text[FAKE_KEY_MAX];
    unsigned k, w;
    snprintf(text, sizeof text, "%.*s", (int)n, key);
    if (fake_cred_away) {
        call->cb(call, ERR_UNAVAILABLE, NULL);
    } else if (fake_cred_revoked || sscanf(text, "%u:%u", &k, &w) != 2) {
        call->cb(call, ERR_UNAUTHORIZED, NULL);
    } else {
        a.key = k;
        a.workspace = w;
        a.user = k + 100;
        call->cb(call, ERR_OK, &a);
    }
}
void cred_find(struct cred *c, struct cred_call *call, struct text key)
{
    (void)c;
    if (fake_cred_slow) {
        fake_cred_waiting = call;
        return;
    }
    fake_cred_say(call, key.p, key.n);
}
void cred_cancel(struct cred_call *call)
{
    if (fake_cred_waiting == call)
        fake_cred_waiting = NULL;
}
static uint64_t fake_rows_told;
void cred_row(struct cred *c, const Wire__Row *row) { (void)c; (void)row; fake_rows_told++; }
void cred_forget_all(struct cred *c) { (void)c; fake_forgotten++; }
bool routes_quota(struct exchange *x, uint32_t cost) { (void)x; (void)cost; return !fake_quota_empty; }
bool routes_quota_told(struct exchange *x, uint32_t cost) { return routes_quota(x, cost); }

// ---------------------------------------------------------------- exchanges

struct fake_exchange {
    struct exchange x;
    struct exchange_stream *stream;
    struct buf out;            // what the socket took, still in chunks
    size_t room;               // what it takes now
    unsigned status, writes;   // 0: not answered
    enum err err;
    char field[40];
    bool began, ended, aborted, wait; // wait: writable() is owed
    char key[FAKE_KEY_MAX], query[256], last_id[64], accept[64];
    size_t queued;             // exchange_send: what waits (all of it is in `out`)
};

static struct fake_exchange *fake_of(const struct exchange *x)
{
    return (struct fake_exchange *)(uintptr_t)x;
}
struct text exchange_header(const struct exchange *x, const char *name, unsigned *count)
{
    struct fake_exchange *f = fake_of(x);
    const char *v = strcmp(name, "x-api-key") == 0 ? f->key : strcmp(name, "last-event-id") == 0 ? f->last_id
                  : strcmp(name, "accept") == 0 ? f->accept : "";
    if (count)
        *count = *v ? 1 : 0;
    return *v ? (struct text){ v, strlen(v) } : (struct text){ NULL, 0 };
}
void exchange_add(struct exchange *x, const char *name, const char *value) { (void)x; (void)name; (void)value; }
void exchange_reply(struct exchange *x, unsigned status, const char *type, const void *body, size_t n)
{
    (void)type;
    buf_put(&fake_of(x)->out, body, n);
    fake_of(x)->status = status;
    fake_of(x)->ended = true;
}
void exchange_error(struct exchange *x, enum err e, const char *field, const char *text)
{
    (void)text;
    assert_false(fake_of(x)->began);
    fake_of(x)->status = 400;
    fake_of(x)->err = e;
    snprintf(fake_of(x)->field, sizeof fake_of(x)->field, "%s", field ? field : "");
}
void exchange_begin(struct exchange *x, unsigned status, const char *type, struct exchange_stream *s)
{
    struct fake_exchange *f = fake_of(x);
    (void)type;
    assert_false(f->began);
    f->began = true;
    f->status = status;
    f->stream = s;
    x->query = (struct text){ NULL, 0 }; // as conn.c does
    f->last_id[0] = f->key[0] = 0;
}
size_t exchange_send(struct exchange *x, const void *data, size_t n)
{
    struct fake_exchange *f = fake_of(x);
    assert_true(f->began && !f->ended && !f->aborted);
    buf_put(&f->out, data, n);
    f->writes++;
    f->queued += n;
    return f->queued > f->room ? f->queued - f->room : 0;
}
size_t exchange_writev(struct exchange *x, const struct iovec *v, unsigned n)
{
    struct fake_exchange *f = fake_of(x);
    size_t took = 0, given = 0;
    assert_true(f->began && !f->ended && !f->aborted);
    for (unsigned i = 0; i < n; i++) {
        size_t k = v[i].iov_len < f->room ? v[i].iov_len : f->room;
        assert_true(v[i].iov_len > 0);
        buf_put(&f->out, v[i].iov_base, k);
        f->room -= k;
        took += k;
        given += v[i].iov_len;
    }
    f->writes++;
    f->wait = took < given;
    return took;
}
void exchange_end(struct exchange *x)
{
    assert_true(fake_of(x)->began && !fake_of(x)->ended && !fake_of(x)->aborted);
    fake_of(x)->ended = true;
}
void exchange_abort(struct exchange *x)
{
    assert_true(fake_of(x)->began && !fake_of(x)->ended && !fake_of(x)->aborted);
    fake_of(x)->aborted = true;
}

static struct fake_exchange *fake_exchange_new(struct gateway *gw, const char *key, const char *query, const char *last_id)
{
    struct fake_exchange *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->x.gw = gw;
    buf_init(&f->out, (size_t)1 << 30);
    f->room = SIZE_MAX / 2;
    snprintf(f->key, sizeof f->key, "%s", key);
    snprintf(f->query, sizeof f->query, "%s", query ? query : "");
    snprintf(f->last_id, sizeof f->last_id, "%s", last_id ? last_id : "");
    f->x.query = (struct text){ f->query, strlen(f->query) };
    return f;
}

// The client goes away (if we have not ended the stream), and all is freed.
static void fake_exchange_free(struct fake_exchange *f)
{
    if (f->began && !f->ended && !f->aborted)
        f->stream->closed(f->stream);
    else if (!f->status && f->x.gone)
        f->x.gone(&f->x);
    buf_fini(&f->out);
    free(f);
}

// The socket takes n more octets.
static void fake_room(struct fake_exchange *f, size_t n)
{
    f->room = n;
    f->queued = 0;
    if (!f->wait || f->ended || f->aborted)
        return;
    f->wait = false;
    f->stream->writable(f->stream);
}

// ---------------------------------------------------------------- the loop

static uv_loop_t fake_loop;
static uv_timer_t fake_alive;  // as a listener would: nothing of the hub keeps the loop alive
static struct gateway fake_gw;

static void fake_alive_cb(uv_timer_t *t) { (void)t; }

static void fake_loop_open(void)
{
    assert_int_equal(uv_loop_init(&fake_loop), 0);
    uv_timer_init(&fake_loop, &fake_alive);
    uv_timer_start(&fake_alive, fake_alive_cb, 3600 * 1000, 0);
    fake_gw = (struct gateway){ .loop = &fake_loop };
}

static void fake_loop_close(void)
{
    uv_close((uv_handle_t *)&fake_alive, NULL);
    uv_run(&fake_loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fake_loop), 0);
    for (unsigned i = 0; i < fake_n_questions; i++)
        wire__item__free_unpacked(fake_questions[i].item, NULL);
    fake_n_questions = 0;
}

// Runs the loop, answering what is asked, until nothing moves any more. A timer that is due soon (the hub's pace) is waited for.
static void fake_settle(void)
{
    for (unsigned still = 0; still < 3;) {
        uint64_t before = fake_n_questions;
        fake_answer();
        uv_run(&fake_loop, UV_RUN_NOWAIT);
        int wait = uv_backend_timeout(&fake_loop); // 0: an idle handle is at work
        if (wait > 0 && wait <= 25)
            uv_sleep(1);
        still = before || fake_n_questions || wait <= 25 ? 0 : still + 1;
    }
}

// Runs it for real time: for what a timer does.
static void fake_run_ms(unsigned ms)
{
    uint64_t until = machine_us(CLOCK_MONOTONIC) / 1000 + ms;
    while (machine_us(CLOCK_MONOTONIC) / 1000 < until) {
        fake_answer();
        uv_run(&fake_loop, UV_RUN_NOWAIT);
        uv_sleep(1);
    }
}
