/* Chat templates: parsing once, rendering many times, also from several threads (a template is not changed by
 * rendering). Here the conversation becomes values, marked as written by users, and the marks of the output become
 * spans. */
#include "compute/text/chat_template.h"

#include <string.h>

#include "compute/text/jinja/ast.h"
#include "compute/text/jinja/interp.h"
#include "compute/text/utf8.h"
#include "ground/base/clock.h"
#include "ground/base/mem.h"

enum { MAX_TEMPLATE_BYTES = 1 << 20, MAX_TEMPLATE_MEMORY = 64 << 20, MAX_VALUE_DEPTH = 100 };

struct chat_template {
    struct arena arena;
    struct node *root;
};

int chat_template_new(struct chat_template **out, const char *source, size_t n, struct err *e)
{
    if (n > MAX_TEMPLATE_BYTES) {
        return err_set(e, ERR_LIMIT, "chat template",
                       "cannot parse the chat template: it has %zu bytes, at most %d are accepted", n,
                       MAX_TEMPLATE_BYTES);
    }
    if (!utf8_valid(source, n)) {
        return err_set(e, ERR_INPUT, "chat template", "cannot parse the chat template: it is not UTF-8");
    }
    struct chat_template *t = mem_try_alloc(sizeof *t);
    if (!t) {
        return err_set(e, ERR_NOMEM, "chat template", "cannot parse the chat template: out of memory");
    }
    arena_init(&t->arena, MAX_TEMPLATE_MEMORY);
    int rc = jinja_parse(&t->arena, source, n, &t->root, e);
    if (rc) {
        chat_template_free(t);
        return rc;
    }
    *out = t;
    return 0;
}

void chat_template_free(struct chat_template *t)
{
    if (t) {
        arena_deinit(&t->arena);
        mem_free(t);
    }
}

/* Roles that templates know. Spelled exactly so, a role is no text of a user: some templates build control tokens of
 * it. */
