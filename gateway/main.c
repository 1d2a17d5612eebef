// mc-gateway: options, the parts and how they are joined, signals. Happy path: main() -> listen -> READY -> the loop -> SIGTERM ->
// drain -> _exit. A gateway starts and serves whether or not the broker can be reached.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "ask.h"
#include "cache.h"
#include "conf.h"
#include "cred.h"
#include "crypto.h"
#include "fault.h"
#include "hub.h"
#include "log.h"
#include "notify.h"
#include "password.h"
#include "peer.h"
#include "quota.h"
#include "routes.h"
#include "self.h"
#include "server.h"
#include "throttle.h"
#include "uses.h"

enum { DRAIN_SPREAD_MS = 2000, DRAIN_MAX_MS = 10000,
       FDS_KEPT = 64 }; // descriptors that are not for connections

static const char program[] = "mc-gateway";

static struct {
    const char *http, *broker, *data, *gateway_key, *rate_limit, *tls_cert, *tls_key, *allowed_hosts, *trusted_proxies,
        *max_connections, *port_file, *log_level, *access_log;
} conf;

static const struct conf_opt options[] = {
    { "http", "ADDRESS:PORT", "where to listen; port 0 picks a free one; IPv6 in brackets\n(sockets handed over by systemd come first)", "127.0.0.1:8080", &conf.http },
    { "data", "DIR", "the state directory, for the defaults below", "./data", &conf.data },
    { "broker", "URL[,URL]", "the broker's request address (default ipc://DATA/run/broker.ipc)", NULL, &conf.broker },
    { "gateway-key", "FILE", "this gateway's key (default DATA/gateway.key)", NULL, &conf.gateway_key },
    { "rate-limit", "N", "requests a minute and key; 0: no limit", "1200", &conf.rate_limit },
    { "tls-cert", "FILE", "serve TLS with this certificate chain (PEM)", NULL, &conf.tls_cert },
    { "tls-key", "FILE", "and this key (PEM)", NULL, &conf.tls_key },
    { "allowed-hosts", "NAME[,NAME]", "host names answered besides IP addresses, localhost and this machine's name", NULL, &conf.allowed_hosts },
    { "trusted-proxies", "ADDRESS[/BITS][,...]", "whose X-Forwarded-For, -Proto and -Host are believed", NULL, &conf.trusted_proxies },
    { "max-connections", "N", "more than that wait to be accepted", "20000", &conf.max_connections },
    { "port-file", "FILE", "write the port there once listening", NULL, &conf.port_file },
    { "log-level", "WORD", "error, warn, info or debug", "info", &conf.log_level },
    { "access-log", NULL, "a line for each request (never a key)", NULL, &conf.access_log },
};

struct program {
    uv_loop_t *loop;
    struct gateway gw;
    struct trust trust;
    struct server *server;
    struct peer_key key;
    uv_signal_t sigterm, sigint;
    uv_timer_t deadline;
};

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s: %s\n", program, what, why);
    exit(1);
}

static void check(enum err e, const char *what)
{
    if (e)
        die(what, err_text(e));
}

static const char *path_in(const char *dir, const char *prefix, const char *name)
{
    size_t n = strlen(prefix) + strlen(dir) + strlen(name) + 2;
    char *p = malloc(n);

    if (!p)
        die("start", err_text(ERR_NO_MEMORY));
    snprintf(p, n, "%s%s/%s", prefix, dir, name);
    return p;
}

// ---- stopping. nng's threads and descriptors end with the process: closing them could only hang.
static _Noreturn void stop(struct program *p)
{
    if (p->gw.peer)
        peer_stop(p->gw.peer);
    log_info("stopped");
    _exit(0);
}

static void drained_cb(void *u)
{
    stop(u);
}

static void deadline_cb(uv_timer_t *t)
{
    log_warn("stopping with requests or streams unfinished");
    stop(t->data);
}

