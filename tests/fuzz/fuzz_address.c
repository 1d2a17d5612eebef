// links: worker common protobuf-c jansson uv sodium curl
// fuzz: -max_len=512
// An address that somebody gave: of a chat endpoint, of a webhook's receiver. What we take for a URL libcurl refuses, or takes for the same one: http or
// https, a host, nobody's name in it, no fragment; and what is made of it for a request leads to that very host. Then a user's name.
#include <curl/curl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "chat.h"
#include "check.h"
#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *part(CURLU *u, CURLUPart what)
{
    char *s = NULL;
    return curl_url_get(u, what, &s, 0) == CURLUE_OK ? s : NULL;
}

static void url(const char *s)
{
    char longer[4096];
    CURLU *u = curl_url(), *v = curl_url();
    require(u && v && strlen(s) <= 2048);
    if (curl_url_set(u, CURLUPART_URL, s, 0) != CURLUE_OK) { // then nothing is ever sent there
        curl_url_cleanup(u);
        curl_url_cleanup(v);
        return;
    }
    char *scheme = part(u, CURLUPART_SCHEME), *host = part(u, CURLUPART_HOST), *port = part(u, CURLUPART_PORT), *user = part(u, CURLUPART_USER),
         *password = part(u, CURLUPART_PASSWORD), *fragment = part(u, CURLUPART_FRAGMENT);
    require(scheme && (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0));
    require(host && *host && !user && !password && !fragment);
    if (chat_url(longer, sizeof longer, s, "/chat/completions")) {
        require(strlen(longer) < sizeof longer && curl_url_set(v, CURLUPART_URL, longer, 0) == CURLUE_OK);
        char *host2 = part(v, CURLUPART_HOST), *port2 = part(v, CURLUPART_PORT);
        require(host2 && strcmp(host, host2) == 0 && !port == !port2 && (!port || strcmp(port, port2) == 0));
        curl_free(host2);
        curl_free(port2);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(user);
    curl_free(password);
    curl_free(fragment);
    curl_url_cleanup(u);
    curl_url_cleanup(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *s = malloc(size + 1);
    require(s != NULL);
    if (size)
        memcpy(s, data, size);
    s[size] = 0;
    if (check_url(s))
        url(s);
    if (check_user_name(s))
        require(strlen(s) >= 1 && strlen(s) <= 64 && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@+-") == strlen(s));
    if (check_text(s, 200, false)) // then nothing that could begin a line, or speak to a terminal
        for (const char *c = s; *c; c++)
            require((uint8_t)*c >= ' ' && *c != 0x7f);
    free(s);
    return 0;
}
