// links: common protobuf-c sodium
// What comes by the inner protocol: unpacked within the arena's bound, checked, and packed again. The first octet picks the message.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "arena.h"
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
    case WIRE__ITEM__BODY_KEY_CREATE: judge(check_key_create(i->key_create, &f), &f); break;
    case WIRE__ITEM__BODY_SETTINGS_PUT: judge(check_settings_put(i->settings_put, &f), &f); break;
    case WIRE__ITEM__BODY_WORKER_ADD: judge(check_worker_add(i->worker_add, &f), &f); break;
    case WIRE__ITEM__BODY_WORK_POLL: judge(check_work_poll(i->work_poll, &f), &f); break;
    case WIRE__ITEM__BODY_WORK_REPORT: judge(check_work_report(i->work_report, &f), &f); break;
    default: break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ProtobufCMessageDescriptor *const kinds[] = {
        &wire__request__descriptor, &wire__reply__descriptor, &wire__bus_events__descriptor, &wire__live__descriptor, &wire__row__descriptor,
    };
    struct arena a;

    if (!size)
        return 0;
    arena_init(&a, BOUND);
    const ProtobufCMessageDescriptor *kind = kinds[data[0] % (sizeof kinds / sizeof *kinds)];
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
