// Commands on desktops, and what workers observe of them.
#include <string.h>
#include "change.h"
#include "commands.h"
#include "life.h"

enum { MAX_TASKS_DEFAULT = 8 };

static void set_chat(Rec__Desktop *d, const Wire__DesktopPut *m, bool edit)
{
    static char nothing[1];
    static const ProtobufCBinaryData none = { 0, NULL };
    const Wire__Chat *c = m->chat;
    if (m->clear_chat || !c) {
        d->chat_url = d->chat_model = d->chat_prompt = nothing;
        d->chat_mode = 0;
        d->chat_key = none;
        return;
    }
    if (edit && strcmp(d->chat_url, c->url) != 0)
        d->chat_key = none; // a key never goes to another address than it was given for
    d->chat_url = c->url;
    d->chat_model = c->model;
    d->chat_mode = c->mode ? c->mode : CHAT_AGENT;
    d->chat_prompt = c->system_prompt;
    if (m->chat_key_sealed.len)
        d->chat_key = m->chat_key_sealed;
    else if (m->clear_chat_key)
        d->chat_key = none;
}

static void about(const Rec__Desktop *d, Wire__Row *r)
{
    r->desktop = d->id;
    r->agent = d->agent;
    r->name = d->name;
    r->status = d->status;
}

static enum err row(struct work *w, const Rec__Desktop *d, unsigned kind)
{
    Wire__Row r = WIRE__ROW__INIT;
    about(d, &r);
    if (kind == ROW_AGENT_CREATED) {
        r.name = d->agent_name;
        r.agent_role = d->agent_role;
    }
    return work_row(w, &r, kind);
}

enum err cmd_desktop_create(struct work *w)
{
    const Wire__DesktopPut *m = w->cmd->item->desktop_create;
    static char role[] = "agent";
    struct fault f;
    enum err e = check_desktop_create(m, &f);
    if (e)
        return work_fault(w, e, &f);
    Rec__Desktop *d = arena_alloc(w->arena, sizeof *d);
    if (!d)
        return ERR_NO_MEMORY;
    *d = (Rec__Desktop)REC__DESKTOP__INIT;
    d->id = work_id(w, ENTITY_DESKTOP);
    d->workspace = w->workspace;
    d->name = m->name;
    d->driver = m->driver;
    d->address = m->address;
    d->pool = m->pool;
    d->labels = m->labels;
    d->n_labels = m->n_labels;
    d->max_tasks = m->max_tasks ? m->max_tasks : MAX_TASKS_DEFAULT;
    d->agent = work_id(w, ENTITY_AGENT);
    d->agent_name = m->name;
    d->agent_role = role;
    d->start_command = m->start_command;
    d->stop_command = m->stop_command;
    d->host_key = m->host_key;
    d->created_ms = w->now_ms;
    set_chat(d, m, false);
    e = row(w, d, ROW_DESKTOP_CREATED);
    if (!e)
        e = row(w, d, ROW_AGENT_CREATED);
    if (!e)
        e = life_desktop(w, d, DESKTOP_BOOTING, "");
    return e ? e : answer_desktop(w, d);
}

// "one, two"
static char *joined(struct work *w, char *const *labels, size_t n)
{
    static char nothing[1];
    size_t room = 1, at = 0;
    for (size_t i = 0; i < n; i++)
        room += strlen(labels[i]) + 2;
    char *text = arena_alloc(w->arena, room);
    if (!text)
        return nothing;
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(labels[i]);
        if (i) {
            memcpy(text + at, ", ", 2);
            at += 2;
        }
        memcpy(text + at, labels[i], len);
        at += len;
    }
    text[at] = 0;
    return text;
}

static void edit_text(struct changes *c, const char *field, bool given, char **at, char *to)
{
    if (!given)
        return;
    change_text(c, field, *at, to);
    *at = to;
}

static void edit_plain(struct changes *c, Rec__Desktop *d, const Wire__DesktopPut *m)
{
    if (m->set & DEDIT_NAME)
        c->row.name = m->name;
    edit_text(c, "name", m->set & DEDIT_NAME, &d->name, m->name);
    edit_text(c, "address", m->set & DEDIT_ADDRESS, &d->address, m->address);
    edit_text(c, "pool", m->set & DEDIT_POOL, &d->pool, m->pool);
    if (m->set & DEDIT_LABELS) {
        change_text(c, "labels", joined(c->w, d->labels, d->n_labels), joined(c->w, m->labels, m->n_labels));
        d->labels = m->labels;
        d->n_labels = m->n_labels;
    }
    if (m->set & DEDIT_MAX_TASKS) {
        change_number(c, "maxTasks", d->max_tasks, m->max_tasks);
        d->max_tasks = m->max_tasks;
    }
    edit_text(c, "startCommand", m->set & DEDIT_START, &d->start_command, m->start_command);
    edit_text(c, "stopCommand", m->set & DEDIT_STOP, &d->stop_command, m->stop_command);
    edit_text(c, "hostKey", m->set & DEDIT_HOST_KEY, &d->host_key, m->host_key);
}

static bool same_octets(ProtobufCBinaryData a, ProtobufCBinaryData b)
{
    return a.len == b.len && (!a.len || memcmp(a.data, b.data, a.len) == 0);
}

