/* Tuning: a run from its configuration to an adapter, in a run directory that survives being killed at any moment.
 *
 * run.yaml and manifest.json are there from the moment the directory exists; events.jsonl grows by a line a step;
 * checkpoints hold all that the future depends on (adapter, moments, step), and order and learning rate are functions
 * of the step, so a resumed run ends with the same adapter, bit for bit; adapter/ appears whole, at the end. */
#ifndef TRAIN_TRAIN_H
#define TRAIN_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "compute/formats/model_file.h"
#include "compute/model/model.h"
#include "compute/text/chat_template.h"
#include "compute/text/tokenizer.h"
#include "ground/base/err.h"
#include "ground/param/param.h"
#include "lifecycle/rules/asker.h"
#include "lifecycle/train/config.h"

/* After every step. */
struct train_progress {
    uint64_t step, n_step; /* steps done, and of the run */
    double epoch, lr, loss, grad_norm, tok_s, rows_s, eta_s;
    bool has_reward; /* grpo: of the answers of the step */
    double reward, reward_std, equal_groups, entropy, kl, clipped, answer_tokens;
    double score; /* of the last evaluation; NaN: none */
};

/* What is asked when cases are to be answered: by the model as it is now. */
struct train_state {
    const struct adapter *adapter; /* on the request's model; NULL: what is trained is in the weights */
    uint64_t step;
    const char *digest; /* of the parameters, hex */
    const char *inputs; /* of what the run is made from, hex */
    const char *dir;    /* where the answers are kept */
};
struct train_score {
    double value, low, high; /* mean score and its interval of 95 %; NaN: no case could be scored */
    uint64_t n, n_scored;
};

/* What the caller brings; all borrowed until train_run returns. */
struct train_request {
    const struct train_config *config;
    struct param_set *fields; /* what config was read from; the shape of an adapter_init is filled in */
    struct model *model;
    const struct model_file *file;
    const struct tokenizer *tok;      /* NULL: data_format tokens only */
    const struct chat_template *tmpl; /* likewise */
    const char *template_text;        /* source of tmpl, for the manifest; NULL: none */
    const char *version;              /* of this program */
    const struct asker *asker;        /* for rewards of type judge; NULL: there are none */
    bool resume; /* go on with the directory config->output, which must be a run's; else it must not exist */
    void *arg;   /* of the callbacks, any of which may be NULL */
    bool (*interrupted)(void *arg);
    void (*note)(void *arg, const char *line); /* counts of rows, the sample, the memory plan */
    void (*progress)(void *arg, const struct train_progress *p);
    /* answers config->eval_cases, which it knows; needed where they are given. May use the model as it likes, but for
     * its parameters. -ERR_INTERRUPTED: the run stops, and asks again when it is resumed. */
    int (*score)(void *arg, const struct train_state *state, struct train_score *out, struct err *e);
    uint64_t score_bytes; /* what that takes while it works, for the prediction */
};

/* What became of the rows of data at the door. */
struct train_door {
    uint64_t n_read, n_refused, n_verdict[ROW_N_VERDICT];
};

struct train_result {
    struct train_door rows;
    uint64_t steps;
    double train_loss; /* of the last step */
    double eval_loss;  /* NaN: no eval_data */
    double score;      /* NaN: no eval_cases */
    double tok_s;      /* tokens of rows a second of training */
    double rows_s;
    double seconds; /* of training, over all resumptions */
    uint64_t peak_rss_bytes;
    double eval_seconds, score_seconds; /* of the loss on eval_data, and of the answers to eval_cases */
    /* what the run was to take, seconds with eval_seconds; NaN: not known */
    double predicted_seconds, predicted_peak_bytes;
    bool stopped_early;
    bool was_complete; /* the run had ended before: nothing was done */
};

/* -ERR_CONFLICT: the directory exists, is in use, or holds a run of other inputs; -ERR_INPUT: data, named by line, or a
 * loss that is not finite, named by step and row; -ERR_LIMIT: memory; -ERR_INTERRUPTED: a checkpoint was written. */
int train_run(const struct train_request *rq, struct train_result *out, struct err *e) MUST_CHECK;

#endif
