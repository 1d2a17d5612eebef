// The query parameters that several lists share, judged as contract.md section 3 says.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "names.h"
#include "request.h"

// Each leaves *ret alone where the parameter is absent. False: it was at fault and the request has been answered.
// words: what find() knows, for those who gave something else.
bool params_word(struct request *r, const char *name, unsigned (*find)(const char *), const char *words, uint32_t *ret);
// An id that is none of its kind names nothing: *nothing becomes true.
bool params_id(struct request *r, const char *name, enum entity kind, uint64_t *ret, bool *nothing);
bool params_number(struct request *r, const char *name, uint64_t min, uint64_t max, uint64_t *ret);
// Where the next page starts: an id of that kind, or its number.
bool params_before(struct request *r, enum entity kind, uint64_t *ret);
// The same of a list that is oldest first; 0 is its beginning.
bool params_after(struct request *r, enum entity kind, uint64_t *ret);
// A list of words with commas between. word(u, text) for each, in order; *given: there was one.
typedef void params_word_cb(void *u, const char *word);
bool params_list(struct request *r, const char *name, params_word_cb *word, void *u, bool *given);
// A list of ids. Those that are none of their kind name nothing; more than max: at fault.
struct params_ids {
    uint64_t *ids;
    size_t n, max;
    bool given;
};
bool params_ids(struct request *r, const char *name, enum entity kind, struct params_ids *ret);
bool params_time(struct request *r, const char *name, uint64_t *ret_ms); // ISO 8601
bool params_flag(struct request *r, const char *name, bool *ret);        // true or false
// out: what to look for, at most size - 1 octets; untouched if absent.
bool params_text(struct request *r, const char *name, char *out, size_t size);
