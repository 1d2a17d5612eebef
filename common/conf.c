#include "conf.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void env_name(char *out, size_t size, const char *name)
{
    size_t at = (size_t)snprintf(out, size, "MC_");
    for (; *name && at + 1 < size; name++)
        out[at++] = *name == '-' ? '_' : (char)(*name >= 'a' && *name <= 'z' ? *name - 32 : *name);
    out[at] = 0;
}

static void help(const char *program, const char *about, const struct conf_opt *opts, unsigned n)
{
    printf("Usage: %s [OPTION]...\n%s\n\nEach option can also be given in the environment, as named; the option wins.\n\n", program, about);
    for (unsigned i = 0; i < n; i++) {
        char env[64];
        env_name(env, sizeof env, opts[i].name);
        printf("  --%s%s%s  (%s%s%s)\n", opts[i].name, opts[i].arg ? " " : "", opts[i].arg ? opts[i].arg : "", env,
               opts[i].def ? ", default " : "", opts[i].def ? opts[i].def : "");
        for (const char *line = opts[i].help; line && *line;) {
            const char *end = strchr(line, '\n');
            printf("        %.*s\n", end ? (int)(end - line) : (int)strlen(line), line);
            line = end ? end + 1 : NULL;
        }
    }
    printf("  --help, --version\n\nExit status: 0 stopped as asked, 1 failure at run time, 2 bad usage.\n");
}

void conf_usage(const char *program, const char *fmt, ...)
{
    va_list ap;
    fprintf(stderr, "%s: ", program);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, " (try %s --help)\n", program);
    exit(2);
}

static const struct conf_opt *find(const struct conf_opt *opts, unsigned n, const char *name, size_t len)
{
    for (unsigned i = 0; i < n; i++)
        if (strlen(opts[i].name) == len && memcmp(opts[i].name, name, len) == 0)
            return &opts[i];
    return NULL;
}

static void one_argument(const char *program, const struct conf_opt *opts, unsigned n, int argc, char **argv, int *i)
{
    const char *a = argv[*i], *eq;
    if (strncmp(a, "--", 2) != 0)
        conf_usage(program, "unexpected argument '%s'", a);
    eq = strchr(a, '=');
    const struct conf_opt *o = find(opts, n, a + 2, eq ? (size_t)(eq - a - 2) : strlen(a + 2));
    if (!o)
        conf_usage(program, "unknown option '%s'", a);
    if (!o->arg && eq)
        conf_usage(program, "--%s takes no value", o->name);
    if (!o->arg)
        *o->value = "1";
    else if (eq)
        *o->value = eq + 1;
    else if (*i + 1 < argc)
        *o->value = argv[++*i];
    else
        conf_usage(program, "--%s needs a value", o->name);
}

void conf_read(const char *program, const char *about, const struct conf_opt *opts, unsigned n, int argc, char **argv)
{
    for (unsigned i = 0; i < n; i++) {
        char env[64];
        env_name(env, sizeof env, opts[i].name);
        const char *v = getenv(env);
        *opts[i].value = v && *v ? v : opts[i].def;
    }
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            help(program, about, opts, n);
            exit(0);
        }
        if (strcmp(argv[i], "--version") == 0) {
            printf("%s %s\n", program, MC_VERSION);
            exit(0);
        }
        one_argument(program, opts, n, argc, argv, &i);
    }
}

bool conf_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || v > (UINT64_MAX - 9) / 10)
            return false;
        v = v * 10 + (uint64_t)(*text - '0');
    }
    if (v < min || v > max)
        return false;
    *ret = v;
    return true;
}
