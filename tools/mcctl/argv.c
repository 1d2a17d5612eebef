// Options of all commands may stand anywhere before "--", a command's own behind its words. The longest words win: "settings set" is
// looked for before "settings".
#include "argv.h"
#include <stdio.h>
#include <string.h>
#include "conf.h"

enum { NEAR_MAX = 32, NEAR_GOOD = 3, SHOWN_MAX = 80 };

struct parse {
    const struct command *table;
    int argc, at;
    const char *const *argv;
    struct argv *ret;
    struct buf *why;
};

// ---------------------------------------------------------------- near misses

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

unsigned argv_distance(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);
    unsigned row[3][NEAR_MAX + 1];

    if (na > NEAR_MAX || nb > NEAR_MAX)
        return NEAR_MAX;
    for (unsigned j = 0; j <= nb; j++)
        row[0][j] = j;
    for (unsigned i = 1; i <= na; i++) {
        unsigned *now = row[i % 3], *last = row[(i - 1) % 3];
        const unsigned *before = row[(i + 1) % 3]; // i - 2
        now[0] = i;
        for (unsigned j = 1; j <= nb; j++) {
            now[j] = least(least(last[j], now[j - 1]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], before[j - 2] + 1);
        }
    }
    return row[na % 3][nb];
}

static void closer(const char *wanted, const char *word, size_t n, char best[ARGV_WORDS_MAX], unsigned *least_far)
{
    char text[ARGV_WORDS_MAX];

    if (n >= sizeof text)
        return;
    memcpy(text, word, n);
    text[n] = 0;
    unsigned far = argv_distance(wanted, text);
    if (far < *least_far && far < NEAR_GOOD && far < strlen(wanted)) {
        *least_far = far;
        memcpy(best, text, n + 1);
    }
}

static void near_command(const struct command *table, const char *wanted, char best[ARGV_WORDS_MAX])
{
    unsigned far = NEAR_MAX;

    best[0] = 0;
    for (const struct command *c = table; c->words; c++) {
        const char *at = c->alias, *w = NULL;
        closer(wanted, c->words, strlen(c->words), best, &far);
        if (!strchr(wanted, ' '))
            closer(wanted, c->words, strcspn(c->words, " "), best, &far);
        for (size_t n; (n = command_word(&at, &w));)
            closer(wanted, w, n, best, &far);
    }
}

static void near_option(const struct command *c, const char *wanted, char best[ARGV_WORDS_MAX])
{
    unsigned far = NEAR_MAX;

    best[0] = 0;
    for (unsigned i = 0; command_option(c, i); i++)
        closer(wanted, command_option(c, i)->name, strlen(command_option(c, i)->name), best, &far);
}

// ---------------------------------------------------------------- options

static enum err wrong(struct parse *p, const char *what, const char *shown, const char *tail)
{
    buf_printf(p->why, "%s '%.*s'%s", what, SHOWN_MAX, shown, tail);
    return ERR_BAD_REQUEST;
}

static enum err unknown_option(struct parse *p, const char *text, const char *name)
{
    char best[ARGV_WORDS_MAX];

    near_option(p->ret->command, name, best);
    (void)wrong(p, "unknown option", text, "");
    if (best[0])
        buf_printf(p->why, "; did you mean --%s?", best);
    else if (p->ret->n_args)
        buf_puts(p->why, " (a command to be run stands after --)");
    return ERR_BAD_REQUEST;
}

static enum err bad_value(struct parse *p, const struct option *o, const char *value, const char *what)
{
    buf_printf(p->why, "--%s must be %s, not '%.*s'", o->name, what, SHOWN_MAX, value);
    return ERR_BAD_REQUEST;
}

static bool is_word(const char *words, const char *value)
{
    const char *w = NULL;

    for (size_t n; (n = command_word(&words, &w));)
        if (strlen(value) == n && memcmp(w, value, n) == 0)
            return true;
    return false;
}

