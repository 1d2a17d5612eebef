/* Happy path: job_new records the session in the spool; recorded; the owner calls job_go when a slot is free; the command (or
 * the conversation) runs; its output is kept and told; it ends, what it left behind is swept away, the result is spooled;
 * ended; the broker confirms; job_drop.
 * All changes of state go through `event`, and all that follows from them is done there.
 */
#include "job.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "chat.h"
#include "clock.h"
#include "crypto.h"
#include "fault.h"
#include "log.h"
#include "proc.h"

enum { SPOOL_RETRY_MS = 2000, SPOOL_PIECES = 65536, RUN_OCTETS = 16 };

static void event(struct job *j, enum job_event ev);

// ---------------------------------------------------------------- memory and time

static void freed_cb(uv_handle_t *h)
{
    struct job *j = h->data;
    if (--j->open)
        return;
    output_fini(&j->out);
    if (j->a) {
        crypto_wipe(j->a->chat_key, strlen(j->a->chat_key));
        wire__assignment__free_unpacked(j->a, NULL);
    }
    free(j);
}

// Frees it once nothing refers to it any more.
static void release(struct job *j)
{
    if (!j->dropped || j->state != JOB_ENDED || j->recording)
        return;
    j->conf->gone(j->conf->u, j);
    uv_timer_stop(&j->timer);
    uv_timer_stop(&j->deadline);
    uv_close((uv_handle_t *)&j->timer, freed_cb);
    uv_close((uv_handle_t *)&j->deadline, freed_cb);
}

static bool clocks(struct job *j)
{
    // uv_timer_init cannot fail; were that to change, a job without a clock must not be.
    if (uv_timer_init(j->conf->loop, &j->timer) || uv_timer_init(j->conf->loop, &j->deadline))
        return false;
    j->timer.data = j->deadline.data = j;
    j->open = 2;
    return true;
}

// The content is not needed once it was handed on, and may be large.
static void drop_content(struct job *j)
{
    if ((const char *)j->a->content == protobuf_c_empty_string)
        return;
    free(j->a->content);
    union {
        const char *in;
        char *out;
    } none = { protobuf_c_empty_string };
    j->a->content = none.out;
}

// ---------------------------------------------------------------- the result

size_t job_report(const struct job *j, Wire__SessionReport *r, Wire__OutputPiece *pieces, Wire__OutputPiece **list, size_t max)
{
    size_t n = 0;
    struct piece p;
    wire__session_report__init(r);
    r->session = j->session;
    r->attempt = j->attempt;
    for (uint64_t from = j->out.acked; n < max && output_next(&j->out, from, OUTPUT_PIECE_MAX, &p); n++) {
        union { // packing does not write
            const uint8_t *in;
            uint8_t *out;
        } data = { p.data };
        wire__output_piece__init(&pieces[n]);
        pieces[n].offset = p.offset;
        pieces[n].stream = p.stream;
        pieces[n].data.data = data.out;
        pieces[n].data.len = p.n;
        list[n] = &pieces[n];
        from = p.offset + p.n;
    }
    r->n_pieces = n;
    r->pieces = list;
    r->output_total = j->out.total > j->written ? j->out.total : j->written;
    r->prompt_tokens = j->prompt_tokens;
    r->completion_tokens = j->completion_tokens;
    if (j->state != JOB_ENDED)
        return n;
    union {
        const char *in;
        char *out;
    } text = { j->result.text };
    r->ended = true;
    r->has_exit = j->result.has_exit;
    r->exit_code = j->result.exit_code;
    r->failure = j->result.failure;
    r->failure_text = text.out;
    r->duration_ms = j->duration_ms;
    return n;
}