static void signal_cb(uv_signal_t *h, int number)
{
    struct program *p = h->data;

    if (p->gw.draining)
        stop(p);
    log_info("signal %d: draining", number);
    p->gw.draining = true;
    notify_stopping();
    hub_drain(p->gw.hub, DRAIN_SPREAD_MS);
    server_drain(p->server, drained_cb, p);
    if (uv_timer_start(&p->deadline, deadline_cb, DRAIN_MAX_MS, 0) != 0)
        stop(p);
}

// ---- the broker's connection
static void up_cb(void *u, const Wire__Welcome *w)
{
    struct program *p = u;

    log_info("connected to the broker (version %s)", w->version);
    notify_status("connected to the broker");
    hub_up(p->gw.hub);
}

static void down_cb(void *u)
{
    struct program *p = u;

    notify_status("the broker cannot be reached");
    hub_down(p->gw.hub);
}

static void heard_cb(void *u, char topic, const uint8_t *data, size_t n)
{
    struct program *p = u;

    hub_heard(p->gw.hub, topic, data, n);
}

static void start_parts(struct program *p, uint32_t per_minute)
{
    struct gateway *gw = &p->gw;
    if (!conf.gateway_key)
        conf.gateway_key = path_in(conf.data, "", "gateway.key");
    if (!conf.broker)
        conf.broker = path_in(conf.data, "ipc://", "run/broker.ipc");
    const char *key = conf.gateway_key;
    enum err e = peer_key_read(&p->key, key);

    if (e)
        die(key, e == ERR_NOT_FOUND ? "there is no such key file (the broker makes one at its first start)" : "this is no peer's key file");
    if (p->key.role != 1)
        die(key, "this is not a gateway's key");
    gw->quota = quota_new(per_minute);
    gw->cache = cache_new(CACHE_BYTES);
    gw->throttle = throttle_new();
    if (!gw->quota || !gw->cache || !gw->throttle)
        die("start", err_text(ERR_NO_MEMORY));
    check(routes_figures(&gw->figures), "figures");
    check(ask_new(gw, &gw->ask), "requests");
    check(cred_new(gw, &gw->cred), "credentials");
    check(hub_new(gw, &gw->hub), "streams");
    check(passwords_new(gw, &gw->passwords), "passwords");
    check(uses_start(gw), "uses of keys");
    check(peer_new(&(struct peer_conf){ .loop = p->loop, .key = &p->key, .topics = "EL", .up = up_cb, .down = down_cb,
                                        .heard = heard_cb, .u = p, .urls = conf.broker },
                   &gw->peer), "broker");
}

// ---- listening
static void write_port(unsigned port)
{
    char text[16];
    int n = snprintf(text, sizeof text, "%u\n", port);
    char *temporary;

    if (!conf.port_file)
        return;
    if (asprintf(&temporary, "%s.new", conf.port_file) < 0)
        die("start", err_text(ERR_NO_MEMORY));
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, (size_t)n) != n || close(fd) != 0 || rename(temporary, conf.port_file) != 0)
        die(conf.port_file, strerror(errno));
    free(temporary);
}

static void listen_all(struct program *p)
{
    int inherited = notify_listen_fds();
    char at[64], why[160] = "";
    unsigned port = 0;

    for (int fd = 3; fd < 3 + inherited; fd++) {
        check(server_listen_fd(p->server, fd, at, &port), "the socket handed over");
        log_info("listening on %s (handed over)", at);
    }
    if (!inherited) {
        enum err e = server_listen(p->server, conf.http, at, &port, why);
        if (e == ERR_BAD_REQUEST)
            conf_usage(program, "--http: %s", why);
        if (e)
            die("listen", why);
        log_info("listening on %s", at);
    }
    write_port(port);
}

