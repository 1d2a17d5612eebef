#include "run.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "body.h"
#include "clock.h"
#include "conf.h"
#include "crypto.h"
#include "escape.h"
#include "items.h"
#include "show.h"
#include "term.h"

enum { PAGE = 200, FLUSH_AT = 64 * 1024, WATCH_MS = 2000, LIMIT_DEFAULT = 50, FRAME_LINES_KEPT = 2 };

static struct client_answer answer; // of the last request: one at a time

void run_init(struct run *r)
{
    buf_init(&r->out, RUN_BODY_MAX);
    buf_init(&r->body, RUN_BODY_MAX);
    buf_init(&r->path, CLIENT_LINK_MAX);
    buf_init(&r->secret, (size_t)RUN_SECRET_MAX * 2);
    client_answer_init(&answer);
}

void run_fini(struct run *r)
{
    if (r->secret.data)
        crypto_wipe(r->secret.data, r->secret.cap);
    if (r->body.data)
        crypto_wipe(r->body.data, r->body.cap);
    buf_fini(&r->secret);
    buf_fini(&r->body);
    buf_fini(&r->path);
    buf_fini(&r->out);
    client_answer_fini(&answer);
}

// ---------------------------------------------------------------- what was given

const char *run_opt(const struct run *r, const char *name)
{
    return argv_value(&r->argv, name);
}

const char *run_arg(const struct run *r, unsigned n)
{
    return n < r->argv.n_args ? r->argv.args[n] : NULL;
}

uint64_t run_opt_number(const struct run *r, const char *name, uint64_t def)
{
    uint64_t n = def;
    const char *v = run_opt(r, name);

    return v && conf_number(v, 0, INT64_MAX, &n) ? n : def;
}

int run_usage(struct run *r, const char *fmt, ...)
{
    char text[CLIENT_TEXT_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    term_say("%s (try mcctl %s --help)", text, r->command->words);
    r->status = EXIT_USAGE;
    return EXIT_USAGE;
}

// ---------------------------------------------------------------- names

static const struct kind {
    const char *name, *list, *member;
} kinds[] = {
    { "task", NULL, NULL },
    { "session", NULL, NULL },
    { "approval", NULL, NULL },
    { "desktop", "/api/desktops", "name" },
    { "agent", "/api/agents", "name" },
    { "user", "/api/users", "username" },
    { "key", "/api/auth/api-keys", "name" },
    { "worker", "/api/workers", "name" },
    { "webhook", "/api/webhooks", "name" },
};

struct lookup {
    const struct kind *kind;
    const char *name;
    char id[RUN_ID_MAX];
    unsigned found;
};

static bool compare(void *u, const json_t *o, const char *text, size_t n)
{
    struct lookup *l = u;

    (void)text;
    (void)n;
    if (strcmp(show_text(o, l->kind->member), l->name) == 0) {
        snprintf(l->id, sizeof l->id, "%s", show_text(o, "id"));
        l->found++;
    }
    return true;
}

static bool digits(const char *s)
{
    size_t n = strlen(s);
    return n > 0 && n < 20 && strspn(s, "0123456789") == n;
}

static bool is_id(const struct kind *k, const char *s)
{
    size_t n = strlen(k->name);
    return strncmp(s, k->name, n) == 0 && s[n] == '_' && digits(s + n + 1);
}

static const char *by_name(struct run *r, const struct kind *k, const char *name)
{
    struct lookup l = { .kind = k, .name = name };

    r->status = run_each(r, k->list, compare, &l);
    if (r->status)
        return NULL;
    if (l.found != 1) {
        term_say("there is %s %s of the name '%.100s'%s", l.found ? "more than one" : "no", k->name, name, l.found ? ": give the id" : "");
        r->status = l.found ? EXIT_USAGE : EXIT_NOT_FOUND;
        return NULL;
    }
    snprintf(r->names[r->n_names], RUN_ID_MAX, "%s", l.id);
    return r->names[r->n_names++];
}

const char *run_id(struct run *r, const char *kind, const char *name)
{
    const struct kind *k = NULL;

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, kind) == 0)
            k = &kinds[i];
    if (is_id(k, name))
        return name;
    if (r->n_names == RUN_NAMES_MAX)
        r->n_names = 0; // those of an earlier argument
    if (digits(name)) {
        snprintf(r->names[r->n_names], RUN_ID_MAX, "%s_%s", kind, name);
        return r->names[r->n_names++];
    }
    if (k->list)
        return by_name(r, k, name);
    run_usage(r, "'%.100s' is no id of %s %s: %s_42 is one", name, strchr("ao", kind[0]) ? "an" : "a", kind, kind);
    return NULL;
}

