/* Reports of evaluations and training runs: what a reader needs to decide, composed from stored run directories at any
 * time. Rendering is report/'s matter. */
#ifndef EVAL_REPORT_H
#define EVAL_REPORT_H

#include <jansson.h>
#include <stddef.h>

#include "ground/base/err.h"
#include "ground/param/param.h"
#include "lifecycle/eval/compare.h"
#include "lifecycle/eval/result.h"

/* A training run as far as a report needs it. */
struct training {
    char *dir;
    char *yaml;   /* run.yaml */
    json_t *loss; /* [[step, loss], ...] */
    json_t *eval_loss;
    json_t *score; /* of eval_cases, likewise */
    json_t *done;  /* the last event, or NULL when the run is not finished */
};

struct report_input {
    struct eval_result *eval; /* the first is the base */
    size_t n_eval;
    struct training *train;
    size_t n_train;
    struct comparison *cmp; /* [n_eval - 1]: each later evaluation against the first */
    size_t n_cmp;
    enum lang lang;
    const char *command; /* that makes this report */
};
/* Load evaluation and training directories in their order; -ERR_INPUT names a directory that is neither. Free with
 * report_input_deinit, also after a failure. */
int report_load(struct report_input *in, const char *const *dirs, size_t n, const struct gate *gate,
                struct err *e) MUST_CHECK;
void report_input_deinit(struct report_input *in);

/* The document for report_html and report_markdown: new reference. */
int report_compose(const struct report_input *in, json_t **doc, struct err *e) MUST_CHECK;
/* Everything as one JSON object with a schema number. */
int report_to_json(const struct report_input *in, json_t **out, struct err *e) MUST_CHECK;
/* One row a case, guarded against formulas; with a byte order mark when bom. */
int report_to_csv(const struct report_input *in, bool bom, struct buf *out, struct err *e) MUST_CHECK;

/* Load a training run's directory. */
int training_load(struct training *t, const char *dir, struct err *e) MUST_CHECK;
void training_deinit(struct training *t);

#endif
