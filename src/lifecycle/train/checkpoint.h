/* Checkpoints: one safetensors file each, written atomically, the last two kept. They hold everything that the rest of
 * a run depends on beside its inputs. */
#ifndef TRAIN_CHECKPOINT_H
#define TRAIN_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compute/device/device.h"
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
    /* device memory, which goes to the file and back in pieces; params and optimizer are borrowed */
    struct dev *dev;
    size_t n_param, n_optimizer;
    float *params, *best; /* [n_param]; best NULL: not kept */
    float *optimizer;     /* [n_optimizer] its state */
};

/* Write c into dir (the run's checkpoints/) and remove all but the newest CHECKPOINT_KEEP. */
int checkpoint_save(const char *dir, const struct checkpoint *c, struct err *e) MUST_CHECK;
/* Read the newest that is whole into c and its arrays; *found false: there is none, and they are as they were. A broken
 * file is passed over with a warning; -ERR_IO where none is whole and one of them was overwritten in part. */
int checkpoint_load(const char *dir, struct checkpoint *c, bool *found, struct err *e) MUST_CHECK;

#endif
