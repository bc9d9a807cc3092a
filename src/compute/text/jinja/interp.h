/* The running template: its limits, its scopes, and how functions are called. */
#ifndef TEXT_JINJA_INTERP_H
#define TEXT_JINJA_INTERP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compute/text/jinja/ast.h"
#include "compute/text/jinja/text.h"
#include "compute/text/jinja/value.h"
#include "ground/base/err.h"
#include "ground/base/mem.h"

/* Limits of one rendering; what meets one is an error that names it. */
enum {
    JINJA_MAX_STEPS = 20000000,   /* nodes, items and pieces of 64 bytes that were worked on */
    JINJA_MAX_DEPTH = 1500,       /* nested evaluations */
    JINJA_MAX_TEXT = 16 << 20,    /* bytes of one string, the output too */
    JINJA_MAX_MEMORY = 256 << 20, /* bytes of all values */
    JINJA_MAX_RANGE = 100000
};

struct binding {
    const char *name;
    uint32_t n;
    struct value value;
};
struct scope {
    struct scope *parent;
    bool kept; /* something that outlives the statement points here: it may not be emptied and used again */
    struct binding *b;
    size_t n, cap;
};
struct macro {
    const struct node *node;
    struct scope *scope; /* where it was defined */
};
struct loop {
    struct value *item;
    size_t n, at;
    int64_t depth0;
    const struct node *node; /* NODE_FOR */
    struct scope *scope;     /* around the loop */
    struct value changed;    /* last arguments of loop.changed(); VAL_UNDEFINED before */
};

/* Arguments of a call: positional ones, then keywords. */
struct args {
    struct value *pos;
    size_t n_pos;
    struct binding *kw;
    size_t n_kw;
};
/* A function, filter or method of the language; self is the filtered value or the object, NULL for functions. */
typedef int (*builtin_fn)(struct interp *it, const struct value *self, const struct args *a, struct value *out);
struct builtin {
    const char *name;
    builtin_fn call;
};
struct bound_method {
    const struct builtin *method;
    struct value self;
};

enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE };

struct interp {
    struct arena *arena;
    struct err *e;
    struct text *out; /* where statements write */
    struct scope *scope;
    const struct dict *vars;
    enum flow flow;
    uint64_t steps;
    int depth;
    uint32_t line;
    int64_t unix_s; /* for strftime_now */
};

