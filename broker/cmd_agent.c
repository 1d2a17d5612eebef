// Commands on agents: an agent is made with its desktop and is a part of its record.
#include "change.h"
#include "commands.h"
#include "view.h"

static enum err answer_agent(struct work *w, const Rec__Desktop *d)
{
    struct view v = { .txn = w->txn, .arena = w->arena };
    enum err e = turn_flush(w->turn); // the view reads the stored counters
    w->answer->body_case = WIRE__ANSWER__BODY_AGENT;
    return e ? e : view_agent(&v, d, &w->answer->agent);
}

static enum err find(struct work *w, uint64_t workspace, uint64_t agent, Rec__Desktop **ret, struct index_entries *old)
{
    uint64_t desktop;
    enum err e = kind_agent_desktop(w->txn, workspace, agent, &desktop);
    return e ? e : work_get(w, KIND_DESKTOP, workspace, desktop, ret, old);
}

enum err answer_agent_again(struct work *w, uint64_t workspace, uint64_t id)
{
    Rec__Desktop *d;
    enum err e = find(w, workspace, id, &d, NULL);
    return e ? e : answer_agent(w, d);
}

enum err cmd_agent_edit(struct work *w)
{
    const Wire__AgentEdit *m = w->cmd->item->agent_edit;
    struct changes c = change_begin(w, ROW_AGENT_EDITED);
    struct index_entries old;
    Rec__Desktop *d;
    struct fault f;
    enum err e = check_agent_edit(m, &f);
    if (e)
        return work_fault(w, e, &f);
    e = find(w, w->workspace, m->id, &d, &old);
    if (e)
        return e;
    c.row.desktop = d->id;
    c.row.agent = d->agent;
    c.row.name = d->agent_name;
    if (m->set & AEDIT_NAME) {
        c.row.name = m->name;
        change_text(&c, "name", d->agent_name, m->name);
        d->agent_name = m->name;
    }
    if (m->set & AEDIT_ROLE) {
        change_text(&c, "role", d->agent_role, m->role);
        d->agent_role = m->role;
    }
    e = c.err ? c.err : work_put(w, KIND_DESKTOP, &old, d);
    return e ? e : answer_agent(w, d);
}
