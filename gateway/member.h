// Members of a request's body, by name, with the words that refuse them. Pure.
//
// `field` is the member's path as an error names it ("chat.url"); o is the object that holds it, under the last of its names.
// ERR_INVALID_FIELD with *f filled. Each leaves *ret alone where the member is absent or null, which *given tells; given may be NULL.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "check.h"
#include "err.h"
#include "json_in.h"

enum err member_refuse(struct fault *f, const char *field, const char *why); // gives ERR_INVALID_FIELD
// protobuf-c has no const in its structs; what is packed is only read.
char *member_lent(const char *s);

// Text is lent by the body.
MUST_USE enum err member_str(const json_t *o, const char *field, const char **ret, bool *given, struct fault *f);
MUST_USE enum err member_text(const json_t *o, const char *field, char **ret, bool *given, struct fault *f);
// The empty string says "not given" on the wire, so it is refused here.
MUST_USE enum err member_filled(const json_t *o, const char *field, char **ret, bool *given, struct fault *f);
// An array of texts, into at; ret_n: how many, untouched if absent.
MUST_USE enum err member_texts(const json_t *o, const char *field, char **at, size_t max, size_t *ret_n, bool *given, struct fault *f);
MUST_USE enum err member_word(const json_t *o, const char *field, unsigned (*find)(const char *), uint32_t *ret, bool *given,
                              struct fault *f);
MUST_USE enum err member_u32(const json_t *o, const char *field, uint32_t min, uint32_t *ret, bool *given, struct fault *f);
MUST_USE enum err member_bool(const json_t *o, const char *field, bool *ret, bool *given, struct fault *f);
// Percent with decimals, to hundredths.
MUST_USE enum err member_percent(const json_t *o, const char *field, uint32_t *ret, bool *given, struct fault *f);
// ERR_UNKNOWN_DESKTOP for what cannot be the id of one.
MUST_USE enum err member_desktop(const json_t *o, const char *field, uint64_t *ret, bool *given, struct fault *f);
MUST_USE enum err member_object(const json_t *o, const char *field, const json_t **ret, struct fault *f);
