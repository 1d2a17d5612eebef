// links: common protobuf-c sodium
// fuzz: -max_len=256
// The list of networks that webhooks may be sent to, and addresses judged by it: octet 0 how long the list is, then the list, then an
// address. Whatever the list says, what is never reached is not, and what is public is.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "check.h"
#include "netrule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *text_of(const uint8_t *p, size_t n)
{
    char *t = malloc(n + 1);
    if (!t)
        abort();
    memcpy(t, p, n);
    t[n] = 0;
    return t;
}

static void judge(const struct net_allow *allow, const uint8_t *p, size_t n)
{
    struct net_addr a = { 0 };
    for (int v6 = 0; v6 < 2; v6++) {
        a.v6 = v6;
        a.port = n > 16 ? p[16] : 443;
        memcpy(a.ip, p, n < 16 ? n : 16);
        enum net_kind kind = net_kind(&a);
        bool is = net_allowed(allow, &a);
        if ((kind == NET_NEVER && is) || (kind == NET_PUBLIC && !is) || (kind == NET_SPECIAL && is && !allow->n))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct net_allow allow;
    const char *bad = NULL;
    size_t bad_n = 0;
    if (size < 1)
        return 0;
    size_t n = data[0] < size - 1 ? data[0] : size - 1;
    char *list = text_of(data + 1, n);
    if (!net_allow_parse(list, &allow, &bad, &bad_n)) {
        if (bad < list || bad + bad_n > list + strlen(list) || allow.n > NET_RULES_MAX)
            abort();
    }
    judge(&allow, data + 1 + n, size - 1 - n);
    char *url = text_of(data + 1, size - 1);
    if (check_url(url))
        for (const char *p = url; *p; p++)
            if (*p <= ' ' || *p >= 0x7f) // nothing that could end a line of the request
                abort();
    free(url);
    free(list);
    return 0;
}
