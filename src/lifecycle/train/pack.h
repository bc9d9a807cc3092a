/* Rows of a micro-batch laid out for the tape: a flat list of tokens cut into segments, no padding. What rows begin
 * with in common becomes a segment of its own that is computed once (a tree of prefixes); the trained positions of a
 * shared segment count once for every row, so loss and gradient are those of the rows one by one. A micro-batch larger
 * than the token budget is laid out in several parts of about equal size; rows of an example stay in one part. */
#ifndef TRAIN_PACK_H
#define TRAIN_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compute/model/tape.h"
#include "ground/base/err.h"
#include "lifecycle/train/rows.h"

enum { PREFIX_MIN = 4 }; /* shorter common prefixes are repeated: a segment has a price too */

struct packer {
    const struct train_rows *rows;
    bool share;
    bool own;      /* every target belongs to one row: what is shared ends before the first trained label */
    size_t budget; /* tokens of a part; a longer example gets a part alone */
    /* the micro-batch: rows in lexicographic order when shared, and what is left of them */
    uint32_t *order;
    size_t n, next, cap_row;
    size_t part; /* the part in hand is order[part .. next) */
    /* the part in hand */
    struct tape_batch batch;
    int32_t *ids, *target_row, *target;
    float *weight;
    double *mass;     /* [n_target] weights of the rows that train this target, together */
    uint32_t *of_row; /* [n_target] the first of them */
    struct tape_segment *segment;
    size_t n_id, n_segment, n_target, cap_id, cap_segment, cap_target;
};

/* Most tokens and segments a part can have: for tape_options. */
size_t packer_max_tok(const struct train_rows *rows, size_t batch_rows, size_t budget);
size_t packer_max_segment(size_t batch_rows);

/* Room for micro-batches of up to n_example of these examples (rows borrowed). */
int packer_init(struct packer *p, const struct train_rows *rows, size_t n_example, size_t budget, bool share,
                struct err *e) MUST_CHECK;
/* Free what it holds. */
void packer_deinit(struct packer *p);
/* Take a micro-batch of n examples (at most n_example), by their numbers: those of their rows / rows->unit. */
void packer_begin(struct packer *p, const uint32_t *example, size_t n);
/* Lay out the next part into p->batch, weights mass / denominator; false: the micro-batch is done. */
bool packer_next(struct packer *p, double denominator);

#endif
