// links: gateway common protobuf-c jansson sodium
// fuzz: -max_len=2048 -dict=tests/fuzz/json.dict
// Bodies of requests: the first octet says which. What is taken must pack, and what it says must be written as JSON that reads
// back the same.
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "packs.h"
#include "shape.h"
#include "shape_body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void written(const Wire__TaskCreate *m)
{
    Wire__Task t = WIRE__TASK__INIT;
    struct buf b;
    char why[160];
    json_t *o = NULL;

    buf_init(&b, 64u << 20);
    struct json j = json_to(&b);
    t.id = 1;
    t.content = m->content;
    t.title = m->title;
    shape_task(&j, &t);
    assert(!b.err);
    assert(json_in_parse(b.data, b.len, &o, why, sizeof why) == ERR_OK);
    assert(strcmp(json_string_value(json_object_get(o, "content")), m->content) == 0);
    assert(strcmp(json_string_value(json_object_get(o, "title")), m->title) == 0);
    json_decref(o);
    buf_fini(&b);
}

// Bodies that hold a password: the text that was found lies in the body, and what is made of the rest packs.
static enum err people(const json_t *o, unsigned which, struct fault *f)
{
    static Wire__UserPut user;
    static Wire__WorkspaceCreate workspace;
    const char *name = NULL, *password = NULL;
    enum err e;

    switch (which % 5) {
    case 0: if ((e = shape_sign_in(o, &name, &password, f)) == ERR_OK) assert(name && password); break;
    case 1: if ((e = shape_new_password(o, &name, &password, f)) == ERR_OK) assert(password); break;
    case 2: if ((e = shape_user_create(o, &user, &password, f)) == ERR_OK) packs(&user.base); break;
    case 3: if ((e = shape_user_edit(o, 1, &user, &password, f)) == ERR_OK) packs(&user.base); break;
    default: if ((e = shape_workspace_create(o, &workspace, &password, f)) == ERR_OK) packs(&workspace.base); break;
    }
    return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct shape_desktop_put desktop;
    static struct shape_settings_put settings;
    static Wire__TaskCreate create;
    static Wire__TaskEdit edit;
    static Wire__Resolve resolve;
    static Wire__KeyCreate key;
    static Wire__WorkerAdd worker;
    static struct shape_webhook_put webhook;
    struct fault f = { NULL, NULL };
    char why[160];
    json_t *o;
    enum err e;

    if (!size || json_in_parse(data + 1, size - 1, &o, why, sizeof why) != ERR_OK)
        return 0;
    if (data[0] == 'w' || data[0] == 'W') {
        e = data[0] == 'w' ? shape_webhook_create(o, &webhook, &f) : shape_webhook_edit(o, 1, &webhook, &f);
        if (e == ERR_OK)
            packs(&webhook.m.base);
        assert(e == ERR_OK || (f.field && f.text && *f.text));
        json_decref(o);
        return 0;
    }
    if (data[0] >= 0xe0) {
        e = people(o, data[0], &f);
        assert(e == ERR_OK || (f.field && f.text && *f.text));
        json_decref(o);
        return 0;
    }
    switch (data[0] % 8) {
    case 0:
        if ((e = shape_task_create(o, &create, &f)) == ERR_OK) {
            packs(&create.base);
            written(&create);
        }
        break;
    case 1: if ((e = shape_task_edit(o, 1, &edit, &f)) == ERR_OK) packs(&edit.base); break;
    case 2: if ((e = shape_resolve(o, 1, 0, &resolve, &f)) == ERR_OK) packs(&resolve.base); break;
    case 3: if ((e = shape_key_create(o, 1000, &key, &f)) == ERR_OK) packs(&key.base); break;
    case 4: if ((e = shape_settings_put(o, &settings, &f)) == ERR_OK) packs(&settings.m.base); break;
    case 5: if ((e = shape_desktop_create(o, &desktop, &f)) == ERR_OK) packs(&desktop.m.base); break;
    case 6: if ((e = shape_desktop_edit(o, 1, &desktop, &f)) == ERR_OK) packs(&desktop.m.base); break;
    default: if ((e = shape_worker_add(o, &worker, &f)) == ERR_OK) packs(&worker.base); break;
    }
    assert(e == ERR_OK || (f.field && f.text && *f.text));
    json_decref(o);
    return 0;
}
