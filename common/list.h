// Intrusive doubly linked list: queueing allocates nothing and cannot fail. A node that is in no list points to itself.
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_push_back(struct list *head, struct list *n)
{
    n->prev = head->prev;
    n->next = head;
    head->prev->next = n;
    head->prev = n;
}

static inline void list_push_front(struct list *head, struct list *n)
{
    list_push_back(head->next, n);
}

// Takes n out of whatever list it is in; harmless when it is in none.
static inline void list_remove(struct list *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    list_init(n);
}

// NULL when empty.
static inline struct list *list_pop_front(struct list *head)
{
    struct list *n = head->next;
    if (n == head)
        return NULL;
    list_remove(n);
    return n;
}

// Moves all of from to the (initialised, empty) list to.
static inline void list_take(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    to->next = from->next;
    to->prev = from->prev;
    to->next->prev = to;
    to->prev->next = to;
    list_init(from);
}

// Safe against removal of `n` itself; `n` and `tmp` are struct list *.
#define list_each(n, tmp, head) \
    for (struct list *n = (head)->next, *tmp = n->next; n != (head); n = tmp, tmp = n->next)
