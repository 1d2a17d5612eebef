#include "params.h"
#include <stdio.h>
#include <string.h>
#include "check.h"
#include "query.h"

enum { WHY_MAX = 120 };

static const char empty_text[] = "It must not be empty";

static bool get(struct request *r, const char *name, char out[QUERY_VALUE_MAX], struct text *ret)
{
    if (query_get(r->x->query, name, out, QUERY_VALUE_MAX, ret) != ERR_OK) {
        request_bad_query(r, name, "It stands there twice, or is not percent-encoded as it should be");
        return false;
    }
    if (ret->p && ret->n == 0) {
        request_bad_query(r, name, empty_text);
        return false;
    }
    return true;
}

bool params_word(struct request *r, const char *name, unsigned (*find)(const char *), const char *words, uint32_t *ret)
{
    char out[QUERY_VALUE_MAX], why[WHY_MAX];
    struct text t;

    if (!r->x->query.n)
        return true;
    if (!get(r, name, out, &t))
        return false;
    if (t.p && (*ret = find(t.p)) == 0) {
        snprintf(why, sizeof why, "It must be one of: %s", words);
        request_bad_query(r, name, why);
        return false;
    }
    return true;
}

bool params_id(struct request *r, const char *name, enum entity kind, uint64_t *ret, bool *nothing)
{
    char out[QUERY_VALUE_MAX];
    struct text t;

    if (!r->x->query.n)
        return true;
    if (!get(r, name, out, &t))
        return false;
    if (t.p && (*ret = id_parse(kind, t.p)) == 0)
        *nothing = true;
    return true;
}

bool params_number(struct request *r, const char *name, uint64_t min, uint64_t max, uint64_t *ret)
{
    char out[QUERY_VALUE_MAX];
    struct text t;

    if (!r->x->query.n)
        return true;
    if (!get(r, name, out, &t))
        return false;
    if (t.p && !query_number(t, min, max, ret)) {
        request_bad_query(r, name, "It must be a whole number");
        return false;
    }
    return true;
}

static bool place(struct request *r, const char *name, enum entity kind, uint64_t least, uint64_t *ret)
{
    char out[QUERY_VALUE_MAX], why[WHY_MAX];
    struct text t;

    if (!r->x->query.n)
        return true;
    if (!get(r, name, out, &t))
        return false;
    if (!t.p || (*ret = id_parse(kind, t.p)) != 0 || query_number(t, least, INT64_MAX, ret))
        return true;
    snprintf(why, sizeof why, "It must be an id, such as %s_42", entity_name(kind));
    request_bad_query(r, name, why);
    return false;
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
    char out[QUERY_VALUE_MAX];
    struct text t;

    if (!r->x->query.n)
        return true;
    if (!get(r, name, out, &t))
        return false;
    if (!t.p)
        return true;
    *given = true;
    for (char *w = out, *comma; w; w = comma) {
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
    if (!l.too_many)
        return true;
    request_bad_query(r, name, "It names too many");
    return false;
}

bool params_time(struct request *r, const char *name, uint64_t *ret_ms)
{
    char out[QUERY_VALUE_MAX];
    struct text t;

    if (!r->x->query.n)
        return true;
    if (!get(r, name, out, &t))
        return false;
    if (!t.p || (*ret_ms = time_parse(t.p)) != 0)
        return true;
    request_bad_query(r, name, "It must be a time like 2026-03-16T10:30:00Z");
    return false;
}

bool params_flag(struct request *r, const char *name, bool *ret)
{
    char out[QUERY_VALUE_MAX];
    struct text t;

    if (!r->x->query.n)
        return true;
    if (!get(r, name, out, &t))
        return false;
    if (!t.p)
        return true;
    *ret = strcmp(t.p, "true") == 0;
    if (*ret || strcmp(t.p, "false") == 0)
        return true;
    request_bad_query(r, name, "It must be true or false");
    return false;
}

bool params_text(struct request *r, const char *name, char *out, size_t size)
{
    char value[QUERY_VALUE_MAX];
    struct text t;

    if (!r->x->query.n)
        return true;
    if (!get(r, name, value, &t))
        return false;
    if (!t.p)
        return true;
    if (t.n >= size || !check_text(t.p, size, true)) {
        request_bad_query(r, name, "It is too long, or not text");
        return false;
    }
    memcpy(out, t.p, t.n + 1);
    return true;
}
