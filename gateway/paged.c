// Happy path, without a limit: first page; if it is all, an ordinary answer. Else the head, and then page, wait until the
// socket has taken it, page ... end. Until the head is out an error is an ordinary error answer; after it the only way to say
// it is to stop short. With a limit: page, page ... and one ordinary answer.
#include "paged.h"
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "gateway.h"
#include "query.h"

enum {
    QUEUE_GOOD = PAGED_BYTES,     // no further page is asked for while more than this waits for the socket
    GATHER_MAX = 16 * 1024 * 1024, GATHER_GOOD = 1024 * 1024, GATHER_MS = 1000,
    LINK_MAX = 16 * 1024,
};

struct paged {
    struct exchange_stream stream;
    struct exchange *x;
    struct ask_call ask;
    const struct paged_kind *kind;
    struct paged_filter f;         // f.q: behind the struct
    struct buf gathered;
    struct paged_end first;        // of the first page: its total is the answer's
    uint64_t before, began_ms, newest;
    uint32_t left;
    bool begun, asking, comma;
};

static void paged_free(struct paged *p)
{
    ask_cancel(&p->ask);
    buf_fini(&p->gathered);
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
    p->kind->ask(&p->f, p->before, p->left ? p->left : PAGED_ITEMS, send_cb, p);
}

static void closed(struct exchange_stream *s)
{
    paged_free(container_of(s, struct paged, stream));
}

static void writable(struct exchange_stream *s)
{
    struct paged *p = container_of(s, struct paged, stream);

    if (!p->asking)
        next_page(p);
}

static void gone(struct exchange *x)
{
    paged_free(x->u);
}

static struct exchange *let_go(struct paged *p)
{
    struct exchange *x = p->x;

    x->u = NULL;
    x->gone = NULL;
    return x;
}

static void fail(struct paged *p, enum err e, const Wire__Answer *a)
{
    struct exchange *x = let_go(p);

    if (p->begun)
        exchange_abort(x);
    else
        exchange_error(x, e, a && *a->field ? a->field : NULL, a && *a->text ? a->text : NULL);
    paged_free(p);
}

static void add_total(struct paged *p)
{
    char text[24];
    struct buf b = { .data = (uint8_t *)text, .cap = sizeof text - 1, .max = sizeof text - 1 };

    if (!p->first.has_total)
        return;
    buf_u64(&b, p->first.total);
    text[b.len] = 0;
    exchange_add(p->x, "X-Total-Count", text);
}

static void link_to(const struct paged_kind *kind, struct text path, struct text query, const char *from, uint64_t id, struct buf *b)
{
    static const char hex[] = "0123456789ABCDEF";
    char text[ID_TEXT_MAX];

    buf_putc(b, '<');
    buf_put(b, path.p, path.n);
    buf_putc(b, '?');
    for (const char *const *name = kind->kept; *name; name++) {
        struct text v = query_raw(query, *name);
        if (!v.p)
            continue;
        buf_puts(b, *name);
        buf_putc(b, '=');
        for (size_t k = 0; k < v.n; k++) {
            uint8_t c = (uint8_t)v.p[k];
            if (c > 0x20 && c < 0x7f && !strchr("<>\"\\^`{|}#&", c)) {
                buf_putc(b, (char)c);
            } else {
                char e[3] = { '%', hex[c >> 4], hex[c & 15] };
                buf_put(b, e, 3);
            }
        }
        buf_putc(b, '&');
    }
    buf_puts(b, from);
    buf_putc(b, '=');
    buf_put(b, text, id_format(text, kind->id, id));
    buf_puts(b, ">; rel=\"next\"");
}

void paged_link(const struct paged_kind *kind, struct text path, struct text query, uint64_t before, struct buf *out)
{
    link_to(kind, path, query, "before", before, out);
}

// ---------------------------------------------------------------- with a limit

static void gathered(struct paged *p, const struct paged_end *end)
{
    struct json j = { .out = &p->gathered, .comma = true };
    struct buf link;

    json_close(&j, ']');
    if (p->gathered.err) {
        fail(p, ERR_INTERNAL, NULL);
        return;
    }
    struct exchange *x = let_go(p);
    x->sequence = p->newest;
    add_total(p);
    if (end->more) {
        buf_init(&link, LINK_MAX);
        link_to(p->kind, x->path, x->query, p->f.oldest_first ? "after" : "before", end->before, &link);
        if (!link.err)
            exchange_add(x, "Link", buf_cstr(&link));
        buf_fini(&link);
    }
    exchange_reply(x, 200, "application/json", p->gathered.data, p->gathered.len);
    paged_free(p);
}

static void gather(struct paged *p, const Wire__Answer *a, uint64_t newest)
{
    struct paged_end end = { 0 };
    struct json j = { .out = &p->gathered, .comma = p->comma };
    bool first = p->gathered.len == 0;

    if (first)
        json_open(&j, '[');
    size_t empty = p->gathered.len;
    p->kind->render(a, &j, &end);
    p->comma = p->comma || p->gathered.len > empty;
    if (first) {
        p->first = end;
        p->newest = newest;
    }
    p->left -= end.n < p->left ? end.n : p->left;
    if (!end.more || p->left == 0 || end.before == p->before || p->gathered.len > GATHER_GOOD || p->gathered.err ||
        clock_mono_ms() - p->began_ms > GATHER_MS) {
        gathered(p, &end);
        return;
    }
    p->before = end.before;
    next_page(p);
}

// ---------------------------------------------------------------- without one

static void pass_on(struct paged *p, const Wire__Answer *a, uint64_t newest)
{
    struct exchange *x = p->x;
    struct paged_end end = { 0 };
    struct json *j = request_json();
    bool first = !p->begun;

    if (first)
        json_open(j, '[');
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
        (void)let_go(p);
        p->first = end;
        x->sequence = newest;
        add_total(p);
        if (!end.more) {
            paged_free(p);
            exchange_reply(x, 200, "application/json", j->out->data, j->out->len);
            return;
        }
        p->begun = true;
        p->stream = (struct exchange_stream){ .writable = writable, .closed = closed };
        exchange_begin(x, 200, "application/json", &p->stream);
        if (x->method == METHOD_HEAD)
            return; // closed() follows
    }
    size_t waiting = exchange_send(x, j->out->data, j->out->len); // closed() never comes before this has returned
    if (!end.more) {
        exchange_end(x);
        paged_free(p);
    } else if (waiting <= QUEUE_GOOD) {
        next_page(p);
    }
}

static void answered_cb(struct ask_call *c, enum err e, const Wire__Answer *a, uint64_t newest)
{
    struct paged *p = container_of(c, struct paged, ask);

    p->asking = false;
    if (e == ERR_OK && a->body_case != p->kind->want)
        e = ERR_INTERNAL;
    if (e != ERR_OK)
        fail(p, e, a);
    else if (p->f.limit)
        gather(p, a, newest);
    else
        pass_on(p, a, newest);
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
    p->f.q = (char *)(p + 1);
    if (f->q)
        memcpy(p->f.q, f->q, n);
    p->before = f->before;
    p->left = f->limit;
    p->began_ms = clock_mono_ms();
    buf_init(&p->gathered, GATHER_MAX);
    request_let_go(r);
    x->u = p;
    x->gone = gone;
    next_page(p);
}
