// Comments and agents: their public JSON, and the bodies that make and change them (as shape_body.h has it for the rest). Pure.
#pragma once
#include <stdint.h>
#include "check.h"
#include "err.h"
#include "json_in.h"
#include "json_out.h"
#include "wire.pb-c.h"

void shape_comment(struct json *j, const Wire__Comment *c);
void shape_agent(struct json *j, const Wire__Agent *a);

MUST_USE enum err shape_comment_add(const json_t *o, uint64_t task, Wire__CommentAdd *m, struct fault *f);
MUST_USE enum err shape_agent_edit(const json_t *o, uint64_t agent, Wire__AgentEdit *m, struct fault *f);
