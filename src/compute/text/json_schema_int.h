/* Private to JSON Schema: its keywords, and a schema that was read. */
#ifndef TEXT_JSON_SCHEMA_INT_H
#define TEXT_JSON_SCHEMA_INT_H

#include "compute/text/json_schema.h"
#include "ground/sys/regex.h"

enum { SCHEMA_MAX_DEPTH = 128, SCHEMA_MAX_STEPS = 2 * 1000 * 1000, SCHEMA_WHERE_SIZE = 96 };

/* What a keyword's value must be. */
enum schema_arg {
    ARG_ANY,
    ARG_BOOL,
    ARG_STRING,
    ARG_COUNT, /* an integer >= 0 */
    ARG_NUMBER,
    ARG_POSITIVE, /* a number > 0 */
    ARG_TYPE,     /* a name of a type, or a list of them */
    ARG_LIST,
    ARG_NAMES,    /* a list of strings */
    ARG_NAMES_OF, /* an object of such lists */
    ARG_PATTERN,
    ARG_SCHEMA,
    ARG_SCHEMAS,     /* a list of schemas, one at least */
    ARG_SCHEMAS_OF,  /* an object of schemas */
    ARG_PATTERNS_OF, /* the same, under patterns */
    ARG_REF
};

struct json_schema {
    json_t *root;     /* owned */
    json_t *patterns; /* owned: {pattern: number} */
    struct regex **regex;
    size_t n_regex, cap_regex;
    char where[SCHEMA_WHERE_SIZE];
};

/* One check of one value. */
struct schema_pass {
    const struct json_schema *s;
    int depth;
    long n_step;
    struct err *e;
};

/* A keyword: *fits is true when it is called. schema: the object that it stands in. */
struct schema_keyword {
    const char *name;
    enum schema_arg arg;
    /* NULL: it says nothing of a value by itself */
    int (*check)(struct schema_pass *p, const json_t *schema, const json_t *arg, const json_t *v, bool *fits);
};
extern const struct schema_keyword schema_keywords[]; /* ends with name NULL */

/* The number of a type's name, -1: there is none. */
bool schema_is_type(const char *name);
/* What a reference "#/a/b" points to; NULL: nothing, or not within this schema. */
const json_t *schema_find(const json_t *root, const char *ref);

#endif
