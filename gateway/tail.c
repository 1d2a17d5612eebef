// Happy path: a bus message begins where we stand -> each row is told (credentials), rendered once for each view at the end of
// that view's last block, `next` moves on. A block that is full goes to the cache and a new one begins.
//
// Ways off it: a message that does not begin where we stand, or has no rows, or an idle one that names a number we have not:
// sync() reads the log from where we stand in pages, and bus messages only say how far there is to go, until we are level.
// A restored backup (another epoch), or rows that were pruned before we had them: everything is dropped and lost() told.
//
// A bus that has fallen silent while the broker answers: the log is asked once a second instead.
//
// Reading again: tail_want() joins or makes a fetch, which reads the missing part of one block from the log. FLYING_MAX are on
// their way at once, the others queue. One that fails stays, with who waits for it, and is sent again by the next tick.
#include "tail.h"
#include <stdlib.h>
#include "arena.h"
#include "ask.h"
#include "fault.h"
#include "frame.h"
#include "log.h"

enum {
    FLYING_MAX = 8,
    PAGE_ROWS = 1000,
    PAGE_OCTETS = 1024 * 1024,
    FETCH_OCTETS = 512 * 1024,
    FETCH_BUCKETS = 256,
    HOLES_MAX = 16,
    SILENT_TICKS = 3,               // an idle bus speaks twice a second: after this it is taken for dead, and the log asked
    UNHEARD_TICKS = SILENT_TICKS + 3, // and when that is not answered either, within its two seconds, nobody is there
    MESSAGE_MAX = 16 * 1024 * 1024, // unpacked
    ROW_MAX = 8 * 1024 * 1024,      // unpacked
};
#define NUMBER_MAX ((uint64_t)1 << 62)

struct fetch {
    struct ask_call call;
    struct tail *tail;
    struct list bucket;  // by what it fetches
    struct list at;      // queued, or failed; alone while it flies
    struct list waiting;
    struct block *block; // rows: what has come so far
    uint64_t key;        // rows: stretch; check: `after`
    uint64_t end;        // rows: up to, not including
    enum event_view view;
    bool check, flying;
};

struct hole {
    uint64_t from, to;   // numbers that the log skips: from <= n < to
};

struct tail {
    struct gateway *gw;
    struct tail_cbs cbs;
    struct blocks cache[VIEW_COUNT];
    struct block *last[VIEW_COUNT]; // the growing one; NULL for want of memory: found again by fetching
    uint64_t epoch, next, oldest, heard_last;
    bool known, up, level, syncing, sync_failed, warned;
    struct ask_call sync_call;
    struct hole holes[HOLES_MAX];
    unsigned n_holes, silent, unheard; // ticks without the bus; without any word of the broker
    struct list queued, failed;
    struct list bucket[FETCH_BUCKETS];
    unsigned flying;
    struct arena message, row;
    struct buf frame;
};

static const enum event_view views[] = { VIEW_ACTIVITY, VIEW_FEED, VIEW_DESKTOPS };
#define EACH_VIEW(i) for (unsigned i = 0; i < sizeof views / sizeof *views; i++)

static void sync_log(struct tail *t);

// ---- the end of the log

static uint64_t stretch(uint64_t number)
{
    return number / BLOCK_NUMBERS;
}

static void seal(struct tail *t, enum event_view v, uint64_t first)
{
    if (t->last[v] && t->last[v]->next > t->last[v]->first)
        blocks_put(&t->cache[v], t->last[v]);
    else
        block_free(t->last[v]);
    t->last[v] = block_new(first);
}

// The log skips the numbers from <= n < to. Only wide holes are worth a note: the others are covered by blocks.
static void note_hole(struct tail *t, uint64_t from, uint64_t to)
{
    for (unsigned i = 0; i < t->n_holes; i++) {
        if (t->holes[i].to == to) {
            t->holes[i].from = from < t->holes[i].from ? from : t->holes[i].from;
            return;
        }
    }
    if (t->n_holes == HOLES_MAX) {
        for (unsigned i = 1; i < HOLES_MAX; i++)
            t->holes[i - 1] = t->holes[i];
        t->n_holes--;
    }
    t->holes[t->n_holes++] = (struct hole){ from, to };
}

