// Workers: who executes what, and a new one's secret, made here and shown once: the broker gets the public half.
#include "api.h"
#include <stdlib.h>
#include <string.h>
#include "crypto.h"
#include "request.h"
#include "shape.h"
#include "shape_body.h"

enum { PEER_WORKER = 2 };

static void listed(struct request *r, const Wire__Answer *a)
{
    struct json *j = request_json();

    json_open(j, '[');
    for (size_t i = 0; i < a->workers->n_workers; i++)
        shape_worker(j, a->workers->workers[i], NULL);
    json_close(j, ']');
    request_send(r, 200);
}

void api_worker_list(struct request *r)
{
    request_ask_target(r, WIRE__ITEM__BODY_WORKER_LIST, 0, WIRE__ANSWER__BODY_WORKERS, listed);
}

static void shown(struct request *r, const Wire__Answer *a)
{
    shape_worker(request_json(), a->worker, NULL);
    request_send(r, 200);
}

void api_worker_drain(struct request *r)
{
    request_ask_target(r, WIRE__ITEM__BODY_WORKER_DRAIN, r->id, WIRE__ANSWER__BODY_WORKER, shown);
}

static void added(struct request *r, const Wire__Answer *a)
{
    struct peer_key *k = r->own;
    char line[PEER_KEY_TEXT_MAX];

    peer_key_text(k, line);
    shape_worker(request_json(), a->worker, line);
    crypto_wipe(line, sizeof line);
    request_send(r, 201);
}

struct new_worker {
    Wire__WorkerAdd m;
    uint8_t public[PEER_PUBLIC_SIZE];
};

static enum err add(struct request *r, const json_t *body, void *m, struct fault *f)
{
    struct new_worker *w = m;
    struct peer_key *k = r->own = calloc(1, sizeof *k); // until the answer; freed with the request

    r->own_secret = k ? sizeof *k : 0;
    enum err e = k ? shape_worker_add(body, &w->m, f) : ERR_NO_MEMORY;
    if (e)
        return e;
    memset(w->public, 0, sizeof w->public);
    w->m.public_key = (ProtobufCBinaryData){ sizeof w->public, w->public };
    e = check_worker_add(&w->m, f); // the name first: a key is made for a good one only
    if (e)
        return e;
    peer_key_make(k, PEER_WORKER, w->m.name);
    memcpy(w->public, k->public, sizeof w->public);
    return ERR_OK;
}

void api_worker_add(struct request *r)
{
    struct new_worker w;

    request_ask_body(r, add, &w, WIRE__ITEM__BODY_WORKER_ADD, WIRE__ANSWER__BODY_WORKER, added);
}
