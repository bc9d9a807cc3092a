/* The one table of parameters: name, type, unit, range, default, help in English and Chinese. Command line flags, YAML
 * run files, JSON objects and the help text are all read from it, so no field exists in one and not in another.
 *
 * A parameter `warmup_steps` is the flag --warmup-steps, the YAML and JSON key warmup_steps. Values are checked against
 * the table when they are set; unknown names are errors that offer the nearest known one. */
#ifndef PARAM_PARAM_H
#define PARAM_PARAM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/buf.h"
#include "ground/base/err.h"

enum lang { LANG_EN, LANG_ZH };

enum param_type {
    PARAM_BOOL, /* --flag / --no-flag; true/false in files */
    PARAM_INT,
    PARAM_FLOAT,
    PARAM_STRING,
    PARAM_CHOICE, /* one of choices */
    PARAM_LIST,   /* list of strings: comma-separated on the command line */
    PARAM_FLOATS, /* list of numbers, e.g. betas */
    PARAM_INTS    /* list of integers, e.g. --batch 1,8,16 */
};

enum {
    PARAM_POSITIONAL = 1, /* taken in order from the arguments that are not flags */
    PARAM_REQUIRED = 2,
    PARAM_REPEAT = 4,    /* may be given several times (PARAM_STRING): --adapter A --adapter B */
    PARAM_REST = 8,      /* positional that takes all remaining arguments (PARAM_STRING) */
    PARAM_REFUSED = 16,  /* known, but not supported by this version: in no help, -ERR_UNSUPPORTED when it is set */
    PARAM_ABOVE = 32,    /* min itself is not a value: above min, at most max */
    PARAM_OBJECTS = 128, /* of a PARAM_LIST: every element is an object, kept as its JSON text */
    PARAM_ONCE = 64      /* a second one on the same command line is an error, where others are overridden by it */
};

struct param {
    const char *name; /* snake_case */
    enum param_type type;
    unsigned flags;
    const char *unit;    /* "tokens", "s", "bytes", ... or NULL */
    double min, max;     /* numbers (each element of a list); both 0: no range */
    const char *choices; /* PARAM_CHOICE: "auto|deterministic|reference"; those behind "||" are refused as above */
    const char *initial; /* default as text, NULL: unset */
    const char *metavar; /* what stands for the value in the help: "FILE", "N"; NULL: from the type */
    const char *help_en, *help_zh;
};

/* Values for one table. Values keep their source order; later sources override (defaults < config < environment <
 * flags). */
struct param_set;
struct param_set *param_set_new(const struct param *table, size_t n);
void param_set_free(struct param_set *s);

/* Parse text (as typed on a command line) for one parameter; -ERR_USAGE with name, value and what would be right. */
int param_set_text(struct param_set *s, const char *name, const char *text, struct err *e) MUST_CHECK;
/* From a JSON value of the right type (numbers for PARAM_FLOAT may be integers). */
int param_set_json(struct param_set *s, const char *name, const json_t *value, struct err *e) MUST_CHECK;
/* All members of an object. */
int param_set_object(struct param_set *s, const json_t *object, struct err *e) MUST_CHECK;
/* A YAML run file: a mapping of scalars and flow/block sequences. Errors name file, line and key. */
int param_set_yaml(struct param_set *s, const char *path, struct err *e) MUST_CHECK;
/* The same from n bytes of text; where stands for the path in errors. */
int param_set_yaml_text(struct param_set *s, const char *where, const char *text, size_t n, struct err *e) MUST_CHECK;
/* Command line: flags "--name value", "--name=value", positionals; "--" ends flags. */
int param_set_args(struct param_set *s, int argc, char *const *argv, struct err *e) MUST_CHECK;
/* -ERR_USAGE naming the first PARAM_REQUIRED that is unset. */
int param_set_check(const struct param_set *s, struct err *e) MUST_CHECK;

/* -ERR_USAGE unless exactly one of two parameters is given (a truth value: is true). what: the verb, "tokenize". */
int param_need_one(const struct param_set *s, const char *what, const char *a, const char *b, struct err *e) MUST_CHECK;
/* Back to the default, as if it had never been set; the name must be in the table. */
void param_clear(struct param_set *s, const char *name);

/* Getters; the name must be in the table with that type (asserted: programming error). */
bool param_is_set(const struct param_set *s, const char *name); /* by anyone but the default */
bool param_bool(const struct param_set *s, const char *name);
int64_t param_int(const struct param_set *s, const char *name);
double param_float(const struct param_set *s, const char *name);
const char *param_str(const struct param_set *s, const char *name); /* STRING and CHOICE; NULL when unset */
/* Lists, and PARAM_REPEAT strings. */
size_t param_count(const struct param_set *s, const char *name);
const char *param_str_at(const struct param_set *s, const char *name, size_t i);
double param_float_at(const struct param_set *s, const char *name, size_t i);
int64_t param_int_at(const struct param_set *s, const char *name, size_t i);

/* All values, defaults filled in (unset ones left out): new reference. */
json_t *param_to_json(const struct param_set *s);
/* The same as YAML text, one key a line in table order, readable by param_set_yaml. */
int param_to_yaml(const struct param_set *s, struct buf *out) MUST_CHECK;
/* How many bytes of its choices name those that work: "sft" of "sft||dpo|grpo". */
size_t param_choices_len(const struct param *p);
/* Another table (borrowed) whose names are offered, too, when an option is misspelt; it gets no values. */
void param_set_suggest(struct param_set *s, const struct param *table, size_t n);
/* A unit of a table, a symbol or an English word, as people of a language read it. */
const char *param_unit_text(const char *unit, enum lang lang);
/* Help lines of a table in a language. */
int param_help(const struct param *table, size_t n, enum lang lang, struct buf *out) MUST_CHECK;

#endif
