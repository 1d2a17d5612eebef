// Tasks. Waiting for one: look at it; while it has a session that was not followed yet, follow that one's output to its end; look
// again; until it is over. So a quick task's output is shown as well as a slow one's, and each attempt's.
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "body.h"
#include "check.h"
#include "clock.h"
#include "conf.h"
#include "escape.h"
#include "follow.h"
#include "run.h"
#include "show.h"
#include "term.h"
#include "utf8.h"
#include "verbs.h"

#define TASKS "/api/mission-control/tasks"
enum { POLL_MIN_MS = 50, POLL_MAX_MS = 1000, AWAY_MS = 1000, TEXT_MAX_ = 256 };

static int wait_for(struct run *r, const char *task, const char *old_session);

// ---------------------------------------------------------------- create, run

struct content {
    struct buf text;
    const char *type, *desktop;
    bool run;
};
static struct content content; // of the task that is made

static bool is_task(const char *s)
{
    return strncmp(s, "task_", 5) == 0 && s[5] && strspn(s + 5, "0123456789") == strlen(s + 5);
}

// JSON holds nothing else, and what is run must be what was given.
static bool is_text(const struct buf *b)
{
    for (size_t i = 0, n; i < b->len; i += n) {
        n = utf8_len(b->data + i, b->len - i);
        if (n == 0 || b->data[i] == 0)
            return false;
    }
    return true;
}

static int read_content(struct run *r)
{
    const char *prompt = run_opt(r, "prompt"), *file = run_opt(r, "file");
    unsigned ways = (prompt ? 1u : 0u) + (file ? 1u : 0u) + (r->argv.n_args ? 1u : 0u);

    buf_init(&content.text, CONTENT_MAX + 1);
    content.type = run_opt(r, "type") ? run_opt(r, "type") : prompt ? "prompt" : "command";
    if (ways != 1)
        return run_usage(r, "%s a command after --, --prompt or --file", ways ? "give only one of" : "there is nothing to run: give");
    if (file && !term_read_file(file, CONTENT_MAX, &content.text))
        return EXIT_FAILED;
    if (prompt)
        buf_puts(&content.text, prompt);
    else if (!file)
        body_shell(&content.text, r->argv.args, r->argv.n_args);
    if (content.text.err)
        return run_usage(r, "the content is larger than 1 MiB");
    return is_text(&content.text) ? EXIT_OK : run_usage(r, "the content is not UTF-8 text");
}

struct only {
    char id[RUN_ID_MAX];
    unsigned n;
};

static bool only_cb(void *u, const json_t *o, const char *text, size_t n)
{
    struct only *only = u;

    (void)text;
    (void)n;
    snprintf(only->id, sizeof only->id, "%s", show_text(o, "id"));
    return ++only->n < 2;
}

// Without --desktop: the only one there is.
static int choose_desktop(struct run *r)
{
    static struct only only;

    if (run_opt(r, "desktop"))
        return EXIT_OK;
    int code = run_each(r, "/api/desktops", only_cb, &only);
    if (code)
        return code;
    if (only.n != 1)
        return run_usage(r, only.n ? "there is more than one desktop: say which with --desktop" : "there is no desktop: mcctl desktop add");
    content.desktop = only.id;
    return EXIT_OK;
}

static void put_content(struct run *r, struct json *j)
{
    (void)r;
    json_key(j, "type");
    json_str(j, content.type);
    json_key(j, "content");
    json_strn(j, (const char *)content.text.data, content.text.len);
    if (content.desktop) {
        json_key(j, "desktopId");
        json_str(j, content.desktop);
    }
    if (content.run) {
        json_key(j, "run");
        json_bool(j, true);
    }
}

static int create(struct run *r, json_t **ret)
{
    char key[CLIENT_IDEMPOTENCY_SIZE];
    unsigned n;
    int code = read_content(r);

    code = code ? code : choose_desktop(r);
    if (code)
        return code;
    if (!run_body(r, put_content, &n))
        return r->status;
    buf_reset(&r->path);
    buf_puts(&r->path, TASKS);
    client_idempotency(key);
    *ret = run_ask_safe(r, "POST", true, key, &code);
    return code;
}

