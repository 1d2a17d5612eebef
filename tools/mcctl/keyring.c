// The session's file has two lines: the address it is for, and the cookie. It is replaced as a whole.
#include "keyring.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "crypto.h"
#include "term.h"

#define URL_DEFAULT "http://127.0.0.1:8080"
enum { FILE_MAX = KEYRING_URL_MAX + KEYRING_SECRET_MAX + 2 };

static const char *env(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

// ---------------------------------------------------------------- the session's file

static bool session_path(char out[KEYRING_PATH_MAX], bool make)
{
    const char *config = env("XDG_CONFIG_HOME"), *home = env("HOME");
    char dir[KEYRING_PATH_MAX];
    int n;

    if (config && *config == '/')
        n = snprintf(dir, sizeof dir, "%s", config);
    else
        n = home ? snprintf(dir, sizeof dir, "%s/.config", home) : -1;
    if (n < 0 || (size_t)n + 32 > sizeof dir)
        return false;
    if (make && mkdir(dir, 0700) < 0 && errno != EEXIST)
        return false;
    snprintf(dir + n, sizeof dir - (size_t)n, "/mcctl");
    if (make && mkdir(dir, 0700) < 0 && errno != EEXIST)
        return false;
    return (size_t)snprintf(out, KEYRING_PATH_MAX, "%.*s/session", KEYRING_PATH_MAX - 16, dir) < KEYRING_PATH_MAX;
}

static void read_session(struct keyring *k)
{
    char path[KEYRING_PATH_MAX], text[FILE_MAX + 1];
    size_t n = 0;

    if (!session_path(path, false) || secret_read(path, text, FILE_MAX, &n) != ERR_OK)
        return;
    text[n] = 0;
    char *cookie = strchr(text, '\n');
    if (cookie) {
        *cookie++ = 0;
        cookie[strcspn(cookie, "\r\n")] = 0;
        if (strcmp(text, k->url) == 0 && strlen(cookie) < sizeof k->cookie) {
            snprintf(k->cookie, sizeof k->cookie, "%s", cookie);
            k->from = "the session of mcctl login";
        }
    }
    crypto_wipe(text, sizeof text);
}

bool keyring_session(struct keyring *k)
{
    crypto_wipe(k->key, sizeof k->key);
    read_session(k);
    return k->cookie[0] != 0;
}

bool keyring_store(const struct keyring *k, const char *cookie)
{
    char path[KEYRING_PATH_MAX], new[KEYRING_PATH_MAX + 8], text[FILE_MAX + 1];

    if (!session_path(path, true)) {
        term_say("the session cannot be kept: there is neither XDG_CONFIG_HOME nor HOME, or no directory can be made there");
        return false;
    }
    snprintf(new, sizeof new, "%s.new", path);
    (void)unlink(new);
    int n = snprintf(text, sizeof text, "%s\n%s\n", k->url, cookie);
    enum err e = n > 0 && (size_t)n < sizeof text ? secret_write(new, text, (size_t)n) : ERR_TOO_BIG;
    crypto_wipe(text, sizeof text);
    if (e == ERR_OK && rename(new, path) < 0)
        e = ERR_IO;
    if (e)
        term_say("%s: %s", path, err_text(e));
    return e == ERR_OK;
}

void keyring_forget(void)
{
    char path[KEYRING_PATH_MAX];

    if (session_path(path, false))
        (void)unlink(path);
}

// ---------------------------------------------------------------- keys

// A key goes into a header: one word of what can be seen.
static bool take_key(struct keyring *k, const char *text, size_t n)
{
    while (n && strchr(" \t\r\n", text[n - 1]))
        n--;
    if (n == 0 || n >= sizeof k->key)
        return false;
    for (size_t i = 0; i < n; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    memcpy(k->key, text, n);
    k->key[n] = 0;
    return true;
}

static bool read_key(struct keyring *k, const char *path, bool must)
{
    char text[KEYRING_SECRET_MAX];
    size_t n = 0;
    enum err e = secret_read(path, text, sizeof text, &n);
    bool ok = e == ERR_OK && take_key(k, text, n);

    crypto_wipe(text, sizeof text);
    if (ok)
        k->from = path;
    else if (must)
        term_say("%s: %s", path, e == ERR_NOT_FOUND ? "there is no such file" : e == ERR_FORBIDDEN ? "you may not read it" :
                 e ? err_text(e) : "it does not hold a key");
    return ok;
}

// The key that lies about is for the installation on this machine, and is sent nowhere else.
static bool is_local(const char *url)
{
    static const char *const hosts[] = { "127.0.0.1", "localhost", "[::1]" };
    const char *host = strstr(url, "://") + 3;

    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        size_t n = strlen(hosts[i]);
        if (strncmp(host, hosts[i], n) == 0 && (!host[n] || host[n] == ':' || host[n] == '/'))
            return true;
    }
    return false;
}

static bool find(struct keyring *k, const char *key_file)
{
    static char path[KEYRING_PATH_MAX]; // k->from is lent
    const char *data = env("MC_DATA");

    if (key_file)
        return read_key(k, key_file, true);
    if (env("MC_KEY")) {
        k->from = "MC_KEY";
        if (take_key(k, env("MC_KEY"), strlen(env("MC_KEY"))))
            return true;
        term_say("MC_KEY does not hold a key");
        return false;
    }
    if (env("MC_KEY_FILE"))
        return read_key(k, env("MC_KEY_FILE"), true);
    read_session(k);
    if (k->cookie[0] || !is_local(k->url))
        return true;
    if ((size_t)snprintf(path, sizeof path, "%s/admin-api-key", data ? data : "./data") < sizeof path)
        k->ambient = read_key(k, path, false);
    return true;
}

bool keyring_open(struct keyring *k, const char *url, const char *key_file)
{
    *k = (struct keyring){ .from = "" };
    url = url ? url : env("MC_URL") ? env("MC_URL") : URL_DEFAULT;
    size_t n = strlen(url);
    while (n && url[n - 1] == '/')
        n--;
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        term_say("the address must begin with http:// or https://, not '%s'", url);
        return false;
    }
    if (n >= sizeof k->url || strpbrk(url, "?# \r\n")) {
        term_say("'%s' is not the address of a Mission Control", url);
        return false;
    }
    memcpy(k->url, url, n);
    return find(k, key_file);
}

void keyring_close(struct keyring *k)
{
    crypto_wipe(k->key, sizeof k->key);
    crypto_wipe(k->cookie, sizeof k->cookie);
}
