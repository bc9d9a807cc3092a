/* The frame of a rendering: failures with their line, limits, scopes, assignment. */
#include <stdio.h>
#include <string.h>

#include "compute/text/jinja/interp.h"

int jinja_fail(struct interp *it, const char *fmt, ...)
{
    char text[384];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(it->e, ERR_INPUT, "chat template", "cannot render the chat template: line %u: %s", it->line, text);
}

int jinja_work(struct interp *it, uint64_t steps)
{
    it->steps += steps;
    if (it->steps > JINJA_MAX_STEPS) {
        return jinja_fail(it, "it takes more than %d steps", JINJA_MAX_STEPS);
    }
    return 0;
}

void *jinja_alloc(struct interp *it, size_t n, size_t size)
{
    size_t total;
    void *p = mul_size(n, size, &total) && total <= JINJA_MAX_MEMORY ? arena_alloc(it->arena, total ? total : 1) : NULL;
    if (!p) {
        (void)err_set(it->e, ERR_LIMIT, "chat template",
                      "cannot render the chat template: line %u: out of memory, or its values need more than %d MiB",
                      it->line, JINJA_MAX_MEMORY >> 20);
    }
    return p;
}

int jinja_enter(struct interp *it)
{
    if (it->depth >= JINJA_MAX_DEPTH) {
        return jinja_fail(it, "nested deeper than %d evaluations", JINJA_MAX_DEPTH);
    }
    it->depth++;
    return jinja_work(it, 1);
}

void jinja_leave(struct interp *it)
{
    it->depth--;
}

struct scope *scope_push(struct interp *it, struct scope *parent)
{
    struct scope *s = jinja_alloc(it, 1, sizeof *s);
    if (s) {
        s->parent = parent;
    }
    return s;
}

void scope_keep(struct scope *s)
{
    for (; s && !s->kept; s = s->parent) {
        s->kept = true;
    }
}

static struct binding *find_here(const struct scope *s, const char *name, size_t n)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->b[i].n == n && memcmp(s->b[i].name, name, n) == 0) {
            return &s->b[i];
        }
    }
    return NULL;
}

int scope_set(struct interp *it, struct scope *s, const char *name, size_t n, struct value v)
{
    struct binding *old = find_here(s, name, n);
    if (old) {
        old->value = v;
        return 0;
    }
    if (s->n == s->cap) {
        size_t cap = s->cap ? 2 * s->cap : 4;
        struct binding *b = jinja_alloc(it, cap, sizeof *b);
        if (!b) {
            return -ERR_LIMIT;
        }
        if (s->n) {
            memcpy(b, s->b, s->n * sizeof *b);
        }
        s->b = b;
        s->cap = cap;
    }
    s->b[s->n++] = (struct binding){.name = name, .n = (uint32_t)n, .value = v};
    return jinja_work(it, 1 + s->n / 8);
}

const struct value *scope_find(const struct scope *s, const char *name, size_t n)
{
    for (; s; s = s->parent) {
        const struct binding *b = find_here(s, name, n);
        if (b) {
            return &b->value;
        }
    }
    return NULL;
}

static int assign_member(struct interp *it, const struct node *target, const struct value *v)
{
    const struct value *ns = scope_find(it->scope, target->s, target->n);
    if (!ns || ns->type != VAL_NAMESPACE) {
        return jinja_fail(it, "cannot assign to %.*s.%.*s: \"%.*s\" is no namespace", (int)target->n, target->s,
                          (int)target->a->n, target->a->s, (int)target->n, target->s);
    }
    return dict_set(it, ns->dict, val_text(target->a->s, target->a->n), *v);
}

static int assign_tuple(struct interp *it, const struct node *target, const struct value *v)
{
    struct value *item;
    size_t n, want = 0;
    int rc = val_items(it, v, &item, &n);
    for (const struct node *t = target->a; t; t = t->next) {
        want++;
    }
    if (!rc && n != want) {
        rc = jinja_fail(it, "cannot unpack %zu values into %zu names", n, want);
    }
    for (const struct node *t = target->a; !rc && t; t = t->next) {
        rc = jinja_assign(it, t, item++);
    }
    return rc;
}

int jinja_assign(struct interp *it, const struct node *target, const struct value *v)
{
    switch (target->type) {
    case NODE_MEMBER:
        return assign_member(it, target, v);
    case NODE_TUPLE:
        return assign_tuple(it, target, v);
    default:
        return scope_set(it, it->scope, target->s, target->n, *v);
    }
}
