#include "params.h"
#include <stdio.h>
#include <string.h>
#include "check.h"
#include "query.h"

enum { WHY_MAX = 120 };

struct value {
    struct text t;
    char own[QUERY_VALUE_MAX];
};
// REFUSED: it was at fault, and the request has been answered.
enum given { REFUSED, ABSENT, GIVEN };

static bool refuse(struct request *r, const char *name, const char *why)
{
    request_bad_query(r, name, why);
    return false;
}

static enum given get(struct request *r, const char *name, struct value *v)
{
    if (!r->x->query.n)
        return ABSENT;
    if (query_get(r->x->query, name, v->own, sizeof v->own, &v->t) != ERR_OK) {
        request_bad_query(r, name, "It stands there twice, or is not percent-encoded as it should be");
        return REFUSED;
    }
    if (!v->t.p)
        return ABSENT;
    if (v->t.n == 0) {
        request_bad_query(r, name, "It must not be empty");
        return REFUSED;
    }
    return GIVEN;
}

bool params_word(struct request *r, const char *name, unsigned (*find)(const char *), const char *words, uint32_t *ret)
{
    struct value v;
    char why[WHY_MAX];
    enum given g = get(r, name, &v);

    if (g != GIVEN)
        return g == ABSENT;
    *ret = find(v.t.p);
    if (*ret != 0)
        return true;
    snprintf(why, sizeof why, "It must be one of: %s", words);
    return refuse(r, name, why);
}

bool params_id(struct request *r, const char *name, enum entity kind, uint64_t *ret, bool *nothing)
{
    struct value v;
    enum given g = get(r, name, &v);

    if (g != GIVEN)
        return g == ABSENT;
    *ret = id_parse(kind, v.t.p);
    if (!*ret)
        *nothing = true;
    return true;
}

bool params_number(struct request *r, const char *name, uint64_t min, uint64_t max, uint64_t *ret)
{
    struct value v;
    enum given g = get(r, name, &v);

    if (g != GIVEN)
        return g == ABSENT;
    return query_number(v.t, min, max, ret) || refuse(r, name, "It must be a whole number");
}

static bool place(struct request *r, const char *name, enum entity kind, uint64_t least, uint64_t *ret)
{
    struct value v;
    char why[WHY_MAX];
    enum given g = get(r, name, &v);

    if (g != GIVEN)
        return g == ABSENT;
    *ret = id_parse(kind, v.t.p);
    if (*ret != 0 || query_number(v.t, least, INT64_MAX, ret))
        return true;
    snprintf(why, sizeof why, "It must be an id, such as %s_42", entity_name(kind));
    return refuse(r, name, why);
}

bool params_before(struct request *r, enum entity kind, uint64_t *ret)
{
    return place(r, "before", kind, 1, ret);
}

bool params_after(struct request *r, enum entity kind, uint64_t *ret)
{
    return place(r, "after", kind, 0, ret);
}

bool params_list(struct request *r, const char *name, params_word_cb *word, void *u, bool *given)
{
    struct value v;
    enum given g = get(r, name, &v);

    if (g != GIVEN)
        return g == ABSENT;
    *given = true;
    for (char *w = v.own, *comma; w; w = comma) {
        comma = strchr(w, ',');
        if (comma)
            *comma++ = 0;
        word(u, w);
    }
    return true;
}

struct id_list {
    struct params_ids *to;
    enum entity kind;
    bool too_many;
};

static void add_id(void *u, const char *word)
{
    struct id_list *l = u;
    uint64_t id = id_parse(l->kind, word);

    l->too_many = l->too_many || (id && l->to->n == l->to->max);
    if (id && !l->too_many)
        l->to->ids[l->to->n++] = id;
}

bool params_ids(struct request *r, const char *name, enum entity kind, struct params_ids *ret)
{
    struct id_list l = { .to = ret, .kind = kind };

    if (!params_list(r, name, add_id, &l, &ret->given))
        return false;
    return !l.too_many || refuse(r, name, "It names too many");
}

bool params_time(struct request *r, const char *name, uint64_t *ret_ms)
{
    struct value v;
    enum given g = get(r, name, &v);

    if (g != GIVEN)
        return g == ABSENT;
    *ret_ms = time_parse(v.t.p);
    return *ret_ms != 0 || refuse(r, name, "It must be a time like 2026-03-16T10:30:00Z");
}

bool params_flag(struct request *r, const char *name, bool *ret)
{
    struct value v;
    enum given g = get(r, name, &v);

    if (g != GIVEN)
        return g == ABSENT;
    *ret = strcmp(v.t.p, "true") == 0;
    return *ret || strcmp(v.t.p, "false") == 0 || refuse(r, name, "It must be true or false");
}

bool params_text(struct request *r, const char *name, char *out, size_t size)
{
    struct value v;
    enum given g = get(r, name, &v);

    if (g != GIVEN)
        return g == ABSENT;
    if (v.t.n >= size || !check_text(v.t.p, size, true))
        return refuse(r, name, "It is too long, or not text");
    memcpy(out, v.t.p, v.t.n + 1);
    return true;
}
