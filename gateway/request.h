// One request of the REST side, from routing to its answer: who it is from, what it asked the broker, and how it is answered.
// Each of the functions that answer ends the request: neither it nor its exchange may be touched after.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "ask.h"
#include "check.h"
#include "cred.h"
#include "exchange.h"
#include "json_in.h"
#include "json_out.h"
#include "password.h"
#include "route.h"
#include "wire.pb-c.h"

typedef void request_answered(struct request *r, const Wire__Answer *a);

struct request {
    struct exchange *x;
    const struct route *row;      // NULL: no such path or method, to be told once the credential is known
    unsigned allow;
    uint64_t id;                  // the path's :id
    uint64_t newest;              // event number that the answer at hand reflects
    request_answered *answered;
    Wire__Answer__BodyCase want;
    struct ask_call ask;
    struct cred_call cred;
    struct password_call password;
    struct list at;               // hot.c: among those who wait for one answer
    void *own;                    // a handler's; freed with free()
    size_t own_secret;            // octets of it to be wiped before
};

// Sets x->u and x->gone. NULL without memory.
struct request *request_new(struct exchange *x);
// Lets go of the exchange, which another handler takes from here on (api_output, the hub).
void request_let_go(struct request *r);

// The actor and, in `item`, the body must be set. answered() is called with the broker's answer of that kind; any error is
// answered here. BODY__NOT_SET as `want`: any.
void request_ask(struct request *r, Wire__Item *item, Wire__Answer__BodyCase want, request_answered *answered);
// A query or command that needs an id alone.
void request_ask_target(struct request *r, Wire__Item__BodyCase what, uint64_t id, Wire__Answer__BodyCase want,
                        request_answered *answered);

// The body as an object: free with json_decref. False: it has been answered.
bool request_body(struct request *r, json_t **ret);

// A command made from the body. fill() fills m, which is its message or begins with it, and judges it; what it refuses, and a
// body that is no object, is answered here.
typedef enum err request_fill(struct request *r, const json_t *body, void *m, struct fault *f);
void request_ask_body(struct request *r, request_fill *fill, void *m, Wire__Item__BodyCase what, Wire__Answer__BodyCase want,
                      request_answered *answered);

// Overwrites the body with zeros, once all that is wanted has been read from it: it held a secret.
void request_wipe_body(struct request *r);

// The writer every answer shares; empty. What it holds is sent by request_send.
struct json *request_json(void);
void request_send(struct request *r, unsigned status);
void request_empty(struct request *r, unsigned status);
void request_done(struct request *r, const Wire__Answer *a); // a request_answered: 204, whatever the answer says
void request_fail(struct request *r, enum err e, const char *field, const char *text); // NULL or "": none
void request_refuse(struct request *r, unsigned status, const char *code, const char *text);
// A query parameter is at fault.
void request_bad_query(struct request *r, const char *name, const char *text);
// The largest an answer may become in the writer: a page of the broker's with every octet escaped.
enum { REQUEST_JSON_MAX = 32 * 1024 * 1024, REQUEST_BODY_MAX = 1024 * 1024 };
