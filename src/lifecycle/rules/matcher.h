/* Matchers: what judges an answer against what was expected. Each is a named, versioned function of the two texts, so
 * that a change of its meaning changes the identity of an evaluation. */
#ifndef RULES_MATCHER_H
#define RULES_MATCHER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "ground/base/err.h"

enum matcher {
    MATCH_EXACT,      /* equal after white space at the ends is dropped */
    MATCH_NORMALIZED, /* equal after fold_answer: case, width, white space, punctuation at the ends */
    MATCH_CONTAINS,   /* the folded answer contains the folded expectation */
    MATCH_NUMBER,     /* the last number of the answer equals the expected one */
    MATCH_CHOICE,     /* normalized, and the answer must be one of the choices */
    MATCH_COUNT
};
/* "exact" ... and -1 when unknown. */
const char *matcher_name(enum matcher m);
int matcher_find(const char *name);
/* All matchers with their versions, as text for the identity of an evaluation: "exact/1 normalized/1 ..." */
const char *matcher_versions(void);
/* The matcher that a task implies: classification -> exact; math -> number; -1: none, the case must say `assert`. */
int matcher_of_task(const char *task);

/* One assertion of a case. Borrows from the JSON it was parsed from. */
struct match_rule {
    enum matcher matcher;
    const json_t *value;   /* a string, a number, or a list of alternatives; NULL: the expectation of the case */
    const json_t *choices; /* MATCH_CHOICE: list of strings */
    double tolerance;      /* MATCH_NUMBER: relative and absolute; 1e-6 */
    double weight;         /* > 0 */
};
/* Parse {"type", "value", "choices", "tolerance", "weight"}; unknown keys and types are errors. */
int match_rule_parse(const json_t *object, const char *where, struct match_rule *out, struct err *e) MUST_CHECK;
/* Whether expected (used where the rule has no value) can be judged at all: right type, not empty, a number where one
 * is needed, one of the choices. The reason goes into *e. */
int match_rule_check_gold(const struct match_rule *r, const json_t *expected, const char *where,
                          struct err *e) MUST_CHECK;

enum match_outcome {
    MATCH_FAIL,
    MATCH_PASS,
    MATCH_UNPARSED /* no number in it, or none of the choices: wrong, and counted apart */
};
/* Judge an answer of n bytes. gold was checked. -ERR_NOMEM only. */
int match_rule_apply(const struct match_rule *r, const json_t *expected, const char *answer, size_t n,
                     enum match_outcome *out, struct err *e) MUST_CHECK;

/* The last number in a text: sign, thousands separators, decimals, a/b, and a following 万 or 亿. False: none. */
bool match_last_number(const char *s, size_t n, double *out);

#endif
