// A frame is an id line, and an event object on a data line; the object is event_json.c's, or here for what is not logged.
#include "frame.h"
#include "event_json.h"
#include "json_put.h"
#include "names.h"

static void id_line(struct buf *out, uint64_t n)
{
    buf_put(out, "id: ", 4);
    buf_u64(out, n);
    buf_putc(out, '\n');
}

bool frame_row(struct buf *out, const Wire__Row *row, enum event_view view)
{
    if (view == VIEW_ACTIVITIES || !event_type(row->row, view))
        return false;
    id_line(out, row->number);
    buf_puts(out, "data: ");
    struct json j = json_to(out);
    (void)event_json(&j, row, view);
    buf_puts(out, "\n\n");
    return true;
}

// Opens a frame that is not logged, up to its payload's '{'.
static struct json open_live(struct buf *out, const char *type, uint64_t time_ms)
{
    buf_puts(out, "data: ");
    struct json j = json_to(out);
    json_open(&j, '{');
    json_put_str(&j, "type", type);
    if (time_ms)
        json_put_time(&j, "timestamp", time_ms);
    json_key(&j, "payload");
    json_open(&j, '{');
    return j;
}

static void close_live(struct json *j)
{
    json_close(j, '}');
    json_close(j, '}');
    buf_puts(j->out, "\n\n");
}

void frame_metrics(struct buf *out, const Wire__LiveMetrics *m)
{
    struct json j = open_live(out, "desktop.metrics", m->metrics ? m->metrics->probed_ms : 0);
    json_put_id(&j, "id", ENTITY_DESKTOP, m->desktop);
    json_put_cut(&j, "name", m->name, EVENT_TEXT_MAX);
    event_json_metrics(&j, m->metrics);
    close_live(&j);
}

void frame_resync(struct buf *out, uint64_t oldest)
{
    struct json j = open_live(out, "stream.resync", 0);
    json_put_u64(&j, "oldest", oldest);
    close_live(&j);
}

size_t frame_output_rest(const uint8_t *data, size_t n)
{
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        uint8_t c = data[n - back];
        if ((c & 0xc0) == 0x80)
            continue;
        size_t need = c >= 0xf0 && c <= 0xf4 ? 4 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xc2 && c < 0xe0 ? 2 : 1;
        return need > back ? back : 0;
    }
    return 0;
}

size_t frame_output_fit(const uint8_t *data, size_t n)
{
    const size_t room = FRAME_MAX - 512; // what is left of a frame for the text, with its escapes
    size_t max = n < FRAME_OUTPUT_MAX ? n : FRAME_OUTPUT_MAX, used = 0, i = 0;

    for (; i < max; i++) {
        uint8_t c = data[i];
        // The most the writer may make of it: \u00xx, U+FFFD for an octet that is no UTF-8, one more for what it escapes short.
        size_t cost = c < 0x20 || c == 0x7f || c == '<' ? 6 : c >= 0x80 ? 3 : c == '"' || c == '\\' ? 2 : 1;
        if (used + cost > room)
            break;
        used += cost;
    }
    if (i < n) {
        size_t rest = frame_output_rest(data, i);
        if (rest < i)
            i -= rest;
    }
    return i;
}

void frame_output(struct buf *out, const struct frame_output *o, const uint64_t *next)
{
    if (next)
        id_line(out, *next);
    struct json j = open_live(out, "task.output", 0);
    json_put_id(&j, "taskId", ENTITY_TASK, o->task);
    json_put_id(&j, "sessionId", ENTITY_SESSION, o->session);
    json_put_str(&j, "stream", stream_name(o->stream));
    json_put_u64(&j, "offset", o->offset);
    json_key(&j, "data");
    json_strn(&j, (const char *)o->data, o->n);
    close_live(&j);
}

void frame_output_end(struct buf *out, uint64_t task, uint64_t session, uint32_t status, const int32_t *exit)
{
    struct json j = open_live(out, "task.output.end", 0);
    json_put_id(&j, "taskId", ENTITY_TASK, task);
    json_put_id(&j, "sessionId", ENTITY_SESSION, session);
    json_put_str(&j, "status", session_status_name(status));
    json_key(&j, "exitCode");
    if (exit)
        json_i64(&j, *exit);
    else
        json_nil(&j);
    close_live(&j);
}
