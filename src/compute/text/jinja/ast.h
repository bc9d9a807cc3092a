/* What a template is after parsing: a tree of nodes in the arena of the template. */
#ifndef TEXT_JINJA_AST_H
#define TEXT_JINJA_AST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/err.h"
#include "ground/base/mem.h"

enum node_type {
    /* statements */
    NODE_DATA,         /* s */
    NODE_PRINT,        /* a */
    NODE_IF,           /* a condition, b body, c else body; flag: an elif, which is then all of an else body */
    NODE_FOR,          /* a target, b iterable, c body, d else body, e filter; flag: recursive */
    NODE_SET,          /* a target, b value */
    NODE_SET_BLOCK,    /* a target, b filters or NULL, c body */
    NODE_MACRO,        /* s name, a parameters, c body */
    NODE_CALL_BLOCK,   /* a the call, b the NODE_MACRO that caller() runs */
    NODE_FILTER_BLOCK, /* b filters, c body */
    NODE_WITH,         /* a list of NODE_SET, c body */
    NODE_BODY,         /* c body (generation) */
    NODE_BREAK,
    NODE_CONTINUE,
    NODE_PARAM, /* s name, a default or NULL */
    /* expressions */
    NODE_NAME, /* s */
    NODE_NONE,
    NODE_BOOL,   /* i */
    NODE_INT,    /* i */
    NODE_FLOAT,  /* f */
    NODE_STRING, /* s */
    NODE_LIST,   /* a items */
    NODE_TUPLE,  /* a items */
    NODE_DICT,   /* a list of NODE_PAIR */
    NODE_PAIR,   /* a key, b value */
    NODE_ATTR,   /* a object, s name */
    NODE_ITEM,   /* a object, b index */
    NODE_SLICE,  /* a start, b stop, c step; each may be NULL */
    NODE_CALL,   /* a callee, b arguments */
    NODE_FILTER, /* a value (NULL: the text of the block), s name, b arguments */
    NODE_TEST,   /* a value, s name, b arguments */
    NODE_ARG,    /* a value, s keyword or NULL; op '*' or 'x' (**) spreads */
    NODE_NOT,
    NODE_NEG,
    NODE_POS,     /* a */
    NODE_BINARY,  /* a op b: + - * / % ; 'f' // ; 'p' ** */
    NODE_CONCAT,  /* a list */
    NODE_COMPARE, /* a, then b a list of NODE_OPERAND */
    NODE_OPERAND, /* op: '=' '!' '<' '>' 'l' (<=) 'g' (>=) 'i' (in) 'n' (not in); a */
    NODE_AND,
    NODE_OR,     /* a, b */
    NODE_COND,   /* a condition, b then, c else or NULL */
    NODE_MEMBER, /* assignment target namespace.attribute: s name, a NODE_NAME of the attribute */
};

struct node {
    enum node_type type;
    uint32_t line;
    char op;
    bool flag;
    bool uses_caller, uses_kwargs, uses_varargs; /* NODE_MACRO: what its body asks for */
    uint32_t n;
    const char *s; /* n bytes */
    union {
        int64_t i;
        double f;
    };
    struct node *a, *b, *c, *d, *e;
    struct node *next; /* in lists */
};

/* Parse a whole template into nodes of the arena. -ERR_INPUT with line, what was expected and what was found. */
int jinja_parse(struct arena *arena, const char *source, size_t n, struct node **root, struct err *e) MUST_CHECK;

#endif
