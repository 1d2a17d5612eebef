// Comments on tasks.
#include "commands.h"
#include "life.h"
#include "store_comment.h"
#include "view.h"

static enum err answer_comment(struct work *w, const Rec__Comment *c)
{
    struct view v = { .txn = w->txn, .arena = w->arena };
    w->answer->body_case = WIRE__ANSWER__BODY_COMMENT;
    return view_comment(&v, c, &w->answer->comment);
}

// The repeat carries what the first one did: its task tells where the comment is.
enum err answer_comment_again(struct work *w, uint64_t workspace, uint64_t id)
{
    const Wire__Item *i = w->cmd->item;
    Rec__Task *t;
    Rec__Comment *c;
    if (i->body_case != WIRE__ITEM__BODY_COMMENT_ADD)
        return ERR_OUTCOME_UNKNOWN;
    enum err e = work_get(w, KIND_TASK, workspace, i->comment_add->task, &t, NULL);
    if (!e)
        e = comment_get(w->txn, w->arena, workspace, t->id, id, &c);
    return e ? e : answer_comment(w, c);
}

enum err cmd_comment_add(struct work *w)
{
    const Wire__CommentAdd *m = w->cmd->item->comment_add;
    Rec__Comment c = REC__COMMENT__INIT;
    Wire__Row row = WIRE__ROW__INIT;
    struct task_ref ref;
    struct fault f;
    enum err e = check_comment_add(m, &f);
    if (e)
        return work_fault(w, e, &f);
    e = task_open(w, w->workspace, m->task, &ref);
    if (e)
        return e;
    if (ref.t->comments >= COMMENTS_MAX)
        return work_refuse(w, ERR_BAD_STATE, NULL, "The task has 10000 comments already: that is all it can have");
    c.id = work_id(w, ENTITY_COMMENT);
    c.workspace = w->workspace;
    c.task = ref.t->id;
    c.user = w->user;
    c.author = work_copy(w, w->actor, ROW_TEXT_MAX);
    c.content = m->content;
    c.created_ms = w->now_ms;
    e = comment_put(w, &c);
    if (!e) {
        ref.t->comments++;
        e = task_save(w, &ref);
    }
    life_task_row(&ref, &row);
    row.comment = c.id;
    row.text = work_copy(w, m->content, ROW_TEXT_MAX);
    if (!e)
        e = work_row(w, &row, ROW_COMMENT_ADDED);
    return e ? e : answer_comment(w, &c);
}
