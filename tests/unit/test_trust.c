// links: gateway
// Host names we answer to, and the proxies we believe.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include "trust.h"

static struct text text(const char *s)
{
    return (struct text){ s, strlen(s) };
}

static void test_hosts(void **state)
{
    static const struct { const char *host; bool ours; } rows[] = {
        { "localhost", true }, { "LocalHost:8080", true }, { "localhost.", true }, { "localhost:", true }, { "box.example", true },
        { "box-2.example", true }, { "127.0.0.1", true }, { "10.0.0.1:8080", true }, { "[::1]", true }, { "[::1]:80", true },
        { "evil.example", false }, { "localhost.evil.example", false }, { "xlocalhost", false }, { "localhos", false },
        { "127.0.0.1.evil.example", false }, { "127.0.0.1.", false }, { "127.1", false }, { "2130706433", false }, { "0x7f.0.0.1", false },
        { "box@example", false }, { "", false }, { ".", false },
    };
    struct trust t = { 0 };

    (void)state;
    assert_int_equal(trust_add_hosts(&t, "localhost"), ERR_OK);
    assert_int_equal(trust_add_hosts(&t, "Box.example., box-2.example ,"), ERR_OK);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (trust_host(&t, text(rows[i].host)) != rows[i].ours)
            fail_msg("'%s'", rows[i].host);
    assert_int_equal(trust_add_hosts(&t, "a b"), ERR_BAD_REQUEST);
    assert_int_equal(trust_add_hosts(&t, "a:80"), ERR_BAD_REQUEST);
    assert_int_equal(trust_add_hosts(&t, "*"), ERR_BAD_REQUEST);
    assert_int_equal(trust_add_hosts(&t, "a..b"), ERR_BAD_REQUEST);
    assert_int_equal(trust_add_hosts(&t, "a.."), ERR_BAD_REQUEST);
    assert_int_equal(trust_add_hosts(&t, ".a"), ERR_BAD_REQUEST);
    static const char *const wrong[] = { "a/b", "a[", "a`", "a{", "a@b", "a^b", "\xc3\xa9" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(trust_add_hosts(&t, wrong[i]), ERR_BAD_REQUEST);
    char longest[257] = { 0 };
    memset(longest, 'a', 256);
    assert_int_equal(trust_add_hosts(&t, longest), ERR_BAD_REQUEST);
    longest[255] = 0;
    assert_int_equal(trust_add_hosts(&t, longest), ERR_OK);
    assert_int_equal(trust_add_hosts(&t, "b_c"), ERR_OK);
    assert_false(trust_host(&t, text("b?c")) || trust_host(&t, text("b\x1f" "c")) || trust_host(&t, text("b\x7f" "c")) || trust_host(&t, text("b{c")));
    for (unsigned i = t.n_names; i < TRUST_NAMES_MAX; i++)
        assert_int_equal(trust_add_hosts(&t, "a"), ERR_OK);
    assert_int_equal(trust_add_hosts(&t, "a"), ERR_TOO_BIG);
}

static void test_addresses(void **state)
{
    static const struct { const char *in, *out; } rows[] = {
        { "1.2.3.4", "1.2.3.4" }, { "1.2.3.4:80", "1.2.3.4" }, { "::1", "::1" }, { "[::1]", "::1" }, { "[2001:DB8::1]:80", "2001:db8::1" },
        { "::ffff:1.2.3.4", "1.2.3.4" }, { "1.2.3", NULL }, { "", NULL }, { "unknown", NULL }, { "[::1", NULL }, { "1.2.3.4.5", NULL },
        { "256.1.1.1", NULL }, { "::g", NULL }, { "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t a[ADDRESS_SIZE];
        char out[ADDRESS_TEXT];
        assert_true(trust_address(text(rows[i].in), a) == (rows[i].out != NULL));
        if (rows[i].out) {
            trust_address_text(a, out);
            assert_string_equal(out, rows[i].out);
        }
    }
}

static bool believed(const struct trust *t, const char *address)
{
    uint8_t a[ADDRESS_SIZE];

    assert_true(trust_address(text(address), a));
    return trust_proxy(t, a);
}

static void test_proxies(void **state)
{
    static const char *const wrong[] = { "x", "1.2.3.4/33", "1.2.3.4/", "1.2.3.4/x", "::1/129", "1.2.3.4/-1", "/8", "1.2.3.4/000008", "::1/000128" };
    struct trust t = { 0 };

    (void)state;
    assert_false(believed(&t, "127.0.0.1"));
    assert_int_equal(trust_add_proxies(&t, "127.0.0.1, 10.0.0.0/8, 172.16.0.0/12,2001:db8::/33"), ERR_OK);
    assert_true(believed(&t, "127.0.0.1") && believed(&t, "::ffff:127.0.0.1") && believed(&t, "10.255.0.1"));
    assert_true(believed(&t, "172.31.255.255") && believed(&t, "2001:db8:7fff::1"));
    assert_false(believed(&t, "127.0.0.2") || believed(&t, "11.0.0.0") || believed(&t, "172.32.0.0") || believed(&t, "2001:db8:8000::"));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(trust_add_proxies(&t, wrong[i]), ERR_BAD_REQUEST);
    assert_false(believed(&t, "1.2.3.4"));
    assert_int_equal(trust_add_proxies(&t, "0.0.0.0/0"), ERR_OK);
    assert_true(believed(&t, "1.2.3.4"));
    assert_false(believed(&t, "::1"));
    assert_int_equal(trust_add_proxies(&t, "::/0"), ERR_OK);
    assert_true(believed(&t, "::1"));
    while (t.n_nets < TRUST_NETS_MAX)
        assert_int_equal(trust_add_proxies(&t, "1.2.3.4"), ERR_OK);
    assert_int_equal(trust_add_proxies(&t, "1.2.3.4"), ERR_TOO_BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts), cmocka_unit_test(test_addresses), cmocka_unit_test(test_proxies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
