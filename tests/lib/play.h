// One command, applied in a turn of its own on a real store.
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "apply.h"

// The answer is in cmd, lent by the arena until the next call; the rows are in b.
static enum err play(struct store *store, struct batch *b, struct arena *a, struct cmd *cmd, uint64_t now_ms, uint64_t log_ms)
{
    struct txn *t;

    arena_reset(a);
    b->n = 1;
    b->cmds[0] = cmd;
    b->now_ms = now_ms;
    b->log_ms = log_ms;
    b->arena = a;
    b->touched = NULL;
    b->n_touched = b->touched_cap = 0;
    assert_int_equal(store_begin(store, true, &t), ERR_OK);
    assert_int_equal(fsm_apply(t, b), ERR_OK);
    assert_int_equal(store_commit(t), ERR_OK);
    return err_from_wire(cmd->answer.err);
}
