/* Reading a schema. Owns its copy and the compiled patterns. What always holds: every keyword that stands where a check
 * could come is known and has a value of its kind, and every reference leads to a schema that was read, too. */
#include <stdio.h>
#include <string.h>

#include "compute/text/json_schema_int.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"
#include "ground/json/json.h"

enum { POINTER_SIZE = 200 };

/* A place in the schema while it is read: chained up to the root. */
struct place {
    const struct place *up;
    const char *name; /* NULL: number */
    size_t number;
};

struct reading {
    struct json_schema *s;
    json_t *seen; /* {address: true} of schemas that were begun */
    int depth;
    struct err *e;
};

/* --- places --- */

static size_t put_place(const struct place *p, char *out, size_t size)
{
    if (p == NULL) return 0;
    size_t n = put_place(p->up, out, size);
    if (n + 24 >= size) return n;
    int more = p->name != NULL ? snprintf(out + n, size - n, "/%.60s", p->name)
                               : snprintf(out + n, size - n, "/%zu", p->number);
    n += (size_t)more;
    return n < size ? n : size - 1;
}

static int wrong(const struct reading *r, const struct place *at, const char *what)
{
    char pointer[POINTER_SIZE] = "#";
    put_place(at, pointer + 1, sizeof(pointer) - 1);
    return err_set(r->e, ERR_INPUT, r->s->where, "cannot use %s: %s at \"%s\"", r->s->where, what, pointer);
}

static int no_memory(const struct reading *r)
{
    return err_set(r->e, ERR_NOMEM, r->s->where, "cannot use %s: out of memory", r->s->where);
}

/* --- references --- */

/* One name of a pointer, up to the next slash: %XX, then ~1 and ~0. */
static const char *next_name(const char *p, char *out, size_t size)
{
    size_t n = 0;
    for (; *p != '\0' && *p != '/'; p++) {
        char c = *p;
        unsigned code;
        if (c == '%' && sscanf(p + 1, "%2x", &code) == 1 && p[1] != '\0' && p[2] != '\0') c = (char)code, p += 2;
        if (c == '~' && (p[1] == '0' || p[1] == '1')) c = *++p == '1' ? '/' : '~';
        if (n + 1 < size) out[n++] = c;
    }
    out[n] = '\0';
    return p;
}

const json_t *schema_find(const json_t *root, const char *ref)
{
    const json_t *at = root;
    if (*ref++ != '#') return NULL;
    while (at != NULL && *ref == '/') {
        char name[256];
        uint64_t number;
        ref = next_name(ref + 1, name, sizeof(name));
        if (json_is_array(at))
            at = str_to_u64(name, &number) ? json_array_get(at, (size_t)number) : NULL;
        else
            at = json_object_get(at, name);
    }
    return *ref == '\0' ? at : NULL;
}

/* --- values of keywords --- */

bool schema_is_type(const char *name)
{
    static const char *const type[] = {"null", "boolean", "object", "array", "number", "string", "integer"};
    for (size_t i = 0; i < N_ELEM(type); i++)
        if (str_eq(name, type[i])) return true;
    return false;
}

static bool all_strings(const json_t *v)
{
    size_t i;
    json_t *x;
    if (!json_is_array(v)) return false;
    json_array_foreach(v, i, x) if (!json_is_string(x)) return false;
    return true;
}

static bool all_names(const json_t *v)
{
    const char *key;
    json_t *x;
    if (!json_is_object(v)) return false;
    json_object_foreach((json_t *)(uintptr_t)v, key, x) if (!all_strings(x)) return false;
    return true;
}

static bool is_types(const json_t *v)
{
    size_t i;
    json_t *x;
    if (json_is_string(v)) return schema_is_type(json_string_value(v));
    if (!all_strings(v) || json_array_size(v) == 0) return false;
    json_array_foreach(v, i, x) if (!schema_is_type(json_string_value(x))) return false;
    return true;
}

static bool is_count(const json_t *v)
{
    double d = json_number_value(v);
    return json_is_number(v) && d >= 0 && d <= 9e15 && d <= (double)(int64_t)d;
}

/* NULL: it is of the kind; else what is needed. */
static const char *needed(enum schema_arg arg, const json_t *v)
{
    switch (arg) {
    case ARG_BOOL:
        return json_is_boolean(v) ? NULL : "true or false is needed";
    case ARG_STRING:
    case ARG_PATTERN:
    case ARG_REF:
        return json_is_string(v) ? NULL : "a string is needed";
    case ARG_COUNT:
        return is_count(v) ? NULL : "a whole number from 0 on is needed";
    case ARG_NUMBER:
        return json_is_number(v) ? NULL : "a number is needed";
    case ARG_POSITIVE:
        return json_is_number(v) && json_number_value(v) > 0 ? NULL : "a number above 0 is needed";
    case ARG_TYPE:
        return is_types(v) ? NULL
                           : "null, boolean, object, array, number, string or integer is needed, or a list of these";
    case ARG_LIST:
        return json_is_array(v) ? NULL : "a list is needed";
    case ARG_NAMES:
        return all_strings(v) ? NULL : "a list of strings is needed";
    case ARG_NAMES_OF:
        return all_names(v) ? NULL : "an object of lists of strings is needed";
    case ARG_SCHEMAS:
        return json_is_array(v) && json_array_size(v) > 0 ? NULL : "a list of schemas is needed";
    case ARG_SCHEMAS_OF:
    case ARG_PATTERNS_OF:
        return json_is_object(v) ? NULL : "an object of schemas is needed";
    case ARG_ANY:
    case ARG_SCHEMA:
    default:
        return NULL;
    }
}

