// Liveness: this process answers. Readiness: it can also reach the broker, and is not about to stop.
#include "api.h"
#include "gateway.h"
#include "hub.h"
#include "peer.h"
#include "request.h"

static void say(struct request *r, const char *what)
{
    struct json *j = request_json();

    json_open(j, '{');
    json_key(j, "status");
    json_str(j, what);
    json_key(j, "version");
    json_str(j, MC_VERSION);
    json_close(j, '}');
    request_send(r, 200);
}

void api_health(struct request *r)
{
    say(r, "ok");
}

void api_ready(struct request *r)
{
    const struct gateway *gw = r->x->gw;

    if (gw->draining)
        request_refuse(r, 503, "DRAINING", "This gateway is about to stop");
    else if (!peer_is_up(gw->peer) || hub_unheard(gw->hub)) // gone, or standing still
        request_fail(r, ERR_UNAVAILABLE, NULL, NULL);
    else
        say(r, "ready");
}
