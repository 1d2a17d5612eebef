// Events: the feed's history and its live stream, the activity stream, the desktops' stream, the audit trail and its statistics.
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "body.h"
#include "escape.h"
#include "follow.h"
#include "run.h"
#include "show.h"
#include "term.h"
#include "verbs.h"

#define MC "/api/mission-control/"
enum { PAGE = 200, LIMIT_DEFAULT = 50, TYPE_WIDTH = 22, ID_WIDTH = 12 };

// ---------------------------------------------------------------- a stream, a line an event

struct lines {
    struct run *r;
    uint64_t left; // 0: no end
};

static void padded(struct buf *out, const char *text, unsigned width, bool raw)
{
    struct buf cell;

    buf_init(&cell, SHOW_MAX);
    if (raw)
        buf_puts(&cell, text);
    else
        escape_text(&cell, text, strlen(text), false);
    buf_puts(out, buf_cstr(&cell));
    for (unsigned n = table_width(buf_cstr(&cell)); n < width; n++)
        buf_putc(out, ' ');
    buf_puts(out, "  ");
    buf_fini(&cell);
}

static enum tint tint_of(const json_t *e)
{
    const char *severity = show_text(e, "severity"), *status = show_text(e, "payload.status");
    return *severity && strcmp(severity, "info") != 0 ? table_status_tint(severity) : table_status_tint(status);
}

static void describe(struct buf *out, const json_t *e)
{
    if (*show_text(e, "summary"))
        buf_puts(out, show_text(e, "summary"));
    else
        show_cell(out, e, "payload", CELL_TEXT);
}

static void event_line(struct run *r, const json_t *e)
{
    struct buf text;
    bool colour = term_colour(STDOUT_FILENO);
    enum tint tint = tint_of(e);

    show_cell(&r->out, e, "timestamp", CELL_TIME);
    buf_puts(&r->out, "  ");
    if (colour)
        table_tint(&r->out, tint, true);
    padded(&r->out, show_text(e, "type"), TYPE_WIDTH, r->raw);
    if (colour)
        table_tint(&r->out, tint, false);
    padded(&r->out, show_text(e, "entity_id|payload.taskId|payload.desktopId|payload.id"), ID_WIDTH, r->raw);
    buf_init(&text, SHOW_MAX);
    describe(&text, e);
    if (r->raw)
        buf_put(&r->out, text.data, text.len);
    else
        escape_text(&r->out, buf_cstr(&text), text.len, false);
    buf_putc(&r->out, '\n');
    buf_fini(&text);
}

// The streams do not filter by severity.
static bool wanted(const struct run *r, const json_t *e)
{
    const char *at = run_opt(r, "severity"), *own = show_text(e, "severity");

    if (!at || !*own)
        return true;
    for (size_t n; *at; at += n + (at[n] == ',')) {
        n = strcspn(at, ",");
        if (strlen(own) == n && memcmp(own, at, n) == 0)
            return true;
    }
    return false;
}

static bool line_cb(void *u, const json_t *e, const char *text, size_t n)
{
    struct lines *l = u;
    struct run *r = l->r;

    if (!wanted(r, e))
        return true;
    if (r->json) {
        run_put_json(r, text, n);
        buf_putc(&r->out, '\n');
    } else {
        event_line(r, e);
    }
    term_buf(STDOUT_FILENO, &r->out);
    return l->left == 0 || --l->left > 0;
}

static void opened_cb(void *u)
{
    (void)u;
    term_progress(NULL);
}

// "evt_12" or 12.
static const char *number_of(const char *id)
{
    return id && strncmp(id, "evt_", 4) == 0 ? id + 4 : id;
}

// r->path is the stream's.
static int stream(struct run *r)
{
    struct lines l = { .r = r, .left = run_opt_number(r, "limit", 0) };
    struct follow f = { .client = &r->client, .path = buf_cstr(&r->path), .from = number_of(run_opt(r, "after")), .event = line_cb,
                        .opened = opened_cb, .u = &l };

    term_progress("connecting");
    int code = follow_run(&f);
    term_progress(NULL);
    return code;
}

int do_activity(struct run *r)
{
    return run_path(r, r->command->path, 0) ? stream(r) : r->status;
}

int do_desktop_watch(struct run *r)
{
    return run_path(r, r->command->path, 0) ? stream(r) : r->status;
}

// ---------------------------------------------------------------- pages inside an object

struct pages {
    const char *member;     // the array
    const char *parameter;  // that asks for the next page
    const char *(*next)(const json_t *answer, const json_t *last, char text[RUN_ID_MAX]); // its value; NULL: there is none
    const struct column *columns;
};

static bool put_items(struct lister *l, const json_t *items)
{
    struct buf text;
    bool more = true;

    buf_init(&text, SHOW_MAX);
    for (size_t i = 0; more && i < json_array_size(items); i++) {
        struct json j = json_to(&text);
        buf_reset(&text);
        show_json(&j, json_array_get(items, i));
        more = lister_item(l, json_array_get(items, i), buf_cstr(&text), text.len);
    }
    buf_fini(&text);
    return more;
}

static int one_page(struct run *r, const struct pages *p, struct lister *l, const char *base, char next[RUN_ID_MAX])
{
    char limit[24];
    int code;

    buf_reset(&r->path);
    buf_puts(&r->path, base);
    snprintf(limit, sizeof limit, "%llu", (unsigned long long)(l->left < PAGE ? l->left : PAGE));
    body_query_add(&r->path, "limit", limit);
    if (next[0])
        body_query_add(&r->path, p->parameter, next);
    json_t *o = run_ask(r, NULL, false, &code);
    const json_t *items = show_at(o, p->member);
    size_t n = json_array_size(items);
    char text[RUN_ID_MAX];
    // A search may have found nothing on its way so far, and yet not be at its end.
    const char *v = put_items(l, items) ? p->next(o, n ? json_array_get(items, n - 1) : NULL, text) : NULL;
    snprintf(next, RUN_ID_MAX, "%s", v && strcmp(v, next) != 0 ? v : "");
    json_decref(o);
    return code;
}

