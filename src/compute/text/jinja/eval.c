/* Expressions. */
#include "compute/text/jinja/interp.h"

/* A name: the scopes, then the variables of the conversation, then the global functions. */
static int eval_name(struct interp *it, const struct node *n, struct value *out)
{
    const struct value *v = scope_find(it->scope, n->s, n->n);
    v = v ? v : dict_find_text(it, it->vars, n->s, n->n);
    if (v) {
        *out = *v;
        return 0;
    }
    const struct builtin *b = global_find(n->s, n->n);
    *out = b ? (struct value){.type = VAL_FUNCTION, .function = b} : val_undefined(n->s, n->n);
    return 0;
}

static int eval_list(struct interp *it, const struct node *n, enum list_kind kind, struct value *out)
{
    struct list *l;
    int rc = list_new(it, kind, 0, &l);
    for (const struct node *i = n->a; !rc && i; i = i->next) {
        struct value v;
        rc = jinja_eval(it, i, &v);
        rc = rc ? rc : list_add(it, l, v);
    }
    *out = val_list(l);
    return rc;
}

static int eval_dict(struct interp *it, const struct node *n, struct value *out)
{
    struct dict *d;
    int rc = dict_new(it, 0, &d);
    for (const struct node *i = n->a; !rc && i; i = i->next) {
        struct value k, v;
        rc = jinja_eval(it, i->a, &k);
        rc = rc ? rc : jinja_eval(it, i->b, &v);
        rc = rc ? rc : dict_set(it, d, k, v);
    }
    *out = val_dict(d);
    return rc;
}

static int eval_item(struct interp *it, const struct node *n, struct value *out)
{
    struct value object, index;
    int rc = jinja_eval(it, n->a, &object);
    if (rc) {
        return rc;
    }
    if (n->b->type != NODE_SLICE) {
        rc = jinja_eval(it, n->b, &index);
        return rc ? rc : attr_item(it, &object, &index, out);
    }
    struct value part[3] = {val_none(), val_none(), val_none()};
    const struct node *from[3] = {n->b->a, n->b->b, n->b->c};
    for (int i = 0; !rc && i < 3; i++) {
        rc = from[i] ? jinja_eval(it, from[i], &part[i]) : 0;
    }
    return rc ? rc : attr_slice(it, &object, part, out);
}

static int eval_call(struct interp *it, const struct node *n, struct value *out)
{
    struct value callee;
    struct args a;
    int rc = jinja_eval(it, n->a, &callee);
    rc = rc ? rc : jinja_args(it, n->b, &a);
    it->line = n->line;
    return rc ? rc : jinja_call(it, &callee, &a, out);
}

int jinja_filters(struct interp *it, const struct node *n, const struct value *block, struct value *out)
{
    struct value v;
    struct args a;
    int rc = jinja_enter(it);
    if (rc) {
        return rc;
    }
    if (!n->a) {
        v = block ? *block : val_text("", 0);
    } else if (n->a->type == NODE_FILTER) {
        rc = jinja_filters(it, n->a, block, &v);
    } else {
        rc = jinja_eval(it, n->a, &v);
    }
    rc = rc ? rc : jinja_args(it, n->b, &a);
    struct value name = val_text(n->s, n->n);
    it->line = n->line;
    rc = rc ? rc : filter_call(it, &name, &v, &a, out);
    if (!rc) {
        jinja_leave(it);
    }
    return rc;
}

static int eval_test(struct interp *it, const struct node *n, struct value *out)
{
    struct value v, name = val_text(n->s, n->n);
    struct args a;
    bool yes = false;
    int rc = jinja_eval(it, n->a, &v);
    rc = rc ? rc : jinja_args(it, n->b, &a);
    rc = rc ? rc : test_call(it, &name, &v, &a, &yes);
    *out = val_bool(yes);
    return rc;
}

static int eval_concat(struct interp *it, const struct node *n, struct value *out)
{
    struct text t;
    text_init(&t, it);
    int rc = 0;
    for (const struct node *i = n->a; !rc && i; i = i->next) {
        struct value v;
        rc = jinja_eval(it, i, &v);
        rc = rc ? rc : text_add_display(&t, &v);
    }
    *out = text_value(&t);
    return rc;
}

