/* Operands of expressions: literals, names, what may stand behind a value (attributes, indices, calls, filters, tests),
 * tuples and targets of assignments. The operators between them are in parse_expr.c. */
#include <string.h>

#include "compute/text/jinja/parse_int.h"

static struct node *primary(struct parser *p);

struct node *parse_pair(struct parser *p, enum node_type type, char op, struct node *a, struct node *b)
{
    struct node *n = parse_node(p, type);
    if (!n || !a || !b) {
        return NULL;
    }
    n->op = op;
    n->a = a;
    n->b = b;
    n->line = a->line;
    return n;
}

/* Items up to a closing bracket, commas between; `item` parses one. The bracket is consumed. */
static struct node *items_until(struct parser *p, uint32_t close, struct node *(*item)(struct parser *))
{
    struct node *first = NULL, **link = &first;
    while (!p->rc && !parse_is_op(p, close)) {
        if (first && !parse_need_op(p, OP(','), "\",\" or a closing bracket")) {
            return NULL;
        }
        if (first && parse_is_op(p, close)) {
            break;
        }
        *link = item(p);
        if (!*link) {
            return NULL;
        }
        link = &(*link)->next;
    }
    parse_step(p);
    return p->rc ? NULL : first;
}

static struct node *list_item(struct parser *p)
{
    return parse_expression(p, true);
}

static struct node *dict_item(struct parser *p)
{
    struct node *key = parse_expression(p, true);
    if (!key || !parse_need_op(p, OP(':'), "\":\" between key and value")) {
        return NULL;
    }
    return parse_pair(p, NODE_PAIR, 0, key, parse_expression(p, true));
}

static struct node *argument(struct parser *p)
{
    struct node *n = parse_node(p, NODE_ARG);
    if (!n) {
        return NULL;
    }
    if (parse_skip_op(p, OP('*'))) {
        n->op = '*';
    } else if (parse_skip_op(p, OP2('*', '*'))) {
        n->op = 'x';
    } else if (p->tok->type == TOK_NAME && p->tok[1].type == TOK_OP && p->tok[1].op == OP('=')) {
        n->s = p->tok->s;
        n->n = (uint32_t)p->tok->n;
        parse_step(p);
        parse_step(p);
    }
    n->a = parse_expression(p, true);
    return n->a ? n : NULL;
}

/* Positional ones come before keywords, as in Python. */
static bool check_order(struct parser *p, const struct node *args)
{
    bool late = false;
    for (const struct node *a = args; a; a = a->next) {
        if (late && !a->s && !a->op) {
            parse_fail(p, "no positional argument behind a keyword argument");
            return false;
        }
        late = late || a->s || a->op;
    }
    return true;
}

/* "(...)" into *args. */
static bool arguments(struct parser *p, struct node **args)
{
    parse_step(p);
    *args = items_until(p, OP(')'), argument);
    return !p->rc && check_order(p, *args);
}

static struct node *call(struct parser *p, struct node *callee)
{
    struct node *n = parse_node(p, NODE_CALL);
    if (!n || !callee || !arguments(p, &n->b)) {
        return NULL;
    }
    n->a = callee;
    return n;
}

/* One part of a slice, which may be missing. */
static struct node *slice_part(struct parser *p)
{
    if (parse_is_op(p, OP(':')) || parse_is_op(p, OP(']')) || parse_is_op(p, OP(','))) {
        return NULL;
    }
    return parse_expression(p, true);
}

static struct node *subscript_item(struct parser *p)
{
    struct node *start = slice_part(p);
    if (p->rc || !parse_skip_op(p, OP(':'))) {
        return start || p->rc ? start : parse_fail(p, "an index");
    }
    struct node *n = parse_node(p, NODE_SLICE);
    if (!n) {
        return NULL;
    }
    n->a = start;
    n->b = slice_part(p);
    n->c = parse_skip_op(p, OP(':')) ? slice_part(p) : NULL;
    return p->rc ? NULL : n;
}

static struct node *subscript(struct parser *p, struct node *object)
{
    parse_step(p);
    struct node *n = parse_node(p, NODE_ITEM), *index = items_until(p, OP(']'), subscript_item);
    if (!n || !index) {
        return p->rc ? NULL : parse_fail(p, "an index");
    }
    if (index->next) {
        struct node *tuple = parse_node(p, NODE_TUPLE);
        if (!tuple) {
            return NULL;
        }
        tuple->a = index;
        index = tuple;
    }
    n->a = object;
    n->b = index;
    return n;
}

static struct node *dot(struct parser *p, struct node *object)
{
    parse_step(p);
    struct node *n = parse_node(p, p->tok->type == TOK_INT ? NODE_ITEM : NODE_ATTR);
    if (!n) {
        return NULL;
    }
    n->a = object;
    if (p->tok->type == TOK_NAME) {
        n->s = p->tok->s;
        n->n = (uint32_t)p->tok->n;
    } else if (p->tok->type == TOK_INT) {
        n->b = parse_node(p, NODE_INT);
        if (!n->b) {
            return NULL;
        }
        n->b->i = p->tok->i;
    } else {
        return parse_fail(p, "a name behind \".\"");
    }
    parse_step(p);
    return n;
}

