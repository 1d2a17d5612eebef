/* Happy path: pages_check reads the two heads, takes the newer, walks the main tree - a leaf of which holds the named databases' heads,
 * so that each of them is walked in turn - and then the tree of free lists. One page of each level is in memory, and a bit for each page.
 * Before the leaves below a branch page are read, all of them are asked for: they lie anywhere in the file.
 */
#include "pages.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// ---------------------------------------------------------------- the format (mdb.c of LMDB 0.9)

enum {
    PAGE_HEADER = 16, META_OCTETS = 136, DB_OCTETS = 48, NODE_HEADER = 8, PAGE_MIN = 512, PAGE_MAX = 32768, LEVELS_MAX = 32, KEY_MAX = 511,
    PAGE_BRANCH = 1, PAGE_LEAF = 2, PAGE_OVERFLOW = 4, PAGE_META = 8,
    NODE_BIG = 1, NODE_DB = 2,
    DB_INTEGER_KEY = 8, DB_NO_SUBDIR = 0x4000,
    VALUE_MAX = 256 * 1024 * 1024, TOLD_PAGES = 4096,
};
static const uint32_t magic = 0xBEEFC0DE, data_version = 1;
static const uint64_t no_page = UINT64_MAX;

static uint16_t u16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static uint32_t u32(const uint8_t *p) { return u16(p) | (uint32_t)u16(p + 2) << 16; }
static uint64_t u64(const uint8_t *p) { return u32(p) | (uint64_t)u32(p + 4) << 32; }

struct tree { // of MDB_db
    uint16_t flags, depth;
    uint64_t branches, leaves, overflows, entries, root;
};
static struct tree tree_read(const uint8_t *p)
{
    return (struct tree){ u16(p + 4), u16(p + 6), u64(p + 8), u64(p + 16), u64(p + 24), u64(p + 32), u64(p + 40) };
}

struct span {
    const uint8_t *p; // NULL: no bound
    size_t n;
};

struct node {
    uint32_t size;      // of the value
    uint16_t flags;
    struct span key;
    const uint8_t *value; // in the page; of a big one, the number of its page
};

// ---------------------------------------------------------------- the check

struct check {
    int fd;
    const struct pages_cbs *cbs;
    struct pages_found *found;
    char *why;
    size_t why_size;
    uint32_t page_size;
    uint64_t n_pages, seen;   // pages there are; marked so far
    uint64_t freed_by;        // the last transaction that has a free list
    uint8_t *used;            // a bit a page
    uint8_t *level[2 * LEVELS_MAX]; // the main tree's pages, then those of the tree that is walked inside it
    uint8_t *value;           // of a record in pages of its own
    size_t value_cap;
};

struct walk { // of one tree
    struct check *c;
    struct tree is, was;      // as walked; as its head says
    const char *db;           // NULL: the main tree or the free lists'
    unsigned first_level;
    bool free_lists;
};

__attribute__((format(printf, 3, 4))) static enum err fail(struct check *c, enum err e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->why, c->why_size, fmt, ap);
    va_end(ap);
    return e;
}
#define BAD(c, ...) fail((c), ERR_CORRUPT, __VA_ARGS__)

static enum err read_at(struct check *c, void *to, size_t n, uint64_t at)
{
    for (size_t got = 0; got < n;) {
        ssize_t r = pread(c->fd, (uint8_t *)to + got, n - got, (off_t)(at + got));
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return fail(c, ERR_IO, "cannot be read at octet %" PRIu64 ": %s", at + got, strerror(errno));
        if (r == 0)
            return BAD(c, "ends at octet %" PRIu64, at + got);
        got += (size_t)r;
    }
    return ERR_OK;
}

// Each page belongs to one owner.
static enum err mark(struct check *c, uint64_t page, uint64_t n)
{
    if (page < 2 || page >= c->n_pages || n > c->n_pages - page)
        return BAD(c, "refers to page %" PRIu64 " of %" PRIu64, page, c->n_pages);
    for (uint64_t i = page; i < page + n; i++) {
        uint8_t bit = (uint8_t)(1u << (i & 7));
        if (c->used[i / 8] & bit)
            return BAD(c, "uses page %" PRIu64 " twice", i);
        c->used[i / 8] |= bit;
        if (++c->seen % TOLD_PAGES == 0 && c->cbs->progress)
            c->cbs->progress(c->cbs->u, c->seen, c->n_pages);
    }
    return ERR_OK;
}

