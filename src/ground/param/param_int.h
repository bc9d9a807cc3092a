/* Private to param/: how values are kept. */
#ifndef PARAM_PARAM_INT_H
#define PARAM_PARAM_INT_H

#include "ground/param/param.h"

/* One element: text for strings and choices, integer for integers and truth values, number for floats. */
struct item {
    char *text; /* owned */
    double number;
    int64_t integer;
};

struct value {
    struct item *item; /* [n], NULL: unset */
    size_t n;
    unsigned source; /* 0: the default; else the number of the source that set it */
};

struct param_set {
    const struct param *table;
    size_t n;
    struct value *value;      /* [n] */
    unsigned source;          /* counts up with every source: a repeatable option adds to its own source only */
    bool as_flags;            /* errors say --max-tokens instead of max_tokens */
    const struct param *also; /* [n_also] another table to suggest names from, NULL: none */
    size_t n_also;
};

enum { PARAM_ITEMS_MAX = 1 << 16, PARAM_NAME_SIZE = 96, PARAM_FILE_MAX_BYTES = 1 << 20 };

/* The index of a name, or -ERR_USAGE with the nearest known name. */
int param_find(const struct param_set *s, const char *name, size_t *idx, struct err *e) MUST_CHECK;
/* How a parameter is called where the values come from: max_tokens, --max-tokens, MODEL. */
void param_shown_name(const struct param *p, bool as_flags, char out[PARAM_NAME_SIZE]);
/* What stands for its value: the metavar, or a word by the type. */
const char *param_metavar(const struct param *p);
/* "an integer from 1 to 1024 (tokens)": what would be accepted for one element. */
void param_needed(const struct param *p, char *out, size_t size);
bool param_is_list(const struct param *p);

/* Check one text as one element and append or put it; `first` begins a new value, else it is added to the value. */
int param_put_text(struct param_set *s, size_t idx, const char *text, bool first, struct err *e) MUST_CHECK;
/* The value becomes the empty list. */
void param_put_empty(struct param_set *s, size_t idx);
/* A value as JSON; new reference. */
json_t *param_value_json(const struct param *p, const struct value *v);
/* The same for one JSON value, which must be an object (PARAM_OBJECTS). */
int param_put_object(struct param_set *s, size_t idx, const json_t *object, bool first, struct err *e) MUST_CHECK;
/* Begin a source: values set from now on replace those of sources before. */
void param_begin_source(struct param_set *s, bool as_flags);

#endif
