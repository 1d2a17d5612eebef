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

static enum err edit(struct request *r, const json_t *body, void *m, struct fault *f)
{
    return shape_agent_edit(body, r->id, m, f);
}

void api_agent_edit(struct request *r)
{
    Wire__AgentEdit m;

    request_ask_body(r, edit, &m, WIRE__ITEM__BODY_AGENT_EDIT, WIRE__ANSWER__BODY_AGENT, shown);
}
