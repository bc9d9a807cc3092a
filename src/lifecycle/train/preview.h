/* Private to the trainer: what a run says before its first step. What was refused and why, what is trained, how long
 * rows are, one row as the model sees it, and what the run will take. */
#ifndef TRAIN_PREVIEW_H
#define TRAIN_PREVIEW_H

#include "lifecycle/train/trainer_int.h"

/* refused.jsonl in the run directory, where rows were refused. */
int preview_save_refused(struct trainer *t, struct err *e) MUST_CHECK;
/* Notes on rows, lengths and the first example. */
int preview_data(struct trainer *t, struct err *e) MUST_CHECK;
/* Measure one micro-batch, forward and backward (of GRPO the first answers, sampled and learned from), and say what the
 * run will take: a note, and the event "start" with predicted_seconds and predicted_peak_bytes. Leaves parameters and
 * gradients' later use as they were. -ERR_INTERRUPTED when the run is to stop. */
int preview_run(struct trainer *t, struct err *e) MUST_CHECK;

#endif