bool run_password(struct run *r, const char **ret)
{
    char text[RUN_SECRET_MAX] = "", again[RUN_SECRET_MAX] = "";
    bool tty = term_tty(STDIN_FILENO);
    bool ok = term_secret("New password: ", text, sizeof text) && (!tty || term_secret("Once more: ", again, sizeof again));

    r->status = ok ? EXIT_OK : EXIT_FAILED;
    if (!ok)
        term_say("no password was given");
    else if (tty && strcmp(text, again) != 0) {
        term_say("the two are not the same: nothing was changed");
        r->status = EXIT_FAILED;
    }
    buf_reset(&r->secret);
    buf_puts(&r->secret, text);
    crypto_wipe(text, sizeof text);
    crypto_wipe(again, sizeof again);
    *ret = buf_cstr(&r->secret);
    return r->status == EXIT_OK;
}

// The first line of a file: a secret never stands on the command line.
static bool from_file(struct run *r, const char *path, const char **ret)
{
    buf_reset(&r->secret);
    if (!term_read_file(path, RUN_SECRET_MAX, &r->secret)) {
        r->status = EXIT_FAILED;
        return false;
    }
    r->secret.len = strcspn(buf_cstr(&r->secret), "\r\n");
    *ret = buf_cstr(&r->secret);
    return true;
}

static bool name_cb(void *u, enum option_kind kind, const char *name, const char **ret_text)
{
    switch (kind) {
    case OPT_FILE: return from_file(u, name, ret_text);
    case OPT_PASSWORD: return run_password(u, ret_text);
    case OPT_DESKTOP: *ret_text = run_id(u, "desktop", name); break;
    case OPT_SESSION: *ret_text = run_id(u, "session", name); break;
    default: *ret_text = run_id(u, "agent", name);
    }
    return *ret_text != NULL;
}

// ---------------------------------------------------------------- requests

static struct body_from from(struct run *r)
{
    return (struct body_from){ .argv = &r->argv, .now_ms = clock_wall_ms(), .name = name_cb, .u = r };
}

// A sentence that body.c left, if it was not said by a callback already.
static bool said(struct run *r, bool ok, struct buf *why)
{
    if (!ok && why->len)
        run_usage(r, "%s", buf_cstr(why));
    buf_fini(why);
    return ok;
}

static bool fill(struct run *r, struct buf *out, const char *template, unsigned n)
{
    char kind[32];

    for (const char *at = template; *at;) {
        size_t len = strcspn(at, "{");
        buf_put(out, at, len);
        at += len;
        if (!*at)
            break;
        size_t name = strcspn(at + 1, "}");
        snprintf(kind, sizeof kind, "%.*s", (int)name, at + 1);
        const char *id = run_arg(r, n) ? run_id(r, kind, run_arg(r, n)) : NULL;
        if (!id)
            return false;
        buf_puts(out, id);
        n++;
        at += name + 2;
    }
    return true;
}

bool run_path(struct run *r, const char *template, unsigned n)
{
    const struct body_from f = from(r);
    struct buf why, path;

    buf_init(&why, 4096);
    buf_init(&path, CLIENT_LINK_MAX);
    bool ok = fill(r, &path, template, n) && body_query(&f, &path, &why);
    buf_reset(&r->path); // only now: looking up a name asks too
    buf_put(&r->path, path.data, path.len);
    buf_fini(&path);
    if (ok && (path.err || r->path.err))
        buf_puts(&why, "the request is too long");
    return said(r, ok && !r->path.err, &why);
}

bool run_body(struct run *r, void (*more)(struct run *r, struct json *j), unsigned *ret_n)
{
    const struct body_from f = from(r);
    struct buf why, body;

    buf_init(&why, 4096);
    buf_init(&body, RUN_BODY_MAX);
    struct json j = json_to(&body);
    json_open(&j, '{');
    if (r->command->member && run_arg(r, 0)) {
        json_key(&j, r->command->member);
        json_str(&j, run_arg(r, 0));
    }
    if (more)
        more(r, &j);
    bool ok = body_members(&f, &j, ret_n, &why);
    json_close(&j, '}');
    buf_reset(&r->body);
    buf_put(&r->body, body.data, body.len);
    if (ok && (body.err || r->body.err)) {
        ok = false;
        buf_puts(&why, "what was given is too long");
    }
    buf_fini(&body);
    return said(r, ok, &why);
}

