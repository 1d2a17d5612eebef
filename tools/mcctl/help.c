// A command without `about` is not shown: it serves the build, or is another's part.
#include "help.h"
#include <string.h>

enum { WORDS_WIDTH = 34, OPTION_WIDTH = 26, TEXT_WIDTH = 100 };

// What is said in the help and on the man page alike.
static const char *const topics[][2] = {
    { "Where and as whom",
      "The address is --url, else MC_URL, else http://127.0.0.1:8080. The key is in the file --key-file, else in MC_KEY, else in the file "
      "MC_KEY_FILE; else the session that mcctl login left for the address counts; else, when the address is this machine's, the "
      "key in $MC_DATA/admin-api-key (MC_DATA is ./data unless it is set). A key never stands on the command line." },
    { "Names",
      "A thing is named by its id (task_42), by its number (42), and a desktop, agent, user, key, worker or webhook by its name "
      "where only one has it." },
    { "Output",
      "Control characters, marks that turn the direction of writing and invisible characters of what others wrote are shown as "
      "\\x1b or \\u202e; --raw lets them through. --json gives the server's JSON, where they are \\u202e too: an array for a list, "
      "one object a line for a stream. "
      "Colour is for terminals, and not with NO_COLOR or --no-color." },
    { "Exit status",
      "0 done. 1 it failed. 2 it was called wrongly. 3 there is no such thing. 4 the key is not taken or its role does not allow it. "
      "5 the thing is not in the state for it. 6 Mission Control cannot be reached, or is too busy. 130 Ctrl-C. 141 nobody reads the "
      "output any more." },
    { "Exit status of a task",
      "With --wait (and of task wait): 0 when it is done; the command's own status when it failed (128 and the number of the "
      "signal that ended it); 120 cancelled, 121 rejected, 122 its worker or desktop was lost, 123 its agent failed, 124 it ran out of "
      "time, 125 it waits for an approval." },
};
enum { TOPICS = sizeof topics / sizeof *topics };

// ---------------------------------------------------------------- text

// Folded at blanks, each line after `indent` blanks.
static void fold(struct buf *out, const char *text, unsigned indent)
{
    unsigned at = 0;

    while (*text) {
        size_t n = strcspn(text, " \n");
        if (at && at + n + 1 + indent > TEXT_WIDTH) {
            buf_putc(out, '\n');
            at = 0;
        }
        if (at)
            buf_putc(out, ' ');
        else
            buf_printf(out, "%*s", (int)indent, "");
        buf_put(out, text, n);
        at += (unsigned)n + (at > 0);
        text += n;
        if (*text == '\n') {
            buf_putc(out, '\n');
            at = 0;
        }
        text += *text != 0;
    }
    buf_putc(out, '\n');
}

static void pad(struct buf *out, size_t from, unsigned width)
{
    size_t n = out->len - from;
    if (n + 2 > width)
        buf_printf(out, "\n%*s", (int)width, "");
    else
        buf_printf(out, "%*s", (int)(width - n), "");
}

static void usage(struct buf *out, const struct command *c)
{
    bool own = c->options != NULL;
    buf_printf(out, "mcctl %s%s%s%s", c->words, own ? " [OPTION...]" : "", *c->args ? " " : "", c->args);
}