static void spool_result(struct job *j)
{
    size_t max = 0;
    struct piece p;
    Wire__SessionReport r;
    for (uint64_t from = j->out.acked; max < SPOOL_PIECES && output_next(&j->out, from, OUTPUT_PIECE_MAX, &p); max++)
        from = p.offset + p.n;
    Wire__OutputPiece *pieces = malloc((max + 1) * sizeof *pieces), **list = malloc((max + 1) * sizeof *list);
    enum err e = ERR_NO_MEMORY;
    if (pieces && list) {
        job_report(j, &r, pieces, list, max);
        e = spool_end(j->conf->spool, &r);
    }
    free(pieces);
    free(list);
    j->spooled = e == ERR_OK;
    if (!e)
        return;
    log_error("the end of session_%" PRIu64 " cannot be spooled (%s): it is kept in memory and tried again", j->session, err_name(e));
}

static void retry_cb(uv_timer_t *t)
{
    struct job *j = t->data;
    spool_result(j);
    if (j->spooled)
        uv_timer_stop(&j->timer);
}

static void finish(struct job *j)
{
    if (j->proc) {
        // It reads the last of the pipes, which still goes through our callbacks.
        proc_close(j->proc);
        j->proc = NULL;
    }
    uv_timer_stop(&j->deadline);
    j->duration_ms = j->started_ms ? clock_mono_ms() - j->started_ms : 0;
    j->facts.text = j->text;
    job_verdict(&j->facts, &j->result);
    if (j->a)
        drop_content(j);
    spool_guard_drop(j->conf->spool, j->session);
    if (j->dropped) {
        if (!j->recording)
            spool_forget(j->conf->spool, j->session);
        release(j);
        return;
    }
    fault_point("ended");
    spool_result(j);
    fault_point("spooled");
    if (!j->spooled)
        uv_timer_start(&j->timer, retry_cb, SPOOL_RETRY_MS, SPOOL_RETRY_MS);
    j->conf->ended(j->conf->u, j);
}

// ---------------------------------------------------------------- commands

static bool room_cb(void *u, size_t n)
{
    struct job *j = u;
    return output_reserve(&j->out, n) == ERR_OK;
}

static void data_cb(void *u, enum stream stream, const uint8_t *p, size_t n)
{
    struct job *j = u;
    uint64_t offset = j->out.total;
    output_put(&j->out, stream, p, n);
    j->conf->output(j->conf->u, j, stream, offset, p, n);
    fault_point("output");
}

static void eof_cb(void *u)
{
    event(u, JEV_EOF);
}

static void exited_cb(void *u, int code, int signal)
{
    struct job *j = u;
    fault_point("exited");
    j->facts.exited = true;
    j->facts.exit_code = code;
    j->facts.signal = signal;
    event(j, proc_eof(j->proc) ? JEV_EXIT_EOF : JEV_EXIT);
}

static const struct proc_cbs proc_cbs = { .room = room_cb, .data = data_cb, .eof = eof_cb, .exited = exited_cb };

static void fail(struct job *j, enum failure f, const char *what, const char *why)
{
    char text[JOB_TEXT_MAX];
    snprintf(text, sizeof text, "%s%s%s", what, why ? ": " : "", why ? why : "");
    chat_clean(j->text, sizeof j->text, text, strlen(text));
    j->facts.failure = f;
    event(j, JEV_FAIL);
}

static struct spool_line guard_line(const struct job *j, const struct tree_id *id)
{
    return (struct spool_line){ .kind = SPOOL_START, .session = j->session, .task = j->task, .attempt = j->attempt, .id = *id };
}

