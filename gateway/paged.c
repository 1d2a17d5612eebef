// Happy path: first page; if it is all, an ordinary answer. Else the head, and then page, wait until the socket has taken it,
// page ... end. Until the head is out an error is an ordinary error answer; after it the only way to say it is to stop short.
#include "paged.h"
#include <stdlib.h>
#include <string.h>
#include "gateway.h"

enum { QUEUE_GOOD = PAGED_BYTES }; // no further page is asked for while more than this waits for the socket

struct paged {
    struct exchange_stream stream;
    struct exchange *x;
    struct ask_call ask;
    const struct paged_kind *kind;
    struct paged_filter f;         // f.q: behind the struct
    uint64_t before;
    bool begun, asking, comma;
    bool busy;                     // within a call of ours to the exchange: closed() then only marks
    bool lost;
};

static void paged_free(struct paged *p)
{
    ask_cancel(&p->ask);
    free(p);
}

static void answered_cb(struct ask_call *c, enum err e, const Wire__Answer *a, uint64_t newest);

static void send_cb(void *u, Wire__Item *item)
{
    struct paged *p = u;

    p->ask.cb = answered_cb;
    ask_send(p->x->gw->ask, &p->ask, &p->x->actor, item);
}

static void next_page(struct paged *p)
{
    p->asking = true;
    p->kind->ask(&p->f, p->before, send_cb, p);
}

static void closed(struct exchange_stream *s)
{
    struct paged *p = container_of(s, struct paged, stream);

    p->lost = true;
    if (!p->busy)
        paged_free(p);
}

static void writable(struct exchange_stream *s)
{
    struct paged *p = container_of(s, struct paged, stream);

    if (!p->asking)
        next_page(p);
}

static void gone(struct exchange *x)
{
    struct paged *p = x->u;

    paged_free(p);
}

static void fail(struct paged *p, enum err e, const Wire__Answer *a)
{
    struct exchange *x = p->x;

    if (p->begun) {
        p->busy = true;
        exchange_abort(x);
        paged_free(p);
        return;
    }
    x->u = NULL;
    x->gone = NULL;
    exchange_error(x, e, a && *a->field ? a->field : NULL, a && *a->text ? a->text : NULL);
    paged_free(p);
}

static void decimal(char out[24], uint64_t n)
{
    struct buf b = { .data = (uint8_t *)out, .cap = 23, .max = 23 };

    buf_u64(&b, n);
    out[b.len] = 0;
}

static void answered_cb(struct ask_call *c, enum err e, const Wire__Answer *a, uint64_t newest)
{
    struct paged *p = container_of(c, struct paged, ask);
    struct exchange *x = p->x;
    struct paged_end end = { 0 };
    char total[24];

    p->asking = false;
    if (e == ERR_OK && a->body_case != p->kind->want)
        e = ERR_INTERNAL;
    if (e != ERR_OK) {
        fail(p, e, a);
        return;
    }
    struct json *j = request_json();
    bool first = !p->begun;
    if (first) {
        json_open(j, '[');
        x->sequence = newest;
    }
    size_t empty = j->out->len;
    j->comma = p->comma;
    p->kind->render(a, j, &end);
    p->comma = p->comma || j->out->len > empty;
    if (end.more && end.before == p->before)
        end.more = false; // a broker that does not move on would be asked for ever
    p->before = end.before;
    if (!end.more)
        json_close(j, ']');
    if (j->out->err) {
        fail(p, ERR_INTERNAL, NULL);
        return;
    }
    if (first) {
        x->u = NULL;
        x->gone = NULL;
        if (end.has_total) {
            decimal(total, end.total);
            exchange_add(x, "X-Total-Count", total);
        }
        if (!end.more) {
            paged_free(p);
            exchange_reply(x, 200, "application/json", j->out->data, j->out->len);
            return;
        }
    }
    p->busy = true;
    if (first) {
        p->begun = true;
        p->stream = (struct exchange_stream){ .writable = writable, .closed = closed };
        exchange_begin(x, 200, "application/json", &p->stream);
        if (!p->lost && x->method == METHOD_HEAD) {
            exchange_end(x);
            paged_free(p);
            return;
        }
    }
    size_t waiting = p->lost || !j->out->len ? 0 : exchange_send(x, j->out->data, j->out->len);
    if (!p->lost && !end.more) {
        exchange_end(x);
        p->lost = true;
    }
    p->busy = false;
    if (p->lost)
        paged_free(p);
    else if (waiting <= QUEUE_GOOD)
        next_page(p);
}

void paged_start(struct request *r, const struct paged_kind *kind, const struct paged_filter *f)
{
    struct exchange *x = r->x;
    size_t n = f->q ? strlen(f->q) + 1 : 1;
    struct paged *p = calloc(1, sizeof *p + n);

    if (!p) {
        request_fail(r, ERR_NO_MEMORY, NULL, NULL);
        return;
    }
    p->x = x;
    p->kind = kind;
    p->f = *f;
    p->before = f->before;
    p->f.q = (char *)(p + 1);
    if (f->q)
        memcpy(p->f.q, f->q, n);
    request_let_go(r);
    x->u = p;
    x->gone = gone;
    next_page(p);
}