static int order(const struct walk *w, struct span a, struct span b)
{
    if (w->free_lists) { // numbers of the machine's; their length was checked
        uint64_t x = u64(a.p), y = u64(b.p);
        return x < y ? -1 : x > y;
    }
    int d = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return d ? d : a.n < b.n ? -1 : a.n > b.n;
}

static enum err node_read(struct walk *w, const uint8_t *page, uint64_t number, unsigned i, bool leaf, struct node *ret, size_t *sum)
{
    struct check *c = w->c;
    uint16_t at = u16(page + PAGE_HEADER + 2 * i), upper = u16(page + 14);
    if (at < upper || (at & 1) || at + NODE_HEADER > (int)c->page_size)
        return BAD(c, "has a node outside of page %" PRIu64, number);
    const uint8_t *n = page + at;
    size_t room = c->page_size - at - NODE_HEADER;
    *ret = (struct node){ .size = u32(n), .flags = u16(n + 4), .key = { n + NODE_HEADER, u16(n + 6) } };
    ret->value = n + NODE_HEADER + ret->key.n;
    size_t octets = !leaf ? 0 : ret->flags & NODE_BIG ? 8 : ret->size;
    if (ret->key.n > KEY_MAX || ret->key.n > room || octets > room - ret->key.n)
        return BAD(c, "has a node larger than page %" PRIu64, number);
    if (w->free_lists && (leaf || i) && ret->key.n != 8)
        return BAD(c, "has a free list without a number on page %" PRIu64, number);
    *sum += (NODE_HEADER + ret->key.n + octets + 1) & ~(size_t)1;
    return ERR_OK;
}

// The value of a leaf's node, from pages of its own if it is big.
static enum err value_read(struct walk *w, const struct node *n, const uint8_t **ret)
{
    struct check *c = w->c;
    uint8_t head[PAGE_HEADER];
    *ret = n->value;
    if (!(n->flags & NODE_BIG))
        return ERR_OK;
    uint64_t page = u64(n->value), need = (PAGE_HEADER - 1 + (uint64_t)n->size) / c->page_size + 1;
    if (page < 2 || page >= c->n_pages || n->size > VALUE_MAX)
        return BAD(c, "has a value of %" PRIu32 " octets on page %" PRIu64 " of %" PRIu64, n->size, page, c->n_pages);
    enum err e = read_at(c, head, sizeof head, page * c->page_size);
    if (e)
        return e;
    uint64_t have = u32(head + 12);
    if (u64(head) != page || u16(head + 10) != PAGE_OVERFLOW || have < need)
        return BAD(c, "has no value on page %" PRIu64 ", where one should be", page);
    e = mark(c, page, have);
    if (e)
        return e;
    w->is.overflows += have;
    if (n->size > c->value_cap) {
        uint8_t *more = realloc(c->value, n->size);
        if (!more)
            return fail(c, ERR_NO_MEMORY, "cannot be checked: out of memory");
        c->value = more;
        c->value_cap = n->size;
    }
    *ret = c->value;
    return read_at(c, c->value, n->size, page * c->page_size + PAGE_HEADER);
}

static enum err free_list(struct walk *w, const uint8_t *p, size_t n)
{
    struct check *c = w->c;
    uint64_t count = n >= 8 ? u64(p) : 0, above = no_page;
    if (n < 8 || count > n / 8 - 1)
        return BAD(c, "has a free list that is cut off");
    for (uint64_t i = 1; i <= count; i++) {
        uint64_t page = u64(p + 8 * i);
        if (page >= above)
            return BAD(c, "has a free list out of order");
        above = page;
        enum err e = mark(c, page, 1);
        if (e)
            return e;
    }
    c->found->free += count;
    return ERR_OK;
}

static enum err tree_walk(struct check *c, const uint8_t *head, const char *db, unsigned first_level, bool free_lists);