static int shown_or_waited(struct run *r, json_t *task, const char *old_session)
{
    char id[RUN_ID_MAX];

    snprintf(id, sizeof id, "%s", show_text(task, "id"));
    if (run_opt(r, "wait") || run_opt(r, "wait-approval"))
        return wait_for(r, id, old_session);
    run_print_line(r, task);
    if (!r->json && term_tty(STDOUT_FILENO) && strcmp(show_text(task, "status"), "running") == 0)
        term_say("mcctl logs -f %s shows its output", id);
    return EXIT_OK;
}

int do_task_create(struct run *r)
{
    json_t *task = NULL;

    content.run = strcmp(r->command->words, "task run") == 0;
    if (content.run && r->argv.n_args == 1 && !r->argv.dashes && is_task(r->argv.args[0]) && !run_opt(r, "desktop"))
        return do_task_start(r);
    int code = create(r, &task);
    buf_fini(&content.text);
    if (!code && task)
        code = shown_or_waited(r, task, "");
    json_decref(task);
    return code;
}

// ---------------------------------------------------------------- run one that is there

static json_t *post(struct run *r, const char *id, const char *what, int *ret_status)
{
    buf_reset(&r->path);
    buf_printf(&r->path, TASKS "/%s/%s", id, what);
    return run_ask(r, "POST", false, ret_status);
}

static json_t *look(struct run *r, const char *id, int *ret_status)
{
    buf_reset(&r->path);
    buf_printf(&r->path, TASKS "/%s", id);
    return run_ask(r, NULL, false, ret_status);
}

static int start(struct run *r, const char *id)
{
    char old[RUN_ID_MAX];
    int code;
    json_t *task = look(r, id, &code);

    if (code)
        return code;
    snprintf(old, sizeof old, "%s", show_text(task, "sessionId"));
    json_decref(task);
    task = post(r, id, "run", &code);
    if (!code)
        code = shown_or_waited(r, task, old);
    json_decref(task);
    return code;
}

int do_task_start(struct run *r)
{
    const char *id = run_id(r, "task", run_arg(r, 0));
    return id ? start(r, id) : r->status;
}

int do_task_retry(struct run *r)
{
    const char *id = run_id(r, "task", run_arg(r, 0));
    int code;

    if (!id)
        return r->status;
    json_t *task = post(r, id, "retry", &code);
    bool more = run_opt(r, "run") || run_opt(r, "wait") || run_opt(r, "wait-approval");
    if (!code && !more)
        run_print_line(r, task);
    json_decref(task);
    return code || !more ? code : start(r, id);
}

// ---------------------------------------------------------------- the output of a session

struct output {
    struct run *r;
    struct escape streams[2]; // of standard output and error
    uint64_t at;              // the offset that comes next
    struct follow follow;
    bool apart;               // error output goes to standard error
    bool any;
};

static void put(struct output *o, bool error, const char *text, size_t n)
{
    struct run *r = o->r;
    int fd = error && o->apart ? STDERR_FILENO : STDOUT_FILENO;

    if (r->raw)
        buf_put(&r->out, text, n);
    else
        escape_feed(&o->streams[error && o->apart], &r->out, text, n);
    term_progress(NULL);
    term_buf(fd, &r->out);
    o->any = true;
}

static void hole(struct output *o, uint64_t offset)
{
    if (offset > o->at && !o->r->json)
        term_say("%llu bytes of output were left out", (unsigned long long)(offset - o->at));
}