static unsigned descriptors(uint64_t wanted)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return 900;
    r.rlim_cur = r.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &r) != 0 && getrlimit(RLIMIT_NOFILE, &r) != 0)
        return 900;
    if (r.rlim_cur < wanted + FDS_KEPT)
        wanted = r.rlim_cur > 2 * FDS_KEPT ? r.rlim_cur - FDS_KEPT : FDS_KEPT;
    return (unsigned)wanted;
}

static void believe(struct program *p)
{
    static char name[256];

    check(trust_add_hosts(&p->trust, "localhost"), "host names");
    if (gethostname(name, sizeof name - 1) == 0 && trust_add_hosts(&p->trust, name) != ERR_OK)
        log_warn("this machine's own name is not answered to: '%s'", name);
    if (conf.allowed_hosts && trust_add_hosts(&p->trust, conf.allowed_hosts) != ERR_OK)
        conf_usage(program, "--allowed-hosts: '%s' is no list of host names", conf.allowed_hosts);
    if (conf.trusted_proxies && trust_add_proxies(&p->trust, conf.trusted_proxies) != ERR_OK)
        conf_usage(program, "--trusted-proxies: '%s' is no list of addresses", conf.trusted_proxies);
}

static uint64_t number(const char *option, const char *text, uint64_t min, uint64_t max)
{
    uint64_t n;

    if (!conf_number(text, min, max, &n))
        conf_usage(program, "--%s: '%s' is no number from %llu to %llu", option, text, (unsigned long long)min, (unsigned long long)max);
    return n;
}

static struct tls *tls_of_conf(void)
{
    struct tls *tls = NULL;
    char why[256];

    if (!conf.tls_cert != !conf.tls_key)
        conf_usage(program, "--tls-cert and --tls-key go together");
    if (conf.tls_cert && tls_new(conf.tls_cert, conf.tls_key, &tls, why) != ERR_OK)
        die("TLS", why);
    return tls;
}

static void on_signal(struct program *p, uv_signal_t *h, int number)
{
    h->data = p;
    if (uv_signal_init(p->loop, h) != 0 || uv_signal_start(h, signal_cb, number) != 0)
        die("signals", "cannot be caught");
}

int main(int argc, char **argv)
{
    static struct program p;
    struct self self;
    int known;

    self_look(&self); // remembers when we began
    fault_init();

    conf_read(program, "Mission Control's HTTP front: REST and event streams.", options, sizeof options / sizeof *options, argc, argv);
    log_init(program, log_level_find(conf.log_level, &known));
    if (!known)
        conf_usage(program, "--log-level: '%s' is none of error, warn, info, debug", conf.log_level);
    uint32_t per_minute = (uint32_t)number("rate-limit", conf.rate_limit, 0, 100000000);
    uint64_t wanted = number("max-connections", conf.max_connections, 1, 1000000);
    unsigned connections = descriptors(wanted);
    believe(&p);
    signal(SIGPIPE, SIG_IGN);
    check(crypto_init(), "libsodium");
    p.loop = p.gw.loop = uv_default_loop();
    if (!p.loop || uv_timer_init(p.loop, &p.deadline) != 0)
        die("start", err_text(ERR_NO_MEMORY));
    p.deadline.data = &p;
    on_signal(&p, &p.sigterm, SIGTERM);
    on_signal(&p, &p.sigint, SIGINT);
    start_parts(&p, per_minute);
    check(server_new(&(struct server_conf){ .gw = &p.gw, .handlers = routes_handlers(), .trust = &p.trust, .tls = tls_of_conf(),
                                            .max_connections = connections,
                                            .access_log = conf.access_log && strcmp(conf.access_log, "0") != 0 },
                     &p.server), "server");
    p.gw.server = p.server;
    listen_all(&p);
    if (connections < wanted) // told last: what is wrong with the settings is told in one line, and nothing before it
        log_info("%u connections at once, not %llu: no more open files are allowed", connections, (unsigned long long)wanted);
    notify_watchdog(p.loop, NULL, NULL);
    notify_ready();
    uv_run(p.loop, UV_RUN_DEFAULT);
    stop(&p);
}
