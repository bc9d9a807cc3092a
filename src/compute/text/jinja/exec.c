/* Statements. A statement writes to it->out and binds names in it->scope; break and continue travel up as it->flow. */
#include "compute/text/jinja/interp.h"

static int exec_if(struct interp *it, const struct node *n)
{
    for (const struct node *first = n; n; n = n->c) {
        if (n != first && !(n->type == NODE_IF && n->flag)) {
            return jinja_exec(it, n); /* else */
        }
        struct value v;
        it->line = n->line;
        int rc = jinja_eval(it, n->a, &v);
        if (rc || val_truth(&v)) {
            return rc ? rc : jinja_exec(it, n->b);
        }
    }
    return 0;
}

int jinja_capture(struct interp *it, const struct node *body, struct value *out)
{
    struct text t, *out_before = it->out;
    struct scope *scope_before = it->scope;
    text_init(&t, it);
    it->scope = scope_push(it, scope_before);
    if (!it->scope) {
        return -ERR_LIMIT;
    }
    it->out = &t;
    int rc = jinja_exec(it, body);
    it->out = out_before;
    it->scope = scope_before;
    *out = text_value(&t);
    return rc;
}

static int exec_set(struct interp *it, const struct node *n)
{
    struct value v;
    int rc = jinja_eval(it, n->b, &v);
    return rc ? rc : jinja_assign(it, n->a, &v);
}

static int exec_set_block(struct interp *it, const struct node *n)
{
    struct value text, v;
    int rc = jinja_capture(it, n->c, &text);
    v = text;
    if (!rc && n->b) {
        rc = jinja_filters(it, n->b, &text, &v);
    }
    return rc ? rc : jinja_assign(it, n->a, &v);
}

static int exec_filter_block(struct interp *it, const struct node *n)
{
    struct value text, v;
    int rc = jinja_capture(it, n->c, &text);
    rc = rc ? rc : jinja_filters(it, n->b, &text, &v);
    return rc ? rc : text_add_display(it->out, &v);
}

static int make_macro(struct interp *it, const struct node *n, struct value *out)
{
    struct macro *m = jinja_alloc(it, 1, sizeof *m);
    if (!m) {
        return -ERR_LIMIT;
    }
    *m = (struct macro){.node = n, .scope = it->scope};
    scope_keep(it->scope);
    *out = (struct value){.type = VAL_MACRO, .macro = m};
    return 0;
}

static int exec_macro(struct interp *it, const struct node *n)
{
    struct value v;
    int rc = make_macro(it, n, &v);
    return rc ? rc : scope_set(it, it->scope, n->s, n->n, v);
}

/* The call, with one more keyword argument: caller, the macro of the block. */
static int exec_call_block(struct interp *it, const struct node *n)
{
    struct value callee, caller, out;
    struct args a;
    int rc = make_macro(it, n->b, &caller);
    rc = rc ? rc : jinja_eval(it, n->a->a, &callee);
    rc = rc ? rc : jinja_args(it, n->a->b, &a);
    if (rc) {
        return rc;
    }
    struct binding *kw = jinja_alloc(it, a.n_kw + 1, sizeof *kw);
    if (!kw) {
        return -ERR_LIMIT;
    }
    for (size_t i = 0; i < a.n_kw; i++) {
        kw[i] = a.kw[i];
    }
    kw[a.n_kw++] = (struct binding){.name = "caller", .n = 6, .value = caller};
    a.kw = kw;
    rc = jinja_call(it, &callee, &a, &out);
    return rc ? rc : text_add_display(it->out, &out);
}

static int exec_with(struct interp *it, const struct node *n)
{
    struct scope *before = it->scope, *inner = scope_push(it, before);
    if (!inner) {
        return -ERR_LIMIT;
    }
    int rc = 0;
    for (const struct node *s = n->a; !rc && s; s = s->next) {
        struct value v;
        rc = jinja_eval(it, s->b, &v); /* in the outer scope */
        it->scope = inner;
        rc = rc ? rc : jinja_assign(it, s->a, &v);
        it->scope = before;
    }
    it->scope = inner;
    rc = rc ? rc : jinja_exec(it, n->c);
    it->scope = before;
    return rc;
}

static int exec_print(struct interp *it, const struct node *n)
{
    struct value v;
    int rc = jinja_eval(it, n->a, &v);
    return rc ? rc : text_add_display(it->out, &v);
}

static int exec_one(struct interp *it, const struct node *n)
{
    switch (n->type) {
    case NODE_DATA:
        return text_add(it->out, n->s, n->n, false);
    case NODE_PRINT:
        return exec_print(it, n);
    case NODE_IF:
        return exec_if(it, n);
    case NODE_FOR:
        return jinja_for(it, n);
    case NODE_SET:
        return exec_set(it, n);
    case NODE_SET_BLOCK:
        return exec_set_block(it, n);
    case NODE_MACRO:
        return exec_macro(it, n);
    case NODE_CALL_BLOCK:
        return exec_call_block(it, n);
    case NODE_FILTER_BLOCK:
        return exec_filter_block(it, n);
    case NODE_WITH:
        return exec_with(it, n);
    case NODE_BODY:
        return jinja_exec(it, n->c);
    case NODE_BREAK:
        it->flow = FLOW_BREAK;
        return 0;
    case NODE_CONTINUE:
        it->flow = FLOW_CONTINUE;
        return 0;
    default:
        return jinja_fail(it, "a node that is no statement");
    }
}

int jinja_exec(struct interp *it, const struct node *n)
{
    int rc = jinja_enter(it);
    for (; !rc && n && it->flow == FLOW_ON; n = n->next) {
        it->line = n->line;
        rc = jinja_work(it, 1);
        rc = rc ? rc : exec_one(it, n);
    }
    if (!rc) {
        jinja_leave(it);
    }
    return rc;
}