static struct node *postfix(struct parser *p, struct node *n)
{
    while (n && !p->rc) {
        if (parse_is_op(p, OP('.'))) {
            n = dot(p, n);
        } else if (parse_is_op(p, OP('['))) {
            n = subscript(p, n);
        } else if (parse_is_op(p, OP('('))) {
            n = call(p, n);
        } else {
            return n;
        }
    }
    return NULL;
}

/* A name with dots, as filters and tests may have, into s and n of the node. */
static bool dotted_name(struct parser *p, struct node *n, const char *expected)
{
    if (p->tok->type != TOK_NAME) {
        parse_fail(p, expected);
        return false;
    }
    n->s = p->tok->s;
    n->n = (uint32_t)p->tok->n;
    parse_step(p);
    if (parse_is_op(p, OP('.'))) {
        parse_fail(p, "a filter or test without \".\" in its name");
        return false;
    }
    return true;
}

struct node *parse_filters(struct parser *p, struct node *value, bool is_inline)
{
    while (!p->rc && (is_inline || parse_is_op(p, OP('|')))) {
        if (!is_inline) {
            parse_step(p);
        }
        is_inline = false;
        struct node *n = parse_node(p, NODE_FILTER);
        if (!n || !dotted_name(p, n, "the name of a filter")) {
            return NULL;
        }
        n->a = value;
        if (parse_is_op(p, OP('(')) && !arguments(p, &n->b)) {
            return NULL;
        }
        value = n;
    }
    return p->rc ? NULL : value;
}

/* Whether the token can begin the bare argument of a test ("x is divisibleby 3"). */
static bool begins_argument(const struct parser *p)
{
    switch (p->tok->type) {
    case TOK_NAME:
        return !parse_is_name(p, "else") && !parse_is_name(p, "or") && !parse_is_name(p, "and");
    case TOK_STRING:
    case TOK_INT:
    case TOK_FLOAT:
        return true;
    default:
        return parse_is_op(p, OP('[')) || parse_is_op(p, OP('{'));
    }
}

static struct node *test(struct parser *p, struct node *value)
{
    parse_step(p);
    bool negated = parse_skip_name(p, "not");
    struct node *n = parse_node(p, NODE_TEST);
    if (!n || !dotted_name(p, n, "the name of a test")) {
        return NULL;
    }
    n->a = value;
    if (parse_is_op(p, OP('('))) {
        if (!arguments(p, &n->b)) {
            return NULL;
        }
    } else if (begins_argument(p)) {
        if (parse_is_name(p, "is")) {
            return parse_fail(p, "no second \"is\"");
        }
        n->b = parse_node(p, NODE_ARG);
        struct node *arg = postfix(p, primary(p));
        if (!n->b || !arg) {
            return NULL;
        }
        n->b->a = arg;
    }
    if (!negated) {
        return n;
    }
    struct node *not = parse_node(p, NODE_NOT);
    if (not ) {
        not ->a = n;
    }
    return not ;
}

static struct node *filters_and_tests(struct parser *p, struct node *n)
{
    while (n && !p->rc) {
        if (parse_is_op(p, OP('|'))) {
            n = parse_filters(p, n, false);
        } else if (parse_is_name(p, "is")) {
            n = test(p, n);
        } else if (parse_is_op(p, OP('('))) {
            n = call(p, n);
        } else {
            return n;
        }
    }
    return NULL;
}

/* caller, kwargs and varargs exist in macros that speak of them. */
static void note_name(struct parser *p, const struct token *t)
{
    for (int i = 0; i < p->n_macro; i++) {
        struct node *m = p->macro[i];
        m->uses_caller |= t->n == 6 && memcmp(t->s, "caller", 6) == 0;
        m->uses_kwargs |= t->n == 6 && memcmp(t->s, "kwargs", 6) == 0;
        m->uses_varargs |= t->n == 7 && memcmp(t->s, "varargs", 7) == 0;
    }
}

static struct node *name(struct parser *p)
{
    const struct token *t = p->tok;
    bool yes = parse_is_name(p, "true") || parse_is_name(p, "True");
    bool no = parse_is_name(p, "false") || parse_is_name(p, "False");
    bool none = parse_is_name(p, "none") || parse_is_name(p, "None");
    struct node *n = parse_node(p, yes || no ? NODE_BOOL : none ? NODE_NONE : NODE_NAME);
    if (!n) {
        return NULL;
    }
    n->i = yes;
    if (n->type == NODE_NAME) {
        n->s = t->s;
        n->n = (uint32_t)t->n;
        note_name(p, t);
    }
    parse_step(p);
    return n;
}