/* Fail at the current line; returns -ERR_INPUT. */
int jinja_fail(struct interp *it, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Count work; an error past the limit. */
int jinja_work(struct interp *it, uint64_t steps) MUST_CHECK;
/* Memory of the rendering, zeroed; NULL with the error set. */
void *jinja_alloc(struct interp *it, size_t n, size_t size) MUST_CHECK;
/* Around every recursion: an error when it is too deep; leave after a success only. */
int jinja_enter(struct interp *it) MUST_CHECK;
void jinja_leave(struct interp *it);

/* Run statements (a list of nodes) / evaluate an expression. */
int jinja_exec(struct interp *it, const struct node *n) MUST_CHECK;
int jinja_eval(struct interp *it, const struct node *n, struct value *out) MUST_CHECK;
/* Evaluate arguments. */
int jinja_args(struct interp *it, const struct node *list, struct args *out) MUST_CHECK;
/* callee(args) for anything that can be called. */
int jinja_call(struct interp *it, const struct value *callee, const struct args *a, struct value *out) MUST_CHECK;
/* Run statements into a text of their own, in a new scope under `parent`. */
int jinja_capture(struct interp *it, const struct node *body, struct value *out) MUST_CHECK;
/* A chain of filters; block: the text that stands at its beginning, NULL where the chain has a value of its own. */
int jinja_filters(struct interp *it, const struct node *n, const struct value *block, struct value *out) MUST_CHECK;

/* Scopes. */
struct scope *scope_push(struct interp *it, struct scope *parent);
/* Mark a scope and those around it as kept. */
void scope_keep(struct scope *s);
int scope_set(struct interp *it, struct scope *s, const char *name, size_t n, struct value v) MUST_CHECK;
const struct value *scope_find(const struct scope *s, const char *name, size_t n);
/* Assign to a name, a tuple of targets, or a member of a namespace. */
int jinja_assign(struct interp *it, const struct node *target, const struct value *v) MUST_CHECK;
/* Loops (loop.c). */
int jinja_for(struct interp *it, const struct node *n) MUST_CHECK;
int loop_call(struct interp *it, struct loop *l, const struct args *a, struct value *out) MUST_CHECK;
int loop_attr(struct interp *it, struct loop *l, const char *name, size_t n, struct value *out) MUST_CHECK;

/* Operators (ops.c). */
int op_binary(struct interp *it, char op, const struct value *a, const struct value *b, struct value *out) MUST_CHECK;
int op_compare(struct interp *it, char op, const struct value *a, const struct value *b, bool *out) MUST_CHECK;
int op_unary(struct interp *it, bool minus, const struct value *a, struct value *out) MUST_CHECK;

/* object.name, object[index], object[slice] (attr.c). */
int attr_get(struct interp *it, const struct value *o, const char *name, size_t n, struct value *out) MUST_CHECK;
int attr_item(struct interp *it, const struct value *o, const struct value *index, struct value *out) MUST_CHECK;
int attr_slice(struct interp *it, const struct value *o, const struct value part[3], struct value *out) MUST_CHECK;
/* By a dotted path of names and numbers, as filters take it ("a.b.0"). */
int attr_path(struct interp *it, const struct value *o, const struct value *path, struct value *out) MUST_CHECK;

/* Tables of what the language has; NULL when there is no such name. */
const struct builtin *filter_find(const char *name, size_t n);
const struct builtin *test_find(const char *name, size_t n);
const struct builtin *global_find(const char *name, size_t n);
const struct builtin *method_of(const struct value *object, const char *name, size_t n);
/* Search one table of n entries. */
const struct builtin *builtin_find(const struct builtin *table, size_t n, const char *name, size_t n_name);
int filter_call(struct interp *it, const struct value *name, const struct value *v, const struct args *a,
                struct value *out) MUST_CHECK;
int test_call(struct interp *it, const struct value *name, const struct value *v, const struct args *a,
              bool *out) MUST_CHECK;

/* Match arguments with parameter names (separated by spaces); v[i] points to the argument or is NULL. An error when one
 * of the first n_need is missing, or when there are too many or unknown ones. */
int args_bind(struct interp *it, const struct args *a, const char *what, const char *names, size_t n_need,
              const struct value **v) MUST_CHECK;
/* An argument as integer or bool, with its default where v is NULL. */
int args_int(struct interp *it, const struct value *v, int64_t initial, int64_t *out) MUST_CHECK;
bool args_truth(const struct value *v, bool initial);

/* A % b with a string at the left, and a.format(...). */
int format_percent(struct interp *it, const struct value *fmt, const struct value *values,
                   struct value *out) MUST_CHECK;
int format_braces(struct interp *it, const struct value *fmt, const struct args *a, struct value *out) MUST_CHECK;

/* Stable sort by keys that are given beside the items. */
int sort_values(struct interp *it, struct value *item, struct value *key, size_t n, bool reverse) MUST_CHECK;
/* Case mapping of whole strings (Python's upper, lower). */
int string_upper(struct interp *it, const struct value *s, struct value *out) MUST_CHECK;
int string_lower(struct interp *it, const struct value *s, struct value *out) MUST_CHECK;
/* First character in title case, the rest lower. */
int string_capitalize(struct interp *it, const struct value *s, struct value *out) MUST_CHECK;
/* Without white space, or without the characters of chars, at the chosen ends. */
int string_strip(struct interp *it, const struct value *s, const struct value *chars, bool left, bool right,
                 struct value *out) MUST_CHECK;
int string_replace(struct interp *it, const struct value *s, const struct value *from, const struct value *to,
                   int64_t max, struct value *out) MUST_CHECK;
/* Lines without their ends, as a list. */
int string_lines(struct interp *it, const struct value *s, bool keep_ends, struct list **out) MUST_CHECK;
int string_center(struct interp *it, const struct value *s, int64_t width, const struct value *fill, int align,
                  struct value *out) MUST_CHECK;
/* &, <, >, ' and " as HTML writes them. */
int string_escape(struct interp *it, const struct value *s, struct value *out) MUST_CHECK;

#endif
