// links: common protobuf-c sodium
// fuzz: -max_len=8192
// What comes by the inner protocol: unpacked within the arena's bound, checked, and packed again. The first octet picks the message.
#include "mutate_pb.h"
#include "check.h"
#include "wire.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BOUND = 8 * 1024 * 1024 };

static void judge(enum err e, const struct fault *f)
{
    if (e != ERR_OK && e != ERR_MISSING_FIELD && e != ERR_INVALID_FIELD)
        abort();
    if (e && (!f->field || !f->text || strlen(f->text) == 0))
        abort();
}

static void check_item(const Wire__Item *i)
{
    struct fault f = { NULL, NULL };

    switch (i->body_case) {
    case WIRE__ITEM__BODY_TASK_CREATE: judge(check_task_create(i->task_create, &f), &f); break;
    case WIRE__ITEM__BODY_TASK_EDIT: judge(check_task_edit(i->task_edit, &f), &f); break;
    case WIRE__ITEM__BODY_RESOLVE: judge(check_resolve(i->resolve, &f), &f); break;
    case WIRE__ITEM__BODY_DESKTOP_CREATE: judge(check_desktop_create(i->desktop_create, &f), &f); break;
    case WIRE__ITEM__BODY_DESKTOP_EDIT: judge(check_desktop_edit(i->desktop_edit, &f), &f); break;
    case WIRE__ITEM__BODY_DESKTOP_ACT: judge(check_desktop_act(i->desktop_act, &f), &f); break;
    case WIRE__ITEM__BODY_COMMENT_ADD: judge(check_comment_add(i->comment_add, &f), &f); break;
    case WIRE__ITEM__BODY_AGENT_EDIT: judge(check_agent_edit(i->agent_edit, &f), &f); break;
    case WIRE__ITEM__BODY_MAINTENANCE: judge(check_maintenance(i->maintenance, &f), &f); break;
    case WIRE__ITEM__BODY_USER_CREATE: judge(check_user_create(i->user_create, &f), &f); break;
    case WIRE__ITEM__BODY_USER_EDIT: judge(check_user_edit(i->user_edit, &f), &f); break;
    case WIRE__ITEM__BODY_WORKSPACE_CREATE: judge(check_workspace_create(i->workspace_create, &f), &f); break;
    case WIRE__ITEM__BODY_SIGN_IN: judge(check_sign_in(i->sign_in, &f), &f); break;
    case WIRE__ITEM__BODY_PASSWORD_SET: judge(check_password_set(i->password_set, &f), &f); break;
    case WIRE__ITEM__BODY_KEYS_USED: judge(check_keys_used(i->keys_used, &f), &f); break;
    case WIRE__ITEM__BODY_WEBHOOK_CREATE: judge(check_webhook_create(i->webhook_create, &f), &f); break;
    case WIRE__ITEM__BODY_WEBHOOK_EDIT: judge(check_webhook_edit(i->webhook_edit, &f), &f); break;
    case WIRE__ITEM__BODY_HOOK_REPORT: judge(check_hook_report(i->hook_report, &f), &f); break;
    case WIRE__ITEM__BODY_KEY_CREATE: judge(check_key_create(i->key_create, &f), &f); break;
    case WIRE__ITEM__BODY_SETTINGS_PUT: judge(check_settings_put(i->settings_put, &f), &f); break;
    case WIRE__ITEM__BODY_WORKER_ADD: judge(check_worker_add(i->worker_add, &f), &f); break;
    case WIRE__ITEM__BODY_WORK_POLL: judge(check_work_poll(i->work_poll, &f), &f); break;
    case WIRE__ITEM__BODY_WORK_REPORT: judge(check_work_report(i->work_report, &f), &f); break;
    default: break;
    }
}

static const ProtobufCMessageDescriptor *const kinds[] = {
    &wire__request__descriptor, &wire__reply__descriptor, &wire__bus_events__descriptor, &wire__live__descriptor, &wire__row__descriptor,
};

static const ProtobufCMessageDescriptor *kind_of(uint8_t octet)
{
    return kinds[octet % (sizeof kinds / sizeof *kinds)];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;

    if (!size)
        return 0;
    arena_init(&a, BOUND);
    const ProtobufCMessageDescriptor *kind = kind_of(data[0]);
    ProtobufCMessage *m = protobuf_c_message_unpack(kind, arena_allocator(&a), size - 1, data + 1);
    if (a.total > BOUND)
        abort();
    if (m) {
        if (kind == &wire__request__descriptor) {
            const Wire__Request *r = (const Wire__Request *)(const void *)m;
            for (size_t i = 0; i < r->n_items; i++)
                check_item(r->items[i]);
        }
        size_t n = protobuf_c_message_get_packed_size(m);
        uint8_t *out = malloc(n ? n : 1);
        if (out && protobuf_c_message_pack(m, out) != n)
            abort();
        free(out);
    }
    arena_fini(&a);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    if (!size || seed % 32 == 0)
        data[0] = (uint8_t)(seed >> 8);
    return 1 + pb_mutate(kind_of(data[0]), data + 1, size ? size - 1 : 0, max - 1, seed);
}
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t an, const uint8_t *b, size_t bn, uint8_t *out, size_t max, unsigned seed)
{
    if (!an || !bn || !max)
        return 0;
    out[0] = a[0];
    return 1 + pb_cross(kind_of(a[0]), a + 1, an - 1, b + 1, bn - 1, out + 1, max - 1, seed);
}