static bool frame_cb(void *u, const json_t *e, const char *text, size_t n)
{
    struct output *o = u;
    const char *type = show_text(e, "type");
    const json_t *data = show_at(e, "payload.data");

    if (o->r->json) {
        run_put_json(o->r, text, n);
        buf_putc(&o->r->out, '\n');
        term_buf(STDOUT_FILENO, &o->r->out);
    } else if (strcmp(type, "task.output") == 0 && data) {
        hole(o, (uint64_t)show_number(e, "payload.offset"));
        put(o, strcmp(show_text(e, "payload.stream"), "stderr") == 0, json_string_value(data), json_string_length(data));
    }
    uint64_t next;
    if (conf_number(o->follow.sse.id, 0, INT64_MAX, &next))
        o->at = next;
    return strcmp(type, "task.output.end") != 0;
}

static int follow_session(struct output *o, const char *task, const char *session)
{
    char path[TEXT_MAX_];
    struct run *r = o->r;

    int n = snprintf(path, sizeof path, TASKS "/%s/output?session=%s", task, session);
    if (run_opt(r, "stream") && n > 0 && (size_t)n < sizeof path)
        snprintf(path + n, sizeof path - (size_t)n, "&stream=%s", run_opt(r, "stream"));
    o->at = 0;
    o->streams[0] = o->streams[1] = (struct escape){ .lines = true };
    o->follow = (struct follow){ .client = &r->client, .path = path, .from = run_opt(r, "offset"), .event = frame_cb, .u = o };
    if (run_opt(r, "offset"))
        (void)conf_number(run_opt(r, "offset"), 0, INT64_MAX, &o->at);
    int code = follow_run(&o->follow);
    for (int i = 0; i < 2; i++) {
        escape_end(&o->streams[i], &r->out);
        term_buf(i && o->apart ? STDERR_FILENO : STDOUT_FILENO, &r->out);
    }
    return code;
}

// ---------------------------------------------------------------- waiting

struct wait {
    struct output output;
    const char *task;
    char session[RUN_ID_MAX]; // whose output has been shown
    bool through;             // also through the approval
    bool show;                // its output
    bool seen, away;          // it could be looked at; it cannot at the moment
    uint64_t began_ms, poll_ms;
};

// A word we do not know is no reason to wait for ever.
static bool is_over(const struct wait *w, const char *status)
{
    return strcmp(status, "pending") != 0 && strcmp(status, "running") != 0 && (strcmp(status, "review") != 0 || !w->through);
}

static void progress(const struct wait *w, const json_t *task)
{
    char text[TEXT_MAX_];
    const char *status = show_text(task, "status"), *why = show_text(task, "waitingFor");

    if (strcmp(status, "review") == 0)
        why = show_text(task, "approvalId");
    snprintf(text, sizeof text, "%s %s%s%s, %llu s", w->task, status, *why ? ", waits for " : "", why,
             (unsigned long long)(clock_mono_ms() - w->began_ms) / 1000);
    term_progress(text);
}

// Whether to go on after an error: nobody could be reached, and somebody could before.
static bool wait_again(struct wait *w, int code)
{
    struct client *c = &w->output.r->client;

    if (code != EXIT_AWAY || !w->seen)
        return false;
    if (!w->away)
        term_say("reconnecting");
    w->away = true;
    return client_pause(c, AWAY_MS) || c->interrupted;
}

static json_t *wait_look(struct wait *w, int *ret_status)
{
    struct run *r = w->output.r;
    json_t *task;

    r->client.quiet = w->seen;
    do
        task = look(r, w->task, ret_status);
    while (*ret_status && wait_again(w, *ret_status) && !r->client.interrupted);
    r->client.quiet = false;
    w->away = w->away && *ret_status;
    w->seen = w->seen || !*ret_status;
    if (r->client.interrupted) {
        *ret_status = EXIT_INTERRUPTED;
    } else if (*ret_status && w->seen) {
        term_say("%s: it cannot be looked at any more", w->task);
    } else if (!*ret_status && !task) {
        term_say("the answer is empty");
        *ret_status = EXIT_FAILED;
    }
    return task;
}