static enum err entry(struct walk *w, const struct node *n, uint64_t page)
{
    struct check *c = w->c;
    const uint8_t *value;
    w->is.entries++;
    if (!w->db && !w->free_lists) { // the main tree names the databases
        char name[KEY_MAX + 1];
        if (n->flags != NODE_DB || n->size != DB_OCTETS || n->key.n == 0 || memchr(n->key.p, 0, n->key.n))
            return BAD(c, "has no database's head on page %" PRIu64 ", where one should be", page);
        memcpy(name, n->key.p, n->key.n);
        name[n->key.n] = 0;
        enum err e = c->cbs->database(c->cbs->u, name);
        return e ? fail(c, e, "has a database '%s'", name) : tree_walk(c, n->value, name, LEVELS_MAX, false);
    }
    if (n->flags & ~NODE_BIG)
        return BAD(c, "has an unknown kind of record on page %" PRIu64, page);
    enum err e = value_read(w, n, &value);
    if (!e && w->free_lists) {
        c->freed_by = u64(n->key.p);
        return free_list(w, value, n->size);
    }
    if (!e)
        e = c->cbs->record(c->cbs->u, n->key.p, n->key.n, value, n->size);
    if (e && !*c->why)
        return fail(c, e, "has a damaged record of '%s' on page %" PRIu64, w->db, page);
    c->found->records++;
    return e;
}

// Leaves are asked for before they are read one by one; those that lie beside one another at once.
static void ask(const struct check *c, const uint8_t *page, unsigned n)
{
    uint64_t from = 0, to = 0;
    for (unsigned i = 0; i <= n; i++) {
        uint16_t at = i < n ? u16(page + PAGE_HEADER + 2 * i) : UINT16_MAX;
        uint64_t child = at + NODE_HEADER <= (int)c->page_size ? u32(page + at) | (uint64_t)u16(page + at + 4) << 32 : 0;
        if (child == to && i < n) {
            to++;
            continue;
        }
        if (to > from && to <= c->n_pages)
            (void)posix_fadvise(c->fd, (off_t)(from * c->page_size), (off_t)((to - from) * c->page_size), POSIX_FADV_WILLNEED);
        from = child;
        to = child + 1;
    }
}

static enum err page_walk(struct walk *w, uint64_t number, unsigned level, struct span low, struct span high)
{
    struct check *c = w->c;
    uint8_t **buffer = &c->level[w->first_level + level];
    bool leaf = level + 1u == w->was.depth;
    if (!*buffer && !(*buffer = malloc(c->page_size)))
        return fail(c, ERR_NO_MEMORY, "cannot be checked: out of memory");
    uint8_t *page = *buffer;
    enum err e = mark(c, number, 1);
    if (!e)
        e = read_at(c, page, c->page_size, number * c->page_size);
    if (e)
        return e;
    uint16_t lower = u16(page + 12), upper = u16(page + 14);
    if (u64(page) != number || u16(page + 10) != (leaf ? PAGE_LEAF : PAGE_BRANCH))
        return BAD(c, "has something else on page %" PRIu64 " than it should", number);
    if (lower <= PAGE_HEADER || (lower & 1) || lower > upper || upper > c->page_size)
        return BAD(c, "has a damaged page %" PRIu64, number);
    unsigned n = (unsigned)(lower - PAGE_HEADER) / 2;
    size_t sum = 0;
    *(leaf ? &w->is.leaves : &w->is.branches) += 1;
    if (!leaf && level + 2u == w->was.depth)
        ask(c, page, n);
    struct node now, next;
    e = node_read(w, page, number, 0, leaf, &now, &sum);
    for (unsigned i = 0; i < n && !e; i++, now = next) {
        // The first key of a branch page stands for everything below the second, and is not looked at.
        struct span from = leaf || i ? now.key : low, to = high;
        if (i + 1 < n) {
            e = node_read(w, page, number, i + 1, leaf, &next, &sum);
            if (e)
                return e;
            to = next.key;
        }
        if ((low.p && order(w, from, low) < 0) || (to.p && from.p && order(w, from, to) >= 0))
            return BAD(c, "has keys out of order on page %" PRIu64, number);
        e = leaf ? entry(w, &now, number) : page_walk(w, (uint64_t)now.flags << 32 | now.size, level + 1, from, to);
    }
    if (!e && sum != c->page_size - upper)
        return BAD(c, "has nodes over one another on page %" PRIu64, number);
    return e;
}