static void start_command(struct job *j)
{
    char why[256];
    struct driver_cmd cmd;
    struct tree_id *id = &j->entry.line.id;
    struct driver_run run = { .driver = (enum driver)j->a->driver, .address = j->a->address, .content = j->a->content, .task = j->task,
                              .session = j->session, .attempt = j->attempt, .run = id->run };
    if (driver_command(&run, &j->conf->user, &cmd) != ERR_OK) {
        fail(j, FAILURE_DESKTOP_LOST, "This worker cannot run commands on such a desktop", NULL);
        return;
    }
    (void)cgroup_take(id->cgroup);
    struct spool_line guard = guard_line(j, id);
    spool_guard_set(j->conf->spool, &guard); // before there is anything to guard: we may be killed right after
    fault_point("guarded");
    if (proc_spawn(&cmd, j->a->content, id, &proc_cbs, j, &j->proc, why, sizeof why) != ERR_OK) {
        fail(j, FAILURE_DESKTOP_LOST, "The command could not be started", why);
        return;
    }
    fault_point("spawned");
    j->facts.started = true;
    spool_process(j->conf->spool, j->session, proc_id(j->proc));
    guard = guard_line(j, proc_id(j->proc));
    spool_guard_set(j->conf->spool, &guard);
    fault_point("noted");
    drop_content(j);
}

// ---------------------------------------------------------------- conversations

static bool text_cb(void *u, const char *s, size_t n)
{
    for (size_t at = 0; at < n;) {
        size_t step = n - at < OUTPUT_PIECE_MAX ? n - at : OUTPUT_PIECE_MAX;
        if (!room_cb(u, step))
            return false;
        data_cb(u, STREAM_STDOUT, (const uint8_t *)s + at, step);
        at += step;
    }
    return true;
}

static void answered_cb(void *u, const struct chat_result *r)
{
    struct job *j = u;
    j->chat = NULL;
    j->facts.failure = r->failure;
    snprintf(j->text, sizeof j->text, "%s", r->text);
    j->prompt_tokens = r->prompt_tokens;
    j->completion_tokens = r->completion_tokens;
    event(j, JEV_EXIT_EOF);
}

static void start_chat(struct job *j)
{
    const Wire__Chat *c = j->a->chat;
    if (!c || !c->url[0]) {
        fail(j, FAILURE_AGENT_ERROR, "The desktop has no chat endpoint", NULL);
        return;
    }
    enum err e = chat_start(&(struct chat_req){ .url = c->url, .model = c->model, .system = c->system_prompt, .prompt = j->a->content,
                                                .key = j->a->chat_key, .stall_s = j->conf->stall_s, .text = text_cb,
                                                .done = answered_cb, .u = j },
                            &j->chat);
    if (e) {
        fail(j, FAILURE_AGENT_ERROR, e == ERR_INVALID_FIELD ? "The address of the chat endpoint is none" : "The worker is out of memory", NULL);
        return;
    }
    j->facts.started = true;
    crypto_wipe(j->a->chat_key, strlen(j->a->chat_key));
    drop_content(j);
}

// ---------------------------------------------------------------- what follows from events

static void deadline_cb(uv_timer_t *t)
{
    job_stop(t->data, STOP_TIMEOUT, false);
}

static void start(struct job *j)
{
    j->started_ms = clock_mono_ms();
    j->facts.timeout_s = j->a->timeout_s;
    if (j->a->timeout_s)
        uv_timer_start(&j->deadline, deadline_cb, (uint64_t)j->a->timeout_s * 1000, 0);
    if (j->a->type == TYPE_PROMPT)
        start_chat(j);
    else if (j->a->type == TYPE_COMMAND)
        start_command(j);
    else
        fail(j, FAILURE_DESKTOP_LOST, "This worker does not know such a task", NULL);
}

static void break_off(struct job *j)
{
    chat_cancel(j->chat);
    j->chat = NULL;
    event(j, JEV_EXIT_EOF);
}

static bool end_former_cb(void *u, const struct spool_line *l)
{
    (void)u;
    return tree_end(&l->id) == 0;
}

static void clear(struct job *j, bool too_long)
{
    if (spool_guard_each(j->conf->spool, j->task, j->session, j->attempt, end_former_cb, j) == 0) {
        if (j->conf->leased(j->conf->u)) // otherwise it is looked at again
            event(j, JEV_CLEAN);
    } else if (too_long) {
        snprintf(j->text, sizeof j->text, "What attempt %" PRIu32 " left running could not be ended", j->attempt - 1);
        j->facts.failure = FAILURE_DESKTOP_LOST;
        event(j, JEV_GIVE_UP);
    }
}