static void option_head(struct buf *out, const struct option *o)
{
    if (o->letter)
        buf_printf(out, "-%c, ", o->letter);
    buf_printf(out, "--%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
}

static void option_line(struct buf *out, const struct option *o)
{
    size_t from = out->len;

    buf_puts(out, "  ");
    option_head(out, o);
    pad(out, from, OPTION_WIDTH);
    buf_puts(out, o->help);
    if (o->words) {
        const char *at = o->words, *w = NULL;
        const char *comma = ": ";
        for (size_t n; (n = command_word(&at, &w)); comma = ", ")
            buf_printf(out, "%s%.*s", comma, (int)n, w);
    }
    buf_putc(out, '\n');
}

static void global_lines(struct buf *out)
{
    for (const struct option *o = global_options; o->name; o++)
        option_line(out, o);
}

static bool shown(const struct command *c, const char *group)
{
    size_t n = strlen(group);
    return c->about && (n == 0 || (strncmp(c->words, group, n) == 0 && (!c->words[n] || c->words[n] == ' ')));
}

void help_all(const struct command *table, const char *group, struct buf *out)
{
    buf_printf(out, "Usage: mcctl %s%s[OPTION...] [ARGUMENT...]\n\n", *group ? group : "COMMAND", " ");
    if (!*group)
        buf_puts(out, "The command line of Mission Control. mcctl COMMAND --help says more about one.\n\n");
    for (const struct command *c = table; c->words; c++) {
        size_t from = out->len;
        if (!shown(c, group))
            continue;
        buf_printf(out, "  %s%s%s", c->words, *c->args ? " " : "", c->args);
        pad(out, from, WORDS_WIDTH);
        buf_printf(out, "%s\n", c->about);
    }
    buf_puts(out, "\nOptions of all commands:\n");
    global_lines(out);
    for (unsigned i = 0; !*group && i < TOPICS; i++) {
        buf_printf(out, "\n%s:\n", topics[i][0]);
        fold(out, topics[i][1], 2);
    }
    if (!*group)
        buf_puts(out, "\nThe first steps:\n"
                      "  mcctl overview\n"
                      "  mcctl desktop list\n"
                      "  mcctl task run --desktop local --wait -- uname -a\n"
                      "  mcctl task list --status failed --watch\n"
                      "  mcctl logs -f task_42\n"
                      "  mcctl approvals\n"
                      "  mcctl events -f\n");
}

void help_command(const struct command *table, const struct command *c, struct buf *out)
{
    const struct option *o;

    (void)table;
    buf_puts(out, "Usage: ");
    usage(out, c);
    buf_printf(out, "\n\n%s.\n", c->about ? c->about : "");
    if (c->more) {
        buf_putc(out, '\n');
        fold(out, c->more, 0);
    }
    if (c->alias) {
        const char *at = c->alias, *w = NULL;
        buf_puts(out, "\nAlso:");
        for (size_t n; (n = command_word(&at, &w));)
            buf_printf(out, " mcctl %.*s%s", (int)n, w, *at ? "," : "\n");
    }
    if (c->options)
        buf_puts(out, "\nOptions:\n");
    for (unsigned i = 0; (o = command_option(c, i)) && !(o >= global_options && o->name == global_options->name); i++)
        option_line(out, o);
    buf_puts(out, "\nOptions of all commands:\n");
    global_lines(out);
}

// ---------------------------------------------------------------- roff

// A dash that is to be copied, a backslash, and what roff would take for a request.
static void roff(struct buf *out, const char *s)
{
    for (const char *at = s; *at; at++) {
        if (*at == '\\')
            buf_puts(out, "\\e");
        else if (*at == '-')
            buf_puts(out, "\\-");
        else if ((*at == '.' || *at == '\'') && (at == s || at[-1] == '\n'))
            buf_printf(out, "\\&%c", *at);
        else
            buf_putc(out, *at);
    }
}

static void roff_option(struct buf *out, const struct option *o)
{
    buf_puts(out, ".TP\n");
    if (o->letter)
        buf_printf(out, "\\fB\\-%c\\fR, ", o->letter);
    buf_puts(out, "\\fB\\-\\-");
    roff(out, o->name);
    buf_puts(out, "\\fR");
    if (o->arg)
        buf_printf(out, " \\fI%s\\fR", o->arg);
    buf_putc(out, '\n');
    roff(out, o->help);
    const char *at = o->words, *w = NULL, *comma = ": ";
    for (size_t n; (n = command_word(&at, &w)); comma = ", ")
        buf_printf(out, "%s%.*s", comma, (int)n, w);
    buf_putc(out, '\n');
}

static void roff_command(struct buf *out, const struct command *c)
{
    const struct option *o;

    buf_puts(out, ".SS \"mcctl ");
    roff(out, c->words);
    if (*c->args) {
        buf_putc(out, ' ');
        roff(out, c->args);
    }
    buf_puts(out, "\"\n");
    roff(out, c->about);
    buf_puts(out, ".\n");
    if (c->more) {
        buf_puts(out, ".PP\n");
        roff(out, c->more);
        buf_putc(out, '\n');
    }
    if (c->alias) {
        const char *at = c->alias, *w = NULL, *comma = ".PP\nAlso: ";
        for (size_t n; (n = command_word(&at, &w)); comma = ", ")
            buf_printf(out, "%smcctl %.*s", comma, (int)n, w);
        buf_puts(out, ".\n");
    }
    for (unsigned i = 0; (o = command_option(c, i)) && o->name != global_options->name; i++)
        roff_option(out, o);
}

static void roff_head(struct buf *out, const char *name)
{
    buf_puts(out, ".SH \"");
    for (; *name; name++)
        buf_putc(out, (char)(*name >= 'a' && *name <= 'z' ? *name - 32 : *name));
    buf_puts(out, "\"\n");
}

void help_man(const struct command *table, struct buf *out)
{
    buf_puts(out, ".TH MCCTL 1 \"\" \"Mission Control " MC_VERSION "\" \"Mission Control\"\n.SH NAME\n"
                  "mcctl \\- the command line of Mission Control\n.SH SYNOPSIS\n"
                  "\\fBmcctl\\fR \\fICOMMAND\\fR [\\fIOPTION\\fR...] [\\fIARGUMENT\\fR...]\n.SH DESCRIPTION\n"
                  "Runs tasks on desktops and follows them, decides on approvals, and administers desktops, workers, users, keys and "
                  "webhooks by way of Mission Control's REST API.\n.SH COMMANDS\n");
    for (const struct command *c = table; c->words; c++)
        if (c->about)
            roff_command(out, c);
    buf_puts(out, ".SH \"OPTIONS OF ALL COMMANDS\"\n");
    for (const struct option *o = global_options; o->name; o++)
        roff_option(out, o);
    for (unsigned i = 0; i < TOPICS; i++) {
        roff_head(out, topics[i][0]);
        roff(out, topics[i][1]);
        buf_putc(out, '\n');
    }
    buf_puts(out, ".SH \"SEE ALSO\"\nThe README of Mission Control.\n");
}

// ---------------------------------------------------------------- completions

static void option_words(struct buf *out, const struct command *c)
{
    const struct option *o;

    for (unsigned i = 0; (o = command_option(c, i)); i++)
        buf_printf(out, "%s--%s", i ? " " : "", o->name);
}

static bool first_of_group(const struct command *table, const struct command *c)
{
    size_t n = strcspn(c->words, " ");

    for (const struct command *b = table; b < c; b++)
        if (b->about && strncmp(b->words, c->words, n) == 0 && (b->words[n] == ' ' || !b->words[n]))
            return false;
    return true;
}

static void first_words(const struct command *table, struct buf *out)
{
    for (const struct command *c = table; c->words; c++)
        if (c->about && first_of_group(table, c))
            buf_printf(out, "%.*s ", (int)strcspn(c->words, " "), c->words);
}

static void second_words(const struct command *table, const char *first, size_t n, struct buf *out)
{
    for (const struct command *c = table; c->words; c++)
        if (c->about && strncmp(c->words, first, n) == 0 && c->words[n] == ' ')
            buf_printf(out, "%s ", c->words + n + 1);
}

// The words of options that take one: "--status) pending running ...".
static void value_words(const struct command *table, struct buf *out)
{
    for (const struct command *c = table; c->words; c++) {
        const struct option *o;
        for (unsigned i = 0; c->about && (o = command_option(c, i)); i++) {
            const char *at = o->words, *w = NULL;
            if (!at)
                continue;
            buf_printf(out, "    '%s --%s') words='", c->words, o->name);
            for (size_t n; (n = command_word(&at, &w));)
                buf_printf(out, "%.*s ", (int)n, w);
            buf_puts(out, "' ;;\n");
        }
    }
}

static void cases(const struct command *table, struct buf *out)
{
    for (const struct command *c = table; c->words; c++) {
        if (!c->about)
            continue;
        buf_printf(out, "    '%s') words='", c->words);
        option_words(out, c);
        buf_puts(out, "' ;;\n");
    }
    for (const struct command *c = table; c->words; c++) {
        size_t n = strcspn(c->words, " ");
        if (!c->about || !c->words[n] || !first_of_group(table, c))
            continue;
        buf_printf(out, "    '%.*s') words='", (int)n, c->words);
        second_words(table, c->words, n, out);
        buf_puts(out, "' ;;\n");
    }
}

// The function both shells share: sets `words` from the first two words, the word before and the one that is begun.
static void function(const struct command *table, struct buf *out)
{
    buf_puts(out, "_mcctl_words() { # first second before current\n    words=\n    case \"$1 $2 $3\" in\n");
    value_words(table, out);
    buf_puts(out, "    esac\n    case \"$1 $3\" in\n");
    value_words(table, out);
    buf_puts(out, "    esac\n    if [ -n \"$words\" ]; then return; fi\n    case \"$4\" in\n    -*) ;;\n    *)\n"
                  "        if [ -z \"$1\" ]; then words='");
    first_words(table, out);
    buf_puts(out, "'; return; fi\n        if [ -n \"$2\" ]; then return; fi ;;\n    esac\n    case \"$1${2:+ $2}\" in\n");
    cases(table, out);
    buf_puts(out, "    *) case \"$1\" in\n");
    cases(table, out);
    buf_puts(out, "    esac ;;\n    esac\n}\n");
}

void help_bash(const struct command *table, struct buf *out)
{
    buf_puts(out, "# Completion of mcctl for bash: eval \"$(mcctl completion bash)\"\n");
    function(table, out);
    buf_puts(out, "_mcctl() {\n    local words first= second= i w\n    COMPREPLY=()\n"
                  "    for ((i = 1; i < COMP_CWORD; i++)); do\n        w=${COMP_WORDS[i]}\n        case $w in -*) continue ;; esac\n"
                  "        if [ -z \"$first\" ]; then first=$w; elif [ -z \"$second\" ]; then second=$w; fi\n    done\n"
                  "    _mcctl_words \"$first\" \"$second\" \"${COMP_WORDS[COMP_CWORD-1]}\" \"${COMP_WORDS[COMP_CWORD]}\"\n"
                  "    while IFS= read -r w; do COMPREPLY+=(\"$w\"); done < <(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\")\n}\n"
                  "complete -o default -F _mcctl mcctl\n");
}

void help_zsh(const struct command *table, struct buf *out)
{
    buf_puts(out, "#compdef mcctl\n"
                  "# Completion of mcctl for zsh: a file _mcctl in a directory of $fpath, or eval \"$(mcctl completion zsh)\"\n");
    function(table, out);
    buf_puts(out, "_mcctl() {\n    local first= second= i w\n    local words_ now=${words[CURRENT]} before=${words[CURRENT-1]}\n"
                  "    for ((i = 2; i < CURRENT; i++)); do\n        w=${words[i]}\n        case $w in -*) continue ;; esac\n"
                  "        if [ -z \"$first\" ]; then first=$w; elif [ -z \"$second\" ]; then second=$w; fi\n    done\n"
                  "    words_=$(_mcctl_list \"$first\" \"$second\" \"$before\" \"$now\")\n    compadd -- ${=words_}\n}\n"
                  "_mcctl_list() { local -h words; _mcctl_words \"$@\"; print -r -- \"$words\"; }\n"
                  "if [ \"$funcstack[1]\" = _mcctl ]; then _mcctl \"$@\"; else compdef _mcctl mcctl; fi\n");
}