// Everything below `to` has been seen. Rows of [next, to) that were not given do not exist.
static void move_to(struct tail *t, uint64_t to)
{
    if (to <= t->next)
        return;
    bool far = stretch(to) > stretch(t->next) + 1; // whole blocks of nothing: the log goes on elsewhere
    if (far)
        note_hole(t, t->next, to);
    EACH_VIEW(i) {
        struct block *b = t->last[views[i]];
        if (far) {
            seal(t, views[i], to);
            continue;
        }
        uint64_t end = b ? (stretch(b->first) + 1) * BLOCK_NUMBERS : 0;
        if (b)
            b->next = to < end ? to : end;
        if (!b || to >= end || b->len >= BLOCK_TEXT_MAX)
            seal(t, views[i], to);
    }
    t->next = to;
}

static enum err put(struct tail *t, struct block *b, const Wire__Row *row, enum event_view v)
{
    buf_reset(&t->frame);
    if (!frame_row(&t->frame, row, v))
        return ERR_OK;
    if (t->frame.err == ERR_TOO_BIG) { // frame.h promises that it cannot be; leaving one out beats reading it for ever
        log_error("event %llu does not fit a frame; it is not shown", (unsigned long long)row->number);
        return ERR_OK;
    }
    if (t->frame.err)
        return t->frame.err;
    struct block_what what = { .number = row->number, .workspace = row->workspace, .desktop = row->desktop,
                               .agent = row->agent, .kind = row->row };
    if (!what.desktop && event_entity(row->row) == ENTITY_DESKTOP)
        what.desktop = row->entity;
    if (!what.agent && event_entity(row->row) == ENTITY_AGENT)
        what.agent = row->entity;
    return block_put(b, &what, t->frame.data, t->frame.len);
}

static void take(struct tail *t, const Wire__Row *row)
{
    fault_point("gateway_row");
    move_to(t, row->number);
    t->cbs.row(t->cbs.u, row);
    EACH_VIEW(i) {
        enum event_view v = views[i];
        if (t->last[v] && put(t, t->last[v], row, v)) { // for want of memory: the log has it for whoever comes
            block_free(t->last[v]);
            t->last[v] = NULL;
        }
    }
    move_to(t, row->number + 1);
}

static const Wire__Row *unpack(struct tail *t, const ProtobufCBinaryData *packed)
{
    arena_reset(&t->row);
    Wire__Row *row = wire__row__unpack(arena_allocator(&t->row), packed->len, packed->data);
    if (!row && !t->warned) {
        t->warned = true;
        log_error("a row of the log cannot be read; it is not shown");
    }
    return row;
}

// What is on its way may be of the log that was: everything is asked again.
static void refetch(struct tail *t)
{
    for (unsigned i = 0; i < FETCH_BUCKETS; i++) {
        list_each(n, tmp, &t->bucket[i]) {
            struct fetch *f = container_of(n, struct fetch, bucket);
            if (f->flying) {
                ask_cancel(&f->call);
                f->flying = false;
                t->flying--;
            }
            block_free(f->block);
            f->block = NULL;
            list_remove(&f->at);
            list_push_back(&t->queued, &f->at);
        }
    }
}

static void forget(struct tail *t, uint64_t epoch, uint64_t next)
{
    refetch(t);
    EACH_VIEW(i) {
        blocks_clear(&t->cache[views[i]]);
        block_free(t->last[views[i]]);
        t->last[views[i]] = block_new(next);
    }
    t->n_holes = 0;
    t->oldest = 0;
    t->epoch = epoch;
    t->next = next;
    t->heard_last = 0;
    t->known = true;
}

static void lose(struct tail *t, uint64_t epoch, uint64_t next)
{
    log_warn("event log: started over at %llu", (unsigned long long)next);
    forget(t, epoch, next);
    t->cbs.lost(t->cbs.u);
}

// ---- getting level with the broker

