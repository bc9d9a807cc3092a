/* What a tuning run is told: the one table of its fields (command line, run files and help are read from it) and the
 * struct that the trainer works with. Values are checked here; what this version cannot do is refused by name. */
#ifndef TRAIN_CONFIG_H
#define TRAIN_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compute/device/device.h"
#include "ground/base/err.h"
#include "ground/param/param.h"
#include "lifecycle/train/method.h"
#include "lifecycle/train/policy_config.h"
#include "lifecycle/train/rows.h"

enum train_optimizer { OPTIMIZER_ADAMW, OPTIMIZER_ADAMW8, OPTIMIZER_LION, OPTIMIZER_ADAFACTOR };
enum train_schedule { SCHEDULE_CONSTANT, SCHEDULE_LINEAR, SCHEDULE_COSINE };
enum train_recompute { RECOMPUTE_AUTO, RECOMPUTE_ON, RECOMPUTE_OFF };

enum { TRAIN_MAX_STACK = 8 };

/* Strings are borrowed from the param_set it was read from. */
struct train_config {
    const char *base, *data, *eval_data, *eval_cases, *output, *adapter_init;
    const char *adapters[TRAIN_MAX_STACK]; /* frozen, under the one that is trained */
    int n_adapter;
    struct method_config method;
    struct policy_options policy; /* method grpo */
    bool is_chat;                 /* data_format: conversations; else tokens */
    enum example_form form;       /* of conversations */
    int rank;
    float alpha;
    bool use_rslora;
    bool use_dora;         /* adapter dora */
    bool full;             /* adapter full: all weights, and nothing of an adapter */
    bool merge_aware;      /* in the codes of the base (model/absorb.h) */
    bool needs_quantized;  /* adapter qlora: the base must be quantized, and stays so */
    unsigned sites;        /* bits of enum adapter_site */
    bool by_pattern;       /* which matrices, ranks or alphas: adapter_shape.h says it; sites are not all */
    int epochs, max_steps; /* exactly one is > 0 */
    int batch_size, grad_accum;
    bool shuffle, packing;
    int token_budget;
    enum train_optimizer optimizer;
    double lr, min_lr;
    double neftune_alpha; /* 0: no noise */
    enum train_schedule schedule;
    int warmup_steps;
    double beta1, beta2, eps, weight_decay, max_grad_norm; /* max_grad_norm 0: no clipping */
    int max_length;                                        /* tokens of a row; 0: the model's training context */
    enum too_long too_long;
    bool drop_duplicates, strict;
    int eval_every, early_stop, save_every; /* 0: off */
    bool best_by_score;                     /* of eval_cases; else by the loss on eval_data */
    uint64_t seed;
    enum train_recompute recompute;
    uint64_t memory_limit_bytes; /* of the process; 0: what trainer_setup.c chooses */
};

/* The table. A param_set over it holds one run's fields. */
extern const struct param *const train_params;
extern const size_t train_n_param;

/* Read and check all fields of a set over train_params (or a table that contains it), filling in what depends on
 * others (one epoch where neither epochs nor max_steps is given), so that the set is complete afterwards.
 * -ERR_USAGE: a field is missing or two contradict each other; -ERR_UNSUPPORTED: a value this version cannot honour. */
int train_config_read(struct train_config *c, struct param_set *s, struct err *e) MUST_CHECK;
/* Free what a config holds, read in full or not. */
void train_config_deinit(struct train_config *c);
/* The fields that the device is made with, before a config is read. A precision that is not set becomes `fallback` in
 * the set; threads not set: fallback. */
int train_config_precision(struct param_set *s, enum precision fallback, enum precision *out, struct err *e) MUST_CHECK;
int train_config_threads(const struct param_set *s, int fallback);

#endif
