#include "driver.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// The content is expanded inside the string that eval gets, so descriptor 3 is closed before the first word of it runs.
static const char *const by_fd = "eval \"exec 3<&-\n$(cat <&3)\"";

struct env {
    struct driver_cmd *c;
    size_t used;
    unsigned n;
    bool full;
};

__attribute__((format(printf, 2, 3))) static void add(struct env *e, const char *fmt, ...)
{
    va_list ap;
    char *at = e->c->text + e->used;
    size_t room = sizeof e->c->text - e->used;
    va_start(ap, fmt);
    int n = vsnprintf(at, room, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= room || e->n == DRIVER_ENV_MAX) {
        e->full = true;
        return;
    }
    e->c->env[e->n++] = at;
    e->c->env[e->n] = NULL;
    e->used += (size_t)n + 1;
}

enum err driver_command(const struct driver_run *r, const struct driver_user *u, struct driver_cmd *ret)
{
    char id[ID_TEXT_MAX];
    struct env e = { .c = ret };
    if (r->driver != DRIVER_LOCAL)
        return ERR_INVALID_FIELD;
    ret->content_by_fd = strlen(r->content) > DRIVER_ARG_MAX;
    ret->argv[0] = "/bin/sh";
    ret->argv[1] = "-c";
    ret->argv[2] = "--"; // a content that begins with a dash is still a command
    ret->argv[3] = ret->content_by_fd ? by_fd : r->content;
    ret->argv[4] = NULL;
    ret->cwd = u->home;
    add(&e, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    add(&e, "HOME=%s", u->home);
    add(&e, "USER=%s", u->name);
    add(&e, "LOGNAME=%s", u->name);
    add(&e, "SHELL=/bin/sh");
    add(&e, "LANG=C.UTF-8");
    id_format(id, ENTITY_TASK, r->task);
    add(&e, "MC_TASK_ID=%s", id);
    id_format(id, ENTITY_SESSION, r->session);
    add(&e, "MC_SESSION_ID=%s", id);
    add(&e, "MC_ATTEMPT=%u", r->attempt);
    add(&e, "MC_RUN=%s", r->run);
    return e.full ? ERR_INVALID_FIELD : ERR_OK;
}
