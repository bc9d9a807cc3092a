/* What the two halves of the parser share: the stream of tokens and the making of nodes. */
#ifndef TEXT_JINJA_PARSE_INT_H
#define TEXT_JINJA_PARSE_INT_H

#include <stdbool.h>

#include "compute/text/jinja/ast.h"
#include "compute/text/jinja/lex.h"

struct parser {
    struct arena *arena;
    const struct token *tok; /* the current one; never behind TOK_END */
    const struct token *last;
    struct node *macro[32]; /* macros around the current place */
    int n_macro, n_loop, depth;
    int rc; /* first failure; every function then returns NULL */
    struct err *e;
};

/* Note a failure at the current token: what was expected there. Returns NULL. */
struct node *parse_fail(struct parser *p, const char *expected);
/* A new node at the current line; NULL without memory. */
struct node *parse_node(struct parser *p, enum node_type type);
/* One step on. */
void parse_step(struct parser *p);
/* Whether the current token is this operator or name. */
bool parse_is_op(const struct parser *p, uint32_t op);
bool parse_is_name(const struct parser *p, const char *name);
/* Step over it when it is there. */
bool parse_skip_op(struct parser *p, uint32_t op);
bool parse_skip_name(struct parser *p, const char *name);
/* It must be there. */
bool parse_need_op(struct parser *p, uint32_t op, const char *expected);
/* Depth of recursion, limited: begin returns false (and notes the failure) when it is too deep. */
bool parse_begin(struct parser *p);
void parse_end(struct parser *p);

/* A node of two parts at the line of the first; NULL when one of them is. */
struct node *parse_pair(struct parser *p, enum node_type type, char op, struct node *a, struct node *b);
/* Signs, then a value and what stands behind it. */
struct node *parse_unary(struct parser *p, bool with_filters);

/* Grammar of expressions (parse_expr.c, parse_operand.c). */
struct node *parse_expression(struct parser *p, bool with_condition);
/* One expression, or a tuple of several with commas between; end names a word that ends it, or NULL. */
struct node *parse_tuple(struct parser *p, bool with_condition, const char *end, bool in_parentheses);
/* Chain of filters "| f | g" on a value, which may be NULL; inline: the first comes without its bar. */
struct node *parse_filters(struct parser *p, struct node *value, bool is_inline);
/* What can be assigned to: a name, a tuple of targets, with member also name.attribute; end as in parse_tuple. */
struct node *parse_target(struct parser *p, const char *end, bool with_member);

#endif
