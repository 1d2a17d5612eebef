// What most commands are: one request, and its answer as a list, an object, a line or a text. And what the others build on.
#pragma once
#include <stdbool.h>
#include "argv.h"
#include "client.h"
#include "json_in.h"
#include "json_out.h"
#include "table.h"

enum { RUN_ID_MAX = 64, RUN_NAMES_MAX = 4, RUN_BODY_MAX = 16 * 1024 * 1024, RUN_SECRET_MAX = 2048 };

struct run {
    const struct command *command;
    struct argv argv;
    struct client client;
    bool json, raw;
    char names[RUN_NAMES_MAX][RUN_ID_MAX]; // ids that names stood for
    unsigned n_names;
    struct buf out;   // for standard output
    struct buf body;  // of the request
    struct buf path;  // of the request, with its query
    struct buf secret; // what was asked for or read for the body
    int status;       // what a callback that failed wants us to end with
};

void run_init(struct run *r);
void run_fini(struct run *r);

// Whole commands.
int run_list(struct run *r);   // a bare array, page by page; --watch draws it again and again
int run_get(struct run *r);    // an object
int run_act(struct run *r);    // a request with the options as its body, for each argument; one line each
int run_text(struct run *r);   // a text as it comes

// Pieces.
const char *run_opt(const struct run *r, const char *name); // NULL: not given
const char *run_arg(const struct run *r, unsigned n);       // NULL: not given
uint64_t run_opt_number(const struct run *r, const char *name, uint64_t def);
// The id of a thing of that kind ("task", "desktop") by id, number or name. NULL: it has said why, r->status is set.
const char *run_id(struct run *r, const char *kind, const char *name);
// r->path from a template: {task} is replaced by the arguments in turn, from the n-th; with the query of the options.
bool run_path(struct run *r, const char *template, unsigned n);
// r->body is one object: the members of the options, after what `more` (or NULL) writes. *ret_n: how many options it has.
bool run_body(struct run *r, void (*more)(struct run *r, struct json *j), unsigned *ret_n);
// Asks r->path. NULL body: none. The answer's object, or NULL where there is none or *ret_status is not 0. Free with json_decref.
json_t *run_ask(struct run *r, const char *method, bool with_body, int *ret_status);
json_t *run_ask_safe(struct run *r, const char *method, bool with_body, const char *idempotency, int *ret_status);
// JSON of the server's into r->out, for --json: harmless for a terminal unless --raw.
void run_put_json(struct run *r, const char *text, size_t n);
// The last answer's text: for --json.
void run_print_json(struct run *r);
void run_print_line(struct run *r, const json_t *o);
// A new password: asked for twice on a terminal, else a line of standard input. false: it has said why, r->status is set.
bool run_password(struct run *r, const char **ret);
int run_usage(struct run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3))); // EXIT_USAGE
// The members of a bare array, each as an object. false from the callback: enough.
int run_each(struct run *r, const char *path, bool (*item)(void *u, const json_t *o, const char *text, size_t n), void *u);

// Rows of the command's columns, as a table or as JSON; what it writes goes to r->out.
struct lister {
    struct run *r;
    struct table table;
    const struct column *columns;
    uint64_t n, left;
    bool streaming; // r->out is written as it fills
    bool failed;
};
void lister_begin(struct lister *l, struct run *r, const struct column *columns, uint64_t limit, bool streaming);
bool lister_item(void *l, const json_t *o, const char *text, size_t n); // false: enough
void lister_end(struct lister *l);
// Draws what `draw` leaves in r->out every two seconds, until Ctrl-C.
int run_watch(struct run *r, int (*draw)(struct run *r));
