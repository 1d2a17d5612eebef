// mcctl: the command line of Mission Control. Reads the command line against the table of commands, and does what it says.
#include <stdlib.h>
#include <unistd.h>
#include "crypto.h"
#include "help.h"
#include "run.h"
#include "term.h"

// Help and version are asked for without a command, or with one.
static int answer(struct run *r)
{
    if (r->argv.version)
        buf_puts(&r->out, "mcctl " MC_VERSION "\n");
    else if (r->command)
        help_command(commands, r->command, &r->out);
    else
        help_all(commands, r->argv.group, &r->out);
    term_buf(STDOUT_FILENO, &r->out);
    return EXIT_OK;
}

static int act(struct run *r)
{
    int code;

    if (!r->command->path)
        return r->command->run(r); // asks nobody
    if (!client_open(&r->client, run_opt(r, "url"), run_opt(r, "key-file"), run_opt(r, "ca-file"), &code))
        return code;
    r->client.command = r->command;
    code = r->command->run(r);
    client_close(&r->client);
    return code;
}

int main(int argc, char **argv)
{
    static struct run r;
    struct buf why;

    const char **args = calloc((size_t)argc + 1, sizeof *args);
    const char **given = calloc((size_t)argc + 1, sizeof *given);
    if (!args || !given || crypto_init() != ERR_OK)
        return EXIT_FAILED;
    for (int i = 0; i < argc; i++)
        given[i] = argv[i];
    run_init(&r);
    buf_init(&why, 4096);
    enum err e = argv_parse(commands, argc, given, args, &r.argv, &why);
    r.command = r.argv.command;
    term_init(e == ERR_OK && run_opt(&r, "no-color"));
    int code = EXIT_USAGE;
    if (e) {
        term_say("%s (try mcctl %s%s--help)", buf_cstr(&why), r.command ? r.command->words : "", r.command ? " " : "");
    } else {
        r.json = run_opt(&r, "json") != NULL;
        r.raw = run_opt(&r, "raw") != NULL;
        code = r.argv.help || r.argv.version || !r.command ? answer(&r) : act(&r);
    }
    term_progress(NULL);
    buf_fini(&why);
    run_fini(&r);
    free(args);
    free(given);
    return code;
}