static void sweep(struct job *j, bool too_long)
{
    if (!j->proc || proc_sweep(j->proc) == 0) {
        event(j, JEV_CLEAN);
    } else if (too_long) {
        log_warn("something that session_%" PRIu64 " left running cannot be ended", j->session);
        event(j, JEV_GIVE_UP);
    }
}

static void kill_all(struct job *j, bool too_long)
{
    if (j->chat) {
        break_off(j);
        return;
    }
    (void)proc_kill(j->proc);
    if (too_long) {
        log_warn("the process of session_%" PRIu64 " cannot be ended", j->session);
        event(j, JEV_GIVE_UP);
    }
}

static void timer_cb(uv_timer_t *t)
{
    event(t->data, JEV_TIMER);
}

// The last thing each branch does may be another event, or the end of j: nothing is touched after it.
static void event(struct job *j, enum job_event ev)
{
    enum job_state to;
    unsigned fx, timer_ms;
    if (job_fsm_step(j->state, ev, &to, &fx, &timer_ms) != ERR_OK)
        return; // late, and of no meaning any more
    if (to != j->state) {
        log_debug("session_%" PRIu64 ": %s to %s", j->session, job_state_name(j->state), job_state_name(to));
        j->since_ms = clock_mono_ms();
        uv_timer_stop(&j->timer);
    }
    j->state = to;
    if (timer_ms)
        uv_timer_start(&j->timer, timer_cb, timer_ms, 0);
    bool too_long = clock_mono_ms() - j->since_ms > JOB_SWEEP_MAX_MS;
    if (fx & JFX_START)
        start(j);
    else if (fx & JFX_TERM && j->chat)
        break_off(j);
    else if (fx & JFX_TERM)
        proc_term(j->proc);
    else if (fx & JFX_KILL)
        kill_all(j, too_long);
    else if (fx & JFX_CLEAR)
        clear(j, too_long);
    else if (fx & JFX_SWEEP)
        sweep(j, too_long);
    else if (fx & JFX_FINISH)
        finish(j);
}

// ---------------------------------------------------------------- the public side

static Wire__Assignment *copy(const Wire__Assignment *a)
{
    size_t n = wire__assignment__get_packed_size(a);
    uint8_t *b = malloc(n ? n : 1);
    if (!b)
        return NULL;
    wire__assignment__pack(a, b);
    Wire__Assignment *c = wire__assignment__unpack(NULL, n, b);
    crypto_wipe(b, n);
    free(b);
    return c;
}

static void recorded_cb(struct spool_entry *e, enum err err)
{
    struct job *j = container_of(e, struct job, entry);
    j->recording = false;
    if (j->state != JOB_QUEUED) { // cancelled or dropped meanwhile
        if (j->dropped)
            spool_forget(j->conf->spool, j->session);
        release(j);
        return;
    }
    if (err) {
        fail(j, FAILURE_DESKTOP_LOST, "The worker cannot write its spool", NULL);
        return;
    }
    fault_point("recorded");
    j->is_recorded = true;
    j->conf->recorded(j->conf->u, j);
}

static struct job *make(const struct job_conf *c)
{
    struct job *j = calloc(1, sizeof *j);
    if (!j)
        return NULL;
    j->conf = c;
    list_init(&j->at);
    list_init(&j->entry.at);
    if (!clocks(j)) {
        free(j);
        return NULL;
    }
    return j;
}

static void unmake(struct job *j)
{
    j->state = JOB_ENDED;
    uv_close((uv_handle_t *)&j->timer, freed_cb);
    uv_close((uv_handle_t *)&j->deadline, freed_cb);
}

