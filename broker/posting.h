// Which rows of the log a filter finds. A list holds the numbers of all rows that share something - a kind, an actor, a desktop, an
// agent, the object they are about - and counts them, so that any union of lists that have no row in common gives exact totals, deep
// offsets and pages over any range of numbers without looking at the rows between. Pure but for the transaction it is given.
//
// A list is a series of chunks in DB_POSTING. Key: workspace 8, family 1, what the family shares, number of the chunk's first row 8.
// Value: varints rank (entries of the list ever put before this chunk), n, span (last number - first), and n - 1 deltas; in
// POSTING_ENTITY lists each entry's row kind (1 octet) follows its number. A chunk goes when its last row has gone (retention).
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "err.h"
#include "store.h"
#include "wire.pb-c.h"

struct arena;

// The letter is stored in keys. All but ENTITY are split by row kind: kinds are disjoint, so that types and severities combine with
// everything else; an object has few rows.
enum posting_family {
    POSTING_KIND = 'K',    // kind 1; rows that the feed or the activities show
    POSTING_ACTOR = 'A',   // hash of the actor's name 16, kind 1; rows that the activities show
    POSTING_DESKTOP = 'D', // desktop 8, kind 1; rows that the feed shows, like the next two
    POSTING_AGENT = 'G',   // agent 8, kind 1
    POSTING_ENTITY = 'E',  // entity kind 1, id 8
};
struct posting_list {
    uint64_t workspace, a, b; // a, b: the hash; a: the id
    uint8_t family, kind;     // kind: of the rows; of the object in POSTING_ENTITY lists
};
struct posting_list posting_by_kind(uint64_t workspace, unsigned kind);
struct posting_list posting_by_actor(uint64_t workspace, const char *actor, unsigned kind);
struct posting_list posting_by_id(enum posting_family family, uint64_t workspace, uint64_t id, unsigned kind);
// The prefix of its chunks' keys, and back. False: it is no such key.
void posting_key(const struct posting_list *l, struct key *ret);
bool posting_key_read(const struct key *k, struct posting_list *ret);

// The lists a row belongs to; returns how many.
enum { POSTING_PER_ROW = 5 };
unsigned posting_lists(const Wire__Row *row, struct posting_list ret[POSTING_PER_ROW]);

// ---------------------------------------------------------------- chunks

// At most three a page of the store's, so that a turn copies little and a page holds whole ones.
enum { POSTING_ENTRIES = 512, POSTING_OCTETS = 1280 };

struct posting_head {
    uint64_t first, rank;
    uint32_t n, span;
    struct slice body;
};
struct posting_chunk {
    uint64_t first, rank;
    uint32_t n;
    uint32_t off[POSTING_ENTRIES]; // number - first
    uint8_t kind[POSTING_ENTRIES]; // POSTING_ENTITY lists only
};
// ERR_CORRUPT for octets that are none.
MUST_USE enum err posting_head(uint64_t first, struct slice value, struct posting_head *ret);
MUST_USE enum err posting_unpack(const struct posting_head *h, bool kinds, struct posting_chunk *ret);

// ---------------------------------------------------------------- gathered during a turn

struct gathered;
struct postings { // all zero at the start; what it holds lives in the arena
    struct gathered **slot, *first, **last;
    size_t cap, n;
    const char *actor;         // of the row before, and its hash: rows of one command, often of one turn, have the same
    uint64_t actor_a, actor_b;
};
// The row's texts must live as long as the arena.
MUST_USE enum err postings_row(struct postings *p, struct arena *a, const Wire__Row *row);
// One write a list and chunk; p is empty after.
MUST_USE enum err postings_flush(struct postings *p, struct txn *t);
// What was gathered are rows that have gone: chunks whose last number is below `oldest` go from their lists. p is empty after.
MUST_USE enum err postings_trim(struct postings *p, struct txn *t, uint64_t oldest);

// ---------------------------------------------------------------- looked up

// A union of lists that share no row, and the numbers lo <= number < hi.
struct posting_set {
    struct txn *txn;
    struct arena *arena;
    const struct posting_list *lists;
    unsigned n;
    uint64_t lo, hi;
};
MUST_USE enum err posting_total(const struct posting_set *s, uint64_t *ret);
// How many a list has from number `lo` on, and the newest of them (0: it has none). c: open on DB_POSTING, for any number of lists.
MUST_USE enum err posting_since(struct cursor *c, const struct posting_list *l, uint64_t lo, uint64_t *ret_n, uint64_t *ret_newest);
// Leaves out the newest `skip`: s->hi goes down, and *ret_left of those that are below it are still to be left out (a few hundred at
// most). total: of s.
MUST_USE enum err posting_skip(struct posting_set *s, uint64_t total, uint64_t skip, uint64_t *ret_left);

struct posting_walk { // newest first
    struct posting_set s;
    struct walked **heap;
    unsigned n;
    enum err err;         // why it stopped, if not for the end
};
MUST_USE enum err posting_walk_open(struct posting_walk *w, const struct posting_set *s);
// ret_kind: of the row.
bool posting_walk_next(struct posting_walk *w, uint64_t *ret_number, unsigned *ret_kind);
void posting_walk_close(struct posting_walk *w);

// Every list of a workspace and family that has an entry, in the order of keys: begin with *l naming workspace and family alone
// (all else 0). False at the end.
bool posting_next_list(struct cursor *c, struct posting_list *l);