static void sync_cb(struct ask_call *c, enum err e, const Wire__Answer *a, uint64_t newest)
{
    struct tail *t = container_of(c, struct tail, sync_call);
    (void)newest;

    t->syncing = false;
    if (e || !a || a->body_case != WIRE__ANSWER__BODY_LOG_PAGE) {
        t->sync_failed = true;
        return;
    }
    t->unheard = 0;
    const Wire__LogPage *p = a->log_page;
    uint64_t epoch = ask_epoch(t->gw->ask), before = t->next;

    t->oldest = p->oldest;
    if (!t->known) {
        forget(t, epoch, p->newest + 1);
    } else if (epoch != t->epoch || p->newest + 1 < t->next || p->oldest > t->next) {
        lose(t, epoch, p->newest + 1);
    } else {
        for (size_t i = 0; i < p->n_rows; i++) {
            const Wire__Row *row = unpack(t, &p->rows[i]);
            if (row && row->number >= t->next)
                take(t, row);
        }
        move_to(t, p->next <= p->newest ? p->next : p->newest + 1);
        uint64_t to = p->newest > t->heard_last ? p->newest : t->heard_last;
        if (t->next <= to) {
            if (t->next > before)
                sync_log(t);
            else
                t->sync_failed = true; // the broker gave nothing: not in a circle
        }
    }
    t->level = !t->syncing && !t->sync_failed;
    t->cbs.grown(t->cbs.u);
}

static void log_read(struct tail *t, struct ask_call *c, Wire__LogRead *m)
{
    Wire__Item item = WIRE__ITEM__INIT;
    item.body_case = WIRE__ITEM__BODY_LOG_READ;
    item.log_read = m;
    ask_send(t->gw->ask, c, NULL, &item);
}

static void sync_log(struct tail *t)
{
    Wire__LogRead m = WIRE__LOG_READ__INIT;

    t->level = false;
    if (t->syncing)
        return;
    t->syncing = true;
    t->sync_failed = false;
    m.first = t->known ? t->next : 1; // not known yet: only where its end is matters
    m.last = t->known ? NUMBER_MAX : 1;
    m.limit = t->known ? PAGE_ROWS : 1;
    m.bytes_max = PAGE_OCTETS;
    t->sync_call.cb = sync_cb;
    log_read(t, &t->sync_call, &m);
}

// True when the message's rows are the numbers first..last without exception. Those from `next` on are taken.
static bool take_all(struct tail *t, const Wire__BusEvents *m)
{
    if (m->first > t->next || m->n_rows != m->last - m->first + 1)
        return false;
    for (size_t i = (size_t)(t->next - m->first); i < m->n_rows; i++) {
        const Wire__Row *row = unpack(t, &m->rows[i]);
        if (!row || row->number != t->next)
            return false; // what is missing comes from the log
        take(t, row);
    }
    return true;
}

void tail_heard(struct tail *t, const uint8_t *data, size_t len)
{
    arena_reset(&t->message);
    Wire__BusEvents *m = wire__bus_events__unpack(arena_allocator(&t->message), len, data);
    t->silent = t->unheard = 0;
    if (!m || !m->epoch || !m->first) {
        log_warn("a message of the bus cannot be read");
        return;
    }
    ask_saw(t->gw->ask, m->epoch, m->last);
    if (t->known && m->epoch != t->epoch) {
        lose(t, m->epoch, m->last + 1);
        t->cbs.grown(t->cbs.u);
        return;
    }
    if (m->last > t->heard_last)
        t->heard_last = m->last;
    if (!t->known || (t->next <= m->last && (t->syncing || !take_all(t, m)))) {
        if (t->up && !t->sync_failed) // what failed waits for the tick
            sync_log(t);
        else
            t->level = false;
    }
    if (t->known)
        t->cbs.grown(t->cbs.u);
}

// ---- reading again

static struct list *fetch_bucket(struct tail *t, uint64_t key)
{
    return &t->bucket[key % FETCH_BUCKETS];
}

static void fetch_free(struct fetch *f)
{
    if (f->flying) {
        ask_cancel(&f->call);
        f->tail->flying--;
    }
    list_remove(&f->bucket);
    list_remove(&f->at);
    block_free(f->block);
    while (list_pop_front(&f->waiting)) {
    }
    free(f);
}

// The fetch is over: what it got stays, everybody who waited is told.
static void fetch_done(struct fetch *f, enum tail_answer answer, uint64_t number)
{
    struct tail *t = f->tail;
    struct list waiting;

    list_init(&waiting);
    list_take(&waiting, &f->waiting);
    if (f->block && f->block->next > f->block->first) {
        blocks_put(&t->cache[f->view], f->block);
        f->block = NULL;
    }
    fetch_free(f);
    for (struct list *w; (w = list_pop_front(&waiting));)
        t->cbs.answer(t->cbs.u, w, answer, number);
}