static bool is_decimal(const char *s)
{
    size_t whole = strspn(s, "0123456789");

    s += whole;
    if (*s == '.') {
        size_t fraction = strspn(++s, "0123456789");
        s += fraction;
        if (!fraction)
            return false;
    }
    return whole > 0 && whole < 16 && !*s;
}

static enum err check_value(struct parse *p, const struct option *o, const char *value)
{
    uint64_t n;

    switch (o->kind) {
    case OPT_NUMBER:
        return conf_number(value, 0, INT64_MAX, &n) ? ERR_OK : bad_value(p, o, value, "a whole number");
    case OPT_DECIMAL:
        return is_decimal(value) ? ERR_OK : bad_value(p, o, value, "a number");
    case OPT_BOOL:
        return is_word("yes|no|true|false|on|off", value) ? ERR_OK : bad_value(p, o, value, "yes or no");
    case OPT_WORD:
        return is_word(o->words, value) ? ERR_OK : bad_value(p, o, value, o->words);
    default:
        return ERR_OK;
    }
}

static enum err take(struct parse *p, unsigned n, const struct option *o, const char *value)
{
    if (strcmp(o->name, "help") == 0)
        p->ret->help = true;
    if (strcmp(o->name, "version") == 0)
        p->ret->version = true;
    enum err e = check_value(p, o, value);
    p->ret->value[n] = value;
    return e;
}

static enum err with_value(struct parse *p, unsigned n, const struct option *o, const char *given)
{
    if (!o->arg)
        return given ? wrong(p, "no value is taken by", p->argv[p->at], "") : take(p, n, o, "1");
    if (given)
        return take(p, n, o, given);
    if (p->at + 1 >= p->argc)
        return wrong(p, "a value is needed after", p->argv[p->at], "");
    return take(p, n, o, p->argv[++p->at]);
}

static enum err long_option(struct parse *p, const char *text)
{
    char name[ARGV_WORDS_MAX];
    const char *eq = strchr(text, '=');
    size_t len = eq ? (size_t)(eq - text) - 2 : strlen(text) - 2;

    if (len >= sizeof name)
        return wrong(p, "unknown option", text, "");
    memcpy(name, text + 2, len);
    name[len] = 0;
    for (unsigned i = 0; i < ARGV_OPTIONS_MAX && command_option(p->ret->command, i); i++)
        if (strcmp(command_option(p->ret->command, i)->name, name) == 0)
            return with_value(p, i, command_option(p->ret->command, i), eq ? eq + 1 : NULL);
    return unknown_option(p, text, name);
}

// "-f", "-fn", "-n5", "-n 5".
static enum err short_options(struct parse *p, const char *text)
{
    for (const char *c = text + 1; *c; c++) {
        const struct option *o = NULL;
        unsigned i = 0;
        for (; i < ARGV_OPTIONS_MAX && (o = command_option(p->ret->command, i)); i++)
            if (o->letter == *c)
                break;
        if (!o || i == ARGV_OPTIONS_MAX)
            return unknown_option(p, text, "");
        bool rest = o->arg && c[1];
        enum err e = with_value(p, i, o, rest ? c + 1 : NULL);
        if (e || o->arg)
            return e;
    }
    return ERR_OK;
}

static enum err option(struct parse *p)
{
    const char *text = p->argv[p->at];

    return text[1] == '-' ? long_option(p, text) : short_options(p, text);
}

// ---------------------------------------------------------------- words

static bool is_option(const char *text)
{
    return text[0] == '-' && text[1];
}

// Options of all commands that were taken before the command was known move behind its own.
static void renumber(struct argv *a, const struct command *c)
{
    const char *before[ARGV_OPTIONS_MAX];
    unsigned own = 0, n = 0;

    memcpy(before, a->value, sizeof before);
    memset(a->value, 0, sizeof a->value);
    for (const struct option *o = global_options; o->name; o++)
        n++;
    while (command_option(c, own))
        own++;
    own -= n;
    for (unsigned i = 0; i < n && own + i < ARGV_OPTIONS_MAX; i++)
        a->value[own + i] = before[i];
    a->command = c;
}

