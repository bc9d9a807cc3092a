/* How long a step takes on given hardware, by the roofline of a step with a few named constants (stack.h).
 *
 * A system is one replica: a model in a format on tp x pp cards under a serving stack. All times are in seconds. The
 * functions below are pure: a system does not change after plan_system_init or plan_system_local, and may be read by
 * many threads. */
#ifndef PLAN_SPEED_H
#define PLAN_SPEED_H

#include <stdbool.h>

#include "ground/base/err.h"
#include "lifecycle/plan/quant.h"
#include "lifecycle/plan/rows.h"
#include "lifecycle/plan/stack.h"

struct plan_layout {
    int tp;         /* cards that share every matrix, >= 1 */
    int pp;         /* groups of layers, one after the other, >= 1 */
    double kv_bits; /* of a cached value, plan_kv_bits; 0: 16 */
};

struct plan_system {
    const struct plan_model *model; /* borrowed, as are quant and hardware */
    const struct plan_quant *quant;
    const struct plan_hardware *hardware; /* NULL: this machine, by its floors */
    struct plan_layout layout;
    struct plan_stack stack; /* constants, with those of the hardware put in */
    /* what a step of the whole model reads and computes, not yet shared out over cards */
    double weight_bytes;               /* in memory */
    double dense_bytes, expert_bytes;  /* read: layers' matrices outside and inside experts */
    double head_bytes;                 /* read: output matrix */
    double active_params, head_params; /* a token's products: layers, head */
    double read_bytes_s, flops;        /* one card, nominal */
    double memory_bytes;               /* one card, usable */
    bool measured;                     /* the shares are of a measurement on this machine */
};
/* -ERR_USAGE names what does not go together: tp that does not divide the heads, cards without a link, a type that the
 * stack does not run, hardware that lacks the figure ... FP8 and FP4 weights on hardware without that arithmetic are
 * computed in 16 bits. */
int plan_system_init(struct plan_system *s, const struct plan_model *model, const struct plan_quant *quant,
                     const struct plan_hardware *hardware, const struct plan_layout *layout, enum plan_stack_id stack,
                     struct err *e) MUST_CHECK;

/* Floors of this machine with all threads; 0 where it has none. */
struct plan_floors {
    double read_gb_s, fp32_gflops, int8_gops, int4_int8_gops, bf16_gflops;
};
/* Shares of the floors: assumed until a model was measured on this machine. */
struct plan_shares {
    double decode, prefill; /* of reading; of arithmetic */
    double batch;           /* of arithmetic when few sequences decode together */
    bool measured;
};
/* This machine with this program; shares NULL: assumed. floors above 0 where the type uses them. */
void plan_system_local(struct plan_system *s, const struct plan_model *model, const struct plan_quant *quant,
                       const struct plan_floors *floors, const struct plan_shares *shares, double memory_bytes);
/* A loaded model's own figures in place of those by dimensions. */
struct plan_work {
    double weight_bytes, step_bytes, layer_params, head_params;
};
void plan_system_use(struct plan_system *s, const struct plan_work *w);
/* A file's tensors in place of those by dimensions. */
struct plan_file;
void plan_system_use_file(struct plan_system *s, const struct plan_file *f);
struct plan_timing {
    double n_prompt, prefill_tok_s;
    double context, decode_tok_s; /* one sequence alone */
    double batch, batch_tok_s;    /* so many at the same context, all together; 0: not measured */
};
/* The shares that make the prediction equal to a measurement. */
void plan_calibrate(const struct plan_system *s, const struct plan_timing *t, struct plan_shares *out);

/* One pass of continuous batching. */
struct plan_step {
    double n_seq;          /* sequences that decode one token each; 0: prefill alone */
    double mean_context;   /* tokens that one of them has, on average */
    double prefill_tokens; /* of prompts, computed in the same pass */
    double prefill_from;   /* position where these begin: 0 for a whole prompt, more for a later chunk */
};
/* Seconds until every sequence has its next token (prompts: until their chunk is in the cache). With pp > 1 the time
 * after which every sequence has gone once through all groups. */
double plan_step_s(const struct plan_system *s, const struct plan_step *step);
/* The parts of a decode step and of a prompt, without overheads: reading weights and cache; products. */
double plan_step_memory_s(const struct plan_system *s, double n_seq, double context);
double plan_step_arithmetic_s(const struct plan_system *s, double n_seq);
double plan_prefill_arithmetic_s(const struct plan_system *s, double n_tok, double from);
/* Seconds of a whole prompt alone. */
double plan_prefill_s(const struct plan_system *s, double prompt_tokens);

/* A steady load: `concurrency` conversations that ask again as soon as they were answered. */
struct plan_point {
    double running;                           /* sequences in the batch: at most what memory and the stack allow */
    double step_s, prefill_s, tpot_s, ttft_s; /* ttft of a request that does not wait */
    double wait_s;                            /* until a slot is free, 0 where all run */
    double output_tok_s;                      /* of all together */
};
/* max_running: of memory (plan_memory_room) or 0 for no limit but the stack's. */
void plan_point_at(const struct plan_system *s, double prompt_tokens, double output_tokens, double concurrency,
                   double max_running, struct plan_point *out);
/* Where more conversations no longer give more tokens: as plan_point_at with all that memory holds. */
void plan_saturation(const struct plan_system *s, double prompt_tokens, double output_tokens, double max_running,
                     struct plan_point *out);

/* Factors that a prediction is known to be off by at the 80 % level: true value within [x * low, x * high]. */
struct plan_band {
    double low, high;
    const char *basis; /* the class of measurements that it comes from, "serve"; "assumed" where there are none */
};
enum plan_quantity { PLAN_MEMORY_BAND, PLAN_DECODE_BAND, PLAN_TPOT_BAND, PLAN_THROUGHPUT_BAND, PLAN_TTFT_BAND };
/* By quantity and stack, measured on published figures (bands.c says which). */
struct plan_band plan_band_of(const struct plan_system *s, enum plan_quantity q);

#endif