// A key is sealed with fresh randomness each time: giving the same one again counts as a change, since nobody here can tell.
static void edit_chat(struct changes *c, Rec__Desktop *d, const Wire__DesktopPut *m)
{
    const Rec__Desktop was = *d;
    if (m->set & DEDIT_CHAT) {
        set_chat(d, m, true);
        d->agent_ready = d->status == DESKTOP_RUNNING && !*d->chat_url;
    } else if (m->set & DEDIT_CHAT_KEY) {
        d->chat_key = m->chat_key_sealed;
    }
    change_text(c, "chat.url", was.chat_url, d->chat_url);
    change_text(c, "chat.model", was.chat_model, d->chat_model);
    change_word(c, "chat.mode", chat_mode_name(was.chat_mode), chat_mode_name(d->chat_mode));
    change_text(c, "chat.systemPrompt", was.chat_prompt, d->chat_prompt);
    if (!same_octets(was.chat_key, d->chat_key))
        change_secret(c, "chat.key");
}

enum err cmd_desktop_edit(struct work *w)
{
    const Wire__DesktopPut *m = w->cmd->item->desktop_edit;
    struct changes c = change_begin(w, ROW_DESKTOP_UPDATED);
    struct index_entries old;
    Rec__Desktop *d;
    struct fault f;
    enum err e = check_desktop_edit(m, &f);
    if (e)
        return work_fault(w, e, &f);
    e = work_get(w, KIND_DESKTOP, w->workspace, m->id, &d, &old);
    if (e)
        return e;
    if ((m->set & DEDIT_ADDRESS) && d->driver == DRIVER_LOCAL && *m->address)
        return work_refuse(w, ERR_INVALID_FIELD, "address", "A local desktop has no address");
    if ((m->set & DEDIT_CHAT_KEY) && !(m->set & DEDIT_CHAT) && !*d->chat_url)
        return work_refuse(w, ERR_INVALID_FIELD, "chat.key", "The desktop has no chat endpoint");
    about(d, &c.row);
    edit_plain(&c, d, m);
    edit_chat(&c, d, m);
    work_touch_desktop(w, d->workspace, d->id);
    e = c.err ? c.err : work_put(w, KIND_DESKTOP, &old, d);
    return e ? e : answer_desktop(w, d);
}

enum err cmd_desktop_delete(struct work *w)
{
    struct index_entries old;
    Rec__Desktop *d;
    struct counts *c;
    enum err e = work_get(w, KIND_DESKTOP, w->workspace, w->cmd->item->desktop_delete->id, &d, &old);
    if (!e)
        e = work_counts(w, d->workspace, d->id, &c);
    if (e)
        return e;
    if (counts_unfinished(c))
        return work_refuse(w, ERR_DESKTOP_IN_USE, NULL, NULL);
    work_touch_desktop(w, d->workspace, d->id);
    e = row(w, d, ROW_DESKTOP_DELETED);
    if (!e)
        e = metric_forget(w, d->workspace, d->id);
    return e ? e : work_del(w, KIND_DESKTOP, &old, d);
}

static const struct ending desktop_lost = {
    .status = SESSION_FAILED, .failure = FAILURE_DESKTOP_LOST, .text = "The desktop was stopped while the task ran",
};

enum err cmd_desktop_act(struct work *w)
{
    const Wire__DesktopAct *m = w->cmd->item->desktop_act;
    Rec__Desktop *d;
    struct fault f;
    enum err e = check_desktop_act(m, &f);
    if (e)
        return work_fault(w, e, &f);
    e = work_get(w, KIND_DESKTOP, w->workspace, m->id, &d, NULL);
    if (e)
        return e;
    bool stopped = d->status == DESKTOP_STOPPED, on = d->status == DESKTOP_RUNNING || d->status == DESKTOP_BOOTING;
    if (m->act == ACT_START && on)
        return work_refuse(w, ERR_BAD_STATE, NULL, "The desktop is started already");
    if (m->act != ACT_START && stopped)
        return work_refuse(w, ERR_BAD_STATE, NULL, "The desktop is stopped");
    if (m->act != ACT_START)
        e = life_end_desktop(w, d, &desktop_lost);
    if (!e)
        e = life_desktop(w, d, m->act == ACT_STOP ? DESKTOP_STOPPED : DESKTOP_BOOTING, "");
    return e ? e : answer_desktop(w, d);
}

// A worker's observation. Only `stop` makes a desktop stopped, and only `start` ends that.
enum err cmd_observe(struct work *w)
{
    const Wire__Observe *m = w->cmd->item->observe;
    const Wire__Observation *o = m->seen;
    Rec__Desktop *d;
    if (!o)
        return ERR_BAD_REQUEST;
    enum err e = work_get(w, KIND_DESKTOP, m->workspace, o->desktop, &d, NULL);
    if (e || d->status == DESKTOP_STOPPED)
        return e;
    if (!o->reachable)
        return d->status == DESKTOP_ERROR && strcmp(d->error, o->error) == 0 ? ERR_OK : life_desktop(w, d, DESKTOP_ERROR, o->error);
    bool moved = strcmp(d->ip_address, o->ip_address) != 0;
    if (moved)
        d->ip_address = work_copy(w, o->ip_address, 64);
    if (d->status != DESKTOP_RUNNING)
        e = life_desktop(w, d, DESKTOP_RUNNING, "");
    else if (moved)
        e = work_put(w, KIND_DESKTOP, NULL, d);
    bool ready = !*d->chat_url || o->agent_answers;
    if (!e && ready != d->agent_ready)
        e = life_agent_ready(w, d, ready);
    return e;
}
