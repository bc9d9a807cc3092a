/* Calls: arguments, macros, and whatever else can be called. */
#include <string.h>

#include "compute/text/jinja/interp.h"

static size_t count(const struct node *n)
{
    size_t k = 0;
    for (; n; n = n->next) {
        k++;
    }
    return k;
}

/* Room for n more, the old ones kept. */
static int more(struct interp *it, struct args *a, size_t n_pos, size_t n_kw)
{
    struct value *pos = jinja_alloc(it, a->n_pos + n_pos, sizeof *pos);
    struct binding *kw = jinja_alloc(it, a->n_kw + n_kw, sizeof *kw);
    if (!pos || !kw) {
        return -ERR_LIMIT;
    }
    if (a->n_pos) {
        memcpy(pos, a->pos, a->n_pos * sizeof *pos);
    }
    if (a->n_kw) {
        memcpy(kw, a->kw, a->n_kw * sizeof *kw);
    }
    a->pos = pos;
    a->kw = kw;
    return 0;
}

/* *values; rest: how many arguments may still follow. */
static int spread_list(struct interp *it, struct args *a, const struct value *v, size_t rest)
{
    struct value *item;
    size_t n;
    int rc = val_items(it, v, &item, &n);
    rc = rc ? rc : jinja_work(it, n);
    rc = rc ? rc : more(it, a, n + rest, rest);
    for (size_t i = 0; !rc && i < n; i++) {
        a->pos[a->n_pos++] = item[i];
    }
    return rc;
}

/* **values */
static int spread_dict(struct interp *it, struct args *a, const struct value *v, size_t rest)
{
    if (v->type != VAL_DICT) {
        return jinja_fail(it, "** needs a dict, not %s", val_type_name(v));
    }
    const struct dict *d = v->dict;
    int rc = jinja_work(it, d->n);
    rc = rc ? rc : more(it, a, rest, d->n + rest);
    for (size_t i = 0; !rc && i < d->n; i++) {
        if (d->key[i].type != VAL_STRING) {
            return jinja_fail(it, "** needs a dict whose keys are strings");
        }
        a->kw[a->n_kw++] = (struct binding){.name = d->key[i].s, .n = d->key[i].n, .value = d->value[i]};
    }
    return rc;
}

static int check_twice(struct interp *it, const struct args *a)
{
    for (size_t i = 0; i < a->n_kw; i++) {
        for (size_t k = 0; k < i; k++) {
            if (a->kw[i].n == a->kw[k].n && memcmp(a->kw[i].name, a->kw[k].name, a->kw[i].n) == 0) {
                return jinja_fail(it, "the argument \"%.*s\" is given twice", (int)a->kw[i].n, a->kw[i].name);
            }
        }
        int rc = jinja_work(it, 1 + i / 8);
        if (rc) {
            return rc;
        }
    }
    return 0;
}

int jinja_args(struct interp *it, const struct node *list, struct args *out)
{
    size_t rest = count(list);
    *out = (struct args){0};
    int rc = more(it, out, rest, rest);
    for (; !rc && list; list = list->next, rest--) {
        struct value v;
        rc = jinja_eval(it, list->a, &v);
        if (rc) {
            break;
        }
        if (list->op == '*') {
            rc = spread_list(it, out, &v, rest);
        } else if (list->op == 'x') {
            rc = spread_dict(it, out, &v, rest);
        } else if (list->s) {
            out->kw[out->n_kw++] = (struct binding){.name = list->s, .n = list->n, .value = v};
        } else {
            out->pos[out->n_pos++] = v;
        }
    }
    return rc ? rc : check_twice(it, out);
}

/* The keyword argument of that name, marked as used. */
static const struct value *take_keyword(const struct args *a, bool *used, const char *name, size_t n)
{
    for (size_t i = 0; i < a->n_kw; i++) {
        if (a->kw[i].n == n && memcmp(a->kw[i].name, name, n) == 0) {
            used[i] = true;
            return &a->kw[i].value;
        }
    }
    return NULL;
}

/* The parameters of the macro, in order; a default sees those before it. */
static int bind_params(struct interp *it, const struct macro *m, const struct args *a, bool *used)
{
    size_t i = 0;
    int rc = 0;
    for (const struct node *p = m->node->a; !rc && p; p = p->next, i++) {
        const struct value *given = i < a->n_pos ? &a->pos[i] : take_keyword(a, used, p->s, p->n);
        struct value v = given ? *given : val_undefined(p->s, p->n);
        if (!given && p->a) {
            rc = jinja_eval(it, p->a, &v);
        }
        rc = rc ? rc : scope_set(it, it->scope, p->s, p->n, v);
    }
    return rc;
}

static bool has_param(const struct node *macro, const char *name)
{
    for (const struct node *p = macro->a; p; p = p->next) {
        if (p->n == strlen(name) && memcmp(p->s, name, p->n) == 0) {
            return true;
        }
    }
    return false;
}

