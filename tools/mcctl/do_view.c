// Pictures: the overview, what runs, figures of a desktop; and what mcctl knows by itself.
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "help.h"
#include "run.h"
#include "show.h"
#include "term.h"
#include "verbs.h"

#define MC "/api/mission-control/"
enum { MIB = 1024 * 1024, FIGURES = 8, ROWS_MIN = 4 }; // FIGURES: lines above the tables

// ---------------------------------------------------------------- overview

static void counts(struct run *r, const json_t *o)
{
    static const char *const words[] = { "pending", "running", "review", "done", "failed", "cancelled" };
    bool colour = term_colour(STDOUT_FILENO);

    buf_puts(&r->out, "Tasks      ");
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        char path[40];
        snprintf(path, sizeof path, "tasks.%s", words[i]);
        double n = show_number(o, path);
        if (colour && n > 0)
            table_tint(&r->out, table_status_tint(words[i]), true);
        buf_printf(&r->out, "%.0f %s", n, words[i]);
        if (colour && n > 0)
            table_tint(&r->out, table_status_tint(words[i]), false);
        buf_puts(&r->out, i + 1 < sizeof words / sizeof *words ? "  " : "\n");
    }
}

static void usage(struct run *r, const json_t *o, const char *name)
{
    char used[64], total[64], percent[64];

    snprintf(used, sizeof used, "resources.%s.used", name);
    snprintf(total, sizeof total, "resources.%s.total", name);
    snprintf(percent, sizeof percent, "resources.%s.percent", name);
    buf_printf(&r->out, "  %s %.1f%% of ", name, show_number(o, percent));
    show_bytes(&r->out, show_number(o, total) * MIB);
}

static void figures(struct run *r, const json_t *o)
{
    counts(r, o);
    buf_printf(&r->out, "Approvals  %.0f pending\n", show_number(o, "pendingApprovals"));
    buf_printf(&r->out, "Workers    %.0f\n", show_number(o, "workers"));
    buf_printf(&r->out, "Desktops   %.0f active\n", show_number(o, "activeDesktops"));
    buf_printf(&r->out, "Resources  cpu %.1f%%", show_number(o, "resources.cpu"));
    usage(r, o, "memory");
    usage(r, o, "disk");
    buf_printf(&r->out, "\n24 hours   %.1f%% done, %.1f s on average\n\n", show_number(o, "metrics.completionRate24h"),
               show_number(o, "metrics.averageDurationSeconds"));
}

static void desktops(struct run *r, const json_t *o, uint64_t most)
{
    static const struct column columns[] = {
        { "DESKTOP", "id", CELL_TEXT, false },  { "NAME", "name", CELL_TEXT, true },          { "STATUS", "status", CELL_STATUS, false },
        { "CPU", "cpu", CELL_PERCENT, false },  { "MEMORY", "memory", CELL_PERCENT, false },  { "DISK", "disk", CELL_PERCENT, false },
        { NULL, NULL, CELL_TEXT, false },
    };
    struct lister l;
    const json_t *all = show_at(o, "desktops");

    lister_begin(&l, r, columns, most, false);
    for (size_t i = 0; i < json_array_size(all) && lister_item(&l, json_array_get(all, i), "", 0); i++)
        ;
    lister_end(&l);
}

// How many rows fit below the figures; 0, which is all, where there is no picture to fit into.
static uint64_t rows_fit(unsigned kept)
{
    unsigned height = term_height();
    return height > kept + ROWS_MIN ? height - kept : height ? ROWS_MIN : 0;
}

static int draw(struct run *r, uint64_t most)
{
    int code;

    buf_reset(&r->path);
    buf_puts(&r->path, MC "overview");
    json_t *o = run_ask(r, NULL, false, &code);
    if (o) {
        figures(r, o);
        desktops(r, o, most);
    }
    json_decref(o);
    return code;
}

static int draw_overview(struct run *r)
{
    return draw(r, rows_fit(FIGURES + 2));
}

int do_overview(struct run *r)
{
    if (r->json)
        return run_get(r);
    if (run_opt(r, "watch"))
        return run_watch(r, draw_overview);
    int code = draw(r, 0);
    term_buf(STDOUT_FILENO, &r->out);
    return code;
}