static void fetch_failed(struct fetch *f)
{
    list_push_back(&f->tail->failed, &f->at);
}

static void fetch_send(struct fetch *f);

// Rows of the page up to the end of what was asked for. Says whether the block is whole.
static bool fetch_take(struct fetch *f, const Wire__LogPage *p)
{
    struct block *b = f->block;

    for (size_t i = 0; i < p->n_rows && b->len < BLOCK_TEXT_MAX; i++) {
        const Wire__Row *row = unpack(f->tail, &p->rows[i]);
        if (!row || row->number < b->next)
            continue;
        if (row->number >= f->end) {
            if (stretch(row->number) > stretch(f->end - 1) + 1)
                note_hole(f->tail, f->end, row->number);
            b->next = f->end;
            return true;
        }
        b->next = row->number; // what lies between does not exist
        if (put(f->tail, b, row, f->view))
            return true; // out of memory: what there is, is right; it may be nothing
        b->next = row->number + 1;
    }
    if (b->len < BLOCK_TEXT_MAX && p->next > b->next)
        b->next = p->next < f->end ? p->next : f->end;
    return b->next >= f->end || b->len >= BLOCK_TEXT_MAX;
}

static void fetch_answer(struct fetch *f, enum err e, const Wire__Answer *a)
{
    struct tail *t = f->tail;

    if (e || !a || a->body_case != WIRE__ANSWER__BODY_LOG_PAGE) {
        if (e != ERR_UNAVAILABLE && e != ERR_OUTCOME_UNKNOWN)
            log_warn("event log: reading it again failed: %s", err_name(e));
        fetch_failed(f);
        return;
    }
    const Wire__LogPage *p = a->log_page;
    if (p->oldest > t->oldest)
        t->oldest = p->oldest;
    if (f->check) {
        fetch_done(f, p->resync ? TAIL_RESYNC : TAIL_GOES_ON, p->oldest ? p->oldest : p->newest + 1);
    } else if (p->oldest > f->block->next) {
        fetch_done(f, TAIL_OLDER, p->oldest);
    } else {
        uint64_t before = f->block->next;
        if (fetch_take(f, p))
            fetch_done(f, TAIL_LOOK, 0);
        else if (f->block->next > before)
            fetch_send(f);
        else
            fetch_failed(f);
    }
}

static void launch(struct tail *t);

static void fetch_cb(struct ask_call *c, enum err e, const Wire__Answer *a, uint64_t newest)
{
    struct fetch *f = container_of(c, struct fetch, call);
    struct tail *t = f->tail;
    (void)newest;

    f->flying = false;
    t->flying--;
    fetch_answer(f, e, a);
    launch(t);
}

static void fetch_send(struct fetch *f)
{
    Wire__LogRead m = WIRE__LOG_READ__INIT;

    list_remove(&f->at);
    f->flying = true;
    f->tail->flying++;
    if (f->check) {
        m.first = m.last = m.limit = 1;
        m.check = true;
        m.after = f->key;
    } else { // as many rows as the block lacks, wherever they are: across a hole of the log they tell its end
        m.first = f->block->next;
        m.last = NUMBER_MAX;
        m.limit = (uint32_t)(f->end - f->block->next);
    }
    m.bytes_max = FETCH_OCTETS;
    f->call.cb = fetch_cb;
    log_read(f->tail, &f->call, &m);
}

// Decides, when its turn has come, what is missing of the stretch: other fetches may have brought some of it.
static bool fetch_plan(struct fetch *f)
{
    struct tail *t = f->tail;
    struct block *b;

    if (f->check || f->block)
        return true;
    uint64_t first = f->key * BLOCK_NUMBERS;
    if (first < t->oldest)
        first = t->oldest;
    if (first == 0)
        first = 1;
    while (stretch(first) == f->key && (b = blocks_find(&t->cache[f->view], first)))
        first = b->next;
    f->end = blocks_after(&t->cache[f->view], first);
    b = t->last[f->view];
    if (b && b->first > first && b->first < f->end)
        f->end = b->first;
    if (f->end > t->next)
        f->end = t->next;
    if (stretch(first) != f->key || first >= f->end)
        return false;
    f->block = block_new(first);
    return f->block != NULL;
}

