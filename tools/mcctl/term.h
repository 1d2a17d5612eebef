// What stands between us and the terminal: standard output with its end watched, colour and width, questions without echo, a line of
// progress on standard error, and the end by Ctrl-C.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_NOT_FOUND = 3, EXIT_REFUSED = 4, EXIT_STATE = 5, EXIT_AWAY = 6,
       EXIT_INTERRUPTED = 130, EXIT_PIPE = 141 };

// no_colour: by option; NO_COLOR, TERM=dumb and what is no terminal do the same.
void term_init(bool no_colour);
bool term_tty(int fd);
bool term_colour(int fd);
unsigned term_width(void);  // of standard output; 0 where that is no terminal
unsigned term_height(void);

// Writes it all; never returns on an error: quietly with EXIT_PIPE when nobody reads any more, else with a line and EXIT_FAILED.
void term_write(int fd, const void *p, size_t n);
void term_buf(int fd, struct buf *b); // writes and empties it
// One line on standard error, "mcctl: " before it. Harmless whatever it holds.
void term_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

// One line that is written over; only where standard error is a terminal. NULL takes it away.
void term_progress(const char *text);
// Asks for a line without echo; where standard input is no terminal it is read as it is. false: the end of the input, or too long.
bool term_secret(const char *question, char *out, size_t size);
// All of standard input or of a file, at most max octets. false: it has said why.
bool term_read_file(const char *path, size_t max, struct buf *ret);

// Ctrl-C ends the program with 130. With a callback it is called instead, the first time, from the signal's handler.
void term_on_interrupt(void (*cb)(void));
