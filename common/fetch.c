/* Happy path: fetch_start adds an easy handle to the one multi handle; curl tells by socket_cb which sockets to watch and by
 * timer_cb when to be called; after each call `reap` takes what is done, calls done and frees.
 * fetch_cancel during a callback of curl's cannot happen: data only answers true or false, and done comes from `reap`.
 */
#include "fetch.h"
#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "check.h"
#include "crypto.h"
#include "list.h"
#include "netrule.h"

enum { BUFFER_SIZE = 16 * 1024, CONNECTIONS_KEPT = 16, HEADER_MAX = 8192 };

struct fetch {
    struct list at;
    CURL *easy;
    struct curl_slist *headers;
    bool (*data)(void *u, unsigned status, const uint8_t *p, size_t n);
    void (*done)(void *u, const struct fetch_result *r);
    void (*header)(void *u, const char *line, size_t n);
    const struct net_allow *allow;
    void *u;
    char *body;
    bool enough, refused, opened;
    char text[CURL_ERROR_SIZE];
};

struct watch { // a socket of curl's
    uv_poll_t poll;
    curl_socket_t fd;
};

static uv_loop_t *the_loop;
static CURLM *multi;
static uv_timer_t timer;
static struct list all = { &all, &all };

// ---------------------------------------------------------------- where we connect to

static bool address_allowed(const struct net_allow *allow, const struct sockaddr *sa)
{
    struct net_addr a = { 0 };
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof in);
        memcpy(a.ip, &in.sin_addr, sizeof in.sin_addr);
        a.port = ntohs(in.sin_port);
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof in6);
        a.v6 = true;
        memcpy(a.ip, &in6.sin6_addr, sizeof in6.sin6_addr);
        a.port = ntohs(in6.sin6_port);
    } else {
        return false;
    }
    return allow ? net_allowed(allow, &a) : net_kind(&a) != NET_NEVER;
}

static curl_socket_t open_cb(void *u, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct fetch *f = u;
    if (purpose != CURLSOCKTYPE_IPCXN || !address_allowed(f->allow, &a->addr)) {
        f->refused = true;
        return CURL_SOCKET_BAD;
    }
    f->opened = true;
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

// ---------------------------------------------------------------- curl on the loop

static void finish(struct fetch *f)
{
    list_remove(&f->at);
    curl_multi_remove_handle(multi, f->easy);
    curl_easy_cleanup(f->easy);
    for (struct curl_slist *h = f->headers; h; h = h->next) // one of them holds the key
        crypto_wipe(h->data, strlen(h->data));
    curl_slist_free_all(f->headers);
    free(f->body);
    free(f);
}

static void result_of(struct fetch *f, CURLcode c, struct fetch_result *r)
{
    long status = 0, os = 0;
    double connected = 0;
    *r = (struct fetch_result){ 0 };
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(f->easy, CURLINFO_OS_ERRNO, &os);
    curl_easy_getinfo(f->easy, CURLINFO_PRETRANSFER_TIME, &connected);
    r->status = status > 0 ? (unsigned)status : 0;
    r->connected = connected > 0;
    if (c == CURLE_OK)
        return;
    if (f->enough) {
        r->err = ERR_CLOSED;
        return;
    }
    r->err = ERR_IO;
    const char *text = f->text[0] ? f->text : curl_easy_strerror(c);
    if (f->refused && !f->opened) { // none of the name's addresses is
        text = "this address is not allowed";
    } else if (c == CURLE_OPERATION_TIMEDOUT) {
        // The limit on speed has this code too, and is told by its text alone.
        r->stalled = strstr(f->text, "too slow") != NULL;
        if (r->stalled)
            text = "it sent nothing for too long";
        else if (r->connected)
            r->err = ERR_TIMEOUT;
        else
            text = "it could not be connected to in time";
    } else if (c == CURLE_COULDNT_CONNECT && os) {
        text = strerror((int)os);
    }
    snprintf(r->text, sizeof r->text, "%s", text);
}

static void reap(void)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(multi, &left));) {
        struct fetch *f = NULL;
        struct fetch_result r;
        if (m->msg != CURLMSG_DONE || curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &f) != CURLE_OK || !f)
            continue;
        result_of(f, m->data.result, &r);
        void (*done)(void *, const struct fetch_result *) = f->done;
        void *u = f->u;
        finish(f);
        done(u, &r);
    }
}

static void act(curl_socket_t fd, int flags)
{
    int running;
    curl_multi_socket_action(multi, fd, flags, &running);
    reap();
}

static void timeout_cb(uv_timer_t *t)
{
    (void)t;
    act(CURL_SOCKET_TIMEOUT, 0);
}

static int timer_cb(CURLM *m, long ms, void *u)
{
    (void)m;
    (void)u;
    if (ms < 0)
        uv_timer_stop(&timer);
    else
        uv_timer_start(&timer, timeout_cb, (uint64_t)ms, 0); // 0: on the next turn, never from inside curl
    return 0;
}

static void ready_cb(uv_poll_t *h, int status, int events)
{
    struct watch *w = container_of(h, struct watch, poll);
    int flags = status < 0 ? CURL_CSELECT_ERR : 0;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    act(w->fd, flags);
}

static void freed_cb(uv_handle_t *h)
{
    free(container_of((uv_poll_t *)h, struct watch, poll));
}

