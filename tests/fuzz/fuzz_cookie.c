// links: gateway common protobuf-c
// fuzz: -max_len=1024 -dict=tests/fuzz/http.dict
// What a browser, or whoever says to be one, sends to be known by. Input: lines: the Cookie field, Origin, Sec-Fetch-Site, Host;
// then a password. Octets after the last line's end are the password's.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "cookie.h"
#include "origin.h"
#include "password_rule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct text exchange_header(const struct exchange *x, const char *name, unsigned *count)
{
    (void)x;
    (void)name;
    *count = 0;
    return (struct text){ NULL, 0 };
}

static void require(bool what)
{
    if (!what)
        abort();
}

static struct text line(struct text *rest)
{
    const char *end = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
    struct text t = { rest->p, end ? (size_t)(end - rest->p) : rest->n };
    size_t used = t.n + (end != NULL);

    rest->p += used;
    rest->n -= used;
    return t.n ? t : (struct text){ NULL, 0 };
}

// The same once more, character by character: how often a name stands there.
static unsigned times(struct text f, const char *name)
{
    unsigned n = 0;
    size_t i = 0, len = strlen(name);

    while (i <= f.n) {
        size_t end = i;
        while (end < f.n && f.p[end] != ';')
            end++;
        while (i < end && (f.p[i] == ' ' || f.p[i] == '\t'))
            i++;
        if (end - i > len && memcmp(f.p + i, name, len) == 0) {
            size_t k = i + len;
            while (k < end && (f.p[k] == ' ' || f.p[k] == '\t'))
                k++;
            n += k < end && f.p[k] == '=';
        }
        i = end + 1;
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text rest = { (const char *)data, size };
    struct text field = line(&rest), origin = line(&rest), site = line(&rest), host = line(&rest);

    struct text t = cookie_session(field);
    unsigned hosted = times(field, COOKIE_HOST), plain = times(field, COOKIE_PLAIN), many = hosted ? hosted : plain;
    require((t.p != NULL) == (many > 0) && (many < 2 || t.n == 0));
    require(!t.n || (t.p > field.p && t.p + t.n <= field.p + field.n && !memchr(t.p, ';', t.n)));

    for (int tls = 0; tls < 2; tls++) {
        enum origin o = origin_judge(origin, site, tls, host);
        require((o == ORIGIN_NONE) == (!origin.p && !site.p));
        if (o == ORIGIN_OWN && origin.p) { // then it is the scheme and something as long as the host, or the port makes the rest
            const char *scheme = tls ? "https://" : "http://";
            require(origin.n > strlen(scheme) && host.n && strncasecmp(origin.p, scheme, strlen(scheme)) == 0);
        }
    }
    char *password = malloc(rest.n + 1);
    if (!password)
        return 0;
    if (rest.n)
        memcpy(password, rest.p, rest.n);
    password[rest.n] = 0;
    const char *why = password_rule(password, "somebody");
    require(why || (strlen(password) >= 12 && strlen(password) <= 1024));
    free(password);
    return 0;
}