/* Positional arguments that no parameter took: varargs where the body asks for it. */
static int bind_varargs(struct interp *it, const struct macro *m, const struct args *a)
{
    size_t n_param = count(m->node->a);
    size_t extra = a->n_pos > n_param ? a->n_pos - n_param : 0;
    struct list *l;
    if (!m->node->uses_varargs) {
        return extra ? jinja_fail(it, "macro \"%.*s\" takes at most %zu arguments, %zu were given", (int)m->node->n,
                                  m->node->s, n_param, a->n_pos)
                     : 0;
    }
    int rc = list_new(it, LIST_TUPLE, extra, &l);
    for (size_t i = 0; !rc && i < extra; i++) {
        rc = list_add(it, l, a->pos[n_param + i]);
    }
    return rc ? rc : scope_set(it, it->scope, "varargs", 7, val_list(l));
}

static int bind_kwargs(struct interp *it, const struct macro *m, const struct args *a, const bool *used)
{
    struct dict *d = NULL;
    int rc = m->node->uses_kwargs ? dict_new(it, a->n_kw, &d) : 0;
    for (size_t i = 0; !rc && i < a->n_kw; i++) {
        if (used[i]) {
            continue;
        }
        if (!d) {
            return jinja_fail(it, "macro \"%.*s\" takes no argument \"%.*s\"", (int)m->node->n, m->node->s,
                              (int)a->kw[i].n, a->kw[i].name);
        }
        rc = dict_set(it, d, val_text(a->kw[i].name, a->kw[i].n), a->kw[i].value);
    }
    return rc || !d ? rc : scope_set(it, it->scope, "kwargs", 6, val_dict(d));
}

static int bind_all(struct interp *it, const struct macro *m, const struct args *a)
{
    bool *used = jinja_alloc(it, a->n_kw, sizeof *used);
    if (!used) {
        return -ERR_LIMIT;
    }
    int rc = 0;
    if (m->node->uses_caller && !has_param(m->node, "caller")) {
        const struct value *caller = take_keyword(a, used, "caller", 6);
        rc = scope_set(it, it->scope, "caller", 6, caller ? *caller : val_undefined("caller", 6));
    }
    rc = rc ? rc : bind_params(it, m, a, used);
    rc = rc ? rc : bind_varargs(it, m, a);
    return rc ? rc : bind_kwargs(it, m, a, used);
}

static int macro_call(struct interp *it, const struct macro *m, const struct args *a, struct value *out)
{
    struct scope *before = it->scope;
    uint32_t line = it->line;
    it->scope = scope_push(it, m->scope);
    if (!it->scope) {
        return -ERR_LIMIT;
    }
    int rc = bind_all(it, m, a);
    rc = rc ? rc : jinja_capture(it, m->node->c, out);
    it->scope = before;
    if (!rc) {
        it->line = line;
    }
    return rc;
}

int jinja_call(struct interp *it, const struct value *callee, const struct args *a, struct value *out)
{
    int rc = jinja_enter(it);
    if (rc) {
        return rc;
    }
    switch ((enum value_type)callee->type) {
    case VAL_MACRO:
        rc = macro_call(it, callee->macro, a, out);
        break;
    case VAL_FUNCTION:
        rc = callee->function->call(it, NULL, a, out);
        break;
    case VAL_METHOD:
        rc = callee->method->method->call(it, &callee->method->self, a, out);
        break;
    case VAL_LOOP:
        rc = loop_call(it, callee->loop, a, out);
        break;
    case VAL_UNDEFINED:
        return jinja_fail(it, "\"%.*s\" is undefined and cannot be called", (int)callee->n, callee->s);
    default:
        return jinja_fail(it, "%s cannot be called", val_type_name(callee));
    }
    if (!rc) {
        jinja_leave(it);
    }
    return rc;
}

/* Index of a name in a list of names separated by spaces, -1 when absent. */
static int name_index(const char *names, const char *name, size_t n)
{
    for (int i = 0; *names; i++) {
        size_t len = strcspn(names, " ");
        if (len == n && memcmp(names, name, n) == 0) {
            return i;
        }
        names += len + (names[len] == ' ');
    }
    return -1;
}

int args_bind(struct interp *it, const struct args *a, const char *what, const char *names, size_t n_need,
              const struct value **v)
{
    size_t n = *names != '\0';
    for (const char *c = names; *c; c++) {
        n += *c == ' ';
    }
    if (a->n_pos > n) {
        return jinja_fail(it, "%s takes at most %zu arguments, %zu were given", what, n, a->n_pos);
    }
    for (size_t i = 0; i < n; i++) {
        v[i] = i < a->n_pos ? &a->pos[i] : NULL;
    }
    for (size_t i = 0; i < a->n_kw; i++) {
        int at = name_index(names, a->kw[i].name, a->kw[i].n);
        if (at < 0 || v[at]) {
            return jinja_fail(it, "%s takes no argument \"%.*s\"; it takes \"%s\"", what, (int)a->kw[i].n,
                              a->kw[i].name, names);
        }
        v[at] = &a->kw[i].value;
    }
    for (size_t i = 0; i < n_need; i++) {
        if (!v[i]) {
            return jinja_fail(it, "%s needs the arguments \"%s\"", what, names);
        }
    }
    return 0;
}

int args_int(struct interp *it, const struct value *v, int64_t initial, int64_t *out)
{
    *out = initial;
    if (v && !val_is_int(v, out)) {
        return jinja_fail(it, "an integer is needed, not %s", val_type_name(v));
    }
    return 0;
}

bool args_truth(const struct value *v, bool initial)
{
    return v ? val_truth(v) : initial;
}
