// Happy path: password_ask -> a worker thread runs work_cb -> done_cb on the loop -> the asker's cb, and the next in the queue.
// The asker goes away: a job that waits is dropped, one that runs ends for nobody.
#include "password.h"
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <uv.h>
#include "check.h"
#include "crypto.h"
#include "gateway.h"
#include "list.h"

enum { TEXT_MAX = 4 * PASSWORD_MAX + 1, NICE = 15 };

struct job {
    uv_work_t work;
    struct list at;             // passwords.queue, while it waits
    struct passwords *of;
    struct password_call *call; // NULL: nobody waits any more
    bool has_stored, has_given, has_fresh, running;
    char stored[PASSWORD_HASH_SIZE], given[TEXT_MAX], fresh[TEXT_MAX];
    char hashed[PASSWORD_HASH_SIZE];
    enum err err;
};

struct passwords {
    uv_loop_t *loop;
    struct list queue;
    unsigned queued, running;
};

enum err passwords_new(struct gateway *gw, struct passwords **ret)
{
    struct passwords *p = calloc(1, sizeof *p);

    if (!p)
        return ERR_NO_MEMORY;
    p->loop = gw->loop;
    list_init(&p->queue);
    *ret = p;
    return ERR_OK;
}

void passwords_free(struct passwords *p)
{
    free(p);
}

static void job_free(struct job *j)
{
    crypto_wipe(j->given, sizeof j->given);
    crypto_wipe(j->fresh, sizeof j->fresh);
    crypto_wipe(j->stored, sizeof j->stored);
    crypto_wipe(j->hashed, sizeof j->hashed);
    free(j);
}

// On a thread of the pool.
static enum err compute(struct job *j)
{
    bool right = !j->has_given || (j->has_stored && crypto_password_verify(j->stored, j->given));

    if (j->has_given && !j->has_stored) { // nobody's: as much work, for nothing
        enum err e = crypto_password_hash(j->given, j->hashed);
        j->hashed[0] = 0;
        return e ? e : ERR_UNAUTHORIZED;
    }
    if (!right)
        return ERR_UNAUTHORIZED;
    if (j->has_fresh)
        return crypto_password_hash(j->fresh, j->hashed);
    return crypto_password_stale(j->stored) ? crypto_password_hash(j->given, j->hashed) : ERR_OK;
}

// Linux counts niceness by thread: these give way to the loop's, so that a tenth of a second of work holds nobody up.
static void give_way(void)
{
    static _Thread_local bool done;

    if (!done)
        (void)setpriority(PRIO_PROCESS, 0, NICE); // where that is not allowed it is as it was
    done = true;
}

static void work_cb(uv_work_t *w)
{
    struct job *j = container_of(w, struct job, work);

    give_way();
    j->err = compute(j);
}

static void start_next(struct passwords *p);

static void done_cb(uv_work_t *w, int status)
{
    struct job *j = container_of(w, struct job, work);
    struct passwords *p = j->of;
    struct password_call *c = j->call;

    p->running--;
    if (c) {
        c->impl = NULL;
        c->cb(c, status == 0 ? j->err : ERR_INTERNAL, j->hashed);
    }
    job_free(j);
    start_next(p);
}

static void start_next(struct passwords *p)
{
    struct list *n;

    while (p->running < PASSWORD_AT_ONCE && (n = list_pop_front(&p->queue))) {
        struct job *j = container_of(n, struct job, at);
        p->queued--;
        p->running++;
        j->running = true;
        if (uv_queue_work(p->loop, &j->work, work_cb, done_cb) != 0)
            abort(); // it fails without a work function only
    }
}

static bool copy(char *to, size_t size, const char *from, bool *ret_has)
{
    *ret_has = from != NULL;
    if (from && strlen(from) >= size)
        return false;
    if (from)
        memcpy(to, from, strlen(from) + 1);
    return true;
}

enum err password_ask(struct passwords *p, struct password_call *c, const char *stored, const char *given, const char *fresh)
{
    if (p->queued >= PASSWORD_QUEUE)
        return ERR_OVERLOADED;
    struct job *j = calloc(1, sizeof *j);
    if (!j)
        return ERR_NO_MEMORY;
    j->of = p;
    j->call = c;
    if (!copy(j->stored, sizeof j->stored, stored, &j->has_stored) || !copy(j->given, sizeof j->given, given, &j->has_given) ||
        !copy(j->fresh, sizeof j->fresh, fresh, &j->has_fresh)) {
        job_free(j);
        return ERR_TOO_BIG;
    }
    c->impl = j;
    list_push_back(&p->queue, &j->at);
    p->queued++;
    start_next(p);
    return ERR_OK;
}

void password_cancel(struct password_call *c)
{
    struct job *j = c->impl;

    if (!j)
        return;
    c->impl = NULL;
    if (j->running) {
        j->call = NULL;
        return;
    }
    list_remove(&j->at);
    j->of->queued--;
    job_free(j);
}