static void launch(struct tail *t)
{
    struct list *n;

    while (t->up && t->flying < FLYING_MAX && (n = list_pop_front(&t->queued))) {
        struct fetch *f = container_of(n, struct fetch, at);
        if (fetch_plan(f))
            fetch_send(f);
        else
            fetch_done(f, TAIL_LOOK, 0);
    }
}

static void want(struct tail *t, bool check, enum event_view view, uint64_t key, struct list *waiter)
{
    list_each(n, tmp, fetch_bucket(t, key)) {
        struct fetch *f = container_of(n, struct fetch, bucket);
        if (f->check == check && f->view == view && f->key == key) {
            list_push_back(&f->waiting, waiter);
            return;
        }
    }
    struct fetch *f = calloc(1, sizeof *f);
    if (!f)
        abort(); // a few hundred octets: there is nothing left to go on with
    f->tail = t;
    f->check = check;
    f->view = view;
    f->key = key;
    list_init(&f->waiting);
    list_init(&f->at);
    list_push_back(fetch_bucket(t, key), &f->bucket);
    list_push_back(&f->waiting, waiter);
    list_push_back(&t->queued, &f->at);
    launch(t);
}

void tail_want(struct tail *t, enum event_view view, uint64_t number, struct list *waiter)
{
    want(t, false, view, stretch(number), waiter);
}

void tail_check(struct tail *t, uint64_t after, struct list *waiter)
{
    want(t, true, VIEW_ACTIVITY, after, waiter);
}

const struct block *tail_find(struct tail *t, enum event_view view, uint64_t *number)
{
    for (unsigned i = t->n_holes; i-- > 0;)
        if (t->holes[i].from <= *number && *number < t->holes[i].to)
            *number = t->holes[i].to;
    if (*number >= t->next)
        return NULL;
    struct block *b = t->last[view];
    if (b && *number >= b->first)
        return b;
    return blocks_find(&t->cache[view], *number);
}

bool tail_certain(const struct tail *t, uint64_t after)
{
    if (!t->level || after >= t->next)
        return false;
    EACH_VIEW(i)
        if (!t->last[views[i]] || after + 1 < t->last[views[i]]->first)
            return false;
    return true;
}

// ---- life

enum err tail_new(struct gateway *gw, size_t cache_max, const struct tail_cbs *cbs, struct tail **ret)
{
    struct tail *t = calloc(1, sizeof *t);
    if (!t)
        return ERR_NO_MEMORY;
    t->gw = gw;
    t->cbs = *cbs;
    EACH_VIEW(i)
        blocks_init(&t->cache[views[i]], cache_max);
    list_init(&t->queued);
    list_init(&t->failed);
    for (unsigned i = 0; i < FETCH_BUCKETS; i++)
        list_init(&t->bucket[i]);
    arena_init(&t->message, MESSAGE_MAX);
    arena_init(&t->row, ROW_MAX);
    buf_init(&t->frame, FRAME_MAX);
    *ret = t;
    return ERR_OK;
}

void tail_free(struct tail *t)
{
    if (!t)
        return;
    if (t->syncing)
        ask_cancel(&t->sync_call);
    for (unsigned i = 0; i < FETCH_BUCKETS; i++)
        list_each(n, tmp, &t->bucket[i])
            fetch_free(container_of(n, struct fetch, bucket));
    EACH_VIEW(i) {
        blocks_fini(&t->cache[views[i]]);
        block_free(t->last[views[i]]);
    }
    arena_fini(&t->message);
    arena_fini(&t->row);
    buf_fini(&t->frame);
    free(t);
}

static void again(struct tail *t)
{
    for (struct list *n; (n = list_pop_front(&t->failed));)
        list_push_back(&t->queued, n);
    launch(t);
}

void tail_up(struct tail *t)
{
    t->up = true;
    t->unheard = 0;
    sync_log(t);
    again(t);
}

void tail_down(struct tail *t)
{
    t->up = t->level = false;
}

void tail_tick(struct tail *t)
{
    if (!t->up)
        return;
    t->unheard++;
    if (t->sync_failed || !t->known || ++t->silent > SILENT_TICKS)
        sync_log(t);
    again(t);
}

bool tail_known(const struct tail *t)
{
    return t->known;
}

bool tail_unheard(const struct tail *t)
{
    return t->unheard > UNHEARD_TICKS;
}

uint64_t tail_next(const struct tail *t)
{
    return t->next;
}

uint64_t tail_epoch(const struct tail *t)
{
    return t->epoch;
}