// *ret_task: as it is when it is over.
static int wait_over(struct wait *w, json_t **ret_task)
{
    struct run *r = w->output.r;
    int code;

    for (;;) {
        json_t *task = wait_look(w, &code);
        if (code)
            return code;
        const char *session = show_text(task, "sessionId");
        bool new = w->show && *session && strcmp(session, w->session) != 0, over = is_over(w, show_text(task, "status"));
        if (new)
            snprintf(w->session, sizeof w->session, "%s", session);
        if (!new && over) {
            *ret_task = task;
            return EXIT_OK;
        }
        progress(w, task);
        json_decref(task);
        if (new) {
            code = follow_session(&w->output, w->task, w->session);
            if (code == EXIT_AWAY)
                w->session[0] = 0; // nothing of it was shown
            else if (code)
                return code;
        } else if (!client_pause(&r->client, w->poll_ms)) {
            return EXIT_INTERRUPTED;
        }
        w->poll_ms = new ? POLL_MIN_MS : w->poll_ms * 2 < POLL_MAX_MS ? w->poll_ms * 2 : POLL_MAX_MS;
    }
}

static int failed_exit(const json_t *task)
{
    static const struct { const char *code; int exit; } rows[] = {
        { "timeout", TASK_EXIT_TIMEOUT },    { "worker_lost", TASK_EXIT_LOST },   { "desktop_lost", TASK_EXIT_LOST },
        { "agent_error", TASK_EXIT_AGENT },  { "rejected", TASK_EXIT_REJECTED },
    };
    const char *code = show_text(task, "error.code");

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].code, code) == 0)
            return rows[i].exit;
    int n = (int)show_number(task, "exitCode");
    return n > 0 && n < 256 ? n : EXIT_FAILED;
}

static int exit_of(const json_t *task)
{
    const char *status = show_text(task, "status");

    if (strcmp(status, "done") == 0)
        return EXIT_OK;
    if (strcmp(status, "review") == 0)
        return TASK_EXIT_REVIEW;
    return strcmp(status, "cancelled") == 0 ? TASK_EXIT_CANCELLED : failed_exit(task);
}

static void say_end(const json_t *task, int code)
{
    const char *id = show_text(task, "id"), *message = show_text(task, "error.message");

    if (code == TASK_EXIT_REVIEW)
        term_say("%s waits for a decision: mcctl approve %s", id, show_text(task, "approvalId"));
    else if (code && *message)
        term_say("%s %s: %s", id, show_text(task, "status"), message);
    else if (code)
        term_say("%s %s", id, show_text(task, "status"));
}

static int interrupted(struct wait *w)
{
    struct run *r = w->output.r;
    int code;

    term_progress(NULL);
    r->client.interrupted = false;
    if (!run_opt(r, "cancel-on-interrupt")) {
        term_say("%s goes on: mcctl logs -f %s follows it, mcctl task cancel %s ends it", w->task, w->task, w->task);
        return EXIT_INTERRUPTED;
    }
    json_decref(post(r, w->task, "cancel", &code));
    if (!code)
        term_say("%s cancelled", w->task);
    return EXIT_INTERRUPTED;
}

static int wait_for(struct run *r, const char *id, const char *old_session)
{
    char task_id[RUN_ID_MAX];
    struct wait w = { .output = { .r = r, .apart = true }, .task = task_id, .through = run_opt(r, "wait-approval") != NULL,
                      .show = !r->json && !run_opt(r, "quiet"), .began_ms = clock_mono_ms(), .poll_ms = POLL_MIN_MS };
    json_t *task = NULL;

    snprintf(task_id, sizeof task_id, "%s", id);
    snprintf(w.session, sizeof w.session, "%s", old_session);
    client_hold_interrupt(&r->client);
    int code = wait_over(&w, &task);
    term_progress(NULL);
    if (code == EXIT_INTERRUPTED)
        return interrupted(&w);
    if (code)
        return code;
    code = exit_of(task);
    if (r->json)
        run_print_json(r);
    else
        say_end(task, code);
    json_decref(task);
    return code;
}

int do_task_wait(struct run *r)
{
    const char *id = run_id(r, "task", run_arg(r, 0));
    return id ? wait_for(r, id, "") : r->status;
}

