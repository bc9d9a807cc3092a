/* Expressions of templates: recursive descent with the precedences of Jinja 3.1 (which are not Python's: ** binds to
 * the left, unary minus tighter than **). Depth is limited, so hostile nesting is an error and not a stack overflow. */
#include <string.h>

#include "compute/text/jinja/parse_int.h"

static struct node *power(struct parser *p)
{
    struct node *n = parse_unary(p, true);
    while (n && parse_skip_op(p, OP2('*', '*'))) {
        n = parse_pair(p, NODE_BINARY, 'p', n, parse_unary(p, true));
    }
    return n;
}

static struct node *product(struct parser *p)
{
    struct node *n = power(p);
    for (;;) {
        if (n && parse_skip_op(p, OP2('/', '/'))) {
            n = parse_pair(p, NODE_BINARY, 'f', n, power(p));
        } else if (n && (parse_is_op(p, OP('*')) || parse_is_op(p, OP('/')) || parse_is_op(p, OP('%')))) {
            char op = (char)p->tok->op;
            parse_step(p);
            n = parse_pair(p, NODE_BINARY, op, n, power(p));
        } else {
            return n;
        }
    }
}

static struct node *concat(struct parser *p)
{
    struct node *first = product(p);
    if (!first || !parse_is_op(p, OP('~'))) {
        return first;
    }
    struct node *n = parse_node(p, NODE_CONCAT), *last = first;
    while (parse_skip_op(p, OP('~'))) {
        last->next = product(p);
        last = last->next;
        if (!last) {
            return NULL;
        }
    }
    if (n) {
        n->a = first;
    }
    return n;
}

static struct node *sum(struct parser *p)
{
    struct node *n = concat(p);
    while (n && (parse_is_op(p, OP('+')) || parse_is_op(p, OP('-')))) {
        char op = (char)p->tok->op;
        parse_step(p);
        n = parse_pair(p, NODE_BINARY, op, n, concat(p));
    }
    return n;
}

/* The comparison at the current token, consumed; 0 when there is none. */
static char comparison(struct parser *p)
{
    static const struct {
        uint32_t op;
        char code;
    } ops[] = {{OP2('=', '='), '='}, {OP2('!', '='), '!'}, {OP('<'), '<'},
               {OP('>'), '>'},       {OP2('<', '='), 'l'}, {OP2('>', '='), 'g'}};
    for (size_t i = 0; i < N_ELEM(ops); i++) {
        if (parse_skip_op(p, ops[i].op)) {
            return ops[i].code;
        }
    }
    if (parse_skip_name(p, "in")) {
        return 'i';
    }
    if (parse_is_name(p, "not") && p->tok[1].type == TOK_NAME && p->tok[1].n == 2 &&
        memcmp(p->tok[1].s, "in", 2) == 0) {
        parse_step(p);
        parse_step(p);
        return 'n';
    }
    return 0;
}

static struct node *compare(struct parser *p)
{
    struct node *n = sum(p), *first = NULL, **link = &first;
    char op;
    while (n && (op = comparison(p)) != 0) {
        struct node *o = parse_node(p, NODE_OPERAND);
        if (!o) {
            return NULL;
        }
        o->op = op;
        o->a = sum(p);
        if (!o->a) {
            return NULL;
        }
        *link = o;
        link = &o->next;
    }
    if (!n || !first) {
        return n;
    }
    struct node *c = parse_node(p, NODE_COMPARE);
    if (c) {
        c->a = n;
        c->b = first;
    }
    return c;
}

static struct node *negation(struct parser *p)
{
    if (!parse_is_name(p, "not")) {
        return compare(p);
    }
    if (!parse_begin(p)) {
        return NULL;
    }
    struct node *n = parse_node(p, NODE_NOT);
    parse_step(p);
    if (n) {
        n->a = negation(p);
        n = n->a ? n : NULL;
    }
    parse_end(p);
    return n;
}

static struct node *conjunction(struct parser *p)
{
    struct node *n = negation(p);
    while (n && parse_skip_name(p, "and")) {
        n = parse_pair(p, NODE_AND, 0, n, negation(p));
    }
    return n;
}

static struct node *disjunction(struct parser *p)
{
    struct node *n = conjunction(p);
    while (n && parse_skip_name(p, "or")) {
        n = parse_pair(p, NODE_OR, 0, n, conjunction(p));
    }
    return n;
}

/* a if condition else b, where else may be missing. */
static struct node *condition(struct parser *p)
{
    struct node *n = disjunction(p);
    while (n && parse_skip_name(p, "if")) {
        struct node *c = parse_node(p, NODE_COND);
        if (!c) {
            return NULL;
        }
        c->b = n;
        c->a = disjunction(p);
        if (!c->a) {
            return NULL;
        }
        if (parse_skip_name(p, "else")) {
            c->c = parse_expression(p, true);
            if (!c->c) {
                return NULL;
            }
        }
        n = c;
    }
    return n;
}

struct node *parse_expression(struct parser *p, bool with_condition)
{
    if (!parse_begin(p)) {
        return NULL;
    }
    struct node *n = with_condition ? condition(p) : disjunction(p);
    parse_end(p);
    return n;
}