enum err job_new(const struct job_conf *c, const Wire__Assignment *a, struct job **ret)
{
    uint8_t random[RUN_OCTETS];
    struct job *j = make(c);
    if (!j)
        return ERR_NO_MEMORY;
    j->a = copy(a);
    if (!j->a) {
        unmake(j);
        return ERR_NO_MEMORY;
    }
    j->session = a->session;
    j->task = a->task;
    j->attempt = a->attempt;
    j->state = JOB_QUEUED;
    output_init(&j->out, 0);
    j->entry.line = (struct spool_line){ .kind = SPOOL_START, .session = j->session, .task = j->task, .attempt = j->attempt };
    crypto_random(random, sizeof random);
    for (int i = 0; i < RUN_OCTETS; i++)
        snprintf(j->entry.line.id.run + 2 * i, 3, "%02x", random[i]);
    tree_boot_id(j->entry.line.id.boot);
    j->entry.done = recorded_cb;
    j->recording = true;
    spool_start(c->spool, &j->entry);
    *ret = j;
    return ERR_OK;
}

// What a former life spooled was checked for damage; that its output fits together is checked here.
static enum err take_output(struct output *o, const Wire__SessionReport *r)
{
    for (size_t i = 0; i < r->n_pieces; i++) {
        const Wire__OutputPiece *p = r->pieces[i];
        enum err e = p->data.len > OUTPUT_PIECE_MAX || p->offset > r->output_total ? ERR_INVALID_FIELD : output_skip(o, p->offset);
        if (!e)
            e = output_reserve(o, p->data.len);
        if (e)
            return e;
        output_put(o, p->stream == STREAM_STDERR ? STREAM_STDERR : STREAM_STDOUT, p->data.data, p->data.len);
    }
    return o->total <= r->output_total ? ERR_OK : ERR_INVALID_FIELD;
}

enum err job_restore(const struct job_conf *c, const Wire__SessionReport *r, struct job **ret)
{
    struct job *j = make(c);
    if (!j)
        return ERR_NO_MEMORY;
    j->session = r->session;
    j->attempt = r->attempt;
    j->state = JOB_ENDED;
    j->spooled = true;
    j->result.has_exit = r->has_exit;
    j->result.exit_code = r->exit_code;
    j->result.failure = (enum failure)(r->failure < FAILURE_COUNT ? r->failure : FAILURE_WORKER_LOST);
    chat_clean(j->result.text, sizeof j->result.text, r->failure_text, strlen(r->failure_text));
    j->duration_ms = r->duration_ms;
    j->prompt_tokens = r->prompt_tokens;
    j->completion_tokens = r->completion_tokens;
    output_init(&j->out, r->n_pieces ? r->pieces[0]->offset : r->output_total);
    enum err e = take_output(&j->out, r);
    if (e) {
        unmake(j);
        return e;
    }
    j->written = r->output_total;
    *ret = j;
    return ERR_OK;
}

void job_go(struct job *j)
{
    // Only an attempt that is not the first can have a predecessor.
    if (j->attempt > 1 && j->a->type == TYPE_COMMAND &&
        spool_guard_each(j->conf->spool, j->task, j->session, j->attempt, NULL, NULL)) {
        log_info("session_%" PRIu64 ": ending what an earlier attempt of task_%" PRIu64 " may have left", j->session, j->task);
        event(j, JEV_GO_CLEAR);
        return;
    }
    event(j, JEV_GO);
}

void job_stop(struct job *j, enum job_stop why, bool now)
{
    if (j->state == JOB_ENDED)
        return;
    if (j->facts.stop == STOP_NONE && !j->facts.exited)
        j->facts.stop = why;
    event(j, now ? JEV_KILL : JEV_STOP);
}

void job_drop(struct job *j)
{
    if (j->dropped)
        return;
    j->dropped = true;
    if (j->state != JOB_ENDED) {
        job_stop(j, STOP_FORGET, true);
        return;
    }
    uv_timer_stop(&j->timer);
    if (!j->recording)
        spool_forget(j->conf->spool, j->session);
    release(j);
}