static int list_pages(struct run *r, const struct pages *p, const char *path)
{
    char base[CLIENT_LINK_MAX + 1], next[RUN_ID_MAX];
    struct lister l;
    int code;

    if (!run_path(r, path, 0))
        return r->status;
    snprintf(base, sizeof base, "%s", buf_cstr(&r->path));
    snprintf(next, sizeof next, "%s", run_opt(r, "before") ? run_opt(r, "before") : "");
    lister_begin(&l, r, p->columns, run_opt_number(r, "limit", LIMIT_DEFAULT), true);
    do
        code = one_page(r, p, &l, base, next);
    while (!code && next[0]);
    if (!code || l.n)
        lister_end(&l);
    else if (!r->json)
        table_fini(&l.table);
    return l.failed ? EXIT_FAILED : code;
}

static const char *next_event(const json_t *answer, const json_t *last, char text[RUN_ID_MAX])
{
    const char *id = show_text(answer, "nextBefore");

    (void)last;
    snprintf(text, RUN_ID_MAX, "%s", id);
    return *id ? text : NULL;
}

static const char *next_activity(const json_t *answer, const json_t *last, char text[RUN_ID_MAX])
{
    if (!last || !json_is_true(show_at(answer, "hasMore")))
        return NULL;
    snprintf(text, RUN_ID_MAX, "%.0f", show_number(last, "id"));
    return text;
}

// The stream calls its filters otherwise than the list.
static bool live_path(struct run *r)
{
    const char *agent = run_opt(r, "agent"), *desktop = run_opt(r, "desktop");

    agent = agent ? run_id(r, "agent", agent) : "";
    desktop = !agent ? NULL : desktop ? run_id(r, "desktop", desktop) : "";
    if (!desktop)
        return false;
    buf_reset(&r->path);
    buf_puts(&r->path, MC "stream");
    if (run_opt(r, "type"))
        body_query_add(&r->path, "types", run_opt(r, "type"));
    if (*agent)
        body_query_add(&r->path, "agentId", agent);
    if (*desktop)
        body_query_add(&r->path, "desktopId", desktop);
    return true;
}

int do_events(struct run *r)
{
    static const struct column columns[] = {
        { "ID", "id", CELL_TEXT, false },      { "TIME", "timestamp", CELL_TIME, false },      { "TYPE", "type", CELL_TEXT, false },
        { "SEVERITY", "severity", CELL_STATUS, false }, { "ENTITY", "entity_id", CELL_TEXT, false },
        { "SUMMARY", "summary|payload", CELL_TEXT, true }, { NULL, NULL, CELL_TEXT, false },
    };
    static const struct pages pages = { "events", "before", next_event, columns };
    static const char *const only_history[] = { "entity", "from", "to", "search", "before", NULL };
    static const char *const only_live[] = { "after", NULL };
    bool live = run_opt(r, "follow") != NULL;

    for (const char *const *o = live ? only_history : only_live; *o; o++)
        if (run_opt(r, *o))
            return run_usage(r, live ? "--%s is for what is stored: it does not go with --follow" : "--%s goes with --follow", *o);
    if (!live)
        return list_pages(r, &pages, r->command->path);
    return live_path(r) ? stream(r) : r->status;
}

int do_activities(struct run *r)
{
    static const struct column columns[] = {
        { "ID", "id", CELL_TEXT, false },         { "TIME", "created_at", CELL_UNIX, false },   { "ACTOR", "actor", CELL_TEXT, true },
        { "TYPE", "type", CELL_TEXT, false },     { "ENTITY", "entity_type", CELL_TEXT, false }, { "NO", "entity_id", CELL_TEXT, false },
        { "NAME", "entity.title|entity.name", CELL_TEXT, true }, { "DATA", "data", CELL_TEXT, true }, { NULL, NULL, CELL_TEXT, false },
    };
    static const struct pages pages = { "activities", "before_id", next_activity, columns };

    return list_pages(r, &pages, r->command->path);
}

// ---------------------------------------------------------------- statistics

static void section(struct run *r, const json_t *o, const char *member, const struct column *columns)
{
    struct lister l;

    lister_begin(&l, r, columns, 0, false);
    (void)put_items(&l, show_at(o, member));
    lister_end(&l);
}

int do_stats(struct run *r)
{
    static const struct column types[] = { { "TYPE", "type", CELL_TEXT, true }, { "COUNT", "count", CELL_TEXT, false },
                                           { NULL, NULL, CELL_TEXT, false } };
    static const struct column actors[] = { { "ACTOR", "actor", CELL_TEXT, true }, { "COUNT", "activity_count", CELL_TEXT, false },
                                            { NULL, NULL, CELL_TEXT, false } };
    static const struct column hours[] = { { "HOUR", "timestamp", CELL_UNIX, false }, { "COUNT", "count", CELL_TEXT, false },
                                           { NULL, NULL, CELL_TEXT, false } };
    int code;

    if (!run_path(r, r->command->path, 0))
        return r->status;
    json_t *o = run_ask(r, NULL, false, &code);
    if (o && r->json) {
        run_print_json(r);
    } else if (o) {
        section(r, o, "activityByType", types);
        buf_putc(&r->out, '\n');
        section(r, o, "topActors", actors);
        buf_putc(&r->out, '\n');
        section(r, o, "timeline", hours);
        term_buf(STDOUT_FILENO, &r->out);
    }
    json_decref(o);
    return code;
}
