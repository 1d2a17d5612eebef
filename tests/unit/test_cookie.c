// links: gateway common protobuf-c
// The session's cookie in a Cookie field, and whose page a request comes from.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include "cookie.h"
#include "origin.h"

// exchange_header is origin_of's only need of the outside.
static struct text origins[2], sites[2];

struct text exchange_header(const struct exchange *x, const char *name, unsigned *count)
{
    const struct text *t = strcmp(name, "origin") == 0 ? origins : sites;
    (void)x;
    *count = (t[0].p ? 1u : 0u) + (t[1].p ? 1u : 0u);
    return t[0];
}

static struct text text(const char *s)
{
    return (struct text){ s, s ? strlen(s) : 0 };
}

static void cookies(void **state)
{
    static const struct { const char *field, *want; } cases[] = { // want NULL: none; "": one that is nobody's
        { "", NULL },
        { "a=b", NULL },
        { "mc-session=x", "x" },
        { "mc-session=x;", "x" },
        { " mc-session=x ", "x" },
        { "a=b; mc-session=x; c=d", "x" },
        { "a=b;mc-session=x;c=d", "x" },
        { "mc-session=x=y", "x=y" },
        { "mc-session = x", "x" },
        { "mc-session=", "" },
        { "mc-session", NULL },
        { ";;; ;mc-session=x", "x" },
        { "Mc-Session=x", NULL },
        { "xmc-session=x", NULL },
        { "mc-sessionx=x", NULL },
        { "a=mc-session=x", NULL },
        { "a=\"; mc-session=x\"", "x\"" },         // a quoted string is no place to hide: the pairs are what browsers make of it
        { "mc-session=x; mc-session=x", "" },       // twice, even the same
        { "mc-session=x; a=b; mc-session=y", "" },
        { "mc-session=; mc-session=y", "" },
        { "__Host-mc-session=x", "x" },
        { "mc-session=a; __Host-mc-session=x", "x" },
        { "__Host-mc-session=x; mc-session=a; mc-session=b", "x" },
        { "__Host-mc-session=x; __Host-mc-session=y", "" },
        { "__Host-mc-session=x; __Host-mc-session=y; mc-session=a", "" },
        { "__Host-mc-session; mc-session=a", "a" },
        { "__host-mc-session=x; mc-session=a", "a" },
        { "=x; mc-session=a", "a" },
        { "=", NULL },
        { "mc-session=\xff\x01", "\xff\x01" },
    };
    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text t = cookie_session(text(cases[i].field));
        assert_int_equal(t.p != NULL, cases[i].want != NULL);
        assert_int_equal(t.n, cases[i].want ? strlen(cases[i].want) : 0);
        if (t.n)
            assert_memory_equal(t.p, cases[i].want, t.n);
    }
    struct text none = cookie_session((struct text){ NULL, 0 });
    assert_null(none.p);
}

static void whose_page(void **state)
{
    static const struct { const char *origin, *site, *host; bool tls; enum origin want; } cases[] = {
        { NULL, NULL, "mc:8080", false, ORIGIN_NONE },
        { "http://mc:8080", NULL, "mc:8080", false, ORIGIN_OWN },
        { "HTTP://MC:8080", NULL, "mc:8080", false, ORIGIN_OWN },
        { "http://mc:8080", NULL, "MC:8080", false, ORIGIN_OWN },
        { "http://mc:8081", NULL, "mc:8080", false, ORIGIN_OTHER },
        { "http://mc", NULL, "mc:8080", false, ORIGIN_OTHER },
        { "https://mc:8080", NULL, "mc:8080", false, ORIGIN_OTHER },
        { "http://mc:8080", NULL, "mc:8080", true, ORIGIN_OTHER },
        { "https://mc:8080", NULL, "mc:8080", true, ORIGIN_OWN },
        { "http://mc", NULL, "mc", false, ORIGIN_OWN },
        { "http://mc", NULL, "mc:80", false, ORIGIN_OWN },
        { "http://mc:80", NULL, "mc", false, ORIGIN_OWN },
        { "https://mc", NULL, "mc:443", true, ORIGIN_OWN },
        { "https://mc", NULL, "mc:80", true, ORIGIN_OTHER },
        { "http://mc", NULL, "mc:", false, ORIGIN_OWN },
        { "http://[::1]:8080", NULL, "[::1]:8080", false, ORIGIN_OWN },
        { "http://[::1]", NULL, "[::1]:80", false, ORIGIN_OWN },
        { "http://[::2]", NULL, "[::1]", false, ORIGIN_OTHER },
        { "http://[::1", NULL, "[::1", false, ORIGIN_OTHER },
        { "null", NULL, "mc", false, ORIGIN_OTHER },
        { "", NULL, "mc", false, ORIGIN_OTHER },
        { "http://", NULL, "", false, ORIGIN_OTHER },
        { "http://", NULL, NULL, false, ORIGIN_OTHER },
        { "http://mc", NULL, NULL, false, ORIGIN_OTHER },
        { "http://mc.evil", NULL, "mc", false, ORIGIN_OTHER },
        { "http://evil@mc", NULL, "mc", false, ORIGIN_OTHER },
        { "http://mc/", NULL, "mc", false, ORIGIN_OTHER },
        { "http://mc http://mc", NULL, "mc", false, ORIGIN_OTHER },
        { "http://mc:8080x", NULL, "mc:8080", false, ORIGIN_OTHER },
        { "http://mc:80800000000000008080", NULL, "mc:8080", false, ORIGIN_OTHER },
        { "http://mc:4294975376", NULL, "mc:8080", false, ORIGIN_OTHER }, // 2^32 + 8080
        { NULL, "same-origin", "mc", false, ORIGIN_OWN },
        { NULL, "same-site", "mc", false, ORIGIN_OTHER },
        { NULL, "cross-site", "mc", false, ORIGIN_OTHER },
        { NULL, "none", "mc", false, ORIGIN_OTHER },
        { NULL, "", "mc", false, ORIGIN_OTHER },
        { NULL, "same-origin, cross-site", "mc", false, ORIGIN_OTHER },
        { "http://evil", "same-origin", "mc", false, ORIGIN_OTHER }, // Origin decides where there is one
        { "null", "same-origin", "mc", false, ORIGIN_OTHER },
    };
    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct exchange x = { .tls = cases[i].tls, .host = text(cases[i].host) };
        assert_int_equal(origin_judge(text(cases[i].origin), text(cases[i].site), cases[i].tls, x.host), cases[i].want);
        origins[0] = text(cases[i].origin);
        sites[0] = text(cases[i].site);
        assert_int_equal(origin_of(&x), cases[i].want);
    }
    struct exchange x = { .host = text("mc") };
    origins[0] = origins[1] = text("http://mc"); // twice: nobody can tell which the browser meant
    sites[0] = text(NULL);
    assert_int_equal(origin_of(&x), ORIGIN_OTHER);
    origins[0] = origins[1] = text(NULL);
    sites[0] = sites[1] = text("same-origin");
    assert_int_equal(origin_of(&x), ORIGIN_OTHER);
    origins[0] = sites[0] = sites[1] = text(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(cookies), cmocka_unit_test(whose_page) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