static int add_pattern(struct reading *r, const char *pattern)
{
    struct json_schema *s = r->s;
    if (json_object_get(s->patterns, pattern) != NULL) return 0;
    if (s->n_regex == s->cap_regex) {
        size_t cap = 2 * s->cap_regex + 8;
        void *grown = mem_try_realloc(s->regex, cap * sizeof(struct regex *));
        if (grown == NULL) return no_memory(r);
        s->regex = grown;
        s->cap_regex = cap;
    }
    int rc = regex_new(&s->regex[s->n_regex], pattern, strlen(pattern), s->where, r->e);
    if (rc != 0) return rc;
    if (json_object_set_new(s->patterns, pattern, json_integer((json_int_t)s->n_regex++)) != 0) return no_memory(r);
    return 0;
}

/* --- schemas --- */

static int read_schema(struct reading *r, const json_t *schema, const struct place *at);

static int read_each(struct reading *r, const json_t *list, const struct place *at)
{
    size_t i;
    json_t *x;
    int rc = 0;
    json_array_foreach(list, i, x)
    {
        struct place here = {at, NULL, i};
        rc = read_schema(r, x, &here);
        if (rc != 0) return rc;
    }
    return 0;
}

static int read_members(struct reading *r, const json_t *object, bool patterns, const struct place *at)
{
    const char *key;
    json_t *x;
    json_object_foreach((json_t *)(uintptr_t)object, key, x)
    {
        struct place here = {at, key, 0};
        int rc = patterns ? add_pattern(r, key) : 0;
        if (rc == 0) rc = read_schema(r, x, &here);
        if (rc != 0) return rc;
    }
    return 0;
}

static int read_ref(struct reading *r, const json_t *ref, const struct place *at)
{
    const json_t *target = schema_find(r->s->root, json_string_value(ref));
    if (target != NULL) return read_schema(r, target, at);
    char what[160];
    snprintf(what, sizeof(what), "$ref \"%.80s\" leads to nothing in this schema (\"#/$defs/NAME\" would)",
             json_string_value(ref));
    return wrong(r, at, what);
}

static int read_arg(struct reading *r, const struct schema_keyword *k, const json_t *v, const struct place *at)
{
    const char *need = needed(k->arg, v);
    if (need != NULL) return wrong(r, at, need);
    switch (k->arg) {
    case ARG_PATTERN:
        return add_pattern(r, json_string_value(v));
    case ARG_SCHEMA:
        return read_schema(r, v, at);
    case ARG_SCHEMAS:
        return read_each(r, v, at);
    case ARG_SCHEMAS_OF:
        return read_members(r, v, false, at);
    case ARG_PATTERNS_OF:
        return read_members(r, v, true, at);
    case ARG_REF:
        return read_ref(r, v, at);
    default:
        return 0;
    }
}

static const struct schema_keyword *find_keyword(const char *name)
{
    for (const struct schema_keyword *k = schema_keywords; k->name != NULL; k++)
        if (str_eq(k->name, name)) return k;
    return NULL;
}

static int unknown(const struct reading *r, const char *name, const struct place *at)
{
    char pointer[POINTER_SIZE] = "#";
    put_place(at, pointer + 1, sizeof(pointer) - 1);
    const char *hint = str_eq(name, "format")            ? "; a pattern would be"
                       : str_eq(name, "additionalItems") ? "; prefixItems and items would be"
                       : str_eq(name, "dependencies")    ? "; dependentRequired and dependentSchemas would be"
                                                         : "";
    return err_set(r->e, ERR_UNSUPPORTED, r->s->where, "cannot use %s: keyword \"%.60s\" at \"%s\" is not checked%s",
                   r->s->where, name, pointer, hint);
}

static int read_keywords(struct reading *r, const json_t *schema, const struct place *at)
{
    const char *key;
    json_t *x;
    json_object_foreach((json_t *)(uintptr_t)schema, key, x)
    {
        const struct schema_keyword *k = find_keyword(key);
        struct place here = {at, key, 0};
        /* another base address would change what references mean */
        if (k == NULL || (str_eq(key, "$id") && schema != r->s->root)) return unknown(r, key, &here);
        int rc = read_arg(r, k, x, &here);
        if (rc != 0) return rc;
    }
    return 0;
}

static int read_schema(struct reading *r, const json_t *schema, const struct place *at)
{
    char address[32];
    if (json_is_boolean(schema)) return 0;
    if (!json_is_object(schema)) return wrong(r, at, "a schema (an object, true or false) is needed");
    snprintf(address, sizeof(address), "%p", (const void *)schema);
    if (json_object_get(r->seen, address) != NULL) return 0;
    if (json_object_set_new(r->seen, address, json_true()) != 0) return no_memory(r);
    if (r->depth >= SCHEMA_MAX_DEPTH) return wrong(r, at, "schemas stand in each other too deep");
    r->depth++;
    int rc = read_keywords(r, schema, at);
    r->depth--;
    return rc;
}

int json_schema_new(struct json_schema **out, const json_t *schema, const char *where, struct err *e)
{
    struct json_schema *s = mem_alloc(sizeof(*s));
    struct reading r = {.s = s, .seen = json_object(), .e = e};
    *out = NULL;
    snprintf(s->where, sizeof(s->where), "%s", where);
    s->root = json_deep_copy(schema);
    s->patterns = json_object();
    int rc = s->root == NULL || s->patterns == NULL || r.seen == NULL ? no_memory(&r) : read_schema(&r, s->root, NULL);
    json_decref(r.seen);
    if (rc == 0)
        *out = s;
    else
        json_schema_free(s);
    return rc;
}

void json_schema_free(struct json_schema *s)
{
    if (s == NULL) return;
    for (size_t i = 0; i < s->n_regex; i++) regex_free(s->regex[i]);
    mem_free(s->regex);
    json_decref(s->patterns);
    json_decref(s->root);
    mem_free(s);
}
