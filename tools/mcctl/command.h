// What a command is: its words, arguments and options, and what it asks for. commands.c has the one table of them; argv, help and
// the completions are made from it.
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct run;

enum option_kind {
    OPT_SWITCH,   // takes no value: true
    OPT_TEXT,
    OPT_NUMBER,   // whole
    OPT_DECIMAL,  // with a fraction
    OPT_BOOL,     // yes or no
    OPT_WORD,     // one of `words`
    OPT_LIST,     // separated by commas
    OPT_TIME,     // ISO 8601, or how long ago ("15m"), or from now where it is to come ("+30d")
    OPT_DESKTOP,  // an id or a name
    OPT_AGENT,
    OPT_SESSION,  // an id or a number
    OPT_UNIX,     // as OPT_TIME, told as seconds
    OPT_FILE,     // a file whose first line is the value
    OPT_PASSWORD, // a switch: the value is asked for without echo
    OPT_NULL,     // a switch: takes a member away
};

struct option {
    const char *name; // "desktop": --desktop
    char letter;      // 0: none
    enum option_kind kind;
    const char *arg;   // what the help calls the value; NULL for a switch
    const char *words; // of OPT_WORD: "low|medium|high"
    const char *to;    // "?status": a parameter of the query; "chat.url": a member of the body; NULL: for the function alone.
                       // Members of one object stand together.
    const char *help;
};

enum cell { CELL_TEXT, CELL_STATUS, CELL_TIME, CELL_UNIX, CELL_PERCENT, CELL_BYTES, CELL_MS };
struct column {
    const char *head;
    const char *path; // "id", "error.code"
    enum cell kind;
    bool flex;        // gives way when the terminal is narrow
};

struct command {
    const char *words;   // "task list"
    const char *alias;   // "tasks|task ls"; NULL: none
    const char *args;    // "TASK", "[TASK]", "TASK...", "[COMMAND...]"; "" for none
    const char *about;   // what it does, in one line
    const char *more;    // paragraphs for its own help; NULL: none
    int (*run)(struct run *r); // gives the exit status
    const char *method, *path; // of the request; an argument stands as {task}, which also says what kind of name it is
    const char *member;        // of the body that the first argument becomes; NULL: none
    const struct option *const *options; // groups, NULL after the last; a group ends with a nameless option
    const struct column *columns;        // ends with a headless one
};

// The table and the options that every command has; both end with a row without words or name.
extern const struct command commands[];
extern const struct option global_options[];

// The n-th option of a command (its own first, then those of all); NULL after the last.
const struct option *command_option(const struct command *c, unsigned n);
// By its words or one of its other names. NULL: none.
const struct command *command_find(const struct command *table, const char *words);
// Whether `words` is the first word of some command.
bool command_group(const struct command *table, const char *words);
// The next of the names in "a|b|c": gives its length, 0 at the end, and moves *at behind it.
size_t command_word(const char **at, const char **ret);
