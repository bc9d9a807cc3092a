/* Values of a running template, with the semantics of Python's types, and text that remembers who wrote it.
 *
 * Memory is the arena of the rendering: nothing is freed one by one. Values are immutable but for namespaces. */
#ifndef TEXT_JINJA_VALUE_H
#define TEXT_JINJA_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/attr.h"

enum value_type {
    VAL_UNDEFINED, /* s: the name that was looked for */
    VAL_NONE,
    VAL_BOOL,
    VAL_INT,
    VAL_FLOAT,
    VAL_STRING,
    VAL_LIST, /* and tuples, ranges, views of dicts, generators: see list_kind */
    VAL_DICT,
    VAL_NAMESPACE,
    VAL_MACRO,
    VAL_FUNCTION, /* a global function */
    VAL_METHOD,   /* a method bound to its object */
    VAL_LOOP
};

struct value;
struct list;
struct dict;
struct macro;
struct builtin;
struct bound_method;
struct loop;

/* Text is n bytes at s. Where all of it comes from one side, mark is NULL and from_user says which; else mark has one
 * byte a byte of text, 1 for text from users. markup: went through |safe, so + escapes what joins it. */
struct value {
    uint8_t type;
    bool from_user, markup;
    uint32_t n;
    union {
        bool b;
        int64_t i;
        double f;
        const char *s;
        struct list *list;
        struct dict *dict;
        struct macro *macro;
        const struct builtin *function;
        struct bound_method *method;
        struct loop *loop;
    };
    const uint8_t *mark;
};

enum list_kind { LIST_LIST, LIST_TUPLE, LIST_RANGE, LIST_ITEMS, LIST_KEYS, LIST_VALUES, LIST_GENERATOR };
struct list {
    enum list_kind kind;
    bool consumed; /* LIST_GENERATOR: gave its items away */
    struct value *item;
    size_t n, cap;
    int64_t start, stop, step; /* LIST_RANGE */
};
struct dict {
    struct value *key, *value; /* in order of insertion */
    size_t n, cap;
};

static inline struct value val_none(void)
{
    return (struct value){.type = VAL_NONE};
}
static inline struct value val_bool(bool b)
{
    return (struct value){.type = VAL_BOOL, .b = b};
}
static inline struct value val_int(int64_t i)
{
    return (struct value){.type = VAL_INT, .i = i};
}
static inline struct value val_float(double f)
{
    return (struct value){.type = VAL_FLOAT, .f = f};
}
static inline struct value val_list(struct list *l)
{
    return (struct value){.type = VAL_LIST, .list = l};
}
static inline struct value val_dict(struct dict *d)
{
    return (struct value){.type = VAL_DICT, .dict = d};
}
/* Text of the template itself; borrowed. */
static inline struct value val_text(const char *s, size_t n)
{
    return (struct value){.type = VAL_STRING, .s = s, .n = (uint32_t)n};
}
static inline struct value val_undefined(const char *name, size_t n)
{
    return (struct value){.type = VAL_UNDEFINED, .s = name, .n = (uint32_t)n};
}
/* Bytes [from, from + n) of a string, with their origin. */
static inline struct value val_part(struct value s, size_t from, size_t n)
{
    s.s += from;
    s.n = (uint32_t)n;
    s.mark = s.mark ? s.mark + from : NULL;
    return s;
}

/* Python's name of the type, for messages. */
const char *val_type_name(const struct value *v);
/* Whether a string is this text. */
bool val_is_text(const struct value *v, const char *text);
/* An int or bool as an integer. */
bool val_is_int(const struct value *v, int64_t *i);
/* Any number as a double. */
bool val_is_number(const struct value *v, double *f);
bool val_is_tuple(const struct value *v);

struct interp;
/* bool(v) */
bool val_truth(const struct value *v);
/* a == b, never an error but for depth: -ERR_*, 0, 1. */
int val_equal(struct interp *it, const struct value *a, const struct value *b) MUST_CHECK;
/* a < b for the types that Python orders; *less is set. An error for others. */
int val_less(struct interp *it, const struct value *a, const struct value *b, bool *less) MUST_CHECK;
/* An error for what cannot be a key: lists, dicts, tuples of them. */
int val_need_hash(struct interp *it, const struct value *key) MUST_CHECK;
/* x in container. */
int val_contains(struct interp *it, const struct value *container, const struct value *x, bool *in) MUST_CHECK;

/* Lists and dicts in the arena of the rendering. */
int list_new(struct interp *it, enum list_kind kind, size_t cap, struct list **out) MUST_CHECK;
int list_add(struct interp *it, struct list *l, struct value v) MUST_CHECK;
int dict_new(struct interp *it, size_t cap, struct dict **out) MUST_CHECK;
/* Sets or replaces. An error for keys that cannot be hashed. */
int dict_set(struct interp *it, struct dict *d, struct value key, struct value v) MUST_CHECK;
/* The value behind a key or NULL; charges the steps that the search takes. */
const struct value *dict_find(struct interp *it, const struct dict *d, const struct value *key);
const struct value *dict_find_text(struct interp *it, const struct dict *d, const char *key, size_t n);

/* The items of anything that can be iterated: an array that is borrowed or in the arena. */
int val_items(struct interp *it, const struct value *v, struct value **item, size_t *n) MUST_CHECK;
/* len(v) */
int val_length(struct interp *it, const struct value *v, int64_t *n) MUST_CHECK;

#endif
