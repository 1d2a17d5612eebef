#include "shape_comment.h"
#include "json_put.h"
#include "member.h"
#include "names.h"

void shape_comment(struct json *j, const Wire__Comment *c)
{
    json_open(j, '{');
    json_put_id(j, "id", ENTITY_COMMENT, c->id);
    json_put_id(j, "taskId", ENTITY_TASK, c->task);
    json_put_opt(j, "author", c->author);
    json_put_str(j, "content", c->content);
    json_put_time(j, "createdAt", c->created_ms);
    json_close(j, '}');
}

void shape_agent(struct json *j, const Wire__Agent *a)
{
    json_open(j, '{');
    json_put_id(j, "id", ENTITY_AGENT, a->id);
    json_put_str(j, "name", a->name);
    json_put_str(j, "role", a->role);
    json_put_str(j, "status", agent_status_name(a->status));
    json_put_id(j, "desktopId", ENTITY_DESKTOP, a->desktop);
    json_put_time(j, "createdAt", a->created_ms);
    json_close(j, '}');
}

enum err shape_comment_add(const json_t *o, uint64_t task, Wire__CommentAdd *m, struct fault *f)
{
    wire__comment_add__init(m);
    m->task = task;
    enum err e = member_filled(o, "content", &m->content, NULL, f);
    return e ? e : check_comment_add(m, f);
}

enum err shape_agent_edit(const json_t *o, uint64_t agent, Wire__AgentEdit *m, struct fault *f)
{
    bool name = false, role = false;
    wire__agent_edit__init(m);
    m->id = agent;
    enum err e = member_text(o, "name", &m->name, &name, f);
    if (!e)
        e = member_text(o, "role", &m->role, &role, f);
    m->set = (name ? (uint32_t)AEDIT_NAME : 0u) | (role ? (uint32_t)AEDIT_ROLE : 0u);
    return e ? e : check_agent_edit(m, f);
}