static int draw_top(struct run *r)
{
    static const struct column columns[] = {
        { "TASK", "id", CELL_TEXT, false },           { "STARTED", "startedAt", CELL_TIME, false },
        { "DESKTOP", "desktopId", CELL_TEXT, false }, { "WAITS FOR", "waitingFor", CELL_TEXT, false },
        { "TITLE", "title", CELL_TEXT, true },        { NULL, NULL, CELL_TEXT, false },
    };
    struct lister l;
    int code = draw(r, rows_fit(2 * FIGURES));

    if (code)
        return code;
    buf_putc(&r->out, '\n');
    lister_begin(&l, r, columns, rows_fit(FIGURES + ROWS_MIN + 4), false);
    code = run_each(r, MC "tasks?status=running&limit=50", lister_item, &l);
    lister_end(&l);
    return code;
}

int do_top(struct run *r)
{
    return r->json ? run_get(r) : run_watch(r, draw_top);
}

int do_desktop_metrics(struct run *r)
{
    static const struct column columns[] = {
        { "TIME", "timestamp", CELL_TIME, false },
        { "CPU", "cpu", CELL_PERCENT, false },       { "MAX", "cpuMax", CELL_PERCENT, false },
        { "MEMORY", "memory", CELL_PERCENT, false }, { "MAX", "memoryMax", CELL_PERCENT, false },
        { "DISK", "disk", CELL_PERCENT, false },     { "MAX", "diskMax", CELL_PERCENT, false },
        { NULL, NULL, CELL_TEXT, false },
    };
    struct lister l;
    int code;

    if (!run_path(r, r->command->path, 0))
        return r->status;
    json_t *o = run_ask(r, NULL, false, &code);
    const json_t *points = show_at(o, "points");
    if (o && r->json) {
        run_print_json(r);
    } else if (o) {
        lister_begin(&l, r, columns, 0, true);
        for (size_t i = 0; i < json_array_size(points) && lister_item(&l, json_array_get(points, i), "", 0); i++)
            ;
        lister_end(&l);
    }
    json_decref(o);
    return code;
}

int do_health(struct run *r)
{
    const struct client_req q = { .path = run_opt(r, "live") ? "/healthz" : r->command->path, .bare = true };
    struct client_answer a;

    client_answer_init(&a);
    int code = client_do(&r->client, &q, &a);
    if (!code && r->json)
        term_write(STDOUT_FILENO, a.body.data, a.body.len);
    else if (!code)
        buf_printf(&r->out, "%s is %s\n", r->client.keyring.url, run_opt(r, "live") ? "there" : "ready");
    term_buf(STDOUT_FILENO, &r->out);
    client_answer_fini(&a);
    return code;
}

// ---------------------------------------------------------------- by itself

int do_completion(struct run *r)
{
    const char *shell = run_arg(r, 0);

    if (strcmp(shell, "bash") == 0)
        help_bash(commands, &r->out);
    else if (strcmp(shell, "zsh") == 0)
        help_zsh(commands, &r->out);
    else
        return run_usage(r, "the shell must be bash or zsh, not '%.100s'", shell);
    term_buf(STDOUT_FILENO, &r->out);
    return EXIT_OK;
}

int do_man(struct run *r)
{
    help_man(commands, &r->out);
    term_buf(STDOUT_FILENO, &r->out);
    return EXIT_OK;
}

int do_help(struct run *r)
{
    char words[2 * ARGV_WORDS_MAX];
    const char *first = run_arg(r, 0), *second = run_arg(r, 1);

    snprintf(words, sizeof words, "%.60s%s%.60s", first ? first : "", second ? " " : "", second ? second : "");
    const struct command *c = command_find(commands, words);
    if (!c && first && !command_group(commands, words))
        return run_usage(r, "there is no command '%.100s'", words);
    if (c)
        help_command(commands, c, &r->out);
    else
        help_all(commands, words, &r->out);
    term_buf(STDOUT_FILENO, &r->out);
    return EXIT_OK;
}

int do_version(struct run *r)
{
    buf_puts(&r->out, "mcctl " MC_VERSION "\n");
    term_buf(STDOUT_FILENO, &r->out);
    return EXIT_OK;
}
