/* Shared by the files that compose reports: a composer with a sticky error, so that blocks are added in reading order
 * without a check after each. */
#ifndef EVAL_REPORT_INT_H
#define EVAL_REPORT_INT_H

#include "ground/base/attr.h"
#include "lifecycle/eval/report.h"

struct composer {
    const struct report_input *in;
    json_t *blocks; /* where the next block goes */
    bool failed;    /* out of memory; the rest is ignored */
};

/* The text in the language of the report. */
#define compose_text(c, en, zh) ((c)->in->lang == LANG_ZH ? (zh) : (en))

/* Add a block; takes the reference; NULL sets failed. */
void compose_add(struct composer *c, json_t *block);
void compose_heading(struct composer *c, const char *text);
/* A JSON string made like printf. */
json_t *compose_printf(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Append a row of a facts block; takes value. */
void compose_fact(struct composer *c, json_t *rows, const char *name, json_t *value);
/* "Base", "New" or "New 2": what an evaluation is called in this report; out of 32 bytes or more. */
void compose_eval_name(const struct composer *c, size_t idx, char *out, size_t size);

/* Sections. */
void compose_confusion(struct composer *c, size_t idx);
void compose_changes(struct composer *c, const struct comparison *cmp);
void compose_training(struct composer *c, const struct training *t);
void compose_setup(struct composer *c);
void compose_exclusions(struct composer *c);
void compose_origin(struct composer *c);

#endif
