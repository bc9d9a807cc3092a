/* for loops, and the variable `loop` in them. Each round has a scope of its own, so what is set in one is gone in the
 * next. */
#include <string.h>

#include "compute/text/jinja/interp.h"

/* An empty scope under `outer`: the one of the round before, unless something still points to it. */
static struct scope *round_scope(struct interp *it, struct scope *outer, struct scope *before)
{
    if (!before || before->kept) {
        return scope_push(it, outer);
    }
    before->n = 0;
    return before;
}

/* The items that pass the "if" of the loop. */
static int filter_items(struct interp *it, const struct node *n, struct value **item, size_t *n_item)
{
    struct value *kept = jinja_alloc(it, *n_item, sizeof *kept);
    struct scope *outer = it->scope, *round = NULL;
    size_t k = 0;
    int rc = kept ? 0 : -ERR_LIMIT;
    for (size_t i = 0; !rc && i < *n_item; i++) {
        struct value v;
        it->scope = round = round_scope(it, outer, round);
        rc = round ? jinja_assign(it, n->a, &(*item)[i]) : -ERR_LIMIT;
        rc = rc ? rc : jinja_eval(it, n->e, &v);
        if (!rc && val_truth(&v)) {
            kept[k++] = (*item)[i];
        }
    }
    it->scope = outer;
    *item = kept;
    *n_item = k;
    return rc;
}

static int one_round(struct interp *it, const struct node *n, struct loop *l, struct scope *round)
{
    if (!round) {
        return -ERR_LIMIT;
    }
    it->scope = round;
    int rc = scope_set(it, it->scope, "loop", 4, (struct value){.type = VAL_LOOP, .loop = l});
    rc = rc ? rc : jinja_assign(it, n->a, &l->item[l->at]);
    return rc ? rc : jinja_exec(it, n->c);
}

/* All rounds over v; the else body when there was none. */
static int run_loop(struct interp *it, const struct node *n, const struct value *v, int64_t depth0)
{
    struct loop *l = jinja_alloc(it, 1, sizeof *l);
    struct scope *outer = it->scope, *round = NULL;
    if (!l) {
        return -ERR_LIMIT;
    }
    if (n->flag) {
        scope_keep(outer); /* loop() runs there, perhaps later */
    }
    *l = (struct loop){.node = n, .scope = outer, .depth0 = depth0};
    int rc = val_items(it, v, &l->item, &l->n);
    if (!rc && n->e) {
        rc = filter_items(it, n, &l->item, &l->n);
    }
    for (; !rc && l->at < l->n && it->flow == FLOW_ON; l->at++) {
        round = round_scope(it, outer, round);
        rc = one_round(it, n, l, round);
        if (it->flow == FLOW_CONTINUE) {
            it->flow = FLOW_ON;
        }
        if (it->flow == FLOW_BREAK) {
            it->flow = FLOW_ON;
            break;
        }
    }
    it->scope = outer;
    if (!rc && l->n == 0 && n->d) {
        it->scope = scope_push(it, outer);
        rc = it->scope ? jinja_exec(it, n->d) : -ERR_LIMIT;
        it->scope = outer;
    }
    return rc;
}

int jinja_for(struct interp *it, const struct node *n)
{
    struct value v;
    int rc = jinja_eval(it, n->b, &v);
    return rc ? rc : run_loop(it, n, &v, 0);
}

int loop_call(struct interp *it, struct loop *l, const struct args *a, struct value *out)
{
    if (!l->node->flag) {
        return jinja_fail(it, "loop() needs a loop that is marked \"recursive\"");
    }
    if (a->n_pos != 1 || a->n_kw != 0) {
        return jinja_fail(it, "loop() takes one argument, the items of the inner loop");
    }
    struct text t, *out_before = it->out;
    struct scope *scope_before = it->scope;
    text_init(&t, it);
    it->out = &t;
    it->scope = l->scope;
    int rc = jinja_enter(it);
    rc = rc ? rc : run_loop(it, l->node, &a->pos[0], l->depth0 + 1);
    if (!rc) {
        jinja_leave(it);
    }
    it->out = out_before;
    it->scope = scope_before;
    *out = text_value(&t);
    return rc;
}

static int loop_cycle(struct interp *it, const struct value *self, const struct args *a, struct value *out)
{
    if (a->n_pos == 0) {
        return jinja_fail(it, "loop.cycle() needs items");
    }
    *out = a->pos[self->loop->at % a->n_pos];
    return 0;
}

static int loop_changed(struct interp *it, const struct value *self, const struct args *a, struct value *out)
{
    struct list *now;
    int rc = list_new(it, LIST_TUPLE, a->n_pos, &now);
    for (size_t i = 0; !rc && i < a->n_pos; i++) {
        rc = list_add(it, now, a->pos[i]);
    }
    struct value v = val_list(now);
    int same = rc ? rc : val_equal(it, &self->loop->changed, &v);
    self->loop->changed = v;
    *out = val_bool(!same);
    return same < 0 ? same : 0;
}

static int loop_method(struct interp *it, struct loop *l, const struct builtin *b, struct value *out)
{
    struct bound_method *m = jinja_alloc(it, 1, sizeof *m);
    if (!m) {
        return -ERR_LIMIT;
    }
    *m = (struct bound_method){.method = b, .self = {.type = VAL_LOOP, .loop = l}};
    *out = (struct value){.type = VAL_METHOD, .method = m};
    return 0;
}

int loop_attr(struct interp *it, struct loop *l, const char *name, size_t n, struct value *out)
{
    static const struct builtin methods[] = {{"cycle", loop_cycle}, {"changed", loop_changed}};
    int64_t at = (int64_t)l->at, count = (int64_t)l->n;
    const struct {
        const char *name;
        struct value value;
    } attrs[] = {{"index", val_int(at + 1)},
                 {"index0", val_int(at)},
                 {"revindex", val_int(count - at)},
                 {"revindex0", val_int(count - at - 1)},
                 {"first", val_bool(at == 0)},
                 {"last", val_bool(at + 1 == count)},
                 {"length", val_int(count)},
                 {"depth", val_int(l->depth0 + 1)},
                 {"depth0", val_int(l->depth0)},
                 {"previtem", at > 0 ? l->item[at - 1] : val_undefined("previtem", 8)},
                 {"nextitem", at + 1 < count ? l->item[at + 1] : val_undefined("nextitem", 8)}};
    for (size_t i = 0; i < N_ELEM(attrs); i++) {
        if (strlen(attrs[i].name) == n && memcmp(attrs[i].name, name, n) == 0) {
            *out = attrs[i].value;
            return 0;
        }
    }
    const struct builtin *b = builtin_find(methods, N_ELEM(methods), name, n);
    if (b) {
        return loop_method(it, l, b, out);
    }
    *out = val_undefined(name, n);
    return 0;
}
