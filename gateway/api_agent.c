// Agents: each resides on a desktop and is made with it.
#include "api.h"
#include "shape_comment.h"

static void listed(struct request *r, const Wire__Answer *a)
{
    struct json *j = request_json();

    json_open(j, '[');
    for (size_t i = 0; i < a->agents->n_agents; i++)
        shape_agent(j, a->agents->agents[i]);
    json_close(j, ']');
    request_send(r, 200);
}

void api_agent_list(struct request *r)
{
    request_ask_target(r, WIRE__ITEM__BODY_AGENT_LIST, 0, WIRE__ANSWER__BODY_AGENTS, listed);
}

static void shown(struct request *r, const Wire__Answer *a)
{
    shape_agent(request_json(), a->agent);
    request_send(r, 200);
}

void api_agent_get(struct request *r)
{
    request_ask_target(r, WIRE__ITEM__BODY_AGENT_GET, r->id, WIRE__ANSWER__BODY_AGENT, shown);
}

void api_agent_edit(struct request *r)
{
    Wire__Item item = WIRE__ITEM__INIT;
    Wire__AgentEdit m;
    struct fault f = { NULL, NULL };
    json_t *o;

    if (!request_body(r, &o))
        return;
    enum err e = shape_agent_edit(o, r->id, &m, &f);
    if (e == ERR_OK) {
        item.body_case = WIRE__ITEM__BODY_AGENT_EDIT;
        item.agent_edit = &m;
        request_ask(r, &item, WIRE__ANSWER__BODY_AGENT, shown);
    } else {
        request_fail(r, e, f.field, f.text);
    }
    json_decref(o);
}
