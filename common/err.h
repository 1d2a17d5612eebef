// The errors our functions return, and the codes the API shows. One table.
// Codes of libuv, LMDB, nng and libcurl become one of these in the one file that includes their header.
#pragma once
#include <stdbool.h>

#define MUST_USE __attribute__((warn_unused_result))

// name (its text is the public code), default text for people. Numbers go over the wire, and programs are upgraded apart: add at the
// end, never reorder.
#define ERR_TABLE(E) \
    E(OK,                   "") \
    /* the asker's fault */ \
    E(BAD_REQUEST,          "The request cannot be understood") \
    E(BAD_JSON,             "The body is not valid JSON") \
    E(MISSING_FIELD,        "A required field is missing") \
    E(INVALID_FIELD,        "A field has a value that is not allowed") \
    E(UNKNOWN_DESKTOP,      "There is no such desktop") \
    E(UNAUTHORIZED,         "A valid credential is needed") \
    E(FORBIDDEN,            "Your role does not allow this") \
    E(NOT_FOUND,            "There is no such object") \
    E(BAD_STATE,            "The object is not in the state this needs") \
    E(DESKTOP_STOPPED,      "The desktop is stopped: start it first") \
    E(NO_AGENT,             "The desktop has no chat endpoint: prompts need one") \
    E(DESKTOP_IN_USE,       "The desktop still has unfinished tasks") \
    E(IDEMPOTENCY_MISMATCH, "This Idempotency-Key was used with another body") \
    E(TOO_BIG,              "It is larger than the limit") \
    /* between the programs */ \
    E(NOT_GREETED,          "The peer has not introduced itself") \
    E(STALE_ATTEMPT,        "The attempt is no longer the current one") \
    E(NOT_LEADER,           "This broker does not lead") \
    E(OUTCOME_UNKNOWN,      "The change may or may not have happened: look before you repeat it") \
    /* the system's */ \
    E(UNAVAILABLE,          "The broker cannot be reached: try again") \
    E(OVERLOADED,           "Too much at once: try again") \
    E(STORAGE_FULL,         "The disk or the database is full: nothing was changed") \
    E(STORAGE_ERROR,        "The database reported an input or output error") \
    E(CORRUPT,              "A stored record is damaged") \
    E(NO_MEMORY,            "Out of memory") \
    E(TIMEOUT,              "It took too long") \
    E(CLOSED,               "The connection is closed") \
    E(AGAIN,                "Not now") \
    E(IO,                   "Input or output failed") \
    E(INTERNAL,             "Something is wrong inside") \
    /* later than the first version */ \
    E(NAME_TAKEN,           "This name is taken already") \
    E(LAST_ADMIN,           "No enabled admin would be left in the workspace")

enum err {
#define E(name, text) ERR_##name,
    ERR_TABLE(E)
#undef E
    ERR_N
};

// "BAD_STATE" for ERR_BAD_STATE; "INTERNAL" for a number that is none of ours. Lent, for ever.
const char *err_name(enum err e);
// The default sentence. Lent, for ever.
const char *err_text(enum err e);
// A number that came over the wire; one we do not know is ERR_INTERNAL.
enum err err_from_wire(unsigned n);