/* Adjacent strings are one. */
static struct node *string(struct parser *p)
{
    struct node *n = parse_node(p, NODE_STRING);
    size_t total = 0, at = 0;
    const struct token *t = p->tok;
    for (; t->type == TOK_STRING; t++) {
        total += t->n;
    }
    char *s = arena_alloc(p->arena, total + 1);
    if (!n || !s) {
        return parse_fail(p, NULL);
    }
    for (; p->tok->type == TOK_STRING; parse_step(p)) {
        memcpy(s + at, p->tok->s, p->tok->n);
        at += p->tok->n;
    }
    n->s = s;
    n->n = (uint32_t)total;
    return n;
}

static struct node *number(struct parser *p)
{
    struct node *n = parse_node(p, p->tok->type == TOK_INT ? NODE_INT : NODE_FLOAT);
    if (!n) {
        return NULL;
    }
    if (n->type == NODE_INT) {
        n->i = p->tok->i;
    } else {
        n->f = p->tok->f;
    }
    parse_step(p);
    return n;
}

static struct node *bracketed(struct parser *p, enum node_type type, uint32_t close,
                              struct node *(*item)(struct parser *))
{
    struct node *n = parse_node(p, type);
    if (!n) {
        return NULL;
    }
    parse_step(p);
    n->a = items_until(p, close, item);
    return p->rc ? NULL : n;
}

static struct node *primary(struct parser *p)
{
    switch (p->tok->type) {
    case TOK_NAME:
        return name(p);
    case TOK_STRING:
        return string(p);
    case TOK_INT:
    case TOK_FLOAT:
        return number(p);
    default:
        break;
    }
    if (parse_is_op(p, OP('['))) {
        return bracketed(p, NODE_LIST, OP(']'), list_item);
    }
    if (parse_is_op(p, OP('{'))) {
        return bracketed(p, NODE_DICT, OP('}'), dict_item);
    }
    if (parse_skip_op(p, OP('('))) {
        struct node *n = parse_tuple(p, true, NULL, true);
        return n && parse_need_op(p, OP(')'), "\")\"") ? n : NULL;
    }
    return parse_fail(p, "an expression");
}

struct node *parse_unary(struct parser *p, bool with_filters)
{
    if (!parse_begin(p)) {
        return NULL;
    }
    struct node *n;
    bool minus = parse_is_op(p, OP('-'));
    if (minus || parse_is_op(p, OP('+'))) {
        n = parse_node(p, minus ? NODE_NEG : NODE_POS);
        parse_step(p);
        if (n) {
            n->a = parse_unary(p, false);
            n = n->a ? n : NULL;
        }
    } else {
        n = primary(p);
    }
    n = postfix(p, n);
    n = with_filters ? filters_and_tests(p, n) : n;
    parse_end(p);
    return n;
}

static bool ends_tuple(const struct parser *p, const char *end)
{
    return p->tok->type == TOK_BLOCK_END || p->tok->type == TOK_PRINT_END || parse_is_op(p, OP(')')) ||
           (end && parse_is_name(p, end));
}

/* Items with commas between them; the tuple of one item without a comma is the item itself. */
static struct node *tuple_of(struct parser *p, const char *end, bool may_be_empty,
                             struct node *(*item)(struct parser *))
{
    struct node *first = NULL, **link = &first;
    bool comma = false;
    while (!p->rc && !ends_tuple(p, end)) {
        *link = item(p);
        if (!*link) {
            return NULL;
        }
        link = &(*link)->next;
        if (!parse_skip_op(p, OP(','))) {
            break;
        }
        comma = true;
    }
    if (!comma && first) {
        return first;
    }
    if (!first && !may_be_empty) {
        return parse_fail(p, "an expression");
    }
    struct node *n = parse_node(p, NODE_TUPLE);
    if (n) {
        n->a = first;
    }
    return n;
}

static struct node *plain_item(struct parser *p)
{
    return parse_expression(p, false);
}

struct node *parse_tuple(struct parser *p, bool with_condition, const char *end, bool in_parentheses)
{
    return tuple_of(p, end, in_parentheses, with_condition ? list_item : plain_item);
}

static bool can_assign(const struct node *n)
{
    if (n->type == NODE_TUPLE) {
        for (const struct node *i = n->a; i; i = i->next) {
            if (!can_assign(i)) {
                return false;
            }
        }
        return n->a != NULL;
    }
    return n->type == NODE_NAME;
}

struct node *parse_target(struct parser *p, const char *end, bool with_member)
{
    if (with_member && p->tok->type == TOK_NAME && p->tok[1].type == TOK_OP && p->tok[1].op == OP('.')) {
        struct node *n = parse_node(p, NODE_MEMBER);
        if (!n) {
            return NULL;
        }
        n->s = p->tok->s;
        n->n = (uint32_t)p->tok->n;
        parse_step(p);
        parse_step(p);
        if (p->tok->type != TOK_NAME) {
            return parse_fail(p, "a name behind \".\"");
        }
        n->a = name(p);
        return n->a ? n : NULL;
    }
    struct node *n = tuple_of(p, end, false, primary);
    return !n || can_assign(n) ? n : parse_fail(p, "a name to assign to");
}