json_t *run_ask_safe(struct run *r, const char *method, bool with_body, const char *idempotency, int *ret_status)
{
    char why[200];
    json_t *o = NULL;
    struct client_req q = { .method = method, .path = buf_cstr(&r->path), .idempotency = idempotency };

    if (with_body) {
        q.body = buf_cstr(&r->body);
        q.body_n = r->body.len;
    }
    *ret_status = client_do(&r->client, &q, &answer);
    if (*ret_status || answer.status == 204 || answer.body.len == 0)
        return NULL;
    if (json_in_parse(answer.body.data, answer.body.len, &o, why, sizeof why) != ERR_OK) {
        term_say("the answer cannot be read: %s", why);
        *ret_status = EXIT_FAILED;
        return NULL;
    }
    return o;
}

json_t *run_ask(struct run *r, const char *method, bool with_body, int *ret_status)
{
    return run_ask_safe(r, method, with_body, NULL, ret_status);
}

// ---------------------------------------------------------------- printing

void run_put_json(struct run *r, const char *text, size_t n)
{
    if (r->raw)
        buf_put(&r->out, text, n);
    else
        escape_json(&r->out, text, n);
}

void run_print_json(struct run *r)
{
    run_put_json(r, (const char *)answer.body.data, answer.body.len);
    if (answer.body.len && answer.body.data[answer.body.len - 1] != '\n')
        buf_putc(&r->out, '\n');
    term_buf(STDOUT_FILENO, &r->out);
}

void run_print_line(struct run *r, const json_t *o)
{
    if (r->json) {
        run_print_json(r);
        return;
    }
    if (show_at(o, "id"))
        show_line(&r->out, o, r->raw);
    else
        show_object(&r->out, o, r->raw);
    term_buf(STDOUT_FILENO, &r->out);
}

static void print_object(struct run *r, const json_t *o)
{
    if (r->json) {
        run_print_json(r);
        return;
    }
    show_object(&r->out, o, r->raw);
    term_buf(STDOUT_FILENO, &r->out);
}

// ---------------------------------------------------------------- lists

struct each {
    struct items items;
    bool (*item)(void *u, const json_t *o, const char *text, size_t n);
    void *u;
    enum err err;
    bool enough;
};

static bool element_cb(void *u, const char *text, size_t n)
{
    struct each *e = u;
    char why[200];
    json_t *o = NULL;

    if (json_in_parse(text, n, &o, why, sizeof why) != ERR_OK) {
        e->err = ERR_BAD_JSON;
        return false;
    }
    e->enough = !e->item(e->u, o, text, n);
    json_decref(o);
    return !e->enough;
}

static bool page_cb(void *u, const uint8_t *p, size_t n)
{
    struct each *e = u;
    enum err err = items_feed(&e->items, p, n, element_cb, e);

    if (err && err != ERR_CLOSED)
        e->err = err;
    return err == ERR_OK;
}

static int one_page(struct run *r, const char *path, struct each *e)
{
    const struct client_req q = { .path = path, .data = page_cb, .u = e };

    items_fini(&e->items);
    items_init(&e->items);
    int code = client_do(&r->client, &q, &answer);
    if (code || e->enough)
        return code;
    if (e->err || !items_whole(&e->items)) {
        term_say("the list broke off: %s", e->err ? err_text(e->err) : "it is not whole");
        return EXIT_FAILED;
    }
    return EXIT_OK;
}

int run_each(struct run *r, const char *path, bool (*item)(void *u, const json_t *o, const char *text, size_t n), void *u)
{
    struct each e = { .item = item, .u = u };
    char next[CLIENT_LINK_MAX + 1];
    int code;

    items_init(&e.items);
    snprintf(next, sizeof next, "%s", path);
    do {
        code = one_page(r, next, &e);
        snprintf(next, sizeof next, "%s", answer.head.link);
    } while (code == EXIT_OK && !e.enough && next[0]);
    items_fini(&e.items);
    return code;
}

