// links: common protobuf-c
// Which addresses are the internet's, which need a name on the list, which nobody gets to; and the list's text.
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include "netrule.h"

static struct net_addr addr(const char *text, unsigned port)
{
    struct net_addr a = { .port = (uint16_t)port };
    a.v6 = inet_pton(AF_INET6, text, a.ip) == 1;
    if (!a.v6)
        assert_int_equal(inet_pton(AF_INET, text, a.ip), 1);
    return a;
}

static const struct {
    const char *text;
    enum net_kind kind;
} kinds[] = {
    { "1.1.1.1", NET_PUBLIC },        { "8.8.8.8", NET_PUBLIC },         { "9.255.255.255", NET_PUBLIC },  { "11.0.0.0", NET_PUBLIC },
    { "100.63.255.255", NET_PUBLIC }, { "100.128.0.0", NET_PUBLIC },     { "126.255.255.255", NET_PUBLIC }, { "128.0.0.0", NET_PUBLIC },
    { "169.253.255.255", NET_PUBLIC }, { "169.255.0.0", NET_PUBLIC },    { "172.15.255.255", NET_PUBLIC }, { "172.32.0.0", NET_PUBLIC },
    { "192.0.1.0", NET_PUBLIC },      { "192.167.255.255", NET_PUBLIC }, { "192.169.0.0", NET_PUBLIC },    { "198.17.255.255", NET_PUBLIC },
    { "198.20.0.0", NET_PUBLIC },     { "223.255.255.255", NET_PUBLIC }, { "203.0.114.0", NET_PUBLIC },
    { "10.0.0.0", NET_SPECIAL }, { "10.255.255.255", NET_SPECIAL },
    { "100.64.0.1", NET_SPECIAL }, { "100.127.255.255", NET_SPECIAL },
    { "127.0.0.1", NET_SPECIAL }, { "127.255.255.255", NET_SPECIAL },
    { "172.16.0.0", NET_SPECIAL }, { "172.31.255.255", NET_SPECIAL },
    { "192.0.0.1", NET_SPECIAL },     { "192.168.0.1", NET_SPECIAL },    { "192.88.99.1", NET_SPECIAL },   { "198.18.0.0", NET_SPECIAL },
    { "198.19.255.255", NET_SPECIAL }, { "203.0.113.9", NET_SPECIAL },
    { "240.0.0.1", NET_SPECIAL }, { "255.255.255.254", NET_SPECIAL },
    { "0.0.0.0", NET_NEVER },         { "0.1.2.3", NET_NEVER },          { "169.254.169.254", NET_NEVER }, { "224.0.0.1", NET_NEVER },
    { "239.255.255.255", NET_NEVER }, { "255.255.255.255", NET_NEVER },
    { "2606:4700::1111", NET_PUBLIC }, { "2a00::1", NET_PUBLIC },        { "2001:4860::8888", NET_PUBLIC }, { "2000::", NET_PUBLIC },
    { "3ffe:ffff::1", NET_PUBLIC },
    { "::1", NET_SPECIAL },           { "fc00::1", NET_SPECIAL },        { "fdff::1", NET_SPECIAL },       { "fec0::1", NET_SPECIAL },
    { "64:ff9b::7f00:1", NET_SPECIAL }, { "64:ff9b:1::1", NET_SPECIAL }, { "100::1", NET_SPECIAL },        { "2001::1", NET_SPECIAL },
    { "2001:1ff:ffff::", NET_SPECIAL }, { "2001:db8::1", NET_SPECIAL },  { "2002:7f00:1::", NET_SPECIAL }, { "3fff::1", NET_SPECIAL },
    { "5f00::1", NET_SPECIAL },       { "4000::1", NET_SPECIAL },        { "1fff::1", NET_SPECIAL },
    { "::", NET_NEVER }, { "::2", NET_NEVER },
    { "::127.0.0.1", NET_NEVER }, { "::ffff:127.0.0.1", NET_NEVER },
    { "::ffff:8.8.8.8", NET_NEVER },  { "fe80::1", NET_NEVER },          { "febf::1", NET_NEVER },         { "ff02::1", NET_NEVER },
};

