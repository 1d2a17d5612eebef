// links: common protobuf-c -Wl,--wrap=exit,--wrap=getenv,--wrap=printf,--wrap=vfprintf,--wrap=fprintf
// fuzz: -max_len=512
// A program's settings: first the environment's value of one option, then the words of the command line, a line each. It ends with a usage
// line and status 2, with help and status 0, or each option has the value of the last word that gave it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "conf.h"
#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WORDS = 32, TEXT_MAX = 512 };
static jmp_buf out;
static int status;
static const char *environment;

static bool inside; // else it is the fuzzer's own end
_Noreturn void __real_exit(int s);
_Noreturn void __wrap_exit(int s);
_Noreturn void __wrap_exit(int s)
{
    if (!inside)
        __real_exit(s);
    status = s;
    longjmp(out, 1);
}
char *__real_getenv(const char *name);
char *__wrap_getenv(const char *name);
char *__wrap_getenv(const char *name)
{
    union { const char *in; char *out; } u = { environment };
    if (!inside)
        return __real_getenv(name);
    return strcmp(name, "MC_DATA") == 0 ? u.out : NULL;
}
static int swallow(const char *fmt, va_list ap)
{
    char line[1024];
    return vsnprintf(line, sizeof line, fmt, ap);
}
int __real_vfprintf(FILE *f, const char *fmt, va_list ap);
int __wrap_vfprintf(FILE *f, const char *fmt, va_list ap);
int __wrap_vfprintf(FILE *f, const char *fmt, va_list ap) { return inside ? swallow(fmt, ap) : __real_vfprintf(f, fmt, ap); }
int __wrap_printf(const char *fmt, ...);
int __wrap_printf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = __wrap_vfprintf(stdout, fmt, ap);
    va_end(ap);
    return n;
}
int __wrap_fprintf(FILE *f, const char *fmt, ...);
int __wrap_fprintf(FILE *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = __wrap_vfprintf(f, fmt, ap);
    va_end(ap);
    return n;
}

static const char *opt_data, *opt_slots, *opt_quiet;
static const struct conf_opt options[] = {
    { "data", "DIR", "where\nand why", "./data", &opt_data },
    { "slots", "N", "how many", NULL, &opt_slots },
    { "quiet", NULL, "say less", NULL, &opt_quiet },
};

// The same by another way: what each option must be.
static void check(int n, char **words)
{
    const char *data = environment && *environment ? environment : "./data", *slots = NULL, *quiet = NULL;
    for (int i = 1; i < n; i++) {
        const char *w = words[i];
        if (strcmp(w, "--quiet") == 0)
            quiet = "1";
        else if (strncmp(w, "--data=", 7) == 0)
            data = w + 7;
        else if (strncmp(w, "--slots=", 8) == 0)
            slots = w + 8;
        else if (strcmp(w, "--data") == 0)
            data = words[++i];
        else if (strcmp(w, "--slots") == 0)
            slots = words[++i];
        else
            abort(); // it should have been refused
    }
    require(opt_data == data && opt_slots == slots);
    require(!opt_quiet == !quiet);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static char text[TEXT_MAX + 1], name[] = "mc-test";
    static char *words[WORDS + 1];
    int n = 1;
    size = size < TEXT_MAX ? size : TEXT_MAX;
    if (size)
        memcpy(text, bytes, size);
    text[size] = 0;
    char *at = text + strcspn(text, "\n");
    environment = *text ? text : NULL;
    if (*at)
        *at++ = 0;
    words[0] = name;
    for (; *at && n < WORDS; n++) {
        words[n] = at;
        at += strcspn(at, "\n");
        if (*at)
            *at++ = 0;
    }
    words[n] = NULL;
    status = -1;
    inside = true;
    if (setjmp(out) == 0) {
        conf_read("mc-test", "Tests.", options, sizeof options / sizeof *options, n, words);
        inside = false;
        check(n, words);
        uint64_t v = 0;
        if (opt_slots && conf_number(opt_slots, 3, 5000, &v))
            require(v >= 3 && v <= 5000 && strtoull(opt_slots, NULL, 10) == v && strspn(opt_slots, "0123456789") == strlen(opt_slots));
    }
    inside = false;
    require(status == -1 || status == 0 || status == 2);
    return 0;
}