static int socket_cb(CURL *easy, curl_socket_t fd, int what, void *u, void *of_socket)
{
    struct watch *w = of_socket;
    (void)easy;
    (void)u;
    if (what == CURL_POLL_REMOVE) {
        if (w) {
            uv_poll_stop(&w->poll);
            uv_close((uv_handle_t *)&w->poll, freed_cb);
            curl_multi_assign(multi, fd, NULL);
        }
        return 0;
    }
    if (!w) {
        w = calloc(1, sizeof *w);
        if (!w)
            return -1;
        if (uv_poll_init_socket(the_loop, &w->poll, fd)) {
            free(w);
            return -1;
        }
        w->fd = fd;
        curl_multi_assign(multi, fd, w);
    }
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    return uv_poll_start(&w->poll, events, ready_cb) ? -1 : 0;
}

static size_t data_cb(char *p, size_t size, size_t n, void *u)
{
    struct fetch *f = u;
    long status = 0;
    (void)size; // always 1
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
    if (n == 0 || f->data(f->u, (unsigned)status, (const uint8_t *)p, n))
        return n;
    f->enough = true;
    return 0;
}

static size_t header_cb(char *p, size_t size, size_t n, void *u)
{
    struct fetch *f = u;
    size_t len = n;
    (void)size; // always 1
    while (len && (p[len - 1] == '\r' || p[len - 1] == '\n'))
        len--;
    if (f->header && len)
        f->header(f->u, p, len);
    return n;
}

// ---------------------------------------------------------------- the public side

enum err fetch_init(uv_loop_t *loop)
{
    the_loop = loop;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(multi = curl_multi_init()))
        return ERR_NO_MEMORY;
    if (uv_timer_init(loop, &timer))
        return ERR_NO_MEMORY;
    uv_unref((uv_handle_t *)&timer);
    if (curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, socket_cb) || curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, timer_cb) ||
        curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT))
        return ERR_INTERNAL;
    return ERR_OK;
}

static bool header(struct fetch *f, const char *text)
{
    struct curl_slist *more = curl_slist_append(f->headers, text);
    if (!more)
        return false;
    f->headers = more;
    return true;
}

static bool headers(struct fetch *f, const struct fetch_req *r)
{
    char text[HEADER_MAX];
    snprintf(text, sizeof text, "Accept: %s", r->accept);
    if (!header(f, text) || !header(f, "Expect:")) // no waiting for 100 Continue
        return false;
    if (r->body && !header(f, "Content-Type: application/json"))
        return false;
    for (const char *const *h = r->headers; h && *h; h++)
        if (strpbrk(*h, "\r\n") || !header(f, *h))
            return false;
    if (!r->bearer || !*r->bearer)
        return true;
    bool ok = (size_t)snprintf(text, sizeof text, "Authorization: Bearer %s", r->bearer) < sizeof text && !strpbrk(r->bearer, "\r\n") &&
              header(f, text);
    crypto_wipe(text, sizeof text);
    return ok;
}

static bool options(struct fetch *f, const struct fetch_req *r)
{
    CURL *e = f->easy;
    CURLcode c = CURLE_OK;
#define SET(opt, value) (c = c ? c : curl_easy_setopt(e, opt, value))
    SET(CURLOPT_PRIVATE, f);
    SET(CURLOPT_ERRORBUFFER, f->text);
    SET(CURLOPT_URL, r->url);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L); // else breaking off waits for a thread that resolves a name, and the loop with it
    SET(CURLOPT_BUFFERSIZE, (long)BUFFER_SIZE);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_cb);
    SET(CURLOPT_OPENSOCKETDATA, f);
    SET(CURLOPT_HTTPHEADER, f->headers);
    SET(CURLOPT_USERAGENT, "mission-control/" MC_VERSION);
    SET(CURLOPT_WRITEFUNCTION, data_cb);
    SET(CURLOPT_WRITEDATA, f);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)r->connect_ms);
    SET(CURLOPT_LOW_SPEED_LIMIT, r->stall_s ? 1L : 0L);
    SET(CURLOPT_LOW_SPEED_TIME, (long)r->stall_s);
    SET(CURLOPT_TIMEOUT_MS, (long)r->total_ms);
    if (r->allow)
        SET(CURLOPT_FORBID_REUSE, 1L); // nobody else goes where this was let go to
    SET(CURLOPT_HEADERFUNCTION, header_cb);
    SET(CURLOPT_HEADERDATA, f);
    if (r->ca_file)
        SET(CURLOPT_CAINFO, r->ca_file);
    if (r->body || r->method)
        SET(CURLOPT_FRESH_CONNECT, 1L); // on a kept connection that turns out dead curl would send it a second time
    if (r->body) {
        SET(CURLOPT_POSTFIELDS, f->body);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_n);
    }
    if (r->method)
        SET(CURLOPT_CUSTOMREQUEST, r->method);
#undef SET
    return c == CURLE_OK;
}

enum err fetch_start(const struct fetch_req *r, struct fetch **ret)
{
    if (!check_url(r->url))
        return ERR_INVALID_FIELD;
    struct fetch *f = calloc(1, sizeof *f);
    if (!f)
        return ERR_NO_MEMORY;
    list_init(&f->at);
    f->data = r->data;
    f->done = r->done;
    f->header = r->header;
    f->allow = r->allow;
    f->u = r->u;
    f->easy = curl_easy_init();
    f->body = r->body ? malloc(r->body_n + 1) : NULL;
    if (!f->easy || (r->body && !f->body))
        goto fail;
    if (r->body)
        memcpy(f->body, r->body, r->body_n);
    if (!headers(f, r) || !options(f, r) || curl_multi_add_handle(multi, f->easy) != CURLM_OK)
        goto fail;
    list_push_back(&all, &f->at);
    *ret = f;
    return ERR_OK;

fail:
    if (f->easy)
        curl_easy_cleanup(f->easy);
    curl_slist_free_all(f->headers);
    free(f->body);
    free(f);
    return ERR_NO_MEMORY;
}

void fetch_cancel(struct fetch *f)
{
    if (f)
        finish(f);
}
