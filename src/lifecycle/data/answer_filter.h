/* What an answer of a teacher has to be to become training data, and which of several samples of one question does. */
#ifndef DATA_ANSWER_FILTER_H
#define DATA_ANSWER_FILTER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "ground/base/err.h"

/* Why a row is kept or refused. */
enum answer_verdict {
    ANSWER_KEPT,
    ANSWER_ROW,       /* the row cannot be read or asked */
    ANSWER_REPEATED,  /* an earlier row asks the same */
    ANSWER_FAILED,    /* the teacher could not answer this question */
    ANSWER_TRUNCATED, /* cut at max_tokens */
    ANSWER_EMPTY,     /* nothing but white space */
    ANSWER_SHORT,     /* fewer characters than min_chars */
    ANSWER_LONG,      /* more than max_chars */
    ANSWER_PATTERN,   /* the pattern is not in it */
    ANSWER_LABEL,     /* none of the labels */
    ANSWER_FORMAT,    /* no JSON of the kind that is wanted, or not as the schema says */
    ANSWER_DISAGREE,  /* too few samples say the same */
    ANSWER_SAME,      /* an earlier row has this answer, and they are to be different */
    ANSWER_N_VERDICT
};
/* "kept", "unreadable", "repeated" ...: as results and files have it. */
const char *answer_verdict_name(enum answer_verdict v);

/* Rules as they are declared; what is NULL or 0 is no rule. */
struct answer_rules {
    size_t min_chars, max_chars; /* Unicode characters, without white space at the ends */
    const char *match;           /* PCRE2, found anywhere in it */
    const char *const *label;    /* [n_label] one of these, compared as `normalized` does; it is kept as spelled here */
    size_t n_label;
    const char *json_kind; /* "value", "object" or "array" */
    const json_t *schema;  /* JSON Schema */
    double agree;          /* share of the samples that must say the same */
};

struct answer_filter;
/* -ERR_USAGE names the rule. rules and what they point to are borrowed. */
int answer_filter_new(struct answer_filter **out, const struct answer_rules *rules, struct err *e) MUST_CHECK;
void answer_filter_free(struct answer_filter *f);

/* One sample: n bytes, or NULL where the teacher failed. */
struct answer_sample {
    const char *text;
    size_t n;
    bool truncated;
};
struct answer_choice {
    enum answer_verdict verdict;
    char *text;       /* what is kept (mem_free), NULL unless it is kept */
    size_t n_valid;   /* samples that keep all rules */
    double agreement; /* share of all samples that say what the largest group of the valid ones does */
};
/* Judge n samples (n >= 1) of one question. Samples say the same when their labels, their JSON or their folded texts
 * are equal; the largest group counts, and its first sample is kept. Two largest groups of one size agree on nothing.
 * -ERR_NOMEM; -ERR_LIMIT: a pattern used up its steps. */
int answer_filter_choose(const struct answer_filter *f, const struct answer_sample *s, size_t n,
                         struct answer_choice *out, struct err *e) MUST_CHECK;

#endif