static void each_kind(void **state)
{
    static struct net_allow everything;
    const char *bad;
    size_t n;
    (void)state;
    assert_true(net_allow_parse("0.0.0.0/0,::/0", &everything, &bad, &n));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct net_addr a = addr(kinds[i].text, 80);
        if (net_kind(&a) != kinds[i].kind)
            fail_msg("%s is of kind %d", kinds[i].text, (int)net_kind(&a));
        assert_int_equal(net_allowed(NULL, &a), kinds[i].kind == NET_PUBLIC);
        assert_int_equal(net_allowed(&everything, &a), kinds[i].kind != NET_NEVER); // whatever the list says
    }
}

static const struct {
    const char *list, *address;
    unsigned port;
    bool allowed;
} named[] = {
    { "127.0.0.1", "127.0.0.1", 1, true },               { "127.0.0.1", "127.0.0.2", 1, false },
    { "127.0.0.1:80", "127.0.0.1", 80, true },           { "127.0.0.1:80", "127.0.0.1", 81, false },
    { "10.0.0.0/8:443", "10.9.9.9", 443, true },         { "10.0.0.0/8:443", "10.9.9.9", 80, false },
    { "10.128.0.0/9", "10.127.0.0", 1, false },          { "10.128.0.0/9", "10.255.0.0", 1, true },
    { "192.168.7.4/30", "192.168.7.7", 1, true },        { "192.168.7.4/30", "192.168.7.8", 1, false },
    { " 10.0.0.0/8 , 127.0.0.1 ", "127.0.0.1", 9, true }, { "fd00::/8", "fd12::1", 1, true },
    { "fd00::/8:443", "fd12::1", 443, true },            { "fd00::/8:443", "fd12::1", 80, false },
    { "[::1]:8080", "::1", 8080, true },                 { "[::1]:8080", "::1", 80, false },
    { "[fd00::]/8:1", "fd00::9", 1, true },              { "::1", "::1", 5, true },
    { "::/0", "127.0.0.1", 1, false },                   { "0.0.0.0/0", "::1", 1, false },
    { "", "127.0.0.1", 1, false },                       { "0.0.0.0/0:65535", "127.0.0.1", 65535, true },
};

static void the_list(void **state)
{
    static struct net_allow allow;
    const char *bad;
    size_t n;
    (void)state;
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        struct net_addr a = addr(named[i].address, named[i].port);
        assert_true(net_allow_parse(named[i].list, &allow, &bad, &n));
        if (net_allowed(&allow, &a) != named[i].allowed)
            fail_msg("%s and %s port %u", named[i].list, named[i].address, named[i].port);
    }
    assert_true(net_allow_parse(NULL, &allow, &bad, &n));
    assert_int_equal(allow.n, 0);
}

static void lists_that_are_none(void **state)
{
    static const char *const wrong[] = {
        "x", ",", "10.0.0.0/8,", "10.0.0.0/8,,1.1.1.1", "10.0.0.0/33",
        "10.0.0.0/", "10.0.0.0/08", "10.0.0.0/-1", "10.0.0.0/8:", "10.0.0.0/8:0",
        "10.0.0.0/8:65536", "10.0.0.0/8:080", "10.1.0.0/8", "10.0.0/8", "10.0.0.0.0",
        "127.1", "::1/129", "fd00::1/8", "[::1", "::1]", "[127.0.0.1]:1",
        "[]:1", "[::1]8080", "[::1]:", "127.0.0.1 :80",
        "127.0.0.1:80:80", "127.0.0.1/8/8", "fe80::1%eth0", "999999999999999999999/8", "10.0.0.0/8x",
    };
    static struct net_allow allow;
    char many[NET_RULES_MAX * 12 + 32] = "1.1.1.1";
    const char *bad;
    size_t n;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char *exact = strdup(wrong[i]);
        if (net_allow_parse(exact, &allow, &bad, &n))
            fail_msg("%s is taken", wrong[i]);
        free(exact);
    }
    assert_false(net_allow_parse("10.0.0.0/8, nonsense ,::1", &allow, &bad, &n));
    assert_int_equal(n, 8);
    assert_memory_equal(bad, "nonsense", n);
    for (int i = 1; i < NET_RULES_MAX; i++)
        strcat(many, ",1.1.1.1");
    assert_true(net_allow_parse(many, &allow, &bad, &n));
    strcat(many, ",1.1.1.1");
    assert_false(net_allow_parse(many, &allow, &bad, &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(each_kind), cmocka_unit_test(the_list), cmocka_unit_test(lists_that_are_none) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