static bool is_known_role(const char *s)
{
    static const char *const roles[] = {"system",   "user",          "assistant", "tool",        "developer",
                                        "function", "ipython",       "model",     "observation", "environment",
                                        "context",  "tool_response", "tool_call"};
    for (size_t i = 0; i < N_ELEM(roles); i++) {
        if (strcmp(s, roles[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int from_json(struct interp *it, const json_t *j, bool from_user, int depth, struct value *out);

/* A string that stays where it is: the conversation outlives the rendering. */
static struct value borrowed(const char *s, size_t n, bool from_user)
{
    struct value v = val_text(s, n);
    v.from_user = from_user;
    return v;
}

static int array_from_json(struct interp *it, const json_t *j, bool from_user, int depth, struct value *out)
{
    struct list *l;
    int rc = list_new(it, LIST_LIST, json_array_size(j), &l);
    for (size_t i = 0; !rc && i < json_array_size(j); i++) {
        struct value v;
        rc = from_json(it, json_array_get(j, i), from_user, depth + 1, &v);
        rc = rc ? rc : list_add(it, l, v);
    }
    *out = val_list(rc ? NULL : l);
    return rc;
}

static int object_from_json(struct interp *it, const json_t *j, bool from_user, int depth, struct value *out)
{
    struct dict *d;
    int rc = dict_new(it, json_object_size(j), &d);
    /* jansson has no iteration over const objects; this one changes nothing. */
    for (void *i = rc ? NULL : json_object_iter((json_t *)(uintptr_t)j); !rc && i;
         i = json_object_iter_next((json_t *)(uintptr_t)j, i)) {
        const char *key = json_object_iter_key(i);
        const json_t *value = json_object_iter_value(i);
        bool role = json_is_string(value) && strcmp(key, "role") == 0 && is_known_role(json_string_value(value));
        rc = from_json(it, value, from_user && !role, depth + 1, &d->value[d->n]);
        d->key[d->n++] = borrowed(key, json_object_iter_key_len(i), from_user);
    }
    *out = val_dict(rc ? NULL : d);
    return rc;
}

static int string_from_json(struct interp *it, const json_t *j, bool from_user, struct value *out)
{
    size_t n = json_string_length(j);
    *out = borrowed(json_string_value(j), n, from_user);
    return n > JINJA_MAX_TEXT ? jinja_fail(it, "a text is longer than %d bytes", JINJA_MAX_TEXT) : 0;
}

static int from_json(struct interp *it, const json_t *j, bool from_user, int depth, struct value *out)
{
    if (depth > MAX_VALUE_DEPTH) {
        return jinja_fail(it, "the conversation is nested deeper than %d levels", MAX_VALUE_DEPTH);
    }
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        return object_from_json(it, j, from_user, depth, out);
    case JSON_ARRAY:
        return array_from_json(it, j, from_user, depth, out);
    case JSON_STRING:
        return string_from_json(it, j, from_user, out);
    case JSON_INTEGER:
        *out = val_int(json_integer_value(j));
        return 0;
    case JSON_REAL:
        *out = val_float(json_real_value(j));
        return 0;
    case JSON_TRUE:
        *out = val_bool(true);
        return 0;
    case JSON_FALSE:
        *out = val_bool(false);
        return 0;
    case JSON_NULL:
        *out = val_none();
        return 0;
    }
    return jinja_fail(it, "a value of the conversation has no type");
}

static bool ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

/* The variables of the template. All text is a user's, but for bos_token, eos_token and the like, which the model
 * gives. */
static int make_vars(struct interp *it, const json_t *vars, bool add_generation_prompt, struct dict **out)
{
    int rc = dict_new(it, json_object_size(vars) + 1, out);
    for (void *i = rc ? NULL : json_object_iter((json_t *)(uintptr_t)vars); !rc && i;
         i = json_object_iter_next((json_t *)(uintptr_t)vars, i)) {
        const char *key = json_object_iter_key(i);
        struct value v;
        rc = from_json(it, json_object_iter_value(i), !ends_with(key, "_token"), 0, &v);
        rc = rc ? rc : dict_set(it, *out, borrowed(key, json_object_iter_key_len(i), false), v);
    }
    struct value key = val_text("add_generation_prompt", 21);
    return rc ? rc : dict_set(it, *out, key, val_bool(add_generation_prompt));
}

/* Number of runs of one side. */
static size_t count_spans(const struct text *t)
{
    size_t n = t->n > 0;
    for (size_t i = 1; t->mark && i < t->n; i++) {
        n += t->mark[i] != t->mark[i - 1];
    }
    return n;
}

static int make_result(const struct text *t, struct rendered *out, struct err *e)
{
    size_t n_span = count_spans(t), k = 0;
    out->text = mem_try_alloc(t->n + 1);
    out->span = mem_try_array(n_span ? n_span : 1, sizeof *out->span);
    if (!out->text || !out->span) {
        rendered_deinit(out);
        return err_set(e, ERR_NOMEM, "chat template", "cannot render the chat template: out of memory");
    }
    if (t->n > 0) {
        memcpy(out->text, t->s, t->n);
    }
    out->n = t->n;
    out->n_span = n_span;
    for (size_t from = 0, i = 1; from < t->n; i++) {
        if (i == t->n || (t->mark && t->mark[i] != t->mark[from])) {
            out->span[k++] = (struct text_span){
                .text = out->text + from, .n = i - from, .from_user = t->mark ? t->mark[from] : t->from_user};
            from = i;
        }
    }
    return 0;
}

int chat_template_render(const struct chat_template *t, const json_t *vars, bool add_generation_prompt,
                         struct rendered *out, struct err *e)
{
    *out = (struct rendered){0};
    if (!json_is_object(vars)) {
        return err_set(e, ERR_INPUT, "chat template",
                       "cannot render the chat template: the conversation is no JSON object");
    }
    struct arena arena;
    struct text text;
    struct dict *dict;
    arena_init(&arena, JINJA_MAX_MEMORY);
    struct interp it = {.arena = &arena, .e = e, .out = &text, .unix_s = clock_unix_ms() / 1000};
    text_init(&text, &it);
    int rc = make_vars(&it, vars, add_generation_prompt, &dict);
    if (!rc) {
        it.vars = dict;
        it.scope = scope_push(&it, NULL);
        rc = it.scope ? jinja_exec(&it, t->root) : -ERR_LIMIT;
    }
    rc = rc ? rc : make_result(&text, out, e);
    arena_deinit(&arena);
    return rc;
}

void rendered_deinit(struct rendered *r)
{
    mem_free(r->text);
    mem_free(r->span);
    *r = (struct rendered){0};
}