// ---------------------------------------------------------------- logs

static int follow_logs(struct run *r, const char *id)
{
    struct wait w = { .output = { .r = r }, .task = id, .show = true, .began_ms = clock_mono_ms(), .poll_ms = POLL_MIN_MS };
    json_t *task = NULL;

    if (run_opt(r, "session")) {
        const char *session = run_id(r, "session", run_opt(r, "session"));
        return session ? follow_session(&w.output, id, session) : r->status;
    }
    int code = wait_over(&w, &task);
    term_progress(NULL);
    json_decref(task);
    return code;
}

int do_logs(struct run *r)
{
    const char *id = run_id(r, "task", run_arg(r, 0));

    if (!id)
        return r->status;
    if (run_opt(r, "follow"))
        return follow_logs(r, id);
    return run_text(r);
}

// ---------------------------------------------------------------- decisions, comments

static const char *decision;

static void put_decision(struct run *r, struct json *j)
{
    (void)r;
    json_key(j, "decision");
    json_str(j, decision);
}

static int decide_one(struct run *r, const char *name)
{
    bool task = is_task(name);
    const char *id = run_id(r, task ? "task" : "approval", name);
    unsigned n;
    int code;

    if (!id || !run_body(r, put_decision, &n))
        return r->status;
    buf_reset(&r->path);
    buf_printf(&r->path, task ? TASKS "/%s/review" : "/api/mission-control/approvals/%s/resolve", id);
    json_t *o = run_ask(r, "POST", true, &code);
    if (o)
        run_print_line(r, o);
    json_decref(o);
    return code;
}

static int decide(struct run *r, const char *what)
{
    int worst = EXIT_OK;

    decision = what;
    for (unsigned i = 0; i < r->argv.n_args && worst != EXIT_USAGE; i++) {
        int code = decide_one(r, r->argv.args[i]);
        worst = worst ? worst : code;
    }
    return worst;
}

int do_approve(struct run *r)
{
    return decide(r, "approve");
}

int do_reject(struct run *r)
{
    return decide(r, "reject");
}

int do_task_review(struct run *r)
{
    const char *word = run_arg(r, 1);

    if (strcmp(word, "approve") != 0 && strcmp(word, "reject") != 0)
        return run_usage(r, "the decision must be approve or reject, not '%.100s'", word);
    const char *id = run_id(r, "task", run_arg(r, 0));
    decision = word;
    return id ? decide_one(r, id) : r->status;
}

static struct buf comment;

static void put_comment(struct run *r, struct json *j)
{
    (void)r;
    json_key(j, "content");
    json_strn(j, (const char *)comment.data, comment.len);
}

static bool read_comment(struct run *r)
{
    buf_init(&comment, (size_t)COMMENT_MAX * 4);
    if (r->argv.n_args == 1) {
        if (term_tty(STDIN_FILENO))
            term_say("the comment is read from here; Ctrl-D ends it");
        r->status = term_read_file("-", (size_t)COMMENT_MAX * 4, &comment) ? EXIT_OK : EXIT_FAILED;
        while (comment.len && comment.data[comment.len - 1] == '\n')
            comment.len--;
    }
    for (unsigned i = 1; i < r->argv.n_args; i++) {
        buf_puts(&comment, i > 1 ? " " : "");
        buf_puts(&comment, r->argv.args[i]);
    }
    if (comment.err || !is_text(&comment))
        r->status = run_usage(r, comment.err ? "the comment is too long" : "the comment is not UTF-8 text");
    return r->status == EXIT_OK;
}

int do_comment(struct run *r)
{
    unsigned n;
    int code;

    if (!read_comment(r) || !run_body(r, put_comment, &n) || !run_path(r, r->command->path, 0))
        return r->status;
    json_t *o = run_ask(r, "POST", true, &code);
    if (o)
        run_print_line(r, o);
    json_decref(o);
    buf_fini(&comment);
    return code;
}
