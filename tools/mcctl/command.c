#include "command.h"
#include <string.h>

const struct option *command_option(const struct command *c, unsigned n)
{
    const struct option *const none[] = { NULL };
    const struct option *const *groups = c && c->options ? c->options : none;

    for (; *groups; groups++)
        for (const struct option *o = *groups; o->name; o++)
            if (n-- == 0)
                return o;
    for (const struct option *o = global_options; o->name; o++)
        if (n-- == 0)
            return o;
    return NULL;
}

size_t command_word(const char **at, const char **ret)
{
    if (!*at || !**at)
        return 0;
    size_t n = strcspn(*at, "|");
    *ret = *at;
    *at += n + ((*at)[n] == '|');
    return n;
}

static bool same(const char *a, size_t n, const char *b)
{
    return strlen(b) == n && memcmp(a, b, n) == 0;
}

const struct command *command_find(const struct command *table, const char *words)
{
    for (const struct command *c = table; c->words; c++) {
        const char *at = c->alias, *w = NULL;
        if (strcmp(c->words, words) == 0)
            return c;
        for (size_t n; (n = command_word(&at, &w));)
            if (same(w, n, words))
                return c;
    }
    return NULL;
}

bool command_group(const struct command *table, const char *words)
{
    size_t n = strlen(words);

    for (const struct command *c = table; n && c->words; c++)
        if (strncmp(c->words, words, n) == 0 && c->words[n] == ' ')
            return true;
    return false;
}