// ---------------------------------------------------------------- rows

void lister_begin(struct lister *l, struct run *r, const struct column *columns, uint64_t limit, bool streaming)
{
    *l = (struct lister){ .r = r, .columns = columns, .left = limit ? limit : UINT64_MAX, .streaming = streaming };
    if (r->json) {
        buf_putc(&r->out, '[');
        return;
    }
    table_init(&l->table, &r->out, r->raw ? 0 : term_width(), term_colour(STDOUT_FILENO), r->raw);
    for (const struct column *c = columns; c->head; c++)
        table_column(&l->table, c->head, c->flex);
}

static bool row(struct lister *l, const json_t *o)
{
    struct buf cell[TABLE_COLUMNS_MAX];
    const char *text[TABLE_COLUMNS_MAX] = { NULL };
    enum tint tint[TABLE_COLUMNS_MAX] = { TINT_NONE };
    unsigned n = 0;

    for (const struct column *c = l->columns; c->head && n < TABLE_COLUMNS_MAX; c++, n++) {
        buf_init(&cell[n], SHOW_MAX);
        show_cell(&cell[n], o, c->path, c->kind);
        text[n] = buf_cstr(&cell[n]);
        tint[n] = c->kind == CELL_STATUS ? table_status_tint(text[n]) : TINT_NONE;
    }
    enum err e = table_row(&l->table, text, tint);
    while (n)
        buf_fini(&cell[--n]);
    return e == ERR_OK;
}

bool lister_item(void *u, const json_t *o, const char *text, size_t n)
{
    struct lister *l = u;

    if (l->left == 0)
        return false;
    l->left--;
    if (l->r->json) {
        buf_puts(&l->r->out, l->n ? ",\n" : "\n");
        run_put_json(l->r, text, n);
    } else if (!row(l, o)) {
        l->failed = true;
        return false;
    }
    l->n++;
    if (l->streaming && l->r->out.len > FLUSH_AT)
        term_buf(STDOUT_FILENO, &l->r->out);
    return l->left > 0;
}

void lister_end(struct lister *l)
{
    if (l->r->json)
        buf_puts(&l->r->out, l->n ? "\n]\n" : "]\n");
    else
        table_end(&l->table);
    if (l->streaming)
        term_buf(STDOUT_FILENO, &l->r->out);
}

static bool has_option(const struct run *r, const char *name)
{
    const struct option *o;

    for (unsigned i = 0; (o = command_option(r->command, i)); i++)
        if (strcmp(o->name, name) == 0)
            return true;
    return false;
}

// Where the command pages: what it asks for at once.
static bool paged(struct run *r, uint64_t limit)
{
    char n[24];

    if (!run_path(r, r->command->path, 0))
        return false;
    if (has_option(r, "limit")) {
        snprintf(n, sizeof n, "%llu", (unsigned long long)(limit && limit < PAGE ? limit : PAGE));
        body_query_add(&r->path, "limit", n);
    }
    return true;
}

static int list_once(struct run *r, uint64_t limit, bool streaming)
{
    struct lister l;
    char path[CLIENT_LINK_MAX + 1];

    if (!paged(r, limit))
        return r->status;
    snprintf(path, sizeof path, "%s", buf_cstr(&r->path));
    lister_begin(&l, r, r->command->columns, limit, streaming);
    int code = run_each(r, path, lister_item, &l);
    if (l.n || !code)
        lister_end(&l);
    else if (!r->json)
        table_fini(&l.table);
    uint64_t total = answer.head.total != UINT64_MAX ? answer.head.total : 0;
    streaming = streaming && !run_opt(r, "limit"); // who asked for so many knows it
    if (streaming && !code && l.left == 0 && total > l.n)
        term_say("%llu of %llu are shown: --limit 0 shows all", (unsigned long long)l.n, (unsigned long long)total);
    else if (streaming && !code && l.left == 0 && !total && answer.head.link[0])
        term_say("the first %llu are shown: --limit 0 shows all", (unsigned long long)l.n);
    return l.failed ? EXIT_FAILED : code;
}

static int draw_list(struct run *r)
{
    unsigned lines = term_height();
    uint64_t fit = lines > FRAME_LINES_KEPT + 1 ? lines - FRAME_LINES_KEPT : LIMIT_DEFAULT;

    return list_once(r, run_opt_number(r, "limit", fit), false);
}