static enum err tree_walk(struct check *c, const uint8_t *head, const char *db, unsigned first_level, bool free_lists)
{
    struct walk w = { .c = c, .was = tree_read(head), .db = db, .first_level = first_level, .free_lists = free_lists };
    const char *name = db ? db : free_lists ? "free lists" : "databases";
    uint16_t flags = free_lists ? w.was.flags & (uint16_t)~DB_NO_SUBDIR : w.was.flags;
    if (flags != (free_lists ? DB_INTEGER_KEY : 0) || w.was.depth > LEVELS_MAX || (w.was.depth == 0) != (w.was.root == no_page))
        return BAD(c, "has a damaged head of '%s'", name);
    enum err e = w.was.depth ? page_walk(&w, w.was.root, 0, (struct span){ 0 }, (struct span){ 0 }) : ERR_OK;
    if (e)
        return e;
    if (w.is.branches != w.was.branches || w.is.leaves != w.was.leaves || w.is.overflows != w.was.overflows || w.is.entries != w.was.entries)
        return BAD(c, "has a head of '%s' that counts otherwise", name);
    return ERR_OK;
}

// The newer of the two heads. A commit writes the older one's place, with the number that follows: any other pair is damaged. (To fall
// back to the one that looks right would be to lose what was acknowledged last.)
static enum err heads(struct check *c, uint64_t size, uint8_t ret[META_OCTETS])
{
    uint8_t head[2][PAGE_HEADER + META_OCTETS];
    enum err e = read_at(c, head[0], sizeof head[0], 0);
    if (e)
        return e;
    const uint8_t *m[2] = { head[0] + PAGE_HEADER, head[1] + PAGE_HEADER };
    c->page_size = u32(m[0] + 24);
    if (u32(m[0]) != magic || c->page_size < PAGE_MIN || c->page_size > PAGE_MAX || (c->page_size & (c->page_size - 1)))
        return BAD(c, "does not begin as a store does");
    e = read_at(c, head[1], sizeof head[1], c->page_size);
    if (e)
        return e;
    for (unsigned i = 0; i < 2; i++)
        if (u64(head[i]) != i || u16(head[i] + 10) != PAGE_META || u32(m[i]) != magic || u32(m[i] + 4) != data_version ||
            u32(m[i] + 24) != c->page_size)
            return BAD(c, "has a damaged head %u", i);
    uint64_t txn[2] = { u64(m[0] + 128), u64(m[1] + 128) };
    unsigned newer = txn[1] > txn[0];
    if ((txn[0] || txn[1]) && ((txn[newer] & 1) != newer || txn[!newer] + 1 != txn[newer]))
        return BAD(c, "has two heads that do not belong together");
    uint64_t last = u64(m[newer] + 120);
    if (last < 1 || last >= (uint64_t)INT64_MAX / c->page_size || (last + 1) * c->page_size > size)
        return BAD(c, "has %" PRIu64 " octets and must have %" PRIu64, size, last < (uint64_t)INT64_MAX / c->page_size ? (last + 1) * c->page_size : UINT64_MAX);
    c->n_pages = last + 1;
    memcpy(ret, m[newer], META_OCTETS);
    return ERR_OK;
}

enum err pages_check(int fd, const struct pages_cbs *cbs, struct pages_found *ret, char *why, size_t why_size)
{
    struct check c = { .fd = fd, .cbs = cbs, .found = ret, .why = why, .why_size = why_size };
    uint8_t meta[META_OCTETS];
    struct stat st;
    *ret = (struct pages_found){ 0 };
    *why = 0;
    if (fstat(fd, &st) != 0)
        return fail(&c, ERR_IO, "cannot be looked at: %s", strerror(errno));
    if (st.st_size == 0)
        return ERR_OK;
    enum err e = heads(&c, (uint64_t)st.st_size, meta);
    if (!e && !(c.used = calloc(c.n_pages / 8 + 1, 1)))
        e = fail(&c, ERR_NO_MEMORY, "cannot be checked: out of memory");
    if (!e)
        e = tree_walk(&c, meta + 24 + DB_OCTETS, NULL, 0, false);
    if (!e)
        e = tree_walk(&c, meta + 24, NULL, 0, true);
    // Every commit but the first frees pages: a head whose number is another than its last list's is an older one with a damaged number.
    uint64_t txn = e ? 0 : u64(meta + 128);
    if (txn > 1 && c.freed_by != txn)
        e = BAD(&c, "has a head of transaction %" PRIu64 " with free lists up to %" PRIu64, txn, c.freed_by);
    ret->pages = c.n_pages;
    ret->lost = c.n_pages - 2 - c.seen;
    for (unsigned i = 0; i < sizeof c.level / sizeof *c.level; i++)
        free(c.level[i]);
    free(c.value);
    free(c.used);
    return e;
}
