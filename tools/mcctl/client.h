// One request at a time, and what becomes of it: repeated where that does no harm, explained where it does.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>
#include "buf.h"
#include "fetch.h"
#include "head.h"
#include "keyring.h"

enum { CLIENT_BODY_MAX = 64 * 1024 * 1024, CLIENT_TEXT_MAX = 1024, CLIENT_LINK_MAX = HEAD_LINK_MAX };

struct command;
struct client {
    const struct command *command; // by whose options a member at fault is named; NULL: none
    uv_loop_t loop;
    uv_timer_t timer;
    uv_async_t wake;
    struct keyring keyring;
    const char *ca_file;     // NULL: the system's
    bool interrupted;        // Ctrl-C, where client_hold_interrupt() was called
    bool quiet;              // errors are only returned
    struct fetch *fetch;     // under way
    const struct client_req *req;
    struct client_answer *answer;
    bool done, fired, delivered;
};

struct client_req {
    const char *method;      // NULL: GET
    const char *path;        // with its query
    const char *body;        // JSON; NULL: none
    size_t body_n;
    const char *accept;      // NULL: JSON
    const char *idempotency; // a key: the request may be repeated
    const char *last_id;     // of a stream; NULL: none
    bool stream;             // it goes on for ever: no limit but a silence longer than heartbeats leave
    bool bare;               // without a credential
    bool (*data)(void *u, const uint8_t *p, size_t n); // of a 200; NULL: into the answer's body. false: enough
    void *u;
};

struct client_answer {
    enum err err;            // ERR_OK: there is a status; ERR_CLOSED: data had enough, or Ctrl-C
    unsigned status;
    struct buf body;
    struct head head;
    bool connected;
    char code[64], field[64], text[CLIENT_TEXT_MAX]; // of an error
};

// false: it has said why; *ret_status is what to end with.
bool client_open(struct client *c, const char *url, const char *key_file, const char *ca_file, int *ret_status);
void client_close(struct client *c);
void client_answer_init(struct client_answer *a);
void client_answer_fini(struct client_answer *a);
// The whole of it. Gives EXIT_OK for a 2xx; else it has said why (unless c->quiet), and gives what to end with.
int client_do(struct client *c, const struct client_req *r, struct client_answer *a);
// Says what went wrong.
void client_complain(const struct client *c, const struct client_req *r, const struct client_answer *a);
// Waits; false: Ctrl-C meanwhile.
bool client_pause(struct client *c, uint64_t ms);
// From here on Ctrl-C only sets c->interrupted, once, and ends what is under way.
void client_hold_interrupt(struct client *c);
// A new key for a request that must not be done twice.
enum { CLIENT_IDEMPOTENCY_SIZE = 40 };
void client_idempotency(char out[CLIENT_IDEMPOTENCY_SIZE]);