static enum err no_such(struct parse *p, const char *words)
{
    char best[ARGV_WORDS_MAX];

    near_command(p->table, words, best);
    (void)wrong(p, "there is no command", words, "");
    if (best[0])
        buf_printf(p->why, "; did you mean '%s'?", best);
    return ERR_BAD_REQUEST;
}

static enum err words(struct parse *p)
{
    const char *first = p->argv[p->at], *second = p->at + 1 < p->argc ? p->argv[p->at + 1] : NULL;
    char both[2 * ARGV_WORDS_MAX];
    const struct command *c = NULL;

    if (strlen(first) >= ARGV_WORDS_MAX)
        return no_such(p, first);
    if (second && !is_option(second) && strlen(second) < ARGV_WORDS_MAX) {
        snprintf(both, sizeof both, "%s %s", first, second);
        c = command_find(p->table, both);
        p->at += c != NULL;
    }
    if (!c)
        c = command_find(p->table, first);
    if (c) {
        renumber(p->ret, c);
        return ERR_OK;
    }
    if (!command_group(p->table, first))
        return no_such(p, first);
    if (second && !is_option(second)) {
        snprintf(both, sizeof both, "%s %.*s", first, ARGV_WORDS_MAX, second);
        return no_such(p, both);
    }
    snprintf(p->ret->group, sizeof p->ret->group, "%s", first);
    return ERR_OK;
}

void argv_arity(const char *args, unsigned *ret_min, unsigned *ret_max)
{
    *ret_min = *ret_max = 0;
    for (const char *at = args; *at; at += strspn(at, " ")) {
        size_t n = strcspn(at, " ");
        *ret_max += 1;
        *ret_min += *at != '[';
        at += n;
    }
    if (strstr(args, "..."))
        *ret_max = 0;
    else if (!*args)
        *ret_max = *ret_min = 0;
}

static enum err count(struct parse *p)
{
    const struct command *c = p->ret->command;
    unsigned min, max;

    argv_arity(c->args, &min, &max);
    if (p->ret->n_args < min) {
        buf_printf(p->why, "it needs %s: mcctl %s %s", min == 1 ? "an argument" : "more arguments", c->words, c->args);
        return ERR_BAD_REQUEST;
    }
    if (p->ret->n_args > max && (max || !strstr(c->args, "...")))
        return wrong(p, "unexpected argument", p->ret->args[max], "");
    return ERR_OK;
}

static enum err one(struct parse *p)
{
    const char *text = p->argv[p->at];

    if (!p->ret->dashes && strcmp(text, "--") == 0) {
        p->ret->dashes = true;
        return p->ret->command ? ERR_OK : wrong(p, "a command of mcctl must stand before", text, "");
    }
    if (!p->ret->dashes && is_option(text))
        return option(p);
    if (!p->ret->command)
        return p->ret->group[0] ? wrong(p, "unexpected argument", text, "") : words(p);
    p->ret->args[p->ret->n_args++] = text;
    return ERR_OK;
}

enum err argv_parse(const struct command *table, int argc, const char *const *argv, const char **args, struct argv *ret, struct buf *why)
{
    struct parse p = { .table = table, .argc = argc, .at = 1, .argv = argv, .ret = ret, .why = why };

    *ret = (struct argv){ .args = args };
    for (; p.at < argc; p.at++) {
        enum err e = one(&p);
        if (e)
            return e;
    }
    if (ret->help || ret->version || !ret->command)
        return ERR_OK;
    return count(&p);
}

const char *argv_value(const struct argv *a, const char *name)
{
    for (unsigned i = 0; i < ARGV_OPTIONS_MAX && command_option(a->command, i); i++)
        if (strcmp(command_option(a->command, i)->name, name) == 0)
            return a->value[i];
    return NULL;
}
