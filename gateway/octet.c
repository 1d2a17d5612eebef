#include "octet.h"
#include <string.h>

#define A (TCHAR | VALUE | LINE | TARGET | REG_NAME) /* letters beyond F; - . _ ~; sub-delims that are tchar; '%' */
#define H (A | HEX)
#define D (VALUE | LINE | TARGET | REG_NAME)         /* sub-delims that are not tchar: ( ) , ; = */
#define P (VALUE | LINE | TARGET)                    /* : @ / ? */
#define T (TCHAR | VALUE | LINE)                     /* tchar that no target has: # ^ ` | */
#define L (VALUE | LINE)                             /* " < > [ ] { } the backslash, the blank */
#define V VALUE                                      /* HTAB and obs-text */
#define V16 V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V
const uint8_t octet_class[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, V, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    L, A, L, T, A, A, A, A, D, D, A, A, D, A, A, P, H, H, H, H, H, H, H, H, H, H, P, D, L, D, L, P,
    P, H, H, H, H, H, H, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, L, L, L, T, A,
    T, H, H, H, H, H, H, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, A, L, T, L, A, 0,
    V16, V16, V16, V16, V16, V16, V16, V16,
};
#undef A
#undef H
#undef D
#undef P
#undef T
#undef L
#undef V
#undef V16

size_t octet_run(const uint8_t *d, size_t i, size_t n, unsigned set)
{
    while (i < n && octet_is(d[i], set))
        i++;
    return i;
}

bool octet_all(struct text t, unsigned set)
{
    return octet_run((const uint8_t *)t.p, 0, t.n, set) == t.n;
}

// ---- text
static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool text_is(struct text t, const char *s)
{
    return strlen(s) == t.n && memcmp(t.p, s, t.n) == 0;
}

bool text_is_nocase(struct text t, const char *s)
{
    if (strlen(s) != t.n)
        return false;
    for (size_t i = 0; i < t.n; i++)
        if (lower(t.p[i]) != s[i])
            return false;
    return true;
}

static struct text trim(struct text t)
{
    while (t.n && (t.p[0] == ' ' || t.p[0] == '\t'))
        t.p++, t.n--;
    while (t.n && (t.p[t.n - 1] == ' ' || t.p[t.n - 1] == '\t'))
        t.n--;
    return t;
}

bool text_next(struct text *list, struct text *ret)
{
    while (list->n) {
        const char *comma = memchr(list->p, ',', list->n);
        size_t n = comma ? (size_t)(comma - list->p) : list->n, used = comma ? n + 1 : n;
        *ret = trim((struct text){ list->p, n });
        list->p += used;
        list->n -= used;
        if (ret->n)
            return true;
    }
    return false;
}