int run_list(struct run *r)
{
    if (run_opt(r, "watch"))
        return run_watch(r, draw_list);
    return list_once(r, has_option(r, "limit") ? run_opt_number(r, "limit", LIMIT_DEFAULT) : 0, true);
}

// ---------------------------------------------------------------- again and again

// Over the old picture, line by line, so that nothing flickers.
static void picture(struct run *r)
{
    struct buf screen;

    buf_init(&screen, SHOW_MAX);
    buf_puts(&screen, "\033[H");
    for (size_t i = 0; i < r->out.len; i++) {
        if (r->out.data[i] == '\n')
            buf_puts(&screen, "\033[K");
        buf_putc(&screen, (char)r->out.data[i]);
    }
    buf_puts(&screen, "\033[J");
    buf_reset(&r->out);
    term_buf(STDOUT_FILENO, &screen);
    buf_fini(&screen);
}

int run_watch(struct run *r, int (*draw)(struct run *r))
{
    struct buf last;
    bool tty = term_tty(STDOUT_FILENO);

    buf_init(&last, SHOW_MAX);
    if (tty)
        term_write(STDOUT_FILENO, "\033[2J", 4);
    for (;;) {
        int code = draw(r);
        if (code && (code != EXIT_AWAY || !r->client.quiet))
            return code;
        r->client.quiet = true; // whoever could be reached once is waited for
        if (code)
            term_progress("reconnecting");
        bool same = last.len == r->out.len && (!last.len || memcmp(last.data, r->out.data, last.len) == 0);
        buf_reset(&last);
        buf_put(&last, r->out.data, r->out.len);
        if (code == EXIT_OK && tty)
            picture(r);
        else if (code == EXIT_OK && !same)
            term_buf(STDOUT_FILENO, &r->out);
        buf_reset(&r->out);
        if (!client_pause(&r->client, WATCH_MS))
            return EXIT_INTERRUPTED;
    }
}

// ---------------------------------------------------------------- objects, actions, texts

int run_get(struct run *r)
{
    int code;

    if (!run_path(r, r->command->path, 0))
        return r->status;
    json_t *o = run_ask(r, NULL, false, &code);
    if (o)
        print_object(r, o);
    json_decref(o);
    return code;
}

static bool takes_body(const struct run *r)
{
    const struct option *o;

    for (unsigned i = 0; (o = command_option(r->command, i)); i++)
        if (o->to && *o->to != '?')
            return true;
    return r->command->member != NULL;
}

static int act_on(struct run *r, unsigned n)
{
    unsigned given = 0;
    int code;
    bool body = takes_body(r);

    if (body && !run_body(r, NULL, &given))
        return r->status;
    if (body && !given && !r->command->member && strcmp(r->command->method, "POST") != 0)
        return run_usage(r, "there is nothing to change: give an option");
    if (!run_path(r, r->command->path, r->command->member ? 1 : n))
        return r->status;
    json_t *o = run_ask(r, r->command->method, body, &code);
    if (o)
        run_print_line(r, o);
    else if (!code && !r->json)
        term_say("%s: %s", run_arg(r, n) ? run_arg(r, n) : "done", strcmp(r->command->method, "DELETE") == 0 ? "deleted" : "done");
    json_decref(o);
    return code;
}

int run_act(struct run *r)
{
    bool each = strstr(r->command->args, "...") != NULL;
    int worst = act_on(r, 0);

    for (unsigned n = 1; each && n < r->argv.n_args && worst != EXIT_USAGE; n++) {
        int code = act_on(r, n);
        worst = worst ? worst : code;
    }
    return worst;
}

static bool text_cb(void *u, const uint8_t *p, size_t n)
{
    struct run *r = u;
    static struct escape e = { .lines = true };

    if (r->raw)
        buf_put(&r->out, p, n);
    else
        escape_feed(&e, &r->out, p, n);
    if (n == 0)
        escape_end(&e, &r->out);
    term_buf(STDOUT_FILENO, &r->out);
    return true;
}

int run_text(struct run *r)
{
    if (!run_path(r, r->command->path, 0))
        return r->status;
    const struct client_req q = { .path = buf_cstr(&r->path), .accept = "*/*", .data = text_cb, .u = r };
    int code = client_do(&r->client, &q, &answer);
    (void)text_cb(r, NULL, 0);
    return code;
}
