// OpenAI-compatible chat completions: the request's JSON, and the answer as it comes in, streamed (server-sent events) or
// whole. What a server sends is hostile until proved otherwise. Pure.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "err.h"

enum { CHAT_ANSWER_MAX = 16 * 1024 * 1024, CHAT_EVENT_MAX = 1024 * 1024, CHAT_WHY_MAX = 512 };

// system: may be "" or NULL (then there is no such message).
void chat_request(struct buf *b, const char *model, const char *system, const char *user);

struct chat_answer {
    void (*text)(void *u, const char *s, size_t n); // a piece of the answer, as it came; lent
    void *u;
    bool streamed, known, done, finished; // known: streamed or not; done: [DONE]; finished: it said why it stopped
    bool failed;
    char why[CHAT_WHY_MAX];               // what is wrong; valid UTF-8 without control characters
    uint64_t prompt_tokens, completion_tokens;
    size_t received;                      // octets
    struct buf line, event;               // what is not whole yet
    bool after_cr, has_data;
};

void chat_answer_init(struct chat_answer *a, void (*text)(void *u, const char *s, size_t n), void *u);
void chat_answer_fini(struct chat_answer *a);
// The next octets of the body. False once the answer is wrong (`why`) or done: nothing more is wanted.
bool chat_answer_feed(struct chat_answer *a, const uint8_t *p, size_t n);
// The body came to its end. False (and `why`): it was not a whole answer.
bool chat_answer_end(struct chat_answer *a);

// What a server said with a status that is an error, made fit to be shown: its own message, cut and cleaned.
void chat_error_text(char *out, size_t size, unsigned status, const uint8_t *body, size_t n);
// Copies text as valid UTF-8 on one line, without control characters, at most size-1 octets.
void chat_clean(char *out, size_t size, const char *text, size_t n);
