// links: gateway common protobuf-c jansson sodium
// fuzz: -max_len=1024 -dict=tests/fuzz/json.dict
// Bodies of comments and agents: the first octet says which. What is taken must pack and be written as JSON that reads back the same;
// what is refused names a field and says why.
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "packs.h"
#include "shape_comment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void written(char *content)
{
    Wire__Comment c = WIRE__COMMENT__INIT;
    struct buf b;
    char why[160];
    json_t *o = NULL;

    buf_init(&b, 64u << 20);
    struct json j = json_to(&b);
    c.id = 1;
    c.content = content;
    shape_comment(&j, &c);
    assert(!b.err);
    assert(json_in_parse(b.data, b.len, &o, why, sizeof why) == ERR_OK);
    assert(strcmp(json_string_value(json_object_get(o, "content")), content) == 0);
    json_decref(o);
    buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Wire__CommentAdd comment;
    Wire__AgentEdit agent;
    struct fault f = { NULL, NULL };
    char why[160];
    json_t *o;
    enum err e;

    if (!size || json_in_parse(data + 1, size - 1, &o, why, sizeof why) != ERR_OK)
        return 0;
    if (data[0] % 2) {
        e = shape_agent_edit(o, 1, &agent, &f);
        if (!e)
            packs(&agent.base);
    } else {
        e = shape_comment_add(o, 1, &comment, &f);
        if (!e) {
            packs(&comment.base);
            written(comment.content);
        }
    }
    assert(e == ERR_OK || (f.field && f.text && *f.text));
    json_decref(o);
    return 0;
}