/* a < b < c is a < b and b < c. */
static int eval_compare(struct interp *it, const struct node *n, struct value *out)
{
    struct value left, right;
    bool yes = true;
    int rc = jinja_eval(it, n->a, &left);
    for (const struct node *o = n->b; !rc && yes && o; o = o->next) {
        rc = jinja_eval(it, o->a, &right);
        rc = rc ? rc : op_compare(it, o->op, &left, &right, &yes);
        left = right;
    }
    *out = val_bool(yes);
    return rc;
}

/* The value that decides, as in Python. */
static int eval_logic(struct interp *it, const struct node *n, struct value *out)
{
    int rc = jinja_eval(it, n->a, out);
    if (rc || val_truth(out) == (n->type == NODE_OR)) {
        return rc;
    }
    return jinja_eval(it, n->b, out);
}

static int eval_not(struct interp *it, const struct node *n, struct value *out)
{
    struct value v;
    int rc = jinja_eval(it, n->a, &v);
    *out = val_bool(!rc && !val_truth(&v));
    return rc;
}

static int eval_cond(struct interp *it, const struct node *n, struct value *out)
{
    struct value v;
    int rc = jinja_eval(it, n->a, &v);
    if (rc) {
        return rc;
    }
    const struct node *chosen = val_truth(&v) ? n->b : n->c;
    if (!chosen) {
        *out = val_undefined("the value of an if without else", 31);
        return 0;
    }
    return jinja_eval(it, chosen, out);
}

static int eval_operator(struct interp *it, const struct node *n, struct value *out)
{
    struct value a, b;
    int rc = jinja_eval(it, n->a, &a);
    if (!rc && n->type == NODE_BINARY) {
        rc = jinja_eval(it, n->b, &b);
        it->line = n->line;
        return rc ? rc : op_binary(it, n->op, &a, &b, out);
    }
    return rc ? rc : op_unary(it, n->type == NODE_NEG, &a, out);
}

static int eval_attr(struct interp *it, const struct node *n, struct value *out)
{
    struct value object;
    int rc = jinja_eval(it, n->a, &object);
    it->line = n->line;
    return rc ? rc : attr_get(it, &object, n->s, n->n, out);
}

static int eval_any(struct interp *it, const struct node *n, struct value *out)
{
    switch (n->type) {
    case NODE_NAME:
        return eval_name(it, n, out);
    case NODE_NONE:
        *out = val_none();
        return 0;
    case NODE_BOOL:
        *out = val_bool(n->i != 0);
        return 0;
    case NODE_INT:
        *out = val_int(n->i);
        return 0;
    case NODE_FLOAT:
        *out = val_float(n->f);
        return 0;
    case NODE_STRING:
        *out = val_text(n->s, n->n);
        return 0;
    case NODE_LIST:
        return eval_list(it, n, LIST_LIST, out);
    case NODE_TUPLE:
        return eval_list(it, n, LIST_TUPLE, out);
    case NODE_DICT:
        return eval_dict(it, n, out);
    case NODE_ATTR:
        return eval_attr(it, n, out);
    case NODE_ITEM:
        return eval_item(it, n, out);
    case NODE_CALL:
        return eval_call(it, n, out);
    case NODE_FILTER:
        return jinja_filters(it, n, NULL, out);
    case NODE_TEST:
        return eval_test(it, n, out);
    case NODE_NOT:
        return eval_not(it, n, out);
    case NODE_NEG:
    case NODE_POS:
    case NODE_BINARY:
        return eval_operator(it, n, out);
    case NODE_CONCAT:
        return eval_concat(it, n, out);
    case NODE_COMPARE:
        return eval_compare(it, n, out);
    case NODE_AND:
    case NODE_OR:
        return eval_logic(it, n, out);
    case NODE_COND:
        return eval_cond(it, n, out);
    case NODE_SLICE:
        return jinja_fail(it, "a slice cannot be combined with other indices");
    default:
        return jinja_fail(it, "a node that is no expression");
    }
}

int jinja_eval(struct interp *it, const struct node *n, struct value *out)
{
    int rc = jinja_enter(it);
    rc = rc ? rc : eval_any(it, n, out);
    if (!rc) {
        jinja_leave(it);
    }
    return rc;
}
