/* Checkpoints: one safetensors file each, written atomically, the last two kept. They hold everything that the rest of
 * a run depends on beside its inputs. */
#ifndef TRAIN_CHECKPOINT_H
#define TRAIN_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ground/base/err.h"

enum { CHECKPOINT_KEEP = 2 };

struct checkpoint {
    uint64_t step;                           /* steps done */
    uint64_t events_bytes;                   /* length of events.jsonl then */
    double train_loss, eval_loss, best_loss; /* NaN: none yet; best_: what the best evaluation found */
    double score, best_score;                /* likewise, of eval_cases */
    double seconds, eval_seconds, score_seconds;
    double predicted_seconds, predicted_peak_bytes; /* before the first step; NaN: not known */
    uint64_t n_tok, n_row;                          /* trained so far */
    uint64_t bad_evals;                             /* evaluations since the best one */
    double evaluated;                               /* the step of the last evaluation; NaN: none yet */
    bool stopped;                                   /* early: no more steps */
    char inputs[65];                                /* digest of the manifest's inputs */
    /* host arrays [n_param]; best NULL: not kept */
    size_t n_param;
    float *params, *best;
    uint8_t *optimizer; /* [n_optimizer] bytes of its state */
    size_t n_optimizer;
};

/* Write c into dir (the run's checkpoints/) and remove all but the newest CHECKPOINT_KEEP. */
int checkpoint_save(const char *dir, const struct checkpoint *c, struct err *e) MUST_CHECK;
/* Read the newest that is whole into c, whose arrays the caller made for n_param values; *found false: there is none.
 * A broken file is passed over with a warning. */
int checkpoint_load(const char *dir, struct checkpoint *c, bool *found, struct err *e) MUST_CHECK;

#endif
